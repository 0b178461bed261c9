"""Traces: what names a customer, and where it is found: in bytes, archives, databases and decoded Parquet cells.

An id such as ``12`` is also a count, a product and a part of a date. So an id counts anywhere only if it is like no
other word: six characters or more with digits or signs among letters, nine digits, or twenty letters. Any other id
counts where ids of customers stand: in a column or behind a key with ``customer_id`` in its name, or alone in a cell of
a workbook.
"""

import bz2
import csv
import gzip
import html
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.contracts.base import quoted

BLANK = b"[erased]"
"""What stands where a trace was taken out of a text."""

_CUSTOMER = "customer_id"
_CHUNK = 8 << 20
_MARGIN = 4096
_BETWEEN_DIGITS = b" \t\r\n().-/"
_N_PHONE_DIGITS = 7


def is_customer_column(name: str) -> bool:
    """Say whether a column or key holds ids of customers, which is a matter of its name.

    Examples
    --------
    >>> is_customer_column("customer_id"), is_customer_column("other_customer_id"), is_customer_column("order_id")
    (True, True, False)
    """
    return _CUSTOMER in name.casefold()


def is_distinctive(customer_id: str) -> bool:
    """Say whether an id is like no other word or number, so that it counts wherever it stands.

    Examples
    --------
    >>> is_distinctive("C-10482"), is_distinctive("512"), is_distinctive("Berlin"), is_distinctive("100000482")
    (True, False, False, True)
    """
    is_number = customer_id.isdecimal()
    least = 9 if is_number else 20 if customer_id.isalpha() else 6
    return len(customer_id) >= least


