"""Validate order lines: Great Expectations inside DuckDB, on pandas, and bare SQL.

    .venv/bin/python tests/benchmarks/bench_validation.py --lines 10000000
    .venv/bin/python tests/benchmarks/bench_validation.py --lines 100000000 --scale

The three judge the same rules, those that Great Expectations can also state on pandas, and must count the same rows.
A fourth line is the whole suite, which only SQL can state, a fifth the whole admission: typing, copies, suite, labels
and both sides. Each runs in a process of its own; a row in three hundred is made bad on the way in, so that there is
something to count. Times are of judging alone, memory is of the process. ``--scale`` takes the last two through sizes
up to ``--lines`` and fits how their time grows.

Beyond the demo's 1.47 million, its lines come again: of other orders, a year earlier, and every fourth time of other
customers.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import linear_regression
from typing import Any

import duckdb
import pandas as pd
from measuring import Measured, measure, show, show_ratios, warn_if_busy

from data.cells import distinct, stage
from data.contracts.base import Delivery, Expectation, Rows
from data.contracts.rules import rules
from data.contracts.transactions import TRANSACTIONS
from data.demo import AS_OF, TIMEZONE, raw_tables
from data.engine import connect
from data.quarantine import admit
from data.validation import gx, validate

Counts = dict[str, int]
"""Rule -> rows that break it."""

Judge = Callable[[], Counts]

SHARED = (
    "fewer than 1 rows",
    "order_id is null",
    "product_id is null",
    "event_time is null",
    "quantity is null",
    "amount_cents is null",
    "event in the future",
    "unknown currency",
    "orphan customer",
    "amount without quantity",
    "negative quantity with positive amount",
    "positive quantity with negative amount",
)
"""Rules that Great Expectations can state on pandas too; a reference only as a list, so the one to products is out."""

SIZES = (1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000)
"""Lines of the steps of ``--scale``."""

ON_PANDAS = 10_000_000
"""Lines beyond which pandas would not fit into the memory of a small machine."""

_KINDS = ("seconds", "cpu_seconds")

YEARS = 4
"""Years of history that each customer has."""

_COPY = """
COPY (SELECT * EXCLUDE (n) REPLACE (
    CASE WHEN n % 1500 = 1 THEN NULL ELSE product_id END AS product_id,
    CASE WHEN n % 1500 = 2 THEN 'nobody' ELSE customer_id || '-{world}' END AS customer_id,
    CASE WHEN n % 1500 = 3 THEN event_time + INTERVAL 10 YEAR ELSE event_time - INTERVAL {year} YEAR END AS event_time,
    CASE WHEN n % 1500 = 4 THEN 'XXX' ELSE currency END AS currency,
    CASE WHEN n % 1500 = 5 THEN -quantity ELSE quantity END AS quantity,
    order_id || '-{number}' AS order_id, known_at - INTERVAL {year} YEAR AS known_at)
    FROM (SELECT *, row_number() OVER () AS n FROM transactions LIMIT {n_lines}))
TO '{folder}/transactions/{number:04}.parquet' (FORMAT parquet)
"""


def main() -> None:
    """Measure each way in a process of its own and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_469_307, help="so many lines")
    parser.add_argument("--scale", action="store_true", help="fit how the time grows up to so many lines")
    parser.add_argument(
        "--memory", help="what DuckDB may take before it spills: 1200MB up to ten million lines, or 3GB"
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        judge = WAYS[given.way](given.folder, given.memory)
        began, worked = time.perf_counter(), time.process_time()
        counts = judge()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "counts": counts}))
        return
    warn_if_busy()
    if given.scale:
        _scale([size for size in SIZES if size <= given.lines], given.memory)
    else:
        _compare(given.lines, given.memory)


