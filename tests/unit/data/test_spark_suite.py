"""One suite, two engines: Spark counts, passes and labels what DuckDB does, row for row."""

import gc
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, Expectation, Rows, Severity, literal, quoted
from data.contracts.rules import (
    RECEIVED_AT,
    Known,
    between,
    enough_rows,
    holds,
    in_set,
    matches,
    not_null,
    references,
    rules,
    unique,
    usual_median,
)
from data.quarantine import split
from data.spark import SparkSuiteError, label_on_spark, spark_sql, validate_on_spark
from data.validation import validate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="no Java"),
    # PySpark and its bridge leave their sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PARENTS = {
    "customers": ("customer_id", ["C1", "C2", "C3"]),
    "products": ("product_id", ["P1", "P2"]),
    "campaigns": ("campaign_id", ["K1", "K2"]),
}
DELIVERY = Delivery(
    datetime(2024, 5, 1),
    timezone="Europe/Berlin",
    currencies=("EUR", "USD"),
    parents={parent: f"parent_{parent}" for parent in PARENTS},
    usual_amount_cents=400,
    reject_limit=1.0,
)
Line = Mapping[str, object]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    pyspark = pytest.importorskip("pyspark.sql")
    options = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        # A handful of rows: one task, and no code that is worth compiling well.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.default.parallelism": "1",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
    }
    # A Spark context answers Ctrl-C from then on, for the whole process and for good.
    handler = signal.getsignal(signal.SIGINT)
    builder = pyspark.SparkSession.builder.master("local[2]")
    zone, os.environ["TZ"] = os.environ.get("TZ"), "UTC"
    time.tzset()
    session = builder.config(map=options).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
    signal.signal(signal.SIGINT, handler)
    gc.collect()  # here, where warnings of unclosed sockets are expected, and in no other test
    os.environ.pop("TZ") if zone is None else os.environ.update(TZ=zone)
    time.tzset()


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connected() as made:
        yield made


def connected() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect(config={"threads": 1})
    made.execute("SET TimeZone = 'UTC'")
    for parent, (key, values) in PARENTS.items():
        made.execute(f"CREATE TABLE parent_{parent} AS SELECT unnest(?) AS {key}", [values])
    return made


def deliver(connection: duckdb.DuckDBPyConnection, contract: Contract, lines: Sequence[Line]) -> tuple[Rows, Rows]:
    """Type lines that came as text: all of them, and those that are no copies."""
    names = [column.name for column in contract.columns]
    columns = {name: pa.array([line.get(name) for line in lines], pa.string()) for name in names}
    connection.register("delivered", pa.table(columns))
    connection.execute("CREATE OR REPLACE TABLE raw AS FROM delivered")
    staged = stage(connection, contract, "raw", DELIVERY)
    return staged, distinct(connection, contract, staged)


def carry(spark: Any, connection: duckdb.DuckDBPyConnection, *tables: str) -> None:
    for table in tables:
        has_rowid = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]).fetchall()
        columns = "*, rowid AS rowid" if has_rowid else "*"
        arrow = connection.execute(f"SELECT {columns} FROM {quoted(table)}").to_arrow_table()
        spark.createDataFrame(arrow).createOrReplaceTempView(table)


def assert_equal_on_both(spark: Any, contract: Contract, lines: Sequence[Line]) -> None:
    """Run suite and labels of a delivery on both engines and compare everything that they say."""
    with connected() as connection:
        staged, rows = deliver(connection, contract, lines)
        carry(spark, connection, *DELIVERY.parents.values(), staged.table, str(staged.copies), rows.table)
        for about_copies, table in ((True, staged), (False, rows)):
            chosen = [rule for rule in rules(contract) if rule.is_about_copies is about_copies]
            expected = validate(connection, contract, chosen, table)
            assert said(validate_on_spark(spark, contract, chosen, table)) == said(expected)
        split(connection, contract, "raw", staged, rows)
        labels = connection.execute(f"FROM {quoted(contract.name + '__labels')}").fetchall()
    assert sorted(map(tuple, label_on_spark(spark, contract, rows).collect())) == sorted(labels)


