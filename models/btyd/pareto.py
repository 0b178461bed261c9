"""Pareto/NBD: customers buy at random moments, and leave for good at a random moment that nobody sees.

Rates of buying differ between customers by a gamma distribution (shape r, rate alpha), rates of leaving by another (s,
beta): Schmittlein, Morrison and Colombo 1987. The published likelihood holds a difference of two hypergeometric
functions; here it is the integral that they stand for, the time of leaving between the last purchase and T, by
quadrature, which cancels nothing and gives the derivatives as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import expit, exprel

from models.btyd.departure import Departure
from models.btyd.fitted import Fitted, told
from models.btyd.geometric import ROUGH_ROWS, time_scale
from models.btyd.newton import shifted, staged
from models.btyd.rising import Rising
from models.btyd.summary import Summary, distinct, statistics, summarise
from models.spec import FloatArray

_STARTS = [(0.0, 0.0, 0.0, 0.0), (-0.7, -1.0, -0.7, -1.0), (0.0, 0.0, -2.0, 1.0), (1.0, 1.0, 1.0, 2.0)]
_ROWS_AT_ONCE = 500
_EDGES = {
    0: ("hardly anybody buys again (r at its edge)", "all customers buy at one rate (r at its edge)"),
    1: ("the rate of buying has no scale (alpha at its edge)", "buying is rare or at one rate (alpha at its edge)"),
    2: ("hardly anybody is seen to leave (s at its edge)", "all customers leave alike (s at its edge)"),
    3: ("who leaves does at once (beta at its edge)", "leaving is rare or alike for all (beta at its edge)"),
}


@dataclass(frozen=True)
class ParetoNbd(Fitted):
    """Hold a fitted Pareto/NBD model.

    Parameters
    ----------
    fit
        How the fit went.
    r, alpha
        Shape and rate of the gamma distribution of purchase rates; alpha is in the unit of time.
    s, beta
        Shape and rate of the gamma distribution of the rates of leaving; beta is in the unit of time.
    """

    r: float
    alpha: float
    s: float
    beta: float
    PARAMETERS: ClassVar[tuple[str, ...]] = ("r", "alpha", "s", "beta")

    def p_alive(self, customers: pd.DataFrame) -> FloatArray:
        """Return the probability that a customer has not left for good; see ``BgNbd.p_alive``."""
        found, which = distinct(statistics(customers))
        return np.asarray(self._alive(*found)[which])

    def p_no_purchase(self, customers: pd.DataFrame, horizons: Sequence[float]) -> FloatArray:
        """Return the probability of no purchase within each horizon after T, whether alive or not.

        Parameters
        ----------
        customers
            ``frequency``, ``recency`` and ``T``, one customer a row.
        horizons
            Lengths in the unit of T.

        Returns
        -------
        numpy.ndarray
            Customers x horizons.
        """
        (frequency, recency, age), which = distinct(statistics(customers))
        alive = self._alive(frequency, recency, age)
        k, begin = self.r + frequency, np.zeros(len(age))
        columns = []
        for horizon in np.asarray(horizons, np.float64):
            stays = -k * np.log1p(horizon / (self.alpha + age)) - self.s * np.log1p(horizon / (self.beta + age))
            leaves = np.concatenate(
                [
                    Departure(
                        k[rows],
                        self.s,
                        alpha=self.alpha + age[rows],
                        beta=self.beta + age[rows],
                        begin=begin[rows],
                        end=begin[rows] + horizon,
                    ).log_integral
                    for rows in _blocks(len(age))
                ]
            )
            leaves += np.log(self.s) + k * np.log(self.alpha + age) + self.s * np.log(self.beta + age)
            columns.append(1 + alive * (np.exp(np.logaddexp(stays, leaves)) - 1))
        return np.asarray(np.clip(np.column_stack(columns)[which], 0.0, 1.0))

    def expected_purchases(self, customers: pd.DataFrame, horizons: Sequence[float]) -> FloatArray:
        """Return the expected number of purchases within each horizon after T.

        Parameters
        ----------
        customers
            ``frequency``, ``recency`` and ``T``, one customer a row.
        horizons
            Lengths in the unit of T.

        Returns
        -------
        numpy.ndarray
            Customers x horizons.
        """
        (frequency, recency, age), which = distinct(statistics(customers))
        rate = self._alive(frequency, recency, age) * (self.r + frequency) * (self.beta + age) / (self.alpha + age)
        later = np.log1p(np.asarray(horizons, np.float64)[None, :] / (self.beta + age)[:, None])
        # exprel is the limit of the published quotient too, so s = 1 is not special.
        return np.asarray((rate[:, None] * later * exprel(-(self.s - 1) * later))[which])

    def _alive(self, frequency: FloatArray, recency: FloatArray, age: FloatArray) -> FloatArray:
        k = self.r + frequency
        alive = np.empty(len(age))
        for rows in _blocks(len(age)):
            leaving = Departure(k[rows], self.s, alpha=self.alpha, beta=self.beta, begin=recency[rows], end=age[rows])
            staying = -k[rows] * np.log(self.alpha + age[rows]) - self.s * np.log(self.beta + age[rows])
            alive[rows] = expit(staying - leaving.log_integral - np.log(self.s))
        return alive


def fit_pareto_nbd(customers: pd.DataFrame) -> ParetoNbd:
    """Fit the Pareto/NBD model by maximum likelihood.

    Parameters
    ----------
    customers
        ``frequency``, ``recency`` and ``T``, one customer a row; whole days are fastest.

    Returns
    -------
    ParetoNbd
        With a ``warning`` where the fit ended on an edge, had not converged or says little of its parameters.

    Raises
    ------
    TrainingError
        If there is nobody, or a number is impossible.
    """
    summary = summarise(customers)
    scale = np.log(time_scale(summary)) * np.array([0.0, 1.0, 0.0, 1.0])
    objective, few = shifted(ParetoLikelihood(summary), scale), summary.thinned(ROUGH_ROWS)
    rough = objective if few is summary else shifted(ParetoLikelihood(few), scale)
    end = staged(objective, rough, _STARTS)
    r, alpha, s, beta = np.exp(end.point + scale)
    fit = told(end, log_likelihood=end.value, n_customers=summary.n_customers, n_rows=len(summary), edges=_EDGES)
    return ParetoNbd(fit, float(r), float(alpha), float(s), float(beta))


class ParetoLikelihood:
    """Compute the log-likelihood of Pareto/NBD at the logarithms of r, alpha, s and beta.

    Parameters
    ----------
    summary
        Grouped customers.
    """

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self._purchases = Rising.of(summary.frequency, summary.n)

    def __call__(self, point: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return value, gradient and matrix of second derivatives at a point."""
        r, alpha, s, beta = np.exp(point)
        n = float(self._summary.n_customers)
        value, slope, curve = self._purchases.at(r)
        log_alpha, log_beta = point[1], point[3]
        gradient = np.array([slope + n * r * log_alpha, n * r, n * s * log_beta, n * s])
        hessian = np.diag([curve + n * r * log_alpha, 0.0, n * s * log_beta, 0.0])
        hessian[0, 1] = hessian[1, 0] = n * r
        hessian[2, 3] = hessian[3, 2] = n * s
        for rows in _blocks(len(self._summary)):
            more = self._rows(rows, r, alpha, s, beta)
            value, gradient, hessian = value + more[0], gradient + more[1], hessian + more[2]
        return value, gradient, hessian

    def _rows(self, rows: slice, r: float, alpha: float, s: float, beta: float) -> tuple[float, FloatArray, FloatArray]:
        """Return the part of some rows: still there at T, or left at some time after the last purchase."""
        grouped = self._summary
        k, age, n = r + grouped.frequency[rows], grouped.T[rows], grouped.n[rows]
        staying, stay_slope, stay_curve = _one_moment(age, k, r=r, s=s, alpha=alpha, beta=beta)
        leaving = Departure(k, s, alpha=alpha, beta=beta, begin=grouped.recency[rows], end=age)
        left, left_slope, left_curve = leaving.derivatives(r)
        left, left_slope[:, 2] = left + np.log(s), left_slope[:, 2] + 1
        share = expit(left - staying)
        difference = left_slope - stay_slope
        # Where hardly anybody leaves, s log beta is huge and nearly what the rest takes back: row by row, not in sums.
        own = r * np.log(alpha) + s * np.log(beta)
        value = float((n * (np.logaddexp(staying, left) + own)).sum())
        gradient = (n[:, None] * (stay_slope + share[:, None] * difference)).sum(axis=0)
        between = (share * (1 - share))[:, None, None] * difference[:, :, None] * difference[:, None, :]
        curve = stay_curve + share[:, None, None] * (left_curve - stay_curve) + between
        return value, gradient, (n[:, None, None] * curve).sum(axis=0)


def _one_moment(
    time: FloatArray, k: FloatArray, *, r: float, s: float, alpha: float, beta: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return -k log(alpha + time) - s log(beta + time), and its derivatives by the logarithms of the parameters."""
    log_alpha, log_beta = np.log(alpha + time), np.log(beta + time)
    alpha_part, beta_part = alpha / (alpha + time), beta / (beta + time)
    slope = np.column_stack([-r * log_alpha, -k * alpha_part, -s * log_beta, -s * beta_part])
    curve = np.zeros((len(time), 4, 4))
    curve[:, 0, 0], curve[:, 2, 2] = slope[:, 0], slope[:, 2]
    curve[:, 0, 1] = curve[:, 1, 0] = -r * alpha_part
    curve[:, 2, 3] = curve[:, 3, 2] = slope[:, 3]
    curve[:, 1, 1], curve[:, 3, 3] = slope[:, 1] * (1 - alpha_part), slope[:, 3] * (1 - beta_part)
    return -k * log_alpha - s * log_beta, slope, curve


def _blocks(n_rows: int) -> list[slice]:
    return [slice(begin, min(begin + _ROWS_AT_ONCE, n_rows)) for begin in range(0, max(1, n_rows), _ROWS_AT_ONCE)]
