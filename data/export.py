"""The only writer of CSV and XLSX: no text of ours becomes a formula on somebody's machine.

Spreadsheets run a cell that begins with ``= + - @``, in some programs also after blanks, control characters or in full
width, and a cell may begin where a semicolon, tab or line break splits a text ("CSV injection", OWASP; CWE-1236). There
an apostrophe is put in front; ``restore`` takes it away again. Numbers, dates and flags are written as such, untouched.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xlsxwriter

from data.errors import ConfigError, UserError
from data.private import replacing

Format = Literal["money", "percent", "date", "integer", "text"]
"""How a column is shown; money is given in cents and shown in whole units."""

CREATED = datetime(2000, 1, 1)
"""Date of creation inside a workbook where the caller gives none: the clock would change the bytes."""

MAX_ROWS = 1_048_575
"""Rows that a sheet can hold below its header."""

_MAX_TEXT = 32_767
_READ_ME_WIDTH = 110
_MAX_WIDTH = 60
_MAX_EXACT = 10**15

_BLANK = r"[^\S\t\r\n]|[\x00-\x08\x0b\x0c\x0e-\x1f\u00ad\u200b-\u200f\u2060\ufeff]"
_LIVE = rf"(?:{_BLANK})*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]"
# Whatever number of apostrophes stands there already: so one more can always be taken away again.
_AT_START = rf"(?='*(?:[\t\r\n\x00]|;'*{_LIVE}|{_LIVE}))"
_AFTER_SPLIT = rf"(?='*{_LIVE})"
_DANGER = re.compile(rf"^{_AT_START}|(?<=[;\t\r\n]){_AFTER_SPLIT}")
_NEUTRALISED = re.compile(rf"^'{_AT_START}|(?<=[;\t\r\n])'{_AFTER_SPLIT}")
# XLSX has no control characters, only these escapes for them, and not every reader decodes them.
_CODE = "x(00[01][0-9A-F]|FFF[EF])_"
_ESCAPE_LIKE = re.compile(f"_(?='*{_CODE})")
_ESCAPE = re.compile(f"_('*){_CODE}")

_NUMBER_FORMATS: dict[str, str] = {
    "money": "#,##0.00",
    "percent": "0.0%",
    "date": "yyyy-mm-dd",
    "instant": "yyyy-mm-dd hh:mm",
    "integer": "#,##0",
    "text": "@",
    "plain": "General",
}


@dataclass(frozen=True)
class Sheet:
    """One table of a workbook.

    Parameters
    ----------
    name
        Title of the tab, at most 31 characters.
    frame
        The rows; the index is not written.
    formats
        How columns are shown. A column that is not named is shown by its suffix (``_cents`` as money, ``_share`` and
        ``_probability`` as percent) or else by its type.
    headers
        Titles of columns. A column that is not named is titled by its name, without underscores and ``_cents``.
    note
        What the reader should know about the sheet; it stands on the first sheet.
    """

    name: str
    frame: pd.DataFrame
    formats: Mapping[str, Format] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def neutralise(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula, with apostrophes where it would have.

    Examples
    --------
    >>> neutralise("=1+1"), neutralise("+46 70 123 45 67"), neutralise("a;=1+1"), neutralise("a = b")
    ("'=1+1", "'+46 70 123 45 67", "a;'=1+1", 'a = b')
    """
    return _DANGER.sub("'", _ESCAPE_LIKE.sub("_'", text))


