"""The lake: slices, fingerprints, versions, the manifest."""

import os
import stat
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from data.errors import LakeError
from data.lake import SNAPSHOTS, Lake

MONDAY, TUESDAY, WEDNESDAY = (datetime.fromisoformat(f"2018-01-0{day}T05:00") for day in (1, 2, 3))


def scores(as_of: datetime, ids: str, **extra: Any) -> pa.Table:
    """Return a slice with one row per letter of ids, in that order."""
    columns: dict[str, Any] = {
        "customer_id": pa.array(list(ids), pa.string()),
        "as_of": pa.array([as_of] * len(ids), pa.timestamp("us")),
        "value_cents": pa.array(range(len(ids)), pa.int64()),
    }
    return pa.table({**columns, **extra})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def publish(lake: Lake, run_key: str, versions: dict[str, int], as_of: datetime = MONDAY) -> None:
    lake.publish(
        run_key, flow="nightly", as_of=as_of, code_digest="c0", versions=versions, summary={"n": 1}, mlflow_run_id=None
    )


def test_every_type_of_the_house_comes_back_as_it_went(lake: Lake) -> None:
    data = pa.table(
        {
            "text": ["a", None, "é"],
            "instant": pa.array(
                [MONDAY, None, datetime.fromisoformat("1969-12-31T23:59:59.999999")], pa.timestamp("us")
            ),
            "quantity": pa.array([Decimal("-1.500"), None, Decimal("99999.001")], pa.decimal128(18, 3)),
            "on": pa.array([date(2017, 1, 1), None, date(1900, 1, 1)], pa.date32()),
            "cents": pa.array([1, None, -(2**62)], pa.int64()),
            "share": pa.array([0.1, None, -np.inf], pa.float64()),
            "is_eligible": [True, None, False],
        }
    )
    assert lake.write("all", data, as_of=None, fingerprint="f") == 0
    assert lake.read("all").equals(data)
    assert lake.schema("all") == data.schema


def test_a_slice_replaces_itself_alone(lake: Lake) -> None:
    lake.write("scores", scores(MONDAY, "ba"), as_of=MONDAY, fingerprint="f1")
    lake.write("scores", scores(TUESDAY, "zyx"), as_of=TUESDAY, fingerprint="f2")
    version = lake.write("scores", scores(MONDAY, "q"), as_of=MONDAY, fingerprint="f3")
    assert version == lake.version("scores") == 2
    assert lake.read("scores")["customer_id"].to_pylist() == ["q", "z", "y", "x"]
    assert lake.read("scores", as_of=TUESDAY).equals(scores(TUESDAY, "zyx"))
    assert lake.read("scores", version=1, as_of=MONDAY).equals(scores(MONDAY, "ba"))
    assert lake.read("scores", as_of=WEDNESDAY).num_rows == 0


def test_slices_come_by_as_of_whatever_the_order_of_nights(lake: Lake) -> None:
    for as_of in (WEDNESDAY, MONDAY, TUESDAY):
        lake.write("scores", scores(as_of, "ba"), as_of=as_of, fingerprint=str(as_of))
    expected = [as_of for as_of in (MONDAY, TUESDAY, WEDNESDAY) for _ in range(2)]
    assert lake.read("scores")["as_of"].to_pylist() == expected


def test_an_empty_slice_empties_and_an_empty_table_has_its_columns(lake: Lake) -> None:
    lake.write("scores", scores(MONDAY, ""), as_of=MONDAY, fingerprint="f0")
    assert lake.read("scores").schema == scores(MONDAY, "").schema
    assert lake.uris("scores") == []
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    lake.write("scores", scores(TUESDAY, "c"), as_of=TUESDAY, fingerprint="f2")
    lake.write("scores", scores(MONDAY, ""), as_of=MONDAY, fingerprint="f3")
    assert lake.read("scores")["customer_id"].to_pylist() == ["c"]
    assert lake.read("scores", columns=["customer_id"]).column_names == ["customer_id"]


