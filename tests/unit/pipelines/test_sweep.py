"""The sweep reaches every kind of file of a root, changes no other, and the search finds what it would miss."""

import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from data.errors import LakeError
from data.traces import Traces
from pipelines import sweep as module
from pipelines.sweep import files_under, search, sweep

TRACES = Traces(frozenset({"c-00077", "12"}), frozenset({"anna@example.org"}))


def swept(root: Path) -> dict[str, str]:
    return sweep(root, root / "lake", TRACES)


def test_text_keeps_its_other_words_and_its_mode_is_closed(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("c-00077 failed\nc-000771 went well\n")
    path.chmod(0o644)
    assert swept(tmp_path) == {"a.log": "cleaned"}
    assert path.read_text() == "[erased] failed\nc-000771 went well\n"
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_files_that_name_nobody_keep_every_byte(tmp_path):
    for name in ("a.log", "b.bin", "c.json", "d.html"):
        (tmp_path / name).write_text(f"nothing of c-000771 in {name}")
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert swept(tmp_path) == {}
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_what_cannot_be_cleaned_is_removed(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\0c-00077\0")
    (tmp_path / "half.draft").write_bytes(b"half of something")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", "anna@example.org " * 100)
    assert swept(tmp_path) == {"a.bin": "removed", "a.zip": "removed", "half.draft": "removed"}
    assert list(tmp_path.iterdir()) == []


def test_the_lake_is_left_to_those_who_know_its_format(tmp_path):
    (tmp_path / "lake" / "scores").mkdir(parents=True)
    (tmp_path / "lake" / "scores" / "part.parquet").write_bytes(b"c-00077")
    assert swept(tmp_path) == {}
    assert search(tmp_path, TRACES).places == {"lake/scores/part.parquet": 1}, "but it is searched"


def test_a_page_goes_with_the_workbook_that_names_whom_it_may_name(tmp_path):
    """A short id cannot be told from a count in a page; the workbook beside it has the ids in cells of their own."""
    for night, customer in (("one", "12"), ("two", "13")):
        (tmp_path / night).mkdir()
        (tmp_path / night / "report.html").write_text("<td>12</td>")
        with zipfile.ZipFile(tmp_path / night / "actions.xlsx", "w") as archive:
            archive.writestr("xl/worksheets/sheet1.xml", f"<c><is><t>{customer}</t></is></c>")
    assert swept(tmp_path) == {"one/report.html": "removed", "one/actions.xlsx": "removed"}
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["actions.xlsx", "report.html"]


def test_what_was_spilled_goes_unseen(tmp_path):
    (tmp_path / "spill" / "deep").mkdir(parents=True)
    (tmp_path / "spill" / "deep" / "a.tmp").write_bytes(b"compressed rows")
    (tmp_path / "spill" / "b.tmp").write_bytes(b"compressed rows")
    swept(tmp_path)
    assert list((tmp_path / "spill").iterdir()) == []


def test_rows_of_a_database_lose_what_names_her_and_nothing_else(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as store:
        store.execute('CREATE TABLE "odd ""table""" (k INTEGER PRIMARY KEY, "a b" TEXT, blob BLOB, n REAL)')
        rows = [
            (1, "of c-00077", b"anna@example.org", 7.5),
            (2, "of c-000771", b"\xff\x00", 12.0),
            (3, None, None, None),
        ]
        store.executemany('INSERT INTO "odd ""table""" VALUES (?, ?, ?, ?)', rows)
        store.commit()
    assert swept(tmp_path) == {"a.db": "cleaned"}
    with closing(sqlite3.connect(path)) as store:
        left = store.execute('SELECT * FROM "odd ""table""" ORDER BY k').fetchall()
    assert left == [(1, "of [erased]", b"[erased]", 7.5), *rows[1:]]
    assert b"c-00077 " not in path.read_bytes()
    assert swept(tmp_path) == {}


def test_text_in_free_pages_of_a_database_goes_too(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA secure_delete = OFF")
        store.execute("CREATE TABLE t (x TEXT)")
        store.executemany("INSERT INTO t VALUES (?)", [(f"c-00077 {number}",) for number in range(500)])
        store.commit()
        store.execute("DELETE FROM t")
        store.commit()
    assert b"c-00077" in path.read_bytes()
    assert swept(tmp_path) == {"a.db": "cleaned"}
    assert b"c-00077" not in path.read_bytes()


def test_a_database_in_use_stops_it_with_a_word_on_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.05)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x TEXT)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LakeError, match=r"a\.db is in use"):
            swept(tmp_path)


def test_links_are_not_followed_out_of_the_root(tmp_path):
    outside = tmp_path / "outside.log"
    outside.write_text("c-00077")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.log").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    assert list(files_under(root)) == []
    assert swept(root) == {}
    assert outside.read_text() == "c-00077"


def test_the_list_of_an_unfinished_erasure_is_neither_searched_nor_swept(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "erasing.json").write_text(json.dumps({"rows": {"c-00077": {}}}))
    assert swept(tmp_path) == {}
    found = search(tmp_path, TRACES)
    assert (found.n_files, found.places) == (0, {})


def test_every_byte_is_counted(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "b").write_bytes(b"c-00077 c-00077")
    found = search(tmp_path, TRACES)
    assert (found.n_files, found.n_bytes, found.places) == (2, 1015, {"b": 2})
