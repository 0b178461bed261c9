"""Risk and value at a glance: where the margin at risk lies, states over time, when customers return, top accounts."""

import math

from pipelines.report import charts, portfolio_charts
from pipelines.report.blocks import Figure, Figures, Section, floats, rows_of
from pipelines.report.night import Night
from pipelines.report.portfolio_charts import Series
from pipelines.report.portfolio_tables import (
    ARRIVED,
    STATES,
    accounts_table,
    amount,
    day_of,
    moves_table,
    real_of,
    risk_table,
    segments_table,
    span,
)
from pipelines.report.svg import Format, Title
from pipelines.report.words import (
    SMALL_COUNT,
    between,
    count,
    guarded,
    is_shown,
    money,
    number,
    share,
    things,
)

TABLES = ("lifecycle_transitions", "rfm_segments", "value_at_risk", "key_accounts", "churn_curves", "concentration")
"""Published tables that the section reads; a night before them has none."""


def portfolio(night: Night) -> Section:
    """Return the section on risk and value; one sentence where the night has no such tables."""
    title = "Risk and value at a glance"
    if not set(TABLES) <= set(night.portfolio):
        return Section("portfolio", title, ["The portfolio was not worked out tonight."], (), night.source("scores"))
    blocks = (
        Figures((_where(night), _concentration(night), _over_time(night), _returning(night))),
        risk_table(night),
        moves_table(night),
        segments_table(night),
        accounts_table(night),
    )
    return Section("portfolio", title, _lede(night), blocks, night.source(*TABLES))


def _lede(night: Night) -> list[str]:
    rows = night.portfolio["value_at_risk"]
    whole = rows[rows["grouping"] == "all"]
    if whole.empty:
        return ["No chance of leaving is known tonight, so nothing can be said of value at risk."]
    row = whole.iloc[0]
    said = (
        f"Of {things(int(row['n_customers']), 'customer')} still buying, about "
        f"{count(round(float(row['expected_leavers'])))} are expected to leave within {night.horizon_days} days. The "
        f"value at risk is {amount(night, row['value_at_risk_cents'])}"
    )
    reach = span(night, row)
    return [f"{said} ({reach})." if reach else f"{said}."]


def _where(night: Night) -> Figure:
    rows = night.portfolio["value_at_risk"]
    rows = rows[rows["grouping"] == "rfm_segment"].sort_values("value_at_risk_cents", ascending=False)
    written = guarded([int(n) for n in rows["n_customers"]])
    shown = [row for row, n in zip(rows_of(rows), written, strict=True) if is_shown(n)]
    title = "Where the margin at risk lies is not known tonight."
    if shown:
        title = f"Most margin at risk sits with the segment “{shown[0]['group']}”."
    drawn = [
        charts.Row(
            str(row["group"]),
            (
                charts.Mark(
                    real_of(row["value_at_risk_cents"]),
                    real_of(row["value_at_risk_low_cents"]),
                    real_of(row["value_at_risk_high_cents"]),
                    f"{amount(night, row['value_at_risk_cents'])}  ({span(night, row)})",
                ),
            ),
        )
        for row in shown
    ]
    svg = charts.forest(Title("risk-by-segment", title, "Value at risk by RFM segment."), drawn, _axis(night))
    return Figure(title, "Value at risk by RFM segment, with the range that holds nine in ten outcomes.", svg)


def _concentration(night: Night) -> Figure:
    rows = night.portfolio["concentration"]
    top = rows[(rows["measure"] != "gini") & (rows["n_customers"] > SMALL_COUNT) & rows["value"].notna()]
    names = [
        f"{str(row['measure']).capitalize()} ({things(int(str(row['n_customers'])), 'customer')})"
        for row in rows_of(top)
    ]
    said = [
        f"{share(row['value'], 0)} ({between(*(number(100 * real_of(row[end]), 0) for end in ('low', 'high')))})"
        for row in rows_of(top)
    ]
    title = "How much hangs on few customers is not known tonight."
    if len(top):
        row = top.iloc[-1]
        title = f"{share(row['value'], 0)} of the year’s sales come from the {row['measure']} of customers."
    gini = rows[(rows["measure"] == "gini") & rows["value"].notna()]
    note = "Share of the sales of 364 days, with its interval."
    if len(gini):
        row = gini.iloc[0]
        note += f" Gini coefficient {number(row['value'])} ({between(number(row['low']), number(row['high']))})."
    svg = charts.bar(
        Title("top-share", title, "Share of sales of the top customers."), names, floats(top["value"]), said
    )
    return Figure(title, note, svg)


def _over_time(night: Night) -> Figure:
    moves = night.portfolio["lifecycle_transitions"]
    first = moves[(moves["from_at"] == moves["from_at"].min()) & (moves["from_state"] != ARRIVED)]
    start = first.groupby("from_state")["n_customers"].sum()
    later = moves.groupby(["to_at", "to_state"])["n_customers"].sum().unstack(fill_value=0)
    labels = (
        [day_of(night, moves["from_at"].min()), *(day_of(night, date) for date in later.index)] if len(moves) else []
    )
    series = [
        Series(
            state.capitalize(), [_unless_small(n) for n in [start.get(state, 0), *later.get(state, [0] * len(later))]]
        )
        for state in STATES
    ]
    title = "States over time are known from the second date on."
    if len(later):
        slipping = series[STATES.index("slipping")].values
        title = f"{_counted(slipping[-1])} customers are slipping, against {_counted(slipping[0])} on {labels[0]}."
    note = f"Customers by state at the dates looked at; counts up to {SMALL_COUNT} are not drawn."
    svg = portfolio_charts.rows(
        Title("states-over-time", title, "Customers by state and date."), labels, series, _counted
    )
    return Figure(title, note, svg)


def _returning(night: Night) -> Figure:
    rows = night.portfolio["churn_curves"]
    rows = rows[(rows["grouping"] == "lifecycle_state") & (rows["n_customers"] > SMALL_COUNT)]
    by_state = {str(state): part.sort_values("days") for state, part in rows.groupby("group")}
    series = [
        Series(state.capitalize(), *(floats(by_state[state][f"silent_share{end}"]) for end in ("", "_low", "_high")))
        for state in STATES
        if state in by_state
    ]
    days = sorted(float(day) for day in rows["days"].unique())
    title = "When customers come back is not known tonight."
    if "active" in by_state and days:
        at = by_state["active"].iloc[0]
        title = f"{share(1 - float(at['silent_share']), 0)} of active customers buy again within {at['days']:g} days."
    note = "Expected share who have not bought again after so many days, by state; bars: nine in ten outcomes."
    svg = portfolio_charts.curves(
        Title("returning", title, "Share of customers who have not bought again, by days."),
        days,
        series,
        _whole_percent,
        at=float(night.horizon_days),
        at_words=f"gone after {night.horizon_days} days",
    )
    return Figure(title, note, svg)


def _axis(night: Night) -> Format:
    return lambda cents: money(cents, night.currency, is_whole=True)


def _unless_small(n: object) -> float:
    return math.nan if 0 < int(str(n)) <= SMALL_COUNT else float(str(n))


def _counted(value: float) -> str:
    return count(value) if math.isfinite(value) else f"≤{SMALL_COUNT}"


def _whole_percent(value: float) -> str:
    return share(value, 0)
