"""The charts of one customer: where they stand among others, and what happened when."""

from collections.abc import Callable, Sequence
from datetime import date

from models.portrait import Standing
from pipelines.history import Event, Month, Order
from pipelines.report import svg
from pipelines.report.svg import Format, element, text, tip
from pipelines.report.words import is_known, month, short_day, things

_WIDE = 940
_LEFT = 84
_RIGHT = _WIDE - 8
_GROUND = 150
_ROWS = (("campaign", "campaigns"), ("complaint", "complaints"), ("feedback", "said"), ("contract", "contract"))


def strip(one: Standing, words: str) -> str:
    """Draw where a value stands among others, from the lowest at the left to the highest at the right.

    Parameters
    ----------
    one
        The standing; unknown draws nothing.
    words
        What a screen reader tells.
    """
    if not is_known(one.place):
        return ""
    across = svg.scale(0, 1, 4, 136)
    parts = [
        element("line", x1=4, x2=136, y1=8, y2=8, class_="grid"),
        element("line", x1=across(0.25), x2=across(0.75), y1=8, y2=8, class_="middle"),
        element("line", x1=across(0.5), x2=across(0.5), y1=3, y2=13, class_="zero"),
        element("circle", cx=across(one.place), cy=8, r=4, class_="dot"),
    ]
    return element("svg", "".join(parts), class_="strip", viewBox="0 0 140 16", role="img", aria_label=words)


def months(found: Sequence[Month], write: Format, words: str) -> str:
    """Draw spend by month as bars, with the number of orders above; returns that exceed purchases draw nothing.

    Parameters
    ----------
    found
        The months, in order.
    write
        Writes cents on the axis.
    words
        What a screen reader tells.
    """
    if not found:
        return ""
    steps = svg.ticks(0, max([1.0, *(float(one.spend_cents) for one in found)]), 3)
    up = svg.scale(0, steps[-1], _GROUND, 16)
    width = (_RIGHT - _LEFT) / len(found)
    parts = [_grid(steps, up, write)]
    every = max(1, -(-len(found) // 12))
    for place, one in enumerate(found):
        x, y = _LEFT + place * width, up(one.spend_cents)
        said = tip(f"{month(one.month)}: {write(one.spend_cents)}, {things(one.n_orders, 'order')}")
        gap = min(width * 0.2, 8.0)
        parts.append(element("rect", said, x=x + gap, y=y, width=width - 2 * gap, height=_GROUND - y, class_="fill"))
        if one.n_orders:
            parts.append(text(x + width / 2, y - 4, str(one.n_orders), "tick", "middle"))
        if (len(found) - 1 - place) % every == 0:
            parts.append(text(x + width / 2, _GROUND + 18, month(one.month), "tick", "middle"))
    return _canvas(_GROUND + 26, words, *parts)


def timeline(made: Sequence[Order], events: Sequence[Event], span: tuple[date, date], write: Format, words: str) -> str:
    """Draw every order as a stem as high as its money, and below it what else happened, a row for each kind.

    Parameters
    ----------
    made, events
        What happened; what is not within the span is left out.
    span
        First and last day.
    write
        Writes cents on the axis.
    words
        What a screen reader tells.
    """
    first, last = span
    shown = [one for one in made if first <= one.on <= last]
    told = [one for one in events if first <= one.on <= last]
    if not shown and not told:
        return ""
    days = svg.scale(0, max((last - first).days, 1), _LEFT + 6, _RIGHT - 6)
    steps = svg.ticks(0, max([1.0, *(float(one.amount_cents) for one in shown)]), 3)
    up = svg.scale(0, steps[-1], _GROUND, 12)
    parts = [_grid(steps, up, write), *(_stem(one, days((one.on - first).days), up, write) for one in shown)]
    rows = [row for row in _ROWS if any(one.kind == row[0] for one in told)]
    for place, (kind, name) in enumerate(rows):
        y = _GROUND + 28 + 22 * place
        parts.append(text(_LEFT - 8, y + 4, name, "tick", "end"))
        parts += [_sign(one, days((one.on - first).days), y) for one in told if one.kind == kind]
    height = _GROUND + 28 + 22 * len(rows)
    names = [(first, "start"), (last, "end")]
    parts += [text(days((on - first).days), height + 4, short_day(on), "tick", anchor) for on, anchor in names]
    return _canvas(height + 10, words, *parts)


def _stem(one: Order, x: float, up: Callable[[float], float], write: Format) -> str:
    y = up(one.amount_cents)
    said = tip(f"{short_day(one.on)}: {write(one.amount_cents)}, {things(one.n_lines, 'line')}")
    stem = element("line", x1=x, x2=x, y1=_GROUND, y2=y, class_="stem")
    return stem + element("circle", said, cx=x, cy=y, r=3, class_="dot" if one.is_purchase else "open")


def _sign(one: Event, x: float, y: float) -> str:
    said = tip(f"{short_day(one.on)}: {one.words}")
    if one.kind == "complaint":
        return element("path", said, d=f"M{x - 4:.1f},{y - 4:.1f}l8,8m0,-8l-8,8", class_="cross")
    if one.kind == "campaign":
        return element("path", said, d=f"M{x:.1f},{y - 5:.1f}l5,9h-10z", class_="fill")
    return element("circle", said, cx=x, cy=y, r=4, class_="open")


def _grid(steps: Sequence[float], up: Callable[[float], float], write: Format) -> str:
    return "".join(
        element("line", x1=_LEFT, x2=_WIDE, y1=up(value), y2=up(value), class_="grid")
        + text(_LEFT - 8, up(value) + 4, write(value), "tick", "end")
        for value in steps
    )


def _canvas(height: float, words: str, *parts: str) -> str:
    box = f"0 0 {_WIDE} {height:.0f}"
    return element("svg", "".join(parts), class_="chart wide", viewBox=box, role="img", aria_label=words)
