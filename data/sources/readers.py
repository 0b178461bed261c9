"""Readers: one function per format, from files to a relation of DuckDB whose columns are still the company's own.

What is text in the file stays text: a zero in front and an id such as ``1e5`` survive, and a cell that is no number
reaches the quarantine as it was written. Rows come in the order of the sorted files. Another kind of source is one
more function here that returns a ``Raw``.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from data.contracts.base import literal, quoted
from data.errors import ConfigError, ContractError
from data.sources.database import copy_table
from data.sources.mapping import Files, Kind, Scalar
from data.sources.sheets import as_text, sheet_rows
from data.sources.text import Header, Reading, as_utf8, check_gzip, mixes_ends, read_header, store

_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Raw:
    """A relation whose column ``c<n>`` holds the file's column ``names[n]``.

    Parameters
    ----------
    relation
        SQL of it.
    names
        The columns as the files have them, in any letters, even twice the same.
    types
        DuckDB's type of each.
    lacking
        Columns that not every file has, each with the first file without it; they are null there.
    has_unread
        Whether a further column ``unread`` says what is wrong with a line that could not be split into cells.
    """

    relation: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    lacking: dict[str, Path] = field(default_factory=dict)
    has_unread: bool = False


@dataclass(frozen=True)
class _Part:
    """Files with the same columns: a relation with one column per name."""

    relation: str
    names: tuple[str, ...]
    path: Path
    has_unread: bool = False


@dataclass(frozen=True)
class Job:
    """Files to be opened as one relation.

    Parameters
    ----------
    connection
        Where temporary tables are made, with names that begin with ``label``.
    files
        How the files are to be read.
    paths
        The files, sorted.
    label
        A name that no other table of the connection has.
    scratch
        Folder for what has to be rewritten before it can be read; it must stay until the relation was.
    since
        Of a database, the watermark that rows must be above; null reads all.
    """

    connection: duckdb.DuckDBPyConnection
    files: Files
    paths: Sequence[Path]
    label: str
    scratch: Path
    since: str | None = None

    def part(self, number: int) -> str:
        """Return the name of the table of a file."""
        return f"{self.label} part {number}"


def read(job: Job, *, careful: bool = False) -> Raw:
    """Open files as one relation; most of the reading happens when the relation is queried.

    Parameters
    ----------
    job
        The files.
    careful
        Whether to read CSV files one by one, and those that DuckDB refuses line by line.

    Raises
    ------
    ContractError
        A file is empty, cut off, damaged, or of another kind than stated.
    ConfigError
        The mapping says something about the files that is not so.
    """
    reader = _careful if job.files.kind == "csv" and careful else _READERS[job.files.kind]
    return _joined(job.connection, list(reader(job)))


def read_rows(rows: Sequence[dict[str, Scalar]]) -> Raw:
    """Return rows that stand in the configuration itself, as text."""
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    values = ", ".join(f"({', '.join(literal(as_text(row.get(name))) for name in names)})" for row in rows)
    columns = ", ".join(f"CAST(v{n} AS VARCHAR) AS c{n}" for n in range(len(names)))
    inner = ", ".join(f"v{n}" for n in range(len(names)))
    return Raw(f"(SELECT {columns} FROM (VALUES {values}) AS given({inner}))", names, ("VARCHAR",) * len(names))


def _joined(connection: duckdb.DuckDBPyConnection, parts: Sequence[_Part]) -> Raw:
    """Put parts with different columns below each other, by name."""
    names = max((part.names for part in parts), key=len)
    names += tuple(dict.fromkeys(name for part in parts for name in part.names if name not in names))
    has_unread = any(part.has_unread for part in parts)
    selects = []
    for part in parts:
        cells = [f"c{part.names.index(name)}" if name in part.names else "NULL" for name in names]
        if part.names == names:
            # By place, because a name may stand twice.
            cells = [f"c{n}" for n in range(len(names))]
        unread = [f"{'unread' if part.has_unread else 'CAST(NULL AS VARCHAR)'} AS unread"] if has_unread else []
        aliased = [f"{cell} AS c{n}" for n, cell in enumerate(cells)]
        selects.append(f"SELECT {', '.join(aliased + unread)} FROM {part.relation}")
    relation = f"({' UNION ALL '.join(selects)})"
    types = [str(dtype) for _, dtype, *_ in connection.execute(f"DESCRIBE FROM {relation}").fetchall()]
    lacking = {
        name: next(part.path for part in parts if name not in part.names)
        for name in names
        if any(name not in part.names for part in parts)
    }
    return Raw(relation, names, tuple(types[: len(names)]), lacking, has_unread)


def _csv(job: Job) -> Iterator[_Part]:
    headers = {path: _header(path, job.files) for path in job.paths}
    number = 0
    for header, group in groupby(job.paths, key=headers.__getitem__):
        alike = list(group)
        sound = [_sound(job, path, header, number + place) for place, path in enumerate(alike)]
        number += len(alike)
        yield _Part(_read_csv(job.files, header, sound), header.names, alike[0])


def _sound(job: Job, path: Path, header: Header, number: int) -> Path:
    """Return a file that DuckDB reads as it is meant: this one, or a copy in UTF-8 with line ends of one kind.

    Where lines above the header end otherwise than those below it, DuckDB finds no rows and says nothing.
    """
    if job.files.encoding != "utf-8" or mixes_ends(path, job.files.encoding, header.n_lines + 1):
        return as_utf8(path, job.files.encoding, job.scratch / f"{job.label} {number}")
    if path.suffix == ".gz":
        check_gzip(path)
    return path


def _careful(job: Job) -> Iterator[_Part]:
    """Read each file by itself: by DuckDB where it can, line by line where it cannot."""
    for number, path in enumerate(job.paths):
        header, table = _header(path, job.files), job.part(number)
        source = _read_csv(job.files, header, [_sound(job, path, header, number)])
        try:
            # All columns, because lines are checked for the columns that are wanted only.
            job.connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(table)} AS FROM {source}")
        except duckdb.InvalidInputException:
            reading = Reading(path, job.files, header.names, header.n_lines)
            store(job.connection, table, len(header.names), reading.rows(), ["unread"])
            yield _Part(quoted(table), header.names, path, has_unread=True)
        else:
            yield _Part(quoted(table), header.names, path)


def _header(path: Path, files: Files) -> Header:
    """Return the header of a CSV file, unless it looks as if another delimiter had made it."""
    header = read_header(path, files)
    used = [sign for sign in _DELIMITERS if sign in header.names[0]]
    if len(header.names) == 1 and used:
        raise ContractError(
            f"{path} has one column, {header.names[0][:80]!r}, with the delimiter {files.delimiter!r}",
            "a header with several columns",
            f"set delimiter = {max(used, key=header.names[0].count)!r}",
        )
    return header


def _read_csv(files: Files, header: Header, paths: Sequence[Path]) -> str:
    """Return the SQL that reads CSV files with the same header, every column as text."""
    columns = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(header.names)))
    quote = literal(files.quote)
    return (
        f"read_csv([{', '.join(map(_address, paths))}], auto_detect = false, header = false, skip = {header.n_lines}, "
        f"delim = {literal(files.delimiter)}, quote = {quote}, escape = {quote}, columns = {{{columns}}})"
    )


def _address(path: Path) -> str:
    """Return the SQL of a file's name, in which no sign is a pattern."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path)))


