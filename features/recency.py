"""How long ago the customer last bought, in days and in units of the customer's own rhythm."""

import ibis

from features.measures import deviation, share
from features.registry import Expression, feature


@feature(view="days", unit="days", null="no purchase before as_of")
def recency_days(days: ibis.Table) -> Expression:
    """Local calendar days since the last purchase day."""
    return days.age_days.min(where=days.is_purchase)


@feature(view="days", unit="ratio", null="fewer than two purchase days before as_of")
def recency_to_gap_ratio(days: ibis.Table) -> Expression:
    """Days since the last purchase day, divided by the customer's own median gap between purchase days."""
    return days.age_days.min(where=days.is_purchase) / days.gap_days.median()


@feature(view="days", unit="ratio", null="fewer than two purchase days before as_of")
def recency_to_gap_max_ratio(days: ibis.Table) -> Expression:
    """Days since the last purchase day, divided by the longest gap so far: above 1 is a silence never seen."""
    return share(days.age_days.min(where=days.is_purchase), days.gap_days.max())


@feature(view="days", unit="index", null="fewer than three purchase days before as_of, or gaps all alike")
def recency_in_deviations(days: ibis.Table) -> Expression:
    """Days since the last purchase day minus the mean gap, in standard deviations of the gaps."""
    usual = share(days.gap_days.sum(), days.gap_days.count())
    return (days.age_days.min(where=days.is_purchase) - usual) / deviation(days.gap_days).nullif(0)


@feature(view="days", unit="share", null="no purchase before the day of as_of")
def recency_share(days: ibis.Table) -> Expression:
    """Days since the last purchase day as a share of those since the first: 1 is one who came on one day alone."""
    return share(days.age_days.min(where=days.is_purchase), days.age_days.max(where=days.is_purchase))
