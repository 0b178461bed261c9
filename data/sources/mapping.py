"""The mapping: how the columns of a company's own files become the columns of the contracts, as frozen typed settings.

Every key is checked when the configuration is read, before any file is opened. A key or a column of a contract that
does not exist is an error that names the nearest one that does.
"""

import codecs
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from data.contracts import CONTRACTS
from data.contracts.base import DType
from data.errors import ConfigError
from data.sources.keys import nearest, one_of

ROW = "$row"
"""Stands for the number of a row, from 1 in the order of the files, where a file has no id of its own."""

Format = Literal["csv", "fixed", "parquet", "excel", "delta"]
Kind = Literal[Format, "database"]
Scalar = bool | int | float | datetime | date | str

_ENDINGS: dict[str, Format] = {".csv": "csv", ".txt": "csv", ".tsv": "csv", ".parquet": "parquet", ".xlsx": "excel"}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=False)


class Files(_Section):
    """Where a table's rows are, and how to read them.

    Parameters
    ----------
    path
        A file, a pattern such as ``daily/*.csv.gz``, or the folder of a Delta table; relative to the configuration's
        folder, which it must not leave. An absolute path may lie anywhere.
    format
        Null takes it from the ending; a folder is a Delta table.
    delimiter, quote, encoding
        Of a CSV file; a byte-order mark is skipped. ``quote = ""`` for none.
    skip_lines
        Lines before the header.
    fields
        Of a fixed-width file, which has no header: first and last place of each column, from 1.
    sheet
        Of an Excel file; null takes the first.
    connection
        Instead of a path: the name of the environment variable that holds the address of a database, which itself
        never stands in the configuration.
    table, query
        Of a database: a name such as ``public.orders``, or a SELECT.
    watermark
        Of a database: a column that only grows, an instant or a number. Rows above the last value that was seen are
        read only; one that is written later with a lower value, or with the same, is never read.
    """

    path: str | None = Field(default=None, min_length=1)
    format: Format | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', max_length=1)
    encoding: str = "utf-8"
    skip_lines: int = Field(default=0, ge=0)
    fields: Mapping[str, tuple[int, int]] = Field(default_factory=dict)
    sheet: str | None = None
    connection: str | None = None
    table: str | None = Field(default=None, min_length=1)
    query: str | None = Field(default=None, min_length=1)
    watermark: str | None = Field(default=None, min_length=1)

    @field_validator("connection", mode="before")
    @classmethod
    def _is_a_variable(cls, value: object) -> object:
        # Whatever stands here may be a password, so that no message repeats it.
        if value is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(value)):
            raise ConfigError(
                "connection is no name of an environment variable",
                "a name such as SHOP_DB; the address itself, with its password, never stands in the configuration",
                "put the address into an environment variable, and the variable's name here",
            )
        return value

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if self.connection is None:
            if self.table or self.query or self.watermark:
                raise ValueError("table, query and watermark are of a database: give a connection")
        elif bool(self.table) == bool(self.query):
            raise ValueError("give a connection exactly one of table and query")
        return self

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError as error:
            raise ValueError(f"no such encoding {value!r}; use a name such as utf-8, cp1252 or utf-16") from error

    @field_validator("fields")
    @classmethod
    def _have_places(cls, value: Mapping[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
        if any(not 1 <= first <= last for first, last in value.values()):
            raise ValueError("a field is [first, last], counted from 1, last not before first")
        return value

    @property
    def place(self) -> str:
        """Where the rows are, in the words of an error."""
        if self.connection is None:
            return str(self.path)
        return f"table {self.table} of {self.connection}" if self.table else f"query to {self.connection}"

    @property
    def kind(self) -> Kind:
        """The format, from the ending where none is given.

        Raises
        ------
        ConfigError
            The ending says nothing.
        """
        if self.connection is not None:
            return "database"
        if self.format is not None:
            return self.format
        if self.fields:
            return "fixed"
        path = Path(str(self.path).removesuffix(".gz"))
        if path.suffix.lower() in _ENDINGS:
            return _ENDINGS[path.suffix.lower()]
        raise ConfigError(
            f"{self.path} does not say what it is", f"an ending such as {', '.join(_ENDINGS)}", "set format for it"
        )


class Join(Files):
    """A file or a table to look columns up in for each row: many rows to one, so that no row is counted twice.

    ``on`` is a column that both have, or a pair: the column on our side, and the one in this file. A column that
    several files have is taken from the first of them.
    """

    on: str | tuple[str, str]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.path is None) == (self.connection is None):
            raise ValueError("give exactly one of path and connection")
        if self.watermark is not None:
            raise ValueError("what is looked up is read as a whole: remove watermark")
        return self

    @property
    def key_columns(self) -> tuple[str, str]:
        """The key's name on our side and on theirs."""
        return (self.on, self.on) if isinstance(self.on, str) else self.on


class Money(_Section):
    """An amount: ``(column × times − minus)``, exact, then rounded to the cent, half a cent away from zero.

    ``unit`` is ``major`` for pounds, dollars or euros and ``minor`` for pence or cents. Up to six decimals of a price
    and three of a quantity count. ``negated`` turns the sign: in a bank's statements what is spent has a minus.
    """

    column: str
    unit: Literal["major", "minor"] = "major"
    times: str | None = None
    minus: str | None = None
    negated: bool = False


class Returns(_Section):
    """Which rows give money back; their quantity and amount become negative, whatever sign they were delivered with.

    Exactly one of ``values`` (cells of the column), ``prefix`` (how they begin) and ``negative`` (a number below 0).
    """

    column: str
    values: tuple[str, ...] = ()
    prefix: str = ""
    negative: bool = False

    @model_validator(mode="after")
    def _has_one_condition(self) -> Self:
        if bool(self.values) + bool(self.prefix) + self.negative != 1:
            raise ValueError("give exactly one of values, prefix and negative")
        return self


class Label(_Section):
    """Who left, as one column of a flat file with one row per customer says it; a blank is not known.

    ``kept`` are the words for those who stayed: another word goes to the quarantine. Without it every word that is not
    in ``churned`` means that the customer stayed.
    """

    column: str
    churned: tuple[str, ...] = Field(min_length=1)
    kept: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        both = sorted({*self.churned} & {*self.kept})
        if both:
            raise ValueError(f"{', '.join(both)} cannot mean both that a customer left and stayed")
        return self


class Table(Files):
    """How one contract table is read.

    Parameters
    ----------
    columns
        Column of the contract to column of the file; several of the file are joined by a blank. ``$row`` is the row's
        number.
    constants
        Column of the contract to one value for all rows.
    money
        Column of cents to how the file states it.
    values
        Column of the contract to the words that are replaced, such as ``{arm = {"No E-Mail" = "control"}}``.
    attributes, numbers
        Columns of the file to keep beside the contract's: as text, and as numbers.
    decimal, thousands
        Signs in numbers; a number written otherwise goes to the quarantine.
    date_format
        As ``strptime`` has it, one or several, or ``epoch`` for seconds and ``epoch_ms`` for milliseconds since
        1970; null reads ISO 8601.
    timezone
        IANA zone of instants without an offset; null takes the company's.
    missing
        Cells that mean nothing, such as ``NULL``.
    whole
        Columns whose whole numbers were written as ``17850.0``.
    returns
        Which rows are returns; null leaves the signs as delivered.
    join
        Further files to look columns up in.
    customer, product
        On transactions: what a line says about its customer and its product, for tables that are not delivered.
    label
        On customers: the column that says who left, read into ``has_churned``.
    rows
        The table's rows themselves, instead of a path.
    """

    columns: Mapping[str, str | tuple[str, ...]] = Field(default_factory=dict)
    constants: Mapping[str, Scalar] = Field(default_factory=dict)
    money: Mapping[str, Money] = Field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    date_format: str | tuple[str, ...] | None = None
    timezone: str | None = None
    missing: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    returns: Returns | None = None
    join: tuple[Join, ...] = ()
    customer: Mapping[str, str] = Field(default_factory=dict)
    product: Mapping[str, str] = Field(default_factory=dict)
    label: Label | None = None
    rows: tuple[Mapping[str, Scalar], ...] = ()

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str | None) -> str | None:
        try:
            return value if value is None else ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such time zone {value!r}; use an IANA name such as Europe/Berlin") from error

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.path) + bool(self.rows) + bool(self.connection) != 1:
            raise ValueError("give either a path or rows, or a connection: exactly one of them")
        if self.thousands == self.decimal:
            raise ValueError("decimal and thousands are the same sign")
        return self

    @property
    def formats(self) -> tuple[str, ...]:
        """The date formats."""
        return (self.date_format,) if isinstance(self.date_format, str) else self.date_format or ()


