"""Great Expectations inside DuckDB: the suite of a contract, run where the rows are.

The suite is built from the contract's expectations, a class of Great Expectations where it has one for the rule and
the rule's own predicate where not. It runs on the caller's connection; nothing is copied out, written or sent.
"""

import os
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import sqlalchemy as sa
from duckdb_engine import ConnectionWrapper

from data.contracts.base import Contract, Expectation, ExpectationResult, Rows, Severity, quoted
from data.errors import ContractError

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when Great Expectations is imported
with warnings.catch_warnings():
    # It imports sre_constants, which Python is about to drop, and tqdm, which asks notebooks for widgets.
    warnings.simplefilter("ignore")
    import great_expectations as gx
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.core.batch import Batch
    from great_expectations.execution_engine.execution_engine import ExecutionEngine
    from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
    from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation
    from great_expectations.expectations.expectation import Expectation as GxExpectation
    from great_expectations.validator.validator import Validator

Seen = dict[str, list[ExpectationValidationResult]]
"""What Great Expectations returned, by the name of the contract."""

_GX_SEVERITY = {Severity.CRITICAL: "critical", Severity.REJECT: "warning", Severity.WARNING: "info"}

# Counts, and no list of offending values: those may be personal, and the quarantine holds the rows.
_COUNTS_ONLY = {"result_format": {"result_format": "BASIC", "partial_unexpected_count": 0}}


class _BorrowedConnection(ConnectionWrapper):
    """The caller's connection as SQLAlchemy wants it, which closing leaves open."""

    def close(self) -> None:
        """Leave the connection to its owner."""


class DuckDBExecutionEngine(SqlAlchemyExecutionEngine):
    """Great Expectations' SQL engine with results that outlive their transaction, which DuckDB's do not."""

    def execute_query(self, query: Any) -> Any:
        """Run a query and fetch its whole result."""
        with self.get_connection() as connection:
            return self._execute_query_with_recovery(connection, query).freeze()()


class ExpectNoBrokenRows(UnexpectedRowsExpectation):
    """Great Expectations' query of broken rows, counted only: the class of its own runs it twice and keeps the rows."""

    metric_dependencies = ("unexpected_rows_query.row_count",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: Any = None,  # noqa: ARG002 - the base class passes it by name
        execution_engine: Any = None,  # noqa: ARG002 - the base class passes it by name
    ) -> dict[str, Any]:
        n_failed = metrics["unexpected_rows_query.row_count"]
        return {"success": n_failed == 0, "result": {"unexpected_count": n_failed}}


class _QuietValidator(Validator):
    def _determine_progress_bars(self) -> bool:
        return False


def _for_sqlalchemy(sql: str) -> str:
    # SQLAlchemy takes a colon for the mark of a parameter.
    return sql.replace(":", "\\:")


def gx_expectation(
    expectation: Expectation, rows: Rows, dialect: Callable[[str], str] = _for_sqlalchemy
) -> GxExpectation | None:
    """Return the expectation as Great Expectations runs it, or null where the delivery leaves it unchecked.

    Parameters
    ----------
    expectation, rows
        The rule, and the rows that it is about.
    dialect
        Turns an expression in DuckDB's SQL into what the execution engine reads.
    """
    options: dict[str, Any] = {
        "severity": _GX_SEVERITY[expectation.severity],
        "meta": {"name": expectation.name},
        "description": expectation.name,
    }
    native = expectation.native(rows) if expectation.native else None
    if native is None:
        if expectation.condition is None or not is_checked(expectation, rows):
            return None
        table, predicate = dialect(quoted(rows.table)), dialect(expectation.predicate(rows))
        # Great Expectations formats the query.
        condition = f"{table} WHERE NOT {predicate}".replace("{", "{{").replace("}", "}}")
        query = f"SELECT 1 AS failed FROM {{batch}} AS {condition}"  # noqa: S608 - made by the rule of quoted names
        return ExpectNoBrokenRows(unexpected_rows_query=query, **options)
    name, arguments = native
    made: Callable[..., GxExpectation] = getattr(gx.expectations, name)
    return made(**arguments, **options)


def is_checked(expectation: Expectation, rows: Rows) -> bool:
    """Return whether the delivery has the table that the expectation compares with, or it needs none."""
    return expectation.parent is None or expectation.parent in rows.delivery.parents


def validate(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    expectations: Sequence[Expectation],
    rows: Rows,
    seen: Seen | None = None,
) -> list[ExpectationResult]:
    """Run expectations of a contract over typed rows with Great Expectations.

    Parameters
    ----------
    connection
        Where the rows are. It must not be inside a transaction.
    contract
        The contract that the expectations belong to.
    expectations
        Those to run, in the order of the results.
    rows
        The rows to run them over.
    seen
        Takes what Great Expectations returned, for its Data Docs: counts, and no value of a row.

    Returns
    -------
    list of ExpectationResult
        One result each. An expectation that the delivery leaves unchecked passes with a detail that says so.

    Raises
    ------
    duckdb.Error
        Great Expectations could not evaluate an expectation: what DuckDB raised, without the cell that it may quote.
    """
    planned = [gx_expectation(expectation, rows) for expectation in expectations]
    found = _run(connection, rows.table, [one for one in planned if one is not None])
    if seen is not None:
        seen.setdefault(contract.name, []).extend(found)
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(rows.table)}").fetchall()  # noqa: S608 - quoted
    return to_results(contract, list(zip(expectations, planned, strict=True)), found, n_rows, _anonymous)


