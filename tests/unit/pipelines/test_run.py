"""A run: its key, its stages, and that a stage is done once however often a run is tried."""

import shutil
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.run import Run, code_digest, local_midnight
from pipelines.settings import Company, Money, Settings

ROOT = Path(__file__).parents[3]
AS_OF = datetime(2018, 1, 1, 5)


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def started(self, stage: str) -> None:
        self.heard.append((stage, "started"))

    def finished(self, stage: str, _: float, note: str) -> None:
        self.heard.append((stage, note))


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(Settings(root=tmp_path), AS_OF, "source", Listener())


def scores(*values: float, as_of: datetime = AS_OF) -> pa.Table:
    return pa.table({"as_of": pa.array([as_of] * len(values), pa.timestamp("us")), "score": list(values)})


class TestKey:
    def test_it_is_a_digest_of_all_that_decides(self, run):
        others = [
            replace(run, as_of=datetime(2018, 1, 2, 5)),
            replace(run, source_digest="another"),
            replace(run, flow="backtest"),
            replace(run, settings=run.settings.model_copy(update={"money": Money(margin_share=0.5)})),
        ]
        keys = {run.run_key, *(other.run_key for other in others)}
        assert len(keys) == 5
        assert all(len(key) == 16 and set(key) <= set("0123456789abcdef") for key in keys)

    def test_listener_root_and_progress_do_not_matter(self, run, tmp_path):
        other = Run(Settings(root=tmp_path / "elsewhere"), AS_OF, "source", seconds={"train": 3.0})
        assert other.run_key == run.run_key

    def test_parts_cannot_run_into_each_other(self, run):
        assert replace(run, flow="ab", source_digest="c").run_key != replace(run, flow="a", source_digest="bc").run_key

    def test_it_cannot_be_changed(self, run):
        with pytest.raises(FrozenInstanceError):
            run.as_of = datetime(2018, 1, 2)

    def test_the_code_is_part_of_it(self, tmp_path):
        """Catalogue row C12: a helper that changes makes another run, whatever cache there is."""
        for package in ("data", "features", "models", "pipelines"):
            shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "requirements.lock", tmp_path)
        digest = code_digest.__wrapped__
        assert digest(tmp_path) == digest(ROOT)
        for file in ("models/metrics.py", "pipelines/report/*.html", "requirements.lock"):
            path = next(tmp_path.glob(file))
            text = path.read_text()
            path.write_text(text + "\n")
            assert digest(tmp_path) != digest(ROOT), f"{file} is not in the digest"
            path.write_text(text)
        (tmp_path / "models" / "notes.txt").write_text("no code")
        assert digest(tmp_path) == digest(ROOT)
        (tmp_path / "models" / "metrics.py").rename(tmp_path / "models" / "measures.py")
        assert digest(tmp_path) != digest(ROOT)


