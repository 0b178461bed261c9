"""How long ago the customer last bought, in days and in units of the customer's own rhythm."""

import ibis

from features.registry import Expression, feature


@feature(view="days", unit="days", null="no purchase before as_of")
def recency_days(days: ibis.Table) -> Expression:
    """Local calendar days since the last purchase day."""
    return days.age_days.min(where=days.is_purchase)


@feature(view="days", unit="ratio", null="fewer than two purchase days before as_of")
def recency_to_gap_ratio(days: ibis.Table) -> Expression:
    """Days since the last purchase day, divided by the customer's own median gap between purchase days."""
    return days.age_days.min(where=days.is_purchase) / days.gap_days.median()
