"""Agreement: how far two models say the same of the same customers."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from models.evaluation import LEVEL, wilson

TOP = 0.1
_LEAST = 10


def agreement(ours: npt.ArrayLike, theirs: npt.ArrayLike, level: float = LEVEL) -> pd.DataFrame:
    """Compare what two models say of each customer.

    Parameters
    ----------
    ours, theirs
        Finite numbers, one a customer.
    level
        Nominal coverage of the intervals, which are for further customers alike.

    Returns
    -------
    pandas.DataFrame
        ``metric``, ``value``, ``low``, ``high``, ``n_customers``: ``mean_difference`` (ours minus theirs),
        ``rank_correlation`` (Spearman's, with the standard error of Bonett and Wright 2000) and ``top_tenth_shared``
        (share of our highest tenth that is in theirs too; ties go by place, Wilson's interval). Fewer than ten
        customers give no row, and where either says one thing of all there is no correlation and no tenth.

    Examples
    --------
    >>> found = agreement(np.arange(100), np.arange(100) + 1.0)
    >>> found[["metric", "value"]].values.tolist()
    [['mean_difference', -1.0], ['rank_correlation', 1.0], ['top_tenth_shared', 1.0]]
    """
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    rows: list[tuple[str, float, float, float, int]] = []
    if len(a) >= _LEAST:
        gap = a - b
        half = float(stats.norm.ppf((1 + level) / 2) * gap.std(ddof=1) / np.sqrt(len(gap)))
        rows.append(("mean_difference", float(gap.mean()), float(gap.mean()) - half, float(gap.mean()) + half, len(a)))
        if np.ptp(a) > 0 and np.ptp(b) > 0:
            rows.append(("rank_correlation", *_ranked(a, b, level), len(a)))
            n_top = max(1, round(TOP * len(a)))
            n_shared = len(np.intersect1d(_top(a, n_top), _top(b, n_top)))
            rows.append(("top_tenth_shared", n_shared / n_top, *wilson(n_shared, n_top, level), len(a)))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n_customers"])


def _ranked(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], level: float) -> tuple[float, float, float]:
    found = float(np.clip(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1], -1, 1))
    if abs(found) > 1 - 1e-12:
        return round(found), round(found), round(found)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt((1 + found**2 / 2) / (len(a) - 3))
    low, high = np.tanh(np.arctanh(found) + np.array([-half, half]))
    return found, float(low), float(high)


def _top(values: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.int64]:
    return np.argsort(-values, kind="stable")[:n]
