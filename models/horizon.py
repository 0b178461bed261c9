"""How long a silence is a departure: the horizon, chosen from the gaps between a customer's purchases."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.errors import TrainingError
from models.evaluation import wilson

RETURNED_SHARE = 0.95
_WEEK = 7
_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True, eq=False)
class HorizonChoice:
    """Hold a horizon and why it was chosen.

    Parameters
    ----------
    horizon_days
        Length of the label window.
    eligible_days
        A customer is eligible with a purchase in so many days before ``as_of``: two horizons.
    gap_quantiles
        ``share`` of gaps that are over after ``days``; null where the history is too short to see it.
    returned_by_week
        ``days`` and ``returned_share``: how many are back after so many whole weeks.
    is_capped
        True if the history is too short for the horizon that the gaps ask for.
    sentence
        The reason in plain words.
    """

    horizon_days: int
    eligible_days: int
    gap_quantiles: pd.DataFrame
    returned_by_week: pd.DataFrame
    is_capped: bool
    sentence: str


def returned_curve(gaps: pd.DataFrame) -> pd.DataFrame:
    """Return the share of gaps that are over after so many days (Kaplan and Meier 1958).

    Parameters
    ----------
    gaps
        ``gap_days`` between two purchase days of a customer, or from the last one to ``as_of``; ``is_open`` marks the
        latter, whose end is not known; ``n_gaps`` counts the gaps of a row.

    Returns
    -------
    pandas.DataFrame
        ``days`` and ``returned_share``, one row per length at which a gap ended.

    Raises
    ------
    TrainingError
        If no gap has ended: nobody has bought twice.

    Examples
    --------
    >>> gaps = pd.DataFrame({"gap_days": [2, 4, 8], "is_open": [False, True, False], "n_gaps": [2, 1, 1]})
    >>> returned_curve(gaps).to_dict("list")
    {'days': [2, 8], 'returned_share': [0.5, 1.0]}
    """
    if gaps["is_open"].astype(bool).all():
        raise TrainingError("no customer has bought twice", "repeat purchases", "collect more history first")
    counted = gaps.assign(days=np.ceil(gaps["gap_days"].astype("float64")), is_ended=~gaps["is_open"].astype(bool))
    counted["n_ended"] = counted["n_gaps"] * counted["is_ended"]
    by_days = counted.groupby("days", sort=True)[["n_gaps", "n_ended"]].sum()
    n_at_risk = by_days["n_gaps"][::-1].cumsum()[::-1]
    returned = 1 - (1 - by_days["n_ended"] / n_at_risk).cumprod()
    found = by_days.index[by_days["n_ended"] > 0]
    return pd.DataFrame({"days": found.astype("int64"), "returned_share": returned.loc[found].to_numpy()})


def choose_horizon(gaps: pd.DataFrame, history_days: int) -> HorizonChoice:
    """Return the smallest number of whole weeks after which 95 % of the silences are over.

    Whole weeks, because people shop by the weekday; 95 %, because then a silence of that length is an exception, while
    a longer horizon would only tell later. The history must hold six horizons: two in which a customer can show to be
    eligible, three to train and one to judge.

    Parameters
    ----------
    gaps
        As in ``returned_curve``.
    history_days
        Days from the first event to ``as_of``.

    Returns
    -------
    HorizonChoice
        The horizon, its tables and a sentence.

    Raises
    ------
    TrainingError
        If nobody has bought twice, or the history is shorter than six weeks.
    """
    longest_days = history_days // (6 * _WEEK) * _WEEK
    if longest_days < _WEEK:
        raise TrainingError(f"{history_days} days of history", "six weeks at least", "collect more history first")
    curve = returned_curve(gaps)
    enough = curve.loc[curve["returned_share"] >= RETURNED_SHARE, "days"]
    wanted_days = int(np.ceil(enough.iloc[0] / _WEEK) * _WEEK) if len(enough) else None
    is_capped = wanted_days is None or wanted_days > longest_days
    horizon_days = longest_days if wanted_days is None else min(wanted_days, longest_days)
    weeks = list(range(_WEEK, max(horizon_days, 6 * _WEEK) + 1, _WEEK))
    by_week = pd.DataFrame({"days": weeks, "returned_share": [_share_after(curve, day) for day in weeks]})
    quantiles = [(share, _days_until(curve, share)) for share in _QUANTILES]
    table = pd.DataFrame(quantiles, columns=["share", "days"]).astype({"days": "Int64"})
    sentence = _sentence(curve, horizon_days, is_capped=is_capped)
    return HorizonChoice(horizon_days, 2 * horizon_days, table, by_week, is_capped, sentence)


def _share_after(curve: pd.DataFrame, days: int) -> float:
    return float(curve.loc[curve["days"] <= days, "returned_share"].max()) if days >= curve["days"].iloc[0] else 0.0


def _days_until(curve: pd.DataFrame, share: float) -> int | None:
    days = curve.loc[curve["returned_share"] >= share, "days"]
    return int(days.iloc[0]) if len(days) else None


def _sentence(curve: pd.DataFrame, horizon_days: int, *, is_capped: bool) -> str:
    share = f"{_share_after(curve, horizon_days):.1%}"
    if is_capped:
        return (
            f"The history is too short for a longer horizon: {horizon_days} days is the longest of which it holds six; "
            f"{share} of purchases are followed by the next one within that time."
        )
    before = f"{_share_after(curve, horizon_days - _WEEK):.1%}"
    return (
        f"{share} of purchases are followed by the next one within {horizon_days} days ({before} a week earlier), so "
        f"{horizon_days} days without a purchase is the first span of whole weeks that fewer than one in twenty "
        f"regular silences reach."
    )


def base_rates(frame: pd.DataFrame, label: str = "has_churned") -> pd.DataFrame:
    """Return how many left, per date, with an interval (Wilson 1927).

    Parameters
    ----------
    frame
        Eligible customers with ``as_of`` and the label.
    label
        Column of zeros and ones.

    Returns
    -------
    pandas.DataFrame
        ``as_of``, ``n_customers``, ``n_churned``, ``churned_share``, ``churned_share_low``, ``churned_share_high``.
    """
    counts = frame.groupby("as_of", sort=True)[label].agg(["size", "sum"]).reset_index()
    counts.columns = pd.Index(["as_of", "n_customers", "n_churned"])
    ends = [wilson(hits, rows) for hits, rows in zip(counts["n_churned"], counts["n_customers"], strict=True)]
    return counts.assign(
        churned_share=counts["n_churned"] / counts["n_customers"],
        churned_share_low=[low for low, _ in ends],
        churned_share_high=[high for _, high in ends],
    )
