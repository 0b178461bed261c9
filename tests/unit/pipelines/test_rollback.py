"""Roll back: an earlier champion serves again, in one call, with a line that says who and why (P3)."""

import json
import shutil
from datetime import datetime

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from data.errors import ArtifactError, LockHeldError
from data.lake import Lake
from pipelines.cli import app
from pipelines.rollback import NoEarlierChampionError, roll_back, rollbacks
from pipelines.score import serving
from pipelines.settings import Settings
from pipelines.tracking import Tracker

AT = datetime(2025, 3, 1, 7, 30)
WHO = {"by": "Kim", "reason": "too many calls", "decided_at": AT}


@pytest.fixture
def settings(two_nights, tmp_path, monkeypatch):
    """A root of its own in which version 1 was promoted, and somebody promoted version 2 by hand."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = two_nights.second.settings.root
    shutil.copytree(root / "lake", tmp_path / "lake")
    shutil.copy(root / "mlflow.db", tmp_path / "mlflow.db")
    Tracker(tmp_path).promote("churn", 2)
    return two_nights.second.settings.model_copy(update={"root": tmp_path})


@pytest.mark.slow
class TestRollBack:
    def test_the_champion_before_serves_the_next_run(self, settings, two_nights):
        run, tracker = two_nights.second, Tracker(settings.root)
        versions = dict(run.lake.snapshot(run.run_key).versions)
        assert serving(run, versions, tracker, "churn").version.version == 2
        others = tracker.champion("value")
        line = roll_back(settings, "churn", **WHO)
        assert (line.from_version, line.to_version) == (2, 1)
        assert serving(run, versions, tracker, "churn").version.version == 1
        assert tracker.champion("value") == others, "another model is left alone"

    def test_a_line_says_who_and_why(self, settings):
        roll_back(settings, "churn", **WHO)
        expected = {"sequence": 0, "model": "churn", "from_version": 2, "to_version": 1, "decided_at": AT}
        assert rollbacks(Lake(settings.lake_root)).to_pylist() == [
            {**expected, "by": "Kim", "reason": "too many calls"}
        ]
        (version,) = Tracker(settings.root).client.search_model_versions("name = 'churn' and version_number = 2")
        assert version.tags["rolled_back"] == "2025-03-01 07:30 UTC to 1 by Kim: too many calls"

    def test_lines_are_added(self, settings):
        roll_back(settings, "churn", **WHO)
        roll_back(settings, "churn", to=2, **WHO)
        lines = rollbacks(Lake(settings.lake_root))
        assert lines["to_version"].to_pylist() == [1, 2]
        assert lines["sequence"].to_pylist() == [0, 1]

    def test_before_the_first_champion_there_is_none(self, settings):
        roll_back(settings, "churn", **WHO)
        with pytest.raises(NoEarlierChampionError, match="version 1 of churn, the first that was promoted"):
            roll_back(settings, "churn", **WHO)

    def test_the_one_that_serves_is_no_step_back(self, settings):
        with pytest.raises(NoEarlierChampionError, match="serves already"):
            roll_back(settings, "churn", to=2, **WHO)

    def test_a_model_that_nobody_knows_is_named_with_those_that_are(self, settings):
        with pytest.raises(NoEarlierChampionError, match="name one of churn, value"):
            roll_back(settings, "chrn", **WHO)

    def test_a_version_of_no_night_is_refused(self, settings):
        with pytest.raises(ArtifactError, match="version 9, which no run of this lake registered"):
            roll_back(settings, "churn", to=9, **WHO)

    def test_a_broken_artefact_never_serves(self, settings):
        lake = Lake(settings.lake_root)
        known = lake.read("model_versions")
        place = known.column_names.index("sha256")
        changed = known.set_column(place, "sha256", pa.array(["0" * 64] * known.num_rows))
        lake.write("model_versions", changed, as_of=None, fingerprint="changed")
        with pytest.raises(ArtifactError):
            roll_back(settings, "churn", **WHO)
        assert Tracker(settings.root).champion("churn") == 2
        assert rollbacks(lake).num_rows == 0

    def test_not_while_a_night_runs(self, settings):
        with Lake(settings.lake_root).lock(), pytest.raises(LockHeldError):
            roll_back(settings, "churn", **WHO)

    def test_the_command(self, settings):
        words = ["rollback", "churn", "--by", "Kim", "--reason", "too many calls", "--root", str(settings.root)]
        told = CliRunner().invoke(app, words)
        assert told.exit_code == 0, told.output
        assert "version 1 serves from the next night on, not 2 (rollback 0)" in " ".join(told.output.split())
        told = CliRunner().invoke(app, [*words, "--to", "2", "--json"])
        assert json.loads(told.output)[0]["to_version"] == 2


def test_a_lake_without_a_night_says_what_to_do(settings_of_nothing):
    with pytest.raises(NoEarlierChampionError, match="run regulars nightly first"):
        roll_back(settings_of_nothing, "churn", **WHO)


@pytest.fixture
def settings_of_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Settings.demo().model_copy(update={"root": tmp_path})
