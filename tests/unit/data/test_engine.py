"""The engine: what a session is set to, and views that say what the lake says."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pytest

from data.engine import attach, connect
from data.errors import LakeError
from data.lake import Lake

MONDAY, TUESDAY = datetime.fromisoformat("2018-01-01T05:00"), datetime.fromisoformat("2018-01-02T05:00")


@pytest.fixture
def backend(tmp_path: Path) -> Any:
    backend = connect(threads=2, memory_limit="500MB", spill=tmp_path / "spill")
    yield backend
    backend.disconnect()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def setting(backend: Any, name: str) -> Any:
    return backend.raw_sql(f"SELECT current_setting('{name}')").fetchone()[0]


def slice_of(as_of: datetime, n: int, **extra: Any) -> pa.Table:
    ids = pa.array([f"c{k}" for k in range(n)], pa.string())
    return pa.table({"customer_id": ids, "as_of": pa.array([as_of] * n, pa.timestamp("us")), **extra})


def test_a_session_is_utc_quiet_and_stays_at_home(backend: Any, tmp_path: Path) -> None:
    assert setting(backend, "TimeZone") == "UTC"
    assert setting(backend, "threads") == 2
    assert setting(backend, "autoinstall_known_extensions") is False
    assert setting(backend, "autoload_known_extensions") is False
    assert setting(backend, "preserve_insertion_order") is True
    assert setting(backend, "enable_progress_bar") is False
    assert setting(backend, "temp_directory") == str(tmp_path / "spill")
    assert (tmp_path / "spill").stat().st_mode & 0o777 == 0o700


def test_nothing_spills_unless_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    backend = connect(threads=1, memory_limit="50MB")
    with pytest.raises(duckdb.OutOfMemoryException):
        backend.raw_sql("SELECT * FROM (SELECT random() AS x FROM range(30_000_000)) ORDER BY x").fetchone()
    backend.disconnect()
    assert list(tmp_path.iterdir()) == []


def test_a_small_memory_spills_to_the_folder_and_finishes(tmp_path: Path) -> None:
    backend = connect(threads=1, memory_limit="100MB", spill=tmp_path / "spill")
    query = "SELECT x FROM (SELECT hash(i) AS x FROM range(8_000_000) t(i)) ORDER BY x LIMIT 1 OFFSET 7_999_999"
    assert backend.raw_sql(query).fetchone() is not None
    backend.disconnect()


def test_every_type_comes_through_unchanged(backend: Any, lake: Lake) -> None:
    data = pa.table(
        {
            "text": ["a", None],
            "at": pa.array([MONDAY, None], pa.timestamp("us")),
            "quantity": pa.array([Decimal("-1.500"), None], pa.decimal128(18, 3)),
            "on": pa.array([date(2017, 1, 1), None]),
            "cents": pa.array([2**62, None], pa.int64()),
            "n": pa.array([1, None], pa.int32()),
            "share": pa.array([0.1, None], pa.float64()),
            "is_new": [True, None],
        }
    )
    lake.write("all", data, as_of=None, fingerprint="f")
    table = attach(backend, lake, {"all": 0})["all"]
    assert table.to_pyarrow().equals(data)
    assert table.schema() == ibis.schema(data.schema)


def test_columns_that_a_file_lacks_are_null(backend: Any, lake: Lake) -> None:
    lake.write("observations", slice_of(MONDAY, 2), as_of=MONDAY, fingerprint="f1")
    lake.write("observations", slice_of(TUESDAY, 1, n_orders=pa.array([7])), as_of=TUESDAY, fingerprint="f2")
    views = attach(backend, lake, {"observations": 1})
    assert views["observations"].to_pyarrow().equals(lake.read("observations"))


def test_a_column_that_no_file_has_keeps_its_type(backend: Any, lake: Lake) -> None:
    lake.write("observations", slice_of(MONDAY, 2), as_of=MONDAY, fingerprint="f1")
    lake.write("observations", slice_of(TUESDAY, 1, n_orders=pa.array([7])), as_of=TUESDAY, fingerprint="f2")
    lake.write("observations", slice_of(TUESDAY, 0), as_of=TUESDAY, fingerprint="f3")
    table = attach(backend, lake, {"observations": 2})["observations"]
    assert table.n_orders.type() == ibis.dtype("int64")
    assert table.to_pyarrow().equals(lake.read("observations"))


def test_a_version_without_rows_is_an_empty_typed_table(backend: Any, lake: Lake) -> None:
    lake.write("observations", slice_of(MONDAY, 0), as_of=MONDAY, fingerprint="f1")
    table = attach(backend, lake, {"observations": 0})["observations"]
    assert table.count().to_pyarrow().as_py() == 0
    assert table.schema() == ibis.schema(lake.schema("observations"))


def test_a_view_stays_at_its_version(backend: Any, lake: Lake) -> None:
    first = lake.write("observations", slice_of(MONDAY, 3), as_of=MONDAY, fingerprint="f1")
    views = attach(backend, lake, {"observations": first})
    lake.write("observations", slice_of(MONDAY, 5), as_of=MONDAY, fingerprint="f2")
    assert views["observations"].count().to_pyarrow().as_py() == 3
    assert attach(backend, lake, {"observations": 1})["observations"].count().to_pyarrow().as_py() == 5


def test_odd_names_do_not_break_out_of_the_query(backend: Any, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "it's the lake")
    lake.write('a "b"', pa.table({'x "y"': [1], "select": [2]}), as_of=None, fingerprint="f")
    assert attach(backend, lake, {'a "b"': 0})['a "b"'].to_pyarrow().to_pylist() == [{'x "y"': 1, "select": 2}]


def test_a_missing_version_is_a_lake_error(backend: Any, lake: Lake) -> None:
    with pytest.raises(LakeError, match="no table rules"):
        attach(backend, lake, {"rules": 0})


def test_filters_reach_the_files(backend: Any, lake: Lake) -> None:
    n = 300_000
    data = pa.table({"i": np.arange(n), "at": pa.array(np.arange(n) * 1_000_000, pa.timestamp("us"))})
    lake.write("lines", data, as_of=None, fingerprint="f")
    table = attach(backend, lake, {"lines": 0})["lines"]
    query = ibis.to_sql(
        table.filter(table.at < datetime.fromisoformat("1970-01-01T00:01")).select("i"), dialect="duckdb"
    )
    plan = backend.raw_sql(f"EXPLAIN {query}").fetchall()[0][1]
    scan = plan[plan.index("PARQUET") :]
    assert "Filters" in scan
    assert "CAST" not in scan


def test_one_and_two_threads_give_the_same_rows_in_the_same_order(lake: Lake) -> None:
    n = 400_000
    data = pa.table({"customer_id": np.arange(n) % 997, "cents": np.arange(n) * 7919 % 10_007})
    lake.write("lines", data, as_of=None, fingerprint="f")
    results = []
    for threads in (1, 2):
        backend = connect(threads=threads)
        lines = attach(backend, lake, {"lines": 0})["lines"]
        results.append((lines.filter(lines.cents > 5000).to_pyarrow(), lines.cents.sum().to_pyarrow().as_py()))
        backend.disconnect()
    assert results[0][0].equals(results[1][0])
    assert results[0][1] == results[1][1] == int(data["cents"].to_numpy().sum())


def test_streams_from_the_engine_into_the_lake(backend: Any, lake: Lake) -> None:
    lake.write("lines", pa.table({"i": np.arange(200_000)}), as_of=None, fingerprint="f")
    attach(backend, lake, {"lines": 0})
    reader = backend.raw_sql("SELECT i, i * 2 AS double FROM lines").to_arrow_reader(50_000)
    lake.write("doubled", reader, as_of=None, fingerprint="g")
    assert lake.read("doubled").num_rows == 200_000
    assert lake.schema("doubled") == pa.schema([("i", pa.int64()), ("double", pa.int64())])
