"""Worlds as they could not be: another future, another distant past, and what came too late to be known."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from features.battery.worlds import Frames, local


def before(world: Frames, as_of: datetime) -> Frames:
    """Return the tables as they were at ``as_of``, without what happened or came in later.

    Parameters
    ----------
    world
        Tables as they are today.
    as_of
        Naive UTC instant.
    """
    today = local(as_of).date()
    lines, contacts = world["transactions"], world["contacts"]
    feedback, versions, people = (world[name].copy() for name in ("feedback", "subscriptions", "customers"))
    feedback["resolved_at"] = [at if pd.notna(at) and at < as_of else None for at in feedback["resolved_at"]]
    versions["ended_on"] = [
        day if pd.notna(day) and (day < today or is_told) else None
        for day, is_told in zip(versions["ended_on"], _is_told(versions, as_of), strict=True)
    ]
    for column in ("first_seen_on", "loyalty_joined_on"):
        people[column] = [day if pd.notna(day) and day < today else None for day in people[column]]
    return {
        "transactions": lines[(lines["event_time"] < as_of) & (lines["known_at"] < as_of)],
        "contacts": contacts[(pd.to_datetime(contacts["contacted_at"]) < as_of) & ~_is_late(contacts, as_of)],
        "feedback": feedback[(feedback["event_time"] < as_of) & ~_is_late(feedback, as_of)],
        "subscriptions": versions[(versions["started_on"] < today) & ~_is_late(versions, as_of)],
        "customers": people,
    }


def poisoned_lateness(world: Frames, as_of: datetime) -> Frames:
    """Return garbage in the place of contacts, statements and contracts that came in at ``as_of`` or later.

    Parameters
    ----------
    world
        Tables as they are today.
    as_of
        Naive UTC instant.
    """
    contacts, feedback, versions = (world[name].copy() for name in ("contacts", "feedback", "subscriptions"))
    is_late = _is_late(contacts, as_of)
    assert is_late.any()
    contacts.loc[is_late, "campaign_id"] = "m0"
    is_late = _is_late(feedback, as_of)
    assert is_late.any()
    feedback.loc[is_late, ["kind", "rating", "rating_max", "resolved_at"]] = ["claim", 0.0, 5.0, None]
    is_late = _is_late(versions, as_of)
    assert is_late.any()
    versions.loc[is_late, ["fee_cents", "ended_on"]] = [10**9, None]
    return {"contacts": contacts, "feedback": feedback, "subscriptions": versions}


def _is_late(rows: pd.DataFrame, as_of: datetime) -> pd.Series:
    return pd.to_datetime(rows["known_at"]) >= as_of


def _is_told(versions: pd.DataFrame, as_of: datetime) -> pd.Series:
    """Return whether a delivery between a version's first day and ``as_of`` said when it would end."""
    known_at = pd.to_datetime(versions["known_at"])
    return (known_at > pd.to_datetime(versions["started_on"])) & (known_at < as_of)


def _future_feedback(world: Frames, as_of: datetime) -> pd.DataFrame:
    feedback = world["feedback"].copy()
    later = feedback["event_time"] >= as_of
    feedback.loc[later, ["customer_id", "kind"]] = ["c1", "claim"]
    feedback.loc[later, ["rating", "rating_max"]] = [0.0, 5.0]
    for column, at in (("event_time", as_of), ("resolved_at", as_of), ("known_at", as_of - timedelta(days=30))):
        feedback.loc[later, column] = at
    unresolved = pd.to_datetime(feedback["resolved_at"]) >= as_of
    assert unresolved.any()
    feedback.loc[unresolved, "resolved_at"] = as_of + timedelta(days=1)
    return feedback.assign(status="garbage")


def _future_versions(world: Frames, as_of: datetime) -> pd.DataFrame:
    versions = world["subscriptions"].copy()
    today = local(as_of).date()
    later = versions["started_on"] >= today
    versions.loc[later, ["started_on", "ended_on", "known_at"]] = [today, None, as_of - timedelta(days=30)]
    versions.loc[later, "plan"] = [f"garbage{number}" for number in range(later.sum())]
    untold = ~_is_told(versions, as_of) & versions["ended_on"].map(lambda day: pd.isna(day) or day >= today)
    assert untold.any()
    versions.loc[untold, "ended_on"] = today
    return versions


def _future_people(world: Frames, as_of: datetime) -> pd.DataFrame:
    people, today = world["customers"].copy(), local(as_of).date()

    def other(day: date | None) -> date | None:
        return today if pd.isna(day) or day >= today else day

    return people.assign(**{name: people[name].map(other) for name in ("first_seen_on", "loyalty_joined_on")})