def to_results(
    contract: Contract,
    planned: Sequence[tuple[Expectation, GxExpectation | None]],
    found: Sequence[ExpectationValidationResult],
    n_rows: int,
    failure: Callable[[str, str], Exception],
) -> list[ExpectationResult]:
    """Return one result for each planned expectation, in order.

    Parameters
    ----------
    contract
        What the expectations belong to.
    planned
        Each expectation as ours and as Great Expectations', null for one that is left unchecked.
    found
        What Great Expectations returned for those that are not null.
    n_rows
        Rows of the table.
    failure
        Makes the exception for an expectation that could not be evaluated, from our text and Great Expectations'.
    """
    left = iter(found)
    results = []
    for expectation, one in planned:
        if one is None:
            results.append(_unchecked(contract, expectation, n_rows))
            continue
        result = next(left)
        if result.exception_info.get("raised_exception", True):
            told = f"{contract.name}: Great Expectations could not evaluate {expectation.name!r}"
            raise failure(told, str(result.exception_info))
        results.append(_result(contract, expectation, result, n_rows))
    return results


def stop_if_broken(results: Sequence[ExpectationResult]) -> None:
    """Stop the run where a critical expectation is broken.

    Raises
    ------
    ContractError
        At least one is; the error names each of them.
    """
    broken = [result for result in results if result.severity is Severity.CRITICAL and not result.is_passed]
    if broken:
        raise ContractError(
            "; ".join(f"{one.table_name}: {one.expectation} ({one.detail})" for one in broken),
            "a delivery that keeps the contract",
            "mend the source or its mapping, and run again; what was published last still stands",
        )


def _run(
    connection: duckdb.DuckDBPyConnection, table: str, expectations: Sequence[GxExpectation]
) -> list[ExpectationValidationResult]:
    """Run Great Expectations on a table of the connection."""
    engine = sa.create_engine(
        "duckdb:///:memory:", creator=lambda: _BorrowedConnection(connection), poolclass=sa.pool.StaticPool
    )
    execution = DuckDBExecutionEngine(engine=engine, create_temp_table=False)
    data: Any = SqlAlchemyBatchData(execution_engine=execution, table_name=table, create_temp_table=False)
    return run_suite(execution, data, expectations)


def run_suite(
    execution: ExecutionEngine[Any], data: object, expectations: Sequence[GxExpectation]
) -> list[ExpectationValidationResult]:
    """Run expectations over the batch of an execution engine, which counts and keeps no value."""
    batch: Any = Batch(data=data)  # type: ignore[arg-type]
    validator = _QuietValidator(execution_engine=execution, batches=[batch])
    return validator.graph_validate(
        configurations=[expectation.configuration for expectation in expectations], runtime_configuration=_COUNTS_ONLY
    )


def _result(
    contract: Contract, expectation: Expectation, found: ExpectationValidationResult, n_rows: int
) -> ExpectationResult:
    is_passed = bool(found.success)
    if expectation.condition is None:
        # A column in which nothing can be read has no median; its rows are rejected one by one, with the reason.
        is_passed = is_passed or _observed(found) is None
        n_failed, detail = 0 if is_passed else n_rows, f"observed {_observed(found)}"
    else:
        # A table without rows yields no count at all.
        n_failed, detail = int(found.result.get("unexpected_count") or 0), ""
    return ExpectationResult(contract.name, expectation.name, expectation.severity, n_rows, n_failed, is_passed, detail)


def _observed(found: ExpectationValidationResult) -> object:
    """Return what was measured, the same from engines that say 250 or 250.0, and None or NaN for nothing."""
    value = found.result.get("observed_value")
    if not isinstance(value, float) or not value.is_integer():
        return None if value != value else value  # noqa: PLR0124 - only NaN differs from itself
    return int(value)


def _anonymous(told: str, cause: str) -> duckdb.Error:
    """Return DuckDB's error again by its class alone: its message may quote a cell, and a cell may be personal."""
    raised = [getattr(duckdb, name, None) for name in re.findall(r"duckdb\.(\w+)", cause)]
    kinds = [kind for kind in raised if isinstance(kind, type) and issubclass(kind, duckdb.Error)]
    kind = kinds[0] if kinds else duckdb.Error
    return kind(f"{told}: {kind.__name__}")


def _unchecked(contract: Contract, expectation: Expectation, n_rows: int) -> ExpectationResult:
    missing = f"no table {expectation.parent}" if expectation.parent else "nothing known to compare with"
    return ExpectationResult(
        contract.name,
        expectation.name,
        expectation.severity,
        n_rows,
        0,
        is_passed=True,
        detail=f"not checked: {missing}",
    )
