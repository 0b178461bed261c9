"""Gamma-gamma: what a customer spends each time, from the few purchases seen and what others spend.

A purchase's amount varies around the customer's own mean by a gamma distribution of shape p; the means differ between
customers by an inverse gamma (q, gamma): Fader, Hardie and Lee 2005, "RFM and CLV: Using iso-value curves". It takes
the amount to be independent of how often one buys.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import digamma, gammaln, polygamma

from data.errors import TrainingError
from models.btyd.fitted import Fitted, told
from models.btyd.newton import staged
from models.btyd.summary import grouped
from models.spec import FloatArray

_STARTS = [(1.0, 1.0, 1.0), (0.0, 1.0, 0.0), (2.0, 0.5, 0.0), (0.0, 3.0, 3.0)]
_ROUGH_ROWS = 4000
_EDGES = {
    0: (
        "amounts of one customer spread without limit (p at its edge)",
        "each customer's amounts are alike (p at its edge)",
    ),
    1: ("customers differ without limit (q at its edge)", "all customers spend alike (q at its edge)"),
    2: ("the spend has no scale (gamma at its edge)", "all customers spend alike (gamma at its edge)"),
}


@dataclass(frozen=True)
class GammaGamma(Fitted):
    """Hold a fitted gamma-gamma model.

    Parameters
    ----------
    fit
        How the fit went; its customers are the repeat buyers with a positive amount.
    p
        Shape of the amounts of one customer.
    q, gamma
        Shape and scale of the customers' own rates; gamma is in the unit of money.
    n_left_out
        Customers without a repeat purchase, or without a positive amount.
    """

    p: float
    q: float
    gamma: float
    n_left_out: int
    PARAMETERS: ClassVar[tuple[str, ...]] = ("p", "q", "gamma")

    @property
    def mean_value(self) -> float:
        """Expected amount of a customer of whom nothing is known; infinite where q is at most 1."""
        return self.p * self.gamma / (self.q - 1) if self.q > 1 else float("inf")

    def expected_value(self, customers: pd.DataFrame) -> FloatArray:
        """Return the expected mean amount of a customer's future purchases.

        Parameters
        ----------
        customers
            ``frequency`` and ``monetary_value``, one customer a row; a null amount counts as no purchase seen.

        Returns
        -------
        numpy.ndarray
            Amounts in the unit of ``monetary_value``; without a purchase the mean of all, which is infinite and warned
            of where q is at most 1.
        """
        frequency, mean = _amounts(customers)
        seen = self.p * np.where(np.isnan(mean), 0.0, frequency)
        below = seen + self.q - 1
        above = self.p * (self.gamma + np.where(np.isnan(mean), 0.0, frequency * mean))
        return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.inf)

    def facts(self) -> dict[str, object]:
        """Return everything as plain values that JSON can hold."""
        return {**super().facts(), "n_left_out": self.n_left_out}


def fit_gamma_gamma(customers: pd.DataFrame) -> GammaGamma:
    """Fit the gamma-gamma model by maximum likelihood on the repeat buyers.

    Parameters
    ----------
    customers
        ``frequency`` and ``monetary_value`` (mean amount of the repeat purchases), one customer a row. Customers
        without a repeat purchase, or whose mean is null, 0 or negative after returns, are left out and counted.

    Returns
    -------
    GammaGamma
        With a ``warning`` where the fit ended on an edge, had not converged, says little of its parameters, or has no
        finite mean.

    Raises
    ------
    TrainingError
        If no customer is left, or a number is impossible.
    """
    frequency, mean = _amounts(customers)
    usable = (frequency > 0) & (mean > 0)
    if not usable.any():
        raise TrainingError("no repeat buyer with a positive amount", "at least one", "take a longer history")
    (x, m), n = grouped([frequency[usable], mean[usable]])
    unit = float((n * m).sum() / n.sum())
    step = max(1, len(n) // _ROUGH_ROWS)
    objective = SpendLikelihood(x, m / unit, n)
    rough = objective if step == 1 else SpendLikelihood(x[::step], m[::step] / unit, n[::step])
    end = staged(objective, rough, _STARTS)
    p, q, gamma = np.exp(end.point)
    n_customers = int(n.sum())
    # Amounts were divided by the unit, which the density pays back once a customer.
    log_likelihood = float(end.value - n_customers * np.log(unit))
    fit = told(end, log_likelihood=log_likelihood, n_customers=n_customers, n_rows=len(n), edges=_EDGES)
    if q <= 1:
        fit = fit.warned("the mean amount is infinite (q is at most 1)")
    return GammaGamma(fit, float(p), float(q), float(gamma * unit), int((~usable).sum()))


class SpendLikelihood:
    """Compute the log-likelihood of the gamma-gamma model at the logarithms of p, q and gamma.

    Parameters
    ----------
    frequency, mean, n
        Repeat purchases, their mean amount, and customers of each row.
    """

    def __init__(self, frequency: FloatArray, mean: FloatArray, n: FloatArray) -> None:
        self._x, self._n, self._total = frequency, n, frequency * mean
        self._log_total = np.log(self._total)
        self._constant = float((n * np.log(mean)).sum())
        self._levels, self._which = np.unique(frequency, return_inverse=True)
        self._n_by_level = np.bincount(self._which, weights=n).astype(np.float64)

    def __call__(self, point: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return value, gradient and matrix of second derivatives at a point."""
        p, q, gamma = np.exp(point)
        n, x, levels = self._n, self._x, self._levels
        value, by_p, by_q, by_pp, by_pq, by_qq = _gammas(p, q, levels, self._n_by_level)
        power, both = p * x + q, gamma + self._total
        log_both, part = np.log(both), gamma / both
        customers = float(n.sum())
        value += float((n * (p * x * self._log_total - power * log_both)).sum())
        value += customers * q * float(point[2]) - self._constant
        by_p += float((n * x * (self._log_total - log_both)).sum())
        by_q += float((n * (point[2] - log_both)).sum())
        by_gamma = customers * q - float((n * power * part).sum())
        gradient = np.array([p * by_p, q * by_q, by_gamma])
        hessian = np.array(
            [
                [p * p * by_pp + p * by_p, p * q * by_pq, -p * float((n * x * part).sum())],
                [0.0, q * q * by_qq + q * by_q, q * (customers - float((n * part).sum()))],
                [0.0, 0.0, -float((n * power * part * (1 - part)).sum())],
            ]
        )
        return value, gradient, hessian + np.triu(hessian, 1).T


