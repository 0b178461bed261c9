"""Sweep: what names erased customers out of every file of a root but the lake's tables and the keys."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from data.contracts.base import quoted
from data.errors import LakeError
from data.private import DRAFT, replacing
from data.traces import Traces, texts_of

JOURNAL = "erasing.json"
"""Name of the list of an erasure that is not finished, in the folder of the keys."""

_TEXTS = {".log", ".txt", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".out", ".err"}
_MEMORIES = ("-wal", "-shm", "-journal")
_WORKBOOK = "actions.xlsx"
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Searched:
    """What a search of a whole root found: places relative to the root, each with its number of traces."""

    n_files: int
    n_bytes: int
    places: dict[str, int]


def files_under(root: Path) -> Iterator[Path]:
    """Yield every file of a root by name, the list of an unfinished erasure excepted; links are not followed."""
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink() and name != JOURNAL:
                yield path


def search(root: Path, traces: Traces) -> Searched:
    """Return where traces are left: in bytes, archives, databases and decoded cells of every file of a root."""
    n_files = n_bytes = 0
    places = {}
    for path in files_under(root):
        n_files, n_bytes = n_files + 1, n_bytes + path.stat().st_size
        if found := traces.in_file(path):
            places[str(path.relative_to(root))] = found
    return Searched(n_files, n_bytes, places)


def sweep(root: Path, lake: Path, traces: Traces) -> dict[str, str]:
    """Take traces out of every file of a root but those of its lake, and return what became of each file.

    Text keeps its other words, a database its other rows; other files that name a customer are removed, as a workbook
    of a past night is. What DuckDB spilled is removed unseen.

    Raises
    ------
    LakeError
        Another program has a database open for long.
    """
    done: dict[str, str] = {}
    spill = root / "spill"
    for path in spill.iterdir() if spill.is_dir() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # A page goes before its workbook, which says whom the page may name: a crash between them leaves the workbook.
    for path in sorted(files_under(root), reverse=True):
        if lake in path.parents or path.name.endswith(_MEMORIES) or not path.exists():
            continue
        if what := _sweep_file(path, traces):
            done[str(path.relative_to(root))] = what
    return done


def _sweep_file(path: Path, traces: Traces) -> str:
    if path.name.endswith(DRAFT):
        path.unlink()
        return "removed"
    with path.open("rb") as handle:
        is_store = handle.read(15) == b"SQLite format 3"
    if is_store:
        return _sweep_store(path, traces)
    workbook = path.with_name(_WORKBOOK)
    is_beside = path.suffix == ".html" and workbook.exists() and traces.in_file(workbook) > 0
    if not is_beside and not traces.in_file(path):
        return ""
    if path.suffix.casefold() in _TEXTS:
        with replacing(path) as draft:
            draft.write_bytes(traces.blanked(path.read_bytes()))
        return "cleaned"
    path.unlink()
    return "removed"


def _sweep_store(path: Path, traces: Traces) -> str:
    """Clean a SQLite database: its texts, and then its free pages and its log, where deleted text lives on."""
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)) as store:
            store.execute("PRAGMA secure_delete = ON")
            found = [where for where in texts_of(store) if traces.count(where[3])]
            store.execute("BEGIN IMMEDIATE")
            for table, column, row, value in found:
                clean = f"UPDATE {quoted(table)} SET {quoted(column)} = ? WHERE rowid = ?"  # noqa: S608 - quoted
                store.execute(clean, (_like(store, table, column, row, traces.blanked(value)), row))
            store.execute("COMMIT")
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if found or traces.in_file(path):
                store.execute("VACUUM")
                store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return "cleaned"
    except sqlite3.OperationalError as error:
        raise LakeError(
            f"{path.name} is in use ({error})",
            "a database that nobody has open while customers are erased from it",
            "stop `regulars serve` and `regulars ui`, then run `regulars erase` again: it goes on where it stopped",
        ) from None
    return ""


def _like(store: sqlite3.Connection, table: str, column: str, row: int, value: bytes) -> str | bytes:
    """Return a new value as the type that the old one has."""
    kind = f"SELECT typeof({quoted(column)}) FROM {quoted(table)} WHERE rowid = ?"  # noqa: S608 - quoted
    ((name,),) = store.execute(kind, (row,)).fetchall()
    return value if name == "blob" else value.decode("utf-8", "replace")
