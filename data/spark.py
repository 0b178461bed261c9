"""The same suite on Spark: a contract's expectations over temporary views, with the counts that DuckDB gives.

A rule is written once, in DuckDB's SQL. sqlglot translates it; what the two engines read differently has its Spark form
here and nowhere else. The classes of Great Expectations are those of ``data.validation``. Spark is optional: nothing of
it is imported before it is used.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from data.cells import ROW
from data.contracts.base import Contract, Expectation, ExpectationResult, Rows, Severity, literal, quoted
from data.contracts.rules import rules
from data.validation import Seen, gx_expectation, is_checked, run_suite, to_results

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class SparkSuiteError(RuntimeError):
    """Spark could not evaluate an expectation; the cell that its own message may quote is left out."""


def spark_sql(expression: str) -> str:
    """Return an expression of DuckDB's SQL as Spark reads it.

    Raises
    ------
    NotImplementedError
        It uses a function or a cast that the engines may read differently, and that has no Spark form here.

    Examples
    --------
    >>> print(spark_sql('regexp_matches("e-mail", chr(64)) AND amount_cents <> 0'))
    `e-mail` RLIKE '(?d)@' AND amount_cents <> 0
    """
    whole = exp.Paren(this=sqlglot.parse_one(expression, read="duckdb"))
    # The innermost first, so that a form finds its arguments in Spark's words.
    for node in reversed(list(whole.this.walk(bfs=True))):
        if form := _FORMS.get(type(node)):
            node.replace(form(node))
    return str(whole.this.sql(dialect="spark"))


def validate_on_spark(
    spark: "SparkSession",
    contract: Contract,
    expectations: Sequence[Expectation],
    rows: Rows,
    seen: Seen | None = None,
) -> list[ExpectationResult]:
    """Run expectations of a contract over typed rows with Great Expectations' Spark engine.

    Parameters
    ----------
    spark
        A session whose time zone is UTC.
    contract
        The contract that the expectations belong to.
    expectations
        Those to run, in the order of the results.
    rows
        The rows to run them over: the table, its copies and the parents of the delivery are temporary views. A table
        with copies has its ``rowid`` as a column.
    seen
        Takes what Great Expectations returned, for its Data Docs.

    Returns
    -------
    list of ExpectationResult
        As ``data.validation.validate`` gives them on DuckDB.

    Raises
    ------
    SparkSuiteError
        Spark could not evaluate an expectation.
    NotImplementedError
        A rule has no Spark form.
    """
    from great_expectations.execution_engine.sparkdf_batch_data import SparkDFBatchData  # noqa: PLC0415
    from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine  # noqa: PLC0415

    frame = spark.table(spark_sql(quoted(rows.table))).cache()
    # PySpark logs what it raises, and that may quote a cell.
    silenced = logging.getLogger("SQLQueryContextLogger")
    was_disabled, silenced.disabled = silenced.disabled, True
    try:
        n_rows = frame.count()
        planned = [(one, gx_expectation(one, rows, spark_sql)) for one in expectations]
        execution = SparkDFExecutionEngine(spark=spark, persist=False)
        data = SparkDFBatchData(execution_engine=execution, dataframe=frame)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of the median of no rows, which is then not a number
            found = run_suite(execution, data, [one for _, one in planned if one is not None])
    finally:
        silenced.disabled = was_disabled
        spark.catalog.dropTempView("tmp_view")  # Great Expectations leaves it behind
        frame.unpersist()
    if seen is not None:
        seen.setdefault(contract.name, []).extend(found)
    return to_results(contract, planned, found, n_rows, _anonymous)


def label_on_spark(spark: "SparkSession", contract: Contract, rows: Rows) -> "DataFrame":
    """Return the number and the reasons of each row that belongs into quarantine.

    Parameters
    ----------
    spark, contract, rows
        As in ``validate_on_spark``; the view has the column ``data.cells.ROW``.

    Returns
    -------
    DataFrame
        ``bad_row`` and ``reasons``, the same as in ``data.quarantine`` on DuckDB.
    """
    rejecting = sorted(
        (rule for rule in rules(contract) if rule.severity is Severity.REJECT and is_checked(rule, rows)),
        key=lambda rule: rule.name,
    )
    table, row = spark_sql(quoted(rows.table)), spark_sql(quoted(ROW))
    # Spark allows a subquery of IN in a filter, not in a list of columns: one pass for each rule.
    passes = [
        f"SELECT {row} AS bad_row, {spark_sql(literal(rule.name))} AS reason FROM {table} "
        f"WHERE NOT {spark_sql(rule.predicate(rows))}"
        for rule in rejecting
        if rule.condition is not None
    ]
    return spark.sql(
        "SELECT bad_row, array_join(sort_array(collect_list(reason)), '; ') AS reasons "
        f"FROM ({' UNION ALL '.join(passes)}) GROUP BY bad_row"
    )


def _anonymous(told: str, cause: str) -> SparkSuiteError:
    kinds = re.findall(r"\[([A-Z][A-Z_.]+)\]", cause)
    return SparkSuiteError(f"{told}: {kinds[0] if kinds else 'an error of Spark'}")


def _spark(sql: str) -> exp.Expr:
    return sqlglot.parse_one(sql, read="spark")


def _text(value: str) -> str:
    return str(exp.Literal.string(value).sql(dialect="spark"))


def _character(node: exp.Expr) -> exp.Expr:
    # Spark's chr() takes its number modulo 256.
    return exp.Literal.string("".join(chr(int(code.this)) for code in node.expressions))


def _regex(whole: str) -> Callable[[exp.Expr], exp.Expr]:
    def form(node: exp.Expr) -> exp.Expr:
        pattern = node.args.get("expression")
        if not isinstance(pattern, exp.Literal) or node.args.get("options") or node.args.get("flag"):
            raise _no_form(node)
        # (?d): a line ends at \n alone, as in RE2, and \z is the very end, where Java's $ stops before a line break.
        return exp.RegexpLike(this=node.this, expression=exp.Literal.string("(?d)" + whole.format(pattern.this)))

    return form


def _quotient(node: exp.Expr) -> exp.Expr:
    # Spark refuses a zero below, and divides decimals as decimals; DuckDB divides as IEEE 754 says.
    above, below = (f"CAST({side.sql(dialect='spark')} AS DOUBLE)" for side in (node.this, node.expression))
    return _spark(f"(CASE WHEN {below} = 0 THEN {above} * DOUBLE('Infinity') ELSE try_divide({above}, {below}) END)")


_DAY = r"(\d{1,6})([-/ \\])(\d{1,2})\2(\d{1,2})"
_CLOCK = r"[T ]\s*(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d*)?(?:[zZ]|\s+UTC|[+-]\d\d(?::?\d\d)?)?)?\s*"


def _tried(node: exp.Expr) -> exp.Expr:
    """Return a cast that tries: Spark's own also takes a year, a month or a time of day for an instant."""
    kind = node.args["to"].this
    if kind not in {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ}:
        raise _no_form(node)
    text = f"CAST({node.this.sql(dialect='spark')} AS STRING)"
    shape = _text(rf"(?d)\A\s*{_DAY}(?:{_CLOCK})?\z")
    year, month, day, hour, minute, second = (
        f"regexp_extract({text}, {shape}, {group})" for group in (1, 3, 4, 5, 6, 7)
    )
    on = f"concat(lpad({year}, greatest(4, length({year})), '0'), '-', {month}, '-', {day})"
    at = ", ':', ".join(f"if({part} = '', '0', {part})" for part in (hour, minute, second))
    return _spark(f"CASE WHEN {text} RLIKE {shape} THEN TRY_CAST(concat({on}, ' ', {at}) AS TIMESTAMP_NTZ) END")


