"""Baskets: encoding that drops nothing silently, integer thresholds, counts equal to mlxtend's."""

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import apriori, fpgrowth
from scipy import sparse

from models.basket import encode_baskets, frequent_itemsets, least_count, pair_counts

START = pd.Timestamp("2017-01-01")


def lines_of(baskets: list[list[str | None]]) -> pd.DataFrame:
    rows = [(str(i), f"c{i % 3}", item, START + pd.Timedelta(days=i)) for i, b in enumerate(baskets) for item in b]
    return pd.DataFrame(rows, columns=["order_id", "customer_id", "category", "event_time"])


def random_lines(seed: int, n_baskets: int = 200, n_items: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    held = rng.random((n_baskets, n_items)) < np.linspace(0.05, 0.6, n_items)
    return lines_of([[f"item {j:02}" for j in np.flatnonzero(row)] for row in held])


def as_dict(itemsets: pd.DataFrame) -> dict[frozenset[int], float]:
    return dict(zip(itemsets["itemsets"], itemsets["support"], strict=True))


def test_what_is_left_out_is_counted() -> None:
    baskets = encode_baskets(lines_of([["milk", "milk", None], [None, None], ["bread"]]))
    assert baskets.n_baskets == 2
    assert baskets.n_unlabelled_rows == 3
    assert baskets.n_unlabelled_orders == 1
    assert baskets.n_duplicate_rows == 1
    assert baskets.sizes.tolist() == [1, 1]
    assert baskets.matrix.max() == 1


def test_row_order_changes_nothing() -> None:
    lines = random_lines(1)
    shuffled = lines.sample(frac=1, random_state=7)
    one, two = encode_baskets(lines), encode_baskets(shuffled)
    assert (one.matrix != two.matrix).nnz == 0
    assert one.items.tolist() == two.items.tolist()
    assert one.customers.tolist() == two.customers.tolist()
    assert one.times.tolist() == two.times.tolist()


def test_anonymous_baskets_are_households_of_their_own() -> None:
    lines = lines_of([["a"], ["a"], ["b"], ["b"], ["a"]])
    lines["customer_id"] = ["x", None, "x", None, "y"]
    customers = encode_baskets(lines).customers
    assert customers[0] == customers[2]
    assert len(set(customers.tolist())) == 4


def test_an_order_has_its_first_time_and_first_customer() -> None:
    lines = lines_of([["a", "b"]])
    lines["event_time"] = [START + pd.Timedelta(hours=2), START]
    lines["customer_id"] = ["z", "y"]
    baskets = encode_baskets(lines)
    assert baskets.times[0] == np.datetime64(START)
    assert baskets.customers.tolist() == [0]


def test_no_lines_are_no_baskets() -> None:
    baskets = encode_baskets(lines_of([]))
    assert baskets.n_baskets == 0
    assert frequent_itemsets(baskets, 0.1).empty


def test_where_keeps_matrix_customers_and_times_together() -> None:
    baskets = encode_baskets(random_lines(2))
    keep = np.arange(baskets.n_baskets) % 2 == 0
    half = baskets.where(keep)
    assert half.n_baskets == keep.sum() == len(half.customers) == len(half.times)
    assert (half.matrix != baskets.matrix[np.flatnonzero(keep)]).nnz == 0


@pytest.mark.parametrize(
    ("share", "n", "least"), [(0.28, 25, 7), (0.1, 30, 3), (0.07, 100, 7), (1e-9, 10, 1), (1, 4, 4)]
)
def test_thresholds_are_decided_on_integers(share: float, n: int, least: int) -> None:
    assert least_count(share, n) == least


def test_every_exact_threshold_up_to_200_baskets_holds() -> None:
    for n in range(1, 201):
        for percent in (1, 5, 7, 10, 14, 28, 29, 55, 57, 58):
            assert least_count(percent / 100, n) == -(-percent * n // 100)


def test_an_itemset_exactly_at_the_threshold_is_found_at_any_length() -> None:
    # 0.28 x 25 is 7.000000000000001 in floats.
    lines = lines_of([["a", "b", "c"]] * 7 + [["d"]] * 18)
    baskets = encode_baskets(lines)
    assert len(frequent_itemsets(baskets, 0.28)) == 7
    assert len(frequent_itemsets(baskets, 0.28, max_len=None)) == 8


def test_pair_counts_do_not_overflow_small_integers() -> None:
    matrix = sparse.csr_array(np.ones((70_000, 2), dtype=np.uint8))
    assert pair_counts(matrix).tolist() == [[70_000, 70_000], [70_000, 70_000]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_len", [1, 2, 3, None])
def test_itemsets_equal_those_of_mlxtend(seed: int, max_len: int | None) -> None:
    baskets = encode_baskets(random_lines(seed))
    frame = pd.DataFrame.sparse.from_spmatrix(baskets.matrix.astype(bool))
    support = 0.0525  # half way between two counts, where mlxtend's float threshold is safe
    expected = fpgrowth(frame, support, max_len=max_len)
    ours = frequent_itemsets(baskets, support, max_len)
    assert as_dict(ours) == pytest.approx(as_dict(expected))
    assert ours["n_orders"].tolist() == np.rint(ours["support"] * baskets.n_baskets).tolist()


def test_pairs_counted_directly_equal_pairs_mined() -> None:
    baskets = encode_baskets(random_lines(9))
    mined = frequent_itemsets(baskets, 0.02, max_len=None)
    short = mined[mined["itemsets"].map(len) <= 2]
    assert as_dict(frequent_itemsets(baskets, 0.02)) == pytest.approx(as_dict(short))


def test_unpruned_apriori_agrees_at_the_boundary() -> None:
    baskets = encode_baskets(lines_of([["a", "b"]] * 3 + [["a"]] * 7 + [["c"]] * 20))
    frame = pd.DataFrame(baskets.matrix.toarray().astype(bool))
    expected = apriori(frame, 0.1, low_memory=True)
    assert as_dict(frequent_itemsets(baskets, 0.1)) == pytest.approx(as_dict(expected))


def test_one_freak_basket_is_counted_in_bounded_time() -> None:
    wide: list[str | None] = [f"i{j:04}" for j in range(2_000)]
    baskets = encode_baskets(lines_of([wide, *([["i0000", "i0001"]] * 50)]))
    counts = pair_counts(baskets.matrix)
    assert counts[0, 1] == 51
    assert counts[5, 9] == 1
    assert len(frequent_itemsets(baskets, 0.5)) == 3
