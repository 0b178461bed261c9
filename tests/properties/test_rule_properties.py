"""Catalogue row M7 and what the measures of a rule owe to arithmetic, on any small shop."""

from datetime import datetime, timedelta
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.basket import encode_baskets, pair_counts
from models.cooccurrence import size_adjusted
from models.rule_measures import benjamini_hochberg, fisher_p, lift_interval
from models.rules import COLUMNS, mine_rules

START = datetime(2024, 1, 1)
AS_OF, CONFIRM_FROM = START + timedelta(days=100), START + timedelta(days=70)
FEW = settings(max_examples=25, deadline=None, derandomize=True)

orders = st.lists(
    st.tuples(
        st.sets(st.sampled_from("abcdef"), min_size=1), st.sampled_from(["u", "v", "w", None]), st.integers(0, 99)
    ),
    min_size=4,
    max_size=40,
)
Orders = list[tuple[set[str], str | None, int]]


def lines_of(found: Orders) -> pd.DataFrame:
    rows = [
        (f"o{number:03}", customer, category, START + timedelta(days=day))
        for number, (basket, customer, day) in enumerate(found)
        for category in sorted(basket)
    ]
    return pd.DataFrame(rows, columns=["order_id", "customer_id", "category", "event_time"])


def mined(found: Orders, **how: float) -> pd.DataFrame:
    thresholds = {"min_support": 0.05, "min_confidence": 0.05} | how
    return mine_rules(encode_baskets(lines_of(found)), AS_OF, CONFIRM_FROM, **thresholds)[0]


def of(rules: pd.DataFrame, left: str, right: str) -> pd.Series:
    return rules[(rules["antecedents"] == left) & (rules["consequents"] == right)].iloc[0]


@FEW
@given(orders)
def test_counts_are_those_of_plain_counting(found):
    rules, early = mined(found), [basket for basket, _, day in found if day < 70]
    for row in rules.itertuples():
        left = sum(row.antecedents in basket for basket in early)
        right = sum(row.consequents in basket for basket in early)
        both = sum({row.antecedents, row.consequents} <= basket for basket in early)
        n = len(early)
        assert row.n_orders == both
        assert row.support == pytest.approx(both / n)
        assert row.confidence == pytest.approx(both / left)
        assert row.lift == pytest.approx(both * n / (left * right))
        assert row.leverage == pytest.approx(both / n - left / n * right / n, abs=1e-12)
        assert row.jaccard == pytest.approx(both / (left + right - both))
        assert row.kulczynski == pytest.approx((both / left + both / right) / 2)
        assert row.p_value == pytest.approx(fisher(both, left, right, n), rel=1e-9, abs=1e-12)


