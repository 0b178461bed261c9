"""Retain: nothing longer than its period, neither in the lake nor as a file of a past night."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from data.contracts.base import ExpectationResult
from data.lake import Lake, Snapshot
from data.retention import enforce, expired_nights
from pipelines.results import folder_of
from pipelines.settings import Settings


def retain(settings: Settings, as_of: datetime) -> list[ExpectationResult]:
    """Remove what the settings keep no longer at ``as_of``, and return what was removed for the quality table.

    Hold the lake's lock, and call it before a night begins: what the newest nights need stays. Again changes nothing.
    """
    lake, retention = Lake(settings.lake_root), settings.retention
    for night in expired_nights(lake, retention, as_of):
        for folder in _files_of(settings, night):
            shutil.rmtree(folder, ignore_errors=True)
    return enforce(lake, retention, as_of)


def _files_of(settings: Settings, night: Snapshot) -> Iterator[Path]:
    """Yield the folders with files of a night: its own, and the copy that MLflow has."""
    yield folder_of(settings, night)
    if night.mlflow_run_id:
        yield settings.root / "mlartifacts" / night.mlflow_run_id / "artifacts" / "report"
