"""How much the customer leans on reductions, and how often campaigns reached them."""

import ibis

from features.measures import share, within
from features.registry import Expression, feature


@feature(view="orders", unit="share", null="nothing of positive list value in the last 182 days", lookback=182)
def discount_share(orders: ibis.Table) -> Expression:
    """Discount on the sold lines of the orders of the last 182 days, as a share of their value before reductions."""
    where = within(orders, 182)
    whole = orders.list_cents.sum(where=where)
    return share(orders.discount_cents.sum(where=where), ibis.cases((whole > 0, whole)))


@feature(view="orders", unit="share", null="no order in the last 182 days", lookback=182)
def coupon_orders_share(orders: ibis.Table) -> Expression:
    """Share of the orders of the last 182 days that used a coupon."""
    where = orders.is_purchase & within(orders, 182)
    return share(orders.count(where=where & (orders.coupon_cents > 0)), orders.count(where=where))


@feature(view="contacts", unit="count", lookback=84)
def n_campaigns_84d(contacts: ibis.Table) -> Expression:
    """Campaigns that reached the customer in the last 84 days."""
    return contacts.count(where=contacts.age_days < 84)


@feature(view="contacts", unit="count", lookback=182)
def n_campaigns_182d(contacts: ibis.Table) -> Expression:
    """Campaigns that reached the customer in the last 182 days."""
    return contacts.count(where=contacts.age_days < 182)


@feature(view="contacts", unit="days", null="no campaign before as_of")
def contact_recency_days(contacts: ibis.Table) -> Expression:
    """Whole days of 24 hours since a campaign last reached the customer for the first time."""
    return contacts.age_days.min()


@feature(view="contacts", unit="flag")
def is_in_campaign(contacts: ibis.Table) -> Expression:
    """Whether a campaign that reached the customer is still running."""
    return contacts.is_running.any()


@feature(view="orders", unit="share", null="no order in the last 182 days", lookback=182)
def discounted_orders_share(orders: ibis.Table) -> Expression:
    """Share of the orders of the last 182 days with a discount on a sold line."""
    where = orders.is_purchase & within(orders, 182)
    return share(orders.count(where=where & (orders.discount_cents > 0)), orders.count(where=where))


@feature(view="orders", unit="cents", lookback=182)
def discount_182d_cents(orders: ibis.Table) -> Expression:
    """Discounts on the sold lines of the orders of the last 182 days."""
    return orders.discount_cents.sum(where=orders.is_purchase & within(orders, 182))


@feature(view="orders", unit="cents", lookback=182)
def coupon_182d_cents(orders: ibis.Table) -> Expression:
    """Coupons used in the orders of the last 182 days."""
    return orders.coupon_cents.sum(where=orders.is_purchase & within(orders, 182))


@feature(view="orders", unit="days", null="no order with a coupon before as_of")
def coupon_recency_days(orders: ibis.Table) -> Expression:
    """Local calendar days since the last order that used a coupon."""
    return orders.age_days.min(where=orders.is_purchase & (orders.coupon_cents > 0))
