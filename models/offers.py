"""What to offer each household next: categories new to it, with a calibrated chance, the margin and a reason.

Three instants one horizon apart keep the figures honest: at the first the ranker is tuned and its scores are
calibrated on what followed; at the second it is judged on what followed; at ``as_of``, calibrated on the latest
horizon, it offers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.basket import Integers
from models.cooccurrence import Floats
from models.offer_components import Standing, standing
from models.offer_ranker import Lesson, OfferRanker, learn_ranker
from models.offer_reasons import Reasons
from models.recommend import chunks, encode_purchases, situation
from models.trials import (
    METHODS,
    OfferReport,
    Scorer,
    Trial,
    best,
    calibrate,
    judge,
    run_trial,
    scorer,
    spend_per_taker,
    tune,
)

COLUMNS = ["customer_id", "as_of", "rank", "category", "acceptance_probability", "expected_margin_cents", "reason"]
"""Columns of the published table ``offers``."""


def plan_offers(
    lines: pd.DataFrame,
    rules: pd.DataFrame,
    as_of: datetime,
    *,
    horizon_days: int,
    margin_share: float,
    lookback_days: int = 365,
    n_offers: int = 5,
    not_offered: Sequence[str] = (),
    seed: int = 0,
) -> tuple[pd.DataFrame, OfferReport]:
    """Offer every household the categories that it is most likely to take up within the horizon.

    Parameters
    ----------
    lines
        Columns ``order_id``, ``customer_id``, ``category``, ``event_time``, ``amount_cents``; what is at or after
        ``as_of`` is not used. Rows without customer or category cannot say what a household buys and drop out.
    rules
        The table ``rules``; only confirmed ones are given as reasons.
    as_of
        Instant (UTC), half-open.
    horizon_days
        Length of the window in which an offer counts as accepted.
    margin_share
        Margin in spend, 0 to 1.
    lookback_days
        A category is new to a household that did not buy it in these days.
    n_offers
        Offers per household, fewer where it buys nearly everything.
    not_offered
        Categories that are evidence but never offers, for example deposits.
    seed
        Draws the households of the trials where there are too many to look at all.

    Returns
    -------
    tuple
        The offers with ``COLUMNS``, by customer and rank, rank 1 the most likely; and the report on the last horizon.
        ``acceptance_probability`` is the chance that the household buys the category in the horizon, offered or not:
        no past offer was randomised. ``expected_margin_cents`` is that chance times the mean spend of households that
        took the category up in the last horizon times ``margin_share``.

    Raises
    ------
    TrainingError
        If in one of the two past horizons nobody took up a category.
    """
    purchases, horizon = encode_purchases(lines), timedelta(days=horizon_days)
    before, last = as_of - 2 * horizon, as_of - horizon
    known = partial(
        situation, purchases, horizon_days=horizon_days, lookback_days=lookback_days, not_offered=not_offered
    )
    described = partial(standing, purchases, horizon_days=horizon_days, lookback_days=lookback_days)
    earlier = run_trial(purchases, known(before), before, horizon_days, seed)
    ridge = tune(earlier)
    earlier = replace(earlier, known=known(before, ridge=ridge))
    judged = run_trial(purchases, known(last, ridge=ridge), last, horizon_days, seed)
    now = known(as_of, ridge=ridge)
    stacked = _Stacked.of(earlier, judged, (described(earlier.known, before), described(judged.known, last)), seed)
    methods = {name: stacked.both(name, earlier, judged) for name in METHODS if name != "stacked" or stacked.first}
    report = judge(earlier, judged, methods, ridge, n_offers)
    model = calibrate(judged, methods[report.method][1])
    score = scorer(report.method, now)
    if report.method == "stacked":
        score = scorer("stacked", now, stacked.learned_twice(seed), described(now, as_of))
    margin_cents = spend_per_taker(purchases, judged, last, horizon_days) * margin_share
    reasons = Reasons.of(rules, purchases.categories, now.weights, now.popularity)
    parts = []
    for rows in chunks(np.arange(len(now.rows))):
        offered, chance = best(now, score, model, rows, n_offers)
        parts.append(
            _frame(purchases.customers[now.rows[rows]], now.owned[rows].toarray() > 0, offered, chance, reasons)
        )
    offers = pd.concat(parts, ignore_index=True)
    cents = np.rint(offers["acceptance_probability"].to_numpy() * margin_cents[offers.pop("code").to_numpy()])
    offers = offers.assign(as_of=np.datetime64(as_of, "us"), expected_margin_cents=cents.astype(np.int64))
    return offers[COLUMNS], report


@dataclass(frozen=True)
class _Stacked:
    """Hold the ranker that learned from the earlier trial alone, so that the judged one is new to it."""

    first: OfferRanker | None
    lessons: tuple[Lesson, Lesson]

    @classmethod
    def of(cls, earlier: Trial, judged: Trial, states: tuple[Standing, Standing], seed: int) -> "_Stacked":
        """Learn from the earlier trial."""
        lessons = (Lesson(states[0], earlier.taken), Lesson(states[1], judged.taken))
        return cls(learn_ranker("explore", lessons[:1], seed), lessons)

    def both(self, name: str, earlier: Trial, judged: Trial) -> tuple[Scorer, Scorer]:
        """Return how a method scores in the earlier and in the judged trial."""
        states = [lesson.state for lesson in self.lessons]
        trials = zip((earlier, judged), states, strict=True)
        one, other = (scorer(name, trial.known, self.first, state) for trial, state in trials)
        return one, other

    def learned_twice(self, seed: int) -> OfferRanker | None:
        """Return the ranker for tonight: both trials are over, so it learns from both."""
        return learn_ranker("explore", self.lessons, seed)


def _frame(
    customers: NDArray[np.object_], owned: NDArray[np.bool_], offered: Integers, chance: Floats, reasons: Reasons
) -> pd.DataFrame:
    """Return one row per offer of some households; the places that hold no offer are left out."""
    household, place = np.nonzero(~np.isnan(chance))
    code = offered[household, place]
    return pd.DataFrame(
        {
            "customer_id": customers[household],
            "rank": place + 1,
            "category": reasons.categories[code],
            "code": code,
            # Digits beyond the ninth may depend on how many threads the linear algebra had.
            "acceptance_probability": chance[household, place].round(9),
            "reason": reasons.words(owned[household], code),
        }
    )
