"""Contractual churn: which ends count, what renews a contract, who had one to lose, and what was known when."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest

from data.errors import LeakageError
from features.labels import contract_labels, under_contract

AS_OF, UNTIL = datetime(2024, 3, 1), datetime(2024, 6, 1)
HORIZON = 28
Version = tuple[str, str, str, str | None]
NEVER = datetime(2100, 1, 1)


def tables(
    versions: Iterable[Version], known_at: dict[int, str] | None = None, replaced_at: dict[int, str] | None = None
) -> dict[str, ibis.Table]:
    """Return accepted tables in which each customer bought once, and had versions (customer, plan, from, until)."""
    versions = list(versions)
    people = sorted({version[0] for version in versions} | {"buyer"})
    at = datetime(2024, 1, 2, 12)
    lines = [
        {
            "order_id": f"o{one}", "customer_id": one, "event_time": at, "known_at": at, "local_time": at,
            "quantity": 1,            "amount_cents": 100, "discount_cents": 0, "coupon_cents": 0, "store_id": "s",
        }
        for one in people
    ]  # fmt: skip
    rows = [
        {
            "customer_id": customer,
            "plan": plan,
            "started_on": date.fromisoformat(begins),
            "ended_on": None if ends is None else date.fromisoformat(ends),
            "fee_cents": 100,
            "known_at": datetime.fromisoformat((known_at or {}).get(place, begins)),
            "replaced_at": None if place not in (replaced_at or {}) else datetime.fromisoformat(replaced_at[place]),
        }
        for place, (customer, plan, begins, ends) in enumerate(versions)
    ]
    instant = pa.timestamp("us")
    schema = {"customer_id": pa.string(), "plan": pa.string(), "started_on": pa.date32(), "ended_on": pa.date32()}
    schema |= {"fee_cents": pa.int64(), "known_at": instant, "replaced_at": instant}
    made = {
        "transactions": pa.Table.from_pylist(lines),
        "subscriptions": pa.Table.from_pylist(rows, pa.schema(list(schema.items()))),
    }
    connection = ibis.duckdb.connect(threads=1)
    for name, table in made.items():
        connection.con.register(f"{name}_in", table)
        connection.con.execute(f"CREATE TABLE {name} AS SELECT * FROM {name}_in")
    return {name: connection.table(name) for name in made}


def told(given: dict[str, ibis.Table], as_of: datetime = AS_OF, *, grace_days: int = 0) -> dict[str, tuple[bool, bool]]:
    """Return whether each customer had a contract to lose, and lost it."""
    lost = contract_labels(given, [as_of], "UTC", HORIZON, observed_until=UNTIL, grace_days=grace_days)
    had = under_contract(given, [as_of], "UTC")
    rows = lost.inner_join(had, ["customer_id", "as_of"]).to_pyarrow().to_pylist()
    return {row["customer_id"]: (row["is_eligible"], row["has_churned"]) for row in rows}


def test_ends_in_the_window_count_and_others_do_not() -> None:
    found = told(
        tables(
            [
                ("first day", "a", "2024-01-01", "2024-03-01"),
                ("last day", "a", "2024-01-01", "2024-03-28"),
                ("a day late", "a", "2024-01-01", "2024-03-29"),
                ("long gone", "a", "2024-01-01", "2024-02-10"),
                ("stays", "a", "2024-01-01", None),
            ]
        )
    )
    assert found == {
        "first day": (True, True),
        "last day": (True, True),
        "a day late": (True, False),
        "long gone": (False, False),
        "stays": (True, False),
        "buyer": (False, False),
    }


@pytest.mark.parametrize(
    ("begins", "grace_days", "is_lost"),
    [
        ("2024-03-10", 0, False), ("2024-03-11", 0, True), ("2024-03-11", 1, False), ("2024-03-17", 7, False),
        ("2024-03-18", 7, True), ("2024-02-01", 0, False),
    ],
)  # fmt: skip
def test_what_begins_within_the_grace_renews(begins: str, grace_days: int, is_lost: bool) -> None:
    versions = [("x", "old", "2024-01-01", "2024-03-10"), ("x", "new", begins, None)]
    assert told(tables(versions), grace_days=grace_days)["x"] == (True, is_lost)


def test_a_renewal_that_ends_in_the_window_too_is_lost_after_all() -> None:
    versions = [("x", "old", "2024-01-01", "2024-03-10"), ("x", "new", "2024-03-10", "2024-03-20")]
    assert told(tables(versions))["x"] == (True, True)


def test_one_of_two_contracts_may_end() -> None:
    versions = [("x", "phone", "2024-01-01", "2024-03-10"), ("x", "power", "2024-01-01", "2024-12-31")]
    assert told(tables(versions))["x"] == (True, False)


def test_another_customers_contract_renews_nothing() -> None:
    versions = [("x", "a", "2024-01-01", "2024-03-10"), ("y", "a", "2024-01-01", None)]
    assert told(tables(versions)) == {"x": (True, True), "y": (True, False), "buyer": (False, False)}


def test_the_truth_is_that_of_what_is_known_last_and_the_question_that_of_the_day() -> None:
    versions = [("x", "a", "2024-01-01", None), ("x", "a", "2024-01-01", "2024-03-10")]
    corrected = tables(versions, known_at={1: "2024-03-11"}, replaced_at={0: "2024-03-11"})
    assert told(corrected)["x"] == (True, True)
    late = tables(versions, known_at={1: "2024-07-01"}, replaced_at={0: "2024-07-01"})
    assert told(late)["x"] == (True, False), "the end was told after all that may be known"


def test_a_window_whose_grace_is_not_over_is_refused() -> None:
    given = tables([("x", "a", "2024-01-01", None)])
    edge = UNTIL - timedelta(days=HORIZON + 7)
    assert "x" in told(given, edge, grace_days=7)
    with pytest.raises(LeakageError):
        told(given, edge + timedelta(days=1), grace_days=7)


def test_a_company_without_contracts_has_nobody_to_lose() -> None:
    given = tables([])
    assert told({"transactions": given["transactions"]}) == {"buyer": (False, False)}


@pytest.mark.parametrize("grace_days", [0, 5])
def test_it_agrees_with_a_plain_loop_on_random_contracts(grace_days: int) -> None:
    rng = np.random.default_rng(8)
    base, versions = date(2024, 1, 10), []
    for customer in range(60):
        for number in range(rng.integers(1, 4)):
            begins = base + timedelta(days=int(rng.integers(0, 90)))
            ends = None if rng.random() < 0.2 else begins + timedelta(days=int(rng.integers(0, 60)))
            versions.append(
                (f"c{customer}", f"p{number}", begins.isoformat(), None if ends is None else ends.isoformat())
            )
    found = told(tables(versions), grace_days=grace_days)
    day, last = AS_OF.date(), AS_OF.date() + timedelta(days=HORIZON)
    for customer in {version[0] for version in versions}:
        own = [
            (date.fromisoformat(begins), date.max if ends is None else date.fromisoformat(ends))
            for name, _, begins, ends in versions
            if name == customer
        ]
        had = any(begins < day and ends >= day for begins, ends in own)
        lost = any(
            day <= ends < last
            and not any(after > ends and begins <= ends + timedelta(days=grace_days) for begins, after in own)
            for _, ends in own
        )
        assert found[customer] == (had, lost), customer
