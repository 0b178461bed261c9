"""The shared scans: what was known of each customer at each ``as_of``, one table per kind of thing.

A line counts at ``as_of`` when ``event_time < as_of`` and ``known_at < as_of``, both half-open, and no correction that
replaced it was known: ``replaced_at`` is null or not before ``as_of``. ``age_days`` is the
number of local calendar days from the day of the event to the day of ``as_of``: at a local midnight, yesterday is 1.
Lines without a customer are left out. Every line is read once and rolled up before it is repeated for each ``as_of``,
by the instant ``ready_at`` from which it may be used, so the roll-up does not depend on ``as_of`` and stays exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Self

import ibis

from data.errors import ContractError
from features.clock import as_of_table
from features.registry import view

KEYS = ("customer_id", "as_of")
CATEGORY_LOOKBACK_DAYS = 182
DAY_MICROSECONDS = 86_400_000_000


@dataclass(frozen=True)
class History:
    """The accepted tables, and the instants at which they are looked at.

    Parameters
    ----------
    tables
        Accepted tables by name.
    as_ofs
        One row per instant: as_of, as_of_on.
    """

    tables: Mapping[str, ibis.Table]
    as_ofs: ibis.Table

    @classmethod
    def at(cls, tables: Mapping[str, ibis.Table], as_ofs: Sequence[datetime], timezone: str) -> Self:
        """Return the history at some instants.

        Parameters
        ----------
        tables
            Accepted tables by name.
        as_ofs
            Naive UTC instants, each once.
        timezone
            IANA name of the wall clock that gave ``local_time``.

        Raises
        ------
        ConfigError
            If the instants or the time zone cannot be used.
        """
        return cls(tables, as_of_table(as_ofs, timezone))

    def table(self, name: str) -> ibis.Table:
        """Return an accepted table.

        Parameters
        ----------
        name
            Name of the table.

        Raises
        ------
        ContractError
            If it was not handed in.
        """
        if name not in self.tables:
            raise ContractError(f"tables {sorted(self.tables)}", f"{name} among them", "hand it in, empty if need be")
        return self.tables[name]

    def known(self, rows: ibis.Table) -> ibis.Table:
        """Return the rows once for each ``as_of`` after their ``ready_at`` and not after their ``gone_at``.

        Parameters
        ----------
        rows
            A table with the instant ``ready_at``, and perhaps ``gone_at``: from then on another row holds; null where
            none does.
        """
        is_known = rows.ready_at < self.as_ofs.as_of
        if "gone_at" not in rows.columns:
            return rows.join(self.as_ofs, is_known)
        return rows.join(self.as_ofs, is_known & (rows.gone_at.isnull() | (rows.gone_at >= self.as_ofs.as_of)))

    @cached_property
    def lines(self) -> ibis.Table:
        """Lines of known customers with their local day and the instant from which they may be used."""
        lines = self.table("transactions")
        lines = lines.filter(lines.customer_id.notnull(), lines.event_time.notnull(), lines.known_at.notnull())
        return lines.mutate(
            local_on=lines.local_time.date(),
            ready_at=ibis.greatest(lines.event_time, lines.known_at),
            gone_at=gone_at(lines),
            is_sold=(lines.quantity > 0).fill_null(False),
            is_returned=(lines.quantity < 0).fill_null(False),
            discount_cents=lines.discount_cents.fill_null(0),
            coupon_cents=lines.coupon_cents.fill_null(0),
        )

    @cached_property
    def parts(self) -> ibis.Table:
        """Parts of orders: what became usable of one order at one instant on one local day."""
        lines = self.lines
        paid_cents = lines.amount_cents + lines.discount_cents + lines.coupon_cents
        return lines.group_by("customer_id", "order_id", "local_on", "ready_at", "gone_at").aggregate(
            ordered_at=lines.local_time.min(),
            store_id=lines.store_id.min(),
            n_sold=lines.is_sold.sum(),
            n_returned=lines.is_returned.sum(),
            spend_cents=lines.amount_cents.sum(),
            list_cents=paid_cents.sum(where=lines.is_sold),
            discount_cents=lines.discount_cents.sum(where=lines.is_sold),
            coupon_cents=lines.coupon_cents.sum(),
        )

    @cached_property
    def known_parts(self) -> ibis.Table:
        """Parts of orders as known at each ``as_of``, with their age."""
        parts = self.known(self.parts)
        return parts.mutate(age_days=_age(parts))

    @cached_property
    def population(self) -> ibis.Table:
        """Customers with at least one known line: customer_id, as_of."""
        return self.known_parts.select(*KEYS).distinct()


@view(sources=["transactions"])
def orders(history: History) -> ibis.Table:
    """Orders as far as they were known.

    Columns: order_id, age_days and ordered_at (local) of its first line, store_id (the least of its lines'), n_sold and
    n_returned (lines), is_purchase (something was sold), spend_cents (net of returns), list_cents and discount_cents
    (of sold lines, before any reduction and reduced by), coupon_cents (of all lines).
    """
    parts = history.known_parts
    rows = parts.group_by(*KEYS, "order_id").aggregate(
        age_days=parts.age_days.max(),
        ordered_at=parts.ordered_at.min(),
        store_id=parts.store_id.min(),
        n_sold=parts.n_sold.sum(),
        n_returned=parts.n_returned.sum(),
        spend_cents=parts.spend_cents.sum(),
        list_cents=parts.list_cents.sum(),
        discount_cents=parts.discount_cents.sum(),
        coupon_cents=parts.coupon_cents.sum(),
    )
    return rows.mutate(is_purchase=rows.n_sold > 0)


@view(sources=["transactions"])
def days(history: History) -> ibis.Table:
    """Local days with at least one line.

    Columns: local_on, age_days, spend_cents (net of returns), is_purchase (something was sold: a purchase day) and
    gap_days (to the purchase day before; null unless this is a purchase day with one before it).
    """
    parts = history.known_parts
    rows = parts.group_by(*KEYS, "local_on").aggregate(
        age_days=parts.age_days.max(), spend_cents=parts.spend_cents.sum(), is_purchase=parts.n_sold.sum() > 0
    )
    window = ibis.window(group_by=[*KEYS, "is_purchase"], order_by="local_on")
    rows = rows.mutate(before_on=rows.local_on.lag().over(window))
    gap = rows.local_on.delta(rows.before_on, unit="day")
    return rows.mutate(gap_days=rows.is_purchase.ifelse(gap, ibis.null("int64"))).drop("before_on")


@view(sources=["transactions", "products"])
def categories(history: History) -> ibis.Table:
    """Categories bought within 182 days; products without a category are left out.

    Columns: category, last_age_days (of its newest sold line), n_sold (lines).
    """
    products = history.table("products")
    # One row per product even where a catalogue repeats it: a join must never multiply lines.
    products = products.group_by("product_id").aggregate(category=products.category.max())
    lines = history.lines
    lines = lines.filter(lines.is_sold).join(products.filter(products.category.notnull()), "product_id")
    rows = history.known(lines.select("customer_id", "category", "local_on", "ready_at", "gone_at"))
    rows = rows.mutate(age_days=_age(rows))
    rows = rows.filter(rows.age_days <= CATEGORY_LOOKBACK_DAYS)
    return rows.group_by(*KEYS, "category").aggregate(last_age_days=rows.age_days.min(), n_sold=rows.count())


@view(sources=["campaigns", "contacts"])
def contacts(history: History) -> ibis.Table:
    """Campaigns that reached the customer; those held out as control were not reached.

    Columns: campaign_id, age_days (whole days of 24 hours since the first contact: contacts carry no wall clock),
    is_running (the campaign's planned last day is not before the day of ``as_of``; one without a last day runs on).
    """
    reached = history.table("contacts")
    reached = reached.filter(reached.contacted_at.notnull(), reached.arm != "control")
    reached = reached.group_by("customer_id", "campaign_id").aggregate(ready_at=reached.contacted_at.min())
    campaigns = history.table("campaigns")
    plans = campaigns.group_by("campaign_id").aggregate(
        last_on=campaigns.ends_on.fill_null(ibis.literal(date(9999, 12, 31))).max()
    )
    rows = history.known(reached).left_join(plans, "campaign_id")
    elapsed = rows.as_of.delta(rows.ready_at, unit="microsecond")
    return rows.select(
        *KEYS,
        "campaign_id",
        age_days=elapsed // DAY_MICROSECONDS,
        is_running=(rows.last_on >= rows.as_of_on).fill_null(False),
    )


def gone_at(lines: ibis.Table) -> ibis.Value:
    """Return the instant from which a line no longer holds; null where it still does, or nothing was ever replaced."""
    return lines.replaced_at if "replaced_at" in lines.columns else ibis.null("timestamp(6)")


def _age(rows: ibis.Table) -> ibis.Value:
    # Where clocks go back over midnight an event may carry the day after as_of's: it is of today.
    return ibis.greatest(rows.as_of_on.delta(rows.local_on, unit="day"), 0)
