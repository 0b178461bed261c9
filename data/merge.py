"""Merge: rows of a later delivery join those that are known; what is delivered again counts once.

Rows are compared by what they say, not by when they came. A row that is known already is left alone. Where a delivery
says something else about a key than what is known, its rows take the place of the earlier ones. Of what features look
back on (lines, contracts, statements) the earlier ones stay, with ``replaced_at``: the instant from which they no
longer hold, so that the past can be seen as it was known. Of the other tables only the newest row of a key is kept, and
older versions are in the lake's history.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import duckdb

from data.contracts.base import Contract, literal, quoted

KNOWN_AT, REPLACED_AT, FIRST_SEEN_ON = "known_at", "replaced_at", "first_seen_on"

_NOT_COMPARED = {KNOWN_AT, REPLACED_AT, "local_time"}
"""Columns that say when a row came or follow from others, and so do not make it another row."""

_HISTORIES = {"transactions", "subscriptions", "feedback"}
"""Tables whose replaced rows are kept beside the current ones."""


@dataclass(frozen=True)
class Merged:
    """What a delivery changed.

    Parameters
    ----------
    table
        DuckDB's name of all rows after the merge.
    added
        DuckDB's name of the rows that came new.
    n_added, n_replaced, n_again
        Rows that came new, that no longer hold, and that were known already.
    total_again
        Sum of the contract's total column over the rows that were known already; null where it has none.
    """

    table: str
    added: str
    n_added: int
    n_replaced: int = 0
    n_again: int = 0
    total_again: int | None = None


@dataclass(frozen=True)
class _Merge:
    """One merge: where it happens, of what, and how its tables are called."""

    connection: duckdb.DuckDBPyConnection
    contract: Contract
    known_at: datetime | None
    number: int = field(default_factory=count().__next__)

    @property
    def is_history(self) -> bool:
        return self.contract.name in _HISTORIES

    def called(self, part: str) -> str:
        """Return the name of a part, a new one for each delivery: views of an earlier merge read their own tables."""
        return f"{self.contract.name} merge {self.number} {part}"

    def make(self, part: str, query: str, kind: str = "TABLE") -> str:
        """Write a part and return its quoted name."""
        self.connection.execute(f"CREATE OR REPLACE {kind} {quoted(self.called(part))} AS {query}")
        return quoted(self.called(part))

    def columns(self, relation: str) -> list[str]:
        return [str(name) for name, *_ in self.connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]

    def figures(self, relation: str) -> tuple[int, int | None]:
        """Return the number of rows and the sum of the total column."""
        total = f"coalesce(sum({quoted(self.contract.total)}), 0)" if self.contract.total else "NULL"
        ((n_rows, whole),) = self.connection.execute(f"SELECT count(*), {total} FROM {relation}").fetchall()
        return int(n_rows), whole

    def same_key(self) -> str:
        return " AND ".join(f"(old.{key}) = (new.{key})" for key in self.contract.key)


def merge(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    accepted: str,
    known: str | None,
    known_at: datetime | None,
    *,
    is_derived: bool = False,
    is_last: bool = True,
) -> Merged:
    """Merge the accepted rows of a delivery into what is known.

    Parameters
    ----------
    connection
        Where the tables are.
    contract
        What the rows are.
    accepted
        Name of the delivery's accepted rows.
    known
        Name of the rows known before; null for none.
    known_at
        Naive UTC instant from which the delivery can be used; null for the first bulk load, whose rows could be used
        when they happened.
    is_derived
        Whether the rows were made from order lines: then they add to what is known of a key and take nothing away.
    is_last
        Whether ``accepted`` stays as it is while the result is used; otherwise its rows are copied.
    """
    job = _Merge(connection, contract, known_at)
    if known is None:
        rows = _stamped(job, f"SELECT * FROM {quoted(accepted)}", job.columns(quoted(accepted)))
        n_added, _ = job.figures(job.make("added", rows, "VIEW" if is_last else "TABLE"))
        return Merged(job.called("added"), job.called("added"), n_added, total_again=0 if contract.total else None)
    return _merged(job, quoted(accepted), quoted(known), is_derived=is_derived)


def _merged(job: _Merge, accepted: str, known: str, *, is_derived: bool) -> Merged:
    current = f"old.{quoted(REPLACED_AT)} IS NULL AND " if job.is_history else ""
    incoming = job.make("incoming", f"SELECT * FROM {accepted} UNION ALL BY NAME (SELECT * FROM {known} LIMIT 0)")
    columns = job.columns(incoming)
    # By one column DuckDB leaves out what it need not even read; by all of them at once it would read every row whole.
    first = job.contract.key[0]
    same_key = (
        f"(old.{first}) IN (SELECT ({first}) FROM {incoming}) AND "
        f"EXISTS (SELECT 1 FROM {incoming} AS new WHERE {job.same_key()})"
    )
    touched = job.make(
        "touched",
        f"SELECT old.* FROM {known} AS old WHERE {current}{same_key} "
        f"UNION ALL BY NAME (SELECT * FROM {incoming} LIMIT 0)",
    )
    if is_derived:
        incoming = job.make("completed", _completed(job, incoming, touched, columns))
    same = " AND ".join(
        f"old.{quoted(name)} IS NOT DISTINCT FROM new.{quoted(name)}" for name in columns if name not in _NOT_COMPARED
    )
    gone = job.make("gone", f"SELECT old.* FROM {touched} AS old ANTI JOIN {incoming} AS new ON {same}")
    new = f"SELECT new.* FROM {incoming} AS new ANTI JOIN {touched} AS old ON {same}"
    added = job.make("added", _stamped(job, new, columns, gone))
    (n_incoming, delivered), (n_added, fresh), (n_gone, _) = map(job.figures, (incoming, added, gone))
    parts = [f"SELECT * FROM {known}", f"SELECT * FROM {added}"]
    if n_gone:
        known_same = " AND ".join(
            f"old.{quoted(name)} IS NOT DISTINCT FROM new.{quoted(name)}"
            for name in job.columns(known)
            if name not in _NOT_COMPARED
        )
        stays = f"{quoted(REPLACED_AT)} IS NOT NULL OR " if job.is_history else ""
        parts[0] = (
            f"SELECT * FROM {known} AS old WHERE {stays}NOT EXISTS (SELECT 1 FROM {gone} AS new WHERE {known_same})"
        )
        parts += [_replaced(job, gone)] if job.is_history else []
    job.make("merged", " UNION ALL BY NAME ".join(f"({part})" for part in parts), "VIEW")
    total_again = None if delivered is None or fresh is None else delivered - fresh
    return Merged(job.called("merged"), job.called("added"), n_added, n_gone, n_incoming - n_added, total_again)


def _stamped(job: _Merge, rows: str, columns: list[str], gone: str | None = None) -> str:
    """Return rows with the instant from which they can be used: never before a correction that they are came in."""
    if job.contract.time is None:
        return rows
    stamp, given = literal(job.known_at), quoted(KNOWN_AT)
    happened = f"CAST({quoted(job.contract.time)} AS TIMESTAMP)"
    value = (
        f"coalesce({given}, greatest({happened}, {stamp}))" if KNOWN_AT in columns else f"greatest({happened}, {stamp})"
    )
    if gone and job.is_history:
        keys = ", ".join(job.contract.key)
        value = f"CASE WHEN ({keys}) IN (SELECT ({keys}) FROM {gone}) THEN greatest({value}, {stamp}) ELSE {value} END"
    values = {KNOWN_AT: value} | ({REPLACED_AT: "CAST(NULL AS TIMESTAMP)"} if job.is_history else {})
    kept = ", ".join(quoted(name) for name in columns if name not in values)
    return f"SELECT {kept}, {', '.join(f'{value} AS {quoted(name)}' for name, value in values.items())} FROM ({rows})"


def _completed(job: _Merge, incoming: str, touched: str, columns: list[str]) -> str:
    """Add to derived rows what earlier lines said: the earliest day, and a text where this delivery has none."""
    values = (
        f"{'least' if name == FIRST_SEEN_ON else 'coalesce'}(new.{quoted(name)}, old.{quoted(name)}) AS {quoted(name)}"
        for name in columns
    )
    return f"SELECT {', '.join(values)} FROM {incoming} AS new LEFT JOIN {touched} AS old ON {job.same_key()}"


def _replaced(job: _Merge, gone: str) -> str:
    """Return the rows that no longer hold, but for those that could never be used."""
    stamp = literal(job.known_at)
    return (
        f"SELECT * REPLACE (CAST({stamp} AS TIMESTAMP) AS {quoted(REPLACED_AT)}) FROM {gone} "
        f"WHERE {quoted(KNOWN_AT)} < {stamp}"
    )
