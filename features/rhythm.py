"""The gaps between a customer's purchase days: how long, how even."""

import ibis

from features.measures import deviation, share
from features.registry import Expression, feature

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
