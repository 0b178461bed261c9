"""Charts of the portfolio: counts over time in rows that share a scale, and curves with their names at the end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.report import svg
from pipelines.report.svg import WIDTH, Format, Title, element, text, tip

_LEFT = 52
_ROW = 56
_DASHES = ("", "7 4", "2 3", "10 3 2 3", "1 5")
_LINE = 17


@dataclass(frozen=True)
class Series:
    """One thing over time or days: its name, its values (NaN: not known) and, where shown, the ends of intervals."""

    name: str
    values: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def rows(title: Title, labels: Sequence[str], series: Sequence[Series], write: Format) -> str:
    """Draw one row of columns per series, all on one scale, so that rows may be compared.

    Parameters
    ----------
    title
        What the chart says.
    labels
        What each column is called.
    series
        Rows from top to bottom; values are not negative. NaN draws nothing.
    write
        Writes a value.
    """
    known = [value for one in series for value in one.values if math.isfinite(value)]
    if not known or not labels:
        return svg.empty(title)
    high = svg.scale(0, max([*known, 1e-9]), 0, _ROW - 24)
    left, step = 92.0, (WIDTH - 92) / len(labels)
    parts = []
    for place, one in enumerate(series):
        ground = (place + 1) * _ROW
        parts.append(element("line", x1=left, x2=WIDTH, y1=ground, y2=ground, class_="grid"))
        parts.append(text(left - 12, ground - 6, svg.clip(one.name, 12), "label", "end"))
        for column, (name, value) in enumerate(zip(labels, one.values, strict=True)):
            x, tall = left + column * step, high(value) if math.isfinite(value) else 0.0
            said = tip(f"{one.name}, {name}: {write(value)}")
            box = {"x": x + step * 0.12, "y": ground - tall, "width": step * 0.76, "height": max(tall, 0.5)}
            parts.append(element("rect", said, **box, class_="fill") if math.isfinite(value) else "")
            if column in {0, len(labels) - 1}:
                parts.append(text(x + step / 2, ground - tall - 5, write(value), "value", "middle"))
    every = max(1, math.ceil(len(labels) / 5))
    bottom = len(series) * _ROW + 18
    for column, name in enumerate(labels):
        if (len(labels) - 1 - column) % every == 0:
            parts.append(text(left + (column + 0.5) * step, bottom, name, "tick", "middle"))
    return svg.canvas(title, bottom + 8, *parts)


def curves(
    title: Title, days: Sequence[float], series: Sequence[Series], write: Format, *, at: float, at_words: str
) -> str:
    """Draw a curve per series from 100 % on day 0, each with its own dashes and its name at its end.

    Parameters
    ----------
    title
        What the chart says.
    days
        Places of the values, ascending.
    series
        Shares per day; ``low`` and ``high`` are drawn at ``at``.
    write
        Writes a share.
    at, at_words
        Day to mark, and what to say there.
    """
    if not days or not series:
        return svg.empty(title)
    right = WIDTH - 96
    across, up = svg.scale(0, days[-1], _LEFT, right), svg.scale(0, 1, 230, 12)
    parts = [svg.grid_y(svg.ticks(0, 1), up, _LEFT, write)]
    shown = [value for value in svg.ticks(0, days[-1], 5) if value <= days[-1]]
    parts.append(svg.grid_x(shown, across, (230, 230), lambda value: f"{value:g}"))
    parts.append(element("line", x1=across(at), x2=across(at), y1=12, y2=230, class_="zero"))
    parts.append(text(across(at) + 6, 22, at_words, "tick"))
    ends = _apart([up(one.values[-1]) for one in series])
    for place, (one, end) in enumerate(zip(series, ends, strict=True)):
        points = [(_LEFT, up(1.0)), *((across(day), up(value)) for day, value in zip(days, one.values, strict=True))]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = _DASHES[place % len(_DASHES)]
        dashes = {"stroke_dasharray": dash} if dash else {}
        said = tip(f"{one.name}: {write(one.values[-1])} after {days[-1]:g} days")
        parts.append(element("polyline", said, points=path, class_="line", **dashes))
        parts.append(text(right + 8, end + 4, f"{svg.clip(one.name, 9)} {write(one.values[-1])}", "label"))
        parts.append(_ends(one, days, at, across(at) + 3 * (place - len(series) / 2), up))
    return svg.canvas(title, 258, *parts)


def _ends(one: Series, days: Sequence[float], at: float, x: float, up: Callable[[float], float]) -> str:
    if at not in days or not one.low:
        return ""
    place = list(days).index(at)
    top, bottom = (up(ends[place]) for ends in (one.high, one.low))
    return element("line", x1=x, x2=x, y1=top, y2=bottom, class_="whisker")


def _apart(places: Sequence[float]) -> list[float]:
    """Return heights for names so that none covers another: in their order, a line's height apart at least."""
    order = sorted(range(len(places)), key=lambda one: (places[one], one))
    moved, last = list(places), -math.inf
    for one in order:
        moved[one] = last = max(places[one], last + _LINE)
    over = max(0.0, last - 234)
    return [place - over for place in moved]
