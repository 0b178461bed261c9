"""The candidates for value: what each says of every row, and how they did on earlier cut-offs.

``trailing`` spend, three buy-till-you-die models, the two parts, and their mean with the first of the three that did
best. Histories are fitted at each date by the customers known then; labels of a date train only what is judged at least
a horizon later.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.baselines import trailing_value
from models.evaluation import point
from models.folds import customer_folds
from models.spec import FloatArray, design
from models.value_history import KINDS, Expectation, Histories
from models.value_parts import Outcome, Parts, Said, exposed, fit_parts, say

TRAILING_DAYS = 84
BASELINE = "spend_84d_cents"
BASE = "pareto_nbd"
"""The history whose expectations are features and exposure: of the three it is the one that fits most worlds."""
LOSS = "amount_deviance"
GROWING = frozenset(
    {"active_span_days", "first_seen_days", "n_orders", "n_purchase_days", "n_stores_364d", "spend_total_cents"}
    | {"tenure_days"}
)
"""Features that grow with the length of the history: from short histories trees learn nothing that holds for long ones.

So do counts and sums over half a year and more. The history models read them, with their time, and say what they mean;
without these models the trees get them too."""
_LONG = ("_182d", "_364d", "_182d_cents", "_364d_cents")
_MOST_CUTS = 3


@dataclass(frozen=True, eq=False)
class Rows:
    """Hold rows with everything that candidates read of them.

    Parameters
    ----------
    X
        Features of the boostings.
    trailing
        Trailing spend in cents, scaled to the horizon.
    histories
        What each history model expects; empty without such models.
    """

    X: pd.DataFrame
    trailing: FloatArray
    histories: Mapping[str, Expectation]

    @property
    def exposure(self) -> FloatArray:
        """Cents expected of one who buys, above zero."""
        if self.histories:
            return exposed(self.histories[BASE].spend_if_buying)
        return np.ones(len(self.X))

    @property
    def often(self) -> FloatArray:
        """Purchase days expected, above zero."""
        return exposed(self.histories[BASE].purchases) if self.histories else np.ones(len(self.X))


def rows_at(frame: pd.DataFrame, names: Sequence[str], horizon_days: int, models: Histories | None) -> Rows:
    """Return rows as history models see them.

    Parameters
    ----------
    frame
        Features, one customer and date a row.
    names
        Features of the boostings.
    horizon_days
        Length of the window.
    models
        Fitted histories, or null.
    """
    X = design(frame, names)
    trailing = trailing_value(frame, BASELINE, TRAILING_DAYS, horizon_days)
    said = {kind: models.expected(frame, kind, horizon_days) for kind in KINDS} if models and len(frame) else {}
    return Rows(_with_expectations(X, said), trailing, said)


def rows_by_date(frame: pd.DataFrame, names: Sequence[str], horizon_days: int, models: Mapping[Any, Histories]) -> Rows:
    """Return rows of several dates, each as the histories of its own date see it; order as in the frame."""
    if not models:
        return rows_at(frame, names, horizon_days, None)
    parts = {date: rows_at(part, names, horizon_days, models[date]) for date, part in frame.groupby("as_of")}
    index = np.concatenate([np.flatnonzero((frame["as_of"] == date).to_numpy()) for date in parts])
    order = np.argsort(index, kind="stable")
    told = {
        kind: Expectation(
            *(
                np.concatenate([getattr(part.histories[kind], name) for part in parts.values()])[order]
                for name in ("purchases", "silence", "amount")
            )
        )
        for kind in KINDS
    }
    X = pd.concat([part.X for part in parts.values()]).iloc[order]
    return Rows(X, np.concatenate([part.trailing for part in parts.values()])[order], told)


def part_of(rows: Rows, which: npt.NDArray[np.intp]) -> Rows:
    """Return some of the rows."""
    told = {
        kind: Expectation(one.purchases[which], one.silence[which], one.amount[which])
        for kind, one in rows.histories.items()
    }
    return Rows(rows.X.iloc[which], rows.trailing[which], told)


def all_say(rows: Rows, estimator: Any, parts: Parts | None) -> dict[str, Said]:
    """Return what every single candidate says of rows; the two parts only where they are given."""
    certain = np.ones(len(rows.trailing))
    said = {"trailing": Said(certain, rows.trailing, rows.trailing, np.full(len(certain), np.nan))}
    for kind, one in rows.histories.items():
        said[kind] = Said(1 - one.silence, one.spend_if_buying, one.spend, one.purchases)
    if estimator is not None and parts is not None:
        said["two_part"] = say(estimator, parts, rows.X, rows.exposure, rows.often)
    return said


def blended(said: Mapping[str, Said], kind: str) -> Said:
    """Return the mean of the two parts and a history model."""
    one, other = said["two_part"], said[kind]
    names = ("probability", "if_buying", "net", "purchases")
    return Said(*((getattr(one, name) + getattr(other, name)) / 2 for name in names))


def stretched(base: Said, here: Expectation | None, there: Expectation | None, ratio: float) -> Said:
    """Return what is said of one horizon for another one.

    Parameters
    ----------
    base
        What is said of the horizon that was learned.
    here, there
        What a history model expects within that horizon and within the other; null without such a model.
    ratio
        Length of the other horizon by that of the one learned: what holds without a history model.
    """
    if ratio == 1:
        return base
    longer = more = np.full(len(base.net), ratio)
    if here is not None and there is not None:
        more = _over(there.purchases, here.purchases, more)
        longer = _over(_log(there.silence), _log(here.silence), longer)
    probability = 1 - np.maximum(1 - base.probability, 0.0) ** longer
    if_buying = base.if_buying * more * _over(base.probability, probability, np.ones(len(base.net)))
    return Said(probability, if_buying, base.net * more, base.purchases * more)


def _over(above: FloatArray, below: FloatArray, otherwise: FloatArray) -> FloatArray:
    return np.divide(above, below, out=otherwise.copy(), where=below != 0)


def _grows(name: str) -> bool:
    return name in GROWING or (name.endswith(_LONG) and "trend" not in name)


def _log(share: FloatArray) -> FloatArray:
    return np.log(np.maximum(share, 1e-12))


@dataclass(frozen=True, eq=False)
class Backtest:
    """Hold what candidates said of rows that had not trained them.

    Parameters
    ----------
    which
        Numbers of the rows.
    said
        By candidate, in the order of ``which``.
    is_later
        Whether every row is later than what trained; else the folds are customers of one date.
    history
        The history model that did best; empty without one.
    """

    which: npt.NDArray[np.intp]
    said: Mapping[str, Said]
    is_later: bool
    history: str


def backtest(frame: pd.DataFrame, rows: Rows, outcome: Outcome, horizon_days: int, seed: int) -> Backtest:
    """Judge the candidates on earlier cut-offs, or on folds of customers where there is one date only.

    Parameters
    ----------
    frame
        ``customer_id`` and ``as_of`` of the rows.
    rows, outcome
        Rows and what happened.
    horizon_days
        Length of the window: labels that end after a cut-off are not known there.
    seed
        Seed of the boostings.
    """
    splits = list(_earlier(frame["as_of"], horizon_days))
    is_later = bool(splits)
    if not splits:
        splits = [(train, test) for train, test in customer_folds(frame)]
    found = []
    for train, test in splits:
        past, happened = part_of(rows, train), outcome.rows(train)
        estimator, parts = None, None
        if (happened.net[happened.bought > 0] > 0).any():
            # What is judged is money; how often customers buy is learned once, by the one that serves.
            estimator, parts = fit_parts(past.X, happened, past.exposure, None, seed=seed)
        found.append(all_say(part_of(rows, test), estimator, parts))
    which = np.concatenate([test for _, test in splits])
    shared = [name for name in found[0] if all(name in one for one in found)]
    said = {name: _joined([one[name] for one in found]) for name in shared}
    history = ""
    if rows.histories:
        history = min(KINDS, key=lambda kind: point(LOSS, outcome.net[which], said[kind].net))
        if "two_part" in said:
            said["blend"] = blended(said, history)
    return Backtest(which, said, is_later, history)


def _earlier(
    as_ofs: "pd.Series[Any]", horizon_days: int
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield rows whose windows had ended and rows of the cut-off, for the last few cut-offs."""
    dates = sorted(as_ofs.unique())
    length: Any = pd.Timedelta(days=horizon_days) if pd.api.types.is_datetime64_any_dtype(as_ofs) else 1
    # A window that is over within a day of the cut-off: clocks change.
    slack: Any = pd.Timedelta(days=1) if length != 1 else 0
    for date in dates[-_MOST_CUTS:]:
        known = np.flatnonzero((as_ofs + length <= date + slack).to_numpy())
        if len(known):
            yield known, np.flatnonzero((as_ofs == date).to_numpy())


def _joined(parts: Sequence[Said]) -> Said:
    names = ("probability", "if_buying", "net", "purchases")
    return Said(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _with_expectations(X: pd.DataFrame, said: Mapping[str, Expectation]) -> pd.DataFrame:
    """Return the features of the trees: without what grows with the history, where a model says what it means."""
    if not said:
        return X
    one = said[BASE]
    extra = {"expected_purchases": one.purchases, "expected_silence": one.silence, "expected_amount": one.amount}
    kept = [name for name in X.columns if not _grows(name)]
    return X[kept].assign(**extra, expected_spend=one.spend)
