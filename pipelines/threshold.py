"""From which chance of leaving on a contact pays: by what it costs, and by what the judged date would have earned."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from models.profit import LEVEL, assumed, cost_threshold, expected_maximum_profit
from pipelines.settings import Money

TABLE = "contact_thresholds"
COLUMNS = (
    *("version", "n_customers", "value_cents", "cost_per_contact_cents", "save_share"),
    *("cost_threshold", "cost_threshold_low", "cost_threshold_high"),
    *("best_threshold", "best_threshold_low", "best_threshold_high", "best_share"),
    *("profit_cents", "profit_low_cents", "profit_high_cents", "half_profit_cents", "everybody_profit_cents"),
)
HALF = 0.5
_N_RESAMPLES = 100


def no_threshold() -> pd.DataFrame:
    """Return the table without a row: no model says who may leave."""
    return pd.DataFrame(columns=COLUMNS).astype(dict.fromkeys(COLUMNS, "float64") | {"version": "Int64"})


def threshold_by_cost(judged: pd.DataFrame, p: Any, money: Money, *, version: int, seed: int) -> pd.DataFrame:
    """Return the chance of leaving from which on a contact pays, and what it would have earned at the judged date.

    Parameters
    ----------
    judged
        Customers of the judged date: ``has_churned`` and ``spend_cents``.
    p
        What the model in use says of them; it was not trained on that date.
    money
        What a contact costs and is assumed to bring.
    version
        Version of that model.
    seed
        Seed of the resampling.

    Returns
    -------
    pandas.DataFrame
        One row; none where nobody stayed, all did, or who stays is worth nothing. ``value_cents``: mean margin of those
        who stayed. ``cost_threshold``: where the assumed gain meets the cost, with the interval of that mean.
        ``best_threshold`` and ``profit_cents`` (per customer of the list): expected maximum profit. The others:
        contacting those above a half, and everybody.
    """
    left = judged["has_churned"].to_numpy(dtype=np.float64)
    worth = judged.loc[left == 0, "spend_cents"].to_numpy(dtype=np.float64) * money.margin_share
    if len(worth) < 2 or len(worth) == len(left) or worth.mean() <= 0:
        return no_threshold()
    said = np.asarray(p, dtype=np.float64)
    value, half = float(worth.mean()), float(stats.norm.ppf((1 + LEVEL) / 2) * worth.std(ddof=1) / np.sqrt(len(worth)))
    contact = float(money.cost_per_contact_cents)
    costs = assumed(value, contact, money.retain_save_share)
    # A higher value lowers the threshold.
    ends = [float(cost_threshold(costs, max(value + sign * half, 1e-9))) for sign in (1, -1)]
    best = expected_maximum_profit(left, said, costs, seed=seed, n_resamples=_N_RESAMPLES)
    gain = left * costs.acceptance * value - contact
    row: Mapping[str, float] = {
        "version": version,
        "n_customers": len(left),
        "value_cents": value,
        "cost_per_contact_cents": contact,
        "save_share": money.retain_save_share,
        "cost_threshold": float(cost_threshold(costs)),
        "cost_threshold_low": ends[0],
        "cost_threshold_high": ends[1],
        "best_threshold": best.threshold,
        "best_threshold_low": best.threshold_low,
        "best_threshold_high": best.threshold_high,
        "best_share": best.share,
        "profit_cents": best.cents,
        "profit_low_cents": best.low,
        "profit_high_cents": best.high,
        "half_profit_cents": float((gain * (said >= HALF)).mean()),
        "everybody_profit_cents": float(gain.mean()),
    }
    return pd.DataFrame([row], columns=COLUMNS).astype({**dict.fromkeys(COLUMNS, "float64"), "version": "Int64"})
