"""Retention: rows and versions that are kept no longer than the company says, in every version of the lake."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from data.contracts.base import ExpectationResult, Severity, literal, quoted
from data.lake import Lake, Snapshot
from data.rewriting import remove_files, rewrite, tables

PAST = "kept past its period"
"""Name of the expectation under which removed rows are counted."""

_TIMES = {"transactions": "event_time", "contacts": "assigned_at", "feedback": "event_time", "quarantine": "as_of"}


class Retention(BaseModel):
    """How many days are kept, back from ``as_of``; null keeps everything.

    Parameters
    ----------
    transactions_days, contacts_days, feedback_days
        By when it happened.
    quarantine_days
        By the night that set the row aside.
    history_days
        Versions of tables, and files, of past nights.
    least_nights
        Newest nights that stay readable however old they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    transactions_days: int | None = Field(default=None, ge=1)
    contacts_days: int | None = Field(default=None, ge=1)
    feedback_days: int | None = Field(default=None, ge=1)
    quarantine_days: int | None = Field(default=None, ge=1)
    history_days: int | None = Field(default=None, ge=1)
    least_nights: int = Field(default=2, ge=1)


@dataclass(frozen=True)
class Expired:
    """Rows of a table that are kept no longer: those whose instant lies before ``before`` (naive UTC).

    A row without an instant stays.
    """

    table: str
    column: str
    before: datetime

    @property
    def predicate(self) -> str:
        r"""SQL condition of such a row, true or false and never null: ingest leaves out what fulfils it.

        Examples
        --------
        >>> Expired("feedback", "event_time", datetime(2024, 1, 1)).predicate
        'coalesce("event_time" < TIMESTAMP \'2024-01-01 00:00:00\', false)'
        """
        return f"coalesce({quoted(self.column)} < {literal(self.before)}, false)"

    def columns(self, schema: pa.Schema) -> list[str]:
        """Return the column that decides, where a file has it."""
        return [self.column] if self.column in schema.names else []

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the rows that stay; the very same table where all do."""
        until = pa.scalar(self.before, pa.timestamp("us"))
        is_past = pc.fill_null(pc.less(rows[self.column], until), False)
        return rows.filter(pc.invert(is_past)) if pc.any(is_past).as_py() else rows


def expired(retention: Retention, as_of: datetime) -> list[Expired]:
    """Return which rows are kept no longer at an instant, for each table with a period.

    Examples
    --------
    >>> expired(Retention(feedback_days=30), datetime(2024, 1, 31))
    [Expired(table='feedback', column='event_time', before=datetime.datetime(2024, 1, 1, 0, 0))]
    """
    days = {table: getattr(retention, f"{table}_days") for table in _TIMES}
    return [
        Expired(table, _TIMES[table], as_of - timedelta(days=n_days))
        for table, n_days in days.items()
        if n_days is not None
    ]


def expired_nights(lake: Lake, retention: Retention, as_of: datetime) -> list[Snapshot]:
    """Return the published nights that need not stay readable: too old, and not among the newest."""
    if retention.history_days is None:
        return []
    before = as_of - timedelta(days=retention.history_days)
    return [one for one in _nights(lake)[retention.least_nights :] if one.as_of < before]


def enforce(lake: Lake, retention: Retention, as_of: datetime) -> list[ExpectationResult]:
    """Remove what is kept no longer, from every version, and return a row for the quality table per table.

    Hold the lake's lock. Again changes nothing. Versions that the newest nights need, and the newest of each table, are
    never removed.
    """
    results = []
    for rows in expired(retention, as_of):
        n_removed = rewrite(lake.root / rows.table, rows).n_rows if lake.has(rows.table) else 0
        results.append(_result(rows.table, n_removed, f"rows before {rows.before:%Y-%m-%d} removed"))
    gone = expired_nights(lake, retention, as_of)
    if gone:
        dropped = {one.sequence for one in gone}
        kept = [one for one in _nights(lake) if one.sequence not in dropped]
        said = f"data files of {len(gone)} past nights removed"
        removed = {folder.name: remove_files(folder, _versions(kept, folder.name)) for folder in tables(lake.root)}
        results += [_result(table, n_files, said) for table, n_files in removed.items() if n_files]
    return results


def _versions(nights: Sequence[Snapshot], table: str) -> list[int]:
    return [one.versions[table] for one in nights if table in one.versions]


def _nights(lake: Lake) -> list[Snapshot]:
    """Return every published night, newest first."""
    return sorted(lake.snapshots(), key=lambda one: -one.sequence)


def _result(table: str, n_removed: int, detail: str) -> ExpectationResult:
    said = f"{n_removed:,} {detail}" if n_removed else ""
    return ExpectationResult(table, PAST, Severity.WARNING, n_removed, n_removed, is_passed=True, detail=said)
