"""How long the customer has been one."""

import ibis

from features.registry import Expression, feature


@feature(view="days", unit="days", null="no purchase before as_of")
def tenure_days(days: ibis.Table) -> Expression:
    """Local calendar days since the first purchase day."""
    return days.age_days.max(where=days.is_purchase)


@feature(view="days", unit="days", null="no purchase before as_of")
def active_span_days(days: ibis.Table) -> Expression:
    """Local calendar days from the first purchase day to the last."""
    return days.age_days.max(where=days.is_purchase) - days.age_days.min(where=days.is_purchase)


@feature(view="days", unit="flag")
def is_new(days: ibis.Table) -> Expression:
    """Whether the first purchase day lies within the last 84 days: the newest cohort."""
    return days.age_days.max(where=days.is_purchase) <= 84


@feature(view="profiles", unit="days", null="no known day before as_of on which the customer was first seen")
def first_seen_days(profiles: ibis.Table) -> Expression:
    """Local calendar days since the customer was first seen, with or without a purchase."""
    return profiles.seen_days.max()
