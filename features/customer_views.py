"""What the list of customers says of each: today's entry, for it carries no second clock."""

import ibis

from features.given import given
from features.periods import KEYS
from features.registry import view
from features.views import History

_COLUMNS = {"customer_id": "string", "first_seen_on": "date", "loyalty_joined_on": "date", "age_band": "string"}


@view(sources=["customers"])
def profiles(history: History) -> ibis.Table:
    """One row per customer; a date on the day of ``as_of`` or later is not known yet.

    Columns: seen_days and loyalty_days (since first seen, since joining; null where unknown or still to come),
    age_years (the first number of the age band).
    """
    people = given(history, "customers", _COLUMNS)
    people = people.filter(people.customer_id.notnull())
    # One row per customer even where a list repeats them: a join must never multiply rows.
    people = people.group_by("customer_id").aggregate(
        first_seen_on=people.first_seen_on.min(),
        loyalty_joined_on=people.loyalty_joined_on.min(),
        age_band=people.age_band.min(),
    )
    rows = people.cross_join(history.as_ofs)
    return rows.select(
        *KEYS,
        seen_days=_since(rows, rows.first_seen_on),
        loyalty_days=_since(rows, rows.loyalty_joined_on),
        age_years=rows.age_band.re_extract(r"(\d{1,3})", 1).nullif("").cast("int64"),
    )


def _since(rows: ibis.Table, day: ibis.Value) -> ibis.Value:
    is_past = (day < rows.as_of_on).fill_null(False)
    return is_past.ifelse(rows.as_of_on.delta(day, unit="day"), ibis.null("int64"))
