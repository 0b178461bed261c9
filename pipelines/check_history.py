"""What the history allows: what counts as leaving, how often it happens, and what is bought together."""
# ruff: noqa: S608 - names and values are written here, none comes from a user

from collections.abc import Mapping
from datetime import datetime

import ibis
from ibis.backends.duckdb import Backend

from data.errors import TrainingError, UserError
from features.clock import local_date, shift
from features.extracts import basket_lines
from features.labels import eligible, labels, purchase_gaps
from features.views import KEYS
from models.horizon import HorizonChoice, choose_horizon
from models.readiness_facts import BaseRate, BasketFacts, ChurnFacts, share_of
from pipelines.observe import cut_dates
from pipelines.run import Run
from pipelines.settings import Settings

HORIZONS = (28, 56, 84, 112, 182, 364)
"""Days of the horizons for which a base rate is shown: four weeks to a year."""

Tables = Mapping[str, ibis.Table]


def churn_facts(tables: Tables, settings: Settings, as_of: datetime, first_at: datetime) -> ChurnFacts:
    """Return the horizon that a night would use, and base rates of it and of others.

    Parameters
    ----------
    tables
        Tables by name: transactions, as lines or as visits.
    settings
        Whose horizon, if any, comes before that of the gaps.
    as_of
        Naive UTC instant at which knowledge ends.
    first_at
        Naive UTC instant of the first line.
    """
    churn, timezone = settings.churn, settings.company.timezone
    choice, problem = _choice(tables, settings, as_of, first_at)
    horizon_days = churn.horizon_days or (choice.horizon_days if choice else None)
    by_date: tuple[BaseRate, ...] = ()
    if horizon_days is not None:
        try:
            dates = cut_dates(Run(settings, as_of, "check"), horizon_days, first_at)
        except UserError as error:
            problem = f"{error.found} is too short: {error.expected}"
        else:
            by_date = _rates(tables, settings, [*dates.training, dates.judging], horizon_days, as_of)
    ends = [(days, shift(as_of, -days, timezone)) for days in HORIZONS]
    by_horizon = [
        _rates(tables, settings, [at], days, as_of)
        for days, at in ends
        if at >= shift(first_at, churn.eligible_within(days), timezone)
    ]
    return ChurnFacts(
        horizon_days=horizon_days,
        is_capped=bool(choice and choice.is_capped),
        sentence=choice.sentence if choice else "",
        is_set=churn.horizon_days is not None,
        eligible_days=churn.eligible_within(horizon_days or HORIZONS[0]),
        by_horizon=tuple(rate for rates in by_horizon for rate in rates),
        by_date=by_date,
        n_training_dates=max(len(by_date) - 1, 0),
        problem=problem,
    )


def _choice(
    tables: Tables, settings: Settings, as_of: datetime, first_at: datetime
) -> tuple[HorizonChoice | None, str | None]:
    """Return the horizon that the gaps suggest, or why there is none."""
    gaps = purchase_gaps(tables, as_of, settings.company.timezone).to_pyarrow().to_pandas()
    if gaps.empty:
        return None, "no line has a customer"
    try:
        return choose_horizon(gaps, (as_of - first_at).days), None
    except TrainingError as error:
        return None, f"{error.found}, where {error.expected} are needed"


def _rates(
    tables: Tables, settings: Settings, dates: list[datetime], horizon_days: int, as_of: datetime
) -> tuple[BaseRate, ...]:
    """Return at each date how many of the eligible customers bought nothing in the horizon after it."""
    timezone = settings.company.timezone
    who = eligible(tables, dates, timezone, settings.churn.eligible_within(horizon_days))
    truth = labels(tables, dates, timezone, horizon_days, observed_until=as_of)
    known = truth.join(who.filter(who.is_eligible), KEYS)
    counted = known.group_by("as_of").aggregate(n=known.count(), n_churned=known.has_churned.sum())
    rows = {row["as_of"]: row for row in counted.to_pyarrow().to_pylist()}
    found = []
    for at in dates:
        row = rows.get(at, {"n": 0, "n_churned": 0})
        n_churned = int(row["n_churned"])
        found.append(BaseRate(local_date(at, timezone), horizon_days, n_churned, share_of(n_churned, int(row["n"]))))
    return tuple(found)


def basket_facts(backend: Backend, tables: Tables, as_of: datetime, min_support: float) -> BasketFacts:
    """Return what is bought together: categories where the catalogue has any, else products.

    Parameters
    ----------
    backend
        Gets a table of the baskets.
    tables
        Tables by name: transactions, and products with one row each.
    as_of
        Naive UTC instant at which knowledge ends.
    min_support
        Share of the baskets from which an item or a pair is frequent.
    """
    products, lines = tables["products"], tables["transactions"]
    has_category = bool(products.category.notnull().any().to_pyarrow().as_py())
    expression = basket_lines({"transactions": lines, "products": products}, as_of)
    backend.con.execute(f"CREATE OR REPLACE TABLE checked_baskets AS {backend.compile(expression)}")
    sold = lines.filter(lines.quantity > 0).left_join(tables["products"], "product_id")
    counts = sold.aggregate(n_sold=sold.count(), n_with=sold.category.count()).to_pyarrow().to_pylist()[0]
    ((n_rows, n_baskets, n_items, n_customers),) = backend.con.execute(
        "SELECT count(*), count(DISTINCT order_id), count(DISTINCT category), count(DISTINCT customer_id) "
        "FROM checked_baskets"
    ).fetchall()
    ((n_several,),) = backend.con.execute(
        "SELECT count(*) FROM (SELECT 1 FROM checked_baskets GROUP BY order_id HAVING count(*) > 1)"
    ).fetchall()
    n_frequent, n_pairs = _frequent(backend, min_support * n_baskets)
    return BasketFacts(
        kind="category" if has_category else "product",
        with_category=share_of(counts["n_with"], counts["n_sold"]),
        n_baskets=n_baskets,
        n_items=n_items,
        items_per_basket=n_rows / n_baskets if n_baskets else 0.0,
        several=share_of(n_several, n_baskets),
        min_support=min_support,
        n_frequent_items=n_frequent,
        n_frequent_pairs=n_pairs,
        n_customers=n_customers,
    )


def _frequent(backend: Backend, n_orders: float) -> tuple[int, int]:
    """Return how many items, and how many pairs of them, are in so many orders; only frequent items make such pairs."""
    backend.con.execute(
        "CREATE OR REPLACE TABLE checked_items AS SELECT category, row_number() OVER () AS item FROM "
        f"(SELECT category FROM checked_baskets GROUP BY 1 HAVING count(*) >= {n_orders})"
    )
    backend.con.execute(
        "CREATE OR REPLACE TABLE checked_frequent AS SELECT dense_rank() OVER (ORDER BY order_id) AS basket, item "
        "FROM checked_baskets JOIN checked_items USING (category)"
    )
    ((n_items, n_pairs),) = backend.con.execute(
        "SELECT (SELECT count(*) FROM checked_items), count(*) FROM (SELECT 1 FROM checked_frequent AS a "
        "JOIN checked_frequent AS b USING (basket) WHERE a.item < b.item GROUP BY a.item, b.item "
        f"HAVING count(*) >= {n_orders})"
    ).fetchall()
    return n_items, n_pairs
