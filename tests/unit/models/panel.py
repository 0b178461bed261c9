"""A small panel of customers at several dates whose risk and spend are known."""

import numpy as np
import pandas as pd

NAMES = ("recency_days", "gap_mean_days", "n_orders_84d", "spend_84d_cents", "discount_share")
THEME_OF = {
    "recency_days": "rhythm",
    "gap_mean_days": "rhythm",
    "n_orders_84d": "rhythm",
    "spend_84d_cents": "spend",
    "discount_share": "discount_share",
}
DATES = pd.to_datetime(["2024-01-01", "2024-01-29", "2024-02-26", "2024-03-25"])


def panel(n_customers=300, dates=DATES, seed=0):
    """Return a training frame with the true risk beside the label."""
    rng = np.random.default_rng(seed)
    gap = np.exp(rng.normal(2, 0.6, size=n_customers))
    wealth = np.exp(rng.normal(7, 0.5, size=n_customers))
    frames = []
    for as_of in dates:
        recency = np.ceil(rng.exponential(gap)).clip(1, 56)
        orders = rng.poisson(84 / gap)
        risk = 1 / (1 + np.exp(-(-2.5 + 0.9 * np.log(recency / gap) + 0.6 * np.log(gap / 7))))
        has_churned = rng.random(n_customers) < risk
        frames.append(
            pd.DataFrame(
                {
                    "customer_id": [f"c{i:05d}" for i in range(n_customers)],
                    "as_of": as_of,
                    "recency_days": recency,
                    "gap_mean_days": np.where(rng.random(n_customers) < 0.05, np.nan, gap),
                    "n_orders_84d": orders,
                    "spend_84d_cents": np.round(orders * wealth * rng.gamma(8, 1 / 8, size=n_customers)),
                    "discount_share": rng.beta(2, 8, size=n_customers),
                    "true_risk": risk,
                    "has_churned": has_churned,
                    "spend_cents": np.where(
                        has_churned,
                        0,
                        np.round((1 + rng.poisson(28 / gap)) * wealth * rng.gamma(4, 1 / 4, size=n_customers)),
                    ),
                    "is_eligible": True,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
