"""Validate the demo's 1.47 million lines: Great Expectations inside DuckDB, on pandas, and bare SQL.

    .venv/bin/python tests/benchmarks/bench_validation.py

The three judge the same rules, those that Great Expectations can also state on pandas, and must count the same rows.
A fourth line is the whole suite, which only SQL can state. Each runs in a process of its own; a row in three hundred
is made bad on the way in, so that there is something to count. Times are of judging alone, memory is of the process.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
from measuring import measure, show, show_ratios, warn_if_busy

from data.cells import distinct, stage
from data.contracts.base import Delivery, Expectation, Rows
from data.contracts.rules import rules
from data.contracts.transactions import TRANSACTIONS
from data.demo import AS_OF, TIMEZONE, raw_tables
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

_SPOIL = """
SELECT * REPLACE (
    CASE WHEN n % 1500 = 1 THEN NULL ELSE product_id END AS product_id,
    CASE WHEN n % 1500 = 2 THEN 'nobody' ELSE customer_id END AS customer_id,
    CASE WHEN n % 1500 = 3 THEN event_time + INTERVAL 10 YEAR ELSE event_time END AS event_time,
    CASE WHEN n % 1500 = 4 THEN 'XXX' ELSE currency END AS currency,
    CASE WHEN n % 1500 = 5 THEN -quantity ELSE quantity END AS quantity)
FROM (SELECT *, row_number() OVER () AS n FROM lines)
"""


def main() -> None:
    """Measure each way in a process of its own and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2_000_000, help="at most so many lines of the demo")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        judge = WAYS[given.way](given.folder)
        began = time.perf_counter()
        counts = judge()
        print(json.dumps({"seconds": time.perf_counter() - began, "counts": counts}))
        return
    warn_if_busy()
    with tempfile.TemporaryDirectory() as folder:
        n_lines = _write_tables(Path(folder), given.lines)
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        command = [sys.executable, __file__, "--folder", folder, "--way"]
        ran = {way: measure([*command, way], env=environment) for way in WAYS}
    told = {way: json.loads(measured.output.splitlines()[-1]) for way, measured in ran.items()}
    shared = {way: {name: told[way]["counts"][name] for name in SHARED} for way in WAYS}
    if any(counts != shared["sql"] for counts in shared.values()):
        sys.exit(f"The ways do not count the same rows: {json.dumps(shared, indent=1)}")
    rows = [
        (_WORDS[way], str(len(told[way]["counts"])), f"{told[way]['seconds']:.2f} s", f"{ran[way].peak_mib:,.0f} MiB")
        for way in WAYS
    ]
    show(f"Transactions, {n_lines:,} lines, equal counts", ("way", "rules", "time", "peak memory"), rows)
    show_ratios(
        {
            "pandas_per_duckdb_seconds": told["pandas"]["seconds"] / told["duckdb"]["seconds"],
            "pandas_per_duckdb_memory": ran["pandas"].peak_mib / ran["duckdb"].peak_mib,
            "duckdb_per_sql_seconds": told["duckdb"]["seconds"] / told["sql"]["seconds"],
            "duckdb_per_sql_memory": ran["duckdb"].peak_mib / ran["sql"].peak_mib,
            "whole_per_shared_seconds": told["whole"]["seconds"] / told["duckdb"]["seconds"],
        }
    )


def _write_tables(folder: Path, n_lines: int) -> int:
    """Write the raw tables that the suite reads, some rows spoilt, and return the number of lines."""
    raw = raw_tables()
    lines = raw["transactions"].slice(0, n_lines)  # noqa: F841 - DuckDB finds it by its name
    spoilt = duckdb.sql(_SPOIL).project("* EXCLUDE (n)").to_arrow_table()
    for name, table in (raw | {"transactions": spoilt}).items():
        pq.write_table(table, folder / f"{name}.parquet")
    return spoilt.num_rows


def _staged(folder: Path) -> tuple[duckdb.DuckDBPyConnection, Rows]:
    """Return the lines typed, as the suite gets them in a night."""
    connection = duckdb.connect(config={"temp_directory": ""})
    for name in ("customers", "products", "transactions"):
        connection.read_parquet(str(folder / f"{name}.parquet")).create(name)
    delivery = Delivery(AS_OF, TIMEZONE, parents={"customers": "customers", "products": "products"})
    staged = stage(connection, TRANSACTIONS, "transactions", delivery)
    return connection, distinct(connection, TRANSACTIONS, staged)


def _suite(names: tuple[str, ...] | None) -> list[Expectation]:
    return [rule for rule in rules(TRANSACTIONS) if not rule.is_about_copies and (names is None or rule.name in names)]


def _in_duckdb(folder: Path, names: tuple[str, ...] | None) -> Judge:
    connection, rows = _staged(folder)
    return lambda: {one.expectation: one.n_failed for one in validate(connection, TRANSACTIONS, _suite(names), rows)}


def _in_sql(folder: Path) -> Judge:
    connection, rows = _staged(folder)
    suite = [rule for rule in _suite(SHARED) if rule.condition]
    counts = ", ".join(f"count(*) FILTER (NOT {rule.predicate(rows)})" for rule in suite)

    def judge() -> Counts:
        *found, n_rows = connection.execute(f'SELECT {counts}, count(*) FROM "{rows.table}"').fetchall()[0]
        return {rule.name: n for rule, n in zip(suite, found, strict=True)} | {"fewer than 1 rows": int(not n_rows)}

    return judge


def _in_pandas(folder: Path) -> Judge:
    lines, customers = (pd.read_parquet(folder / f"{name}.parquet") for name in ("transactions", "customers"))
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


WAYS: dict[str, Callable[[Path], Judge]] = {
    "sql": _in_sql,
    "duckdb": lambda folder: _in_duckdb(folder, SHARED),
    "pandas": _in_pandas,
    "whole": lambda folder: _in_duckdb(folder, None),
}
_WORDS = {
    "sql": "one bare SQL query",
    "duckdb": "Great Expectations inside DuckDB",
    "pandas": "Great Expectations on pandas",
    "whole": "the whole suite, inside DuckDB",
}

if __name__ == "__main__":
    main()
