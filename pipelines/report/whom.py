"""Whom to contact tomorrow, and what it is expected to bring."""

import pandas as pd

from pipelines.report import charts, facts
from pipelines.report.blocks import Cell, Head, Section, Table, floats, real, rows_of
from pipelines.report.night import Night
from pipelines.report.words import (
    ACTIONS,
    NOTHING,
    SMALL_NOTE,
    between,
    count,
    guarded,
    is_known,
    is_shown,
    label,
    money,
    things,
)

PAGE_CONTACTS = 1000
_FIRST_CONTACTS = 20


def whom(night: Night) -> Section:
    """Return section 1: the list to work from, and what it is expected to bring."""
    chosen = facts.contacts(night)
    net = facts.net_value(chosen)
    lede = []
    if len(chosen):
        lede.append(
            f"Together these {things(len(chosen), 'contact')} are expected to bring a net value of "
            f"{money(net.value, night.currency, is_whole=True)}. The interval of each customer is in the list; "
            f"if all went to the low end it would be {money(net.low, night.currency, is_whole=True)}, "
            f"if all went to the high end {money(net.high, night.currency, is_whole=True)}."
        )
    if held := len(facts.held_out(night)):
        lede.append(
            f"A holdout of {guarded([held])[0]} customers is left alone on purpose, so that the effect of the "
            "contacts can be measured. Please do not contact them either; they are listed in actions.xlsx."
        )
    assumption = night.texts.get("value_assumption")
    lede.append(f"What this assumes: {assumption}" if assumption else "No assumption about value was recorded tonight.")
    blocks = (_by_action(night), _contact_table(night, chosen))
    return Section("whom", "Whom to contact tomorrow", lede, blocks, night.source("actions", "scores", "offers"))


def _by_action(night: Night) -> Table:
    parts = facts.groups(night)
    written = guarded([len(rows) for _, _, rows in parts])
    rows = []
    for (key, name, members), n in zip(parts, written, strict=True):
        net = facts.net_value(members)
        has_value = key not in {"holdout", "leave_alone"} and is_shown(n) and len(members)
        worth = money(net.value, night.currency, is_whole=True) if has_value else NOTHING
        low, high = (money(end, night.currency, is_whole=True) for end in (net.low, net.high))
        cell = Cell(worth, (between(low, high),) if has_value else (), sort=str(net.value) if has_value else "")
        rows.append(
            (Cell(label(ACTIONS, name).capitalize()), Cell(n, sort=str(len(members)) if is_shown(n) else ""), cell)
        )
    heads = (Head("Action"), Head("Customers", is_number=True), Head("Expected net value", is_number=True))
    return Table(
        "by-action",
        "Customers by action",
        heads,
        rows,
        note=f"Ranges add up the low and the high ends of the customers. {SMALL_NOTE}",
    )


def _contact_table(night: Night, chosen: pd.DataFrame) -> Table:
    shown = rows_of(chosen.head(PAGE_CONTACTS))
    least = min([0.0, *floats(chosen["expected_net_value_low_cents"].dropna())])
    most = max([1.0, *floats(chosen["expected_net_value_high_cents"].dropna())])
    rows = [_contact_row(night, row, least, most) for row in shown]
    heads = (
        Head("#", is_number=True),
        Head("Customer"),
        Head("What to do"),
        Head("Expected net value", is_number=True),
        Head("Why"),
        Head("Due"),
        Head("Owner"),
    )
    choices = tuple(dict.fromkeys(label(ACTIONS, row["action"]) for row in shown))
    rest = len(chosen) - len(shown)
    note = f"The {count(rest)} contacts of lowest priority are in actions.xlsx." if rest else ""
    caption = "The contact list, most urgent first"
    return Table("contacts", caption, heads, rows, _FIRST_CONTACTS, choices, note=note)


def _contact_row(night: Night, row: dict[str, object], least: float, most: float) -> tuple[Cell, ...]:
    value, low, high = (row[f"expected_net_value{end}_cents"] for end in ("", "_low", "_high"))
    worth = money(value, night.currency)
    interval = between(money(low, night.currency), money(high, night.currency))
    graphic = charts.mini(real(value), real(low), real(high), least=least, most=most, words=f"{worth}, {interval}")
    category = (str(row["category"]),) if is_known(row["category"]) else ()
    reasons = tuple(str(row["reasons"]).split("; ")) if is_known(row["reasons"]) else ()
    return (
        Cell(count(row["priority"])),
        Cell(str(row["customer_id"])),
        Cell(label(ACTIONS, row["action"]), category),
        Cell(worth, (interval,), graphic, str(value)),
        Cell("", reasons),
        Cell(str(row["due_on"])[:10] if is_known(row["due_on"]) else NOTHING),
        Cell(str(row["owner"]) if is_known(row["owner"]) else NOTHING),
    )
