"""Verdicts on planted campaigns and on the campaigns of Complete Journey."""

import dataclasses
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from models.campaign import MIN_ARM, Campaign, judge
from models.effects import adjusted_difference
from models.verdict import Verdict, VerdictWord, money, verdicts_frame

LETTER = Campaign("1", "letter", is_randomised=True, cost_per_contact_cents=100)
CHOSEN = dataclasses.replace(LETTER, is_randomised=False)


def trial(seed=0, n=2000, effect=1500.0, share=0.5, bias=0.0, **columns):
    """Return customers, covariates and placebo covariates of a campaign with a planted effect and selection bias."""
    rng = np.random.default_rng(seed)
    ids = [f"c{number:05d}" for number in range(n)]
    level = rng.gamma(2, 2_500, n)
    spend = [level * rng.gamma(4, 0.25, n) for _ in range(3)]
    is_treated = rng.random(n) < 1 / (1 + np.exp(-bias * (spend[1] - 5_000) / 3_500 - np.log(share / (1 - share))))
    customers = pd.DataFrame(
        {
            "customer_id": ids,
            "is_treated": is_treated,
            "outcome_cents": (spend[2] + effect * is_treated).round().astype("int64"),
            "placebo_outcome_cents": spend[1].round().astype("int64"),
            **columns,
        }
    )
    features = pd.DataFrame({"spend": spend[1], "region": rng.choice(["n", "s"], n)}, index=ids)
    return customers, features, features.assign(spend=spend[0])


def verdict_of(campaign, *frames, seed=1, margin_share=0.25):
    return judge(campaign, *frames, margin_share=margin_share, seed=seed)


class TestRandomised:
    def test_works(self):
        verdict = verdict_of(LETTER, *trial(effect=1500))
        assert verdict.word == VerdictWord.WORKS
        assert verdict.effect.low < 1500 < verdict.effect.high
        assert verdict.placebo.low < 0 < verdict.placebo.high
        assert verdict.variance_saved_share > 0.3
        assert verdict.n_more_needed is None
        assert verdict.reasons == ()
        assert "That exceeds the 4.00 that pays for a contact" in verdict.words

    def test_works_but_may_not_pay(self):
        dear = dataclasses.replace(LETTER, cost_per_contact_cents=375)
        verdict = verdict_of(dear, *trial(effect=1500))
        assert verdict.word == VerdictWord.WORKS
        assert "Whether it exceeds the 15.00 that pays for a contact is open" in verdict.words

    def test_an_effect_below_its_cost_does_not(self):
        verdict = verdict_of(dataclasses.replace(LETTER, cost_per_contact_cents=900), *trial(effect=1500))
        assert verdict.effect.low > 0
        assert verdict.word == VerdictWord.DOES_NOT
        assert "below the 36.00 that pays for a contact" in verdict.words

    def test_a_harmful_campaign_does_not(self):
        for campaign in (LETTER, dataclasses.replace(LETTER, cost_per_contact_cents=None)):
            assert verdict_of(campaign, *trial(effect=-900)).word == VerdictWord.DOES_NOT

    def test_not_enough_data_says_how_much_more(self):
        verdict = verdict_of(LETTER, *trial(n=300, effect=200))
        assert verdict.word == VerdictWord.NOT_ENOUGH_DATA
        width = verdict.effect.high - verdict.effect.low
        assert verdict.n_more_needed == np.ceil(300 * ((width / 400) ** 2 - 1))
        assert f"About {verdict.n_more_needed:,} more customers would settle it" in verdict.words

    def test_without_a_cost_one_percent_of_spend_stands_in(self):
        customers, *features = trial(effect=0)
        verdict = verdict_of(dataclasses.replace(LETTER, cost_per_contact_cents=None), customers, *features)
        spend = customers.loc[~customers["is_treated"], "outcome_cents"].mean()
        assert verdict.smallest_effect_cents == pytest.approx(0.01 * spend)
        assert "no cost of a contact is known" in verdict.words

    def test_too_few_customers_are_not_estimated(self):
        verdict = verdict_of(LETTER, *trial(n=40))
        assert verdict.word == VerdictWord.NOT_ENOUGH_DATA
        assert verdict.effect is None
        lacking = max(MIN_ARM - verdict.n_treated, 0) + max(MIN_ARM - verdict.n_control, 0)
        assert f"at least {lacking} more" in verdict.words

    def test_spend_that_never_varies_proves_nothing(self):
        customers, *features = trial()
        still = customers.assign(outcome_cents=0, placebo_outcome_cents=0)
        verdict = verdict_of(LETTER, still, *features)
        assert verdict.word == VerdictWord.NOT_ENOUGH_DATA
        assert verdict.n_more_needed is None
        assert "did not vary" in verdict.words

    def test_a_broken_sample_ratio_is_refused(self):
        verdict = verdict_of(LETTER, *trial(share=0.4, propensity=0.5))
        assert verdict.word == VerdictWord.NOT_PROVEN
        assert "were targeted where 50.0% were planned" in verdict.reasons[0]

    def test_arms_that_differed_before_are_refused(self):
        verdict = verdict_of(LETTER, *trial(bias=0.6))
        assert verdict.word == VerdictWord.NOT_PROVEN
        assert "already spent" in verdict.reasons[0]

    def test_unequal_known_chances_are_weighted(self):
        customers, features, placebo = trial(effect=0)
        spend = features["spend"].to_numpy()
        known = np.where(spend > np.median(spend), 0.8, 0.2)
        is_treated = np.random.default_rng(9).random(len(known)) < known
        outcome = customers["outcome_cents"] + (1500 * is_treated).astype("int64")
        customers = customers.assign(propensity=known, is_treated=is_treated, outcome_cents=outcome)
        verdict = verdict_of(LETTER, customers, features, placebo)
        assert verdict.word == VerdictWord.WORKS
        assert verdict.effect.low < 1500 < verdict.effect.high < verdict.naive.low

    def test_many_covariates_are_left_out_of_a_small_campaign(self):
        customers, features, placebo = trial(n=200)
        rng = np.random.default_rng(1)
        wide = features.assign(**{f"noise_{number}": rng.normal(size=200) for number in range(30)})
        verdict = verdict_of(LETTER, customers, wide, placebo)
        before = customers[["placebo_outcome_cents"]].to_numpy(float)
        alone = adjusted_difference(
            customers["outcome_cents"].to_numpy(float), customers["is_treated"].to_numpy(), before
        )
        assert verdict.effect == alone


