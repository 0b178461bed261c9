"""Tables of the portfolio: value at risk by group, who moved where, RFM segments, and the top accounts."""

import math

import pandas as pd

from pipelines.report.blocks import Cell, Head, Table, rows_of
from pipelines.report.night import Night
from pipelines.report.words import (
    NOTHING,
    SMALL_COUNT,
    SMALL_NOTE,
    between,
    guarded,
    is_known,
    is_shown,
    money,
    number,
    share,
    short_day,
)

STATES = ("new", "active", "slipping", "lapsed", "regained")
ARRIVED = "not yet a customer"
_GROUPINGS = {
    "all": "Everybody",
    "lifecycle_state": "State",
    "rfm_segment": "RFM segment",
    "segment": "Segment",
    "region": "Region",
    "account_manager": "Account manager",
}
_MOST_GROUPS = 12
_LARGE = 10_000
_SPAN_NOTE = (
    "The range holds nine in ten outcomes. Those of groups do not add up to that of everybody: errors that groups "
    "share stay, errors of single customers even out."
)


def risk_table(night: Night) -> Table:
    """Return the value at risk of each group, hidden where a group is small."""
    rows = []
    for grouping, name in _GROUPINGS.items():
        part = night.portfolio["value_at_risk"]
        part = part[part["grouping"] == grouping].sort_values("value_at_risk_cents", ascending=False)
        written = guarded([int(n) for n in part["n_customers"]])
        for row, n in list(zip(rows_of(part), written, strict=True))[:_MOST_GROUPS]:
            rows.append(_risk_row(night, name, row, n))
    heads = (
        Head("By"),
        Head("Group"),
        *(
            Head(name, is_number=True)
            for name in ("Still buying", "Expected to leave", "Margin expected", "Value at risk")
        ),
    )
    return Table("risk-value", "Value at risk", heads, rows, limit=20, note=f"{_SPAN_NOTE} {SMALL_NOTE}")


def _risk_row(night: Night, grouping: str, row: dict[str, object], n: str) -> list[Cell]:
    if not is_shown(n):
        hidden = Cell(NOTHING)
        return [Cell(grouping), Cell(str(row["group"])), Cell(n), hidden, hidden, hidden]
    name = "" if row["group"] == "all" else str(row["group"]).replace("_", " ")
    return [
        Cell(grouping),
        Cell(name or "all customers"),
        Cell(n, sort=str(row["n_customers"])),
        Cell(number(row["expected_leavers"], 1), sort=str(row["expected_leavers"])),
        Cell(amount(night, row["value_cents"]), sort=str(row["value_cents"])),
        Cell(amount(night, row["value_at_risk_cents"]), (span(night, row),), sort=str(row["value_at_risk_cents"])),
    ]


def moves_table(night: Night) -> Table:
    """Return where customers of the date before stood on the newest one."""
    moves = night.portfolio["lifecycle_transitions"]
    last = moves[moves["to_at"] == moves["to_at"].max()]
    caption, rows = "Who moved where", []
    if len(last):
        dates = [day_of(night, last[name].iloc[0]) for name in ("from_at", "to_at")]
        caption = f"Where customers of {dates[0]} stood on {dates[1]}"
    for state in (*STATES, ARRIVED):
        part = last[last["from_state"] == state].set_index("to_state").reindex(list(STATES))
        if part["n_customers"].sum() > 0:
            written = guarded([int(n) for n in part["n_customers"]])
            cells = [_move(row, n) for row, n in zip(rows_of(part), written, strict=True)]
            n_from = int(part["n_from"].iloc[0])
            rows.append([Cell(state.capitalize()), Cell(guarded([n_from])[0]), *cells])
    heads = (
        Head("From"),
        *(Head(name, is_number=True) for name in ("Customers", *(f"to {state}" for state in STATES))),
    )
    return Table("moves", caption, heads, rows, note=f"Share of the row, with its interval. {SMALL_NOTE}")


def _move(row: dict[str, object], n: str) -> Cell:
    if n == "0":
        return Cell(NOTHING, sort="0")
    if not is_shown(n):
        return Cell(n)
    ends = between(*(share(row[f"moved_share_{end}"], 0) for end in ("low", "high")))
    return Cell(share(row["moved_share"], 0), (ends,), sort=str(row["moved_share"]))


