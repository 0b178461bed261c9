"""Cells: the SQL that turns what a file says into what a contract reads, and keeps what cannot be turned.

A cell that does not read stays, with a note behind it, in a form that the contract's own reading refuses. So a wrong
format fills the quarantine and never a column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data.contracts.base import literal

TEXT = "VARCHAR"
_DECIMAL = "DECIMAL(18,6)"
_QUANTITY = "DECIMAL(18,3)"
_OFFSET = r".*:\d\d(\.\d+)?\s*([zZ]|[+-]\d\d(:?\d\d)?)\s*"
CURRENCY_WORDS = (
    r"(?:R\$|[Kk]r\.?|Fr\.?|zł|Kč|Ft|lei|(?i:AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HUF|ILS|INR|JPY|KRW|MXN|NOK|NZD|PLN|RON"
    r"|SEK|SGD|TRY|USD|ZAR))"
)
"""Regular expression of what stands beside an amount besides the signs of currencies, as Python and RE2 read it."""

UNUSUAL_SIGNS, USUAL_SIGNS = "\u2212\u00a0\u202f\u2019", "-  '"
"""Signs of numbers as a typesetter writes them, and as a keyboard does: minus, two fixed blanks, apostrophe."""

_BESIDE = rf"(?:[\s\p{{Sc}}\x{{A0}}\x{{202F}}]|{CURRENCY_WORDS})*"
_BEFORE, _BEHIND = rf"^{_BESIDE}([-+(]?){_BESIDE}([-+(]?){_BESIDE}", rf"{_BESIDE}([-)]?){_BESIDE}([-)]?){_BESIDE}$"
_TURNED = r"^\(([^-+()]+)\)$|^([^-+()]+)-$"
_ESCAPED = {".": r"\.", "'": "''"}


@dataclass(frozen=True)
class Cell:
    """SQL of a cell, and DuckDB's type of it; a blank text is null already."""

    sql: str
    dtype: str

    @property
    def is_text(self) -> bool:
        """Whether it is text, which has to be read by a rule."""
        return self.dtype == TEXT

    @property
    def text(self) -> str:
        """SQL of the cell as text."""
        return self.sql if self.is_text else f"CAST({self.sql} AS VARCHAR)"


def joined(cells: Sequence[Cell]) -> Cell:
    """Return the texts of several cells with a blank between them, null where one is null."""
    texts = " || ' ' || ".join(cell.text for cell in cells)
    return Cell(f"({texts})", TEXT) if len(cells) > 1 else cells[0]


def whole(cell: Cell) -> Cell:
    """Return a cell such as ``17850.0`` without its zeros behind the point."""
    if cell.is_text:
        return Cell(rf"regexp_replace({cell.sql}, '^(\s*[+-]?\d+)\.0+\s*$', '\1')", TEXT)
    is_whole = f"{cell.sql} = round({cell.sql})"
    return Cell(f"CASE WHEN {is_whole} THEN CAST(CAST({cell.sql} AS BIGINT) AS VARCHAR) ELSE {cell.text} END", TEXT)


def without(cell: Cell, missing: Sequence[str]) -> Cell:
    """Return a cell that is null where it holds one of the marks of a missing value."""
    marks = ", ".join(map(literal, missing))
    return Cell(f"CASE WHEN {cell.text} NOT IN ({marks}) THEN {cell.sql} END", cell.dtype) if missing else cell


def replaced(cell: Cell, words: dict[str, str]) -> Cell:
    """Return a cell whose words are replaced; others stay."""
    if not words:
        return cell
    cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in words.items())
    return Cell(f"CASE {cell.text} {cases} ELSE {cell.text} END", TEXT)


def either(cell: Cell, yes: Sequence[str], no: Sequence[str]) -> Cell:
    """Return a cell as a flag by its words, null where it is blank; without words for no, every other one is.

    A word that is neither stays with a note, which no flag reads.
    """
    text = f"trim({cell.text})"
    is_yes = f"{text} IN ({', '.join(map(literal, yes))})"
    is_no = f"{text} IN ({', '.join(map(literal, no))})" if no else f"{text} <> ''"
    neither = literal(f" [neither {' or '.join((*yes, *no))}]")
    return Cell(
        f"CASE WHEN {is_yes} THEN 'true' WHEN {is_no} THEN 'false' ELSE nullif({text}, '') || {neither} END", TEXT
    )


