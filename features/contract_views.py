"""Which contracts the customer had, version by version, and which of them were running."""

import ibis

from features.given import given
from features.periods import KEYS
from features.registry import view
from features.views import History

COLUMNS = {
    "customer_id": "string",
    "plan": "string",
    "started_on": "date",
    "ended_on": "date",
    "fee_cents": "int64",
    "known_at": "timestamp(6)",
    "replaced_at": "timestamp(6)",
}


@view(sources=["subscriptions"])
def contracts(history: History) -> ibis.Table:
    """Versions of contracts that began before the day of ``as_of``.

    An end on the day of ``as_of`` or later is still to come: the version is running. It is known only where a delivery
    after the version's first day told it; a first bulk load also tells ends that nobody could know then.

    Columns: plan, age_days (since the first day), is_running, ended_days (since the last day; null while running),
    to_end_days (to the known end of a running version, else null), fee_cents, before_fee_cents (of the version of the
    same plan before it), is_first (the customer's first version of any plan).
    """
    versions = given(history, "subscriptions", COLUMNS)
    versions = versions.filter(versions.customer_id.notnull(), versions.started_on.notnull()).distinct()
    began_at = versions.started_on.cast("timestamp(6)")
    versions = versions.mutate(
        ready_at=ibis.greatest(began_at, versions.known_at.fill_null(began_at)),
        gone_at=versions.replaced_at,
        is_told=(versions.known_at > began_at).fill_null(False),
    )
    rows = history.known(versions)
    rows = rows.filter(rows.started_on < rows.as_of_on)
    is_over = (rows.ended_on < rows.as_of_on).fill_null(False)
    order = ["started_on", "plan", "ended_on", "fee_cents"]
    to_end = rows.ended_on.delta(rows.as_of_on, unit="day")
    return rows.select(
        *KEYS,
        "plan",
        "fee_cents",
        age_days=rows.as_of_on.delta(rows.started_on, unit="day"),
        is_running=~is_over,
        ended_days=is_over.ifelse(rows.as_of_on.delta(rows.ended_on, unit="day"), ibis.null("int64")),
        to_end_days=(~is_over & rows.is_told).ifelse(to_end, ibis.null("int64")),
        before_fee_cents=rows.fee_cents.lag().over(ibis.window(group_by=[*KEYS, "plan"], order_by=order)),
        is_first=ibis.row_number().over(ibis.window(group_by=KEYS, order_by=order)) == 0,
    )
