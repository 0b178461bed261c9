"""Count pairs fast, inside a stated memory: each pair inside each basket is one increment of a table of counters.

Categories are ranked by how often they sell, so the counters that are hit most lie together in the cache, and baskets
are taken size by size, so that the pairs of thousands of baskets are one vector. The sparse product ``XᵀX`` gives the
same counts and is the reference in the tests; it takes over, band by band, where the table would not fit.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.basket import Baskets, Incidence, Integers

MAX_TABLE_BYTES = 512 * 2**20
"""Largest table of counters; more frequent categories than it holds are counted in bands."""

_BUFFER = 1 << 16
"""Pairs per vector of increments: 512 KiB, which stays in a core's cache."""
_PRODUCT_BYTES = 12
"""Bytes of one stored entry of a sparse product: a count and a column."""


@dataclass(frozen=True)
class CountingPlan:
    """Say what counting will take, before it begins.

    Parameters
    ----------
    n_baskets, n_frequent
        Baskets, and categories that are frequent by themselves: only they can be in a frequent pair.
    n_increments
        Pairs of frequent categories inside baskets: the work.
    n_bands
        Parts in which the pairs are counted; 1 where the table of counters fits.
    memory_bytes
        Most that counting holds at once besides the baskets.
    """

    n_baskets: int
    n_frequent: int
    n_increments: int
    n_bands: int
    memory_bytes: int

    def __str__(self) -> str:
        bands = "" if self.n_bands == 1 else f", in {self.n_bands:,} bands"
        return (
            f"{self.n_increments:,} pairs of {self.n_frequent:,} frequent categories in {self.n_baskets:,} baskets "
            f"to count, within {self.memory_bytes / 2**20:,.0f} MiB{bands}"
        )


@dataclass(frozen=True)
class PairCounts:
    """Hold the frequent pairs, each once, with ``first < second`` as columns of the matrix, sorted.

    Parameters
    ----------
    first, second
        Columns of each pair.
    n_both
        Baskets with both.
    single
        Baskets with each category, frequent or not.
    """

    first: Integers
    second: Integers
    n_both: Integers
    single: Integers


@dataclass(frozen=True)
class CapReport:
    """Say what a cap on freak baskets changed.

    Parameters
    ----------
    max_size
        Most categories that a basket may hold to be counted.
    n_left_out
        Baskets above it.
    share_of_pairs
        Share of all pairs inside baskets that went with them, 0 to 1.
    """

    max_size: int
    n_left_out: int
    share_of_pairs: float

    def __str__(self) -> str:
        return (
            f"{self.n_left_out:,} baskets of more than {self.max_size:,} categories are left out; they held "
            f"{self.share_of_pairs:.1%} of all pairs"
        )


def cap_baskets(baskets: Baskets, max_size: int) -> tuple[Baskets, CapReport]:
    """Leave out baskets of more than ``max_size`` categories and say what that changed.

    Examples
    --------
    >>> import pandas as pd
    >>> from models.basket import encode_baskets
    >>> lines = pd.DataFrame({"order_id": ["1", "1", "1", "2", "2"], "customer_id": "a", "category": list("abcab"),
    ...                       "event_time": pd.Timestamp("2017-01-01")})
    >>> kept, report = cap_baskets(encode_baskets(lines), 2)
    >>> kept.n_baskets, str(report)
    (1, '1 baskets of more than 2 categories are left out; they held 75.0% of all pairs')
    """
    sizes = baskets.sizes
    keep = sizes <= max_size
    pairs = sizes * (sizes - 1) // 2
    share = float(pairs[~keep].sum() / max(int(pairs.sum()), 1))
    return (baskets if keep.all() else baskets.where(keep)), CapReport(max_size, int((~keep).sum()), share)


