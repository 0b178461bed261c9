"""Judge campaigns: what a campaign changed, with its interval, or why that cannot be said.

A randomised campaign gets one of three words. Any other campaign is "not proven", whatever its figures: the plain
difference is shown beside its placebo, the same difference before the campaign began, so that everyone can see how
much of it is the choice of customers.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from models.effects import (
    Effect,
    Flags,
    Floats,
    adjusted_difference,
    design_matrix,
    difference_in_means,
    doubly_robust,
    e_value,
)
from models.overlap import Overlap, overlap, sample_ratio_p_value
from models.verdict import Verdict, VerdictWord, money

MIN_ARM = 30
# Both checks of a declared randomisation fire once in a thousand sound campaigns.
BROKEN = 0.001
MAX_AUC = 0.8
MAX_EXTREME_SHARE = 0.1
MAX_OVERLAP_SHARE = 0.1
_CUSTOMERS_PER_COVARIATE = 20
_STAND_IN_SHARE = 0.01


@dataclass(frozen=True)
class Campaign:
    """What the ledger says of a campaign.

    Attributes
    ----------
    campaign_id, name
        Its key and its name.
    is_randomised
        Whether chance alone decided who was targeted.
    cost_per_contact_cents
        Null or 0 where no cost is known.
    window_days
        Length of the outcome window, and of the placebo window before it.
    """

    campaign_id: str
    name: str
    is_randomised: bool
    cost_per_contact_cents: int | None = None
    window_days: int = 28


@dataclass(frozen=True)
class _Trial:
    """The customers of a campaign as arrays in order of customer_id."""

    is_treated: Flags
    outcome: Floats
    before: Floats
    covariates: Floats
    placebo_covariates: Floats
    propensity: Floats | None
    overlap_share: float | None
    after: Floats | None
    n_comparisons: int = 1

    @property
    def n_treated(self) -> int:
        return int(self.is_treated.sum())

    @property
    def n_control(self) -> int:
        return len(self.is_treated) - self.n_treated


def judge(
    campaign: Campaign,
    customers: pd.DataFrame,
    covariates: pd.DataFrame,
    placebo_covariates: pd.DataFrame,
    *,
    margin_share: float,
    seed: int,
    n_comparisons: int = 1,
) -> Verdict:
    """Judge one campaign whose outcome window is over.

    Parameters
    ----------
    campaign
        The ledger's entry.
    customers
        One row per customer eligible at the start: ``customer_id``, ``is_treated`` (targeted, whether reached or not),
        ``outcome_cents`` (spend in the window from the start), ``placebo_outcome_cents`` (spend in the window before
        it); optional ``propensity`` (known probability of being targeted), ``is_in_other_campaign`` and
        ``after_outcome_cents`` (spend in the window after the outcome window, to see what was only pulled forward).
    covariates
        Features as known at the start, indexed by customer_id; spend of the last weeks must be among them, or the
        adjustment of a campaign that was not randomised is empty.
    placebo_covariates
        The same features as known one window before the start; a customer unknown then may be missing.
    margin_share
        Margin per unit of spend, to turn the cost of a contact into the spend that pays for it.
    seed
        Decides the folds of the cross-fitting.
    n_comparisons
        Arms that are compared with one control arm: the interval of each widens so that all hold at once.

    Returns
    -------
    Verdict
        Equal whatever the order of the rows.

    Raises
    ------
    ValueError
        If a customer_id occurs twice, a spend is null or infinite, or a covariate is infinite.
    """
    trial = replace(_trial(customers, covariates, placebo_covariates), n_comparisons=n_comparisons)
    if min(trial.n_treated, trial.n_control) < MIN_ARM:
        return _too_small(campaign, trial)
    naive_placebo = difference_in_means(trial.before, trial.is_treated)
    doubts = _doubts(trial, naive_placebo) if campaign.is_randomised else ["the targeted were not chosen at random"]
    if doubts:
        return _judge_observed(campaign, trial, naive_placebo, doubts, seed)
    return _judge_randomised(campaign, trial, naive_placebo, margin_share, seed)


def _trial(customers: pd.DataFrame, covariates: pd.DataFrame, placebo_covariates: pd.DataFrame) -> _Trial:
    rows = customers.set_index("customer_id").sort_index()
    if not rows.index.is_unique:
        raise ValueError("a campaign needs one row per customer_id")
    is_treated = rows["is_treated"].to_numpy(dtype=bool)
    shared = rows["is_in_other_campaign"].to_numpy(dtype=bool) if "is_in_other_campaign" in rows else None
    known = rows["propensity"].to_numpy(dtype=float, na_value=np.nan) if "propensity" in rows else np.array([np.nan])
    return _Trial(
        is_treated=is_treated,
        outcome=_finite(rows["outcome_cents"]),
        before=_finite(rows["placebo_outcome_cents"]),
        covariates=design_matrix(covariates.reindex(rows.index)),
        placebo_covariates=design_matrix(placebo_covariates.reindex(rows.index)),
        propensity=None if np.isnan(known).any() else known,
        overlap_share=float(shared[is_treated].mean()) if shared is not None and is_treated.any() else None,
        after=_finite(rows["after_outcome_cents"]) if "after_outcome_cents" in rows else None,
    )


def _finite(spend: pd.Series) -> Floats:
    values = spend.to_numpy(dtype=float, na_value=np.nan)
    if not np.isfinite(values).all():
        raise ValueError(f"a campaign needs a finite {spend.name} of every customer")
    return values


def _doubts(trial: _Trial, naive_placebo: Effect) -> list[str]:
    """Return what contradicts the ledger's word that chance decided."""
    doubts = []
    is_fixed = np.zeros(1) if trial.propensity is None else (trial.propensity <= 0) | (trial.propensity >= 1)
    if is_fixed.any():
        doubts.append(f"declared random, but {is_fixed.mean():.1%} of the customers had no chance of the other group")
    elif trial.propensity is not None and sample_ratio_p_value(trial.is_treated, trial.propensity) < BROKEN:
        planned, found = trial.propensity.mean(), trial.is_treated.mean()
        doubts.append(
            f"declared random, but {found:.1%} of the customers were targeted where {planned:.1%} were planned"
        )
    if not _has_varying_propensity(trial) and naive_placebo.p_value < BROKEN:
        gap = money(naive_placebo.estimate)
        doubts.append(f"declared random, but the targeted already spent {gap} more before the start")
    return doubts


