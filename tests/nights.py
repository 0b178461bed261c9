"""Small whole nights: a simulated shop as Parquet files, and the stages of the flow run on it.

Nights cost seconds, so those that several tests read are made once for all of pytest's processes and never changed.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.digest import digest
from data.simulator import World, simulate
from pipelines import nightly, observe
from pipelines.plan import plan
from pipelines.run import REPORTER, Run
from pipelines.tracking import Tracker

ROOT = Path(__file__).parents[1]
LAST_DAY = date(2024, 12, 31)
"""The local day at whose midnight knowledge ends: a world of 365 days in a leap year."""
NEXT_DAY = date(2025, 1, 13)
"""Another week: within one the training dates, and so the candidates, are the same."""

__all__ = ["Tracker", "plan"]

RESULTS = ("observations", "scores", "rules", "offers", "actions", "campaign_verdicts")
STAGES = (
    *("validate", "identify", "features", "train", "gate", "score", "watch"),
    *("portfolio", "baskets", "campaigns", "decide", "publish", "report"),
)


@dataclass
class Recorder:
    """Remembers what a run reports."""

    notes: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def started(self, stage: str) -> None:
        self.order.append(stage)

    def finished(self, stage: str, _: float, note: str) -> None:
        self.notes[stage] = note

    @property
    def skipped(self) -> list[str]:
        return [stage for stage, note in self.notes.items() if note == "already done"]


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make a folder once, in whichever of pytest's processes asks first; the others wait for it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder)
            (folder / "done").touch()
    return folder


def world(effect_cents: float = 2_000.0) -> World:
    """Return the shop of these tests: large enough for a model that earns its place, small enough for seconds."""
    return simulate(seed=11, n_customers=800, n_days=365, effect_cents=effect_cents)


def spoiled(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return raw tables with a few defects: a line that breaks three rules, one that breaks one, copies, an orphan."""
    lines, contacts = tables["transactions"], tables["contacts"]
    first, contact = lines.slice(0, 1).to_pylist()[0], contacts.slice(0, 1).to_pylist()[0]
    far = {"event_time": datetime(2031, 1, 1), "known_at": datetime(2031, 1, 1)}
    bad = [
        first | far | {"order_id": "bad 1", "customer_id": "nobody", "quantity": Decimal(-1), "amount_cents": 777},
        first | {"order_id": "bad 2", "quantity": Decimal(0), "amount_cents": 333},
        first,
        first,
    ]
    return dict(tables) | {
        "transactions": pa.concat_tables([lines, pa.Table.from_pylist(bad, lines.schema)]),
        "contacts": pa.concat_tables(
            [contacts, pa.Table.from_pylist([contact | {"customer_id": "nobody"}], contacts.schema)]
        ),
    }