class Sources(_Section):
    """One section per contract table that is delivered; what is not is derived from transactions where it can be."""

    customers: Table | None = None
    identities: Table | None = None
    consents: Table | None = None
    products: Table | None = None
    transactions: Table | None = None
    subscriptions: Table | None = None
    campaigns: Table | None = None
    contacts: Table | None = None
    feedback: Table | None = None
    trials: Table | None = None

    @property
    def tables(self) -> dict[str, Table]:
        """The sections that are given, by the name of their contract."""
        sections = {name: getattr(self, name) for name in CONTRACTS}
        return {name: table for name, table in sections.items() if table is not None}

    def check_enough(self) -> None:
        """Refuse a mapping from which no question can be answered, whatever else it brings.

        Raises
        ------
        ConfigError
            There are neither transactions nor subscriptions, no label on customers, and no trial.
        """
        is_labelled = self.customers is not None and "has_churned" in _filled(self.customers)
        if not (is_labelled or self.transactions or self.subscriptions or self.trials):
            raise ConfigError(
                f"[sources] has {', '.join(self.tables) or 'no table'}, and nothing says who bought, stayed or left",
                "transactions, subscriptions, trials, or customers with a label",
                "map [sources.transactions], or set label in [sources.customers]",
            )

    @model_validator(mode="after")
    def _fits_the_contracts(self) -> Self:
        for name, table in self.tables.items():
            _check_names(name, table)
            _check_required(name, table)
        return self


