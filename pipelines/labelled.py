"""Labelled: a flat file that says itself who left, without purchases: trained, judged by lot, and scored with reasons.

Such a file has no dates, so nothing can be judged on later ones: customers drawn by lot judge instead, which is kinder
than time is. A model that is not better than the best single column says nothing.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from data.contracts import CONTRACTS
from data.contracts.base import Delivery
from data.engine import connect
from data.errors import ConfigError
from data.quarantine import admit
from data.sources import FilesSource
from models import churn, gate
from models.churn_reasons import effects, reasons
from models.churn_table import LabelledTable, read_labelled
from models.evaluation import calibration_curve, evaluate, table
from models.global_effects import global_effects
from models.holdout import assign
from models.screening import single_column_auc
from pipelines.settings import Settings

LABEL = churn.SPEC.label
JUDGED_SHARE = 0.3
_SALT = "labelled"
_GROUPS = 20
_PRIOR_ROWS = 5.0
TONIGHT, BASELINE = "candidate chosen", "best single column"


@dataclass(frozen=True, eq=False)
class Labelled:
    """What a labelled file says of who leaves.

    Parameters
    ----------
    company
        Whose file it is.
    n_quarantined
        Rows that were set aside.
    n_trained, n_judged, n_unlabelled
        Customers by what they were used for.
    left_out
        Columns that were not learned from, and why.
    chosen
        Name of the candidate.
    best_column
        The column that alone ranks the training customers best.
    decision
        The gate's, against that column, with its reason.
    metrics
        ``model``, ``metric``, ``value``, ``low``, ``high``: on the judged customers.
    calibration
        ``predicted``, ``observed``, ``low``, ``high``, ``n``.
    moved
        What moves the risk on the whole, as in ``models.global_effects``.
    scores
        ``customer_id``, probability with interval, ``reasons``, ``is_judged``, and the label where it is known; without
        a row where the model was refused.
    """

    company: str
    n_quarantined: int
    n_trained: int
    n_judged: int
    n_unlabelled: int
    left_out: Mapping[str, str]
    chosen: str
    best_column: str
    decision: gate.Decision
    metrics: pd.DataFrame
    calibration: pd.DataFrame
    moved: pd.DataFrame
    scores: pd.DataFrame

    def facts(self) -> dict[str, Any]:
        """Return everything but the scores as plain values."""
        frames = {name: getattr(self, name).to_dict("records") for name in ("metrics", "calibration", "moved")}
        named = ("company", "n_quarantined", "n_trained", "n_judged", "n_unlabelled", "chosen", "best_column")
        told = {name: getattr(self, name) for name in named}
        return told | {"left_out": dict(self.left_out), "decision": asdict(self.decision)} | frames


def labelled(settings: Settings, received_at: datetime) -> Labelled:
    """Train on the customers of a configuration who have a label, judge on others by lot, and score everybody.

    Parameters
    ----------
    settings
        Names ``[sources.customers]`` with a ``label``, and the other columns as attributes and numbers.
    received_at
        Instant (naive UTC) after which nothing in the file can have happened.

    Raises
    ------
    ConfigError
        There is no such source, or no label in it.
    TrainingError
        The labels cannot train: one kind only, or no column to learn from.
    """
    raw, n_quarantined = _customers(settings, received_at)
    known = raw[raw[LABEL].notna()].reset_index(drop=True)
    if known.empty:
        raise ConfigError(
            "no customer with a label", "a column that says who left", "name it as label in [sources.customers]"
        )
    read = read_labelled(known.astype({LABEL: "int64"}), LABEL, "customer_id")
    lots = assign(read.frame["customer_id"], _SALT, {"judged": JUDGED_SHARE, "training": 1 - JUDGED_SHARE})
    is_judged = (lots == "judged").to_numpy()
    train, judged = read.frame[~is_judged], read.frame[is_judged].reset_index(drop=True)
    model = churn.fit(train, read.names, seed=settings.seed, categories=read.categories)
    best, simple = _single(read, train, judged)
    said = {TONIGHT: model.predict(judged)["churn_probability"].to_numpy(), BASELINE: simple}
    y, groups = judged[LABEL], judged["customer_id"]
    decision = gate.decide(
        churn.SPEC.gate_metric, y, candidate=said[TONIGHT], baseline=simple, groups=groups, seed=settings.seed
    )
    measured = [
        table(evaluate(y, p, groups, seed=settings.seed, metrics=churn.SPEC.metrics)).assign(model=name)
        for name, p in said.items()
    ]
    found = effects(model.log_odds, judged, model.theme_of, train, read.categories)
    names = {"predicted_share": "predicted", "observed_share": "observed", "n_customers": "n"}
    names |= {"observed_share_low": "low", "observed_share_high": "high"}
    judges = set(judged["customer_id"])
    return Labelled(
        company=settings.company.name,
        n_quarantined=n_quarantined,
        n_trained=len(train),
        n_judged=len(judged),
        n_unlabelled=len(raw) - len(known),
        left_out=read.left_out,
        chosen=model.chosen,
        best_column=best,
        decision=decision,
        metrics=pd.concat(measured, ignore_index=True)[["model", "metric", "value", "low", "high"]],
        calibration=calibration_curve(y, said[TONIGHT]).rename(columns=names),
        moved=global_effects(found, seed=settings.seed),
        scores=_scored(model, read, raw if decision.decision == "promoted" else raw.iloc[:0], train, judges),
    )


def _customers(settings: Settings, received_at: datetime) -> tuple[pd.DataFrame, int]:
    """Return the accepted customers by id, and how many rows were set aside."""
    if settings.sources is None or settings.sources.customers is None:
        raise ConfigError(
            "no [sources.customers]", "a file of customers with a label", "write one with `regulars init`"
        )
    alone = settings.sources.model_copy(update=dict.fromkeys(set(settings.sources.tables) - {"customers"}))
    with TemporaryDirectory(prefix="regulars") as folder:
        backend = connect(settings.engine.threads, settings.engine.memory_limit, Path(folder) / "spill")
        with closing(backend.con) as connection:
            loaded = FilesSource(alone, settings.folder, settings.company.timezone).load(connection)
            delivery = Delivery(
                received_at,
                timezone=settings.company.timezone,
                currencies=(settings.company.currency,),
                reject_limit=settings.limits.rejected_share,
            )
            one = admit(connection, CONTRACTS["customers"], loaded["customers"].table, delivery)
            raw: pd.DataFrame = connection.execute("SELECT * FROM customers_accepted ORDER BY customer_id").df()
    # Columns of the contract that the file does not have hold nothing.
    raw = raw[[name for name in raw if name == LABEL or raw[name].notna().any()]]
    if LABEL not in raw:
        raise ConfigError(
            "customers without a label", "a column that says who left", "name it as label in [sources.customers]"
        )
    return raw, int(one.reconciliation.n_quarantined)


def _single(read: LabelledTable, train: pd.DataFrame, judged: pd.DataFrame) -> tuple[str, Any]:
    """Return the column that alone ranks the training customers best, and its probability for the judged ones."""
    has_left = train[LABEL].to_numpy(dtype=bool)
    powers = {name: single_column_auc(train[name], has_left) for name in read.names}
    best = max(read.names, key=lambda name: (powers[name], name))
    edges = train[best].quantile([place / _GROUPS for place in range(1, _GROUPS)]).unique()
    own, other = (part[best] if best in read.categories else _grouped(part[best], edges) for part in (train, judged))
    mean = float(has_left.mean())
    left = train[LABEL].groupby(own.fillna(-1)).agg(["sum", "size"])
    rates = (left["sum"] + _PRIOR_ROWS * mean) / (left["size"] + _PRIOR_ROWS)
    return best, other.fillna(-1).map(rates).fillna(mean).to_numpy()


def _grouped(column: "pd.Series[float]", edges: Any) -> "pd.Series[float]":
    found = pd.Series(pd.Series(edges).searchsorted(column.to_numpy()), index=column.index).astype("float64")
    return found.where(column.notna())


def _scored(
    model: churn.ChurnModel, read: LabelledTable, raw: pd.DataFrame, train: pd.DataFrame, judged: set[str]
) -> pd.DataFrame:
    """Return probability, interval and reasons of everybody, riskiest first."""
    columns = ["customer_id", *churn.PROBABILITIES, "reasons", LABEL, "is_judged"]
    if raw.empty:
        return pd.DataFrame(columns=columns)
    frame = read.encode(raw)
    found = effects(model.log_odds, frame, model.theme_of, train, read.categories)
    scores = model.predict(frame).assign(
        customer_id=raw["customer_id"].astype("str"), reasons=reasons(found, frame, dict[str, Any](read.phrases()))
    )
    scores[LABEL] = raw[LABEL].astype("boolean")
    scores["is_judged"] = scores["customer_id"].isin(judged)
    order = scores.sort_values(["churn_probability", "customer_id"], ascending=[False, True], ignore_index=True)
    return pd.DataFrame(order[columns])
