"""Customers of a simulated shop, followed from several dates, with their true curves."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from data.simulator import START, World, simulate
from models.spec import FloatArray

HORIZON_DAYS = 28
NOW_DAY = 420
WORLD_DAYS = 560


def world(seed: int, n_customers: int = 1_500) -> World:
    """Return a shop whose future after ``NOW_DAY`` is known."""
    return simulate(seed, n_customers=n_customers, n_days=WORLD_DAYS)


def seen_from(found: World, day: int, until: int) -> pd.DataFrame:
    """Return the eligible customers of a day with their features and the time to the next purchase, if by ``until``."""
    orders = found.truth.orders.to_pandas()
    orders["day"] = (orders["event_time"] - pd.Timestamp(START)) // pd.Timedelta(days=1)
    past = orders[orders["day"] < day].drop_duplicates(["customer_id", "day"])
    days = past.groupby("customer_id")["day"]
    frame = pd.DataFrame(
        {"recency_days": day - days.max(), "tenure_days": day - days.min(), "n_purchase_days": days.size()}
    )
    several = frame["n_purchase_days"] > 1
    frame["gap_mean_days"] = ((days.max() - days.min()) / (frame["n_purchase_days"] - 1).where(several)).astype(
        "float64"
    )
    for length in (28, 84):
        recent = past[past["day"] >= day - length].groupby("customer_id").size()
        frame[f"n_orders_{length}d"] = recent.reindex(frame.index, fill_value=0)
    later = orders[(orders["day"] >= day) & (orders["day"] < until)].groupby("customer_id")["day"].min()
    frame["event_days"] = later.reindex(frame.index) - day
    frame["observed_days"] = until - day
    frame["as_of"] = pd.Timestamp(START) + pd.Timedelta(days=day)
    return frame[frame["recency_days"] <= 2 * HORIZON_DAYS].rename_axis("customer_id").reset_index()


def training(found: World, n_dates: int = 5) -> pd.DataFrame:
    """Return the customers as seen from dates a horizon apart, followed until ``NOW_DAY``."""
    days = [NOW_DAY - HORIZON_DAYS * step for step in range(n_dates, 0, -1)]
    return pd.concat([seen_from(found, day, NOW_DAY) for day in days], ignore_index=True)


def true_curves(found: World, customers: "pd.Series[str]", edges: Sequence[int]) -> FloatArray:
    """Return the true chance of no order until each edge, per customer."""
    now = START + timedelta(days=NOW_DAY)
    columns = []
    for edge in edges:
        truth = found.truth.churn_probability(now, edge).to_pandas().set_index("customer_id")["churn_probability"]
        columns.append(truth.reindex(customers).to_numpy())
    return np.column_stack(columns)
