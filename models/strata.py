"""Tell whether a lift survives within months, within promotions, within anything that moves both categories at once.

Two categories that both sell at Christmas share baskets in December and have a lift over the year, although within each
month they have none. Here the expectation of a pair is taken within classes of baskets and added up (Mantel and
Haenszel 1959); what is left of the lift is not the work of the classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from models.basket import Baskets, Integers
from models.cooccurrence import Floats

_CHUNK = 128


@dataclass(frozen=True)
class WithinStrata:
    """Hold what classes of baskets leave of each pair.

    Parameters
    ----------
    n_both
        Baskets with both categories.
    lift, within_lift
        Plain lift, and observed over expected where the expectation is taken within the classes; NaN where nothing is
        expected.
    low, high
        Ends of the 95 % interval of ``within_lift``, orders taken as independent.
    p_value
        One-sided, for more joint baskets within the classes than by chance.
    """

    n_both: Integers
    lift: Floats
    within_lift: Floats
    low: Floats
    high: Floats
    p_value: Floats

    def disappears(self, level: float = 0.05) -> NDArray[np.bool_]:
        """Mark the pairs with a lift above 1 that is no longer told from 1 within the classes."""
        return np.asarray((self.lift > 1) & ~(self.p_value <= level))


def months(times: NDArray[np.datetime64]) -> Integers:
    """Return the calendar month of each basket as a class.

    Examples
    --------
    >>> months(np.array(["2017-01-31", "2017-02-01", "2018-01-01"], dtype="datetime64[us]")).tolist()
    [0, 1, 2]
    """
    return np.unique(times.astype("datetime64[M]"), return_inverse=True)[1].astype(np.int64)


def within_strata(baskets: Baskets, first: Integers, second: Integers, stratum: Integers) -> WithinStrata:
    """Compare the joint count of each pair of columns with its expectation within classes of baskets.

    Parameters
    ----------
    baskets
        All baskets.
    first, second
        Columns of the pairs.
    stratum
        Class of each basket, 0 and up: its month, whether a promotion ran, its size.

    Notes
    -----
    The statistic is Cochran's: observed minus expected, less half a basket, over the root of the hypergeometric
    variances summed over classes. The interval is that statistic turned round on the scale of the lift.

    Examples
    --------
    >>> import pandas as pd
    >>> from models.basket import encode_baskets
    >>> lines = pd.DataFrame({"order_id": ["1", "1", "2", "2", "3", "4"], "customer_id": "a",
    ...                       "category": ["tree", "star", "tree", "star", "milk", "milk"],
    ...                       "event_time": pd.to_datetime(["2017-12-01"] * 4 + ["2017-06-01"] * 2)})
    >>> baskets = encode_baskets(lines)
    >>> found = within_strata(baskets, np.array([1]), np.array([2]), months(baskets.times))
    >>> found.lift.tolist(), found.within_lift.tolist()
    ([2.0], [1.0])
    """
    matrix = baskets.matrix.astype(np.float64)
    n_strata = int(stratum.max(initial=-1)) + 1
    by_stratum = sparse.csr_array(
        (np.ones(len(stratum)), (stratum, np.arange(len(stratum)))), shape=(n_strata, len(stratum))
    )
    single = np.asarray((by_stratum @ matrix).toarray())
    size = np.bincount(stratum, minlength=n_strata).astype(np.float64)[:, None]
    both = _both(baskets, first, second)
    a, b = single[:, first], single[:, second]
    expected = (a * b / size).sum(axis=0)
    variance = (a * b * (size - a) * (size - b) / (size**2 * np.maximum(size - 1, 1))).sum(axis=0)
    spread = np.sqrt(variance)
    plain = single.sum(axis=0)[first] * single.sum(axis=0)[second] / max(len(stratum), 1)
    z = np.divide(both - expected - 0.5, spread, out=np.full(len(both), -np.inf), where=spread > 0)
    reach = (
        stats.norm.ppf(0.975) * np.sqrt(np.maximum(both, 1.0)) * _share(spread, np.sqrt(np.maximum(expected, 1e-300)))
    )
    return WithinStrata(
        both.astype(np.int64), _share(both, plain), _share(both, expected), _share(both - reach, expected),
        _share(both + reach, expected), np.asarray(stats.norm.sf(z)),
    )  # fmt: skip


def _both(baskets: Baskets, first: Integers, second: Integers) -> Floats:
    """Count the baskets with both, some pairs at a time, so that memory stays bounded."""
    columns = baskets.matrix.astype(np.int64).tocsc()
    both = np.zeros(len(first))
    for low in range(0, len(first), _CHUNK):
        part = slice(low, low + _CHUNK)
        both[part] = columns[:, first[part]].multiply(columns[:, second[part]]).sum(axis=0)
    return both


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))