def said(results: Sequence[Any]) -> list[tuple[object, ...]]:
    return [(one.expectation, one.severity, one.n_rows, one.n_failed, one.is_passed, one.detail) for one in results]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_examples_rejects_and_nulls_in_every_column_count_the_same(spark, contract):
    bad = [{**contract.examples[0], **reject.changes} for reject in contract.rejects]
    nulled = [{**contract.examples[0], column.name: None} for column in contract.columns]
    assert_equal_on_both(spark, contract, [*contract.examples, *bad, *nulled, {}])


def test_a_table_without_rows_passes_and_fails_the_same(spark):
    assert_equal_on_both(spark, TRANSACTIONS, [])


TRANSACTIONS = CONTRACTS["transactions"]
CELLS = st.sampled_from(
    [None, "", " ", "0", "-1", "2024-03-01", "x", "\ufffd", "C1", "P1", "999999999", "it's", "2024-3-1 1:2", "a\nb"]
)


@st.composite
def mixes(draw: st.DrawFn) -> list[Line]:
    """Lines of which many carry up to three defects of the contract's own, and some a cell of anything."""
    lines = []
    for _ in range(draw(st.integers(20, 60))):
        line = {**draw(st.sampled_from(TRANSACTIONS.examples))}
        for reject in draw(st.lists(st.sampled_from(TRANSACTIONS.rejects), max_size=3)):
            line |= reject.changes
        names = [column.name for column in TRANSACTIONS.columns]
        lines.append(line | draw(st.dictionaries(st.sampled_from(names), CELLS, max_size=2)))
    return lines


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(mixes())
def test_any_mix_of_defects_gets_the_same_counts_and_the_same_reasons(spark, lines):
    assert_equal_on_both(spark, TRANSACTIONS, lines)


ROWS = Rows("lines", Delivery(datetime(2024, 5, 1), currencies=("EUR",), parents={"p": "words"}), {})
ANY = Contract("lines", "line", (), (), (), ())
ALL_KINDS = [
    not_null("number"),
    unique("number"),
    unique("number", "word"),
    between("number", 2, 3),
    between("share", high=1),
    between("instant", high=RECEIVED_AT),
    in_set("word", ("EUR", "it's", "back\\slash")),
    in_set("word", ()),
    matches("word", "[a-z]", name="no letter"),
    matches("word", r"\{x\}|b:c|back\\slash|a.b", name="braces, colons and backslashes"),
    matches("word", "a$", name="a line break is no end"),
    references("word", "p", "word", name="orphan"),
    references("word", "nobody", "word", name="orphan of nobody"),
    holds("a colon and a brace", "word NOT IN ('b:c', '{x}', ' :d', '%s')"),
    holds("a null fails", "number < 3", null_passes=False),
    holds("divided by zero", "share / number > 0.3"),
    holds("integers are divided as numbers", "number / 2 = 1.5"),
    holds("decimals too", "median_of / number < 0.34"),
    holds("endless", "isfinite(share)"),
    holds("no such letter", "contains(word, 'a') AND NOT starts_with(word, 'b')"),
    holds("part of a text", "regexp_matches(word, 'a|x')"),
    holds("days later", "day <= CAST(TIMESTAMP '2024-04-30 12:00:00' AS DATE) + 1"),
    enough_rows(9),
]


