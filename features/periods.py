"""Which rows are known at which ``as_of``, found once for all of them.

Between two neighbouring ``as_of`` nothing changes, so all that matters of a row's instants is a pair of positions on
the sorted list of ``as_of``: ``since`` is the first at which the row may be used, ``until`` the first at which it may
no longer. Rows of the same thing with the same pair are rolled up before any ``as_of`` is looked at, and a thing with
one pair alone (nearly every order: its lines become known together and are never corrected) is finished by that: it is
handed to each of its ``as_of`` as it is. Only things whose rows come and go at different positions are put together
anew for each ``as_of``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Self

import ibis
import pandas as pd
from ibis import _

from features.clock import check_instants, local_date
from features.registry import Expression

KEYS = ("customer_id", "as_of")
SPAN = ("since", "until")


@dataclass(frozen=True)
class Periods:
    """The sorted list of ``as_of``, each with the local day of its wall clock.

    Parameters
    ----------
    instants
        Naive UTC, ascending, each once.
    days
        Local calendar days of the instants.
    now
        One row that says at which of them one looks: position, as_of, as_of_on; None for all at once.
    """

    instants: tuple[datetime, ...]
    days: tuple[date, ...]
    now: ibis.Table | None = None

    @classmethod
    def of(cls, as_ofs: Sequence[datetime], timezone: str) -> Self:
        """Return the periods between some instants.

        Parameters
        ----------
        as_ofs
            Naive UTC instants, each once, in any order.
        timezone
            IANA name of the wall clock.

        Raises
        ------
        ConfigError
            If there is none, one occurs twice, one carries a zone, or the time zone is not known.
        """
        instants = sorted(check_instants(as_ofs))
        return cls(tuple(instants), tuple(local_date(instant, timezone) for instant in instants))

    def spanned(self, rows: ibis.Table, lookback: int | None = None) -> ibis.Table:
        """Return the rows that are known at some ``as_of``, with ``since`` and ``until`` for their instants.

        Parameters
        ----------
        rows
            A table with the instant ``ready_at`` after which a row may be used, and perhaps ``gone_at``: after it
            another row holds; null where none does.
        lookback
            Let a row end with the last ``as_of`` whose day is at most so many days after ``local_on``; None for never.
        """
        last = ibis.literal(len(self.instants), type="int8")
        rows = rows.filter(rows.ready_at < _instant(self.instants[-1]))
        until = last
        if "gone_at" in rows.columns:
            until = rows.gone_at.isnull().ifelse(last, self._position(rows.gone_at))
        rows = rows.mutate(since=self._position(rows.ready_at).cast("int32"), until=until.cast("int32"))
        rows = rows.filter(rows.since < rows.until) if lookback is None else self.ending(rows, lookback)
        if len(self.instants) == 1:
            # What is left is all of one period: to say so spares the engine to find it out group by group.
            rows = rows.mutate(since=ibis.literal(0, type="int32"), until=ibis.literal(1, type="int32"))
        return rows

    def known(self, rows: ibis.Table, lookback: int | None = None) -> ibis.Table:
        """Return the rows once for each ``as_of`` at which they are known, with ``as_of`` and its day ``as_of_on``.

        Parameters
        ----------
        rows
            Rows with ``since`` and ``until``, or with the instants that these are found from.
        lookback
            As of ``spanned``.
        """
        if "since" not in rows.columns:
            rows = self.spanned(rows, lookback)
        elif lookback is not None and self.now is not None:
            rows = self.dated(self.repeated(rows))
            return rows.filter(rows.local_on >= rows.as_of_on - ibis.interval(days=lookback))
        elif lookback is not None:
            rows = self.ending(rows, lookback)
        if len(self.instants) == 1 and self.now is None:
            return rows.mutate(as_of=_instant(self.instants[0]), as_of_on=ibis.literal(self.days[0])).drop(*SPAN)
        return self.dated(self.repeated(rows))

    def repeated(self, rows: ibis.Table) -> ibis.Table:
        """Return rows with ``since`` and ``until`` once for each ``as_of`` at which they are known, by its position."""
        if self.now is None:
            return rows.mutate(position=ibis.range(rows.since, rows.until).unnest()).drop(*SPAN)
        rows = rows.cross_join(self.now.select("position"))
        return rows.filter(rows.since <= rows.position, rows.until > rows.position).drop(*SPAN)

    def ending(self, rows: ibis.Table, lookback: int) -> ibis.Table:
        """Return rows with ``since`` and ``until`` as they end so many days after their ``local_on``."""
        oldest = [ibis.literal(day - timedelta(days=lookback), type="date") for day in self.days]
        rows = rows.filter(rows.local_on >= oldest[0])
        lasts = _count([rows.local_on >= day for day in oldest]).cast("int32")
        rows = rows.mutate(until=ibis.least(rows.until, lasts))
        return rows.filter(rows.since < rows.until)

    def dated(self, rows: ibis.Table) -> ibis.Table:
        """Return rows with a position with ``as_of`` and ``as_of_on`` in its place."""
        return rows.join(self.dates if self.now is None else self.now, "position").drop("position")

    @cached_property
    def dates(self) -> ibis.Table:
        """The list as a table: position, as_of, as_of_on."""
        days = pd.Series(self.days, dtype="object")
        frame = pd.DataFrame({"position": range(len(self.instants)), "as_of": self.instants, "as_of_on": days})
        return ibis.memtable(frame, schema={"position": "int32", "as_of": "timestamp(6)", "as_of_on": "date"})

    def _position(self, instant: Expression) -> Expression:
        return _count([instant >= _instant(as_of) for as_of in self.instants])


def gathered(periods: Periods, parts: ibis.Table, thing: str, **measures: Expression) -> ibis.Table:
    """Return one row per customer, ``as_of`` and thing: what all the rows known then say of it together.

    For things that a customer meets again and again: a category, a store.

    Parameters
    ----------
    periods
        The list of ``as_of``.
    parts
        What ``things`` made of the rows.
    thing
        Column that tells the customer's things apart.
    **measures
        As of ``things``.
    """
    if len(periods.instants) == 1:
        return periods.known(parts)
    rows = periods.repeated(parts)
    return periods.dated(rows.group_by("customer_id", "position", thing).aggregate(**measures))


def things(periods: Periods, rows: ibis.Table, thing: str, lookback: int | None, **measures: Expression) -> ibis.Table:
    """Return what of a customer's things becomes known, and ends, together: customer_id, the thing, since, until.

    Parameters
    ----------
    periods
        The list of ``as_of``.
    rows
        Rows with customer_id, the thing, ``since`` and ``until`` (or the instants that these are found from) and,
        for a lookback, ``local_on``.
    thing
        Column that tells the customer's things apart.
    lookback
        As of ``spanned``.
    **measures
        Deferred sums, minima or maxima, each of the column of its own name: taken over rows first, and over such
        results then.
    """
    if "since" not in rows.columns:
        rows = periods.spanned(rows, lookback)
    elif lookback is not None:
        rows = periods.ending(rows, lookback)
    return rows.group_by("customer_id", thing, *SPAN).aggregate(**measures)


def combined(
    periods: Periods,
    whole: ibis.Table,
    parts: ibis.Table,
    thing: str,
    lookback: int | None = None,
    **measures: Expression,
) -> ibis.Table:
    """Return one row per customer, ``as_of`` and thing, put together from the parts of it known then.

    For things that happen once: an order. Most are of one part, or of parts that come and go together.

    Parameters
    ----------
    periods
        The list of ``as_of``.
    whole
        What ``whole_things`` made of the parts.
    parts
        Rows with customer_id, the thing, ``since`` and ``until``.
    thing
        Column that tells the customer's things apart.
    lookback
        As of ``spanned``, by the things' ``local_on``. A thing whose parts come and go may be there nevertheless.
    **measures
        Deferred aggregates over the parts of a thing.
    """
    if len(periods.instants) == 1:
        return periods.known(whole.drop("is_steady"), lookback)
    steady = periods.known(whole.filter(whole.is_steady).drop("is_steady"), lookback)
    others = periods.repeated(parts.semi_join(whole.filter(~whole.is_steady), ("customer_id", thing)))
    moving = periods.dated(others.group_by("customer_id", "position", thing).aggregate(**measures))
    return steady.union(moving.select(*steady.columns))


def whole_things(parts: ibis.Table, thing: str, **measures: Expression) -> ibis.Table:
    """Return one row per customer and thing, whatever ``as_of``: its measures, since, until and is_steady.

    A thing is steady where all its parts are known at the same ``as_of``; of the others the measures mean nothing.

    Parameters
    ----------
    parts
        Rows with customer_id, the thing, ``since`` and ``until``.
    thing
        Column that tells the customer's things apart.
    **measures
        Deferred aggregates over the parts of a thing.
    """
    is_steady = (_.since.min() == _.since.max()) & (_.until.min() == _.until.max())
    return parts.group_by("customer_id", thing).aggregate(
        **measures, since=_.since.max(), until=_.until.min(), is_steady=is_steady
    )


def _instant(instant: datetime) -> Expression:
    return ibis.literal(instant, type="timestamp(6)")


def _count(conditions: Sequence[Expression]) -> Expression:
    total = ibis.literal(0, type="int8")
    for condition in conditions:
        total = total + condition.cast("int8")
    return total
