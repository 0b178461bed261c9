"""Checks of whether treated and untreated customers can be compared at all."""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from models.effects import Flags, Floats

EXTREME = 0.05
IMBALANCE = 0.1


@dataclass(frozen=True)
class Overlap:
    """How far the covariates tell treated from untreated customers.

    Attributes
    ----------
    propensity_auc
        .5 where nothing tells them apart, 1 where they share no ground.
    extreme_share
        Share of customers whose propensity lies outside [.05, .95].
    n_imbalanced
        Covariates whose means differ by more than .1 standard deviations.
    n_covariates
        All covariates.
    largest_difference
        The largest standardised difference, without sign.
    """

    propensity_auc: float
    extreme_share: float
    n_imbalanced: int
    n_covariates: int
    largest_difference: float


def overlap(propensity: Floats, is_treated: Flags, covariates: Floats) -> Overlap:
    """Measure overlap and balance of two groups of customers.

    Parameters
    ----------
    propensity
        Probability of treatment of each customer, out of fold, before clipping.
    is_treated
        Who was treated.
    covariates
        The columns whose balance is judged.
    """
    differences = np.abs(standardised_differences(covariates, is_treated))
    return Overlap(
        propensity_auc=float(roc_auc_score(is_treated, propensity)),
        extreme_share=float(np.mean((propensity < EXTREME) | (propensity > 1 - EXTREME))),
        n_imbalanced=int((differences > IMBALANCE).sum()),
        n_covariates=covariates.shape[1],
        largest_difference=float(differences.max(initial=0.0)),
    )


def standardised_differences(covariates: Floats, is_treated: Flags) -> Floats:
    """Return the difference of means of each covariate in pooled standard deviations (Austin, 2009).

    Parameters
    ----------
    covariates
        One row per customer.
    is_treated
        Who was treated.

    Examples
    --------
    >>> standardised_differences(np.array([[1.0], [3.0], [0.0], [2.0]]), np.array([True, True, False, False])).round(2)
    array([0.71])
    """
    treated, untreated = covariates[is_treated], covariates[~is_treated]
    pooled = np.sqrt((treated.var(axis=0, ddof=1) + untreated.var(axis=0, ddof=1)) / 2)
    gap = treated.mean(axis=0) - untreated.mean(axis=0)
    return np.asarray(np.divide(gap, pooled, out=np.zeros_like(gap), where=pooled > 0))


def sample_ratio_p_value(is_treated: Flags, propensity: Floats) -> float:
    """Test whether as many customers were treated as the known assignment probabilities say.

    A mismatch means that customers were lost or added after assignment, so the arms are no longer comparable
    (Fabijan and others, 2019). It is the score test of the sum of independent assignments.

    Parameters
    ----------
    is_treated
        Who was assigned to treatment.
    propensity
        The known assignment probability of each customer, strictly between 0 and 1.

    Examples
    --------
    >>> sample_ratio_p_value(np.repeat([True, False], [500, 500]), np.full(1000, 0.5))
    1.0
    >>> sample_ratio_p_value(np.repeat([True, False], [600, 400]), np.full(1000, 0.5)) < 0.001
    True
    """
    surplus = float(is_treated.sum() - propensity.sum())
    deviation = float(np.sqrt((propensity * (1 - propensity)).sum()))
    return float(2 * stats.norm.sf(abs(surplus) / deviation))
