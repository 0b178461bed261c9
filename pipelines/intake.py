"""Intake: one batch of pieces after the other is loaded, admitted by the contracts and merged into what is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import duckdb
import pyarrow as pa

from data.cells import columns_of
from data.contracts import CONTRACTS
from data.contracts.base import Delivery, ExpectationResult, Severity, quoted
from data.deliveries import Batch
from data.engine import enough_room
from data.merge import REPLACED_AT, Merged, merge
from data.pseudonyms import pseudonymise
from data.quarantine import Admission, Reconciliation, admit_all
from data.sources import Loaded, Source
from data.sources.base import load_tables
from data.tombstones import refuse
from data.validation import Seen
from pipelines.repairs import Repairs
from pipelines.run import Run
from pipelines.safeguards import Safeguards

ENOUGH_FOR_A_MEDIAN = 30
"""Lines of a batch from which their median amount says whether all of it is in another unit: a quiet day's does not."""


@dataclass
class Intake:
    """What a night knows of the tables, and what it puts on record, while it takes its batches.

    Parameters
    ----------
    connection
        Where all of it happens.
    run, source
        Whose night it is, and what it takes from.
    tables
        DuckDB's name of all accepted rows by contract, where there are any.
    columns
        Columns that the newest files of a contract had.
    safeguards
        What keeps rows out.
    repairs
        What was handed in repaired.
    merges
        What each batch changed, by contract.
    results, reconciliations, quarantined
        What is put on record.
    seen
        What Great Expectations returned.
    """

    connection: duckdb.DuckDBPyConnection
    run: Run
    source: Source
    tables: dict[str, str]
    columns: dict[str, tuple[str, ...]]
    safeguards: Safeguards
    repairs: Repairs
    merges: dict[str, list[Merged]] = field(default_factory=dict)
    results: list[ExpectationResult] = field(default_factory=list)
    reconciliations: list[Reconciliation] = field(default_factory=list)
    quarantined: list[pa.Table] = field(default_factory=list)
    seen: Seen = field(default_factory=dict)
    _n_refused: dict[str, int] = field(default_factory=dict)

    def take(self, batch: Batch, *, is_last: bool) -> None:
        """Load, admit and merge one batch; a contract of which nothing ever came gets a table without rows.

        Raises
        ------
        ContractError
            A contract is broken.
        """
        loaded = {name: self._admissible(name, one) for name, one in self._loaded(batch).items()}
        # Where every row was of somebody who was erased, nothing came either.
        loaded = {
            name: one
            for name, one in loaded.items()
            if name not in self.tables or one.n_rows > self._n_refused.get(name, 0)
        }
        absent = tuple(name for name in CONTRACTS if name not in loaded and name not in self.tables)
        delivery = replace(self._delivery(batch, loaded), absent=absent, repaired=self.repairs.superseded)
        every = loaded | load_tables(self.connection, {name: _nothing(name) for name in absent})
        with enough_room():
            admissions = admit_all(
                self.connection, {name: one.table for name, one in every.items()}, delivery, self.seen
            )
            for name, admission in admissions.items():
                self._merge(batch, admission, every[name], is_last=is_last)
        for name, one in loaded.items():
            self.results += _unmapped(name, one.unmapped, self.columns.get(name, ()))
            self.columns[name] = (*columns_of(self.connection, one.table), *one.unmapped)

    def _loaded(self, batch: Batch) -> dict[str, Loaded]:
        """Load what a batch brings: pieces of the source, or rows that were handed in repaired."""
        repaired = self.repairs.tables(batch.pieces)
        if repaired:
            return load_tables(self.connection, repaired)
        loaded = self.source.load(self.connection, batch.pieces) if batch.pieces else {}
        # The shop was closed: nothing came of a table that is known, which breaks no contract.
        return {name: one for name, one in loaded.items() if one.n_rows or name not in self.tables}

    def _admissible(self, name: str, loaded: Loaded) -> Loaded:
        """Give customers their pseudonyms and hide who was erased, before anything else sees them."""
        key, table = self.safeguards.key, loaded.table
        # Who was erased is remembered by the name that the lake knew.
        table = table if key is None else pseudonymise(self.connection, table, key)
        refusal = refuse(self.connection, name, table, self.safeguards.tombstones)
        self.results += [refusal.result] if refusal.result else []
        self._n_refused[name] = refusal.n_refused
        return replace(loaded, table=refusal.table)

    def lines(self) -> str | None:
        """Return the name of the order lines that hold by now; null where there are none yet."""
        if "transactions" not in self.tables:
            return None
        view = f"{self.tables['transactions']} current"
        self.connection.execute(
            f"CREATE OR REPLACE VIEW {quoted(view)} AS FROM {quoted(self.tables['transactions'])} "
            f"WHERE {quoted(REPLACED_AT)} IS NULL"
        )
        return view

    def _delivery(self, batch: Batch, loaded: Mapping[str, Loaded]) -> Delivery:
        company, lines, usual = self.run.settings.company, self.lines(), None
        known = self.tables | ({"transactions": lines} if lines else {})
        if lines and "transactions" in loaded and loaded["transactions"].n_rows >= ENOUGH_FOR_A_MEDIAN:
            query = f"SELECT CAST(median(amount_cents) AS BIGINT) FROM {quoted(lines)}"  # noqa: S608 - quoted
            ((usual,),) = self.connection.execute(query).fetchall()
        columns = {
            name: tuple(column for column in self.columns.get(name, ()) if column not in one.unmapped)
            for name, one in loaded.items()
        }
        return Delivery(
            received_at=self.run.received_at,
            timezone=company.timezone,
            currencies=(company.currency,),
            parents={name: table for name, table in known.items() if self._has_rows(table)},
            known_at=batch.known_at("transactions"),
            usual_amount_cents=usual or None,
            reject_limit=self.run.settings.limits.rejected_share,
            known_columns=columns,
        )

    def _has_rows(self, table: str) -> bool:
        return bool(self.connection.execute(f"SELECT 1 FROM {quoted(table)} LIMIT 1").fetchall())  # noqa: S608 - quoted

    def _merge(self, batch: Batch, admission: Admission, loaded: Loaded, *, is_last: bool) -> None:
        name = admission.reconciliation.table_name
        accepted, found = self._kept(name, admission)
        merged = merge(
            self.connection,
            CONTRACTS[name],
            accepted,
            self.tables.get(name),
            batch.known_at("transactions" if loaded.is_derived else name),
            is_derived=loaded.is_derived,
            is_last=is_last,
        )
        self.tables[name] = merged.table
        self.merges.setdefault(name, []).append(merged)
        self.results += admission.results
        self.reconciliations.append(_without_known(found, merged).check())
        self.quarantined.append(self.connection.table(admission.quarantine).to_arrow_table())

    def _kept(self, name: str, admission: Admission) -> tuple[str, Reconciliation]:
        """Return the accepted rows that the company keeps, and where all rows went, with those that were refused."""
        found, n_refused = admission.reconciliation, self._n_refused.get(name, 0)
        found = replace(found, n_rows=found.n_rows + n_refused, n_refused=n_refused)
        period = self.safeguards.periods.get(name)
        if period is None:
            return admission.accepted, found
        view, past = f"{admission.accepted} kept", f"FROM {quoted(admission.accepted)} WHERE {period.predicate}"
        total = f"coalesce(sum({quoted(CONTRACTS[name].total or '')}), 0)" if CONTRACTS[name].total else "NULL"
        ((n_past, cents),) = self.connection.execute(f"SELECT count(*), {total} {past}").fetchall()
        self.connection.execute(
            f"CREATE OR REPLACE VIEW {quoted(view)} AS FROM {quoted(admission.accepted)} WHERE NOT {period.predicate}"
        )
        accepted_total = None if cents is None else (found.accepted_total or 0) - cents
        counts = {"n_accepted": found.n_accepted - n_past, "n_refused": found.n_refused + n_past}
        return view, replace(found, **counts, accepted_total=accepted_total, refused_total=cents)


def _nothing(name: str) -> pa.Table:
    """Return a table without rows for one that the source does not have: a shop may keep no campaigns."""
    return pa.table({column.name: pa.array([], pa.string()) for column in CONTRACTS[name].columns})


def _unmapped(name: str, unmapped: Sequence[str], known: Sequence[str]) -> list[ExpectationResult]:
    """Warn of columns that the files did not have before and that no mapping speaks of."""
    new = [column for column in unmapped if column not in known]
    if not known or not new:
        return []
    return [
        ExpectationResult(name, "new column", Severity.WARNING, 0, len(new), is_passed=False, detail=", ".join(new))
    ]


def _without_known(found: Reconciliation, merged: Merged) -> Reconciliation:
    """Count rows that were known already among the duplicates."""
    again, n_again = merged.total_again, merged.n_again
    counted = replace(found, n_accepted=found.n_accepted - n_again, n_duplicates=found.n_duplicates + n_again)
    if again is None or found.accepted_total is None or found.duplicates_total is None:
        return counted
    return replace(
        counted, accepted_total=found.accepted_total - again, duplicates_total=found.duplicates_total + again
    )
