"""The two parts of value: whether a customer buys, and the net amount of one who does.

Both are small boostings. That of the amount learns the ratio to an expected amount, weighted by it, which is a Poisson
regression with the expectation as its exposure: what the history says is kept, for wholesalers too, and the trees
learn where it is wrong. Net amounts may be negative. Amounts above zero are boosted; those below, of buyers and of
those who only bring back, are a share of them, so that totals are right and nothing is cut off.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, StackingClassifier
from sklearn.frozen import FrozenEstimator

from models.spec import FloatArray

_SETTINGS: dict[str, Any] = {
    "learning_rate": 0.05,
    "max_iter": 80,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 100,
    "l2_regularization": 1.0,
    "max_features": 0.6,
    "early_stopping": False,
    # Weighted rows are binned by one weighted percentile a bin, which costs more than the trees; 64 lose nothing.
    "max_bins": 64,
}
_LEAST_SHARE = 0.02
"""Least exposure as a share of the mean one: nobody's expectation is nil."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Hold what happened within the horizon, one row a customer and date.

    Parameters
    ----------
    bought
        Whether there was a purchase.
    purchases
        Purchase days.
    net
        Cents net of returns; below zero where returns outweigh purchases.
    """

    bought: FloatArray
    purchases: FloatArray
    net: FloatArray

    def rows(self, which: Any) -> "Outcome":
        """Return some of the rows."""
        return Outcome(self.bought[which], self.purchases[which], self.net[which])


@dataclass(frozen=True)
class Parts:
    """Hold the numbers that go with the estimator.

    Parameters
    ----------
    amount_scale, purchases_scale
        Level of the ratio to the exposure, which the boosting's own level is a multiple of.
    lost_share
        Share of the amounts above zero that buyers' amounts below zero take back.
    returned_share
        Net returns of those who bought nothing, as a share of what they would have spent; 0 or more.
    """

    amount_scale: float
    purchases_scale: float
    lost_share: float
    returned_share: float


@dataclass(frozen=True, eq=False)
class Said:
    """Hold what the two parts say of every row.

    Parameters
    ----------
    probability
        Of a purchase within the horizon.
    if_buying
        Net cents of one who buys.
    net
        Net cents, whether they buy or not.
    purchases
        Purchase days; null where nothing tells them.
    """

    probability: FloatArray
    if_buying: FloatArray
    net: FloatArray
    purchases: FloatArray


def exposed(expectation: FloatArray) -> FloatArray:
    """Return an expectation as an exposure: never below a small share of its mean."""
    mean = float(expectation.mean()) if len(expectation) else 0.0
    return np.maximum(expectation, _LEAST_SHARE * mean) if mean > 0 else np.ones(len(expectation))


def fit_parts(
    X: pd.DataFrame, outcome: Outcome, exposure: FloatArray, often: FloatArray | None, *, seed: int
) -> tuple[StackingClassifier, Parts]:
    """Train the parts.

    Parameters
    ----------
    X
        Features.
    outcome
        What happened; some bought, for more than nothing.
    exposure
        Expected cents of one who buys, above zero.
    often
        Expected purchase days, above zero; null where nobody will ask how often they buy.
    seed
        Seed of the boostings.

    Returns
    -------
    tuple
        One estimator that holds the boostings ``buys`` and ``amount``, and ``purchases`` unless ``often`` is null, and
        the numbers.
    """
    does_buy = outcome.bought > 0
    gained = np.maximum(outcome.net, 0.0)
    amount, amount_scale = _ratio(X[does_buy], gained[does_buy], exposure[does_buy], seed)
    buys: Any = DummyClassifier(strategy="prior") if does_buy.all() else _classifier(seed)
    buys.fit(_filled(X), outcome.bought)
    foreseen = amount.predict(X[~does_buy]) * amount_scale * exposure[~does_buy] if (~does_buy).any() else np.zeros(1)
    named, purchases_scale = {"buys": buys, "amount": amount}, float("nan")
    if often is not None:
        named["purchases"], purchases_scale = _ratio(X, outcome.purchases, often, seed)
    parts = Parts(
        amount_scale=amount_scale,
        purchases_scale=purchases_scale,
        lost_share=float((gained - outcome.net)[does_buy].sum() / gained[does_buy].sum()),
        returned_share=float(-outcome.net[~does_buy].sum() / foreseen.sum()) if foreseen.sum() > 0 else 0.0,
    )
    return _one(named, X, outcome.bought), parts


def say(estimator: StackingClassifier, parts: Parts, X: pd.DataFrame, exposure: FloatArray, often: FloatArray) -> Said:
    """Return what the parts say.

    Parameters
    ----------
    estimator, parts
        As ``fit_parts`` gave them.
    X, exposure, often
        Features and expectations of the rows, as in training.
    """
    if X.empty:
        # Estimators refuse a frame without rows; nobody to score is no error here.
        return Said(*(np.empty(0) for _ in range(4)))
    named = estimator.named_estimators_
    unsaid = np.full(len(X), np.nan)
    # One who cannot fail to buy has one class only, so the last column is the probability either way.
    probability = named["buys"].predict_proba(X)[:, -1]
    gained = named["amount"].predict(X) * parts.amount_scale * exposure
    if_buying = gained * (1 - parts.lost_share)
    return Said(
        probability=probability,
        if_buying=if_buying,
        net=probability * if_buying - (1 - probability) * parts.returned_share * gained,
        purchases=named["purchases"].predict(X) * parts.purchases_scale * often if "purchases" in named else unsaid,
    )


def _classifier(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(**_SETTINGS, random_state=seed)


def _ratio(X: pd.DataFrame, y: FloatArray, exposure: FloatArray, seed: int) -> tuple[Any, float]:
    """Return the boosting of y / exposure, weighted by the exposure, and the level that its target was divided by."""
    level = float(y.sum() / exposure.sum())
    model = HistGradientBoostingRegressor(loss="poisson", **_SETTINGS, random_state=seed)
    return model.fit(_filled(X), y / exposure / level, sample_weight=exposure / exposure.mean()), level


def _filled(X: pd.DataFrame) -> pd.DataFrame:
    """Return features of which none is null for all: such a one has no bins. A constant is never split on."""
    return X.fillna(dict.fromkeys(X.columns[X.isna().all()], 0.0))


def _one(parts: dict[str, Any], X: pd.DataFrame, y: FloatArray) -> StackingClassifier:
    """Hold fitted estimators in one object; frozen, so that fitting changes nothing."""
    frozen = [(name, FrozenEstimator(part)) for name, part in parts.items()]
    whole = StackingClassifier(frozen, DummyClassifier(strategy="prior"), cv="prefit")
    whole.fit(X, y)
    return whole
