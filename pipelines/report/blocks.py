"""What a section is made of, as plain values: the template turns them into HTML and escapes every text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd


@dataclass(frozen=True)
class Figure:
    """A chart: its one-sentence takeaway, how to read it, and the SVG (markup of ``charts``)."""

    title: str
    note: str
    svg: str


@dataclass(frozen=True)
class Figures:
    """Charts side by side where there is room."""

    kind: ClassVar[str] = "figures"
    items: Sequence[Figure]


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, smaller lines below it, an optional small chart, and the number it is sorted by."""

    text: str
    lines: Sequence[str] = ()
    svg: str = ""
    sort: str = ""


@dataclass(frozen=True)
class Head:
    """A column's name, and whether it holds numbers, which are set to the right."""

    text: str
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by any column.

    Attributes
    ----------
    key
        Unique on the page.
    caption
        What the rows are.
    heads, rows
        As many cells per row as heads.
    limit
        Rows shown before the reader asks for all; 0 shows all at once.
    choices
        Values of the third column to filter by; with them comes a search box.
    note
        A sentence below the table.
    """

    kind: ClassVar[str] = "table"
    key: str
    caption: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[Cell]]
    limit: int = 0
    choices: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Card:
    """One judgement: of what, the word, and the sentences behind it."""

    title: str
    word: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Cards:
    """Judgements side by side."""

    kind: ClassVar[str] = "cards"
    items: Sequence[Card]


@dataclass(frozen=True)
class Section:
    """One question of the manager: opening sentences, then blocks, then where the numbers come from."""

    key: str
    title: str
    lede: Sequence[str]
    blocks: Sequence[Figures | Table | Cards]
    source: str


@dataclass(frozen=True)
class Tile:
    """One large number with its name and what stands behind it."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Headline:
    """The top of the page: one sentence, what it rests on, the large numbers, what to know, and one chart."""

    title: str
    lede: Sequence[str]
    tiles: Sequence[Tile]
    know: Sequence[str]
    figures: Figures


def rows_of(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return a frame's rows as dictionaries, nulls as NaN, NaT or None."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def floats(values: "pd.Series[float]") -> list[float]:
    """Return a column as floats, nulls as NaN."""
    return [float(value) for value in pd.to_numeric(values).to_numpy(dtype="float64", na_value=float("nan"))]


def real(value: object) -> float:
    """Return a scalar as a float, null as NaN."""
    return float("nan") if value is None or bool(pd.isna(value)) else float(str(value))  # type: ignore[call-overload]
