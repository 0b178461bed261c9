"""Past trials of the offers: tune and calibrate on one horizon, judge on the next one, against popularity.

Three methods compete, from the simplest on: popularity, EASE times adoption, the stacked ranker. A later one takes the
place of the one before only where its paired difference on the judged horizon lies above 0 with its whole interval.
"""

from collections.abc import Callable, Mapping
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
from models.offer_components import Standing
from models.offer_ranker import OfferRanker
from models.recommend import (
    Purchases,
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

Scorer = Callable[[Integers], Floats]
"""Scores of all categories for some households, larger is better; minus infinity where there is no offer."""

METHODS = ("popularity", "ease", "stacked")
"""The competing methods, simplest first."""

MAX_CELLS = 2_000_000
"""Households times categories that tuning, calibrating and judging look at; of more households a sample is drawn."""

PRIOR_TAKERS = 5.0
"""Takers of average spend that are added to each category's own, so that one big spender does not price it."""


@dataclass(frozen=True)
class OfferReport:
    """Say how well offers made one horizon ago would have predicted the horizon that is now over.

    Parameters
    ----------
    method
        The method that ranks, one of ``METHODS``.
    decision
        Whether it is better than popularity (``promoted``), or popularity ranks because nothing is (``refused``).
    ridge
        EASE's penalty, tuned one horizon before the judged one.
    n_households
        Judged households that took up at least one category new to them.
    ndcg, recall
        NDCG at 10, and mean share of a household's new categories among the first ten, of each method; 95 % intervals.
    differences
        NDCG at 10 of each other method minus popularity's, paired by household.
    hit_share
        Of all judged households, the share that bought at least one of its offers.
    n_expected, n_accepted
        Offers that the calibrated chances promised to be bought, and those that were.
    """

    method: str
    decision: Decision
    ridge: float
    n_households: int
    ndcg: Mapping[str, Estimate]
    recall: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    hit_share: Estimate
    n_expected: float
    n_accepted: int

    def __str__(self) -> str:
        return (
            f"last horizon: {self.n_accepted:,} offers bought where {self.n_expected:,.0f} were expected; "
            f"{self.hit_share.value:.0%} of households bought one of theirs; NDCG@10 {self._values()}"
        )

    def _values(self) -> str:
        ours, popular = self.ndcg[self.method].value, self.ndcg["popularity"].value
        if self.method == "popularity":
            return f"{popular:.3f}, by popularity"
        return f"{ours:.3f}, popularity {popular:.3f}, difference {self.differences[self.method]}"


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


def scorer(method: str, known: Situation, ranker: OfferRanker | None = None, state: Standing | None = None) -> Scorer:
    """Return how a method scores at an instant; ``stacked`` needs the ranker and what it reads."""
    if method == "stacked" and ranker is not None and state is not None:
        read: dict[bytes, Floats] = {}

        def stacked(rows: Integers) -> Floats:
            # Tuning, judging and calibrating ask for the same households; their components are the cost.
            name = rows.tobytes()
            if name not in read:
                read[name] = np.where(known.is_offerable, ranker.log_scores(state, rows), -np.inf)
            return read[name]

        return stacked
    return lambda rows: log_scores(known, "popularity" if method == "popularity" else "ease", rows)


def tune(trial: Trial) -> float:
    """Return the ridge penalty with the best mean NDCG at 10; of equal ones the smallest."""
    tried = [replace(trial.known, weights=ease_weights(trial.known.owned, ridge)) for ridge in RIDGES]
    means = [np.nanmean(_gains(trial, scorer("ease", known))[0]) for known in tried]
    return RIDGES[int(np.argmax(means))]


def _gains(trial: Trial, score: Scorer) -> tuple[Floats, Floats]:
    """Return NDCG and recall at 10 of each looked-at household."""
    found = [gains(score(rows), trial.taken[rows].toarray()) for rows in chunks(trial.sample)]
    return np.concatenate([ndcg for ndcg, _ in found]), np.concatenate([recall for _, recall in found])


def calibrate(trial: Trial, score: Scorer) -> Pipeline:
    """Learn the chance that a household takes up a category from its score and the household's activity.

    Logistic regression (Platt 1999) on linear splines of the logarithm of the score and of ``activity``, over all
    categories that a household could have been offered. A straight line promised a third too few at the top, where
    offers are made.
    """
    features, labels = [], []
    for rows in chunks(trial.sample):
        scores = score(rows)
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


def best(known: Situation, score: Scorer, model: Pipeline, rows: Integers, n_offers: int) -> tuple[Integers, Floats]:
    """Return the best categories of some rows and their chances, which never rise; NaN where no offer is left."""
    scores = score(rows)
    offered = top(scores, n_offers)
    features = np.take_along_axis(_features(known, rows, scores), offered[:, :, None], axis=1)
    chance = np.full(offered.shape, np.nan)
    is_offer = np.isfinite(features[:, :, 0])
    if is_offer.any():
        chance[is_offer] = model.predict_proba(features[is_offer])[:, 1]
    # A curve learned from few bends by chance: the order of the scores was judged, the bend was not.
    return offered, np.minimum.accumulate(chance, axis=1)


def judge(
    earlier: Trial,
    judged: Trial,
    methods: Mapping[str, tuple[Scorer, Scorer]],
    ridge: float,
    n_offers: int,
) -> OfferReport:
    """Judge methods and chances, both learned on the earlier trial, on a trial that begins where it ended.

    Parameters
    ----------
    earlier, judged
        The trials.
    methods
        How each method scores in the earlier and in the judged trial; ``popularity`` must be among them.
    ridge, n_offers
        For the record; offers per household.
    """
    found = {name: _gains(judged, methods[name][1]) for name in METHODS if name in methods}
    has_target = ~np.isnan(found["popularity"][0])
    ndcg = {name: _mean(values[0][has_target]) for name, values in found.items()}
    gap = {name: _mean((found[name][0] - found["popularity"][0])[has_target]) for name in found}
    method = "popularity"
    for name in list(found)[1:]:
        if _mean((found[name][0] - found[method][0])[has_target]).low > 0:
            method = name
    model = calibrate(earlier, methods[method][0])
    hits, expected = [], 0.0
    for rows in chunks(judged.sample):
        offered, chance = best(judged.known, methods[method][1], model, rows, n_offers)
        hits.append(np.take_along_axis(judged.taken[rows].toarray(), offered, axis=1))
        expected += float(np.nansum(chance))
    accepted = np.concatenate(hits)
    return OfferReport(
        method=method,
        decision=_decide(method, ndcg, gap),
        ridge=ridge,
        n_households=int(has_target.sum()),
        ndcg=ndcg,
        recall={name: _mean(values[1][has_target]) for name, values in found.items()},
        differences={name: gap[name] for name in list(found)[1:]},
        hit_share=_mean(accepted.any(axis=1).astype(float)),
        n_expected=expected,
        n_accepted=int(accepted.sum()),
    )


def _mean(values: Floats) -> Estimate:
    """Return the mean over households with its normal 95 % interval."""
    mean = float(values.mean())
    reach = 1.96 * float(values.std(ddof=1)) / float(np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return Estimate(mean, mean - reach, mean + reach, len(values))


_NAMES = {"ease": "EASE times adoption", "stacked": "the stacked ranker"}


def _decide(method: str, ndcg: Mapping[str, Estimate], gap: Mapping[str, Estimate]) -> Decision:
    """Record the choice; where popularity stays, the numbers are those of the best of the others."""
    is_better = method != "popularity"
    shown = method if is_better else max(list(gap)[1:], key=lambda name: (gap[name].value, name))
    verb = "ranks better than" if is_better else "does not rank better than"
    difference = gap[shown]
    name = _NAMES[shown][:1].upper() + _NAMES[shown][1:]
    return Decision(
        decision="promoted" if is_better else "refused",
        reason=f"{name} {verb} popularity: NDCG@10 difference {difference}",
        metric="ndcg_at_10",
        candidate_value=ndcg[shown].value,
        reference="baseline",
        reference_value=ndcg["popularity"].value,
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
