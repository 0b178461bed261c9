"""Rank the categories that a household has not bought yet.

The ranker is EASE (Steck 2019) on who bought what, times the recent adoption rate of each category; the baseline that
it must beat is popularity among households. Plain rules explain offers well and rank them badly: they do not rank here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from models.basket import Incidence, Integers
from models.cooccurrence import Floats

Ranker = Literal["ease", "popularity"]

EASE_SHARE = 0.65
"""Weight of EASE against adoption in the logarithm of the score."""

RIDGE = 300.0
"""EASE's ridge penalty before it is tuned."""

FLOOR = 1e-4
"""Least EASE score: about the share at which a purchase is not worth telling from none."""

CHUNK = 4_096
"""Households whose dense scores are in memory at once."""


@dataclass(frozen=True)
class Purchases:
    """Hold who bought which category when, in integer codes.

    Parameters
    ----------
    customer, category, order
        Code of each row; ``customer`` and ``category`` index the names below.
    times
        ``event_time`` of each row (UTC).
    cents
        Spend of each row.
    customers, categories
        Names, sorted.
    n_dropped_rows
        Rows without a customer or without a category, which cannot teach what a household buys.
    """

    customer: Integers
    category: Integers
    order: Integers
    times: NDArray[np.datetime64]
    cents: Integers
    customers: NDArray[np.object_]
    categories: NDArray[np.object_]
    n_dropped_rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of customers and categories."""
        return len(self.customers), len(self.categories)

    def between(self, start: datetime, end: datetime) -> NDArray[np.bool_]:
        """Mark the rows from ``start`` up to, not including, ``end``."""
        return (self.times >= np.datetime64(start)) & (self.times < np.datetime64(end))


def encode_purchases(lines: pd.DataFrame) -> Purchases:
    """Turn order lines by category into codes, the same names for any order of the rows.

    Parameters
    ----------
    lines
        Columns ``order_id``, ``customer_id`` (null: anonymous), ``category`` (null: unknown), ``event_time``,
        ``amount_cents``.
    """
    keep = (lines["customer_id"].notna() & lines["category"].notna()).to_numpy()
    known = lines[keep]
    customers, categories = pd.Categorical(known["customer_id"]), pd.Categorical(known["category"])
    return Purchases(
        customers.codes.astype(np.int64),
        categories.codes.astype(np.int64),
        pd.Categorical(known["order_id"]).codes.astype(np.int64),
        known["event_time"].to_numpy(dtype="datetime64[us]"),
        known["amount_cents"].to_numpy(dtype=np.int64),
        np.asarray(customers.categories, dtype=object),
        np.asarray(categories.categories, dtype=object),
        int((~keep).sum()),
    )


def bought(purchases: Purchases, start: datetime, end: datetime) -> Incidence:
    """Return customers by categories, 1 where the customer bought the category in the window."""
    rows = purchases.between(start, end)
    matrix = spend(purchases, rows)
    matrix.data = np.ones(matrix.nnz, np.uint8)
    return matrix


def spend(purchases: Purchases, rows: NDArray[np.bool_]) -> Incidence:
    """Return customers by categories, the cents spent in the marked rows; a stored 0 is a purchase for nothing."""
    where = (purchases.customer[rows], purchases.category[rows])
    matrix: Incidence = sparse.coo_array((purchases.cents[rows], where), shape=purchases.shape).tocsr()
    return matrix


@dataclass(frozen=True)
class Situation:
    """Hold what may be known about households and categories at one instant.

    Parameters
    ----------
    rows
        Customers (codes) with a purchase in the lookback; the rows of what follows.
    owned
        Their categories of the lookback, 0 and 1.
    activity
        Logarithm of 1 + their orders of the last horizon.
    popularity
        Share of them that owns each category.
    adoption
        Of the households without the category at the start of the last horizon, the share that took it up in it.
    weights
        EASE weights: how much owning a category (row) speaks for another (column).
    is_offerable
        Which categories may be offered at all.
    """

    rows: Integers
    owned: Incidence
    activity: Floats
    popularity: Floats
    adoption: Floats
    weights: Floats
    is_offerable: NDArray[np.bool_]


def situation(
    purchases: Purchases,
    at: datetime,
    *,
    horizon_days: int,
    lookback_days: int,
    not_offered: Sequence[str] = (),
    ridge: float | None = RIDGE,
) -> Situation:
    """Describe households and categories by what happened before ``at``.

    Parameters
    ----------
    purchases
        All purchases; those at or after ``at`` are not used.
    at
        Instant (UTC), half-open.
    horizon_days, lookback_days
        Length of the recent window, and of the memory of what a household owns.
    not_offered
        Categories that are evidence but never offers.
    ridge
        EASE's ridge penalty; None leaves the weights out (no rows), where only what is known shall be ranked.
    """
    start, recent = at - timedelta(days=lookback_days), at - timedelta(days=horizon_days)
    everything = bought(purchases, start, at)
    rows = np.flatnonzero(np.diff(everything.indptr))
    owned = everything[rows]
    orders = _orders(purchases, recent, at)[rows]
    before, after = bought(purchases, start, recent), bought(purchases, recent, at)
    return Situation(
        rows,
        owned,
        np.log1p(orders),
        np.asarray(owned.sum(axis=0, dtype=np.int64)) / max(len(rows), 1),
        adoption_rate(before, after),
        np.empty((0, 0)) if ridge is None else ease_weights(owned, ridge),
        ~np.isin(purchases.categories.astype(str), list(not_offered)),
    )


def _orders(purchases: Purchases, start: datetime, end: datetime) -> Integers:
    rows = purchases.between(start, end)
    pairs = np.unique(np.stack([purchases.customer[rows], purchases.order[rows]]), axis=1)
    return np.bincount(pairs[0], minlength=purchases.shape[0]).astype(np.int64)


def ease_weights(owned: Incidence, ridge: float) -> Floats:
    """Return the item-item weights of EASE (Steck 2019), diagonal 0; 24 bytes x categories squared at the peak.

    Examples
    --------
    >>> owned = sparse.csr_array(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.uint8))
    >>> ease_weights(owned, 1.0).round(2).tolist()
    [[0.0, 0.67, 0.0], [0.67, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    wide = owned.astype(np.float64)
    gram = (wide.T @ wide).toarray()
    np.fill_diagonal(gram, gram.diagonal() + ridge)
    inverse = np.linalg.inv(gram)
    weights: Floats = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0.0)
    return weights + 0.0


def adoption_rate(before: Incidence, after: Incidence) -> Floats:
    """Return, by category, the share of known households without it that took it up.

    Half a household is added to those who did and five to those who could, so a rare category has a rate.

    Examples
    --------
    >>> before = sparse.csr_array(np.array([[1, 0], [1, 0], [0, 1]], dtype=np.uint8))
    >>> after = sparse.csr_array(np.array([[0, 1], [0, 0], [0, 0]], dtype=np.uint8))
    >>> adoption_rate(before, after).round(3).tolist()
    [0.083, 0.214]
    """
    known = np.flatnonzero(np.diff(before.indptr))
    old, recent = before[known].astype(np.int64), after[known].astype(np.int64)
    n_new = np.asarray(recent.sum(axis=0)) - np.asarray(recent.multiply(old).sum(axis=0))
    n_without = len(known) - np.asarray(old.sum(axis=0))
    return np.asarray((n_new + 0.5) / (n_without + 5.0), dtype=np.float64)


def chunks(rows: Integers) -> Iterator[Integers]:
    """Yield the rows, at most ``CHUNK`` at a time."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def log_scores(known: Situation, ranker: Ranker, rows: Integers) -> Floats:
    """Return the logarithm of the score of each category for some rows; minus infinity for what is no offer."""
    owned = known.owned[rows]
    if ranker == "popularity":
        score = np.broadcast_to(np.log(known.popularity + FLOOR), owned.shape)
    else:
        ease = np.log(np.maximum(owned.astype(np.float64) @ known.weights, FLOOR))
        score = EASE_SHARE * ease + (1 - EASE_SHARE) * np.log(known.adoption)
    return np.where((owned.toarray() > 0) | ~known.is_offerable, -np.inf, score)


def top(scores: Floats, n: int) -> Integers:
    """Return the columns of the ``n`` best scores of each row, best first, ties by column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :n].astype(np.int64)


def gains(scores: Floats, truth: NDArray[Any], n: int = 10) -> tuple[Floats, Floats]:
    """Return NDCG and recall at ``n`` of each row that has something to find; NaN for the others.

    Binary gain; the ideal list holds ``min(n, targets)`` hits.

    Examples
    --------
    >>> ndcg, recall = gains(np.array([[3.0, 2.0, 1.0]]), np.array([[0, 1, 0]]), 2)
    >>> ndcg.round(3).tolist(), recall.tolist()
    ([0.631], [1.0])
    """
    hit = np.take_along_axis(truth > 0, top(scores, n), axis=1)
    n_targets = (truth > 0).sum(axis=1)
    discount = 1 / np.log2(np.arange(2, n + 2))
    ideal = np.concatenate([[np.nan], np.cumsum(discount)])[np.minimum(n_targets, n)]
    recall = np.divide(hit.sum(axis=1), n_targets, out=np.full(len(hit), np.nan), where=n_targets > 0)
    return hit @ discount[: hit.shape[1]] / ideal, recall
