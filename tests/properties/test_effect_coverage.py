"""Intervals hold the truth as often as they say, and verdicts are wrong as rarely as they say."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from data.simulator import WINDOW_DAYS, simulate
from models.campaign import Campaign, judge
from models.effects import adjusted_difference, difference_in_means, doubly_robust
from models.verdict import VerdictWord

N_WORLDS = 240
EFFECT = 800.0


@dataclass(frozen=True)
class World:
    """Spend of customers before and after a campaign that adds ``EFFECT`` cents on average, more to big spenders."""

    customers: pd.DataFrame
    covariates: pd.DataFrame
    placebo_covariates: pd.DataFrame
    truth: float

    @property
    def outcome(self):
        return self.customers["outcome_cents"].to_numpy(float)

    @property
    def is_treated(self):
        return self.customers["is_treated"].to_numpy()

    def matrix(self, names):
        values = self.covariates[names].to_numpy(float)
        return (values - values.mean(axis=0)) / values.std(axis=0)


def world(seed, n=1500, effect=EFFECT, confounding=0.0, share=0.5):
    """Draw a world of skewed, mostly stable spend; with confounding, whoever spends more is targeted more often.

    Three windows of 28 days; the last is after the start. The truth is the effect expected over all spenders there are.
    """
    rng = np.random.default_rng(seed)
    level = rng.gamma(2.0, 2_500.0, n)
    noise = rng.normal(0, 0.35, n)
    windows = [np.where(rng.random(n) < 0.9, level * rng.gamma(4.0, 0.25, n), 0) for _ in range(3)]
    recent = 0.5 * (windows[0] + windows[1])
    standard = (recent - 4_500) / 3_200
    propensity = 1 / (1 + np.exp(-confounding * standard - np.log(share / (1 - share))))
    is_treated = rng.random(n) < propensity
    gain = effect * (0.5 + 0.5 * level / 5_000)
    after = windows[2] + is_treated * gain
    features = pd.DataFrame({"recent": recent, "last": windows[1], "noise": noise}, index=[str(i) for i in range(n)])
    features["region"] = rng.choice(["north", "south", "west"], n)
    features.loc[rng.random(n) < 0.05, "noise"] = np.nan
    customers = pd.DataFrame(
        {
            "customer_id": features.index,
            "is_treated": is_treated,
            "outcome_cents": after.round(),
            "placebo_outcome_cents": windows[1].round(),
        }
    )
    if confounding == 0:
        customers["propensity"] = share
    placebo = features.assign(recent=windows[0], last=windows[0])
    return World(customers, features, placebo, effect)


def linear_world(seed, n=700):
    """Draw a world that the working models of the doubly robust estimator describe rightly; the truth is 3."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    propensity = 1 / (1 + np.exp(-(0.7 * x[:, 0] - 0.5 * x[:, 1])))
    is_treated = rng.random(n) < propensity
    outcome = 10 + x @ [3.0, 2.0, -1.0, 0.0] + is_treated * (3 + x[:, 0]) + rng.exponential(2.0, n)
    return outcome, is_treated, x


def wilson(hits, n):
    """Return Wilson's 95 % interval of a share."""
    interval = stats.binomtest(int(hits), n).proportion_ci(0.95, "wilson")
    return interval.low, interval.high


def assert_nominal(covered):
    low, high = wilson(np.sum(covered), len(covered))
    assert low <= 0.95 <= high, f"covers {np.mean(covered):.3f} [{low:.3f}, {high:.3f}] instead of .95"


@pytest.fixture(scope="module")
def randomised_worlds():
    return [world(seed) for seed in range(N_WORLDS)]


@pytest.mark.parametrize("names", [[], ["last"], ["last", "recent"]], ids=["plain", "cuped", "lin"])
def test_randomised_intervals_cover_at_the_nominal_rate(randomised_worlds, names):
    effects = [adjusted_difference(w.outcome, w.is_treated, w.matrix(names)) for w in randomised_worlds]
    assert_nominal([effect.low <= EFFECT <= effect.high for effect in effects])
    assert abs(np.mean([effect.estimate for effect in effects]) - EFFECT) < 40


