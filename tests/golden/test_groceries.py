"""The published counts of the groceries data (Hahsler, Hornik, Reutterer 2006; R package arules)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import fpgrowth

from models.basket import Baskets, encode_baskets, frequent_itemsets, reaches_share
from models.rule_measures import association_measures


@pytest.fixture(scope="module")
def groceries(test_data: Path) -> Baskets:
    rows = pd.read_parquet(test_data / "groceries" / "baskets_long.parquet")
    lines = rows.rename(columns={"basket_id": "order_id", "item": "category"})
    return encode_baskets(lines.assign(customer_id=None, event_time=pd.Timestamp("2006-01-01")))


@pytest.fixture(scope="module")
def itemsets(groceries: Baskets) -> dict[float, pd.DataFrame]:
    return {support: frequent_itemsets(groceries, support, max_len=None) for support in (0.01, 0.006, 0.001)}


def test_the_baskets_are_the_published_ones(groceries: Baskets) -> None:
    assert groceries.matrix.shape == (9_835, 169)
    assert groceries.matrix.nnz / (9_835 * 169) == pytest.approx(0.02609146, abs=1e-8)
    counts = dict(zip(groceries.items, groceries.matrix.sum(axis=0, dtype=int), strict=True))
    top = ["whole milk", "other vegetables", "rolls/buns", "soda", "yogurt"]
    assert [counts[name] for name in top] == [2_513, 1_903, 1_809, 1_715, 1_372]
    sizes = pd.Series(groceries.sizes).value_counts()
    assert [sizes[length] for length in (1, 2, 3)] == [2_159, 1_643, 1_299]
    assert groceries.sizes.max() == 32


@pytest.mark.slow
@pytest.mark.parametrize(("support", "n_itemsets"), [(0.01, 333), (0.006, 747), (0.001, 13_492)])
def test_itemsets(itemsets: dict[float, pd.DataFrame], support: float, n_itemsets: int) -> None:
    assert len(itemsets[support]) == n_itemsets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("support", "published"), [(0.001, {0.5: 5_668, 0.8: 410}), (0.006, {0.25: 463}), (0.01, {0.5: 15})]
)
def test_rules_with_one_item_on_the_right(
    groceries: Baskets, itemsets: dict[float, pd.DataFrame], support: float, published: dict[float, int]
) -> None:
    rules = association_measures(itemsets[support])
    rules = rules[rules["consequents"].map(len) == 1]
    n_antecedent = np.rint(rules["antecedent_support"].to_numpy() * groceries.n_baskets).astype(np.int64)
    # Four rules have a confidence of exactly 0.8, which the float of mlxtend misses.
    reached = {share: reaches_share(rules["n_orders"].to_numpy(), n_antecedent, share) for share in published}
    assert {share: int(kept.sum()) for share, kept in reached.items()} == published


def test_pairs_counted_directly_are_the_pairs_of_fp_growth(groceries: Baskets) -> None:
    frame = pd.DataFrame.sparse.from_spmatrix(groceries.matrix.astype(bool))
    expected = fpgrowth(frame, 0.001, max_len=2)
    ours = frequent_itemsets(groceries, 0.001)
    assert dict(zip(ours["itemsets"], ours["support"], strict=True)) == pytest.approx(
        dict(zip(expected["itemsets"], expected["support"], strict=True))
    )
