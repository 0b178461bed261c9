"""What is in the baskets: size, breadth, concentration, returns."""

import ibis

from features.measures import entropy, share, within
from features.registry import Expression, feature

NO_CATEGORY = "no line with a known category in the last 182 days"


@feature(view="orders", unit="ratio", null="no order in the last 182 days", lookback=182)
def lines_per_order(orders: ibis.Table) -> Expression:
    """Mean number of sold lines of the orders of the last 182 days."""
    where = orders.is_purchase & within(orders, 182)
    return share(orders.n_sold.sum(where=where), orders.count(where=where))


@feature(view="orders", unit="share", null="no line sold or returned in the last 182 days", lookback=182)
def returned_lines_share(orders: ibis.Table) -> Expression:
    """Share of returned lines among the sold and returned lines of the orders of the last 182 days."""
    where = within(orders, 182)
    returned = orders.n_returned.sum(where=where)
    return share(returned, returned + orders.n_sold.sum(where=where))


@feature(view="categories", unit="count", lookback=84)
def n_categories_84d(categories: ibis.Table) -> Expression:
    """Different categories bought in the last 84 days."""
    return categories.count(where=categories.last_age_days <= 84)


@feature(view="categories", unit="nats", null=NO_CATEGORY, lookback=182)
def category_entropy(categories: ibis.Table) -> Expression:
    """Shannon entropy of the sold lines of the last 182 days over categories: 0 is one category alone."""
    return entropy(categories.n_sold, categories.n_sold > 0)


@feature(view="categories", unit="share", null=NO_CATEGORY, lookback=182)
def top_category_share(categories: ibis.Table) -> Expression:
    """Share of the most bought category among the sold lines of the last 182 days."""
    return share(categories.n_sold.max(), categories.n_sold.sum())


@feature(view="orders", unit="share", null="no order in the last 182 days", lookback=182)
def single_line_orders_share(orders: ibis.Table) -> Expression:
    """Share of the orders of the last 182 days with one sold line alone."""
    where = orders.is_purchase & within(orders, 182)
    return share(orders.count(where=where & (orders.n_sold == 1)), orders.count(where=where))


@feature(view="orders", unit="cents", null="no order in the last 182 days", lookback=182)
def line_value_mean_cents(orders: ibis.Table) -> Expression:
    """Mean value of the sold lines of the orders of the last 182 days, before returns."""
    where = orders.is_purchase & within(orders, 182)
    return share(orders.sold_cents.sum(where=where), orders.n_sold.sum(where=where))


@feature(view="categories", unit="count", lookback=182)
def n_categories_182d(categories: ibis.Table) -> Expression:
    """Different categories bought in the last 182 days."""
    return categories.count()


@feature(view="categories", unit="count", lookback=182)
def n_lost_categories(categories: ibis.Table) -> Expression:
    """Categories bought in the last 182 days, but no longer in the last 84."""
    return categories.count(where=categories.last_age_days > 84)


@feature(view="categories", unit="share", null=NO_CATEGORY, lookback=182)
def lost_categories_share(categories: ibis.Table) -> Expression:
    """Share of the categories of the last 182 days that were not bought in the last 84."""
    return share(categories.count(where=categories.last_age_days > 84), categories.count())


@feature(view="categories", unit="share", null=NO_CATEGORY, lookback=182)
def new_categories_share(categories: ibis.Table) -> Expression:
    """Share of the categories of the last 182 days that were bought in the last 84 and not in the 98 before."""
    return share(categories.count(where=categories.first_age_days <= 84), categories.count())


@feature(view="categories", unit="share", null=NO_CATEGORY, lookback=182)
def repeat_categories_share(categories: ibis.Table) -> Expression:
    """Share of the categories of the last 182 days with two sold lines or more."""
    return share(categories.count(where=categories.n_sold >= 2), categories.count())
