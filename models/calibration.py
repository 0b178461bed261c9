"""How sure a calibration is: sampling error by customer, shifts between dates, and misfit along the score."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.metrics import calibration_intercept
from models.spec import FloatArray


def calibration_covariance(scores: FloatArray, y: npt.ArrayLike, p: npt.ArrayLike, groups: npt.ArrayLike) -> FloatArray:
    """Return the covariance of intercept and slopes of a logistic calibration, clustered by customer.

    Parameters
    ----------
    scores
        Out-of-fold scores, rows x models.
    y, p
        Labels, and the calibrated probabilities of the same rows.
    groups
        Customer of each row; the rows of a customer are not independent (Liang and Zeger 1986).

    Returns
    -------
    numpy.ndarray
        Square matrix, intercept first.
    """
    truth, fitted = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    x = np.column_stack([np.ones(len(scores)), scores])
    bread = np.linalg.pinv((x * (fitted * (1 - fitted))[:, None]).T @ x)
    pieces = pd.DataFrame(x * (truth - fitted)[:, None]).groupby(np.asarray(groups)).sum().to_numpy()
    n_groups = len(pieces)
    covariance: FloatArray = bread @ (pieces.T @ pieces) @ bread * (n_groups / max(1, n_groups - 1))
    return covariance


def excess_sd(y: npt.ArrayLike, p: npt.ArrayLike, groups: npt.ArrayLike) -> float:
    """Return how far groups of rows stray from their calibration, beyond what chance explains.

    Parameters
    ----------
    y, p
        Labels and calibrated probabilities.
    groups
        Group of each row: its date, or its tenth of the score.

    Returns
    -------
    float
        Standard deviation of the groups' shifts on the scale of the log-odds; 0 with one group or where chance explains
        it all (DerSimonian and Laird 1986).
    """
    truth, fitted = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    shifts, precisions = [], []
    for code in range(int(codes.max()) + 1):
        rows = codes == code
        found = float(calibration_intercept(truth[rows], fitted[rows], np.ones((1, int(rows.sum()))))[0])
        if not np.isnan(found):
            shifts.append(found)
            precisions.append(float((fitted[rows] * (1 - fitted[rows])).sum()))
    shift, weight = np.array(shifts), np.array(precisions)
    if len(shift) < 2:
        return 0.0
    total = weight.sum()
    heterogeneity = (weight * (shift - (weight * shift).sum() / total) ** 2).sum() - (len(shift) - 1)
    return float(np.sqrt(max(0.0, heterogeneity / (total - (weight**2).sum() / total))))


def tenths(scores: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the tenth of each score by rank, 0 for the lowest.

    Examples
    --------
    >>> tenths([0.5, 0.1, 0.9]).tolist()
    [3, 0, 6]
    """
    values = np.asarray(scores)
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return ranks * 10 // max(1, len(values))
