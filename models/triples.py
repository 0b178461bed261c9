"""Rules from two categories to a third that say more than every simpler rule, or are not shown.

Nearly every triple of categories that sell together has a lift, because its pairs have one. A triple rule is productive
(Webb 2007) only where adding the second category to the first raises the chance of the third beyond chance, whichever
of the two comes first, and against no category at all. The comparison is made within classes of basket size, and the
counts are shrunk by how much single households repeat the triple.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from scipy import special

from models.basket import Baskets, Integers, least_count
from models.cooccurrence import Floats, size_strata
from models.counting import frequent_pairs
from models.rule_measures import benjamini_hochberg

COLUMNS = [
    "first", "second", "consequents", "n_orders", "confidence", "best_simpler_confidence", "improvement",
    "design_effect", "p_value", "q_value", "confirmed_p_value", "is_productive", "is_confirmed",
]  # fmt: skip
"""Columns of the rules; ``improvement`` is the confidence over that of the best simpler rule."""

_CHUNK = 64


@dataclass(frozen=True)
class TripleReport:
    """Count how many candidate triple rules each hurdle left.

    Parameters
    ----------
    n_hypotheses
        Rules that were looked at: three for every triple of frequent categories.
    n_candidates, n_productive, n_confirmed
        Rules that reach the least support, that beat every simpler rule, and that do so again in the later orders.
    """

    n_hypotheses: int
    n_candidates: int
    n_productive: int
    n_confirmed: int

    def __str__(self) -> str:
        return (
            f"{self.n_confirmed:,} of {self.n_candidates:,} candidate rules of two categories survived: "
            f"{self.n_productive:,} say more than every simpler rule, later orders confirmed {self.n_confirmed:,}"
        )


def mine_triples(
    baskets: Baskets, as_of: datetime, confirm_from: datetime, *, min_support: float = 0.005, level: float = 0.05
) -> tuple[pd.DataFrame, TripleReport]:
    """Mine productive rules on the orders before ``confirm_from`` and confirm them on the later ones.

    Parameters
    ----------
    baskets
        Encoded baskets; those at or after ``as_of`` are not used.
    as_of, confirm_from
        Instants (UTC).
    min_support
        Share of the orders that hold all three, decided on integers.
    level
        False discovery rate, over all rules that were looked at and again among the productive ones.

    Returns
    -------
    tuple
        The candidates with ``COLUMNS``, survivors first, then by falling improvement and names; and the counts.
    """
    earlier = baskets.where(baskets.times < np.datetime64(confirm_from))
    later = baskets.where((baskets.times >= np.datetime64(confirm_from)) & (baskets.times < np.datetime64(as_of)))
    least = least_count(min_support, earlier.n_baskets)
    triples = frequent_triples(earlier, least)
    n_frequent = int((np.bincount(earlier.matrix.indices, minlength=len(earlier.items)) >= least).sum())
    n_hypotheses = 3 * (n_frequent * (n_frequent - 1) * (n_frequent - 2) // 6)
    turned = np.concatenate([triples[:, [0, 1, 2]], triples[:, [0, 2, 1]], triples[:, [1, 2, 0]]])
    found = _judged(earlier, turned)
    q_value = benjamini_hochberg(found["p_value"].to_numpy(), n_hypotheses)
    found = found.assign(q_value=q_value, is_productive=(q_value <= level) & (found["improvement"] > 1))
    again = np.flatnonzero(found["is_productive"])
    p_value = _judged(later, turned[again])["p_value"].to_numpy()
    confirmed = np.full(len(found), np.nan)
    confirmed[again] = p_value
    held = np.zeros(len(found), dtype=bool)
    held[again] = benjamini_hochberg(p_value, len(again)) <= level
    found = found.assign(confirmed_p_value=confirmed, is_confirmed=held)
    report = TripleReport(n_hypotheses, len(found), len(again), int(held.sum()))
    order = ["is_confirmed", "improvement", "first", "second", "consequents"]
    return found.sort_values(order, ascending=[False, False, True, True, True], ignore_index=True)[COLUMNS], report


def frequent_triples(baskets: Baskets, least: int) -> Integers:
    """Return the triples of columns, rising, that at least ``least`` baskets hold, one per row.

    Counted from the frequent pairs, some at a time: memory is 8 bytes x ``_CHUNK`` x categories, plus their baskets.
    """
    pairs = frequent_pairs(baskets.matrix, least)
    columns = baskets.matrix.astype(np.int64).tocsc()
    wide = baskets.matrix.astype(np.int64)
    parts = [np.empty((0, 3), dtype=np.int64)]
    for low in range(0, len(pairs.first), _CHUNK):
        first, second = pairs.first[low : low + _CHUNK], pairs.second[low : low + _CHUNK]
        both = columns[:, first].multiply(columns[:, second])
        counts = np.asarray((both.T @ wide).toarray())
        pair, third = np.nonzero((counts >= least) & (np.arange(counts.shape[1]) > second[:, None]))
        parts.append(np.column_stack([first[pair], second[pair], third]).astype(np.int64))
    return np.concatenate(parts)


def _judged(baskets: Baskets, rules: Integers) -> pd.DataFrame:
    """Return confidence, improvement and the largest p-value against each simpler rule of ``(a, b) -> c``."""
    a, b, c = rules.T
    held, n_in, together = _by_size(baskets)
    all_three, design = _repeated(baskets, rules)

    def pair(one: Integers, other: Integers) -> Floats:
        return together[:, one, other]

    tails = np.stack([
        _tail(all_three, design, _moments(pair(a, b), pair(a, c), held[:, a])),
        _tail(all_three, design, _moments(pair(a, b), pair(b, c), held[:, b])),
        _tail(all_three, design, _moments(pair(a, b), held[:, c], n_in[:, None])),
    ])  # fmt: skip
    p_value = tails.max(axis=0)
    single, both = held.sum(axis=0), together.sum(axis=0)
    total = max(float(n_in.sum()), 1.0)
    simpler = np.max([_ratio(both[a, c], single[a]), _ratio(both[b, c], single[b]), single[c] / total], axis=0)
    confidence = _ratio(all_three, both[a, b])
    names = baskets.items
    return pd.DataFrame({
        "first": names[a], "second": names[b], "consequents": names[c], "n_orders": all_three.astype(np.int64),
        "confidence": confidence, "best_simpler_confidence": simpler, "improvement": _ratio(confidence, simpler),
        "design_effect": design, "p_value": np.where(all_three > 0, p_value, 1.0),
    })  # fmt: skip


def _by_size(baskets: Baskets) -> tuple[Floats, Floats, Floats]:
    """Return by class of basket size: baskets with each category, baskets, baskets with both of each two."""
    stratum = size_strata(baskets.sizes)
    n_strata = int(stratum.max(initial=-1)) + 1
    n_items = baskets.matrix.shape[1]
    held, n_in = np.zeros((n_strata + 1, n_items)), np.zeros(n_strata + 1)
    together = np.zeros((n_strata + 1, n_items, n_items))
    for k in range(-1, n_strata):
        inside = baskets.matrix[np.flatnonzero(stratum == k)].astype(np.int64)
        held[k], n_in[k] = np.asarray(inside.sum(axis=0)), inside.shape[0]
        together[k] = (inside.T @ inside).toarray()
    return held, n_in, together


def _repeated(baskets: Baskets, rules: Integers) -> tuple[Floats, Floats]:
    """Return the baskets with all three, and how many baskets a household that has such a basket has on average.

    The average is by basket (Kish 1965): 1 where no household repeats the triple, all of them where one household does.
    """
    columns = baskets.matrix.astype(np.int64).tocsc()
    customers = np.unique(baskets.customers, return_inverse=True)[1]
    count, design = np.zeros(len(rules)), np.ones(len(rules))
    for low in range(0, len(rules), _CHUNK):
        a, b, c = rules[low : low + _CHUNK].T
        every = columns[:, a].multiply(columns[:, b]).multiply(columns[:, c]).tocoo()
        basket, rule = every.coords
        key, times = np.unique(rule.astype(np.int64) * (len(customers) + 1) + customers[basket], return_counts=True)
        owner = key // (len(customers) + 1)
        n = np.bincount(owner, weights=times, minlength=len(a))
        count[low : low + len(a)] = n
        squares = np.bincount(owner, weights=times.astype(np.float64) ** 2, minlength=len(a))
        design[low : low + len(a)] = np.where(n > 0, squares / np.maximum(n, 1), 1.0)
    return count, design


def _moments(one: Floats, other: Floats, whole: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance of the joint count, hypergeometric in each class of basket size."""
    mean = np.divide(one * other, whole, out=np.zeros_like(one), where=whole > 0)
    rest = (whole - one) * (whole - other)
    below = whole * np.maximum(whole - 1, 1)
    variance = mean * np.divide(rest, below, out=np.zeros_like(one), where=whole > 0)
    return mean.sum(axis=0), variance.sum(axis=0)


def _tail(count: Floats, design: Floats, moments: tuple[Floats, Floats]) -> Floats:
    """Return the chance of that many or more, of the binomial with the same mean and variance (Poisson at the edge).

    Sums of hypergeometrics are near it in their tails (Choi and Xia 2002), where a normal would promise too much.
    """
    seen, mean, variance = np.floor(count / design), *(moment / design for moment in moments)
    share = np.clip(1 - _ratio(variance, mean), 1e-6, 1 - 1e-6)
    trials = mean / share
    tail = special.betainc(np.maximum(seen, 1), np.maximum(trials - seen + 1, 1e-9), share)
    return np.asarray(np.where(seen < 1, 1.0, tail))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))
