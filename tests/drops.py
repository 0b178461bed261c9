"""A company that drops CSV files into a folder every night, and its nights by the command.

Unlike the shop of ``nights`` its files grow day by day, and it knows names, consents, contracts and what customers say.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from data.contracts import CONTRACTS
from data.lake import Lake
from data.simulator import simulate
from pipelines.ingest import ingest
from pipelines.plan import open_source, plan
from pipelines.run import Run

Cells = Mapping[str, object]
Rows = Mapping[str, list[dict[str, Any]]]

FIRST_NIGHT = date(2024, 12, 31)
N_DAYS = 370
"""Days of the world: the history before the first night, and a file for each of the days after it."""

_NOT_DELIVERED = {"known_at", "currency"}

OPERATOR = """
import gc, io, json, os, resource, signal, sys, traceback, warnings

gc.disable()
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
os.environ.update(json.loads(sys.argv[2]))
import pipelines.publish, pipelines.check
from pipelines import cli, nightly
from pipelines.commands import privacy, quarantine
from data import delta
from data.lake import Lake

# The command, but for Prefect's server: the flow and its tasks are called as the functions that they are.
for name in [name for name in vars(nightly) if hasattr(getattr(nightly, name), "fn")]:
    setattr(nightly, name, getattr(nightly, name).fn)
nightly.task = nightly.flow = None
gc.freeze()
gc.enable()


def dying(function, name):
    def call(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*args, **kwargs)
    return call


class Victim:
    def __init__(self, reporter, stage):
        self.reporter, self.stage = reporter, stage

    def __getattr__(self, name):
        return getattr(self.reporter, name)

    def started(self, stage):
        if stage == self.stage:
            os.kill(os.getpid(), signal.SIGKILL)
        self.reporter.started(stage)


def carry_out(order):
    global left
    os.chdir(order["folder"])
    os.environ.update(order["environ"])
    os.setsid()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    if order["limit"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], resource.RLIM_INFINITY))
    if order["n_writes"] is not None:
        left = order["n_writes"]
        delta.write_deltalake = dying(delta.write_deltalake, "write")
    if order["before"]:
        from pipelines import progress
        lines = progress._Lines
        progress._Lines = lambda *args: Victim(lines(*args), order["before"])
    if order["debug"]:
        import logging
        logging.getLogger().addHandler(logging.FileHandler("debug.log"))
        logging.getLogger().setLevel(logging.DEBUG)
        cli._quieten = lambda: None
        for name in list(logging.root.manager.loggerDict):
            logger = logging.getLogger(name)
            logger.setLevel(logging.NOTSET)
            logger.disabled, logger.propagate = False, True
    os.umask(0)
    if order["arguments"][0] == "ingest":
        import importlib.util
        from datetime import date
        from pathlib import Path
        spec = importlib.util.spec_from_file_location("drops", os.path.join(sys.argv[1], "tests", "drops.py"))
        drops = sys.modules["drops"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(drops)
        from data.errors import UserError
        try:
            drops.Company(Path(order["folder"])).ingested(date.fromisoformat(order["arguments"][1]))
        except UserError as error:
            os.write(2, f"{error}\\n".encode())
            os._exit(error.exit_code)
        os._exit(0)
    sys.argv = ["regulars", *order["arguments"]]
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", 0), write_through=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0), write_through=True)
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    os._exit(code)


for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        carry_out(json.loads(line))
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
"""One process pays for the imports; each command is a fork of it, with files as its output and an open umask."""


@dataclass(frozen=True)
class Answer:
    """What a command did; a negative code is the signal that ended it."""

    code: int
    output: str
    errors: str

    def one_line(self) -> str:
        """Return the one line of a user's error, after checking that it is one."""
        assert self.errors.count("\n") == 1, self.errors
        assert "Traceback" not in self.output + self.errors
        assert self.errors.startswith("found: "), self.errors
        assert "do: " in self.errors
        return self.errors


@dataclass(frozen=True)
class Operator:
    """Gives commands to regulars, as a person at a terminal would.

    Parameters
    ----------
    process
        That carries them out.
    """

    process: "subprocess.Popen[str]"

    def regulars(
        self,
        folder: Path,
        *arguments: object,
        before: str | None = None,
        n_writes: int | None = None,
        limit: int | None = None,
        debug: bool = False,
        **environ: str,
    ) -> Answer:
        """Run a command in a folder.

        Parameters
        ----------
        folder
            Where the configuration is.
        arguments
            Of the command, or ``ingest`` and a day for a night that ends with its accepted rows.
        before
            Stage before which the process is killed.
        n_writes
            Commits after which the process is killed before the next.
        limit
            Bytes that a file may have, as on a disk that is full.
        debug
            Whether every logger writes all that it has to say into ``debug.log``.
        """
        given = [*map(str, arguments), "--config", str(folder / "regulars.toml")]
        order = {"folder": str(folder), "arguments": given, "before": before, "n_writes": n_writes}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order | {"limit": limit, "debug": debug, "environ": environ}) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return Answer(code, (folder / "out").read_text(), (folder / "err").read_text())


@contextmanager
def operator(folder: Path, nights: ModuleType) -> Iterator[Operator]:
    """Give an operator whose home is a folder."""
    environ = {"OMP_NUM_THREADS": "1", "PREFECT_HOME": str(folder / "prefect"), "COLUMNS": "300"}
    command = [sys.executable, "-W", "ignore", "-c", OPERATOR, str(nights.ROOT), json.dumps(environ)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=nights.environment(folder)
    ) as process:
        yield Operator(process)
        assert process.stdin is not None
        process.stdin.close()