def _has_varying_propensity(trial: _Trial) -> bool:
    return trial.propensity is not None and float(np.ptp(trial.propensity)) > 1e-9


def _judge_randomised(
    campaign: Campaign, trial: _Trial, naive_placebo: Effect, margin_share: float, seed: int
) -> Verdict:
    effect, placebo = _randomised_effects(trial, seed)
    effect = effect.among(trial.n_comparisons)
    naive = difference_in_means(trial.outcome, trial.is_treated)
    break_even = (campaign.cost_per_contact_cents or 0) / margin_share
    smallest = break_even or _STAND_IN_SHARE * float(trial.outcome[~trial.is_treated].mean())
    word = _word(effect, break_even, smallest)
    needed = _n_more_needed(effect, smallest, len(trial.outcome)) if word == VerdictWord.NOT_ENOUGH_DATA else None
    return Verdict(
        campaign_id=campaign.campaign_id,
        name=campaign.name,
        is_randomised=True,
        window_days=campaign.window_days,
        n_treated=trial.n_treated,
        n_control=trial.n_control,
        word=word,
        smallest_effect_cents=smallest,
        is_break_even=break_even > 0,
        naive=naive,
        effect=effect,
        placebo=placebo,
        naive_placebo=naive_placebo,
        variance_saved_share=_variance_saved(effect, naive),
        n_more_needed=needed,
        overlap_share=trial.overlap_share,
        after=None if trial.after is None else _effect_after(trial, trial.after, seed),
        net=effect.times(margin_share, -(campaign.cost_per_contact_cents or 0)),
    )


def _effect_after(trial: _Trial, after: Floats, seed: int) -> Effect:
    return _randomised_effects(replace(trial, outcome=after), seed)[0]


def _randomised_effects(trial: _Trial, seed: int) -> tuple[Effect, Effect]:
    """Return the effect and its placebo; customers with unequal chances need weights, the others a regression."""
    if _has_varying_propensity(trial):
        effect = doubly_robust(trial.outcome, trial.is_treated, trial.covariates, seed, trial.propensity)
        placebo = doubly_robust(trial.before, trial.is_treated, trial.placebo_covariates, seed, trial.propensity)
        return effect.effect, placebo.effect
    spent_before = trial.before[:, np.newaxis]
    covariates = np.hstack([spent_before, _affordable(trial, trial.covariates)])
    effect_lin = adjusted_difference(trial.outcome, trial.is_treated, covariates)
    return effect_lin, adjusted_difference(trial.before, trial.is_treated, _affordable(trial, trial.placebo_covariates))


