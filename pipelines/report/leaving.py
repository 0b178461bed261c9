"""Who may leave, what is at risk, and how far the probabilities can be trusted."""

import pandas as pd

from pipelines.report import charts, facts, models
from pipelines.report.blocks import Cell, Figure, Figures, Head, Section, Table, floats
from pipelines.report.night import Night
from pipelines.report.svg import Title
from pipelines.report.words import (
    METRICS,
    MODELS,
    NOTHING,
    SMALL_COUNT,
    SMALL_NOTE,
    axis,
    between,
    count,
    guarded,
    is_known,
    is_shown,
    label,
    money,
    number,
    percent,
    share,
    short_day,
)

_STATES = ("new", "active", "slipping", "lapsed", "regained")
_MOST = 0.8


def leaving(night: Night) -> Section:
    """Return section 2: the risk, the value at risk, and how far the probabilities can be trusted."""
    gone = night.texts.get("gone", f"A customer counts as gone who buys nothing for {night.horizon_days} days.")
    lede = [f"{gone} The churn probability is the chance of that; it is given only for those who have not gone yet."]
    if reason := night.texts.get("horizon_reason"):
        lede.append(reason)
    lede += [*models.notes(night), *models.threshold_words(night)]
    blocks = (
        Figures((_risk(night), _at_risk(night), calibration_figure(night), _ranking(night))),
        _metric_table(night),
        Figures((_base_rates(night), _gaps(night))),
        _state_table(night),
        *_more(night),
    )
    more = [name for name in ("model_effects", "contact_thresholds") if name in night.models]
    source = night.source("scores", "churn_metrics", "calibration", "base_rates", "purchase_gaps", *more)
    return Section("leaving", "Who may leave", lede, blocks, source)


def _more(night: Night) -> tuple[Table | Figures, ...]:
    """Return what nights of older code lack."""
    found: list[Table | Figures] = []
    if "contact_thresholds" in night.models:
        found.append(models.threshold_table(night))
    if "model_effects" in night.models:
        found.append(
            Figures((models.effects_figure([row for row in models.rows(night, "model_effects") if row["is_serving"]]),))
        )
    return tuple(found)


def _risk(night: Night) -> Figure:
    risks = night.scores.loc[night.scores["is_eligible"].astype(bool), "churn_probability"].dropna()
    edges = [place / 20 for place in range(21)]
    places = (risks.astype("float64") * 20).astype("int64").clip(0, 19)
    counts = [int((places == place).sum()) for place in range(20)]
    calm, total = sum(counts[:4]), len(risks)
    written = guarded([calm, total - calm])[0]
    title = (
        f"{written} of {count(total)} customers still buying have less than a 20 % chance of leaving."
        if is_shown(written)
        else f"The chance of leaving, for {count(total)} customers still buying."
    )
    if not total:
        title = "The chance of leaving is not known tonight."
    svg = charts.histogram(
        Title("risk", title, "Customers by churn probability, in steps of 5 %."),
        edges,
        counts,
        percent,
        small=SMALL_COUNT,
    )
    note = f"Hollow bars stand for 1 to {SMALL_COUNT} customers, or hide a number that would give these away."
    return Figure(title, f"Customers by churn probability. {note}", svg)


def _states(night: Night) -> list[tuple[str, pd.DataFrame]]:
    found = [str(state) for state in night.scores["lifecycle_state"].dropna().unique()]
    ordered = [state for state in _STATES if state in found] + sorted(set(found) - set(_STATES))
    return [(state, night.scores[night.scores["lifecycle_state"] == state]) for state in ordered]


def _at_risk(night: Night) -> Figure:
    parts = _states(night)
    written = guarded([len(rows) for _, rows in parts])
    shown = [
        (state, float(rows["value_at_risk_cents"].sum()))
        for (state, rows), n in zip(parts, written, strict=True)
        if is_shown(n) and rows["value_at_risk_cents"].notna().any()
    ]
    total = facts.value_at_risk(night.scores)
    title = "How much margin is at risk is not known tonight."
    if is_known(total):
        whole = money(total, night.currency, is_whole=True)
        title = f"{whole} of margin is at risk in the next {night.horizon_days} days."
    if shown and total > 0:
        state, most = max(shown, key=lambda item: item[1])
        title = f"{share(most / total, 0)} of the margin at risk sits with customers who are {state}."
    values = [value for _, value in shown]
    said = [money(value, night.currency, is_whole=True) for value in values]
    names = [state.capitalize() for state, _ in shown]
    svg = charts.bar(Title("at-risk", title, "Value at risk by lifecycle state."), names, values, said)
    return Figure(title, "Value at risk: chance of leaving times the margin expected if the customer stays.", svg)


