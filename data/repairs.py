"""Files of repaired rows: a CSV or XLSX file as its cells, with what the export neutralised put back."""

import csv
from io import StringIO
from pathlib import Path

import pandas as pd

from data.errors import ConfigError, ContractError
from data.export import restore
from data.sources.mapping import Files
from data.sources.sheets import sheet_rows

SHEET = "Quarantine"
"""The sheet of a workbook that holds the rows."""

_MAX_CELL = 32_000
_DELIMITERS = ",;\t"

Line = dict[str, str | None]


def read_repairs(path: Path, key: str) -> list[Line]:
    """Return the rows of a file that was exported, repaired and saved, by column; an empty cell is null.

    A spreadsheet saves CSV with the delimiter of its country, so a comma, a semicolon and a tab will do.

    Parameters
    ----------
    path
        A ``.csv`` or ``.xlsx`` file. Of a workbook the sheet of the export's name is read.
    key
        Column that every row must have.

    Raises
    ------
    ConfigError
        There is no such file, or it is of another kind.
    ContractError
        It is no text or no workbook, or a line has not as many cells as the header.
    """
    if not path.is_file():
        raise ConfigError(f"no file {path}", "a CSV or XLSX file of repaired rows", "name another one")
    kinds = {".csv": _csv_rows, ".xlsx": _sheet}
    if path.suffix.lower() not in kinds:
        raise ConfigError(f"{path.name} ends in {path.suffix!r}", "a name that ends in .csv or .xlsx", "save it as one")
    header, *rows = kinds[path.suffix.lower()](path) or [[]]
    titles = [restore(title or "") for title in header]
    if key not in titles or len(set(titles)) != len(titles):
        raise ContractError(
            f"{path.name} has no header with {key} in it, or a column twice",
            "a file from regulars quarantine export",
            "leave its first line as it is",
        )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(titles):
            raise ContractError(
                f"line {number} of {path.name} has {len(row)} cells",
                f"{len(titles)}, as the header",
                "repair that line",
            )
    return [
        {title: restore(cell) if cell else None for title, cell in zip(titles, row, strict=True)}
        for row in rows
        if any(row)
    ]


def check_fits(frame: pd.DataFrame) -> None:
    """Refuse rows for a workbook that it cannot hold whole, because a cell that is cut would come back as a repair.

    Raises
    ------
    ConfigError
        A cell is longer than a workbook's can be.
    """
    longest = max((len(cell) for name in frame for cell in frame[name] if isinstance(cell, str)), default=0)
    if longest > _MAX_CELL:
        raise ConfigError(
            f"a cell of {longest:,} characters", f"at most {_MAX_CELL:,} in a workbook", "export to a .csv file"
        )


def _csv_rows(path: Path) -> list[list[str | None]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")  # as it is: reading as text would change line breaks in cells
        first = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=first.count)
        read = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return [list(row) for row in read if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ContractError(
            f"{path.name} cannot be read as CSV",
            "text in UTF-8, cells that hold a quote quoted",
            "save it as CSV UTF-8",
        ) from error


def _sheet(path: Path) -> list[list[str | None]]:
    rows = list(sheet_rows(path, Files(path=str(path), sheet=SHEET)))
    width = max((at for row in rows[:1] for at, cell in enumerate(row, start=1) if cell), default=0)
    # A reader gives no cells where a row ends early, and blank ones where a format goes on.
    return [[*row[:width], *[None] * (width - len(row))] for row in rows]