def test_a_new_column_is_null_in_older_slices_and_a_missing_one_in_newer(lake: Lake) -> None:
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    lake.write("scores", scores(TUESDAY, "c", risk_share=[0.5]), as_of=TUESDAY, fingerprint="f2")
    lake.write("scores", scores(WEDNESDAY, "d"), as_of=WEDNESDAY, fingerprint="f3")
    assert lake.read("scores")["risk_share"].to_pylist() == [None, None, 0.5, None]
    assert lake.read("scores", version=0).column_names == ["customer_id", "as_of", "value_cents"]


def test_a_whole_write_takes_the_columns_of_the_new_rows(lake: Lake) -> None:
    lake.write("products", pa.table({"product_id": ["a"], "brand": ["x"]}), as_of=None, fingerprint="f1")
    new = pa.table({"product_id": ["b"], "colour": ["red"]})
    lake.write("products", new, as_of=None, fingerprint="f2")
    assert lake.read("products").equals(new)


@pytest.mark.parametrize("as_of", [MONDAY, None])
def test_a_changed_type_is_refused_and_named(lake: Lake, as_of: datetime | None) -> None:
    lake.write("scores", scores(MONDAY, "ab"), as_of=as_of, fingerprint="f1")
    changed = scores(MONDAY, "ab").set_column(2, "value_cents", pa.array([1.5, 2.5]))
    with pytest.raises(LakeError, match=r"scores\.value_cents comes as double; expected: int64, as in"):
        lake.write("scores", changed, as_of=as_of, fingerprint="f2")
    assert lake.version("scores") == 0


@pytest.mark.parametrize(
    "column",
    [
        pa.array([MONDAY], pa.timestamp("ns")),
        pa.array([MONDAY], pa.timestamp("us", "UTC")),
        pa.array([1], pa.uint32()),
        pa.nulls(1),
        pa.array([[1]]),
    ],
    ids=lambda column: str(column.type),
)
def test_a_type_that_spark_cannot_read_is_refused(lake: Lake, column: pa.Array) -> None:
    with pytest.raises(LakeError, match=r"odd\.x comes as .*; expected: text, bool, a signed integer"):
        lake.write("odd", pa.table({"x": column}), as_of=None, fingerprint="f")
    assert not lake.has("odd")


def test_categories_and_large_text_are_stored_as_text(lake: Lake) -> None:
    for version, column in enumerate(
        (pa.array(["a", None]).dictionary_encode(), pa.array(["b", None], pa.large_string()))
    ):
        assert lake.write("texts", pa.table({"x": column}), as_of=None, fingerprint="f") == version
        assert lake.read("texts").schema == pa.schema([("x", pa.string())])


def test_rows_outside_the_slice_are_refused(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"scores has rows of as_of 2018-01-02"):
        lake.write("scores", scores(TUESDAY, "a"), as_of=MONDAY, fingerprint="f")
    with pytest.raises(LakeError, match="has no column as_of"):
        lake.write("scores", pa.table({"x": [1]}), as_of=MONDAY, fingerprint="f")
    with pytest.raises(ValueError, match="naive UTC"):
        lake.write("scores", scores(MONDAY, "a"), as_of=MONDAY.astimezone(), fingerprint="f")


def test_rows_keep_their_order_beyond_one_batch(lake: Lake) -> None:
    n = 300_000
    numbers = pa.chunked_array([np.arange(start, start + 10_000) for start in range(0, n, 10_000)])
    data = pa.table({"i": numbers, "as_of": pa.array(np.full(n, np.datetime64(MONDAY, "us")))})
    for as_of in (None, MONDAY):
        lake.write("long", data, as_of=as_of, fingerprint="f")
        assert lake.read("long")["i"].to_numpy().tolist() == list(range(n))


def test_a_stream_is_written_whole_or_not_at_all(lake: Lake) -> None:
    schema = pa.schema([("i", pa.int64())])

    def batches(n_good: int, *, fails: bool) -> Any:
        for k in range(n_good):
            yield pa.record_batch({"i": np.arange(k * 1000, (k + 1) * 1000)}, schema=schema)
        if fails:
            raise OSError("the source went away")

    good = pa.RecordBatchReader.from_batches(schema, batches(50, fails=False))
    assert lake.write("stream", good, as_of=None, fingerprint="f1") == 0
    broken = pa.RecordBatchReader.from_batches(schema, batches(50, fails=True))
    with pytest.raises(LakeError, match="the source went away"):
        lake.write("stream", broken, as_of=None, fingerprint="f2")
    assert sorted(lake.read("stream")["i"].to_pylist()) == list(range(50_000))
    assert lake.find("stream", "f2") is None


