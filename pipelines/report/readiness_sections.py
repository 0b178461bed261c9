"""The sections of the readiness report: one function per subject, null where the data have nothing of it."""

from models.evaluation import Estimate
from models.readiness import LEAK_AUC, SUSPECT_AUC
from models.readiness_facts import BaseRate, Detectable, Facts, TrialFacts
from pipelines.report import charts
from pipelines.report.blocks import Cell, Figure, Figures, Head, Section, Table
from pipelines.report.svg import Title
from pipelines.report.words import (
    SMALL_COUNT,
    axis,
    between,
    count,
    day,
    guarded,
    is_shown,
    money,
    month,
    number,
    percent,
    share,
    short_day,
    things,
)

_MOST_GAPS = 8
_MOST_COLUMNS = 12


def said(found: Estimate | None) -> str:
    """Write a share with its interval; null is not known.

    Examples
    --------
    >>> said(Estimate(0.1, 0.05, 0.2, 50)).replace("\N{NO-BREAK SPACE}", " ")
    '10.0 % (5.0 % to 20.0 %)'
    """
    return f"{share(found.value)} ({between(share(found.low), share(found.high))})" if found else "not known"


def lines(facts: Facts, symbol: str) -> Section | None:
    """Say what the lines cover: their span, their gaps, and what of them is of no use."""
    seen = facts.lines
    if seen is None:
        return None
    lines_and_orders = f"{things(seen.n_lines, 'line')} of {things(seen.n_orders, 'order')}"
    days = f"{count(seen.n_open_days)} of {count(seen.n_days)} days, {day(seen.first_on)} to {day(seen.last_on)}"
    lede = [
        f"{lines_and_orders} on {days}.",
        f"{things(seen.n_gap_days, 'day')} without any line fell on weekdays that usually have some."
        if seen.n_gap_days
        else "No day is missing: every day without lines is a weekday on which there are hardly ever any.",
    ]
    labels = [month(one.month) for one in seen.months]
    chart = charts.line(
        Title("lines-by-month", "Lines by month", "One point per local month; first and last may be incomplete"),
        labels,
        [float(one.n_lines) for one in seen.months],
        lambda value: f"{value:,.0f}",
    )
    figure = Figure("Lines by month", "The first and the last month may be incomplete.", chart)
    rows = [
        ("Without a customer", said(seen.anonymous), f"{share(seen.anonymous_money_share)} of the money taken"),
        ("Returned money", share(seen.returns_share), "of the money taken"),
        ("Product not in the catalogue", said(seen.unknown_product), "of lines"),
        ("Known on a later day", said(seen.late) if seen.late else "not known", "of lines, by known_at"),
        ("Net sales", money(seen.sales_cents, symbol), ""),
    ]
    table = Table(
        "line-shares",
        "What the lines are like",
        [Head("What"), Head("Share", is_number=True), Head("Of what")],
        [[Cell(name), Cell(value), Cell(note)] for name, value, note in rows],
    )
    gap_rows = [
        [Cell(day(gap.first_on)), Cell(day(gap.last_on)), Cell(count(gap.n_days))]
        for gap in sorted(seen.gaps, key=lambda gap: (-gap.n_days, gap.first_on))[:_MOST_GAPS]
    ]
    gaps = Table(
        "gaps",
        "The longest gaps",
        [Head("First day"), Head("Last day"), Head("Days", is_number=True)],
        gap_rows,
        note="Days that usually have lines; closed weekdays in between are not counted.",
    )
    return Section("lines", "What was sold", lede, [Figures((figure,)), table, *([gaps] if gap_rows else [])], "")


