"""Who the customer is, by today's list of customers: it does not say since when an entry holds."""

import ibis

from features.registry import Expression, feature


@feature(view="profiles", unit="years", null="no age band with a number")
def age_years(profiles: ibis.Table) -> Expression:
    """Lower end of the customer's age band, as the list of customers has it today."""
    return profiles.age_years.max()
