"""Churn: the probability that a customer buys nothing within the horizon, with an interval for customers alike.

Two candidates and their blend are trained: a logistic regression and a small gradient boosting whose trees may mix
features of one theme only. Both are sums of one term per theme on the scale of the log-odds, and so is the blend:
reasons are exact, not approximated (generalised additive models with interactions, Lou et al. 2013). The choice and
the calibration (Platt 1999) use out-of-fold scores; folds keep all rows of a customer together, because rows of
several dates of one customer in two folds would let the model recognise the customer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from models.calibration import Band, fit_band
from models.folds import customer_folds, usable_features
from models.inputs import INPUTS
from models.spec import FloatArray, ModelSpec, binary_label, design

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
INTERVAL_LEVEL = 0.90
CANDIDATES: Mapping[str, tuple[str, ...]] = {
    "logistic": ("logistic",),
    "boosting": ("boosting",),
    "blend": ("logistic", "boosting"),
}
"""Candidate -> the models that it adds up."""
PROBABILITIES = ("churn_probability", "churn_probability_low", "churn_probability_high")
THEMES: Mapping[str, str] = MappingProxyType(
    {"recency": "rhythm", "frequency": "rhythm", "rhythm": "rhythm", "tenure": "rhythm", "monetary": "spend"}
)
"""Theme of a family of features. When, how often and how long somebody buys is one story: those features interact."""


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


def logistic() -> Pipeline:
    """Return the linear candidate: null filled by the median and marked, log-like scale, ridge penalty."""
    steps = [
        ("fill", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)),
        # First to a common scale, so that cents or dollars make no difference; then the inverse hyperbolic sine, which
        # is the logarithm for large amounts and passes zero and refunds.
        ("unit", StandardScaler(with_mean=False)),
        ("log", FunctionTransformer(np.arcsinh)),
        ("scale", StandardScaler()),
        ("line", LogisticRegression(C=0.1, max_iter=2000)),
    ]
    return Pipeline(steps)


def boosting(blocks: Sequence[Sequence[int]], seed: int) -> HistGradientBoostingClassifier:
    """Return the boosted candidate; ``blocks`` are the groups of columns whose features may interact."""
    return HistGradientBoostingClassifier(
        learning_rate=0.03,
        max_iter=250,
        max_leaf_nodes=6,
        min_samples_leaf=50,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        interaction_cst=[list(block) for block in blocks],
        random_state=seed,
    )


@dataclass(frozen=True, eq=False)
class ChurnModel:
    """Hold a trained churn model and what is needed to explain it.

    Parameters
    ----------
    chosen
        ``logistic``, ``boosting`` or ``blend``.
    estimator
        A scikit-learn classifier made of scikit-learn classes only; its ``decision_function`` is the calibrated
        log-odds and its ``predict_proba`` the calibrated probability.
    names
        Features in the order of the estimator; those that were null for everybody in training are left out.
    themes
        Theme of each feature, in the same order; the log-odds are a sum of one term per theme.
    band
        Uncertainty of the probability.
    out_of_fold_log_loss
        Log loss of every candidate on customers that it had not seen.
    """

    chosen: str
    estimator: StackingClassifier
    names: tuple[str, ...]
    themes: tuple[str, ...]
    band: Band
    out_of_fold_log_loss: Mapping[str, float]

    @property
    def theme_of(self) -> dict[str, str]:
        """Return the theme of every feature, in the order of the estimator."""
        return dict(zip(self.names, self.themes, strict=True))

    def log_odds(self, frame: pd.DataFrame) -> FloatArray:
        """Return the calibrated log-odds of leaving."""
        X = design(frame, self.names)
        # Estimators refuse a frame without rows; nobody to score is no error here.
        return np.empty(0) if X.empty else np.asarray(self.estimator.decision_function(X), dtype=np.float64)

    def predict(self, frame: pd.DataFrame, level: float = INTERVAL_LEVEL) -> pd.DataFrame:
        """Return probability and interval for every row of a frame.

        The interval is for the share that leaves among customers scored alike at a new date: it holds the sampling
        error of the calibration, its bend, and the shift of the base rate between dates. It is not an interval for
        the one customer, who leaves or stays.

        Parameters
        ----------
        frame
            Frame with the features, one eligible customer a row.
        level
            Nominal coverage.

        Returns
        -------
        pandas.DataFrame
            ``churn_probability``, ``churn_probability_low``, ``churn_probability_high``, indexed like the frame.
        """
        log_odds = self.log_odds(frame)
        low, high = self.band.around(log_odds, level)
        columns = dict(zip(PROBABILITIES, (log_odds, low, high), strict=True))
        return pd.DataFrame({name: 1 / (1 + np.exp(-value)) for name, value in columns.items()}, index=frame.index)

    def facts(self) -> dict[str, Any]:
        """Return everything but the estimator as plain values that JSON can hold."""
        return {
            "chosen": self.chosen,
            "names": list(self.names),
            "themes": list(self.themes),
            "band": self.band.facts(),
            "out_of_fold_log_loss": dict(self.out_of_fold_log_loss),
        }

    @classmethod
    def restore(cls, estimator: StackingClassifier, facts: Mapping[str, Any]) -> "ChurnModel":
        """Return the model again from its estimator and its facts."""
        return cls(
            chosen=facts["chosen"],
            estimator=estimator,
            names=tuple(facts["names"]),
            themes=tuple(facts["themes"]),
            band=Band.restore(facts["band"]),
            out_of_fold_log_loss=dict(facts["out_of_fold_log_loss"]),
        )


def fit(train: pd.DataFrame, names: Sequence[str], *, seed: int, themes: Mapping[str, str] | None = None) -> ChurnModel:
    """Train the candidates, calibrate them and keep the one with the lowest out-of-fold log loss.

    Parameters, errors and notes are those of ``fit_candidates``.

    Returns
    -------
    ChurnModel
        Calibrated; the judged date has not been touched.
    """
    return choose(fit_candidates(train, names, seed=seed, themes=themes))


def choose(candidates: Mapping[str, ChurnModel]) -> ChurnModel:
    """Return the candidate with the lowest out-of-fold log loss."""
    losses = next(iter(candidates.values())).out_of_fold_log_loss
    return candidates[min(losses, key=lambda name: losses[name])]


def fit_candidates(
    train: pd.DataFrame, names: Sequence[str], *, seed: int, themes: Mapping[str, str] | None = None
) -> dict[str, ChurnModel]:
    """Train and calibrate every candidate: ``logistic``, ``boosting`` and their ``blend``.

    Parameters
    ----------
    train
        Rows of eligible customers at several dates: ``customer_id``, ``as_of``, the features, ``has_churned``.
    names
        The features.
    seed
        Seed of the boosting.
    themes
        Theme of each feature; features of one theme may interact and share one reason. A feature without a theme
        stands alone.

    Raises
    ------
    TrainingError
        If a feature is missing or infinite, or the label has one class only.

    Notes
    -----
    The result depends on the rows as a set and on the seed, not on the order of the rows or on threads.
    """
    train = train.sort_values(["customer_id", "as_of"], kind="stable", ignore_index=True)
    y, folds = binary_label(train, SPEC.label), customer_folds(train)
    X = design(train, names)
    X = X[usable_features(X, folds)]
    theme_of = tuple((themes or {}).get(name, name) for name in X.columns)
    blocks = [[i for i, theme in enumerate(theme_of) if theme == block] for block in dict.fromkeys(theme_of)]
    bases: dict[str, Any] = {"logistic": logistic(), "boosting": boosting(blocks, seed)}
    scores = {name: cross_val_predict(base, X, y, cv=folds, method="decision_function") for name, base in bases.items()}
    fitted = {name: base.fit(X, y) for name, base in bases.items()}
    stacked = {name: np.column_stack([scores[part] for part in parts]) for name, parts in CANDIDATES.items()}
    losses = {name: _log_loss(columns, y) for name, columns in stacked.items()}
    models = {}
    for name, parts in CANDIDATES.items():
        calibrator = _platt(stacked[name], y)
        models[name] = ChurnModel(
            chosen=name,
            estimator=_assemble({part: fitted[part] for part in parts}, calibrator, X, y),
            names=tuple(X.columns),
            themes=theme_of,
            band=fit_band(calibrator.decision_function(stacked[name]), y, train["customer_id"], train["as_of"]),
            out_of_fold_log_loss=losses,
        )
    return models


def _platt(scores: FloatArray, y: Any) -> LogisticRegression:
    model = LogisticRegression(C=1e6, max_iter=2000)
    model.fit(scores, y)
    return model


def _log_loss(scores: FloatArray, y: Any) -> float:
    log_odds = _platt(scores, y).decision_function(scores)
    return float(np.logaddexp(0, np.where(y == 1, -log_odds, log_odds)).mean())


def _assemble(parts: Mapping[str, Any], calibrator: LogisticRegression, X: pd.DataFrame, y: Any) -> StackingClassifier:
    """Join fitted parts and a fitted calibration into one classifier; frozen, so that fitting changes nothing."""
    frozen = [(name, FrozenEstimator(part)) for name, part in parts.items()]
    stack = StackingClassifier(frozen, FrozenEstimator(calibrator), cv="prefit", stack_method="decision_function")
    stack.fit(X, y)
    return stack