def _gammas(p: float, q: float, x: FloatArray, n: FloatArray) -> tuple[float, float, float, float, float, float]:
    """Return the sum of log Gamma(px + q) / (Gamma(px) Gamma(q)) and its derivatives by p, q, pp, pq and qq."""
    both, own = p * x + q, p * x
    d_both, d_own, d_q = digamma(both), digamma(own), float(digamma(q))
    t_both, t_own, t_q = polygamma(1, both), polygamma(1, own), float(polygamma(1, q))
    return (
        float((n * (gammaln(both) - gammaln(own) - gammaln(q))).sum()),
        float((n * x * (d_both - d_own)).sum()),
        float((n * (d_both - d_q)).sum()),
        float((n * x * x * (t_both - t_own)).sum()),
        float((n * x * t_both).sum()),
        float((n * (t_both - t_q)).sum()),
    )


def _amounts(customers: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    missing = {"frequency", "monetary_value"} - set(customers.columns)
    if missing:
        raise TrainingError(f"no column {', '.join(sorted(missing))}", "frequency and monetary_value", "name them so")
    frequency = customers["frequency"].to_numpy(np.float64)
    mean = customers["monetary_value"].to_numpy(np.float64)
    if not ((frequency >= 0) & np.isfinite(frequency) & ~np.isinf(mean)).all():
        raise TrainingError("an impossible frequency or an infinite amount", "numbers from 0", "count again")
    return frequency, mean
