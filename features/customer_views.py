"""What the list of customers says of each: today's entry, for it carries no second clock."""

import ibis

from features.given import given
from features.periods import KEYS
from features.registry import view
from features.views import History

_COLUMNS = {
    "customer_id": "string",
    "first_seen_on": "date",
    "loyalty_joined_on": "date",
    "birth_year": "int64",
    "age_band": "string",
}
_OLDEST_YEARS = 110
_AGE = r"(?:^|[^0-9])([0-9]{1,3})(?:[^0-9]|$)"
_BELOW = r"(?i)^[^0-9=]*(<|under|below|less|younger|unter|jünger|moins|menos|menor)[^0-9=]*[0-9]"


@view(sources=["customers"])
def profiles(history: History) -> ibis.Table:
    """One row per customer; a date on the day of ``as_of`` or later is not known yet.

    Columns: seen_days and loyalty_days (since first seen, since joining; null where unknown or still to come),
    age_years (by the year of birth, or else the age band).
    """
    people = given(history, "customers", _COLUMNS)
    people = people.filter(people.customer_id.notnull())
    # One row per customer even where a list repeats them: a join must never multiply rows.
    people = people.group_by("customer_id").aggregate(
        first_seen_on=people.first_seen_on.min(),
        loyalty_joined_on=people.loyalty_joined_on.min(),
        birth_year=people.birth_year.min(),
        age_band=people.age_band.min(),
    )
    rows = people.cross_join(history.as_ofs)
    return rows.select(
        *KEYS,
        seen_days=_since(rows, rows.first_seen_on),
        loyalty_days=_since(rows, rows.loyalty_joined_on),
        age_years=_age_of(rows),
    )


def _age_of(people: ibis.Table) -> ibis.Value:
    """Return the age in years from a row's birth_year, or from its age_band where that is null or cannot be.

    The year of ``as_of`` minus the year of birth is the age that somebody reaches within that year. Of a band it is the
    lowest age; of one without a lowest, such as "under 25" or "<25", the highest: 24.
    """
    years = people.as_of_on.year().cast("int64") - people.birth_year
    is_alive = (years >= 0) & (years < _OLDEST_YEARS)
    number = people.age_band.re_extract(_AGE, 1).nullif("").cast("int64")
    is_below = people.age_band.re_search(_BELOW).fill_null(False)
    return is_alive.fill_null(False).ifelse(years, number - is_below.cast("int64"))


def _since(rows: ibis.Table, day: ibis.Value) -> ibis.Value:
    is_past = (day < rows.as_of_on).fill_null(False)
    return is_past.ifelse(rows.as_of_on.delta(day, unit="day"), ibis.null("int64"))
