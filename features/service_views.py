"""What the customer said, and what had become of it by ``as_of``."""

import ibis

from features.given import given
from features.periods import KEYS
from features.registry import view
from features.views import History, elapsed_days

NANO = 1_000_000_000
COMPLAINTS = ("complaint", "claim")
CASES = (*COMPLAINTS, "request")
_COLUMNS = {
    "feedback_id": "string",
    "customer_id": "string",
    "event_time": "timestamp(6)",
    "kind": "string",
    "rating": "float64",
    "rating_max": "float64",
    "resolved_at": "timestamp(6)",
    "known_at": "timestamp(6)",
    "replaced_at": "timestamp(6)",
}


@view(sources=["feedback"])
def statements(history: History) -> ibis.Table:
    """Statements of customers as far as they were known; the status is left out, for nobody wrote down since when.

    Columns: feedback_id, kind, age_days (whole days of 24 hours: statements carry no wall clock), is_complaint (or a
    claim), is_open (a complaint, claim or request that was not resolved before ``as_of``), resolution_microseconds
    (of cases that were), rating_nano (billionths of the best rating; null without one), is_newest_rating (of the
    customer's statements with a rating).
    """
    said = given(history, "feedback", _COLUMNS)
    said = said.filter(said.customer_id.notnull(), said.event_time.notnull()).distinct()
    said = said.mutate(
        ready_at=ibis.greatest(said.event_time, said.known_at.fill_null(said.event_time)), gone_at=said.replaced_at
    )
    rows = history.known(said)
    rating = (rows.rating / rows.rating_max.nullif(0) * NANO).round().cast("int64")
    is_resolved = (rows.resolved_at < rows.as_of).fill_null(False)
    taken = rows.resolved_at.delta(rows.event_time, unit="microsecond")
    is_case = rows.kind.isin(CASES)
    rows = rows.mutate(
        age_days=elapsed_days(rows, rows.event_time),
        is_complaint=rows.kind.isin(COMPLAINTS),
        is_open=is_case & ~is_resolved,
        resolution_microseconds=(is_case & is_resolved).ifelse(taken, ibis.null("int64")),
        rating_nano=rating,
        has_rating=rating.notnull(),
    )
    window = ibis.window(group_by=[*KEYS, "has_rating"], order_by=[ibis.desc("event_time"), ibis.asc("feedback_id")])
    rows = rows.mutate(is_newest_rating=rows.has_rating & (ibis.row_number().over(window) == 0))
    columns = ("is_complaint", "is_open", "resolution_microseconds", "rating_nano", "is_newest_rating")
    return rows.select(*KEYS, "feedback_id", "kind", "age_days", *columns)
