"""Text files read line by line: headers, fixed-width files, other encodings, and whatever DuckDB's parser refuses.

DuckDB reads a sound CSV file several times faster, so that this is for the others. A line that does not read keeps
its text, its number and what is wrong with it, and the lines after it are read as if it were not there.
"""
# ruff: noqa: S608 - every name goes through quoted()

import csv
import gzip
import shutil
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import duckdb
import pyarrow as pa

from data.contracts.base import quoted
from data.errors import ContractError
from data.sources.mapping import Files

REPLACEMENT = "\ufffd"
"""What stands for bytes that are no text in the file's encoding; the contracts reject a row that has it."""

MAX_UNREAD_SHARE = 0.05
"""Share of lines that cannot be read above which a file is refused: it is then another kind of file."""

_SHOWN = 200
_HEAD_LINES = 100
_CHUNK = 1 << 20
_BATCH = 20_000


@dataclass(frozen=True)
class Header:
    """The names in a file's header, and how many lines come before the first row."""

    names: tuple[str, ...]
    n_lines: int


@dataclass
class Reading:
    """One pass over a file's rows; it counts what it could not read.

    Parameters
    ----------
    path
        The file.
    files
        How it is to be read.
    names
        Its columns.
    n_skipped
        Lines before the first row.
    """

    path: Path
    files: Files
    names: tuple[str, ...]
    n_skipped: int
    n_rows: int = 0
    n_unread: int = 0
    first_unread: str = ""

    def rows(self) -> Iterator[list[str | None]]:
        """Yield the cells of each row, and behind them what is wrong with the row: null where nothing is.

        Raises
        ------
        ContractError
            The file is cut off, or more than a share of ``MAX_UNREAD_SHARE`` of its lines cannot be read.
        """
        with open_text(self.path, self.files.encoding) as stream:
            for _ in range(self.n_skipped):
                stream.readline()
            split = self._fixed if self.files.kind == "fixed" else self._delimited
            for row in split(_Lines(enumerate(stream, self.n_skipped + 1))):
                self.n_rows += 1
                yield row
        if self.n_unread > MAX_UNREAD_SHARE * self.n_rows:
            raise ContractError(
                f"{self.n_unread:,} of {self.n_rows:,} lines of {self.path} cannot be read, first {self.first_unread}",
                f"text in {self.files.encoding} with {len(self.names)} cells to a line",
                "set encoding, delimiter and quote for this file, or deliver it again",
            )

    def _fixed(self, lines: "_Lines") -> Iterator[list[str | None]]:
        places = list(self.files.fields.values())
        for line in lines:
            cells: list[str | None] = [line[first - 1 : last].strip() for first, last in places]
            self._note_letters(lines.taken)
            lines.taken.clear()
            # The end-of-file mark of DOS is no row.
            if line.strip("\r\n\x1a \t"):
                yield [*cells, None]

    def _delimited(self, lines: "_Lines") -> Iterator[list[str | None]]:
        width = len(self.names)
        reader = reader_of(lines, self.files)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._unread(lines, str(error))
                continue
            if len(cells) == width:
                self._note_letters(lines.taken)
                yield [*cells, None]
            elif cells:
                yield self._unread(lines, f"{len(cells)} cells, not {width}")
            lines.taken.clear()

    def _unread(self, lines: "_Lines", problem: str) -> list[str | None]:
        """Return the row of a line that does not parse, and give back the lines that it swallowed."""
        number, line = lines.taken[0]
        lines.give_back()
        self._note(f"line {number}: {problem}")
        shown = line[:_SHOWN].rstrip("\r\n")
        return [None] * len(self.names) + [f"{REPLACEMENT} line {number} of {self.path.name}: {problem}: {shown}"]

    def _note_letters(self, taken: list[tuple[int, str]]) -> None:
        if any(REPLACEMENT in line for _, line in taken):
            self._note(f"line {taken[0][0]}: bytes that are no {self.files.encoding}")

    def _note(self, problem: str) -> None:
        self.n_unread += 1
        self.first_unread = self.first_unread or problem


class _Lines:
    """Numbered lines, of which some can be given back; it can be asked again after its end."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._again: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        taken = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(taken)
        return taken[1]

    def give_back(self) -> None:
        """Give back all lines that were taken but the first."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.taken.clear()


