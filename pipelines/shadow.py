"""Shadow: what a candidate that was not promoted would have said of each customer, beside what is said."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from models.agreement import agreement
from models.churn import ChurnModel
from models.churn_reasons import effects
from models.global_effects import ENOUGH_ROWS, global_effects, no_effects
from models.value import ValueModel
from pipelines.registry import TABLE, Registered, recorded
from pipelines.run import Run, Versions
from pipelines.tracking import Tracker

TABLES = ("shadow_scores", "shadow_agreement")
_COLUMNS = ("customer_id", "model", "candidate_version", "candidate_value", "serving_value")
_MEASURES = ("model", "candidate_version", "metric", "value", "low", "high", "n_customers")
SAID = {"churn": "churn_probability", "value": "expected_value_cents"}


def shadow(
    run: Run, versions: Versions, tracker: Tracker, frame: pd.DataFrame, scores: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the tables of the candidates that do not serve tonight; no row where all do.

    Parameters
    ----------
    run, versions, tracker
        Whose night it is.
    frame
        Observations of tonight.
    scores
        What is said of the same customers, in the same order.

    Returns
    -------
    tuple of pandas.DataFrame
        ``shadow_scores``: per customer and model what the candidate says and what serves, a probability for churn and
        cents for value; null where nothing serves. ``shadow_agreement``: measures of ``models.agreement`` over the
        customers of whom both say something. And what moves the candidate's risk on the whole, as in
        ``models.global_effects``.
    """
    known = run.frame(TABLE, versions, sliced=False).to_pylist()
    said, agreed = [pd.DataFrame(columns=_COLUMNS)], [pd.DataFrame(columns=_MEASURES)]
    moved = no_effects()
    for row in run.frame("model_decisions", versions).to_pylist():
        name, version = row["model"], row["candidate_version"]
        if row["decision"] == "promoted" or version is None:
            continue
        made = recorded(known, name, version)
        if name == "churn":
            moved = _moved(tracker, made, frame[frame["is_eligible"]], run.settings.seed)
        rows = pd.DataFrame(
            {
                "customer_id": frame["customer_id"],
                "model": name,
                "candidate_version": version,
                "candidate_value": _SAYS[name](tracker, made, frame, run),
                "serving_value": scores[SAID[name]].astype("float64"),
            }
        )
        rows = rows[rows["candidate_value"].notna()].sort_values("customer_id", kind="stable")
        both = rows.dropna(subset=["serving_value"])
        found = agreement(both["candidate_value"], both["serving_value"])
        said.append(rows)
        agreed.append(found.assign(model=name, candidate_version=version)[list(_MEASURES)])
    return _typed(said, _COLUMNS), _typed(agreed, _MEASURES), moved


def _typed(parts: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    whole = pd.concat(parts[1:] or parts, ignore_index=True)
    numbers = {name for name in columns if name.endswith("value") or name in {"low", "high"}}
    kinds = {name: "float64" if name in numbers else "str" for name in columns}
    return whole.astype(kinds | {name: "Int64" for name in columns if name in {"candidate_version", "n_customers"}})


def _moved(tracker: Tracker, made: Registered, eligible: pd.DataFrame, seed: int) -> pd.DataFrame:
    if eligible.empty:
        return no_effects()
    model = ChurnModel.restore(tracker.load(made.version), made.facts)
    rows = eligible.sort_values("customer_id", kind="stable").iloc[:: -(-len(eligible) // ENOUGH_ROWS)]
    found = effects(model.log_odds, rows, model.theme_of, eligible)
    return global_effects(found, seed=seed).assign(version=made.version.version, is_serving=False)


def _churn(tracker: Tracker, made: Registered, frame: pd.DataFrame, _: Run) -> "pd.Series[float]":
    eligible = frame[frame["is_eligible"]]
    model = ChurnModel.restore(tracker.load(made.version), made.facts)
    if eligible.empty:
        return pd.Series(float("nan"), index=frame.index)
    return model.predict(eligible)["churn_probability"].reindex(frame.index)


def _value(tracker: Tracker, made: Registered, frame: pd.DataFrame, run: Run) -> "pd.Series[float]":
    model = ValueModel.restore(tracker.load(made.version), made.facts)
    return pd.Series(model.expected_cents(frame), index=frame.index) * run.settings.money.margin_share


_SAYS: dict[str, Callable[..., Any]] = {"churn": _churn, "value": _value}
