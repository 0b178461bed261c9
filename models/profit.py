"""Whom to contact, by money: the threshold that costs imply, and the most that a score could earn.

A retention offer reaches a customer who would leave, and is accepted with some probability; it then costs the incentive
and keeps the customer's value. A customer who would have stayed takes the incentive as well (Verbraken, Verbeke and
Baesens 2013). The probability of acceptance is hardly ever known, so it has a beta distribution. Until a randomised
trial has measured it, all amounts here are assumptions multiplied by scores, and no forecast of earnings.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from data.errors import TrainingError
from models.spec import FloatArray

N_RESAMPLES = 200
LEVEL = 0.90
_SURENESS = 20.0
"""Alpha plus beta of the source's distribution of acceptance."""


@dataclass(frozen=True)
class RetentionCosts:
    """State what a retention offer costs and keeps, in one currency.

    Parameters
    ----------
    value
        Worth of a customer who is kept, in cents.
    incentive
        Cost of the offer to those who take it, in cents; below ``value``.
    contact
        Cost of reaching a customer, in cents.
    alpha, beta
        Beta distribution of the probability that one who would leave accepts; its mean is alpha / (alpha + beta). The
        defaults are those of the source: mean .3, standard deviation .1.

    Raises
    ------
    TrainingError
        If a number is impossible.
    """

    value: float
    incentive: float
    contact: float
    alpha: float = 6.0
    beta: float = 14.0

    def __post_init__(self) -> None:
        numbers = (self.value, self.incentive, self.contact, self.alpha, self.beta)
        if not np.isfinite(numbers).all() or not 0 <= self.incentive < self.value or self.contact < 0:
            raise TrainingError(f"costs {self}", "0 <= incentive < value and contact >= 0", "state the costs in cents")
        if min(self.alpha, self.beta) <= 0:
            raise TrainingError(
                f"alpha {self.alpha}, beta {self.beta}", "positive numbers", "take 6 and 14, which are usual"
            )

    @property
    def acceptance(self) -> float:
        """Mean probability of acceptance."""
        return self.alpha / (self.alpha + self.beta)


@dataclass(frozen=True)
class MaximumProfit:
    """Hold what a score could earn at best, per customer of the list.

    Parameters
    ----------
    cents
        Expected maximum profit per customer, in cents.
    low, high
        Its interval, from resampled customers; the costs are taken as given.
    share
        Share of the customers to contact.
    threshold
        Probability from which on to contact; infinite where contacting nobody is best.
    threshold_low, threshold_high
        Its interval, from the same resamples.
    """

    cents: float
    low: float
    high: float
    share: float
    threshold: float
    threshold_low: float
    threshold_high: float


def assumed(value: float, contact: float, save_share: float) -> RetentionCosts:
    """Return the costs of a contact without an incentive that keeps an assumed share of those who would leave.

    Parameters
    ----------
    value, contact
        As in ``RetentionCosts``.
    save_share
        Mean of the distribution of acceptance, which is as sure as that of the source; 0 and 1 are kept just inside.

    Examples
    --------
    >>> costs = assumed(4_000, 5, 0.1)
    >>> round(costs.acceptance, 6), round(float(cost_threshold(costs)), 6)
    (0.1, 0.0125)
    """
    mean = min(max(save_share, 0.001), 0.999)
    return RetentionCosts(value, 0.0, contact, _SURENESS * mean, _SURENESS * (1 - mean))


def cost_threshold(costs: RetentionCosts, value: npt.ArrayLike | None = None) -> FloatArray:
    """Return the probability of leaving above which an offer pays, at the mean acceptance.

    It follows from the costs alone, and is right for calibrated probabilities.

    Parameters
    ----------
    costs
        Costs, and the value that all customers share.
    value
        Worth of each customer in cents, in place of the shared one; null and what the incentive eats up give infinity.

    Returns
    -------
    numpy.ndarray
        (incentive + contact) / (acceptance x (value - incentive) + incentive), one a customer; may exceed 1.

    Examples
    --------
    >>> costs = RetentionCosts(value=20_000, incentive=1_000, contact=100)
    >>> round(float(cost_threshold(costs)), 4)
    0.1642
    >>> cost_threshold(costs, [20_000, 500]).round(4).tolist()
    [0.1642, inf]
    """
    worth = np.asarray(costs.value if value is None else value, dtype=np.float64)
    kept = np.maximum(worth - costs.incentive, 0.0)
    gain = costs.acceptance * kept + costs.incentive
    with np.errstate(divide="ignore", invalid="ignore"):
        threshold = (costs.incentive + costs.contact) / gain
    return np.where(kept > 0, threshold, np.inf)


