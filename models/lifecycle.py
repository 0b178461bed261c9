"""Where a customer stands: new, active, slipping, lapsed or regained, by written thresholds, and who moves where."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from models.spec import FloatArray, design

STATES = ("new", "active", "slipping", "lapsed", "regained")
ARRIVED = "not yet a customer"
"""Where those come from who had not bought before the earlier date."""
LEVEL = 0.90
_NEEDED = ("recency_days", "tenure_days", "gap_mean_days", "n_purchase_days")
_LAST_GAP = "gap_last_days"
_COLUMNS = ["from_at", "to_at", "from_state", "to_state", "n_customers", "n_from"]


@dataclass(frozen=True)
class Thresholds:
    """Hold the thresholds of the states.

    Parameters
    ----------
    horizon_days
        The horizon of the churn model. New: first purchase within one horizon.
    rhythm
        Slipping: silent for more than so many of the customer's own mean gaps ...
    least_days
        ... and for more than so many days: who comes daily is not slipping on the third day.
    least_purchase_days
        With fewer purchase days there is no rhythm yet: slipping is silence for more than half a horizon.
    lapsed_days
        Lapsed: no purchase for longer than this, by default two horizons. Regained: a silence as long ended with the
        last purchase; the next one makes the customer active.
    """

    horizon_days: int
    rhythm: float = 2.0
    least_days: float = 7.0
    least_purchase_days: int = 4
    lapsed_days: int | None = None

    @property
    def longest_days(self) -> int:
        """Longest silence, in days, of who has not lapsed."""
        return 2 * self.horizon_days if self.lapsed_days is None else self.lapsed_days


def lifecycle_state(frame: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Return the state of every customer.

    Parameters
    ----------
    frame
        ``recency_days``, ``tenure_days``, ``gap_mean_days`` (null: no rhythm yet), ``n_purchase_days`` and, where it
        is known, ``gap_last_days``; without it nobody is regained.
    thresholds
        See ``Thresholds``.

    Returns
    -------
    pandas.Series
        One of ``STATES``. The first that fits: lapsed, new, slipping, regained, active. Who came back after having
        lapsed has lost the old rhythm, so that half a horizon is the patience with them too.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {
    ...         "recency_days": [90, 3, 30, 5, 5],
    ...         "tenure_days": [300, 3, 300, 300, 300],
    ...         "gap_mean_days": [10, None, 10, 10, 10],
    ...         "n_purchase_days": [20, 1, 20, 20, 20],
    ...         "gap_last_days": [10, None, 10, 10, 90],
    ...     }
    ... )
    >>> lifecycle_state(frame, Thresholds(horizon_days=28)).tolist()
    ['lapsed', 'new', 'slipping', 'active', 'regained']
    """
    known = design(frame, (*_NEEDED, _LAST_GAP) if _LAST_GAP in frame else _NEEDED)
    came_back = known.get(_LAST_GAP, pd.Series(np.nan, index=known.index)) > thresholds.longest_days
    has_rhythm = (known["n_purchase_days"] >= thresholds.least_purchase_days) & known["gap_mean_days"].notna()
    own_days = (known["gap_mean_days"] * thresholds.rhythm).clip(lower=thresholds.least_days)
    patience_days = own_days.where(has_rhythm & ~came_back, thresholds.horizon_days / 2)
    conditions = [
        known["recency_days"].isna() | (known["recency_days"] > thresholds.longest_days),
        known["tenure_days"] <= thresholds.horizon_days,
        known["recency_days"] > patience_days,
        came_back,
    ]
    names = ["lapsed", "new", "slipping", "regained"]
    states = np.select([c.to_numpy() for c in conditions], names, default="active")
    return pd.Series(states, index=frame.index, name="lifecycle_state", dtype="str")


