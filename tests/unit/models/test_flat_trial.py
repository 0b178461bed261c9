"""Flat trials: published figures, intervals at their rate, words as rarely wrong as they say, and refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from models.effects import Effect
from models.flat_trial import balance_p_value, judge_flat, plain_difference
from models.verdict import VerdictWord

PUBLISHED = {
    ("Mens", "visit"): (7.66, 7.00, 8.32),
    ("Mens", "conversion"): (0.681, 0.500, 0.861),
    ("Mens", "spend"): (0.770, 0.485, 1.055),
    ("Womens", "visit"): (4.52, 3.89, 5.16),
    ("Womens", "conversion"): (0.311, 0.150, 0.472),
    ("Womens", "spend"): (0.424, 0.169, 0.680),
}


def trial(seed, n=1_000, effect=0.0, arms=("control", "mail"), told=1.0):
    """Return arms by lot, spend that what was known before tells much of, and what was known."""
    rng = np.random.default_rng(seed)
    drawn = pd.Series(rng.choice(arms, n))
    before = pd.DataFrame({"spend": rng.gamma(2.0, 50.0, n), "region": rng.choice(["n", "s", None], n)})
    spend = told * before["spend"] + rng.gamma(2.0, 30.0, n) + effect * (drawn != "control")
    return drawn, pd.DataFrame({"spend": spend}), before


class TestVerdict:
    def test_the_interval_holds_the_truth_and_the_adjustment_saves_variance(self):
        found = [judge_flat(*trial(seed, n=600, effect=10.0))[0] for seed in range(120)]
        assert 0.89 <= np.mean([one.effect.low <= 10 <= one.effect.high for one in found]) <= 0.99
        assert np.mean([one.variance_saved_share for one in found]) == pytest.approx(0.735, abs=0.03)
        assert np.mean([one.effect.estimate for one in found]) == pytest.approx(10, abs=0.8)

    def test_nothing_works_by_chance_more_often_than_it_says_whatever_the_number_of_arms(self):
        arms = ("control", "a", "b", "c")
        found = [judge_flat(*trial(seed, n=600, arms=arms)) for seed in range(60)]
        assert [one.arm for one in found[0]] == ["a", "b", "c"]
        wrong = np.mean([any(one.word == VerdictWord.WORKS for one in each) for each in found])
        assert wrong <= 0.07

    def test_the_three_words(self):
        (works,) = judge_flat(*trial(1, effect=30.0))
        (not_enough,) = judge_flat(*trial(2), smallest={"spend": 1.0})
        (does_not,) = judge_flat(*trial(2), smallest={"spend": 60.0})
        assert [works.word, not_enough.word, does_not.word] == ["works", "not enough data", "does not"]
        assert "takes" in works.words
        assert f"about {not_enough.n_more_needed:,} more customers would settle it" in not_enough.words

    def test_what_is_lacking_would_be_enough(self):
        drawn = (judge_flat(*trial(seed), smallest={"spend": 4.0})[0] for seed in range(20))
        lacking = next(one for one in drawn if one.word == VerdictWord.NOT_ENOUGH_DATA)
        n = 1_000 + lacking.n_more_needed
        (enough,) = judge_flat(*trial(4, n=int(1.1 * n)), smallest={"spend": 4.0})
        assert enough.word == VerdictWord.DOES_NOT

    def test_small_arms_have_not_enough_data(self):
        (found,) = judge_flat(*trial(1, n=40, effect=500.0))
        assert found.word == VerdictWord.NOT_ENOUGH_DATA

    def test_what_hangs_on_few_values_is_told(self):
        drawn, spend, before = trial(5, n=4_000, told=0.0)
        spend.loc[np.flatnonzero(drawn == "mail")[:3], "spend"] = 10**5
        (found,) = judge_flat(drawn, spend, before)
        assert abs(found.capped.estimate) < abs(found.plain.estimate) / 3

    def test_rare_cases_get_an_interval_that_knows_its_bounds(self):
        values = np.zeros(200)
        values[:4] = 1
        is_treated = np.arange(200) < 100
        found = plain_difference(values, is_treated)
        # Newcombe's own hybrid of two Wilson intervals, by hand.
        first = stats.binomtest(4, 100).proportion_ci(0.95, "wilson")
        other = stats.binomtest(0, 100).proportion_ci(0.95, "wilson")
        assert found.low == pytest.approx(0.04 - np.hypot(0.04 - first.low, other.high))
        assert found.high == pytest.approx(0.04 + np.hypot(first.high - 0.04, 0.0))
        assert isinstance(found, Effect)

    def test_rare_cases_are_covered(self):
        rng, covered = np.random.default_rng(1), 0
        for _ in range(400):
            is_treated = np.arange(600) < 300
            values = (rng.random(600) < np.where(is_treated, 0.02, 0.01)).astype(float)
            found = plain_difference(values, is_treated)
            covered += found.low <= 0.01 <= found.high
        assert covered / 400 >= 0.93


class TestRefusals:
    def test_a_draw_that_is_none_is_found_out(self):
        drawn, spend, before = trial(6)
        chosen = pd.Series(np.where(before["spend"] > 100, "mail", "control"))
        (found,) = judge_flat(chosen, spend, before)
        assert found.word == VerdictWord.NOT_PROVEN
        assert "differed before the start" in found.words
        assert balance_p_value((drawn == "mail").to_numpy(), before[["spend"]].to_numpy()) > 0.001

    def test_sound_draws_are_seldom_doubted(self):
        doubted = [judge_flat(*trial(seed), shares={"control": 0.5, "mail": 0.5})[0].reasons for seed in range(60)]
        assert sum(map(bool, doubted)) <= 2

    def test_lost_customers_are_noticed(self):
        (found,) = judge_flat(*trial(7), shares={"control": 0.4, "mail": 0.6})
        assert "were planned" in found.reasons[0]

    def test_redemption_is_no_treatment(self):
        drawn, spend, before = trial(8, effect=50.0)
        (found,) = judge_flat(drawn.replace("mail", "Redeemed coupon"), spend, before)
        assert found.word == VerdictWord.NOT_PROVEN
        assert "what customers did after the offer" in found.words

    def test_without_lots_nothing_is_claimed(self):
        (found,) = judge_flat(*trial(9, effect=50.0), is_randomised=False)
        assert found.word == VerdictWord.NOT_PROVEN
        assert "not chosen at random" in found.words

    def test_an_outcome_that_never_varies(self):
        drawn, spend, before = trial(1)
        (found,) = judge_flat(drawn, spend * 0, before)
        assert found.word == VerdictWord.NOT_ENOUGH_DATA
        assert found.n_more_needed is None

    @pytest.mark.parametrize("broken", ["null", "no control", "one arm", "no arm"])
    def test_broken_trials_are_refused(self, broken):
        drawn, spend, before = trial(1)
        if broken == "null":
            spend.loc[0, "spend"] = np.nan
        if broken == "no arm":
            drawn[0] = None
        swaps = {"no control": ("control", "x"), "one arm": ("mail", "control")}
        drawn = drawn.replace(*swaps[broken]) if broken in swaps else drawn
        with pytest.raises(ValueError, match=r"outcome must be|control"):
            judge_flat(drawn, spend, before)


@pytest.fixture(scope="module")
def mails(test_data):
    rows = pd.read_parquet(test_data / "hillstrom" / "hillstrom.parquet")
    outcomes = rows[["visit", "conversion", "spend"]].astype(float)
    before = rows.drop(columns=["segment", "visit", "conversion", "spend"])
    third = dict.fromkeys(("control", "Mens E-Mail", "Womens E-Mail"), 1 / 3)
    found = judge_flat(rows["segment"].replace("No E-Mail", "control"), outcomes, before, shares=third)
    return {(one.arm.split()[0], one.outcome): one for one in found}


class TestPublishedTrials:
    @pytest.mark.parametrize("name", PUBLISHED, ids=" ".join)
    def test_two_mails_have_their_published_effects(self, mails, name):
        found = mails[name]
        scale, digits = (1 if name[1] == "spend" else 100), (2 if name[1] == "visit" else 3)
        told = [round(scale * value, digits) for value in (found.plain.estimate, found.plain.low, found.plain.high)]
        assert told == pytest.approx(PUBLISHED[name], abs=1.1 * 10**-digits)
        assert found.word == VerdictWord.WORKS
        assert found.reasons == ()

    def test_the_shares_that_visited(self, mails):
        mens, womens = mails["Mens", "visit"], mails["Womens", "visit"]
        told = [mens.mean_treated, womens.mean_treated, mens.mean_control]
        assert [round(100 * share, 2) for share in told] == [18.28, 15.14, 10.62]

    def test_what_was_known_before_saves_what_was_published(self, mails):
        saved = {name: round(100 * one.variance_saved_share, 1) for name, one in mails.items()}
        assert saved["Mens", "visit"] == pytest.approx(2.9, abs=0.3)
        assert saved["Womens", "visit"] == pytest.approx(2.8, abs=0.3)
        assert abs(saved["Mens", "spend"]) < 0.5

    def test_an_insurer_without_effect_is_told_so(self, test_data):
        rows = pd.read_parquet(test_data / "insurance_uplift" / "train.parquet")
        before = rows.drop(columns=["TREATMENT", "PURCHASE", "UNIQUE_ID"])
        arms = rows["TREATMENT"].map({1: "mail", 0: "control"}).astype("str")
        (found,) = judge_flat(arms, rows[["PURCHASE"]].astype(float), before)
        assert (found.n_treated, found.n_control) == (4_972, 5_028)
        assert round(100 * found.plain.estimate, 2) == 0.82
        assert found.word == VerdictWord.NOT_ENOUGH_DATA
