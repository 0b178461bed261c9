"""Measures and tests of rules on integer counts, thousands at once: mlxtend's values, and the tests it lacks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from mlxtend.frequent_patterns import association_rules
from numpy.typing import NDArray
from scipy import stats

from models.basket import Integers, reaches_share
from models.cooccurrence import Floats
from models.counting import PairCounts

MEASURES = [
    "antecedent_support",
    "consequent_support",
    "support",
    "confidence",
    "lift",
    "representativity",
    "leverage",
    "conviction",
    "zhangs_metric",
    "jaccard",
    "certainty",
    "kulczynski",
]
"""mlxtend's measures of a rule, with underscores for its spaces."""


@dataclass(frozen=True)
class PairRules:
    """Hold rules with one category on each side, as columns of the basket matrix and as counts.

    Parameters
    ----------
    antecedent, consequent
        Columns of the two sides.
    n_both, n_antecedent, n_consequent
        Baskets with both sides, and with each.
    n
        All baskets.
    """

    antecedent: Integers
    consequent: Integers
    n_both: Integers
    n_antecedent: Integers
    n_consequent: Integers
    n: int


def pair_rules(pairs: PairCounts, n: int, min_confidence: float) -> PairRules:
    """Return both directions of each pair where they reach a confidence, decided on integers.

    Examples
    --------
    >>> pairs = PairCounts(np.array([0]), np.array([1]), np.array([3]), np.array([4, 30]))
    >>> rules = pair_rules(pairs, 100, 0.5)
    >>> rules.antecedent.tolist(), rules.consequent.tolist()
    ([0], [1])
    """
    left = np.concatenate([pairs.first, pairs.second])
    right = np.concatenate([pairs.second, pairs.first])
    n_both = np.tile(pairs.n_both, 2)
    keep = reaches_share(n_both, pairs.single[left], min_confidence)
    left, right = left[keep], right[keep]
    return PairRules(left, right, n_both[keep], pairs.single[left], pairs.single[right], n)


def pair_measures(rules: PairRules) -> pd.DataFrame:
    """Return mlxtend's twelve measures of each rule, ``MEASURES``, from its counts.

    ``conviction`` is infinite where the confidence is 1; ``certainty`` is 0 where every basket holds the consequent;
    ``representativity`` is 1, as no entry of a basket matrix is missing.

    Examples
    --------
    >>> rules = PairRules(*(np.array([x]) for x in (0, 1, 30, 40, 50)), 100)
    >>> pair_measures(rules).loc[0, ["confidence", "lift", "leverage"]].round(3).tolist()
    [0.75, 1.5, 0.1]
    """
    both, left, right = (x / rules.n for x in (rules.n_both, rules.n_antecedent, rules.n_consequent))
    confidence, leverage = both / left, both - left * right
    is_sure = rules.n_both == rules.n_antecedent
    is_everywhere = rules.n_consequent == rules.n
    spread = np.maximum(both * (1 - left), left * (right - both))
    columns = {
        "antecedent_support": left,
        "consequent_support": right,
        "support": both,
        "confidence": confidence,
        "lift": confidence / right,
        "representativity": np.ones(len(both)),
        "leverage": leverage,
        "conviction": np.divide(1 - right, 1 - confidence, out=np.full(len(both), np.inf), where=~is_sure),
        "zhangs_metric": np.divide(leverage, spread, out=np.zeros(len(both)), where=spread != 0),
        "jaccard": both / (left + right - both),
        "certainty": np.divide(confidence - right, 1 - right, out=np.zeros(len(both)), where=~is_everywhere),
        "kulczynski": (confidence + both / right) / 2,
    }
    return pd.DataFrame(columns, columns=MEASURES)


