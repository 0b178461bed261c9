"""Estimators of the average effect of a treatment, each with its interval.

Three estimators, one for each situation: the plain difference of means (always shown), the regression-adjusted
difference (randomised, one known assignment probability for all) and the doubly robust estimate (known probabilities
that differ, or no randomisation at all). All work on arrays with one row per customer and on any outcome; for money
they return the unit that came in.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import StratifiedKFold

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEVEL = 0.95
N_FOLDS = 5
CLIP = 0.02
_RIDGE_PENALTIES = (1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Effect:
    """An average effect with its 95 % interval.

    Attributes
    ----------
    estimate, standard_error, low, high
        In the unit of the outcome, per customer.
    """

    estimate: float
    standard_error: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0

    def among(self, n_comparisons: int) -> "Effect":
        """Return the effect with the wider interval that holds for all of several comparisons at once (Bonferroni)."""
        if n_comparisons <= 1:
            return self
        wider = stats.norm.ppf(1 - (1 - LEVEL) / 2 / n_comparisons) / stats.norm.ppf((1 + LEVEL) / 2)
        low, high = (self.estimate + wider * (end - self.estimate) for end in (self.low, self.high))
        return Effect(self.estimate, self.standard_error, float(low), float(high))

    def times(self, factor: float, plus: float = 0.0) -> "Effect":
        """Return the effect in another unit, such as margin after cost; the factor is 0 or more."""
        low, estimate, high = (factor * end + plus for end in (self.low, self.estimate, self.high))
        return Effect(estimate, factor * self.standard_error, low, high)

    @property
    def p_value(self) -> float:
        """Return the two-sided normal p-value of "no effect"; 1 where nothing varies."""
        if self.standard_error == 0:
            return 1.0
        return float(2 * stats.norm.sf(abs(self.estimate) / self.standard_error))


@dataclass(frozen=True)
class DoublyRobust:
    """A doubly robust effect with the propensities it was weighted by.

    Attributes
    ----------
    effect
        The effect of treating everyone against treating no one.
    propensity
        The probability of treatment of each customer, before clipping: known, or out of fold.
    scores
        One number per customer whose mean, over all or over any customers chosen beforehand, estimates their effect.
    """

    effect: Effect
    propensity: Floats
    scores: Floats


def difference_in_means(outcome: Floats, is_treated: Flags) -> Effect:
    """Compare the mean outcome of treated and untreated customers, with Welch's interval.

    Parameters
    ----------
    outcome
        One finite number per customer.
    is_treated
        Whether the customer was assigned to treatment, contacted or not (intention to treat).

    Examples
    --------
    >>> effect = difference_in_means(np.array([3.0, 5.0, 1.0, 2.0, 3.0]), np.array([True, True, False, False, False]))
    >>> round(effect.estimate, 6)
    2.0
    """
    return adjusted_difference(outcome, is_treated, np.empty((len(outcome), 0)))


def adjusted_difference(outcome: Floats, is_treated: Flags, covariates: Floats) -> Effect:
    """Compare the arms of a randomised campaign after a regression per arm on what was known before.

    This is the fully interacted regression of Lin (2013, Annals of Applied Statistics 7:295) and, with spend before
    the start as the covariate, CUPED (Deng and others, 2013) with a slope per arm. Standard errors are HC2, plus the
    variance of the covariate means (Negi and Wooldridge, 2021), so the interval holds for the population and not only
    for these customers. Without covariates it is Welch's interval exactly.

    Parameters
    ----------
    outcome
        One finite number per customer.
    is_treated
        Whether the customer was assigned to treatment.
    covariates
        One finite row per customer, from before the start only; it may have no columns.
    """
    centred = covariates - covariates.mean(axis=0)
    arms = [_arm_mean(outcome[rows], centred[rows]) for rows in (is_treated, ~is_treated)]
    (mean, variance, slope, freedom), (mean_0, variance_0, slope_0, freedom_0) = arms
    from_covariates = float(np.var(centred @ (slope - slope_0))) / len(outcome)
    total = variance + variance_0 + from_covariates
    satterthwaite = variance**2 / freedom + variance_0**2 / freedom_0
    return effect_of(mean - mean_0, total, total**2 / satterthwaite if satterthwaite > 0 else np.inf)


def doubly_robust(
    outcome: Floats, is_treated: Flags, covariates: Floats, seed: int, known_propensity: Floats | None = None
) -> DoublyRobust:
    """Estimate the effect with cross-fitted outcome and propensity models (AIPW).

    Augmented inverse propensity weighting (Robins, Rotnitzky and Zhao, 1994) with 5-fold cross-fitting
    (Chernozhukov and others, 2018): a ridge regression of the outcome per arm and a logistic propensity, each
    applied only to customers it has not seen. Propensities are clipped to [.02, .98], so one customer weighs at most
    fifty; where many are clipped the interval is too narrow, which the overlap check must say. Without randomisation
    it is unbiased only if every reason for being targeted is among the covariates.

    Parameters
    ----------
    outcome
        One finite number per customer.
    is_treated
        Whether the customer was assigned to treatment; both kinds must be present at least five times.
    covariates
        One finite row of standardised numbers per customer, from before the start only.
    seed
        Decides the folds.
    known_propensity
        The assignment probability of each customer where the campaign was randomised; None fits it.
    """
    n = len(outcome)
    if covariates.shape[1] == 0:
        # Nothing is known of anybody: a column of zeros leaves each model with its mean.
        covariates = np.zeros((n, 1))
    treated, untreated, fitted = np.empty(n), np.empty(n), np.empty(n)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    for fit, apply in folds.split(covariates, is_treated):
        for mean, rows in ((treated, fit[is_treated[fit]]), (untreated, fit[~is_treated[fit]])):
            model = RidgeCV(alphas=_RIDGE_PENALTIES).fit(covariates[rows], outcome[rows])
            mean[apply] = model.predict(covariates[apply])
        if known_propensity is None:
            logistic = LogisticRegression(max_iter=1000).fit(covariates[fit], is_treated[fit])
            fitted[apply] = logistic.predict_proba(covariates[apply])[:, 1]
    propensity = fitted if known_propensity is None else known_propensity
    weight = np.clip(propensity, CLIP, 1 - CLIP)
    scores = treated - untreated
    scores += np.where(is_treated, (outcome - treated) / weight, -(outcome - untreated) / (1 - weight))
    return DoublyRobust(effect_of(float(scores.mean()), float(scores.var(ddof=1)) / n, n - 1), propensity, scores)


def e_value(effect: Effect, deviation: float) -> float:
    """Return how strong a hidden reason would have to be to explain an effect away.

    The E-value (VanderWeele and Ding, 2017) of the end of the interval that is nearer to 0, by their approximation for
    means: a hidden trait that makes both the treatment and a high outcome so many times as likely would move that end
    to 0. 1 where the interval contains 0: nothing hidden is needed.

    Parameters
    ----------
    effect
        An adjusted effect.
    deviation
        Standard deviation of the outcome without treatment.

    Examples
    --------
    >>> round(e_value(Effect(1.0, 0.1, 0.8, 1.2), deviation=2.0), 2)
    2.23
    """
    if not effect.is_significant or deviation <= 0:
        return 1.0
    nearer = min(abs(effect.low), abs(effect.high))
    ratio = float(np.exp(0.91 * nearer / deviation))
    return ratio + float(np.sqrt(ratio * (ratio - 1)))


def design_matrix(features: pd.DataFrame) -> Floats:
    """Turn features into finite standardised columns that a linear model can use.

    Categories become one column each, a missing number becomes the median and a column that says so. A column in
    which 99 % of the customers share one value is dropped: it cannot adjust anything and gives single customers all
    the leverage.

    Parameters
    ----------
    features
        One row per customer; numbers, flags or categories, null where unknown.

    Raises
    ------
    ValueError
        If a number is infinite.

    Examples
    --------
    >>> design_matrix(pd.DataFrame({"n_orders": [1, 3], "region": ["n", "s"]})).round(1)
    array([[-1.,  1., -1.],
           [ 1., -1.,  1.]])
    """
    numbers = features.select_dtypes(include=["number", "bool", "boolean"]).astype("float64")
    if np.isinf(numbers.to_numpy()).any():
        raise ValueError("a covariate must be finite or null")
    if features.empty:
        return np.empty((len(features), 0))
    texts = features.drop(columns=numbers.columns)
    columns = [numbers.fillna(numbers.median()), pd.DataFrame(_distinct(numbers.isna().to_numpy()), numbers.index)]
    if len(texts.columns):
        columns.append(pd.get_dummies(texts.astype("str").fillna("unknown")))
    wide = pd.concat(columns, axis=1, ignore_index=True).astype("float64")
    values = wide[[number for number in wide if _commonest_share(wide[number]) < 0.99]].to_numpy()
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def _arm_mean(outcome: Floats, covariates: Floats) -> tuple[float, float, Floats, int]:
    """Return the adjusted mean of one arm, its HC2 variance, the slopes and the degrees of freedom."""
    if np.ptp(outcome) == 0:
        # Rounding would leave a variance that is not there, and everything is sure beside it.
        return float(outcome[0]), 0.0, np.zeros(covariates.shape[1]), len(outcome) - 1
    design = np.column_stack([np.ones(len(outcome)), covariates])
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    kept = singular > singular[0] * 1e-10
    left, singular, right = left[:, kept], singular[kept], right[kept]
    solve = (right.T / singular) @ left.T
    coefficients = solve @ outcome
    slack = np.clip(1 - (left**2).sum(axis=1), 1e-9, None)
    variance = float((solve[0] ** 2 * (outcome - design @ coefficients) ** 2 / slack).sum())
    return float(coefficients[0]), variance, coefficients[1:], max(len(outcome) - int(kept.sum()), 1)


def effect_of(estimate: float, variance: float, freedom: float) -> Effect:
    """Return an effect with the interval of a t distribution.

    Parameters
    ----------
    estimate
        The effect.
    variance
        Of the estimate.
    freedom
        Degrees of freedom of the variance.
    """
    error = float(np.sqrt(variance))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Effect(float(estimate), error, float(estimate - reach), float(estimate + reach))


def _distinct(flags: Flags) -> Flags:
    """Drop columns that are all false or repeat another: features of one view are null for the same customers."""
    kept = {column.tobytes(): column for column in flags.T if column.any()}
    return np.array(list(kept.values()), dtype=bool).reshape(len(kept), len(flags)).T


def _commonest_share(column: pd.Series) -> float:
    counts = column.value_counts()
    return float(counts.iloc[0]) / len(column) if len(counts) else 1.0