def number(cell: Cell, decimal: str, thousands: str, dtype: str = _DECIMAL) -> str:
    """Return the SQL of a cell's value, by default exact with six decimals, null where it does not read as a number.

    Currency signs, codes such as ``EUR`` and blanks beside the number do not count; a minus may stand behind it, and
    parentheses are one. Thousands are cut off in groups of three only, so that ``1.5`` where a comma is expected is
    never taken for 15.
    """
    plain = f"TRY_CAST({cell.sql} AS {dtype})"
    if not cell.is_text:
        return plain
    text = _bare(cell.sql)
    if thousands:
        sign, point = _ESCAPED.get(thousands, thousands), _ESCAPED.get(decimal, decimal)
        grouped = f"regexp_full_match({text}, '[+-]?\\d{{1,3}}({sign}\\d{{3}})+({point}\\d*)?')"
        text = f"CASE WHEN {grouped} THEN replace({text}, {literal(thousands)}, '') ELSE {text} END"
    # The cleaning costs more than the cast, and few cells need it.
    if decimal == ".":
        return f"coalesce({plain}, TRY_CAST({text} AS {dtype}))"
    pointed = "TRY_CAST(CASE WHEN NOT contains({0}, '.') THEN replace({0}, ',', '.') END AS " + dtype + ")"
    return f"coalesce({pointed.format(cell.sql)}, {pointed.format(text)})"


def turned(cell: Cell) -> Cell:
    """Return a text with its minus in front where it is a number with the minus behind, or in parentheses."""
    bare = _bare(cell.sql)
    is_turned = f"TRY_CAST({cell.sql} AS DOUBLE) IS NULL AND TRY_CAST({bare} AS DOUBLE) IS NOT NULL"
    return Cell(f"CASE WHEN {is_turned} THEN {bare} ELSE {cell.sql} END", TEXT)


def _bare(sql: str) -> str:
    """Return the SQL of a number's text without what stands beside it, its minus in front."""
    usual = f"translate({sql}, {literal(UNUSUAL_SIGNS)}, {literal(USUAL_SIGNS)})"
    text = f"regexp_replace({usual}, {literal(_BEFORE)}, '\\1\\2')"
    text = f"regexp_replace({text}, {literal(_BEHIND)}, '\\1\\2')"
    return f"regexp_replace({text}, {literal(_TURNED)}, '-\\1\\2')"


def figure(cell: Cell, name: str, decimal: str, thousands: str) -> str:
    """Return the SQL of an attribute's number; a cell that is none stops the load, because nothing would reject it."""
    if not cell.is_text:
        return f"CAST({cell.sql} AS DOUBLE)"
    value = number(cell, decimal, thousands, "DOUBLE")
    refusal = f"error({literal(f'{name} holds no number but ')} || {cell.sql})"
    return (
        f"CASE WHEN trim({cell.sql}) = '' THEN NULL WHEN isfinite({value}) THEN {value} "
        f"WHEN {cell.sql} IS NOT NULL THEN CAST({refusal} AS DOUBLE) END"
    )


def kept(value: str, cell: Cell, note: str) -> Cell:
    """Return a value as text, or the cell with a note where there is no value."""
    return Cell(f"coalesce(CAST({value} AS VARCHAR), {cell.text} || {literal(f' [{note}]')})", TEXT)


def quantity(value: str) -> str:
    """Return the SQL of a number as a quantity, with three decimals."""
    return f"CAST({value} AS {_QUANTITY})"


def cents(price: str, times: str | None, minus: str | None, unit: str) -> str:
    """Return the SQL of ``price × times − minus`` in cents, half a cent rounded away from zero."""
    amount = price if times is None else f"{price} * {quantity(times)}"
    if minus is not None:
        amount = f"{amount} - {minus}"
    if unit == "minor":
        return f"TRY_CAST(round({amount}, 0) AS BIGINT)"
    return f"TRY_CAST(CAST(round({amount}, 2) AS DECIMAL(38,2)) * 100 AS BIGINT)"


