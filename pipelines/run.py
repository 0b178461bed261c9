"""A run: what identifies it, and stages that are skipped when their tables are already there.

A run is ``(flow, as_of, code, inputs, settings)``; its ``run_key`` is a digest of these. A stage writes its tables with
the fingerprint ``run_key:stage``, so a re-run after a crash picks up every finished stage and does the rest.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Protocol
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa

from data.contracts import CONTRACTS
from data.engine import attach, connect
from data.errors import ConfigError
from data.identity.masters import IDENTITY_LOG, master_ids, resolved
from data.lake import Lake
from pipelines.settings import Settings

ONE_PER_PERSON: Mapping[str, tuple[str, ...]] = {
    "customers": ("customer_id",),
    "transactions": (),
    "subscriptions": (),
    "contacts": ("campaign_id", "customer_id"),
    "feedback": (),
    "consents": (),
}
"""Tables that name customers, and of which key one row is kept where several ids are one person."""

Versions = Mapping[str, int]
"""Table name -> version of it in the lake."""

_CHECKOUT = Path(__file__).parents[1]
_PACKAGES = ("data", "features", "models", "pipelines")
_CODE_SUFFIXES = {".py", ".html", ".css", ".js"}


class Reporter(Protocol):
    """Hears how a run gets on."""

    def started(self, stage: str) -> None:
        """Hear that a stage begins."""

    def finished(self, stage: str, seconds: float, note: str) -> None:
        """Hear that a stage ended; ``note`` says what it did or that it was already done."""


class Silent:
    """Says nothing: for notebooks and the schedule."""

    def started(self, stage: str) -> None:
        """Say nothing."""

    def finished(self, stage: str, seconds: float, note: str) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Addition:
    """Rows that a stage adds to a version of a table, where most of the table stays as it is."""

    rows: pa.Table
    after: int

    @property
    def num_rows(self) -> int:
        """Rows that are added."""
        return int(self.rows.num_rows)


@dataclass(frozen=True)
class Parts:
    """A whole table in parts that together may be larger than memory."""

    tables: Iterator[pa.Table]
    num_rows: int


Made = Mapping[str, "pa.Table | Addition | Parts"]
"""What a stage made: table name -> its rows."""

REPORTER: ContextVar[Reporter] = ContextVar("REPORTER", default=Silent())  # noqa: B039 - it holds no state
"""Who hears of the runs that begin in this context: the command sets it, flows take no such parameter."""


@dataclass(frozen=True)
class Run:
    """One night of one company.

    Parameters
    ----------
    settings
        Every setting.
    as_of
        Instant (naive UTC) up to which anything may be known, half-open.
    source_digest
        Digest of the raw input.
    reporter
        Hears of each stage.
    today_on
        Local day on which it runs, where that is later than ``as_of``; it decides nothing but what lies in the future.
    seconds
        Filled while running: seconds per stage; 0 for a stage that was already done.
    """

    settings: Settings
    as_of: datetime
    source_digest: str
    reporter: Reporter = field(default_factory=Silent, repr=False)
    flow: str = "nightly"
    today_on: date | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def run_key(self) -> str:
        """Digest of all that decides the run's result, 16 hexadecimal digits."""
        parts = [self.flow, self.as_of.isoformat(), code_digest(), self.source_digest, self.settings.digest()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def as_of_on(self) -> date:
        """The local date at whose midnight ``as_of`` lies: the first day that is not known."""
        return self.local_day(self.as_of)

    def local_day(self, instant: datetime) -> date:
        """Return the company's local day of an instant (naive UTC)."""
        return instant.replace(tzinfo=UTC).astimezone(ZoneInfo(self.settings.company.timezone)).date()

    @property
    def received_at(self) -> datetime:
        """Instant (naive UTC) after which nothing that was delivered can have happened.

        A night begins after midnight: lines of its own first hours are early, not wrong, and no feature sees them. A
        night of the past is told the day on which it runs, or it would take all that happened since for mistakes.
        """
        timezone = self.settings.company.timezone
        return local_midnight(max(self.as_of_on, self.today_on or self.as_of_on) + timedelta(days=1), timezone)

    @property
    def lake(self) -> Lake:
        """The lake of this run."""
        return Lake(self.settings.lake_root)

    def tables(self, versions: Versions) -> dict[str, ibis.Table]:
        """Open lake tables at these versions as Ibis tables of one fresh engine."""
        engine = self.settings.engine
        backend = connect(engine.threads, engine.memory_limit, self.settings.root / "spill")
        return attach(backend, self.lake, versions)

    def people(self, versions: Versions) -> dict[str, ibis.Table]:
        """Open the accepted tables as Ibis tables in which each person goes by one id, whatever was delivered."""
        tables = self.tables({name: versions[name] for name in CONTRACTS})
        if IDENTITY_LOG not in versions:
            return tables
        mapping = master_ids(self.lake, versions[IDENTITY_LOG])
        if not mapping.num_rows:
            return tables
        backend = tables["customers"].get_backend()
        for name, one_per in ONE_PER_PERSON.items():
            tables[name] = backend.table(resolved(backend.con, name, mapping, one_per))
        return tables

    def history(self, versions: Versions) -> dict[str, ibis.Table]:
        """Open the accepted tables as ``people`` does, on the engine that the settings name for features.

        Raises
        ------
        ConfigError
            It is Spark, and pyspark is not installed or Spark does not answer.
        """
        engine = self.settings.engine
        if engine.kind == "duckdb":
            return self.people(versions)
        cluster = spark_engine()
        backend = cluster.connect(
            remote=engine.remote,
            master=engine.master,
            threads=engine.threads,
            memory_limit=engine.memory_limit,
            scratch=self.settings.root / "spill",
        )
        tables: dict[str, ibis.Table] = cluster.attach(backend, self.lake, {name: versions[name] for name in CONTRACTS})
        if IDENTITY_LOG not in versions:
            return tables
        mapping = master_ids(self.lake, versions[IDENTITY_LOG])
        if not mapping.num_rows:
            return tables
        return tables | {
            name: cluster.resolved(tables[name], mapping, one_per) for name, one_per in ONE_PER_PERSON.items()
        }

    def frame(self, table: str, versions: Versions, *, sliced: bool = True) -> pa.Table:
        """Read one table of the lake, by default this run's ``as_of`` only."""
        return self.lake.read(table, version=versions[table], as_of=self.as_of if sliced else None)

    def stage(
        self,
        name: str,
        tables: tuple[str, ...],
        work: Callable[[], Made],
        whole: Collection[str] = (),
    ) -> dict[str, int]:
        """Do a stage unless its tables are already there, and return the versions of its tables.

        Parameters
        ----------
        name
            Name of the stage.
        tables
            Tables that it writes; ``work`` must return exactly these.
        work
            Makes the tables.
        whole
            Those tables that are replaced as a whole; of the others only this run's ``as_of`` slice is.
        """
        fingerprint = f"{self.run_key}:{name}"
        self.reporter.started(name)
        found = {table: self.lake.find(table, fingerprint) for table in tables}
        done = {table: version for table, version in found.items() if version is not None}
        if len(done) == len(tables):
            self.seconds[name] = 0.0
            self.reporter.finished(name, 0.0, "already done")
            return done
        began = time.perf_counter()
        made = work()
        assert set(made) == set(tables), f"stage {name} made {sorted(made)}, declared {sorted(tables)}"
        versions = {}
        for table in tables:
            versions[table] = self._write(table, made[table], fingerprint, is_whole=table in whole)
        self.seconds[name] = time.perf_counter() - began
        self.reporter.finished(name, self.seconds[name], _rows(made))
        # What a stage used is given back before the next one begins, or the peak would be the sum of two.
        made = {}
        pa.default_memory_pool().release_unused()
        return versions

    def _write(self, table: str, made: "pa.Table | Addition | Parts", fingerprint: str, *, is_whole: bool) -> int:
        if isinstance(made, Addition):
            return self.lake.append(table, made.rows, after=made.after, fingerprint=fingerprint)
        if isinstance(made, Parts):
            return self.lake.write_parts(table, made.tables, fingerprint=fingerprint)
        return self.lake.write(table, made, as_of=None if is_whole else self.as_of, fingerprint=fingerprint)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time and report a step that writes no table of its own."""
        self.reporter.started(name)
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began
        self.reporter.finished(name, self.seconds[name], "")


def spark_engine() -> ModuleType:
    """Return ``data.cluster``, which needs the optional pyspark.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    if find_spec("pyspark") is None:
        raise ConfigError('[engine] kind = "spark"', "pyspark", "install it with `pip install 'regulars[spark]'`")
    return import_module("data.cluster")


def local_midnight(day: date, timezone: str) -> datetime:
    """Return the instant (naive UTC) at which a local day begins.

    Examples
    --------
    >>> local_midnight(date(2018, 1, 1), "America/New_York")
    datetime.datetime(2018, 1, 1, 5, 0)
    """
    local = datetime.combine(day, clock_time(), ZoneInfo(timezone))
    return local.astimezone(UTC).replace(tzinfo=None)


@cache
def code_digest(root: Path = _CHECKOUT, packages: tuple[str, ...] = _PACKAGES) -> str:
    """Return a digest of every source file of the packages and of the lock, 16 hexadecimal digits."""
    files = [path for package in packages for path in (root / package).rglob("*") if path.suffix in _CODE_SUFFIXES]
    digest = hashlib.sha256()
    for path in [*sorted(files), *root.glob("requirements.lock")]:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _rows(tables: Made) -> str:
    return ", ".join(f"{name} {table.num_rows:,}" for name, table in tables.items())
