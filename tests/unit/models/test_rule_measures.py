"""Measures of pair rules: mlxtend's values from counts, tests corrected for every pair that was looked at."""

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import association_rules
from scipy import sparse, stats

from models.basket import frequent_itemsets, reaches_share
from models.counting import frequent_pairs
from models.rule_measures import (
    MEASURES,
    PairRules,
    benjamini_hochberg,
    benjamini_yekutieli,
    fisher_p,
    measured,
    pair_measures,
    pair_rules,
)


def matrix_of(seed: int, n_baskets: int = 500) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    held = rng.random((n_baskets, 12)) < np.linspace(0.05, 0.7, 12)
    held[:, 11] = True  # In every basket: the values at the edge are mlxtend's too.
    held[:, 10] = held[:, 9]  # Always together: a confidence of 1.
    return sparse.csr_array(held.astype(np.uint8))


def itemsets_of(pairs, n: int) -> pd.DataFrame:
    single = np.flatnonzero(pairs.single)
    both = [frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    support = np.concatenate([pairs.single[single], pairs.n_both]) / n
    return pd.DataFrame({"support": support, "itemsets": pd.Series([*(frozenset([i]) for i in single), *both])})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_measures_are_mlxtends(seed: int) -> None:
    matrix = matrix_of(seed)
    pairs = frequent_pairs(matrix, 5)
    rules = pair_rules(pairs, matrix.shape[0], 0.2)
    ours = pair_measures(rules).assign(left=rules.antecedent, right=rules.consequent)
    with np.errstate(divide="ignore", invalid="ignore"):
        theirs = association_rules(itemsets_of(pairs, matrix.shape[0]), metric="support", min_threshold=0.0)
    theirs.columns = theirs.columns.str.replace(" ", "_")
    theirs = theirs.assign(
        left=[next(iter(side)) for side in theirs["antecedents"]],
        right=[next(iter(side)) for side in theirs["consequents"]],
    )
    both = ours.merge(theirs, on=["left", "right"], suffixes=("", "_theirs"), how="left", validate="one_to_one")
    for name in MEASURES:
        assert both[name].to_numpy() == pytest.approx(both[f"{name}_theirs"].to_numpy(), rel=1e-9, abs=1e-12), name
    assert np.isinf(both["conviction"]).any()


def test_a_confidence_of_exactly_the_threshold_is_kept() -> None:
    # 7 of 25 is 0.28, which float division puts above it for some counts and below for others.
    pairs = frequent_pairs(sparse.csr_array(np.array([[1, 1]] * 7 + [[1, 0]] * 18, dtype=np.uint8)), 1)
    assert pair_rules(pairs, 25, 0.28).antecedent.tolist() == [0, 1]
    assert pair_rules(pairs, 25, 0.29).antecedent.tolist() == [1]
    assert reaches_share(np.array([7]), np.array([25]), 0.28).all()


def test_both_directions_are_one_hypothesis() -> None:
    matrix = matrix_of(3)
    pairs = frequent_pairs(matrix, 1)
    rules = pair_rules(pairs, matrix.shape[0], 1e-9)
    _, p_value, q_value = measured(rules, 66)
    assert len(p_value) == 2 * len(pairs.n_both)
    half = len(pairs.n_both)
    assert p_value[:half] == pytest.approx(p_value[half:], rel=1e-9)
    assert q_value[:half] == pytest.approx(q_value[half:], rel=1e-9)
    assert q_value[:half] == pytest.approx(benjamini_hochberg(p_value[:half], 66), rel=1e-9)
    # One direction alone is still judged among all pairs that were looked at.
    some = PairRules(*(getattr(rules, name)[:3] for name in
                       ("antecedent", "consequent", "n_both", "n_antecedent", "n_consequent")), rules.n)  # fmt: skip
    assert measured(some, 66)[2] == pytest.approx(benjamini_hochberg(p_value[:3], 66))


def test_fisher_is_scipys_exact_test_for_tables_with_their_own_totals() -> None:
    both, first, second, n = (np.array(x) for x in ([3, 20], [10, 40], [12, 60], [50, 200]))
    found = fisher_p(both, first, second, n)
    for k in range(2):
        table = [
            [both[k], first[k] - both[k]],
            [second[k] - both[k], n[k] - first[k] - second[k] + both[k]],
        ]
        assert found[k] == pytest.approx(stats.fisher_exact(table, "greater").pvalue)


def test_yekutieli_is_scipys_and_stricter() -> None:
    p_value = np.random.default_rng(0).random(50) ** 3
    found = benjamini_yekutieli(p_value, 50)
    assert found == pytest.approx(stats.false_discovery_control(p_value, method="by"))
    assert (found >= benjamini_hochberg(p_value, 50) - 1e-15).all()


def test_the_direct_count_and_the_itemsets_agree() -> None:
    matrix = matrix_of(4)
    pairs = frequent_pairs(matrix, 25)
    baskets = type("B", (), {"matrix": matrix, "n_baskets": matrix.shape[0]})()
    found = frequent_itemsets(baskets, 0.05)
    wide = found[found["itemsets"].map(len) == 2]
    assert len(wide) == len(pairs.n_both)
    assert sorted(wide["n_orders"]) == sorted(pairs.n_both)