def _fixed(job: Job) -> Iterator[_Part]:
    names = tuple(job.files.fields)
    if not names:
        raise ConfigError(
            f"{job.files.path} is fixed-width without fields",
            "the places of each column",
            "set fields = {name = [1, 6]}",
        )
    for number, path in enumerate(job.paths):
        table = job.part(number)
        store(
            job.connection, table, len(names), Reading(path, job.files, names, job.files.skip_lines).rows(), ["unread"]
        )
        yield _Part(quoted(table), names, path, has_unread=True)


def _parquet(job: Job) -> Iterator[_Part]:
    for names, group in groupby(job.paths, key=_parquet_names):
        alike = list(group)
        columns = ", ".join(f"{quoted(name)} AS c{n}" for n, name in enumerate(names))
        addresses = ", ".join(map(_address, alike))
        yield _Part(f"(SELECT {columns} FROM read_parquet([{addresses}], hive_partitioning = false))", names, alike[0])


def _parquet_names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise ContractError(
            f"{path} cannot be read: {str(error).splitlines()[0]}", "a whole Parquet file", "deliver the file again"
        ) from error
    if len({name.lower() for name in names}) < len(names):
        raise ContractError(
            f"{path} has columns of the same name", "columns of different names, whatever their case", "rename one"
        )
    return names


def _delta(job: Job) -> Iterator[_Part]:
    for number, path in enumerate(job.paths):
        try:
            dataset = DeltaTable(str(path)).to_pyarrow_dataset()
        except (DeltaError, OSError) as error:
            raise ContractError(
                f"{path} cannot be read: {str(error).splitlines()[0]}", "a Delta table", "name the table's own folder"
            ) from error
        view = job.part(number)
        job.connection.register(view, dataset)
        names = tuple(dataset.schema.names)
        columns = ", ".join(f"{quoted(name)} AS c{n}" for n, name in enumerate(names))
        yield _Part(f"(SELECT {columns} FROM {quoted(view)})", names, path)


def _excel(job: Job) -> Iterator[_Part]:
    for number, path in enumerate(job.paths):
        rows = sheet_rows(path, job.files)
        head = next(rows, [])
        while head and head[-1] is None:
            head.pop()
        if not head:
            raise ContractError(f"{path} has no header", "a row with the names of the columns", "set sheet, skip_lines")
        table, width = job.part(number), len(head)
        cells = (row[:width] + [None] * (width - len(row)) for row in rows if any(cell is not None for cell in row))
        store(job.connection, table, width, cells)
        yield _Part(quoted(table), tuple((name or "").strip() for name in head), path)


def _database(job: Job) -> Iterator[_Part]:
    table = job.part(0)
    names = copy_table(job.connection, job.files, table, job.since)
    yield _Part(quoted(table), names, Path(job.files.place))


_READERS: dict[Kind, Callable[[Job], Iterator[_Part]]] = {
    "csv": _csv,
    "fixed": _fixed,
    "parquet": _parquet,
    "excel": _excel,
    "delta": _delta,
    "database": _database,
}
