"""What the lake knows of registered models: the digest that a load must meet, and who is champion."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data.errors import ArtifactError
from data.lake import Lake
from pipelines.tracking import ModelVersion, Tracker

TABLE = "model_versions"
_SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "version": pa.int64(),
        "sha256": pa.string(),
        "features_json": pa.string(),
        "facts_json": pa.string(),
        "run_key": pa.string(),
        "mlflow_run_id": pa.string(),
    }
)


@dataclass(frozen=True)
class Registered:
    """A registered model with the plain values that go with its estimator.

    Parameters
    ----------
    version
        What the registry and the lake say of its artefact.
    facts
        Everything of the model but the estimator.
    """

    version: ModelVersion
    facts: Mapping[str, Any]


def known_models(lake: Lake) -> list[dict[str, Any]]:
    """Return every registered version that the lake wrote down, oldest first."""
    rows: list[dict[str, Any]] = lake.read(TABLE).to_pylist() if lake.has(TABLE) else []
    return rows


def with_model(known: list[dict[str, Any]], model: Registered, run_key: str, run_id: str) -> list[dict[str, Any]]:
    """Return the known versions and one more; the same version again replaces itself."""
    version = model.version
    row = {
        "model": version.model,
        "version": version.version,
        "sha256": version.sha256,
        "features_json": json.dumps(version.feature_names),
        "facts_json": json.dumps(model.facts, sort_keys=True),
        "run_key": run_key,
        "mlflow_run_id": run_id,
    }
    return [other for other in known if (other["model"], other["version"]) != (version.model, version.version)] + [row]


def models_table(known: list[dict[str, Any]]) -> pa.Table:
    """Return the versions as the lake's table."""
    return pa.Table.from_pylist(known, _SCHEMA)


def recorded(known: list[dict[str, Any]], model: str, version: int) -> Registered:
    """Return what was written down of a version.

    Raises
    ------
    ArtifactError
        Nothing was: somebody else registered it.
    """
    for row in known:
        if (row["model"], row["version"]) == (model, version):
            features = tuple(json.loads(row["features_json"]))
            return Registered(ModelVersion(model, version, row["sha256"], features), json.loads(row["facts_json"]))
    raise ArtifactError(
        f"model {model} version {version}, which no run of this lake registered",
        "a version with a recorded digest",
        "point the alias champion at a version that a night made",
    )


def champion(tracker: Tracker, known: list[dict[str, Any]], model: str) -> Registered | None:
    """Return the champion, or ``None`` where there is none yet."""
    version = tracker.champion(model)
    return None if version is None else recorded(known, model, version)
