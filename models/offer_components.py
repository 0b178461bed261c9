"""What speaks for a category to a household: component scores, and the features of the pairs that a ranker weighs.

The components are those that did best on grocery and on gift shopping: EASE (Steck 2019) on who bought what and on how
often, neighbours among categories and among households (also only what the neighbours bought lately), TIFU-KNN (Hu et
al. 2020), popularity, adoption, and for what a household knows its own frequency with decay, its rhythm and its last
orders. Windows are multiples of the horizon, so the same code serves weekly groceries and yearly gifts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.basket import Incidence, Integers
from models.cooccurrence import Floats
from models.recommend import Purchases, Situation, adoption_rate, bought, ease_weights, log_scores, top

Features: TypeAlias = NDArray[np.float32]

HALF_LIVES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Half-lives of a purchase's weight, in horizons."""

N_NEW, N_NEW_AT_REPEAT, N_HELD = 150, 50, 300
"""Candidates per household: new ones, new ones where repeats are ranked, and those it knows."""

MAX_REFERENCES = 4_096
"""Households among which neighbours are sought."""

N_ITEM_NEIGHBOURS, N_USER_NEIGHBOURS, N_TIFU_NEIGHBOURS = 200, 200, 300
COUNT_RIDGE = 50.0
"""EASE's ridge penalty on the logarithm of counts."""

_PRIOR_INTERVALS = 2.0
_NOT_NEW = -12.0
_DENSE = 0.05
_TIFU_GROUP, _TIFU_INSIDE, _TIFU_ACROSS, _TIFU_OWN = 7, 0.9, 0.7, 0.7


@dataclass(frozen=True)
class Held:
    """Hold what each household did with each category that it knows, in the order of the entries of ``owned``.

    Parameters
    ----------
    count
        Its orders with the category.
    last, first
        Days since the newest and the oldest of them.
    decayed
        Sums of ``2 ** -(age / half-life)``, one row per half-life.
    in_last, in_last_five
        How many of the last one and five orders hold it.
    by_order
        Sum of ``.9 ** (orders since)``.
    tifu
        Weight in TIFU-KNN's vector of the household.
    """

    count: Floats
    last: Floats
    first: Floats
    decayed: Floats
    in_last: Floats
    in_last_five: Floats
    by_order: Floats
    tifu: Floats


@dataclass(frozen=True)
class Standing:
    """Hold all that the components need to know at one instant.

    Parameters
    ----------
    known
        Who owns what, EASE's weights, adoption and popularity.
    held
        Facts of each household and category that it knows.
    households, items
        Columns of facts of each household and of each category.
    counts
        Weights of EASE on logarithms of counts; no columns where repeats are not ranked.
    similar
        Cosine of each category with its nearest ones.
    references
        Rows of ``known`` among which neighbours are sought.
    tastes
        Each household's categories, rare ones heavier, as a vector of length 1.
    lately
        Which categories the references bought in the last horizon.
    lookback_days
        Age of a purchase that is forgotten.
    """

    known: Situation
    held: Held
    households: Floats
    items: Floats
    counts: Floats
    similar: Floats
    references: Integers
    tastes: Incidence
    lately: Incidence
    lookback_days: float

    def entries(self, values: Floats, rows: Integers | None = None) -> Incidence:
        """Return one fact of ``held`` as a matrix, of all households or of some."""
        owned = self.known.owned
        matrix = sparse.csr_array((values, owned.indices, owned.indptr), shape=owned.shape)
        return matrix if rows is None else matrix[rows]


def standing(
    purchases: Purchases, known: Situation, at: datetime, *, horizon_days: int, lookback_days: int
) -> Standing:
    """Describe households and categories for the components by what happened before ``at``.

    Parameters
    ----------
    purchases, at, horizon_days, lookback_days
        As in ``models.recommend.situation``, which made ``known``.
    """
    start = at - timedelta(days=lookback_days)
    rows = np.flatnonzero(purchases.between(start, at))
    place = np.full(purchases.shape[0], -1)
    place[known.rows] = np.arange(len(known.rows))
    household, item = place[purchases.customer[rows]], purchases.category[rows]
    age = (np.datetime64(at) - purchases.times[rows]) / np.timedelta64(1, "D")
    since = _orders_since(household, purchases.order[rows], age)
    entry = np.unique(household * purchases.shape[1] + item, return_inverse=True)[1]
    held = _held(entry, household, age, since, horizon_days)
    lines = _Lines(household, item, purchases.order[rows], age, purchases.cents[rows].astype(np.float64))
    items, price = _item_facts(purchases, (start, at), (known, held), lines, horizon_days)
    references = spread(len(known.rows), MAX_REFERENCES)
    recent = bought(purchases, at - timedelta(days=horizon_days), at)[known.rows]
    logs = sparse.csr_array((np.log1p(held.count), known.owned.indices, known.owned.indptr), shape=known.owned.shape)
    return Standing(
        known, held, _household_facts(known, held, lines, price, horizon_days), items,
        ease_weights(logs, COUNT_RIDGE) if len(known.weights) else known.weights,
        _similar(known.owned) if len(known.weights) else known.weights, references,
        _tastes(known), recent[references], float(lookback_days),
    )  # fmt: skip


