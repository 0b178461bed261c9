"""What one writes by hand instead: 79 of the features in DuckDB's SQL, in Polars, and in pandas twice.

They are all features of order lines and products but two: prices, which the benchmark's list of products does not have.
Each way gets the same Parquet files and one ``as_of``, and each is written as its users would: SQL and Polars let their
engine read what it needs, pandas holds the lines in memory before the clock starts. All of them observe both clocks,
corrections and returns, but each knows one ``as_of`` only, and takes the day of a line from its wall clock without
asking whether that day is still to come. Money stays in integers.
"""

from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from feature_peers_pandas import FEATURES as BY_HAND
from feature_peers_pandas import in_pandas, in_shared_pandas
from feature_peers_sql import in_sql

from features.goods_views import OWN_BRANDS
from features.registry import FEATURES
from features.stores import ONLINE

try:
    from feature_peers_polars import in_polars
except ImportError:
    in_polars = None

NAMES = tuple(sorted(BY_HAND))
"""The features that every way computes."""

Way = Callable[[Path, datetime, date], Callable[[], pd.DataFrame]]
_WAYS = {"sql": in_sql, "polars": in_polars, "shared_pandas": in_shared_pandas, "pandas": in_pandas}
WAYS: dict[str, Way] = {
    name: partial(way, names=NAMES, online=ONLINE, own=OWN_BRANDS) for name, way in _WAYS.items() if way is not None
}
"""Functions from a folder, the instant and its local day to what computes the features."""


def unlike(mine: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """Return which features differ by more than 1e-9, with how often; customers first.

    Parameters
    ----------
    mine
        What regulars says, one row per customer.
    theirs
        What another way says.
    """
    mine, theirs = (rows.set_index("customer_id").sort_index() for rows in (mine, theirs))
    if list(mine.index) != list(theirs.index):
        return [f"customers: {len(theirs)} in the place of {len(mine)}"]
    found = []
    for name in NAMES:
        # Only regulars says zero where there is nothing to count; the others leave that open.
        nothing = np.nan if FEATURES[name].null else 0
        left, right = mine[name].astype("float64"), theirs[name].astype("float64").fillna(nothing)
        n_unlike = int((~np.isclose(left, right, rtol=1e-9, atol=1e-9, equal_nan=True)).sum())
        found += [f"{name}: {n_unlike} customers"] if n_unlike else []
    return found
