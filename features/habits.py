"""When and where the customer buys."""

import ibis

from features.measures import share, within
from features.registry import Expression, feature

SATURDAY = 5
EVENING_HOUR = 18
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
