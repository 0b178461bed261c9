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


@feature(view="days", unit="cents", lookback=7)
def spend_7d_cents(days: ibis.Table) -> Expression:
    """Spend of the last 7 days, net of returns."""
    return _spend(days, 7)


@feature(view="days", unit="cents")
def spend_total_cents(days: ibis.Table) -> Expression:
    """Spend so far, net of returns."""
    return days.spend_cents.sum()


@feature(view="days", unit="index", null="no positive spend in the last 182 days", lookback=182)
def spend_trend_182d(days: ibis.Table) -> Expression:
    """Spend of the last 91 days against the 91 before: 1 only lately, 0 steady, -1 no longer."""
    recent = _spend(days, 91)
    return trend(recent, _spend(days, 182) - recent)


@feature(view="days", unit="index", null="no positive spend in the last 364 days", lookback=364)
def spend_trend_364d(days: ibis.Table) -> Expression:
    """Spend of the last 182 days against the 182 before: 1 only lately, 0 steady, -1 no longer."""
    recent = _spend(days, 182)
    return trend(recent, _spend(days, 364) - recent)


@feature(view="days", unit="cents", null="no purchase before the day of as_of")
def spend_per_day_cents(days: ibis.Table) -> Expression:
    """Spend a day since the first purchase day, net of returns."""
    return share(days.spend_cents.sum(), days.age_days.max(where=days.is_purchase))


@feature(view="orders", unit="cents", null="no order in the last 364 days", lookback=364)
def order_value_median_cents(orders: ibis.Table) -> Expression:
    """Median value of the orders of the last 364 days, each net of its returns; the mean of the middle two if even."""
    return orders.spend_cents.median(where=orders.is_purchase & within(orders, 364))


@feature(
    view="orders", unit="ratio", null="no order, or orders worth nothing, in the last 84 or 364 days", lookback=364
)
def order_value_ratio(orders: ibis.Table) -> Expression:
    """Mean value of the orders of the last 84 days, before returns, divided by that of the last 364 days."""
    recent, year = orders.is_purchase & within(orders, 84), orders.is_purchase & within(orders, 364)
    usual = share(orders.sold_cents.sum(where=year), orders.count(where=year))
    return share(orders.sold_cents.sum(where=recent), orders.count(where=recent)) / usual.nullif(0)
