"""Where a customer stands: new, active, slipping or lapsed, by written thresholds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.spec import design

STATES = ("new", "active", "slipping", "lapsed")


@dataclass(frozen=True)
class Thresholds:
    """Hold the thresholds of the states.

    Parameters
    ----------
    horizon_days
        The horizon of the churn model. Lapsed: no purchase for two horizons. New: first purchase within one horizon.
    rhythm
        Slipping: silent for more than so many of the customer's own mean gaps ...
    least_days
        ... and for more than so many days: who comes daily is not slipping on the third day.
    least_purchase_days
        With fewer purchase days there is no rhythm yet: slipping is silence for more than half a horizon.
    """

    horizon_days: int
    rhythm: float = 2.0
    least_days: float = 7.0
    least_purchase_days: int = 4


def lifecycle_state(frame: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Return the state of every customer.

    Parameters
    ----------
    frame
        ``recency_days``, ``tenure_days``, ``gap_mean_days`` (null: no rhythm yet) and ``n_purchase_days``.
    thresholds
        See ``Thresholds``.

    Returns
    -------
    pandas.Series
        One of ``STATES``. The first that fits: lapsed, new, slipping, active.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {
    ...         "recency_days": [90, 3, 30, 5],
    ...         "tenure_days": [300, 3, 300, 300],
    ...         "gap_mean_days": [10, None, 10, 10],
    ...         "n_purchase_days": [20, 1, 20, 20],
    ...     }
    ... )
    >>> lifecycle_state(frame, Thresholds(horizon_days=28)).tolist()
    ['lapsed', 'new', 'slipping', 'active']
    """
    known = design(frame, ("recency_days", "tenure_days", "gap_mean_days", "n_purchase_days"))
    has_rhythm = (known["n_purchase_days"] >= thresholds.least_purchase_days) & known["gap_mean_days"].notna()
    own_days = (known["gap_mean_days"] * thresholds.rhythm).clip(lower=thresholds.least_days)
    patience_days = own_days.where(has_rhythm, thresholds.horizon_days / 2)
    conditions = [
        known["recency_days"].isna() | (known["recency_days"] > 2 * thresholds.horizon_days),
        known["tenure_days"] <= thresholds.horizon_days,
        known["recency_days"] > patience_days,
    ]
    states = np.select([c.to_numpy() for c in conditions], ["lapsed", "new", "slipping"], default="active")
    return pd.Series(states, index=frame.index, name="lifecycle_state", dtype="str")