@dataclass(frozen=True)
class _Lines:
    household: Integers
    item: Integers
    order: Integers
    age: Floats
    cents: Floats


def spread(n: int, most: int) -> Integers:
    """Return at most ``most`` of ``n`` numbers, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)) if n else np.empty(0, np.int64)


def _orders_since(household: Integers, order: Integers, age: Floats) -> Integers:
    """Return for each row how many of its household's orders are newer: 0 for the last order."""
    _, one, back = np.unique(order, return_index=True, return_inverse=True)
    oldest = np.full(len(one), -np.inf)
    np.maximum.at(oldest, back, age)
    by_time = np.lexsort((one, oldest, household[one]))
    owner = household[one][by_time]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    since = np.empty(len(one), dtype=np.int64)
    since[by_time] = place
    return since[back]


def _held(entry: Integers, household: Integers, age: Floats, since: Integers, horizon_days: int) -> Held:
    n = int(entry.max(initial=-1)) + 1

    def total(weights: NDArray[Any]) -> Floats:
        return np.bincount(entry, weights=weights, minlength=n).astype(np.float64)

    last, first = np.full(n, np.inf), np.zeros(n)
    np.minimum.at(last, entry, age)
    np.maximum.at(first, entry, age)
    n_orders = np.zeros(int(household.max(initial=-1)) + 1)
    np.maximum.at(n_orders, household, since + 1.0)
    group, n_groups = since // _TIFU_GROUP, np.ceil(n_orders / _TIFU_GROUP)[household]
    inside = np.minimum(_TIFU_GROUP, n_orders[household] - _TIFU_GROUP * group)
    tifu = _TIFU_INSIDE ** (since % _TIFU_GROUP) / inside * _TIFU_ACROSS**group / n_groups
    decayed = np.stack([total(np.exp2(-age / (share * horizon_days))) for share in HALF_LIVES])
    return Held(
        total(np.ones(len(age))), last, first, decayed, total((since == 0) * 1.0), total((since < 5) * 1.0),
        total(0.9**since), total(tifu),
    )  # fmt: skip


def _household_facts(known: Situation, held: Held, lines: _Lines, price: Floats, horizon_days: int) -> Floats:
    """Return: size, orders, orders lately, days since the last and the first, new categories lately, basket, price."""
    n = len(known.rows)
    _, one = np.unique(lines.order, return_index=True)
    owner, when = lines.household[one], lines.age[one]
    n_orders = np.bincount(owner, minlength=n).astype(float)
    last, first = np.full(n, np.inf), np.zeros(n)
    np.minimum.at(last, owner, when)
    np.maximum.at(first, owner, when)
    row = np.repeat(np.arange(n), np.diff(known.owned.indptr))
    n_lines = np.maximum(np.bincount(lines.household, minlength=n), 1)
    return np.column_stack([
        np.log1p(np.diff(known.owned.indptr)), np.log1p(n_orders),
        np.log1p(np.bincount(owner[when <= horizon_days], minlength=n)), np.log1p(last), np.log1p(first),
        np.log1p(np.bincount(row, weights=held.first <= horizon_days, minlength=n)),
        np.log1p(n_lines / np.maximum(n_orders, 1)),
        np.bincount(lines.household, weights=price[lines.item], minlength=n) / n_lines,
    ])  # fmt: skip


