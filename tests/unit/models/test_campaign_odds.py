"""Campaigns at their odd ends: nobody, everybody, nothing known, nothing moving, numbers that are none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.campaign import Campaign, judge
from models.effects import adjusted_difference, design_matrix, difference_in_means, doubly_robust
from models.verdict import Verdict, VerdictWord, verdicts_frame

LOT = Campaign("1", "letter", is_randomised=True, cost_per_contact_cents=50)
CHOICE = replace(LOT, is_randomised=False)
BOTH = pytest.mark.parametrize("campaign", [LOT, CHOICE], ids=["lot", "choice"])
Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def trial(n: int = 300, effect: float = 300.0, **columns: object) -> Frames:
    """Return customers, covariates and placebo covariates of a campaign of which half are targeted by lot."""
    rng = np.random.default_rng(1)
    ids = [f"c{number:04}" for number in range(n)]
    before, is_treated = rng.gamma(2, 500, n), rng.random(n) < 0.5
    spent = before + rng.normal(0, 300, n) + effect * is_treated
    customers = {"customer_id": ids, "is_treated": is_treated, "outcome_cents": spent, "placebo_outcome_cents": before}
    covariates = pd.DataFrame({"spend": before, "n_orders": rng.poisson(3, n)}, index=ids)
    return pd.DataFrame(customers | columns), covariates, covariates.copy()


def judged(campaign: Campaign, frames: Frames) -> Verdict:
    return judge(campaign, *frames, margin_share=0.25, seed=0)


def finite(verdict: Verdict) -> bool:
    effects = [
        one for one in (verdict.naive, verdict.effect, verdict.placebo, verdict.naive_placebo) if one is not None
    ]
    return bool(np.isfinite([[one.estimate, one.low, one.high, one.p_value] for one in effects]).all())


@BOTH
@pytest.mark.parametrize("column", ["outcome_cents", "placebo_outcome_cents"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_spend_that_is_no_number_is_refused(campaign, column, odd):
    customers, *covariates = trial()
    customers.loc[7, column] = odd
    with pytest.raises(ValueError, match=f"finite {column} of every customer"):
        judged(campaign, (customers, *covariates))


@BOTH
@pytest.mark.parametrize("place", [1, 2], ids=["before", "placebo"])
def test_an_infinite_covariate_is_refused(campaign, place):
    frames = trial()
    frames[place].iloc[7, 0] = np.inf
    with pytest.raises(ValueError, match="finite or null"):
        judged(campaign, frames)


@BOTH
def test_a_campaign_of_nobody_is_too_small_to_judge(campaign):
    customers, covariates, placebo = trial()
    verdict = judged(campaign, (customers.head(0), covariates.head(0), placebo.head(0)))
    assert (verdict.n_treated, verdict.n_control) == (0, 0)
    assert verdict.word is (VerdictWord.NOT_ENOUGH_DATA if campaign.is_randomised else VerdictWord.NOT_PROVEN)
    assert verdict.effect is None


@BOTH
@pytest.mark.parametrize("is_treated", [True, False], ids=["all", "none"])
def test_a_campaign_to_all_or_none_has_nothing_to_compare_with(campaign, is_treated):
    verdict = judged(campaign, trial(is_treated=is_treated))
    assert verdict.word is (VerdictWord.NOT_ENOUGH_DATA if campaign.is_randomised else VerdictWord.NOT_PROVEN)
    assert verdict.effect is None
    assert {verdict.n_treated, verdict.n_control} == {0, 300}


UNKNOWN = {
    "no covariates": lambda frame: frame[[]],
    "all unknown": lambda frame: frame * np.nan,
    "all the same": lambda frame: frame * 0 + 1,
    "of other customers": lambda frame: frame.rename(index=lambda name: f"x{name}"),
}


@BOTH
@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN)
def test_nothing_known_of_anybody_leaves_the_plain_difference(campaign, change):
    """A campaign soon after the first day has no history: nobody was known one window before it."""
    customers, covariates, placebo = trial()
    for frames in ((customers, covariates, change(placebo)), (customers, change(covariates), change(placebo))):
        verdict = judged(campaign, frames)
        assert finite(verdict)
        assert verdict.effect.estimate == pytest.approx(verdict.naive.estimate, rel=0.5)
        assert verdict.effect.low < verdict.effect.estimate < verdict.effect.high


@pytest.mark.parametrize("chance", [0.0, 1.0])
@pytest.mark.parametrize("share", [0.01, 1.0], ids=["some", "all"])
def test_a_lot_that_had_nothing_to_decide_is_no_lot(chance, share):
    customers, *covariates = trial()
    propensity = np.where(np.arange(len(customers)) < share * len(customers), chance, 0.5)
    verdict = judged(LOT, (customers.assign(propensity=propensity), *covariates))
    assert verdict.word is VerdictWord.NOT_PROVEN
    assert f"{share:.1%} of the customers had no chance of the other group" in verdict.words
    assert finite(verdict)


@pytest.mark.parametrize("spend", [0.0, 5.0, 1e9])
@BOTH
def test_spend_that_never_moved_proves_nothing(campaign, spend):
    verdict = judged(campaign, trial(outcome_cents=spend))
    assert verdict.word is (VerdictWord.NOT_ENOUGH_DATA if campaign.is_randomised else VerdictWord.NOT_PROVEN)
    assert verdict.naive.estimate == verdict.naive.standard_error == 0
    assert "0.00 [95 %: 0.00 to 0.00]" in verdict.words
    assert "-0.00" not in verdict.words


def test_an_arm_that_never_moved_has_no_variance_of_its_own():
    is_treated = np.repeat([True, False], 50)
    outcome = np.where(is_treated, 0.1 + 0.2, np.random.default_rng(0).normal(0, 1, 100))
    covariates = np.random.default_rng(1).normal(0, 1, (100, 3))
    effect = adjusted_difference(outcome, is_treated, covariates)
    assert effect.low < effect.estimate < effect.high
    still = difference_in_means(np.where(is_treated, 0.3, 0.1), is_treated)
    assert (still.estimate, still.standard_error) == (pytest.approx(0.2), 0)


def test_an_adjustment_that_explains_nothing_is_not_boasted_of():
    rng = np.random.default_rng(5)
    customers, _, _ = trial(outcome_cents=rng.normal(1000, 300, 300), placebo_outcome_cents=rng.normal(1000, 300, 300))
    noise = pd.DataFrame(rng.normal(0, 1, (300, 3)), index=customers["customer_id"])
    verdict = judged(LOT, (customers, noise, noise))
    assert verdict.variance_saved_share <= 0.05
    assert "explains -" not in verdict.words


@pytest.mark.parametrize(
    ("features", "shape"),
    [
        (pd.DataFrame(index=range(4)), (4, 0)),
        (pd.DataFrame({"x": []}, dtype=float), (0, 0)),
        (pd.DataFrame({"x": [None] * 4}, dtype=float), (4, 0)),
        (pd.DataFrame({"x": [1.0] * 4, "y": ["a"] * 4}), (4, 0)),
        (pd.DataFrame({"x": [1.0, 2.0, None, None]}), (4, 2)),
        (pd.DataFrame({"x": [True, False, True, None]}, dtype="boolean"), (4, 2)),
    ],
    ids=["no columns", "no rows", "unknown", "constant", "half known", "flags"],
)
def test_a_design_holds_finite_columns_that_vary(features, shape):
    found = design_matrix(features)
    assert found.shape == shape or shape == (0, 0) == (len(found), 0)
    assert np.isfinite(found).all()
    if found.size:
        assert np.allclose(found.mean(axis=0), 0)
        assert np.allclose(found.std(axis=0), 1)


def test_without_covariates_the_doubly_robust_estimate_is_about_the_plain_one():
    customers, _, _ = trial(n=2_000)
    outcome, is_treated = customers["outcome_cents"].to_numpy(), customers["is_treated"].to_numpy()
    found = doubly_robust(outcome, is_treated, np.empty((2_000, 0)), seed=1)
    assert found.effect.estimate == pytest.approx(difference_in_means(outcome, is_treated).estimate, abs=5)
    assert np.allclose(found.propensity, is_treated.mean(), atol=0.02)


@BOTH
def test_money_in_another_unit_changes_no_verdict(campaign):
    customers, covariates, placebo = trial()
    money = ["outcome_cents", "placebo_outcome_cents"]
    dearer = customers.assign(**{name: customers[name] * 100 for name in money})
    richer = replace(campaign, cost_per_contact_cents=5_000)
    one = judged(campaign, (customers, covariates, placebo))
    other = judged(richer, (dearer, covariates.assign(spend=covariates["spend"] * 100), placebo * [100, 1]))
    assert one.word is other.word
    for name in ("naive", "effect", "placebo", "naive_placebo"):
        assert getattr(other, name).estimate == pytest.approx(100 * getattr(one, name).estimate, rel=1e-3, abs=0.01)


def test_every_odd_verdict_can_be_published():
    verdicts = [
        judged(replace(LOT, campaign_id="2"), trial(n=0)),
        judged(replace(CHOICE, campaign_id="1"), trial(is_treated=True)),
        judged(replace(LOT, campaign_id="3"), trial(outcome_cents=5.0)),
    ]
    frame = verdicts_frame(verdicts, pd.Timestamp("2018-01-01").to_pydatetime())
    assert frame["campaign_id"].tolist() == ["1", "2", "3"]
    assert frame["words"].str.len().gt(10).all()
    assert frame["effect_cents"].isna().tolist() == [True, True, False]
