"""Ingest: raw tables become accepted tables, a quarantine with every reason, and totals that reconcile."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import datetime

import duckdb
import pyarrow as pa

from data.contracts import CONTRACTS
from data.contracts.base import Delivery
from data.engine import connect
from data.quarantine import Admission, admit_all
from data.sources import Source
from data.sources.base import load_tables
from features.clock import shift
from pipelines.frames import with_as_of
from pipelines.run import Run

ACCEPTED = tuple(CONTRACTS)
RECORDS = ("quarantine", "quality", "reconciliation")


def ingest(run: Run, source: Source) -> dict[str, int]:
    """Validate every raw table, split off the bad rows and write both sides to the lake.

    Raises
    ------
    ContractError
        A contract is broken; nothing is published.
    """
    return run.stage("validate", (*ACCEPTED, *RECORDS), lambda: _admitted(run, source), whole=ACCEPTED)


def _admitted(run: Run, source: Source) -> dict[str, pa.Table]:
    engine = run.settings.engine
    backend = connect(engine.threads, engine.memory_limit, run.settings.root / "spill")
    with closing(backend.con) as connection:
        return _split(run, source, connection)


def _split(run: Run, source: Source, connection: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    loaded = dict(source.load(connection))
    loaded |= load_tables(connection, {name: _nothing(name) for name in CONTRACTS if name not in loaded})
    raw_names = {name: loaded[name].table for name in CONTRACTS}
    company = run.settings.company
    # A night begins after midnight: lines of its own first hours are early, not wrong, and no feature sees them.
    received_at = shift(run.as_of, 1, company.timezone)
    delivery = Delivery(received_at=received_at, timezone=company.timezone, currencies=(company.currency,))
    admissions = admit_all(connection, raw_names, delivery)
    made = {name: _accepted(connection, admission) for name, admission in admissions.items()}
    records: tuple[Callable[[], pa.Table], ...] = (
        lambda: _quarantined(connection, admissions, run.as_of),
        lambda: _quality(admissions, run.as_of),
        lambda: _reconciliation(admissions, run.as_of),
    )
    return made | dict(zip(RECORDS, (record() for record in records), strict=True))


def _nothing(name: str) -> pa.Table:
    """Return a table without rows for one that the source does not have: a shop may keep no campaigns."""
    return pa.table({column.name: pa.array([], pa.string()) for column in CONTRACTS[name].columns})


def _accepted(connection: duckdb.DuckDBPyConnection, admission: Admission) -> pa.Table:
    """Read the accepted rows in an order of their own, so that the files do not depend on the delivery's."""
    return connection.table(admission.accepted).order("ALL").to_arrow_table()


def _quarantined(connection: duckdb.DuckDBPyConnection, admissions: dict[str, Admission], as_of: datetime) -> pa.Table:
    sides = [connection.table(admission.quarantine).to_arrow_table() for admission in admissions.values()]
    return with_as_of(pa.concat_tables(sides), as_of)


def _quality(admissions: dict[str, Admission], as_of: datetime) -> pa.Table:
    results = [asdict(result) for admission in admissions.values() for result in admission.results]
    schema = pa.schema(
        {
            "table_name": pa.string(),
            "expectation": pa.string(),
            "severity": pa.string(),
            "n_rows": pa.int64(),
            "n_failed": pa.int64(),
            "is_passed": pa.bool_(),
            "detail": pa.string(),
        }
    )
    return with_as_of(pa.Table.from_pylist(results, schema), as_of)


_SIDES = {"rows": "in", "accepted": "accepted", "quarantined": "quarantined", "duplicates": "duplicate"}


def _reconciliation(admissions: dict[str, Admission], as_of: datetime) -> pa.Table:
    rows = []
    for name, admission in admissions.items():
        found = asdict(admission.reconciliation)
        counts = {("n_in" if side == "rows" else f"n_{side}"): found[f"n_{side}"] for side in _SIDES}
        sums = {f"{word}_cents": found[f"{side}_total"] for side, word in _SIDES.items()}
        rows.append({"table_name": name} | counts | sums)
    schema = pa.schema(
        {"table_name": pa.string()}
        | {("n_in" if side == "rows" else f"n_{side}"): pa.int64() for side in _SIDES}
        | {f"{word}_cents": pa.int64() for word in _SIDES.values()}
    )
    return with_as_of(pa.Table.from_pylist(rows, schema), as_of)