class TestObserved:
    def test_it_is_not_proven_whatever_the_figures(self):
        for effect in (-3000, 0, 3000):
            verdict = verdict_of(CHOSEN, *trial(effect=effect))
            assert verdict.word == VerdictWord.NOT_PROVEN
            assert verdict.reasons == ("the targeted were not chosen at random",)
            assert "no effect is claimed" in verdict.words
            assert "works" not in verdict.words

    def test_selection_is_shown_and_refused(self):
        verdict = verdict_of(CHOSEN, *trial(effect=0, bias=3.0))
        assert verdict.naive.low > 1000
        assert verdict.naive_placebo.low > 1000
        assert verdict.propensity_auc > 0.8
        assert verdict.extreme_share > 0.1
        assert len(verdict.reasons) >= 3

    def test_a_significant_placebo_is_a_reason(self):
        customers, features, _ = trial(bias=1.0)
        blind = pd.DataFrame({"noise": np.random.default_rng(0).normal(size=2000)}, index=features.index)
        verdict = verdict_of(CHOSEN, customers, blind, blind)
        assert any("before the campaign began" in reason for reason in verdict.reasons)

    def test_other_campaigns_are_a_reason(self):
        flags = np.random.default_rng(0).random(2000) < 0.4
        customers, *features = trial(is_in_other_campaign=flags)
        verdict = verdict_of(CHOSEN, customers, *features)
        assert verdict.overlap_share == flags[customers["is_treated"]].mean()
        assert any("in another campaign" in reason for reason in verdict.reasons)

    def test_too_few_customers(self):
        verdict = verdict_of(CHOSEN, *trial(n=40))
        assert (verdict.word, verdict.effect) == (VerdictWord.NOT_PROVEN, None)
        assert verdict.words == "Not proven, because the targeted were not chosen at random."

    @pytest.mark.parametrize("campaign", [LETTER, CHOSEN])
    def test_the_order_of_rows_changes_nothing(self, campaign):
        frames = trial(n=400, bias=0.2)
        shuffled = [frame.sample(frac=1, random_state=number) for number, frame in enumerate(frames)]
        assert verdict_of(campaign, *shuffled) == verdict_of(campaign, *frames)

    def test_a_customer_twice_is_an_error(self):
        customers, *features = trial(n=100)
        with pytest.raises(ValueError, match="one row per customer_id"):
            verdict_of(CHOSEN, pd.concat([customers, customers.head(1)]), *features)

    def test_customers_unknown_before_may_be_missing_from_the_placebo(self):
        customers, features, placebo = trial()
        verdict = verdict_of(CHOSEN, customers, features, placebo.head(1800))
        assert verdict.placebo is not None


