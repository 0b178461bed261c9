"""Spark as an engine: the rows of the lake as they are, the meaning of DuckDB, and Ctrl-C as before."""

import os
import signal
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import pyarrow as pa
import pytest

from data.engine import connect as connect_duckdb
from data.errors import ConfigError, LakeError
from data.identity.masters import resolved as resolved_on_duckdb
from data.lake import Lake

cluster = pytest.importorskip("data.cluster")
PySparkException = pytest.importorskip("pyspark.errors").PySparkException

pytestmark = [
    pytest.mark.slow,
    # PySpark and its bridge leave their sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WHOLE = pa.table(
    {
        "text": pa.array(["a", None, " \t'quoted`\" "], pa.string()),
        "flag": pa.array([True, None, False], pa.bool_()),
        "small": pa.array([1, None, -128], pa.int8()),
        "number": pa.array([2**63 - 1, None, -5], pa.int64()),
        "share": pa.array([0.1, None, float("nan")], pa.float64()),
        "amount": pa.array([Decimal("1.250"), None, Decimal("-3.000")], pa.decimal128(18, 3)),
        "day": pa.array([date(2016, 2, 29), None, date(9999, 12, 31)], pa.date32()),
        # The hour that New York's wall clock skips is an instant like any other.
        "at": pa.array([datetime(2017, 3, 12, 2, 30, 0, 1), None, datetime(1969, 12, 31)], pa.timestamp("us")),
    }
)
MAPPING = pa.table({"customer_id": ["b", "c"], "master_id": ["a", "a"]})
PEOPLE = pa.table(
    {
        "customer_id": ["c", "b", "a", "d", None],
        "campaign_id": ["m1", "m1", "m2", "m1", "m1"],
        "first_seen_on": [date(2020, 1, 3), None, date(2020, 1, 5), date(2020, 1, 1), None],
    }
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "a lake of 2*3")


def test_rows_of_the_lake_arrive_as_they_are(spark_backend: Any, lake: Lake) -> None:
    version = lake.write("whole", WHOLE, as_of=None, fingerprint="f")
    table = cluster.attach(spark_backend, lake, {"whole": version})["whole"]
    found = table.to_pyarrow().combine_chunks().sort_by("number")
    assert found.schema.equals(WHOLE.schema)
    assert str(found.to_pylist()) == str(WHOLE.sort_by("number").to_pylist())


def test_a_version_stays_and_one_without_rows_is_an_empty_table(spark_backend: Any, lake: Lake) -> None:
    first = lake.write("whole", WHOLE, as_of=None, fingerprint="f")
    nothing = lake.write("whole", WHOLE.slice(0, 0), as_of=None, fingerprint="g")
    assert cluster.attach(spark_backend, lake, {"whole": nothing})["whole"].count().to_pyarrow().as_py() == 0
    assert cluster.attach(spark_backend, lake, {"whole": first})["whole"].count().to_pyarrow().as_py() == 3


def test_a_type_that_the_lake_does_not_hold_is_refused() -> None:
    with pytest.raises(LakeError, match="list"):
        cluster._to_spark(pa.schema([("values", pa.list_(pa.int64()))]))


def test_expressions_mean_what_they_mean_on_duckdb(spark_backend: Any) -> None:
    rows = pa.table({"kind": ["x", "x", "y"], "number": [1, 4, None], "text": ["\t a\n", " b ", "c"]})
    answers = []
    duck = connect_duckdb(threads=1)
    for backend in (spark_backend, duck):
        table = ibis.memtable(rows).mutate(text=ibis._.text.strip())
        asked = table.group_by("kind").aggregate(
            median=table.number.median(where=table.number > 1),
            none=table.count(where=table.number > 99),
            texts=table.text.max(),
            whole=table.number.sum(),
        )
        answers.append(backend.to_pyarrow(asked.order_by("kind")).to_pylist())
    duck.disconnect()
    assert answers[0] == answers[1]
    assert answers[0][0] == {"kind": "x", "median": 4.0, "none": 0, "texts": "b", "whole": 5}


def test_a_sum_that_is_too_large_is_an_error_that_quotes_no_cell(spark_backend: Any) -> None:
    rows = ibis.memtable(pa.table({"number": [2**63 - 1, 1]}))
    with pytest.raises(cluster.ClusterError, match="ARITHMETIC_OVERFLOW") as caught:
        spark_backend.to_pyarrow(rows.aggregate(total=rows.number.sum()))
    assert str(2**63 - 1) not in str(caught.value)


@pytest.mark.parametrize("one_per", [("customer_id",), ("campaign_id", "customer_id"), ()])
def test_a_person_of_several_ids_is_the_one_that_duckdb_finds(spark_backend: Any, one_per: tuple[str, ...]) -> None:
    duck = connect_duckdb(threads=1)
    duck.con.register("people", PEOPLE)
    expected = duck.con.table(resolved_on_duckdb(duck.con, "people", MAPPING, one_per)).to_arrow_table()
    duck.disconnect()
    spark_backend.session.createDataFrame(PEOPLE).createOrReplaceTempView("people")
    found = cluster.resolved(spark_backend.table("people"), MAPPING, one_per).to_pyarrow()
    assert found.column_names == expected.column_names
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, expected.to_pylist()))


def test_a_function_answers_where_the_rows_are(spark_backend: Any) -> None:
    spark_backend.session.createDataFrame(pa.table({"number": range(7)})).repartition(3).createOrReplaceTempView("few")

    def doubled(batches: Any) -> Any:
        for batch in batches:
            yield pa.record_batch({"twice": pa.array([2 * one for one in batch["number"].to_pylist()], pa.int64())})

    answers = cluster.with_answers(spark_backend.table("few"), doubled, pa.schema([("twice", pa.int64())]))
    assert sorted(answers.to_pyarrow()["twice"].to_pylist()) == [0, 2, 4, 6, 8, 10, 12]


def test_ctrl_c_means_what_it_meant(spark_backend: Any) -> None:
    assert spark_backend.session is not None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_cluster_that_is_named_is_taken_whatever_server_the_environment_names(
    spark_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spark_backend.session is not None
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    backend = cluster.connect(master="local[2]")
    assert backend.session.sql("SELECT current_timezone()").first()[0] == "UTC"
    assert os.environ["SPARK_REMOTE"] == "sc://127.0.0.1:1"


def test_a_server_that_is_first_asked_for_its_settings_and_is_gone_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A session of Spark Connect is made without a word to its server; the client of it is not installed here."""

    def gone(*_: object) -> None:
        raise PySparkException("failed to connect to sc://127.0.0.1:1/;token=hidden")

    absent = SimpleNamespace(conf=SimpleNamespace(set=gone))
    builder = SimpleNamespace(remote=lambda _: SimpleNamespace(create=lambda: absent))
    monkeypatch.setattr(cluster, "SparkSession", SimpleNamespace(builder=builder))
    with pytest.raises(ConfigError, match="Spark does not answer") as caught:
        cluster.connect(remote="sc://127.0.0.1:1/;token=hidden")
    assert "hidden" not in str(caught.value)


def test_a_server_that_does_not_answer_is_said_without_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1/;token=hidden")
    with pytest.raises(ConfigError, match=r"docs/spark\.md") as caught:
        cluster.connect()
    assert "hidden" not in str(caught.value)
