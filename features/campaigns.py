"""How often campaigns reach the customer, how the customer answered them, and whether it becomes too much."""

import ibis

from features.measures import share, trend
from features.registry import Expression, feature

RESPONSE_DAYS = 14


@feature(view="contacts", unit="count", lookback=28)
def n_campaigns_28d(contacts: ibis.Table) -> Expression:
    """Campaigns that reached the customer in the last 28 days."""
    return contacts.count(where=contacts.age_days < 28)


@feature(view="contacts", unit="count", lookback=364)
def n_campaigns_364d(contacts: ibis.Table) -> Expression:
    """Campaigns that reached the customer in the last 364 days."""
    return contacts.count(where=contacts.age_days < 364)


@feature(view="contacts", unit="count")
def n_running_campaigns(contacts: ibis.Table) -> Expression:
    """Campaigns that reached the customer and are still running."""
    return contacts.is_running.sum()


@feature(view="contacts", unit="index", null="no campaign in the last 182 days", lookback=182)
def campaigns_trend(contacts: ibis.Table) -> Expression:
    """Campaigns of the last 91 days against the 91 before: 1 only lately, 0 steady, -1 no longer."""
    recent = contacts.count(where=contacts.age_days < 91)
    return trend(recent, contacts.count(where=contacts.age_days < 182) - recent)


@feature(view="responses", unit="count")
def n_campaigns_unanswered(responses: ibis.Table) -> Expression:
    """Campaigns after whose day of contact the customer has not bought yet: a sign of fatigue."""
    return responses.count(where=responses.answer_days.isnull())


@feature(view="responses", unit="share", null="no campaign older than 14 days")
def campaign_response_share(responses: ibis.Table) -> Expression:
    """Share of the campaigns that are older than 14 days that were followed by a purchase day within 14 days."""
    is_over = responses.age_days > RESPONSE_DAYS
    return share(
        responses.count(where=is_over & (responses.answer_days < RESPONSE_DAYS)), responses.count(where=is_over)
    )


@feature(view="responses", unit="days", null="no campaign that was followed by a purchase day")
def response_days_mean(responses: ibis.Table) -> Expression:
    """Mean days from a campaign's contact to the next purchase day, of campaigns that one followed."""
    return share(responses.answer_days.sum(), responses.answer_days.count())
