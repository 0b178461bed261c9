"""Load order lines from a CSV file and from PostgreSQL, in lines a second, beside DuckDB's bare COPY of the same file.

    .venv/bin/python tests/benchmarks/bench_load.py --lines 3000000

Each way runs in a process of its own and must arrive at the same sums. COPY only types the columns; the loads also
map them onto the contract: money in cents, instants of the company's zone, customers and products derived. Into the
lake is the whole first stage of a night: load, rules, quarantine, merge, and the Delta tables. Memory is of the loading
process, so that the PostgreSQL server's own does not count.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
from measuring import measure, show, show_ratios, warn_if_busy

sys.path.append(str(Path(__file__).parents[1]))
from postgres import binaries, serving

from data.engine import connect
from data.sources import FilesSource, Sources
from data.sources.database import database_piece
from data.sources.mapping import Files
from pipelines.ingest import ingest
from pipelines.run import Run
from pipelines.settings import Company, Engine, Settings

Sums = list[int]
"""Lines, cents and units."""

_MAKE = """
COPY (SELECT n // 4 AS order_id, 'C' || (n * 7919 % 200000) AS customer, 'P' || (n * 104729 % 20000) AS product,
    TIMESTAMP '2022-01-01' + to_seconds(n * 63072000 // {lines}) AS sold_at, 1 + n % 5 AS units,
    CAST((n * 31 % 10000) / 100 AS DECIMAL(12, 2)) AS price, ['web', 'store'][1 + n % 2] AS channel
    FROM range({lines}) AS made(n)) TO '{path}' (HEADER)
"""

_TABLE = """
CREATE TABLE lines (order_id bigint, customer text, product text, sold_at timestamp, units int, price numeric(12, 2),
    channel text)
"""


_MAPPING = """
[transactions]
{place}
columns = {{ order_id = "order_id", customer_id = "customer", product_id = "product", event_time = "sold_at", quantity = "units", channel = "channel" }}
money.amount_cents = {{ column = "price", times = "units" }}
timezone = "Europe/Berlin"
"""  # noqa: E501 - a line of the configuration

_CSV, _POSTGRES = 'path = "lines.csv"', 'connection = "BENCH_DB"\ntable = "lines"'

_SUMS = "SELECT count(*), CAST(sum(CAST({cents} AS BIGINT)) AS BIGINT), CAST(sum({units}) AS BIGINT) FROM {table}"


def main() -> None:
    """Measure each way in a process of its own and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000, help="how many lines to load")
    parser.add_argument("--memory", default="2GB", help="what DuckDB may take before it spills")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(_timed(given.way, given.folder, given.memory)))
        return
    if binaries() is None:
        sys.exit("no PostgreSQL server")
    warn_if_busy()
    with tempfile.TemporaryDirectory() as name, serving() as server:
        folder = Path(name)
        _write(folder, given.lines)
        server.run("postgres", _TABLE, f"COPY lines FROM '{folder}/lines.csv' (FORMAT csv, HEADER)", "ANALYZE lines")
        environment = os.environ | {"BENCH_DB": server.address(), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, __file__, "--folder", name, "--memory", given.memory, "--way"]
        ran = {way: measure([*command, way], env=environment) for way in WAYS}
    _report(given.lines, {way: json.loads(one.output.splitlines()[-1]) for way, one in ran.items()}, ran)


def _report(n_lines: int, told: dict[str, dict], ran: dict) -> None:
    loads = [way for way in WAYS if told[way]["sums"]]
    if any(told[way]["sums"] != told["copy"]["sums"] for way in loads):
        sys.exit(f"The ways do not arrive at the same sums: {told}")
    rows = [
        (
            _WORDS[way],
            f"{told[way]['seconds']:.2f} s",
            f"{n_lines / told[way]['seconds']:,.0f}",
            f"{ran[way].peak_mib:,.0f} MiB",
        )
        for way in WAYS
    ]
    show(f"{n_lines:,} order lines, equal sums", ("way", "time", "lines/s", "peak memory"), rows)
    seconds = {way: told[way]["seconds"] for way in WAYS}
    show_ratios(
        {
            "csv_per_copy_seconds": seconds["csv"] / seconds["copy"],
            "postgres_per_copy_seconds": seconds["postgres"] / seconds["copy"],
            "postgres_per_csv_seconds": seconds["postgres"] / seconds["csv"],
            "digest_per_postgres_seconds": seconds["digest"] / seconds["postgres"],
            "csv_into_lake_per_copy_seconds": seconds["csv into the lake"] / seconds["copy"],
            "postgres_into_lake_per_copy_seconds": seconds["postgres into the lake"] / seconds["copy"],
            "csv_per_copy_memory": ran["csv"].peak_mib / ran["copy"].peak_mib,
            "postgres_per_copy_memory": ran["postgres"].peak_mib / ran["copy"].peak_mib,
        }
    )


