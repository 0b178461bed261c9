"""The shared scans: what was known of each customer at each ``as_of``, one table per kind of thing.

A line counts at ``as_of`` when ``event_time < as_of`` and ``known_at < as_of``, both half-open, and no correction that
replaced it was known: ``replaced_at`` is null or not before ``as_of``. ``age_days`` is the
number of local calendar days from the day of the event to the day of ``as_of``: at a local midnight, yesterday is 1.
Lines without a customer are left out. Every line is read once and rolled up before it is repeated for each ``as_of``,
by the instant ``ready_at`` from which it may be used, so the roll-up does not depend on ``as_of`` and stays exact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Self

import ibis
from ibis import _

from data.errors import ContractError
from features.clock import as_of_table
from features.periods import KEYS, SPAN, Periods, combined, gathered, things, whole_things
from features.registry import Expression, view

__all__ = ["KEYS", "History", "elapsed_days", "gone_at", "local_age"]

CATEGORY_LOOKBACK_DAYS = 182
GOODS_LOOKBACK_DAYS = 364
DAY_MICROSECONDS = 86_400_000_000


def _as_it_is(rows: ibis.Table) -> ibis.Table:
    return rows


@dataclass(frozen=True)
class History:
    """The accepted tables, and the instants at which they are looked at.

    Parameters
    ----------
    tables
        Accepted tables by name.
    as_ofs
        One row per instant: as_of, as_of_on.
    periods
        The same, to find out once which row is known at which of them.
    lookback
        Local calendar days beyond which nobody looks now, so that a view may leave older rows out; None for none.
    keep
        Takes what is the same at every ``as_of`` and gives it back, worked out where that is worth while.
    told
        Order lines with the ids that they were told with, where those of ``tables`` have numbers; None elsewhere.
    numbered
        Puts these numbers in the place of the ids of what was made of ``told``.
    """

    tables: Mapping[str, ibis.Table]
    as_ofs: ibis.Table
    periods: Periods
    lookback: int | None = None
    keep: Callable[[ibis.Table], ibis.Table] = _as_it_is
    told: ibis.Table | None = None
    numbered: Callable[[ibis.Table], ibis.Table] = _as_it_is

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
        return cls(tables, as_of_table(as_ofs, timezone), Periods.of(as_ofs, timezone))

    def at_one(self, now: ibis.Table) -> Self:
        """Return the history as looked at from one of the instants at a time: the one of the row ``now``."""
        return replace(self, as_ofs=now.drop("position"), periods=replace(self.periods, now=now))

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

    def known(self, rows: ibis.Table, lookback: int | None = None) -> ibis.Table:
        """Return the rows once for each ``as_of`` after their ``ready_at`` and not after their ``gone_at``.

        Parameters
        ----------
        rows
            A table with the instant ``ready_at``, and perhaps ``gone_at``: from then on another row holds; null where
            none does. Or one that was rolled up by the ``since`` and ``until`` of ``Periods.spanned``.
        lookback
            Leave out rows whose ``local_on`` is more than so many days before the day of ``as_of``.
        """
        return self.periods.known(rows, lookback)

    def gathered(self, rows: ibis.Table, thing: str, lookback: int | None, **measures: Expression) -> ibis.Table:
        """Return one row per customer, ``as_of`` and thing: what all the rows known then say of it together.

        For things that a customer meets again and again: a category, a store. Parameters are those of
        ``periods.things``.
        """
        parts = self.keep(things(self.periods, rows, thing, lookback, **measures))
        return gathered(self.periods, parts, thing, **measures)

    @cached_property
    def lines(self) -> ibis.Table:
        """Lines of known customers with their local day and the instant from which they may be used."""
        return _dated_lines(self.table("transactions"))

    @cached_property
    def _told_lines(self) -> ibis.Table:
        # To find the number of each line is more work than to group by its ids: what is made of lines gets numbers.
        return self.lines if self.told is None else _dated_lines(self.told)

    @cached_property
    def parts(self) -> ibis.Table:
        """Parts of orders: what of one order and local day may be used at the same ``as_of``."""
        lines = self.periods.spanned(self._told_lines)
        paid_cents = lines.amount_cents + lines.discount_cents + lines.coupon_cents
        parts = lines.group_by("customer_id", "order_id", "local_on", *SPAN).aggregate(
            ordered_at=lines.local_time.min(),
            store_id=lines.store_id.min(),
            channel=lines.channel.min() if "channel" in lines.columns else ibis.null("string"),
            n_sold=lines.is_sold.sum(),
            n_returned=lines.is_returned.sum(),
            spend_cents=lines.amount_cents.sum(),
            sold_cents=lines.amount_cents.sum(where=lines.is_sold),
            list_cents=paid_cents.sum(where=lines.is_sold),
            discount_cents=lines.discount_cents.sum(where=lines.is_sold),
            coupon_cents=lines.coupon_cents.sum(),
        )
        return self.keep(self.numbered(parts))

    @cached_property
    def goods(self) -> ibis.Table:
        """Lines sold within 364 days of some ``as_of``: customer_id, product_id, store_id, local_on, since, until."""
        lines = self._told_lines
        columns = ("customer_id", "product_id", "store_id", "local_on")
        lines = lines.filter(lines.is_sold).select(*columns, "ready_at", "gone_at")
        lines = self.periods.spanned(lines, GOODS_LOOKBACK_DAYS).select(*columns, *SPAN)
        return self.keep(self.numbered(lines))

    @cached_property
    def population(self) -> ibis.Table:
        """Customers with at least one known line: customer_id, as_of."""
        return self.known(self.keep(self.parts.select("customer_id", *SPAN).distinct())).select(*KEYS).distinct()


@view(sources=["transactions"])
def orders(history: History) -> ibis.Table:
    """Orders as far as they were known.

    Columns: order_id, age_days and ordered_at (local) of its first line, store_id and channel (the least of its
    lines', the channel in small letters), n_sold and n_returned (lines), is_purchase (something was sold), spend_cents
    (net of returns), sold_cents (of sold lines), list_cents and discount_cents (of sold lines, before any reduction and
    reduced by), coupon_cents (of all lines).
    """
    measures = {
        "local_on": _.local_on.min(),
        "ordered_at": _.ordered_at.min(),
        "store_id": _.store_id.min(),
        "channel": _.channel.min().strip().lower(),
        "n_sold": _.n_sold.sum(),
        "n_returned": _.n_returned.sum(),
        "spend_cents": _.spend_cents.sum(),
        "sold_cents": _.sold_cents.sum().fill_null(0),
        "list_cents": _.list_cents.sum(),
        "discount_cents": _.discount_cents.sum(),
        "coupon_cents": _.coupon_cents.sum(),
    }
    whole = history.keep(whole_things(history.parts, "order_id", **measures))
    rows = combined(history.periods, whole, history.parts, "order_id", history.lookback, **measures)
    rows = rows.mutate(is_purchase=rows.n_sold > 0, age_days=local_age(rows))
    return rows.drop("local_on", "as_of_on")


@view(sources=["transactions"])
def days(history: History) -> ibis.Table:
    """Local days with at least one line.

    Columns: local_on, age_days, spend_cents (net of returns), is_purchase (something was sold: a purchase day) and
    gap_days (to the purchase day before; null unless this is a purchase day with one before it).
    """
    measures = {"spend_cents": _.spend_cents.sum(), "is_purchase": _.n_sold.sum() > 0}
    whole = whole_things(history.parts, "local_on", **measures)
    if len(history.periods.instants) == 1:
        rows = history.known(_with_gaps(whole.drop("is_steady"), ["customer_id"]), history.lookback)
    else:
        # The gaps of a customer whose days became known one after the other, and stayed, are the same at each as_of.
        before = whole.since.lag().over(group_by="customer_id", order_by="local_on").fill_null(0)
        stays = whole.until == len(history.periods.instants)
        whole = whole.mutate(is_settled=whole.is_steady & stays & (before <= whole.since)).drop("is_steady")
        whole = history.keep(whole)
        unsettled = whole.filter(~whole.is_settled)
        settled = whole.anti_join(unsettled, "customer_id").drop("is_settled")
        rows = history.known(history.keep(_with_gaps(settled, ["customer_id"])), history.lookback)
        others = history.known(history.keep(history.parts.semi_join(unsettled, "customer_id")))
        others = others.group_by(*KEYS, "as_of_on", "local_on").aggregate(**measures)
        rows = rows.union(_with_gaps(others, KEYS).select(*rows.columns))
    return rows.mutate(age_days=local_age(rows)).drop("as_of_on")


@view(sources=["transactions", "products"])
def categories(history: History) -> ibis.Table:
    """Categories bought within 182 days; products without a category are left out.

    Columns: category, last_age_days and first_age_days (of its newest and oldest sold line within 182 days), n_sold
    (lines).
    """
    products = history.table("products")
    # One row per product even where a catalogue repeats it: a join must never multiply lines.
    products = products.group_by("product_id").aggregate(category=products.category.max())
    goods = history.goods.join(products.filter(products.category.notnull()), "product_id")
    goods = goods.mutate(n_sold=1, first_on=goods.local_on, last_on=goods.local_on)
    measures = {"n_sold": _.n_sold.sum(), "first_on": _.first_on.min(), "last_on": _.last_on.max()}
    rows = history.gathered(goods, "category", CATEGORY_LOOKBACK_DAYS, **measures)
    return rows.select(
        *KEYS,
        "category",
        "n_sold",
        last_age_days=local_age(rows, rows.last_on),
        first_age_days=local_age(rows, rows.first_on),
    )


@view(sources=["campaigns", "contacts"])
def contacts(history: History) -> ibis.Table:
    """Campaigns that reached the customer; those held out as control were not reached.

    Columns: campaign_id, age_days (whole days of 24 hours since the first contact: contacts carry no wall clock),
    is_running (the campaign's planned last day is not before the day of ``as_of``; one without a last day runs on).
    """
    reached = history.table("contacts")
    reached = reached.filter(reached.contacted_at.notnull(), reached.arm != "control")
    ready_at = reached.contacted_at
    if "known_at" in reached.columns:
        ready_at = ibis.greatest(ready_at, reached.known_at.fill_null(ready_at))
    reached = reached.select("customer_id", "campaign_id", "contacted_at", ready_at=ready_at)
    campaigns = history.table("campaigns")
    plans = campaigns.group_by("campaign_id").aggregate(
        last_on=campaigns.ends_on.fill_null(ibis.literal(date(9999, 12, 31))).max()
    )
    known = history.known(reached)
    known = known.group_by(*KEYS, "as_of_on", "campaign_id").aggregate(contacted_at=known.contacted_at.min())
    rows = known.left_join(plans, "campaign_id")
    return rows.select(
        *KEYS,
        "campaign_id",
        age_days=elapsed_days(rows, rows.contacted_at),
        is_running=(rows.last_on >= rows.as_of_on).fill_null(False),
    )


def _dated_lines(lines: ibis.Table) -> ibis.Table:
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


def _with_gaps(days: ibis.Table, keys: Sequence[str]) -> ibis.Table:
    window = ibis.window(group_by=[*keys, "is_purchase"], order_by="local_on")
    days = days.mutate(before_on=days.local_on.lag().over(window))
    gap = days.local_on.delta(days.before_on, unit="day")
    return days.mutate(gap_days=days.is_purchase.ifelse(gap, ibis.null("int64"))).drop("before_on")


def elapsed_days(rows: ibis.Table, instant: ibis.Value) -> ibis.Value:
    """Return the whole days of 24 hours from an instant to ``as_of``: for events that carry no wall clock."""
    return rows.as_of.delta(instant, unit="microsecond") // DAY_MICROSECONDS


def gone_at(lines: ibis.Table) -> ibis.Value:
    """Return the instant from which a line no longer holds; null where it still does, or nothing was ever replaced."""
    return lines.replaced_at if "replaced_at" in lines.columns else ibis.null("timestamp(6)")


def local_age(rows: ibis.Table, day: ibis.Value | None = None) -> ibis.Value:
    """Return the local calendar days from ``local_on``, or another day, to the day of ``as_of``, never below zero."""
    # Where clocks go back over midnight an event may carry the day after as_of's: it is of today.
    return ibis.greatest(rows.as_of_on.delta(rows.local_on if day is None else day, unit="day"), 0)
