"""Catalogue row D5: the disk fills up in a real incremental night, by the command, with Prefect's and MLflow's stores.

A disk of a few megabytes takes the company's folder; another program takes the rest of it when the night has come to a
certain stage. Each night is a process of its own, as it is at three in the morning.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data.digest import digest

pytestmark = pytest.mark.slow

NIGHT = """
import json, os, shutil, subprocess, sys
from pathlib import Path

company, outcome, stage, command = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
disk = outcome / "disk"
disk.mkdir(parents=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(disk)], check=True)
shutil.copytree(company, disk, dirs_exist_ok=True)
# At the very place where the company's files are, since MLflow's store knows where its artefacts lie.
subprocess.run(["mount", "--bind", str(disk), str(company)], check=True)
with open(outcome / "err", "w") as errors:
    night = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=company)
    output = ""
    for line in night.stdout:
        output += line
        if stage in line and not (disk / "other").exists():
            with open(disk / "other", "wb") as other:
                os.posix_fallocate(other.fileno(), 0, shutil.disk_usage(disk).free)
    code = night.wait()
(outcome / "out").write_text(output)
(outcome / "code").write_text(str(code))
(disk / "other").unlink()
shutil.copytree(company, outcome / "company")
"""
"""Runs a command on a small disk that is full from the line of its output on that names a stage."""

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs a command whose files can have so many bytes each."""

PATIENCE_SECONDS = 150


@dataclass(frozen=True)
class Broken:
    """A night that came to its end for want of room, and the folder as it left it."""

    code: int
    output: str
    errors: str
    folder: Path


@dataclass(frozen=True)
class Begun:
    """A company after its first night, with the file of the second, and that night as it is when nothing happens."""

    company: Any
    pristine: Path
    calm: dict[str, str]
    command: list[str]
    environ: dict[str, str]
    day: Any

    def back(self, folder: Path) -> None:
        """Put a folder where the company's is: stores of MLflow know their place."""
        shutil.rmtree(self.company.folder)
        shutil.copytree(folder, self.company.folder)


MLFLOW_S_OWN = {"version", "candidate_version", "champion_version", "mlflow_run_id", "sha256"}
"""How MLflow numbers and names what it keeps, and the digest of a folder in which it notes the time."""


def results(run: Any) -> dict[str, str]:
    """Return the digest of every table that a run published, but for what MLflow numbers."""
    snapshot = run.lake.snapshot(run.run_key)
    tables = {name: run.lake.read(name, version=version) for name, version in snapshot.versions.items()}
    return {
        name: digest(table.drop_columns([column for column in table.column_names if column in MLFLOW_S_OWN]))
        for name, table in tables.items()
    }


@pytest.fixture(scope="module")
def begun(nights, drops, tmp_path_factory) -> Begun:
    folder = tmp_path_factory.mktemp("full") / "company"
    rows = drops.raw_tables()
    company = drops.open_company(folder, nights, rows)
    nights.run_night(company.config, drops.FIRST_NIGHT)
    drops.deliver(company, rows, drops.FIRST_NIGHT)
    pristine = folder.with_name("pristine")
    shutil.copytree(folder, pristine)
    day = drops.after(drops.FIRST_NIGHT)
    calm, _ = nights.run_night(company.config, day)
    command = nights.command("nightly", "--config", company.config, "--as-of", day)
    environ = nights.environment(folder.parent, COLUMNS="300", OMP_NUM_THREADS="1")
    made = Begun(company, pristine, results(calm), command, environ, day)
    made.back(pristine)
    return made


@pytest.fixture(scope="module")
def broken(begun, tmp_path_factory) -> dict[str, Broken]:
    """Return the nights in which the disk is full after a stage; they run side by side, each with its own disk."""
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode:
        pytest.skip("this machine gives no disk of its own to a process")
    started = {}
    for stage in ("features", "decide"):
        outcome = tmp_path_factory.mktemp(stage)
        inner = [sys.executable, "-c", NIGHT, str(begun.company.folder), str(outcome), stage, json.dumps(begun.command)]
        started[stage] = outcome, subprocess.Popen(["unshare", "-rm", *inner], env=begun.environ)
    found = {}
    for stage, (outcome, process) in started.items():
        try:
            assert process.wait(PATIENCE_SECONDS) == 0, "the night came to an end"
        finally:
            process.kill()
        texts = [(outcome / name).read_text() for name in ("out", "err")]
        found[stage] = Broken(int((outcome / "code").read_text()), *texts, outcome / "company")
    return found


@pytest.mark.parametrize("stage", ["features", "decide"])
def test_a_disk_that_fills_up_ends_the_night_in_one_line_and_the_next_one_ends_as_if_nothing_had_happened(
    begun, broken, operator, stage
):
    night = broken[stage]
    assert night.code == 7, night.errors[-2000:]
    *noise, said = night.errors.splitlines()
    assert said.startswith("found: ")
    assert "do: free space and run the same command again" in said
    # A thread of Delta's that finds no room says so by itself, whoever handles the error that it ends with.
    assert not noise or any("object_store" in one for one in noise), night.errors[-2000:]
    assert "Traceback" not in night.output + night.errors
    begun.back(night.folder)
    before = begun.company.lake.snapshot()
    assert before.sequence == 0, "what was published before still stands"
    assert begun.company.lake.published("transactions").num_rows > 0
    healed = operator.regulars(begun.company.folder, "nightly", "--as-of", begun.day)
    assert healed.code == 0, healed.errors
    assert healed.output.count("already done") >= 3, "what was finished is not done again"
    assert begun.company.lake.snapshot().sequence == 1
    assert results(begun.company.run(begun.day)) == begun.calm


@pytest.mark.parametrize("n_bytes", [0, 4_096, 100_000, 2_000_000])
def test_a_night_without_room_is_refused_before_it_begins(begun, drops, n_bytes):
    begun.back(begun.pristine)
    before = drops.bytes_below(begun.company.root)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(n_bytes), *begun.command],
        env=begun.environ, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert done.returncode == 7
    assert done.stderr.count("\n") == 1
    assert "no room for 16 MiB" in done.stderr
    assert drops.bytes_below(begun.company.root) == before