class TestFrame:
    AS_OF = datetime.fromisoformat("2018-01-01T05:00:00")

    def test_columns_types_and_order(self):
        small = Verdict("0", "tiny", True, 28, 3, 4, VerdictWord.NOT_ENOUGH_DATA, n_more_needed=53)
        frame = verdicts_frame([verdict_of(LETTER, *trial()), small], self.AS_OF)
        assert list(frame) == [
            "as_of", "campaign_id", "name", "is_randomised", "n_treated", "n_control", "naive_cents", "effect_cents",
            "effect_low_cents", "effect_high_cents", "placebo_cents", "placebo_low_cents", "placebo_high_cents",
            "spend_placebo_naive_cents", "n_more_needed", "variance_saved_share", "propensity_auc", "extreme_share",
            "overlap_share", "verdict", "words",
        ]  # fmt: skip
        assert frame["campaign_id"].tolist() == ["0", "1"]
        assert frame["as_of"].dtype == "datetime64[us]"
        assert (frame.filter(like="_cents").dtypes == "Int64").all()
        assert frame["verdict"].tolist() == ["not enough data", "works"]
        assert frame.loc[0, "effect_cents"] is pd.NA
        assert frame.loc[1, "effect_low_cents"] < frame.loc[1, "effect_cents"] < frame.loc[1, "effect_high_cents"]

    def test_no_campaigns(self):
        frame = verdicts_frame([], self.AS_OF)
        assert frame.empty
        assert frame["verdict"].dtype == "str"

    def test_the_words_name_the_window(self):
        verdict = verdict_of(dataclasses.replace(LETTER, window_days=14), *trial())
        assert "per targeted customer in 14 days" in verdict.words
        verdict = verdict_of(dataclasses.replace(CHOSEN, window_days=14), *trial())
        assert "in the 14 days before it" in verdict.words

    def test_money(self):
        assert [money(cents) for cents in (0, 5, -12_345_678.4)] == ["0.00", "0.05", "-123,456.78"]


class TestRealTrials:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("campaign_id", "figures"),
        [(8, (1063, 135, 135, 0.89)), (13, (1063, 148, 151, 0.93)), (18, (1115, 137, 136, 0.93))],
    )
    def test_complete_journey_targets_its_best_customers(self, complete_journey, campaign_id, figures):
        n_treated, naive, placebo, auc = figures
        customers, *features = complete_journey(campaign_id)
        verdict = verdict_of(Campaign(str(campaign_id), "Type A", is_randomised=False), customers, *features)
        assert verdict.word == VerdictWord.NOT_PROVEN
        assert verdict.n_treated == n_treated
        assert verdict.naive.estimate / 100 == pytest.approx(naive, abs=2)
        assert verdict.naive_placebo.estimate / 100 == pytest.approx(placebo, abs=5)
        assert verdict.propensity_auc == pytest.approx(auc, abs=0.03)
        assert verdict.extreme_share > 0.09
        assert not verdict.effect.is_significant
        assert abs(verdict.effect.estimate) < 0.25 * verdict.naive.estimate
        assert "the targeted are too different" in verdict.words


@pytest.fixture(scope="module")
def complete_journey(test_data):
    """Return a function that gives customers, covariates and placebo covariates of a campaign, from the raw tables."""
    folder = test_data / "completejourney"
    lines = pd.read_parquet(
        folder / "transactions.parquet",
        columns=["household_id", "basket_id", "sales_value", "coupon_disc", "retail_disc", "transaction_timestamp"],
    )
    zone = lines["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    lines["local_time"] = zone.dt.tz_localize(None)
    lines["cents"] = (lines["sales_value"] * 100).round().astype("int64")
    mailed = pd.read_parquet(folder / "campaigns.parquet")
    campaigns = pd.read_parquet(folder / "campaign_descriptions.parquet").set_index("campaign_id")
    window = pd.Timedelta(days=28)

    def between(start, end):
        return lines[(lines["local_time"] >= start) & (lines["local_time"] < end)]

    def features(at, households):
        parts = {}
        for days in (28, 56, 91, 182):
            groups = between(at - pd.Timedelta(days=days), at).groupby("household_id")
            parts[f"spend_{days}"], parts[f"orders_{days}"] = groups["cents"].sum(), groups["basket_id"].nunique()
            parts[f"discount_{days}"] = groups["retail_disc"].sum() + groups["coupon_disc"].sum()
        frame = pd.DataFrame(parts).reindex(households).fillna(0)
        earlier = campaigns.index[campaigns["start_date"] < at]
        frame["n_campaigns"] = mailed[mailed["campaign_id"].isin(earlier)].groupby("household_id").size()
        seen = lines[lines["local_time"] < at].groupby("household_id")["local_time"]
        frame["recency_days"] = (at - seen.max()).dt.total_seconds() / 86_400
        return frame.fillna({"n_campaigns": 0})

    def build(campaign_id):
        start = campaigns.loc[campaign_id, "start_date"]
        households = np.sort(between(start - 2 * window, start)["household_id"].unique())
        targeted = mailed.loc[mailed["campaign_id"] == campaign_id, "household_id"]

        def spend(begin):
            sums = between(begin, begin + window).groupby("household_id")["cents"].sum()
            return sums.reindex(households, fill_value=0).to_numpy()

        customers = pd.DataFrame(
            {
                "customer_id": households,
                "is_treated": np.isin(households, targeted),
                "outcome_cents": spend(start),
                "placebo_outcome_cents": spend(start - window),
            }
        )
        return customers, features(start, households), features(start - window, households)

    return build
