"""Look at a label or a comparison before any model: which columns know too much, and what could be found at all."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from models.effects import Flags, Floats, design_matrix, doubly_robust
from models.metrics import auc
from models.overlap import Overlap, overlap

POWER = 0.80
LEVEL = 0.05
N_BINS = 20
PRIOR_ROWS = 10.0
"""Rows of the average rate added to every group, so that a group of one row does not speak for itself."""
_LEAST = 10
_SEED = 1


def single_column_auc(column: pd.Series, is_positive: npt.NDArray[np.bool_]) -> float:
    """Return how well one column alone ranks a label, out of fold: .5 for nothing, 1 for everything.

    Numbers are cut into twenty groups of equal size, so that a rate which rises and falls again counts too; missing is
    a group of its own. Each row gets the rate of its group among the other half of the rows, which keeps a column of
    ids at about .5.

    Parameters
    ----------
    column
        Numbers or texts, null where unknown.
    is_positive
        The label of each row; both kinds must occur.

    Examples
    --------
    >>> y = np.arange(400) % 3 == 0
    >>> round(single_column_auc(pd.Series(np.where(y, "a", "b")), y), 2)
    1.0
    """
    y = is_positive.astype(np.float64)
    return float(auc(y, out_of_fold_rates(column, is_positive), np.ones((1, len(y))))[0])


def out_of_fold_rates(column: pd.Series, is_positive: npt.NDArray[np.bool_]) -> Floats:
    """Return for each row the rate of its group among the other half of the rows: what one column alone predicts.

    Parameters
    ----------
    column, is_positive
        As in ``single_column_auc``.
    """
    codes = _groups(column)
    y = is_positive.astype(np.float64)
    fold = _halves(is_positive)
    rates = np.empty(len(codes))
    for half in (0, 1):
        learn, apply = fold != half, fold == half
        n_rows = np.bincount(codes[learn], minlength=codes.max() + 1)
        hits = np.bincount(codes[learn], weights=y[learn], minlength=codes.max() + 1)
        average = y[learn].mean() if learn.any() else 0.0
        rates[apply] = ((hits + PRIOR_ROWS * average) / (n_rows + PRIOR_ROWS))[codes[apply]]
    return rates


def _halves(is_positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return 0 or 1 for each row, by lot and as often for either label: the order of the rows may carry meaning."""
    drawn = np.random.default_rng(_SEED).permutation(len(is_positive))
    by_label = drawn[np.argsort(is_positive[drawn], kind="stable")]
    halves = np.empty(len(is_positive), dtype=np.int64)
    halves[by_label] = np.arange(len(is_positive)) % 2
    return halves


def _groups(column: pd.Series) -> npt.NDArray[np.int64]:
    numbers = pd.to_numeric(column, errors="coerce")
    known = column.notna()
    if numbers[known].notna().all() and numbers.nunique() > N_BINS:
        ranks = numbers.rank(method="average", pct=True)
        return np.where(known, np.ceil(ranks.fillna(0) * N_BINS), 0).astype(np.int64)
    return np.asarray(pd.factorize(column)[0] + 1, dtype=np.int64)


def smallest_effect(outcome: Floats, is_treated: Flags) -> float:
    """Return the difference of means that a comparison would find in four of five cases at the 5 % level.

    ``(z(.975) + z(.8)) × sqrt(v / n1 + v / n0)`` with the variance ``v`` of the outcome without treatment (Cohen 1988);
    NaN where a side is empty.

    Parameters
    ----------
    outcome
        One finite number per customer, from before the start or from the control arm alone where it is an outcome.
    is_treated
        The two sides.

    Examples
    --------
    >>> coin = np.tile([0.0, 1.0], 5_000)
    >>> round(smallest_effect(coin, np.arange(10_000) < 5_000), 3)
    0.028
    """
    n_treated, n_control = int(is_treated.sum()), int((~is_treated).sum())
    if not n_treated or n_control < 2:
        return float("nan")
    reach = stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)
    variance = outcome[~is_treated].var(ddof=1)
    return float(reach * np.sqrt(variance / n_treated + variance / n_control))


def comparability(before: pd.DataFrame, is_treated: Flags, seed: int) -> Overlap | None:
    """Return how far what was known before tells two sides apart; null where a side is too small to say.

    Parameters
    ----------
    before
        One row per customer; numbers or categories, null where unknown.
    is_treated
        The two sides.
    seed
        Decides the folds of the propensity.
    """
    covariates = design_matrix(before)
    if min(is_treated.sum(), (~is_treated).sum()) < _LEAST or covariates.shape[1] == 0:
        return None
    nothing = np.zeros(len(is_treated))
    propensity = doubly_robust(nothing, is_treated, covariates, seed).propensity
    return overlap(propensity, is_treated, covariates)
