"""Score: the serving models say of every customer how likely they leave, what they are worth, and why.

Beside them, and read by nobody who decides, stands what candidates that were not promoted would have said.
"""

import json

import numpy as np
import pandas as pd
import pyarrow as pa

from models.churn import ChurnModel
from models.churn_reasons import effects, reasons
from models.global_effects import global_effects, no_effects
from models.lifecycle import Thresholds, lifecycle_state
from models.value import ValueModel
from pipelines.frames import to_table
from pipelines.phrases import PHRASES
from pipelines.registry import TABLE, Registered, champion, recorded
from pipelines.run import Run, Versions
from pipelines.settings import Churn
from pipelines.shadow import TABLES as SHADOW
from pipelines.shadow import shadow
from pipelines.tracking import Tracker
from pipelines.train import read_horizon, read_split

TABLES = ("scores", "model_effects", *SHADOW)
CENTS = ("expected_value_cents", "expected_value_low_cents", "expected_value_high_cents", "value_at_risk_cents")


def score(run: Run, versions: Versions, tracker: Tracker) -> dict[str, int]:
    """Score the customers as of tonight with the models that serve, and with the candidates that do not."""
    return run.stage("score", TABLES, lambda: _scored(run, versions, tracker))


def whole_cents(amounts: "pd.Series[float]") -> "pd.Series[int]":
    """Return amounts as whole cents; what has no bound, as an interval from too few customers, is null.

    Examples
    --------
    >>> whole_cents(pd.Series([12.6, float("inf"), float("nan")])).tolist()
    [13, <NA>, <NA>]
    """
    return amounts.where(np.isfinite(amounts)).round().astype("Int64")


def serving(run: Run, versions: Versions, tracker: Tracker, model: str) -> Registered | None:
    """Return the model that serves tonight: the candidate that was promoted, else the champion, else none."""
    known = run.frame(TABLE, versions, sliced=False).to_pylist()
    for decision in run.frame("model_decisions", versions).to_pylist():
        if decision["model"] == model and decision["decision"] == "promoted":
            return recorded(known, model, decision["candidate_version"])
    return champion(tracker, known, model)


def _scored(run: Run, versions: Versions, tracker: Tracker) -> dict[str, pa.Table]:
    frame = run.frame("observations", versions).to_pandas()
    scores = frame[["customer_id", "is_eligible"]].copy()
    risk, moved = _risk(serving(run, versions, tracker, "churn"), tracker, frame, run.settings.seed)
    scores = scores.join(risk).join(_worth(run, versions, tracker, frame))
    beside, agreed, others = shadow(run, versions, tracker, frame, scores)
    moved = pd.concat([part for part in (moved, others) if len(part)] or [moved], ignore_index=True)
    scores["value_at_risk_cents"] = scores["churn_probability"] * scores["expected_value_cents"]
    horizon_days = read_horizon(run, versions)
    churn = run.settings.churn
    thresholds = Thresholds(horizon_days, lapsed_days=churn.eligible_within(horizon_days))
    scores["lifecycle_state"] = states(frame, thresholds, churn)
    scores = scores.sort_values("customer_id", kind="stable")
    for name in CENTS:
        scores[name] = whole_cents(scores[name])
    made = {"scores": scores, "model_effects": moved, "shadow_scores": beside, "shadow_agreement": agreed}
    return {name: to_table(rows, run.as_of) for name, rows in made.items()}


def states(frame: pd.DataFrame, thresholds: Thresholds, churn: Churn) -> pd.Series:
    """Return the state of every customer; where contracts count, who has a running one has not lapsed, and others have.

    Parameters
    ----------
    frame
        What ``models.lifecycle`` asks for, and ``is_eligible``.
    thresholds
        As there.
    churn
        What counts as leaving.
    """
    found = lifecycle_state(frame, thresholds)
    if churn.kind == "purchases":
        return found
    is_eligible = frame["is_eligible"].astype(bool)
    return found.mask(is_eligible & (found == "lapsed"), "slipping").where(is_eligible, "lapsed")


def _risk(
    registered: Registered | None, tracker: Tracker, frame: pd.DataFrame, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return probability, interval and reasons of eligible customers, and what moves them on the whole.

    They are null for the others and without a model.
    """
    columns = ["churn_probability", "churn_probability_low", "churn_probability_high"]
    empty = pd.DataFrame(np.nan, index=frame.index, columns=columns).assign(reasons="")
    eligible = frame[frame["is_eligible"]]
    if registered is None or eligible.empty:
        return empty, no_effects()
    model = ChurnModel.restore(tracker.load(registered.version), registered.facts)
    found = effects(model.log_odds, eligible, model.theme_of, eligible)
    risk = model.predict(eligible).assign(reasons=reasons(found, eligible, PHRASES))
    whole = global_effects(found, seed=seed).assign(version=registered.version.version, is_serving=True)
    return risk.reindex(frame.index).fillna({"reasons": ""}), whole


def _worth(run: Run, versions: Versions, tracker: Tracker, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the margin expected within the horizon from a customer who stays, with its interval, in cents."""
    registered = serving(run, versions, tracker, "value")
    if registered is None:
        # Nothing beats last quarter's spend, so that serves, with an interval from the judged date.
        (facts,) = [
            row["facts_json"] for row in run.frame("candidates", versions).to_pylist() if row["model"] == "value"
        ]
        simple = ValueModel.restore(None, json.loads(facts) | {"chosen": "trailing"})
        model = simple.conformalise(read_split(run, versions).judged)
    else:
        model = ValueModel.restore(tracker.load(registered.version), registered.facts)
    spend = model.predict(frame) * run.settings.money.margin_share
    return spend.rename(columns=lambda name: name.replace("expected_spend", "expected_value"))
