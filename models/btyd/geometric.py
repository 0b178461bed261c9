"""BG/NBD and MBG/NBD: customers buy at random moments, and may stop for good only right after a purchase.

Purchases come at a rate that differs between customers by a gamma distribution (shape r, rate alpha); after each
purchase the customer leaves with a probability that differs by a beta distribution (a, b). The BG/NBD (Fader, Hardie
and Lee 2005) gives the first purchase no such chance, the MBG/NBD (Batislam, Denizel and Filiztekin 2007) does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import pandas as pd
from scipy.special import expit

from models.btyd.fitted import Fitted, told
from models.btyd.jacobi import beta_rules
from models.btyd.newton import shifted, staged
from models.btyd.odds import GeometricLikelihood
from models.btyd.summary import Summary, distinct, statistics, summarise
from models.spec import FloatArray

_STARTS = [(0.0, 0.0, 0.0, 1.0), (-1.5, -1.5, 0.0, 1.0), (0.0, 1.0, -2.0, 1.0), (1.0, 1.0, -3.0, 0.0), (2.0, 2.0, 1, 3)]
ROUGH_ROWS = 4000
_CELLS_AT_ONCE = 100_000
_NODES_BY_REACH = ((32, 16.0), (64, 64.0), (128, 256.0), (256, 1024.0), (512, np.inf))
"""Length of the sums by horizon / (alpha + T), for seven digits: the far horizon of a young customer is hard."""
_Model = TypeVar("_Model", bound="BgNbd")
_EDGES = {
    0: ("hardly anybody buys again (r at its edge)", "all customers buy at one rate (r at its edge)"),
    1: ("the rate of buying has no scale (alpha at its edge)", "buying is rare or at one rate (alpha at its edge)"),
    2: ("hardly anybody is seen to leave (a at its edge)", "all customers leave alike (a at its edge)"),
    3: ("who can leave does (b at its edge)", "leaving is rare or alike for all (b at its edge)"),
}


@dataclass(frozen=True)
class BgNbd(Fitted):
    """Hold a fitted BG/NBD model.

    Parameters
    ----------
    fit
        How the fit went.
    r, alpha
        Shape and rate of the gamma distribution of purchase rates; alpha is in the unit of time.
    a, b
        The beta distribution of the probability to leave after a purchase.

    Examples
    --------
    >>> history = pd.DataFrame({"frequency": [0, 1, 2, 5, 0], "recency": [0, 3, 9, 20, 0], "T": [30, 30, 25, 21, 9]})
    >>> model = fit_bg_nbd(history)
    >>> model.expected_purchases(history, [4, 13]).shape
    (5, 2)
    """

    r: float
    alpha: float
    a: float
    b: float
    PARAMETERS: ClassVar[tuple[str, ...]] = ("r", "alpha", "a", "b")
    FREE_PURCHASES: ClassVar[int] = 1
    """Purchases after which nobody leaves: the first one, which starts the history."""

    def p_alive(self, customers: pd.DataFrame) -> FloatArray:
        """Return the probability that a customer has not left for good.

        It is no forecast of a purchase: one who is alive may still buy nothing for long. That is ``p_no_purchase``.

        Parameters
        ----------
        customers
            ``frequency``, ``recency`` and ``T``, one customer a row.

        Returns
        -------
        numpy.ndarray
            One probability a customer.
        """
        return expit(-self._log_odds_of_having_left(*statistics(customers)))

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
        frequency, recency, age = statistics(customers)
        alive = expit(-self._log_odds_of_having_left(frequency, recency, age))
        silent = (self.r + frequency)[:, None] * np.log1p(_reach(age, self.alpha, horizons))
        return 1.0 + alive[:, None] * np.expm1(-silent)

    def expected_purchases(self, customers: pd.DataFrame, horizons: Sequence[float]) -> FloatArray:
        """Return the expected number of purchases within each horizon after T.

        The expectation over the customer's own beta distribution is a Gauss-Jacobi sum: it needs no hypergeometric
        function, so neither a = 1 nor many purchases are special.

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
        reach = _reach(age, self.alpha, horizons)
        widest = reach.max(axis=1, initial=0.0)
        found, least = np.empty_like(reach), -1.0
        for n_nodes, most in _NODES_BY_REACH:
            rows = np.flatnonzero((widest > least) & (widest <= most))
            found[rows] = self._if_alive(frequency[rows], reach[rows], n_nodes)
            least = most
        alive = expit(-self._log_odds_of_having_left(frequency, recency, age))
        return np.asarray((found * alive[:, None])[which])

    def _if_alive(self, frequency: FloatArray, reach: FloatArray, n_nodes: int) -> FloatArray:
        """Return the expected purchases of those who have not left: the mean of (1 - (1 + p reach)^-k) / p over p."""
        counts, order = np.unique(frequency, return_inverse=True)
        chances, weights = beta_rules(self.a, self.b + self._chances(counts), n_nodes)
        found = np.empty_like(reach)
        block = max(1, _CELLS_AT_ONCE // (n_nodes * max(1, reach.shape[1])))
        for begin in range(0, len(reach), block):
            rows = slice(begin, begin + block)
            chance, weight = chances[order[rows], None, :], weights[order[rows], None, :]
            bought = -(self.r + frequency[rows])[:, None, None] * np.log1p(chance * reach[rows, :, None])
            found[rows] = (-np.expm1(bought) / chance * weight).sum(axis=2)
        return found

    @classmethod
    def _chances(cls, frequency: FloatArray) -> FloatArray:
        """Return how often a customer with so many repeat purchases could have left."""
        return frequency + (1 - cls.FREE_PURCHASES)

    def _log_odds_of_having_left(self, frequency: FloatArray, recency: FloatArray, age: FloatArray) -> FloatArray:
        chances = self._chances(frequency)
        stayed = np.log(self.b + np.maximum(chances - 1, 0))
        odds = np.log(self.a) - stayed + (self.r + frequency) * np.log1p((age - recency) / (self.alpha + recency))
        return np.where(chances > 0, odds, -np.inf)


@dataclass(frozen=True)
class MbgNbd(BgNbd):
    """Hold a fitted MBG/NBD model: as BG/NBD, but customers may leave after their first purchase too."""

    FREE_PURCHASES: ClassVar[int] = 0


def fit_bg_nbd(customers: pd.DataFrame) -> BgNbd:
    """Fit the BG/NBD model by maximum likelihood.

    Parameters
    ----------
    customers
        ``frequency``, ``recency`` and ``T``, one customer a row; whole days are fastest.

    Returns
    -------
    BgNbd
        With a ``warning`` where the fit ended on an edge, had not converged or says little of its parameters.

    Raises
    ------
    TrainingError
        If there is nobody, or a number is impossible.
    """
    return _fitted(BgNbd, summarise(customers))


def fit_mbg_nbd(customers: pd.DataFrame) -> MbgNbd:
    """Fit the MBG/NBD model by maximum likelihood; see ``fit_bg_nbd``."""
    return _fitted(MbgNbd, summarise(customers))


def _reach(age: FloatArray, alpha: float, horizons: Sequence[float]) -> FloatArray:
    return np.asarray(horizons, np.float64)[None, :] / (alpha + age)[:, None]


def _fitted(model: type[_Model], summary: Summary) -> _Model:
    scale = np.array([0.0, np.log(time_scale(summary)), 0.0, 0.0])
    objective = shifted(GeometricLikelihood(summary, model.FREE_PURCHASES), scale)
    few = summary.thinned(ROUGH_ROWS)
    rough = objective if few is summary else shifted(GeometricLikelihood(few, model.FREE_PURCHASES), scale)
    end = staged(objective, rough, _STARTS)
    r, alpha, a, b = np.exp(end.point + scale)
    fit = told(end, log_likelihood=end.value, n_customers=summary.n_customers, n_rows=len(summary), edges=_EDGES)
    return model(fit, float(r), float(alpha), float(a), float(b))


def time_scale(summary: Summary) -> float:
    """Return the mean age of the customers, or 1 where nobody has any."""
    return float((summary.n * summary.T).sum() / summary.n.sum()) or 1.0
