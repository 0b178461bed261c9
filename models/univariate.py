"""Each feature by itself: how it is spread, how often customers left where it is low or high, and how much it tells.

Rows of one customer at several dates belong together, so every interval counts customers and not rows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from models.evaluation import LEVEL, Estimate
from models.screening import out_of_fold_rates
from models.spec import FloatArray

N_BANDS = 5
N_BINS = 12
SUSPICIOUS_AUC = 0.95
"""A feature that ranks leavers better than this alone knows more than the past."""
_Z = float(stats.norm.ppf((1 + LEVEL) / 2))


@dataclass(frozen=True)
class Band:
    """How many left among the rows whose value lies in a range.

    Parameters
    ----------
    low, high
        Smallest and largest value of the rows; NaN for those without a value.
    share
        Share of them with the label.
    share_low, share_high
        Its interval.
    n_rows, n_customers
        Rows, and different customers among them.
    """

    low: float
    high: float
    share: float
    share_low: float
    share_high: float
    n_rows: int
    n_customers: int

    @property
    def is_unknown(self) -> bool:
        """Whether these are the rows without a value."""
        return bool(np.isnan(self.low))


@dataclass(frozen=True)
class Spread:
    """How the known values of a feature lie.

    Parameters
    ----------
    n_rows, n_known
        Rows, and those with a value.
    low, median, high
        Quantiles .05, .5 and .95; NaN without a value.
    edges, counts
        Bins of equal width, or one per value where there are few; what lies beyond the quantiles .01 and .99 is
        counted in the outermost bins. Empty without a value.
    """

    n_rows: int
    n_known: int
    low: float
    median: float
    high: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def missing_share(self) -> float:
        """Share of rows without a value; NaN without rows."""
        return 1 - self.n_known / self.n_rows if self.n_rows else float("nan")


def spread(values: FloatArray, n_bins: int = N_BINS) -> Spread:
    """Return how values lie.

    Parameters
    ----------
    values
        One per customer, NaN where unknown.
    n_bins
        Most bins.

    Examples
    --------
    >>> found = spread(np.array([0.0, 0, 1, np.nan]))
    >>> found.edges, found.counts, found.missing_share
    ((-0.5, 0.5, 1.5), (2, 1), 0.25)
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return Spread(len(values), 0, float("nan"), float("nan"), float("nan"), (), ())
    least, low, median, high, most = (float(q) for q in np.quantile(known, [0.01, 0.05, 0.5, 0.95, 0.99]))
    edges = _edges(known, least, most, n_bins)
    counts, _ = np.histogram(np.clip(known, edges[0], edges[-1]), edges)
    return Spread(len(values), len(known), low, median, high, tuple(edges.tolist()), tuple(counts.tolist()))


def bands(values: FloatArray, y: FloatArray, groups: npt.NDArray[np.intp], n_bands: int = N_BANDS) -> list[Band]:
    """Return the share with the label by bands of equally many rows, from low to high, those without a value last.

    Equal values are never parted, so there may be fewer bands, and where there are few values each is a band.

    Parameters
    ----------
    values
        One per row, NaN where unknown.
    y
        The label, 0 or 1.
    groups
        Code of each row's customer, from 0.
    n_bands
        Most bands of known values.

    Examples
    --------
    >>> found = bands(np.array([1.0, 1, 2, 2, np.nan]), np.array([1.0, 0, 0, 0, 1]), np.arange(5))
    >>> [(band.low, band.share, band.n_rows) for band in found]
    [(1.0, 0.5, 2), (2.0, 0.0, 2), (nan, 1.0, 1)]
    """
    known = ~np.isnan(values)
    code = np.full(len(values), -1)
    code[known] = _codes(values[known], n_bands)
    found = []
    for one in [*np.unique(code[known]), *([-1] if (~known).any() else [])]:
        rows = code == one
        mine = values[rows]
        low, high = (float("nan"), float("nan")) if one == -1 else (float(mine.min()), float(mine.max()))
        share, n_customers, ends = _share(y[rows], groups[rows])
        found.append(Band(low, high, share, *ends, int(rows.sum()), n_customers))
    return found


