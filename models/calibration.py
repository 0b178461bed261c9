"""How sure a calibrated probability is: a band for the share that leaves among customers scored alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.linear_model import LogisticRegression

from models.metrics import calibration_intercept
from models.spec import FloatArray

_DEGREE = 3
# Beyond these quantiles of the scores a cubic curve is extrapolation, so it goes on as at its ends.
_ENDS = (0.005, 0.995)
# The labels' noise counts twice: once in this curve, and once in the model behind it, which learned from the same
# labels and may have erred either way. In simulated worlds with known risk, counting it once gives 70 to 92 % for a
# nominal 90 %, twice gives 84 to 98 %, and 88 to 94 % where the base rate moves between dates.
_NOISE_COUNTS = 2.0


@dataclass(frozen=True, eq=False)
class Band:
    """Hold a cubic curve of the log-odds that leave over the log-odds that were said, and its uncertainty.

    The straight calibration of the model may bend at its ends; this curve may follow, so that the band covers what
    happens and not only what the straight line allows.

    Parameters
    ----------
    centre, scale
        Mean and standard deviation of the said log-odds.
    ends
        Range within which the curve was fitted, on the standardised scale.
    coefficients
        Of the powers 0 to 3 of the standardised log-odds.
    covariance
        Of the coefficients, clustered by customer.
    shift_sd
        Standard deviation of the log-odds between dates beyond chance: season, holidays.
    n_dates
        Number of training dates.
    """

    centre: float
    scale: float
    ends: tuple[float, float]
    coefficients: FloatArray
    covariance: FloatArray
    shift_sd: float
    n_dates: int

    def around(
        self, log_odds: FloatArray, level: float, moved: FloatArray | None = None, shift_sd: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return low and high end of the band, as log-odds, for customers scored so at a new date.

        Parameters
        ----------
        log_odds
            What the model says.
        level
            Nominal coverage. The shift between so few dates gets Student's t with two degrees of freedom less than
            dates (Higgins, Thompson and Spiegelhalter 2009), the sampling error of the curve the normal quantile.
        moved
            What the season adds to each, in log-odds; the band moves with it.
        shift_sd
            In place of the shift between dates: what the season leaves of it.

        Returns
        -------
        tuple of numpy.ndarray
            Ends that always hold what the model says.
        """
        z = (log_odds - self.centre) / self.scale
        powers = _powers(np.clip(z, *self.ends))
        curve = powers @ self.coefficients + (z - np.clip(z, *self.ends)) * self.scale
        variance = _NOISE_COUNTS * np.einsum("ij,jk,ik->i", powers, self.covariance, powers)
        sampling = stats.norm.ppf((1 + level) / 2) ** 2 * variance
        spread = self.shift_sd if shift_sd is None else shift_sd
        shift = stats.t.ppf((1 + level) / 2, max(1, self.n_dates - 2)) ** 2 * spread**2 * (1 + 1 / self.n_dates)
        half = np.sqrt(sampling + shift)
        by = 0.0 if moved is None else moved
        return np.minimum(curve - half, log_odds) + by, np.maximum(curve + half, log_odds) + by

    def facts(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        arrays = {"coefficients": self.coefficients.tolist(), "covariance": self.covariance.tolist()}
        return {**vars(self), **arrays, "ends": list(self.ends)}

    @classmethod
    def restore(cls, facts: Mapping[str, Any]) -> "Band":
        """Return the band again from its facts."""
        arrays = {name: np.asarray(facts[name], dtype=np.float64) for name in ("coefficients", "covariance")}
        low, high = facts["ends"]
        return cls(**{**facts, **arrays, "ends": (low, high)})


def fit_band(log_odds: FloatArray, y: npt.NDArray[np.int64], customers: npt.ArrayLike, dates: npt.ArrayLike) -> Band:
    """Fit the band on out-of-fold predictions.

    Parameters
    ----------
    log_odds
        Calibrated log-odds of customers that the model had not seen.
    y
        Their labels.
    customers, dates
        Customer and date of each row; the rows of a customer are not independent.

    Returns
    -------
    Band
        Its covariance is the sandwich of Liang and Zeger (1986).
    """
    centre, scale = float(log_odds.mean()), float(log_odds.std()) or 1.0
    z = (log_odds - centre) / scale
    low, high = np.quantile(z, _ENDS)
    powers = _powers(np.clip(z, low, high))
    curve = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8, fit_intercept=False).fit(powers, y)
    fitted = curve.predict_proba(powers)[:, 1]
    said = 1 / (1 + np.exp(-log_odds))
    return Band(
        centre=centre,
        scale=scale,
        ends=(float(low), float(high)),
        coefficients=curve.coef_[0],
        covariance=clustered_covariance(powers, y, fitted, customers),
        shift_sd=shift_between_dates(y, said, dates),
        n_dates=len(np.unique(np.asarray(dates))),
    )


