"""What became of each raw table: rows and money by side, reasons, and which columns are filled."""
# ruff: noqa: S608 - every name goes through quoted()

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from data.contracts import CONTRACTS
from data.contracts.base import Delivery, Severity, quoted
from data.quarantine import Admission
from data.sources import Loaded
from models.readiness_facts import ColumnFacts, Finding, TableFacts, share_of

_MOST_REASONS = 5


@dataclass(frozen=True)
class Border:
    """What was loaded and admitted, and what went wrong, by contract."""

    loaded: Mapping[str, Loaded]
    admitted: Mapping[str, Admission]
    problems: Mapping[str, str]


def table_facts(connection: duckdb.DuckDBPyConnection, border: Border) -> tuple[TableFacts, ...]:
    """Return what became of each table that was loaded, or could not be.

    Parameters
    ----------
    connection
        Where the raw and the accepted tables are.
    border
        What was loaded and admitted.
    """
    names = [name for name in CONTRACTS if name in border.loaded or name in border.problems]
    return tuple(_table(connection, name, border) for name in names)


def _table(connection: duckdb.DuckDBPyConnection, name: str, border: Border) -> TableFacts:
    """Return what became of a raw table."""
    loaded = border.loaded.get(name)
    if loaded is None or name not in border.admitted:
        return TableFacts(name, loaded.n_rows if loaded else 0, problem=border.problems[name])
    one = border.admitted[name]
    found = one.reconciliation
    delivered = [str(column) for column, *_ in connection.execute(f"DESCRIBE {quoted(loaded.table)}").fetchall()]
    of_contract = [column.name for column in CONTRACTS[name].columns]
    return TableFacts(
        name=name,
        n_rows=found.n_rows,
        n_accepted=found.n_accepted,
        n_quarantined=found.n_quarantined,
        n_duplicates=found.n_duplicates,
        rows_cents=_whole(found.rows_total),
        accepted_cents=_whole(found.accepted_total),
        quarantined_cents=_whole(found.quarantined_total),
        duplicates_cents=_whole(found.duplicates_total),
        reasons=_reasons(connection, one),
        warnings=tuple(
            Finding(result.expectation, result.n_failed, str(result.severity))
            for result in one.results
            if not result.is_passed and result.severity is Severity.WARNING
        ),
        problem=border.problems.get(name) or _stop(found.n_accepted, found.n_quarantined),
        columns=_columns(connection, one.accepted, delivered, found.n_accepted),
        absent=tuple(column for column in of_contract if column not in delivered),
        unmapped=loaded.unmapped,
        is_accepted=True,
    )


def _whole(cents: object) -> int | None:
    return None if cents is None else int(str(cents))


def _stop(n_accepted: int, n_quarantined: int) -> str | None:
    """Say whether a night would stop because too many rows are bad; the check itself goes on."""
    limit, n_rows = Delivery.reject_limit, n_accepted + n_quarantined
    if n_quarantined <= limit * n_rows:
        return None
    return (
        f"a night would stop here: {n_quarantined / n_rows:.1%} of the rows are rejected, at most {limit:.0%} are "
        "allowed; correct the mapping or the files by the reasons"
    )


def _reasons(connection: duckdb.DuckDBPyConnection, one: Admission) -> tuple[Finding, ...]:
    rows = connection.execute(
        f"SELECT reason, count(*) FROM (SELECT unnest(string_split(reasons, '; ')) AS reason FROM "
        f"{quoted(one.quarantine)}) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_MOST_REASONS}"
    ).fetchall()
    return tuple(Finding(reason, n, str(Severity.REJECT)) for reason, n in rows)


def _columns(
    connection: duckdb.DuckDBPyConnection, accepted: str, delivered: list[str], n_rows: int
) -> tuple[ColumnFacts, ...]:
    """Return the null share of each delivered column of the accepted rows."""
    counted = ", ".join(f"count({quoted(column)})" for column in delivered)
    (counts,) = connection.execute(f"SELECT {counted} FROM {quoted(accepted)}").fetchall()
    return tuple(ColumnFacts(column, share_of(n_rows - n, n_rows)) for column, n in zip(delivered, counts, strict=True))
