"""Test whether two categories share more baskets than big baskets and busy households explain.

Two things make almost any pair of categories look associated. A big basket holds more of everything, so with baskets of
very different size every plain lift exceeds 1, even where the categories are chosen independently. And the baskets of
one household are alike, so they are not the independent trials that Fisher's test counts. Here the expectation of each
pair is taken within classes of basket size, and the test's unit is the household.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from models.basket import Baskets, Incidence, Integers

Floats = NDArray[np.float64]

N_STRATA = 12
"""Classes of basket size; 8 to 77 of them gave the same expectations to 0.2 %."""

N_GROUPS = 2_500
"""Independent units of the test. More households than that share groups: still independent, at bounded cost."""

CHUNK = 64
"""Groups whose category by category tables are in memory at once."""


@dataclass(frozen=True)
class AdjustedPairs:
    """Hold what basket size and households leave of each pair.

    Parameters
    ----------
    n_orders
        Baskets with both categories.
    expected
        Baskets expected with both, given the size of each and how often each category is in baskets of that size.
    lift
        ``n_orders / expected``; NaN where nothing is expected.
    p_value
        One-sided, for more baskets than expected: the larger of a Poisson tail and a household-clustered t tail.
    """

    n_orders: Integers
    expected: Floats
    lift: Floats
    p_value: Floats


@dataclass(frozen=True)
class _Null:
    """Hold, by stratum of basket size: baskets, share of each category, expected share of each pair."""

    stratum: Integers
    n_baskets: Floats
    shares: Floats
    joint: Floats


@dataclass(frozen=True)
class _Chunk:
    """Hold the baskets of some whole groups of households, with the stratum and the group of each."""

    matrix: Incidence
    stratum: Integers
    group: Integers


def size_adjusted(baskets: Baskets, first: Integers, second: Integers) -> AdjustedPairs:
    """Compare the joint count of each pair of columns with its expectation given basket sizes.

    Parameters
    ----------
    baskets
        All baskets, with the columns that take part; baskets with one category hold no pair and drop out.
    first, second
        Columns of the pairs; no pair of a column with itself.

    Notes
    -----
    Within a class of basket size the expected joint share of A and B is Hájek's (1964) for samples of fixed size,
    ``a b (1 - (1 - a)(1 - b) / d)`` with ``d`` the sum of ``a (1 - a)`` over all categories, raked so that each
    category keeps the number of pairs that it really takes part in. As ``a`` and ``b`` are the shares of the class,
    nothing is assumed about how the mix changes with size.

    The Poisson tail is conservative for a sum of independent baskets (Hoeffding 1956). The clustered statistic is the
    sum over households of the centred product ``(x_A - a)(x_B - b)`` with its correction, which adds up to observed
    minus expected, over the root of its summed squares; degrees of freedom are the effective number of households
    ``(sum c²)² / sum c⁴``, so that a pair that one heavy household makes cannot be significant.
    """
    null = _fit_null(baskets, first, second)
    observed = _joint_counts(baskets.matrix, first, second)
    expected = null.n_baskets @ null.joint
    p_value: Floats = np.asarray(stats.poisson.sf(observed - 1, expected), dtype=np.float64)
    above = np.flatnonzero(observed > expected)
    clustered = _clustered_p(baskets, null, first, second, above)
    p_value[above] = np.maximum(p_value[above], clustered)
    lift = np.divide(observed, expected, out=np.full(len(first), np.nan), where=expected > 0)
    return AdjustedPairs(observed, expected, _stable(lift), _stable(np.where(observed > 0, p_value, 1.0)))


def _stable(values: Floats) -> Floats:
    """Round to 30 bits (9 digits): the bits after them may depend on how many threads the linear algebra had."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.round(mantissa * 2.0**30) / 2.0**30, exponent), dtype=np.float64)


def _joint_counts(matrix: Incidence, first: Integers, second: Integers) -> Integers:
    wide = matrix.astype(np.int64)
    return np.asarray((wide.T @ wide).toarray(), dtype=np.int64)[first, second]


def size_strata(sizes: Integers) -> Integers:
    """Return the class of each basket by its size, classes holding about equally many pairs; -1 below two categories.

    Examples
    --------
    >>> size_strata(np.array([0, 1, 2, 2, 3])).tolist()
    [-1, -1, 0, 0, 1]
    """
    by_size = np.bincount(sizes, minlength=3)
    size = np.arange(len(by_size))
    pairs = np.where(size < 2, 0.0, by_size * size * (size - 1.0))
    if not pairs.any():
        return np.full(len(sizes), -1)
    middle = (np.cumsum(pairs) - pairs / 2) / pairs.sum()
    classes = np.full(len(by_size), -1)
    filled = pairs > 0
    classes[filled] = np.unique((middle[filled] * N_STRATA).astype(np.int64), return_inverse=True)[1]
    return classes[sizes]


