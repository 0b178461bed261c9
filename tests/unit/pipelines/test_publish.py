"""What a published night leaves behind: one manifest row, champions, files for people, and a copy in MLflow."""

from datetime import datetime
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest

from pipelines.publish import publish, write_report
from pipelines.results import files_of, is_done, open_night
from pipelines.run import Run, code_digest
from pipelines.settings import Settings
from pipelines.tracking import Tracker

AS_OF = datetime(2018, 1, 1, 5)


class Registry:
    """Notes which alias is moved, and what readers see at that moment."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.moved: list[tuple[str, int, bool]] = []

    def promote(self, model: str, version: int) -> None:
        self.moved.append((model, version, self.run.lake.snapshot() is not None))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Settings(root=tmp_path), AS_OF, "source", seconds={"train": 1.23456})


def decided(run: Run, **decisions: str) -> dict[str, int]:
    rows = [
        {"as_of": AS_OF, "model": model, "decision": decision, "candidate_version": 3}
        for model, decision in decisions.items()
    ]
    table = pa.Table.from_pylist(rows).set_column(0, "as_of", pa.array([AS_OF] * len(rows), pa.timestamp("us")))
    return {"model_decisions": run.lake.write("model_decisions", table, as_of=AS_OF, fingerprint="f")}


class TestPublish:
    def test_the_manifest_gets_one_row_with_all_that_it_takes_to_go_back(self, run):
        versions = decided(run, churn="refused")
        snapshot = publish(run, versions, Registry(run), "m1")
        assert snapshot == run.lake.snapshot()
        assert (snapshot.run_key, snapshot.flow, snapshot.as_of) == (run.run_key, "nightly", AS_OF)
        assert (snapshot.versions, snapshot.mlflow_run_id) == (versions, "m1")
        assert snapshot.code_digest == code_digest()
        assert snapshot.summary == {"stage_seconds": {"train": 1.23}}

    def test_only_the_promoted_become_champions_and_before_readers_see_the_night(self, run):
        registry = Registry(run)
        publish(run, decided(run, churn="promoted", value="kept", offers="refused"), registry, "m1")
        assert registry.moved == [("churn", 3, False)]

    def test_again_adds_nothing(self, run):
        versions = decided(run, churn="promoted")
        first = publish(run, versions, Registry(run), "m1")
        assert publish(run, versions, Registry(run), "m1") == first
        assert run.lake.read("snapshots").num_rows == 1

    def test_a_night_is_done_when_it_is_published_and_its_files_are_there(self, run):
        assert not is_done(run)
        publish(run, decided(run, churn="kept"), Registry(run), "m1")
        assert not is_done(run)
        for file in files_of(run.settings, run).values():
            file.parent.mkdir(parents=True, exist_ok=True)
            assert not is_done(run)
            file.touch()
        assert is_done(run)


@pytest.mark.slow
class TestReport:
    def test_its_folder_is_named_by_day_and_key(self, two_nights):
        run = two_nights.first
        night = open_night(run.settings, run.run_key)
        assert files_of(run.settings, run) == files_of(run.settings, night)
        assert {path.parent.name for path in files_of(run.settings, run).values()} == {f"2024-12-31-{run.run_key}"}
        assert is_done(run)

    def test_the_same_night_gives_the_same_bytes_elsewhere(self, two_nights, tmp_path):
        run = two_nights.first
        settings = run.settings.model_copy(update={"root": tmp_path})
        settings.lake_root.symlink_to(run.settings.lake_root.resolve())
        files = write_report(settings, open_night(run.settings, run.run_key))
        for name, path in files_of(run.settings, run).items():
            assert files[name].read_bytes() == path.read_bytes()

    def test_what_a_killed_try_left_is_written_over(self, two_nights, tmp_path):
        run = two_nights.first
        settings = run.settings.model_copy(update={"root": tmp_path})
        settings.lake_root.symlink_to(run.settings.lake_root.resolve())
        draft = files_of(settings, run)["report"].parent / "draft"
        draft.mkdir(parents=True)
        (draft / "report.html").write_text("half")
        files = write_report(settings, open_night(run.settings, run.run_key))
        assert sorted(path.name for path in draft.parent.iterdir()) == ["actions.xlsx", "features.html", "report.html"]
        assert "</html>" in files["report"].read_text()
        assert openpyxl.load_workbook(files["actions"]).sheetnames

    def test_every_table_version_is_on_it(self, two_nights):
        text = files_of(two_nights.first.settings, two_nights.first)["report"].read_text()
        snapshot = two_nights.first.lake.snapshot(two_nights.first.run_key)
        assert snapshot.run_key in text
        assert snapshot.mlflow_run_id in text
        assert all(table in text for table in snapshot.versions)


@pytest.mark.slow
class TestMlflow:
    @pytest.fixture
    def tracked(self, two_nights):
        run = two_nights.first
        tracker = Tracker(run.settings.root)
        return tracker, tracker.client.get_run(run.lake.snapshot(run.run_key).mlflow_run_id)

    def test_the_run_is_finished_and_found_by_its_key(self, tracked, two_nights):
        tracker, found = tracked
        assert found.info.status == "FINISHED"
        assert tracker.open_run(two_nights.first.run_key, "again", {}) == found.info.run_id
        assert len(tracker.client.search_runs(["1"])) == 2, "one run for each of two nights"

    def test_settings_and_inputs_are_its_parameters(self, tracked, two_nights):
        _, found = tracked
        assert found.data.params["money.margin_share"] == "0.25"
        assert found.data.params["as_of"] == "2024-12-31T00:00:00"
        assert found.data.params["source_digest"] == two_nights.first.source_digest[:16]

    def test_table_versions_and_code_are_its_tags(self, tracked, two_nights):
        _, found = tracked
        snapshot = two_nights.first.lake.snapshot(two_nights.first.run_key)
        versions = {name: int(value) for name, value in found.data.tags.items() if name.startswith("table.")}
        assert versions == {f"table.{name}": version for name, version in snapshot.versions.items()}
        assert found.data.tags["code_digest"] == snapshot.code_digest

    def test_every_measure_has_its_interval(self, tracked):
        metrics = tracked[1].data.metrics
        points = [name for name in metrics if not name.endswith(("_low", "_high")) and "cents" not in name]
        assert any("auc" in name for name in points)
        for name in points:
            assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
        low, middle, high = (metrics[f"campaign_1.effect{end}_cents"] for end in ("_low", "", "_high"))
        assert low < middle < high

    def test_models_plots_verdicts_and_report_are_its_artefacts(self, tracked):
        tracker, found = tracked
        names = {
            folder: {path.path.split("/")[-1] for path in tracker.client.list_artifacts(found.info.run_id, folder)}
            for folder in ("report", "tables", "models")
        }
        assert names == {
            "report": {"report.html", "actions.xlsx", "features.html"},
            "tables": {"campaign_verdicts.json", "model_decisions.json"},
            "models": {"churn", "value"},
        }
        assert len(tracker.client.list_artifacts(found.info.run_id, "plots")) >= 2

    def test_no_customer_is_named_outside_of_the_report(self, tracked):
        """Catalogue row G8: parameters, tags and measures hold no id."""
        _, found = tracked
        text = str(found.data.params) + str(found.data.tags) + str(found.data.metrics)
        assert "c00000" not in text