def _member(node: exp.Expr) -> exp.Expr:
    """Return membership in a subquery of values that are not null: for a null, Spark says false and DuckDB null."""
    query = node.args.get("query")
    if query is None:
        return node.copy()
    sides = node.this.expressions if isinstance(node.this, exp.Tuple) else [node.this]
    unknown = " OR ".join(f"{side.sql(dialect='spark')} IS NULL" for side in sides)
    inside = query.sql(dialect="spark")
    return _spark(f"(CASE WHEN {unknown} THEN IF(EXISTS {inside}, NULL, FALSE) ELSE {node.sql(dialect='spark')} END)")


def _finite(node: exp.Expr) -> exp.Expr:
    if str(node.this).lower() != "isfinite":
        raise _no_form(node)
    return _spark(f"(abs(CAST({node.expressions[0].sql(dialect='spark')} AS DOUBLE)) < DOUBLE('Infinity'))")


def _no_form(node: exp.Expr) -> NotImplementedError:
    return NotImplementedError(f"no Spark form in data/spark.py for {node.sql(dialect='duckdb')[:200]}")


_FORMS: dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    exp.Chr: _character,
    exp.RegexpFullMatch: _regex(r"\A(?:{})\z"),
    exp.RegexpLike: _regex("{}"),
    exp.Div: _quotient,
    exp.In: _member,
    exp.TryCast: _tried,
    exp.Anonymous: _finite,
}
