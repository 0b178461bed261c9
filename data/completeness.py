"""How much of each table is there: filled cells by column, and whether what stands in identities can be used."""

from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.sqltypes import VARCHAR
from scipy import stats

from data.contracts import CONTRACTS
from data.contracts.base import quoted
from data.identity.normalise import email, phone, postal_code, region
from data.identity.words import POSTAL_CODES

EXACT_ROWS = 1_000_000
"""Tables with more rows than this have their distinct values estimated, to about 2 %."""

SCORECARD = pa.schema(
    [
        ("table_name", pa.string()),
        ("column", pa.string()),
        ("n_rows", pa.int64()),
        ("n_filled", pa.int64()),
        ("filled_share", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n_distinct", pa.int64()),
        ("is_required", pa.bool_()),
        ("n_checked", pa.int64()),
        ("n_valid", pa.int64()),
        ("valid_share", pa.float64()),
    ]
)

_Check = Callable[[str, str | None], bool | None]


def completeness(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[str], default_region: str | None = None
) -> pa.Table:
    """Return the scorecard of some tables: a row for each column, in the order of the tables and their columns.

    A cell is filled where it is neither null nor blank. ``low`` and ``high`` bound the share of filled cells by
    Wilson's (1927) interval at 95 %, for the process that fills them; shares of nothing are null. ``n_checked`` counts
    the filled cells whose form can be told right from wrong and ``n_valid`` the right ones: e-mail, telephone and,
    where the country's are simple, postal codes of identities; null for columns without such a check. Only counts.

    Parameters
    ----------
    tables
        Names of contracts that are tables or views of the connection.
    default_region
        Two letters of the country of identities that do not name one.

    Examples
    --------
    >>> with duckdb.connect() as connection:
    ...     _ = connection.execute("CREATE TABLE products AS SELECT 'a' AS product_id, NULL::VARCHAR AS brand")
    ...     completeness(connection, ["products"]).select(["column", "filled_share"]).to_pylist()
    [{'column': 'product_id', 'filled_share': 1.0}, {'column': 'brand', 'filled_share': 0.0}]
    """
    rows = [row for table in tables for row in _columns(connection, table)]
    valid = _validity(connection, default_region) if "identities" in tables else {}
    checked = [row | (valid.get(row["column"], {}) if row["table_name"] == "identities" else {}) for row in rows]
    return pa.Table.from_pylist(checked, schema=SCORECARD)


def scores(scorecard: pa.Table) -> pa.Table:
    """Return the score of each table: the share of its cells that are filled and, where a form is checked, valid.

    A table without rows has a null score.

    Examples
    --------
    >>> rows = [{"table_name": "t", "column": "a", "n_rows": 4, "n_filled": 3}]
    >>> scores(pa.Table.from_pylist(rows, schema=SCORECARD)).to_pylist()
    [{'table_name': 't', 'score': 0.75}]
    """
    good: dict[str, int] = {}
    cells: dict[str, int] = {}
    for row in scorecard.to_pylist():
        table, n_wrong = row["table_name"], (row["n_checked"] or 0) - (row["n_valid"] or 0)
        good[table] = good.get(table, 0) + row["n_filled"] - n_wrong
        cells[table] = cells.get(table, 0) + row["n_rows"]
    found = [_share(good[table], cells[table]) for table in good]
    return pa.table({"table_name": pa.array(list(good), pa.string()), "score": pa.array(found, pa.float64())})


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    relation = connection.table(table)
    names = [quoted(name) for name in relation.columns]
    n_rows = connection.sql(f"SELECT count(*) FROM {quoted(table)}").fetchall()[0][0]  # noqa: S608
    distinct = "count(DISTINCT {})" if n_rows <= EXACT_ROWS else "approx_count_distinct({})"
    # Only text can be blank: to write ten million numbers and instants as text takes longer than to count them.
    is_filled = ["trim({}) <> ''" if kind == VARCHAR else "{} IS NOT NULL" for kind in relation.types]
    filled = [f"FILTER (WHERE {said.format(name)})" for said, name in zip(is_filled, names, strict=True)]
    asked = [f"count(*) {only}" for only in filled]
    asked += [f"{distinct.format(name)} {only}" for name, only in zip(names, filled, strict=True)]
    found = connection.sql(f"SELECT {', '.join(asked)} FROM {quoted(table)}").fetchall()[0]  # noqa: S608
    required = {column.name for column in CONTRACTS[table].columns if column.required} if table in CONTRACTS else set()
    return [
        {"table_name": table, "column": name, "n_distinct": n_distinct, "is_required": name in required}
        | _filled(n_filled, n_rows)
        for name, n_filled, n_distinct in zip(relation.columns, found, found[len(names) :], strict=False)
    ]


def _filled(n_filled: int, n_rows: int) -> dict[str, Any]:
    low, high = (None, None)
    if n_rows:
        low, high = map(float, stats.binomtest(n_filled, n_rows).proportion_ci(0.95, method="wilson"))
    return {
        "n_rows": n_rows,
        "n_filled": n_filled,
        "filled_share": _share(n_filled, n_rows),
        "low": low,
        "high": high,
    }


def _validity(connection: duckdb.DuckDBPyConnection, default_region: str | None) -> dict[str, dict[str, Any]]:
    """Return n_checked, n_valid and their share by column of identities."""
    checks: dict[str, _Check] = {
        "email": lambda text, _: email(text) is not None,
        "phone": lambda text, where: phone(text, where) is not None,
        "postal_code": _is_postal_code,
    }
    delivered = set(connection.table("identities").columns)
    country = "country" if "country" in delivered else "NULL"
    found = {}
    for name in checks.keys() & delivered:
        values = connection.sql(
            f"SELECT {name}, {country}, count(*) FROM identities WHERE trim({name}) <> '' GROUP BY ALL"  # noqa: S608
        ).fetchall()
        said = [(checks[name](text, region(where, default_region)), n) for text, where, n in values]
        n_checked = sum(n for verdict, n in said if verdict is not None)
        n_valid = sum(n for verdict, n in said if verdict)
        found[name] = {"n_checked": n_checked, "n_valid": n_valid, "valid_share": _share(n_valid, n_checked)}
    return found


def _is_postal_code(text: str, where: str | None) -> bool | None:
    """Say whether a postal code has the form of its country's; null where that is not known."""
    pattern = POSTAL_CODES.get(where or "")
    return None if pattern is None else pattern.fullmatch(postal_code(text) or "") is not None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
