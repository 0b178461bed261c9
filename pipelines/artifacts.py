"""Models on disk: skops files that load only if their bytes are the recorded ones and their types are on our list.

Two locks, because either has been picked before: a digest that we wrote down when the model was made, kept in the lake
and not beside the model, and an allow-list that lives in this file and not in the artefact. An ``MLmodel`` file can
name trusted types and a loader of its own, so nothing of it is ever obeyed.
"""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import mlflow.sklearn
import skops.io
from mlflow.exceptions import MlflowException
from sklearn.base import BaseEstimator
from skops.io.exceptions import UntrustedTypesFoundException

from data.errors import ArtifactError

MODEL_FILE = "model.skops"

ALLOWED_TYPES = frozenset(
    {
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.utils._bunch.Bunch",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    }
)
"""Types beyond those that skops trusts by itself. None of them runs code when it is built."""


def directory_digest(folder: Path) -> str:
    """Return the SHA-256 over the names and bytes of every file below a folder.

    A file that is changed, added, removed or renamed changes the digest.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode()
        content = path.read_bytes()
        digest.update(b"%d:%s%d:" % (len(name), name, len(content)) + content)
    return digest.hexdigest()


def save_model(model: BaseEstimator, folder: Path) -> str:
    """Save an estimator as skops in MLflow's layout and return the folder's digest.

    Raises
    ------
    ArtifactError
        The estimator holds a type that we would refuse to load.
    """
    try:
        mlflow.sklearn.save_model(
            model,
            folder,
            serialization_format="skops",
            skops_trusted_types=sorted(ALLOWED_TYPES),
            pip_requirements=["scikit-learn", "skops"],
            pyfunc_predict_fn="predict_proba" if hasattr(model, "predict_proba") else "predict",
        )
    except MlflowException:
        # It loads what it wrote with the same list; to write it once more, for the names, is worth it only here.
        _refuse_unknown(set(skops.io.get_untrusted_types(data=skops.io.dumps(model))), "the fitted model")
        raise
    return directory_digest(folder)


def load_model(folder: Path, expected_digest: str) -> Any:
    """Load an estimator after its digest and its types were checked.

    Raises
    ------
    ArtifactError
        A byte differs from what was recorded, or a type is not on the list. Nothing of the artefact has run then.
    """
    found = directory_digest(folder)
    if found != expected_digest:
        raise ArtifactError(
            f"model in {folder.name} has digest {found[:12]}…",
            f"the recorded {expected_digest[:12]}…",
            "restore the artefact, or promote another version with `regulars rollback`",
        )
    file = folder / MODEL_FILE
    if not zipfile.is_zipfile(file):
        raise ArtifactError(f"{MODEL_FILE} of {folder.name} is no skops file", "a skops archive", "retrain the model")
    try:
        return skops.io.load(file, trusted=sorted(ALLOWED_TYPES))
    except UntrustedTypesFoundException:
        _refuse_unknown(set(skops.io.get_untrusted_types(file=file)), folder.name)
        raise


def _refuse_unknown(types: set[str], where: str) -> None:
    if unknown := sorted(types - ALLOWED_TYPES):
        raise ArtifactError(
            f"{where} holds {', '.join(unknown)}",
            "scikit-learn and numpy types of the allow-list in pipelines/artifacts.py",
            "retrain with allowed estimators; never load it elsewhere",
        )
