"""What followed a campaign: whether the customer bought after it reached them."""

import ibis
from ibis import _

from features.periods import KEYS, SPAN
from features.registry import FEATURES, view
from features.views import History, local_age


@view(sources=["transactions", "campaigns", "contacts"])
def responses(history: History) -> ibis.Table:
    """Campaigns that reached the customer, and the first purchase day after the day of the contact.

    Columns: campaign_id, age_days (of the first contact), answer_days (from the contact to the next purchase day,
    counted in days before ``as_of``; null where nothing was bought so far).
    """
    contacts = FEATURES.views["contacts"].build(history)
    bought = _bought_since(history)
    reached = contacts.select(*KEYS, "campaign_id", "age_days", is_contact=1, bought_age=ibis.null("int64"))
    events = reached.union(
        bought.select(
            *KEYS,
            campaign_id=ibis.null("string"),
            age_days=bought.age_days.cast(reached.age_days.type()),
            is_contact=0,
            bought_age=bought.age_days.cast("int64"),
        )
    )
    # Younger events come first, and of one day the purchase: the oldest purchase up to here is the answer.
    window = ibis.cumulative_window(group_by=KEYS, order_by=[events.age_days, events.is_contact, events.campaign_id])
    rows = events.mutate(answer_age=events.bought_age.max().over(window))
    rows = rows.filter(rows.is_contact == 1)
    return rows.select(*KEYS, "campaign_id", "age_days", answer_days=rows.age_days - rows.answer_age)


def _bought_since(history: History) -> ibis.Table:
    """Return the purchases of those whom a campaign ever reached, from the day before the first time on."""
    reached = history.table("contacts")
    reached = reached.filter(reached.contacted_at.notnull())
    # A day early, for a contact has no wall clock; who answers what is found out by its age.
    first = reached.group_by("customer_id").aggregate(
        first_on=reached.contacted_at.min().date() - ibis.interval(days=1)
    )
    parts = history.parts
    parts = parts.filter(parts.n_sold > 0).select("customer_id", "local_on", *SPAN)
    bought = history.known(history.keep(parts.join(first, "customer_id").filter(_.local_on >= _.first_on).distinct()))
    return bought.mutate(age_days=local_age(bought))
