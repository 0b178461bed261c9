"""Sums of logarithms of rising factorials: gamma functions at whole steps, without their cancellation."""

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from models.spec import FloatArray

_STEPS = 1024
"""Counts beyond this are so much that differences of gamma functions keep their digits."""


@dataclass(frozen=True, eq=False)
class Rising:
    """Sum ``log(p) + log(p + 1) + ... + log(p + x - 1)`` over customers with counts x, for any p.

    It is the sum of ``gammaln(p + x) - gammaln(p)``, exact where p is large and x small.

    Parameters
    ----------
    n_above
        Customers whose count is above 0, above 1, and so on, for 1,024 steps at most.
    large, n_large
        Counts beyond these steps, and how many customers have each.
    """

    n_above: FloatArray
    large: FloatArray
    n_large: FloatArray

    @classmethod
    def of(cls, counts: FloatArray, n: FloatArray) -> "Rising":
        """Return the sums of customers with these counts; ``n`` says how many customers each row stands for."""
        tally = np.bincount(np.minimum(counts, _STEPS).astype(np.int64), weights=n).astype(np.float64)
        is_large = counts > _STEPS
        return cls(np.cumsum(tally[::-1])[::-1][1:], counts[is_large], n[is_large])

    def at(self, p: float) -> tuple[float, float, float]:
        """Return the sum at p, and its first and second derivative by log(p)."""
        steps = p + np.arange(len(self.n_above))
        share = p / steps
        value = float((self.n_above * np.log(steps)).sum())
        slope = float((self.n_above * share).sum())
        curve = float((self.n_above * share * (1 - share)).sum())
        if len(self.large):
            end, begin = p + self.large, p + _STEPS
            first = p * float((self.n_large * (digamma(end) - digamma(begin))).sum())
            value += float((self.n_large * (gammaln(end) - gammaln(begin))).sum())
            slope += first
            curve += first + p * p * float((self.n_large * (polygamma(1, end) - polygamma(1, begin))).sum())
        return value, slope, curve
