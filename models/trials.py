"""Past trials of the offers: tune and calibrate on one horizon, judge on the next one, against popularity."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import SplineTransformer

from data.errors import TrainingError
from models.basket import Incidence, Integers
from models.cooccurrence import Floats
from models.evaluation import Estimate
from models.gate import Decision
from models.recommend import (
    Purchases,
    Ranker,
    Situation,
    bought,
    chunks,
    ease_weights,
    gains,
    log_scores,
    spend,
    top,
)

RIDGES = (100.0, 300.0, 1_000.0, 3_000.0)
"""Ridge penalties of EASE that are tried."""

MAX_CELLS = 2_000_000
"""Households times categories that tuning, calibrating and judging look at; of more households a sample is drawn."""

PRIOR_TAKERS = 5.0
"""Takers of average spend that are added to each category's own, so that one big spender does not price it."""


@dataclass(frozen=True)
class OfferReport:
    """Say how well offers made one horizon ago would have predicted the horizon that is now over.

    Parameters
    ----------
    decision
        Whether EASE times adoption ranks (``promoted``), or popularity because EASE was not better (``refused``).
    ridge
        EASE's penalty, tuned one horizon before the judged one.
    n_households
        Judged households that took up at least one category new to them.
    recall, baseline_recall
        Mean share of a household's new categories among the first ten, by EASE and by popularity.
    ndcg, baseline_ndcg, difference
        NDCG at 10 likewise, and EASE minus popularity, paired by household; 95 % intervals.
    hit_share
        Of all judged households, the share that bought at least one of its offers.
    n_expected, n_accepted
        Offers that the calibrated chances promised to be bought, and those that were.
    """

    decision: Decision
    ridge: float
    n_households: int
    recall: Estimate
    baseline_recall: Estimate
    ndcg: Estimate
    baseline_ndcg: Estimate
    difference: Estimate
    hit_share: Estimate
    n_expected: float
    n_accepted: int

    @property
    def ranker(self) -> Ranker:
        """The ranker that the gate allows."""
        return _allowed(self.decision)

    def __str__(self) -> str:
        return (
            f"last horizon: {self.n_accepted:,} offers bought where {self.n_expected:,.0f} were expected; "
            f"{self.hit_share.value:.0%} of households bought one of theirs; NDCG@10 {self.ndcg.value:.3f}, "
            f"popularity {self.baseline_ndcg.value:.3f}, difference {self.difference}"
        )


@dataclass(frozen=True)
class Trial:
    """Hold one past instant: what was known, and what was then bought for the first time.

    Parameters
    ----------
    known
        The situation at the instant.
    taken
        Households by categories, 1 where the household took up an offerable category in the horizon after it.
    sample
        Rows that are looked at.
    """

    known: Situation
    taken: Incidence
    sample: Integers