def _check_names(name: str, table: Table) -> None:
    """Refuse keys that are no columns of the contract."""
    where, columns = f"sources.{name}", [column.name for column in CONTRACTS[name].columns]
    for key, used in (("columns", table.columns), ("constants", table.constants), ("values", table.values)):
        _check_each(f"{where}.{key}", used, columns)
    for row in table.rows:
        _check_each(f"{where}.rows", row, columns)
    cents = [column.name for column in CONTRACTS[name].columns if column.name.endswith("_cents")]
    _check_each(f"{where}.money", table.money, cents)
    for key, parent in (("customer", "customers"), ("product", "products")):
        texts = [column.name for column in CONTRACTS[parent].columns if column.dtype is DType.STRING][1:]
        _check_each(f"{where}.{key}", getattr(table, key), texts if name == "transactions" else [])
    if table.label is not None and name != "customers":
        raise ConfigError(f"unknown key 'label' in [{where}]", "a label on customers", "remove it")
    kept = {column.lower() for column in (*columns, "local_time")}
    for attribute in (*table.attributes, *table.numbers):
        if attribute.lower() in kept:
            raise ConfigError(
                f"{where} keeps an attribute {attribute!r}",
                "names that the contract does not have",
                f"map it under [{where}.columns]",
            )


def _filled(table: Table) -> list[str]:
    """Return the columns of the contract that a mapping fills, once for each time."""
    named = [*table.columns, *table.constants, *table.money, *({name for row in table.rows for name in row})]
    return [*named, "has_churned"] if table.label else named


def _check_each(where: str, used: Iterable[str], allowed: list[str]) -> None:
    for key in used:
        if key not in allowed:
            raise ConfigError(f"unknown key {key!r} in [{where}]", one_of(allowed), nearest(key, allowed))


def _check_required(name: str, table: Table) -> None:
    """Refuse a mapping that leaves a required column open, or fills one twice."""
    if table.rows:
        return
    filled = _filled(table)
    twice = sorted({column for column in filled if filled.count(column) > 1})
    missing = [column.name for column in CONTRACTS[name].columns if column.required and column.name not in filled]
    if twice or missing:
        raise ConfigError(
            f"[sources.{name}] fills {', '.join(missing)} not at all" if missing else f"two sources of {twice[0]}",
            f"one source for each column that {name} must have",
            f"map {(missing or twice)[0]} once, under columns, money or constants",
        )
