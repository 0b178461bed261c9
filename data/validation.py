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
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports sre_constants, which Python is about to drop
    import great_expectations as gx
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.core.batch import Batch
    from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
    from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation
    from great_expectations.expectations.expectation import Expectation as GxExpectation
    from great_expectations.validator.validator import Validator

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


def gx_expectation(expectation: Expectation, rows: Rows) -> GxExpectation | None:
    """Return the expectation as Great Expectations runs it, or null where the delivery leaves it unchecked."""
    options: dict[str, Any] = {"severity": _GX_SEVERITY[expectation.severity], "meta": {"name": expectation.name}}
    native = expectation.native(rows) if expectation.native else None
    if native is None:
        if expectation.condition is None or not is_checked(expectation, rows):
            return None
        # Great Expectations formats the query, and SQLAlchemy takes a colon for the mark of a parameter.
        predicate = expectation.predicate(rows).replace("{", "{{").replace("}", "}}").replace(":", "\\:")
        query = f"SELECT 1 AS failed FROM {{batch}} WHERE NOT {predicate}"  # noqa: S608 - made by the rule of quoted names
        return ExpectNoBrokenRows(unexpected_rows_query=query, **options)
    name, arguments = native
    made: Callable[..., GxExpectation] = getattr(gx.expectations, name)
    return made(**arguments, **options)


def is_checked(expectation: Expectation, rows: Rows) -> bool:
    """Return whether the delivery has the table that the expectation compares with, or it needs none."""
    return expectation.parent is None or expectation.parent in rows.delivery.parents


def validate(
    connection: duckdb.DuckDBPyConnection, contract: Contract, expectations: Sequence[Expectation], rows: Rows
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
    found = iter(_run(connection, rows.table, [one for one in planned if one is not None]))
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(rows.table)}").fetchall()  # noqa: S608 - quoted
    results = []
    for expectation, one in zip(expectations, planned, strict=True):
        if one is None:
            results.append(_unchecked(contract, expectation, n_rows))
        else:
            results.append(_result(contract, expectation, next(found), n_rows))
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
    validator = _QuietValidator(execution_engine=execution, batches=[Batch(data=data)])
    return validator.graph_validate(
        configurations=[expectation.configuration for expectation in expectations], runtime_configuration=_COUNTS_ONLY
    )


def _result(
    contract: Contract, expectation: Expectation, found: ExpectationValidationResult, n_rows: int
) -> ExpectationResult:
    if found.exception_info.get("raised_exception", True):
        raise _anonymous(contract, expectation, str(found.exception_info))
    if expectation.condition is None:
        n_failed, detail = 0 if found.success else n_rows, f"observed {found.result.get('observed_value')}"
    else:
        # A table without rows yields no count at all.
        n_failed, detail = int(found.result.get("unexpected_count") or 0), ""
    return ExpectationResult(
        contract.name, expectation.name, expectation.severity, n_rows, n_failed, bool(found.success), detail
    )


def _anonymous(contract: Contract, expectation: Expectation, told: str) -> duckdb.Error:
    """Return DuckDB's error again by its class alone: its message may quote a cell, and a cell may be personal."""
    raised = [getattr(duckdb, name, None) for name in re.findall(r"duckdb\.(\w+)", told)]
    kinds = [kind for kind in raised if isinstance(kind, type) and issubclass(kind, duckdb.Error)]
    kind = kinds[0] if kinds else duckdb.Error
    return kind(f"{contract.name}: Great Expectations could not evaluate {expectation.name!r}: {kind.__name__}")


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
