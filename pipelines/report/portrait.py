"""Builds the page of one customer, and the same as plain values."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from features.registry import FEATURES
from models.phrases import in_words
from models.portrait import Standing
from pipelines.phrases import PHRASES
from pipelines.portrait import Portrait
from pipelines.report.blocks import Tile
from pipelines.report.document import rendered
from pipelines.report.portrait_charts import months, strip, timeline
from pipelines.report.portrait_words import action, missing, opening, place_words, reasons, scores
from pipelines.report.units import span, written
from pipelines.report.words import NOTHING, day, is_known, money, share, short_day

N_EVENTS = 40


@dataclass(frozen=True)
class Line:
    """One feature as the page tells it: texts, and the chart of where it stands as markup."""

    name: str
    words: str
    value: str
    typical: str
    middle: str
    place: str
    strip: str


def portrait_page(found: Portrait) -> str:
    """Return what is known of a customer as one HTML page that asks the network for nothing.

    Parameters
    ----------
    found
        From ``pipelines.portrait.portrait``.
    """
    doing, why = action(found)
    history = found.history
    return rendered(
        "portrait.html",
        "portrait.css",
        found=found,
        day=day(found.as_of_on),
        lede=opening(found),
        tiles=_tiles(found, doing),
        why=why,
        doing=doing,
        reasons=reasons(found),
        offers=[_offer(found, row) for row in found.offers],
        sayings=[_line(found, one.standing, one.words) for one in found.sayings],
        families=list(_families(found)),
        months=months(history.months, _axis(found), "Spend and orders by month"),
        timeline=_timeline(found),
        events=[(short_day(one.on), one.kind, one.words) for one in reversed(history.events)][:N_EVENTS],
        n_events=len(history.events),
        categories=[(name, money(cents, found.currency)) for name, cents in history.categories],
        missing=missing(history),
    )


def _tiles(found: Portrait, doing: str) -> list[Tile]:
    tiles = [Tile(name, value, note) for name, value, note in scores(found)]
    return [*tiles, Tile("Tomorrow", doing, _kind(found))] if found.action is not None else tiles


def _kind(found: Portrait) -> str:
    row = found.action or {}
    if found.may_contact is False:
        return "no contact is allowed now"
    return "held out on purpose" if row.get("arm") == "holdout" else ""


def _line(found: Portrait, one: Standing, words: str) -> Line:
    unit = FEATURES[one.name].unit
    value = written(one.value, unit, found.currency)
    quartiles = span(one.low, one.high, unit, found.currency) if is_known(one.low) else ""
    if quartiles and words != FEATURES[one.name].doc and PHRASES[one.name].unit == "pace":
        # As the sentence beside it counts.
        quartiles = " to ".join(in_words(end, "pace") for end in (one.low, one.high))
    typical = written(one.typical, unit, found.currency)
    place = place_words(one)
    return Line(one.name, words, value, typical, quartiles, place, strip(one, f"{one.name}: {place}"))


def _families(found: Portrait) -> Iterator[tuple[str, list[Line]]]:
    def family(one: Standing) -> str:
        return FEATURES[one.name].family

    ordered = sorted(found.features, key=lambda one: (family(one), one.name))
    for name, members in groupby(ordered, key=family):
        yield name.capitalize(), [_line(found, one, FEATURES[one.name].doc) for one in members]


def _offer(found: Portrait, row: dict[str, Any]) -> tuple[str, str, str, str]:
    chance = row.get("acceptance_probability")
    margin = money(row.get("expected_margin_cents"), found.currency)
    reason = str(row["reason"]) if is_known(row.get("reason")) else NOTHING
    return str(row["category"]), share(chance, 0), margin, reason


def _timeline(found: Portrait) -> str:
    if not found.history.months:
        return ""
    window = (found.history.months[0].month, found.as_of_on)
    return timeline(
        found.history.orders, found.history.events, window, _axis(found), "Orders, campaigns and complaints by day"
    )


def _axis(found: Portrait) -> Any:
    return lambda cents: money(cents, found.currency, is_whole=abs(cents) >= 1000)
