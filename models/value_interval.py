"""Split-conformal intervals of amounts (Lei et al. 2018), among customers of whom alike is expected.

Residuals are taken on the scale of cube roots, where skewed amounts are nearly symmetric and of equal spread for small
and large customers (Wilson and Hilferty 1931); a cube root has a sign, so net returns are amounts like others. Where
rows allow it, customers are cut into groups by what is expected of them and each group has its own ends, so that the
coverage holds for small and for large customers and not on average alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.spec import FloatArray

LEVEL = 0.90
_ROWS_PER_GROUP = 200
_MOST_GROUPS = 8


@dataclass(frozen=True)
class RootBand:
    """Hold the ends around the cube root of an expectation, by groups of rising expectation.

    Parameters
    ----------
    edges
        Expected cents at which the next group begins; one fewer than groups.
    lows, highs
        Ends of each group; infinite where there were too few rows for the level.
    """

    edges: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    def around(self, expected: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the low and high end around each expectation, in cents.

        Parameters
        ----------
        expected
            Expected cents; may be negative.
        """
        group = np.searchsorted(np.array(self.edges), expected, side="right")
        root = np.cbrt(expected)
        low, high = (root + np.array(ends)[group] for ends in (self.lows, self.highs))
        return np.minimum(low**3, expected), np.maximum(high**3, expected)

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold."""
        return {name: list(values) for name, values in vars(self).items()}

    @classmethod
    def restore(cls, facts: Mapping[str, Any]) -> "RootBand":
        """Return the band again from its facts."""
        return cls(**{name: tuple(values) for name, values in facts.items()})


def fit_band(truth: FloatArray, expected: FloatArray, level: float = LEVEL) -> RootBand:
    """Calibrate a band on rows that trained no model.

    Parameters
    ----------
    truth, expected
        True and expected cents.
    level
        Nominal coverage.

    Examples
    --------
    >>> fit_band(np.arange(1, 20.0) ** 3, np.zeros(19)).around(np.zeros(1))
    (array([0.]), array([6859.]))
    """
    n_groups = int(np.clip(len(truth) // _ROWS_PER_GROUP, 1, _MOST_GROUPS))
    edges = np.unique(np.quantile(expected, np.arange(1, n_groups) / n_groups)) if n_groups > 1 else np.empty(0)
    group = np.searchsorted(edges, expected, side="right")
    ends = [root_interval(truth[group == i], expected[group == i], level) for i in range(len(edges) + 1)]
    lows, highs = zip(*ends, strict=True)
    return RootBand(tuple(edges.tolist()), lows, highs)


def root_interval(truth: FloatArray, expected: FloatArray, level: float) -> tuple[float, float]:
    """Return the conformal ends of cbrt(truth) - cbrt(expected), each tail at its own rate.

    Parameters
    ----------
    truth, expected
        True and expected cents of rows that trained no model.
    level
        Nominal coverage.

    Returns
    -------
    tuple of float
        Low and high end; infinite where there are too few rows for the level.
    """
    residual = np.sort(np.cbrt(truth) - np.cbrt(expected))
    n_rows = len(residual)
    rank = int(np.ceil((n_rows + 1) * (1 + level) / 2)) - 1
    if rank >= n_rows:
        return float("-inf"), float("inf")
    return float(residual[n_rows - 1 - rank]), float(residual[rank])