def test_a_streamed_slice_with_strange_rows_is_refused(lake: Lake) -> None:
    lake.write("scores", scores(MONDAY, "a").to_reader(), as_of=MONDAY, fingerprint="f1")
    with pytest.raises(LakeError, match="cannot write scores"):
        lake.write("scores", scores(TUESDAY, "a").to_reader(), as_of=MONDAY, fingerprint="f2")
    assert lake.version("scores") == 0


def test_find_returns_the_newest_readable_version_of_a_fingerprint(lake: Lake) -> None:
    assert lake.find("scores", "f1") is None
    for as_of, fingerprint in ((MONDAY, "f1"), (TUESDAY, "f2"), (MONDAY, "f1"), (WEDNESDAY, "f3")):
        lake.write("scores", scores(as_of, fingerprint), as_of=as_of, fingerprint=fingerprint)
    assert [lake.find("scores", name) for name in ("f1", "f2", "f3", "f4")] == [2, 1, 3, None]


def test_find_stays_right_after_the_slice_was_replaced(lake: Lake) -> None:
    version = lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    lake.write("scores", scores(MONDAY, "xyz"), as_of=MONDAY, fingerprint="f2")
    assert lake.find("scores", "f1") == version
    assert lake.read("scores", version=version, as_of=MONDAY).equals(scores(MONDAY, "ab"))


def test_a_version_without_its_files_is_not_found_and_says_so(lake: Lake) -> None:
    version = lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    Path(lake.uris("scores")[0]).unlink()
    assert lake.find("scores", "f1") is None
    with pytest.raises(LakeError, match="at version 0 misses 1 of 1 files"):
        lake.read("scores", version=version)
    with pytest.raises(LakeError, match="misses 1 of 1"):
        publish(lake, "run", {"scores": version})


def test_a_damaged_file_is_a_lake_error(lake: Lake) -> None:
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    Path(lake.uris("scores")[0]).write_bytes(b"PAR1 this is not parquet PAR1")
    with pytest.raises(LakeError, match="cannot read scores"):
        lake.read("scores")


def test_what_is_not_there_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"no table scores .* do: run regulars nightly"):
        lake.read("scores")
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    with pytest.raises(LakeError, match="at version 7"):
        lake.read("scores", version=7)
    with pytest.raises(LakeError, match="no snapshot in"):
        lake.published("scores")
    publish(lake, "run", {"scores": 0})
    with pytest.raises(LakeError, match="snapshot run without table rules"):
        lake.published("rules")


def test_delta_features_that_we_cannot_read_are_refused(lake: Lake) -> None:
    write_deltalake(
        str(lake.root / "strange"), pa.table({"x": [1]}), configuration={"delta.enableDeletionVectors": "true"}
    )
    with pytest.raises(LakeError, match=r"strange in .* uses deletionVectors"):
        lake.read("strange")


def test_spark_can_read_what_we_write(lake: Lake) -> None:
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    lake.write("scores", scores(TUESDAY, "ab", x=["a", "b"]), as_of=TUESDAY, fingerprint="f1")
    protocol = DeltaTable(str(lake.root / "scores")).protocol()
    assert set(protocol.reader_features or []) | set(protocol.writer_features or []) == {"timestampNtz"}