def _affordable(trial: _Trial, covariates: Floats) -> Floats:
    """Return the covariates if the smaller arm has twenty customers for each, else none of them."""
    allowed = min(trial.n_treated, trial.n_control) >= _CUSTOMERS_PER_COVARIATE * (covariates.shape[1] + 2)
    return covariates if allowed else covariates[:, :0]


def _word(effect: Effect, break_even: float, smallest: float) -> VerdictWord:
    if effect.standard_error == 0:
        return VerdictWord.NOT_ENOUGH_DATA
    if effect.low > 0 and effect.high >= break_even:
        return VerdictWord.WORKS
    return VerdictWord.DOES_NOT if effect.high < smallest else VerdictWord.NOT_ENOUGH_DATA


def _n_more_needed(effect: Effect, smallest: float, n_customers: int) -> int | None:
    """Return the customers that shrink the interval to the width of the smallest effect worth having.

    An interval of that width cannot hold both 0 and that effect, so it settles the matter whatever the truth is. It
    does not lean on the estimate, which is what is in doubt.
    """
    if effect.standard_error == 0 or smallest <= 0:
        return None
    return int(np.ceil(n_customers * (((effect.high - effect.low) / smallest) ** 2 - 1)))


def _variance_saved(effect: Effect, naive: Effect) -> float | None:
    return 1 - (effect.standard_error / naive.standard_error) ** 2 if naive.standard_error > 0 else None


def _judge_observed(campaign: Campaign, trial: _Trial, naive_placebo: Effect, doubts: list[str], seed: int) -> Verdict:
    estimate = doubly_robust(trial.outcome, trial.is_treated, trial.covariates, seed)
    placebo = doubly_robust(trial.before, trial.is_treated, trial.placebo_covariates, seed).effect
    ground = overlap(estimate.propensity, trial.is_treated, trial.covariates)
    return Verdict(
        campaign_id=campaign.campaign_id,
        name=campaign.name,
        is_randomised=campaign.is_randomised,
        window_days=campaign.window_days,
        n_treated=trial.n_treated,
        n_control=trial.n_control,
        word=VerdictWord.NOT_PROVEN,
        reasons=(*doubts, *_refusals(placebo, ground, trial.overlap_share)),
        naive=difference_in_means(trial.outcome, trial.is_treated),
        effect=estimate.effect,
        placebo=placebo,
        naive_placebo=naive_placebo,
        propensity_auc=ground.propensity_auc,
        extreme_share=ground.extreme_share,
        overlap_share=trial.overlap_share,
        e_value=e_value(estimate.effect, float(trial.outcome[~trial.is_treated].std(ddof=1))),
    )


def _refusals(placebo: Effect, ground: Overlap, overlap_share: float | None) -> list[str]:
    refusals = []
    if placebo.is_significant:
        interval = f"[{money(placebo.low)} to {money(placebo.high)}]"
        refusals.append(f"the same method finds {money(placebo.estimate)} {interval} before the campaign began")
    if ground.propensity_auc > MAX_AUC:
        refusals.append(
            f"the targeted are too different (AUC {ground.propensity_auc:.2f}; "
            f"{ground.n_imbalanced} of {ground.n_covariates} features out of balance)"
        )
    if ground.extreme_share > MAX_EXTREME_SHARE:
        refusals.append(f"{ground.extreme_share:.0%} of the customers have hardly a counterpart in the other group")
    if overlap_share is not None and overlap_share > MAX_OVERLAP_SHARE:
        refusals.append(f"{overlap_share:.0%} of the targeted were in another campaign at the same time")
    return refusals


def _too_small(campaign: Campaign, trial: _Trial) -> Verdict:
    lacking = max(MIN_ARM - trial.n_treated, 0) + max(MIN_ARM - trial.n_control, 0)
    reasons = () if campaign.is_randomised else ("the targeted were not chosen at random",)
    return Verdict(
        campaign_id=campaign.campaign_id,
        name=campaign.name,
        is_randomised=campaign.is_randomised,
        window_days=campaign.window_days,
        n_treated=trial.n_treated,
        n_control=trial.n_control,
        word=VerdictWord.NOT_ENOUGH_DATA if campaign.is_randomised else VerdictWord.NOT_PROVEN,
        reasons=reasons,
        n_more_needed=lacking if campaign.is_randomised else None,
        overlap_share=trial.overlap_share,
    )
