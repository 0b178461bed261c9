"""Derive: customers and products made from what order lines say of them, where nobody delivers them."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Collection

import duckdb

from data.contracts.base import literal, quoted
from data.sources.apply import CUSTOMER, PRODUCT
from data.sources.base import Loaded, raw_name
from data.sources.mapping import Table

LINES = "read_transactions"
"""DuckDB's name of the order lines with what they say of their customers and products."""


def derive(
    connection: duckdb.DuckDBPyConnection, table: Table, lines: Loaded, mapped: Collection[str], timezone: str
) -> dict[str, Loaded]:
    """Make the tables that lines know enough about: who bought, from which local day on, and what was sold.

    Parameters
    ----------
    connection
        Where the lines are, under the name of ``LINES``.
    table
        The lines' mapping.
    lines
        What was loaded of them.
    mapped
        Contracts that are delivered, which are not made.
    timezone
        Zone of the local day.
    """
    first = f"min(CAST(moment AT TIME ZONE 'UTC' AT TIME ZONE {literal(timezone)} AS DATE)) AS first_seen_on"
    wanted = {
        "customers": ("customer_id", CUSTOMER, table.customer, [first]),
        "products": ("product_id", PRODUCT, table.product, []),
    }
    made = {}
    for name, (key, prefix, texts, further) in wanted.items():
        if name in mapped:
            continue
        latest = [_latest(prefix + column, column) for column in texts]
        columns = ", ".join([quoted(key), *further, *latest])
        moments = f"(SELECT *, TRY_CAST(event_time AS TIMESTAMP) AS moment FROM {quoted(LINES)})"
        text = f"CAST({quoted(key)} AS VARCHAR)"
        connection.execute(
            f"CREATE OR REPLACE TABLE {quoted(raw_name(name))} AS SELECT {columns} FROM {moments} "
            f"WHERE trim({text}) <> '' AND NOT contains({text}, chr(65533)) "
            f"GROUP BY {quoted(key)} ORDER BY {quoted(key)}"
        )
        ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(raw_name(name))}").fetchall()
        made[name] = Loaded(raw_name(name), n_rows, lines.files, (), is_derived=True)
    return made


def _latest(source: str, name: str) -> str:
    """Return the SQL of the latest text that is not blank, the last in the alphabet where two are as late."""
    column = quoted(source)
    order = f"(coalesce(moment, TIMESTAMP '0001-01-01'), {column})"
    return f"arg_max({column}, {order}) FILTER (trim({column}) <> '') AS {quoted(name)}"
