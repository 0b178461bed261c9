"""Lifts within months and promotions: what only the season makes disappears, what is real stays, intervals cover."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from models.basket import Baskets
from models.strata import months, within_strata

START = np.datetime64("2017-01-01", "us")


def baskets_of(held: np.ndarray, month: np.ndarray) -> Baskets:
    matrix = sparse.csr_array(held.astype(np.uint8))
    names = np.array([f"k{i}" for i in range(held.shape[1])], dtype=object)
    times = START + (month * 31).astype("timedelta64[D]")
    return Baskets(matrix, names, np.arange(len(held)), times)


def seasonal(seed: int, n: int = 12_000) -> tuple[Baskets, np.ndarray]:
    """Tree and star both sell in month 11 alone, independently; bread and butter go together all year."""
    rng = np.random.default_rng(seed)
    month = rng.integers(0, 12, n)
    share = np.where(month == 11, 0.4, 0.02)
    tree, star, bread = rng.random(n) < share, rng.random(n) < share, rng.random(n) < 0.2
    butter = rng.random(n) < np.where(bread, 0.4, 0.1)
    return baskets_of(np.column_stack([tree, star, bread, butter]), month), month


def test_a_lift_that_the_season_makes_disappears_and_a_real_one_stays() -> None:
    baskets, month = seasonal(1)
    found = within_strata(baskets, np.array([0, 2]), np.array([1, 3]), month)
    assert found.lift[0] > 2
    assert found.within_lift[0] == pytest.approx(1, abs=0.15)
    assert found.disappears().tolist() == [True, False]
    assert found.within_lift[1] == pytest.approx(found.lift[1], rel=0.05)


def test_one_class_is_the_plain_lift() -> None:
    baskets, _ = seasonal(2, 500)
    found = within_strata(baskets, np.array([2]), np.array([3]), np.zeros(500, dtype=np.int64))
    assert found.within_lift == pytest.approx(found.lift)


def test_classes_by_hand() -> None:
    # Class 0: 4 baskets, both in 2 of them; class 1: 4 baskets, the first in 1, the second in 2, both in 1.
    held = np.array([[1, 1], [1, 1], [0, 1], [0, 0], [1, 1], [0, 1], [0, 0], [0, 0]])
    found = within_strata(baskets_of(held, np.zeros(8)), np.array([0]), np.array([1]), np.repeat([0, 1], 4))
    assert found.n_both.tolist() == [3]
    assert found.within_lift[0] == pytest.approx(3 / (2 * 3 / 4 + 1 * 2 / 4))


def test_the_interval_covers_the_truth_and_chance_is_seldom_significant() -> None:
    covered, false = 0, 0
    for seed in range(200):
        baskets, month = seasonal(seed, 4_000)
        found = within_strata(baskets, np.array([0]), np.array([1]), month)
        covered += bool(found.low[0] <= 1 <= found.high[0])
        false += bool(found.p_value[0] <= 0.05)
    assert 0.91 <= covered / 200 <= 0.99
    assert false / 200 <= 0.08


def test_the_order_of_baskets_and_the_names_of_classes_change_nothing() -> None:
    baskets, month = seasonal(3, 2_000)
    shuffled = np.random.default_rng(0).permutation(2_000)
    turned = Baskets(baskets.matrix[shuffled], baskets.items, baskets.customers, baskets.times[shuffled])
    one = within_strata(baskets, np.array([0, 2]), np.array([1, 3]), month)
    other = within_strata(turned, np.array([0, 2]), np.array([1, 3]), 11 - month[shuffled])
    assert one.within_lift == pytest.approx(other.within_lift)
    assert one.p_value == pytest.approx(other.p_value)


def test_months_are_calendar_months() -> None:
    times = pd.to_datetime(["2017-03-31T23:59", "2017-04-01T00:00", "2018-03-01T00:00"]).to_numpy(
        dtype="datetime64[us]"
    )
    assert months(times).tolist() == [0, 1, 2]
    assert len(months(times[:0])) == 0


def test_a_category_that_never_sells_has_no_lift() -> None:
    held = np.array([[1, 0], [1, 0]])
    found = within_strata(baskets_of(held, np.zeros(2)), np.array([0]), np.array([1]), np.zeros(2, dtype=np.int64))
    assert np.isnan(found.within_lift[0])
    assert found.p_value[0] == 1
    assert not found.disappears()[0]
