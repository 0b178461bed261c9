"""Readers see a whole snapshot or the one before, whatever happens to the writer (C1, C4, C8, C9, C16)."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from data.errors import LakeError
from data.lake import SNAPSHOTS, Lake

ROOT = Path(__file__).parents[2]
AS_OF = datetime.fromisoformat("2018-01-01T05:00")

# Each night writes the same number into every row of both tables, and publishes both.
NIGHTS = """
import os, sys
from datetime import datetime
import numpy as np, pyarrow as pa
from data.lake import Lake

def nights(root, last, say):
    as_of, lake = datetime(2018, 1, 1, 5), Lake(root)
    with lake.lock():
        newest = lake.snapshot()
        night = 0 if newest is None else newest.summary["night"] + 1
        while night < last:
            versions = {}
            for table, n in (("scores", 20_000), ("actions", 5_000)):
                version = lake.find(table, f"{table} {night}")
                if version is None:
                    same = pa.array(np.full(n, night)), pa.array([as_of] * n, pa.timestamp("us"))
                    data = pa.table({"night": same[0], "as_of": same[1], "x": np.arange(n)})
                    version = lake.write(table, data, as_of=as_of, fingerprint=f"{table} {night}")
                versions[table] = version
            lake.publish(f"run {night}", flow="nightly", as_of=as_of, code_digest="c", versions=versions,
                         summary={"night": night}, mlflow_run_id=None)
            say(night)
            night += 1
"""

RUN = NIGHTS + "nights(sys.argv[1], int(sys.argv[2]), lambda night: None)"

# One process pays for the imports and forks the writers, which start Delta's threads only after that.
VICTIMS = (
    NIGHTS
    + """
for _ in sys.stdin:
    listen, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        nights(sys.argv[1], 10_000, lambda night: os.write(say, b"n"))
    os.close(say)
    os.read(listen, 1)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    os.close(listen)
    print("dead", flush=True)
"""
)

READER = """
import sys
from data.engine import attach, connect
from data.lake import Lake

lake, backend, n_reads, mixed = Lake(sys.argv[1]), connect(threads=1), 0, 0
for _ in sys.stdin:
    for _ in range(2):
        snapshot = lake.snapshot()
        views = attach(backend, lake, snapshot.versions)
        seen = []
        for view in views.values():
            row = view.aggregate(n=view.count(), low=view.night.min(), high=view.night.max()).to_pyarrow().to_pylist()
            seen.append(tuple(row[0].values()))
        night = snapshot.summary["night"]
        mixed += sorted(seen) != [(5_000, night, night), (20_000, night, night)]
        n_reads += 1
    print(n_reads, mixed, flush=True)
"""

FILL = """
import resource, sys
from datetime import datetime
import numpy as np, pyarrow as pa
from data.errors import LakeError
from data.lake import Lake

lake, data = Lake(sys.argv[1]), pa.table({"x": np.random.default_rng(0).integers(0, 1 << 62, 1_000_000)})

def publish(size):
    lake.publish("run", flow="nightly", as_of=datetime(2018, 1, 2, 5), code_digest="c", versions={"scores": 0},
                 summary={}, mlflow_run_id="m" * size)

def write(rows, size=1):
    lake.write("scores", rows, as_of=None, fingerprint="f" * size)

for limit, attempt in (
    (0, lambda: write(data.slice(0, 1000))),
    (100, lambda: write(data.slice(0, 1000))),
    (4_000, lambda: write(data.slice(0, 1000))),
    (200_000, lambda: write(data.slice(0, 100_000))),
    (200_000, lambda: write(data.to_reader(10_000))),
    (3_000, lambda: write(data.slice(0, 10), 50_000)),  # the rows fit, the commit does not
    (100, lambda: publish(1)),
    (3_000, lambda: publish(50_000)),
):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        attempt()
        text = "no error"
    except LakeError as error:
        text = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(text, lake.version("scores"), lake.version("snapshots"), flush=True)