def transitions(states: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Return who moved from which state to which, between each date and the next one.

    Parameters
    ----------
    states
        ``customer_id``, ``as_of`` and ``lifecycle_state``, one row per customer and date.
    level
        Nominal coverage of the interval of the share (Wilson 1927).

    Returns
    -------
    pandas.DataFrame
        ``from_at``, ``to_at``, ``from_state`` (``ARRIVED``: not known before), ``to_state``, ``n_customers``,
        ``n_from`` (all who were in ``from_state``), ``moved_share``, ``moved_share_low``, ``moved_share_high``; every
        pair of states, in order of dates and states, also where nobody moved. Shares of nobody are null. Who is no
        longer known at the later date, as after an erasure, is left out.

    Examples
    --------
    >>> rows = pd.DataFrame({"customer_id": ["a", "b", "a", "b"], "as_of": pd.to_datetime(["2024-01-01"] * 2 +
    ...     ["2024-02-01"] * 2), "lifecycle_state": ["active", "active", "active", "lapsed"]})
    >>> found = transitions(rows)
    >>> found.loc[found["n_customers"] > 0, ["from_state", "to_state", "moved_share"]].values.tolist()
    [['active', 'active', 0.5], ['active', 'lapsed', 0.5]]
    """
    by_date = {
        pd.Timestamp(str(date)): rows.set_index("customer_id")["lifecycle_state"]
        for date, rows in states.groupby("as_of", sort=True)
    }
    parts = [_between(by_date[before], by_date[after], before, after) for before, after in itertools.pairwise(by_date)]
    counts = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)
    return _with_shares(counts.astype({"n_customers": "int64", "n_from": "int64"}), level)


def usual_transitions(states: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Return the transitions of all dates together: how customers of a state usually move by the next date.

    Parameters
    ----------
    states, level
        As in ``transitions``.

    Returns
    -------
    pandas.DataFrame
        ``from_state``, ``to_state``, ``n_customers``, ``n_from``, ``moved_share``, ``moved_share_low``,
        ``moved_share_high`` and ``n_dates``. The share is the one of all moves; its interval is for the share between
        two further dates: Student's t over the shares between the past ones, so that seasons widen it. It is null with
        fewer than three pairs of dates.
    """
    each = transitions(states, level)
    keys = ["from_state", "to_state"]
    by_move = each.groupby(keys, sort=False)
    sums = by_move[["n_customers", "n_from"]].sum().reset_index()
    sums["moved_share"] = _quotient(sums["n_customers"], sums["n_from"])
    spread = by_move["moved_share"].agg(["std", "count"]).reset_index(drop=True)
    n = spread["count"].to_numpy(dtype="float64")
    # Of a further pair of dates, not of their mean: hence one more than 1/n.
    half = stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1)) * spread["std"] * np.sqrt(1 + 1 / np.maximum(n, 1))
    half = half.where(n >= 3).to_numpy()
    low, high = (sums["moved_share"] + sign * half for sign in (-1, 1))
    return sums.assign(moved_share_low=low.clip(0, 1), moved_share_high=high.clip(0, 1), n_dates=n.astype("int64"))


def stocks(states: pd.DataFrame) -> pd.DataFrame:
    """Return how many customers were in each state at each date.

    Parameters
    ----------
    states
        As in ``transitions``.

    Returns
    -------
    pandas.DataFrame
        ``as_of``, ``lifecycle_state``, ``n_customers``; every state at every date.
    """
    counts = states.groupby(["as_of", "lifecycle_state"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=list(STATES), fill_value=0).reset_index()
    found = counts.melt("as_of", list(STATES), var_name="lifecycle_state", value_name="n_customers")
    return found.sort_values("as_of", kind="stable", ignore_index=True).astype({"n_customers": "int64"})


def _between(
    before: "pd.Series[str]", after: "pd.Series[str]", from_at: pd.Timestamp, to_at: pd.Timestamp
) -> pd.DataFrame:
    """Return every pair of states with those who moved so; states in their order, those who arrived first."""
    came_from = before.reindex(after.index).fillna(ARRIVED)
    moves = pd.DataFrame({"from_state": came_from.to_numpy(), "to_state": after.to_numpy()}).value_counts()
    pairs = pd.MultiIndex.from_product([[ARRIVED, *STATES], STATES], names=["from_state", "to_state"])
    counts = moves.reindex(pairs, fill_value=0)
    rows = counts.index.to_frame(index=False).assign(from_at=from_at, to_at=to_at, n_customers=counts.to_numpy())
    rows["n_from"] = rows.groupby("from_state")["n_customers"].transform("sum")
    return rows[_COLUMNS]


def _with_shares(counts: pd.DataFrame, level: float) -> pd.DataFrame:
    share = _quotient(counts["n_customers"], counts["n_from"])
    n = counts["n_from"].to_numpy(dtype="float64")
    z = stats.norm.ppf((1 + level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return counts.assign(moved_share=share, moved_share_low=low, moved_share_high=high)


def _quotient(part: "pd.Series[int]", whole: "pd.Series[int]") -> FloatArray:
    hits, rows = part.to_numpy(dtype="float64"), whole.to_numpy(dtype="float64")
    found: FloatArray = np.divide(hits, rows, out=np.full(len(part), np.nan), where=rows > 0)
    return found
