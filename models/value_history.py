"""What buy-till-you-die models say of customers, from the columns of an observation: purchases, silence and spend.

The statistics are those of days: ``n_purchase_days``, ``tenure_days``, ``recency_days`` and ``spend_total_cents``. The
mean amount counts every purchase day, the first one too, net of returns; a customer whose returns outweigh the
purchases says nothing of what a purchase is worth, and counts there as one of whom no amount is known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from data.errors import TrainingError
from models.btyd import BgNbd, GammaGamma, MbgNbd, ParetoNbd, fit_bg_nbd, fit_gamma_gamma, fit_mbg_nbd, fit_pareto_nbd
from models.spec import FloatArray, design

Counts = BgNbd | ParetoNbd
COLUMNS = ("n_purchase_days", "tenure_days", "recency_days", "spend_total_cents")
"""Features that the statistics are made of."""
KINDS: Mapping[str, type[Counts]] = MappingProxyType({"bg_nbd": BgNbd, "mbg_nbd": MbgNbd, "pareto_nbd": ParetoNbd})
_FITS: Mapping[str, Callable[[pd.DataFrame], Counts]] = MappingProxyType(
    {"bg_nbd": fit_bg_nbd, "mbg_nbd": fit_mbg_nbd, "pareto_nbd": fit_pareto_nbd}
)
_LEAST_BUYERS = 20
"""Repeat buyers below which nothing is fitted."""


@dataclass(frozen=True, eq=False)
class Expectation:
    """Say what one model expects of every customer within one horizon.

    Parameters
    ----------
    purchases
        Purchase days.
    silence
        Probability of no purchase.
    amount
        Cents of one purchase day.
    """

    purchases: FloatArray
    silence: FloatArray
    amount: FloatArray

    @property
    def spend(self) -> FloatArray:
        """Cents within the horizon."""
        return self.purchases * self.amount

    @property
    def spend_if_buying(self) -> FloatArray:
        """Cents within the horizon from those who buy at all."""
        # At least one purchase day: rounding near certain silence must not say less.
        return np.maximum(self.purchases / np.maximum(1 - self.silence, 1e-12), 1.0) * self.amount


@dataclass(frozen=True, eq=False)
class Histories:
    """Hold the fitted models of one population.

    Parameters
    ----------
    counts
        Models of how often customers buy, by name.
    amounts
        Model of what they spend each time.

    Examples
    --------
    >>> rows = pd.DataFrame({"n_purchase_days": [1, 4] * 20, "tenure_days": [90, 80] * 20})
    >>> rows = rows.assign(recency_days=[90, 7] * 20, spend_total_cents=range(100, 140))
    >>> Histories.fit(rows).expected(rows.head(1), "bg_nbd", 28).purchases.shape
    (1,)
    """

    counts: Mapping[str, Counts]
    amounts: GammaGamma

    @staticmethod
    def can_fit(frame: pd.DataFrame, names: Sequence[str]) -> bool:
        """Return whether the columns are among ``names`` and there are repeat buyers enough to fit anything."""
        if not set(COLUMNS) <= set(names):
            return False
        seen = statistics(frame)
        return int(((seen["frequency"] > 1) & (seen["monetary_value"] > 0)).sum()) >= _LEAST_BUYERS

    @classmethod
    def fit(cls, frame: pd.DataFrame) -> "Histories":
        """Fit every model to the customers of one date; no label is looked at.

        Parameters
        ----------
        frame
            One customer a row, with ``COLUMNS``; rows without a purchase are left out.

        Raises
        ------
        TrainingError
            If nobody has bought, or a number is impossible.
        """
        seen = statistics(frame)
        bought = seen[seen["n_purchases"] > 0]
        counts = {name: fit(bought) for name, fit in _FITS.items()}
        return cls(counts, fit_gamma_gamma(_as_amounts(bought)))

    def expected(self, frame: pd.DataFrame, kind: str, horizon_days: int) -> Expectation:
        """Return what a model expects of every row; of a customer without a purchase, nothing.

        Parameters
        ----------
        frame
            One customer a row, with ``COLUMNS``.
        kind
            ``bg_nbd``, ``mbg_nbd`` or ``pareto_nbd``.
        horizon_days
            Length of the window.
        """
        seen, model = statistics(frame), self.counts[kind]
        has_bought = (seen["n_purchases"] > 0).to_numpy()
        purchases, silence = np.zeros(len(seen)), np.ones(len(seen))
        if has_bought.any():
            bought = seen[has_bought]
            purchases[has_bought] = model.expected_purchases(bought, [horizon_days])[:, 0]
            silence[has_bought] = model.p_no_purchase(bought, [horizon_days])[:, 0]
        amount = self.amounts.expected_value(_as_amounts(seen))
        # Without a finite mean of all, a customer of whom nothing is known is worth what those are that one knows.
        known = amount[np.isfinite(amount)]
        amount = np.where(np.isfinite(amount), amount, known.mean() if len(known) else 0.0)
        return Expectation(purchases, silence, amount)

    def warnings(self) -> dict[str, str]:
        """Return what is wrong with the fits, by model; empty where all is well."""
        told = {**{name: model.warning for name, model in self.counts.items()}, "gamma_gamma": self.amounts.warning}
        return {name: problem for name, problem in told.items() if problem is not None}

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold."""
        return {**{name: model.facts() for name, model in self.counts.items()}, "gamma_gamma": self.amounts.facts()}

    @classmethod
    def restore(cls, facts: Mapping[str, Any]) -> "Histories":
        """Return the models again from their facts."""
        counts = {name: kind.restore(facts[name]) for name, kind in KINDS.items()}
        return cls(counts, GammaGamma.restore(facts["gamma_gamma"]))


def statistics(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the sufficient statistics of customers from their features, in days and cents.

    Parameters
    ----------
    frame
        One customer a row, with ``COLUMNS``. At a local midnight yesterday is one day old, so the history ends one day
        before the day of ``as_of``.

    Returns
    -------
    pandas.DataFrame
        ``n_purchases``, ``frequency`` (repeat purchases), ``recency``, ``T``, ``monetary_value`` (mean over all
        purchase days, null where it is not positive), indexed like the frame; all 0 without a purchase.

    Examples
    --------
    >>> row = {"n_purchase_days": [3], "tenure_days": [50], "recency_days": [11], "spend_total_cents": [600]}
    >>> statistics(pd.DataFrame(row)).to_dict("records")
    [{'n_purchases': 3.0, 'frequency': 2.0, 'recency': 39.0, 'T': 49.0, 'monetary_value': 200.0}]
    """
    known = design(frame, COLUMNS)
    n_purchases = known["n_purchase_days"].fillna(0)
    has_bought = n_purchases > 0
    span = (known["tenure_days"] - known["recency_days"]).where(n_purchases > 1, 0.0)
    if bool((has_bought & ~(span >= 0)).any()):
        raise TrainingError("a last purchase before the first one", "recency_days up to tenure_days", "mend these")
    total = known["spend_total_cents"]
    mean = total.where((total > 0) & has_bought) / n_purchases.where(has_bought)
    columns = {
        "n_purchases": n_purchases,
        "frequency": (n_purchases - 1).clip(lower=0),
        "recency": span,
        "T": (known["tenure_days"] - 1).clip(lower=span).where(has_bought, 0.0),
        "monetary_value": mean,
    }
    return pd.DataFrame(columns, index=frame.index)


def _as_amounts(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers of the gamma-gamma model, where every purchase day counts."""
    return seen[["n_purchases", "monetary_value"]].rename(columns={"n_purchases": "frequency"})
