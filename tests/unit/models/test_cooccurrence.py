"""Co-occurrence given basket size and household: unbiased without association, blind to busy households."""

from itertools import combinations

import numpy as np
import pytest
from scipy import sparse

from models.basket import Baskets, pair_counts
from models.cooccurrence import N_STRATA, size_adjusted, size_strata


def baskets_of(held: np.ndarray, customers: np.ndarray | None = None) -> Baskets:
    n, k = held.shape
    return Baskets(
        sparse.csr_array(held.astype(np.uint8)),
        np.array([f"i{j}" for j in range(k)], dtype=object),
        np.arange(n) if customers is None else customers,
        np.full(n, np.datetime64("2017-01-01", "us")),
    )


def all_pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.triu_indices(k, 1)
    return first.astype(np.int64), second.astype(np.int64)


def noise(seed: int, n: int = 20_000, k: int = 25, sigma: float = 1.0) -> np.ndarray:
    """Categories chosen independently given how big a basket is, sizes very different."""
    rng = np.random.default_rng(seed)
    odds = np.exp(np.linspace(-4, 0.5, k))[None] * rng.lognormal(0, sigma, n)[:, None]
    return rng.random((n, k)) < odds / (1 + odds)


@pytest.mark.parametrize("sigma", [0.0, 0.7, 1.5])
def test_without_association_the_adjusted_lift_is_one(sigma: float) -> None:
    held = noise(3, sigma=sigma)
    first, second = all_pairs(held.shape[1])
    found = size_adjusted(baskets_of(held), first, second)
    z = (found.n_orders - found.expected) / np.sqrt(found.expected)
    assert abs(z.mean()) < 0.15
    assert z.std() < 1.2
    assert found.n_orders.sum() / found.expected.sum() == pytest.approx(1, abs=1e-3)


def test_plain_lift_is_far_above_one_on_the_same_noise() -> None:
    held = noise(3, sigma=1.5)
    counts = pair_counts(baskets_of(held).matrix)
    single = np.diag(counts)
    first, second = all_pairs(held.shape[1])
    assert np.median(counts[first, second] * len(held) / (single[first] * single[second])) > 1.5


def test_each_category_keeps_its_number_of_pairs() -> None:
    held = noise(5)
    first, second = all_pairs(held.shape[1])
    found = size_adjusted(baskets_of(held), first, second)
    for item in range(held.shape[1]):
        touched = (first == item) | (second == item)
        assert found.expected[touched].sum() == pytest.approx(found.n_orders[touched].sum(), rel=1e-4)


def test_baskets_of_two_expect_what_enumeration_of_pairs_gives() -> None:
    """All pairs of five equally frequent categories, equally often: exactly the expectation, no lift."""
    rows = [np.isin(np.arange(5), pair) for pair in combinations(range(5), 2)] * 40
    first, second = all_pairs(5)
    found = size_adjusted(baskets_of(np.array(rows)), first, second)
    assert found.expected == pytest.approx(np.full(10, 40.0), rel=1e-6)
    assert found.lift == pytest.approx(np.ones(10), rel=1e-6)


@pytest.mark.parametrize("common", [0.9, 0.5])
def test_very_frequent_categories_are_not_biased(common: float) -> None:
    """Fixed-size draws of independent categories, of which two are in nearly every basket."""
    rng = np.random.default_rng(11)
    shares = np.array([common, common, *np.full(8, 0.4)])
    held = rng.random((60_000, 10)) < shares
    first, second = all_pairs(10)
    found = size_adjusted(baskets_of(held), first, second)
    assert found.lift == pytest.approx(np.ones(45), abs=0.03)


def test_a_planted_pair_is_found() -> None:
    held = noise(7)
    together = np.random.default_rng(1).random(len(held)) < 0.02
    held[together, 3] = True
    held[together, 12] = True
    first, second = all_pairs(held.shape[1])
    found = size_adjusted(baskets_of(held), first, second)
    strongest = int(np.argmin(found.p_value))
    assert (first[strongest], second[strongest]) == (3, 12)
    assert found.lift[strongest] > 1.5
    assert found.p_value[strongest] < 1e-12


def test_one_household_with_ten_thousand_orders_makes_no_rule() -> None:
    """Of independent baskets the pair would be certain; as one household's habit it is not."""
    held = noise(8, n=5_000)
    habit = noise(9, n=10_000)
    habit[:, [2, 5]] = True
    customers = np.concatenate([np.arange(5_000) // 5, np.full(10_000, 1_000)])
    everything = np.concatenate([held, habit])
    pair = (np.array([2]), np.array([5]))
    assert size_adjusted(baskets_of(everything), *pair).p_value[0] < 1e-12
    assert size_adjusted(baskets_of(everything, customers), *pair).p_value[0] > 0.01


def test_independent_tastes_of_households_are_no_rule() -> None:
    """Each household likes each category or not, independently; its baskets repeat its tastes."""
    rng = np.random.default_rng(5)
    n_households, n_each, k = 300, 60, 12
    taste = rng.choice([0.02, 0.5], p=[0.8, 0.2], size=(n_households, k))
    held = rng.random((n_households * n_each, k)) < np.repeat(taste, n_each, axis=0)
    customers = np.repeat(np.arange(n_households), n_each)
    first, second = all_pairs(k)
    as_orders = size_adjusted(baskets_of(held), first, second).p_value
    as_households = size_adjusted(baskets_of(held, customers), first, second).p_value
    assert (as_orders < 0.001).sum() > 5
    assert (as_households < 0.001).sum() <= 1


def test_p_values_are_not_too_small_under_the_null() -> None:
    below = []
    for seed in range(20):
        held = noise(100 + seed, n=2_000, k=15)
        found = size_adjusted(baskets_of(held, np.arange(2_000) // 4), *all_pairs(15))
        below.append((found.p_value < 0.05).mean())
    assert np.mean(below) < 0.06


def test_more_households_than_groups_are_still_tested() -> None:
    held = noise(2, n=12_000, k=10)
    held[np.random.default_rng(0).random(12_000) < 0.05] |= np.isin(np.arange(10), [1, 4])
    found = size_adjusted(baskets_of(held), np.array([1, 0]), np.array([4, 2]))
    assert found.p_value[0] < 1e-12
    assert found.p_value[1] > 1e-3


def test_baskets_without_pairs_expect_nothing() -> None:
    found = size_adjusted(baskets_of(np.eye(4, dtype=bool)), np.array([0, 1]), np.array([1, 2]))
    assert found.expected.tolist() == [0.0, 0.0]
    assert found.p_value.tolist() == [1.0, 1.0]
    assert np.isnan(found.lift).all()


def test_no_pairs_give_no_rows() -> None:
    found = size_adjusted(baskets_of(noise(1, n=50)), np.array([], np.int64), np.array([], np.int64))
    assert len(found.p_value) == len(found.lift) == 0


def test_strata_hold_about_equally_many_pairs() -> None:
    sizes = np.random.default_rng(0).geometric(0.15, 50_000)
    strata = size_strata(sizes)
    pairs = np.bincount(strata[strata >= 0], weights=(sizes * (sizes - 1.0))[strata >= 0])
    assert 2 <= len(pairs) <= N_STRATA
    assert pairs.max() / pairs.min() < 4
    assert (strata[sizes < 2] == -1).all()
