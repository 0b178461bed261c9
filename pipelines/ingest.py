"""Ingest: what is new in the source becomes accepted rows, a quarantine with every reason, and totals that reconcile.

A night builds on the last night before its ``as_of`` and takes the pieces of the source that were not taken by then;
where the mapping of a table changed, that table is read anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import duckdb
import pyarrow as pa

from data.contracts import CONTRACTS
from data.contracts.base import ExpectationResult, quoted
from data.data_docs import write_data_docs
from data.deliveries import Batch, Ledger, Plan
from data.engine import attach, connect, enough_room
from data.lake import Lake, Snapshot
from data.readmission import pieces as pieces_of
from data.sources import Piece, Source
from data.validation import stop_if_broken
from data.volume import Limits, check_volume
from pipelines.frames import with_as_of
from pipelines.intake import Intake
from pipelines.records import quality_table, quarantine_table, reconciliation_table
from pipelines.repairs import Repairs
from pipelines.results import folder_of
from pipelines.retain import retain
from pipelines.run import Addition, Made, Parts, Run, code_digest
from pipelines.safeguards import Safeguards

ACCEPTED = tuple(CONTRACTS)
LEDGER = "deliveries"
RECORDS = ("quarantine", "quality", "reconciliation", LEDGER)

DERIVED = frozenset({"customers", "products"})
"""Tables that are made from what order lines say, where the source has none."""

_PART_ROWS = 2_000_000
"""Rows of an accepted table that are in memory at once while it is written."""


def ingest(run: Run, source: Source) -> dict[str, int]:
    """Validate what is new of every raw table, split off the bad rows and write both sides to the lake.

    Raises
    ------
    ContractError
        A contract is broken; nothing is published.
    """
    with ExitStack() as stack:
        return run.stage(
            "validate", (*ACCEPTED, *RECORDS), lambda: _ingested(run, source, stack), whole=(*ACCEPTED, LEDGER)
        )


def _ingested(run: Run, source: Source, stack: ExitStack) -> Made:
    engine, settings = run.settings.engine, run.settings
    kept = retain(settings, run.as_of)
    backend = connect(engine.threads, engine.memory_limit, settings.root / "spill")
    connection: duckdb.DuckDBPyConnection = stack.enter_context(closing(backend.con))
    base = base_of(run.lake, run.as_of)
    versions = {} if base is None else dict(base.versions)
    ledger = Ledger() if base is None else Ledger.read(run.lake.read(LEDGER, version=versions[LEDGER]))
    repairs = Repairs(run.lake, pieces_of(run.lake))
    mappings = _mappings(run, source)
    if base is not None and base.as_of >= run.as_of:
        # What came since belongs to the nights since; a look back takes nothing for its own.
        plan = Plan(base.as_of, ())
    else:
        plan = _plan(run, (*source.pieces(), *repairs.pieces), ledger, mappings)
    known = {name: versions[name] for name in ACCEPTED if name in versions and name not in plan.anew}
    attach(backend, run.lake, known)
    guards = Safeguards.of(settings, run.as_of)
    intake = Intake(connection, run, source, {name: name for name in known}, ledger.columns(), guards, repairs)
    with _documented(run, intake):
        _take_all(intake, plan)
    intake.results += [*kept, *plan.results()]
    if base is not None and "transactions" in known:
        intake.results.append(_volume(run, base, ledger, intake))
    taken = ledger.after(plan, mappings, intake.columns)
    return _accepted(run.lake, known, intake) | _records(run, intake) | {LEDGER: taken.table()}


def _take_all(intake: Intake, plan: Plan) -> None:
    batches = [part for batch in plan.batches for part in intake.repairs.apart(batch)]
    for batch in batches or [Batch(plan.received_at, ())]:
        intake.take(batch, is_last=not batches or batch is batches[-1])


@contextmanager
def _documented(run: Run, intake: Intake) -> Iterator[None]:
    """Write Great Expectations' Data Docs beside the report, most of all where a contract is broken."""
    try:
        yield
    finally:
        write_data_docs(intake.seen, folder_of(run.settings, run) / "data_docs", run.as_of)