def contact_profit(p: npt.ArrayLike, costs: RetentionCosts, value: npt.ArrayLike | None = None) -> FloatArray:
    """Return what contacting each customer is expected to earn, in cents, at the mean acceptance.

    Parameters
    ----------
    p
        Calibrated probabilities of leaving.
    costs
        Costs, and the value that all customers share.
    value
        Worth of each customer in cents, in place of the shared one.

    Examples
    --------
    >>> contact_profit([0.0, 0.5], RetentionCosts(value=20_000, incentive=1_000, contact=100)).tolist()
    [-1100.0, 2250.0]
    """
    leaves = np.asarray(p, dtype=np.float64)
    worth = np.asarray(costs.value if value is None else value, dtype=np.float64)
    accepted = leaves * costs.acceptance * (worth - costs.incentive)
    return np.asarray(accepted - (1 - leaves) * costs.incentive - costs.contact)


def expected_maximum_profit(
    y: npt.ArrayLike, p: npt.ArrayLike, costs: RetentionCosts, *, seed: int, n_resamples: int = N_RESAMPLES
) -> MaximumProfit:
    """Return the expected maximum profit of a score (EMP of churn, Verbraken, Verbeke and Baesens 2013).

    For every probability of acceptance the best share of the list is taken; the profits are then averaged over the
    distribution of that probability, in closed form over the segments of the ROC curve's convex hull.

    Parameters
    ----------
    y, p
        Labels and scores of the judged customers, one row each; scores need not be calibrated.
    costs
        The costs.
    seed
        Seed of the resampling.
    n_resamples
        Resamples of customers for the interval.

    Returns
    -------
    MaximumProfit
        Per customer of the list, in cents.

    Raises
    ------
    TrainingError
        If there are not both labels, or a value is missing.
    """
    truth, said = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if truth.shape != said.shape or set(np.unique(truth)) != {0.0, 1.0} or not np.isfinite(said).all():
        raise TrainingError(
            "labels and scores that do not fit", "labels 0 and 1, a score each", "judge on another date"
        )
    cents, share = _maximum(truth, said, costs)
    rng, draws = np.random.default_rng(seed), []
    for _ in range(n_resamples):
        rows = rng.integers(0, len(truth), len(truth))
        earned, contacted = _maximum(truth[rows], said[rows], costs)
        draws.append((earned, _cut(said[rows], contacted)))
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    earnings, cuts = np.array(draws).T if draws else np.full((2, 1), np.nan)
    low, high = np.quantile(earnings, ends)
    # Thresholds may be infinite, and so are ordered rather than averaged.
    lowest, highest = np.quantile(cuts, ends, method="inverted_cdf")
    return MaximumProfit(cents, float(low), float(high), share, _cut(said, share), float(lowest), float(highest))


def _cut(p: FloatArray, share: float) -> float:
    """Return the score of the last customer on the list."""
    n_contacted = round(share * len(p))
    return float(np.sort(p)[::-1][n_contacted - 1]) if n_contacted else float("inf")


def _maximum(y: FloatArray, p: FloatArray, costs: RetentionCosts) -> tuple[float, float]:
    """Return expected maximum profit per customer and the share to contact."""
    leaving, staying = _hull(y, p)
    rate = float(y.mean())
    incentive, contact = costs.incentive / costs.value, costs.contact / costs.value
    won, lost = rate * np.diff(leaving), (1 - rate) * np.diff(staying)
    with np.errstate(divide="ignore"):
        turns = ((incentive + contact) * lost + contact * won) / ((1 - incentive) * won)
    ends = np.concatenate(([0.0], np.minimum(turns, 1.0), [1.0]))
    mass = np.diff(stats.beta.cdf(ends, costs.alpha, costs.beta))
    mean = np.diff(stats.beta.cdf(ends, costs.alpha + 1, costs.beta)) * costs.acceptance
    reached, missed = rate * leaving, (1 - rate) * staying
    profit = (1 - incentive) * reached * mean - (contact * reached + (incentive + contact) * missed) * mass
    return float(costs.value * profit.sum()), float((mass * (reached + missed)).sum())


def _hull(y: FloatArray, p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the corners of the upper hull of the ROC curve: shares of those who left, and of those who stayed."""
    order = np.argsort(-p, kind="stable")
    is_end = np.append(np.diff(p[order]) != 0, True)
    hits = np.concatenate(([0.0], np.cumsum(y[order])[is_end]))
    rows = np.concatenate(([0.0], np.arange(1, len(y) + 1)[is_end]))
    x, z = (rows - hits) / (rows[-1] - hits[-1]) if rows[-1] > hits[-1] else rows * 0, hits / max(hits[-1], 1)
    corners: list[int] = []
    for i in range(len(x)):
        while len(corners) > 1 and _turns_left(x, z, corners[-2], corners[-1], i):
            corners.pop()
        corners.append(i)
    return z[corners], x[corners]


def _turns_left(x: FloatArray, z: FloatArray, a: int, b: int, c: int) -> bool:
    return bool((x[b] - x[a]) * (z[c] - z[a]) >= (z[b] - z[a]) * (x[c] - x[a]))
