"""Quality measures of a probability, each as a function of many weightings of the same rows at once.

A resample of customers is a row of weights, so a bootstrap of 500 resamples is a handful of matrix operations. Every
function takes labels ``y`` (0 or 1), probabilities ``p`` and ``weights`` (resamples x rows) and returns one value per
resample; a resample without both classes gives NaN where the measure needs both.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.spec import FloatArray

MetricFunction = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]

N_BINS = 10
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Metric:
    """Describe one measure.

    Parameters
    ----------
    name
        Its name in reports and in MLflow.
    function
        The measure itself.
    is_higher_better
        True or False; null where the best value lies inside (a slope of 1).
    is_biased
        True if resampling noise adds to the measure, so that its interval has to be reflected.
    """

    name: str
    function: MetricFunction
    is_higher_better: bool | None
    is_biased: bool = False


def _tied(p: FloatArray, *columns: FloatArray, is_descending: bool = False) -> list[FloatArray]:
    """Sum columns (resamples x rows) over the rows of equal probability, in order of probability."""
    order = np.argsort(-p if is_descending else p, kind="stable")
    ordered = p[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return [np.add.reduceat(column[:, order], starts, axis=1) for column in columns]


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Divide; NaN where the denominator is zero."""
    result: FloatArray = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _mean(weights: FloatArray, values: FloatArray) -> FloatArray:
    return _ratio(weights @ values, weights.sum(axis=1))


def auc(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the chance that someone who left was ranked above someone who stayed; ties count half."""
    left, stayed = _tied(p, weights * y, weights * (1 - y))
    below = np.cumsum(stayed, axis=1) - stayed / 2
    return _ratio((left * below).sum(axis=1), left.sum(axis=1) * stayed.sum(axis=1))


def pr_auc(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return average precision: the mean precision over the recalls, without interpolation."""
    left, total = _tied(p, weights * y, weights, is_descending=True)
    precision = _ratio(np.cumsum(left, axis=1), np.cumsum(total, axis=1))
    return _ratio((left * np.nan_to_num(precision)).sum(axis=1), left.sum(axis=1))


def brier(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the mean squared distance between probability and outcome."""
    return _mean(weights, (p - y) ** 2)


def log_loss(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the mean negative log-likelihood in nats."""
    likelihood = np.clip(np.where(y > 0, p, 1 - p), _SMALLEST, 1.0)
    return _mean(weights, -np.log(likelihood))


def ece(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the expected calibration error over ten bins of equal size.

    Noise alone makes it positive: about .015 for 2,000 rows at a rate of 14 %, however good the model is.
    """
    order = np.argsort(p, kind="stable")
    edges = np.linspace(0, len(p), min(N_BINS, len(p)) + 1).astype(np.intp)[:-1]
    distance = np.add.reduceat(weights[:, order] * (y - p)[order], edges, axis=1)
    return _ratio(np.abs(distance).sum(axis=1), weights.sum(axis=1))


def top_decile_lift(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return how many times as many leave among the tenth at highest risk as among all."""
    left, total = _tied(p, weights * y, weights, is_descending=True)
    n_rows = total.sum(axis=1, keepdims=True)
    before = np.cumsum(total, axis=1) - total
    chosen_share = np.nan_to_num(_ratio(np.clip(n_rows / 10 - before, 0, total), total))
    return _ratio((left * chosen_share).sum(axis=1) * 10, left.sum(axis=1))


def _logit(p: FloatArray) -> FloatArray:
    clipped = np.clip(p, _SMALLEST, 1 - _SMALLEST)
    return np.log(clipped / (1 - clipped))


def calibration_slope(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the slope of the outcome on the logit (Cox 1958): 1 is right, below 1 is too bold."""
    x = _logit(p)
    if np.ptp(x) == 0:
        return np.full(len(weights), np.nan)
    centre, scale = x.mean(), x.std()
    z = (x - centre) / scale
    beta = np.zeros((len(weights), 2))
    for _ in range(25):
        fitted = 1 / (1 + np.exp(-np.clip(beta[:, :1] + beta[:, 1:] * z, -30, 30)))
        residual, information = weights * (y - fitted), weights * fitted * (1 - fitted)
        a, b, c = information.sum(axis=1), information @ z, information @ z**2
        g, h = residual.sum(axis=1), residual @ z
        determinant = np.maximum(a * c - b * b, _SMALLEST)
        step = np.clip(np.column_stack([c * g - b * h, a * h - b * g]) / determinant[:, None], -4, 4)
        beta += step
        if np.abs(step).max() < 1e-10:
            break
    has_both = (weights @ y > 0) & (weights @ (1 - y) > 0)
    return np.where(has_both, beta[:, 1] / scale, np.nan)


def calibration_intercept(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the shift of the logit that makes the total right: 0 is right, above 0 says too few leave."""
    x = _logit(p)
    shift = np.zeros(len(weights))
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(x + shift[:, None], -30, 30)))
        slope = np.maximum((weights * fitted * (1 - fitted)).sum(axis=1), _SMALLEST)
        step = np.clip((weights * (y - fitted)).sum(axis=1) / slope, -2, 2)
        shift += step
        if np.abs(step).max() < 1e-10:
            break
    has_both = (weights @ y > 0) & (weights @ (1 - y) > 0)
    return np.where(has_both, shift, np.nan)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("auc", auc, is_higher_better=True),
        Metric("pr_auc", pr_auc, is_higher_better=True),
        Metric("brier", brier, is_higher_better=False),
        Metric("log_loss", log_loss, is_higher_better=False),
        Metric("ece", ece, is_higher_better=False, is_biased=True),
        Metric("calibration_slope", calibration_slope, is_higher_better=None),
        Metric("calibration_intercept", calibration_intercept, is_higher_better=None),
        Metric("top_decile_lift", top_decile_lift, is_higher_better=True),
    )
}


def absolute_error(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the mean absolute error of an amount, in the amount's unit."""
    return _mean(weights, np.abs(y - p))


def root_squared_error(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the root of the mean squared error, in the amount's unit; the mean is the best forecast under it."""
    return np.sqrt(_mean(weights, (y - p) ** 2))


def total_bias_share(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return by which share the predicted total misses the true total: 0 is right, below 0 is too little."""
    return _ratio(weights @ p, weights @ y) - 1


def amount_deviance(y: FloatArray, p: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the mean Tweedie deviance of power 1.5 of an amount, but for what depends on the truth alone.

    It is least for the mean, as the squared error is, yet counts errors relative to what was expected, so that a few
    very large customers do not decide alone. Truths may be negative; an expectation counts as no less than a twentieth
    of the mean truth.
    """
    expected = np.sqrt(np.maximum(p, max(float(np.mean(y)), _SMALLEST) / 20))
    return _mean(weights, 2 * y / expected + 2 * expected)


AMOUNT_METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("root_squared_error", root_squared_error, is_higher_better=False),
        Metric("absolute_error", absolute_error, is_higher_better=False),
        Metric("amount_deviance", amount_deviance, is_higher_better=False),
        Metric("total_bias_share", total_bias_share, is_higher_better=None),
    )
}
