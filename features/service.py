"""What the customer said to the company: complaints, open cases, ratings, and how long answers took."""

import ibis

from features.measures import share
from features.registry import Expression, feature

DAY_MICROSECONDS = 86_400_000_000
NANO = 1_000_000_000
LOW_RATING_NANO = NANO * 2 // 5
NO_RATING = "no statement with a rating in the last 364 days"
NO_ANSWER = "no complaint, claim or request that was resolved before as_of"


@feature(view="statements", unit="count", lookback=364)
def n_statements_364d(statements: ibis.Table) -> Expression:
    """Statements of any kind in the last 364 days."""
    return statements.count(where=_within(statements, 364))


@feature(view="statements", unit="count", lookback=84)
def n_complaints_84d(statements: ibis.Table) -> Expression:
    """Complaints and claims in the last 84 days."""
    return statements.count(where=statements.is_complaint & _within(statements, 84))


@feature(view="statements", unit="count", lookback=364)
def n_complaints_364d(statements: ibis.Table) -> Expression:
    """Complaints and claims in the last 364 days."""
    return statements.count(where=statements.is_complaint & _within(statements, 364))


@feature(view="statements", unit="count", lookback=364)
def n_claims_364d(statements: ibis.Table) -> Expression:
    """Claims in the last 364 days."""
    return statements.count(where=(statements.kind == "claim") & _within(statements, 364))


@feature(view="statements", unit="count")
def n_open_cases(statements: ibis.Table) -> Expression:
    """Complaints, claims and requests that were not resolved before as_of."""
    return statements.is_open.sum()


@feature(view="statements", unit="days", null="no open case")
def open_case_days(statements: ibis.Table) -> Expression:
    """Whole days of 24 hours since the oldest complaint, claim or request that is still open."""
    return statements.age_days.max(where=statements.is_open)


@feature(view="statements", unit="days", null="no complaint or claim before as_of")
def complaint_recency_days(statements: ibis.Table) -> Expression:
    """Whole days of 24 hours since the last complaint or claim."""
    return statements.age_days.min(where=statements.is_complaint)


@feature(view="statements", unit="days", null=NO_ANSWER)
def resolution_days_mean(statements: ibis.Table) -> Expression:
    """Mean time from a complaint, claim or request to its resolution, of those resolved before as_of."""
    taken = statements.resolution_microseconds
    return share(taken.sum(), taken.count()) / DAY_MICROSECONDS


@feature(view="statements", unit="days", null=NO_ANSWER)
def resolution_days_max(statements: ibis.Table) -> Expression:
    """Longest time from a complaint, claim or request to its resolution, of those resolved before as_of."""
    return statements.resolution_microseconds.max().cast("float64") / DAY_MICROSECONDS


@feature(view="statements", unit="share", null=NO_RATING, lookback=364)
def rating_mean(statements: ibis.Table) -> Expression:
    """Mean rating of the last 364 days, each as a share of the best that could be given."""
    where = _within(statements, 364)
    return share(statements.rating_nano.sum(where=where), statements.rating_nano.count(where=where)) / NANO


@feature(view="statements", unit="share", null="no statement with a rating before as_of")
def rating_last(statements: ibis.Table) -> Expression:
    """Newest rating, as a share of the best that could be given."""
    return statements.rating_nano.max(where=statements.is_newest_rating).cast("float64") / NANO


@feature(view="statements", unit="count", lookback=364)
def n_low_ratings_364d(statements: ibis.Table) -> Expression:
    """Ratings of the last 364 days of at most two fifths of the best that could be given."""
    return statements.count(where=_within(statements, 364) & (statements.rating_nano <= LOW_RATING_NANO))


def _within(statements: ibis.Table, days: int) -> Expression:
    return statements.age_days < days
