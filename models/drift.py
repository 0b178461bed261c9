"""Drift: whether tonight's customers still look like those that a model was made for.

What counts is the share of customers: the largest gap, over the cut points of a feature and over being null, between
the share of tonight's customers below the point and that of the past dates of the model. Many customers make any
difference certain, and no difference large; so an alarm needs a gap whose lower bound lies beyond a stated size. The
bound holds for all cut points of all features at once (Bonferroni), and counts what the past dates already differ by;
with two or three of them that is hardly known, and a season may then give an alarm.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from data.errors import TrainingError
from models.spec import FloatArray

SIZE = 0.05
"""Five of a hundred customers on the other side of some value: less is no alarm, however sure."""
LEVEL = 0.95
N_CUTS = 10
ENOUGH_ROWS = 100_000
"""Customers of a date beyond which a share is known to half a percent in all features at once."""
MISSING = "missing"


@dataclass(frozen=True, eq=False)
class Profile:
    """Hold what the past dates of a model say of one feature.

    Parameters
    ----------
    edges
        Cut points, ascending: just below the least value, the least, deciles, the greatest.
    counts
        Dates x (cut points + 1): customers at or below each cut point, and at last those with a null.
    n_rows
        Customers of each date.
    """

    edges: FloatArray
    counts: FloatArray
    n_rows: FloatArray

    def facts(self) -> str:
        """Return the profile as JSON; floats come back with the same bits."""
        counts = {name: getattr(self, name).astype(np.int64).tolist() for name in ("counts", "n_rows")}
        return json.dumps({"edges": self.edges.tolist()} | counts)

    @classmethod
    def restore(cls, text: str) -> "Profile":
        """Return the profile again from its JSON."""
        found = json.loads(text)
        n_rows = np.asarray(found["n_rows"], dtype=np.float64)
        counts = np.asarray(found["counts"], dtype=np.float64).reshape(len(n_rows), -1)
        return cls(np.asarray(found["edges"], dtype=np.float64), counts, n_rows)


def few(frame: pd.DataFrame) -> pd.DataFrame:
    """Return every so many-th row by customer where there are more than suffice; rows of one date.

    Examples
    --------
    >>> len(few(pd.DataFrame({"customer_id": ["b", "a"]})))
    2
    """
    step = -(-len(frame) // ENOUGH_ROWS)
    return frame if step <= 1 else frame.sort_values("customer_id", kind="stable").iloc[::step]


def profiles(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, Profile]:
    """Return the profile of each feature.

    Parameters
    ----------
    frame
        Rows of the past dates: ``customer_id``, ``as_of`` and the features; null is a value of its own.
    names
        The features.

    Raises
    ------
    TrainingError
        If there are no rows.
    """
    if frame.empty:
        raise TrainingError("no rows to learn a profile from", "rows of past dates", "train a model first")
    parts = [few(part) for _, part in frame.groupby("as_of", sort=True)]
    values = [part[list(names)].to_numpy(dtype=np.float64, na_value=np.nan) for part in parts]
    return {name: _profile([block[:, place] for block in values]) for place, name in enumerate(names)}


def _profile(dates: Sequence[FloatArray]) -> Profile:
    edges = _edges(np.concatenate(dates))
    counts = np.vstack([_counts(values, edges) for values in dates])
    return Profile(edges, counts, np.array([len(values) for values in dates], dtype=np.float64))


def _edges(values: FloatArray) -> FloatArray:
    # Zero has two signs and one meaning.
    known = values[~np.isnan(values)] + 0.0
    if not len(known):
        return np.empty(0)
    # Values as they are, not means of two: a feature of few values is cut at these.
    inner = np.quantile(known, np.linspace(0, 1, N_CUTS + 1), method="inverted_cdf")
    return np.asarray(np.unique(np.concatenate(([np.nextafter(inner[0], -np.inf)], inner))))


def _counts(values: FloatArray, edges: FloatArray) -> FloatArray:
    # Nulls sort behind all numbers, and so are above every cut point.
    below = np.searchsorted(np.sort(values), edges, side="right").astype(np.float64)
    return np.append(below, float(np.isnan(values).sum()))


def drift(
    known: Mapping[str, Profile], tonight: pd.DataFrame, *, size: float = SIZE, level: float = LEVEL
) -> pd.DataFrame:
    """Compare tonight's customers with those of the past dates, feature by feature.

    Parameters
    ----------
    known
        Profile of each feature.
    tonight
        One customer a row: ``customer_id`` and the features.
    size
        Gap that is tolerated, as a share of customers.
    level
        Nominal level: with no feature further away than ``size``, nights without an alarm.

    Returns
    -------
    pandas.DataFrame
        One row per feature: ``feature``, ``gap`` (share of customers, 0 to 1), ``gap_low`` (its simultaneous lower
        bound; 0 where nothing is sure), ``place`` (``missing``, or the cut point as text), ``tonight_share`` and
        ``usual_share`` (of customers at or below the place, or with a null), ``n_tonight``, ``n_usual``,
        ``n_dates``, ``is_alarm``; largest bound first. No row where nobody is there tonight.

    Examples
    --------
    >>> past = pd.DataFrame({"customer_id": range(4000), "as_of": 0, "age": np.arange(4000) % 50})
    >>> moved = past.assign(age=past["age"] + 10)
    >>> found = drift(profiles(past, ["age"]), moved)
    >>> found[["feature", "place", "tonight_share", "usual_share", "is_alarm"]].values.tolist()
    [['age', '49', 0.8, 1.0, True]]
    """
    rows = few(tonight)
    n_tests = sum(len(one.edges) + 1 for one in known.values())
    alpha = (1 - level) / (2 * max(1, n_tests))
    found = [_compared(name, one, rows, alpha, size) for name, one in known.items()] if len(rows) else []
    columns = ["feature", "gap", "gap_low", "place", "tonight_share", "usual_share"]
    table = pd.DataFrame(found, columns=[*columns, "n_tonight", "n_usual", "n_dates", "is_alarm"])
    return table.sort_values(["gap_low", "gap", "feature"], ascending=[False, False, True], ignore_index=True)


def _compared(name: str, known: Profile, rows: pd.DataFrame, alpha: float, size: float) -> tuple[object, ...]:
    values = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
    counts, n = _counts(values, known.edges), float(len(values))
    expected = (known.counts / known.n_rows[:, None]).mean(axis=0)
    gap = np.abs(counts / n - expected)
    low = np.maximum(0.0, gap - _reach(counts, n, known, expected, alpha))
    # The surest place speaks; of equals the widest gap, then the first.
    best = int(np.lexsort((np.arange(len(gap)), -gap, -low))[0])
    place = MISSING if best == len(known.edges) else f"{known.edges[best]:.6g}"
    shares = (float(counts[best] / n), float(expected[best]))
    sizes = (len(values), int(known.n_rows.sum()), len(known.n_rows))
    return (name, float(gap[best]), float(low[best]), place, *shares, *sizes, bool(low[best] > size))


def _reach(counts: FloatArray, n: float, known: Profile, expected: FloatArray, alpha: float) -> FloatArray:
    """Return how far each share of a further date may lie from the mean of the past dates.

    Sampling errors are those of shares with pseudo-counts (Agresti and Coull 1998), so that none is known for certain,
    and tonight's at least what the past share implies, so that a handful of customers proves nothing.
    What dates differ by beyond them adds to it, and its own uncertainty widens the quantile (Satterthwaite 1946).
    """
    quantile = stats.norm.isf(alpha)
    n_dates = len(known.n_rows)
    own = np.maximum(_variance(counts, n, quantile), expected * (1 - expected) / n)
    past = _variance(known.counts, known.n_rows[:, None], quantile)
    sampling = own + past.mean(axis=0) / n_dates
    if n_dates < 2:
        return np.asarray(quantile * np.sqrt(sampling))
    shares = known.counts / known.n_rows[:, None]
    plain = (shares * (1 - shares) / known.n_rows[:, None]).mean(axis=0)
    between = np.maximum(0.0, shares.var(axis=0, ddof=1) - plain) * (1 + 1 / n_dates)
    whole = sampling + between
    with np.errstate(divide="ignore"):
        freedom = np.where(between > 0, whole**2 * (n_dates - 1) / between**2, np.inf)
    return np.asarray(stats.t.isf(alpha, freedom) * np.sqrt(whole))


def _variance(counts: FloatArray, n: npt.ArrayLike, quantile: float) -> FloatArray:
    rows = np.asarray(n) + quantile**2
    share = (counts + quantile**2 / 2) / rows
    return np.asarray(share * (1 - share) / rows)
