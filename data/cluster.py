"""Spark as the query engine: a session of its own, versions of the lake as views, and functions sent to the rows.

Ibis compiles the same expressions as for DuckDB; the few that Spark reads otherwise are put right here and nowhere
else. Rows travel as Arrow both ways, so that integers, null and naive instants stay what they are. The module needs
pyspark, which is optional: it is imported where a configuration asks for Spark.
"""

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.base import NULL
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.formats.pyarrow import PyArrowData
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as st

from data.errors import ConfigError, LakeError
from data.lake import Lake

Batches = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]
"""A function from the batches of one part of a table to batches of its answer."""

# What a result rests on: without it Spark would read other days, or let a sum that is too large turn negative.
_SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.ansi.enabled": "true",
}
_ERRORS = "SQLQueryContextLogger"
_BLANKS = " \t\n\r\v\f"
_views = count()


class ClusterError(RuntimeError):
    """Spark could not answer a query; the cell that its own message may quote is left out."""


# Neither compilers nor backends of Ibis are typed.
class _Compiler(PySparkCompiler):  # type: ignore[misc]
    """Ibis in Spark's words, where Ibis would have Spark answer another question than DuckDB."""

    def visit_CountStar(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: N802
        """Count no row as 0, where a sum over unknown conditions would be null."""
        return super().visit_CountStar(op, arg=arg, where=where) if where is None else self.f.count_if(where)

    def visit_Median(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: ARG002, N802
        """Let the condition choose values, not the share at which the median lies."""
        return self.f.percentile(arg if where is None else self.if_(where, arg, NULL), 0.5)

    def visit_Strip(self, op: Any, *, arg: Any) -> Any:  # noqa: ARG002, N802
        """Strip every blank, not spaces alone."""
        return self.f.anon.btrim(arg, _BLANKS)


class SparkBackend(Backend):  # type: ignore[misc]
    """Ibis' Spark backend that carries rows as Arrow, without a detour over pandas.

    The detour would turn an integer column with nulls into floats, and naive instants into those of a time zone.
    """

    compiler = _Compiler()

    @property
    def session(self) -> SparkSession:
        """The session, whose temporary views no other one sees."""
        session: SparkSession = self._session
        return session

    def frame(self, expression: ir.Table) -> DataFrame:
        """Return an expression as a frame of Spark, not yet computed."""
        with _anonymous():
            self._run_pre_execute_hooks(expression)
            return self.session.sql(self.compile(expression))

    def to_pyarrow(self, expr: ir.Expr, /, *, params: Any = None, limit: Any = None, **kwargs: Any) -> Any:
        """Compute an expression, and return it as Arrow.

        Raises
        ------
        ClusterError
            Spark could not: a number that overflows, a worker that is gone.
        """
        table = expr.as_table()
        with _anonymous():
            self._run_pre_execute_hooks(table)
            found = self.session.sql(self.compile(table, params=params, limit=limit, **kwargs)).toArrow()
        return expr.__pyarrow_result__(PyArrowData.convert_table(found, table.schema()))

    def _register_in_memory_table(self, op: Any) -> None:
        self.session.createDataFrame(op.data.to_pyarrow(op.schema)).createOrReplaceTempView(op.name)


def connect(
    *,
    remote: str | None = None,
    master: str | None = None,
    threads: int | None = None,
    memory_limit: str | None = None,
    scratch: Path | None = None,
) -> SparkBackend:
    """Open a session on Spark: on this machine, on a cluster, or on a server that answers for one.

    Its time zone is UTC and a number that overflows is an error. Ctrl-C goes on to mean what it meant before.

    Parameters
    ----------
    remote
        Address of a Spark Connect server, ``sc://host:15002``; Databricks is one too. Without this and ``master``,
        that of the environment variable ``SPARK_REMOTE``, if there is one: for addresses that hold a token.
    master
        Address of a cluster that this process drives: ``spark://host:7077``, ``yarn``; null runs on this machine.
    threads
        Threads on this machine; null takes all cores. A cluster has its own.
    memory_limit
        Size such as ``"2GB"`` of the Java process on this machine; null leaves it to Spark.
    scratch
        Folder for what Spark writes by the way, made with mode 0700; null leaves it to Spark.

    Returns
    -------
    SparkBackend
        An Ibis backend. Spark itself stays up for the next session until the process ends.

    Raises
    ------
    ConfigError
        Spark does not start, or the server does not answer.
    """
    remote = remote or (None if master else os.environ.get("SPARK_REMOTE"))
    try:
        if remote is not None:
            session = SparkSession.builder.remote(remote).create()
        else:
            with _interrupts_kept(), _no_remote():
                session = _driven(master, threads, memory_limit, scratch)
        # The first word to a server, which is not asked before.
        for name, value in _SESSION.items():
            session.conf.set(name, value)
    except (PySparkException, ImportError) as error:
        # The address may hold a token, and errors quote it.
        kind = getattr(error, "getCondition", lambda: None)() or type(error).__name__
        raise ConfigError(
            f"Spark does not answer ({kind})",
            "Java 17 or newer on this machine, or a server or cluster that can be reached",
            "see docs/spark.md, and try the address of [engine] with pyspark alone",
        ) from None
    SparkBackend.register_options()
    backend: SparkBackend = SparkBackend().connect(session)
    return backend


def attach(backend: SparkBackend, lake: Lake, versions: Mapping[str, int]) -> dict[str, ir.Table]:
    """Make a view of each table at its version and return the views by table name, as ``data.engine.attach`` does.

    Parameters
    ----------
    backend
        A session. Whatever computes must see the lake's folder under the same path.
    lake
        The lake.
    versions
        Table name to version. A view of the same name is replaced.

    Raises
    ------
    LakeError
        If a version cannot be read.
    """
    for table, version in versions.items():
        _files(backend.session, lake, table, version).createOrReplaceTempView(_quote(table))
    return {table: backend.table(table) for table in versions}


def resolved(rows: ir.Table, mapping: pa.Table, one_per: Sequence[str] = ()) -> ir.Table:
    """Return a table in which each person goes by one id, as the view of ``data.identity.masters.resolved``.

    Parameters
    ----------
    rows, mapping, one_per
        As there.
    """
    columns, masters = rows.columns, ibis.memtable(mapping.select(["customer_id", "master_id"]))
    rows = rows.left_join(masters, "customer_id").drop("customer_id_right")
    delivered = rows.customer_id
    rows = rows.mutate(delivered=delivered, customer_id=ibis.coalesce(rows.master_id, delivered))
    if one_per:
        if "first_seen_on" in columns:
            rows = rows.mutate(first_seen_on=rows.first_seen_on.min().over(group_by=one_per))
        order = [rows.master_id.asc(nulls_first=True), rows.delivered]
        rows = rows.mutate(choice=ibis.row_number().over(group_by=one_per, order_by=order))
        rows = rows.filter(rows.choice == 0)
    return rows.select(*columns)


def with_answers(rows: ir.Table, answer: Batches, schema: pa.Schema) -> ir.Table:
    """Return what a function says of the rows of a table on Spark, computed where the rows are.

    Parameters
    ----------
    rows
        A table of a ``SparkBackend``.
    answer
        Takes the batches of one part of the rows and gives batches of the schema. It is sent to the workers, which
        import the modules that it names.
    schema
        Columns of the answer.
    """
    backend: SparkBackend = rows.get_backend()
    name = f"answers_{next(_views)}"
    backend.frame(rows).mapInArrow(answer, _to_spark(schema)).createOrReplaceTempView(name)
    found: ir.Table = backend.table(name)
    return found


@contextmanager
def _anonymous() -> Iterator[None]:
    # PySpark logs what it raises, and that may quote a cell.
    silenced = logging.getLogger(_ERRORS)
    was_disabled, silenced.disabled = silenced.disabled, True
    try:
        yield
    except PySparkException as error:
        kind = error.getCondition() or type(error).__name__
        raise ClusterError(f"Spark could not answer a query: {kind}") from None
    finally:
        silenced.disabled = was_disabled


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Give Ctrl-C back to whom it belonged: a Spark context takes it for the whole process, and for good."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _no_remote() -> Iterator[None]:
    """Hide the server of the environment, which pyspark would prefer to, or refuse beside, a cluster that was named."""
    remote = os.environ.pop("SPARK_REMOTE", None)
    try:
        yield
    finally:
        if remote is not None:
            os.environ["SPARK_REMOTE"] = remote


def _driven(master: str | None, threads: int | None, memory_limit: str | None, scratch: Path | None) -> SparkSession:
    # No catalogue on disk: with Hive's there would be a Derby database in the working folder.
    options: dict[str, bool | float | int | str | None] = {
        "spark.app.name": "regulars",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.catalogImplementation": "in-memory",
    }
    if scratch is not None:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        options |= {"spark.local.dir": str(scratch), "spark.sql.warehouse.dir": str(scratch / "warehouse")}
    if memory_limit is not None:
        options["spark.driver.memory"] = _java_size(memory_limit)
    if master is None:
        n_threads = threads or os.cpu_count() or 1
        options |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.maxResultSize": "0",
            "spark.sql.shuffle.partitions": str(4 * n_threads),
        }
        master = f"local[{n_threads}]"
    session = SparkSession.builder.master(master).config(map=options).getOrCreate()
    if master.startswith("local"):
        session.sparkContext.pythonExec = os.environ.get("PYSPARK_PYTHON", sys.executable)
    # Errors are raised; what Java writes of them beside that may quote a cell.
    session.sparkContext.setLogLevel("OFF")
    return session.newSession()


def _files(session: SparkSession, lake: Lake, table: str, version: int) -> DataFrame:
    """Return the rows of a version: the schema says which columns there are, and a file that lacks one has nulls."""
    files, schema = lake.uris(table, version), _to_spark(lake.schema(table, version))
    if not files:
        return session.createDataFrame([], schema)
    # A bracket in a path is a bracket, not a pattern.
    reader = session.read.schema(schema).option("__globPaths__", "false")
    return reader.parquet(*files)


def _to_spark(schema: pa.Schema) -> st.StructType:
    return st.StructType(
        [st.StructField(name, _spark_type(kind)) for name, kind in zip(schema.names, schema.types, strict=True)]
    )


def _spark_type(kind: pa.DataType) -> st.DataType:
    """Return Spark's form of a type that the lake holds."""
    if pa.types.is_decimal(kind):
        return st.DecimalType(kind.precision, kind.scale)
    try:
        return _TYPES[kind]()
    except KeyError:
        raise LakeError(f"a column of type {kind}", f"one of {[str(one) for one in _TYPES]}", "cast it") from None


_TYPES: dict[pa.DataType, type[st.DataType]] = {
    pa.string(): st.StringType,
    pa.bool_(): st.BooleanType,
    pa.int8(): st.ByteType,
    pa.int16(): st.ShortType,
    pa.int32(): st.IntegerType,
    pa.int64(): st.LongType,
    pa.float32(): st.FloatType,
    pa.float64(): st.DoubleType,
    pa.date32(): st.DateType,
    pa.timestamp("us"): st.TimestampNTZType,
}


def _java_size(size: str) -> str:
    """Return a size of DuckDB as Java reads it; whole mebibytes, for Java knows no fractions.

    Examples
    --------
    >>> _java_size("1.5GB"), _java_size("2 GiB")
    ('1430m', '2048m')
    """
    number, unit, binary = re.fullmatch(r"([\d.]+) ?([KMGT])(i?)B", size).groups()  # type: ignore[union-attr]
    base = 1024 if binary else 1000
    return f"{int(float(number) * base ** (' KMGT'.index(unit)) / 2**20)}m"


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
