"""Identify: merges that the company's rules make, and how complete each table is."""

from contextlib import closing
from datetime import date

import duckdb
import pyarrow as pa

from data.completeness import completeness
from data.engine import attach, connect
from data.identity.masters import IDENTITY_LOG, read_log
from data.identity.rules import merge_by_rules
from pipelines.frames import with_as_of
from pipelines.ingest import ACCEPTED
from pipelines.run import Run, Versions

TABLES = (IDENTITY_LOG, "completeness")


def identify(run: Run, versions: Versions) -> dict[str, int]:
    """Write the log of who is whom with what the rules add to it, and the scorecard of every table's columns."""
    return run.stage("identify", TABLES, lambda: _identified(run, versions), whole=(IDENTITY_LOG,))


def _identified(run: Run, versions: Versions) -> dict[str, pa.Table]:
    engine, identity = run.settings.engine, run.settings.identity
    backend = connect(engine.threads, engine.memory_limit, run.settings.root / "spill")
    with closing(backend.con) as connection:
        attach(backend, run.lake, {name: versions[name] for name in ACCEPTED})
        log = merge_by_rules(
            read_log(run.lake),
            connection,
            "identities",
            identity,
            decided_at=run.as_of,
            first_seen=_first_seen(connection) if identity.merge_rules else None,
        )
        scorecard = completeness(connection, ACCEPTED, identity.default_region)
    return {IDENTITY_LOG: log, "completeness": with_as_of(scorecard, run.as_of)}


def _first_seen(connection: duckdb.DuckDBPyConnection) -> dict[str, date | None]:
    found: list[tuple[str, date | None]] = connection.execute(
        "SELECT customer_id, first_seen_on FROM customers"
    ).fetchall()
    return dict(found)