def association_measures(itemsets: pd.DataFrame) -> pd.DataFrame:
    """Return every rule of the itemsets, of any length, with mlxtend's measures under names with underscores.

    Parameters
    ----------
    itemsets
        Columns ``support``, ``itemsets``, ``n_orders``, closed under subsets.

    Returns
    -------
    pandas.DataFrame
        ``antecedents`` and ``consequents`` as frozensets, ``MEASURES`` and ``n_orders`` (baskets with the whole rule).
        ``conviction`` is infinite where the confidence is 1.
    """
    if not (itemsets["itemsets"].map(len) > 1).any():
        empty = {name: pd.Series(dtype=float) for name in MEASURES}
        sides = {name: pd.Series(dtype=object) for name in ("antecedents", "consequents")}
        return pd.DataFrame({**sides, **empty, "n_orders": pd.Series(dtype=np.int64)})
    # A category that is in every basket makes mlxtend divide by zero before it puts the defined value.
    with np.errstate(divide="ignore", invalid="ignore"):
        rules: pd.DataFrame = association_rules(itemsets, metric="support", min_threshold=0.0)
    rules.columns = rules.columns.str.replace(" ", "_")
    counts = dict(zip(itemsets["itemsets"], itemsets["n_orders"], strict=True))
    whole = [counts[a | c] for a, c in zip(rules["antecedents"], rules["consequents"], strict=True)]
    return rules.assign(n_orders=np.array(whole, dtype=np.int64))


def fisher_p(n_both: Integers, n_first: Integers, n_second: Integers, n: int | Integers) -> Floats:
    """Return Fisher's exact one-sided p-value of each 2 x 2 table, for more joint baskets than by chance.

    Examples
    --------
    >>> fisher_p(np.array([3]), np.array([4]), np.array([4]), 8).round(4).tolist()
    [0.2429]
    """
    return np.asarray(stats.hypergeom.sf(n_both - 1, n, n_first, n_second), dtype=np.float64)


def benjamini_hochberg(p_value: Floats, n_hypotheses: int) -> Floats:
    """Return the q-values of the given p-values among ``n_hypotheses`` tests; those not given count as p = 1.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.001, 0.04]), 10).tolist()
    [0.01, 0.2]
    """
    order = np.argsort(p_value, kind="stable")[::-1]
    scaled = p_value[order] * n_hypotheses / np.arange(len(p_value), 0, -1)
    q_value = np.empty(len(p_value))
    q_value[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return q_value


def benjamini_yekutieli(p_value: Floats, n_hypotheses: int) -> Floats:
    """Return q-values that hold however the tests depend on each other (Benjamini and Yekutieli 2001).

    Examples
    --------
    >>> benjamini_yekutieli(np.array([0.001, 0.04]), 2).round(4).tolist()
    [0.003, 0.06]
    """
    harmonic = float((1 / np.arange(1, max(n_hypotheses, 1) + 1)).sum())
    return np.minimum(benjamini_hochberg(np.minimum(p_value * harmonic, 1.0), n_hypotheses), 1.0)


def lift_interval(
    n_both: Integers, n_first: Integers, n_second: Integers, n: int, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the ends of the lift's interval by the delta method on its logarithm, orders taken as independent.

    The variance of ``log(lift)`` is ``(1/p_both - 1/p_first - 1/p_second + 2 lift - 1) / n`` for multinomial counts.

    Examples
    --------
    >>> low, high = lift_interval(np.array([40]), np.array([100]), np.array([100]), 1000)
    >>> [round(float(end), 2) for end in (*low, *high)]
    [3.23, 4.96]
    """
    lift = n_both / n_first * n / n_second
    variance = 1 / n_both - 1 / n_first - 1 / n_second + (2 * lift - 1) / n
    reach = stats.norm.ppf((1 + level) / 2) * np.sqrt(np.maximum(variance, 0.0))
    return lift * np.exp(-reach), lift * np.exp(reach)


def measured(rules: PairRules, n_hypotheses: int) -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[np.float64]]:
    """Return the measures of each rule, Fisher's p-value and its Benjamini-Hochberg q over all pairs looked at.

    Both directions of a pair are one hypothesis: they have the same p-value and get the same q-value.
    """
    low, high = np.minimum(rules.antecedent, rules.consequent), np.maximum(rules.antecedent, rules.consequent)
    _, once, back = np.unique(low * (int(high.max(initial=0)) + 1) + high, return_index=True, return_inverse=True)
    p_value = fisher_p(rules.n_both[once], rules.n_antecedent[once], rules.n_consequent[once], rules.n)
    return pair_measures(rules), p_value[back], benjamini_hochberg(p_value, n_hypotheses)[back]