@pytest.fixture
def lines(connection, spark) -> duckdb.DuckDBPyConnection:
    connection.execute("""
        CREATE TABLE lines (number BIGINT, word VARCHAR, instant TIMESTAMP, share DOUBLE, median_of DECIMAL(18,3),
                            day DATE, "100 % {a}: b" VARCHAR)""")
    cells = [
        (1, "a", datetime(2024, 4, 30), 0.5, Decimal("0.333"), date(2024, 5, 1), "a"),
        (2, "b:c", datetime(2024, 5, 1), float("inf"), Decimal("0.680"), date(2024, 5, 2), None),
        (3, "{x}", datetime(2024, 5, 1, 0, 0, 0, 1), float("nan"), None, None, "b"),
        (3, None, None, None, Decimal(0), date(2024, 4, 30), "it's"),
        (None, "a\n", None, -1.0, None, None, "b"),
        (0, "it's", None, 0.0, Decimal(1), None, "b"),
        (0, "a\nb", None, 1.0, None, None, "b"),
        (0, "back\\slash", None, -1.0, None, None, "b"),
    ]
    connection.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)", cells)
    connection.execute("CREATE TABLE words AS FROM (VALUES ('a'), (NULL)) t(word)")
    carry(spark, connection, "lines", "words")
    return connection


def test_every_kind_of_rule_counts_the_same(spark, lines):
    assert said(validate_on_spark(spark, ANY, ALL_KINDS, ROWS)) == said(validate(lines, ANY, ALL_KINDS, ROWS))


@pytest.mark.parametrize("usual", [1, 25, 26, None])
def test_the_median_is_held_against_the_usual_one(spark, lines, usual):
    rows = Rows("lines", Delivery(datetime(2024, 5, 1), usual_amount_cents=usual), {})
    rule = usual_median("number", Known("usual_amount_cents"), 10, name="slip")
    (expected,) = validate(lines, ANY, [rule], rows)
    (found,) = validate_on_spark(spark, ANY, [rule], rows)
    assert (found.is_passed, found.n_failed) == (expected.is_passed, expected.n_failed)


def test_hostile_column_names_are_only_names(spark, lines):
    chosen = [not_null("100 % {a}: b"), holds("odd", "\"100 % {a}: b\" <> 'b'")]
    assert said(validate_on_spark(spark, ANY, chosen, ROWS)) == said(validate(lines, ANY, chosen, ROWS))


def test_a_null_has_no_parent_but_passes_unless_there_are_none(spark, lines):
    rule = references("word", "p", "word", name="orphan")
    lines.execute("CREATE OR REPLACE TABLE words AS SELECT 'a' AS word WHERE false")
    carry(spark, lines, "words")
    assert said(validate_on_spark(spark, ANY, [rule], ROWS)) == said(validate(lines, ANY, [rule], ROWS))


INSTANTS = [
    *("2024-3-1", "2024/03/01", "2024 03 01", "2024\\03\\01", "2024-03/01", "2024", "2024-03", "20240301", "10:30"),
    *("2024-03-01 10", "2024-03-01 10:30", "2024-03-01T10:30:00", "2024-03-01 1:2:3", "2024-03-01 10:30:00.1234567"),
    *("2024-03-01 10:30:00Z", "2024-03-01 10:30:00+02", "2024-03-01 10:30:00 +02:00", "2024-03-01 10:30:00-05:30"),
    *("2024-03-01 10:30:00 UTC", "2024-03-01 10:30:60", "2024-03-01 25:00:00", "2024-03-01 10:30+02", "2024-03-01Z"),
    *("2024-02-30", "2024-13-01", "2024-00-10", "2023-02-29", "2024-02-29", "5-5-5", "12024-03-01", "2024-03-001"),
    *("2024-03-01x", " 2024-03-01", "\t2024-03-01", "2024-03-01 ", "2024-03-01 10:30:00 ", "2024-03-01  10:30:00"),
    *("", " ", "x", "C1", "398", "store", "2", "-2", "0.755", "a 2024-03-01", "today", "now", "2024-03-01T", "1e3"),
]


