"""Designs keep what they promise: power on simulated trials, variance really saved, and a no beforehand."""

import numpy as np
import pytest

from models.design import Plan, Window, design, design_frame, variance_saved
from models.effects import adjusted_difference

HALVES = {"control": 0.5, "mail": 0.5}


def history(seed, n=3_000, days=28, told=0.8):
    """Return a past window in which spend before tells so much of the spend after it."""
    rng = np.random.default_rng(seed)
    before = rng.gamma(2.0, 2_000.0, n)
    noise = rng.normal(0, 1, n) * before.std() * np.sqrt(1 - told**2)
    return Window(days, 1_000 + told * before + noise, before[:, np.newaxis])


def plan(worth=None, cost=50.0, shares=HALVES):
    return Plan(shares, {arm: cost for arm in shares if arm != "control"}, 0.25, worth)


class TestPower:
    @pytest.mark.parametrize("shares", [HALVES, {"control": 0.2, "mail": 0.8}])
    def test_the_effect_it_would_find_is_found_in_four_of_five_trials(self, shares):
        window = history(1, n=600)
        (one,) = design([window], plan(shares=shares)).arms
        rng, found = np.random.default_rng(0), 0
        for _ in range(300):
            is_treated = rng.random(600) < shares["mail"]
            outcome = window.outcome + is_treated * one.detectable_cents
            found += adjusted_difference(outcome, is_treated, window.before).low > 0
        assert 0.74 <= found / 300 <= 0.86

    def test_the_customers_it_asks_for_are_enough(self):
        (one,) = design([history(2, n=4_000)], plan(worth=300.0)).arms
        (enough,) = design([history(2, n=4_000)], plan(worth=300.0), n_customers=one.n_needed).arms
        assert enough.power == pytest.approx(0.8, abs=0.01)
        assert enough.detectable_cents == pytest.approx(300, rel=0.01)

    def test_several_arms_need_more(self):
        three = {"control": 1 / 3, "mail": 1 / 3, "call": 1 / 3}
        window = history(3)
        two_arms = design([window], plan(shares=three)).arms
        (alone,) = design([window], plan(), n_customers=2_000).arms
        assert [one.arm for one in two_arms] == ["mail", "call"]
        assert two_arms[0].detectable_cents > alone.detectable_cents

    def test_past_spend_takes_off_what_it_says(self):
        window = history(4, n=20_000)
        (one,) = design([window], plan()).arms
        assert one.variance_saved_share == pytest.approx(0.64, abs=0.02)
        assert one.detectable_cents == pytest.approx(one.plain_detectable_cents * np.sqrt(1 - one.variance_saved_share))


class TestAnswer:
    def test_a_question_that_can_be_answered(self):
        found = design([history(5, n=20_000)], plan(cost=200.0))
        assert found.can_answer is True
        assert found.arms[0].worth_cents == 800
        assert found.cost_cents == 200 * 10_000
        assert "would be found with a chance of" in found.words
        assert "cannot" not in found.words

    def test_a_question_that_cannot_says_so_and_how_many_it_would_take(self):
        found = design([history(5, n=400)], plan(cost=5.0))
        assert found.can_answer is False
        assert "These numbers cannot answer the question" in found.words
        assert f"{found.arms[0].n_needed:,} customers would be needed, 400 are there" in found.words

    def test_a_longer_window_that_could_is_named(self):
        short, long = history(6, told=0.1), history(6, days=56, told=0.99)
        found = design([short, long], plan(cost=40.0))
        assert [one.can_answer for one in found.arms] == [False, True]
        assert "56 days instead of 28 could" in found.words

    def test_without_a_cost_or_a_wish_nobody_can_say(self):
        found = design([history(7)], plan(cost=0.0))
        assert found.can_answer is None
        assert "Nobody said which effect is worth having" in found.words

    def test_what_pays_for_a_contact_is_the_least_that_is_worth_having(self):
        assert plan(worth=10.0, cost=50.0).worth("mail") == 200
        assert plan(worth=900.0, cost=50.0).worth("mail") == 900

    def test_the_table_has_a_row_per_arm_and_window(self):
        table = design_frame(design([history(8), history(8, days=56)], plan()))
        assert table["days"].tolist() == [28, 56]
        assert {"detectable_cents", "can_answer", "n_needed"} <= set(table)


class TestVarianceSaved:
    def test_noise_saves_nothing_however_many_columns(self):
        rng = np.random.default_rng(0)
        saved = [variance_saved(rng.normal(size=200), rng.normal(size=(200, 20))) for _ in range(50)]
        assert np.mean(saved) < 0.04
        assert min(saved) >= 0

    @pytest.mark.parametrize(
        ("outcome", "before"),
        [(np.ones(5), np.ones((5, 1))), (np.arange(5.0), np.empty((5, 0))), (np.arange(2.0), np.ones((2, 1)))],
        ids=["no spread", "nothing known", "two customers"],
    )
    def test_nothing_to_save(self, outcome, before):
        assert variance_saved(outcome, before) == 0

    def test_repeated_columns_count_once(self):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(300, 1))
        outcome = x[:, 0] + rng.normal(size=300)
        assert variance_saved(outcome, np.hstack([x, x, x])) == pytest.approx(variance_saved(outcome, x))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shares": {"mail": 1.0}}, "one of them of control"),
        ({"shares": {"control": 0.5, "mail": 0.6}}, "sum to 1"),
        ({"margin_share": 0.0}, "margin"),
        ({"cost_cents": {"mail": -1.0}}, "costs of 0 or more"),
        ({"worth_cents": 0.0}, "above 0"),
    ],
)
def test_impossible_plans_are_refused(change, said):
    parts = {"shares": HALVES, "cost_cents": {"mail": 1.0}, "margin_share": 0.3, "worth_cents": None} | change
    with pytest.raises(ValueError, match=said):
        Plan(**parts)


def test_no_history_is_no_design():
    with pytest.raises(ValueError, match="at least one past window"):
        design([], plan())
