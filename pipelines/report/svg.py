"""The canvas under the charts: escaped elements, scales and ticks.

Colours come from the page's CSS classes alone, so that a chart follows light and dark; nothing is told by colour only.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 440
Format = Callable[[float], str]
"""Writes a value for an axis."""


def element(tag: str, content: str = "", **attributes: object) -> str:
    """Return one SVG element; attribute values are escaped, ``content`` must already be markup.

    A trailing underscore is dropped from names and the others become hyphens; coordinates get one decimal.

    Examples
    --------
    >>> element("line", x1=0, x2=4.25, class_="a")
    '<line x1="0" x2="4.2" class="a"/>'
    """
    written = "".join(f' {_name(name)}="{_value(value)}"' for name, value in attributes.items())
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    """Return a line of text, escaped."""
    classes = {"class_": css} if css else {}
    ends = {"text_anchor": anchor} if anchor != "start" else {}
    return element("text", escape(words), x=x, y=y, **classes, **ends)


def tip(words: str) -> str:
    """Return the text that shows when the pointer rests on the enclosing element."""
    return element("title", escape(words))


def clip(words: str, n: int) -> str:
    """Shorten to ``n`` characters, the last being an ellipsis.

    Examples
    --------
    >>> clip("breakfast cereals", 10)
    'breakfast…'
    """
    return words if len(words) <= n else f"{words[: n - 1].rstrip()}…"


@dataclass(frozen=True)
class Title:
    """What a chart says, in plain text: a key that is unique on the page, the takeaway, and what is drawn."""

    key: str
    takeaway: str
    description: str


def canvas(title: Title, height: float, *parts: str) -> str:
    """Return the whole chart with the title and description that a screen reader tells.

    Parameters
    ----------
    title
        What the chart says.
    height
        In units of which the chart is ``WIDTH`` wide.
    parts
        Markup.
    """
    key = title.key
    head = element("title", escape(title.takeaway), id=f"{key}-title")
    head += element("desc", escape(title.description), id=f"{key}-desc")
    return element(
        "svg",
        head + "".join(parts),
        class_="chart",
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the linear map of [low, high] to [start, end]; values outside are held at the ends.

    Examples
    --------
    >>> scale(0, 10, 100, 200)(5)
    150.0
    """
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return start + (end - start) * min(1.0, max(0.0, (value - low) / span))

    return place


def ticks(low: float, high: float, n: int = 4) -> list[float]:
    """Return round numbers that enclose [low, high] in about ``n`` steps, a step being 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> ticks(0, 9.3)
    [0.0, 5.0, 10.0]
    """
    if high <= low:
        low, high = (low - 1, low + 1) if low else (0.0, 1.0)
    rough = (high - low) / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def grid_x(values: Sequence[float], place: Callable[[float], float], span: tuple[float, float], write: Format) -> str:
    """Return vertical grid lines with their labels below."""
    return "".join(
        element("line", x1=place(value), x2=place(value), y1=span[0], y2=span[1], class_="grid")
        + text(place(value), span[1] + 16, write(value), "tick", "middle")
        for value in values
    )


def grid_y(values: Sequence[float], place: Callable[[float], float], left: float, write: Format) -> str:
    """Return horizontal grid lines with their labels at the left."""
    return "".join(
        element("line", x1=left, x2=WIDTH, y1=place(value), y2=place(value), class_="grid")
        + text(left - 8, place(value) + 4, write(value), "tick", "end")
        for value in values
    )


def empty(title: Title) -> str:
    """Return a chart that says that there is nothing to draw."""
    return canvas(title, 60, text(WIDTH / 2, 34, "nothing to draw tonight", "tick", "middle"))


def _name(name: str) -> str:
    return name if name == "viewBox" else name.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else escape(str(value))
