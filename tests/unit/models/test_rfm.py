"""Recency, frequency and monetary value in fifths, and the names of their combinations."""

import itertools

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models.rfm import GRID, SEGMENTS, fifths, rfm, rfm_segments, segment_name


def customers(n: int = 500, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in range(n)],
            "recency_days": rng.integers(0, 60, n),
            "n_orders_364d": rng.poisson(4, n),
            "spend_364d_cents": rng.gamma(2, 5_000, n).round(),
            "churn_probability": np.where(rng.random(n) < 0.8, rng.random(n), np.nan),
        }
    )


class TestGrid:
    def test_all_125_cells_have_a_conventional_name_and_every_name_a_cell(self):
        cells = {cell: segment_name(*cell) for cell in itertools.product(range(1, 6), repeat=3)}
        assert len(cells) == 125
        assert set(cells.values()) == set(SEGMENTS)
        assert sorted(GRID) == [1, 2, 3, 4, 5]
        assert {len(names) for names in GRID.values()} == {5}

    @pytest.mark.parametrize(
        ("cell", "name"),
        [
            ((5, 5, 5), "Champions"),
            ((4, 5, 5), "Loyal"),
            ((3, 4, 4), "Loyal"),
            ((5, 1, 1), "New customers"),
            ((4, 1, 1), "Promising"),
            ((4, 3, 2), "Potential loyalists"),
            ((3, 3, 3), "Need attention"),
            ((3, 1, 2), "About to sleep"),
            ((2, 3, 4), "At risk"),
            ((1, 5, 5), "Cannot lose them"),
            ((2, 1, 1), "Hibernating"),
            ((1, 1, 1), "Lost"),
        ],
    )
    def test_known_cells(self, cell: tuple[int, int, int], name: str):
        assert segment_name(*cell) == name

    def test_who_bought_more_is_never_named_as_one_who_bought_less(self):
        """Along a row of the grid, names change but never come back."""
        for names in GRID.values():
            assert len([name for name, _ in itertools.groupby(names)]) == len(set(names))


class TestFifths:
    def test_without_ties_they_are_of_equal_size(self):
        scores = fifths(pd.Series(np.random.default_rng(0).permutation(1000)))
        assert scores.value_counts().sort_index().tolist() == [200] * 5

    def test_customers_alike_get_the_same_score_in_any_order_of_rows(self):
        values = pd.Series(np.random.default_rng(0).integers(0, 7, 333), index=[f"c{i}" for i in range(333)])
        scores = fifths(values)
        assert scores.groupby(values).nunique().max() == 1
        shuffled = values.sample(frac=1, random_state=4)
        pd.testing.assert_series_equal(fifths(shuffled).reindex(values.index), scores)

    def test_scores_rise_with_the_values_or_fall_where_less_is_better(self):
        values = pd.Series([3, 9, 1, 7, 5])
        assert fifths(values).tolist() == [2, 5, 1, 4, 3]
        assert fifths(values, is_less_better=True).tolist() == [4, 1, 5, 2, 3]

    def test_null_is_worst_either_way(self):
        values = pd.Series([1.0, 2.0, 3.0, 4.0, None])
        assert fifths(values).iloc[4] == 1
        assert fifths(values, is_less_better=True).iloc[4] == 1

    def test_nobody_has_no_score(self):
        assert fifths(pd.Series([], dtype="float64")).empty

    def test_a_change_of_unit_changes_nothing(self):
        values = pd.Series(np.random.default_rng(0).gamma(1, 100, 99))
        assert fifths(values).tolist() == fifths(values * 100).tolist()


class TestSegments:
    def test_every_customer_is_in_one_segment_and_money_adds_up(self):
        frame = customers()
        found = rfm_segments(frame)
        assert found["rfm_segment"].tolist() == list(SEGMENTS)
        assert found["n_customers"].sum() == len(frame)
        assert found["n_eligible"].sum() == frame["churn_probability"].notna().sum()
        assert found["spend_cents"].sum() == frame["spend_364d_cents"].sum()
        assert found["spend_share"].sum() == pytest.approx(1)

    def test_churn_share_is_the_mean_probability_of_the_eligible(self):
        frame = customers()
        found = rfm_segments(frame).set_index("rfm_segment")["churn_share"]
        lost = frame[rfm(frame)["rfm_segment"] == "Lost"]
        assert found["Lost"] == pytest.approx(lost["churn_probability"].mean())

    def test_what_was_seen_is_by_the_segment_of_then(self):
        past = customers(400, seed=2).assign(is_eligible=True, has_churned=False)
        named = rfm(past)["rfm_segment"]
        past.loc[named == "Champions", "has_churned"] = True
        found = rfm_segments(customers(), past).set_index("rfm_segment")
        assert found.loc["Champions", "seen_share"] == 1
        assert found.loc["Lost", "seen_share"] == 0
        assert found.loc["Lost", "seen_share_high"] > 0
        assert found.loc["Lost", "n_seen"] == (named == "Lost").sum()

    def test_shares_of_nobody_are_null(self):
        found = rfm_segments(customers(1)).set_index("rfm_segment")
        assert found.loc[found["n_customers"] == 0, "churn_share"].isna().all()
        assert found["seen_share"].isna().all()

    def test_the_order_of_rows_does_not_matter(self):
        frame = customers()
        shuffled = frame.sample(frac=1, random_state=3)
        pd.testing.assert_frame_equal(rfm_segments(frame), rfm_segments(shuffled))

    def test_a_missing_feature_is_refused(self):
        with pytest.raises(TrainingError, match="spend_364d_cents"):
            rfm(customers().drop(columns="spend_364d_cents"))
