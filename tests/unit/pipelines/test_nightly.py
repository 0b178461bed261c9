"""The flow around the stages: which day it is for, what is tried again, and how a night that fails is recorded."""

import logging
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.utilities.engine import collect_task_run_inputs_sync

from data.errors import ContractError
from pipelines import nightly
from pipelines.run import Run
from pipelines.settings import Settings

ERROR = ContractError("rows", "none", "mend them")


class Tracker:
    """Notes how a run ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, bool]] = []

    def finish(self, run_id: str, *, failed: bool = False) -> None:
        self.ended.append((run_id, failed))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[date]:
    """Return the days that the flow asks for; its night is done already."""
    days: list[date] = []

    def plan(config: object, root: object, day: object, _today: object) -> Run:
        days.append(day("America/New_York"))
        return Run(Settings(root=tmp_path), datetime(2018, 1, 1, 5), "source")

    monkeypatch.setattr(nightly, "plan", plan)
    monkeypatch.setattr(nightly, "is_done", lambda _: True)
    return days


class TestDay:
    @pytest.mark.parametrize("as_of", [date(2017, 6, 1), "2017-06-01"])
    def test_a_day_may_come_as_a_date_or_from_an_interface_as_text(self, asked, as_of):
        nightly.nightly.fn(None, None, as_of)
        assert asked == [date(2017, 6, 1)]

    @pytest.mark.parametrize(
        ("scheduled", "day"),
        [
            (datetime(2017, 6, 1, 6, 0), date(2017, 6, 1)),
            (datetime(2017, 6, 1, 3, 59), date(2017, 5, 31)),
            (datetime(2017, 12, 1, 4, 59), date(2017, 11, 30)),
        ],
    )
    def test_without_one_it_is_the_local_day_for_which_the_run_was_scheduled(self, asked, monkeypatch, scheduled, day):
        """Not the day on which it runs: a night that is late is still that night."""
        monkeypatch.setattr(nightly, "flow_run", SimpleNamespace(scheduled_start_time=scheduled.replace(tzinfo=UTC)))
        nightly.nightly.fn()
        assert asked == [day]


class TestRetries:
    def test_only_what_touches_the_world_is_tried_again(self):
        tasks = {name: task for name in nightly.STAGES if (task := getattr(nightly, f"_{name}"))}
        assert {name: task.retries for name, task in tasks.items() if task.retries} == dict.fromkeys(
            ("validate", "train", "gate", "score", "watch", "publish", "report"), 2
        )

    def test_nothing_is_ever_taken_from_prefect_s_cache(self):
        tasks = [getattr(nightly, f"_{name}") for name in nightly.STAGES]
        assert {str(task.cache_policy) for task in tasks} == {str(nightly.NO_CACHE)}
        assert {task.persist_result for task in tasks} == {False}

    @pytest.mark.parametrize(
        ("error", "is_worth"), [(ERROR, False), (OSError("disk is busy"), True), (OSError(28, "full"), False)]
    )
    def test_a_mistake_of_the_user_or_a_full_disk_is_not_tried_again(self, error, is_worth):
        state = State(type=StateType.FAILED, data=error)
        assert nightly._is_worth_retrying(None, None, state) is is_worth

    def test_tasks_are_named_after_their_stages(self):
        assert [getattr(nightly, f"_{name}").name for name in nightly.STAGES] == list(nightly.STAGES)


class TestRecord:
    @pytest.mark.parametrize("error", [ERROR, ZeroDivisionError(), KeyboardInterrupt(), SystemExit(143)])
    def test_a_night_that_does_not_end_well_has_failed(self, error):
        tracker = Tracker()

        def night() -> None:
            with nightly._ended(tracker, "r1"):
                raise error

        with pytest.raises(type(error)):
            night()
        assert tracker.ended == [("r1", True)]

    def test_what_ended_it_is_heard_though_its_end_cannot_be_written_down(self):
        class Full:
            def finish(self, _: str, *, failed: bool) -> None:
                raise OSError(28, f"failed: {failed}")

        with pytest.raises(ZeroDivisionError), nightly._ended(Full(), "r1"):
            raise ZeroDivisionError

    def test_one_that_does_is_left_to_its_report(self):
        tracker = Tracker()
        with nightly._ended(tracker, "r1"):
            pass
        assert tracker.ended == []

    def test_parameters_are_flat_and_hold_what_decides(self, tmp_path):
        run = Run(Settings(root=tmp_path), datetime(2018, 1, 1, 5), "0123456789abcdef0123")
        params = nightly._params(run)
        assert params["money.margin_share"] == 0.25
        assert params["as_of"] == "2018-01-01T05:00:00"
        assert params["source_digest"] == "0123456789abcdef"
        assert not {"root", "engine.threads"} & set(params)

    @pytest.mark.parametrize(("error", "keeps"), [(ERROR, False), (ZeroDivisionError("a bug"), True)])
    def test_only_a_bug_is_logged_with_its_traceback(self, error, keeps):
        info = (type(error), error, None)
        record = logging.LogRecord("prefect.flow_runs", logging.ERROR, __file__, 1, "failed: %s", (error,), info)
        assert nightly._without_traceback(record)
        assert bool(record.exc_info) is keeps
        assert nightly._without_traceback in logging.getLogger("prefect.flow_runs").filters


def test_prefect_finds_its_way_through_a_mapping_with_joins(tmp_path):
    """It turns every argument of a task inside out, and takes a model with an attribute ``keys`` for a dictionary."""
    path = tmp_path / "regulars.toml"
    path.write_text(
        '[sources.transactions]\npath = "orders.csv"\n'
        'columns = { order_id = "id", customer_id = "person", product_id = "a", event_time = "at", quantity = "n" }\n'
        'join = [{ path = "people.csv", on = ["person", "id"] }]\nreturns = { column = "kind", values = ["R"] }\n'
        'money.amount_cents = { column = "price", times = "n" }\n'
    )
    settings = Settings.read(path)
    assert settings.sources.transactions.join[0].key_columns == ("person", "id")
    assert collect_task_run_inputs_sync(Run(settings, datetime(2018, 1, 1, 5), "source")) == set()
