"""A private file is whole or not there, its owner's alone, and leaves no draft behind."""

import os
from pathlib import Path

import pytest

from data.private import private_folder, replacing, write_private


@pytest.fixture(autouse=True)
def _open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def test_files_and_folders_are_their_owner_s_whatever_the_umask(tmp_path):
    path = tmp_path / "a" / "b" / "secret"
    write_private(path, b"said")
    assert (mode(path), mode(path.parent)) == ("0o600", "0o700")
    assert path.read_bytes() == b"said"
    assert mode(private_folder(tmp_path / "c")) == "0o700"


def test_a_folder_that_others_could_read_is_closed(tmp_path):
    (tmp_path / "keys").mkdir(mode=0o777)
    write_private(tmp_path / "keys" / "key", b"k")
    assert mode(tmp_path / "keys") == "0o700"


def test_what_was_there_stays_when_writing_fails(tmp_path):
    path = tmp_path / "list"
    write_private(path, b"old")

    def fail() -> None:
        with replacing(path) as draft:
            draft.write_bytes(b"half of the n")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["list"]


def test_nobody_sees_half_of_it(tmp_path):
    path = tmp_path / "list"
    write_private(path, b"old")
    with replacing(path) as draft:
        draft.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert mode(draft) == "0o600"
    assert path.read_bytes() == b"new"


def test_a_draft_that_a_crash_left_is_written_over(tmp_path):
    path = tmp_path / "list"
    with replacing(path) as draft:
        draft.write_bytes(b"x" * 100)
        left = draft
    left.write_bytes(b"y" * 1000)
    left.chmod(0o666)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == "0o600"


def test_a_long_name_is_no_obstacle(tmp_path):
    write_private(tmp_path / ("n" * 250), b"x")
    assert len(next(iter(tmp_path.iterdir())).name) == 250


def test_a_link_that_lies_in_wait_leads_nowhere(tmp_path):
    """In a folder that others may write to, such as that of an export."""
    with replacing(tmp_path / "list") as draft:
        name = draft.name
    (tmp_path / "theirs").write_bytes(b"old")
    (tmp_path / name).symlink_to(tmp_path / "theirs")
    write_private(tmp_path / "list", b"secret")
    assert (tmp_path / "theirs").read_bytes() == b"old"
    assert not (tmp_path / "list").is_symlink()


def test_a_long_name_of_wide_letters_is_no_obstacle(tmp_path):
    write_private(tmp_path / ("é" * 125), b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["é" * 125]
