"""Membership in the loyalty scheme."""

import ibis

from features.registry import Expression, feature


@feature(view="profiles", unit="flag")
def is_loyalty_member(profiles: ibis.Table) -> Expression:
    """Whether the customer had joined the loyalty scheme before the day of as_of."""
    return profiles.loyalty_days.notnull().any()


@feature(view="profiles", unit="days", null="no known day of joining before as_of")
def loyalty_days(profiles: ibis.Table) -> Expression:
    """Local calendar days since the customer joined the loyalty scheme."""
    return profiles.loyalty_days.max()
