"""Profile: what each column of a sample holds, by counting.

Figures are of the rows that were looked at. Texts of a column are kept only where there are few different ones, and
none where the column looks like personal data.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import duckdb

from data.contracts.base import quoted
from data.discovery.dates import Dates, read_dates
from data.discovery.sample import Sample, cell, is_in
from data.discovery.words import about, is_personal, language
from data.sources import cells
from data.sources.cells import TEXT, Cell

FEW = 60
"""Different texts up to which a column's texts are kept."""

_LOOKED_AT = 4_000
_SHOWN_LENGTH = 60
_MISSING = (
    "NULL",
    "null",
    "N/A",
    "n/a",
    "NA",
    "#N/A",
    "NaN",
    "nan",
    "None",
    "none",
    r"\N",
    "-",
    "--",
    "?",
    "#NV",
    "NaT",
)
_YES_NO = frozenset("yes no y n true false t f 1 0 ja nein j oui non o si s sim nao nej Yes No".casefold().split())
_CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP", "R$": "BRL", "kr": "SEK", "Fr": "CHF", "¥": "JPY", "zł": "PLN",
               "Kč": "CZK", "Ft": "HUF", "₹": "INR"}  # fmt: skip
_BESIDE = rf"(?:[\s$€£¥₹₩₺₪]|{cells.CURRENCY_WORDS})*"
_NUMBER = re.compile(rf"{_BESIDE}[-+(]?{_BESIDE}\d[\d.,' ]*{_BESIDE}[-)]?{_BESIDE}")
_USUAL = str.maketrans(cells.UNUSUAL_SIGNS, cells.USUAL_SIGNS)
_CLOCK = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_CODED = re.compile(r"[A-Za-z0-9]+(?:[-_./:#][A-Za-z0-9]+)*")


@dataclass(frozen=True)
class ColumnProfile:
    """What is known of one column.

    Parameters
    ----------
    name, place, dtype
        Its name, its number from 0, and DuckDB's type.
    n_rows, n_null, n_distinct
        Counts of what was looked at.
    kind
        ``empty``, ``number``, ``date``, ``flag`` or ``text``. A column of digits is a number, whatever they mean.
    dates
        How texts are dates.
    decimal, thousands
        Signs that the numbers show; null where none does.
    currency
        Code of a sign beside the numbers.
    missing
        Marks of a missing value among them.
    is_whole_float
        Whether whole numbers were written as ``17850.0``.
    has_leading_zeros
        Whether some begin with a zero that a number would lose.
    low, high, median
        Of numbers.
    n_negative, n_fractional
        How many rows are below zero, and how many are no whole numbers.
    n_unreadable
        Rows that hold no number although the column is one.
    values
        The different texts with their rows, where there are few.
    is_personal
        Whether it looks like names, addresses or ways to reach a person.
    is_code
        Whether the texts are single words or codes, as ids are.
    clock
        How texts are times of the day without a day, as ``strptime`` has it; empty where they are none.
    """

    name: str
    place: int
    dtype: str
    n_rows: int
    n_null: int
    n_distinct: int
    kind: str = "text"
    dates: Dates | None = None
    decimal: str | None = None
    thousands: str = ""
    currency: str | None = None
    missing: tuple[str, ...] = ()
    is_whole_float: bool = False
    has_leading_zeros: bool = False
    low: float | None = None
    high: float | None = None
    median: float | None = None
    n_negative: int = 0
    n_fractional: int = 0
    n_unreadable: int = 0
    values: dict[str, int] = field(default_factory=dict)
    is_personal: bool = False
    is_code: bool = False
    clock: str = ""

    @property
    def n_filled(self) -> int:
        """Rows that hold something."""
        return self.n_rows - self.n_null

    @property
    def null_share(self) -> float:
        """Share of rows without a value."""
        return self.n_null / self.n_rows if self.n_rows else 1.0

    @property
    def is_unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.n_rows > 0 and self.n_null == 0 and self.n_distinct == self.n_rows

    @property
    def about(self) -> frozenset[str]:
        """What its name is about."""
        return about(self.name)

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers."""
        return self.kind in {"number", "flag"} and self.low is not None and self.n_fractional == 0

    @property
    def is_typed(self) -> bool:
        """Whether its file says what type it has."""
        return self.dtype != TEXT and not self.dtype.startswith("ENUM(")


@dataclass(frozen=True)
class Profile:
    """A sample with its columns, the signs of its numbers, and the language of its names."""

    sample: Sample
    columns: tuple[ColumnProfile, ...]
    decimal: str = "."
    thousands: str = ""
    language: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """A short name for people."""
        return self.sample.files.label

    def column(self, name: str) -> ColumnProfile:
        """Return the column of a name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def usable(self) -> list[ColumnProfile]:
        """Columns that hold something and whose name is theirs alone."""
        names = [column.name for column in self.columns]
        return [column for column in self.columns if column.kind != "empty" and names.count(column.name) == 1]


