"""Files of nights past their period go, those of young and of the newest nights stay."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from data.lake import Lake
from data.retention import Retention
from pipelines.retain import retain
from pipelines.settings import Settings

AS_OF = datetime(2024, 3, 1, 5)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Four nights, ten days apart, with their reports and MLflow's copies; New York is five hours behind."""
    settings = Settings(root=tmp_path)
    lake = Lake(settings.lake_root)
    with lake.lock():
        for number in range(4):
            as_of = AS_OF - timedelta(days=10 * (3 - number))
            version = lake.write("scores", pa.table({"x": [number]}), as_of=None, fingerprint=str(number))
            lake.publish(
                f"key{number}", flow="nightly", as_of=as_of, code_digest="c",
                versions={"scores": version}, summary={}, mlflow_run_id=f"run{number}",
            )  # fmt: skip
            day = date(2024, 3, 1) - timedelta(days=10 * (3 - number))
            for folder in (f"reports/{day}-key{number}", f"mlartifacts/run{number}/artifacts/report"):
                (tmp_path / folder).mkdir(parents=True)
                (tmp_path / folder / "report.html").write_text("page")
            (tmp_path / f"mlartifacts/run{number}/artifacts/models").mkdir()
    return settings


def keeping(settings: Settings, **periods: int) -> Settings:
    return settings.model_copy(update={"retention": Retention(**periods)})


def pages(settings: Settings) -> list[str]:
    return sorted(path.parent.name[-4:] for path in settings.root.glob("reports/*/report.html"))


def test_files_and_versions_of_old_nights_go_together(settings):
    (result,) = retain(keeping(settings, history_days=15), AS_OF)
    assert (result.table_name, result.n_failed) == ("scores", 2)
    assert pages(settings) == ["key2", "key3"]
    copies = sorted(path.parents[2].name for path in settings.root.glob("mlartifacts/*/artifacts/report/*"))
    assert copies == ["run2", "run3"]
    assert len(list(settings.root.glob("mlartifacts/*/artifacts/models"))) == 4, "models are no rows of customers"


def test_the_newest_stay_and_again_changes_nothing(settings):
    retain(keeping(settings, history_days=1, least_nights=3), AS_OF + timedelta(days=500))
    assert pages(settings) == ["key1", "key2", "key3"]
    assert retain(keeping(settings, history_days=1, least_nights=3), AS_OF + timedelta(days=500)) == []


def test_without_a_period_everything_stays(settings):
    assert retain(settings, AS_OF + timedelta(days=5000)) == []
    assert pages(settings) == ["key0", "key1", "key2", "key3"]
