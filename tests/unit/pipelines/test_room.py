"""A full disk is told in one line, before a night and in it, whichever library noticed it first."""

import errno
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from data.errors import ConfigError, LakeError
from data.lock import hold
from pipelines.room import NEEDED_BYTES, check_room, room, says_full


@contextmanager
def limited(n_bytes: int) -> Iterator[None]:
    """Let no file of this process have more bytes; Python ignores the signal that says so."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("folder", ["", "not/there/yet"])
def test_one_byte_too_few_is_refused_and_nothing_is_left(tmp_path, folder):
    with limited(NEEDED_BYTES):
        check_room(tmp_path / folder)
    with limited(NEEDED_BYTES - 1), pytest.raises(LakeError, match="no room for 16 MiB") as caught:
        check_room(tmp_path / folder)
    assert caught.value.exit_code == 7
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_somebody_else_s_to_name():
    check_room(Path("/proc/regulars"))


def wrapped() -> Exception:
    error = MlflowException("a transaction failed")
    error.__cause__ = sqlite3.OperationalError("database or disk is full")
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        MlflowException("(sqlite3.OperationalError) database or disk is full"),
        wrapped(),
    ],
)
def test_whoever_noticed_it_the_line_is_the_same(tmp_path, error):
    assert says_full(error)
    with pytest.raises(LakeError, match="is full") as caught, room(tmp_path):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [ConfigError("a", "b", "c"), LakeError("no table", "b", "c"), ValueError("a bug"), PermissionError(13, "no")],
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    assert not says_full(error)
    with pytest.raises(type(error)) as caught, room(tmp_path):
        raise error
    assert caught.value is error


def test_an_error_that_says_nothing_is_told_by_the_disk(tmp_path):
    with limited(1_000), pytest.raises(LakeError, match="is full"), room(tmp_path):
        raise RuntimeError("500 Internal Server Error")


def test_a_lock_holds_on_a_full_disk_too(tmp_path: Path):
    with limited(0), hold(tmp_path / "lock"):
        assert (tmp_path / "lock").read_bytes() == b""
