"""The constructor functions of expectations: one line of a contract each."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from data.contracts.base import (
    Column,
    Contract,
    Delivery,
    DType,
    Expectation,
    Native,
    Rows,
    Severity,
    literal,
    quoted,
)


@dataclass(frozen=True)
class Known:
    """A bound that the delivery knows, not the contract: the name of a field of ``Delivery``."""

    name: str

    def value(self, delivery: Delivery) -> object:
        """Return what the delivery says."""
        return getattr(delivery, self.name)


RECEIVED_AT = Known("received_at")
CURRENCIES = Known("currencies")

Bound = int | float | datetime | Known | None


def not_null(column: str, severity: Severity = Severity.REJECT) -> Expectation:
    """Expect a cell in every row; a cell that holds something of a wrong type is not null."""
    return Expectation(
        f"{column} is null",
        severity,
        lambda rows: f"{quoted(rows.cell(column))} IS NOT NULL",
        lambda rows: ("ExpectColumnValuesToNotBeNull", {"column": rows.cell(column)}),
        columns=(column,),
        null_passes=False,
    )


def unique(*columns: str, severity: Severity = Severity.REJECT) -> Expectation:
    """Expect no two rows with the same values; all rows of such a group fail, because none is known to be right.

    Rows with a null in one of the columns pass: a null is the business of ``not_null``.
    """
    key = ", ".join(map(quoted, columns))
    present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in columns)

    def condition(rows: Rows) -> str:
        repeated = f"SELECT {key} FROM {quoted(rows.table)} WHERE {present} GROUP BY {key} HAVING count(*) > 1"
        return f"NOT ({present}) OR ({key}) NOT IN ({repeated})"

    def native(_: Rows) -> Native:
        if len(columns) == 1:
            return "ExpectColumnValuesToBeUnique", {"column": columns[0]}
        return "ExpectCompoundColumnsToBeUnique", {
            "column_list": list(columns),
            "ignore_row_if": "any_value_is_missing",
        }

    return Expectation(f"{' + '.join(columns)} is not unique", severity, condition, native, columns=columns)


def between(
    column: str,
    low: Bound = None,
    high: Bound = None,
    *,
    name: str | None = None,
    severity: Severity = Severity.REJECT,
) -> Expectation:
    """Expect values from ``low`` to ``high``, both included; a null value passes, a null bound is no bound."""

    def bounds(rows: Rows) -> tuple[object, object]:
        first, last = (bound.value(rows.delivery) if isinstance(bound, Known) else bound for bound in (low, high))
        return first, last

    def condition(rows: Rows) -> str:
        sides = zip((">=", "<="), bounds(rows), strict=True)
        return " AND ".join(f"{quoted(column)} {sign} {literal(side)}" for sign, side in sides if side is not None)

    def native(rows: Rows) -> Native:
        # The dialect renders no literal of an instant, so that it goes as ISO text.
        first, last = (side.isoformat() if isinstance(side, datetime) else side for side in bounds(rows))
        return "ExpectColumnValuesToBeBetween", {"column": column, "min_value": first, "max_value": last}

    return Expectation(name or f"{column} is out of bounds", severity, condition, native, columns=(column,))


def in_set(
    column: str,
    values: tuple[str, ...] | Known,
    *,
    name: str | None = None,
    severity: Severity = Severity.REJECT,
) -> Expectation:
    """Expect one of the values; a null passes, and where no values are allowed only a null does."""

    def allowed(rows: Rows) -> tuple[object, ...]:
        found = values.value(rows.delivery) if isinstance(values, Known) else values
        return found if isinstance(found, tuple) else (found,)

    def condition(rows: Rows) -> str:
        return f"{quoted(column)} IN {literal(allowed(rows))}" if allowed(rows) else f"{quoted(column)} IS NULL"

    def native(rows: Rows) -> Native | None:
        if not allowed(rows):
            return None
        return "ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(allowed(rows))}

    return Expectation(name or f"{column} is not an allowed value", severity, condition, native, columns=(column,))


def matches(column: str, regex: str, *, name: str, severity: Severity = Severity.REJECT) -> Expectation:
    """Expect the whole text to match a regular expression; a null passes."""
    return Expectation(
        name, severity, lambda _: f"regexp_full_match({quoted(column)}, {literal(regex)})", columns=(column,)
    )


def references(column: str, parent: str, key: str, *, name: str, severity: Severity = Severity.REJECT) -> Expectation:
    """Expect a value that stands in a column of the parent's accepted table; a null passes.

    A parent that was not delivered leaves the rule unchecked, and its result says so.
    """

    def condition(rows: Rows) -> str:
        table = quoted(rows.delivery.parents[parent])
        return f"{quoted(column)} IN (SELECT {quoted(key)} FROM {table} WHERE {quoted(key)} IS NOT NULL)"

    return Expectation(name, severity, condition, columns=(column,), parent=parent)


def holds(
    name: str,
    condition: str | Callable[[Rows], str],
    *columns: str,
    severity: Severity = Severity.REJECT,
    null_passes: bool = True,
) -> Expectation:
    """Expect an SQL condition over one row to be true: an arithmetic identity, consistent signs, an order of dates.

    A condition that is null, because a column that it reads is null, falls on the side of ``null_passes``. A condition
    that needs the table's name or the delivery is a function of the rows.

    Examples
    --------
    >>> rule = holds("ends before it starts", "starts_on <= ends_on", "starts_on", "ends_on")
    >>> rule.predicate(Rows("campaigns", Delivery(datetime(2018, 1, 1)), {}))
    'coalesce((starts_on <= ends_on), true)'
    """
    given = (lambda _: condition) if isinstance(condition, str) else condition
    return Expectation(name, severity, given, columns=columns, null_passes=null_passes)


def readable(severity: Severity = Severity.REJECT) -> Expectation:
    """Expect no replacement character (U+FFFD), the trace of bytes that were no UTF-8, in any cell of text."""

    def condition(rows: Rows) -> str:
        return (
            " AND ".join(f"NOT coalesce(contains({quoted(text)}, chr(65533)), false)" for text in rows.texts) or "true"
        )

    return Expectation("unreadable text", severity, condition)


def unshifted(column: str, severity: Severity = Severity.REJECT) -> Expectation:
    """Expect an instant in its own column: a row whose ``column`` reads as none while another cell does is shifted."""

    def condition(rows: Rows) -> str:
        others = (quoted(text) for text in rows.texts if text != rows.cell(column))
        astray = " OR ".join(f"TRY_CAST({other} AS TIMESTAMP) IS NOT NULL" for other in others) or "false"
        # A CASE evaluates the casts for the few rows without an instant only.
        return f"CASE WHEN {quoted(column)} IS NULL THEN NOT ({astray}) ELSE true END"

    return Expectation("shifted columns", severity, condition, columns=(column,))


def no_copies(name: str) -> Expectation:
    """Expect no row that equals another in every cell; the first is kept and the copies are counted apart."""

    def condition(rows: Rows) -> str:
        return f"rowid NOT IN (SELECT copy FROM {quoted(rows.copies)})" if rows.copies else "true"

    return Expectation(name, Severity.WARNING, condition, is_about_copies=True)


def enough_rows(low: int) -> Expectation:
    """Expect at least so many rows in the table."""
    native: Native = ("ExpectTableRowCountToBeBetween", {"min_value": low})
    return Expectation(f"fewer than {low} rows", Severity.CRITICAL, None, lambda _: native)


def usual_median(column: str, usual: Known, factor: int, *, name: str) -> Expectation:
    """Expect the table's median within ``factor`` times of the usual one, either way; unchecked where that is null."""

    def native(rows: Rows) -> Native | None:
        median = usual.value(rows.delivery)
        if not isinstance(median, int):
            return None
        return "ExpectColumnMedianToBeBetween", {
            "column": column,
            "min_value": median / factor,
            "max_value": median * factor,
        }

    return Expectation(name, Severity.CRITICAL, None, native, columns=(column,))


def of_type(column: Column) -> Expectation:
    """Expect every cell to be readable as the column's type; a null passes."""

    def condition(rows: Rows) -> str:
        return f"{quoted(rows.cell(column.name))} IS NULL OR {quoted(column.name)} IS NOT NULL"

    return Expectation(f"{column.name} is not {column.dtype}", Severity.REJECT, condition, columns=(column.name,))


def rules(contract: Contract) -> tuple[Expectation, ...]:
    """Return every expectation of a contract: its own, and that the cells of each typed column are of the type."""
    typed = (of_type(column) for column in contract.columns if column.dtype is not DType.STRING)
    return (*contract.expectations, *typed)
