"""When: the chance that a customer is still silent after so many days, as a curve per customer.

A discrete-time hazard (Cox 1972; Singer and Willett 1993): each customer at each date is followed step by step, and a
logistic regression learns how likely the event is in a step in which it has not come yet. The event is the next
purchase, or the end of a contract where there are contracts. What grows while nothing happens, such as the silence,
grows with the steps: these are features that vary in time. A step of which the end was not seen teaches nothing, so
who is censored counts as far as they were watched.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler

from data.errors import TrainingError
from models.calibration import clustered_covariance, shift_between_dates
from models.folds import customer_folds, usable_features
from models.person_periods import person_periods, step_edges, stepped, watched_edges
from models.spec import FloatArray, design

NAMES = ("gap_mean_days", "n_orders_28d", "n_orders_84d", "n_purchase_days", "recency_days", "tenure_days")
"""Features of the time to the next purchase: when and how often somebody buys."""
CONTRACT_NAMES = ("contract_days", "contract_fee_cents", "contract_to_end_days", "n_contract_changes_364d")
"""Features of the time to the end of a contract."""
INTERVAL_LEVEL = 0.90
_MOST_CUSTOMERS = 50_000
_AT_ONCE = 50_000
# As in the band of the churn probability: the labels' noise is in the model and in its calibration.
_NOISE_COUNTS = 2.0
_LEAST = 1e-9


@dataclass(frozen=True, eq=False)
class HazardModel:
    """Hold a trained hazard, its calibration and how sure that is.

    Parameters
    ----------
    estimator
        Pipeline of scikit-learn classes: the chance of the event within a step in which it has not come yet.
    names
        Features, in the order of the estimator.
    edges
        Days since ``as_of`` at which the steps end; the first step begins at 0.
    horizon_days
        One of the edges: where the curve meets the churn probability.
    centre, scale, ends
        Mean, standard deviation and range of the out-of-fold log-odds on which the calibration rests.
    coefficients, covariance
        Of the calibration: constant, log-odds, their square, time and its product with the log-odds. The covariance
        is clustered by customer.
    shift_sd
        Standard deviation of the log-odds between dates beyond chance.
    n_dates
        Number of training dates.
    """

    estimator: Pipeline
    names: tuple[str, ...]
    edges: tuple[int, ...]
    horizon_days: int
    centre: float
    scale: float
    ends: tuple[float, float]
    coefficients: FloatArray
    covariance: FloatArray
    shift_sd: float
    n_dates: int

    def curves(self, frame: pd.DataFrame, anchor: "pd.Series[float] | None" = None) -> pd.DataFrame:
        """Return the chance that the event has not come by the end of each step, for every row.

        Parameters
        ----------
        frame
            Frame with the features, one customer a row.
        anchor
            Churn probability of each row. With it the curve is raised to the power that makes it meet this
            probability at ``horizon_days`` exactly (proportional hazards): the shape is the hazard's, the level the
            churn model's, and the two cannot contradict each other. Without it the curve is the hazard's alone.

        Returns
        -------
        pandas.DataFrame
            One column per edge, in days; never rising; indexed like the frame.
        """
        columns = pd.Index(self.edges, name="days")
        if frame.empty:
            return pd.DataFrame(index=frame.index, columns=columns, dtype="float64")
        parts = [self._survival(part, None if anchor is None else anchor.loc[part.index])[0] for part in _blocks(frame)]
        return pd.DataFrame(np.concatenate(parts), index=frame.index, columns=columns)

    def group_curves(
        self,
        frame: pd.DataFrame,
        groups: "pd.Series[str]",
        anchor: "pd.Series[float] | None" = None,
        level: float = INTERVAL_LEVEL,
    ) -> pd.DataFrame:
        """Return the mean curve of each group, with an interval for the share that will be seen.

        Parameters
        ----------
        frame, anchor
            As in ``curves``.
        groups
            Group of each row; rows without one are left out.
        level
            Nominal coverage of the share of these customers for whom the event has not come by then. It holds the
            sampling error of model and calibration, the shift between dates, and chance: the fewer customers, the
            wider.

        Returns
        -------
        pandas.DataFrame
            ``group``, ``days``, ``n_customers``, ``silent_share``, ``silent_share_low``, ``silent_share_high``, by
            group and days.
        """
        names, codes = np.unique(groups[groups.notna()].to_numpy(dtype=str), return_inverse=True)
        frame = frame[groups.notna().to_numpy()]
        n_steps, n_terms = len(self.edges), len(self.coefficients)
        total, square = np.zeros((len(names), n_steps)), np.zeros((len(names), n_steps))
        slope = np.zeros((len(names), n_steps, n_terms))
        start = 0
        for part in _blocks(frame):
            who = codes[start : start + len(part)]
            start += len(part)
            curve, gradient = self._survival(part, None if anchor is None else anchor.loc[part.index])
            np.add.at(total, who, curve)
            np.add.at(square, who, curve**2)
            np.add.at(slope, who, gradient)
        counts = np.bincount(codes, minlength=len(names))
        share, slope = total / counts[:, None], slope / counts[:, None, None]
        low, high = self._around(share, slope, (total - square) / counts[:, None] ** 2, level)
        return pd.DataFrame(
            {
                "group": np.repeat(names, n_steps),
                "days": np.tile(np.array(self.edges), len(names)),
                "n_customers": np.repeat(counts, n_steps),
                "silent_share": share.ravel(),
                "silent_share_low": low.ravel(),
                "silent_share_high": high.ravel(),
            }
        )

    def facts(self) -> dict[str, Any]:
        """Return everything but the estimator as plain values that JSON can hold."""
        lists = {name: list(getattr(self, name)) for name in ("names", "edges", "ends")}
        arrays = {name: getattr(self, name).tolist() for name in ("coefficients", "covariance")}
        return {name: value for name, value in vars(self).items() if name != "estimator"} | lists | arrays

    @classmethod
    def restore(cls, estimator: Pipeline, facts: Mapping[str, Any]) -> "HazardModel":
        """Return the model again from its estimator and its facts."""
        arrays = {name: np.asarray(facts[name], dtype=np.float64) for name in ("coefficients", "covariance")}
        low, high = facts["ends"]
        tuples = {"names": tuple(facts["names"]), "edges": tuple(facts["edges"]), "ends": (low, high)}
        return cls(estimator=estimator, **{**facts, **arrays, **tuples})

    def _survival(self, frame: pd.DataFrame, anchor: "pd.Series[float] | None") -> tuple[FloatArray, FloatArray]:
        """Return the curves (rows x steps) and their slopes in the terms of the calibration."""
        X = design(frame, self.names)
        gone, log_curve = np.zeros((len(X), len(self.coefficients))), np.zeros(len(X))
        curves, slopes = [], []
        for step in range(len(self.edges)):
            said = self.estimator.decision_function(stepped(X, self.edges, step))
            terms = self._terms(said, np.full(len(X), step))
            log_odds = terms @ self.coefficients
            log_curve, gone = log_curve - np.logaddexp(0, log_odds), gone - expit(log_odds)[:, None] * terms
            curves.append(log_curve)
            slopes.append(gone)
        logs, gradient = np.column_stack(curves), np.stack(slopes, axis=1)
        if anchor is not None:
            at = np.minimum(logs[:, self.edges.index(self.horizon_days)], -_LEAST)
            known = np.clip(anchor.to_numpy(dtype="float64"), _LEAST, 1 - _LEAST)
            power = (np.log(known) / at)[:, None]
            logs, gradient = logs * power, gradient * power[:, :, None]
        curve = np.exp(logs)
        return curve, gradient * curve[:, :, None]

    def _terms(self, said: FloatArray, step: npt.NDArray[np.int64]) -> FloatArray:
        z = (np.clip(said, *self.ends) - self.centre) / self.scale
        u = np.log1p(np.asarray(self.edges, dtype=np.float64))[step] - np.log1p(self.horizon_days)
        return np.column_stack([np.ones_like(z), z, z**2, u, z * u])

    def _around(
        self, share: FloatArray, slope: FloatArray, chance: FloatArray, level: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return the ends of the interval, on the scale log(-log) that keeps a curve between 0 and 1."""
        share = np.clip(share, _LEAST, 1 - _LEAST)
        variance = chance + _NOISE_COUNTS * np.einsum("gsi,ij,gsj->gs", slope, self.covariance, slope)
        sampling = stats.norm.ppf((1 + level) / 2) ** 2 * variance
        shift = stats.t.ppf((1 + level) / 2, max(1, self.n_dates - 2)) ** 2 * self.shift_sd**2 * (1 + 1 / self.n_dates)
        half = np.sqrt(sampling + shift * slope[:, :, 0] ** 2) / np.abs(share * np.log(share))
        scale = np.log(-np.log(share))
        return np.exp(-np.exp(scale + half)), np.exp(-np.exp(scale - half))


