"""The nightly flow: validate, features, train, gate, score, watch, sell, judge campaigns, decide, publish, report.

Tasks are plain functions. Only those that touch the world are tried again: reading the source, and MLflow. Stages that
are already done are found in the lake by the run's fingerprint, never in Prefect's cache.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from prefect import Flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run

from data.errors import UserError
from pipelines.baskets import sell_together
from pipelines.campaign import judge_campaigns
from pipelines.decide import decide_actions
from pipelines.erase import resume
from pipelines.identify import identify
from pipelines.ingest import ingest
from pipelines.judge import judge
from pipelines.observe import observe
from pipelines.plan import open_source, plan, read_settings
from pipelines.portfolio import portfolio
from pipelines.publish import publish, report
from pipelines.results import is_done
from pipelines.room import room, says_full
from pipelines.run import Run
from pipelines.score import score
from pipelines.tracking import Tracker
from pipelines.train import train
from pipelines.watch import watch

STAGES = (
    "validate",
    "identify",
    "features",
    "train",
    "gate",
    "score",
    "watch",
    "portfolio",
    "baskets",
    "campaigns",
    "decide",
    "publish",
    "report",
)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Let a user error say all in its one line; anything else keeps its traceback."""
    if record.exc_info and isinstance(record.exc_info[1], UserError):
        record.exc_info = None
    return True


if "ignore" in sys.warnoptions:
    # Libraries set filters of their own when they are imported; who asks for silence means them too.
    warnings.simplefilter("ignore")
for _runs in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_runs).addFilter(_without_traceback)
# MLflow logs, at full length, what it raises as well.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _is_worth_retrying(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Say no to user errors and a full disk: they stay however often they are tried; a busy disk or server may not."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, UserError) and not says_full(error)


def _task(function: Any, name: str, *, touches_world: bool = False) -> Any:
    retries: dict[str, Any] = {"retries": 2, "retry_delay_seconds": [2, 10], "retry_condition_fn": _is_worth_retrying}
    return task(function, name=name, cache_policy=NO_CACHE, persist_result=False, **(retries if touches_world else {}))


_validate = _task(ingest, "validate", touches_world=True)
_identify = _task(identify, "identify")
_features = _task(observe, "features")
_train = _task(train, "train", touches_world=True)
_gate = _task(judge, "gate", touches_world=True)
_score = _task(score, "score", touches_world=True)
_watch = _task(watch, "watch", touches_world=True)
_portfolio = _task(portfolio, "portfolio")
_baskets = _task(sell_together, "baskets")
_campaigns = _task(judge_campaigns, "campaigns")
_decide = _task(decide_actions, "decide")
_publish = _task(publish, "publish", touches_world=True)
_report = _task(report, "report", touches_world=True)


class _Night(Flow[..., str]):
    """A flow that says in one line that the disk is full, though it was Prefect's own store that found no room."""

    def __call__(self, config: str | None = None, root: str | None = None, as_of: date | str | None = None) -> str:  # type: ignore[override]
        with room(read_settings(config, root).root):
            return super().__call__(config, root, as_of)


@partial(_Night, name="nightly", validate_parameters=False, persist_result=False)
def nightly(config: str | None = None, root: str | None = None, as_of: date | str | None = None) -> str:
    """Run one night and return its run_key; a night that is already published is left as it is.

    Parameters
    ----------
    config
        Path of ``regulars.toml``; null runs the demo.
    root
        Folder for everything that the run writes; null takes the configuration's.
    as_of
        Local date at whose midnight knowledge ends, as text where it comes from Prefect's interface; null takes the
        day on which the run was scheduled.
    """
    day = date.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    run = plan(config, root, _scheduled_on if day is None else lambda _: day, _scheduled_on)
    with room(run.settings.root), run.lake.lock():
        resume(run.settings)
        if not is_done(run):
            _night(run)
    return run.run_key


def _scheduled_on(timezone: str) -> date:
    scheduled: datetime = flow_run.scheduled_start_time
    return scheduled.astimezone(ZoneInfo(timezone)).date()


def _night(run: Run) -> None:
    tracker = Tracker(run.settings.root)
    run_id = tracker.open_run(run.run_key, f"{run.flow} {run.as_of_on}", _params(run))
    with _ended(tracker, run_id):
        if run.lake.snapshot(run.run_key) is None:
            _published(run, tracker, run_id)
        with run.timed("report"):
            _report(run.settings, tracker, run.run_key)


def _published(run: Run, tracker: Tracker, run_id: str) -> None:
    versions: dict[str, int] = _validate(run, open_source(run.settings))
    versions |= _identify(run, versions)
    versions |= _features(run, versions)
    versions |= _train(run, versions, tracker, run_id)
    versions |= _gate(run, versions, tracker, run_id)
    versions |= _score(run, versions, tracker)
    versions |= _watch(run, versions, tracker)
    versions |= _portfolio(run, versions)
    versions |= _baskets(run, versions)
    versions |= _campaigns(run, versions)
    versions |= _decide(run, versions)
    with run.timed("publish"):
        _publish(run, versions, tracker, run_id)


@contextmanager
def _ended(tracker: Tracker, run_id: str) -> Iterator[None]:
    """Mark the MLflow run as failed where the night is not finished."""
    try:
        yield
    except BaseException:
        # What ended the night may keep its end from being written down too, and is what must be heard.
        with suppress(Exception):
            tracker.finish(run_id, failed=True)
        raise


def _params(run: Run) -> dict[str, Any]:
    sections = run.settings.model_dump(mode="json", exclude={"root", "engine", "seed"})
    flat = {f"{section}.{name}": value for section, part in sections.items() for name, value in (part or {}).items()}
    return flat | {"as_of": run.as_of.isoformat(), "seed": run.settings.seed, "source_digest": run.source_digest[:16]}
