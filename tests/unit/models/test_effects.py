"""Estimators and overlap against independent formulas and the published figures of real trials."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from models.effects import Effect, adjusted_difference, design_matrix, difference_in_means, doubly_robust
from models.overlap import overlap, sample_ratio_p_value, standardised_differences


@pytest.fixture(scope="module")
def draw():
    """Return outcome, treatment and four covariates of which one is redundant."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 3))
    is_treated = rng.random(300) < 0.4
    outcome = 5 + x @ [2.0, 1.0, 0.0] + is_treated * (1 + x[:, 0]) + rng.normal(size=300) * np.exp(x[:, 1] / 2)
    return outcome, is_treated, np.column_stack([x, x[:, 0] - x[:, 1]])


class TestEffects:
    def test_difference_is_welch(self, draw):
        outcome, is_treated, _ = draw
        effect = difference_in_means(outcome, is_treated)
        welch = stats.ttest_ind(outcome[is_treated], outcome[~is_treated], equal_var=False)
        low, high = welch.confidence_interval(0.95)
        assert (effect.low, effect.high) == pytest.approx((low, high))
        assert effect.estimate == pytest.approx(outcome[is_treated].mean() - outcome[~is_treated].mean())

    def test_lin_is_the_interacted_regression(self, draw):
        outcome, is_treated, x = draw
        x = x[:, :3] - x[:, :3].mean(axis=0)
        t = is_treated.astype(float)
        design = np.column_stack([np.ones(len(t)), t, x, x * t[:, None]])
        inverse = np.linalg.inv(design.T @ design)
        beta = inverse @ design.T @ outcome
        leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
        meat = (outcome - design @ beta) ** 2 / (1 - leverage)
        hc2 = (inverse @ (design.T * meat) @ design @ inverse)[1, 1]
        of_means = np.var(x @ beta[5:]) / len(t)
        effect = adjusted_difference(outcome, is_treated, x)
        assert effect.estimate == pytest.approx(beta[1])
        assert effect.standard_error == pytest.approx(np.sqrt(hc2 + of_means))

    def test_a_redundant_covariate_changes_nothing(self, draw):
        outcome, is_treated, x = draw
        full, lean = adjusted_difference(outcome, is_treated, x), adjusted_difference(outcome, is_treated, x[:, :3])
        assert full.estimate == pytest.approx(lean.estimate)
        assert full.standard_error == pytest.approx(lean.standard_error)

    def test_scale_and_shift_of_covariates_change_nothing(self, draw):
        outcome, is_treated, x = draw
        moved = adjusted_difference(outcome, is_treated, 1_000 * x[:, :3] + 7)
        assert moved.estimate == pytest.approx(adjusted_difference(outcome, is_treated, x[:, :3]).estimate)

    def test_doubly_robust_removes_what_the_naive_difference_keeps(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(4000, 2))
        is_treated = rng.random(4000) < 1 / (1 + np.exp(-x[:, 0]))
        outcome = 3 * x[:, 0] + 1.0 * is_treated + rng.normal(size=4000)
        estimate = doubly_robust(outcome, is_treated, x, seed=1)
        assert difference_in_means(outcome, is_treated).low > 2
        assert estimate.effect.low < 1 < estimate.effect.high
        assert doubly_robust(outcome, is_treated, x, seed=1).effect == estimate.effect

    def test_known_propensities_are_used_as_they_are(self, draw):
        outcome, is_treated, x = draw
        known = np.full(len(outcome), 0.4)
        estimate = doubly_robust(outcome, is_treated, x, 1, known)
        assert (estimate.propensity == known).all()
        assert estimate.effect.estimate == pytest.approx(adjusted_difference(outcome, is_treated, x).estimate, abs=0.1)

    def test_nothing_varies(self):
        effect = difference_in_means(np.zeros(10), np.arange(10) < 5)
        assert effect == Effect(0.0, 0.0, 0.0, 0.0)
        assert not effect.is_significant
        assert effect.p_value == 1.0

    def test_p_value_agrees_with_the_interval(self):
        assert Effect(1.96, 1.0, 0.0, 3.92).p_value == pytest.approx(0.05, abs=1e-3)


