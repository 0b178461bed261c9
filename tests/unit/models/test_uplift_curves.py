"""Measures of a ranking against their definition, the bootstrap, and what must not matter."""

import numpy as np
import pytest

from models.uplift_curves import Area, autoc, auuc, by_decile, curve, qini, rate_qini


def plain_qini(score, outcome, is_treated):
    """Return the Qini as its definition has it, customer by customer."""
    order = np.argsort(-score, kind="stable")
    n, gains = len(score), []
    for k in range(1, n + 1):
        first = order[:k]
        treated = first[is_treated[first]]
        control = first[~is_treated[first]]
        rate = outcome[control].sum() / len(control) if len(control) else 0.0
        gains.append(outcome[treated].sum() - rate * len(treated))
    return np.mean([(gain - k / n * gains[-1]) / n for k, gain in enumerate(gains, start=1)])


def draw(seed, n=2_000, strength=1.0, share=0.5):
    """Return a score that tells the effect, an outcome, lots and chances."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    is_treated = rng.random(n) < share
    outcome = rng.normal(size=n) + is_treated * (0.5 + strength * score)
    return score, outcome, is_treated, np.full(n, share)


@pytest.fixture(scope="module")
def one():
    return draw(1, n=400)


class TestQini:
    def test_is_its_definition(self, one):
        score, outcome, is_treated, chance = one
        assert qini(score, outcome, is_treated, chance).value == pytest.approx(plain_qini(score, outcome, is_treated))

    def test_by_hand(self):
        # Q = 1, 1, 2, 1 with controls that did nothing but the last: mean of Q(k) - k/4 Q(4), by 4.
        outcome, is_treated = np.array([1.0, 0.0, 1.0, 1.0]), np.array([True, False, True, False])
        found = qini(np.array([4.0, 3.0, 2.0, 1.0]), outcome, is_treated, np.full(4, 0.5))
        assert found.value == pytest.approx(((1 + 1 + 2 + 1) / 4 - (1 + 2 + 3 + 4) / 4 / 4 * 1) / 4)

    def test_the_order_of_rows_and_of_ties_says_nothing(self, one):
        score, outcome, is_treated, chance = one
        coarse = np.round(score)
        shuffled = np.random.default_rng(0).permutation(len(score))
        again = qini(coarse[shuffled], outcome[shuffled], is_treated[shuffled], chance)
        first = qini(coarse, outcome, is_treated, chance)
        assert again.value == pytest.approx(first.value)
        assert again.influence == pytest.approx(first.influence[shuffled])

    def test_nobody_told_apart_is_exactly_nil(self, one):
        _, outcome, is_treated, chance = one
        found = qini(np.zeros(len(outcome)), outcome, is_treated, chance)
        assert found.value == pytest.approx(0, abs=1e-12)
        assert found.effect.standard_error == pytest.approx(0, abs=1e-9)

    def test_a_ranking_and_its_reverse_differ_and_chance_lies_between(self, one):
        score, outcome, is_treated, chance = one
        best, worst = (qini(sign * score, outcome, is_treated, chance) for sign in (1, -1))
        assert best.effect.low > 0 > worst.effect.high
        assert best.minus(worst).low > 0

    def test_only_the_order_of_scores_counts(self, one):
        score, outcome, is_treated, chance = one
        assert qini(np.exp(score), outcome, is_treated, chance).value == pytest.approx(
            qini(score, outcome, is_treated, chance).value
        )

    def test_unequal_known_chances_are_weighted_away(self):
        rng = np.random.default_rng(5)
        score = rng.normal(size=40_000)
        chance = np.where(score > 0, 0.8, 0.3)
        is_treated = rng.random(40_000) < chance
        outcome = 3 * score + is_treated + rng.normal(size=40_000)
        # The effect is 1 for all: ranking by what else drives the outcome brings nothing.
        assert abs(qini(score, outcome, is_treated, chance).effect.estimate) < 0.02
        assert abs(qini(score, outcome, is_treated, np.full(40_000, is_treated.mean())).value) > 0.1

    def test_auuc_is_the_qini_and_the_random_area(self, one):
        score, outcome, is_treated, chance = one
        n = len(score)
        total = curve(score, outcome, is_treated, chance)["gain"].iloc[-1]
        expected = qini(score, outcome, is_treated, chance).value + (n + 1) / (2 * n) * total
        assert auuc(score, outcome, is_treated, chance).value == pytest.approx(expected)


class TestInterval:
    @pytest.mark.parametrize("rounding", [8, 0], ids=["distinct", "tied"])
    def test_it_is_that_of_the_bootstrap(self, rounding):
        score, outcome, is_treated, chance = draw(2)
        score = np.round(score, rounding)
        rng, values = np.random.default_rng(3), []
        for _ in range(300):
            rows = rng.integers(0, len(score), len(score))
            values.append(qini(score[rows], outcome[rows], is_treated[rows], chance).value)
        stated = qini(score, outcome, is_treated, chance).effect.standard_error
        assert stated == pytest.approx(np.std(values), rel=0.12)

    def test_rate_has_the_error_of_the_bootstrap(self):
        score, outcome, is_treated, chance = draw(2)
        effects = outcome * (is_treated - chance) / (chance * (1 - chance))
        rng = np.random.default_rng(4)
        for measure in (autoc, rate_qini):
            drawn = [rng.integers(0, len(score), len(score)) for _ in range(300)]
            values = [measure(score[rows], effects[rows]).value for rows in drawn]
            assert measure(score, effects).effect.standard_error == pytest.approx(np.std(values), rel=0.12)

    def test_paired_errors_are_smaller_than_separate_ones(self):
        score, outcome, is_treated, chance = draw(2)
        near = score + np.random.default_rng(1).normal(0, 0.2, len(score))
        first, second = (qini(s, outcome, is_treated, chance) for s in (score, near))
        assert first.minus(second).standard_error < 0.5 * np.hypot(
            first.effect.standard_error, second.effect.standard_error
        )
        assert Area(0.0, np.zeros(10)).minus(Area(0.0, np.zeros(10))).p_value == 1.0

    def test_it_holds_the_truth_as_often_as_it_says(self):
        # E[Q(u)] = share * E[effect; first u], so the truth is share * (E[effect (1 - rank)] - mean / 2): closed form.
        truth = 0.3 * 0.5 / np.sqrt(np.pi)
        found = [qini(*draw(seed, n=800, share=0.3, strength=1.0)).effect for seed in range(300)]
        covered = np.mean([effect.low <= truth <= effect.high for effect in found])
        assert abs(np.mean([effect.estimate for effect in found]) - truth) < 0.01
        assert 0.92 <= covered <= 0.975


class TestToc:
    def test_autoc_is_the_mean_of_the_toc(self, one):
        score, outcome, _, _ = one
        order = np.argsort(-score)
        toc = [outcome[order[:k]].mean() - outcome.mean() for k in range(1, len(score) + 1)]
        assert autoc(score, outcome).value == pytest.approx(np.mean(toc))
        shares = np.arange(1, len(score) + 1) / len(score)
        assert rate_qini(score, outcome).value == pytest.approx(np.mean(shares * toc))

    def test_deciles_fall_and_hold_everybody(self):
        score, outcome, is_treated, chance = draw(7, n=20_000)
        effects = outcome * (is_treated - chance) / (chance * (1 - chance))
        table = by_decile(score, effects, 0.5 + score)
        assert table["n_customers"].tolist() == [2_000] * 10
        assert table["expected_effect"].is_monotonic_decreasing
        assert table["low"].iloc[0] > table["high"].iloc[-1]
        truth = table["expected_effect"]
        assert ((table["low"] <= truth) & (truth <= table["high"])).sum() >= 8

    def test_equal_scores_stay_together(self):
        table = by_decile(np.repeat([2.0, 1.0], [30, 70]), np.arange(100.0))
        assert table["n_customers"].tolist() == [30, 70]

    def test_the_curve_begins_at_nothing_and_ends_at_all(self, one):
        points = curve(*one, n_points=20)
        assert len(points) == 21
        assert points["gain"].iloc[0] == 0
        assert points["gain"].iloc[-1] == pytest.approx(points["random_gain"].iloc[-1])
        assert (points["gain"].iloc[5:16] > points["random_gain"].iloc[5:16]).all()
