"""Charts as pure functions that return SVG; each is told the takeaway that is its title.

Values are finite numbers or NaN; what is NaN is not drawn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipelines.report import svg
from pipelines.report.svg import WIDTH, Format, Title, element, text, tip

Shape = Literal["disc", "diamond", "square"]
_LEFT = 52
_BAR = 34
_MARK_GAP = 22


@dataclass(frozen=True)
class Mark:
    """One estimate on a row of a forest chart: its value, the ends of its interval (NaN: none), its shape and words."""

    value: float
    low: float
    high: float
    words: str
    shape: Shape = "disc"


@dataclass(frozen=True)
class Row:
    """One row of a forest chart: what is measured, and its estimates from top to bottom."""

    label: str
    marks: Sequence[Mark] = field(default_factory=tuple)


def bar(title: Title, labels: Sequence[str], values: Sequence[float], words: Sequence[str]) -> str:
    """Draw horizontal bars, each with its label above and its value in words at the end.

    Parameters
    ----------
    title
        What the chart says.
    labels, values, words
        One of each per bar; values are not negative; ``words`` is what is written for the value.
    """
    if not labels:
        return svg.empty(title)
    place = svg.scale(0, max([*_finite(values), 1e-9]), 0, WIDTH - 110)
    parts = []
    for row, (label, value, said) in enumerate(zip(labels, values, words, strict=True)):
        y, width = row * (_BAR + 14), place(value if math.isfinite(value) else 0)
        shape = element(
            "rect", tip(f"{label}: {said}"), x=0, y=y + 18, width=max(width, 1.0), height=14, rx=2, class_="fill"
        )
        parts += [text(0, y + 12, svg.clip(label, 60), "label"), shape, text(width + 8, y + 29, said, "value")]
    return svg.canvas(title, len(labels) * (_BAR + 14), *parts)


def line(
    title: Title,
    labels: Sequence[str],
    values: Sequence[float],
    write: Format,
    *,
    has_zero: bool = True,
) -> str:
    """Draw values in order, evenly spaced, each marked; the last one is written out.

    Parameters
    ----------
    title
        What the chart says.
    labels, values
        One of each per point.
    write
        Writes a value.
    has_zero
        Whether the axis starts at zero.
    """
    known = _finite(values)
    if not known:
        return svg.empty(title)
    steps = svg.ticks(0 if has_zero else min(known), max(known))
    across, up = svg.scale(0, max(len(values) - 1, 1), _LEFT + 8, WIDTH - 14), svg.scale(steps[0], steps[-1], 170, 22)
    points = [
        (across(place), up(value), value, name) for place, (value, name) in enumerate(zip(values, labels, strict=True))
    ]
    drawn = [point for point in points if math.isfinite(point[2])]
    path = element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in drawn), class_="line")
    dots = [
        element("circle", tip(f"{name}: {write(value)}"), cx=x, cy=y, r=3.5, class_="dot")
        for x, y, value, name in drawn
    ]
    every = max(1, math.ceil(len(points) / 4))
    names = [
        text(x, 190, name, "tick", "middle" if 0 < place < len(points) - 1 else "end" if place else "start")
        for place, (x, _, _, name) in enumerate(points)
        if (len(points) - 1 - place) % every == 0
    ]
    x, y, value, _ = drawn[-1]
    last = text(x, y - 10, write(value), "value", "end")
    return svg.canvas(title, 198, svg.grid_y(steps, up, _LEFT, write), path, *dots, *names, last)


def forest(title: Title, rows: Sequence[Row], write: Format, *, reference: float | None = None) -> str:
    """Draw dots with their intervals, one row per thing measured and one line per estimate.

    Parameters
    ----------
    title
        What the chart says.
    rows
        From top to bottom.
    write
        Writes a value of the axis.
    reference
        Where the line of no effect stands; null draws none.
    """
    marks = [mark for row in rows for mark in row.marks]
    ends = _finite([value for mark in marks for value in (mark.value, mark.low, mark.high)])
    if not ends:
        return svg.empty(title)
    steps = svg.ticks(min([*ends, *_given(reference)]), max([*ends, *_given(reference)]))
    across = svg.scale(steps[0], steps[-1], 14, WIDTH - 14)
    parts, y = [], 0.0
    for row in rows:
        parts.append(text(0, y + 14, svg.clip(row.label, 62), "label"))
        y += 14
        for mark in row.marks:
            parts.append(_mark(mark, across, y + 26))
            y += _MARK_GAP + 12
        y += 18
    back = [svg.grid_x(steps, across, (0, y), write)]
    if reference is not None:
        back.append(element("line", x1=across(reference), x2=across(reference), y1=0, y2=y, class_="zero"))
    return svg.canvas(title, y + 24, *back, *parts)


def histogram(
    title: Title,
    edges: Sequence[float],
    counts: Sequence[int],
    write: Format,
    *,
    small: int = 0,
) -> str:
    """Draw counts between edges; a count of 1 to ``small`` is drawn as ``small``, hollow, and said so.

    A single one could be worked out from the total, so the smallest other count is then hidden in the same way.

    Parameters
    ----------
    title
        What the chart says.
    edges
        One more than ``counts``, ascending.
    counts
        Customers per bin.
    write
        Writes an edge.
    small
        Largest count that is not shown.
    """
    if not counts or not any(counts):
        return svg.empty(title)
    hidden = hollow(counts, small)
    shown = [small if is_hollow else n for n, is_hollow in zip(counts, hidden, strict=True)]
    steps = svg.ticks(0, max(shown))
    across, up = svg.scale(edges[0], edges[-1], _LEFT, WIDTH - 4), svg.scale(0, steps[-1], 170, 10)
    bars = []
    for n, drawn, is_hollow, low, high in zip(counts, shown, hidden, edges, edges[1:], strict=False):
        number = f"{n:,}" if not is_hollow else f"≤{small}" if n <= small else "hidden"
        said = f"{write(low)} to {write(high)}: {number} customers"
        box = {"x": across(low) + 1, "y": up(drawn), "width": across(high) - across(low) - 2, "height": 170 - up(drawn)}
        bars.append(element("rect", tip(said), **box, class_="hollow" if is_hollow else "fill") if n else "")
    every = max(1, math.ceil((len(edges) - 1) / 5))
    names = [
        text(across(edge), 188, write(edge), "tick", "end" if edge == edges[-1] else "middle")
        for edge in edges[::every]
    ]
    axis = svg.grid_y(steps, up, _LEFT, lambda value: f"{value:,.0f}")
    return svg.canvas(title, 196, axis, *bars, *names)


def calibration(
    title: Title,
    predicted: Sequence[float],
    observed: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    write: Format,
) -> str:
    """Draw what happened against what was said, one point with interval per group; the diagonal is perfect.

    Parameters
    ----------
    title
        What the chart says.
    predicted, observed
        Shares per group.
    low, high
        Ends of the interval of ``observed``.
    write
        Writes a share.
    """
    ends = _finite([*predicted, *observed, *high])
    if not ends:
        return svg.empty(title)
    steps = svg.ticks(0, max(ends))
    across, up = svg.scale(0, steps[-1], _LEFT, WIDTH - 14), svg.scale(0, steps[-1], 236, 10)
    diagonal = element("line", x1=across(0), y1=up(0), x2=across(steps[-1]), y2=up(steps[-1]), class_="dashed")
    points = []
    for said, seen, bottom, top in zip(predicted, observed, low, high, strict=True):
        if math.isfinite(said) and math.isfinite(seen):
            words = tip(f"said {write(said)}, happened {write(seen)} ({write(bottom)} to {write(top)})")
            bounds = _finite([bottom, top])
            whisker = element("line", x1=across(said), x2=across(said), y1=up(bottom), y2=up(top), class_="whisker")
            dot = element("circle", words, cx=across(said), cy=up(seen), r=4.5, class_="dot")
            points.append((whisker if len(bounds) == 2 else "") + dot)
    names = svg.grid_x(steps, across, (10, 236), write) + svg.grid_y(steps, up, _LEFT, write)
    axes = text(WIDTH - 14, 272, "what the model said →", "tick", "end") + text(
        _LEFT + 8, 20, "↑ what happened", "tick"
    )
    return svg.canvas(title, 278, names, diagonal, *points, axes)


def step(
    title: Title,
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    write_x: Format,
    write_y: Format,
    at: float | None = None,
    at_words: str = "",
) -> str:
    """Draw a step curve that holds each value until the next, with a marked place on the x axis.

    Parameters
    ----------
    title
        What the chart says.
    xs, ys
        Ascending places, and the value from there on.
    write_x, write_y
        Write the axes.
    at, at_words
        Place to mark and what to say there; null marks none.
    """
    known = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
    if not known:
        return svg.empty(title)
    steps_x, steps_y = svg.ticks(0, max(x for x, _ in known), 6), svg.ticks(0, max(y for _, y in known))
    right = max(x for x, _ in known)
    across, up = svg.scale(0, right, _LEFT, WIDTH - 14), svg.scale(0, steps_y[-1], 190, 10)
    path = f"M{across(known[0][0]):.1f},{up(known[0][1]):.1f}"
    path += "".join(f"H{across(x):.1f}V{up(y):.1f}" for x, y in known[1:])
    shown_x = [value for value in steps_x if value <= right]
    parts = [svg.grid_y(steps_y, up, _LEFT, write_y), svg.grid_x(shown_x, across, (190, 190), write_x)]
    parts.append(element("path", d=path, class_="line"))
    if at is not None:
        parts.append(element("line", x1=across(at), x2=across(at), y1=10, y2=190, class_="zero"))
        side = "end" if across(at) > WIDTH / 2 else "start"
        parts.append(text(across(at) + (-8 if side == "end" else 8), 182, at_words, "value", side))
    return svg.canvas(title, 214, *parts)


def mini(value: float, low: float, high: float, *, least: float, most: float, words: str) -> str:
    """Draw one estimate with its interval small enough for a table cell, on the scale of its column.

    Parameters
    ----------
    value, low, high
        The estimate.
    least, most
        Ends of the column's scale; a line marks zero if it lies between.
    words
        What a screen reader tells.
    """
    across = svg.scale(least, most, 3, 93)
    zero = element("line", x1=across(0), x2=across(0), y1=0, y2=14, class_="zero") if least < 0 < most else ""
    whisker = element("line", x1=across(low), x2=across(high), y1=7, y2=7, class_="whisker")
    dot = element("circle", cx=across(value), cy=7, r=3, class_="dot")
    body = zero + (whisker if math.isfinite(low + high) else "") + (dot if math.isfinite(value) else "")
    return element("svg", body, class_="mini", viewBox="0 0 96 14", role="img", aria_label=words) if body else ""


def hollow(counts: Sequence[int], small: int) -> list[bool]:
    """Say which counts may not be read off: those of 1 to ``small``, and one more where these were a single one.

    Examples
    --------
    >>> hollow([3, 20, 90], 7)
    [True, True, False]
    """
    is_hidden = [0 < n <= small for n in counts]
    others = [place for place, n in enumerate(counts) if n > small]
    if sum(is_hidden) == 1 and others:
        is_hidden[min(others, key=lambda place: (counts[place], place))] = True
    return is_hidden


def _mark(mark: Mark, across: Callable[[float], float], y: float) -> str:
    if not math.isfinite(mark.value):
        return text(14, y + 4, f"{mark.words}: not known", "tick")
    x = across(mark.value)
    whisker = element("line", x1=across(mark.low), x2=across(mark.high), y1=y, y2=y, class_=f"whisker {mark.shape}")
    spans = whisker if math.isfinite(mark.low) and math.isfinite(mark.high) else ""
    side = "end" if x > WIDTH * 0.72 else "start" if x < WIDTH * 0.28 else "middle"
    return spans + _SHAPES[mark.shape](x, y) + text(x, y - 9, mark.words, "tick", side)


def _disc(x: float, y: float) -> str:
    return element("circle", cx=x, cy=y, r=5, class_="dot")


def _diamond(x: float, y: float) -> str:
    return element("path", d=f"M{x:.1f},{y - 6:.1f}l6,6l-6,6l-6,-6z", class_="open")


def _square(x: float, y: float) -> str:
    return element("rect", x=x - 4.5, y=y - 4.5, width=9, height=9, class_="open")


_SHAPES: dict[Shape, Callable[[float, float], str]] = {"disc": _disc, "diamond": _diamond, "square": _square}


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _given(value: float | None) -> list[float]:
    return [] if value is None else [value]
