"""The mix of stores and channels through which the customer buys."""

import ibis

from features.measures import entropy, share, within
from features.registry import Expression, feature

NO_STORE = "no line sold in a known store in the last 364 days"
NO_CHANNEL = "no order with a known channel in the last 364 days"
ONLINE = ("online", "web", "webshop", "website", "internet", "app", "mobile", "e-commerce", "ecommerce", "e-shop")
"""Words by which a channel is called that needs no shop, in small letters."""


@feature(view="stores", unit="share", null=NO_STORE, lookback=364)
def top_store_share(stores: ibis.Table) -> Expression:
    """Share of the most used store among the sold lines of the last 364 days."""
    return share(stores.n_sold.max(), stores.n_sold.sum())


@feature(view="stores", unit="nats", null=NO_STORE, lookback=364)
def store_entropy(stores: ibis.Table) -> Expression:
    """Shannon entropy of the sold lines of the last 364 days over stores: 0 is one store alone."""
    return entropy(stores.n_sold, stores.n_sold > 0)


@feature(view="orders", unit="count", lookback=364)
def n_channels_364d(orders: ibis.Table) -> Expression:
    """Different channels of the orders of the last 364 days; orders of no known channel are left out."""
    return orders.channel.nunique(where=_bought(orders))


@feature(view="orders", unit="share", null=NO_CHANNEL, lookback=364)
def online_share(orders: ibis.Table) -> Expression:
    """Share of the orders of the last 364 days with a known channel that needs no shop, such as web or app."""
    where = _bought(orders) & orders.channel.notnull()
    is_online = orders.channel.isin(ONLINE)
    return share(orders.count(where=where & is_online), orders.count(where=where))


def _bought(orders: ibis.Table) -> Expression:
    return orders.is_purchase & within(orders, 364)
