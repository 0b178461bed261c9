"""Train: models on past dates, measured once on a later one, registered as candidates and nothing more."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from features.registry import FEATURES
from models import churn, value
from models.baselines import RecencyBaseline
from models.drift import few
from models.evaluation import calibration_curve, evaluate, table
from pipelines.consent import TABLE as CONSENTS
from pipelines.consent import statements, trainable
from pipelines.frames import to_table
from pipelines.profiles import SCORE, profile_rows, with_profiles
from pipelines.profiles import TABLE as PROFILES
from pipelines.registry import TABLE, Registered, known_models, models_table, with_model
from pipelines.run import Run, Versions
from pipelines.settings import Churn
from pipelines.tracking import Tracker

TABLES = ("candidates", "churn_metrics", "calibration")
SHOWN = ("rfm", "odds", "logistic", "boosting")
"""Candidates that are measured beside the chosen one: blends and single features tell the reader no more."""
Models = dict[str, churn.ChurnModel | value.ValueModel]


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled rows, cut by time: everything before one date trains, that date judges.

    Parameters
    ----------
    past
        Eligible rows of the training dates; their label windows end before ``judged`` begins.
    judged
        Eligible rows of the judging date.
    names
        Features on offer.
    everyone
        Rows of the training dates, of customers who are gone too; null for the eligible ones alone.
    """

    past: pd.DataFrame
    judged: pd.DataFrame
    names: tuple[str, ...]
    everyone: pd.DataFrame | None = None


def split_by_time(frame: pd.DataFrame) -> Split:
    """Return the eligible rows of labelled observations, split at the latest date."""
    everyone, frame = frame, frame[frame["is_eligible"]].reset_index(drop=True)
    frame["has_churned"] = frame["has_churned"].astype(int)
    is_latest, names = frame["as_of"] == frame["as_of"].max(), tuple(name for name in FEATURES if name in frame)
    return Split(frame[~is_latest], frame[is_latest], names, everyone[everyone["as_of"] < frame["as_of"].max()])


def themes() -> dict[str, str]:
    """Return the theme of each feature, within which features may interact and share a reason."""
    return churn.themes_by_family({feature.name: feature.family for feature in FEATURES.values()})


def read_split(run: Run, versions: Versions) -> Split:
    """Return the labelled observations of a run, split by time, without customers who object to profiling."""
    said = statements(run.settings, run.lake, versions[CONSENTS])
    frame = run.frame("training_observations", versions, sliced=False).to_pandas()
    return split_by_time(trainable(said, frame, run.as_of))


def read_horizon(run: Run, versions: Versions) -> int:
    """Return the horizon of a run in days."""
    return int(run.frame("horizons", versions)["horizon_days"][0].as_py())


def train(run: Run, versions: Versions, tracker: Tracker, run_id: str) -> dict[str, int]:
    """Train churn and value, measure churn on the judged date, and register both as candidates."""
    whole = (TABLE, PROFILES)
    return run.stage("train", (*TABLES, *whole), lambda: _trained(run, versions, tracker, run_id), whole=whole)


def churn_inputs(settings: Churn, names: Collection[str]) -> tuple[str, ...]:
    """Return the features that the churn model learns from; of contracts only where these are what ends.

    Parameters
    ----------
    settings
        What counts as leaving.
    names
        Features on offer.
    """
    chosen = churn.SPEC.resolve(tuple(names))
    if settings.kind == "purchases":
        return chosen
    return tuple(sorted({*chosen, *(name for name in names if FEATURES[name].family == "contract")}))


def learned(
    split: Split, horizon_days: int, seed: int, settings: Churn
) -> tuple[dict[str, churn.ChurnModel], value.ValueModel]:
    """Return every candidate for churn and the one for value, trained on the past of a split.

    Parameters
    ----------
    split
        The judged rows give the interval of the value its width, and nothing else.
    horizon_days
        Length of the label windows.
    seed
        Seed of the boosting.
    settings
        What counts as leaving.
    """
    names = split.names
    worth = value.fit(
        split.past, value.SPEC.resolve(names), horizon_days=horizon_days, seed=seed, everyone=split.everyone
    )
    leaving = churn.fit_candidates(
        split.past, churn_inputs(settings, names), seed=seed, themes=themes(), horizon_days=horizon_days
    )
    return leaving, worth.conformalise(split.judged)


def _trained(run: Run, versions: Versions, tracker: Tracker, run_id: str) -> dict[str, pa.Table]:
    split = read_split(run, versions)
    leaving, worth = learned(split, read_horizon(run, versions), run.settings.seed, run.settings.churn)
    models: Models = {"churn": churn.choose(leaving), "value": worth}
    known, candidates, profiled = known_models(run.lake), [], []
    seen = _seen(split, models["churn"])
    for name, model in models.items():
        version = None
        if model.estimator is not None:
            made = tracker.register(run_id, run.run_key, name, model.estimator, model.names)
            known = with_model(known, Registered(made, model.facts()), run.run_key, run_id)
            version = made.version
            looked_at = [*model.names, *([SCORE] if name == "churn" else [])]
            profiled.append(profile_rows(name, version, run.as_of, seen, looked_at))
        candidates.append({"model": name, "version": version, "facts_json": json.dumps(model.facts(), sort_keys=True)})
    metrics, curve = _measured(run, split, leaving)
    return {
        "candidates": to_table(pd.DataFrame(candidates).astype({"version": "Int64"}), run.as_of),
        "churn_metrics": to_table(metrics, run.as_of),
        "calibration": to_table(curve, run.as_of),
        TABLE: models_table(known),
        PROFILES: with_profiles(run.lake, profiled, {name: tracker.champion(name) for name in models}),
    }


def _seen(split: Split, model: churn.ChurnModel | value.ValueModel) -> pd.DataFrame:
    """Return the customers of the dates that a model is trained and judged on, with what it says of them."""
    rows = pd.concat([split.past, split.judged], ignore_index=True)
    rows = pd.concat([few(part) for _, part in rows.groupby("as_of", sort=True)], ignore_index=True)
    assert isinstance(model, churn.ChurnModel)
    return rows.assign(**{SCORE: model.predict(rows)[SCORE]})


def _measured(run: Run, split: Split, leaving: Mapping[str, churn.ChurnModel]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return every model's measures on the judged date, and the calibration curve of the chosen one."""
    truth, groups = split.judged["has_churned"], split.judged["customer_id"]
    best = churn.choose(leaving).chosen
    said: dict[str, Any] = {
        "candidate chosen" if name == best else name: model.predict(split.judged)["churn_probability"]
        for name, model in leaving.items()
        if name == best or name in SHOWN
    }
    said["recency"] = RecencyBaseline(split.past).predict(split.judged)
    measured = [
        table(evaluate(truth, p, groups, seed=run.settings.seed, metrics=churn.SPEC.metrics)).assign(model=name)
        for name, p in said.items()
    ]
    names = {"predicted_share": "predicted", "observed_share": "observed", "n_customers": "n"}
    names |= {"observed_share_low": "low", "observed_share_high": "high"}
    curve = calibration_curve(truth, said["candidate chosen"]).rename(columns=names)
    return pd.concat(measured, ignore_index=True)[["model", "metric", "value", "low", "high", "n_rows"]], curve
