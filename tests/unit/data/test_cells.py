"""Delivered cells become typed values by one written rule each, or say that they do not."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery
from data.errors import ContractError
from data.quarantine import admit, split

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


def deliver_one(connection: duckdb.DuckDBPyConnection, sql_type: str, column: str, value: object) -> str:
    """Write one good line with one column as another type."""
    others = {name: cell for name, cell in LINE.items() if name != column}
    deliver(connection, [others])
    connection.execute(f"ALTER TABLE raw ADD COLUMN {column} {sql_type}")
    connection.execute(f"UPDATE raw SET {column} = CAST(? AS {sql_type})", [value])
    return "raw"


def reasons(connection: duckdb.DuckDBPyConnection, table: str = "transactions_quarantine") -> list[str]:
    return [text for (text,) in connection.execute(f"SELECT reasons FROM {table} ORDER BY reasons").fetchall()]


def divided(connection: duckdb.DuckDBPyConnection, contract: Contract, raw: str) -> None:
    """Type, label and split, without the suite, which costs more than one line."""
    staged = stage(connection, contract, raw, DELIVERY)
    split(connection, contract, raw, staged, distinct(connection, contract, staged))


def test_missing_columns_are_named(connection):
    line = {name: value for name, value in LINE.items() if name not in {"amount_cents", "event_time"}}
    with pytest.raises(ContractError, match="no column event_time, amount_cents, but order_id"):
        admit(connection, TRANSACTIONS, deliver(connection, [line]), DELIVERY)


@pytest.mark.parametrize(
    ("column", "sql_type", "value"),
    [("amount_cents", "DATE", "2024-01-01"), ("order_id", "DOUBLE", 1), ("event_time", "BIGINT", 1)],
)
def test_columns_of_a_wrong_type_are_named_with_what_was_found(connection, column, sql_type, value):
    raw = deliver_one(connection, sql_type, column, value)
    with pytest.raises(ContractError, match=rf"{column} as {sql_type}; expected: an? \w+ in {column}"):
        admit(connection, TRANSACTIONS, raw, DELIVERY)


@pytest.mark.parametrize(
    ("column", "sql_type", "delivered", "read"),
    [
        ("amount_cents", "VARCHAR", " -250 ", -250),
        ("amount_cents", "VARCHAR", "12.5", None),
        ("amount_cents", "VARCHAR", "1985.0", 1985),
        ("amount_cents", "VARCHAR", "-7.00", -7),
        ("amount_cents", "VARCHAR", "7.", None),
        ("amount_cents", "VARCHAR", "1e3", None),
        ("amount_cents", "VARCHAR", "1_000", None),
        ("amount_cents", "VARCHAR", "99999999999999999999", None),
        ("amount_cents", "DOUBLE", 250.0, 250),
        ("amount_cents", "DOUBLE", 250.5, None),
        ("amount_cents", "DOUBLE", float("nan"), None),
        ("amount_cents", "SMALLINT", 250, 250),
        ("amount_cents", "DECIMAL(10,2)", "250.00", 250),
        ("amount_cents", "DECIMAL(10,2)", "250.01", None),
        ("quantity", "VARCHAR", "0.755", Decimal("0.755")),
        ("quantity", "VARCHAR", "1,5", None),
        ("quantity", "VARCHAR", "nan", None),
        ("quantity", "INTEGER", 3, Decimal(3)),
        ("event_time", "VARCHAR", "2024-03-10", datetime(2024, 3, 10)),
        ("event_time", "VARCHAR", "2024-03-10T07:30:00Z", datetime(2024, 3, 10, 7, 30)),
        ("event_time", "VARCHAR", "2024-03-10 07:30:00.5-05", datetime(2024, 3, 10, 12, 30, 0, 500000)),
        ("event_time", "VARCHAR", "2024-02-30 07:30:00", None),
        ("event_time", "VARCHAR", "10.03.2024", None),
        ("event_time", "VARCHAR", "infinity", None),
        ("event_time", "VARCHAR", "epoch", None),
        ("event_time", "TIMESTAMP_NS", "2024-03-10 07:30:00", datetime(2024, 3, 10, 7, 30)),
        ("event_time", "TIMESTAMP WITH TIME ZONE", "2024-03-10 07:30:00+00", datetime(2024, 3, 10, 7, 30)),
        ("event_time", "DATE", "2024-03-10", datetime(2024, 3, 10)),
        ("order_id", "BIGINT", 17, "17"),
        ("order_id", "VARCHAR", "017 ", "017 "),
    ],
)
def test_cells_are_read_by_one_written_rule(connection, column, sql_type, delivered, read):
    divided(connection, TRANSACTIONS, deliver_one(connection, sql_type, column, delivered))
    if read is None:
        assert len(reasons(connection)) == 1
        assert f"{column} is not a" in reasons(connection)[0]
    else:
        found = connection.execute(f"SELECT {column} FROM transactions_accepted").fetchall()
        assert found == [(read,)]


@pytest.mark.parametrize(
    ("sql_type", "delivered", "read"),
    [
        ("VARCHAR", "2024-03-01", date(2024, 3, 1)),
        ("VARCHAR", "2024-03-01 10:00", None),
        ("TIMESTAMP", "2024-03-01 00:00:00", date(2024, 3, 1)),
        ("TIMESTAMP", "2024-03-01 10:00:00", None),
    ],
)
def test_a_date_with_a_time_is_no_date(connection, sql_type, delivered, read):
    connection.execute(
        f"CREATE TABLE raw AS SELECT 'C1' AS customer_id, CAST(? AS {sql_type}) AS first_seen_on", [delivered]
    )
    admission = admit(connection, CUSTOMERS, "raw", DELIVERY)
    found = connection.execute(f"SELECT first_seen_on FROM {admission.accepted}").fetchall()
    assert found == ([(read,)] if read else [])


@pytest.mark.parametrize(
    ("sql_type", "value", "read"),
    [
        ("INTEGER", 1, True),
        ("INTEGER", 2, None),
        *(("VARCHAR", word, True) for word in ("yes", "Y", "true", "1", " TRUE ", "t")),
        *(("VARCHAR", word, False) for word in ("no", "N", "false", "0", "No ", "F")),
        *(("VARCHAR", word, None) for word in ("ja", "on", "2", "1.0", "yes!")),
    ],
)
def test_flags_are_read_from_text_and_from_zero_and_one(connection, sql_type, value, read):
    connection.execute(
        f"CREATE TABLE raw AS SELECT 'K1' AS campaign_id, CAST(? AS {sql_type}) AS is_randomised", [value]
    )
    admission = admit(connection, CONTRACTS["campaigns"], "raw", DELIVERY)
    found = connection.execute(f"SELECT is_randomised FROM {admission.accepted}").fetchall()
    assert found == ([] if read is None else [(read,)])