def customers(facts: Facts, _symbol: str) -> Section | None:
    """Say how many customers there are and how often they come back."""
    seen = facts.lines
    if seen is None or not seen.n_customers:
        return None
    lede = [f"{things(seen.n_customers, 'customer')} bought; {said(seen.repeat)} of them on two days or more."]
    if seen.top_tenth_share is not None:
        lede.append(f"The tenth of customers who spend most gave {share(seen.top_tenth_share)} of the money.")
    counts = [n for _, n in seen.purchases]
    written = guarded(counts)
    often = charts.bar(
        Title("purchases", "On how many days customers bought", "One bar per number of purchase days"),
        [f"{name} {'day' if name == '1' else 'days'}" for name, _ in seen.purchases],
        [float(n) if is_shown(text) else 0.0 for n, text in zip(counts, written, strict=True)],
        written,
    )
    new = charts.line(
        Title("new-customers", "New customers by month", "Customers by the month of their first purchase"),
        [month(one.month) for one in seen.months],
        # A handful of customers could point at a person: their month is not drawn.
        [float("nan") if 0 < n <= SMALL_COUNT else float(n) for n in (one.n_new_customers for one in seen.months)],
        lambda value: f"{value:,.0f}",
    )
    figures = Figures(
        (
            Figure("On how many days customers bought", "Customers by their number of purchase days.", often),
            Figure(
                "New customers by month",
                f"Early months look larger: all are new then. 1 to {SMALL_COUNT} are not drawn.",
                new,
            ),
        )
    )
    return Section("customers", "Who buys", lede, [figures], "")


def leaving(facts: Facts, _symbol: str) -> Section | None:
    """Say what silence means, and how many fall silent."""
    churn = facts.churn
    if churn is None:
        return None
    lede = [text for text in (churn.sentence, churn.problem and f"{churn.problem}.") if text]
    lede.append(
        f"A customer counts with a purchase in the {churn.eligible_days} days before. "
        f"{things(churn.n_training_dates, 'date')} to learn from, and one to judge on."
        if churn.n_training_dates
        else f"A customer counts with a purchase in the {churn.eligible_days} days before; no date to learn from yet."
    )
    figures = []
    if churn.by_horizon:
        words = "Who bought nothing, by length of the silence"
        chart = _rates("by-horizon", words, [(f"{one.horizon_days} days", one) for one in churn.by_horizon])
        figures.append(Figure(words, "Share of eligible customers, for silences that end with the data; 95 %.", chart))
    if churn.by_date:
        words = f"Who bought nothing within {churn.horizon_days} days, by date"
        chart = _rates("by-date", words, [(f"from {short_day(one.observed_on)}", one) for one in churn.by_date])
        figures.append(Figure(words, "The last date judges, the others teach; 95 %.", chart))
    return Section("leaving", "Who leaves", lede, [Figures(figures)] if figures else [], "")


def _rates(key: str, words: str, rates: list[tuple[str, BaseRate]]) -> str:
    rows = [
        charts.Row(
            f"{name}, {things(rate.n_eligible, 'customer')}",
            [charts.Mark(rate.churned.value, rate.churned.low, rate.churned.high, share(rate.churned.value))],
        )
        for name, rate in rates
        if rate.churned is not None
    ]
    return charts.forest(Title(key, words, "Shares with 95 % intervals"), rows, percent, reference=0.0)


def label(facts: Facts, _symbol: str) -> Section | None:
    """Say what the label says, and which columns know too much."""
    seen = facts.label
    if seen is None:
        return None
    n_rows = seen.share.n_rows if seen.share else 0
    lede = [f"“{seen.column}” says who left: {said(seen.share)} of {things(n_rows, 'customer')}."]
    if seen.n_unlabelled:
        lede.append(f"{things(seen.n_unlabelled, 'customer')} have no label.")
    rows = [
        [
            Cell(column.name),
            Cell(number(column.auc), sort=str(column.auc)),
            Cell(said(column.missing)),
            Cell(_suspicion(column.auc)),
        ]
        for column in seen.columns
    ]
    table = Table(
        "powers",
        "How well one column alone tells who left",
        [Head("Column"), Head("AUC", is_number=True), Head("Missing", is_number=True), Head("Look at it")],
        rows,
        limit=_MOST_COLUMNS,
        note="0.5 is a coin toss, 1 knows the answer. A column that was written down afterwards must be left out.",
    )
    return Section("label", "Who left, by your own label", lede, [table], "")


def _suspicion(auc: float) -> str:
    if auc >= LEAK_AUC:
        return "gives the answer away: leave it out unless it is known before"
    return "is it known before?" if auc >= SUSPECT_AUC else ""


