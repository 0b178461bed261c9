"""Dates: in which formats a column's texts are dates, and whether day or month comes first."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

_PARTS = re.compile(
    r"(?P<a>\d{1,4})(?P<sep>[-/. ]|\. ?)(?P<b>\d{1,2}|[A-Za-z]{3,9})\.?(?P=sep)(?P<c>\d{1,4})"
    r"(?:(?P<gap>,? +|T)(?P<h>\d{1,2}):(?P<m>\d{2})(?P<s>:\d{2})?(?P<f>[.]\d{1,9})?"
    r"(?P<p> ?[AaPp][Mm])?(?P<z> ?(?:Z|[+-]\d{2}:?\d{2}))?)?"
)
_COMPACT = re.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_SHORT_MONTHS = frozenset(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
_MOST = 12

Order = str
"""The order of year, month and day as three letters, ``ymd``, ``dmy`` or ``mdy``."""


@dataclass(frozen=True)
class Dates:
    """How the texts of a column are dates.

    Parameters
    ----------
    formats
        As ``strptime`` has them; empty where they are ISO 8601, which needs none.
    iso
        ISO formats that stand for ``formats`` where another column of the table is not ISO.
    is_undecided
        Whether day and month could be changed about: no first or second field is above 12.
    evidence
        What decided it.
    others
        The formats if month and day were changed about.
    has_clock
        Whether there is a time of the day.
    share
        Share of the texts that are dates in these formats.
    """

    formats: tuple[str, ...]
    iso: tuple[str, ...] = ()
    is_undecided: bool = False
    evidence: str = ""
    others: tuple[str, ...] = ()
    has_clock: bool = False
    share: float = 1.0

    @property
    def all_formats(self) -> tuple[str, ...]:
        """The formats, spelt out for ISO too."""
        return self.formats or self.iso


@dataclass
class _Shape:
    """Texts that are written alike, and the largest numbers of their first and second field."""

    n: int = 0
    first: int = 0
    second: int = 0
    sample: str = ""
    texts: list[str] = field(default_factory=list)


def read_dates(texts: Sequence[str], *, prefers_month: bool = False) -> Dates | None:
    """Return how texts are dates, null where fewer than nine in ten are.

    Parameters
    ----------
    texts
        Different texts of a column, trimmed.
    prefers_month
        Whether the month is taken for the first field where nothing decides.

    Examples
    --------
    >>> read_dates(["21-07-2015", "05-01-2015"]).formats
    ('%d-%m-%Y',)
    >>> read_dates(["2024-02-01"]).formats
    ()
    >>> read_dates(["01/02/2011", "03/04/2011"]).is_undecided
    True
    """
    if texts and all(_COMPACT.fullmatch(text) for text in texts):
        return Dates(("%Y%m%d",), evidence="eight digits from year to day")
    shapes: dict[tuple[str, ...], _Shape] = defaultdict(_Shape)
    for text in texts:
        parts = _PARTS.fullmatch(text)
        if parts is not None:
            _add(shapes[_shape(parts)], parts)
    n_dates = sum(shape.n for shape in shapes.values())
    if not texts or n_dates < 0.9 * len(texts) or len(shapes) > _MOST:
        return None
    order, evidence, is_undecided = _order(shapes, prefers_month=prefers_month)
    if order is None:
        return None
    return _dates(shapes, order, evidence, n_dates / len(texts), is_undecided=is_undecided)


def _add(shape: _Shape, parts: re.Match[str]) -> None:
    shape.n += 1
    shape.sample = shape.sample or parts[0]
    shape.first = max(shape.first, int(parts["a"]))
    if parts["b"].isdigit():
        shape.second = max(shape.second, int(parts["b"]))


def _shape(parts: re.Match[str]) -> tuple[str, ...]:
    """Return what texts that are written alike have in common."""
    named = "" if parts["b"].isdigit() else ("%b" if parts["b"].lower() in _SHORT_MONTHS else "%B")
    year = "first" if len(parts["a"]) == 4 else ("long" if len(parts["c"]) == 4 else "short")
    clock = ""
    if parts["h"]:
        hour = "%I" if parts["p"] else "%H"
        clock = f"{parts['gap']}{hour}:%M{':%S' if parts['s'] else ''}{'.%f' if parts['f'] else ''}"
        clock += f"{' ' if parts['p'].startswith(' ') else ''}%p" if parts["p"] else ""
        clock += f"{' ' if parts['z'].startswith(' ') else ''}%z" if parts["z"] else ""
    return parts["sep"], named, year, clock


def _order(shapes: dict[tuple[str, ...], _Shape], *, prefers_month: bool) -> tuple[Order | None, str, bool]:
    """Decide the order of day and month for all texts together, because one column is written in one way."""
    open_ones = [shape for key, shape in shapes.items() if not key[1] and key[2] != "first"]
    if not open_ones:
        return "dmy", "the year or the name of the month stands where it cannot be mistaken", False
    first, second = max(shape.first for shape in open_ones), max(shape.second for shape in open_ones)
    if first > 31 or second > 31 or (first > 12 and second > 12):
        return None, "", False
    if first > 12:
        return "dmy", f"the first field goes to {first}, so it is the day", False
    if second > 12:
        return "mdy", f"the second field goes to {second}, so the first is the month", False
    if all(key[0].startswith(".") for key in shapes):
        return "dmy", "dots stand between day, month and year", False
    return "mdy" if prefers_month else "dmy", "no field is above 12", True


def _dates(
    shapes: dict[tuple[str, ...], _Shape], order: Order, evidence: str, share: float, *, is_undecided: bool
) -> Dates:
    by_size = sorted(shapes, key=lambda key: (-shapes[key].n, key))
    formats = tuple(dict.fromkeys(_format(key, order) for key in by_size))
    other = {"dmy": "mdy", "mdy": "dmy"}[order]
    others = tuple(dict.fromkeys(_format(key, other) for key in by_size))
    clock = any(key[3] for key in shapes)
    is_iso = all(key[:3] == ("-", "", "first") for key in shapes)
    if is_iso:
        return Dates((), formats, evidence="ISO 8601", has_clock=clock, share=share)
    return Dates(formats, (), is_undecided, evidence, others if is_undecided else (), clock, share)


def _format(key: tuple[str, ...], order: Order) -> str:
    separator, month, year, clock = key
    fields = {"d": "%d", "m": month or "%m", "y": "%y" if year == "short" else "%Y"}
    letters = "ymd" if year == "first" else ("dmy" if month else order)
    return separator.join(fields[letter] for letter in letters) + clock
