"""How much the customer spends, net of returns, lately and before."""

import ibis

from features.measures import share, trend, within
from features.registry import Expression, feature


@feature(view="days", unit="cents", lookback=28)
def spend_28d_cents(days: ibis.Table) -> Expression:
    """Spend of the last 28 days, net of returns."""
    return _spend(days, 28)


@feature(view="days", unit="cents", lookback=84)
def spend_84d_cents(days: ibis.Table) -> Expression:
    """Spend of the last 84 days, net of returns."""
    return _spend(days, 84)


@feature(view="days", unit="cents", lookback=182)
def spend_182d_cents(days: ibis.Table) -> Expression:
    """Spend of the last 182 days, net of returns."""
    return _spend(days, 182)


@feature(view="days", unit="cents", lookback=364)
def spend_364d_cents(days: ibis.Table) -> Expression:
    """Spend of the last 364 days, net of returns."""
    return _spend(days, 364)


@feature(view="days", unit="index", null="no positive spend in the last 84 days", lookback=84)
def spend_trend(days: ibis.Table) -> Expression:
    """Spend of the last 28 days against the 56 before: 1 only lately, 0 steady, -1 no longer.

    It lies beyond these where the returns of one period outweigh its sales.
    """
    recent = _spend(days, 28)
    return trend(2 * recent, _spend(days, 84) - recent)


@feature(view="orders", unit="cents", null="no order in the last 364 days", lookback=364)
def order_value_mean_cents(orders: ibis.Table) -> Expression:
    """Mean value of the orders of the last 364 days, each net of its returns."""
    where = orders.is_purchase & within(orders, 364)
    return share(orders.spend_cents.sum(where=where), orders.count(where=where))


@feature(view="orders", unit="cents", null="no order in the last 364 days", lookback=364)
def order_value_max_cents(orders: ibis.Table) -> Expression:
    """Largest value of an order of the last 364 days, net of its returns."""
    return orders.spend_cents.max(where=orders.is_purchase & within(orders, 364))


def _spend(days: ibis.Table, length: int) -> Expression:
    return days.spend_cents.sum(where=within(days, length)).fill_null(0)
