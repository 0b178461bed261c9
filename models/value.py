"""Value: what a customer is expected to spend in the horizon, given that he stays, with an interval.

A ridge regression, a boosting with a Poisson loss and the mean of both compete with the trailing spend scaled to the
horizon. All aim at the mean, so that sums over customers are right. The interval is split-conformal (Lei et al. 2018)
on the scale of cube roots, where skewed amounts are nearly symmetric and of equal spread for small and large customers
(Wilson and Hilferty 1931); residuals come from customers that the model had not seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from data.errors import TrainingError
from models.baselines import trailing_value
from models.evaluation import paired_difference, point
from models.folds import customer_folds, usable_features
from models.inputs import INPUTS
from models.spec import FloatArray, ModelSpec, design

SPEC = ModelSpec(
    name="value",
    label="spend_cents",
    baseline="spend_84d_cents",
    metrics=("root_squared_error", "absolute_error", "total_bias_share"),
    # Values are added up, so the mean is wanted; absolute error would reward the median, which is too low.
    gate_metric="root_squared_error",
    features=INPUTS,
)
TRAILING_DAYS = 84
INTERVAL_LEVEL = 0.90


def linear() -> Pipeline:
    """Return the linear candidate: null filled by the median and marked, ridge penalty by leave-one-out error."""
    steps = [
        ("fill", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)),
        ("scale", StandardScaler()),
        ("line", RidgeCV(np.logspace(0, 4, 9))),
    ]
    return Pipeline(steps)


def boosting(seed: int) -> HistGradientBoostingRegressor:
    """Return the boosted candidate: small, regularised, with the mean as its target."""
    return HistGradientBoostingRegressor(
        loss="poisson",
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=8,
        min_samples_leaf=50,
        l2_regularization=1.0,
        max_features=0.6,
        early_stopping=False,
        random_state=seed,
    )


@dataclass(frozen=True, eq=False)
class ValueModel:
    """Hold a trained value model.

    Parameters
    ----------
    chosen
        ``linear``, ``boosting``, ``blend`` or ``trailing``, whichever was best on customers it had not seen.
    estimator
        The regressor of spend in units of ``scale_cents``, made of scikit-learn classes only; null for ``trailing``.
    names
        Features in the order of the estimator; those that were null for everybody in training are left out.
    scale_cents
        Mean spend of the training rows: the model works in multiples of it, so that the currency's unit is no matter.
    horizon_days
        Length of the label window.
    root_low, root_high
        Ends of the conformal interval around the cube root of the expected spend in cents.
    level
        Nominal coverage of that interval.
    out_of_fold_error
        Root of the mean squared error in cents of every candidate, on customers not seen.
    """

    chosen: str
    estimator: VotingRegressor | None
    names: tuple[str, ...]
    scale_cents: float
    horizon_days: int
    root_low: float
    root_high: float
    level: float
    out_of_fold_error: Mapping[str, float]

    def expected_cents(self, frame: pd.DataFrame) -> FloatArray:
        """Return the expected spend in cents, given that the customer stays."""
        if self.estimator is None:
            return trailing_value(frame, SPEC.baseline, TRAILING_DAYS, self.horizon_days)
        X = design(frame, self.names)
        # Estimators refuse a frame without rows; nobody to score is no error here.
        return np.empty(0) if X.empty else np.maximum(self.estimator.predict(X) * self.scale_cents, 0.0)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return expected spend and interval for every row of a frame.

        Parameters
        ----------
        frame
            Frame with the features, one customer a row.

        Returns
        -------
        pandas.DataFrame
            ``expected_spend_cents``, ``expected_spend_low_cents``, ``expected_spend_high_cents`` as float64, indexed
            like the frame. The interval is for the one customer's spend, given that he buys at all.
        """
        expected = self.expected_cents(frame)
        root = np.cbrt(expected)
        columns = {
            "expected_spend_cents": expected,
            "expected_spend_low_cents": np.minimum(np.maximum(root + self.root_low, 0) ** 3, expected),
            "expected_spend_high_cents": np.maximum(np.maximum(root + self.root_high, 0) ** 3, expected),
        }
        return pd.DataFrame(columns, index=frame.index)

    def conformalise(self, labelled: pd.DataFrame) -> "ValueModel":
        """Return the model with its interval calibrated on labelled rows that it was not trained on.

        Parameters
        ----------
        labelled
            Rows of the latest date whose label window is over, with ``has_churned`` and ``spend_cents``.

        Returns
        -------
        ValueModel
            The same predictions with another interval.
        """
        stayed = staying(labelled)
        low, high = root_interval(_spend(stayed), self.expected_cents(stayed), self.level)
        return replace(self, root_low=low, root_high=high)

    def facts(self) -> dict[str, Any]:
        """Return everything but the estimator as plain values that JSON can hold."""
        kept = {name: value for name, value in vars(self).items() if name != "estimator"}
        return {**kept, "names": list(self.names), "out_of_fold_error": dict(self.out_of_fold_error)}

    @classmethod
    def restore(cls, estimator: VotingRegressor | None, facts: Mapping[str, Any]) -> "ValueModel":
        """Return the model again from its estimator and its facts."""
        return cls(estimator=estimator, **{**facts, "names": tuple(facts["names"])})


