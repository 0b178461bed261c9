"""What the lines hold: their days, months, customers and money, counted in DuckDB."""
# ruff: noqa: S608 - names are written here, values go through literal()

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb

from data.contracts.base import literal
from models.evaluation import Estimate
from models.readiness_facts import Gap, LineFacts, Month, share_of

LINES = "checked_lines"
"""Accepted lines that were known at ``as_of``."""
VISITS = "checked_visits"
"""The same, one row for each local day of a customer, and another for what came back on it."""
_DAYS = "checked_days"
_USUAL = 0.5
_CLASSES = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, 20), (21, 50), (51, None))


def line_facts(connection: duckdb.DuckDBPyConnection, unknown_product: Estimate | None) -> LineFacts | None:
    """Count what is in ``checked_lines``; null where it is empty.

    Parameters
    ----------
    connection
        Where the lines are.
    unknown_product
        Share of lines whose product the catalogue does not know.
    """
    one = _one(
        connection,
        f"""SELECT count(*) AS n_lines, count(DISTINCT order_id) AS n_orders, sum(amount_cents) AS sales_cents,
        min(local_on) AS first_on, max(local_on) AS last_on, count(*) FILTER (customer_id IS NULL) AS n_anonymous,
        count(*) FILTER (known_at <> event_time) AS n_stamped,
        count(*) FILTER (CAST(known_at AS DATE) > CAST(event_time AS DATE)) AS n_late,
        coalesce(sum(amount_cents) FILTER (amount_cents > 0), 0) AS taken,
        coalesce(-sum(amount_cents) FILTER (amount_cents < 0), 0) AS returned,
        coalesce(sum(amount_cents) FILTER (amount_cents > 0 AND customer_id IS NULL), 0) AS anonymous_taken
        FROM {LINES}""",
    )
    if not one["n_lines"]:
        return None
    connection.execute(
        f"""CREATE OR REPLACE TABLE {_DAYS} AS SELECT customer_id, local_on, sum(amount_cents) AS cents FROM {LINES}
        WHERE customer_id IS NOT NULL AND quantity > 0 GROUP BY ALL"""
    )
    open_days = [day for (day,) in connection.execute(f"SELECT DISTINCT local_on FROM {LINES} ORDER BY 1").fetchall()]
    n_days_of = Counter(dict(connection.execute(_PURCHASES).fetchall()))
    n_customers = n_days_of.total()
    return LineFacts(
        n_lines=one["n_lines"],
        n_orders=one["n_orders"],
        sales_cents=int(one["sales_cents"]),
        first_on=one["first_on"],
        last_on=one["last_on"],
        n_days=(one["last_on"] - one["first_on"]).days + 1,
        n_open_days=len(open_days),
        gaps=tuple(gaps(open_days)),
        months=_months(connection),
        late=share_of(one["n_late"], one["n_lines"]) if one["n_stamped"] else None,
        returns_share=float(one["returned"] / one["taken"]) if one["taken"] else None,
        anonymous=share_of(one["n_anonymous"], one["n_lines"]),
        anonymous_money_share=float(one["anonymous_taken"] / one["taken"]) if one["taken"] else None,
        unknown_product=unknown_product,
        n_customers=n_customers,
        repeat=share_of(n_customers - n_days_of[1], n_customers),
        purchases=_classes(n_days_of),
        top_tenth_share=_top_tenth(connection),
    )


_PURCHASES = f"""SELECT n, count(*) FROM (SELECT count(*) AS n FROM {_DAYS} GROUP BY customer_id) GROUP BY n"""


def write_visits(connection: duckdb.DuckDBPyConnection, timezone: str) -> None:
    """Sum the lines of each customer's local days into ``checked_visits``, which labels can be made from much faster.

    The columns are those of lines. Labels at local midnights come out the same: no day is cut by them.

    Parameters
    ----------
    connection
        Where the lines are.
    timezone
        IANA zone of the local days.
    """
    connection.execute(
        f"""CREATE OR REPLACE TABLE {VISITS} AS SELECT customer_id, local_on, '' AS order_id, '' AS store_id,
        min(event_time) AS event_time, max(known_at) AS known_at, min(local_time) AS local_time,
        CAST(sign(quantity) AS DECIMAL(18, 3)) AS quantity, CAST(sum(amount_cents) AS BIGINT) AS amount_cents,
        0 AS discount_cents, 0 AS coupon_cents FROM {LINES} WHERE customer_id IS NOT NULL
        GROUP BY customer_id, local_on, sign(quantity),
        CAST(known_at AT TIME ZONE 'UTC' AT TIME ZONE {literal(timezone)} AS DATE)"""
    )


def gaps(open_days: Sequence[date]) -> Iterator[Gap]:
    """Yield the runs of days without lines on weekdays that have lines in half of their weeks at least.

    Parameters
    ----------
    open_days
        Days with lines, ascending; a closed weekday in between neither makes nor ends a gap.

    Examples
    --------
    >>> days = [date(2024, 1, 1) + timedelta(n) for n in range(28) if n not in (8, 9)]
    >>> [str(gap.first_on) for gap in gaps(days)], [gap.n_days for gap in gaps(days)]
    (['2024-01-09'], [2])
    """
    is_open = set(open_days)
    span = [open_days[0] + timedelta(n) for n in range((open_days[-1] - open_days[0]).days + 1)]
    n_of, n_open = Counter(day.weekday() for day in span), Counter(day.weekday() for day in is_open)
    run: list[date] = []
    for day in span:
        if n_open[day.weekday()] < _USUAL * n_of[day.weekday()]:
            continue
        if day not in is_open:
            run.append(day)
        elif run:
            yield Gap(run[0], run[-1], len(run))
            run = []


def _months(connection: duckdb.DuckDBPyConnection) -> tuple[Month, ...]:
    rows = connection.execute(
        f"""WITH first AS (SELECT customer_id, min(local_on) AS day FROM {_DAYS} GROUP BY 1),
        new AS (SELECT CAST(date_trunc('month', day) AS DATE) AS month, count(*) AS n FROM first GROUP BY 1)
        SELECT CAST(date_trunc('month', local_on) AS DATE) AS month, count(*), CAST(sum(amount_cents) AS BIGINT),
        coalesce(any_value(new.n), 0) FROM {LINES}
        LEFT JOIN new ON new.month = date_trunc('month', local_on) GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    return tuple(Month(*row) for row in rows)


def _classes(n_days_of: Counter[int]) -> tuple[tuple[str, int], ...]:
    """Return how many customers bought on 1, 2, 3, 4 to 5 … days."""
    found = []
    for low, high in _CLASSES:
        name = str(low) if low == high else f"{low} to {high}" if high else f"{low} or more"
        found.append((name, sum(n for days, n in n_days_of.items() if low <= days <= (high or days))))
    while found and not found[-1][1]:
        found.pop()
    return tuple(found)


def _top_tenth(connection: duckdb.DuckDBPyConnection) -> float | None:
    """Return the share of the money that the tenth of customers who spend most gave; null where there is none."""
    ((top, whole),) = connection.execute(
        f"""SELECT sum(cents) FILTER (place <= ceil(n / 10.0)), sum(cents) FROM (SELECT greatest(sum(amount_cents), 0)
        AS cents, row_number() OVER (ORDER BY sum(amount_cents) DESC, customer_id) AS place, count(*) OVER () AS n
        FROM {LINES} WHERE customer_id IS NOT NULL GROUP BY customer_id)"""
    ).fetchall()
    return float(top / whole) if whole else None


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    """Return the only row of a query by column."""
    cursor = connection.execute(query)
    names = [str(column[0]) for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchall()[0], strict=True))