def segments_table(night: Night) -> Table:
    """Return size, sales and leaving of the RFM segments."""
    found = night.portfolio["rfm_segments"]
    written = guarded([int(n) for n in found["n_customers"]])
    rows = []
    for row, n in zip(rows_of(found), written, strict=True):
        is_open, eligible = is_shown(n), int(str(row["n_eligible"]))
        seen = int(str(row["n_seen"])) > SMALL_COUNT
        rows.append(
            [
                Cell(str(row["rfm_segment"])),
                Cell(n, sort=str(row["n_customers"])),
                Cell(
                    amount(night, row["spend_cents"]) if is_open else NOTHING,
                    sort=str(row["spend_cents"]) if is_open else "",
                ),
                Cell(share(row["spend_share"], 0) if is_open else NOTHING),
                Cell(share(row["churn_share"]) if is_open and eligible > SMALL_COUNT else NOTHING),
                Cell(share(row["seen_share"], 0), (ends(row, "seen_share_"),)) if seen else Cell(NOTHING),
            ]
        )
    names = (
        "Customers",
        "Sales of 364 days",
        "Share of sales",
        "Average chance of leaving",
        "Left after the last date",
    )
    heads = (Head("RFM segment"), *(Head(name, is_number=True) for name in names))
    note = "A chance is given for those who bought lately; where nobody did, the segment has left already. "
    return Table("rfm", "Customers by recency, frequency and monetary value", heads, rows, note=note + SMALL_NOTE)


def accounts_table(night: Night) -> Table:
    """Return the top accounts with their health and what changed."""
    heads = (
        *(Head("Account"), Head("Health"), Head("Year’s sales", is_number=True)),
        *(Head("May leave", is_number=True), Head("Value at risk", is_number=True), Head("What changed")),
    )
    note = (
        "Pace: sales of 84 days against the account’s own average before; a year is 364 days. "
        "Changes are against the last date looked at."
    )
    rows = [_account(night, row) for row in rows_of(night.portfolio["key_accounts"])]
    return Table("accounts", "Top accounts", heads, rows, limit=10, note=note)


def _account(night: Night, row: dict[str, object]) -> list[Cell]:
    pace = f"pace {_signed(row['spend_change'])}" if is_known(row["spend_change"]) else ""
    spend = (f"{share(row['spend_share'])} of all", pace)
    return [
        Cell(str(row["customer_id"]), (_text(row["account_manager"]),), sort=str(row["rank"])),
        Cell(str(row["health"]).capitalize(), (_text(row["reasons"]),)),
        Cell(amount(night, row["spend_cents"]), spend, sort=str(row["spend_cents"])),
        Cell(share(row["churn_probability"], 0), sort=str(row["churn_probability"])),
        Cell(amount(night, row["value_at_risk_cents"]), (span(night, row),), sort=str(row["value_at_risk_cents"])),
        Cell(_text(row["changed"]) or NOTHING),
    ]


def amount(night: Night, cents: object) -> str:
    """Write cents, those of small amounts to the cent."""
    return money(cents, night.currency, is_whole=is_known(cents) and abs(real_of(cents)) >= _LARGE)


def span(night: Night, row: "dict[str, object] | pd.Series") -> str:
    """Write the range of a value at risk, as finely as the value itself."""
    is_whole = abs(real_of(row["value_at_risk_cents"])) >= _LARGE
    ends = (money(row[f"value_at_risk_{end}_cents"], night.currency, is_whole=is_whole) for end in ("low", "high"))
    return between(*ends)


def ends(row: dict[str, object], prefix: str = "") -> str:
    """Write an interval of shares."""
    return between(share(row[f"{prefix}low"], 0), share(row[f"{prefix}high"], 0))


def day_of(night: Night, instant: object) -> str:
    """Write the local day of an instant."""
    return short_day(pd.Timestamp(str(instant)).tz_localize("UTC").tz_convert(night.timezone).date())


def _signed(value: object) -> str:
    return f"{'+' if real_of(value) > 0 else ''}{share(value, 0)}" if is_known(value) else NOTHING


def _text(value: object) -> str:
    return str(value) if is_known(value) else ""


def real_of(value: object) -> float:
    """Return a scalar as a float, null as NaN."""
    return float(str(value)) if is_known(value) else math.nan