def staying(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of customers who bought within the label window."""
    return frame.loc[frame["has_churned"] == 0]


def root_interval(spend: FloatArray, expected: FloatArray, level: float) -> tuple[float, float]:
    """Return the conformal ends of cbrt(spend) - cbrt(expected), each tail at its own rate.

    Parameters
    ----------
    spend, expected
        True and expected cents of rows that trained no model.
    level
        Nominal coverage.

    Returns
    -------
    tuple of float
        Low and high end; infinite where there are too few rows for the level.
    """
    residual = np.sort(np.cbrt(spend) - np.cbrt(expected))
    n_rows = len(residual)
    rank = int(np.ceil((n_rows + 1) * (1 + level) / 2)) - 1
    if rank >= n_rows:
        return float("-inf"), float("inf")
    return float(residual[n_rows - 1 - rank]), float(residual[rank])


def fit(train: pd.DataFrame, names: Sequence[str], *, horizon_days: int, seed: int) -> ValueModel:
    """Train on the customers who stayed, and keep the trailing spend unless the model beats it beyond chance.

    Parameters
    ----------
    train
        Rows of eligible customers at several dates: ``customer_id``, ``as_of``, the features, ``has_churned`` and
        ``spend_cents`` of the label window.
    names
        The features.
    horizon_days
        Length of the label window.
    seed
        Seed of the boosting and of the comparison.

    Returns
    -------
    ValueModel
        Its interval comes from the latest training date, predicted by folds that had not seen the customer.

    Raises
    ------
    TrainingError
        If a feature is missing or infinite, or nobody stayed and spent.
    """
    stayed = staying(train).sort_values(["customer_id", "as_of"], kind="stable", ignore_index=True)
    spend = _spend(stayed)
    if not spend.any():
        raise TrainingError("no customer spent anything in a label window", "some spend", "check amount_cents")
    X, scale, folds = design(stayed, names), float(spend.mean()), customer_folds(stayed)
    X = X[usable_features(X, folds)]
    parts: dict[str, Any] = {"linear": linear(), "boosting": boosting(seed)}
    unseen: dict[str, FloatArray] = {
        name: np.maximum(cross_val_predict(part, X, spend / scale, cv=folds), 0) * scale for name, part in parts.items()
    }
    unseen["blend"] = (unseen["linear"] + unseen["boosting"]) / 2
    best = min(unseen, key=lambda name: _error(spend, unseen[name]))
    unseen["trailing"] = trailing_value(stayed, SPEC.baseline, TRAILING_DAYS, horizon_days)
    gain = paired_difference(
        SPEC.gate_metric, spend, unseen[best], unseen["trailing"], groups=stayed["customer_id"], seed=seed
    )
    chosen = best if gain.high < 0 else "trailing"
    is_latest = (stayed["as_of"] == stayed["as_of"].max()).to_numpy()
    low, high = root_interval(spend[is_latest], unseen[chosen][is_latest], INTERVAL_LEVEL)
    members = {"blend": ("linear", "boosting"), "trailing": ()}.get(chosen, (chosen,))
    return ValueModel(
        chosen=chosen,
        estimator=_mean_of({name: parts[name].fit(X, spend / scale) for name in members}, X, spend / scale),
        names=tuple(X.columns),
        scale_cents=scale,
        horizon_days=horizon_days,
        root_low=low,
        root_high=high,
        level=INTERVAL_LEVEL,
        out_of_fold_error={name: _error(spend, found) for name, found in unseen.items()},
    )


def _error(spend: FloatArray, expected: FloatArray) -> float:
    return point(SPEC.gate_metric, spend, expected)


def _mean_of(parts: Mapping[str, Any], X: pd.DataFrame, y: FloatArray) -> VotingRegressor | None:
    """Join fitted regressors into their mean; frozen, so that fitting changes nothing. Null without parts."""
    if not parts:
        return None
    mean = VotingRegressor([(name, FrozenEstimator(part)) for name, part in parts.items()])
    mean.fit(X, y)
    return mean


def _spend(frame: pd.DataFrame) -> FloatArray:
    """Return the label in cents; a net return counts as no spend."""
    spend: FloatArray = design(frame, (SPEC.label,))[SPEC.label].clip(lower=0).to_numpy()
    return spend
