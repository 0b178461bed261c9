"""The report in the manager's order: the headline, then one section per question."""

from collections.abc import Callable, Sequence

from pipelines.report import charts, facts
from pipelines.report.blocks import Figure, Figures, Headline, Section, Tile, floats
from pipelines.report.leaving import leaving
from pipelines.report.night import Night
from pipelines.report.portfolio import portfolio
from pipelines.report.record import campaigns, decisions, quality, trace
from pipelines.report.svg import Format, Title
from pipelines.report.together import together
from pipelines.report.trust import alarms, trust
from pipelines.report.whom import whom
from pipelines.report.words import count, day, guarded, is_shown, money, month, share, things

SECTIONS: Sequence[Callable[[Night], Section]] = (
    whom,
    portfolio,
    leaving,
    trust,
    together,
    campaigns,
    decisions,
    quality,
    trace,
)
"""One function per section, in the order of the page."""


def headline(night: Night) -> Headline:
    """Return the top of the page: what to do, why, and what to know before doing it."""
    n = len(facts.contacts(night))
    title = f"Contact {things(n, 'customer')} tomorrow" if n else "Nobody needs to be contacted tomorrow"
    lede = [f"As of {day(night.as_of_on)}, {night.company} has {things(len(night.scores), 'customer')}.", *_why(night)]
    return Headline(title, lede, _tiles(night), _know(night), Figures((_sales(night),)))


def _why(night: Night) -> list[str]:
    sizes = {key: len(rows) for key, _, rows in facts.groups(night)}
    written = dict(zip(sizes, guarded(list(sizes.values())), strict=True))
    said = []
    if sizes.get("retain") and is_shown(written["retain"]):
        said.append(f"{written['retain']} because they may leave and are worth keeping")
    if sizes.get("cross_sell") and is_shown(written["cross_sell"]):
        said.append(f"{written['cross_sell']} because they are likely to want something they do not buy yet")
    rest = f"The other {written['leave_alone']} are best left alone." if is_shown(written["leave_alone"]) else ""
    return [f"{', '.join(said).capitalize()}. {rest}".strip()] if said else []


def _tiles(night: Night) -> list[Tile]:
    net = facts.net_value(facts.contacts(night))
    low, high = (money(end, night.currency, is_whole=True) for end in (net.low, net.high))
    eligible = int(night.scores["is_eligible"].astype(bool).sum())
    lately = guarded([eligible, len(night.scores) - eligible])[0]
    at_risk = facts.value_at_risk(night.scores)
    set_aside = facts.quarantined(night)
    n_in = int(night.reconciliation["n_in"].sum())
    return [
        Tile(
            "Customers",
            count(len(night.scores)),
            f"{lately} bought lately",
        ),
        Tile("Expected net value", money(net.value, night.currency, is_whole=True), f"{low} to {high} at the extremes"),
        Tile("Value at risk", money(at_risk, night.currency, is_whole=True), f"in the next {night.horizon_days} days"),
        Tile("Rows set aside", count(set_aside), f"of {count(n_in)} that came in"),
    ]


def _know(night: Night) -> list[str]:
    set_aside = facts.quarantined(night)
    known = [
        f"{things(set_aside, 'row is', 'rows are')} in quarantine; no row and no cent is lost."
        if facts.is_reconciled(night)
        else "Rows or money do not add up tonight: see data quality before you rely on a number."
    ]
    grave = int((facts.failed(night)["severity"] == "critical").sum())
    if grave:
        known.append(f"{things(grave, 'critical expectation')} failed: see data quality.")
    known.append(facts.against_baseline(night))
    known.append(f"Rules: {facts.rules_survived(night)}.")
    known.append(f"Campaigns: {facts.verdict_counts(night)}.")
    for decision, rows in night.model_decisions.groupby("decision", sort=True):
        known.append(f"Models {decision}: {', '.join(sorted(rows['model'].astype(str)))}.")
    return [*known, *alarms(night)]


def _sales(night: Night) -> Figure:
    months = facts.complete_months(night)
    values, names = floats(months["sales_cents"]), [month(value) for value in months["month"]]
    title = "There is no complete month of sales yet."
    if values:
        title = f"Sales were {money(values[-1], night.currency, is_whole=True)} in {names[-1]}"
        if len(values) > 1 and values[-2] > 0:
            change = values[-1] / values[-2] - 1
            title += f", {share(abs(change))} {'above' if change >= 0 else 'below'} {names[-2]}"
        title += "."
    svg = charts.line(Title("sales", title, "Sales by month."), names, values, _money_axis(night))
    return Figure(title, "Net sales by complete month.", svg)


def _money_axis(night: Night) -> Format:
    def write(cents: float) -> str:
        amount = cents / 100
        for size, unit in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
            if abs(amount) >= size:
                sign = "−" if amount < 0 else ""
                return f"{sign}{night.currency}{abs(amount) / size:,.1f}".removesuffix(".0") + unit
        return money(cents, night.currency, is_whole=True)

    return write
