"""Sample: files that belong together as one table in DuckDB, whole where they are small, in parts where they are large.

They are read by the readers that a night uses, so that what is proposed is what will be read.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

import gzip
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow.parquet as pq

from data.contracts.base import literal, quoted
from data.discovery.sniff import Layout
from data.sources.readers import Job, Raw, read
from data.sources.sheets import sheet_rows
from data.sources.text import open_text, store

WHOLE_BYTES = 48 << 20
"""Bytes of files up to which all rows are looked at."""

WHOLE_ROWS = 2_000_000
_PART_LINES = 20_000
_PARTS = 8
_MOST_FILES = 12
_SHEET_ROWS = 50_000

Item = TypeVar("Item")


@dataclass(frozen=True)
class FileSet:
    """Files of one table: the same columns, read alike.

    Parameters
    ----------
    layout
        How they are read; its path is the first of them.
    paths
        The files, sorted.
    pattern
        A path, or a pattern below the folder that they share, that names exactly these files.
    """

    layout: Layout
    paths: tuple[Path, ...]
    pattern: str

    @property
    def label(self) -> str:
        """A short name for people."""
        sheet = f" ({self.layout.files.sheet})" if self.layout.files.sheet else ""
        return f"{Path(self.pattern).name}{sheet}"

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return sum(file.stat().st_size for path in self.paths for file in _files(path))


@dataclass(frozen=True)
class Sample:
    """A table of rows of a file set, its columns ``c<n>``, and how many rows there are in all.

    ``is_whole`` says that these are all the rows; else ``n_rows`` is an estimate.
    """

    files: FileSet
    table: str
    types: tuple[str, ...]
    n_rows: int
    is_whole: bool


def group(layouts: Sequence[Layout]) -> list[FileSet]:
    """Put files of the same columns and layout together, of several folders too; sheets and single files stay alone."""
    alike: dict[tuple[object, ...], list[Layout]] = defaultdict(list)
    for layout in layouts:
        kind = layout.files.kind
        alone = (layout.path, layout.files.sheet) if kind in {"excel", "delta", "fixed"} else ()
        ending = "".join(layout.path.suffixes[-2:]) if layout.path.suffix == ".gz" else layout.path.suffix
        alike[(ending, layout.names, layout.files.model_dump_json(), *alone)].append(layout)
    return [files for together in alike.values() for files in _sets(together)]


def _sets(together: Sequence[Layout]) -> list[FileSet]:
    """Return one set of all, or one of each folder, or one of each file: the first that a pattern can name."""
    pattern = _pattern([layout.path for layout in together])
    if pattern is not None:
        return [FileSet(together[0], tuple(sorted(layout.path for layout in together)), pattern)]
    folders: dict[Path, list[Layout]] = defaultdict(list)
    for layout in together:
        folders[layout.path.parent].append(layout)
    if len(folders) > 1:
        return [files for one in folders.values() for files in _sets(one)]
    return [FileSet(layout, (layout.path,), str(layout.path)) for layout in together]


def _pattern(paths: Sequence[Path]) -> str | None:
    """Return a pattern that names exactly these files, null where there is none."""
    if len(paths) == 1:
        return str(paths[0])
    names = [path.name for path in paths]
    ending = re.sub(r"^.*?((?:\.[A-Za-z]+)+)$", r"\1", names[0])
    prefix = "".join(signs[0] for signs in takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False)))
    common = Path(os.path.commonpath([path.parent for path in paths]))
    below = "" if all(path.parent == common for path in paths) else "**/"
    # The next file may be of another month, so that a date is no part of the pattern.
    for begin in (re.sub(r"[\d._-]+$", "", prefix.removesuffix(ending)), prefix):
        if set(common.glob(f"{below}{begin}*{ending}")) == set(paths):
            return f"{common}/{below}{begin}*{ending}"
    return None


def take(connection: duckdb.DuckDBPyConnection, files: FileSet, label: str, scratch: Path) -> Sample:
    """Read a file set, or parts of it, into a table.

    Parameters
    ----------
    connection
        Gets the table.
    files
        What to read.
    label
        The table's name; no other table begins with it.
    scratch
        Folder for parts of files.

    Raises
    ------
    UserError
        A file cannot be read.
    """
    kind = files.layout.files.kind
    if kind == "excel":
        return _sheet(connection, files, label)
    if kind == "parquet":
        return _parquet(connection, files, label, scratch)
    is_whole = kind == "delta" or _unpacked(files) <= WHOLE_BYTES
    paths = list(files.paths) if is_whole else list(_parts(files, label, scratch))
    reading = files.layout.files if is_whole else files.layout.files.model_copy(update={"encoding": "utf-8"})
    limit = WHOLE_ROWS if kind == "delta" else None
    n_taken, types = _written(connection, Job(connection, reading, paths, f"{label} files", scratch), label, limit)
    if is_whole:
        return Sample(files, label, types, n_taken, is_whole and n_taken != limit)
    n_sampled = sum(path.stat().st_size for path in paths)
    return Sample(files, label, types, int(n_taken * _unpacked(files) / max(n_sampled, 1)), is_whole=False)


def _written(
    connection: duckdb.DuckDBPyConnection, job: Job, label: str, limit: int | None
) -> tuple[int, tuple[str, ...]]:
    """Write what a job reads into a table and return its rows and types."""
    try:
        raw = read(job)
        n_rows = _copied(connection, raw, label, limit)
    except duckdb.InvalidInputException:
        raw = read(job, careful=True)
        n_rows = _copied(connection, raw, label, limit)
    return n_rows, raw.types


def _copied(connection: duckdb.DuckDBPyConnection, raw: Raw, label: str, limit: int | None) -> int:
    cells = ", ".join(f"c{number}" for number in range(len(raw.names)))
    # Where exports were put below each other, the header comes back; a night rejects it.
    header = " AND ".join(f"trim(c{n}) = {literal(name)}" for n, name in enumerate(raw.names[:3]))
    is_text = len(raw.names) > 1 and set(raw.types[:3]) == {"VARCHAR"}
    conditions = [f"NOT coalesce({header}, false)"] if is_text else []
    conditions += ["unread IS NULL"] if raw.has_unread else []
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    most = "" if limit is None else f"LIMIT {limit}"
    connection.execute(f"CREATE OR REPLACE TABLE {quoted(label)} AS SELECT {cells} FROM {raw.relation} {where} {most}")
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(label)}").fetchall()
    return int(n_rows)


def _sheet(connection: duckdb.DuckDBPyConnection, files: FileSet, label: str) -> Sample:
    width = len(files.layout.names)
    rows = islice(sheet_rows(files.layout.path, files.layout.files), 1, _SHEET_ROWS + 1)
    filled = (row[:width] + [None] * (width - len(row)) for row in rows if any(cell is not None for cell in row))
    store(connection, label, width, filled)
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(label)}").fetchall()
    return Sample(files, label, ("VARCHAR",) * width, n_rows, n_rows < _SHEET_ROWS)


def _parquet(connection: duckdb.DuckDBPyConnection, files: FileSet, label: str, scratch: Path) -> Sample:
    """Read Parquet files whole, or the first, the middle and the last row group of some of them."""
    n_rows = sum(pq.read_metadata(path).num_rows for path in files.paths)
    is_whole = n_rows <= WHOLE_ROWS and files.n_bytes <= 2 * WHOLE_BYTES
    if is_whole:
        _, types = _written(connection, Job(connection, files.layout.files, files.paths, "", scratch), label, None)
        return Sample(files, label, types, n_rows, is_whole)
    cells = ", ".join(f"{quoted(name)} AS c{number}" for number, name in enumerate(files.layout.names))
    for number, path in enumerate(_spread(files.paths, _PARTS)):
        with pq.ParquetFile(path) as opened:
            groups = _spread(range(opened.num_row_groups), max(_PARTS // len(files.paths), 1))
            table = opened.read_row_groups(list(groups)).slice(0, _PARTS * _PART_LINES)
        connection.register("regulars part", table)
        how = f"INSERT INTO {quoted(label)}" if number else f"CREATE OR REPLACE TABLE {quoted(label)} AS"
        connection.execute(f'{how} SELECT {cells} FROM "regulars part"')
        connection.unregister("regulars part")
    described = connection.execute(f"DESCRIBE {quoted(label)}").fetchall()
    return Sample(files, label, tuple(str(row[1]) for row in described), n_rows, is_whole)


def _unpacked(files: FileSet) -> int:
    """Return about how many bytes the files hold once they are unpacked, from the beginning of the first."""
    size = files.n_bytes
    packed = [path for path in files.paths if path.suffix == ".gz"]
    if not packed:
        return size
    with packed[0].open("rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
        n_read = len(stream.read(4 << 20))
        used = max(min(raw.tell(), packed[0].stat().st_size), 1)
    return int(size * n_read / used)


def _parts(files: FileSet, label: str, scratch: Path) -> Iterator[Path]:
    """Write lines from several places of some of the files, in UTF-8 and each part with its header, and yield them."""
    chosen = _spread(files.paths, _MOST_FILES)
    n_places = max(_PARTS // len(chosen), 1)
    for number, path in enumerate(chosen):
        target = scratch / f"{label} {number}.txt"
        with target.open("w", encoding="utf-8", newline="") as copy:
            copy.writelines(_lines(path, files.layout, n_places))
        yield target


def _lines(path: Path, layout: Layout, n_places: int) -> Iterator[str]:
    encoding = layout.files.encoding
    with open_text(path, encoding) as stream:
        yield from islice(stream, _PART_LINES)
    if path.suffix == ".gz" or encoding == "utf-16":
        return
    size = path.stat().st_size
    with path.open("rb") as plain:
        for place in range(1, n_places):
            plain.seek(size * place // n_places)
            plain.readline()
            for line in islice(plain, _PART_LINES):
                text = line.decode(encoding, errors="replace")
                # A line inside of quotes would shift all that follow.
                if text.count(layout.files.quote or "\0") % 2 == 0:
                    yield text


def _spread(items: Sequence[Item], n: int) -> list[Item]:
    """Return up to n items from evenly spread places, the first and the last among them."""
    if len(items) <= n:
        return list(items)
    return [items[place * (len(items) - 1) // max(n - 1, 1)] for place in range(n)]


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def cell(place: int) -> str:
    """Return the SQL of a cell as trimmed text, null where it is blank."""
    return f"nullif(trim(CAST({quoted(f'c{place}')} AS VARCHAR)), '')"


def is_in(sql: str, values: Sequence[str]) -> str:
    """Return the SQL condition that a text is one of some values."""
    return f"{sql} IN ({', '.join(map(literal, values))})" if values else "false"
