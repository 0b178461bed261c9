"""Where one customer stands among others: each feature beside the middle of the others, and the share below it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.spec import FloatArray


@dataclass(frozen=True)
class Standing:
    """One feature of a customer beside the others of a group.

    Parameters
    ----------
    name
        The feature.
    value
        The customer's; NaN where unknown.
    low, typical, high
        Quartiles of the others; NaN where too few of them are known.
    share_below, share_above
        Shares of the others with a smaller and with a larger value; NaN as above, or without a value.
    n_others
        Others with a value.
    """

    name: str
    value: float
    low: float = float("nan")
    typical: float = float("nan")
    high: float = float("nan")
    share_below: float = float("nan")
    share_above: float = float("nan")
    n_others: int = 0

    @property
    def place(self) -> float:
        """Place among the others from 0, below all, to 1, above all; equal ones count half; NaN where unknown."""
        return (1 + self.share_below - self.share_above) / 2

    @property
    def distance(self) -> float:
        """How far from the middle: 0 is the median of the others, 1 is beyond all of them; NaN where unknown."""
        return abs(2 * self.place - 1)


def standing(name: str, value: float, others: FloatArray, least: int) -> Standing:
    """Return where a value stands.

    Parameters
    ----------
    name
        The feature.
    value
        The customer's; NaN where unknown.
    others
        Values of the others, NaN where unknown.
    least
        Fewer others with a value than this are not told about: their quartiles could point at one of them.

    Examples
    --------
    >>> found = standing("recency_days", 41, np.array([5.0, 9, 12, 41, 60, np.nan]), least=3)
    >>> found.typical, found.share_below, found.share_above, round(found.place, 2)
    (12.0, 0.6, 0.2, 0.7)
    """
    known = others[~np.isnan(others)]
    if len(known) < least:
        return Standing(name, value, n_others=len(known))
    low, typical, high = (float(q) for q in np.quantile(known, [0.25, 0.5, 0.75]))
    nothing = float("nan")
    shares = (nothing, nothing) if np.isnan(value) else (float((known < value).mean()), float((known > value).mean()))
    return Standing(name, value, low, typical, high, *shares, len(known))


def standings(
    known: Mapping[str, float], others: Mapping[str, FloatArray], names: Sequence[str], least: int
) -> list[Standing]:
    """Return where a customer stands in each of some features, in their order.

    Parameters
    ----------
    known
        The customer's features by name.
    others
        Columns of the others by name.
    names
        Features.
    least
        As in ``standing``.
    """
    return [standing(name, known[name], others[name], least) for name in names]
