"""When and where the customer buys."""

import ibis

from features.measures import NANO, share, surprise, within
from features.registry import Expression, feature

SATURDAY = 5
NOON, EVENING_HOUR = 12, 18
NO_ORDER = "no order in the last 364 days"


@feature(view="orders", unit="share", null=NO_ORDER, lookback=364)
def weekend_share(orders: ibis.Table) -> Expression:
    """Share of the orders of the last 364 days made on a Saturday or Sunday of the shop's calendar."""
    return _order_share(orders, orders.ordered_at.day_of_week.index() >= SATURDAY)


@feature(view="orders", unit="share", null=NO_ORDER, lookback=364)
def evening_share(orders: ibis.Table) -> Expression:
    """Share of the orders of the last 364 days made from 18:00 on by the shop's clock."""
    return _order_share(orders, orders.ordered_at.hour() >= EVENING_HOUR)


@feature(view="orders", unit="count", lookback=364)
def n_stores_364d(orders: ibis.Table) -> Expression:
    """Different stores of the orders of the last 364 days; orders of no known store are left out."""
    return orders.store_id.nunique(where=orders.is_purchase & within(orders, 364))


def _order_share(orders: ibis.Table, condition: Expression) -> Expression:
    where = orders.is_purchase & within(orders, 364)
    return share(orders.count(where=where & condition), orders.count(where=where))


@feature(view="orders", unit="share", null=NO_ORDER, lookback=364)
def morning_share(orders: ibis.Table) -> Expression:
    """Share of the orders of the last 364 days made before noon by the shop's clock."""
    return _order_share(orders, orders.ordered_at.hour() < NOON)


@feature(view="orders", unit="share", null=NO_ORDER, lookback=364)
def top_weekday_share(orders: ibis.Table) -> Expression:
    """Share of the most used weekday among the orders of the last 364 days."""
    return share(ibis.greatest(*_weekdays(orders)), sum(_weekdays(orders)))


@feature(view="orders", unit="nats", null=NO_ORDER, lookback=364)
def weekday_entropy(orders: ibis.Table) -> Expression:
    """Shannon entropy of the orders of the last 364 days over weekdays: 0 is one weekday alone."""
    total: Expression = sum(_weekdays(orders))
    return total.nullif(0).ln() - share(sum(surprise(count) for count in _weekdays(orders)), total) / NANO


@feature(view="orders", unit="count", lookback=364)
def n_orders_season(orders: ibis.Table) -> Expression:
    """Orders in the 84 days of a year ago that as_of stands before: who buys in this season."""
    return orders.count(where=orders.is_purchase & (orders.age_days > 280) & within(orders, 364))


def _weekdays(orders: ibis.Table) -> list[Expression]:
    where, weekday = orders.is_purchase & within(orders, 364), orders.ordered_at.day_of_week.index()
    return [orders.count(where=where & (weekday == day)) for day in range(7)]
