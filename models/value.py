"""Value: the net spend to expect of a customer within a horizon, given that he stays and at all, with an interval.

Net means after returns, and may be below zero. Trailing spend, three buy-till-you-die models, a boosting in two parts
and a blend compete on cut-offs earlier than the one that judges; each must beat the simpler ones beyond chance. All
aim at the mean, so that sums over customers are right; where a year of history shows the season, the level follows it.
Intervals are split-conformal, calibrated on the latest labelled date.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import StackingClassifier

from models.evaluation import paired_difference, point
from models.folds import customer_folds, usable_features
from models.inputs import INPUTS
from models.spec import FloatArray, ModelSpec, design
from models.value_candidates import (
    BASELINE,
    LOSS,
    TRAILING_DAYS,
    Backtest,
    all_say,
    backtest,
    blended,
    rows_at,
    rows_by_date,
    stretched,
)
from models.value_history import COLUMNS, Expectation, Histories
from models.value_interval import LEVEL as INTERVAL_LEVEL
from models.value_interval import RootBand, fit_band, root_interval
from models.value_parts import Outcome, Parts, Said, fit_parts
from models.value_season import Levels, Season

__all__ = ["INTERVAL_LEVEL", "SPEC", "TRAILING_DAYS", "ValueModel", "fit", "root_interval", "staying"]

SPEC = ModelSpec(
    name="value",
    label="spend_cents",
    baseline=BASELINE,
    metrics=("root_squared_error", "absolute_error", "total_bias_share"),
    # Values are added up, so the mean is wanted; absolute error would reward the median, which is too low.
    gate_metric="root_squared_error",
    features=tuple(sorted({*INPUTS, *COLUMNS})),
)
SIMPLEST_FIRST = ("trailing", "pareto_nbd", "mbg_nbd", "bg_nbd", "two_part", "blend")
"""Candidates in the order in which one must beat those before it. Of the three models of histories that one comes first
in which anybody may leave at any time, and that one last in which nobody leaves after a first purchase."""
AHEAD = "purchases_ahead"
"""Optional label: purchase days within the window."""


@dataclass(frozen=True, eq=False)
class ValueModel:
    """Hold a trained value model.

    Parameters
    ----------
    chosen
        One of ``SIMPLEST_FIRST``, by what it did on earlier cut-offs.
    estimator
        The two parts as one object of scikit-learn classes; null for ``trailing``.
    names
        Features in order; those that were null for everybody in training are left out.
    horizon_days
        Length of the label window.
    parts
        The numbers of the two parts; null without an estimator.
    histories
        Buy-till-you-die models; null where the features do not tell purchases, or too few customers bought again.
    history
        The one that did best; empty without them.
    if_staying, unconditional
        Conformal bands around the spend of one who stays, and around the net spend of anyone.
    levels
        Totals at the dates of training, for the season.
    level
        Nominal coverage of the bands.
    backtested
        Loss, absolute error in cents and share by which the total is missed, by candidate.
    is_later
        Whether the backtest was on later dates, and not on other customers of one date.
    bands
        Bands of other horizons, by days.
    """

    chosen: str
    estimator: StackingClassifier | None
    names: tuple[str, ...]
    horizon_days: int
    parts: Parts | None
    histories: Histories | None
    history: str
    if_staying: RootBand
    unconditional: RootBand
    levels: Levels
    level: float
    backtested: Mapping[str, Mapping[str, float]]
    is_later: bool
    bands: Mapping[int, RootBand] = field(default_factory=dict)

    def expected_cents(self, frame: pd.DataFrame) -> FloatArray:
        """Return the expected net spend in cents, given that the customer stays."""
        return _say(self, frame).if_buying * self._season(frame)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return expected spend, given that the customer stays, and interval for every row of a frame.

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
        low, high = self.if_staying.around(expected)
        columns = {"": expected, "_low": low, "_high": high}
        return pd.DataFrame({f"expected_spend{end}_cents": cents for end, cents in columns.items()}, index=frame.index)

    def forecast(self, frame: pd.DataFrame, horizons: Sequence[int] | None = None) -> pd.DataFrame:
        """Return what to expect of every row, whether he stays or not, for all horizons in one pass.

        Parameters
        ----------
        frame
            Frame with the features, one customer a row.
        horizons
            Days; null for the horizon of the labels. Other horizons follow from it as the best history model says, or
            in proportion to their length without one.

        Returns
        -------
        pandas.DataFrame
            For each horizon of H days ``p_purchase_{H}d``, ``n_purchases_{H}d`` (null where nothing tells purchases),
            ``net_spend_{H}d_cents`` and its ``_low`` and ``_high``; no interval, so null, for a horizon that no
            labelled rows have calibrated.
        """
        base, season = _say(self, frame), self._season(frame)
        found: dict[str, FloatArray] = {}
        for days in [self.horizon_days] if horizons is None else horizons:
            ratio = days / self.horizon_days
            longer = stretched(base, _expected(self, frame, self.horizon_days), _expected(self, frame, days), ratio)
            net = longer.net * season
            band = self.unconditional if days == self.horizon_days else self.bands.get(days)
            low, high = (np.full(len(frame), np.nan),) * 2 if band is None else band.around(net)
            found |= {f"p_purchase_{days}d": longer.probability, f"n_purchases_{days}d": longer.purchases}
            cents = {"": net, "_low": low, "_high": high}
            found |= {f"net_spend_{days}d{end}_cents": amount for end, amount in cents.items()}
        return pd.DataFrame(found, index=frame.index)

    def season(self, as_of: Any) -> Season:
        """Return how expectations made at a date are corrected for the season, and why."""
        return self.levels.at(as_of)

    def conformalise(self, labelled: pd.DataFrame) -> "ValueModel":
        """Return the model with its intervals calibrated on labelled rows that it was not trained on.

        Parameters
        ----------
        labelled
            Rows of the latest date whose label window is over, with ``has_churned`` and ``spend_cents``.

        Returns
        -------
        ValueModel
            The same predictions with other intervals.
        """
        truth, stays = _net(labelled), (labelled["has_churned"] == 0).to_numpy()
        said, season = _say(self, labelled), self._season(labelled)
        return replace(
            self,
            if_staying=fit_band(truth[stays], (said.if_buying * season)[stays], self.level),
            unconditional=fit_band(truth, said.net * season, self.level),
        )

    def calibrated_for(self, labelled: pd.DataFrame, days: int, label: str) -> "ValueModel":
        """Return the model with an interval for another horizon, from labelled rows of that horizon.

        Parameters
        ----------
        labelled
            Rows that trained nothing, with the true net cents in the column ``label``.
        days
            The horizon.
        label
            Column of the truth.
        """
        net = self.forecast(labelled, [days])[f"net_spend_{days}d_cents"].to_numpy()
        return replace(self, bands={**self.bands, days: fit_band(design(labelled, [label])[label].to_numpy(), net)})

    def refreshed(self, frame: pd.DataFrame) -> "ValueModel":
        """Return the model with its histories fitted again to the customers of a later date; no label is looked at."""
        if self.histories is None or not Histories.can_fit(frame, COLUMNS):
            return self
        return replace(self, histories=Histories.fit(frame))

    def _season(self, frame: pd.DataFrame) -> FloatArray:
        """Return the factor of each row's date."""
        if "as_of" not in frame or self.chosen == "trailing":
            return np.ones(len(frame))
        factors = {date: self.levels.at(date).factor for date in frame["as_of"].unique()}
        return frame["as_of"].map(factors).to_numpy(dtype=np.float64)

    def facts(self) -> dict[str, Any]:
        """Return everything but the estimator as plain values that JSON can hold."""
        plain = ("chosen", "horizon_days", "history", "level", "is_later")
        return {name: getattr(self, name) for name in plain} | {
            "names": list(self.names),
            "parts": None if self.parts is None else asdict(self.parts),
            "histories": None if self.histories is None else self.histories.facts(),
            "if_staying": self.if_staying.facts(),
            "unconditional": self.unconditional.facts(),
            "levels": self.levels.facts(),
            "backtested": {name: dict(found) for name, found in self.backtested.items()},
            "bands": {str(days): band.facts() for days, band in self.bands.items()},
        }

    @classmethod
    def restore(cls, estimator: StackingClassifier | None, facts: Mapping[str, Any]) -> "ValueModel":
        """Return the model again from its estimator and its facts."""
        told = dict(facts)
        told["names"] = tuple(told["names"])
        told["parts"] = None if told["parts"] is None else Parts(**told["parts"])
        told["histories"] = None if told["histories"] is None else Histories.restore(told["histories"])
        told |= {name: RootBand.restore(told[name]) for name in ("if_staying", "unconditional")}
        told["levels"] = Levels.restore(told["levels"])
        told["bands"] = {int(days): RootBand.restore(band) for days, band in told["bands"].items()}
        return cls(estimator=estimator, **told)


