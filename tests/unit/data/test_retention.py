"""Nothing is kept longer than the company says, in no version, and nothing that a night needs is lost."""

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data.contracts.base import Severity
from data.errors import LakeError
from data.lake import Lake
from data.retention import PAST, Retention, enforce, expired, expired_nights

AS_OF = datetime(2024, 3, 1)


def lines(*days_ago: int | None) -> pa.Table:
    times = [None if days is None else AS_OF - timedelta(days=days) for days in days_ago]
    return pa.table({"order_id": [str(days) for days in days_ago], "event_time": pa.array(times, pa.timestamp("us"))})


def night(lake: Lake, number: int) -> None:
    """Publish one night a week, each of which replaces the scores as a whole."""
    as_of = AS_OF - timedelta(days=7 * (4 - number))
    version = lake.write("scores", pa.table({"x": [number]}), as_of=None, fingerprint=f"s{number}")
    lake.publish(
        f"night {number}", flow="nightly", as_of=as_of, code_digest="c",
        versions={"scores": version}, summary={}, mlflow_run_id=None,
    )  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    with lake.lock():
        lake.write("transactions", lines(400, 20), as_of=None, fingerprint="t1")
        lake.write("transactions", lines(400, 20, 30, None, 1), as_of=None, fingerprint="t2")
        for number in range(5):
            night(lake, number)
    return lake


def orders(lake: Lake, version: int) -> list[str]:
    return lake.read("transactions", version=version)["order_id"].to_pylist()


def test_rows_past_their_period_leave_every_version_and_are_counted(lake):
    (result,) = enforce(lake, Retention(transactions_days=30), AS_OF)
    assert orders(lake, 0) == ["20"]
    assert orders(lake, 1) == ["20", "30", "None", "1"], "the period is half-open, and what has no time stays"
    assert (result.table_name, result.expectation, result.severity) == ("transactions", PAST, Severity.WARNING)
    assert (result.n_failed, result.is_passed) == (2, True)
    assert result.detail == "2 rows before 2024-01-31 removed"


def test_again_removes_nothing(lake):
    enforce(lake, Retention(transactions_days=30, history_days=10), AS_OF)
    again = enforce(lake, Retention(transactions_days=30, history_days=10), AS_OF)
    assert [(result.table_name, result.n_failed) for result in again] == [("transactions", 0)]


def test_without_periods_everything_stays(lake):
    before = {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()}
    assert enforce(lake, Retention(), AS_OF) == []
    assert {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()} == before


def test_a_table_that_is_not_there_is_no_mistake(lake):
    (result,) = enforce(lake, Retention(feedback_days=1), AS_OF)
    assert result.n_failed == 0


def test_old_nights_are_no_longer_readable_and_young_ones_are(lake):
    gone = expired_nights(lake, Retention(history_days=10), AS_OF)
    assert [one.run_key for one in gone] == ["night 2", "night 1", "night 0"]
    results = enforce(lake, Retention(history_days=10), AS_OF)
    assert {result.table_name: result.n_failed for result in results} == {"scores": 3, "transactions": 1}
    for number in (3, 4):
        assert lake.published("scores", lake.snapshot(f"night {number}"))["x"].to_pylist() == [number]
    with pytest.raises(LakeError, match="misses 1 of 1 files"):
        lake.published("scores", lake.snapshot("night 0"))
    assert lake.read("snapshots").num_rows == 5, "that they took place is still known"


def test_the_newest_nights_stay_however_old_they_are(lake):
    much_later, retention = AS_OF + timedelta(days=999), Retention(history_days=1, least_nights=4)
    assert [one.run_key for one in expired_nights(lake, retention, much_later)] == ["night 0"]
    enforce(lake, retention, much_later)
    for number in (1, 2, 3, 4):
        assert lake.published("scores", lake.snapshot(f"night {number}"))["x"].to_pylist() == [number]


def test_the_newest_version_of_a_table_stays_published_or_not(lake):
    with lake.lock():
        lake.write("scores", pa.table({"x": [99]}), as_of=None, fingerprint="unpublished")
    enforce(lake, Retention(history_days=1), AS_OF + timedelta(days=999))
    assert lake.read("scores")["x"].to_pylist() == [99]
    assert orders(lake, 1), "a table that no kept night names keeps its newest version"


def test_an_empty_lake_has_nothing_to_remove(tmp_path):
    lake = Lake(tmp_path)
    assert expired_nights(lake, Retention(history_days=1), AS_OF) == []
    assert enforce(lake, Retention(history_days=1), AS_OF) == []


def test_ingest_leaves_out_by_the_same_condition(lake):
    """A full delivery brings old rows again; SQL and the edit that cleans the lake agree on each row."""
    (rule,) = expired(Retention(transactions_days=30), AS_OF)
    table = lake.read("transactions")
    with duckdb.connect() as connection:
        connection.register("lines", table)
        kept = connection.execute(f"SELECT order_id FROM lines WHERE NOT {rule.predicate}").fetchall()
    assert [row[0] for row in kept] == rule(table)["order_id"].to_pylist() == ["20", "30", "None", "1"]


def test_quarantine_goes_by_the_night_that_filled_it():
    assert [(one.table, one.column) for one in expired(Retention(quarantine_days=1, contacts_days=2), AS_OF)] == [
        ("contacts", "assigned_at"),
        ("quarantine", "as_of"),
    ]


@pytest.mark.parametrize("wrong", [{"transactions_days": 0}, {"history_day": 3}, {"least_nights": 0}])
def test_a_typo_is_no_period(wrong):
    with pytest.raises(ValidationError):
        Retention.model_validate(wrong)