class TestDesignMatrix:
    def test_columns_are_finite_and_standardised(self):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {
                "n_orders": pd.array(rng.integers(0, 9, 200), dtype="Int64"),
                "gap_days": np.where(rng.random(200) < 0.3, np.nan, rng.normal(size=200)),
                "share": np.where(rng.random(200) < 0.3, np.nan, 1.0),
                "is_loyal": rng.random(200) < 0.5,
                "region": pd.Series(rng.choice(["n", "s", None], 200), dtype="str"),
            }
        )
        matrix = design_matrix(frame)
        assert np.isfinite(matrix).all()
        assert matrix.mean(axis=0) == pytest.approx(0)
        assert matrix.std(axis=0) == pytest.approx(1)
        # n_orders, gap_days, is_loyal, two patterns of nulls, three regions
        assert matrix.shape == (200, 8)

    def test_features_that_are_null_together_share_one_flag(self):
        gap = np.where(np.arange(100) < 30, np.nan, np.arange(100.0))
        assert design_matrix(pd.DataFrame({"a": gap, "b": gap**2})).shape == (100, 3)

    def test_what_hardly_varies_is_dropped(self):
        rare = np.zeros(1000)
        rare[:5] = 1
        assert design_matrix(pd.DataFrame({"rare": rare, "null": np.nan, "one": 1})).shape == (1000, 0)


class TestOverlap:
    def test_sample_ratio_is_the_chi_squared_test(self):
        is_treated = np.arange(1000) < 530
        expected = stats.chisquare([530, 470], [500, 500]).pvalue
        assert sample_ratio_p_value(is_treated, np.full(1000, 0.5)) == pytest.approx(expected)

    def test_standardised_differences_by_hand(self):
        x = np.array([[1.0, 7.0], [3.0, 7.0], [2.0, 7.0], [6.0, 7.0]])
        expected = (2 - 4) / np.sqrt((2 + 8) / 2)
        assert standardised_differences(x, np.array([True, True, False, False])) == pytest.approx([expected, 0])

    def test_overlap_counts(self):
        is_treated = np.array([True, True, True, False, False, False])
        x = np.array([[1.0], [2], [3], [1], [2], [3]])
        ground = overlap(np.array([0.99, 0.9, 0.4, 0.5, 0.1, 0.01]), is_treated, x)
        assert (ground.propensity_auc, ground.extreme_share) == pytest.approx((8 / 9, 2 / 6))
        assert (ground.n_imbalanced, ground.n_covariates, ground.largest_difference) == (0, 1, 0.0)


class TestRealTrials:
    def test_hillstrom(self, test_data):
        mails = pd.read_parquet(test_data / "hillstrom" / "hillstrom.parquet")
        expected = {
            ("Mens E-Mail", "visit"): (0.0766, 0.0700, 0.0832),
            ("Mens E-Mail", "spend"): (0.770, 0.485, 1.055),
            ("Womens E-Mail", "visit"): (0.0452, 0.0389, 0.0516),
            ("Womens E-Mail", "spend"): (0.424, 0.169, 0.680),
        }
        for (arm, outcome), figures in expected.items():
            rows = mails[mails["segment"].isin([arm, "No E-Mail"])]
            effect = difference_in_means(rows[outcome].to_numpy(float), (rows["segment"] == arm).to_numpy())
            assert (effect.estimate, effect.low, effect.high) == pytest.approx(figures, abs=6e-4)

    def test_an_insurer_that_found_nothing(self, test_data):
        for half in ("train", "valid"):
            rows = pd.read_parquet(test_data / "insurance_uplift" / f"{half}.parquet")
            effect = difference_in_means(rows["PURCHASE"].to_numpy(float), (rows["TREATMENT"] == 1).to_numpy())
            assert not effect.is_significant
