"""Baskets as a sparse matrix, and exact counts of the sets inside them.

A basket is the set of categories of one order. The matrix holds one row per basket and one column per category; every
count below is an integer of that matrix, and a threshold on a share is decided on integers, so a set that lies exactly
on it is never lost to the rounding of a float.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from mlxtend.frequent_patterns import hmine
from numpy.typing import NDArray
from scipy import sparse

Incidence: TypeAlias = sparse.csr_array[Any, tuple[int, int]]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Baskets:
    """Hold baskets by category as 0 and 1, with the household and the time of each basket.

    Parameters
    ----------
    matrix
        Baskets in rows (in the order of ``orders``), categories in columns, 1 where the basket holds the category.
    items
        Names of the columns, sorted.
    customers
        Code of the household of each basket, 0 and up. An anonymous basket is a household of its own.
    times
        ``event_time`` of each basket (UTC); of an order with several, the first.
    n_unlabelled_rows
        Rows without a category; they are in no basket.
    n_unlabelled_orders
        Orders of which no row has a category; they are no baskets and not in any denominator.
    n_duplicate_rows
        Rows that repeat a category of the same order; the category counts once.

    Notes
    -----
    No basket is capped: pairs are counted by a sparse product, in which one freak basket of 2,000 categories costs a
    few million additions, and the tests on rules judge it as one household.
    """

    matrix: Incidence
    items: NDArray[np.object_]
    customers: Integers
    times: NDArray[np.datetime64]
    n_unlabelled_rows: int = 0
    n_unlabelled_orders: int = 0
    n_duplicate_rows: int = 0

    @property
    def n_baskets(self) -> int:
        """Number of baskets."""
        return int(self.matrix.shape[0])

    @property
    def sizes(self) -> Integers:
        """Number of categories in each basket."""
        return np.diff(self.matrix.indptr).astype(np.int64)

    def where(self, keep: NDArray[np.bool_]) -> "Baskets":
        """Return the baskets that ``keep`` marks, with all columns."""
        return Baskets(self.matrix[np.flatnonzero(keep)], self.items, self.customers[keep], self.times[keep])


def encode_baskets(lines: pd.DataFrame) -> Baskets:
    """Turn (order, category) pairs into a basket matrix, the same for any order of the rows.

    Parameters
    ----------
    lines
        Columns ``order_id``, ``customer_id`` (null: anonymous), ``category`` (null: unknown), ``event_time``. Several
        rows of one order and category count once; what is left out is counted in the result.

    Examples
    --------
    >>> lines = pd.DataFrame({"order_id": ["1", "1", "2", "3"], "customer_id": ["a", "a", None, "a"],
    ...                       "category": ["milk", "bread", "milk", None], "event_time": pd.Timestamp("2017-01-01")})
    >>> baskets = encode_baskets(lines)
    >>> list(baskets.items), baskets.matrix.toarray().tolist(), baskets.n_unlabelled_orders
    (['bread', 'milk'], [[1, 1], [0, 1]], 1)
    """
    has_label = lines["category"].notna().to_numpy()
    known = lines[has_label]
    orders, items = pd.Categorical(known["order_id"]), pd.Categorical(known["category"])
    rows, columns = orders.codes.astype(np.int64), items.codes.astype(np.int64)
    shape = (len(orders.categories), len(items.categories))
    matrix: Incidence = sparse.coo_array((np.ones(len(rows), np.int32), (rows, columns)), shape=shape).tocsr()
    n_duplicates = len(rows) - matrix.nnz
    matrix.data = np.ones(matrix.nnz, np.uint8)
    return Baskets(
        matrix,
        np.asarray(items.categories, dtype=object),
        _households(known["customer_id"], rows, shape[0]),
        _first_times(known["event_time"], rows, shape[0]),
        int((~has_label).sum()),
        int(lines["order_id"].nunique() - shape[0]),
        n_duplicates,
    )


def _households(customers: "pd.Series[Any]", rows: Integers, n_baskets: int) -> Integers:
    """Return the household of each basket; of an order with several, the first by name."""
    codes = pd.Categorical(customers)
    nobody = len(codes.categories)
    named = np.where(codes.codes < 0, nobody, codes.codes).astype(np.int64)
    households = np.full(n_baskets, nobody)
    np.minimum.at(households, rows, named)
    anonymous = households == nobody
    households[anonymous] = nobody + np.arange(anonymous.sum())
    return np.unique(households, return_inverse=True)[1].astype(np.int64)


def _first_times(times: "pd.Series[Any]", rows: Integers, n_baskets: int) -> NDArray[np.datetime64]:
    instants = times.to_numpy(dtype="datetime64[us]").astype(np.int64)
    first = np.full(n_baskets, np.iinfo(np.int64).max)
    np.minimum.at(first, rows, instants)
    return first.astype("datetime64[us]")


def least_count(share: float, n: int) -> int:
    """Return the smallest count that is at least ``share`` of ``n``, at least 1, decided on integers.

    The share is read as the decimal that is written: 0.28 of 25 is 7, where ``ceil(0.28 * 25)`` in floats is 8.

    Examples
    --------
    >>> least_count(0.28, 25), least_count(0.001, 155_659)
    (7, 156)
    """
    exact = Fraction(str(share)) * n
    return max(1, -(-exact.numerator // exact.denominator))


def reaches_share(part: Integers, whole: Integers, share: float) -> NDArray[np.bool_]:
    """Mark where ``part`` is at least ``share`` of ``whole``, decided on integers.

    Examples
    --------
    >>> reaches_share(np.array([3, 2]), np.array([30, 30]), 0.1).tolist()
    [True, False]
    """
    exact = Fraction(str(share))
    return part * exact.denominator >= exact.numerator * whole


def pair_counts(matrix: Incidence) -> Integers:
    """Count the baskets that hold both categories, for all pairs; the diagonal counts the single categories.

    The result is dense: 8 bytes x items squared, so narrow the columns first where there are many thousands.

    Examples
    --------
    >>> pair_counts(sparse.csr_array(np.array([[1, 1, 0], [0, 1, 1]], dtype=np.uint8))).tolist()
    [[1, 1, 0], [1, 2, 1], [0, 1, 1]]
    """
    wide = matrix.astype(np.int64)
    return np.asarray((wide.T @ wide).toarray(), dtype=np.int64)


def frequent_itemsets(baskets: Baskets, min_support: float, max_len: int | None = 2) -> pd.DataFrame:
    """Return all sets of categories that at least ``min_support`` of the baskets hold.

    Parameters
    ----------
    baskets
        The encoded baskets.
    min_support
        Share of the baskets, 0 to 1.
    max_len
        Longest set. Singles and pairs are counted directly; longer sets (and None, no limit) are mined by mlxtend.

    Returns
    -------
    pandas.DataFrame
        mlxtend's columns ``support`` and ``itemsets`` (frozensets of column numbers of ``baskets.items``), and the
        integer ``n_orders``. Empty where nothing is frequent.

    Examples
    --------
    >>> lines = pd.DataFrame({"order_id": ["1", "1", "2"], "customer_id": "a", "category": ["milk", "bread", "milk"],
    ...                       "event_time": pd.Timestamp("2017-01-01")})
    >>> frequent_itemsets(encode_baskets(lines), 0.6)
       support        itemsets  n_orders
    0      1.0  frozenset({1})         2
    """
    n, least = baskets.n_baskets, least_count(min_support, baskets.n_baskets)
    if least > n:
        return _itemset_frame([], np.empty(0, np.int64), 1)
    if max_len is None or max_len > 2:
        return _mined_itemsets(baskets, least, max_len)
    counts = pair_counts(baskets.matrix)
    first, second = np.nonzero(np.triu(counts >= least))
    kept = np.lexsort((second, first, first != second))
    kept = kept[first[kept] == second[kept]] if max_len == 1 else kept
    first, second = first[kept], second[kept]
    itemsets = [frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    return _itemset_frame(itemsets, counts[first, second], n)


def _itemset_frame(itemsets: Sequence[frozenset[int]], n_orders: Integers, n: int) -> pd.DataFrame:
    column = pd.Series(list(itemsets), dtype=object)
    return pd.DataFrame({"support": n_orders / n, "itemsets": column, "n_orders": n_orders})


def _mined_itemsets(baskets: Baskets, least: int, max_len: int | None) -> pd.DataFrame:
    """Mine by H-mine (Pei et al. 2001), five times as fast as FP-growth in mlxtend on the same sparse frame."""
    frame = pd.DataFrame.sparse.from_spmatrix(baskets.matrix.astype(np.bool_))  # type: ignore[attr-defined]
    # mlxtend rounds the threshold up from a float; half a basket below the integer it cannot miss.
    mined = hmine(frame, min_support=(least - 0.5) / baskets.n_baskets, max_len=max_len)
    n_orders = np.rint(mined["support"].to_numpy(dtype=float) * baskets.n_baskets).astype(np.int64)
    return _itemset_frame([frozenset(map(int, itemset)) for itemset in mined["itemsets"]], n_orders, baskets.n_baskets)