def profile(connection: duckdb.DuckDBPyConnection, sample: Sample) -> Profile:
    """Count what the columns of a sample hold."""
    first = [_counted(connection, sample, place) for place in range(len(sample.files.layout.names))]
    decimal, thousands, notes = _signs(first)
    columns = tuple(_measured(connection, sample, column, decimal, thousands) for column in first)
    spoken = language([column.name for column in columns if column.name])
    return Profile(sample, columns, decimal, thousands, spoken, notes)


def _counted(connection: duckdb.DuckDBPyConnection, sample: Sample, place: int) -> ColumnProfile:
    """Return what a column's different texts say."""
    name, dtype, text = sample.files.layout.names[place], sample.types[place], cell(place)
    grouped = f"(SELECT {text} AS v, count(*) AS n FROM {quoted(sample.table)} GROUP BY 1)"
    ((n_rows, n_null, n_distinct),) = connection.execute(
        f"SELECT sum(n), coalesce(sum(n) FILTER (v IS NULL), 0), count(v) FROM {grouped}"
    ).fetchall()
    column = ColumnProfile(name, place, dtype, int(n_rows or 0), int(n_null), int(n_distinct))
    if not name or not column.n_distinct:
        return replace(column, kind="empty")
    found = connection.execute(
        f"SELECT v, n FROM {grouped} WHERE v IS NOT NULL ORDER BY hash(v), v LIMIT {_LOOKED_AT}"
    ).fetchall()
    counts = {str(value): int(n) for value, n in found}
    return _described(column, counts)


def _described(column: ColumnProfile, counts: dict[str, int]) -> ColumnProfile:
    """Return a column with what its texts look like."""
    missing = tuple(mark for mark in _MISSING if mark in counts)
    texts = [text for text in counts if text not in missing]
    if not texts:
        return replace(column, kind="empty")
    mails = sum("@" in text for text in texts) > 0.5 * len(texts)
    is_private = mails or (is_personal(column.name) and not ("phone" in column.about and max(map(len, texts)) < 6))
    shown = {text: counts[text] for text in sorted(texts)} if column.n_distinct <= FEW and not is_private else {}
    column = replace(
        column,
        values={text: n for text, n in shown.items() if len(text) <= _SHOWN_LENGTH},
        is_personal=is_private,
        is_code=sum(bool(_CODED.fullmatch(text)) for text in texts) >= 0.95 * len(texts),
        has_leading_zeros=any(len(text) > 1 and text.startswith("0") and text.isdigit() for text in texts),
        clock=_clock(texts),
        is_whole_float=all(re.fullmatch(r"-?\d+\.0", text) for text in texts),
    )
    if column.is_typed:
        return replace(column, kind=_kind(column.dtype))
    numbers = [text for text in (text.translate(_USUAL) for text in texts) if _NUMBER.fullmatch(text)]
    dates = read_dates(texts) or _seconds(column, texts)
    if dates is not None:
        return replace(column, kind="date", dates=dates, missing=missing)
    if len(numbers) >= 0.98 * len(texts) or (len(numbers) >= 0.9 * len(texts) and missing):
        decimal, thousands = _separators(numbers)
        return replace(
            column, kind="number", decimal=decimal, thousands=thousands, currency=_currency(numbers), missing=missing
        )
    is_flag = len(texts) <= 2 and {text.casefold() for text in texts} <= _YES_NO
    marks = tuple(mark for mark in missing if mark in {"NULL", "null", r"\N", "#N/A", "NaN", "nan", "#NV", "NaT"})
    return replace(column, kind="flag" if is_flag else "text", missing=marks)


def _clock(texts: Sequence[str]) -> str:
    """Return the format of times of the day, empty where not all texts are such, or not alike."""
    found = [_CLOCK.fullmatch(text) for text in texts]
    seconds = {bool(one[1]) for one in found if one is not None}
    return ("%H:%M:%S" if seconds.pop() else "%H:%M") if all(found) and len(seconds) == 1 else ""


