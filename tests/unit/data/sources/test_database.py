"""Tables and queries of a real PostgreSQL server: what arrives, what is read again, and what is refused in one line."""

import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow.parquet as pq
import pytest
from adbc_driver_postgresql import dbapi

from data.contracts.base import Delivery, quoted
from data.engine import connect
from data.errors import ConfigError, ContractError, UserError
from data.quarantine import admit_all
from data.sources import FilesSource, Loaded, Sources
from data.sources.database import copy_table, database_piece, identifiers
from data.sources.mapping import Files

LINES = """
CREATE TABLE lines (
    "order" int PRIMARY KEY, customer varchar(8), product text, at timestamp, units numeric(10, 3), price numeric,
    updated_at timestamptz NOT NULL)
"""

ROWS = """
INSERT INTO lines SELECT n, 'C' || mod(n, 3), 'P1', timestamp '2024-07-01 12:00' + n * interval '1 hour', 2, 0.105,
    timestamptz '2024-07-02 00:00:00.000001+00' + n * interval '1 second' FROM generate_series(1, %s) AS n
"""

MAPPING = """
[sources.transactions]
connection = "SHOP_DB"
%s
columns = { order_id = "order", customer_id = "customer", product_id = "product", event_time = "at", quantity = "units" }
money.amount_cents = { column = "price", times = "units" }
"""  # noqa: E501 - a line of the configuration

RETAIL = """
[sources.transactions]
connection = "SHOP_DB"
table = "retail.Order Lines"
columns = { order_id = "InvoiceNo", customer_id = "CustomerID", product_id = "StockCode", event_time = "InvoiceDate", quantity = "Quantity" }
money.amount_cents = { column = "UnitPrice", times = "Quantity" }
constants = { channel = "web", currency = "GBP" }
timezone = "Europe/London"
attributes = ["Country", "Description"]
whole = ["CustomerID"]
customer = { region = "Country" }
product = { name = "Description" }
"""  # noqa: E501 - a line of the configuration

Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    made: duckdb.DuckDBPyConnection = connect(threads=2).con
    yield made
    made.close()