_FUTURES: dict[str, Callable[[Frames, datetime], pd.DataFrame]] = {
    "feedback": _future_feedback,
    "subscriptions": _future_versions,
    "customers": _future_people,
}


def garbage(
    lines: pd.DataFrame,
    rows: pd.Series,
    event_time: Callable[[pd.Series], datetime],
    known_at: Callable[[datetime], datetime],
) -> pd.DataFrame:
    """Return lines of which some say something else.

    Parameters
    ----------
    lines
        Lines of transactions.
    rows
        Which of them.
    event_time
        Instant that a line claims to have happened at.
    known_at
        Instant that it claims to have been known at, from the true one.
    """
    rng = np.random.default_rng(7)
    wrong = [_wrong(rng, row, event_time(row), known_at(row["known_at"])) for _, row in lines[rows].iterrows()]
    made = pd.DataFrame(wrong, index=lines.index[rows], columns=lines.columns, dtype=object)
    return pd.concat([lines[~rows], made]).loc[lines.index]


def _wrong(rng: np.random.Generator, row: pd.Series, at: datetime, known_at: datetime) -> dict[object, object]:
    return row.to_dict() | {
        "order_id": f"o{rng.integers(99)}",
        "customer_id": f"c{rng.integers(15)}",
        "product_id": f"p{rng.integers(9)}",
        "quantity": 77,
        "amount_cents": 10**9,
        "discount_cents": 10**8,
        "coupon_cents": 10**7,
        "event_time": at,
        "local_time": local(at),
        "known_at": known_at,
        "store_id": f"garbage{row.name}",
        "channel": "app",
    }


def poisoned(world: Frames, as_of: datetime) -> Frames:
    """Return the world with another future, of which some claims to have been known long before.

    Parameters
    ----------
    world
        Tables as they are today.
    as_of
        Naive UTC instant.
    """
    lines, contacts, campaigns = world["transactions"], world["contacts"].copy(), world["campaigns"].copy()
    future = lines["event_time"] >= as_of
    assert future.any()
    wrong = garbage(lines, future, lambda row: row["event_time"], lambda _: as_of - timedelta(days=30))
    later = (pd.to_datetime(contacts["contacted_at"]) >= as_of) | contacts["contacted_at"].isna()
    contacts.loc[later, "arm"] = "garbage"
    contacts.loc[later, "customer_id"] = "c1"
    contacts.loc[later, "contacted_at"] = as_of
    planned = campaigns["starts_on"] > local(as_of).date()
    campaigns.loc[planned, "ends_on"] = None
    people = {name: future_garbage(world, as_of) for name, future_garbage in _FUTURES.items()}
    return world | people | {"transactions": wrong, "contacts": contacts, "campaigns": campaigns}


def ancient_garbage(world: Frames, as_of: datetime, days: int) -> Frames:
    """Return the world with another distant past.

    Parameters
    ----------
    world
        Tables as they are today.
    as_of
        Naive UTC instant.
    days
        What is older than so many local calendar days before ``as_of`` is other.
    """
    lines, contacts = world["transactions"].copy(), world["contacts"].copy()
    today = local(as_of).date()
    # A whole order is as old as its first line, so only orders that lie wholly outside the window may change.
    old = lines["local_time"].map(lambda at: (today - at.date()).days > days)
    lines.loc[old, ["amount_cents", "discount_cents", "coupon_cents"]] = [10**9, 10**8, 10**7]
    lines.loc[old, "product_id"] = "p3"
    lines.loc[old, ["store_id", "channel"]] = ["garbage", "app"]
    # More of the past, on days and in orders of its own.
    more = lines[old].assign(order_id="ancient " + lines.loc[old, "order_id"].astype(str))
    for column in ("event_time", "known_at", "local_time"):
        more[column] = pd.Series([at - timedelta(days=1) for at in more[column]], index=more.index, dtype=object)
    lines = pd.concat([lines, more], ignore_index=True)
    reached = pd.to_datetime(contacts["contacted_at"])
    contacts.loc[reached < as_of - timedelta(days=days), "arm"] = "control"
    feedback, versions = world["feedback"].copy(), world["subscriptions"].copy()
    feedback.loc[feedback["event_time"].map(lambda at: (as_of - at) // timedelta(days=1) >= days), "kind"] = "survey"
    # What began before the window still counts as a version that others followed.
    versions.loc[versions["started_on"].map(lambda day: (today - day).days > days), ["fee_cents", "ended_on"]] = [
        1,
        None,
    ]
    return world | {"transactions": lines, "contacts": contacts, "feedback": feedback, "subscriptions": versions}
