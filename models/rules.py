"""Rules between categories that survive statistics: tested, corrected, adjusted, and confirmed on later orders.

A rule is mined on the earlier orders. It survives when Fisher's exact test and the test of ``models.cooccurrence``
(given basket size, with the household as the unit) both pass after Benjamini-Hochberg over all pairs that were
examined, and when the later orders, which had no part in finding it, say so again.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.basket import Baskets, Integers, least_count
from models.cooccurrence import Floats, size_adjusted
from models.counting import frequent_pairs
from models.rule_measures import (
    MEASURES,
    PairRules,
    benjamini_hochberg,
    fisher_p,
    lift_interval,
    pair_measures,
    pair_rules,
)
from models.strata import months, within_strata

EVIDENCE = [
    "n_orders",
    "lift_low",
    "lift_high",
    "p_value",
    "q_value",
    "adjusted_lift",
    "adjusted_p_value",
    "adjusted_q_value",
    "within_month_lift",
    "within_month_p_value",
    "is_significant",
    "confirmed_lift",
    "confirmed_p_value",
    "confirmed_adjusted_lift",
    "confirmed_adjusted_p_value",
    "is_confirmed",
]
"""What the tests add; the ``within_month_`` columns tell a lift that the season makes from one that stays in each month
(no test of survival); the ``confirmed_`` columns are null where the later orders were not asked."""

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
    least = least_count(min_support, earlier.n_baskets)
    single = np.bincount(earlier.matrix.indices, minlength=len(earlier.items))
    frequent = np.flatnonzero(single >= least)
    earlier, later = _narrow(earlier, frequent), _narrow(later, frequent)
    rules = _candidates(earlier, pair_rules(frequent_pairs(earlier.matrix, least), earlier.n_baskets, min_confidence))
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


def _candidates(earlier: Baskets, rules: PairRules) -> pd.DataFrame:
    """Return the rules with names and measures, and the columns ``first < second`` of their pair."""
    left, right = rules.antecedent, rules.consequent
    sides = {"antecedents": earlier.items[left], "consequents": earlier.items[right], "n_orders": rules.n_both}
    pair = {"first": np.minimum(left, right), "second": np.maximum(left, right)}
    return pair_measures(rules).assign(**sides, **pair)


def _tested(earlier: Baskets, pairs: pd.DataFrame, n_hypotheses: int, level: float) -> pd.DataFrame:
    """Return the pairs with lift interval, both tests and both q-values on the earlier orders."""
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    adjusted = size_adjusted(earlier, first, second)
    within = within_strata(earlier, first, second, months(earlier.times))
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
        within_month_lift=within.within_lift,
        within_month_p_value=within.p_value,
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
