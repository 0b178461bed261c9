"""Key accounts: how much of the business hangs on few customers, how each of these does, and what changed with them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from models.spec import FloatArray, design

TOP_SHARES = (0.01, 0.05, 0.10, 0.20)
LEVEL = 0.90
SPEND = "spend_364d_cents"
HEALTH = ("at risk", "watch", "healthy", "lapsed")
_QUARTER_DAYS, _YEAR_DAYS = 84, 364
_STEEP = 0.25
_RISKY = 0.5
_NOTABLE = 0.1
_NEEDED = (SPEND, "spend_84d_cents", "recency_days", "tenure_days", "gap_mean_days")


def concentration(spend: pd.Series, level: float = LEVEL) -> pd.DataFrame:
    """Return how much of the spend comes from the top customers, and the Gini coefficient, with intervals.

    Parameters
    ----------
    spend
        One amount per customer; null and net returns count as none. Customers without spend are left out: who no
        longer buys says nothing of how the business spreads over those who do.
    level
        Nominal coverage, if the customers were a sample of all that the company could have had. It comes from the
        influence of each customer (Beach and Davidson 1983 for shares, Langel and Tillé 2013 for Gini) on the scale
        of log-odds; with spends as skewed as those of wholesalers it covers less.

    Returns
    -------
    pandas.DataFrame
        ``measure`` (``top 1 %`` ... ``gini``), ``n_customers`` (how many that is), ``value``, ``low``, ``high``; null
        with fewer than ten customers.

    Examples
    --------
    >>> concentration(pd.Series([100.0] * 50))["value"].round(3).tolist()
    [0.01, 0.05, 0.1, 0.2, 0.0]
    """
    amounts = np.sort(pd.to_numeric(spend).to_numpy(dtype="float64", na_value=0.0))
    amounts = amounts[amounts > 0]
    n = len(amounts)
    names = [f"top {round(100 * share)} %" for share in TOP_SHARES]
    rows = [
        (name, int(np.ceil(share * n)), *_top(amounts, share, level))
        for name, share in zip(names, TOP_SHARES, strict=True)
    ]
    rows.append(("gini", n, *_gini(amounts, level)))
    return pd.DataFrame(rows, columns=["measure", "n_customers", "value", "low", "high"])


def _top(amounts: FloatArray, share: float, level: float) -> tuple[float, float, float]:
    """Return the part of the total that the top share of customers holds; one customer may count in part."""
    n = len(amounts)
    if n < 10:
        return np.nan, np.nan, np.nan
    total = amounts.sum()
    whole = int(np.floor(share * n))
    edge = amounts[n - 1 - whole] if whole < n else amounts[0]
    held = amounts[n - whole :].sum() + (share * n - whole) * edge
    value = held / total
    # Of each customer on the part: what they hold above the edge, against what they add to the total.
    influence = (np.maximum(amounts - edge, 0.0) + share * edge - amounts * value) / amounts.mean()
    return value, *_between(value, influence.std(ddof=1) / np.sqrt(n), level)


def _gini(amounts: FloatArray, level: float) -> tuple[float, float, float]:
    n = len(amounts)
    if n < 10:
        return np.nan, np.nan, np.nan
    rank, total = np.arange(1, n + 1), amounts.sum()
    value = float(2 * (rank * amounts).sum() / (n * total) - (n + 1) / n)
    below = np.cumsum(amounts) / rank
    influence = (2 * rank * (amounts - below) + total - n * amounts - value * (total + n * amounts)) / total
    return value, *_between(value, influence.std(ddof=1) / np.sqrt(n), level)


def _between(value: float, error: float, level: float) -> tuple[float, float]:
    inside = min(max(value, 1e-9), 1 - 1e-9)
    half = stats.norm.ppf((1 + level) / 2) * error / (inside * (1 - inside))
    low, high = (1 / (1 + np.exp(-(np.log(inside / (1 - inside)) + sign * half))) for sign in (-1, 1))
    return float(low), float(high)


@dataclass(frozen=True)
class Before:
    """What was known of the accounts at an earlier date.

    Parameters
    ----------
    frame
        ``customer_id``, the features that ``key_accounts`` needs, and ``lifecycle_state``.
    words
        The date, as it is written in a sentence.
    """

    frame: pd.DataFrame
    words: str


def key_accounts(tonight: pd.DataFrame, before: Before | None = None, n_accounts: int = 20) -> pd.DataFrame:
    """Return the customers with the highest spend of a year, how they do, and what changed.

    Parameters
    ----------
    tonight
        ``customer_id``, ``spend_364d_cents``, ``spend_84d_cents``, ``recency_days``, ``tenure_days``,
        ``gap_mean_days``, ``n_open_cases`` (where there are any), ``churn_probability``, ``lifecycle_state``.
    before
        An earlier date; null says nothing of changes.
    n_accounts
        How many, at most; equal spends by ``customer_id``.

    Returns
    -------
    pandas.DataFrame
        ``rank``, ``customer_id``, ``spend_cents`` and ``spend_share`` of 364 days, ``spend_change`` (spend of 84 days
        against the customer's own pace in the time before, as a share; null without a pace), ``silence_ratio`` (days
        since the last purchase as a multiple of the mean gap), ``n_open_cases``, ``churn_probability``,
        ``lifecycle_state``, ``health`` (one of ``HEALTH``), ``reasons`` (what speaks against health) and ``changed``
        (against the earlier date), both in words.
    """
    known = _measured(tonight)
    top = known[known["spend_cents"] > 0].sort_values(["spend_cents", "customer_id"], ascending=[False, True])
    top = top.head(n_accounts).reset_index(drop=True)
    whole = known["spend_cents"].clip(lower=0).sum()
    top.insert(0, "rank", np.arange(1, len(top) + 1))
    top.insert(3, "spend_share", top["spend_cents"] / whole if whole > 0 else np.nan)
    signs = [_signs(row) for row in top.to_dict("records")]
    top["health"] = [_health(row, found) for row, found in zip(top.to_dict("records"), signs, strict=True)]
    top["reasons"] = ["; ".join(found) for found in signs]
    top["changed"] = "" if before is None else _changes(top, known, before)
    return top.astype({"health": "str", "reasons": "str", "changed": "str"})


def _measured(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of every customer, account or not."""
    known = design(frame, _NEEDED)
    year, quarter = known[SPEND].fillna(0.0), known["spend_84d_cents"].fillna(0.0)
    before_days = known["tenure_days"].clip(upper=_YEAR_DAYS) - _QUARTER_DAYS
    pace = ((year - quarter) / before_days * _QUARTER_DAYS).where(before_days >= _QUARTER_DAYS)
    cases = frame["n_open_cases"] if "n_open_cases" in frame else pd.Series(0, index=frame.index)
    return pd.DataFrame(
        {
            "customer_id": frame["customer_id"],
            "spend_cents": year.round().astype("int64"),
            "spend_change": (quarter / pace - 1).where(pace > 0),
            "silence_ratio": known["recency_days"] / known["gap_mean_days"].clip(lower=1.0),
            "n_open_cases": pd.to_numeric(cases).fillna(0).astype("int64"),
            "churn_probability": frame.get("churn_probability", pd.Series(np.nan, index=frame.index)).astype("float64"),
            "lifecycle_state": frame["lifecycle_state"].astype("str"),
        }
    )


