"""Excel workbooks as rows of text."""

import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path

from data.errors import ConfigError, ContractError
from data.sources.keys import nearest
from data.sources.mapping import Files


def sheet_rows(path: Path, files: Files) -> Iterator[list[str | None]]:
    """Yield the rows of a sheet after the lines to skip, each cell as text.

    Raises
    ------
    ContractError
        The file is no workbook.
    ConfigError
        It has no such sheet.
    """
    # Few need it, and it takes long to import.
    import openpyxl  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ContractError(
            f"{path} cannot be read: {str(error).splitlines()[0]}", "a whole Excel workbook", "deliver the file again"
        ) from error
    try:
        if files.sheet is not None and files.sheet not in book.sheetnames:
            raise ConfigError(
                f"no sheet {files.sheet!r} in {path}",
                f"one of {', '.join(book.sheetnames)}",
                nearest(files.sheet, book.sheetnames),
            )
        sheet = book[files.sheet or book.sheetnames[0]]
        for row in islice(sheet.iter_rows(values_only=True), files.skip_lines, None):
            yield [as_text(cell) for cell in row]
    finally:
        book.close()


def as_text(value: object) -> str | None:
    """Return a typed cell as the text that a CSV file would have, null for nothing.

    Examples
    --------
    >>> as_text(17850.0), as_text(datetime(2011, 1, 18)), as_text(True)
    ('17850', '2011-01-18', 'true')
    """
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.date().isoformat() if value.timetz() == time() else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
