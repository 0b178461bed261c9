"""A night that dies anywhere is finished by the next try, and only one runs at a time (C6, C7, C11, P2)."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from data.lake import Lake

pytestmark = pytest.mark.slow

# One process pays for the imports; each night that is to die is a fork of it, and says what it did while it lives.
VICTIMS = """
import gc, importlib.util, os, signal, sys
from pathlib import Path

gc.disable()
spec = importlib.util.spec_from_file_location("nights", sys.argv[1])
nights = sys.modules["nights"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nights)

from data.lake import Lake
from pipelines import cli, publish, tracking, train
from pipelines.tracking import Tracker


def say(text):
    os.write(1, (text + "\\n").encode())


class Victim(nights.Recorder):
    def started(self, stage):
        if point == f"before {stage}":
            os.kill(os.getpid(), end)

    def finished(self, stage, seconds, note):
        say(f"{stage}: {note}")


def dying(function, name, *, first):
    def call(*args, **kwargs):
        if point == f"before {name}":
            os.kill(os.getpid(), end)
        result = function(*args, **kwargs)
        if point == f"after {name}" or point == f"after {name} {first(args)}":
            os.kill(os.getpid(), end)
        return result

    return call


for owner, name in ((Lake, "write"), (Lake, "publish"), (Tracker, "promote"), (Tracker, "finish")):
    setattr(owner, name, dying(getattr(owner, name), name, first=lambda args: args[1]))

nights.Recorder = Victim
gc.freeze()
gc.enable()
stopped = None
for line in sys.stdin:
    if stopped:
        os.waitpid(stopped, 0)
    point, end = line.rstrip().split(" with ")
    end = int(end)
    pid = os.fork()
    if pid == 0:
        try:
            nights.run_night(Path(sys.argv[2]))
            os._exit(0)
        except BaseException as error:
            say(f"error: {error!r}")
            os._exit(1)
    _, status = os.waitpid(pid, os.WUNTRACED)
    stopped = pid if os.WIFSTOPPED(status) else None
    say(f"end {pid} {status}")
