"""Counting pairs: equal to the sparse product in every size and band, planned beforehand, capped with a report."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from models.basket import Baskets, encode_baskets, pair_counts
from models.counting import cap_baskets, frequent_pairs, plan_counting


def random_matrix(seed: int, n_baskets: int, n_items: int, share: float) -> sparse.csr_array:
    held = np.random.default_rng(seed).random((n_baskets, n_items)) < share
    return sparse.csr_array(held.astype(np.uint8))


def by_product(matrix: sparse.csr_array, least: int) -> dict[tuple[int, int], int]:
    counts = np.triu(pair_counts(matrix), 1)
    return {(int(i), int(j)): int(counts[i, j]) for i, j in zip(*np.nonzero(counts >= max(least, 1)), strict=True)}


def as_dict(found) -> dict[tuple[int, int], int]:
    return dict(zip(zip(found.first.tolist(), found.second.tolist(), strict=True), found.n_both.tolist(), strict=True))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 12), st.sampled_from([0.05, 0.4, 1.0]), st.integers(0, 5)
)
def test_counts_are_those_of_the_product(seed, n_baskets, n_items, share, least):
    matrix = random_matrix(seed, n_baskets, n_items, share)
    found = frequent_pairs(matrix, least)
    assert as_dict(found) == by_product(matrix, least)
    assert found.single.tolist() == matrix.sum(axis=0, dtype=int).tolist()
    assert (found.first < found.second).all()
    # In bands of a few columns the same pairs come in the same order.
    banded = frequent_pairs(matrix, least, max_table_bytes=64)
    for name in ("first", "second", "n_both"):
        assert getattr(banded, name).tolist() == getattr(found, name).tolist()


def test_baskets_larger_than_the_buffer_are_counted_too() -> None:
    """A basket of 700 categories holds 244,650 pairs; its neighbours keep their own counts."""
    rows = np.concatenate([np.zeros(700, int), [1, 1, 2, 2, 2]])
    columns = np.concatenate([np.arange(700), [0, 1, 0, 1, 5]])
    matrix = sparse.coo_array((np.ones(len(rows), np.uint8), (rows, columns)), shape=(3, 700)).tocsr()
    found = frequent_pairs(matrix, 1)
    assert len(found.n_both) == 700 * 699 // 2
    assert as_dict(frequent_pairs(matrix, 2)) == {(0, 1): 3, (0, 5): 2, (1, 5): 2}


def test_counts_past_one_byte_and_two_do_not_wrap() -> None:
    matrix = sparse.csr_array(np.ones((70_000, 2), dtype=np.uint8))
    assert frequent_pairs(matrix, 1).n_both.tolist() == [70_000]


@pytest.mark.parametrize("matrix", [sparse.csr_array((0, 3), dtype=np.uint8), sparse.csr_array((4, 0), dtype=np.uint8)])
def test_nothing_to_count_is_no_pair(matrix: sparse.csr_array) -> None:
    found = frequent_pairs(matrix, 1)
    assert len(found.first) == len(found.second) == len(found.n_both) == 0
    assert plan_counting(matrix, 1).n_increments == 0


def test_the_plan_counts_the_work_and_bounds_the_memory() -> None:
    matrix = random_matrix(1, 400, 60, 0.3)
    plan = plan_counting(matrix, 1)
    sizes = np.diff(matrix.indptr)
    assert plan.n_increments == (sizes * (sizes - 1) // 2).sum() == np.triu(pair_counts(matrix), 1).sum()
    assert (plan.n_baskets, plan.n_frequent, plan.n_bands) == (400, 60, 1)
    banded = plan_counting(matrix, 1, max_table_bytes=10_000)
    assert banded.n_bands > 1
    assert f"in {banded.n_bands} bands" in str(banded)
    assert "bands" not in str(plan)
    # Fewer frequent categories are less work.
    assert plan_counting(matrix, 130).n_increments < plan.n_increments


def test_the_order_of_baskets_changes_nothing() -> None:
    matrix = random_matrix(2, 200, 20, 0.2)
    turned = matrix[np.random.default_rng(0).permutation(200)]
    assert as_dict(frequent_pairs(turned, 3)) == as_dict(frequent_pairs(matrix, 3))


def shop(n_baskets: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    held = rng.random((n_baskets, 15)) < 0.2
    basket, item = np.nonzero(held)
    lines = pd.DataFrame({"order_id": basket.astype(str), "category": [f"k{i:02}" for i in item]})
    return lines.assign(customer_id=lines["order_id"], event_time=pd.Timestamp("2017-01-01"))


def with_freak(lines: pd.DataFrame) -> Baskets:
    freak = pd.DataFrame({"order_id": "freak", "category": [f"z{i:04}" for i in range(700)]})
    freak = freak.assign(customer_id="x", event_time=pd.Timestamp("2017-01-01"))
    return encode_baskets(pd.concat([lines, freak], ignore_index=True))


def test_a_freak_basket_is_left_out_with_a_report_and_the_rest_stays() -> None:
    lines = shop()
    capped, report = cap_baskets(with_freak(lines), 500)
    assert (report.n_left_out, report.max_size) == (1, 500)
    assert report.share_of_pairs > 0.99
    assert "1 baskets of more than 500 categories are left out" in str(report)
    plain = encode_baskets(lines)
    one, other = (frequent_pairs(baskets.matrix, 5) for baskets in (capped, plain))
    names = [[(b.items[i], b.items[j]) for i, j in zip(f.first, f.second, strict=True)]
             for b, f in ((capped, one), (plain, other))]  # fmt: skip
    assert names[0] == names[1]
    assert one.n_both.tolist() == other.n_both.tolist()


def test_a_cap_that_nothing_reaches_changes_nothing() -> None:
    baskets = encode_baskets(shop())
    capped, report = cap_baskets(baskets, 15)
    assert capped is baskets
    assert (report.n_left_out, report.share_of_pairs) == (0, 0.0)