def _item_facts(
    purchases: Purchases,
    window: tuple[datetime, datetime],
    state: tuple[Situation, Held],
    lines: _Lines,
    horizon: int,
) -> tuple[Floats, Floats]:
    """Return columns of facts of each category, the last its mean interval in days; and the logarithm of its price."""
    (start, at), (known, held), n = window, state, purchases.shape[1]
    column = known.owned.indices
    n_owners, n_sold = np.bincount(column, minlength=n), np.bincount(lines.item, minlength=n)
    price = np.log1p(np.maximum(np.bincount(lines.item, weights=lines.cents, minlength=n), 0) / np.maximum(n_sold, 1))
    again = held.count > 1
    interval = np.where(again, (held.first - held.last) / np.maximum(held.count - 1, 1), 0.0)
    n_again = np.bincount(column, weights=again, minlength=n)
    usual = 2.0 * horizon
    interval = (np.bincount(column, weights=interval, minlength=n) + 2 * usual) / (n_again + 2)
    shares = [_sold(lines, n, at_most) for at_most in (np.inf, horizon, horizon / 2)]
    windows = [_adoption(purchases, start, at, days) for days in (horizon / 2, 2 * horizon)]
    facts = np.column_stack([
        _log(known.popularity), np.log(known.adoption), *windows, *shares, shares[2] - shares[1],
        n_again / np.maximum(n_owners, 1), np.log1p(n_sold / np.maximum(n_owners, 1)), price, interval,
    ])  # fmt: skip
    return facts, price


def _log(share: NDArray[Any]) -> Floats:
    return np.asarray(np.log(np.maximum(share, 1e-5)))


def _sold(lines: _Lines, n: int, at_most_days: float) -> Floats:
    recent = lines.age <= at_most_days
    n_orders = max(1, len(np.unique(lines.order[recent])))
    return _log(np.bincount(lines.item[recent], minlength=n) / n_orders)


def _adoption(purchases: Purchases, start: datetime, at: datetime, days: float) -> Floats:
    edge = at - timedelta(days=days)
    return np.asarray(np.log(adoption_rate(bought(purchases, start, edge), bought(purchases, edge, at))))


def _similar(owned: Incidence) -> Floats:
    """Return the cosine of each category (column) with its nearest others, 0 for all else."""
    wide = owned.astype(np.float64)
    both = (wide.T @ wide).toarray()
    length = np.sqrt(np.maximum(both.diagonal(), 1.0))
    cosine = both / np.outer(length, length)
    np.fill_diagonal(cosine, 0.0)
    if len(cosine) > N_ITEM_NEIGHBOURS:
        least = np.partition(cosine, -N_ITEM_NEIGHBOURS, axis=0)[-N_ITEM_NEIGHBOURS]
        cosine[cosine < least] = 0.0
    return np.asarray(cosine)


def _tastes(known: Situation) -> Incidence:
    """Return each household's categories, rare ones heavier, as a vector of length 1."""
    rare = -np.log(np.maximum(known.popularity, 1e-9))
    weighted = (known.owned.astype(np.float64) @ sparse.diags_array(rare)).tocsr()
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)))
    unit: Incidence = (sparse.diags_array(1 / np.maximum(length, 1e-9)) @ weighted).tocsr()
    return unit


def neighbour_scores(state: Standing, rows: Integers) -> dict[str, Floats]:
    """Return the components of some households for all categories, each households by categories."""
    known, references = state.known, state.references
    owned = known.owned[rows].astype(np.float64)
    theirs = known.owned[references]
    alike = _nearest(_products(state.tastes[rows], state.tastes[references]), rows, references, N_USER_NEIGHBOURS)
    vectors = state.entries(state.held.tifu)
    mine, others = vectors[rows], vectors[references]
    square: list[NDArray[Any]] = [np.asarray(part.multiply(part).sum(axis=1)) for part in (mine, others)]
    near = 2 * _products(mine, others) - square[0][:, None] - square[1]
    close = _nearest(near - near.min(initial=0.0) + 1e-12, rows, references, N_TIFU_NEIGHBOURS) > 0
    total = np.maximum(alike.sum(axis=1, keepdims=True), 1e-12)
    logs = state.entries(np.log1p(state.held.count), rows)
    return {
        "ease": _weighed(known.weights, owned),
        "item_knn": _weighed(state.similar, owned),
        "user_knn": _weighed(theirs, alike) / total,
        "user_knn_lately": _weighed(state.lately, alike) / total,
        "ease_counts": _weighed(state.counts, logs),
        "tifu_neighbours": _weighed(others, close / np.maximum(close.sum(axis=1, keepdims=True), 1)),
    }


def _products(left: Incidence, right: Incidence) -> Floats:
    """Return ``left @ right.T``; dense where the rows are, which is then several times as fast."""
    if right.nnz > _DENSE * right.shape[0] * right.shape[1]:
        return np.asarray(left.toarray() @ right.toarray().T)
    return np.asarray((left @ right.T).toarray())


