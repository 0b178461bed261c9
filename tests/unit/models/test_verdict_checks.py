"""What a verdict checks beside its interval: several arms, spend pulled forward, hidden reasons, and the net."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from models.campaign import Campaign, judge
from models.effects import Effect, e_value
from models.verdict import VerdictWord

LETTER = Campaign("1", "letter", is_randomised=True, cost_per_contact_cents=100)


def trial(seed=0, n=2_000, effect=1_500.0, pulled=0.0, bias=0.0):
    """Return a campaign whose effect is in part only spend pulled forward from the window after."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(2, 2_500, n)
    spend = [level * rng.gamma(4, 0.25, n) for _ in range(4)]
    is_treated = rng.random(n) < 1 / (1 + np.exp(-bias * (spend[1] - 5_000) / 3_500))
    ids = [f"c{number:05d}" for number in range(n)]
    customers = pd.DataFrame(
        {
            "customer_id": ids,
            "is_treated": is_treated,
            "outcome_cents": (spend[2] + effect * is_treated).round(),
            "placebo_outcome_cents": spend[1].round(),
            "after_outcome_cents": (spend[3] - pulled * is_treated).round(),
        }
    )
    features = pd.DataFrame({"spend": spend[1]}, index=ids)
    return customers, features, features.assign(spend=spend[0])


def verdict_of(*frames, campaign=LETTER, n_comparisons=1):
    return judge(campaign, *frames, margin_share=0.25, seed=1, n_comparisons=n_comparisons)


class TestPulledForward:
    def test_what_was_only_bought_earlier_is_told(self):
        verdict = verdict_of(*trial(pulled=1_000.0))
        assert verdict.word == VerdictWord.WORKS
        assert verdict.after.low < -1_000 < verdict.after.high
        assert "Some of it was only bought earlier" in verdict.words
        assert "in 56 days" in verdict.words

    def test_what_lasts_is_not_doubted(self):
        verdicts = [verdict_of(*trial(seed)) for seed in range(40)]
        doubted = sum("bought earlier" in verdict.words for verdict in verdicts)
        assert doubted <= 4, "one in forty by chance"
        assert all(verdict.after is not None for verdict in verdicts)

    def test_before_that_window_is_over_nothing_is_said(self):
        customers, *features = trial(pulled=1_000.0)
        verdict = verdict_of(customers.drop(columns="after_outcome_cents"), *features)
        assert verdict.after is None
        assert "bought earlier" not in verdict.words


class TestSeveralArms:
    def test_the_interval_widens_and_the_estimate_stays(self):
        alone, among = (verdict_of(*trial(), n_comparisons=n) for n in (1, 3))
        assert among.effect.estimate == alone.effect.estimate
        # z(1 - .025 / 3) = 2.394 against 1.960.
        ratio = (among.effect.high - among.effect.low) / (alone.effect.high - alone.effect.low)
        assert ratio == pytest.approx(2.394 / 1.960, abs=0.001)
        assert among.naive == alone.naive

    def test_three_arms_without_effect_seldom_work(self):
        wrong = 0
        for seed in range(40):
            arms = [verdict_of(*trial(1_000 + 3 * seed + arm, 400, 0.0), n_comparisons=3) for arm in range(3)]
            wrong += any(arm.word == VerdictWord.WORKS for arm in arms)
        assert wrong <= 4

    def test_one_comparison_changes_nothing(self):
        effect = Effect(1.0, 0.5, 0.0, 2.0)
        assert effect.among(1) == effect
        assert effect.among(2).low < 0


class TestNet:
    def test_margin_after_cost_has_the_interval_of_the_effect(self):
        verdict = verdict_of(*trial())
        for end in ("estimate", "low", "high"):
            assert getattr(verdict.net, end) == pytest.approx(0.25 * getattr(verdict.effect, end) - 100)
        assert verdict.net.standard_error == pytest.approx(0.25 * verdict.effect.standard_error)

    def test_nothing_is_earned_where_nothing_is_claimed(self):
        observed = dataclasses.replace(LETTER, is_randomised=False)
        assert verdict_of(*trial(), campaign=observed).net is None


class TestHiddenReason:
    def test_by_hand(self):
        # exp(.91 * .8 / 2) = 1.439; 1.439 + sqrt(1.439 * .439).
        assert e_value(Effect(1.0, 0.1, 0.8, 1.2), 2.0) == pytest.approx(2.234, abs=0.001)
        assert e_value(Effect(-1.0, 0.1, -1.2, -0.8), 2.0) == pytest.approx(2.234, abs=0.001)

    @pytest.mark.parametrize("effect", [Effect(0.1, 0.1, -0.1, 0.3), Effect(0.0, 0.0, 0.0, 0.0)])
    def test_where_nothing_needs_explaining_it_is_one(self, effect):
        assert e_value(effect, 2.0) == 1
        assert e_value(Effect(1.0, 0.1, 0.8, 1.2), 0.0) == 1

    def test_it_is_said_of_what_nobody_drew_lots_for_only(self):
        observed = dataclasses.replace(LETTER, is_randomised=False)
        verdict = verdict_of(*trial(bias=0.5), campaign=observed)
        assert verdict.word == VerdictWord.NOT_PROVEN
        assert verdict.e_value > 1
        assert f"{verdict.e_value:.1f} times as likely" in verdict.words
        assert verdict_of(*trial()).e_value is None
        nothing = verdict_of(*trial(effect=0.0, bias=0.5), campaign=observed)
        assert (nothing.e_value == 1) == ("times as likely" not in nothing.words)
