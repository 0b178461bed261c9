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
from datetime import UTC, date, datetime
from datetime import time as clock_time
from functools import cache
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa

from data.engine import attach, connect
from data.lake import Lake
from pipelines.settings import Settings

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
    seconds
        Filled while running: seconds per stage; 0 for a stage that was already done.
    """

    settings: Settings
    as_of: datetime
    source_digest: str
    reporter: Reporter = field(default_factory=Silent, repr=False)
    flow: str = "nightly"
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def run_key(self) -> str:
        """Digest of all that decides the run's result, 16 hexadecimal digits."""
        parts = [self.flow, self.as_of.isoformat(), code_digest(), self.source_digest, self.settings.digest()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def as_of_on(self) -> date:
        """The local date at whose midnight ``as_of`` lies: the first day that is not known."""
        zone = ZoneInfo(self.settings.company.timezone)
        return self.as_of.replace(tzinfo=UTC).astimezone(zone).date()

    @property
    def lake(self) -> Lake:
        """The lake of this run."""
        return Lake(self.settings.lake_root)

    def tables(self, versions: Versions) -> dict[str, ibis.Table]:
        """Open lake tables at these versions as Ibis tables of one fresh engine."""
        engine = self.settings.engine
        backend = connect(engine.threads, engine.memory_limit, self.settings.root / "spill")
        return attach(backend, self.lake, versions)

    def frame(self, table: str, versions: Versions, *, sliced: bool = True) -> pa.Table:
        """Read one table of the lake, by default this run's ``as_of`` only."""
        return self.lake.read(table, version=versions[table], as_of=self.as_of if sliced else None)

    def stage(
        self,
        name: str,
        tables: tuple[str, ...],
        work: Callable[[], Mapping[str, pa.Table]],
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
            as_of = None if table in whole else self.as_of
            versions[table] = self.lake.write(table, made[table], as_of=as_of, fingerprint=fingerprint)
        self.seconds[name] = time.perf_counter() - began
        self.reporter.finished(name, self.seconds[name], _rows(made))
        # What a stage used is given back before the next one begins, or the peak would be the sum of two.
        made = {}
        pa.default_memory_pool().release_unused()
        return versions

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time and report a step that writes no table of its own."""
        self.reporter.started(name)
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began
        self.reporter.finished(name, self.seconds[name], "")


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
def code_digest(root: Path = _CHECKOUT) -> str:
    """Return a digest of every source file of the packages and of the lock, 16 hexadecimal digits."""
    files = [path for package in _PACKAGES for path in (root / package).rglob("*") if path.suffix in _CODE_SUFFIXES]
    digest = hashlib.sha256()
    for path in [*sorted(files), *root.glob("requirements.lock")]:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _rows(tables: Mapping[str, pa.Table]) -> str:
    return ", ".join(f"{name} {table.num_rows:,}" for name, table in tables.items())
