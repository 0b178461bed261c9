"""How often the customer buys, lately and before. An order without a sold line is not counted."""

import ibis

from features.measures import share, trend, within
from features.registry import Expression, feature


@feature(view="orders", unit="count", lookback=7)
def n_orders_7d(orders: ibis.Table) -> Expression:
    """Orders in the last 7 days."""
    return _orders(orders, 7)


@feature(view="orders", unit="count", lookback=28)
def n_orders_28d(orders: ibis.Table) -> Expression:
    """Orders in the last 28 days."""
    return _orders(orders, 28)


@feature(view="orders", unit="count", lookback=84)
def n_orders_84d(orders: ibis.Table) -> Expression:
    """Orders in the last 84 days."""
    return _orders(orders, 84)


@feature(view="orders", unit="count", lookback=182)
def n_orders_182d(orders: ibis.Table) -> Expression:
    """Orders in the last 182 days."""
    return _orders(orders, 182)


@feature(view="orders", unit="count", lookback=364)
def n_orders_364d(orders: ibis.Table) -> Expression:
    """Orders in the last 364 days."""
    return _orders(orders, 364)


@feature(view="days", unit="count")
def n_purchase_days(days: ibis.Table) -> Expression:
    """Local days with a purchase, ever."""
    return days.is_purchase.sum()


@feature(view="orders", unit="index", null="no order in the last 84 days", lookback=84)
def orders_trend(orders: ibis.Table) -> Expression:
    """Orders of the last 28 days against the 56 before: 1 only lately, 0 steady, -1 no longer."""
    recent = _orders(orders, 28)
    return trend(2 * recent, _orders(orders, 84) - recent)


def _orders(orders: ibis.Table, days: int) -> Expression:
    return orders.count(where=orders.is_purchase & within(orders, days))


@feature(view="orders", unit="count")
def n_orders(orders: ibis.Table) -> Expression:
    """Orders, ever."""
    return orders.is_purchase.sum()


@feature(view="orders", unit="ratio", null="no order before the day of as_of")
def orders_per_week(orders: ibis.Table) -> Expression:
    """Orders a week since the first one."""
    return share(7 * orders.is_purchase.sum(), orders.age_days.max(where=orders.is_purchase))


@feature(view="orders", unit="index", null="no order in the last 182 days", lookback=182)
def orders_trend_182d(orders: ibis.Table) -> Expression:
    """Orders of the last 91 days against the 91 before: 1 only lately, 0 steady, -1 no longer."""
    recent = _orders(orders, 91)
    return trend(recent, _orders(orders, 182) - recent)


@feature(view="orders", unit="index", null="no order in the last 364 days", lookback=364)
def orders_trend_364d(orders: ibis.Table) -> Expression:
    """Orders of the last 182 days against the 182 before: 1 only lately, 0 steady, -1 no longer."""
    recent = _orders(orders, 182)
    return trend(recent, _orders(orders, 364) - recent)
