"""The matrix: every feature at every ``as_of`` in one query, and the one step from Ibis to pandas."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter

import ibis
import pandas as pd
import pyarrow as pa

from data.engine import keeping, one_by_one
from features.numbers import Numbered
from features.registry import FEATURES, Expression, Feature, Registry
from features.views import KEYS, History


def feature_matrix(
    tables: Mapping[str, ibis.Table],
    as_ofs: Sequence[datetime],
    timezone: str,
    names: Sequence[str] | None = None,
    registry: Registry = FEATURES,
) -> ibis.Table:
    """Return one row per (customer_id, as_of): every customer with a known line, and what was known of them.

    All features of a view are computed in one aggregate over it, for every ``as_of`` at once. Columns: customer_id,
    as_of, then the features by name. Features that are never null are int64 (flags boolean), the others float64.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions, products, campaigns, contacts (those that the chosen features read).
    as_ofs
        Naive UTC instants, each once; rows with event_time < as_of and known_at < as_of are used.
    timezone
        IANA name of the wall clock that gave ``local_time``.
    names
        Features to compute, None for all.
    registry
        Where the features are registered.

    Raises
    ------
    ConfigError
        If a name, an instant or the time zone cannot be used.
    ContractError
        If a table that a chosen feature reads was not handed in.
    """
    return _matrix(registry.select(names), History.at(tables, as_ofs, timezone), registry)


def collect(
    tables: Mapping[str, ibis.Table],
    as_ofs: Sequence[datetime],
    timezone: str,
    names: Sequence[str] | None = None,
    registry: Registry = FEATURES,
) -> pa.Table:
    """Return the matrix as Arrow, sorted by as_of and customer_id: for many ``as_of`` of many customers.

    The lines are read once. What is the same at every ``as_of`` is worked out once and kept by DuckDB; the matrix then
    comes one ``as_of`` at a time, so that the memory does not grow with their number. Another engine answers in one
    query.

    Parameters
    ----------
    tables, as_ofs, timezone, names, registry
        As of ``feature_matrix``.

    Raises
    ------
    ConfigError, ContractError
        As ``feature_matrix`` does.
    """
    chosen, backend = registry.select(names), tables["transactions"].get_backend()
    if backend.name != "duckdb":
        # A cluster shares what is the same in one query by itself, and has the memory of many machines.
        return _sorted(_matrix(chosen, History.at(tables, as_ofs, timezone), registry))
    with keeping(backend) as keep:
        numbered = Numbered.of(tables, keep)
        history = History.at(numbered.tables, as_ofs, timezone)
        history = replace(history, keep=keep, told=tables["transactions"], numbered=numbered.numbered)
        dates = keep(history.periods.dates)

        def at_one(now: ibis.Table) -> ibis.Table:
            return numbered.named(_matrix(chosen, history.at_one(now), registry)).order_by("customer_id")

        return pa.concat_tables(one_by_one(dates, "position", at_one))


def to_arrow(expression: ibis.Table) -> pa.Table:
    """Return a table of this package as Arrow, sorted by customer_id and as_of, or by every column without these.

    Parameters
    ----------
    expression
        Result of a function of this package.
    """
    order = [key for key in KEYS if key in expression.columns] or expression.columns
    table: pa.Table = expression.order_by(*order).to_pyarrow()
    return table


def to_frame(expression: ibis.Table) -> pd.DataFrame:
    """Return a table of this package as a DataFrame, sorted as by ``to_arrow``; null is NaN.

    Dtypes depend on the columns alone, never on the rows: str, datetime64[us], int64, float64, bool.

    Parameters
    ----------
    expression
        Result of a function of this package.
    """
    frame: pd.DataFrame = to_arrow(expression).to_pandas()
    keys = {"customer_id": "str", "as_of": "datetime64[us]"}
    return frame.astype({key: dtype for key, dtype in keys.items() if key in frame})


def catalogue(registry: Registry = FEATURES) -> pd.DataFrame:
    """Return one row per feature: name, family, unit, null, lookback, view, sources, doc.

    ``null`` is empty where the feature is never null; ``lookback`` is missing where it is the whole history.

    Parameters
    ----------
    registry
        Where the features are registered.
    """
    rows = [
        {
            "name": feature.name,
            "family": feature.family,
            "unit": feature.unit,
            "null": feature.null or "",
            "lookback": feature.lookback,
            "view": feature.view,
            "sources": ", ".join(registry.views[feature.view].sources),
            "doc": feature.doc,
        }
        for feature in registry.select(None)
    ]
    return pd.DataFrame(rows).astype({"lookback": "Int64"})


def plan(names: Sequence[str] | None = None, registry: Registry = FEATURES) -> pd.DataFrame:
    """Return how the work is shared: view, sources, n_features, lookback (the longest), features.

    One row per view, and each view is aggregated once, whatever the number of its features and of ``as_of``.
    ``lookback`` is missing where a feature of the view looks at the whole history.

    Parameters
    ----------
    names
        Features to compute, None for all.
    registry
        Where the features are registered.

    Raises
    ------
    ConfigError
        If a name is not registered.

    Examples
    --------
    >>> plan(["n_orders_7d", "n_orders_28d", "recency_days"])[["view", "n_features"]].to_dict("records")
    [{'view': 'days', 'n_features': 1}, {'view': 'orders', 'n_features': 2}]
    """
    rows = []
    for name, members in _by_view(registry.select(names)):
        longest = _longest(members)
        sources = ", ".join(registry.views[name].sources)
        features = ", ".join(member.name for member in members)
        rows.append((name, sources, len(members), longest, features))
    columns = ["view", "sources", "n_features", "lookback", "features"]
    return pd.DataFrame(rows, columns=columns).astype({"lookback": "Int64"})


def _matrix(features: Sequence[Feature], history: History, registry: Registry) -> ibis.Table:
    matrix = history.population
    for number, (name, lookback, members) in enumerate(_scans(features, len(history.periods.instants))):
        rows = registry.views[name].build(replace(history, lookback=lookback))
        # Keys of their own: one join of many, since the SQL of a join within a join takes far longer to make.
        own = {f"{key}_{number}": rows[key] for key in KEYS}
        summary = rows.group_by(**own).aggregate(**{member.name: member.expression(rows) for member in members})
        matrix = matrix.left_join(summary, list(zip(KEYS, own, strict=True)))
    return matrix.select(*KEYS, **{feature.name: _typed(matrix[feature.name], feature) for feature in features})


def _sorted(matrix: ibis.Table) -> pa.Table:
    table: pa.Table = matrix.order_by("as_of", "customer_id").to_pyarrow()
    return table


def _by_view(features: Sequence[Feature]) -> list[tuple[str, list[Feature]]]:
    ordered = sorted(features, key=attrgetter("view", "name"))
    return [(name, list(members)) for name, members in groupby(ordered, key=attrgetter("view"))]


def _scans(features: Sequence[Feature], n_as_ofs: int) -> Iterator[tuple[str, int | None, list[Feature]]]:
    """Yield what is aggregated together: view, the longest lookback, features.

    A row is repeated for each ``as_of`` at which somebody looks at it. So where there are many, features that look back
    only so far do not share the rows of those that look at the whole history.
    """
    for name, members in _by_view(features):
        whole = [member for member in members if member.lookback is None]
        parts = [whole, [member for member in members if member.lookback is not None]] if n_as_ofs > 1 else [members]
        for part in filter(None, parts):
            yield name, _longest(part), part


def _longest(features: Sequence[Feature]) -> int | None:
    lookbacks = [feature.lookback for feature in features]
    return None if None in lookbacks else max(days for days in lookbacks if days is not None)


def _typed(column: Expression, feature: Feature) -> Expression:
    if feature.null is not None:
        return column.cast("float64")
    if feature.unit == "flag":
        return column.fill_null(False)
    return column.fill_null(0).cast("int64")