@pytest.mark.parametrize("names", [[], ["last"]], ids=["plain", "cuped"])
def test_small_campaigns_cover_too(names):
    worlds = [world(seed, n=80) for seed in range(1000, 1000 + 2 * N_WORLDS)]
    effects = [adjusted_difference(w.outcome, w.is_treated, w.matrix(names)) for w in worlds]
    assert_nominal([effect.low <= EFFECT <= effect.high for effect in effects])


@pytest.mark.parametrize("names", [[], ["last"]], ids=["plain", "cuped"])
def test_sixty_treated_with_skewed_spend_err_towards_too_little(names):
    # Skewed spend in the smaller arm: the interval covers about .94 (2,500 worlds), and misses on the harmless side.
    worlds = [world(seed, n=400, share=0.15, effect=0.0) for seed in range(1000, 1000 + 2 * N_WORLDS)]
    effects = [adjusted_difference(w.outcome, w.is_treated, w.matrix(names)) for w in worlds]
    assert np.mean([effect.low <= 0 <= effect.high for effect in effects]) > 0.915
    low, _ = wilson(sum(effect.low > 0 for effect in effects), len(effects))
    assert low <= 0.025


def test_adjustment_saves_variance_without_moving_the_estimate(randomised_worlds):
    plain = [difference_in_means(w.outcome, w.is_treated) for w in randomised_worlds]
    lin = [adjusted_difference(w.outcome, w.is_treated, w.matrix(["last", "recent"])) for w in randomised_worlds]
    saved = 1 - np.var([effect.estimate for effect in lin]) / np.var([effect.estimate for effect in plain])
    stated = 1 - np.mean(
        [(one.standard_error / other.standard_error) ** 2 for one, other in zip(lin, plain, strict=True)]
    )
    assert saved > 0.2
    assert saved == pytest.approx(stated, abs=0.1)


@pytest.mark.slow
def test_doubly_robust_covers_where_it_knows_every_confounder():
    draws = [linear_world(seed) for seed in range(N_WORLDS)]
    effects = [doubly_robust(*draw, seed=1).effect for draw in draws]
    naive = [difference_in_means(outcome, is_treated) for outcome, is_treated, _ in draws]
    assert_nominal([effect.low <= 3 <= effect.high for effect in effects])
    assert np.mean([effect.low <= 3 <= effect.high for effect in naive]) < 0.2


@pytest.mark.slow
def test_doubly_robust_covers_with_known_propensities():
    draws = [linear_world(seed) for seed in range(N_WORLDS)]
    covered = []
    for outcome, is_treated, x in draws:
        known = 1 / (1 + np.exp(-(0.7 * x[:, 0] - 0.5 * x[:, 1])))
        effect = doubly_robust(outcome, is_treated, x, 1, known).effect
        covered.append(effect.low <= 3 <= effect.high)
    assert_nominal(covered)


def verdict_of(w, *, is_randomised=True, cost=100):
    campaign = Campaign("1", "letter", is_randomised, cost)
    return judge(campaign, w.customers, w.covariates, w.placebo_covariates, margin_share=0.3, seed=1)


@pytest.mark.slow
def test_a_campaign_with_an_effect_works_and_the_interval_holds_it(randomised_worlds):
    verdicts = [verdict_of(w) for w in randomised_worlds]
    sound = [verdict for verdict in verdicts if verdict.word != VerdictWord.NOT_PROVEN]
    assert len(sound) >= N_WORLDS - 3
    assert_nominal([verdict.effect.low <= EFFECT <= verdict.effect.high for verdict in sound])
    assert np.mean([verdict.word == VerdictWord.WORKS for verdict in sound]) > 0.9
    assert not any(verdict.word == VerdictWord.DOES_NOT for verdict in sound)


@pytest.mark.slow
def test_a_campaign_without_effect_seldom_works():
    # A known cost can only turn "works" into another word, so no cost is the hardest case.
    verdicts = [verdict_of(world(seed, effect=0.0), cost=0) for seed in range(5000, 5000 + N_WORLDS)]
    n_works = sum(verdict.word == VerdictWord.WORKS for verdict in verdicts)
    low, _ = wilson(n_works, N_WORLDS)
    assert low <= 0.05
    assert n_works / N_WORLDS <= 0.05
    assert np.mean([verdict.effect.is_significant for verdict in verdicts]) < 0.09


