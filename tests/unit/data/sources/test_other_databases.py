"""Tables of SQLite files, of DuckDB files and of what else Ibis connects to."""

import sqlite3
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from data.contracts.base import quoted
from data.engine import connect
from data.errors import ConfigError, ContractError
from data.sources import FilesSource, Sources
from data.sources.database import copy_table, database_piece
from data.sources.mapping import Files

# Ibis 12 calls what DuckDB 1.5 has under a newer name too.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_.* is deprecated:DeprecationWarning")

Make = Callable[..., Path]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    made: duckdb.DuckDBPyConnection = connect(threads=2).con
    yield made
    made.close()


@pytest.fixture
def sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that runs statements on one SQLite file, whose address is in SHOP_DB."""
    path = tmp_path / "my shop.db"
    monkeypatch.setenv("SHOP_DB", f"sqlite:///{path}")

    def run(*statements: str) -> Path:
        with closing(sqlite3.connect(path)) as made, made:
            for statement in statements:
                made.execute(statement)
        return path

    return run


@pytest.fixture
def duckdb_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that runs statements on one DuckDB file, whose address is in SHOP_DB."""
    path = tmp_path / "shop.duckdb"
    monkeypatch.setenv("SHOP_DB", f"duckdb:///{path}")

    def run(*statements: str) -> Path:
        with duckdb.connect(path) as made:
            for statement in statements:
                made.execute(statement)
        return path

    return run


@pytest.fixture(params=["sqlite_file", "duckdb_file"])
def either(request: pytest.FixtureRequest) -> Make:
    return request.getfixturevalue(request.param)


def orders(**further: str) -> Files:
    return Files(connection="SHOP_DB", **({"table": "orders"} | further))


def rows(connection: duckdb.DuckDBPyConnection, files: Files, since: str | None = None) -> list[tuple[Any, ...]]:
    copy_table(connection, files, "copied", since)
    return connection.execute("FROM copied").fetchall()


def test_sqlite_cells_come_as_they_are_whatever_their_column_says(sqlite_file, connection):
    sqlite_file(
        "CREATE TABLE orders (id INTEGER, price DECIMAL(10, 2), at TIMESTAMP, flag BOOLEAN, bytes BLOB)",
        "INSERT INTO orders VALUES (1, 0.1, '2024-03-01 10:00:00', 1, x'dead'), ('x7', 'n/a', NULL, 'yes', '')",
    )
    found = rows(connection, orders())
    assert found == [("1", "0.1", "2024-03-01 10:00:00", "1", "dead"), ("x7", "n/a", None, "yes", None)]


def test_duckdb_types_keep_what_they_say(duckdb_file, connection):
    duckdb_file(
        """CREATE TABLE orders AS SELECT 1::UTINYINT AS id, 12345678901234567.123456789::DECIMAL(38, 9) AS exact,
        TIMESTAMPTZ '2024-03-31 03:30:00.000001+02' AS moment, TIMESTAMP '2024-03-31 02:30' AS clock, true AS flag,
        DATE '2024-02-29' AS day, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID AS uuid, '007' AS text,
        0.1::DOUBLE AS price"""
    )
    (found,) = rows(connection, orders())
    assert found[:2] == (1, "12345678901234567.123456789")
    assert found[2].astimezone(UTC) == datetime(2024, 3, 31, 1, 30, 0, 1, tzinfo=UTC)
    assert found[3:6] == (datetime(2024, 3, 31, 2, 30), True, date(2024, 2, 29))
    assert found[6:] == ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "007", 0.1)


def test_a_mapping_reads_either(either, tmp_path, connection):
    either(
        'CREATE TABLE orders ("no" TEXT, who TEXT, what TEXT, moment TIMESTAMP, units INTEGER, price DECIMAL(12, 3))',
        "INSERT INTO orders VALUES ('007', 'C1', 'P1', '2024-07-01 12:00:00', 3, 0.105)",
        "INSERT INTO orders VALUES ('008', 'C2', 'P1', '2024-07-01 13:00:00', 1, 1)",
    )
    config = """
    [transactions]
    connection = "SHOP_DB"
    table = "orders"
    columns = { order_id = "no", customer_id = "who", product_id = "what", event_time = "moment", quantity = "units" }
    money.amount_cents = { column = "price", times = "units" }
    timezone = "Europe/Berlin"
    """
    loaded = FilesSource(Sources.model_validate(tomllib.loads(config)), tmp_path).load(connection)
    assert [loaded[table].n_rows for table in ("transactions", "customers", "products")] == [2, 2, 1]
    found = connection.execute(
        "SELECT order_id, CAST(event_time AS TIMESTAMP), CAST(quantity AS INT), amount_cents FROM raw_transactions"
    ).fetchall()
    # 31.5 cents, half a cent away from zero.
    assert found == [("007", datetime(2024, 7, 1, 10), 3, "32"), ("008", datetime(2024, 7, 1, 11), 1, "100")]


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("TIMESTAMP", "2024-01-01 09:59:59.999999", "2024-01-01 10:00:00"),
        ("INTEGER", "9", "10"),
        ("DOUBLE", "0.1", "0.30000000000000004"),
    ],
)
def test_only_rows_above_the_watermark_are_read(either, connection, kind, low, high):
    either(f"CREATE TABLE orders (id INTEGER, n {kind})", f"INSERT INTO orders VALUES (1, '{low}')")
    files = orders(watermark="n")
    digest, newest = database_piece(files, None)
    assert rows(connection, files, newest) == []
    either(f"INSERT INTO orders VALUES (2, '{high}')")
    assert [str(row[0]) for row in rows(connection, files, newest)] == ["2"]
    changed, later = database_piece(files, newest)
    assert changed != digest
    assert rows(connection, files, later) == []
    either("DELETE FROM orders")
    assert database_piece(files, later)[1] == later