def run_trial(purchases: Purchases, known: Situation, at: datetime, horizon_days: int, seed: int) -> Trial:
    """Set what was known at ``at`` against the purchases of the ``horizon_days`` after it."""
    after = bought(purchases, at, at + timedelta(days=horizon_days))[known.rows]
    taken = (after > after.multiply(known.owned)).astype(np.uint8)
    taken = taken.multiply(known.is_offerable.astype(np.uint8)).tocsr()
    taken.eliminate_zeros()
    if taken.nnz == 0:
        raise TrainingError(
            f"no household took up a category in the {horizon_days} days after {at:%Y-%m-%d}",
            "two past horizons with purchases that were new to their households",
            "load a longer history or choose another horizon",
        )
    n_rows, n_looked_at = len(known.rows), max(1, MAX_CELLS // known.owned.shape[1])
    drawn = np.random.default_rng(seed).choice(n_rows, min(n_rows, n_looked_at), replace=False)
    return Trial(known, taken, np.sort(drawn).astype(np.int64))


def tune(trial: Trial) -> float:
    """Return the ridge penalty with the best mean NDCG at 10; of equal ones the smallest."""
    tried = [replace(trial.known, weights=ease_weights(trial.known.owned, ridge)) for ridge in RIDGES]
    means = [np.nanmean(_gains(replace(trial, known=known), "ease")[0]) for known in tried]
    return RIDGES[int(np.argmax(means))]


def _gains(trial: Trial, ranker: Ranker) -> tuple[Floats, Floats]:
    """Return NDCG and recall at 10 of each looked-at household."""
    found = [gains(log_scores(trial.known, ranker, rows), trial.taken[rows].toarray()) for rows in chunks(trial.sample)]
    return np.concatenate([ndcg for ndcg, _ in found]), np.concatenate([recall for _, recall in found])


def calibrate(trial: Trial, ranker: Ranker) -> Pipeline:
    """Learn the chance that a household takes up a category from its score and the household's activity.

    Logistic regression (Platt 1999) on linear splines of the logarithm of the score and of ``activity``, over all
    categories that a household could have been offered. A straight line promised a third too few at the top, where
    offers are made.
    """
    features, labels = [], []
    for rows in chunks(trial.sample):
        scores = log_scores(trial.known, ranker, rows)
        could = np.isfinite(scores)
        features.append(_features(trial.known, rows, scores)[could])
        labels.append(trial.taken[rows].toarray()[could])
    y = np.concatenate(labels)
    if len(np.unique(y)) < 2:
        raise TrainingError("all looked-at offers went the same way", "some taken up and some not", "load more history")
    splines = SplineTransformer(n_knots=6, degree=1, knots="quantile", extrapolation="linear")
    model: Pipeline = make_pipeline(splines, LogisticRegression(max_iter=500)).fit(np.concatenate(features), y)
    return model


def _features(known: Situation, rows: Integers, scores: Floats) -> Floats:
    activity = np.broadcast_to(known.activity[rows][:, None], scores.shape)
    return np.stack([scores, activity], axis=-1)


def best(known: Situation, ranker: Ranker, model: Pipeline, rows: Integers, n_offers: int) -> tuple[Integers, Floats]:
    """Return the best categories of some rows and their chances, which never rise; NaN where no offer is left."""
    scores = log_scores(known, ranker, rows)
    offered = top(scores, n_offers)
    features = np.take_along_axis(_features(known, rows, scores), offered[:, :, None], axis=1)
    chance = np.full(offered.shape, np.nan)
    is_offer = np.isfinite(features[:, :, 0])
    if is_offer.any():
        chance[is_offer] = model.predict_proba(features[is_offer])[:, 1]
    # A curve learned from few bends by chance: the order of the scores was judged, the bend was not.
    return offered, np.minimum.accumulate(chance, axis=1)


def judge(earlier: Trial, judged: Trial, ridge: float, n_offers: int) -> OfferReport:
    """Judge the ranker and the chances, both learned on the earlier trial, on a trial that begins where it ended."""
    ndcg, recall = _gains(judged, "ease")
    base_ndcg, base_recall = _gains(judged, "popularity")
    has_target = ~np.isnan(ndcg)
    found, baseline, difference = (_mean(x[has_target]) for x in (ndcg, base_ndcg, ndcg - base_ndcg))
    decision = _decide(found, baseline, difference)
    ranker = _allowed(decision)
    model = calibrate(earlier, ranker)
    hits, expected = [], 0.0
    for rows in chunks(judged.sample):
        offered, chance = best(judged.known, ranker, model, rows, n_offers)
        hits.append(np.take_along_axis(judged.taken[rows].toarray(), offered, axis=1))
        expected += float(np.nansum(chance))
    accepted = np.concatenate(hits)
    return OfferReport(
        decision=decision,
        ridge=ridge,
        n_households=int(has_target.sum()),
        recall=_mean(recall[has_target]),
        baseline_recall=_mean(base_recall[has_target]),
        ndcg=found,
        baseline_ndcg=baseline,
        difference=difference,
        hit_share=_mean(accepted.any(axis=1).astype(float)),
        n_expected=expected,
        n_accepted=int(accepted.sum()),
    )


def _allowed(decision: Decision) -> Ranker:
    return "ease" if decision.decision == "promoted" else "popularity"


def _mean(values: Floats) -> Estimate:
    """Return the mean over households with its normal 95 % interval."""
    mean = float(values.mean())
    reach = 1.96 * float(values.std(ddof=1)) / float(np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return Estimate(mean, mean - reach, mean + reach, len(values))


def _decide(candidate: Estimate, baseline: Estimate, difference: Estimate) -> Decision:
    is_better = difference.low > 0
    verb = "ranks better than" if is_better else "does not rank better than"
    return Decision(
        decision="promoted" if is_better else "refused",
        reason=f"EASE times adoption {verb} popularity: NDCG@10 difference {difference}",
        metric="ndcg_at_10",
        candidate_value=candidate.value,
        reference="baseline",
        reference_value=baseline.value,
        difference=difference.value,
        difference_low=difference.low,
        difference_high=difference.high,
    )


def spend_per_taker(purchases: Purchases, trial: Trial, at: datetime, horizon_days: int) -> Floats:
    """Return, by category, the mean cents that a household which took it up spent on it in the horizon."""
    rows = purchases.between(at, at + timedelta(days=horizon_days))
    cents = spend(purchases, rows)[trial.known.rows].multiply(trial.taken.astype(np.int64))
    totals = np.maximum(np.asarray(cents.sum(axis=0), dtype=np.float64), 0.0)
    n_takers = np.asarray(trial.taken.sum(axis=0, dtype=np.int64))
    overall = totals.sum() / n_takers.sum()
    return np.asarray((totals + PRIOR_TAKERS * overall) / (n_takers + PRIOR_TAKERS), dtype=np.float64)
