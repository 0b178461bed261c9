"""Who the customer is, by today's list of customers: it does not say since when an entry holds."""

import ibis

from features.registry import Expression, feature


@feature(view="profiles", unit="years", null="neither a year of birth nor an age band with a number")
def age_years(profiles: ibis.Table) -> Expression:
    """Year of ``as_of`` minus year of birth, else the lowest age of the band; of "under 25" the highest, 24."""
    return profiles.age_years.max()