def instant(cell: Cell, formats: Sequence[str], timezone: str) -> Cell:
    """Return a cell as a UTC instant; a clock time without an offset is one of the zone.

    A clock time that summer time skips is moved forward by the hour, one that comes twice is the later one.
    """
    zoned = "" if timezone == "UTC" else f" AT TIME ZONE {literal(timezone)} AT TIME ZONE 'UTC'"
    cell = _written_as_number(cell, formats)
    if not cell.is_text:
        if cell.dtype == "TIMESTAMP WITH TIME ZONE" or not cell.dtype.startswith(("TIMESTAMP", "DATE")) or not zoned:
            return cell
        return Cell(f"CAST({cell.sql} AS TIMESTAMP){zoned}", "TIMESTAMP")
    if formats:
        return kept(_parsed(cell, formats, zoned), cell, f"not {' or '.join(formats)}")
    if not zoned:
        return cell
    offset = f"regexp_full_match({cell.sql}, {literal(_OFFSET)})"
    local = f"CAST(TRY_CAST({cell.sql} AS TIMESTAMP){zoned} AS VARCHAR)"
    return Cell(f"CASE WHEN {offset} THEN {cell.sql} ELSE coalesce({local}, {cell.sql}) END", TEXT)


def day(cell: Cell, formats: Sequence[str], timezone: str) -> Cell:
    """Return a cell as a local date; a time of the day is cut off."""
    cell = _written_as_number(cell, formats)
    if not cell.is_text or not formats:
        return _without_clock(cell, timezone)
    local = f" AT TIME ZONE 'UTC' AT TIME ZONE {literal(timezone)}"
    zoned = f" AT TIME ZONE {literal(timezone)} AT TIME ZONE 'UTC'"
    return kept(f"CAST(({_parsed(cell, formats, zoned)}){local} AS DATE)", cell, f"not {' or '.join(formats)}")


def _without_clock(cell: Cell, timezone: str) -> Cell:
    """Return the local day of an instant; what is none stays as it is."""
    zone = f"AT TIME ZONE {literal(timezone)}"
    if cell.is_text:
        zoned = f"CAST(CAST(TRY_CAST({cell.sql} AS TIMESTAMP WITH TIME ZONE) {zone} AS DATE) AS VARCHAR)"
        has_offset = f"regexp_full_match({cell.sql}, {literal(_OFFSET)})"
        plain = rf"regexp_replace({cell.sql}, '^(\s*\d+-\d+-\d+)[ T]\d\d?:\d\d(:\d\d(\.\d+)?)?\s*$', '\1')"
        return Cell(f"CASE WHEN {has_offset} THEN coalesce({zoned}, {cell.sql}) ELSE {plain} END", TEXT)
    if cell.dtype == "TIMESTAMP WITH TIME ZONE":
        return Cell(f"CAST({cell.sql} {zone} AS DATE)", "DATE")
    return Cell(f"CAST({cell.sql} AS DATE)", "DATE") if cell.dtype.startswith("TIMESTAMP") else cell


def _written_as_number(cell: Cell, formats: Sequence[str]) -> Cell:
    """Return a number as text where formats say how to read it: 20240301, or seconds since 1970."""
    return cell if not formats or cell.dtype.startswith(("TIMESTAMP", "DATE")) else Cell(cell.text, TEXT)


def _parsed(cell: Cell, formats: Sequence[str], zoned: str) -> str:
    """Return the SQL of the UTC instant that the first fitting format reads, null where none does."""
    parsed = []
    for form in formats:
        if form == "epoch":
            # No more digits than years have that a calendar knows.
            seconds = f"CAST(TRY_CAST({cell.sql} AS DECIMAL(17,6)) AS DECIMAL(38,6))"
            parsed.append(f"make_timestamp(CAST({seconds} * 1000000 AS BIGINT))")
        elif form == "epoch_ms":
            milliseconds = f"CAST(TRY_CAST({cell.sql} AS DECIMAL(17,3)) AS DECIMAL(38,3))"
            parsed.append(f"make_timestamp(CAST({milliseconds} * 1000 AS BIGINT))")
        else:
            stamp = f"try_strptime({cell.sql}, {literal(form)})"
            parsed.append(f"{stamp} AT TIME ZONE 'UTC'" if "%z" in form else f"{stamp}{zoned}")
    return f"coalesce({', '.join(parsed)})"