def _state_table(night: Night) -> Table:
    parts = _states(night)
    rows = []
    for (state, members), n in zip(parts, guarded([len(rows) for _, rows in parts]), strict=True):
        eligible = members["churn_probability"].dropna()
        shown = is_shown(n) and len(eligible) > SMALL_COUNT
        risk = float(members["value_at_risk_cents"].sum())
        rows.append(
            (
                Cell(state.capitalize()),
                Cell(n, sort=str(len(members)) if is_shown(n) else ""),
                Cell(share(eligible.mean()) if shown else NOTHING),
                Cell(money(risk, night.currency, is_whole=True) if shown else NOTHING, sort=str(risk) if shown else ""),
            )
        )
    heads = (Head("State"), *(Head(name, is_number=True) for name in ("Customers", "Average chance", "Value at risk")))
    return Table("states", "Customers by lifecycle state", heads, rows, note=SMALL_NOTE)


def calibration_figure(night: Night) -> Figure:
    """Draw observed against predicted shares of leavers at the judged date."""
    frame = night.calibration.sort_values("predicted")
    said, seen, low, high = (floats(frame[name]) for name in ("predicted", "observed", "low", "high"))
    inside = sum(bottom <= value <= top for value, bottom, top in zip(said, low, high, strict=True))
    agree = f"{inside} of {len(said)} groups agree with what happened."
    title = f"The chances mean what they say: {agree}"
    if inside < _MOST * len(said):
        title = f"Read the chances with care: only {agree}"
    if not said:
        title = "How far the chances can be trusted was not measured tonight."
    svg = charts.calibration(
        Title("calibration", title, "Observed share of leavers against predicted."),
        said,
        seen,
        low,
        high,
        write=percent,
    )
    return Figure(
        title, "Each dot is a group of customers at an earlier date, with its interval; dashes: perfect.", svg
    )


def _ranking(night: Night) -> Figure:
    title = facts.against_baseline(night)
    rows = []
    for model in dict.fromkeys(night.metrics["model"]):
        if found := facts.metric(night, str(model), "auc"):
            words = f"{found.value:.3f}  ({between(number(found.low, 3), number(found.high, 3))})"
            shape: charts.Shape = "disc" if model == facts.TONIGHT else "diamond"
            mark = charts.Mark(found.value, found.low, found.high, words, shape)
            rows.append(charts.Row(label(MODELS, model), (mark,)))
    svg = charts.forest(Title("ranking", title, "AUC by model with interval."), rows, axis)
    return Figure(
        title, "AUC: how often a leaver is ranked above a stayer, with its interval; 0.5 is a coin toss.", svg
    )


def _metric_table(night: Night) -> Table:
    models = [str(name) for name in dict.fromkeys(night.metrics["model"])]
    rows = []
    for name in dict.fromkeys(night.metrics["metric"]):
        plain, meaning = METRICS.get(str(name), (label({}, name), ""))
        found = [facts.metric(night, model, str(name)) for model in models]
        rows.append((Cell(plain, (meaning,)), *(_estimate_cell(estimate) for estimate in found)))
    heads = (Head("Measure"), *(Head(label(MODELS, model), is_number=True) for model in models))
    return Table("metrics", "How good the churn model is, on later data it had not seen", heads, rows)


def _estimate_cell(found: facts.Estimate | None) -> Cell:
    if found is None:
        return Cell(NOTHING)
    return Cell(number(found.value, 3), (between(number(found.low, 3), number(found.high, 3)),), sort=str(found.value))


def _base_rates(night: Night) -> Figure:
    frame = night.base_rates.sort_values("as_of")
    shares = floats(frame["churned_share"])
    local = pd.to_datetime(frame["as_of"]).dt.tz_localize("UTC").dt.tz_convert(night.timezone)
    names = [short_day(instant.date()) for instant in local]
    title = (
        f"At the past dates looked at, between {share(min(shares))} and {share(max(shares))} of customers left."
        if shares
        else "How many customers left in the past is not known."
    )
    svg = charts.line(Title("base-rates", title, "Share of customers who left, by past date."), names, shares, percent)
    return Figure(title, f"Share of eligible customers who left within {night.horizon_days} days of each date.", svg)


def _gaps(night: Night) -> Figure:
    frame = night.gaps.sort_values("days")
    days, returned = floats(frame["days"]), floats(frame["share_returned"])
    before = [value for place, value in zip(days, returned, strict=True) if place <= night.horizon_days]
    title = (
        f"{share(before[-1], 0)} of the pauses between two purchases end within {night.horizon_days} days."
        if before
        else f"A pause of {night.horizon_days} days counts as leaving."
    )
    svg = charts.step(
        Title("gaps", title, "Share of pauses between purchases that have ended, by days."),
        days,
        returned,
        write_x=axis,
        write_y=percent,
        at=float(night.horizon_days),
        at_words=f"{night.horizon_days} days",
    )
    return Figure(title, "Share of pauses that have ended, by days since the last purchase.", svg)