def fisher(both: int, left: int, right: int, n: int) -> float:
    table = [[both, left - both], [right - both, n - left - right + both]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


@FEW
@given(orders)
def test_no_rule_that_reaches_the_thresholds_is_missing(found):
    rules, early = mined(found, min_support=0.1, min_confidence=0.3), [basket for basket, _, day in found if day < 70]
    listed = set(zip(rules["antecedents"], rules["consequents"], strict=True))
    n = len(early)
    for pair in combinations("abcdef", 2):
        both = sum(set(pair) <= basket for basket in early)
        for left, right in (pair, pair[::-1]):
            alone = sum(left in basket for basket in early)
            reaches = both > 0 and both * 10 >= n and both * 10 >= alone * 3
            assert ((left, right) in listed) == reaches


@FEW
@given(orders)
def test_both_directions_of_a_rule_agree_on_what_is_symmetric(found):
    rules = mined(found, min_confidence=0.001)
    for row in rules.itertuples():
        back = of(rules, row.consequents, row.antecedents)
        for name in ("support", "lift", "leverage", "jaccard", "kulczynski", "n_orders", "lift_low", "lift_high"):
            assert back[name] == pytest.approx(getattr(row, name), rel=1e-6), name
        for name in ("p_value", "q_value", "adjusted_lift", "adjusted_p_value", "adjusted_q_value", "is_significant"):
            assert back[name] == getattr(row, name) or pd.isna(back[name]), name
        assert back["is_confirmed"] == row.is_confirmed


@FEW
@given(orders)
def test_measures_lie_where_they_must(found):
    rules = mined(found)
    shares = ["support", "confidence", "antecedent_support", "consequent_support", "jaccard", "kulczynski"]
    chances = ["p_value", "q_value", "adjusted_p_value", "adjusted_q_value"]
    assert list(rules) == COLUMNS
    assert rules[shares].stack().between(0, 1 + 1e-12).all()
    assert rules[chances].stack().between(0, 1).all()
    assert (rules["q_value"] >= rules["p_value"] - 1e-15).all()
    assert (rules["support"] <= rules[["antecedent_support", "consequent_support"]].min(axis=1) + 1e-12).all()
    assert (rules["lift_low"] <= rules["lift"] + 1e-9).all()
    assert (rules["lift"] <= rules["lift_high"] + 1e-9).all()
    assert rules["leverage"].between(-0.25, 0.25).all()
    assert rules["zhangs_metric"].between(-1 - 1e-9, 1 + 1e-9).all()
    assert not (rules["is_confirmed"] & ~rules["is_significant"]).any()
    asked = rules["is_significant"].astype(bool)
    assert rules.loc[~asked, "confirmed_p_value"].isna().all()


@FEW
@given(orders, st.permutations("abcdef"))
def test_names_of_categories_and_of_customers_mean_nothing(found, names):
    renamed = dict(zip("abcdef", names, strict=True))
    other = mined([({renamed[c] for c in basket}, customer and f"{customer}9", day) for basket, customer, day in found])
    numbers = [name for name in COLUMNS if name not in {"as_of", "antecedents", "consequents"}]
    back = {name: letter for letter, name in renamed.items()}
    other = other.assign(antecedents=other["antecedents"].map(back), consequents=other["consequents"].map(back))
    order = ["antecedents", "consequents"]
    left, right = (frame.sort_values(order, ignore_index=True)[order + numbers] for frame in (other, mined(found)))
    pd.testing.assert_frame_equal(left, right, check_exact=False, rtol=1e-6, check_dtype=False)


@FEW
@given(orders, st.integers(2, 4))
def test_every_basket_several_times_keeps_the_shares_and_sharpens_the_test(found, times):
    once, often = mined(found), mined(found * times)
    shares = ["support", "confidence", "lift", "leverage", "jaccard"]
    pd.testing.assert_frame_equal(
        once.sort_values(["antecedents", "consequents"], ignore_index=True)[shares],
        often.sort_values(["antecedents", "consequents"], ignore_index=True)[shares],
    )
    for row in once[once["lift"] > 1].itertuples():
        assert of(often, row.antecedents, row.consequents)["p_value"] <= row.p_value + 1e-12


counts = st.integers(1, 60).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(1, n)).flatmap(
        lambda t: st.tuples(
            st.just(t[0]), st.just(t[1]), st.just(t[2]), st.integers(max(0, t[1] + t[2] - t[0]), min(t[1], t[2]))
        )
    )
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(counts)
def test_fishers_p_is_exact_symmetric_and_falls_with_every_joint_basket(drawn):
    n, left, right, both = drawn
    arrays = [np.array([value]) for value in (both, left, right)]
    p = fisher_p(*arrays, n)[0]
    assert p == pytest.approx(fisher(both, left, right, n), rel=1e-8, abs=1e-14)
    assert p == pytest.approx(fisher_p(arrays[0], arrays[2], arrays[1], n)[0], rel=1e-9)
    if both < min(left, right):
        assert fisher_p(arrays[0] + 1, arrays[1], arrays[2], n)[0] <= p


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 30), st.floats(0.001, 0.5))
def test_benjamini_hochberg_keeps_the_order_and_rejects_what_its_definition_rejects(p_values, n_more, level):
    p = np.array(p_values)
    m = len(p) + n_more
    q = benjamini_hochberg(p, m)
    order = np.argsort(p, kind="stable")
    assert (np.diff(q[order]) >= 0).all()
    assert (q >= p - 1e-15).all()
    assert (q <= 1).all()
    # Benjamini and Hochberg (1995): reject the k smallest, k the largest with p_(k) <= k level / m.
    passed = np.flatnonzero(p[order] <= (np.arange(len(p)) + 1) * level / m)
    n_rejected = passed[-1] + 1 if len(passed) else 0
    clear = np.abs(q - level) > 1e-12
    assert ((q <= level)[clear] == np.isin(np.arange(len(p)), order[:n_rejected])[clear]).all()
    assert (benjamini_hochberg(p, m + 1) >= q - 1e-15).all()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 100), st.floats(0.5, 0.99))
def test_a_surer_lift_interval_is_wider_and_more_orders_make_it_narrower(both, left, right, rest, level):
    numbers = [np.array([value]) for value in (both, both + left, both + right)]
    n = both + left + right + rest
    (low,), (high,) = lift_interval(*numbers, n, level)
    (wide_low,), (wide_high,) = lift_interval(*numbers, n, (1 + level) / 2)
    (sharp_low,), (sharp_high,) = lift_interval(*(9 * one for one in numbers), 9 * n, level)
    assert wide_low <= low <= sharp_low + 1e-12
    assert sharp_high - 1e-12 <= high <= wide_high


@FEW
@given(orders)
def test_the_adjusted_lift_of_all_pairs_adds_up_to_what_was_observed(found):
    """Given basket sizes the expectation is of the right size: it neither loses nor invents pairs."""
    baskets = encode_baskets(lines_of(found))
    n_items = baskets.matrix.shape[1]
    first, second = np.triu_indices(n_items, 1)
    adjusted = size_adjusted(baskets, first, second)
    together = pair_counts(baskets.matrix)
    assert (adjusted.n_orders == together[first, second]).all()
    sizes = baskets.sizes
    assert adjusted.n_orders.sum() == (sizes * (sizes - 1) // 2).sum()
    assert adjusted.expected.sum() == pytest.approx(adjusted.n_orders.sum(), rel=1e-3, abs=1e-6)
    assert ((adjusted.p_value >= 0) & (adjusted.p_value <= 1)).all()