def test_the_same_texts_read_as_instants(spark, connection):
    connection.register("arrow", pa.table({"x": pa.array(INSTANTS)}))
    connection.execute("CREATE TABLE texts AS FROM arrow")
    carry(spark, connection, "texts")
    condition = "TRY_CAST(x AS TIMESTAMP) IS NOT NULL"
    expected = {text for (text,) in connection.execute(f"SELECT x FROM texts WHERE {condition}").fetchall()}
    found = {row.x for row in spark.sql(f"SELECT x FROM texts WHERE {spark_sql(condition)}").collect()}
    assert found == expected
    assert len(expected) > 10


@pytest.mark.parametrize(
    "text",
    ["it's", "back\\slash", "\\d", "a\nb", 'said "no"', "`tick`", "☃", "\ufffd", "100 %", "{x}", "'; DROP TABLE x"],
)
def test_literals_come_back_as_they_went_in(spark, text):
    assert spark.sql(f"SELECT {spark_sql(literal(text))} AS x").first().x == text


@pytest.mark.parametrize("expression", ["TRY_CAST(x AS DOUBLE) > 0", "strip_accents(x) = 'a'", "regexp_matches(x, y)"])
def test_what_has_no_spark_form_is_refused_and_not_guessed(expression):
    with pytest.raises(NotImplementedError, match=r"no Spark form in data/spark\.py"):
        spark_sql(expression)


def test_a_rule_that_cannot_run_is_no_pass_and_quotes_no_cell(spark, lines, caplog, capfd):
    rule = Expectation("numbers", Severity.REJECT, lambda _: "CAST(word AS BIGINT) > 0")
    with caplog.at_level(logging.DEBUG), pytest.raises(SparkSuiteError) as raised:
        validate_on_spark(spark, ANY, [rule], ROWS)
    assert str(raised.value) == "lines: Great Expectations could not evaluate 'numbers': CAST_INVALID_INPUT"
    assert "it's" not in caplog.text + "".join(capfd.readouterr())
    assert not logging.getLogger("SQLQueryContextLogger").disabled


def test_the_session_is_left_as_it_was(spark, lines):
    views = sorted(row.tableName for row in spark.sql("SHOW TABLES").collect())
    validate_on_spark(spark, ANY, ALL_KINDS[:3], ROWS)
    assert sorted(row.tableName for row in spark.sql("SHOW TABLES").collect()) == views
    assert not spark.catalog.isCached("lines")


def test_what_great_expectations_saw_is_handed_over_without_values(spark, lines):
    seen: dict[str, list[Any]] = {}
    validate_on_spark(spark, ANY, ALL_KINDS, ROWS, seen)
    # A rule without its parent was never run.
    assert len(seen["lines"]) == len(ALL_KINDS) - 1
    assert all(not result.result.get("partial_unexpected_list") for result in seen["lines"])


def test_planted_defects_in_real_lines_count_the_same(spark, test_data):
    journey: Path = test_data / "completejourney" / "transactions.parquet"
    with connected() as connection:
        found = (
            connection.execute(f"""
            SELECT CAST(basket_id AS VARCHAR) AS order_id, 'C' || household_id AS customer_id,
                   CAST(product_id AS VARCHAR) AS product_id, CAST(transaction_timestamp AS VARCHAR) AS event_time,
                   CAST(quantity AS VARCHAR) AS quantity,
                   CAST(CAST(round(sales_value * 100) AS BIGINT) AS VARCHAR) AS amount_cents
            FROM read_parquet('{journey}') WHERE household_id <= 10 ORDER BY ALL LIMIT 4000""")
            .to_arrow_table()
            .to_pylist()
        )
    planted = [
        {"order_id": None},
        {"amount_cents": "EUR 3"},
        {"amount_cents": "1000000"},
        {"quantity": "-1"},
        {"event_time": "2030-01-01"},
        {"currency": "XXX"},
        {"store_id": "Caf\ufffd"},
        {"product_id": "2017-03-01 10:00:00", "event_time": "C1"},
        {},
    ]
    spoilt = [{**found[at], **change} for at, change in zip(range(0, len(found), 100), planted, strict=False)]
    assert_equal_on_both(spark, TRANSACTIONS, [*found, *spoilt])
