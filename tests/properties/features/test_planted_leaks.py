"""The battery catches and names each kind of leak, and accuses nobody else."""

from types import ModuleType

import ibis
import pytest

from features.registry import FEATURES, Expression, Registry
from features.views import KEYS, History

planted = Registry()
planted.views |= FEATURES.views


def _raw(history: History, condition: Expression) -> ibis.Table:
    rows = history.lines.cross_join(history.as_ofs)
    return rows.filter(condition(rows)).mutate(age_days=rows.as_of_on.delta(rows.local_on, unit="day"))


@planted.view(sources=["transactions"])
def everything(history: History) -> ibis.Table:
    """Lines of all times."""
    return _raw(history, lambda rows: rows.quantity > 0)


@planted.view(sources=["transactions"])
def not_yet_known(history: History) -> ibis.Table:
    """Lines that had happened, known or not."""
    return _raw(history, lambda rows: rows.event_time < rows.as_of)


@planted.view(sources=["transactions"])
def not_yet_happened(history: History) -> ibis.Table:
    """Lines that claim to be known, happened or not."""
    return _raw(history, lambda rows: rows.known_at < rows.as_of)


@planted.view(sources=["transactions"])
def closed_boundary(history: History) -> ibis.Table:
    """Lines up to and with as_of."""
    return _raw(history, lambda rows: (rows.event_time <= rows.as_of) & (rows.known_at <= rows.as_of))


@planted.view(sources=["transactions", "products"])
def multiplied(history: History) -> ibis.Table:
    """Lines joined to a product list that may repeat itself."""
    return history.known(history.lines.join(history.table("products"), "product_id"))


@planted.view(sources=["contacts"])
def planned_contacts(history: History) -> ibis.Table:
    """Contacts of all times."""
    return history.table("contacts").cross_join(history.as_ofs).select(*KEYS, "campaign_id", "arm")


@planted.feature(view="everything", unit="cents")
def spend_of_all_times(rows: ibis.Table) -> Expression:
    """Sum what is still to come."""
    return rows.amount_cents.sum()


@planted.feature(view="not_yet_known", unit="count")
def lines_before_known(rows: ibis.Table) -> Expression:
    """Count lines that arrive later."""
    return rows.count()


@planted.feature(view="not_yet_happened", unit="count")
def lines_before_happened(rows: ibis.Table) -> Expression:
    """Count lines that happen later."""
    return rows.count()


@planted.feature(view="closed_boundary", unit="cents")
def spend_at_the_boundary(rows: ibis.Table) -> Expression:
    """Sum lines at as_of itself."""
    return rows.amount_cents.sum()


@planted.feature(view="multiplied", unit="count")
def lines_multiplied(rows: ibis.Table) -> Expression:
    """Count lines once per listing of their product."""
    return rows.count()


@planted.feature(view="planned_contacts", unit="count")
def contacts_to_come(rows: ibis.Table) -> Expression:
    """Count contacts that are only planned."""
    return rows.count()


@planted.feature(view="days", unit="cents", lookback=28)
def short_memory(days: ibis.Table) -> Expression:
    """Sum more than it admits."""
    return days.spend_cents.sum(where=days.age_days <= 84)


@planted.feature(view="orders", unit="cents", null="no order")
def whatever_comes_first(orders: ibis.Table) -> Expression:
    """Take the value of some order or other."""
    return orders.spend_cents.arbitrary()


@planted.feature(view="days", unit="cents")
def honest(days: ibis.Table) -> Expression:
    """Sum what is known."""
    return days.spend_cents.sum()


LEAKS = {
    "spend_of_all_times": {"poisoned_future", "absent_future", "late_events"},
    "lines_before_known": {"absent_future", "late_events"},
    "lines_before_happened": {"poisoned_future"},
    "spend_at_the_boundary": {"poisoned_future", "absent_future"},
    "lines_multiplied": {"repeated_references"},
    "contacts_to_come": {"poisoned_future", "absent_future"},
    "short_memory": {"lookback"},
}


@pytest.fixture(scope="module")
def accusations(battery: ModuleType, worlds: ModuleType) -> dict[str, set[str]]:
    world = worlds.random_world(11)
    bench = battery.Bench(world, planted)
    return {check: battery.accused(check, bench) for check in battery.CHECKS}


@pytest.mark.parametrize("name", sorted(LEAKS))
def test_a_planted_leak_is_caught_and_named(accusations: dict[str, set[str]], name: str) -> None:
    assert LEAKS[name] <= {check for check, names in accusations.items() if name in names}


def test_an_unordered_pick_is_caught(accusations: dict[str, set[str]]) -> None:
    assert "whatever_comes_first" in accusations["row_order"]


def test_an_honest_feature_beside_leaks_is_not_accused(accusations: dict[str, set[str]]) -> None:
    assert [check for check, names in accusations.items() if "honest" in names] == []
