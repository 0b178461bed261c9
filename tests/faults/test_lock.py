"""One run at a time, whatever happens to the one that runs (C3, C6, C7)."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from data.errors import LockHeldError
from data.lake import Lake

ROOT = Path(__file__).parents[2]

# Waits for the starting shot, tries once, says how it went, and holds the lock until its input ends.
RACER = """
import sys, time
from pathlib import Path
from data.errors import LockHeldError
from data.lake import Lake

lake = Lake(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    if line == "end\\n":
        continue
    try:
        with lake.lock():
            print("won", flush=True)
            sys.stdin.readline()
        print("free", flush=True)
    except LockHeldError as error:
        print(f"lost {error.exit_code} {error}", flush=True)
"""

HOLDER = """
import subprocess, sys, time
from data.lake import Lake

with Lake(sys.argv[1]).lock():
    child = subprocess.Popen(["sleep", "30"])
    print(child.pid, flush=True)
    time.sleep(60)
"""


@contextmanager
def process(code: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    """Run code beside the test and end it with the block."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def say(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(text + "\n")
    child.stdin.flush()


def hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_of_two_runs_that_start_together_one_wins_each_time(tmp_path: Path) -> None:
    with process(RACER, tmp_path) as left, process(RACER, tmp_path) as right:
        racers = (left, right)
        assert [hear(racer) for racer in racers] == ["ready", "ready"]
        single_winners = 0
        for _ in range(20):
            for racer in racers:
                say(racer, "go")
            answers = {racer.pid: hear(racer) for racer in racers}
            winners = [racer for racer in racers if answers[racer.pid] == "won"]
            losses = [answer for answer in answers.values() if answer.startswith("lost 4 ")]
            assert len(losses) == 1, answers
            assert re.search(rf"locked by pid {winners[0].pid} since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d", losses[0])
            single_winners += len(winners) == 1
            say(winners[0], "end")
            assert hear(winners[0]) == "free"
        assert single_winners == 20


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_dies_with_its_holder_even_if_a_child_lives_on(tmp_path: Path, end: signal.Signals) -> None:
    lake = Lake(tmp_path)
    with process(HOLDER, tmp_path) as holder:
        orphan = int(hear(holder))
        try:
            with pytest.raises(LockHeldError, match=f"pid {holder.pid} since"), lake.lock():
                pass
            holder.send_signal(end)
            holder.wait()
            start = time.perf_counter()
            with lake.lock():
                assert time.perf_counter() - start < 0.1
                assert f"pid {os.getpid()} " in (tmp_path / "lock").read_text()
            os.kill(orphan, 0)
        finally:
            os.kill(orphan, signal.SIGKILL)


def test_the_lock_ends_with_an_error_and_is_not_reentrant(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with suppress(RuntimeError), lake.lock():
        with pytest.raises(LockHeldError, match=f"pid {os.getpid()}"), lake.lock():
            pass
        raise RuntimeError
    with lake.lock():
        pass
    assert (tmp_path / "lock").read_text() == ""


def test_an_old_text_in_the_lock_file_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("pid 1 since 2001-01-01T00:00:00+00:00\n" * 10)
    with Lake(tmp_path).lock():
        assert (tmp_path / "lock").read_text().count("\n") == 1


def test_a_loser_that_finds_no_text_still_says_something(tmp_path: Path) -> None:
    with Lake(tmp_path).lock():
        (tmp_path / "lock").write_text("")
        with pytest.raises(LockHeldError, match="has not written its pid"), Lake(tmp_path).lock():
            pass


def test_two_lakes_have_two_locks(tmp_path: Path) -> None:
    with Lake(tmp_path / "a").lock(), Lake(tmp_path / "b").lock():
        pass