def _weighed(matrix: "Incidence | Floats", weights: "Incidence | Floats") -> Floats:
    """Return ``weights @ matrix``, one of the two sparse; dense where that is faster."""
    if isinstance(matrix, np.ndarray):
        wide = isinstance(weights, np.ndarray) or weights.nnz > _DENSE * weights.shape[0] * weights.shape[1]
        return np.asarray((weights.toarray() if wide and not isinstance(weights, np.ndarray) else weights) @ matrix)
    if matrix.nnz > _DENSE * matrix.shape[0] * matrix.shape[1]:
        return np.asarray(weights @ matrix.toarray())
    return np.asarray((matrix.T.astype(np.float64) @ weights.T).T)


def _nearest(nearness: Floats, rows: Integers, references: Integers, n: int) -> Floats:
    """Keep the ``n`` largest of each row and put 0 for the others; nobody is a neighbour of himself."""
    nearness[rows[:, None] == references] = 0.0
    if nearness.shape[1] > n:
        least = np.partition(nearness, -n, axis=1)[:, -n]
        nearness[nearness < least[:, None]] = 0.0
    return nearness


def new_candidates(state: Standing, rows: Integers, n: int) -> tuple[Integers, Integers]:
    """Return positions in ``rows`` and categories: the ``n`` best of EASE times adoption that are new to each."""
    scores = log_scores(state.known, "ease", rows)
    best = top(scores, n)
    position = np.repeat(np.arange(len(rows)), best.shape[1])
    is_offer = np.isfinite(scores[position, best.ravel()])
    return position[is_offer], best.ravel()[is_offer]


def held_candidates(state: Standing, rows: Integers) -> tuple[Integers, Integers]:
    """Return positions in ``rows`` and categories: what each household knows, ``N_HELD`` by decayed count at most."""
    recent = state.entries(state.held.decayed[3], rows)
    position = np.repeat(np.arange(len(rows)), np.diff(recent.indptr))
    order = np.lexsort((recent.indices, -recent.data, position))
    place = np.arange(len(order)) - recent.indptr[position]
    kept = order[place < N_HELD]
    return position[kept], recent.indices[kept].astype(np.int64)


def new_features(state: Standing, rows: Integers, pairs: tuple[Integers, Integers]) -> Features:
    """Return features that pairs have whether or not they are new: components, facts of household and category."""
    position, item = pairs
    household, facts = state.households[rows[position]], state.items[item]
    dearer = state.items[item, -2] - household[:, -1]
    scores: list[Floats] = []
    if len(state.known.weights):
        # Digits beyond the fifth may depend on how many threads the linear algebra had.
        scores = [_log(part[position, item]).round(5) for part in neighbour_scores(state, rows).values()]
        blend = log_scores(state.known, "ease", rows)[position, item]
        scores.append(np.where(np.isfinite(blend), blend, _NOT_NEW).round(5))
    return np.asarray(np.column_stack([*scores, dearer, household, facts]), dtype=np.float32)


def held_features(state: Standing, rows: Integers, pairs: tuple[Integers, Integers]) -> Features:
    """Return what each household did with the category of each pair; of an unknown one, as if long ago."""
    position, item = pairs
    row = rows[position]
    held, forgotten = state.held, state.lookback_days
    owned = state.known.owned
    codes = np.repeat(np.arange(owned.shape[0]), np.diff(owned.indptr)) * owned.shape[1] + owned.indices
    asked = row * owned.shape[1] + item
    at = np.minimum(np.searchsorted(codes, asked), len(codes) - 1)
    is_held = codes[at] == asked

    def fact(values: Floats, otherwise: float = 0.0) -> Floats:
        return np.where(is_held, values[at], otherwise)

    count, last, first = fact(held.count), fact(held.last, forgotten), fact(held.first, forgotten)
    again = np.maximum(count - 1, 0)
    usual = state.items[item, -1]
    interval = (np.where(again > 0, first - last, 0.0) + _PRIOR_INTERVALS * usual) / (again + _PRIOR_INTERVALS)
    n_orders = np.expm1(state.households[row, 1])
    since_order = last - np.expm1(state.households[row, 3])
    return np.column_stack([
        *(np.log(fact(part) + 1e-4) for part in held.decayed), np.log1p(count), count / np.maximum(n_orders, 1),
        np.log1p(last), since_order, np.log(interval), np.log((last + 1) / interval), fact(held.in_last),
        fact(held.in_last_five), fact(held.by_order), _log(fact(held.tifu)), np.log(count + 0.1) - np.log(first + 7),
    ]).astype(np.float32)  # fmt: skip
