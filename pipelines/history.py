"""What happened with one customer before a night: orders, campaigns, what they said, contracts.

Rows that came in after the night are left out, by both clocks. No free text is read: what a customer wrote may name
anybody.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import ibis

from features.extracts import basket_lines, orders
from features.matrix import to_arrow
from pipelines.run import Run, Versions

TABLES = ("transactions", "products", "contacts", "campaigns", "feedback", "subscriptions")
N_MONTHS = 24
N_CATEGORIES = 5
_YEAR = timedelta(days=364)

COMPLAINTS = ("complaint", "claim")
"""Kinds of feedback that say that something went wrong."""


@dataclass(frozen=True)
class Order:
    """One order: its local day, its money, and whether anything was bought or only brought back."""

    on: date
    amount_cents: int
    n_lines: int
    is_purchase: bool


@dataclass(frozen=True)
class Event:
    """Something that happened on a local day: ``campaign``, ``complaint``, ``feedback`` or ``contract``, in words."""

    on: date
    kind: str
    words: str


@dataclass(frozen=True)
class Month:
    """A month, by its first day: purchases, money net of returns, campaigns that reached the customer, complaints."""

    month: date
    n_orders: int
    spend_cents: int
    n_campaigns: int
    n_complaints: int


@dataclass(frozen=True)
class History:
    """What is on record of a customer before a night.

    Parameters
    ----------
    orders, events
        Oldest first.
    months
        The last ``N_MONTHS`` without a gap, up to the month of the last known day; fewer for younger customers.
    categories
        What most money went to in the last 364 days: name and cents, most first.
    missing
        Tables that this night does not have.
    """

    orders: tuple[Order, ...]
    events: tuple[Event, ...]
    months: tuple[Month, ...]
    categories: tuple[tuple[str, int], ...]
    missing: tuple[str, ...]


def history(run: Run, versions: Versions, ids: Sequence[str]) -> History:
    """Return what is on record of a person before the ``as_of`` of a run.

    Parameters
    ----------
    run
        The night.
    versions
        Its tables.
    ids
        All ids of the person.
    """
    have = {name: versions[name] for name in TABLES if name in versions}
    tables = run.tables(have)
    mine = {
        name: table.filter(table.customer_id.isin(ids)) if "customer_id" in table.columns else table
        for name, table in tables.items()
    }
    made = _orders(run, mine)
    events = sorted(
        [*_contacts(run, mine), *_feedback(run, mine), *_contracts(run, mine)], key=lambda one: (one.on, one.words)
    )
    missing = tuple(name for name in TABLES if name not in have)
    return History(made, tuple(events), months(made, events, run.as_of_on), _categories(run, mine), missing)


def months(made: Sequence[Order], events: Sequence[Event], as_of_on: date) -> tuple[Month, ...]:
    """Return the months from the first order or event to the last known day, at most ``N_MONTHS``, quiet ones too.

    Examples
    --------
    >>> made = [Order(date(2024, 1, 5), 900, 1, True), Order(date(2024, 3, 1), -900, 1, False)]
    >>> [(one.month.month, one.n_orders, one.spend_cents) for one in months(made, [], date(2024, 4, 1))]
    [(1, 1, 900), (2, 0, 0), (3, 0, -900)]
    """
    days = [on for on in (*(one.on for one in made), *(one.on for one in events)) if on < as_of_on]
    if not days:
        return ()
    last = (as_of_on - timedelta(days=1)).replace(day=1)
    n_months = (last.year - min(days).year) * 12 + last.month - min(days).month + 1
    place = last.year * 12 + last.month - 1
    firsts = [date(at // 12, at % 12 + 1, 1) for at in range(place - min(n_months, N_MONTHS) + 1, place + 1)]
    n_orders = Counter(one.on.replace(day=1) for one in made if one.is_purchase)
    spend: Counter[date] = Counter()
    for one in made:
        spend[one.on.replace(day=1)] += one.amount_cents
    told = Counter((one.on.replace(day=1), one.kind) for one in events)
    return tuple(
        Month(first, n_orders[first], spend[first], told[first, "campaign"], told[first, "complaint"])
        for first in firsts
    )


def _orders(run: Run, tables: Mapping[str, ibis.Table]) -> tuple[Order, ...]:
    if "transactions" not in tables:
        return ()
    rows = to_arrow(orders(tables, run.as_of)).to_pylist()
    rows.sort(key=lambda row: (row["local_on"], row["order_id"]))
    return tuple(Order(row["local_on"], row["amount_cents"], row["n_lines"], row["is_purchase"]) for row in rows)


def _categories(run: Run, tables: Mapping[str, ibis.Table]) -> tuple[tuple[str, int], ...]:
    if not {"transactions", "products"} <= set(tables):
        return ()
    spent: Counter[str] = Counter()
    for row in to_arrow(basket_lines(tables, run.as_of)).to_pylist():
        if row["event_time"] >= run.as_of - _YEAR:
            spent[row["category"]] += row["amount_cents"]
    ranked = sorted(((name, cents) for name, cents in spent.items() if cents > 0), key=lambda one: (-one[1], one[0]))
    return tuple(ranked[:N_CATEGORIES])


def _known(run: Run, tables: Mapping[str, ibis.Table], name: str) -> list[dict[str, Any]]:
    """Return the rows of a table that had come in before the night."""
    if name not in tables:
        return []
    rows: list[dict[str, Any]] = to_arrow(tables[name]).to_pylist()
    return [row for row in rows if row.get("known_at") is None or row["known_at"] < run.as_of]


def _contacts(run: Run, tables: Mapping[str, ibis.Table]) -> list[Event]:
    names = {row["campaign_id"]: row["name"] or row["campaign_id"] for row in _known(run, tables, "campaigns")}
    found = {
        (run.local_day(row["contacted_at"]), row["campaign_id"])
        for row in _known(run, tables, "contacts")
        if row["contacted_at"] is not None and row["contacted_at"] < run.as_of
    }
    return [Event(on, "campaign", str(names.get(campaign, campaign))) for on, campaign in sorted(found)]


def _feedback(run: Run, tables: Mapping[str, ibis.Table]) -> list[Event]:
    found = []
    for row in _known(run, tables, "feedback"):
        if row["event_time"] < run.as_of:
            kind = "complaint" if row["kind"] in COMPLAINTS else "feedback"
            found.append(Event(run.local_day(row["event_time"]), kind, _said(row, run.as_of)))
    return found


def _said(row: Mapping[str, Any], as_of: datetime) -> str:
    words = [str(row["kind"])]
    if row.get("topic"):
        words.append(f"about {row['topic']}")
    if row.get("rating") is not None:
        of = f" of {row['rating_max']:g}" if row.get("rating_max") is not None else ""
        words.append(f"rated {row['rating']:g}{of}")
    if row["kind"] in COMPLAINTS:
        resolved = row.get("resolved_at")
        words.append("resolved" if resolved is not None and resolved < as_of else "open")
    return ", ".join(words)


def _contracts(run: Run, tables: Mapping[str, ibis.Table]) -> list[Event]:
    found = []
    for row in _known(run, tables, "subscriptions"):
        plan = row["plan"] or "contract"
        if row["started_on"] is not None and row["started_on"] < run.as_of_on:
            found.append(Event(row["started_on"], "contract", f"{plan} begins"))
        if row["ended_on"] is not None and row["ended_on"] < run.as_of_on:
            found.append(Event(row["ended_on"], "contract", f"{plan} ends"))
    return found