"""


def complete(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own until it ends."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)


@contextmanager
def beside(code: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Run code beside the test and end it with the block."""
    command = [sys.executable, "-c", code, *map(str, args)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            yield child
        finally:
            child.kill()


def ask(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{text}\n")
    child.stdin.flush()


def hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def check_whole(lake: Lake) -> int:
    """Return the newest published night after checking that both tables are of it (-1: nothing published)."""
    snapshot = lake.snapshot()
    if snapshot is None:
        return -1
    night = int(snapshot.summary["night"])
    for table, n in (("scores", 20_000), ("actions", 5_000)):
        data = lake.published(table, snapshot)
        assert data["night"].to_pylist() == [night] * n
        assert data["x"].to_pylist() == list(range(n))
    return night


@pytest.mark.slow
def test_kills_at_random_times_never_show_half_a_night(tmp_path: Path) -> None:
    rng = random.Random(20180101)
    lake, nights = Lake(tmp_path), []
    with beside(VICTIMS, tmp_path) as parent:
        for _ in range(20):
            ask(parent, "start a writer")
            # It answers after its first night: from then on every moment is one of work.
            victim = int(hear(parent))
            time.sleep(rng.uniform(0, 0.1))
            os.kill(victim, signal.SIGKILL)
            assert hear(parent) == "dead"
            nights.append(check_whole(lake))
    assert nights == sorted(set(nights)), "each run goes on where the last one was killed"
    last = complete(RUN, tmp_path, nights[-1] + 3)
    assert last.returncode == 0, last.stderr
    assert check_whole(lake) == nights[-1] + 2
    keys = lake.read(SNAPSHOTS)["run_key"].to_pylist()
    assert sorted(keys) == sorted(f"run {night}" for night in range(nights[-1] + 3))


@pytest.mark.slow
def test_two_readers_see_whole_nights_while_a_third_process_publishes(tmp_path: Path) -> None:
    assert complete(RUN, tmp_path, 1).returncode == 0
    n_reads = [0, 0]
    with beside(READER, tmp_path) as left, beside(READER, tmp_path) as right:
        for reader in (left, right):
            ask(reader, "read")
            assert hear(reader) == "2 0"
        with beside(RUN, tmp_path, 12) as writer:
            while writer.poll() is None:
                ask(left, "read")
                ask(right, "read")
                answers = [hear(reader).split() for reader in (left, right)]
                assert [mixed for _, mixed in answers] == ["0", "0"]
                n_reads = [int(n) for n, _ in answers]
            assert writer.returncode == 0
    assert check_whole(Lake(tmp_path)) == 11
    assert min(n_reads) >= 4


def test_a_full_disk_is_a_clear_error_and_the_old_snapshot_stays(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    version = lake.write("scores", pa.table({"x": [1, 2, 3]}), as_of=None, fingerprint="old")
    lake.publish(
        "old",
        flow="nightly",
        as_of=AS_OF,
        code_digest="c",
        versions={"scores": version},
        summary={},
        mlflow_run_id=None,
    )
    child = complete(FILL, tmp_path)
    attempts = child.stdout.splitlines()
    assert len(attempts) == 8, child.stderr
    for attempt, table in zip(attempts, ["scores"] * 6 + ["snapshots"] * 2, strict=True):
        assert f"found: cannot write {table} in {tmp_path}: " in attempt
        assert "File too large" in attempt
        assert "do: free space" in attempt
        assert attempt.endswith(" 0 0"), "no version was added"
    assert lake.published("scores")["x"].to_pylist() == [1, 2, 3]
    assert lake.write("scores", pa.table({"x": [4]}), as_of=None, fingerprint="new") == 1
    assert lake.published("scores").num_rows == 3


def test_litter_of_dead_writers_changes_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("scores", pa.table({"x": [1]}), as_of=None, fingerprint="f")
    for name in ("part-00000-dead.zstd.parquet", "part-00000-dead.parquet#1", "_delta_log/_commit_dead.json.tmp"):
        (tmp_path / "scores" / name).write_bytes(b"half")
    (tmp_path / "rules" / "_delta_log").mkdir(parents=True)
    assert lake.read("scores")["x"].to_pylist() == [1]
    assert lake.find("scores", "f") == 0
    assert not lake.has("rules")
    assert lake.write("rules", pa.table({"x": [1]}), as_of=None, fingerprint="f") == 0


def test_a_writer_that_was_overtaken_fails_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    lake.write("scores", pa.table({"x": [0]}), as_of=None, fingerprint="f0")

    def overtaken(target: DeltaTable, data: pa.Table, **how: object) -> None:
        write_deltalake(target.table_uri, pa.table({"x": [1]}), mode="overwrite")
        write_deltalake(target, data, **how)

    monkeypatch.setattr("data.delta.write_deltalake", overtaken)
    with pytest.raises(LakeError, match="another writer changed scores"):
        lake.write("scores", pa.table({"x": [2]}), as_of=None, fingerprint="f2")
    assert lake.read("scores")["x"].to_pylist() == [1]