def restore(text: str) -> str:
    """Return the text that ``neutralise`` was given, from a cell of a CSV or XLSX file of this module.

    Examples
    --------
    >>> restore("'=1+1"), restore("'s-Hertogenbosch")
    ('=1+1', "'s-Hertogenbosch")
    """
    return _NEUTRALISED.sub("", _ESCAPE.sub(_decoded, text))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV (RFC 4180, UTF-8, commas, line feeds), readable by its owner alone.

    Texts and headers are quoted and neutralised, numbers are bare and exact, flags are ``true`` and ``false``, dates
    and instants are ISO 8601; null is empty and unquoted, so an empty text differs. The same frame gives the same
    bytes; a file that was there is replaced at once or, if writing fails, stays.

    Raises
    ------
    ConfigError
        The folder does not exist.
    """
    columns = [[_csv_cell(value) for value in _values(frame.iloc[:, at])] for at in range(frame.shape[1])]
    header = ",".join(_quoted(str(column)) for column in frame.columns)
    lines = [header, *(",".join(row) for row in zip(*columns, strict=True))]
    _replace(path, ("\n".join(lines) + "\n").encode())


def write_xlsx(
    sheets: Sequence[Sheet], path: Path, *, read_me: Sequence[str] = (), created: datetime = CREATED
) -> None:
    """Write a workbook with a first sheet "Read me" and then the given ones, readable by its owner alone.

    A sheet has a fixed header with filters and fitting widths. Money is cents / 100 as a number, probabilities and
    shares are percents, dates are dates, texts are neutralised and their cells never formulas. Null is an empty cell,
    as is an empty text; text beyond 32,767 characters is cut; integers beyond 15 digits are texts, since spreadsheets
    round them. The same input gives the same bytes; a file that was there is replaced at once or, if writing fails,
    stays.

    Parameters
    ----------
    sheets
        The tables, in order.
    path
        The file.
    read_me
        Lines of the first sheet; the first is its title. The notes of the sheets follow.
    created
        Date of creation that the file states.

    Raises
    ------
    ConfigError
        The folder does not exist.
    UserError
        A sheet has more rows than the format can hold.
    """
    buffer = BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, options) as workbook:
        workbook.set_properties({"created": created})
        _write_read_me(workbook, sheets, read_me)
        for sheet in sheets:
            _write_sheet(workbook, sheet)
    _replace(path, buffer.getvalue())


def _decoded(match: re.Match[str]) -> str:
    """Return the control character of an escape, or the literal text that was kept from looking like one."""
    apostrophes, code = match.groups()
    return f"_{apostrophes[1:]}x{code}_" if apostrophes else chr(int(code, 16))


def _values(series: "pd.Series[Any]") -> list[Any]:
    """Return the values of a column as Python objects, None where one is missing."""
    pairs = zip(series.tolist(), series.isna().tolist(), strict=True)
    return [None if is_null else value.item() if isinstance(value, np.generic) else value for value, is_null in pairs]


def _csv_cell(value: Any) -> str:
    """Return one CSV field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, Decimal)) and math.isfinite(value):
        return f"{value:f}" if isinstance(value, Decimal) else repr(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """Return a neutralised text as a quoted CSV field."""
    return '"' + neutralise(text).replace('"', '""') + '"'


def _write_read_me(workbook: Any, sheets: Sequence[Sheet], lines: Sequence[str]) -> None:
    """Write the first sheet: the caller's lines, then what each sheet is about."""
    worksheet = workbook.add_worksheet("Read me")
    worksheet.hide_gridlines(2)
    wrapped = workbook.add_format({"text_wrap": True, "valign": "top"})
    worksheet.set_column(0, 0, _READ_ME_WIDTH)
    _fit_page(worksheet)
    title = workbook.add_format({"bold": True, "font_size": 14})
    notes = [f"{sheet.name} ({len(sheet.frame):,} rows). {sheet.note}".strip() for sheet in sheets]
    for row, line in enumerate([*lines, *([""] if lines else []), *notes]):
        is_title = row == 0 and bool(lines)
        worksheet.write_string(row, 0, neutralise(line)[:_MAX_TEXT], title if is_title else wrapped)
        worksheet.set_row(row, 20 if is_title else 15 * max(1, math.ceil(len(line) / _READ_ME_WIDTH)))


def _write_sheet(workbook: Any, sheet: Sheet) -> None:
    """Write one table with its header."""
    n_rows, n_columns = sheet.frame.shape
    if n_rows > MAX_ROWS:
        raise UserError(f"{n_rows} rows for sheet {sheet.name!r}", f"at most {MAX_ROWS}", "export them as CSV")
    worksheet = workbook.add_worksheet(sheet.name)
    bold = workbook.add_format({"bold": True, "bg_color": "#E8EDF3", "bottom": 1, "text_wrap": True, "valign": "top"})
    n_lines = dict.fromkeys(range(1, n_rows + 1), 1)
    for at, column in enumerate(sheet.frame.columns):
        series = sheet.frame.iloc[:, at]
        kind = _kind(sheet, str(column), series)
        style = workbook.add_format({"num_format": _NUMBER_FORMATS[kind], "valign": "top", "text_wrap": kind == "text"})
        header = sheet.headers.get(column, str(column).removesuffix("_cents").replace("_", " ").capitalize())
        worksheet.write_string(0, at, neutralise(header)[:_MAX_TEXT], bold)
        width = len(header) + 3
        for row, value in enumerate(_values(series), start=1):
            if value is not None:
                cell = _xlsx_value(value, kind)
                _write_cell(worksheet, row, at, cell, style)
                width = max(width, _width(cell))
                n_lines[row] = max(n_lines[row], math.ceil(_width(cell) / _MAX_WIDTH))
        worksheet.set_column(at, at, min(max(width, 8), _MAX_WIDTH))
    # Not every program fits the height of a row to wrapped text by itself.
    for row, lines in n_lines.items():
        if lines > 1:
            worksheet.set_row(row, 15 * lines)
    worksheet.freeze_panes(1, 1)
    _fit_page(worksheet)
    worksheet.repeat_rows(0)
    if n_columns:
        worksheet.autofilter(0, 0, n_rows, n_columns - 1)


def _fit_page(worksheet: Any) -> None:
    """Print on landscape pages as wide as the sheet."""
    worksheet.set_landscape()
    worksheet.set_paper(9)  # A4
    worksheet.fit_to_pages(1, 0)


def _kind(sheet: Sheet, column: str, series: "pd.Series[Any]") -> str:
    """Return how a column is shown: as the sheet says, else by its suffix, else by its type."""
    if column in sheet.formats:
        return sheet.formats[column]
    if pd.api.types.is_datetime64_any_dtype(series):
        return "instant"
    if not pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series):
        return "date" if column.endswith("_on") else "text"
    if column.endswith("_cents"):
        return "money"
    return "percent" if column.endswith(("_share", "probability")) else "plain"