def test_only_the_owner_may_look(lake: Lake) -> None:
    old = os.umask(0o000)
    try:
        for as_of in (MONDAY, TUESDAY):
            lake.write("scores", scores(as_of, "ab"), as_of=as_of, fingerprint="f1")
        publish(lake, "run", {"scores": 1})
        with lake.lock():
            pass
    finally:
        os.umask(old)
    for path in [lake.root, *lake.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("root", ["s3://bucket/lake", "/tmp/50%20off"])
def test_a_root_that_cannot_work_is_refused(root: str) -> None:
    with pytest.raises(LakeError, match="name another folder"):
        Lake(root)


def test_a_root_with_blanks_and_accents_works(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "données d'été #1")
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    assert lake.find("scores", "f1") == 0
    assert lake.read("scores").equals(scores(MONDAY, "ab"))


def test_publish_makes_versions_current_together(lake: Lake) -> None:
    assert lake.snapshot() is None
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    publish(lake, "first", {"scores": 0})
    lake.write("scores", scores(TUESDAY, "c"), as_of=TUESDAY, fingerprint="f2")
    assert lake.published("scores").equals(scores(MONDAY, "ab"))
    publish(lake, "second", {"scores": 1}, TUESDAY)
    newest = lake.snapshot()
    assert newest is not None
    assert (newest.sequence, newest.run_key, newest.as_of, newest.versions) == (1, "second", TUESDAY, {"scores": 1})
    assert lake.published("scores").num_rows == 3
    first = lake.snapshot("first")
    assert first is not None
    assert lake.published("scores", first).num_rows == 2
    assert lake.snapshot("third") is None


def test_publish_again_is_a_no_op_even_when_others_came_later(lake: Lake) -> None:
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    publish(lake, "first", {"scores": 0})
    publish(lake, "second", {"scores": 0})
    before = {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()}
    publish(lake, "first", {"scores": 0})
    assert {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()} == before
    newest = lake.snapshot()
    assert newest is not None
    assert newest.run_key == "second"


def test_a_run_with_other_versions_is_published_anew(lake: Lake) -> None:
    for _ in range(2):
        lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    publish(lake, "run", {"scores": 0})
    publish(lake, "run", {"scores": 1})
    snapshot = lake.snapshot("run")
    assert snapshot is not None
    assert (snapshot.sequence, snapshot.versions) == (1, {"scores": 1})
    assert lake.read(SNAPSHOTS)["sequence"].to_pylist().count(1) == 1


def test_the_manifest_row_has_no_clock_and_its_sequence_is_the_delta_version(lake: Lake, tmp_path: Path) -> None:
    other = Lake(tmp_path / "other")
    for one in (lake, other):
        one.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
        for k in range(3):
            publish(one, f"run {k}", {"scores": 0})
    assert lake.digest(SNAPSHOTS, keys=["sequence"]) == other.digest(SNAPSHOTS, keys=["sequence"])
    for version in range(3):
        assert max(lake.read(SNAPSHOTS, version=version)["sequence"].to_pylist()) == version


def test_publish_refuses_numbers_that_json_has_not(lake: Lake) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        lake.publish(
            "run",
            flow="nightly",
            as_of=MONDAY,
            code_digest="c",
            versions={},
            summary={"auc": float("nan")},
            mlflow_run_id=None,
        )
    assert lake.snapshot() is None


def test_more_than_a_checkpoint_of_nights_stays_readable(lake: Lake) -> None:
    for k in range(103):
        lake.write("scores", scores(MONDAY, "ab"[: 1 + k % 2]), as_of=MONDAY, fingerprint=f"f{k}")
    assert [lake.find("scores", f"f{k}") for k in (0, 50, 102)] == [0, 50, 102]
    assert lake.read("scores", version=1).num_rows == 2


def test_digest_reads_one_version_and_slice(lake: Lake) -> None:
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    before = lake.digest("scores", keys=["customer_id"])
    lake.write("scores", scores(TUESDAY, "ab"), as_of=TUESDAY, fingerprint="f2")
    assert lake.digest("scores", as_of=MONDAY, keys=["customer_id"]) == before
    assert lake.digest("scores", version=0, keys=["customer_id"]) == before
    assert lake.digest("scores", keys=["customer_id"]) != before


@pytest.mark.parametrize("change", [lambda lake: lake.read("scores"), lambda lake: lake.find("scores", "f1")])
def test_reading_changes_nothing(lake: Lake, change: Callable[[Lake], object]) -> None:
    lake.write("scores", scores(MONDAY, "ab"), as_of=MONDAY, fingerprint="f1")
    before = sorted(lake.root.rglob("*"))
    change(lake)
    assert sorted(lake.root.rglob("*")) == before
