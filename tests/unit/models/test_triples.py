"""Triple rules: counted as by brute force, shown only where they beat every simpler rule, never by one household."""

from datetime import datetime
from itertools import combinations

import numpy as np
import pytest
from scipy import sparse

from models.basket import Baskets
from models.triples import COLUMNS, frequent_triples, mine_triples

AS_OF, CONFIRM_FROM = datetime(2018, 1, 1), datetime(2017, 9, 1)


def baskets_of(held: np.ndarray, customers: np.ndarray | None = None) -> Baskets:
    n = len(held)
    names = np.array([f"k{i}" for i in range(held.shape[1])], dtype=object)
    times = np.datetime64("2017-01-01", "us") + (np.arange(n) * 364 // n).astype("timedelta64[D]")
    owners = np.arange(n) if customers is None else customers
    return Baskets(sparse.csr_array(held.astype(np.uint8)), names, owners, times)


def noise(seed: int, n: int = 8_000, n_items: int = 10) -> np.ndarray:
    """Independent choices in baskets of very different size."""
    rng = np.random.default_rng(seed)
    odds = np.exp(np.linspace(-2.5, -0.5, n_items))[None] * rng.lognormal(0, 0.8, n)[:, None]
    return rng.random((n, n_items)) < odds / (1 + odds)


@pytest.mark.parametrize("seed", range(4))
def test_triples_are_those_of_brute_force(seed: int) -> None:
    held = noise(seed, 300)
    found = {tuple(row) for row in frequent_triples(baskets_of(held), 9).tolist()}
    assert found == {triple for triple in combinations(range(10), 3) if held[:, triple].all(axis=1).sum() >= 9}


def test_chance_makes_no_productive_rule() -> None:
    productive = [mine_triples(baskets_of(noise(seed)), AS_OF, CONFIRM_FROM)[1].n_confirmed for seed in range(12)]
    assert sum(productive) == 0


def test_pairs_that_go_together_make_no_triple() -> None:
    """A makes B and A makes C: B and C then share baskets, but beside A neither says anything about the other."""
    rng = np.random.default_rng(5)
    held = noise(5)
    for one in (1, 2):
        held[:, one] |= held[:, 0] & (rng.random(len(held)) < 0.5)
    rules, _ = mine_triples(baskets_of(held), AS_OF, CONFIRM_FROM)
    with_a = rules[(rules["first"] == "k0") & rules["second"].isin(["k1", "k2"])]
    with_a = with_a[with_a["consequents"].isin(["k1", "k2"])]
    assert len(with_a) == 2
    assert not with_a["is_productive"].any()


def planted(seed: int, customers: np.ndarray | None = None) -> tuple:
    """Who buys k0 and k1 together often buys k2; either alone does not."""
    rng = np.random.default_rng(seed)
    held = noise(seed, 24_000)
    held[:, 2] |= held[:, 0] & held[:, 1] & (rng.random(len(held)) < 0.6)
    return mine_triples(baskets_of(held, customers), AS_OF, CONFIRM_FROM)


def test_a_planted_triple_is_found_and_confirmed() -> None:
    rules, report = planted(6)
    best = rules.iloc[0]
    assert list(rules) == COLUMNS
    assert {best["first"], best["second"]} == {"k0", "k1"}
    assert best["consequents"] == "k2"
    assert best["is_confirmed"]
    assert best["improvement"] > 1.5
    assert report.n_candidates == len(rules) >= report.n_productive >= report.n_confirmed >= 1
    assert f"of {report.n_candidates:,} candidate rules of two categories survived" in str(report)


def test_one_household_alone_proves_nothing() -> None:
    """The same baskets, but all with the planted triple belong to one household."""
    rng = np.random.default_rng(6)
    held = noise(6)
    made = held[:, 0] & held[:, 1] & (rng.random(len(held)) < 0.6)
    held[:, 2] |= made
    owners = np.where(made, 0, np.arange(len(held)) + 1)
    rules, _ = mine_triples(baskets_of(held, owners), AS_OF, CONFIRM_FROM)
    rule = rules[(rules["first"] == "k0") & (rules["second"] == "k1") & (rules["consequents"] == "k2")].iloc[0]
    assert rule["design_effect"] > 20
    assert not rule["is_productive"]


def test_the_order_of_baskets_changes_nothing() -> None:
    baskets = baskets_of(noise(7, 2_000))
    shuffled = np.random.default_rng(0).permutation(2_000)
    turned = Baskets(baskets.matrix[shuffled], baskets.items, baskets.customers[shuffled], baskets.times[shuffled])
    one, other = (mine_triples(each, AS_OF, CONFIRM_FROM)[0] for each in (baskets, turned))
    assert one.equals(other)


def test_nothing_frequent_is_no_rule() -> None:
    rules, report = mine_triples(baskets_of(np.eye(4, dtype=bool)), AS_OF, CONFIRM_FROM, min_support=0.9)
    assert list(rules) == COLUMNS
    assert len(rules) == report.n_candidates == 0
