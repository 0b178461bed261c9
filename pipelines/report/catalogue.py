"""Builds the page of features: what each is, how it lies tonight, and how it went with leaving in the past."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from models.univariate import SUSPICIOUS_AUC
from pipelines.catalogue import Catalogue, FeatureFacts
from pipelines.report.blocks import Tile
from pipelines.report.catalogue_charts import histogram, leaving
from pipelines.report.document import rendered
from pipelines.report.units import span, written
from pipelines.report.words import NOTHING, SMALL_COUNT, between, count, day, is_known, number, share, things

UNITS: Mapping[str, str] = {
    "cents": "money",
    "index": "index from −1 to 1",
    "flag": "yes or no",
    "nats": "entropy in nats",
}
"""Units that a reader would not understand as they are called."""
_FIRST = 20
_DRIFT = 0.05
_N_RANGE = 160


@dataclass(frozen=True)
class Entry:
    """One feature as the page tells it: texts, and two charts as markup."""

    name: str
    doc: str
    family: str
    facts: str
    missing: str
    missing_sort: str
    unknown: str
    auc: str
    auc_interval: str
    auc_sort: str
    lies: str
    histogram: str
    leaving: str
    is_learned: bool
    alarm: str


def catalogue_page(found: Catalogue) -> str:
    """Return the features of a night as one HTML page; it names no customer, and the same night gives the same text.

    Parameters
    ----------
    found
        From ``pipelines.catalogue.measure``.
    """
    entries = [_entry(one, found) for one in found.features]
    families = [(name, list(members)) for name, members in groupby(entries, key=lambda one: one.family)]
    ranked = sorted(entries, key=lambda one: (-float(one.auc_sort or 0), one.name))
    return rendered(
        "catalogue.html",
        "catalogue.css",
        has_script=True,
        found=found,
        day=day(found.as_of_on),
        title=f"{things(len(entries), 'feature')} of every customer",
        lede=_lede(found),
        tiles=_tiles(found),
        alarms=[(one.name, one.alarm) for one in entries if one.alarm],
        limit=_limit(found),
        ranked=ranked,
        n_first=_FIRST,
        families=families,
    )


def _lede(found: Catalogue) -> list[str]:
    n_customers = things(found.n_customers, "customer")
    said = [
        f"Each says one thing about a customer, from what was known before {day(found.as_of_on)}.",
        f"The chart in the middle shows the {n_customers} of this night.",
    ]
    if found.n_past:
        said.append(
            f"The chart at the right shows the past: of {things(found.n_past_customers, 'customer')} seen at "
            f"{things(found.n_dates, 'date')}, {share(found.left_share)} bought nothing in the "
            f"{found.horizon_days} days after. It shows what went together with leaving, not what brought it about."
        )
    if found.absent:
        said.append(f"Not in this night, because it was run before they were written: {', '.join(found.absent)}.")
    return said


def _tiles(found: Catalogue) -> list[Tile]:
    measured = [one for one in found.features if is_known(one.auc.value)]
    best = max(measured, key=lambda one: (one.auc.value, one.name), default=None)
    families = len({one.family for one in found.features})
    never = sum(not one.tonight.n_known for one in found.features)
    learned = sum(one.is_learned for one in found.features)
    return [
        Tile("Features", count(len(found.features)), f"in {things(families, 'family', 'families')}"),
        Tile("Learned from", count(learned), "by the models"),
        Tile("Never known", count(never), "tonight, of any customer"),
        Tile("Best alone", number(best.auc.value) if best else NOTHING, best.name if best else "nobody is labelled"),
    ]


def _limit(found: Catalogue) -> str:
    model = found.model_auc
    above = f" or surely more than the whole model’s {number(model.value)}" if model is not None else ""
    if found.alarms:
        return (
            f"An AUC of {SUSPICIOUS_AUC}{above} from one feature alone is a sign that it knows what came after. "
            "Look at where its column comes from, and since when each value was known, before anything learns from it."
        )
    return (
        f"No feature alone reaches an AUC of {SUSPICIOUS_AUC}{above}, which would be a sign that it knows the future."
    )


def _entry(one: FeatureFacts, found: Catalogue) -> Entry:
    spread, currency = one.tonight, found.currency
    is_measured = is_known(one.auc.value)
    missing = share(spread.missing_share) if spread.missing_share else "none"
    return Entry(
        name=one.name,
        doc=one.doc,
        family=one.family.capitalize(),
        facts=_facts(one),
        missing=missing if spread.n_rows else NOTHING,
        missing_sort=f"{spread.missing_share:.6f}",
        unknown=_unknown(one),
        auc=number(one.auc.value) if is_measured else NOTHING,
        auc_interval=between(number(one.auc.low), number(one.auc.high)) if is_measured else "",
        auc_sort=f"{one.auc.value:.6f}" if is_measured else "",
        lies=_lies(one, currency),
        histogram=histogram(spread, one.unit, currency, f"How {one.name} lies tonight"),
        leaving=leaving(one.bands, found.left_share, one.unit, currency, f"Share that left by {one.name}")
        if spread.n_known or one.past_missing_share < 1
        else "",
        is_learned=one.is_learned,
        alarm=_alarm(one, found),
    )


def _facts(one: FeatureFacts) -> str:
    lookback = "whole history" if one.lookback is None else f"last {things(one.lookback, 'day')}"
    return f"{UNITS.get(one.unit, one.unit)} · {lookback} · from {one.sources}"


def _unknown(one: FeatureFacts) -> str:
    """Say for how many it is not known, what that means, and where the past was different."""
    if not one.null:
        return "Known of every customer."
    share_now = one.tonight.missing_share
    if not one.tonight.n_known:
        return f"Never known tonight: {one.null}."
    said = f"Unknown of {share(share_now) if share_now else 'nobody'}: {one.null}."
    now, past = one.missing_share, one.past_missing_share
    if abs(now - past) >= _DRIFT:
        said += f" Of those who bought lately it is {share(now)}, and in the past it was {share(past)}."
    return said


def _lies(one: FeatureFacts, currency: str) -> str:
    spread = one.tonight
    if spread.n_known <= SMALL_COUNT:
        return "" if not spread.n_known else f"Known of fewer than {SMALL_COUNT + 1} customers."
    if one.unit == "flag":
        return ""
    middle = f"half of the customers up to {written(spread.median, one.unit, currency)}"
    if spread.n_known < _N_RANGE:
        return f"{middle.capitalize()}."
    return f"{middle.capitalize()}, nine of ten {span(spread.low, spread.high, one.unit, currency)}."


def _alarm(one: FeatureFacts, found: Catalogue) -> str:
    if not one.is_suspicious:
        return ""
    interval = between(number(one.auc.low), number(one.auc.high))
    model = f", while the whole model reaches {number(found.model_auc.value)}" if found.model_auc is not None else ""
    return f"alone ranks who left with an AUC of {number(one.auc.value, 3)} ({interval}){model}"