def _powers(z: FloatArray) -> FloatArray:
    return np.vander(z, _DEGREE + 1, increasing=True)


def clustered_covariance(x: FloatArray, y: npt.ArrayLike, p: npt.ArrayLike, groups: npt.ArrayLike) -> FloatArray:
    """Return the covariance of the coefficients of a logistic regression, clustered by group.

    Parameters
    ----------
    x
        Columns of the regression, the constant included.
    y, p
        Labels and fitted probabilities.
    groups
        Customer of each row.

    Returns
    -------
    numpy.ndarray
        Square matrix in the order of the columns.
    """
    truth, fitted = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    bread = np.linalg.pinv((x * (fitted * (1 - fitted))[:, None]).T @ x)
    pieces = pd.DataFrame(x * (truth - fitted)[:, None]).groupby(np.asarray(groups)).sum().to_numpy()
    n_groups = len(pieces)
    covariance: FloatArray = bread @ (pieces.T @ pieces) @ bread * (n_groups / max(1, n_groups - 1))
    return covariance


def shift_between_dates(y: npt.ArrayLike, p: npt.ArrayLike, dates: npt.ArrayLike) -> float:
    """Return how far the base rate strays between dates, beyond what chance explains.

    Parameters
    ----------
    y, p
        Labels and calibrated probabilities.
    dates
        The ``as_of`` of each row.

    Returns
    -------
    float
        Standard deviation on the scale of the log-odds; 0 with one date or where chance explains it all (DerSimonian
        and Laird 1986).
    """
    _, shift, weight = date_shifts(y, p, dates)
    if len(shift) < 2:
        return 0.0
    total = weight.sum()
    heterogeneity = (weight * (shift - (weight * shift).sum() / total) ** 2).sum() - (len(shift) - 1)
    return float(np.sqrt(max(0.0, heterogeneity / (total - (weight**2).sum() / total))))


def date_shifts(
    y: npt.ArrayLike, p: npt.ArrayLike, dates: npt.ArrayLike
) -> tuple[npt.NDArray[Any], FloatArray, FloatArray]:
    """Return how far each date strays from what was said of it.

    Parameters
    ----------
    y, p
        Labels and calibrated probabilities.
    dates
        The ``as_of`` of each row.

    Returns
    -------
    tuple of numpy.ndarray
        The dates in order, the shift of the log-odds at each, and the precision of each shift; a date at which all
        left or all stayed says nothing and is not among them.
    """
    truth, fitted = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    days, codes = np.unique(np.asarray(dates), return_inverse=True)
    shifts, precisions = np.full(len(days), np.nan), np.zeros(len(days))
    for code in range(len(days)):
        rows = codes == code
        shifts[code] = float(calibration_intercept(truth[rows], fitted[rows], np.ones((1, int(rows.sum()))))[0])
        precisions[code] = float((fitted[rows] * (1 - fitted[rows])).sum())
    known = ~np.isnan(shifts)
    return days[known], shifts[known], precisions[known]