def staying(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of customers who bought within the label window."""
    return frame.loc[frame["has_churned"] == 0]


def fit(
    train: pd.DataFrame,
    names: Sequence[str],
    *,
    horizon_days: int,
    seed: int,
    everyone: pd.DataFrame | None = None,
) -> ValueModel:
    """Train the candidates, and keep the simplest that none beats beyond chance on earlier cut-offs.

    Parameters
    ----------
    train
        Rows of eligible customers at several dates: ``customer_id``, ``as_of``, the features, ``has_churned`` and
        ``spend_cents`` of the label window, and ``purchases_ahead`` where known.
    names
        The features.
    horizon_days
        Length of the label window.
    seed
        Seed of the boosting and of the comparison.
    everyone
        Rows of all customers at the same dates, gone ones too, for the history models, which take no label; null for
        the training rows. Rows of those who left lately tell how customers leave.

    Returns
    -------
    ValueModel
        Its intervals come from the latest training date, predicted by models that had not seen it, or on folds of
        customers where there is one date only.

    Raises
    ------
    TrainingError
        If a feature is missing or infinite.

    Notes
    -----
    Where nobody spent anything in a label window, as in lines without money, there is nothing to learn, and last
    quarter's spend is the model.
    """
    train = train.sort_values(["customer_id", "as_of"], kind="stable", ignore_index=True)
    outcome = _outcome(train)
    X = design(train, names)
    if not (outcome.net[outcome.bought > 0] > 0).any():
        return _simple(names, horizon_days)
    names = tuple(usable_features(X, customer_folds(train)))
    models = _histories_by_date(train if everyone is None else everyone, train["as_of"].unique(), names)
    rows = rows_by_date(train, names, horizon_days, models)
    tested = backtest(train, rows, outcome, horizon_days, seed)
    chosen = _choice(train, outcome, tested, seed)
    estimator, parts = None, None
    if chosen != "trailing":
        estimator, parts = fit_parts(rows.X, outcome, rows.exposure, rows.often, seed=seed)
    truth = outcome.rows(tested.which)
    latest = train["as_of"].to_numpy()[tested.which]
    is_latest, stays, said = latest == latest.max(), truth.bought > 0, tested.said[chosen]
    both = is_latest & stays
    return ValueModel(
        chosen=chosen,
        estimator=estimator,
        names=names,
        horizon_days=horizon_days,
        parts=parts,
        histories=models[max(models)] if models else None,
        history=tested.history,
        if_staying=fit_band(truth.net[both], said.if_buying[both]),
        unconditional=fit_band(truth.net[is_latest], said.net[is_latest]),
        levels=Levels.of(train["as_of"], outcome.net, rows.trailing),
        level=INTERVAL_LEVEL,
        backtested=_measured(truth, tested),
        is_later=tested.is_later,
    )


def _histories_by_date(frame: pd.DataFrame, dates: Any, names: Sequence[str]) -> dict[Any, Histories]:
    """Return the history models of every date, or none at all where one date cannot have them."""
    parts = {date: frame[frame["as_of"] == date] for date in sorted(dates)}
    if not all(Histories.can_fit(part, names) for part in parts.values()):
        return {}
    return {date: Histories.fit(part) for date, part in parts.items()}


def _simple(names: Sequence[str], horizon_days: int) -> ValueModel:
    """Return the simple rule, with intervals that have no ends until labelled rows give them some."""
    unknown = fit_band(np.empty(0), np.empty(0))
    return ValueModel(
        chosen="trailing",
        estimator=None,
        names=tuple(names),
        horizon_days=horizon_days,
        parts=None,
        histories=None,
        history="",
        if_staying=unknown,
        unconditional=unknown,
        levels=Levels((), ()),
        level=INTERVAL_LEVEL,
        backtested={},
        is_later=False,
    )


def _choice(train: pd.DataFrame, outcome: Outcome, tested: Backtest, seed: int) -> str:
    """Return the simplest candidate that none beats beyond chance, in the order of ``SIMPLEST_FIRST``."""
    net, groups = outcome.net[tested.which], train["customer_id"].to_numpy()[tested.which]
    chosen = "trailing"
    for name in (name for name in SIMPLEST_FIRST if name in tested.said):
        gain = paired_difference(LOSS, net, tested.said[name].net, tested.said[chosen].net, groups=groups, seed=seed)
        chosen = name if gain.high < 0 else chosen
    return chosen


def _measured(truth: Outcome, tested: Backtest) -> dict[str, dict[str, float]]:
    measures = {"loss": LOSS, "absolute_error": "absolute_error", "total_bias_share": "total_bias_share"}
    return {
        name: {told: point(metric, truth.net, said.net) for told, metric in measures.items()}
        for name, said in tested.said.items()
    }


def _say(model: ValueModel, frame: pd.DataFrame) -> Said:
    """Return what the chosen candidate says of every row, before any season."""
    rows = rows_at(frame, model.names, model.horizon_days, model.histories)
    if not len(frame):
        return Said(*(np.empty(0) for _ in range(4)))
    if model.chosen in {"two_part", "blend"}:
        said = all_say(rows, model.estimator, model.parts)
        return blended(said, model.history) if model.chosen == "blend" else said["two_part"]
    return all_say(rows, None, None)[model.chosen]


def _expected(model: ValueModel, frame: pd.DataFrame, days: int) -> Expectation | None:
    return None if model.histories is None else model.histories.expected(frame, model.history, days)


def _outcome(frame: pd.DataFrame) -> Outcome:
    bought: Any = design(frame, ["has_churned"])["has_churned"].eq(0).to_numpy(dtype=np.float64)
    purchases: Any = design(frame, [AHEAD])[AHEAD].to_numpy() if AHEAD in frame else bought
    return Outcome(bought, purchases, _net(frame))


def _net(frame: pd.DataFrame) -> FloatArray:
    """Return the label in cents, net of returns: below zero where these outweigh the purchases."""
    return design(frame, (SPEC.label,))[SPEC.label].to_numpy()