def test_a_watermark_that_is_open_or_no_column_is_refused(either):
    either("CREATE TABLE orders (id INTEGER, n INTEGER)", "INSERT INTO orders VALUES (1, 1), (2, NULL)")
    with pytest.raises(ContractError, match=r"n is null in 1 of 2 rows of table orders of SHOP_DB"):
        database_piece(orders(watermark="n"), None)
    with pytest.raises(ConfigError, match="did you mean 'id'"):
        database_piece(orders(watermark="i_d"), None)


def test_without_a_watermark_every_change_changes_the_digest(either):
    either("CREATE TABLE orders (id INTEGER, name TEXT)", "INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    found = [database_piece(orders(), None)]
    for change in (
        "UPDATE orders SET name = NULL WHERE id = 2",
        "DELETE FROM orders WHERE id = 2",
        "DELETE FROM orders",
    ):
        either(change)
        found.append(database_piece(orders(), None))
    assert len(set(found)) == 4


def test_a_digest_is_of_the_rows_and_not_of_their_order(either):
    either(
        "CREATE TABLE orders (id INTEGER)",
        "INSERT INTO orders VALUES (1), (2), (2)",
        "CREATE TABLE turned AS SELECT * FROM orders ORDER BY id DESC",
    )
    assert database_piece(orders(), None) == database_piece(orders(table="turned"), None)


@pytest.mark.parametrize("column", ['x"); DROP TABLE keep; --', "%s {0} $1", "delivered", "c0"])
def test_hostile_names_are_names(either, connection, column):
    table = "or.der\"s'; --"
    either("CREATE TABLE keep (n INTEGER)", f"CREATE TABLE {quoted(table)} AS SELECT 7 AS {quoted(column)}")
    hostile = orders(table=quoted(table), watermark=column)
    assert [str(cell) for (cell,) in rows(connection, hostile, "6")] == ["7"]
    assert database_piece(hostile, None)[1] == "7"
    assert rows(connection, orders(table="keep")) == []


def test_nothing_can_be_written(either, connection):
    either("CREATE TABLE orders (id INTEGER)", "INSERT INTO orders VALUES (1)")
    for query in (
        "DELETE FROM orders RETURNING id",
        "SELECT 1 AS n) AS q; DELETE FROM orders; SELECT * FROM (SELECT 1",
    ):
        with pytest.raises(ConfigError, match="the query to SHOP_DB is refused"):
            copy_table(connection, orders(table=None, query=query), "copied", None)
    assert len(rows(connection, orders())) == 1


def test_a_query_is_read_like_a_table(either, connection):
    either("CREATE TABLE orders (id INTEGER, n INTEGER)", "INSERT INTO orders VALUES (1, 5), (2, 6)")
    query = orders(table=None, query="SELECT id * 10 AS ten, n FROM orders WHERE n > 1;\n", watermark="n")
    assert [str(row[0]) for row in rows(connection, query, "5")] == ["20"]
    with pytest.raises(ConfigError, match="nope"):
        rows(connection, orders(table=None, query="SELECT nope FROM orders"))


def test_the_nearest_table_is_named(either, connection):
    either("CREATE TABLE orders (id INTEGER)")
    with pytest.raises(ConfigError, match=r"no table 'Order' in SHOP_DB.*did you mean 'orders'"):
        rows(connection, orders(table="Order"))


def test_a_missing_file_is_not_made(tmp_path, monkeypatch, connection):
    for kind in ("sqlite", "duckdb"):
        monkeypatch.setenv("SHOP_DB", f"{kind}:///{tmp_path}/none.db")
        with pytest.raises(ConfigError, match="cannot connect to SHOP_DB"):
            rows(connection, orders())
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_leaves_nothing(sqlite_file, connection):
    path = sqlite_file(
        "CREATE TABLE orders (id INTEGER, filler TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
        "INSERT INTO orders SELECT i, hex(randomblob(20)) FROM n",
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(ContractError, match="table orders of SHOP_DB broke off"):
        rows(connection, orders())
    assert not connection.execute("SELECT * FROM duckdb_tables()").fetchall()


def test_an_error_in_the_middle_tells_nothing_of_a_row(duckdb_file, connection):
    duckdb_file(
        "CREATE TABLE mails AS SELECT 'ann@example.org' AS mail FROM range(9)",
        "CREATE VIEW orders AS SELECT CAST(mail AS INTEGER) AS n FROM mails",
    )
    for ask in (lambda: rows(connection, orders()), lambda: database_piece(orders(watermark="n"), None)):
        with pytest.raises(
            ContractError, match=r"table orders of SHOP_DB broke off: .*Could not convert string"
        ) as caught:
            ask()
        assert "ann" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_large_table_is_never_in_memory_as_a_whole(either, tmp_path):
    # 250 MB, of which Python holds one batch and DuckDB what its limit allows.
    either(
        "CREATE TABLE n AS "
        "WITH RECURSIVE m(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM m WHERE i < 500) SELECT * FROM m",
        f"CREATE TABLE orders AS SELECT a.i * 1000 + b.i AS id, b.i || '{'x' * 1000}' AS filler FROM n AS a, n AS b",
    )
    connection = connect(threads=1, memory_limit="50MB", spill=tmp_path / "spill").con
    before = psutil.Process().memory_info().rss
    copy_table(connection, orders(), "copied", None)
    assert connection.execute("SELECT count(*) FROM copied").fetchall() == [(500 * 500,)]
    connection.close()
    assert psutil.Process().memory_info().rss - before < 200 * 1024 * 1024