class TestStage:
    def test_it_writes_its_tables_and_says_so(self, run):
        versions = run.stage("score", ("scores",), lambda: {"scores": scores(0.5, 0.25)})
        assert versions == {"scores": 0}
        assert run.frame("scores", versions)["score"].to_pylist() == [0.5, 0.25]
        assert run.reporter.heard == [("score", "started"), ("score", "scores 2")]
        assert run.seconds["score"] > 0

    def test_it_is_done_once(self, run):
        run.stage("score", ("scores",), lambda: {"scores": scores(0.5)})
        again = run.stage("score", ("scores",), lambda: pytest.fail("did the work again"))
        assert again == {"scores": 0}
        assert run.reporter.heard[-1] == ("score", "already done")
        assert run.seconds["score"] == 0.0

    def test_another_run_does_it_again(self, run):
        run.stage("score", ("scores",), lambda: {"scores": scores(0.5)})
        other = replace(run, source_digest="another")
        assert other.stage("score", ("scores",), lambda: {"scores": scores(0.75)}) == {"scores": 1}

    def test_a_stage_of_another_name_is_another_stage(self, run):
        run.stage("score", ("scores",), lambda: {"scores": scores(0.5)})
        assert run.stage("rescore", ("scores",), lambda: {"scores": scores(0.75)}) == {"scores": 1}
        assert run.stage("score", ("scores",), lambda: pytest.fail("did it again")) == {"scores": 0}

    def test_half_of_it_is_not_all_of_it(self, run):
        """The process died between the two tables: the stage is done again, as a whole."""
        run.lake.write("scores", scores(0.5), as_of=AS_OF, fingerprint=f"{run.run_key}:score")
        made = {"scores": scores(0.5), "reasons": scores(1.0)}
        assert run.stage("score", ("scores", "reasons"), lambda: made) == {"scores": 1, "reasons": 0}

    def test_an_error_leaves_nothing_behind(self, run):
        def work() -> dict[str, pa.Table]:
            raise RuntimeError("boom")

        with pytest.raises(RuntimeError):
            run.stage("score", ("scores",), work)
        assert not run.lake.has("scores")
        assert "score" not in run.seconds
        assert run.reporter.heard == [("score", "started")]

    def test_tables_other_than_declared_are_a_bug(self, run):
        with pytest.raises(AssertionError, match=r"stage score made \['rules'\], declared \['scores'\]"):
            run.stage("score", ("scores",), lambda: {"rules": scores(1.0)})
        assert not run.lake.has("rules")

    def test_a_slice_keeps_the_other_nights_and_a_whole_table_does_not(self, run):
        later = replace(run, as_of=datetime(2018, 1, 2, 5))
        for night, value in ((run, 0.5), (later, 0.75)):
            made = {name: scores(value, as_of=night.as_of) for name in ("scores", "training")}
            versions = night.stage("score", ("scores", "training"), lambda made=made: made, whole=("training",))
        assert later.frame("scores", versions, sliced=False).num_rows == 2
        assert later.frame("scores", versions)["score"].to_pylist() == [0.75]
        assert later.frame("training", versions, sliced=False)["score"].to_pylist() == [0.75]

    def test_a_step_without_tables_is_timed_and_heard_of(self, run):
        with run.timed("publish"):
            pass
        assert run.reporter.heard == [("publish", "started"), ("publish", "")]
        assert run.seconds["publish"] >= 0


def test_tables_open_at_their_version_with_the_engine_of_the_settings(tmp_path):
    settings = Settings(root=tmp_path, engine={"threads": 1, "memory_limit": "200MB"})
    run = Run(settings, AS_OF, "source")
    run.lake.write("scores", scores(0.5), as_of=None, fingerprint="one")
    run.lake.write("scores", scores(0.75), as_of=None, fingerprint="two")
    tables = run.tables({"scores": 0})
    assert tables["scores"].to_pyarrow()["score"].to_pylist() == [0.5]
    assert (tmp_path / "spill").stat().st_mode & 0o777 == 0o700
    threads, limit = (
        tables["scores"].get_backend().raw_sql(f"SELECT current_setting('{name}')").fetchone()[0]
        for name in ("threads", "memory_limit")
    )
    assert (threads, limit) == (1, "190.7 MiB")


class TestMidnight:
    @pytest.mark.parametrize(
        ("day", "timezone", "instant"),
        [
            (date(2018, 1, 1), "America/New_York", datetime(2018, 1, 1, 5)),
            (date(2017, 7, 1), "America/New_York", datetime(2017, 7, 1, 4)),
            (date(2024, 3, 31), "Europe/Berlin", datetime(2024, 3, 30, 23)),
            (date(2024, 4, 1), "Europe/Berlin", datetime(2024, 3, 31, 22)),
            (date(2024, 2, 29), "Asia/Kolkata", datetime(2024, 2, 28, 18, 30)),
            (date(2024, 1, 1), "UTC", datetime(2024, 1, 1)),
            # The clocks of Beirut skip this midnight: the day begins at one.
            (date(2022, 3, 27), "Asia/Beirut", datetime(2022, 3, 26, 22)),
        ],
    )
    def test_the_local_day_begins_there(self, day, timezone, instant):
        assert local_midnight(day, timezone) == instant

    @given(
        day=st.dates(date(1990, 1, 1), date(2060, 1, 1)),
        timezone=st.sampled_from(["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
    )
    def test_the_run_knows_its_day_again(self, day, timezone):
        settings = Settings(company=Company(timezone=timezone))
        assert Run(settings, local_midnight(day, timezone), "source").as_of_on == day


@pytest.mark.slow
def test_the_code_digest_is_the_same_in_another_process_and_folder(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pipelines.run import code_digest; print(code_digest())"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONHASHSEED": "9"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == code_digest()
