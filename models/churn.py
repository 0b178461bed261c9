"""Churn: the probability that a customer buys nothing within the horizon, with an interval for customers alike.

Candidates go from one feature to many: recency, rhythm, four features, the odds by purchases alone, a logistic
regression on all features, a small gradient boosting whose trees may mix features of one theme only, and blends. All
are sums of one term per theme on the scale of the log-odds: reasons are exact, not approximated (generalised additive
models with interactions, Lou et al. 2013). The choice looks at customers that a candidate had not seen and at a date
that lay ahead of it; the calibration (Platt 1999) uses out-of-fold scores. Folds keep all rows of a customer together,
because rows of several dates of one customer in two folds would let the model recognise the customer.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from models.calibration import fit_band
from models.churn_model import INTERVAL_LEVEL, PROBABILITIES, ChurnModel
from models.churn_odds import NEEDS, NO_PURCHASE, Odds, fit_odds
from models.churn_parts import available, part
from models.churn_season import Season, fit_season
from models.folds import Rows, customer_folds, label_folds, usable_features
from models.inputs import INPUTS
from models.spec import FloatArray, ModelSpec, binary_label, design

__all__ = ["CANDIDATES", "INTERVAL_LEVEL", "PROBABILITIES", "SPEC", "ChurnModel", "choose", "fit", "fit_candidates"]

SPEC = ModelSpec(
    name="churn",
    label="has_churned",
    baseline="recency_days",
    metrics=(
        "auc",
        "pr_auc",
        "brier",
        "log_loss",
        "calibration_slope",
        "calibration_intercept",
        "ece",
        "top_decile_lift",
    ),
    gate_metric="log_loss",
    features=INPUTS,
)
CANDIDATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "recency": ("recency",),
        "rhythm": ("rhythm",),
        "rfm": ("rfm",),
        "odds": ("odds",),
        "logistic": ("logistic",),
        "boosting": ("boosting",),
        "blend": ("logistic", "boosting"),
        "even blend": ("rfm", "logistic", "boosting"),
    }
)
"""Candidate -> the parts that it adds up; one whose parts are not all to be had is left out."""
EVEN = frozenset({"even blend"})
"""Candidates whose parts weigh the same: weights learned on some dates may not hold at the next."""
THEMES: Mapping[str, str] = MappingProxyType(
    {"recency": "rhythm", "frequency": "rhythm", "rhythm": "rhythm", "tenure": "rhythm", "monetary": "spend"}
)
"""Theme of a family of features. When, how often and how long somebody buys is one story: those features interact."""
ENOUGH_ROWS = 200_000
"""Rows beyond which scores for choice and calibration, and the simple and linear parts, gain nothing measurable."""


def themes_by_family(families: Mapping[str, str]) -> dict[str, str]:
    """Return the theme of each feature from its family; a family without a theme leaves its features alone.

    Parameters
    ----------
    families
        Family of each feature, by the feature's name.

    Examples
    --------
    >>> themes_by_family({"recency_days": "recency", "weekend_share": "habits"})
    {'recency_days': 'rhythm', 'weekend_share': 'weekend_share'}
    """
    return {name: THEMES.get(family, name) for name, family in families.items()}


def fit(train: pd.DataFrame, names: Sequence[str], *, seed: int, **options: Any) -> ChurnModel:
    """Train the candidates, calibrate them and keep the best one.

    Parameters, errors and notes are those of ``fit_candidates`` and ``choose``.

    Returns
    -------
    ChurnModel
        Calibrated; the judged date has not been touched.
    """
    return choose(fit_candidates(train, names, seed=seed, **options))


def choose(candidates: Mapping[str, ChurnModel]) -> ChurnModel:
    """Return the candidate with the lowest log loss, the mean of out of fold and forward in time where both exist."""
    one = next(iter(candidates.values()))
    seen, ahead = one.out_of_fold_log_loss, one.forward_log_loss
    return candidates[min(candidates, key=lambda name: seen[name] + ahead.get(name, 0.0))]


def fit_candidates(
    train: pd.DataFrame,
    names: Sequence[str],
    *,
    seed: int,
    themes: Mapping[str, str] | None = None,
    horizon_days: int | None = None,
    categories: Collection[str] = (),
) -> dict[str, ChurnModel]:
    """Train and calibrate every candidate that the features allow.

    Parameters
    ----------
    train
        Rows of eligible customers: ``customer_id``, the features, ``has_churned``, and ``as_of`` where there are
        several dates; without it, folds are stratified by the label.
    names
        The features.
    seed
        Seed of the boosting and of stratified folds.
    themes
        Theme of each feature; features of one theme may interact and share one reason. A feature without a theme
        stands alone.
    horizon_days
        Length of the label window; with it, the odds by purchases alone are a candidate, and candidates are judged
        forward in time as well.
    categories
        Features that hold codes of categories, as ``models.churn_table`` makes them.

    Raises
    ------
    TrainingError
        If a feature is missing or infinite, or the label has one class only.

    Notes
    -----
    The result depends on the rows as a set and on the seed, not on the order of the rows or on threads.
    """
    has_dates = "as_of" in train
    train = train.sort_values(["customer_id", "as_of"] if has_dates else ["customer_id"], kind="stable")
    train = train.reset_index(drop=True)
    y = binary_label(train, SPEC.label)
    rows = enough(train)
    few = train.iloc[rows]
    folds = customer_folds(few) if has_dates else label_folds(y[rows], few["customer_id"], seed)
    X = design(train, names)
    X = X[usable_features(X.iloc[rows], folds)]
    theme_of = {name: (themes or {}).get(name, name) for name in X.columns}
    odds = _odds(X, few, theme_of, horizon_days)
    if odds is not None:
        X[NO_PURCHASE] = odds.column(X)
    data = _Data(X, y, rows, folds, few, theme_of, tuple(name for name in X.columns if name in categories), odds)
    return _models(data, seed, horizon_days)


@dataclass(frozen=True, eq=False)
class _Data:
    """Everything that candidates are trained on: all rows, and those that suffice for choice and calibration."""

    X: pd.DataFrame
    y: npt.NDArray[np.int64]
    rows: Rows
    folds: list[tuple[Rows, Rows]]
    few: pd.DataFrame
    theme_of: Mapping[str, str]
    categories: tuple[str, ...]
    odds: Odds | None

    def part(self, name: str, seed: int) -> Any:
        # The odds are made of features of one theme, so they belong to it.
        themes = [self.theme_of[NEEDS[0] if column == NO_PURCHASE else str(column)] for column in self.X]
        return part(name, self.X, themes, self.categories, seed)


def enough(train: pd.DataFrame) -> Rows:
    """Return the numbers of the rows that suffice: every so many-th customer in order, with all its dates."""
    step = -(-len(train) // ENOUGH_ROWS)
    if step <= 1:
        return np.arange(len(train))
    _, customer = np.unique(train["customer_id"].to_numpy(), return_inverse=True)
    return np.flatnonzero(customer % step == 0)


def _odds(X: pd.DataFrame, few: pd.DataFrame, theme_of: Mapping[str, str], horizon_days: int | None) -> Odds | None:
    """Return the fit to the purchases known at the last date; it sees no label, and has four parameters."""
    if horizon_days is None or len({theme_of.get(name, "") for name in NEEDS}) > 1 or not set(NEEDS) <= set(X.columns):
        return None
    is_last = few["as_of"].to_numpy() == few["as_of"].max()
    return fit_odds(X.loc[few.index[is_last]], horizon_days)


def _models(data: _Data, seed: int, horizon_days: int | None) -> dict[str, ChurnModel]:
    parts = {name: data.part(name, seed) for name in available(list(data.X.columns))}
    few, y = data.X.iloc[data.rows], data.y[data.rows]
    scores = {
        name: cross_val_predict(clone(one), few, y, cv=data.folds, method="decision_function")
        for name, one in parts.items()
    }
    ahead, is_judged = _ahead(parts, few, y, data.few, horizon_days)
    for name, one in parts.items():
        one.fit(data.X, data.y) if name == "boosting" else one.fit(few, y)
    made = {name: of for name, of in CANDIDATES.items() if set(of) <= set(parts)}
    stacked = {name: np.column_stack([scores[one] for one in of]) for name, of in made.items()}
    platts = {name: _platt(columns, y, is_even=name in EVEN) for name, columns in stacked.items()}
    said = {name: platts[name].decision_function(columns) for name, columns in stacked.items()}
    losses = {name: log_loss(log_odds, y) for name, log_odds in said.items()}
    forward = {
        name: log_loss(platts[name].decision_function(np.column_stack([ahead[one] for one in of])), y[is_judged])
        for name, of in made.items()
        if ahead
    }
    dates = data.few["as_of"] if "as_of" in data.few else pd.Series(0, index=data.few.index)
    return {
        name: ChurnModel(
            chosen=name,
            estimator=_assemble({one: parts[one] for one in of}, platts[name], few, y),
            names=tuple(data.theme_of),
            themes=tuple(data.theme_of.values()),
            band=fit_band(said[name], y, data.few["customer_id"], dates),
            out_of_fold_log_loss=losses,
            forward_log_loss=forward,
            odds=data.odds,
            season=fit_season(y, 1 / (1 + np.exp(-said[name])), dates) if "as_of" in data.few else Season(),
            categories=data.categories,
        )
        for name, of in made.items()
    }


def _ahead(
    parts: Mapping[str, Any], X: pd.DataFrame, y: npt.NDArray[np.int64], keys: pd.DataFrame, horizon_days: int | None
) -> tuple[dict[str, FloatArray], npt.NDArray[np.bool_]]:
    """Return each part's scores at the last date, trained on dates whose label windows had ended by then."""
    nothing: tuple[dict[str, FloatArray], npt.NDArray[np.bool_]] = ({}, np.zeros(len(y), dtype=bool))
    if horizon_days is None or "as_of" not in keys:
        return nothing
    dates = pd.to_datetime(keys["as_of"]).to_numpy()
    is_last = dates == dates.max()
    is_early = dates + np.timedelta64(horizon_days, "D") <= dates.max()
    if len(np.unique(y[is_early])) < 2 or len(np.unique(y[is_last])) < 2 or X[is_early].isna().all().any():
        return nothing
    fitted = {name: clone(one).fit(X[is_early], y[is_early]) for name, one in parts.items()}
    return {name: one.decision_function(X[is_last]) for name, one in fitted.items()}, is_last


def _platt(scores: FloatArray, y: npt.NDArray[np.int64], *, is_even: bool) -> LogisticRegression:
    model = LogisticRegression(C=1e6, max_iter=2000)
    if not is_even:
        model.fit(scores, y)
        return model
    model.fit(scores.mean(axis=1, keepdims=True), y)
    model.coef_ = np.full((1, scores.shape[1]), model.coef_[0, 0] / scores.shape[1])
    model.n_features_in_ = scores.shape[1]
    return model


def log_loss(log_odds: FloatArray, y: npt.NDArray[np.int64]) -> float:
    """Return the mean log loss of log-odds."""
    return float(np.logaddexp(0, np.where(y == 1, -log_odds, log_odds)).mean())


def _assemble(parts: Mapping[str, Any], calibrator: LogisticRegression, X: pd.DataFrame, y: Any) -> StackingClassifier:
    """Join fitted parts and a fitted calibration into one classifier; frozen, so that fitting changes nothing."""
    frozen = [(name, FrozenEstimator(one)) for name, one in parts.items()]
    stack = StackingClassifier(frozen, FrozenEstimator(calibrator), cv="prefit", stack_method="decision_function")
    stack.fit(X, y)
    return stack