@pytest.fixture
def name(postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of an empty database, whose address is in SHOP_DB."""
    made = postgres.database()
    monkeypatch.setenv("SHOP_DB", postgres.address(made))
    return str(made)


@pytest.fixture
def run(postgres, name: str) -> Run:
    return lambda *statements: postgres.run(name, *statements)


@pytest.fixture
def load(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> Callable[..., dict[str, Loaded]]:
    def loaded(config: str, timezone: str = "UTC") -> dict[str, Loaded]:
        sources = Sources.model_validate(tomllib.loads(config)["sources"])
        return FilesSource(sources, tmp_path, timezone).load(connection)

    return loaded


def lines(**further: str) -> Files:
    return Files(connection="SHOP_DB", **({"table": "lines"} | further))


def rows(connection: duckdb.DuckDBPyConnection, files: Files, since: str | None = None) -> list[tuple[Any, ...]]:
    copy_table(connection, files, "copied", since)
    return connection.execute("FROM copied").fetchall()


def refusal(connection: duckdb.DuckDBPyConnection, files: Files, kind: type[UserError] = ConfigError) -> str:
    """Return the one line in which a reading is refused; nothing may be left of what it read."""
    with pytest.raises(kind) as caught:
        copy_table(connection, files, "copied", None)
    assert not connection.execute("SELECT * FROM duckdb_tables() WHERE table_name = 'copied'").fetchall()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_online_retail_from_a_server_has_the_published_counts(test_data, postgres, name, load, connection):
    delivered = pq.read_table(test_data / "online_retail/transactions.parquet")
    postgres.run(name, "CREATE SCHEMA retail")
    with dbapi.connect(postgres.address(name), autocommit=True) as server, server.cursor() as cursor:
        cursor.adbc_ingest("Order Lines", delivered, mode="create", db_schema_name="retail")
    postgres.run(name, 'ALTER TABLE retail."Order Lines" ALTER "UnitPrice" TYPE numeric(12, 3)')
    loaded = load(RETAIL)
    delivery = Delivery(datetime(2019, 1, 1), timezone="Europe/London", currencies=("GBP",))
    admitted = admit_all(connection, {table: one.table for table, one in loaded.items()}, delivery)
    found = admitted["transactions"].reconciliation
    # As from the Parquet file: published 541,909 rows, 5,268 exact duplicates, 9,747,747.934 in all.
    assert (found.n_rows, found.n_accepted, found.n_quarantined, found.n_duplicates) == (541_909, 536_521, 120, 5_268)
    assert found.rows_total == 974_774_793
    assert [loaded[table].n_rows for table in ("customers", "products")] == [4_372, 4_070]


def test_types_keep_what_they_say(run, connection):
    run(
        """CREATE TYPE mood AS ENUM ('glad')""",
        """CREATE TABLE typed AS SELECT 32767::int2 AS small, 9223372036854775807 AS large,
        12345678901234567890.123456789::numeric AS exact, 'NaN'::numeric AS none, 0.1::float8 AS double, true AS flag,
        '007'::text AS text, 'ab'::char(4) AS padded, date '2024-02-29' AS day, '1.50'::money AS money,
        timestamptz '2024-03-31 03:30:00.000001+02' AS moment, timestamp '2024-03-31 02:30' AS clock,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS uuid, '{"a":  1}'::json AS json, '{"a":  1}'::jsonb AS jsonb,
        ARRAY[1.5, 2] AS list, interval '1 day 2 hours' AS span, 'glad'::mood AS mood, 4294967295::oid AS oid,
        '\\xdead'::bytea AS bytes, time '10:00' AS time, NULL::text AS nothing""",
    )
    (found,) = rows(connection, lines(table="typed"))
    assert found[:2] == (32767, 9223372036854775807)
    assert found[2:6] == ("12345678901234567890.123456789", "NaN", 0.1, True)
    assert found[6:10] == ("007", "ab", date(2024, 2, 29), "1.50")
    assert found[10].astimezone().timestamp() == datetime.fromisoformat("2024-03-31T01:30:00.000001+00:00").timestamp()
    assert found[11] == datetime(2024, 3, 31, 2, 30)
    assert found[12:15] == ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", '{"a":  1}', '{"a": 1}')
    assert found[15:] == ("{1.5,2}", "P1DT2H", "glad", "4294967295", "\\xdead", "10:00:00", None)


def test_an_infinite_instant_means_none(run, connection):
    run("CREATE TABLE endless AS SELECT timestamp 'infinity' AS a, timestamptz '-infinity' AS b, date 'infinity' AS c")
    assert rows(connection, lines(table="endless")) == [(None, None, None)]


def test_instants_of_the_clock_are_of_the_zone_and_others_are_not(run, load, connection):
    run(LINES, ROWS % 1)
    load(MAPPING % 'table = "lines"', timezone="Europe/Berlin")
    zoned = MAPPING.replace('event_time = "at"', 'event_time = "updated_at"')
    clock = connection.execute("SELECT event_time, quantity, amount_cents FROM raw_transactions").fetchall()
    assert clock == [(datetime(2024, 7, 1, 11), "2.000", "21")]
    load(zoned % 'table = "lines"', timezone="Europe/Berlin")
    admitted = admit_all(connection, {"transactions": "raw_transactions"}, Delivery(datetime(2025, 1, 1)))
    accepted = quoted(admitted["transactions"].accepted)
    (found,) = connection.execute(f"SELECT event_time FROM {accepted}").fetchall()
    assert found == (datetime(2024, 7, 2, 0, 0, 1, 1),)


def test_a_latin_database_arrives_in_utf8(postgres, connection, monkeypatch):
    latin = postgres.database("ENCODING 'LATIN1' TEMPLATE template0")
    postgres.run(latin, "CREATE TABLE towns AS SELECT 'Z' || chr(252) || 'rich' AS town")
    monkeypatch.setenv("SHOP_DB", postgres.address(latin))
    assert rows(connection, lines(table="towns")) == [("Zürich",)]


def test_a_query_is_read_like_a_table(run, load, connection):
    run(LINES, ROWS % 6)
    query = "SELECT *, 'web' AS channel FROM lines WHERE \"order\" > 4; -- the last ones"
    loaded = load(MAPPING % f"query = '''{query.replace('; --', ' --')}'''")
    assert loaded["transactions"].n_rows == 2
    assert loaded["transactions"].unmapped == ("updated_at", "channel")
    assert len(rows(connection, Files(connection="SHOP_DB", query="SELECT 1 AS a;\n"))) == 1


def test_a_join_looks_up_in_the_database(run, load, connection, tmp_path):
    run("CREATE TABLE towns (id text, town text)", "INSERT INTO towns VALUES ('C1', 'Ulm'), ('C2', 'Bern')")
    (tmp_path / "customers.csv").write_text("id\nC1\nC2\nC3\n", "utf-8")
    load(
        """
        [sources.customers]
        path = "customers.csv"
        columns = { customer_id = "id", region = "town" }
        join = [{ connection = "SHOP_DB", table = "towns", on = "id" }]
        """
    )
    found = connection.execute("FROM raw_customers ORDER BY customer_id").fetchall()
    assert found == [("C1", "Ulm"), ("C2", "Bern"), ("C3", None)]


@pytest.mark.parametrize(
    ("schema", "table", "column"),
    [
        ('a"; DROP TABLE keep; --', "b.c", 'x"); DROP TABLE keep; --'),
        ("Größe", "Select", "%s {0} $1"),
        ("s", "'quoted'", "delivered"),
    ],
)
def test_hostile_names_are_names(run, connection, schema, table, column):
    run(
        "CREATE TABLE keep (n int)",
        f"CREATE SCHEMA {quoted(schema)}",
        f"CREATE TABLE {quoted(schema)}.{quoted(table)} AS SELECT 7 AS {quoted(column)}",
    )
    hostile = lines(table=f"{quoted(schema)}.{quoted(table)}", watermark=column)
    assert copy_table(connection, hostile, 't"; --', None) == (column,)
    assert rows(connection, hostile, "6") == [(7,)]
    assert rows(connection, hostile, "7") == []
    assert database_piece(hostile, None)[1] == "7"
    assert run("SELECT count(*) FROM keep") == [(0,)]


def test_identifiers_refuse_what_is_no_name():
    assert identifiers('"say ""hi"""."b.c"') == ('say "hi"', "b.c")
    for name in ("a.", ".b", 'a"b', '"a', "a..b"):
        with pytest.raises(ConfigError, match=r"a name such as public\.orders"):
            identifiers(name)


def test_only_rows_above_the_watermark_are_read(run, connection):
    run(LINES, ROWS % 5)
    files = lines(watermark="updated_at")
    first, watermark = database_piece(files, None)
    assert watermark == "2024-07-02 00:00:05.000001+00"
    assert database_piece(files, watermark) == (first, watermark)
    assert rows(connection, files, watermark) == []
    # A late row, of an event long ago, and a corrected one: both are written now.
    run(
        "INSERT INTO lines VALUES (9, 'C1', 'P1', '2020-01-01', 1, 1, '2024-07-03 00:00+00')",
        "UPDATE lines SET units = 3, updated_at = '2024-07-03 00:00:00.5+02' WHERE \"order\" = 2",
    )
    second, newest = database_piece(files, watermark)
    assert second != first
    assert newest == "2024-07-03 00:00:00+00"
    assert sorted(row[0] for row in rows(connection, files, watermark)) == [2, 9]
    run("DELETE FROM lines")
    assert database_piece(files, newest)[1] == newest


@pytest.mark.parametrize("kind", ["bigint", "numeric(20, 4)", "timestamp"])
def test_watermarks_of_each_growing_type(run, connection, kind):
    values = "'2024-01-01 00:00:00.000009'), ('2024-01-01 00:00:00.00001'" if kind == "timestamp" else "9), (10"
    run(f"CREATE TABLE grown (n {kind})", f"INSERT INTO grown VALUES ({values})")
    files = lines(table="grown", watermark="n")
    _, newest = database_piece(files, None)
    assert len(rows(connection, files, newest)) == 0
    run("DELETE FROM grown WHERE n = (SELECT max(n) FROM grown)")
    _, lower = database_piece(files, None)
    run(f"INSERT INTO grown VALUES ('{newest}')")
    assert len(rows(connection, files, lower)) == 1


def test_a_watermark_that_would_lose_rows_is_refused(run):
    run(
        "CREATE TABLE w (day date, word text, n int, at timestamp)", "INSERT INTO w VALUES ('2024-01-01', 'a', 1, NULL)"
    )
    for column in ("day", "word"):
        with pytest.raises(ConfigError, match=r"an instant or a number"):
            database_piece(lines(table="w", watermark=column), None)
    with pytest.raises(ContractError, match=r"at is null in 1 of 1 rows of table w of SHOP_DB"):
        database_piece(lines(table="w", watermark="at"), None)
    run("UPDATE w SET at = 'infinity'")
    with pytest.raises(ContractError, match="without end"):
        database_piece(lines(table="w", watermark="at"), None)
    with pytest.raises(ConfigError, match="did you mean 'day'"):
        database_piece(lines(table="w", watermark="days"), None)


def test_without_a_watermark_every_change_changes_the_digest(run):
    run(LINES, ROWS % 5)
    found = [database_piece(lines(), None)]
    for change in (
        'UPDATE lines SET price = 0.106 WHERE "order" = 3',
        'UPDATE lines SET customer = NULL WHERE "order" = 3',
        "UPDATE lines SET customer = '' WHERE \"order\" = 3",
        'DELETE FROM lines WHERE "order" = 3',
        "DELETE FROM lines",
    ):
        run(change)
        found.append(database_piece(lines(), None))
    assert len({digest for digest, _ in found}) == 6
    assert {watermark for _, watermark in found} == {None}


def test_a_digest_is_of_all_columns_whatever_they_are_called(run):
    run("CREATE TABLE lines AS SELECT 1 AS delivered, 2 AS n")
    first = database_piece(lines(), None)
    run("UPDATE lines SET n = 3")
    assert database_piece(lines(), None) != first


def test_a_digest_is_of_the_rows_and_not_of_their_order(run):
    run(LINES, ROWS % 5, "CREATE TABLE turned AS SELECT * FROM lines ORDER BY 1 DESC")
    assert database_piece(lines(), None) == database_piece(lines(table="turned"), None)


def test_nothing_can_be_written(run, connection):
    run(LINES, ROWS % 2, "CREATE SEQUENCE taken")
    writing = 'CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS $$ DELETE FROM lines RETURNING "order" $$'
    run(writing)
    for query in (
        "SELECT wipe() AS n",
        "SELECT nextval('taken') AS n",
        "WITH gone AS (DELETE FROM lines RETURNING *) SELECT * FROM gone",
        "SELECT 1 AS n) AS q; COMMIT; DELETE FROM lines; SELECT * FROM (SELECT 1 AS n",
        "SELECT 1 AS n) AS q; DROP TABLE lines; --",
    ):
        with pytest.raises(UserError) as caught:
            copy_table(connection, Files(connection="SHOP_DB", query=query), "copied", None)
        assert "\n" not in str(caught.value)
    assert run("SELECT count(*) FROM lines") == [(2,)]
    assert run("SELECT is_called FROM taken") == [(False,)]


def test_a_load_sees_one_state_while_others_write(run, connection, monkeypatch):
    from data.sources import postgres as module  # noqa: PLC0415

    run(LINES, ROWS % 5)
    batches = module.Postgres.batches

    def late(link: Any, since: str | None) -> Any:
        run("DELETE FROM lines")
        return batches(link, since)

    monkeypatch.setattr(module.Postgres, "batches", late)
    assert len(rows(connection, lines())) == 5
    assert run("SELECT count(*) FROM lines") == [(0,)]


def test_a_server_that_dies_in_the_middle_leaves_nothing(run, load, connection):
    run(LINES, ROWS % 5)
    slow = "SELECT l.*, pg_sleep(0.001) FROM lines AS l, generate_series(1, 100000) /* slow */"
    killer = threading.Thread(target=_kill, args=(run, "%/* slow */%"))
    killer.start()
    with pytest.raises(ContractError, match=r"query to SHOP_DB broke off") as caught:
        load(MAPPING % f'query = "{slow}"')
    killer.join()
    assert "\n" not in str(caught.value)
    assert not connection.execute("SELECT * FROM duckdb_tables()").fetchall()


def _kill(run: Run, query: str) -> None:
    """End the server's process that runs a query, once it has delivered for a while."""
    for _ in range(200):
        time.sleep(0.05)
        found = run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE query LIKE '{query}' AND state = 'active' AND pid <> pg_backend_pid() "
            "AND now() - query_start > interval '0.5 s' AND query NOT LIKE '%pg_terminate%'"
        )
        if found:
            return


def test_an_error_in_the_middle_tells_nothing_of_a_row(run, connection):
    run("CREATE TABLE mails AS SELECT 'ann@example.org' AS mail FROM generate_series(1, 10)")
    told = refusal(connection, Files(connection="SHOP_DB", query="SELECT mail::int AS n FROM mails"), ContractError)
    assert "invalid input syntax for type integer" in told
    assert "ann" not in told


@pytest.mark.slow
def test_a_large_table_is_never_in_memory_as_a_whole(name, tmp_path):
    # 300 MB, of which Arrow holds some batches and DuckDB what its limit allows.
    query = "SELECT n, concat(n, repeat('x', 1000)) AS filler FROM generate_series(1, 300000) AS n"
    limited = connect(threads=1, memory_limit="50MB", spill=tmp_path / "spill").con
    before = psutil.Process().memory_info().rss
    copy_table(limited, Files(connection="SHOP_DB", query=query), "copied", None)
    assert limited.execute("SELECT count(*) FROM copied").fetchall() == [(300_000,)]
    limited.close()
    assert psutil.Process().memory_info().rss - before < 200 * 1024 * 1024
