"""Sniff: which files there are, and how each is to be read: format, encoding, delimiter, header, fixed places.

Only the beginning, the middle and the end of a large file are looked at. What cannot be read is named with its reason
and left out.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import ConfigError, UserError
from data.sources.mapping import Files
from data.sources.text import open_text, readable

HEAD_LINES = 400
"""Lines of a text file that decide about its layout."""

_HEAD = 1 << 20
_PIECE = 1 << 18
_DELIMITERS = ",;\t|"
_ENDINGS = (".csv", ".txt", ".tsv", ".dat", ".parquet", ".xlsx")
_DATABASES = (".sqlite", ".sqlite3", ".db", ".db3")
_VALUE = re.compile(r"[-+]?[\d.,]+%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*")


@dataclass(frozen=True)
class Layout:
    """How one file, or one sheet of it, is to be read.

    Parameters
    ----------
    path
        The file, or the folder of a Delta table.
    files
        The settings that read it.
    names
        Its columns.
    has_bom
        Whether it begins with a byte-order mark.
    """

    path: Path
    files: Files
    names: tuple[str, ...]
    has_bom: bool = False


@dataclass(frozen=True)
class Skipped:
    """A file that is left out, and why."""

    path: Path
    reason: str


def find(paths: Sequence[Path]) -> list[Path]:
    """Return the files below paths, sorted, hidden ones left out; a Delta table counts as one.

    Raises
    ------
    ConfigError
        A path does not exist, or there is no file in any of them.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"no file or folder {path}", "files or folders with data", "correct the path")
        found += [path.absolute()] if path.is_file() else _below(path.absolute())
    if not found:
        where = ", ".join(map(str, paths))
        raise ConfigError(f"no files in {where}", "CSV, Parquet, Excel or Delta files", "name the folder that has them")
    return list(dict.fromkeys(found))


def _below(folder: Path) -> list[Path]:
    if (folder / "_delta_log").is_dir():
        return [folder]
    if (folder / "lake" / "snapshots").is_dir() or (folder / "readiness").is_dir():
        # What earlier nights wrote is no delivery.
        return []
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "~$")):
            continue
        found += _below(path) if path.is_dir() else [path]
    return found


def layouts(path: Path) -> list[Layout] | Skipped:
    """Return how a file is to be read, one layout per sheet of a workbook, or why it cannot be."""
    try:
        return [_delta(path)] if path.is_dir() else _of_file(path)
    except UserError as error:
        return Skipped(path, error.found.removeprefix(f"{path} "))
    except (OSError, pa.ArrowException, UnicodeError, ValueError) as error:
        return Skipped(path, str(getattr(error, "strerror", None) or error).splitlines()[0][:120])


def _of_file(path: Path) -> list[Layout] | Skipped:
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending in _DATABASES:
        return Skipped(path, "a database is read by its address: set connection and table in its section")
    if ending not in _ENDINGS:
        return Skipped(path, f"files that end in {ending or 'nothing'} are not read")
    if path.stat().st_size == 0:
        return Skipped(path, "the file is empty")
    if ending == ".parquet":
        return [Layout(path, Files(format="parquet"), tuple(pq.read_schema(path).names))]
    return _sheets(path) if ending == ".xlsx" else _text(path)


def _delta(path: Path) -> Layout:
    from deltalake import DeltaTable  # noqa: PLC0415 - few need it

    names = DeltaTable(str(path)).to_pyarrow_dataset().schema.names
    return Layout(path, Files(format="delta"), tuple(names))


def _sheets(path: Path) -> list[Layout] | Skipped:
    import openpyxl  # type: ignore[import-untyped]  # noqa: PLC0415 - it takes long to import

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged workbook fails in many ways
        return Skipped(path, f"no Excel workbook ({type(error).__name__})")
    found = []
    for place, title in enumerate(book.sheetnames):
        rows = [["" if cell is None else str(cell) for cell in row] for row in islice(_cells(book[title]), 50)]
        skip, names = _header(rows)
        if names:
            files = Files(format="excel", sheet=title if place else None, skip_lines=skip)
            found.append(Layout(path, files, names))
    book.close()
    return found or Skipped(path, "no sheet has a header and rows")


def _cells(sheet: object) -> Iterator[tuple[object, ...]]:
    rows: Iterator[tuple[object, ...]] = sheet.iter_rows(values_only=True) if hasattr(sheet, "iter_rows") else iter(())
    return rows


def _text(path: Path) -> list[Layout] | Skipped:
    encoding, has_bom = _encoding(path)
    if encoding is None:
        return Skipped(path, "binary, not text")
    with open_text(path, encoding) as stream:
        lines = list(islice(stream, HEAD_LINES))
    complete = lines if len(lines) < HEAD_LINES else lines[:-1]
    found = _delimited(path, complete, encoding)
    if found is None:
        found = _fixed(path, complete, encoding)
    if isinstance(found, Skipped):
        return found
    files, names = found
    return [Layout(path, files, names, has_bom)]


def _encoding(path: Path) -> tuple[str | None, bool]:
    """Return a text file's encoding and whether it has a byte-order mark; no encoding for what is no text."""
    head, pieces = _pieces(path)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", True
    has_bom = head.startswith(b"\xef\xbb\xbf")
    if b"\0" in head or sum(byte < 9 for byte in head[:4096]) > len(head[:4096]) // 100:
        return None, False
    for encoding in ("utf-8", "cp1252"):
        if all(_reads(piece, encoding) for piece in pieces):
            return encoding, has_bom
    return "latin-1", has_bom