def write_shop(folder: Path, tables: Mapping[str, pa.Table]) -> Path:
    """Write raw tables as the Parquet files of a source, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def write_config(folder: Path, source: Path, **sections: Mapping[str, object]) -> Path:
    """Write a ``regulars.toml`` for a simulated shop whose root is ``var`` in the same folder, and return its path."""
    whole: dict[str, dict[str, object]] = {
        "company": {"name": "Simulated", "currency": "EUR", "currency_symbol": "€", "timezone": "UTC"},
        "source": {"kind": "parquet", "path": str(source)},
        "engine": {"threads": 1},
        "churn": {"eligible_days": 56},
        "decisions": {"assumed_consent": ["marketing"]},
    }
    for name, values in sections.items():
        whole[name] = {**whole.get(name, {}), **values}
    lines = [f"root = {json.dumps(str(folder / 'var'))}"]
    for name, values in whole.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "regulars.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@contextmanager
def without_prefect() -> Iterator[None]:
    """Let the flow call its functions and not their tasks: the same order and arguments, without a server."""

    names = [name for name in vars(nightly) if name.lstrip("_") in STAGES and name.startswith("_")]
    assert len(names) == len(STAGES), names
    tasks = {name: getattr(nightly, name) for name in names}
    try:
        for name, task in tasks.items():
            setattr(nightly, name, task.fn)
        yield
    finally:
        for name, task in tasks.items():
            setattr(nightly, name, task)


def run_night(config: Path | None, day: date = LAST_DAY, root: Path | None = None) -> tuple[Run, Recorder]:
    """Run a night in this process, as the flow would, and return the run and what it reported."""

    recorder = Recorder()
    token = REPORTER.set(recorder)
    try:
        with without_prefect():
            nightly.nightly.fn(config, root, day)
        return plan(config, root, lambda _: day), recorder
    finally:
        REPORTER.reset(token)


def blind_night(folder: Path) -> Run:
    """Run a night of a shop whose campaign does nothing and whose labels say nothing, or find it in a folder.

    Who left is drawn again among all labelled customers after the features were made: nothing can predict it.
    """
    config = once(folder, _make_blind_night) / "regulars.toml"
    return plan(config, None, lambda _: LAST_DAY)


def _make_blind_night(folder: Path) -> None:
    join = observe._side_by_side

    def shuffled(observed: pa.Table, truth: pa.Table) -> pa.Table:
        order = np.random.default_rng(0).permutation(truth.num_rows)
        column = truth.column_names.index("has_churned")
        return join(observed, truth.set_column(column, "has_churned", truth["has_churned"].take(order)))

    config = write_config(folder, write_shop(folder / "raw", world(effect_cents=0.0).tables))
    observe._side_by_side = shuffled
    try:
        run_night(config)
    finally:
        observe._side_by_side = join


def digests(run: Run, tables: tuple[str, ...] = RESULTS) -> dict[str, str]:
    """Return the digest of each published table of a run."""
    snapshot = run.lake.snapshot(run.run_key)
    assert snapshot is not None, "nothing was published"
    return {table: digest(run.lake.read(table, version=snapshot.versions[table], as_of=run.as_of)) for table in tables}


def hashes(*folders: Path) -> dict[str, str]:
    """Return the hash of every file below the folders, but for the lock, which says who ran last."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@dataclass(frozen=True)
class TwoNights:
    """A night and the next one in one root."""

    config: Path
    first: Run
    second: Run
    notes: Mapping[str, Mapping[str, str]]
    """What each of them reported."""

    @classmethod
    def at(cls, folder: Path, shop: Path) -> "TwoNights":
        """Run them in a folder, or find them there."""
        once(folder, lambda folder: cls._make(folder, shop))
        config = folder / "regulars.toml"
        first, second = (plan(config, None, lambda _, day=day: day) for day in (LAST_DAY, NEXT_DAY))
        return cls(config, first, second, json.loads((folder / "notes.json").read_text()))

    @staticmethod
    def _make(folder: Path, shop: Path) -> None:
        config, notes = write_config(folder, shop), {}
        for name, day in (("first", LAST_DAY), ("second", NEXT_DAY)):
            notes[name] = run_night(config, day)[1].notes
        (folder / "notes.json").write_text(json.dumps(notes))


WATCH = """
import json, os, sys

LOG = os.environ["WATCH_LOG"]

def note(**what):
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, (json.dumps(what | {"pid": os.getpid(), "argv": sys.orig_argv[1:]}) + "\\n").encode())
    os.close(handle)

def host_of(event, args):
    if event in {"socket.connect", "socket.sendto", "socket.bind"}:
        return args[1][0] if isinstance(args[1], tuple) else None
    return args[0] if event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"} else None

def watch(event, args):
    if not event.startswith("socket."):
        return
    host = host_of(event, args)
    host = host.decode() if isinstance(host, bytes) else host
    if event == "socket.bind":
        note(event=event, host=host)
    elif host and host not in {"localhost", "::1"} and not str(host).startswith("127."):
        note(event=event, host=str(host))
        raise ConnectionRefusedError(f"{event} {host}")

sys.addaudithook(watch)
note(event="start")
"""
"""A ``sitecustomize`` that notes and refuses whatever a Python process wants of the network outside of the machine."""

