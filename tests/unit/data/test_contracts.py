"""Every contract replays its own examples: each bad row breaks what it should, the good rows break nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import duckdb
import pytest

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, DType, Expectation, Rows, Severity, literal, quoted
from data.contracts.rules import (
    CURRENCIES,
    RECEIVED_AT,
    Known,
    between,
    holds,
    in_set,
    matches,
    not_null,
    references,
    rules,
    unique,
    usual_median,
)
from data.errors import ContractError
from data.quarantine import Reconciliation, admit, split

RECEIVED_AT_TEST = datetime(2024, 5, 1)
PARENTS = {
    "customers": ("customer_id", ["C1", "C2", "C3"]),
    "products": ("product_id", ["P1", "P2"]),
    "campaigns": ("campaign_id", ["K1", "K2"]),
}
REJECTS = [(contract, reject) for contract in CONTRACTS.values() for reject in contract.rejects]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect(config={"threads": 1})
    for parent, (key, values) in PARENTS.items():
        made.execute(f"CREATE TABLE parent_{parent} AS SELECT unnest(?) AS {key}", [values])
    return made


def deliver(connection: duckdb.DuckDBPyConnection, contract: Contract, lines: Sequence[Mapping[str, object]]) -> str:
    """Write lines as a text file would hold them."""
    names = [column.name for column in contract.columns]
    connection.execute(f"CREATE OR REPLACE TABLE raw ({', '.join(f'{quoted(name)} VARCHAR' for name in names)})")
    marks = ", ".join("?" for _ in names)
    connection.executemany(f"INSERT INTO raw VALUES ({marks})", [[line.get(name) for name in names] for line in lines])
    return "raw"


DELIVERY = Delivery(
    RECEIVED_AT_TEST,
    timezone="Europe/Berlin",
    currencies=("EUR", "USD"),
    parents={parent: f"parent_{parent}" for parent in PARENTS},
    reject_limit=1.0,
)


def divided(
    connection: duckdb.DuckDBPyConnection, contract: Contract, lines: Sequence[Mapping[str, object]]
) -> tuple[Rows, Rows, Reconciliation]:
    """Type, label and split lines, without the suite, which costs more than the lines."""
    raw = deliver(connection, contract, lines)
    staged = stage(connection, contract, raw, DELIVERY)
    rows = distinct(connection, contract, staged)
    return staged, rows, split(connection, contract, raw, staged, rows)[2]


def n_failing(connection: duckdb.DuckDBPyConnection, rule: Expectation, rows: Rows) -> int:
    query = f"SELECT count(*) FROM {quoted(rows.table)} WHERE NOT {rule.predicate(rows)}"
    return int(connection.execute(query).fetchall()[0][0])


def reasons(connection: duckdb.DuckDBPyConnection, contract: Contract) -> list[str]:
    found = connection.execute(f"SELECT reasons FROM {contract.name}_quarantine").fetchall()
    return [reason for (text,) in found for reason in text.split("; ")]


@pytest.mark.parametrize(("contract", "reject"), REJECTS, ids=[f"{c.name}: {r.breaks}" for c, r in REJECTS])
def test_bad_row_breaks_what_its_contract_says(connection, contract, reject):
    staged, rows, _ = divided(connection, contract, [*contract.examples, {**contract.examples[0], **reject.changes}])
    rule = next(rule for rule in rules(contract) if rule.name == reject.breaks)
    n_failed = n_failing(connection, rule, staged if rule.is_about_copies else rows)
    assert n_failed >= 1
    assert reasons(connection, contract).count(rule.name) == (n_failed if rule.severity is Severity.REJECT else 0)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_great_expectations_and_the_quarantine_count_the_same(connection, contract):
    stops = {rule.name for rule in contract.expectations if rule.severity is Severity.CRITICAL}
    rejects = [reject for reject in contract.rejects if reject.breaks not in stops]
    bad = [{**contract.examples[0], **reject.changes} for reject in rejects]
    raw = deliver(connection, contract, [*contract.examples, *bad])
    admission = admit(connection, contract, raw, DELIVERY)
    results = {result.expectation: result for result in admission.results}
    staged, rows, _ = divided(connection, contract, [*contract.examples, *bad])
    for rule in rules(contract):
        if rule.condition is not None:
            expected = n_failing(connection, rule, staged if rule.is_about_copies else rows)
            assert results[rule.name].n_failed == expected, rule.name
            assert results[rule.name].is_passed == (expected == 0)
    assert all(results[reject.breaks].n_failed for reject in rejects)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_a_row_that_breaks_a_critical_rule_stops_the_run(connection, contract):
    for rule in contract.expectations:
        if rule.severity is Severity.CRITICAL and rule.condition is not None:
            (reject,) = (reject for reject in contract.rejects if reject.breaks == rule.name)
            lines = [*contract.examples, {**contract.examples[0], **reject.changes}]
            with pytest.raises(ContractError, match=f"{contract.name}: {rule.name}"):
                admit(connection, contract, deliver(connection, contract, lines), DELIVERY)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_good_rows_break_nothing(connection, contract):
    admission = admit(connection, contract, deliver(connection, contract, contract.examples), DELIVERY)
    assert [result for result in admission.results if result.n_failed or not result.is_passed] == []
    assert admission.reconciliation.n_accepted == len(contract.examples)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_every_rule_about_rows_has_a_bad_example(contract):
    named = {reject.breaks for reject in contract.rejects}
    assert named <= {rule.name for rule in rules(contract)}
    assert {rule.name for rule in contract.expectations if rule.condition is not None} <= named


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_names_of_rules_are_unique_and_can_be_joined(contract):
    names = [rule.name for rule in rules(contract)]
    assert len(set(names)) == len(names)
    assert not any(";" in name for name in names)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_cell_of_a_wrong_type_is_named_with_column_and_type(connection, contract):
    typed = [column for column in contract.columns if column.dtype is not DType.STRING]
    for column in typed:
        divided(connection, contract, [{**contract.examples[0], column.name: "x?"}, *contract.examples[1:]])
        found = reasons(connection, contract)
        assert f"{column.name} is not {column.dtype}" in found
        assert f"{column.name} is null" not in found


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_null_in_every_column_falls_on_exactly_one_side(connection, contract):
    for column in contract.columns:
        nulled = {**contract.examples[0], column.name: None}
        *_, reconciliation = divided(connection, contract, [nulled, *contract.examples[1:]])
        may_be_null = f"{column.name} is null" not in {rule.name for rule in rules(contract)}
        assert reconciliation.n_duplicates == 0
        assert (reconciliation.n_quarantined == 0) == may_be_null, column.name


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_no_predicate_is_ever_null(connection, contract):
    _, rows, _ = divided(connection, contract, [{}, *contract.examples])
    for rule in rules(contract):
        if rule.condition is not None:
            query = f"SELECT count(*) FROM {quoted(rows.table)} WHERE ({rule.predicate(rows)}) IS NULL"
            assert connection.execute(query).fetchall() == [(0,)], rule.name


def test_tables_stand_after_the_tables_they_refer_to():
    names = list(CONTRACTS)
    for name, contract in CONTRACTS.items():
        for rule in contract.expectations:
            assert rule.parent is None or names.index(rule.parent) < names.index(name)


def test_transactions_have_the_columns_that_the_lake_keeps(connection):
    contract = CONTRACTS["transactions"]
    divided(connection, contract, contract.examples)
    described = connection.execute("DESCRIBE transactions_accepted").fetchall()
    assert [(name, dtype) for name, dtype, *_ in described] == [
        ("order_id", "VARCHAR"),
        ("customer_id", "VARCHAR"),
        ("product_id", "VARCHAR"),
        ("event_time", "TIMESTAMP"),
        ("quantity", "DECIMAL(18,3)"),
        ("amount_cents", "BIGINT"),
        ("discount_cents", "BIGINT"),
        ("coupon_cents", "BIGINT"),
        ("order_total_cents", "BIGINT"),
        ("channel", "VARCHAR"),
        ("store_id", "VARCHAR"),
        ("currency", "VARCHAR"),
        ("known_at", "TIMESTAMP"),
        ("local_time", "TIMESTAMP"),
    ]


ROWS = Rows("lines", Delivery(RECEIVED_AT_TEST, currencies=("EUR",)), {})


def truth(rule: Expectation, value: object, rows: Rows = ROWS) -> bool:
    """Evaluate a rule about the column x for one value."""
    query = f"WITH lines AS (SELECT ? AS x) SELECT {rule.predicate(rows)} FROM lines"
    return bool(duckdb.connect().execute(query, [value]).fetchall()[0][0])


@pytest.mark.parametrize(
    ("rule", "good", "bad", "null_passes"),
    [
        (not_null("x"), ["a", ""], [None], False),
        (between("x", 1, 3), [1, 2, 3], [0, 4], True),
        (between("x", low=1), [1, 9], [0], True),
        (between("x", high=RECEIVED_AT), [RECEIVED_AT_TEST], [datetime(2024, 5, 1, 0, 0, 0, 1)], True),
        (in_set("x", ("a", "it's")), ["a", "it's"], ["b", "A"], True),
        (in_set("x", ()), [], ["a"], True),
        (in_set("x", CURRENCIES), ["EUR"], ["USD"], True),
        (matches("x", "[a-z]+", name="not lower case"), ["abc"], ["abC", "abc1", ""], True),
        (holds("odd", "x % 2 = 0", "x"), [2], [3], True),
        (holds("odd", "x % 2 = 0", "x", null_passes=False), [2], [3], False),
    ],
    ids=lambda value: value.name if isinstance(value, Expectation) else "",
)
def test_rule_tells_good_values_from_bad_ones(rule, good, bad, null_passes):
    assert [truth(rule, value) for value in good] == [True] * len(good)
    assert [truth(rule, value) for value in bad] == [False] * len(bad)
    assert truth(rule, None) is null_passes


def test_all_rows_of_a_repeated_key_fail_and_null_keys_pass(connection):
    connection.execute(
        "CREATE TABLE lines AS FROM (VALUES (1, 'a'), (1, 'a'), (1, 'b'), (NULL, 'a'), (NULL, 'a')) t(x, y)"
    )
    for rule, expected in ((unique("x"), [False] * 3 + [True] * 2), (unique("x", "y"), [False] * 2 + [True] * 3)):
        found = connection.execute(f"SELECT {rule.predicate(ROWS)} FROM lines ORDER BY x NULLS LAST, y").fetchall()
        assert [passed for (passed,) in found] == expected


def test_reference_passes_over_nulls_on_both_sides(connection):
    connection.execute("CREATE TABLE parent AS FROM (VALUES ('a'), (NULL)) t(k)")
    rows = Rows("lines", Delivery(RECEIVED_AT_TEST, parents={"p": "parent"}), {})
    rule = references("x", "p", "k", name="orphan")
    connection.execute("CREATE TABLE lines AS FROM (VALUES ('a'), ('b'), (NULL)) t(x)")
    found = connection.execute(f"SELECT {rule.predicate(rows)} FROM lines ORDER BY x NULLS LAST").fetchall()
    assert found == [(True,), (False,), (True,)]


def test_rule_about_the_table_has_no_row_predicate():
    rule = usual_median("x", Known("usual_amount_cents"), 10, name="slip")
    with pytest.raises(ValueError, match="about the table"):
        rule.predicate(ROWS)


@pytest.mark.parametrize("name", ['a"b', "a'; DROP TABLE x; --", "ü ☃", "a{b}", "../x", "x" * 300])
def test_hostile_names_are_quoted(name):
    found = duckdb.connect().execute(f"SELECT 1 AS {quoted(name)}").description
    assert found is not None
    assert found[0][0] == name


@pytest.mark.parametrize(
    "value",
    ["it's", "'; DROP TABLE x; --", "", "\\", "☃", 3, -1.5, True, None, RECEIVED_AT_TEST, RECEIVED_AT_TEST.date()],
)
def test_literals_come_back_as_they_went_in(value):
    ((found,),) = duckdb.connect().execute(f"SELECT {literal(value)}").fetchall()
    assert (float(found) if isinstance(value, float) else found) == value


def test_literal_of_an_unknown_type_is_refused():
    with pytest.raises(TypeError, match="object"):
        literal(object())


def test_severities_and_types_speak_in_the_words_of_a_message():
    assert [severity.value for severity in Severity] == ["critical", "reject", "warning"]
    assert all(first != second for first, second in pairwise(sorted(DType)))
