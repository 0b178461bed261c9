"""The gate: each candidate against the simple rule and the champion, on a date that trained none of them."""

import json
from dataclasses import asdict
from typing import Any

import pandas as pd
import pyarrow as pa

from models import churn, gate, value
from models.baselines import RecencyBaseline, trailing_value
from pipelines.frames import to_table
from pipelines.registry import TABLE, champion, recorded
from pipelines.run import Run, Versions
from pipelines.tracking import Tracker
from pipelines.train import Split, read_split


def judge(run: Run, versions: Versions, tracker: Tracker, run_id: str) -> dict[str, int]:
    """Decide about every candidate, and record promotions and refusals alike."""
    return run.stage(
        "gate", ("model_decisions",), lambda: {"model_decisions": _decided(run, versions, tracker, run_id)}
    )


def _decided(run: Run, versions: Versions, tracker: Tracker, run_id: str) -> pa.Table:
    split = read_split(run, versions)
    known = run.frame(TABLE, versions, sliced=False).to_pylist()
    rows = []
    for candidate in run.frame("candidates", versions).to_pylist():
        name, version = candidate["model"], candidate["version"]
        # The candidate is judged as it would serve: loaded from the registry through both locks.
        estimator = None if version is None else tracker.load(recorded(known, name, version).version)
        judged = _JUDGES[name](split, estimator, json.loads(candidate["facts_json"]))
        former = champion(tracker, known, name)
        if former is not None and former.version.version != version:
            judged["champion"] = _SAYS[name](tracker.load(former.version), dict(former.facts), judged.pop("rows"))
        judged.pop("rows", None)
        decision = gate.decide(seed=run.settings.seed, **judged)
        champion_version = None if former is None else former.version.version
        record = {"model": name, "candidate_version": version, "champion_version": champion_version}
        rows.append(record | asdict(decision) | {"mlflow_run_id": run_id})
    versions_are = dict.fromkeys(("candidate_version", "champion_version"), "Int64")
    return to_table(pd.DataFrame(rows).astype(versions_are), run.as_of)


def _says_churn(estimator: Any, facts: dict[str, Any], rows: pd.DataFrame) -> Any:
    return churn.ChurnModel.restore(estimator, facts).predict(rows)["churn_probability"]


def _says_value(estimator: Any, facts: dict[str, Any], rows: pd.DataFrame) -> Any:
    return value.ValueModel.restore(estimator, facts).expected_cents(rows)


def _judge_churn(split: Split, estimator: Any, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "metric": churn.SPEC.gate_metric,
        "y": split.judged["has_churned"],
        "candidate": _says_churn(estimator, facts, split.judged),
        "baseline": RecencyBaseline(split.past, churn.SPEC.baseline).predict(split.judged),
        "groups": split.judged["customer_id"],
        "rows": split.judged,
    }


def _judge_value(split: Split, estimator: Any, facts: dict[str, Any]) -> dict[str, Any]:
    stayed = value.staying(split.judged)
    return {
        "metric": value.SPEC.gate_metric,
        "y": stayed["spend_cents"].clip(lower=0),
        "candidate": _says_value(estimator, facts, stayed),
        "baseline": trailing_value(stayed, value.SPEC.baseline, value.TRAILING_DAYS, facts["horizon_days"]),
        "groups": stayed["customer_id"],
        "rows": stayed,
    }


_SAYS = {"churn": _says_churn, "value": _says_value}
_JUDGES = {"churn": _judge_churn, "value": _judge_value}
