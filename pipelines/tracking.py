"""MLflow: one run a night, models registered with aliases, everything found again by ``run_key``.

The lake stays the truth. MLflow gets a copy for people to look at, and holds the artefacts of the models, whose digests
the lake keeps. ``MLFLOW_TRACKING_URI`` is honoured; without it a SQLite file under the root serves, with no server.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from sklearn.base import BaseEstimator

from data.errors import ArtifactError
from pipelines.artifacts import load_model, save_model

CHAMPION = "champion"
_EXPERIMENT = "regulars"


@dataclass(frozen=True)
class ModelVersion:
    """A registered model and what the lake wrote down about it.

    Parameters
    ----------
    model
        Registered name.
    version
        Version in the registry.
    sha256
        Digest of the artefact's folder.
    feature_names
        Columns that it takes, in order.
    """

    model: str
    version: int
    sha256: str
    feature_names: tuple[str, ...]


class Tracker:
    """The MLflow side of one root.

    Parameters
    ----------
    root
        Folder that holds the SQLite file and the artefacts where no ``MLFLOW_TRACKING_URI`` is set.
    """

    def __init__(self, root: Path) -> None:
        root = root.resolve()
        root.mkdir(parents=True, exist_ok=True)
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
        self._artifacts = None if os.environ.get("MLFLOW_TRACKING_URI") else (root / "mlartifacts").as_uri()
        self.client = MlflowClient(self._uri, self._uri)
        self._loaded: dict[ModelVersion, Any] = {}

    @property
    def uri(self) -> str:
        """The tracking store in use."""
        return self._uri

    def open_run(self, run_key: str, name: str, params: Mapping[str, Any]) -> str:
        """Return the MLflow run of a ``run_key``: the one that a crashed try began, or a new one."""
        experiment_id = self._experiment()
        found = self.client.search_runs([experiment_id], f"tags.run_key = '{run_key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        run = self.client.create_run(experiment_id, run_name=name, tags={"run_key": run_key})
        shown = [Param(key, str(value)[:500]) for key, value in params.items()]
        self.client.log_batch(run.info.run_id, params=shown)
        return str(run.info.run_id)

    def log(self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] | None = None) -> None:
        """Log numbers and tags. Step and time are 0: logging the same night again changes nothing."""
        self.client.log_batch(
            run_id,
            metrics=[Metric(key, float(value), 0, 0) for key, value in metrics.items() if isfinite(value)],
            tags=[RunTag(key, value) for key, value in (tags or {}).items()],
        )

    def log_files(self, run_id: str, files: Sequence[Path], folder: str) -> None:
        """Log files under a folder of the run."""
        for file in files:
            self.client.log_artifact(run_id, str(file), folder)

    @contextmanager
    def figure_folder(self, run_id: str, folder: str) -> Iterator[Path]:
        """Give a temporary folder whose files are logged at the end."""
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
            self.client.log_artifacts(run_id, temporary, folder)

    def finish(self, run_id: str, *, failed: bool = False) -> None:
        """End the run."""
        self.client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    def register(
        self, run_id: str, run_key: str, model: str, estimator: BaseEstimator, features: Sequence[str]
    ) -> ModelVersion:
        """Save an estimator with the run and register it as the newest version, not yet the champion.

        A version that this ``run_key`` registered before a crash is used again, so a re-run leaves no second one.
        """
        made = self.client.search_model_versions(f"name = '{model}' and tags.run_key = '{run_key}'", max_results=1)
        if made:
            return ModelVersion(model, int(made[0].version), made[0].tags["sha256"], tuple(features))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / model
            sha256 = save_model(estimator, folder)
            place = f"models/{model}/{sha256[:12]}"
            self.client.log_artifacts(run_id, str(folder), place)
        self._ensure_model(model)
        source = f"{self.client.get_run(run_id).info.artifact_uri}/{place}"
        version = self.client.create_model_version(model, source, run_id, tags={"run_key": run_key, "sha256": sha256})
        return ModelVersion(model, int(version.version), sha256, tuple(features))

    def promote(self, model: str, version: int) -> None:
        """Point the alias ``champion`` at a version; doing it twice changes nothing."""
        self.client.set_registered_model_alias(model, CHAMPION, str(version))

    def say(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags beside a version, for people who look at the registry."""
        for key, value in tags.items():
            self.client.set_model_version_tag(model, str(version), key, value)

    def champion(self, model: str) -> int | None:
        """Return the version that the alias ``champion`` points at, or ``None`` where there is none."""
        try:
            return int(self.client.get_model_version_by_alias(model, CHAMPION).version)
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def load(self, record: ModelVersion) -> Any:
        """Load a registered model after its digest and types were checked; again gives the very same object.

        Raises
        ------
        ArtifactError
            It is gone, was changed, or holds types that we do not load.
        """
        if record in self._loaded:
            return self._loaded[record]
        try:
            uri = self.client.get_model_version_download_uri(record.model, str(record.version))
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(download_artifacts(artifact_uri=uri, dst_path=temporary, tracking_uri=self._uri))
                self._loaded[record] = load_model(folder, record.sha256)
        except (MlflowException, OSError) as error:
            raise ArtifactError(
                f"model {record.model} version {record.version} cannot be read ({error})",
                "its artefact in the registry",
                "restore it, or promote another version",
            ) from error
        return self._loaded[record]

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(_EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(_EXPERIMENT, artifact_location=self._artifacts))
        except MlflowException:
            # Another process made it between the two calls.
            made = self.client.get_experiment_by_name(_EXPERIMENT)
            if made is None:
                raise
            return str(made.experiment_id)

    def _ensure_model(self, model: str) -> None:
        try:
            self.client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
