"""What the customer brings back."""

import ibis

from features.measures import share, within
from features.registry import Expression, feature


@feature(view="orders", unit="count", lookback=364)
def n_returned_lines_364d(orders: ibis.Table) -> Expression:
    """Lines of the orders of the last 364 days that came back."""
    return orders.n_returned.sum(where=within(orders, 364))


@feature(view="orders", unit="ratio", null="nothing sold in the last 364 days", lookback=364)
def returned_value_ratio(orders: ibis.Table) -> Expression:
    """Value of the returned lines of the orders of the last 364 days, divided by that of the sold ones."""
    where = within(orders, 364)
    sold = orders.sold_cents.sum(where=where)
    return share(sold - orders.spend_cents.sum(where=where), ibis.cases((sold > 0, sold)))


@feature(view="orders", unit="share", null="no order in the last 364 days, sold or returned", lookback=364)
def return_orders_share(orders: ibis.Table) -> Expression:
    """Share of the orders of the last 364 days with a sold or returned line in which something came back."""
    where = within(orders, 364)
    moved = orders.count(where=where & (orders.n_sold + orders.n_returned > 0))
    return share(orders.count(where=where & (orders.n_returned > 0)), moved)


@feature(view="orders", unit="days", null="no returned line before as_of")
def return_recency_days(orders: ibis.Table) -> Expression:
    """Local calendar days since the first line of the last order in which something came back."""
    return orders.age_days.min(where=orders.n_returned > 0)