def reader_of(lines: Iterator[str], files: Files) -> Iterator[list[str]]:
    """Return Python's strict CSV reader of lines."""
    if not files.quote:
        return csv.reader(lines, delimiter=files.delimiter, quoting=csv.QUOTE_NONE, strict=True)
    return csv.reader(lines, delimiter=files.delimiter, quotechar=files.quote, strict=True)


def read_header(path: Path, files: Files) -> Header:
    """Return the header of a CSV file.

    Raises
    ------
    ContractError
        The file is empty, is cut off, or has a header that cannot be read.
    """
    with open_text(path, files.encoding) as stream:
        for _ in range(files.skip_lines):
            stream.readline()
        counted = _Counted(stream)
        try:
            names = next(reader_of(counted, files), [])
        except csv.Error as error:
            names = []
            problem = f"the header of {path} cannot be read: {error}"
        else:
            problem = f"{path} has no header" if path.stat().st_size else f"{path} is empty"
    if not names or REPLACEMENT in "".join(names) or "\0" in "".join(names):
        problem = problem if not names else f"the header of {path} is no {files.encoding}"
        raise ContractError(
            problem, "a line with the names of the columns, then rows", "set encoding and quote, or deliver it again"
        )
    return Header(tuple(name.strip() for name in names), files.skip_lines + counted.n_lines)


class _Counted:
    """Lines of a stream that are counted as they are taken."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.n_lines = 0

    def __iter__(self) -> "_Counted":
        return self

    def __next__(self) -> str:
        line = next(self.stream)
        self.n_lines += 1
        return line


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a text file, plain or gzip, without its byte-order mark and with its line ends as they are.

    Raises
    ------
    ContractError
        It cannot be read, or a gzip file is cut off or damaged; the error may come at any line.
    """
    known = "utf-8-sig" if encoding == "utf-8" else encoding
    with readable(path):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding=known, errors="replace", newline="") as stream:
            yield stream


def check_gzip(path: Path) -> None:
    """Read a gzip file to its end, because DuckDB takes what is there of one that was cut off for the whole.

    Raises
    ------
    ContractError
        It is cut off or damaged.
    """
    with readable(path), gzip.open(path, "rb") as stream:
        while stream.read(_CHUNK):
            pass


def mixes_ends(path: Path, encoding: str, n_lines: int) -> bool:
    """Return whether the first lines of a file end in different ways.

    Raises
    ------
    ContractError
        The file cannot be read.
    """
    with open_text(path, encoding) as stream:
        ends = {line[len(line.rstrip("\r\n")) :] for line in islice(stream, n_lines)}
    return len(ends - {""}) > 1


def as_utf8(path: Path, encoding: str, target: Path) -> Path:
    """Write a text file in UTF-8 without a byte-order mark, with line feeds where ends differ, and return where it is.

    Raises
    ------
    ContractError
        The file is cut off or damaged.
    """
    is_mixed = mixes_ends(path, encoding, _HEAD_LINES)
    with open_text(path, encoding) as stream, target.open("w", encoding="utf-8", newline="") as copy:
        if is_mixed:
            copy.writelines(f"{line.rstrip(chr(13) + chr(10))}\n" for line in stream)
        else:
            shutil.copyfileobj(stream, copy, _CHUNK)
    return target


def store(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    width: int,
    rows: Iterable[Sequence[str | None]],
    further: Sequence[str] = (),
) -> None:
    """Write rows of text into a temporary table, some at a time."""
    names = [*(f"c{n}" for n in range(width)), *further]
    schema = pa.schema([(name, pa.string()) for name in names])
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {quoted(table)} ({', '.join(f'{name} VARCHAR' for name in names)})"
    )
    source = iter(rows)
    while batch := list(islice(source, _BATCH)):
        columns = [pa.array(cells, pa.string()) for cells in zip(*batch, strict=True)]
        connection.register("regulars batch", pa.table(columns, schema=schema))
        cells = ", ".join(f"nullif({name}, '')" for name in names)
        connection.execute(f'INSERT INTO {quoted(table)} SELECT {cells} FROM "regulars batch"')
        connection.unregister("regulars batch")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what can go wrong with a file's bytes into a user's error that names it.

    Raises
    ------
    ContractError
        It cannot be opened, or is cut off or damaged.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ContractError(f"{path} cannot be read: {reason}", "a whole file", "deliver the file again") from error