def _compare(n_lines: int, memory: str | None) -> None:
    """Measure every way on as many lines, and check that they count the same rows."""
    ways = [way for way in WAYS if way != "pandas" or n_lines <= ON_PANDAS]
    ran, told = _ran(n_lines, memory, ways)
    shared = {way: {name: told[way]["counts"][name] for name in SHARED} for way in ways if way != "admit"}
    if any(counts != shared["sql"] for counts in shared.values()):
        sys.exit(f"The ways do not count the same rows: {json.dumps(shared, indent=1)}")
    rows = [
        (_WORDS[way], str(len(told[way]["counts"])), f"{told[way]['seconds']:.2f} s", f"{ran[way].peak_mib:,.0f} MiB")
        for way in ways
    ]
    show(f"Transactions, {n_lines:,} lines, equal counts", ("way", "rules", "time", "peak memory"), rows)
    seconds, memories = ({way: told[way]["seconds"] for way in ways}, {way: ran[way].peak_mib for way in ways})
    on_pandas = {
        "pandas_per_duckdb_seconds": seconds["pandas"] / seconds["duckdb"],
        "pandas_per_duckdb_memory": memories["pandas"] / memories["duckdb"],
    }
    show_ratios(
        (on_pandas if "pandas" in ways else {})
        | {
            "duckdb_per_sql_seconds": seconds["duckdb"] / seconds["sql"],
            "duckdb_per_sql_memory": memories["duckdb"] / memories["sql"],
            "whole_per_shared_seconds": seconds["whole"] / seconds["duckdb"],
            "admit_per_whole_seconds": seconds["admit"] / seconds["whole"],
        }
    )


def _scale(sizes: Sequence[int], memory: str | None) -> None:
    """Measure the whole suite and the admission on each size, and fit the exponents of their growth."""
    took: dict[str, list[float]] = {f"{way}_{kind}": [] for way in ("whole", "admit") for kind in _KINDS}
    for size in sizes:
        ran, told = _ran(size, memory, ["whole", "admit"])
        for way in ran:
            for kind in _KINDS:
                took[f"{way}_{kind}"].append(told[way][kind])
        cells = (
            f"{told[way]['seconds']:.1f} s, {told[way]['cpu_seconds']:.1f} CPU s, {ran[way].peak_mib:,.0f} MiB"
            for way in ran
        )
        show("", ("lines", *(_WORDS[way] for way in ran)), [(f"{size:,}", *cells)])
    # Where others use the machine, its processors' seconds say more than the clock.
    show_ratios({f"{name}_exponent": _exponent(sizes, seconds) for name, seconds in took.items()})