def _seconds(column: ColumnProfile, texts: Sequence[str]) -> Dates | None:
    """Return seconds or milliseconds since 1970 as dates, in a column whose name says that it is a time."""
    if "time" not in column.about:
        return None
    for form, digits, unit in (("epoch", "9,10", "seconds"), ("epoch_ms", "12,13", "milliseconds")):
        if all(re.fullmatch(rf"\d{{{digits}}}(\.\d+)?", text) for text in texts):
            return Dates((form,), evidence=f"{unit} since 1970", has_clock=True)
    return None


def _kind(dtype: str) -> str:
    if dtype == "BOOLEAN":
        return "flag"
    if dtype.startswith(("TIMESTAMP", "DATE")):
        return "date"
    return "number" if re.match(r"U?(TINY|SMALL|BIG|HUGE)?INT|INTEGER|UINTEGER|FLOAT|DOUBLE|DECIMAL", dtype) else "text"


def _currency(numbers: Sequence[str]) -> str | None:
    signs = [re.sub(r"[-+()\d.,'\s]", "", text) for text in numbers]
    found = {sign for sign in signs if sign}
    sign = found.pop() if len(found) == 1 and sum(map(bool, signs)) > len(signs) / 2 else ""
    return _CURRENCIES.get(sign if sign != "Kr" else "kr", sign.upper() if len(sign) == 3 else None)


def _separators(numbers: Sequence[str]) -> tuple[str | None, str]:
    """Return the decimal sign and that of thousands that numbers show."""
    plain = [re.sub(r"^\D+|\D+$", "", text) for text in numbers]
    both = [text for text in plain if "." in text and "," in text]
    if both:
        return (",", ".") if sum(text.rfind(",") > text.rfind(".") for text in both) * 2 > len(both) else (".", ",")
    spaced = next((sign for sign in (" ", "'") if any(re.search(rf"\d{sign}\d{{3}}\b", text) for text in plain)), "")
    for sign, other in ((",", "."), (".", ",")):
        used = [text for text in plain if sign in text]
        grouped = all(re.fullmatch(rf"[-+]?[1-9]\d{{0,2}}(\{sign}\d{{3}})+", text) for text in used)
        if used and not (grouped and (sign == "," or any(text.count(sign) > 1 for text in used))):
            return sign, spaced
        if used:
            return (None, sign) if sign == "," else (other, sign)
    return None, spaced


def _signs(columns: Sequence[ColumnProfile]) -> tuple[str, str, tuple[str, ...]]:
    """Return the signs of a table's numbers: a mapping has one pair of signs for a whole table."""
    texts = [column for column in columns if column.kind == "number" and not column.is_typed]
    votes = [column.decimal for column in texts if column.decimal is not None]
    decimal = max(sorted(set(votes)), key=votes.count) if votes else "."
    groups = [column.thousands for column in texts if column.thousands and column.thousands != decimal]
    thousands = max(sorted(set(groups)), key=groups.count) if groups else ""
    odd = [column.name for column in texts if column.decimal not in {None, decimal}]
    notes = (f"UNSURE: {', '.join(odd)} shows another decimal sign than {decimal!r}",) if odd else ()
    return decimal, thousands, notes


def _measured(
    connection: duckdb.DuckDBPyConnection, sample: Sample, column: ColumnProfile, decimal: str, thousands: str
) -> ColumnProfile:
    """Return a column of numbers with its range."""
    if column.kind not in {"number", "date"} or (column.kind == "date" and not _is_compact(column)):
        return column
    name = quoted(f"c{column.place}")
    value = cells.number(Cell(name, column.dtype if column.is_typed else TEXT), decimal, thousands, "DOUBLE")
    blank = is_in(f"trim({name})", ["", *column.missing]) if not column.is_typed else f"{name} IS NULL"
    ((low, high, median, n_negative, n_fractional, n_bad),) = connection.execute(
        f"""SELECT min(v), max(v), median(v), count(*) FILTER (v < 0), count(*) FILTER (v <> round(v)),
        count(*) FILTER (v IS NULL AND NOT is_blank)
        FROM (SELECT {value} AS v, coalesce({blank}, true) AS is_blank FROM {quoted(sample.table)})"""
    ).fetchall()
    return replace(
        column,
        low=low,
        high=high,
        median=median,
        n_negative=n_negative,
        n_fractional=n_fractional,
        n_unreadable=n_bad,
    )


def _is_compact(column: ColumnProfile) -> bool:
    return column.dates is not None and column.dates.formats == ("%Y%m%d",)
