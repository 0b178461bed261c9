"""Oracles of where customers buy and how campaigns reach them."""

import statistics
from collections import Counter

import pandas as pd
from feature_oracle import Past, _change, _ratio, oracle
from feature_oracle_trade import _ages, _entropy, _sold, _top

ONLINE = {"online", "web", "webshop", "website", "internet", "app", "mobile", "e-commerce", "ecommerce", "e-shop"}


def _store_counts(past: Past) -> Counter:
    return Counter(row["store_id"] for row in _sold(past, 364) if pd.notna(row["store_id"]))


@oracle
def top_store_share(past: Past) -> float | None:
    return _top(_store_counts(past))


@oracle
def store_entropy(past: Past) -> float | None:
    return _entropy(_store_counts(past))


def _channels(past: Past) -> list[str]:
    named = [[row["channel"] for row in rows if pd.notna(row["channel"])] for rows in past.orders_within(364)]
    return [min(names).strip().lower() for names in named if names]


@oracle
def n_channels_364d(past: Past) -> float | None:
    return len(set(_channels(past)))


@oracle
def online_share(past: Past) -> float | None:
    return _ratio(sum(name in ONLINE for name in _channels(past)), len(_channels(past)))


@oracle
def n_campaigns_28d(past: Past) -> float | None:
    return sum(days < 28 for days in past.contact_days())


@oracle
def n_campaigns_364d(past: Past) -> float | None:
    return sum(days < 364 for days in past.contact_days())


@oracle
def n_running_campaigns(past: Past) -> float | None:
    return sum(pd.isna(row["ends_on"]) or row["ends_on"] >= past.today for row in past.contacts)


@oracle
def campaigns_trend(past: Past) -> float | None:
    recent = sum(days < 91 for days in past.contact_days())
    return _change(recent, sum(days < 182 for days in past.contact_days()) - recent)


def _answers(past: Past) -> list[tuple[int, int | None]]:
    """Return the age of each contact and the days from it to the next purchase day."""
    found = []
    for age in past.contact_days():
        later = [bought for bought in _ages(past) if bought <= age]
        found.append((age, age - max(later) if later else None))
    return found


@oracle
def n_campaigns_unanswered(past: Past) -> float | None:
    return sum(answer is None for _, answer in _answers(past))


@oracle
def campaign_response_share(past: Past) -> float | None:
    over = [answer for age, answer in _answers(past) if age > 14]
    return _ratio(sum(answer is not None and answer < 14 for answer in over), len(over))


@oracle
def response_days_mean(past: Past) -> float | None:
    answers = [answer for _, answer in _answers(past) if answer is not None]
    return statistics.fmean(answers) if answers else None
