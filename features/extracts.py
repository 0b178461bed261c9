"""Plain extracts of what was known at one ``as_of``: baskets for the rules, sales for the report."""

from collections.abc import Mapping
from datetime import datetime

import ibis

from features.views import gone_at


def basket_lines(tables: Mapping[str, ibis.Table], as_of: datetime) -> ibis.Table:
    """Return which categories each order held: order_id, customer_id, category, event_time (first line), amount_cents.

    One row per order and category of sold lines; lines whose product has no category are left out. Where no product
    has a category at all, each stands for itself, by its name or else its id. ``customer_id`` is null for anonymous
    orders, which count as baskets all the same.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions, products.
    as_of
        Naive UTC instant; half-open, on both clocks.
    """
    products = _labelled(tables["products"])
    lines = _known(tables, as_of)
    sold = lines.filter(lines.quantity > 0).join(products.filter(products.category.notnull()), "product_id")
    baskets = sold.group_by("order_id", "category").aggregate(
        customer_id=sold.customer_id.min(), event_time=sold.event_time.min(), amount_cents=sold.amount_cents.sum()
    )
    columns = ("order_id", "customer_id", "category", "event_time", "amount_cents")
    return baskets.select(*columns).order_by("order_id", "category")


def _labelled(products: ibis.Table) -> ibis.Table:
    """Return product_id and the category that stands for it in baskets."""
    name = products.name if "name" in products.columns else products.product_id
    # One row per product even where a catalogue repeats it: a join must never multiply lines.
    once = products.group_by("product_id").aggregate(category=products.category.max(), name=name.max())
    own = ibis.ifelse(once.category.count().over() == 0, once.name.fill_null(once.product_id), ibis.null("string"))
    return once.select("product_id", category=once.category.fill_null(own))


def orders(tables: Mapping[str, ibis.Table], as_of: datetime) -> ibis.Table:
    """Return one row per order: order_id, local_on (first local day), amount_cents (net), n_lines, is_purchase.

    ``is_purchase`` is false where things were only brought back.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions.
    as_of
        Naive UTC instant; half-open, on both clocks.
    """
    lines = _known(tables, as_of)
    made = lines.group_by("order_id").aggregate(
        local_on=lines.local_time.date().min(),
        amount_cents=lines.amount_cents.sum(),
        n_lines=lines.count(),
        is_purchase=(lines.quantity > 0).any().fill_null(False),
    )
    return made.order_by("order_id")


def sales_by_month(tables: Mapping[str, ibis.Table], as_of: datetime) -> ibis.Table:
    """Return sales per local month: month (its first day), sales_cents, n_customers, n_orders.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions.
    as_of
        Naive UTC instant; half-open, on both clocks.
    """
    lines = _known(tables, as_of)
    return (
        lines.group_by(month=lines.local_time.date().truncate("M"))
        .aggregate(
            sales_cents=lines.amount_cents.sum(),
            n_customers=lines.customer_id.nunique(),
            n_orders=lines.order_id.nunique(),
        )
        .order_by("month")
    )


def known_span(tables: Mapping[str, ibis.Table], as_of: datetime) -> ibis.Table:
    """Return one row, ``first_at`` and ``last_at``: instants of the first and last known line; null without a line."""
    lines = _known(tables, as_of)
    return lines.aggregate(first_at=lines.event_time.min(), last_at=lines.event_time.max())


def _known(tables: Mapping[str, ibis.Table], as_of: datetime) -> ibis.Table:
    lines = tables["transactions"]
    instant = ibis.literal(as_of, type="timestamp(6)")
    holds = gone_at(lines).isnull() | (gone_at(lines) >= instant)
    return lines.filter(lines.event_time < instant, lines.known_at < instant, holds)
