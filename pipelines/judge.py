"""The gate: each candidate against the simple rule and the champion, on a date that trained none of them."""

import json
from dataclasses import asdict
from typing import Any

import pandas as pd
import pyarrow as pa

from models import churn, gate, value
from models.baselines import RecencyBaseline, trailing_value
from models.floors import Floor, floors, held_to, slices
from pipelines.frames import to_table
from pipelines.registry import TABLE, champion, recorded
from pipelines.run import Run, Versions
from pipelines.threshold import TABLE as THRESHOLDS
from pipelines.threshold import no_threshold, threshold_by_cost
from pipelines.tracking import Tracker
from pipelines.train import Split, read_split

TABLES = ("model_decisions", "model_floors", THRESHOLDS)
KINDS = ("segment", "region", "loyalty_tier")
Judged = dict[str, Any]
_MEASURES = ("candidate_value", "reference_value", "difference", "difference_low", "difference_high")


def judge(run: Run, versions: Versions, tracker: Tracker, run_id: str) -> dict[str, int]:
    """Decide about every candidate, and record promotions and refusals alike."""
    return run.stage("gate", TABLES, lambda: _decided(run, versions, tracker, run_id))


def _decided(run: Run, versions: Versions, tracker: Tracker, run_id: str) -> dict[str, pa.Table]:
    split, kinds = read_split(run, versions), kinds_of(run, versions)
    known = run.frame(TABLE, versions, sliced=False).to_pylist()
    rows, measured, pays = [], [], no_threshold()
    for candidate in run.frame("candidates", versions).to_pylist():
        name, version = candidate["model"], candidate["version"]
        # The candidate is judged as it would serve: loaded from the registry through both locks.
        estimator = None if version is None else tracker.load(recorded(known, name, version).version)
        judged = _JUDGES[name](split, estimator, json.loads(candidate["facts_json"]))
        former = champion(tracker, known, name)
        if former is not None and former.version.version != version:
            judged["champion"] = _SAYS[name](tracker.load(former.version), dict(former.facts), judged["rows"])
        decision, found = decided(judged, kinds, run.settings.seed)
        champion_version = None if former is None else former.version.version
        record = {"model": name, "candidate_version": version, "champion_version": champion_version}
        rows.append(record | asdict(decision) | {"mlflow_run_id": run_id})
        measured += [{"model": name, "reference": decision.reference} | asdict(floor) for floor in found]
        serves = version if decision.decision == "promoted" else champion_version
        if name == "churn" and serves is not None:
            said = judged["candidate" if serves == version else "champion"]
            money, seed = run.settings.money, run.settings.seed
            pays = threshold_by_cost(split.judged, said, money, version=serves, seed=seed)
    versions_are = dict.fromkeys(("candidate_version", "champion_version"), "Int64")
    return {
        "model_decisions": to_table(pd.DataFrame(rows).astype(versions_are), run.as_of),
        "model_floors": to_table(pd.DataFrame(measured).astype(dict.fromkeys(_MEASURES, "float64")), run.as_of),
        THRESHOLDS: to_table(pays, run.as_of),
    }


def decided(judged: Judged, kinds: pd.DataFrame, seed: int) -> tuple[gate.Decision, tuple[Floor, ...]]:
    """Return the gate's decision about a candidate, and how it stands to its reference among customers of each kind.

    Parameters
    ----------
    judged
        Metric, labels and predictions: the arguments of ``gate.decide`` by name, and ``rows``, the judged customers.
    kinds
        What the company says of its customers, indexed by customer_id.
    seed
        Seed of the resampling.
    """
    given = {name: value for name, value in judged.items() if name != "rows"}
    decision = gate.decide(seed=seed, **given)
    found = floors(
        given["metric"],
        given["y"],
        given["candidate"],
        given[decision.reference],
        among=slices(judged["rows"].join(kinds, on="customer_id"), list(map(str, kinds.columns))),
        groups=given["groups"],
        seed=seed,
    )
    return held_to(decision, found, has_champion="champion" in given), found


def kinds_of(run: Run, versions: Versions) -> pd.DataFrame:
    """Return what the company itself says of its customers, for slices; indexed by customer_id."""
    customers = run.people(versions)["customers"]
    kept = [name for name in KINDS if name in customers.columns]
    known: pd.DataFrame = customers.select("customer_id", *kept).to_pyarrow().to_pandas()
    return known.set_index("customer_id")


def _says_churn(estimator: Any, facts: dict[str, Any], rows: pd.DataFrame) -> Any:
    return churn.ChurnModel.restore(estimator, facts).predict(rows)["churn_probability"]


def _says_value(estimator: Any, facts: dict[str, Any], rows: pd.DataFrame) -> Any:
    return value.ValueModel.restore(estimator, facts).expected_cents(rows)


def _judge_churn(split: Split, estimator: Any, facts: dict[str, Any]) -> Judged:
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
        "y": stayed["spend_cents"],
        "candidate": _says_value(estimator, facts, stayed),
        "baseline": trailing_value(stayed, value.SPEC.baseline, value.TRAILING_DAYS, facts["horizon_days"]),
        "groups": stayed["customer_id"],
        "rows": stayed,
    }


_SAYS = {"churn": _says_churn, "value": _says_value}
_JUDGES = {"churn": _judge_churn, "value": _judge_value}