def _exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return b of the least-squares fit of log seconds = a + b log size: 1 is linear growth."""
    if len(sizes) < 2:
        return math.nan
    return linear_regression([math.log(size) for size in sizes], [math.log(one) for one in seconds]).slope


def _ran(n_lines: int, memory: str | None, ways: Sequence[str]) -> tuple[dict[str, Measured], dict[str, Any]]:
    """Measure ways over as many lines, and return with each what it told."""
    memory = memory or ("1200MB" if n_lines <= ON_PANDAS else "3GB")
    with tempfile.TemporaryDirectory() as folder:
        _write_tables(Path(folder), n_lines)
        command = [sys.executable, __file__, "--folder", folder, "--memory", memory, "--way"]
        ran = {way: measure([*command, way], env=os.environ | {"PYTHONWARNINGS": "ignore"}) for way in ways}
    return ran, {way: json.loads(measured.output.splitlines()[-1]) for way, measured in ran.items()}


def _write_tables(folder: Path, n_lines: int) -> None:
    """Write the raw tables that the suite reads, some rows spoilt, the lines part by part."""
    raw = raw_tables()
    n_parts = math.ceil(n_lines / raw["transactions"].num_rows)
    (folder / "transactions").mkdir()
    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        for name in ("customers", "products", "transactions"):
            connection.register(name, raw[name])
        for number in range(n_parts):
            world, year = divmod(number, YEARS)
            left = n_lines - number * raw["transactions"].num_rows
            connection.execute(_COPY.format(number=number, world=world, year=year, n_lines=left, folder=folder))
        worlds = f"SELECT * REPLACE (customer_id || '-' || n AS customer_id) FROM customers, range({world + 1}) AS t(n)"
        connection.execute(f"COPY (SELECT * EXCLUDE (n) FROM ({worlds})) TO '{folder}/customers.parquet'")
        connection.execute(f"COPY products TO '{folder}/products.parquet'")


def _loaded(folder: Path, memory: str) -> tuple[duckdb.DuckDBPyConnection, Delivery]:
    """Return the raw tables as a night has them, and its delivery."""
    # Each way spills where no other left anything.
    connection = connect(threads=2, memory_limit=memory, spill=folder / f"spill {os.getpid()}").con
    for name, files in (("customers", ""), ("products", ""), ("transactions", "/*")):
        connection.read_parquet(f"{folder}/{name}{files}.parquet").create(name)
    return connection, Delivery(AS_OF, TIMEZONE, parents={"customers": "customers", "products": "products"})


def _staged(folder: Path, memory: str) -> tuple[duckdb.DuckDBPyConnection, Rows]:
    """Return the lines typed, as the suite gets them in a night."""
    connection, delivery = _loaded(folder, memory)
    staged = stage(connection, TRANSACTIONS, "transactions", delivery)
    return connection, distinct(connection, TRANSACTIONS, staged)


def _admit(folder: Path, memory: str) -> Judge:
    connection, delivery = _loaded(folder, memory)

    def judge() -> Counts:
        return {
            one.expectation: one.n_failed for one in admit(connection, TRANSACTIONS, "transactions", delivery).results
        }

    return judge


def _suite(names: tuple[str, ...] | None) -> list[Expectation]:
    return [rule for rule in rules(TRANSACTIONS) if not rule.is_about_copies and (names is None or rule.name in names)]


def _in_duckdb(folder: Path, memory: str, names: tuple[str, ...] | None) -> Judge:
    connection, rows = _staged(folder, memory)
    return lambda: {one.expectation: one.n_failed for one in validate(connection, TRANSACTIONS, _suite(names), rows)}


def _in_sql(folder: Path, memory: str) -> Judge:
    connection, rows = _staged(folder, memory)
    suite = [rule for rule in _suite(SHARED) if rule.condition]
    counts = ", ".join(f"count(*) FILTER (NOT {rule.predicate(rows)})" for rule in suite)

    def judge() -> Counts:
        *found, n_rows = connection.execute(f'SELECT {counts}, count(*) FROM "{rows.table}"').fetchall()[0]
        return {rule.name: n for rule, n in zip(suite, found, strict=True)} | {"fewer than 1 rows": int(not n_rows)}

    return judge


def _in_pandas(folder: Path, _memory: str) -> Judge:
    lines, customers = pd.read_parquet(folder / "transactions"), pd.read_parquet(folder / "customers.parquet")
    lines["quantity"] = lines["quantity"].astype("float64")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("lines").add_dataframe_asset("lines")
    batch = asset.add_batch_definition_whole_dataframe("lines").get_batch({"dataframe": lines})
    suite = gx.ExpectationSuite("transactions", _on_pandas(customers["customer_id"].tolist()))

    def judge() -> Counts:
        found = batch.validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": 0}).results
        return {
            one.expectation_config.meta["name"]: int(one.result.get("unexpected_count", not one.success))
            for one in found
        }

    return judge


def _on_pandas(customers: list[str]) -> list[Any]:
    """Return the shared rules in the classes that Great Expectations has for pandas."""

    def rule(name: str, kind: str, **arguments: object) -> Any:
        return getattr(gx.expectations, kind)(**arguments, meta={"name": name})

    def signs(name: str, condition: str, **bounds: float) -> Any:
        where = {"row_condition": condition, "condition_parser": "pandas"}
        return rule(name, "ExpectColumnValuesToBeBetween", column="amount_cents", **bounds, **where)

    required = ("order_id", "product_id", "event_time", "quantity", "amount_cents")
    return [
        rule("fewer than 1 rows", "ExpectTableRowCountToBeBetween", min_value=1),
        *(rule(f"{name} is null", "ExpectColumnValuesToNotBeNull", column=name) for name in required),
        rule("event in the future", "ExpectColumnValuesToBeBetween", column="event_time", max_value=AS_OF),
        rule("unknown currency", "ExpectColumnValuesToBeNull", column="currency"),
        rule("orphan customer", "ExpectColumnValuesToBeInSet", column="customer_id", value_set=customers),
        signs("amount without quantity", "quantity == 0", min_value=0, max_value=0),
        signs("negative quantity with positive amount", "quantity < 0", max_value=0),
        signs("positive quantity with negative amount", "quantity > 0", min_value=0),
    ]


WAYS: dict[str, Callable[[Path, str], Judge]] = {
    "sql": _in_sql,
    "duckdb": lambda folder, memory: _in_duckdb(folder, memory, SHARED),
    "pandas": _in_pandas,
    "whole": lambda folder, memory: _in_duckdb(folder, memory, None),
    "admit": _admit,
}
_WORDS = {
    "sql": "one bare SQL query",
    "duckdb": "Great Expectations inside DuckDB",
    "pandas": "Great Expectations on pandas",
    "whole": "the whole suite, inside DuckDB",
    "admit": "the whole admission",
}

if __name__ == "__main__":
    main()