def _fit_null(baskets: Baskets, first: Integers, second: Integers) -> _Null:
    sizes = baskets.sizes
    stratum = size_strata(sizes)
    n_strata = int(stratum.max(initial=-1)) + 1
    n_baskets = np.bincount(stratum[stratum >= 0], minlength=n_strata).astype(float)
    shares = np.zeros((n_strata, baskets.matrix.shape[1]))
    joint = np.zeros((n_strata, len(first)))
    for k in range(n_strata):
        members = np.flatnonzero(stratum == k)
        inside = baskets.matrix[members].astype(np.float64)
        shares[k] = inside.sum(axis=0) / n_baskets[k]
        partners = inside.T @ (sizes[members] - 1.0) / n_baskets[k]
        joint[k] = _expected_joint(shares[k], partners)[first, second]
    return _Null(stratum, n_baskets, shares, joint)


def _expected_joint(shares: Floats, partners: Floats) -> Floats:
    """Return Hájek's joint shares, raked until category i has ``partners[i]`` pairs per basket."""
    spread = float((shares * (1 - shares)).sum())
    apart = np.outer(1 - shares, 1 - shares) / spread if spread > 0 else np.zeros((len(shares), len(shares)))
    joint: Floats = np.outer(shares, shares) * np.clip(1 - apart, 1e-3, None)
    np.fill_diagonal(joint, 0.0)
    weight = np.ones(len(shares))
    for _ in range(100):
        reached = weight * (joint @ weight)
        ratio = np.divide(partners, reached, out=np.ones_like(reached), where=reached > 0)
        weight *= np.sqrt(ratio)
        if np.abs(ratio - 1).max() < 1e-6:
            break
    return joint * np.outer(weight, weight)


def _clustered_p(baskets: Baskets, null: _Null, first: Integers, second: Integers, chosen: Integers) -> Floats:
    """Return the one-sided p-value of each chosen pair with the group of households as the unit."""
    a, b = first[chosen], second[chosen]
    total, squares, fourths = np.zeros(len(a)), np.zeros(len(a)), np.zeros(len(a))
    if len(a) == 0:
        return total
    centre = 2 * null.shares[:, a] * null.shares[:, b] - null.joint[:, chosen]
    for each in _group_chunks(baskets, null.stratum):
        excess = _group_excess(each, null.shares, centre, (a, b))
        total += excess.sum(axis=0)
        squares += (excess**2).sum(axis=0)
        fourths += (excess**4).sum(axis=0)
    z = np.divide(total, np.sqrt(squares), out=np.zeros_like(total), where=squares > 0)
    freedom = np.divide(squares**2, fourths, out=np.ones_like(total), where=fourths > 0)
    return np.asarray(stats.t.sf(z, freedom))


def _group_chunks(baskets: Baskets, stratum: Integers) -> Iterator[_Chunk]:
    """Yield the baskets that hold a pair, some whole groups of households at a time."""
    members = np.flatnonzero(stratum >= 0)
    group = np.unique(baskets.customers[members], return_inverse=True)[1] % N_GROUPS
    order = np.argsort(group, kind="stable")
    members, group = members[order], group[order]
    starts = np.searchsorted(group, np.arange(0, int(group[-1]) + 1, CHUNK))
    for low, high in zip(starts, [*starts[1:], len(group)], strict=True):
        yield _Chunk(baskets.matrix[members[low:high]], stratum[members[low:high]], group[low:high] - group[low])


def _group_excess(chunk: _Chunk, shares: Floats, centre: Floats, pairs: tuple[Integers, Integers]) -> Floats:
    """Return observed minus expected joint baskets of each group (rows) for each pair (columns)."""
    (a, b), (n_strata, n_items) = pairs, shares.shape
    n_groups = int(chunk.group.max()) + 1
    cell = chunk.group * n_strata + chunk.stratum
    by_cell = _indicator(cell, n_groups * n_strata)
    held = (by_cell @ chunk.matrix.astype(np.float64)).toarray().reshape(n_groups, n_strata, n_items)
    crossed = shares.T @ held
    n_cell = np.bincount(cell, minlength=n_groups * n_strata).reshape(n_groups, n_strata).astype(float)
    by_item = chunk.matrix.tocsc().astype(np.float64)
    both = _indicator(chunk.group, n_groups) @ by_item[:, a].multiply(by_item[:, b])
    excess: Floats = both.toarray() - crossed[:, a, b] - crossed[:, b, a] + n_cell @ centre
    return excess


def _indicator(code: Integers, n_rows: int) -> "sparse.csr_array[Any, tuple[int, int]]":
    columns = np.arange(len(code))
    return sparse.coo_array((np.ones(len(code)), (code, columns)), shape=(n_rows, len(code))).tocsr()