def fit(train: pd.DataFrame, names: Sequence[str] = NAMES, *, horizon_days: int, n_horizons: int = 3) -> HazardModel:
    """Train the hazard on customers followed from several dates.

    Parameters
    ----------
    train
        Rows of eligible customers at several dates: ``customer_id``, ``as_of``, the features, ``event_days`` (whole
        days from ``as_of`` to the event, 0 on the first day; null where none was seen) and ``observed_days`` (whole
        days for which the customer was watched).
    names
        The features; those in ``GROWING`` grow with the steps.
    horizon_days
        Length of the label window of the churn model.
    n_horizons
        How many horizons the curve is to span; it ends sooner where history does not reach so far.

    Returns
    -------
    HazardModel
        Calibrated on folds that had not seen the customer.

    Raises
    ------
    TrainingError
        If no event or nothing but events was seen, or the watched time is shorter than a horizon.

    Notes
    -----
    Of more than 50,000 customers every n-th by id is taken: more would sharpen no curve that anybody can see.
    """
    train = _thinned(train).sort_values(["customer_id", "as_of"], kind="stable", ignore_index=True)
    edges = watched_edges(train, step_edges(horizon_days, n_horizons), horizon_days)
    X = design(train, names)
    X = X[usable_features(X, customer_folds(train))]
    rows, matrix, y = person_periods(train, X, edges)
    if len(np.unique(y)) < 2:
        raise TrainingError("no event was seen, or nothing else", "both", "choose a longer history")
    folds = customer_folds(rows)
    said = cross_val_predict(_estimator(matrix.shape[1]), matrix, y, cv=folds, method="decision_function")
    low, high = (float(end) for end in np.quantile(said, (0.001, 0.999)))
    model = HazardModel(
        estimator=_estimator(matrix.shape[1]).fit(matrix, y),
        names=tuple(X.columns),
        edges=edges,
        horizon_days=horizon_days,
        centre=float(said.mean()),
        scale=float(said.std()) or 1.0,
        ends=(low, high),
        coefficients=np.zeros(5),
        covariance=np.zeros((5, 5)),
        shift_sd=0.0,
        n_dates=int(train["as_of"].nunique()),
    )
    return _calibrated(model, said, y, rows)