def raw_tables(n_customers: int = 60) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the company's systems by contract, all days together."""
    world = simulate(seed=11, n_customers=n_customers, n_days=N_DAYS, effect_cents=2_000.0).tables
    rows: dict[str, list[dict[str, Any]]] = {name: table.to_pylist() for name, table in world.items()}
    ids = [row["customer_id"] for row in rows["customers"]]
    rows["identities"] = [
        {"customer_id": one, "name": f"Person {one}", "email": f"{one}@example.org", "phone": f"+46 {one[1:]}"}
        for one in ids
    ]
    rows["consents"] = [
        {"customer_id": one, "purpose": purpose, "is_granted": True, "event_time": datetime(2024, 1, 3)}
        for one in ids
        for purpose in ("marketing", "profiling")
    ]
    rows["subscriptions"] = [{"customer_id": one, "plan": "card", "started_on": date(2024, 2, 1)} for one in ids[:20]]
    rows["feedback"] = [
        {"feedback_id": f"f{n}", "customer_id": one, "event_time": datetime(2024, 6, 1, 12), "kind": "survey"}
        for n, one in enumerate(ids[:20])
    ]
    return rows


def lines_of(rows: Rows, day: date) -> list[dict[str, Any]]:
    """Return the order lines of a day."""
    return [row for row in rows["transactions"] if row["event_time"].date() == day]


@dataclass(frozen=True)
class Company:
    """A folder with a company's files and their mapping; below ``var`` is all that regulars made of them."""

    folder: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.folder / "regulars.toml"

    @property
    def root(self) -> Path:
        """The folder of everything that a night writes."""
        return self.folder / "var"

    def drop(self, name: str, rows: Iterable[Cells], file: object = "") -> Path:
        """Put the file of a contract, or one of the daily files of lines, into the folder."""
        path = self.folder / (f"daily/{file}.csv" if name == "transactions" else f"{name}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns(name), extrasaction="ignore")
            writer.writeheader()
            writer.writerows({key: "" if cell is None else cell for key, cell in row.items()} for row in rows)
        return path

    def write_config(self, nights: ModuleType, names: Iterable[str], **sections: Mapping[str, object]) -> None:
        """Write the configuration for these contracts; every column is called as in the contract."""
        nights.write_config(self.folder, self.folder, **sections)
        lines = self.config.read_text().splitlines()
        begin = lines.index("[source]")
        del lines[begin : begin + 3]
        for name in names:
            path = "daily/*.csv" if name == "transactions" else f"{name}.csv"
            cents = [one for one in columns(name) if one.endswith("_cents")]
            plain = ", ".join(f"{one} = {json.dumps(one)}" for one in columns(name) if one not in cents)
            lines += [f"[sources.{name}]", f"path = {json.dumps(path)}", f"columns = {{ {plain} }}"]
            lines += [f'money.{one} = {{ column = "{one}", unit = "minor" }}' for one in cents]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def change_config(self, old: str, new: str) -> None:
        """Replace a text of the configuration that stands there."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def copy(self, folder: Path) -> "Company":
        """Return a copy with a root of its own."""
        shutil.copytree(self.folder, folder)
        other = Company(folder)
        other.change_config(json.dumps(str(self.root)), json.dumps(str(other.root)))
        return other

    def run(self, day: date) -> Run:
        """Return the run of the night that begins a day."""
        return plan(self.config, None, lambda _: day)

    def ingested(self, day: date) -> Run:
        """Run a night up to its accepted rows, and publish them."""
        run = self.run(day)
        with run.lake.lock():
            run.lake.publish(
                run.run_key,
                flow=run.flow,
                as_of=run.as_of,
                code_digest="",
                versions=ingest(run, open_source(run.settings)),
                summary={},
                mlflow_run_id=None,
            )
        return run

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake(self.root / "lake")

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a table as published last."""
        found: list[dict[str, Any]] = self.lake.published(name).to_pylist()
        return found

    def reconciled(self, as_of: datetime, name: str = "transactions") -> dict[str, Any]:
        """Return where the rows and cents of a night's delivery went."""
        (row,) = (row for row in self.table("reconciliation") if (row["table_name"], row["as_of"]) == (name, as_of))
        return row


def columns(name: str) -> list[str]:
    """Return the columns of a contract's file."""
    return [column.name for column in CONTRACTS[name].columns if column.name not in _NOT_DELIVERED]


def open_company(folder: Path, nights: ModuleType, rows: Rows, **sections: Mapping[str, object]) -> Company:
    """Write the files that a company has before its first night: whole tables, and the history of its lines."""
    company = Company(folder)
    for name in rows:
        if name != "transactions":
            company.drop(name, rows[name])
    company.drop("transactions", [row for row in rows["transactions"] if row["event_time"].date() < FIRST_NIGHT], 2024)
    company.write_config(nights, [name for name in CONTRACTS if name in rows], **sections)
    return company


def deliver(company: Company, rows: Rows, day: date) -> Path:
    """Drop the file of a day, and return it."""
    return company.drop("transactions", lines_of(rows, day), day)


def modes(folder: Path) -> dict[str, str]:
    """Return whatever others may read or write below a folder, with its mode."""
    found = {path: os.lstat(path).st_mode & 0o777 for path in [folder, *sorted(folder.rglob("*"))]}
    return {str(path): oct(mode) for path, mode in found.items() if mode & 0o077}


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, but for the lock, which says who ran last."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def midnight(day: date) -> datetime:
    """Return the instant at which a day begins."""
    return datetime(day.year, day.month, day.day)


def after(day: date, n_days: int = 1) -> date:
    """Return the day so many days later."""
    return day + timedelta(days=n_days)