def _signs(row: dict[Hashable, Any]) -> list[str]:
    """Return what speaks against the health of an account, in words."""
    found = []
    if row["churn_probability"] >= _RISKY:
        found.append(f"chance of leaving {row['churn_probability']:.0%}")
    if row["lifecycle_state"] in {"slipping", "lapsed"} and row["silence_ratio"] > 1:
        found.append(f"silent for {row['silence_ratio']:.1f} times the usual gap")
    if row["spend_change"] <= -_STEEP:
        found.append(f"spend {-row['spend_change']:.0%} below its own pace")
    if row["n_open_cases"] > 0:
        found.append("an open case" if row["n_open_cases"] == 1 else f"{row['n_open_cases']} open cases")
    return found


def _health(row: dict[Hashable, Any], signs: Sequence[str]) -> str:
    if row["lifecycle_state"] == "lapsed":
        return "lapsed"
    if row["churn_probability"] >= _RISKY or len(signs) >= 2:
        return "at risk"
    return "watch" if signs else "healthy"


def _changes(top: pd.DataFrame, everybody: pd.DataFrame, before: Before) -> list[str]:
    is_old = before.frame["tenure_days"].to_numpy(dtype="float64") >= _YEAR_DAYS
    past = _measured(before.frame).assign(is_old=is_old).set_index("customer_id")
    places = past["spend_cents"].rank(method="min", ascending=False)
    known = past.assign(place=places).to_dict("index")
    now = everybody["spend_cents"].rank(method="min", ascending=False)
    place_of = dict(zip(everybody["customer_id"], now, strict=True))
    return [
        _changed(row, int(place_of[row["customer_id"]]), known.get(row["customer_id"]), before.words)
        for row in top.to_dict("records")
    ]


def _changed(row: dict[Hashable, Any], place: int, past: dict[Hashable, Any] | None, since: str) -> str:
    """Say in words what is different from an earlier date; nothing where nothing is."""
    if past is None:
        return f"new since {since}"
    found = []
    if row["lifecycle_state"] != past["lifecycle_state"]:
        found.append(f"{row['lifecycle_state']}, was {past['lifecycle_state']}")
    # The year before is only whole where the customer was one all along.
    if past["spend_cents"] > 0 and past["is_old"]:
        change = row["spend_cents"] / past["spend_cents"] - 1
        if abs(change) >= _NOTABLE:
            found.append(f"year's spend {'up' if change > 0 else 'down'} {abs(change):.0%}")
    if place != past["place"]:
        found.append(f"place {place}, was {int(past['place'])}")
    if row["n_open_cases"] != past["n_open_cases"]:
        found.append(f"open cases {int(row['n_open_cases'])}, were {int(past['n_open_cases'])}")
    return "; ".join(found)
