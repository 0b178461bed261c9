"""The odds of no purchase within the horizon from purchases alone, as one column of the churn model.

The probability that a customer is alive is no risk of leaving: who is alive may still buy nothing for a whole horizon.
So the column is the log-odds of no purchase within it, whether alive or not, by the BG/NBD.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.btyd import BgNbd, fit_bg_nbd
from models.spec import FloatArray, design

NO_PURCHASE = "no_purchase_log_odds"
NEEDS = ("n_purchase_days", "recency_days", "tenure_days")
_LEAST = 1e-6


@dataclass(frozen=True)
class Odds:
    """Hold a BG/NBD fit and the horizon that it is asked for.

    Parameters
    ----------
    model
        Fitted in days.
    horizon_days
        Length of the label window.

    Examples
    --------
    >>> rows = pd.DataFrame({"n_purchase_days": [5, 5, 1], "recency_days": [2, 90, 20], "tenure_days": [100, 100, 30]})
    >>> odds = fit_odds(pd.concat([rows] * 20), horizon_days=30)
    >>> bool(np.diff(odds.column(rows))[0] > 0)
    True
    """

    model: BgNbd
    horizon_days: int

    @property
    def warning(self) -> str | None:
        """What is wrong with the fit, or null; a fit on an edge still ranks, its parameters mean little."""
        return self.model.warning

    def column(self, frame: pd.DataFrame) -> FloatArray:
        """Return the log-odds of no purchase within the horizon; null where a count or time is null."""
        rows = _statistics(frame)
        known = rows.notna().all(axis=1).to_numpy()
        found = np.full(len(rows), np.nan)
        if known.any():
            p = np.clip(self.model.p_no_purchase(rows[known], [self.horizon_days])[:, 0], _LEAST, 1 - _LEAST)
            found[known] = np.log(p / (1 - p))
        return found

    def facts(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {"model": self.model.facts(), "horizon_days": self.horizon_days}

    @classmethod
    def restore(cls, facts: Mapping[str, Any]) -> "Odds":
        """Return the odds again from their facts."""
        return cls(BgNbd.restore(dict(facts["model"])), int(facts["horizon_days"]))


def fit_odds(frame: pd.DataFrame, horizon_days: int) -> Odds:
    """Fit the BG/NBD to the customers of a frame, one row each.

    Parameters
    ----------
    frame
        ``n_purchase_days``, ``recency_days``, ``tenure_days``; rows with a null are left out.
    horizon_days
        Length of the label window.

    Raises
    ------
    TrainingError
        If nobody is left.
    """
    return Odds(fit_bg_nbd(_statistics(frame).dropna()), horizon_days)


def _statistics(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the words of the literature; a made-up customer, as a typical one is, is made possible first."""
    days, recency, tenure = (design(frame, NEEDS)[name].round() for name in NEEDS)
    repeat = (days - 1).clip(lower=0)
    last = (tenure - recency).clip(lower=0).where(repeat > 0, 0.0)
    return pd.DataFrame({"frequency": repeat, "recency": last, "T": tenure.clip(lower=0)})