def strength(values: FloatArray, y: FloatArray, groups: npt.NDArray[np.intp]) -> Estimate:
    """Return how well a feature alone ranks the label, as an AUC out of fold, with its interval.

    It takes any shape, and a value that is missing counts as a value: see ``screening.single_column_auc``. The interval
    sums the influence of the rows of each customer (Obuchowski 1997), and is symmetric in the log-odds, so that it ends
    before 0 and 1.

    Parameters
    ----------
    values, y, groups
        As in ``bands``.

    Returns
    -------
    Estimate
        All NaN where a label or a second value is lacking.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = (rng.random(2_000) < 0.3).astype(float)
    >>> found = strength(y + rng.normal(size=2_000), y, np.arange(2_000))
    >>> found.low < 0.76 < found.high
    True
    """
    is_one_sided = not 0 < y.sum() < len(y)
    if is_one_sided or len(np.unique(values[~np.isnan(values)])) + bool(np.isnan(values).any()) < 2:
        return Estimate(float("nan"), float("nan"), float("nan"), len(y))
    rates = out_of_fold_rates(pd.Series(values), y > 0)
    value, influence = _placements(rates, y)
    variance = float((np.bincount(groups, weights=influence) ** 2).sum())
    if not 0 < value < 1:
        return Estimate(value, value, value, len(y))
    reach = _Z * np.sqrt(variance) / (value * (1 - value))
    centre = np.log(value / (1 - value))
    low, high = (float(1 / (1 + np.exp(-(centre + sign * reach)))) for sign in (-1, 1))
    return Estimate(value, low, high, len(y))


def is_suspicious(found: Estimate, model: Estimate | None) -> bool:
    """Say whether one feature alone tells so much that it may know the label.

    That is an AUC of ``SUSPICIOUS_AUC`` or more, or one that is surely above the whole model's.

    Parameters
    ----------
    found
        From ``strength``.
    model
        AUC of the model in the same task; null where there is none.

    Examples
    --------
    >>> model = Estimate(0.87, 0.85, 0.89, 2_000)
    >>> [is_suspicious(Estimate(*one, 2_000), model) for one in ((0.86, 0.85, 0.87), (0.91, 0.9, 0.92), (0.99, 0.9, 1))]
    [False, True, True]
    """
    is_above = model is not None and not np.isnan(model.high) and found.low > model.high
    return bool(found.value >= SUSPICIOUS_AUC or is_above)


def _edges(known: FloatArray, least: float, most: float, n_bins: int) -> FloatArray:
    distinct = np.unique(known)
    if len(distinct) <= n_bins and np.allclose(distinct, np.round(distinct)) and np.ptp(distinct) < n_bins:
        return np.arange(distinct[0] - 0.5, distinct[-1] + 1)
    if least == most:
        least, most = float(distinct[0]), float(distinct[-1])
    if least == most:
        least, most = least - 0.5, most + 0.5
    if np.allclose(distinct, np.round(distinct)):
        # Whole numbers get whole steps, or some bins would hold more of them than others.
        step = max(1.0, np.ceil((most - least + 1) / n_bins))
        return np.asarray(least // 1 - 0.5 + step * np.arange(np.ceil((most - least // 1 + 1) / step) + 1))
    return np.linspace(least, most, n_bins + 1)


def _codes(known: FloatArray, n_bands: int) -> npt.NDArray[np.intp]:
    """Return the band of each known value."""
    distinct, place = np.unique(known, return_inverse=True)
    if len(distinct) <= n_bands:
        return place.ravel()
    # The middle rank of equal values decides for all of them.
    n_equal = np.bincount(place.ravel())
    middle = np.cumsum(n_equal) - n_equal / 2
    band: npt.NDArray[np.intp] = np.minimum((middle / len(known) * n_bands).astype(np.intp), n_bands - 1)
    return band[place.ravel()]


def _share(y: FloatArray, groups: npt.NDArray[np.intp]) -> tuple[float, int, tuple[float, float]]:
    """Return a share, its customers, and Wilson's interval on as many rows as the customers are worth."""
    _, code = np.unique(groups, return_inverse=True)
    n_rows, n_customers, share = len(y), int(code.max()) + 1, float(y.mean())
    variance = float((np.bincount(code.ravel(), weights=y - share) ** 2).sum()) / n_rows**2
    worth = min(share * (1 - share) / variance, n_rows) if variance > 0 else float(n_customers)
    middle = (share + _Z**2 / (2 * worth)) / (1 + _Z**2 / worth)
    reach = _Z / (1 + _Z**2 / worth) * np.sqrt(share * (1 - share) / worth + _Z**2 / (4 * worth**2))
    return share, n_customers, (max(0.0, float(middle - reach)), min(1.0, float(middle + reach)))


def _placements(score: FloatArray, y: FloatArray) -> tuple[float, FloatArray]:
    """Return the AUC and what each row adds to its error: how far its own rank among the others is from the mean."""
    distinct, place = np.unique(score, return_inverse=True)
    left, stayed = (np.bincount(place.ravel(), weights=one, minlength=len(distinct)) for one in (y, 1 - y))
    n_left, n_stayed = left.sum(), stayed.sum()
    below = (np.cumsum(stayed) - stayed / 2) / n_stayed
    above = 1 - (np.cumsum(left) - left / 2) / n_left
    auc = float((left * below).sum() / n_left)
    influence = np.where(y > 0, (below[place.ravel()] - auc) / n_left, (above[place.ravel()] - auc) / n_stayed)
    return auc, influence
