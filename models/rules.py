"""Rules between categories that survive statistics: tested, corrected, adjusted, and confirmed on later orders.

A rule is mined on the earlier orders. It survives when Fisher's exact test and the test of ``models.cooccurrence``
(given basket size, with the household as the unit) both pass after Benjamini-Hochberg over all pairs that were
examined, and when the later orders, which had no part in finding it, say so again.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from mlxtend.frequent_patterns import association_rules
from numpy.typing import NDArray
from scipy import stats

from models.basket import Baskets, Integers, frequent_itemsets, least_count, pair_counts, reaches_share
from models.cooccurrence import Floats, size_adjusted

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

EVIDENCE = [
    "n_orders",
    "lift_low",
    "lift_high",
    "p_value",
    "q_value",
    "adjusted_lift",
    "adjusted_p_value",
    "adjusted_q_value",
    "is_significant",
    "confirmed_lift",
    "confirmed_p_value",
    "confirmed_adjusted_lift",
    "confirmed_adjusted_p_value",
    "is_confirmed",
]
"""What the tests add; the ``confirmed_`` columns are null where the later orders were not asked."""

COLUMNS = ["as_of", "antecedents", "consequents", *MEASURES, *EVIDENCE]
"""Columns of the published table ``rules``."""


@dataclass(frozen=True)
class RuleReport:
    """Count how many candidate rules each hurdle left.

    Parameters
    ----------
    n_orders, n_later_orders
        Baskets that rules were mined on, and later baskets that could confirm them.
    n_hypotheses
        Pairs tested: all unordered pairs of categories that are frequent by themselves. Fisher's test is the same for
        both directions of a rule, so a pair is one hypothesis; pairs below the support or confidence thresholds count.
    n_candidates
        Rules (one direction each) that reach minimum support and confidence.
    n_fisher
        Candidates that Fisher's test with Benjamini-Hochberg keeps, orders taken as independent.
    n_significant
        Of these, candidates that keep their significance given basket size and with the household as the unit.
    n_confirmed
        Of these, candidates that the later orders confirm.
    """

    n_orders: int
    n_later_orders: int
    n_hypotheses: int
    n_candidates: int
    n_fisher: int
    n_significant: int
    n_confirmed: int

    def __str__(self) -> str:
        return (
            f"{self.n_confirmed:,} of {self.n_candidates:,} candidate rules survived: Fisher's test over "
            f"{self.n_hypotheses:,} pairs kept {self.n_fisher:,}, basket size and households left "
            f"{self.n_significant:,}, later orders confirmed {self.n_confirmed:,}"
        )


def association_measures(itemsets: pd.DataFrame) -> pd.DataFrame:
    """Return every rule of the itemsets with mlxtend's measures under names with underscores.

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


def fisher_p(n_both: Integers, n_first: Integers, n_second: Integers, n: int) -> Floats:
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


def mine_rules(
    baskets: Baskets,
    as_of: datetime,
    confirm_from: datetime,
    *,
    min_support: float = 0.002,
    min_confidence: float = 0.1,
    level: float = 0.05,
) -> tuple[pd.DataFrame, RuleReport]:
    """Mine pair rules on the orders before ``confirm_from`` and confirm them on the later ones.

    Parameters
    ----------
    baskets
        Encoded baskets; those at or after ``as_of`` are not used.
    as_of, confirm_from
        Instants (UTC).
    min_support, min_confidence
        Shares that a candidate rule reaches, decided on integer counts.
    level
        False discovery rate, for each of the two tests on the earlier orders and again among the survivors on the
        later ones.

    Returns
    -------
    tuple
        The candidate rules with ``COLUMNS``, survivors first, then by falling ``adjusted_lift`` and names; and the
        counts of each hurdle.
    """
    earlier = baskets.where(baskets.times < np.datetime64(confirm_from))
    later = baskets.where((baskets.times >= np.datetime64(confirm_from)) & (baskets.times < np.datetime64(as_of)))
    counts = pair_counts(earlier.matrix)
    frequent = np.flatnonzero(np.diag(counts) >= least_count(min_support, earlier.n_baskets))
    earlier, later = _narrow(earlier, frequent), _narrow(later, frequent)
    rules = _candidates(earlier, counts[np.ix_(frequent, frequent)], min_support, min_confidence)
    n_hypotheses = len(frequent) * (len(frequent) - 1) // 2
    pairs = _tested(earlier, rules[["first", "second"]].drop_duplicates(), n_hypotheses, level)
    pairs = _confirmed(later, pairs, level)
    rules = rules.merge(pairs.drop(columns=["n_orders"]), on=["first", "second"], how="left", validate="many_to_one")
    report = RuleReport(
        earlier.n_baskets,
        later.n_baskets,
        n_hypotheses,
        len(rules),
        int((rules["q_value"] <= level).sum()),
        int(rules["is_significant"].sum()),
        int(rules["is_confirmed"].sum()),
    )
    return _published(rules, as_of), report