"""


@dataclass
class Tries:
    """What a night that was killed again and again did each time, and what readers saw after it."""

    config: Path
    did: dict[str, list[str]] = field(default_factory=dict)
    published: dict[str, bool] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    refused: dict[str, Any] = field(default_factory=dict)
    holder: int = 0

    def skipped(self, point: str) -> list[str]:
        return [line.split(":")[0] for line in self.did[point] if line.endswith("already done")]

    def worked(self, point: str) -> list[str]:
        return [line.split(":")[0] for line in self.did[point] if not line.endswith("already done")]


POINTS = (
    "before train",
    "after write candidates",
    "after promote churn",
    "before publish",
    "before report",
    "before finish",
    "never",
)


@pytest.fixture(scope="module")
def tries(nights: ModuleType, shop: Path, shared_folder: Path) -> Tries:
    """Return what a night did that was killed at one point after the other."""
    folder = nights.once(shared_folder / "killed", lambda folder: try_again(nights, shop, folder))
    return Tries(folder / "regulars.toml", **json.loads((folder / "tries.json").read_text()))


def try_again(nights: ModuleType, shop: Path, folder: Path) -> None:
    """Stop a night once while another one wants to begin, kill it at one point after the other, write all down."""
    config = nights.write_config(folder, shop)
    command = [sys.executable, "-c", VICTIMS, str(nights.ROOT / "tests" / "nights.py"), str(config)]
    found, lake = Tries(config), Lake(folder / "var" / "lake")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=nights.ROOT
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None

        def attempt(point: str, end: signal.Signals) -> int:
            parent.stdin.write(f"{point} with {end.value}\n")
            parent.stdin.flush()
            lines = []
            for line in parent.stdout:
                if line.startswith("end "):
                    pid, status = map(int, line.split()[1:])
                    break
                lines.append(line.strip())
            found.did[point], found.statuses[point] = lines, status
            found.published[point] = lake.snapshot() is not None
            return pid

        found.holder = attempt("before features", signal.SIGSTOP)
        second = nights.run(nights.command("nightly", "--config", config, "--as-of", nights.LAST_DAY), folder)
        found.refused = {"exit_code": second.returncode, "output": second.stdout, "errors": second.stderr}
        os.kill(found.holder, signal.SIGKILL)
        for point in POINTS:
            attempt(point, signal.SIGKILL)
        parent.stdin.close()
    (folder / "tries.json").write_text(
        json.dumps({name: what for name, what in vars(found).items() if name != "config"})
    )


def test_of_two_nights_the_second_is_refused_and_told_whom_to_wait_for(tries):
    assert os.WIFSTOPPED(tries.statuses["before features"])
    assert tries.refused["exit_code"] == 4
    assert tries.refused["errors"].count("\n") == 1
    assert tries.refused["output"] == ""
    expected = rf"locked by pid {tries.holder} since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d"
    assert re.search(expected, tries.refused["errors"]), tries.refused["errors"]
    assert "do: wait for that run to end" in tries.refused["errors"]


def test_the_next_try_after_a_kill_begins_at_once(tries):
    """No file had to be removed: the lock died with its holder."""
    assert tries.did["before train"], "the next try did not get the lock"
    assert not any("LockHeldError" in line for lines in tries.did.values() for line in lines)


def test_each_try_but_the_last_was_killed_where_it_should_be(tries):
    assert {os.WTERMSIG(tries.statuses[point]) for point in POINTS[:-1]} == {signal.SIGKILL}
    assert tries.statuses["never"] == 0


def test_a_finished_stage_is_never_done_again(tries, nights):
    done: list[str] = ["validate", "identify"]
    for point in POINTS:
        worked, skipped = tries.worked(point), tries.skipped(point)
        if point in {"before finish", "never"}:
            assert skipped == [], "a published night is not looked at again"
        else:
            assert skipped == [stage for stage in done if stage in nights.STAGES[:-2]]
        assert not {stage for stage in worked if stage in nights.STAGES[:-2]} & set(done)
        done += worked
    assert sorted(set(done), key=nights.STAGES.index) == list(nights.STAGES)


def test_half_a_stage_is_done_again_as_a_whole(tries):
    assert "train" not in tries.worked("after write candidates")
    assert tries.worked("after promote churn")[0] == "train"


def test_readers_see_nothing_before_all_of_it_is_there(tries):
    seen = {point: tries.published[point] for point in POINTS}
    assert seen == {point: point in {"before report", "before finish", "never"} for point in POINTS}


def test_the_result_is_that_of_a_night_that_nothing_happened_to(tries, two_nights, nights):
    run = nights.plan(tries.config, None, lambda _: nights.LAST_DAY)
    assert run.run_key == two_nights.first.run_key
    assert nights.digests(run) == nights.digests(two_nights.first)
    assert run.lake.read("snapshots").num_rows == 1


def test_the_registry_has_one_version_of_each_model_and_the_alias_is_where_the_decision_says(tries, nights):
    """Catalogue row P2."""
    run = nights.plan(tries.config, None, lambda _: nights.LAST_DAY)
    tracker = nights.Tracker(run.settings.root)
    decisions = run.frame("model_decisions", run.lake.snapshot().versions).to_pylist()
    assert {row["decision"] for row in decisions} == {"promoted"}
    for row in decisions:
        versions = tracker.client.search_model_versions(f"name = '{row['model']}'")
        assert [int(version.version) for version in versions] == [1]
        assert tracker.champion(row["model"]) == row["candidate_version"] == 1


def test_mlflow_has_one_run_that_is_finished_and_the_files_are_in_place(tries, nights):
    run = nights.plan(tries.config, None, lambda _: nights.LAST_DAY)
    tracker = nights.Tracker(run.settings.root)
    (found,) = tracker.client.search_runs(["1"])
    assert found.info.status == "FINISHED"
    assert found.data.tags["run_key"] == run.run_key
    assert found.info.run_id == run.lake.snapshot().mlflow_run_id
    (folder,) = (run.settings.root / "reports").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "actions.xlsx",
        "data_docs",
        "features.html",
        "report.html",
    ]