def _pieces(path: Path) -> tuple[bytes, list[bytes]]:
    """Return the beginning of a file, and whole lines from several places of it."""
    import gzip  # noqa: PLC0415 - beside its use

    with readable(path):
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as stream:
                head = stream.read(8 * _HEAD)
            return head, [_whole(head)]
        size = path.stat().st_size
        with path.open("rb") as plain:
            head = plain.read(8 * _HEAD)
            pieces = [_whole(head)] if size > len(head) else [head]
            for step in range(1, 9) if size > len(head) else ():
                plain.seek(max(size * step // 8 - _PIECE, 0))
                pieces.append(_whole(plain.read(_PIECE).partition(b"\n")[2]))
    return head, pieces


def _whole(piece: bytes) -> bytes:
    """Return a piece without its last line, which may be cut inside of a letter."""
    return piece[: piece.rfind(b"\n") + 1] or piece


def _reads(piece: bytes, encoding: str) -> bool:
    try:
        piece.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _delimited(path: Path, lines: list[str], encoding: str) -> tuple[Files, tuple[str, ...]] | Skipped | None:
    """Return the layout of a file with a delimiter; null where no sign separates the same number of cells."""
    best: tuple[float, int, str, list[list[str]]] | None = None
    for delimiter in _DELIMITERS:
        rows = _split(lines, delimiter)
        widths = Counter(len(row) for row in rows if row)
        if not widths:
            continue
        width, count = max(widths.items(), key=lambda found: (found[0] > 1, found[1]))
        share = count / sum(widths.values())
        if width > 1 and share >= 0.7 and (best is None or (round(share, 1), width) > best[:2]):
            best = (round(share, 1), width, delimiter, rows)
    if best is None:
        return None
    skip, names = _header(best[3], {len(row) for row in best[3] if len(row) == best[1]})
    if not names:
        return Skipped(path, "the first line looks like data: add a line with the names of the columns")
    files = Files(format="csv", delimiter=best[2], encoding=encoding, skip_lines=skip)
    return files, names


def _split(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        rows.extend(csv.reader(StringIO("".join(lines), newline=""), delimiter=delimiter))
    except csv.Error:
        rows = [line.rstrip("\r\n").split(delimiter) for line in lines]
    return rows


def _header(rows: Sequence[Sequence[str]], widths: set[int] | None = None) -> tuple[int, tuple[str, ...]]:
    """Return how many rows come before the header, and its names; no names where the first row looks like data."""
    if widths is None:
        full = Counter(sum(bool(cell.strip()) for cell in row) for row in rows)
        widths = {max(full, key=lambda width: (full[width] > 1, width), default=0)}
    for skip, row in enumerate(rows):
        names = [name.strip() for name in row]
        while names and not names[-1] and len(names) not in widths:
            names.pop()
        if len(names) not in widths or len(names) < 2:
            continue
        if sum(not name for name in names) > 1:
            continue
        is_data = any(_VALUE.fullmatch(name) for name in names)
        return (0, ()) if is_data else (skip, tuple(names))
    return 0, ()


def _fixed(path: Path, lines: list[str], encoding: str) -> tuple[Files, tuple[str, ...]] | Skipped:
    """Return the layout of a file whose columns stand at the same places of each line."""
    texts = [line.rstrip("\r\n") for line in lines if line.strip()]
    has_header = len(texts) > 1 and not any(_VALUE.fullmatch(word) for word in texts[0].split())
    rows = texts[has_header:]
    lengths = Counter(map(len, rows))
    if not rows or lengths.most_common(1)[0][1] < 0.9 * len(rows):
        return Skipped(path, "no delimiter and no fixed places separate columns")
    places = _places(rows, max(lengths))
    if len(places) < 2 or not any(sign.isdigit() for sign in rows[0]):
        return Skipped(path, "one column only")
    names = texts[0].split() if has_header else []
    if len(names) != len(places):
        names = [f"column_{number}" for number in range(1, len(places) + 1)]
    fields = dict(zip(names, places, strict=True))
    return Files(format="fixed", encoding=encoding, skip_lines=int(has_header), fields=fields), tuple(names)


def _places(rows: Sequence[str], width: int) -> list[tuple[int, int]]:
    """Return first and last place of each column: blanks in every row part them, and belong to the side that is ragged.

    A number that stands at the right may be longer elsewhere, so that the blanks before it are its own.
    """
    used = [any(row[place : place + 1].strip() for row in rows) for place in range(width)]
    runs: list[tuple[int, int]] = []
    for place in range(width):
        if used[place] and (place == 0 or not used[place - 1]):
            runs.append((place, place))
        elif used[place]:
            runs[-1] = (runs[-1][0], place)
    sides = [[all(row[place : place + 1].strip() for row in rows) for place in run] for run in runs]
    found: list[tuple[int, int]] = []
    begin = 0
    for number, (first, last) in enumerate(runs):
        (is_left, is_right), is_last = sides[number], number + 1 == len(runs)
        limit = width if is_last else runs[number + 1][0]
        gap = limit - last - 1
        wants, next_wants = is_left and not is_right, not is_last and sides[number + 1] == [False, True]
        end = last + 1 + (gap // (2 if next_wants else 1) if wants else 0)
        found.append((begin + 1 if is_right and not is_left else first + 1, end))
        begin = end
    return found