def _xlsx_value(value: Any, kind: str) -> bool | date | float | Decimal | str:
    """Return what a cell holds: a flag, a date or number that the format can hold exactly, else neutralised text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, date) and value.year >= 1900 and getattr(value, "tzinfo", None) is None:
        return value
    if kind != "text" and isinstance(value, (int, float, Decimal)) and abs(float(value)) < _MAX_EXACT:
        return float(value) / 100 if kind == "money" else value
    return neutralise(str(value))[:_MAX_TEXT]


def _write_cell(worksheet: Any, row: int, at: int, value: bool | date | float | Decimal | str, style: Any) -> None:
    """Write a cell by the type of its value, never by what a text looks like."""
    if isinstance(value, bool):
        worksheet.write_boolean(row, at, value, style)
    elif isinstance(value, date):
        worksheet.write_datetime(row, at, value, style)
    elif isinstance(value, str):
        worksheet.write_string(row, at, value, style)
    else:
        worksheet.write_number(row, at, value, style)


def _width(value: bool | date | float | Decimal | str) -> int:
    """Return about how many characters a cell shows."""
    if isinstance(value, str):
        return max(map(len, value.splitlines()), default=0)
    if isinstance(value, date):
        return 16 if isinstance(value, datetime) else 10
    return len(f"{value:,.2f}")


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place in one step, readable and writable by its owner alone."""
    if not path.parent.is_dir():
        raise ConfigError(f"no folder {path.parent}", "an existing folder", "create it or name another one")
    with replacing(path) as draft:
        draft.write_bytes(content)