def baskets(facts: Facts, _symbol: str) -> Section | None:
    """Say what baskets hold."""
    seen = facts.baskets
    if seen is None:
        return None
    what = {"category": "categories", "product": "products (there are no categories)"}[seen.kind]
    rows = [
        ("Baskets", count(seen.n_baskets)),
        (f"Different {what}", count(seen.n_items)),
        ("Items in a basket, on average", number(seen.items_per_basket)),
        ("Baskets with several items", said(seen.several)),
        ("Sold lines with a category", said(seen.with_category)),
        (f"Items in {percent(seen.min_support)} of baskets", count(seen.n_frequent_items)),
        (f"Pairs in {percent(seen.min_support)} of baskets", count(seen.n_frequent_pairs)),
    ]
    cells = [[Cell(name), Cell(value)] for name, value in rows]
    table = Table("baskets-table", "Baskets", [Head("What"), Head("Number", is_number=True)], cells)
    return Section("baskets", "What is bought together", [], [table], "")


def trials(facts: Facts, symbol: str) -> Section | None:
    """Say which campaigns and trials there are, and whether they can be judged."""
    if not facts.trials and not facts.n_campaigns:
        return None
    lede = []
    if facts.n_campaigns:
        lede.append(f"{things(facts.n_campaigns, 'campaign')}, {count(facts.n_ended_campaigns)} of them over.")
    lede.append(
        "Only where chance decided who was contacted does the difference say what the campaign changed. Both sides "
        "are compared on what they did before: a difference above 0.1, or an AUC well above 0.5, says they differ."
    )
    heads = [Head("Campaign"), Head("Treated", is_number=True), Head("Untreated", is_number=True), Head("Drawn by lot")]
    heads += [Head("Apart before", is_number=True), Head("AUC", is_number=True), Head("Smallest effect it would show")]
    rows = [_trial(trial, symbol) for trial in facts.trials]
    note = "Smallest effect found in four of five cases at the 5 % level, from what is usual without treatment."
    return Section("trials", "What was tried", lede, [Table("trials-table", "Campaigns", heads, rows, note=note)], "")


def _trial(trial: TrialFacts, symbol: str) -> list[Cell]:
    lot = {True: "yes", False: "no", None: "not said"}[trial.is_randomised]
    control = "control group" if trial.has_control else "everybody else"
    ratio = f"sizes of the arms: p = {number(trial.ratio_p_value, 3)}" if trial.ratio_p_value is not None else ""
    ended = {True: "is over", False: "not over yet", None: ""}[trial.has_ended]
    effects = [_effect(one, symbol) for one in trial.detectable]
    return [
        Cell(trial.name, [f"{arm}: {n}" for (arm, _), n in zip(trial.arms, _arms(trial), strict=True)] + [ended]),
        Cell(guarded([trial.n_treated])[0]),
        Cell(guarded([trial.n_control])[0], [control]),
        Cell(lot, [ratio]),
        Cell(number(trial.largest_difference), [f"{trial.n_imbalanced} of {trial.n_covariates} above 0.1"]),
        Cell(axis(round(trial.propensity_auc, 2)) if trial.propensity_auc is not None else "–"),
        Cell("" if effects else "not known", effects),
    ]


def _arms(trial: TrialFacts) -> list[str]:
    return guarded([n for _, n in trial.arms])


def _effect(one: Detectable, symbol: str) -> str:
    if one.kind == "cents":
        return f"{one.outcome}: {money(one.smallest, symbol)} on {money(one.usual, symbol)}"
    if one.kind == "share":
        return f"{one.outcome}: {number(100 * one.smallest)} points on {share(one.usual)}"
    return f"{one.outcome}: {number(one.smallest)} on {number(one.usual)}"


def permission(facts: Facts, _symbol: str) -> Section | None:
    """Say who may be contacted, and who says so."""
    if not facts.contactable:
        return None
    rows = [[Cell(one.purpose), Cell(said(one.share)), Cell(one.source)] for one in facts.contactable]
    heads = [Head("Purpose"), Head("Customers", is_number=True), Head("Who says so")]
    lede = ["Nobody is contacted or scored for marketing without consent, or a rule of the configuration instead."]
    if any(one.share is None for one in facts.contactable):
        lede.append(
            "For at least one purpose nobody says anything, and a night would not start: map a consents source, or "
            "name the purpose in assumed_consent under [decisions]."
        )
    return Section("permission", "Who may be contacted", lede, [Table("permissions", "Consent", heads, rows)], "")
