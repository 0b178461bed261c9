"""What a contract is made of: columns, expectations, examples, and the delivery that the expectations speak about.

A rule is written once. Each constructor function of ``data.contracts.rules`` returns an ``Expectation`` that carries
the SQL predicate by which the quarantine labels a row and, where Great Expectations has a class of its own for the
rule, the name of that class with its arguments. Where it has none, the predicate itself is what Great Expectations
runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

Native = tuple[str, dict[str, object]]
"""Name of a class of ``great_expectations.expectations`` and its arguments."""


class Severity(StrEnum):
    """What a broken expectation does: stop the run, put the row into quarantine, or be counted and reported."""

    CRITICAL = "critical"
    REJECT = "reject"
    WARNING = "warning"


class DType(StrEnum):
    """Type of a contract column, in the words of an error message."""

    STRING = "a text"
    INTEGER = "an integer"
    DECIMAL = "a decimal"
    NUMBER = "a number"
    DATE = "a date"
    INSTANT = "an instant"
    FLAG = "a flag"


@dataclass(frozen=True)
class Column:
    """A column of a contract: its name, its type, and whether a delivery without it is refused.

    A column that is not required and not delivered is null in every row.
    """

    name: str
    dtype: DType
    required: bool = False


@dataclass(frozen=True)
class Delivery:
    """What the run knows about the rows that it receives.

    Parameters
    ----------
    received_at
        Naive UTC instant of receipt; nothing can have happened later.
    timezone
        IANA zone of the shops; local times are derived with it.
    currencies
        Codes that may stand in a currency column; null is the house currency.
    parents
        Accepted tables by the name of their contract, for references: what earlier deliveries brought, as far as it
        still holds.
    known_at
        Naive UTC instant from which the rows can be used, where that is later than they happened; null for the first
        bulk load, which declares ``known_at = event_time``.
    usual_amount_cents
        Median amount of a line in earlier deliveries; null skips the check against it.
    reject_limit
        Share of rejected rows above which the run stops.
    absent
        Contracts that this delivery brings no table for, so that the empty one in its place breaks no rule.
    repaired
        By contract the ``row_id`` of rows that came in again, repaired: as they first came they count as copies.
    known_columns
        Raw columns of the last delivery by contract, against which added and vanished ones are told; unchecked where
        a contract is not named.
    """

    received_at: datetime
    timezone: str = "UTC"
    currencies: tuple[str, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    known_at: datetime | None = None
    usual_amount_cents: int | None = None
    reject_limit: float = 0.05
    absent: tuple[str, ...] = ()
    known_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repaired: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """A typed table of delivered rows, as a rule sees it.

    Parameters
    ----------
    table
        Name of the table or view.
    delivery
        What the run knows about it.
    cells
        Column that holds the cell as delivered, for each delivered column in the order of delivery; the column itself
        where nothing had to be converted.
    texts
        Columns of ``cells`` that hold text.
    copies
        Table of the ``rowid`` of each row that is an exact copy of an earlier one; null once they are gone.
    """

    table: str
    delivery: Delivery
    cells: Mapping[str, str]
    texts: tuple[str, ...] = ()
    copies: str | None = None

    def cell(self, column: str) -> str:
        """Return the name of the column that holds the cell as delivered."""
        return self.cells.get(column, column)


@dataclass(frozen=True)
class Expectation:
    """A rule of a contract, named by the defect that it finds.

    Parameters
    ----------
    name
        The defect in a few words: the reason in the quarantine, the expectation in the quality table.
    severity
        What happens where it is broken.
    condition
        Gives the SQL condition that a good row fulfils; null for a rule about the table as a whole.
    native
        Gives the class of Great Expectations that states the same rule; null where there is none.
    columns
        The columns that it reads.
    null_passes
        The side on which a condition falls that is neither true nor false.
    parent
        Contract without whose accepted table the rule cannot be checked.
    is_about_copies
        Whether it finds exact copies, which the other rules never see.
    """

    name: str
    severity: Severity
    condition: Callable[[Rows], str] | None
    native: Callable[[Rows], Native | None] | None = None
    columns: tuple[str, ...] = ()
    null_passes: bool = True
    parent: str | None = None
    is_about_copies: bool = False

    def predicate(self, rows: Rows) -> str:
        """Return the SQL predicate of a good row, which is true or false and never null.

        Raises
        ------
        ValueError
            The rule is about the table, not about a row.

        Examples
        --------
        >>> rule = Expectation("fee without plan", Severity.REJECT, lambda _: "fee_cents = 0 OR plan <> ''")
        >>> rule.predicate(Rows("subscriptions", Delivery(datetime(2018, 1, 1)), {}))
        "coalesce((fee_cents = 0 OR plan <> ''), true)"
        """
        if self.condition is None:
            raise ValueError(f"{self.name!r} is a rule about the table: it has no row predicate")
        return f"coalesce(({self.condition(rows)}), {str(self.null_passes).lower()})"


@dataclass(frozen=True)
class Reject:
    """A bad example row: the expectation that it must break, and how it differs from the contract's first example."""

    breaks: str
    changes: Mapping[str, object]


@dataclass(frozen=True)
class Contract:
    """What a raw table must be: its grain, columns, expectations, examples of good rows and of bad ones.

    Parameters
    ----------
    name
        Name of the table.
    grain
        What one row is.
    columns
        The columns of the accepted table, before the derived ones and the attributes.
    expectations
        Its rules.
    examples
        Good rows, with cells as a text file would hold them.
    rejects
        Bad rows, at least one for each rule about a row.
    total
        Integer column whose sum is reconciled with the count of rows; null where there is none.
    derived
        SQL of the columns that are derived when a row is accepted.
    key
        Columns, or SQL over them, that say what a row is about: rows of a later delivery take the place of earlier ones
        with the same key.
    time
        Column that says when a row happened, which the first load takes for ``known_at`` too; null for a table of
        things and not of events.
    """

    name: str
    grain: str
    columns: tuple[Column, ...]
    expectations: tuple[Expectation, ...]
    examples: tuple[Mapping[str, object], ...]
    rejects: tuple[Reject, ...]
    total: str | None = None
    derived: Mapping[str, Callable[[Delivery], str]] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    time: str | None = None


@dataclass(frozen=True)
class ExpectationResult:
    """What became of an expectation: a row of the quality table without its ``as_of``."""

    table_name: str
    expectation: str
    severity: Severity
    n_rows: int
    n_failed: int
    is_passed: bool
    detail: str = ""


def quoted(name: str) -> str:
    """Return a name as an SQL identifier, whatever characters it holds.

    Examples
    --------
    >>> print(quoted('so "called" name'))
    "so ""called"" name"
    """
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Return a value as an SQL literal.

    Raises
    ------
    TypeError
        The value is of no type that contracts use.

    Examples
    --------
    >>> literal(("it's", 3, None))
    "('it''s', 3, NULL)"
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float | Decimal):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))})"
    raise TypeError(f"no SQL literal for {type(value).__name__}")
