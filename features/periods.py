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
    """

    instants: tuple[datetime, ...]
    days: tuple[date, ...]

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
        if lookback is not None:
            oldest = [ibis.literal(day - timedelta(days=lookback), type="date") for day in self.days]
            rows = rows.filter(rows.local_on >= oldest[0])
            until = ibis.least(until, _count([rows.local_on >= day for day in oldest]))
        rows = rows.mutate(since=self._position(rows.ready_at).cast("int32"), until=until.cast("int32"))
        rows = rows.filter(rows.since < rows.until)
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
            As of ``spanned``, for rows that have not been through it.
        """
        if "since" not in rows.columns:
            rows = self.spanned(rows, lookback)
        if len(self.instants) == 1:
            return rows.mutate(as_of=_instant(self.instants[0]), as_of_on=ibis.literal(self.days[0])).drop(*SPAN)
        return self._dated(_repeated(rows))

    def gathered(self, rows: ibis.Table, thing: str, lookback: int | None, **measures: Expression) -> ibis.Table:
        """Return one row per customer, ``as_of`` and thing: what all the rows known then say of it together.

        For things that a customer meets again and again: a category, a store.

        Parameters
        ----------
        rows
            Rows with customer_id, the thing, ``ready_at``, ``gone_at`` and, for a lookback, ``local_on``.
        thing
            Column that tells the customer's things apart.
        lookback
            As of ``spanned``.
        **measures
            Deferred sums, minima or maxima, each of the column of its own name: taken over rows first, and over such
            results then.
        """
        rows = self.spanned(rows, lookback)
        parts = rows.group_by("customer_id", thing, *SPAN).aggregate(**measures)
        if len(self.instants) == 1:
            return self.known(parts)
        rows = _repeated(parts)
        return self._dated(rows.group_by("customer_id", "position", thing).aggregate(**measures))

    def combined(self, parts: ibis.Table, thing: str, **measures: Expression) -> ibis.Table:
        """Return one row per customer, ``as_of`` and thing, put together from the parts of it known then.

        For things that happen once: an order. Most are of one part, or of parts that come and go together.

        Parameters
        ----------
        parts
            Rows with customer_id, the thing, ``since`` and ``until``.
        thing
            Column that tells the customer's things apart.
        **measures
            Deferred aggregates over the parts of a thing.
        """
        whole = whole_things(parts, thing, **measures)
        if len(self.instants) == 1:
            return self.known(whole.drop("is_steady"))
        steady = self.known(whole.filter(whole.is_steady).drop("is_steady"))
        others = _repeated(parts.semi_join(whole.filter(~whole.is_steady), ("customer_id", thing)))
        moving = self._dated(others.group_by("customer_id", "position", thing).aggregate(**measures))
        return steady.union(moving.select(*steady.columns))

    def _dated(self, rows: ibis.Table) -> ibis.Table:
        days = pd.Series(self.days, dtype="object")
        frame = pd.DataFrame({"position": range(len(self.instants)), "as_of": self.instants, "as_of_on": days})
        dates = ibis.memtable(frame, schema={"position": "int32", "as_of": "timestamp(6)", "as_of_on": "date"})
        return rows.join(dates, "position").drop("position")

    def _position(self, instant: Expression) -> Expression:
        return _count([instant >= _instant(as_of) for as_of in self.instants])


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


def _repeated(rows: ibis.Table) -> ibis.Table:
    return rows.mutate(position=ibis.range(rows.since, rows.until).unnest()).drop(*SPAN)


def _instant(instant: datetime) -> Expression:
    return ibis.literal(instant, type="timestamp(6)")


def _count(conditions: Sequence[Expression]) -> Expression:
    total = ibis.literal(0, type="int8")
    for condition in conditions:
        total = total + condition.cast("int8")
    return total