def _narrow(baskets: Baskets, columns: Integers) -> Baskets:
    return replace(baskets, matrix=baskets.matrix[:, columns], items=baskets.items[columns])


def _candidates(earlier: Baskets, counts: Integers, min_support: float, min_confidence: float) -> pd.DataFrame:
    """Return the rules that reach both thresholds, with names and the columns ``first < second`` of their pair."""
    rules = association_measures(frequent_itemsets(earlier, min_support))
    left = np.array([next(iter(side)) for side in rules["antecedents"]], dtype=np.int64)
    right = np.array([next(iter(side)) for side in rules["consequents"]], dtype=np.int64)
    enough = reaches_share(rules["n_orders"].to_numpy(), np.diag(counts)[left], min_confidence)
    rules = rules.assign(
        antecedents=earlier.items[left],
        consequents=earlier.items[right],
        first=np.minimum(left, right),
        second=np.maximum(left, right),
    )
    return rules[enough].reset_index(drop=True)


def _tested(earlier: Baskets, pairs: pd.DataFrame, n_hypotheses: int, level: float) -> pd.DataFrame:
    """Return the pairs with lift interval, both tests and both q-values on the earlier orders."""
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    adjusted = size_adjusted(earlier, first, second)
    single = np.asarray(earlier.matrix.sum(axis=0, dtype=np.int64))
    n_both, n_first, n_second = adjusted.n_orders, single[first], single[second]
    low, high = lift_interval(n_both, n_first, n_second, earlier.n_baskets)
    p_value = fisher_p(n_both, n_first, n_second, earlier.n_baskets)
    tested = pairs.assign(
        n_orders=n_both,
        lift_low=low,
        lift_high=high,
        p_value=p_value,
        q_value=benjamini_hochberg(p_value, n_hypotheses),
        adjusted_lift=adjusted.lift,
        adjusted_p_value=adjusted.p_value,
        adjusted_q_value=benjamini_hochberg(adjusted.p_value, n_hypotheses),
    )
    return tested.assign(is_significant=(tested["q_value"] <= level) & (tested["adjusted_q_value"] <= level))


def _confirmed(later: Baskets, pairs: pd.DataFrame, level: float) -> pd.DataFrame:
    """Add what the later orders say about the significant pairs; both lifts and both tests must agree."""
    asked = pairs.loc[pairs["is_significant"]]
    first, second = asked["first"].to_numpy(), asked["second"].to_numpy()
    adjusted = size_adjusted(later, first, second)
    single = np.asarray(later.matrix.sum(axis=0, dtype=np.int64))
    expected = single[first] * single[second] / max(later.n_baskets, 1)
    lift = np.divide(adjusted.n_orders, expected, out=np.full(len(first), np.nan), where=expected > 0)
    p_value = fisher_p(adjusted.n_orders, single[first], single[second], later.n_baskets)
    q_value = benjamini_hochberg(np.maximum(p_value, adjusted.p_value), len(asked))
    is_confirmed = (q_value <= level) & (lift > 1) & (adjusted.lift > 1)
    found: dict[str, Floats | NDArray[np.bool_]] = {
        "confirmed_lift": lift,
        "confirmed_p_value": p_value,
        "confirmed_adjusted_lift": adjusted.lift,
        "confirmed_adjusted_p_value": adjusted.p_value,
        "is_confirmed": is_confirmed,
    }
    joined = pairs.join(pd.DataFrame(found, index=asked.index))
    return joined.assign(is_confirmed=joined["is_confirmed"].eq(True))


def _published(rules: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    rules = rules.assign(as_of=np.datetime64(as_of, "us"))
    order = ["is_confirmed", "adjusted_lift", "antecedents", "consequents"]
    return rules.sort_values(order, ascending=[False, False, True, True], ignore_index=True)[COLUMNS]
