"""Rows leave every version of a table, versions keep their numbers, and a crash is finished by doing it again."""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from data import private, rewriting
from data.lake import Lake
from data.rewriting import Rewritten, remove_files, rewrite, tables

FIRST, SECOND = datetime(2024, 1, 1), datetime(2024, 2, 1, 0, 0, 0, 123_456)
SCHEMA = pa.schema({"as_of": pa.timestamp("us"), "customer_id": pa.string(), "cents": pa.int64()})


class Without:
    """Drops one customer."""

    def __init__(self, customer: str) -> None:
        self.customer = customer

    def columns(self, schema: pa.Schema) -> Sequence[str]:
        return ["customer_id"] if "customer_id" in schema.names else []

    def __call__(self, rows: pa.Table) -> pa.Table:
        mine = pc.fill_null(pc.equal(rows["customer_id"], self.customer), False)
        return rows.filter(pc.invert(mine)) if pc.any(mine).as_py() else rows


def rows(as_of: datetime, *customers: str | None) -> pa.Table:
    values = [{"as_of": as_of, "customer_id": one, "cents": place} for place, one in enumerate(customers)]
    return pa.Table.from_pylist(values, SCHEMA)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A table of three versions: two slices, the second of which is written twice."""
    lake = Lake(tmp_path / "lake")
    with lake.lock():
        lake.write("scores", rows(FIRST, "a", "b", None), as_of=FIRST, fingerprint="one")
        lake.write("scores", rows(SECOND, "a", "b", "c"), as_of=SECOND, fingerprint="two")
        lake.write("scores", rows(SECOND, "b", "c"), as_of=SECOND, fingerprint="three")
    return lake


def customers(lake: Lake, version: int) -> list[str | None]:
    return lake.read("scores", version=version)["customer_id"].to_pylist()


def log_of(lake: Lake) -> str:
    return "".join(path.read_text() for path in sorted((lake.root / "scores" / "_delta_log").glob("*.json")))


def test_rows_leave_every_version_and_every_version_keeps_its_number_and_fingerprint(lake):
    assert rewrite(lake.root / "scores", Without("a")) == Rewritten(2, 2)
    assert [customers(lake, version) for version in range(3)] == [
        ["b", None],
        ["b", None, "b", "c"],
        ["b", None, "b", "c"],
    ]
    assert [lake.find("scores", mark) for mark in ("one", "two", "three")] == [0, 1, 2]
    assert lake.read("scores", version=1, as_of=SECOND)["cents"].to_pylist() == [1, 2]


def test_a_file_without_such_rows_is_not_touched(lake):
    before = {uri: Path(uri).stat().st_mtime_ns for uri in lake.uris("scores", 2)}
    rewrite(lake.root / "scores", Without("nobody"))
    assert {uri: Path(uri).stat().st_mtime_ns for uri in lake.uris("scores", 2)} == before


def test_the_log_says_what_the_files_hold_and_nobody_s_name(lake):
    rewrite(lake.root / "scores", Without("a"))
    text = log_of(lake)
    assert '\\"a\\"' not in text
    for version in range(3):
        table = DeltaTable(str(lake.root / "scores"), version=version)
        actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        assert sum(one["num_records"] for one in actions) == len(customers(lake, version))
        assert all((lake.root / "scores" / one["path"]).stat().st_size == one["size_bytes"] for one in actions)
    slices = {
        one["min.as_of"]
        for one in pa.table(DeltaTable(str(lake.root / "scores")).get_add_actions(flatten=True)).to_pylist()
    }
    assert slices == {FIRST, SECOND.replace(microsecond=123_000)}


def test_other_programs_read_and_write_it_as_before(lake):
    rewrite(lake.root / "scores", Without("a"))
    assert DeltaTable(str(lake.root / "scores")).to_pyarrow_table().num_rows == 4
    with lake.lock():
        lake.write("scores", rows(SECOND, "z"), as_of=SECOND, fingerprint="four")
    assert customers(lake, 3) == ["b", None, "z"]
    assert customers(lake, 2) == ["b", None, "b", "c"]


def test_again_changes_nothing(lake):
    rewrite(lake.root / "scores", Without("a"))
    before = {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()}
    assert rewrite(lake.root / "scores", Without("a")) == Rewritten()
    assert {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("nth", range(4))
def test_whatever_a_crash_leaves_is_finished_by_the_next_call(lake, monkeypatch, nth):
    """The crash comes before the n-th file takes its place: data and log files alternate."""
    swapped = Path.replace
    seen: list[Path] = []

    def crashing(self: Path, target: Path) -> Path:
        seen.append(target)
        if len(seen) > nth:
            raise KeyboardInterrupt
        return swapped(self, target)

    monkeypatch.setattr(private.Path, "replace", crashing)
    with pytest.raises(KeyboardInterrupt):
        rewrite(lake.root / "scores", Without("a"))
    monkeypatch.undo()
    seen_by_readers = [customers(lake, version) for version in range(3)]
    assert all("b" in one for one in seen_by_readers), "a reader sees a file before or after"
    rewrite(lake.root / "scores", Without("a"))
    assert [customers(lake, version) for version in range(3)] == [
        ["b", None],
        ["b", None, "b", "c"],
        ["b", None, "b", "c"],
    ]
    assert '\\"a\\"' not in log_of(lake)
    assert DeltaTable(str(lake.root / "scores")).to_pyarrow_table().num_rows == 4


def test_what_killed_writers_left_is_removed(lake):
    folder = lake.root / "scores"
    left = [folder / "part-orphan.parquet", folder / ".part.draft", folder / "_delta_log" / "_commit_1.json.tmp"]
    for path in left:
        path.write_text("customer a")
    rewrite(folder, Without("a"))
    assert not any(path.exists() for path in left)


def test_summaries_of_the_log_go_with_the_names_that_they_repeat(lake):
    folder = lake.root / "scores"
    DeltaTable(str(folder)).create_checkpoint()
    rewrite(folder, Without("nobody"))
    assert list(folder.glob("_delta_log/*checkpoint*")), "nothing changed, so it may stay"
    rewrite(folder, Without("a"))
    assert not list(folder.glob("_delta_log/*checkpoint*"))
    assert customers(lake, 2) == ["b", None, "b", "c"]


def test_a_file_that_becomes_empty_stays_a_part_of_its_version(lake):
    for one in ("b", "c", "a"):
        rewrite(lake.root / "scores", Without(one))
    assert customers(lake, 2) == [None]
    assert lake.read("scores", version=2, as_of=SECOND).schema == SCHEMA


def test_rewritten_files_are_their_owner_s(lake):
    before = os.umask(0)
    try:
        rewrite(lake.root / "scores", Without("a"))
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in lake.root.rglob("*") if path.is_file()} == {"0o600"}


def test_files_of_versions_that_nobody_needs_are_removed_and_no_others(lake):
    assert remove_files(lake.root / "scores", [0]) == 1
    assert customers(lake, 0) == ["a", "b", None]
    assert customers(lake, 2) == ["a", "b", None, "b", "c"], "the newest is always kept"
    with pytest.raises(Exception, match="misses 1 of 2 files"):
        lake.read("scores", version=1)
    assert lake.find("scores", "two") is None
    assert remove_files(lake.root / "scores", []) == 0, "the first slice is a part of the newest version"


def test_a_removed_file_leaves_no_name_in_the_log(lake):
    remove_files(lake.root / "scores", [0])
    rewrite(lake.root / "scores", Without("a"))
    adds = [json.loads(line)["add"] for line in log_of(lake).splitlines() if '"add"' in line]
    gone = [one for one in adds if not (lake.root / "scores" / one["path"]).exists()]
    assert [json.loads(one["stats"]) for one in gone] == [{"numRecords": 3}]


def test_only_delta_tables_are_tables(lake):
    (lake.root / "something else").mkdir()
    assert [folder.name for folder in tables(lake.root)] == ["scores"]


def test_a_table_of_many_row_groups_is_written_group_by_group(lake, monkeypatch):
    many = pa.table({"customer_id": [str(number % 7) for number in range(300_000)]})
    with lake.lock():
        lake.write("lines", many, as_of=None, fingerprint="f")
    sizes: list[int] = []
    edit = Without("3")
    monkeypatch.setattr(edit, "columns", lambda _: ["customer_id"])

    class Counted(Without):
        def __call__(self, rows: pa.Table) -> pa.Table:
            sizes.append(rows.num_rows)
            return super().__call__(rows)

    assert rewrite(lake.root / "lines", Counted("3")).n_rows == 42_857
    assert max(sizes) <= 122_880
    assert lake.read("lines").num_rows == 300_000 - 42_857
    assert rewriting.Rewritten(1, 2) + rewriting.Rewritten(3, 4) == rewriting.Rewritten(4, 6)
