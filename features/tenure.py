"""How long the customer has been one."""

import ibis

from features.registry import Expression, feature


@feature(view="days", unit="days", null="no purchase before as_of")
def tenure_days(days: ibis.Table) -> Expression:
    """Local calendar days since the first purchase day."""
    return days.age_days.max(where=days.is_purchase)
