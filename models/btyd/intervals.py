"""Intervals of whatever a fitted model predicts, for what the fit does not know of its parameters."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy import stats

from models.btyd.fitted import LEVEL, Fitted
from models.spec import FloatArray

_Model = TypeVar("_Model", bound=Fitted)
_NUDGE = 1e-4


def interval(
    model: _Model, predict: Callable[[_Model], FloatArray], level: float = LEVEL
) -> tuple[FloatArray, FloatArray]:
    """Return an interval of a prediction by the delta method.

    It is for an expectation or a probability and covers the uncertainty of the parameters alone: what one customer
    then does varies much more.

    Parameters
    ----------
    model
        A fitted model.
    predict
        Gives the predictions of a model, such as ``lambda one: one.expected_purchases(customers, [13]).sum(axis=0)``.
    level
        Nominal coverage.

    Returns
    -------
    tuple of numpy.ndarray
        Low and high ends in the shape of the prediction. A parameter at the edge of what is allowed counts as known.
    """
    here = np.asarray(predict(model))
    slopes = []
    for index, name in enumerate(model.PARAMETERS):
        if model.fit.covariance[index][index] == 0:
            slopes.append(np.zeros_like(here))
            continue
        value = getattr(model, name)
        up, down = (np.asarray(predict(replace(model, **{name: value * np.exp(by)}))) for by in (_NUDGE, -_NUDGE))
        slopes.append((up - down) / (2 * _NUDGE))
    slope = np.stack(slopes, axis=-1)
    variance = np.einsum("...i,ij,...j->...", slope, np.array(model.fit.covariance), slope)
    reach = float(stats.norm.ppf((1 + level) / 2)) * np.sqrt(np.maximum(variance, 0.0))
    return here - reach, here + reach
