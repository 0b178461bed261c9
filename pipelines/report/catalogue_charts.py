"""Two small charts of a feature: how it lies tonight, and how many left where it was low or high."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from models.univariate import Band, Spread
from pipelines.report import svg
from pipelines.report.charts import hollow
from pipelines.report.svg import element, text, tip
from pipelines.report.units import span, written
from pipelines.report.words import HIDDEN, SMALL_COUNT, share

_WIDTH = 300
_TALL = 78
_ROW = 17
_NAME = 118
_UNKNOWN = "unknown"


def histogram(found: Spread, unit: str, currency: str, words: str) -> str:
    """Draw how many customers have which value; bins of 1 to ``SMALL_COUNT`` are hollow and all drawn alike.

    Parameters
    ----------
    found
        How the values lie.
    unit, currency
        How they are written.
    words
        What a screen reader tells.
    """
    if not found.counts:
        return ""
    is_hollow = hollow(found.counts, SMALL_COUNT)
    shown = [SMALL_COUNT if hide else n for n, hide in zip(found.counts, is_hollow, strict=True)]
    edges = found.edges
    across, up = svg.scale(edges[0], edges[-1], 0, _WIDTH), svg.scale(0, max(shown), _TALL, 4)
    bars = []
    for n, drawn, hide, low, high in zip(found.counts, shown, is_hollow, edges, edges[1:], strict=False):
        if n:
            customers = f"{n:,}" if not hide else f"≤{SMALL_COUNT}" if n <= SMALL_COUNT else HIDDEN
            said = tip(f"{_bin(low, high, unit, currency)}: {customers} customers")
            width, y = max(across(high) - across(low) - 1.5, 1.0), min(up(drawn), _TALL - 1.0)
            css = "hollow" if hide else "fill"
            bars.append(element("rect", said, x=across(low), y=y, width=width, height=_TALL - y, class_=css))
    ground = element("line", x1=0, x2=_WIDTH, y1=_TALL, y2=_TALL, class_="ground")
    return _canvas(words, _TALL + 18, ground, *bars, *_axis(edges, unit, currency))


def leaving(found: Sequence[Band], average: float, unit: str, currency: str, words: str) -> str:
    """Draw the share that left by band with its interval; a dashed line is the share of all.

    Parameters
    ----------
    found
        The bands, from low to high.
    average
        Share of all that left.
    unit, currency
        How the ends of the bands are written.
    words
        What a screen reader tells.
    """
    if not found:
        return ""
    visible = [band for band in found if band.n_customers > SMALL_COUNT]
    top = svg.ticks(0, max([average, *(band.share_high for band in visible)]), 3)[-1]
    across = svg.scale(0, top, _NAME, _WIDTH - 46)
    height = len(found) * _ROW
    names = _names(found, unit, currency)
    parts = [
        _band(band, place * _ROW, across, name) for place, (band, name) in enumerate(zip(found, names, strict=True))
    ]
    middle = element("line", x1=across(average), x2=across(average), y1=0, y2=height, class_="dashed")
    return _canvas(words, height + 2, middle, *parts)


def _names(found: Sequence[Band], unit: str, currency: str) -> list[str]:
    """Return what each band is called: the outer ones have no end, and one without a value is unknown."""
    known = [band for band in found if not band.is_unknown]
    names = [span(band.low, band.high, unit, currency) for band in known]
    if len(known) > 1 and known[0].low < known[0].high:
        names[0] = f"up to {written(known[0].high, unit, currency)}"
    if len(known) > 1 and known[-1].low < known[-1].high:
        names[-1] = f"from {written(known[-1].low, unit, currency)}"
    return names + [_UNKNOWN] * (len(found) - len(known))


def _band(band: Band, y: float, across: Callable[[float], float], name: str) -> str:
    label = text(_NAME - 8, y + 12, svg.clip(name, 20), "tick", "end")
    if band.n_customers <= SMALL_COUNT:
        return label + text(_NAME + 4, y + 12, f"{HIDDEN}: fewer than {SMALL_COUNT + 1} customers", "tick")
    said = f"{name}: {share(band.share)} left ({share(band.share_low)} to {share(band.share_high)})"
    width = max(across(band.share) - _NAME, 1.0)
    bar = element("rect", tip(said), x=_NAME, y=y + 3, width=width, height=_ROW - 6, class_="fill")
    middle, (x1, x2) = y + _ROW / 2, (across(end) for end in (band.share_low, band.share_high))
    whisker = element("line", x1=x1, x2=x2, y1=middle, y2=middle, class_="reach")
    return label + bar + whisker + text(_WIDTH, y + 12, share(band.share), "value", "end")


def _bin(low: float, high: float, unit: str, currency: str) -> str:
    if unit == "flag":
        return written((low + high) / 2, unit, currency)
    # Bins of whole numbers end between them.
    is_between = unit in {"count", "cents", "years"} and (2 * low) % 2 == 1
    return span(low + 0.5, high - 0.5, unit, currency) if is_between else span(low, high, unit, currency)


def _axis(edges: Sequence[float], unit: str, currency: str) -> list[str]:
    if unit == "flag":
        names = [written((low + high) / 2, unit, currency) for low, high in pairwise(edges)]
        places = [(2 * place + 1) / (2 * len(names)) for place in range(len(names))]
        return [text(_WIDTH * at, _TALL + 14, name, "tick", "middle") for at, name in zip(places, names, strict=True)]
    is_between = (2 * edges[0]) % 2 == 1
    shift = 0.5 if is_between else 0.0
    ends = (edges[0] + shift, (edges[0] + edges[-1]) / 2, edges[-1] - shift)
    anchors = ("start", "middle", "end")
    named = zip((0, _WIDTH / 2, _WIDTH), (written(end, unit, currency) for end in ends), anchors, strict=True)
    return [text(x, _TALL + 14, name, "tick", anchor) for x, name, anchor in named]


def _canvas(words: str, height: float, *parts: str) -> str:
    box = f"0 0 {_WIDTH} {height:.0f}"
    return element("svg", "".join(parts), class_="small", viewBox=box, role="img", aria_label=words)