def _write(folder: Path, n_lines: int) -> None:
    """Write the lines where the server, which is another user, can read them."""
    path = folder / "lines.csv"
    duckdb.execute(_MAKE.format(lines=n_lines, path=path))
    folder.chmod(0o755)
    path.chmod(0o644)


def _timed(way: str, folder: Path, memory: str) -> dict[str, object]:
    connection: duckdb.DuckDBPyConnection = connect(memory_limit=memory, spill=folder / f"spill {way}").con
    began = time.perf_counter()
    query = WAYS[way](connection, folder)
    seconds = time.perf_counter() - began
    sums = connection.execute(query).fetchall()[0] if query else ()
    return {"seconds": seconds, "sums": sums}


def _copy(connection: duckdb.DuckDBPyConnection, folder: Path) -> str:
    """Load with DuckDB alone, and return the query for the sums."""
    connection.execute(_TABLE)
    connection.execute(f"COPY lines FROM '{folder}/lines.csv' (HEADER)")
    return _SUMS.format(cents="price * units * 100", units="units", table="lines")


def _load(connection: duckdb.DuckDBPyConnection, folder: Path, place: str) -> str:
    """Load by a mapping, and return the query for the sums."""
    sources = Sources.model_validate(tomllib.loads(_MAPPING.format(place=place)))
    FilesSource(sources, folder).load(connection)
    return _SUMS.format(cents="amount_cents", units="CAST(quantity AS INTEGER)", table="raw_transactions")


def _into_lake(connection: duckdb.DuckDBPyConnection, folder: Path, place: str) -> str:
    """Do the first stage of a night, and return the query for the sums of what the lake has then."""
    ((memory,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    sources = Sources.model_validate(tomllib.loads(_MAPPING.format(place=place)))
    company = Company(timezone="Europe/Berlin", currency="EUR")
    settings = Settings(
        root=folder / place.partition(" ")[0], company=company, engine=Engine(memory_limit=memory.replace(" ", ""))
    )
    run = Run(settings, datetime(2024, 1, 1), "bench")
    versions = ingest(run, FilesSource(sources, folder))
    uris = run.lake.uris("transactions", versions["transactions"])
    return _SUMS.format(cents="amount_cents", units="CAST(quantity AS INTEGER)", table=f"read_parquet({uris})")


def _digest(_connection: duckdb.DuckDBPyConnection, _folder: Path) -> str:
    """Tell whether the table of the server changed, without reading it."""
    database_piece(Files(connection="BENCH_DB", table="lines"), None)
    return ""


WAYS: dict[str, Callable[[duckdb.DuckDBPyConnection, Path], str]] = {
    "copy": _copy,
    "csv": lambda connection, folder: _load(connection, folder, _CSV),
    "postgres": lambda connection, folder: _load(connection, folder, _POSTGRES),
    "csv into the lake": lambda connection, folder: _into_lake(connection, folder, _CSV),
    "postgres into the lake": lambda connection, folder: _into_lake(connection, folder, _POSTGRES),
    "digest": _digest,
}
_WORDS = {
    "copy": "DuckDB's COPY of the CSV file",
    "csv": "load of the CSV file",
    "postgres": "load from PostgreSQL",
    "csv into the lake": "the CSV file into the lake",
    "postgres into the lake": "PostgreSQL into the lake",
    "digest": "digest of the PostgreSQL table",
}

if __name__ == "__main__":
    main()
