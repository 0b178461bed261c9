"""The border: typed, labelled once with every reason, split, reconciled."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, Rows, Severity
from data.errors import ContractError
from data.quarantine import Reconciliation, ReconciliationError, admit, admit_all

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
    admit(connection, TRANSACTIONS, "raw", replace(DELIVERY, is_first_load=False))
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
    assert reasons(connection, "customers_quarantine") == ["bad UTF-8"]
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
