"""What the nights of the past would have said, against what happened: quality by date, by age, and in money.

A replay is one past date at which a night would have trained, decided and scored. Rows are of eligible customers, and
every number is of a date after everything that its model had learned from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from models.evaluation import LEVEL, evaluate, paired_difference
from models.spec import FloatArray

MEASURES = ("auc", "log_loss", "brier", "ece", "top_decile_lift")
SERVING, RECENCY = "serving model", "recency"
"""Who spoke at a date: the model that the gate had let serve, and the simple rule."""
_NAN = float("nan")


def quality(said: pd.DataFrame, *, seed: int, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """Return the measures of everybody who spoke, date by date, with intervals.

    Parameters
    ----------
    said
        One row per customer, date and speaker: ``as_of``, ``customer_id``, ``speaker``, ``churn_probability``,
        ``has_churned``.
    seed
        Seed of the resampling of customers.
    measures
        Names of measures.

    Returns
    -------
    pandas.DataFrame
        ``as_of``, ``speaker``, ``metric``, ``value``, ``low``, ``high``, ``n_customers``; besides the measures
        ``churned_share`` (what happened) and ``predicted_share`` (what was said), without an interval for the latter.
        Where all left or all stayed only the shares are there.
    """
    rows = []
    for (as_of, speaker), part in said.groupby(["as_of", "speaker"], sort=True):
        truth, p = part["has_churned"].to_numpy(dtype="float64"), part["churn_probability"].to_numpy(dtype="float64")
        share = stats.binomtest(int(truth.sum()), len(truth)).proportion_ci(LEVEL, method="wilson")
        found = [("churned_share", truth.mean(), share.low, share.high), ("predicted_share", p.mean(), _NAN, _NAN)]
        if np.ptp(truth) > 0:
            measured = evaluate(truth, p, part["customer_id"], seed=seed, metrics=measures)
            found += [(name, one.value, one.low, one.high) for name, one in measured.items()]
        rows += [(as_of, speaker, *one, len(part)) for one in found]
    return pd.DataFrame(rows, columns=["as_of", "speaker", "metric", "value", "low", "high", "n_customers"])


def ageing(said: pd.DataFrame, *, seed: int, metric: str = "log_loss") -> pd.DataFrame:
    """Return how much worse a model is for each stretch of its age than one trained for the date itself.

    Parameters
    ----------
    said
        One row per customer, date and model: ``as_of``, ``customer_id``, ``trained_at``, ``churn_probability``,
        ``has_churned``; a model is fresh where ``trained_at`` equals ``as_of``.
    seed
        Seed of the resampling.
    metric
        The measure.

    Returns
    -------
    pandas.DataFrame
        ``age_days``, ``n_dates`` (pairs of an old and a fresh model), ``difference`` (old minus fresh: the mean over
        dates), ``difference_low``, ``difference_high``. The interval is Student's t over the dates, so that it speaks
        of a further date; with one date it is that of its customers.
    """
    pairs = []
    for as_of in sorted(pd.DatetimeIndex(said["as_of"].unique())):
        part = said[said["as_of"] == as_of]
        wide = part.pivot(index="customer_id", columns="trained_at", values="churn_probability").sort_index()
        truth = part.drop_duplicates("customer_id").set_index("customer_id")["has_churned"].reindex(wide.index)
        if as_of not in wide or truth.nunique() < 2:
            continue
        for trained_at in pd.DatetimeIndex(wide.columns).drop([as_of]):
            one = paired_difference(
                metric, truth, wide[trained_at], wide[as_of], groups=wide.index.to_numpy(), seed=seed
            )
            pairs.append(((as_of - trained_at).days, one.value, one.low, one.high))
    found = pd.DataFrame(pairs, columns=["age_days", "value", "low", "high"])
    rows = []
    for age_days, part in found.groupby("age_days", sort=True):
        n, mean = len(part), part["value"].mean()
        half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * part["value"].std() * np.sqrt(1 + 1 / n) if n > 1 else _NAN
        low, high = (mean - half, mean + half) if n > 1 else (part["low"].iloc[0], part["high"].iloc[0])
        rows.append((age_days, n, mean, low, high))
    return pd.DataFrame(rows, columns=["age_days", "n_dates", "difference", "difference_low", "difference_high"])


@dataclass(frozen=True)
class Economics:
    """What a contact costs and is thought to bring.

    Parameters
    ----------
    n_contacts
        Customers on the list of a night.
    cost_cents
        Of one contact.
    save_share
        Share of those who would leave whom a contact keeps: an assumption until a trial says better.
    """

    n_contacts: int
    cost_cents: float
    save_share: float


def earnings(said: pd.DataFrame, economics: Economics, *, level: float = LEVEL) -> pd.DataFrame:
    """Return what the list of each date would have earned, by those who really left.

    Whoever is on the list and left would have been kept with the share ``save_share`` and brought the margin that was
    expected of a customer who stays; everybody on it costs a contact. Nobody was contacted because of these lists, so
    who left is known; that a contact keeps somebody is assumed.

    Parameters
    ----------
    said
        One row per customer and date: ``as_of``, ``customer_id``, ``has_churned``, ``expected_value_cents`` and one
        column of priorities per ranking, named ``by_...``; higher is earlier. A ranking with nulls at a date has no
        list there.
    economics
        See ``Economics``.
    level
        Nominal coverage of the interval, which is for as many customers alike.

    Returns
    -------
    pandas.DataFrame
        ``as_of``, ``ranking``, ``n_contacts``, ``n_left``, ``earned_cents``, ``earned_low_cents``,
        ``earned_high_cents``; ``by_lot`` is the mean of all lists of that length.

    Examples
    --------
    >>> rows = pd.DataFrame({"as_of": 0, "customer_id": list("abcd"), "has_churned": [1, 0, 1, 0],
    ...     "expected_value_cents": [1000, 1000, 400, 400], "by_risk": [4, 3, 2, 1]})
    >>> found = earnings(rows, Economics(n_contacts=2, cost_cents=10, save_share=0.5))
    >>> found[["ranking", "earned_cents"]].values.tolist()
    [['by_risk', 480.0], ['by_lot', 330.0]]
    """
    rankings = [name for name in said.columns if name.startswith("by_")]
    rows = []
    for as_of, part in said.sort_values("customer_id", kind="stable").groupby("as_of", sort=True):
        gain = _gain(part, economics)
        n = min(economics.n_contacts, len(part))
        for ranking in (name for name in rankings if part[name].notna().all()):
            chosen = np.argsort(-part[ranking].to_numpy(dtype="float64"), kind="stable")[:n]
            n_left = float(part["has_churned"].to_numpy()[chosen].sum())
            rows.append((as_of, ranking, n, n_left, *_sum(gain[chosen], n, level)))
        rows.append((as_of, "by_lot", n, float(part["has_churned"].mean() * n), *_sum(gain, n, level)))
    cents = ["earned_cents", "earned_low_cents", "earned_high_cents"]
    return pd.DataFrame(rows, columns=["as_of", "ranking", "n_contacts", "n_left", *cents])


def _gain(part: pd.DataFrame, economics: Economics) -> FloatArray:
    left = part["has_churned"].to_numpy(dtype="float64")
    worth = part["expected_value_cents"].to_numpy(dtype="float64")
    gain: FloatArray = left * economics.save_share * worth - economics.cost_cents
    return gain


def _sum(gain: FloatArray, n: int, level: float) -> tuple[float, float, float]:
    """Return the sum for ``n`` customers drawn like these, with its interval; without a spread there is none."""
    total = float(gain.mean() * n) if len(gain) else 0.0
    if len(gain) < 2:
        return total, _NAN, _NAN
    half = float(stats.norm.ppf((1 + level) / 2) * gain.std(ddof=1) * np.sqrt(n))
    return total, total - half, total + half