@dataclass(frozen=True)
class Traces:
    """What names some customers.

    Parameters
    ----------
    ids
        Their ids.
    contacts
        Their e-mail addresses and phone numbers.

    Examples
    --------
    >>> traces = Traces(frozenset({"12", "C-10482"}), frozenset({"anna@example.org"}))
    >>> traces.count(b"512, 12, C-10482, C-104823, Anna@Example.org, joanna@example.org")
    2
    >>> traces.count(b'{"customer_id": "12"} {"customer_id": "512"}')
    1
    """

    ids: frozenset[str]
    contacts: frozenset[str] = frozenset()

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """The pattern that finds every trace in bytes."""
        parts = [_bounded(_any_of(spellings(one))) for one in sorted(self.ids) if is_distinctive(one)]
        parts += [_behind_its_name(one) for one in sorted(self.ids) if not is_distinctive(one)]
        parts += [_contact(one) for one in sorted(self.contacts)]
        return re.compile(b"|".join(parts) if parts else b"(?!)", re.IGNORECASE)

    @cached_property
    def _anywhere(self) -> str | None:
        """The values without their borders, which RE2, the engine that searches columns, does not know."""
        values = [re.escape(one) for one in sorted(self.ids) if is_distinctive(one)]
        values += [_digits_apart(one) if _is_phone(one) else re.escape(one) for one in sorted(self.contacts)]
        values += [f"{_CUSTOMER}\\W{{1,9}}{re.escape(one)}" for one in sorted(self.ids) if not is_distinctive(one)]
        return "(?i)" + "|".join(f"(?:{value})" for value in values) if values else None

    @cached_property
    def _needles(self) -> tuple[bytes, ...]:
        """Words without one of which there is no trace, in lower case."""
        whole = [one for one in self.ids if is_distinctive(one)] + [one for one in self.contacts if not _is_phone(one)]
        words = {spelled.lower() for one in whole for spelled in spellings(one)}
        has_short = not all(map(is_distinctive, self.ids))
        return (*sorted(words), *([_CUSTOMER.encode()] if has_short else []))

    @cached_property
    def _numbers(self) -> tuple[bytes, ...]:
        return tuple(re.sub(r"\D", "", one).encode() for one in self.contacts if _is_phone(one))

    def _may_be_in(self, content: bytes) -> bool:
        """Say whether the pattern is worth its time, which is a hundred times that of looking for a word."""
        low = content.lower()
        if any(word in low for word in self._needles):
            return True
        bare = low.translate(None, _BETWEEN_DIGITS) if self._numbers else b""
        return any(number in bare for number in self._numbers)

    def count(self, content: bytes) -> int:
        """Return how many traces some bytes hold."""
        return sum(1 for _ in self.pattern.finditer(content)) if self._may_be_in(content) else 0

    def blanked(self, content: bytes) -> bytes:
        """Return bytes without their traces."""
        return self.pattern.sub(BLANK, content) if self._may_be_in(content) else content

    def column(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column of text without its traces; the very same where it has none."""
        if self._anywhere is None:
            return values
        known = pc.unique(values)
        suspects = known.filter(pc.fill_null(pc.match_substring_regex(known, self._anywhere), False)).to_pylist()
        changed = {text: new for text in suspects if (new := self.blanked(text.encode()).decode()) != text}
        if not changed:
            return values
        place = pc.index_in(values, pa.array(list(changed), values.type))
        return pc.coalesce(pc.take(pa.array(list(changed.values()), values.type), place), values)

    def in_file(self, path: Path) -> int:
        """Return how many traces a file holds, in its bytes and in what they decode to."""
        with path.open("rb") as handle:
            head = handle.read(16)
        if head.startswith(b"PAR1"):
            return self._in_raw(path) + self._in_parquet(path)
        if head.startswith(b"SQLite format 3"):
            return self._in_raw(path) + self._in_sqlite(path)
        found = self._in_raw(path)
        if head.startswith(b"PK") and zipfile.is_zipfile(path):
            return found + self._in_zip(path)
        if head.startswith((b"\x1f\x8b", b"BZh")):
            opened = gzip.open if head.startswith(b"\x1f\x8b") else bz2.open
            with opened(path, "rb") as stream:
                return found + self.count(stream.read())
        return found + (self._in_csv(path) if path.suffix.casefold() in {".csv", ".tsv", ".txt"} else 0)

    def _in_raw(self, path: Path) -> int:
        found, rest = 0, b""
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                content = rest + chunk
                # What begins in the margin is counted with the next chunk, where its end is known.
                limit = len(content) if len(chunk) < _CHUNK else len(content) - _MARGIN
                if self._may_be_in(content):
                    found += sum(1 for match in self.pattern.finditer(content) if match.start() < limit)
                rest = content[limit:]
        return found

    def _in_parquet(self, path: Path) -> int:
        found = 0
        with pq.ParquetFile(path) as source:
            names = [field.name for field in source.schema_arrow if is_text(field.type)]
            for group in range(source.num_row_groups):
                part = source.read_row_group(group, names)
                for name in names:
                    cells = part[name]
                    if is_customer_column(name):
                        found += pc.sum(pc.is_in(cells, pa.array(list(self.ids), pa.string()))).as_py() or 0
                    found += 0 if self.column(cells) is cells else 1
        return found

    def _in_sqlite(self, path: Path) -> int:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as store:
            return sum(self.count(text) for _, _, _, text in texts_of(store))

    def _in_zip(self, path: Path) -> int:
        short = [html.escape(one).encode() for one in sorted(self.ids) if not is_distinctive(one)]
        alone = re.compile(rb"<t[^>]*>\s*" + _any_of(short) + rb"\s*</t>") if short else None
        found = 0
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                content = archive.read(name)
                found += self.count(content)
                if alone is not None and name.endswith(".xml") and any(one in content for one in short):
                    found += len(alone.findall(content))
        return found

    def _in_csv(self, path: Path) -> int:
        text = path.read_text(encoding="utf-8", errors="replace")
        head = text.split("\n", 1)[0]
        rows = csv.reader(io.StringIO(text), delimiter=max(",;\t|", key=head.count))
        try:
            names = [name.strip().replace(" ", "_") for name in next(rows, [])]
            columns = {place for place, name in enumerate(names) if is_customer_column(name)}
            # An apostrophe keeps a spreadsheet from taking the id for a formula.
            cells = (cell for row in rows for place, cell in enumerate(row) if place in columns)
            return sum(cell.lstrip("'").strip() in self.ids for cell in cells)
        except csv.Error:
            return 0


def texts_of(store: sqlite3.Connection) -> Iterator[tuple[str, str, int, bytes]]:
    """Yield every text and blob of a SQLite database: table, column, row and value as bytes."""
    names = store.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%WITHOUT ROWID%'")
    for (table,) in names.fetchall():
        columns = [row[1] for row in store.execute(f"PRAGMA table_info({quoted(table)})").fetchall()]
        for column in columns:
            sql = f"SELECT rowid, CAST({quoted(column)} AS BLOB) FROM {quoted(table)} "  # noqa: S608 - quoted
            for row, value in store.execute(f"{sql} WHERE typeof({quoted(column)}) IN ('text', 'blob')"):
                yield table, column, row, value


def spellings(value: str) -> list[bytes]:
    """Return a value as text, JSON, HTML and URLs spell it."""
    ways = [value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)]
    ways += [html.escape(value, quote=False), html.escape(value).replace("&#x27;", "&#39;"), quote(value, safe="")]
    ways += [json.dumps(json.dumps(value)[1:-1])[1:-1], value.replace("'", "''"), repr(value)[1:-1]]
    return sorted({way.encode("utf-8", "surrogatepass") for way in ways}, key=lambda way: (-len(way), way))


def is_text(kind: pa.DataType) -> bool:
    """Say whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _any_of(values: Iterable[bytes]) -> bytes:
    return b"(?:" + b"|".join(re.escape(value) for value in values) + b")"


def _bounded(inner: bytes) -> bytes:
    # Neither part of a longer word, nor of a longer number or id: 0.100000482, 100000482.5, 2024-100000482.
    return rb"(?<![0-9A-Za-z\x80-\xff])(?<![0-9][.,-])" + inner + rb"(?![0-9A-Za-z\x80-\xff])(?![.,-][0-9])"


def _behind_its_name(customer_id: str) -> bytes:
    inner = _any_of(spellings(customer_id))
    return rb"customer_id[\"'\\]{0,5}\s{0,2}[:=]\s{0,2}[\"'\\]{0,5}" + inner + rb"(?![0-9A-Za-z\x80-\xff])"


def _contact(value: str) -> bytes:
    if _is_phone(value):
        return rb"(?<![0-9A-Za-z])\+?" + _digits_apart(value).encode() + rb"(?![0-9A-Za-z])"
    # In an address a dot or a dash before it belongs to it, and makes it another one.
    before, after = rb"(?<![0-9A-Za-z.+_\x80-\xff-])", rb"(?![0-9A-Za-z\x80-\xff])(?![.-][0-9A-Za-z])"
    return before + _any_of(spellings(value)) + after


def _is_phone(value: str) -> bool:
    digits = re.sub(r"\D", "", value)
    return len(digits) >= _N_PHONE_DIGITS and not re.search(r"[^\d\s().+/-]", value)


def _digits_apart(value: str) -> str:
    """Return a pattern for a phone number, however its digits are grouped."""
    return r"[ \t\r\n().\/-]{0,3}".join(re.sub(r"\D", "", value))