def test_a_costly_campaign_without_effect_is_found_not_to_work():
    verdicts = [verdict_of(world(seed, effect=0.0), cost=300) for seed in range(25)]
    assert np.mean([verdict.word == VerdictWord.DOES_NOT for verdict in verdicts]) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, EFFECT])
def test_confounded_campaigns_are_never_called_effective(effect):
    for seed in range(15):
        planted = world(seed, n=800, effect=effect, confounding=2.5)
        verdict = verdict_of(planted, is_randomised=False)
        assert verdict.word == VerdictWord.NOT_PROVEN
        assert verdict.propensity_auc > 0.8
        assert any("too different" in reason for reason in verdict.reasons)
        assert verdict.naive_placebo.low > 0
        assert verdict.naive.estimate - effect > 0.5 * verdict.naive_placebo.estimate


def test_a_confounded_campaign_that_claims_to_be_random_is_found_out():
    for seed in range(15):
        verdict = verdict_of(world(seed, n=800, confounding=1.0), is_randomised=True)
        assert verdict.word == VerdictWord.NOT_PROVEN
        assert "declared random" in verdict.reasons[0]


def test_what_a_verdict_says_is_lacking_is_enough():
    for seed in range(8):
        small = world(seed, n=500, effect=300.0)
        verdict = verdict_of(small)
        if verdict.word == VerdictWord.NOT_ENOUGH_DATA:
            enough = verdict_of(world(seed + 50, n=round(1.1 * (500 + verdict.n_more_needed)), effect=300.0))
            assert enough.word in {VerdictWord.WORKS, VerdictWord.DOES_NOT}


def trial_of(simulated):
    """Return the frames of a simulated shop's campaign for those who bought in the 56 days before, and its truth."""
    lines = simulated.tables["transactions"].to_pandas()
    start, window = pd.Timestamp(simulated.truth.campaign.starts_at), pd.Timedelta(days=WINDOW_DAYS)

    def spend(begin, end):
        inside = lines[(lines["event_time"] >= begin) & (lines["event_time"] < end)]
        return inside.groupby("customer_id")["amount_cents"].sum()

    contacts = simulated.tables["contacts"].to_pandas().set_index("customer_id")
    eligible = pd.Index(np.sort(spend(start - 2 * window, start).index))

    def features(at):
        return pd.DataFrame({f"spend_{n}": spend(at - n * window, at).reindex(eligible) for n in (1, 2, 4)}).fillna(0)

    customers = pd.DataFrame(
        {
            "customer_id": eligible,
            "is_treated": contacts["arm"].reindex(eligible).eq("mail").to_numpy(),
            "propensity": contacts["propensity"].reindex(eligible).to_numpy(float),
            "outcome_cents": spend(start, start + window).reindex(eligible, fill_value=0).to_numpy(),
            "placebo_outcome_cents": spend(start - window, start).reindex(eligible, fill_value=0).to_numpy(),
        }
    )
    effects = simulated.truth.campaign.candidates.to_pandas().set_index("customer_id")["effect_cents"]
    return World(customers, features(start), features(start - window), effects.reindex(eligible).mean())


def test_simulated_shops_are_judged_rightly():
    worlds = [trial_of(simulate(seed, 1500, 200, effect_cents=2500.0)) for seed in range(12)]
    verdicts = [verdict_of(w) for w in worlds]
    # One fair draw in a thousand looks unfair, and one of these did when this was written (44.9 % targeted, not 50 %).
    others = [verdict.words for verdict in verdicts if verdict.word != VerdictWord.WORKS]
    assert len(others) <= 1
    assert all("declared random" in words for words in others)
    # Four misses of twelve happen once in three hundred times where the interval covers at its nominal rate.
    held = [verdict.effect.low < w.truth < verdict.effect.high for verdict, w in zip(verdicts, worlds, strict=True)]
    assert sum(held) >= 9


def test_simulated_shops_without_effect_or_lots_get_no_claim():
    for seed in range(5):
        nothing = trial_of(simulate(seed, 1500, 200, effect_cents=0.0))
        assert verdict_of(nothing).word != VerdictWord.WORKS
        chosen = trial_of(simulate(seed, 1500, 200, effect_cents=2500.0, is_randomised=False))
        refused = verdict_of(chosen, is_randomised=False)
        assert refused.word == VerdictWord.NOT_PROVEN
        assert refused.naive_placebo.low > 0