def _calibrated(model: HazardModel, said: FloatArray, y: npt.NDArray[np.int64], rows: pd.DataFrame) -> HazardModel:
    terms = model._terms(said, rows["step"].to_numpy())
    curve = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8, fit_intercept=False).fit(terms, y)
    p = curve.predict_proba(terms)[:, 1]
    found: dict[str, Any] = {
        "coefficients": curve.coef_[0],
        "covariance": clustered_covariance(terms, y, p, rows["customer_id"]),
        "shift_sd": shift_between_dates(y, p, rows["as_of"]),
    }
    return HazardModel(**{**vars(model), **found})


def _estimator(n_columns: int) -> Pipeline:
    """Return squares and products of everything on a log-like scale, and a level for each step."""
    shape = [
        ("fill", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)),
        ("unit", StandardScaler(with_mean=False)),
        ("log", FunctionTransformer(np.arcsinh)),
        ("centre", StandardScaler()),
        ("products", PolynomialFeatures(2, include_bias=False)),
        ("scale", StandardScaler()),
    ]
    parts = [
        ("features", Pipeline(shape), list(range(n_columns - 1))),
        ("step", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), [n_columns - 1]),
    ]
    return Pipeline([("columns", ColumnTransformer(parts)), ("line", LogisticRegression(C=0.1, max_iter=2000))])


def _thinned(train: pd.DataFrame) -> pd.DataFrame:
    ids = np.unique(train["customer_id"].to_numpy())
    every = -(-len(ids) // _MOST_CUSTOMERS)
    return train if every == 1 else train[train["customer_id"].isin(ids[::every])]


def _blocks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield a frame in parts, because a million customers times all products of features would fill the memory."""
    for start in range(0, len(frame), _AT_ONCE):
        yield frame.iloc[start : start + _AT_ONCE]