def base_of(lake: Lake, as_of: datetime) -> Snapshot | None:
    """Return the snapshot that a night builds on: that of the latest earlier night, or of any where it looks back.

    A night that is run again builds on what the first try built on, and so takes the same pieces; one that looks back
    from where others went on takes what they know, which ``known_at`` keeps from it as far as it came later.
    """
    found = [snapshot for snapshot in lake.snapshots() if LEDGER in snapshot.versions]
    newest = max((snapshot.as_of for snapshot in found), default=as_of)
    usable = [one for one in found if one.as_of < as_of or as_of < newest]
    return max(usable, key=lambda one: (one.as_of, one.sequence), default=None)


def _mappings(run: Run, source: Source) -> dict[str, str]:
    """Return the digest of all that decides how the rows of each contract are read."""
    company = run.settings.company
    parts = (code_digest(packages=("data",)), company.timezone, company.currency)
    return {name: sha256("\n".join((*parts, source.mapping_digest(name))).encode()).hexdigest() for name in ACCEPTED}


def _plan(run: Run, pieces: Sequence[Piece], ledger: Ledger, mappings: Mapping[str, str]) -> Plan:
    """Return what a night takes; tables that are made from lines are made anew where the lines are read anew."""
    plan = ledger.plan(pieces, mappings, run.as_of)
    derived = DERIVED - {piece.contract for piece in pieces}
    return replace(plan, anew=plan.anew | derived) if "transactions" in plan.anew else plan


def _volume(run: Run, base: Snapshot, ledger: Ledger, intake: Intake) -> ExpectationResult:
    """Compare the days since the last night with what they usually bring, and stop where they cannot be right."""
    limits, lines = run.settings.limits, intake.lines()
    nights = {one.received_at for one in ledger.taken if one.piece.contract == "transactions"}
    assert lines is not None
    result = check_volume(
        intake.connection,
        lines,
        run.local_day(base.as_of),
        run.as_of_on,
        limits=Limits(limits.low_volume_share, limits.high_volume_share),
        n_nights=len(nights) - 1,
    )
    stop_if_broken([result])
    return result


def _accepted(lake: Lake, known: Mapping[str, int], intake: Intake) -> dict[str, pa.Table | Addition | Parts]:
    """Return what becomes of each accepted table: nothing, more rows, or another table."""
    made: dict[str, pa.Table | Addition | Parts] = {}
    for name in ACCEPTED:
        merges = intake.merges.get(name, [])
        if name in known and not any(one.n_replaced for one in merges):
            rows = [_sorted(intake.connection, one.added) for one in merges if one.n_added]
            nothing = lake.schema(name, known[name]).empty_table()
            made[name] = Addition(pa.concat_tables(rows) if rows else nothing, known[name])
        else:
            made[name] = _whole(intake.connection, intake.tables[name])
    return made


def _sorted(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Table:
    """Read rows in an order of their own, so that the files do not depend on the delivery's."""
    return connection.table(table).order("ALL").to_arrow_table()


def _whole(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Table | Parts:
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchall()  # noqa: S608 - quoted
    return _sorted(connection, table) if n_rows <= _PART_ROWS else Parts(_parts(connection, table), n_rows)


def _parts(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[pa.Table]:
    with enough_room():
        for batch in connection.table(table).order("ALL").to_arrow_reader(_PART_ROWS):
            yield pa.Table.from_batches([batch])


def _records(run: Run, intake: Intake) -> dict[str, pa.Table]:
    made = {
        "quarantine": quarantine_table(intake.quarantined),
        "quality": quality_table(intake.results),
        "reconciliation": reconciliation_table(intake.reconciliations),
    }
    return {name: with_as_of(table, run.as_of) for name, table in made.items()}
