"""The log-likelihood of BG/NBD and MBG/NBD with its first and second derivatives."""

import numpy as np

from models.btyd.rising import Rising
from models.btyd.summary import Summary
from models.spec import FloatArray


class GeometricLikelihood:
    """Compute the log-likelihood at the logarithms of r, alpha, a and b.

    What depends on the frequency alone is a sum over purchases (the gamma functions of the published formula telescope
    to ``log(r) + log(r + 1) + ...``), what depends on T alone is a sum over its levels; only the odds of having left
    need every row.

    Parameters
    ----------
    summary
        Grouped customers.
    free_purchases
        Purchases after which nobody leaves: 1 for BG/NBD, 0 for MBG/NBD.
    """

    def __init__(self, summary: Summary, free_purchases: int) -> None:
        chances = summary.frequency + (1 - free_purchases)
        self._n = summary.n_customers
        self._purchases = Rising.of(summary.frequency, summary.n)
        self._chances = Rising.of(chances, summary.n)
        self._ages, which_age = np.unique(summary.T, return_inverse=True)
        self._n_by_age = np.bincount(which_age, weights=summary.n)
        self._bought_by_age = np.bincount(which_age, weights=summary.n * summary.frequency)
        could = chances > 0
        self._weights, self._frequency = summary.n[could], summary.frequency[could]
        self._counts, self._which_count = np.unique(chances[could] - 1, return_inverse=True)
        self._recencies, self._which_recency = np.unique(summary.recency[could], return_inverse=True)
        self._which_age = which_age[could]

    def __call__(self, point: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return value, gradient and matrix of second derivatives at a point."""
        r, alpha, a, b = np.exp(point)
        value, gradient, hessian = self._smooth(r, alpha, a, b)
        more, slope, curvature = self._left(r, alpha, a, b)
        return value + more, gradient + slope, hessian + curvature

    def _smooth(self, r: float, alpha: float, a: float, b: float) -> tuple[float, FloatArray, FloatArray]:
        """Return the part of one who was never seen to leave."""
        bought, stay, all_ways = self._purchases.at(r), self._chances.at(b), self._chances.at(a + b)
        length = np.log1p(self._ages / alpha)
        part = alpha / (alpha + self._ages)
        k = self._n_by_age * r + self._bought_by_age
        # Purchases in units of 1 / alpha: the scale leaves the sum and cancels no digits.
        n_bought = float(self._bought_by_age.sum())
        value = bought[0] - float((k * length).sum()) - n_bought * float(np.log(alpha)) + stay[0] - all_ways[0]
        gradient, hessian = np.zeros(4), np.zeros((4, 4))
        by_length = r * float((self._n_by_age * length).sum())
        late = float((k * (1 - part)).sum())
        gradient[0] = bought[1] - by_length
        gradient[1] = late - n_bought
        hessian[0, 0] = bought[2] - by_length
        hessian[0, 1] = hessian[1, 0] = r * float((self._n_by_age * (1 - part)).sum())
        hessian[1, 1] = -float((k * part * (1 - part)).sum())
        _, slope, curve = all_ways
        shares = np.array([a, b]) / (a + b)
        gradient[2:] = -slope * shares
        gradient[3] += stay[1]
        # The share of a in a + b moves with its logarithm, and so does the sum that it multiplies.
        outer = np.outer(shares, shares)
        hessian[2:, 2:] = -curve * outer - slope * (np.diag(shares) - outer)
        hessian[3, 3] += stay[2]
        return value, gradient, hessian

    def _left(self, r: float, alpha: float, a: float, b: float) -> tuple[float, FloatArray, FloatArray]:
        """Return the part of those who may have left: log(1 + odds), summed over every row."""
        until, since = alpha / (alpha + self._ages), alpha / (alpha + self._recencies)
        gap = np.log1p(self._ages / alpha)[self._which_age] - np.log1p(self._recencies / alpha)[self._which_recency]
        part_until, part_since = until[self._which_age], since[self._which_recency]
        k = r + self._frequency
        log_odds = k * gap
        log_odds += (np.log(a) - np.log(b + self._counts))[self._which_count]
        small = np.exp(-np.abs(log_odds))
        value = float((self._weights * (np.maximum(log_odds, 0) + np.log1p(small))).sum())
        left = np.where(log_odds >= 0, 1.0, small) / (1 + small)
        weight = self._weights * left
        by_b = b / (b + self._counts)
        part = part_until - part_since
        slopes = (r * gap, k * part, None, -by_b[self._which_count])
        gradient, hessian = _products(slopes, weight, weight * (1 - left))
        hessian[0, 0] += gradient[0]
        crossed = weight * part
        hessian[0, 1] += r * float(crossed.sum())
        hessian[1, 0] = hessian[0, 1]
        hessian[1, 1] += float((crossed * k * (1 - part_until - part_since)).sum())
        hessian[3, 3] -= float((weight * (by_b * (1 - by_b))[self._which_count]).sum())
        return value, gradient, hessian


def _products(
    slopes: tuple[FloatArray | None, ...], weight: FloatArray, spread: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the weighted sums of slopes and of their products; a slope of null is 1 for every row.

    Plain sums of products rather than a matrix product: their order is the same whatever the number of threads.
    """
    size = len(slopes)
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    for i, one in enumerate(slopes):
        gradient[i] = float((weight if one is None else weight * one).sum())
        spread_one = spread if one is None else spread * one
        for j, other in enumerate(slopes[: i + 1]):
            hessian[i, j] = hessian[j, i] = float((spread_one if other is None else spread_one * other).sum())
    return gradient, hessian