ALONE = """
import fcntl, json, os, socket, struct, subprocess, sys

def n_without_route():
    counters = {}
    for file in ("/proc/net/snmp", "/proc/net/snmp6"):
        lines = [line.split() for line in open(file)]
        pairs = zip(lines[0], lines[1]) if file.endswith("snmp") else lines
        counters.update((name, value) for name, value in pairs)
    return int(counters["OutNoRoutes"]) + int(counters["Ip6OutNoRoutes"])

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
    fcntl.ioctl(handle, 0x8914, struct.pack("16sh", b"lo", 0x41))  # up and running
before = n_without_route()
done = subprocess.run(sys.argv[2:])
json.dump(n_without_route() - before, open(sys.argv[1], "w"))
sys.exit(done.returncode)
"""
"""Runs a command in a network of its own that has nothing but a loopback, and notes what found no way out of it."""


PYTHON = sys.executable


def command(*arguments: object) -> list[str]:
    """Return the installed command with arguments."""
    return [str(Path(PYTHON).with_name("regulars")), *map(str, arguments)]


def run(command: Sequence[object], folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, which is its home too, with an open umask."""
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment(folder, **environ),
        capture_output=True,
        text=True,
        check=False,
        umask=0,
        timeout=300,
    )


def python(code: str, folder: Path, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    return run([PYTHON, "-c", code, *arguments], folder, **environ)


def alone() -> list[str] | None:
    """Return the command that gives a command a network of its own, or None where the machine has none to give."""
    return next((["unshare", flags] for flags in ("-n", "-rn") if _can("unshare", flags, "true")), None)


def _can(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except OSError:
        return False


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment without anybody's Prefect or MLflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW", "PYTEST"))}
    return kept | {"HOME": str(home)} | more


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    exit_code: int
    output: str
    errors: str
    files: Mapping[str, str]
    """Hash of every file of the lake and the reports afterwards."""
    modes: Mapping[str, int]
    """Mode of everything under the root afterwards."""


@dataclass(frozen=True)
class AloneNight:
    """A night by the command, without a network, and the same night again."""

    config: Path
    first: Answer
    again: Answer
    log: list[dict[str, Any]]
    """What its processes noted about sockets."""
    n_without_route: int | None
    """Packets and connections that found no way out; null where no network of its own could be had."""

    @classmethod
    def at(cls, folder: Path, shop: Path) -> "AloneNight":
        """Run it in a folder, or find it there."""
        once(folder, lambda folder: cls._make(folder, shop))
        found = json.loads((folder / "answers.json").read_text())
        log = [json.loads(line) for line in (folder / "watch.log").read_text().splitlines()]
        count = folder / "n_without_route.json"
        return cls(
            folder / "regulars.toml",
            *(Answer(**answer) for answer in found),
            log,
            json.loads(count.read_text()) if count.exists() else None,
        )

    @staticmethod
    def _make(folder: Path, shop: Path) -> None:
        config = write_config(folder, shop, engine={"threads": 2})
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(WATCH)
        (folder / "alone.py").write_text(ALONE)
        path = os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])
        watched = {"PYTHONPATH": path, "WATCH_LOG": str(folder / "watch.log")}
        odd = {"PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
        night = command("nightly", "--config", config, "--as-of", LAST_DAY)
        inner = [PYTHON, folder / "alone.py", folder / "n_without_route.json", *night]
        apart = alone()
        answers = []
        for started in (night if apart is None else [*apart, *inner], night):
            done = run(started, folder, **watched, **odd)
            root = folder / "var"
            files = hashes(root / "lake", root / "reports")
            modes = {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in sorted(root.rglob("*"))}
            answers.append(asdict(Answer(done.returncode, done.stdout, done.stderr, files, modes)))
        (folder / "answers.json").write_text(json.dumps(answers))