def plan_counting(matrix: Incidence, least: int, max_table_bytes: int = MAX_TABLE_BYTES) -> CountingPlan:
    """Estimate the work and the memory of counting the pairs that at least ``least`` baskets hold.

    Parameters
    ----------
    matrix
        Baskets by categories, 0 and 1, no entry twice.
    least
        Fewest baskets that make a category or a pair frequent.
    max_table_bytes
        Largest table of counters.

    Examples
    --------
    >>> from scipy import sparse
    >>> str(plan_counting(sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1]])), 2))
    '2 pairs of 2 frequent categories in 2 baskets to count, within 1 MiB'
    """
    narrow = _ranked(matrix, least)
    n_bands = _n_bands(len(narrow.columns), max_table_bytes)
    table = len(narrow.columns) ** 2 * (4 if n_bands == 1 else _PRODUCT_BYTES) // n_bands
    # Ranks, marks and running counts of all entries are held while the frequent ones are picked.
    baskets = matrix.nnz * 17 + narrow.items.nbytes * (0 if n_bands == 1 else 4) + narrow.sizes.nbytes * 4
    n_increments = int((narrow.sizes * (narrow.sizes - 1) // 2).sum())
    memory = table + baskets + 8 * _BUFFER
    return CountingPlan(int(matrix.shape[0]), len(narrow.columns), n_increments, n_bands, memory)


def frequent_pairs(matrix: Incidence, least: int, max_table_bytes: int = MAX_TABLE_BYTES) -> PairCounts:
    """Count the pairs of categories that at least ``least`` baskets hold.

    Parameters
    ----------
    matrix, least, max_table_bytes
        As in ``plan_counting``.

    Examples
    --------
    >>> from scipy import sparse
    >>> found = frequent_pairs(sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1]])), 2)
    >>> found.first.tolist(), found.second.tolist(), found.n_both.tolist(), found.single.tolist()
    ([0], [1], [2], [2, 2, 1])
    """
    narrow = _ranked(matrix, least)
    if _n_bands(len(narrow.columns), max_table_bytes) == 1:
        table = _counted(narrow)
        one, other = np.nonzero(table >= max(least, 1))
        n_both = table[one, other].astype(np.int64)
    else:
        one, other, n_both = _banded(narrow, least, max_table_bytes)
    left, right = narrow.columns[one], narrow.columns[other]
    first, second = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((second, first))
    return PairCounts(first[order], second[order], n_both[order], narrow.single)


@dataclass(frozen=True)
class _Ranked:
    """Hold the baskets' frequent items by rank (0 sells most), basket after basket, and what the ranks stand for."""

    items: NDArray[np.int32]
    sizes: Integers
    columns: Integers
    single: Integers


def _ranked(matrix: Incidence, least: int) -> _Ranked:
    single = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)
    frequent = np.flatnonzero(single >= max(least, 1))
    columns = frequent[np.argsort(-single[frequent], kind="stable")]
    rank = np.full(matrix.shape[1], -1, dtype=np.int32)
    rank[columns] = np.arange(len(columns), dtype=np.int32)
    items = rank[matrix.indices]
    is_kept = items >= 0
    before = np.concatenate([[0], np.cumsum(is_kept)])
    sizes = np.diff(before[matrix.indptr]).astype(np.int64)
    return _Ranked(items[is_kept], sizes, columns, single)


def _n_bands(n_items: int, max_table_bytes: int) -> int:
    """Return 1 where a full table of 4-byte counters fits, else the bands of a sparse product that do."""
    if n_items * n_items * 4 <= max_table_bytes:
        return 1
    return -(-n_items * n_items * _PRODUCT_BYTES // max_table_bytes)


def _counted(narrow: _Ranked) -> NDArray[np.uint32]:
    """Return the table of counters, each pair above the diagonal: the one that sells more in the row."""
    n = len(narrow.columns)
    table = np.zeros(n * n, dtype=np.uint32)
    starts = np.cumsum(narrow.sizes) - narrow.sizes
    by_size = np.argsort(narrow.sizes, kind="stable")
    ends = np.cumsum(np.bincount(narrow.sizes))
    keys = np.empty(_BUFFER, dtype=np.int64)
    for size in range(2, len(ends)):
        baskets = by_size[ends[size - 1] : ends[size]]
        step = max(1, 2 * _BUFFER // (size * (size - 1)))
        for low in range(0, len(baskets), step):
            _increment(table, keys, narrow.items, starts[baskets[low : low + step]], size)
    return table.reshape(n, n)


def _increment(
    table: NDArray[np.uint32], keys: Integers, items: NDArray[np.int32], starts: Integers, size: int
) -> None:
    """Add the pairs of some baskets of one size; a basket too large for the buffer is added place by place."""
    held = np.sort(items[starts[:, None] + np.arange(size)], axis=1).T.astype(np.int64, order="C")
    rows = held * round(len(table) ** 0.5)
    filled = 0
    for place in range(size - 1):
        n_keys = (size - 1 - place) * len(starts)
        if filled + n_keys > len(keys):
            np.add.at(table, keys[:filled], np.uint32(1))
            filled = 0
        if n_keys > len(keys):
            np.add.at(table, (rows[place] + held[place + 1 :]).ravel(), np.uint32(1))
            continue
        np.add(rows[place], held[place + 1 :], out=keys[filled : filled + n_keys].reshape(-1, len(starts)))
        filled += n_keys
    np.add.at(table, keys[:filled], np.uint32(1))


def _banded(narrow: _Ranked, least: int, max_table_bytes: int) -> tuple[Integers, Integers, Integers]:
    """Count by sparse products of a few columns at a time with all; keep what is frequent of each."""
    n, n_bands = len(narrow.columns), _n_bands(len(narrow.columns), max_table_bytes)
    ends = np.concatenate([[0], np.cumsum(narrow.sizes)])
    ones = np.ones(len(narrow.items), dtype=np.uint32)
    matrix = sparse.csr_array((ones, narrow.items, ends), shape=(len(narrow.sizes), n))
    turned = matrix.T.tocsr()
    found: list[tuple[Integers, Integers, Integers]] = []
    edges = np.linspace(0, n, n_bands + 1).astype(np.int64)
    for low, high in pairwise(edges):
        product = (turned[low:high] @ matrix).tocoo()
        row, column = (axis.astype(np.int64) for axis in product.coords)
        keep = (product.data >= max(least, 1)) & (row + low < column)
        found.append((row[keep] + low, column[keep], product.data[keep].astype(np.int64)))
    one, other, n_both = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return one, other, n_both
