"""Models come back only as they were stored: catalogue rows P2-P6 and P10."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from data.errors import ArtifactError
from pipelines.artifacts import MODEL_FILE, directory_digest, load_model, save_model
from pipelines.tracking import ModelVersion, Tracker

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(400, 3))
Y = (X[:, 0] + RANDOM.normal(size=400) > 0).astype(int)


@pytest.fixture(scope="module")
def model() -> CalibratedClassifierCV:
    return CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=10, random_state=0), cv=3).fit(X, Y)


@pytest.fixture
def saved(tmp_path: Path, model: CalibratedClassifierCV) -> tuple[Path, str]:
    folder = tmp_path / "churn"
    return folder, save_model(model, folder)


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Tracker(tmp_path / "root")


class TestArtifacts:
    def test_predictions_are_bit_equal_after_a_round_trip(self, saved, model):
        rows = RANDOM.normal(size=(10_000, 3))
        assert np.array_equal(load_model(*saved).predict_proba(rows), model.predict_proba(rows))

    def test_a_flipped_byte_is_refused(self, saved):
        folder, digest = saved
        file = folder / MODEL_FILE
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(bytes(content))
        with pytest.raises(ArtifactError, match=digest[:12]):
            load_model(folder, digest)

    def test_an_added_file_is_refused(self, saved):
        folder, digest = saved
        (folder / "code").mkdir()
        (folder / "code" / "evil.py").write_text("print('hello')")
        with pytest.raises(ArtifactError, match="digest"):
            load_model(folder, digest)

    def test_another_version_in_its_place_is_refused(self, saved, tmp_path):
        folder, digest = saved
        other = tmp_path / "other"
        save_model(LogisticRegression().fit(X, Y), other)
        (folder / MODEL_FILE).write_bytes((other / MODEL_FILE).read_bytes())
        with pytest.raises(ArtifactError, match="digest"):
            load_model(folder, digest)

    def test_a_type_outside_the_list_is_refused_by_name(self, tmp_path):
        # The function would run on every prediction: skops could store it, we do not.
        odd = make_pipeline(FunctionTransformer(os.path.basename), StandardScaler())
        with pytest.raises(ArtifactError, match=r"posixpath\.basename|ntpath\.basename"):
            save_model(odd, tmp_path / "odd")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def plant_pickle(folder: Path, marker: Path) -> None:
    (folder / MODEL_FILE).write_bytes(pickle.dumps(Bomb(marker)))


def plant_pickle_in_zip(folder: Path, marker: Path) -> None:
    with zipfile.ZipFile(folder / MODEL_FILE, "w") as archive:
        content = [{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": f'"{marker}"'}]
        arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": content}
        node = {"__class__": "mkdir", "__module__": "os", "__loader__": "ObjectNode", "content": arguments}
        archive.writestr("schema.json", json.dumps(node | {"protocol": 2, "_skops_version": "0.16.0"}))
        archive.writestr("model.pkl", pickle.dumps(Bomb(marker)))


def plant_trusted_type(folder: Path, marker: Path) -> None:
    ml_model = folder / "MLmodel"
    ml_model.write_text(ml_model.read_text() + "\nskops_trusted_types: [builtins.exec]\n")
    plant_pickle(folder, marker)


def plant_loader(folder: Path, marker: Path) -> None:
    (folder / "loader.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    ml_model = folder / "MLmodel"
    ml_model.write_text(
        ml_model.read_text().replace("mlflow.sklearn", "loader").replace("model.skops", "../../x.skops")
    )


@pytest.mark.parametrize("plant", [plant_pickle, plant_pickle_in_zip, plant_trusted_type, plant_loader])
@pytest.mark.parametrize("knows_digest", [False, True])
def test_no_planted_payload_ever_runs(saved, tmp_path, plant, knows_digest):
    """P5, with the digest as recorded and with an attacker who could write the digest down too."""
    folder, digest = saved
    marker = tmp_path / "marker"
    plant(folder, marker)
    digest = directory_digest(folder) if knows_digest else digest
    if plant is plant_loader and knows_digest:
        load_model(folder, digest)  # the model itself is untouched; its MLmodel is never obeyed
    else:
        with pytest.raises(ArtifactError):
            load_model(folder, digest)
    assert not marker.exists()


class TestTracker:
    def test_a_night_is_found_again_by_its_run_key(self, tracker):
        first = tracker.open_run("abc", "2018-01-01", {"seed": 1})
        assert tracker.open_run("abc", "2018-01-01", {"seed": 1}) == first
        assert tracker.open_run("abd", "2018-01-01", {"seed": 1}) != first

    def test_registering_twice_leaves_one_version(self, tracker, model):
        run = tracker.open_run("abc", "night", {})
        first = tracker.register(run, "abc", "churn", model, ["a", "b", "c"])
        assert tracker.register(run, "abc", "churn", model, ["a", "b", "c"]) == first
        assert first.version == 1

    def test_the_champion_is_what_was_promoted(self, tracker, model):
        assert tracker.champion("churn") is None
        run = tracker.open_run("abc", "night", {})
        record = tracker.register(run, "abc", "churn", model, ["a", "b", "c"])
        assert tracker.champion("churn") is None
        tracker.promote("churn", record.version)
        tracker.promote("churn", record.version)
        assert tracker.champion("churn") == record.version
        assert np.array_equal(tracker.load(record).predict_proba(X), model.predict_proba(X))

    def test_a_lost_artifact_is_a_user_error(self, tracker, model):
        run = tracker.open_run("abc", "night", {})
        record = tracker.register(run, "abc", "churn", model, ["a", "b", "c"])
        with pytest.raises(ArtifactError, match="version 7"):
            tracker.load(ModelVersion("churn", 7, record.sha256, record.feature_names))

    def test_metrics_that_are_not_numbers_are_left_out(self, tracker):
        run = tracker.open_run("abc", "night", {})
        tracker.log(run, {"auc": 0.8, "nothing": float("nan")}, {"snapshot": "3"})
        assert tracker.client.get_run(run).data.metrics == {"auc": 0.8}
