"""A trained churn model: probabilities with an interval, and what is needed to explain them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import StackingClassifier

from models.calibration import Band
from models.churn_odds import NO_PURCHASE, Odds
from models.churn_season import Season
from models.spec import FloatArray, design

INTERVAL_LEVEL = 0.90
PROBABILITIES = ("churn_probability", "churn_probability_low", "churn_probability_high")


@dataclass(frozen=True, eq=False)
class ChurnModel:
    """Hold a trained churn model and what is needed to explain it.

    Parameters
    ----------
    chosen
        Name of the candidate.
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
    forward_log_loss
        Log loss of every candidate on the last training date, trained on those whose label window had ended by then;
        empty where no date had.
    odds
        Makes the column of no purchase by purchases alone; null where the estimator has no such column.
    season
        What past years say of the base rate.
    categories
        Features that hold codes of categories.
    """

    chosen: str
    estimator: StackingClassifier
    names: tuple[str, ...]
    themes: tuple[str, ...]
    band: Band
    out_of_fold_log_loss: Mapping[str, float]
    forward_log_loss: Mapping[str, float] = field(default_factory=dict)
    odds: Odds | None = None
    season: Season = field(default_factory=Season)
    categories: tuple[str, ...] = ()

    @property
    def theme_of(self) -> dict[str, str]:
        """Return the theme of every feature, in the order of the estimator."""
        return dict(zip(self.names, self.themes, strict=True))

    @property
    def warning(self) -> str | None:
        """What is wrong with the fit to purchases alone, or null."""
        return None if self.odds is None else self.odds.warning

    def matrix(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of the estimator, in its order."""
        X = design(frame, self.names)
        return X if self.odds is None else X.assign(**{NO_PURCHASE: self.odds.column(X)})

    def log_odds(self, frame: pd.DataFrame) -> FloatArray:
        """Return the calibrated log-odds of leaving at a date like the training dates, the season left out."""
        X = self.matrix(frame)
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
            Frame with the features, one eligible customer a row; with ``as_of``, what past years say of the season is
            added.
        level
            Nominal coverage.

        Returns
        -------
        pandas.DataFrame
            ``churn_probability``, ``churn_probability_low``, ``churn_probability_high``, indexed like the frame.
        """
        said = self.log_odds(frame)
        moved, spread = self._seasonal(frame)
        low, high = self.band.around(said, level, moved, spread)
        columns = dict(zip(PROBABILITIES, (said + moved, low, high), strict=True))
        return pd.DataFrame({name: 1 / (1 + np.exp(-value)) for name, value in columns.items()}, index=frame.index)

    def _seasonal(self, frame: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """Return what the season adds to each row, and the standard deviation that the base rate keeps."""
        known = self.season.of(frame["as_of"]) if "as_of" in frame else np.full(len(frame), np.nan)
        left = self.band.shift_sd if self.season.shift_sd is None else self.season.shift_sd
        return np.nan_to_num(known), np.where(np.isnan(known), self.band.shift_sd, left)

    def facts(self) -> dict[str, Any]:
        """Return everything but the estimator as plain values that JSON can hold."""
        return {
            "chosen": self.chosen,
            "names": list(self.names),
            "themes": list(self.themes),
            "band": self.band.facts(),
            "out_of_fold_log_loss": dict(self.out_of_fold_log_loss),
            "forward_log_loss": dict(self.forward_log_loss),
            "odds": None if self.odds is None else self.odds.facts(),
            "season": self.season.facts(),
            "categories": list(self.categories),
        }

    @classmethod
    def restore(cls, estimator: StackingClassifier, facts: Mapping[str, Any]) -> "ChurnModel":
        """Return the model again from its estimator and its facts; facts of an older model may lack the later ones."""
        odds, season = facts.get("odds"), facts.get("season")
        return cls(
            chosen=facts["chosen"],
            estimator=estimator,
            names=tuple(facts["names"]),
            themes=tuple(facts["themes"]),
            band=Band.restore(facts["band"]),
            out_of_fold_log_loss=dict(facts["out_of_fold_log_loss"]),
            forward_log_loss=dict(facts.get("forward_log_loss", {})),
            odds=None if odds is None else Odds.restore(odds),
            season=Season() if season is None else Season.restore(season),
            categories=tuple(facts.get("categories", ())),
        )
