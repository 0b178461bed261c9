"""Catalogue row D13: delete or weaken each expectation of a contract in turn, and some planted defect must notice.

The defects are the contract's own bad examples, a null, a broken character and an unreadable cell in each column, and
the rows on both sides of an edge.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache

import duckdb
import pytest

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, Expectation, Rows, quoted
from data.contracts.feedback import KINDS
from data.contracts.rules import rules
from data.validation import validate

Line = Mapping[str, object]
Condition = Callable[[Rows], str]

PARENTS = {
    "customers": ("customer_id", ["C1", "C2", "C3"]),
    "products": ("product_id", ["P1", "P2"]),
    "campaigns": ("campaign_id", ["K1", "K2"]),
}
DELIVERY = Delivery(
    datetime(2024, 5, 1),
    "Europe/Berlin",
    ("EUR", "USD"),
    {name: f"parent_{name}" for name in PARENTS},
    reject_limit=1.0,
)


def sold(number: int, **changes: object) -> Line:
    """Return a line of a product of its own, whose usual price is a dollar a piece."""
    return {"order_id": f"E{number}", "product_id": "P2", "quantity": "1", "amount_cents": "100"} | changes


def sales(n_lines: int, *, slip: str = "", **changes: object) -> list[Line]:
    """Return so many lines of that product, the last one with another amount."""
    lines = [sold(number, **changes) for number in range(n_lines)]
    return [*lines[:-1], {**lines[-1], "amount_cents": slip}] if slip else lines


def paid(*amounts: int) -> list[Line]:
    """Return a line of that product for each amount."""
    return [sold(number, amount_cents=str(cents)) for number, cents in enumerate(amounts)]


def came(at: str, quantity: str, **changes: object) -> Line:
    """Return a line of another product on a day, at a dollar a piece."""
    cents = str(100 * int(quantity))
    return {
        "order_id": f"D{at}",
        "product_id": "P4",
        "event_time": at if at == "x" else f"{at} 10:00:00",
        "quantity": quantity,
        "amount_cents": cents,
        "order_total_cents": None,
    } | changes


def version(*days: str | None, **changes: object) -> list[Line]:
    """Return versions of a contract, from one day to the next of each pair."""
    pairs = zip(days[::2], days[1::2], strict=True)
    return [{"customer_id": "C3", "started_on": first, "ended_on": last} | changes for first, last in pairs]


# On both sides of the edge of a rule: what is different from the first good example, in one or several rows.
EDGES: dict[str, list[list[Line]]] = {
    "customers": [
        *([{"customer_id": "C3", "first_seen_on": day}] for day in ("2024-05-02", "2024-05-03")),
        *([{"customer_id": "C3", "birth_year": year}] for year in ("1914", "1915", "2024", "2025")),
    ],
    "identities": [
        [{"customer_id": "C3", "email": address}]
        for address in ("a@b.se", " a@b.se ", "a@b", "@b.se", "a b@c.se", "a@b@c.se", "a@b.", "a@.se", "ab.se", "a@bse")
    ],
    "consents": [
        [{"event_time": "2024-05-01 00:00:00"}],
        [{"customer_id": "C3"}, {"customer_id": "C3", "is_granted": "no"}],
        [{"customer_id": "C3"}, {"customer_id": "C3", "purpose": "profiling"}],
    ],
    "subscriptions": [
        [{"customer_id": "C3", "started_on": day, "ended_on": None}] for day in ("2024-05-02", "2024-05-03")
    ]
    + [
        [{"customer_id": "C3", "ended_on": "2023-01-01"}],
        [{"customer_id": "C3", "fee_cents": "0"}],
        [{"customer_id": "C3", "end_reason": None}],
        [{"customer_id": "C3", "end_reason": None, "ended_on": None}],
        # The first version lasts until the third begins, and the second is over by then.
        version("2023-01-01", "2023-12-01", "2023-02-01", "2023-03-01", "2023-06-01", "2023-07-01"),
        version("2023-01-01", "2023-02-01", "2023-02-01", "2023-03-01", "2023-03-01", "2023-04-01"),
        version("2023-01-01", "2023-02-01", "2023-01-15", "2023-03-01", "2023-04-01", "2023-05-01"),
        version("2023-01-01", None, "2023-02-01", "2023-03-01", "2023-04-01", None),
        version("2023-01-01", "2023-01-01", "2023-01-01", "2023-03-01", "2023-04-01", None),
        [*version("2023-01-01", None), *version("2023-02-01", None, plan="plus")],
        [*version("2023-01-01", None), *version("2023-02-01", None, customer_id="C2")],
        [*version("2023-01-01", None, plan=None), *version("2023-02-01", None, plan=None)],
        [*version("2023-01-01", None, customer_id=None), *version("2023-02-01", None, customer_id=None)],
        [*version("2023-01-01", None), *version("2023-02-01", None), *version("x", "2024-01-01")],
    ],
    "products": [
        [{"product_id": "P3", "list_price_cents": "0", "unit_cost_cents": "0"}],
        [{"product_id": "P3", "unit_cost_cents": "199"}],
    ],
    "transactions": [
        [{"event_time": "2024-05-01 00:00:00"}],
        [{"quantity": "-1", "amount_cents": "0"}],
        [{"quantity": "-1", "amount_cents": "1"}],
        [{"quantity": "1", "amount_cents": "0"}],
        [{"quantity": "1", "amount_cents": "-1"}],
        [{"quantity": "0", "amount_cents": "-1"}],
        [{"amount_cents": "19900"}],
        [{"amount_cents": "19899"}],
        sales(20, slip="10000"),
        sales(19, slip="10000"),
        sales(20, slip="100", amount_cents="1"),
        sales(20, amount_cents="0"),
        sales(20, slip="-10000", quantity="-1", amount_cents="-100"),
        # The median lies between two prices, or is one that was paid more often than once.
        *(paid(*[50] * 7, *[100] * 3, *[300] * 9, last) for last in (2500, 5000, 7500, 9999, 10000, 14999, 15000)),
        *(paid(*[100] * 10, *[300] * 10, last) for last in (5000, 9999, 10000, 14999, 15000)),
        *(paid(*[100] * 5, *[200] * 6, *[400] * 9, last) for last in (9999, 10000, 14999, 15000, 20000)),
        *(paid(*[100] * 13, *[400] * 7, last) for last in (4999, 5000, 20000)),
        # What came back, before and after as much was sold; at the same instant is not before.
        [came("2024-03-01", "2"), came("2024-03-02", "-2")],
        [came("2024-03-01", "2"), came("2024-03-01", "-2", order_id="R")],
        [came("2024-03-02", "2"), came("2024-03-01", "-2")],
        [came("2024-03-01", "2"), came("2024-03-02", "-3")],
        [came("2024-03-01", "2"), came("2024-03-02", "-2", amount_cents="-201")],
        [came("2024-03-01", "2"), came("2024-03-02", "-3", amount_cents="-200")],
        [came("2024-03-01", "2"), came("2024-03-02", "-1"), came("2024-03-03", "-1"), came("2024-03-04", "-1")],
        [came("2024-03-01", "1"), came("2024-03-02", "-2"), came("2024-03-03", "5"), came("2024-03-04", "-1")],
        [came("2024-03-01", "2", product_id="P3"), came("2024-03-02", "-2")],
        [came("2024-03-01", "2", customer_id="C2"), came("2024-03-02", "-2")],
        [came("2024-03-02", "-2", customer_id=None), came("2024-03-03", "-2")],
        [came("2024-03-02", "-2", product_id=None), came("2024-03-03", "-2")],
        [came("x", "-2"), came("2024-03-03", "-2")],
        [came("2024-03-02", "1"), came("2024-03-03", "1", amount_cents="-101", order_id="M")],
        [came("2024-03-02", "-2"), came("2024-03-03", "0")],
        [came("2024-03-02", "-1", amount_cents="0")],
        [came("2024-03-02", "1", amount_cents="-1")],
        # Orders of two lines and what is said of them as a whole.
        *(
            [
                sold(900, order_id="W", product_id="P1", order_total_cents=first),
                sold(900, order_id="W", order_total_cents=second),
            ]
            for first, second in (("200", "200"), ("199", "199"), ("200", "199"), ("199", "201"), (None, "200"))
        ),
        *(
            [
                sold(901, order_id=None, product_id="P1", order_total_cents="7"),
                sold(902, order_id="W", order_total_cents=total),
            ]
            for total in ("100", "101", None)
        ),
        *(
            [{"event_time": "x", column.name: "2024-03-02 10:30:00"}]
            for column in CONTRACTS["transactions"].columns
            if column.name != "event_time"
        ),
    ],
    "campaigns": [
        [{"campaign_id": "K3", "ends_on": "2024-03-01"}],
        [{"campaign_id": "K3", "cost_per_contact_cents": "0"}],
        [{"campaign_id": "K3", "cost_per_contact_cents": "-1"}],
    ],
    "contacts": [
        [{"customer_id": "C2", "assigned_at": "2024-05-01 00:00:00", "contacted_at": None}],
        [{"customer_id": "C2", "contacted_at": "2024-03-01 00:00:00"}],
        *([{"customer_id": "C2", "propensity": chance}] for chance in ("0", "1", "-0.5")),
    ],
    "feedback": [
        [{"feedback_id": "F9", "event_time": "2024-05-01 00:00:00", "resolved_at": None}],
        [{"feedback_id": "F9", "resolved_at": "2024-05-01 00:00:00"}],
        [{"feedback_id": "F9", "resolved_at": "2024-03-01 10:00:00"}],
        [{"feedback_id": "F9", "rating": "-1", "rating_max": None}],
        *([{"feedback_id": "F9", "rating": rating}] for rating in ("0", "0.5", "5", "5.5", "-0.5", None)),
        *([{"feedback_id": "F9", "kind": kind}] for kind in KINDS),
    ],
    "trials": [
        [{"customer_id": "C3", "assigned_at": "2024-05-01 00:00:00"}],
        [{"customer_id": "C3", "arm": "control", "trial_id": "T2"}, {"customer_id": "C3", "trial_id": "T2"}],
        [{"customer_id": "C3", "arm": "control", "trial_id": None}, {"customer_id": "C3", "trial_id": "T2"}],
        [{"customer_id": "C1", "arm": "post"}, {"customer_id": "C1", "trial_id": "T3"}],
    ],
}
# A null in the key leaves the comparison null, and a null passes: these say the same in other words.
SAME = {
    (rule.name, "AND -> OR")
    for contract in CONTRACTS.values()
    for rule in contract.expectations
    if rule.name.endswith("is not unique")
}
SWAPS = {
    "<=": ("<", ">="),
    ">=": (">", "<="),
    "<>": ("=",),
    "<": ("<=",),
    ">": (">=",),
    "=": ("<>",),
    "+": ("-",),
    "AND": ("OR",),
    "OR": ("AND",),
    "NOT IN": ("IN",),
    "IS NOT NULL": ("IS NULL",),
    "IS NULL": ("IS NOT NULL",),
    "true": ("false",),
    "false": ("true",),
    "abs": ("-",),
}
_SIGNS = "|".join(rf"\b{sign}\b" if sign[0].isalpha() else re.escape(sign) for sign in SWAPS)
TOKEN = re.compile(rf"(?P<text>\"[^\"]*\"|'[^']*')|(?P<number>\b\d+\b)|(?P<sign>{_SIGNS})")


def instead_of(token: re.Match[str]) -> tuple[str, ...]:
    """Return what may stand in the place of a sign, a word or a number; a quoted name or text stays."""
    if token.lastgroup == "number":
        return str(int(token.group()) + 1), str(int(token.group()) - 1)
    return SWAPS[token.group()] if token.lastgroup == "sign" else ()


@cache
def changes(condition: str) -> list[tuple[str, str]]:
    """Return what is changed and the condition with it: one sign, word or number at a time, no name and no text."""
    return [
        (f"{token.group()} -> {new}", condition[: token.start()] + new + condition[token.end() :])
        for token in TOKEN.finditer(condition)
        for new in instead_of(token)
    ]


def mutants(rule: Expectation, example: Rows) -> Iterator[tuple[str, Expectation]]:
    """Yield what was changed, and the rule with it; the change is made anew for the tables of each replay."""
    original = rule.condition
    assert original is not None
    yield "deleted", replace(rule, condition=lambda _: "true")
    for place, (what, _) in enumerate(changes(original(example))):
        yield what, replace(rule, condition=lambda rows, at=place: changes(original(rows))[at][1])


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as made:
        for parent, (key, values) in PARENTS.items():
            made.execute(f"CREATE TABLE parent_{parent} AS SELECT unnest(?) AS {key}", [values])
        yield made


def delivered(connection: duckdb.DuckDBPyConnection, contract: Contract, lines: Sequence[Line]) -> tuple[Rows, Rows]:
    names = [column.name for column in contract.columns]
    connection.execute(f"CREATE OR REPLACE TABLE raw ({', '.join(f'{quoted(name)} VARCHAR' for name in names)})")
    marks = ", ".join("?" for _ in names)
    connection.executemany(f"INSERT INTO raw VALUES ({marks})", [[line.get(name) for name in names] for line in lines])
    staged = stage(connection, contract, "raw", DELIVERY)
    return staged, distinct(connection, contract, staged)


def defects(contract: Contract) -> list[Sequence[Line]]:
    cells = [[{column.name: cell}] for column in contract.columns for cell in (None, "x?", "x\ufffd")]
    return [*([reject.changes] for reject in contract.rejects), *EDGES[contract.name], *cells]


def replays(connection: duckdb.DuckDBPyConnection, contract: Contract) -> list[tuple[Rows, Rows]]:
    """Stage the good examples, and again with each defect; every replay keeps tables of its own."""
    good, first = list(contract.examples), contract.examples[0]
    return [
        delivered(
            connection,
            replace(contract, name=f"{contract.name} {number}"),
            [*good, *({**first, **change} for change in defect)],
        )
        for number, defect in enumerate([[], *defects(contract)])
    ]


def counted(connection: duckdb.DuckDBPyConnection, rule: Expectation, rows: Rows) -> object:
    """Return how many rows break the rule; a rule that cannot run is told by that."""
    try:
        query = f"SELECT count(*) FROM {quoted(rows.table)} WHERE NOT {rule.predicate(rows)}"
        return connection.execute(query).fetchall()
    except duckdb.Error:
        return "cannot run"


def can_be_null(connection: duckdb.DuckDBPyConnection, rule: Expectation, worlds: Sequence[Rows]) -> bool:
    assert rule.condition is not None
    queries = [f"SELECT count(*) FROM {quoted(rows.table)} WHERE ({rule.condition(rows)}) IS NULL" for rows in worlds]
    return any(connection.execute(query).fetchall() != [(0,)] for query in queries)


CASES = [pytest.param(one, marks=pytest.mark.slow if one.name == "transactions" else ()) for one in CONTRACTS.values()]


@pytest.mark.parametrize("contract", CASES, ids=CONTRACTS)
def test_every_weakened_rule_is_noticed(connection, contract):
    worlds = replays(connection, contract)
    survivors = []
    for rule in rules(contract):
        if rule.condition is None:
            continue
        rows = [staged if rule.is_about_copies else others for staged, others in worlds]
        expected = [counted(connection, rule, world) for world in rows]
        # A replay in which the rule fires is the likeliest to notice.
        asked = sorted(zip(rows, expected, strict=True), key=lambda pair: pair[1] == [(0,)])
        tried = list(mutants(rule, rows[0]))
        if can_be_null(connection, rule, rows):
            tried.append(("null falls on the other side", replace(rule, null_passes=not rule.null_passes)))
        survivors += [
            (rule.name, what, mutant.predicate(rows[0]))
            for what, mutant in tried
            if (rule.name, what) not in SAME and all(counted(connection, mutant, world) == n for world, n in asked)
        ]
    assert survivors == []


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_great_expectations_sees_every_edge_as_the_quarantine_does(connection, contract):
    lines = [{**contract.examples[0], **change} for defect in defects(contract) for change in defect]
    staged, others = delivered(connection, contract, [*contract.examples, *lines])
    about_rows = [rule for rule in rules(contract) if rule.condition is not None]
    for is_about_copies, rows in ((True, staged), (False, others)):
        chosen = [rule for rule in about_rows if rule.is_about_copies is is_about_copies]
        results = validate(connection, contract, chosen, rows)
        found = {result.expectation: [(result.n_failed,)] for result in results}
        assert found == {rule.name: counted(connection, rule, rows) for rule in chosen}
