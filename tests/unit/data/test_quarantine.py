"""The border: typed, labelled once with every reason, split, reconciled."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from data.cells import columns_of
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, Rows, Severity
from data.contracts.rules import rules
from data.errors import ContractError
from data.quarantine import Admission, Reconciliation, ReconciliationError, admit, admit_all

TRANSACTIONS, CUSTOMERS = CONTRACTS["transactions"], CONTRACTS["customers"]
DELIVERY = Delivery(datetime(2024, 5, 1), "America/New_York", ("USD",), reject_limit=1.0)
LINE = {
    "order_id": "O1",
    "customer_id": "C1",
    "product_id": "P1",
    "event_time": datetime(2024, 3, 10, 7, 30),
    "quantity": Decimal("1.000"),
    "amount_cents": 250,
}


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect(config={"threads": 1})
    made.execute("SET TimeZone = 'UTC'")
    return made


def deliver(connection: duckdb.DuckDBPyConnection, lines: Sequence[Mapping[str, object]]) -> str:
    connection.register("arrow", pa.Table.from_pylist([dict(line) for line in lines]))
    connection.execute("CREATE OR REPLACE TABLE raw AS FROM arrow")
    return "raw"


def reasons(connection: duckdb.DuckDBPyConnection, table: str = "transactions_quarantine") -> list[str]:
    return [text for (text,) in connection.execute(f"SELECT reasons FROM {table} ORDER BY reasons").fetchall()]


def test_a_row_that_breaks_three_rules_carries_three_reasons_in_order(connection):
    """Catalogue row D4."""
    bad = LINE | {"order_id": None, "currency": "XXX", "quantity": Decimal(-1)}
    admission = admit(connection, TRANSACTIONS, deliver(connection, [bad, LINE | {"currency": "USD"}]), DELIVERY)
    assert reasons(connection) == ["negative quantity with positive amount; order_id is null; unknown currency"]
    assert admission.reconciliation.n_accepted == 1


def test_the_quarantine_keeps_the_row_as_delivered(connection):
    bad = {name: str(value) for name, value in LINE.items()} | {"amount_cents": "2,50", "note": 'said "no"'}
    admission = admit(connection, TRANSACTIONS, deliver(connection, [bad]), DELIVERY)
    ((table, row_id, why, row_json),) = connection.execute(f"FROM {admission.quarantine}").fetchall()
    assert (table, why) == ("transactions", "amount_cents is not an integer")
    assert json.loads(row_json) == bad
    assert len(row_id) == 32


def test_row_id_is_of_the_row_and_not_of_its_place(connection):
    bad = [LINE | {"order_id": f"O{number}", "amount_cents": None} for number in range(5)]
    admit(connection, TRANSACTIONS, deliver(connection, bad), DELIVERY)
    first = connection.execute("FROM transactions_quarantine").fetchall()
    admit(connection, TRANSACTIONS, deliver(connection, [LINE, *reversed(bad)]), DELIVERY)
    assert connection.execute("FROM transactions_quarantine").fetchall() == first
    assert len({row_id for _, row_id, *_ in first}) == 5


def test_of_exact_copies_one_is_kept_and_the_others_are_counted(connection):
    bad = LINE | {"amount_cents": None}
    admission = admit(connection, TRANSACTIONS, deliver(connection, [LINE, bad, LINE, bad, LINE]), DELIVERY)
    assert admission.reconciliation == Reconciliation("transactions", 5, 1, 1, 3, 750, 250, 0, 500)
    results = {result.expectation: result for result in admission.results}
    assert results["duplicate order line"].n_failed == 3
    assert results["amount_cents is null"].n_failed == 1


def test_copies_are_told_from_lines_that_differ_in_an_attribute_only(connection):
    lines = [LINE | {"note": None}, LINE | {"note": ""}, LINE | {"note": "a"}, LINE | {"note": None}]
    admission = admit(connection, TRANSACTIONS, deliver(connection, lines), DELIVERY)
    assert (admission.reconciliation.n_accepted, admission.reconciliation.n_duplicates) == (3, 1)


def test_first_load_knows_everything_when_it_happened_and_later_loads_when_it_came(connection):
    lines = [LINE, LINE | {"order_id": "O2", "known_at": datetime(2024, 4, 2)}]
    query = "SELECT known_at FROM transactions_accepted ORDER BY order_id"
    admit(connection, TRANSACTIONS, deliver(connection, [LINE | {"known_at": None}, lines[1]]), DELIVERY)
    assert connection.execute(query).fetchall() == [(LINE["event_time"],), (datetime(2024, 4, 2),)]
    admit(connection, TRANSACTIONS, "raw", replace(DELIVERY, known_at=DELIVERY.received_at))
    assert connection.execute(query).fetchall() == [(DELIVERY.received_at,), (datetime(2024, 4, 2),)]


def test_local_time_follows_the_clocks_of_the_zone(connection):
    # New York's clocks went forward at 07:00 UTC on 2024-03-10.
    lines = [LINE | {"order_id": str(hour), "event_time": datetime(2024, 3, 10, hour, 30)} for hour in (6, 7)]
    admit(connection, TRANSACTIONS, deliver(connection, lines), DELIVERY)
    found = connection.execute("SELECT local_time FROM transactions_accepted ORDER BY event_time").fetchall()
    assert found == [(datetime(2024, 3, 10, 1, 30),), (datetime(2024, 3, 10, 3, 30),)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo", "UTC"])
def test_local_time_does_not_depend_on_the_session(zone):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = ?", [zone])
    text = {name: str(value) for name, value in LINE.items()} | {"event_time": "2024-03-10 09:30:00+02:00"}
    admit(connection, TRANSACTIONS, deliver(connection, [text]), DELIVERY)
    found = connection.execute("SELECT event_time, local_time FROM transactions_accepted").fetchall()
    assert found == [(datetime(2024, 3, 10, 7, 30), datetime(2024, 3, 10, 3, 30))]


def test_attributes_pass_as_delivered_and_absent_columns_are_null(connection):
    hostile = 'income "band"; DROP TABLE x'
    deliver(connection, [{"customer_id": "C1", hostile: "50-74K", "kids_count": 2}])
    admission = admit(connection, CUSTOMERS, "raw", DELIVERY)
    found = connection.execute(f"FROM {admission.accepted}").to_arrow_table().to_pylist()
    expected = {column.name: None for column in CUSTOMERS.columns} | {
        "customer_id": "C1",
        hostile: "50-74K",
        "kids_count": 2,
    }
    assert found == [expected]


def test_columns_may_come_in_any_order_and_as_categories(connection):
    deliver(connection, [dict(reversed(LINE.items()))])
    connection.execute("CREATE TYPE channel AS ENUM ('store', 'web')")
    connection.execute("ALTER TABLE raw ADD COLUMN channel channel DEFAULT 'web'")
    admission = admit(connection, TRANSACTIONS, "raw", DELIVERY)
    assert connection.execute(f"SELECT typeof(channel), channel FROM {admission.accepted}").fetchall() == [
        ("VARCHAR", "web")
    ]


def test_a_view_is_a_raw_table_too(connection):
    deliver(connection, [LINE])
    connection.execute("CREATE VIEW delivered AS FROM raw")
    assert admit(connection, TRANSACTIONS, "delivered", DELIVERY).reconciliation.n_accepted == 1


def test_an_empty_delivery_stops_the_run(connection):
    deliver(connection, [LINE])
    connection.execute("DELETE FROM raw")
    with pytest.raises(ContractError, match="fewer than 1 rows"):
        admit(connection, TRANSACTIONS, "raw", DELIVERY)


@pytest.mark.parametrize(("n_bad", "stops"), [(5, False), (6, True)])
def test_the_run_stops_at_one_row_above_the_limit(connection, n_bad, stops):
    lines = [LINE | {"order_id": f"O{number}", "amount_cents": None if number < n_bad else 1} for number in range(100)]
    delivery = replace(DELIVERY, reject_limit=0.05)
    deliver(connection, lines)
    if not stops:
        assert admit(connection, TRANSACTIONS, "raw", delivery).reconciliation.n_quarantined == n_bad
        return
    with pytest.raises(ContractError, match=r"6\.00% rejected, at most 5\.00% allowed, amount_cents is null: 6"):
        admit(connection, TRANSACTIONS, "raw", delivery)
    assert len(reasons(connection)) == n_bad


@pytest.mark.parametrize(
    ("usual", "stops"), [(250, False), (2500, False), (25, False), (25000, True), (2, True), (None, False)]
)
def test_a_whole_file_in_another_unit_stops_the_run(connection, usual, stops):
    delivery = replace(DELIVERY, usual_amount_cents=usual)
    deliver(connection, [LINE | {"order_id": f"O{number}"} for number in range(9)])
    if not stops:
        results = {result.expectation: result for result in admit(connection, TRANSACTIONS, "raw", delivery).results}
        assert ("not checked" in results["unit slip of the whole delivery"].detail) == (usual is None)
        return
    with pytest.raises(ContractError, match=r"unit slip of the whole delivery \(observed 250"):
        admit(connection, TRANSACTIONS, "raw", delivery)


def test_a_reference_without_its_parent_says_that_it_was_not_checked(connection):
    admission = admit(connection, TRANSACTIONS, deliver(connection, [LINE]), DELIVERY)
    results = {result.expectation: result for result in admission.results}
    assert results["orphan customer"].detail == "not checked: no table customers"
    assert results["orphan customer"].is_passed


def test_parents_are_admitted_first_and_only_accepted_ones_count(connection):
    deliver(
        connection,
        [LINE, LINE | {"order_id": "O2", "customer_id": "C2"}, LINE | {"order_id": "O3", "customer_id": None}],
    )
    connection.execute("CREATE TABLE people AS FROM (VALUES ('C1', 'ok'), ('C2', chr(65533))) t(customer_id, region)")
    admissions = admit_all(connection, {"transactions": "raw", "customers": "people"}, DELIVERY)
    assert list(admissions) == ["customers", "transactions"]
    assert reasons(connection, "customers_quarantine") == ["unreadable text"]
    assert reasons(connection) == ["orphan customer"]


def test_every_result_has_its_severity_and_counts(connection):
    admission = admit(connection, TRANSACTIONS, deliver(connection, [LINE, LINE | {"amount_cents": None}]), DELIVERY)
    rows = {result.expectation: result for result in admission.results}
    assert rows["missing column"].severity is Severity.CRITICAL
    assert rows["amount_cents is null"].severity is Severity.REJECT
    assert (rows["amount_cents is null"].n_rows, rows["amount_cents is null"].n_failed) == (2, 1)
    assert rows["unknown product"].severity is Severity.WARNING
    assert rows["too many rejected rows"].detail.startswith("50.00% rejected")


@pytest.mark.parametrize(
    "broken",
    [
        Reconciliation("t", 10, 7, 2, 0),
        Reconciliation("t", 10, 7, 2, 2),
        Reconciliation("t", 3, 1, 1, 1, 30, 10, 10, 9),
    ],
)
def test_a_lost_row_or_cent_raises(broken):
    with pytest.raises(ReconciliationError, match="not accounted for"):
        broken.check()


def test_reconciliation_reads_as_a_sum():
    text = str(Reconciliation("transactions", 1003, 1000, 2, 1, 5050, 5000, 30, 20))
    assert text == (
        "transactions: 1,003 rows = 1,000 accepted + 2 quarantined + 1 duplicates; total 5,050 = 5,000 + 30 + 20"
    )
    assert str(Reconciliation("products", 3, 2, 1, 0)) == "products: 3 rows = 2 accepted + 1 quarantined + 0 duplicates"


def test_a_lost_row_is_found_at_the_border(connection, monkeypatch):
    monkeypatch.setattr("data.quarantine._label", _label_nothing)
    with pytest.raises(ReconciliationError):
        admit(connection, TRANSACTIONS, deliver(connection, [LINE, LINE | {"amount_cents": None}]), DELIVERY)


def _label_nothing(connection: duckdb.DuckDBPyConnection, contract: Contract, rows: Rows) -> str:
    # A label on a row that is not there makes a null in the anti-join, which is how rows get lost.
    connection.execute("CREATE OR REPLACE TABLE lost AS SELECT CAST(NULL AS BIGINT) AS bad_row, 'gone' AS reasons")
    return "lost"


def tables(connection: duckdb.DuckDBPyConnection, **given: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """Deliver several tables, and return the names of their raw ones by contract."""
    for name, lines in given.items():
        connection.register("arrow", pa.Table.from_pylist([dict(line) for line in lines]))
        connection.execute(f"CREATE OR REPLACE TABLE raw_{name} AS FROM arrow")
    return {name: f"raw_{name}" for name in given}


def failed(admission: Admission) -> dict[str, int]:
    return {result.expectation: result.n_failed for result in admission.results if not result.is_passed}


def test_a_line_may_refer_to_a_customer_of_tonight_and_of_an_earlier_night(connection):
    connection.execute("CREATE TABLE earlier AS SELECT 'C0' AS customer_id, 'North' AS region")
    lines = [LINE | {"order_id": f"O{number}", "customer_id": f"C{number}"} for number in (0, 1, 2)]
    raw = tables(connection, customers=[{"customer_id": "C1"}], transactions=lines)
    admissions = admit_all(connection, raw, replace(DELIVERY, parents={"customers": "earlier"}))
    assert reasons(connection) == ["orphan customer"]
    assert connection.execute("SELECT order_id FROM transactions_accepted ORDER BY 1").fetchall() == [("O0",), ("O1",)]
    assert admissions["customers"].reconciliation.n_accepted == 1, "the earlier ones are no rows of this delivery"


def test_a_line_may_refer_to_an_earlier_customer_alone(connection):
    connection.execute("CREATE TABLE earlier AS SELECT 'C1' AS customer_id")
    known = replace(DELIVERY, parents={"customers": "earlier"})
    empty = {
        "customers": [{"customer_id": None}],
        "transactions": [LINE, LINE | {"order_id": "O2", "customer_id": "C2"}],
    }
    raw = tables(connection, **empty)
    connection.execute("DELETE FROM raw_customers")
    admit_all(connection, raw, replace(known, absent=("customers",)))
    assert reasons(connection) == ["orphan customer"]


def test_who_was_refused_tonight_is_nobody_to_refer_to(connection):
    raw = tables(connection, customers=[{"customer_id": "C1", "first_seen_on": "x"}], transactions=[LINE])
    admit_all(connection, raw, DELIVERY)
    assert reasons(connection) == ["orphan customer"]


def test_a_table_that_nobody_keeps_makes_no_orphans(connection):
    plan = {"customer_id": "C1", "plan": "basic", "started_on": "2023-01-01"}
    raw = tables(connection, customers=[{"customer_id": "x"}], subscriptions=[plan])
    connection.execute("DELETE FROM raw_customers")
    found = admit_all(connection, raw, DELIVERY)["subscriptions"]
    assert found.reconciliation.n_accepted == 1
    (orphans,) = (result for result in found.results if result.expectation == "orphan customer")
    assert orphans.detail == "not checked: no table customers"


def test_an_empty_table_in_the_place_of_an_absent_one_breaks_no_rule(connection):
    raw = tables(connection, customers=[{"customer_id": "C1", "has_churned": "yes"}], transactions=[LINE])
    connection.execute("DELETE FROM raw_transactions")
    with pytest.raises(ContractError, match="fewer than 1 rows"):
        admit_all(connection, raw, DELIVERY)
    found = admit_all(connection, raw, replace(DELIVERY, absent=("transactions",)))
    results = {result.expectation: result for result in found["transactions"].results}
    assert results["fewer than 1 rows"].detail == "not delivered"
    assert {rule.name for rule in rules(TRANSACTIONS)} <= set(results)
    assert failed(found["transactions"]) == {}
    assert connection.execute("SELECT has_churned FROM customers_accepted").fetchall() == [(True,)]
    assert connection.execute("SELECT count(known_at) FROM transactions_accepted").fetchall() == [(0,)]


RETURN = LINE | {
    "order_id": "R1",
    "event_time": datetime(2024, 3, 20),
    "quantity": Decimal(-1),
    "amount_cents": -250,
}


@pytest.mark.parametrize(
    ("known", "is_covered"),
    [
        ([], False),
        ([LINE], True),
        ([LINE | {"amount_cents": 249}], False),
        ([LINE | {"quantity": Decimal("0.5")}], False),
        ([LINE | {"event_time": datetime(2024, 3, 21)}], False),
        ([LINE, RETURN | {"order_id": "R0"}], False),
        # The same return is delivered again, and is one.
        ([LINE, RETURN], True),
    ],
)
def test_a_return_is_covered_by_what_was_sold_on_earlier_nights(connection, known, is_covered):
    nothing = LINE | {"customer_id": "C9"}
    tables(connection, known=[nothing, *known])
    delivery = replace(DELIVERY, parents={"transactions": "raw_known"})
    found = admit(connection, TRANSACTIONS, deliver(connection, [RETURN]), delivery)
    assert failed(found) == ({} if is_covered else {"returned more than was sold": 1})
    assert found.reconciliation.n_accepted == 1, "a warning holds nothing back"


def test_a_null_in_tonight_s_lines_hides_no_earlier_sale(connection):
    tables(connection, known=[LINE])
    delivery = replace(DELIVERY, parents={"transactions": "raw_known"})
    spoilt = LINE | {"order_id": None, "product_id": "P2", "event_time": None, "quantity": None}
    found = admit(connection, TRANSACTIONS, deliver(connection, [RETURN, spoilt]), delivery)
    assert "returned more than was sold" not in failed(found)


@pytest.mark.parametrize(
    ("known", "new", "vanished"),
    [
        ((), [], []),
        (("customer_id", "region"), [], []),
        (("region", "customer_id"), [], []),
        (("customer_id",), ["region"], []),
        (("customer_id", "region", "town", "kids"), [], ["town", "kids"]),
        (("customer_id", "Region"), ["region"], ["Region"]),
    ],
)
def test_columns_that_come_and_go_are_warned_of(connection, known, new, vanished):
    """Catalogue row D9: what is added is warned of, what is reordered is accepted."""
    raw = tables(connection, customers=[{"customer_id": "C1", "region": "North"}])
    delivery = replace(DELIVERY, known_columns={"customers": known} if known else {})
    found = admit_all(connection, raw, delivery)["customers"]
    results = {result.expectation: result for result in found.results}
    for name, columns in (("new column", new), ("vanished column", vanished)):
        assert results[name].severity is Severity.WARNING
        assert (results[name].n_failed, results[name].is_passed) == (len(columns), not columns)
        assert results[name].detail == (", ".join(columns) if known else "not checked: no earlier delivery")
    assert found.reconciliation.n_accepted == 1
    assert columns_of(connection, "raw_customers") == ("customer_id", "region")


@pytest.mark.parametrize(
    ("change", "found", "expected"),
    [
        ("RENAME quantity TO units", "transactions has no column quantity, but order_id, .*units", "quantity"),
        ("DROP quantity", "transactions has no column quantity", "the columns order_id, .*quantity"),
        ("ALTER quantity TYPE DATE USING DATE '2024-01-01'", "quantity as DATE", "a decimal in quantity"),
        ("ALTER order_id TYPE DOUBLE USING 1.5", "order_id as DOUBLE", "a text in order_id"),
    ],
)
def test_a_needed_column_that_is_renamed_gone_or_of_another_type_is_refused(connection, change, found, expected):
    """Catalogue row D9: the error names the column, what was expected and what was found."""
    deliver(connection, [LINE])
    connection.execute(f"ALTER TABLE raw {change}")
    with pytest.raises(ContractError) as caught:
        admit(connection, TRANSACTIONS, "raw", DELIVERY)
    assert re.search(found, caught.value.found)
    assert re.search(expected, caught.value.expected)


@pytest.mark.parametrize("wider", ["BIGINT", "HUGEINT", "DECIMAL(18,2)", "DOUBLE", "VARCHAR"])
def test_a_type_that_became_wider_reads_the_same(connection, wider):
    """Catalogue row D9."""
    deliver(connection, [LINE])
    connection.execute(f"ALTER TABLE raw ALTER amount_cents TYPE {wider}")
    admit(connection, TRANSACTIONS, "raw", DELIVERY)
    assert connection.execute("SELECT amount_cents FROM transactions_accepted").fetchall() == [(250,)]


@pytest.mark.parametrize("name", [name for name in CONTRACTS if name not in {"transactions", "trials"}])
def test_every_table_stops_at_one_row_above_its_limit(connection, name):
    """Catalogue row D7."""
    contract = CONTRACTS[name]
    key = contract.key[0]
    good = [{**contract.examples[0], key: f"K{number}"} for number in range(19)]
    bad = [{**contract.examples[0], key: f"K{number}", contract.columns[0].name: None} for number in (90, 91)]
    bad = [row | {contract.columns[1].name: f"v{place}"} for place, row in enumerate(bad)]
    delivery = replace(DELIVERY, reject_limit=0.05)
    admission = admit(connection, contract, deliver(connection, [*good, bad[0]]), delivery)
    assert admission.reconciliation.n_quarantined == 1
    with pytest.raises(ContractError, match=rf"{name}: too many rejected rows \(9\.52% rejected"):
        admit(connection, contract, deliver(connection, [*good, *bad]), delivery)
