"""The gaps between a customer's purchase days: how long, how even."""

import ibis

from features.measures import deviation, share, within
from features.registry import Expression, feature

MOST_DAYS = 1_000_000
"""More days than any gap has."""

ONE_DAY = "fewer than two purchase days before as_of"
TWO_DAYS = "fewer than three purchase days before as_of"


@feature(view="days", unit="days", null=ONE_DAY)
def gap_mean_days(days: ibis.Table) -> Expression:
    """Mean gap between one purchase day and the next."""
    return share(days.gap_days.sum(), days.gap_days.count())


@feature(view="days", unit="days", null=ONE_DAY)
def gap_median_days(days: ibis.Table) -> Expression:
    """Median gap between one purchase day and the next; the mean of the middle two where their number is even."""
    return days.gap_days.median()


@feature(view="days", unit="days", null=TWO_DAYS)
def gap_deviation_days(days: ibis.Table) -> Expression:
    """Sample standard deviation of the gaps between purchase days."""
    return deviation(days.gap_days)


@feature(view="days", unit="ratio", null=TWO_DAYS)
def gap_variation(days: ibis.Table) -> Expression:
    """Sample standard deviation of the gaps divided by their mean: 0 is clockwork, 1 is chance."""
    return deviation(days.gap_days) / share(days.gap_days.sum(), days.gap_days.count())


@feature(view="days", unit="days", null=ONE_DAY)
def gap_max_days(days: ibis.Table) -> Expression:
    """Longest gap between one purchase day and the next."""
    return days.gap_days.max()


@feature(view="days", unit="days", null=ONE_DAY)
def gap_last_days(days: ibis.Table) -> Expression:
    """Gap that the last purchase day ended."""
    # The day and its gap as one number: the largest is that of the last day, whatever the order of the rows.
    day = days.local_on.delta(ibis.date(1970, 1, 1), unit="day")
    return (day * MOST_DAYS + days.gap_days).max() % MOST_DAYS


@feature(view="days", unit="index", null="no gap that ended in the last 84 days")
def gap_trend(days: ibis.Table) -> Expression:
    """Mean gap that ended in the last 84 days against the mean of all: above 0 is slower than usual, below 0 faster."""
    where = within(days, 84)
    recent = share(days.gap_days.sum(where=where), days.gap_days.count(where=where))
    usual = share(days.gap_days.sum(), days.gap_days.count())
    return (recent - usual) / (recent + usual)


@feature(view="days", unit="count", lookback=84)
def n_purchase_days_84d(days: ibis.Table) -> Expression:
    """Local days with a purchase in the last 84 days."""
    return days.count(where=days.is_purchase & within(days, 84))


@feature(view="days", unit="count", lookback=182)
def n_active_weeks_182d(days: ibis.Table) -> Expression:
    """Weeks of the last 26, counted back from as_of, with a purchase: 26 is somebody who comes every week."""
    week = (ibis.greatest(days.age_days, 1) - 1) // 7
    return week.nunique(where=days.is_purchase & within(days, 182))
