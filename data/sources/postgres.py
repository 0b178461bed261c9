"""PostgreSQL through ADBC: rows leave the server as Arrow batches, from one read-only snapshot, in bounded memory."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import starmap
from typing import Any

import pyarrow as pa
from adbc_driver_manager import Error
from adbc_driver_postgresql import dbapi  # type: ignore[import-untyped]

from data.contracts.base import literal, quoted
from data.errors import ConfigError
from data.sources.database import body, broken, check_grows, identifiers, no_table, refused, said, without_values
from data.sources.mapping import Files

_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
    # A large table would otherwise be read from where another reader happens to be.
    "synchronize_seqscans": "off",
}

_PLAIN = {"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar"}
_MOMENTS = {"timestamp", "timestamptz", "date"}
_GROWING = {"int2", "int4", "int8", "numeric", "timestamp", "timestamptz"}

_REASONS = {
    "password authentication failed": "the server refuses the user or the password",
    "no password supplied": "the server asks for a password",
    "no pg_hba.conf entry": "the server lets nobody in from here in this way",
    "Connection refused": "no server answers there",
    "could not translate host name": "there is no such host",
    "timeout": "the server does not answer in time",
    "does not exist": "there is no such database or user",
    "too many": "the server has too many connections",
    "starting up": "the server is starting up",
}


class Postgres:
    """A table or a query within a transaction that reads one state of the database and writes nothing.

    Parameters
    ----------
    cursor
        Within the transaction.
    files
        What to read.
    """

    def __init__(self, cursor: dbapi.Cursor, files: Files) -> None:
        self._cursor = cursor
        self._files = files
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self._fetch(f"SELECT {', '.join(starmap(_setting, _SETTINGS.items()))}")
        self._relation = body(files.query) if files.query else self._found()
        schema = self._streamed(f"SELECT * FROM {self._relation} AS delivered LIMIT 0").schema
        self.names = tuple(schema.names)
        self._types: list[str] = [(field.metadata or {}).get(b"POSTGRESQL:type", b"").decode() for field in schema]

    def batches(self, since: str | None) -> pa.RecordBatchReader:
        """Stream the rows, those above a watermark where one is given.

        An exact number, and whatever else DuckDB does not have as PostgreSQL has it, comes as the text that PostgreSQL
        writes; an infinite instant or date, which means none, as null.
        """
        columns = [_column(name, kind) for name, kind in zip(self.names, self._types, strict=True)]
        aliased = ", ".join(f"{column} AS c{n}" for n, column in enumerate(columns))
        above = "" if since is None else f" WHERE {self._above(since)}"
        # Workers would deliver rows in the order in which they happen to end.
        self._fetch(f"SELECT {_setting('max_parallel_workers_per_gather', '0')}")
        return self._streamed(f"SELECT {aliased} FROM {self._relation} AS delivered{above}")

    def newest(self, column: str) -> tuple[int, int, str | None]:
        """Return the rows, those of them without a watermark, and the greatest watermark as text."""
        self._growing(column)
        watermark = quoted(column)
        ((n_rows, n_known, newest),) = self._fetch(
            f"SELECT count(*), count({watermark}), CAST(max({watermark}) AS text) FROM {self._relation} AS delivered"
        )
        return n_rows, n_rows - n_known, newest

    def digest(self) -> str | None:
        """Return a digest of all rows in any order, made by the server."""
        # A sum of hashes needs no sort; it is several times faster than an MD5 of ordered rows.
        ((digest,),) = self._fetch(
            "SELECT concat(count(*), ' ', sum(hashtextextended(CAST((delivered.*) AS text), 0))) "
            f"FROM {self._relation} AS delivered"
        )
        return str(digest)

    def _above(self, since: str) -> str:
        column = str(self._files.watermark)
        return f"{quoted(column)} > CAST({literal(since)} AS pg_catalog.{quoted(self._growing(column))})"

    def _growing(self, column: str) -> str:
        kind = self._types[self.names.index(column)]
        check_grows(self._files, kind, can_grow=kind in _GROWING)
        return kind

    def _found(self) -> str:
        """Return the table's name as SQL."""
        name = ".".join(map(quoted, identifiers(str(self._files.table))))
        ((is_there,),) = self._fetch(f"SELECT to_regclass({literal(name)}) IS NOT NULL")
        if not is_there:
            known = self._fetch(
                "SELECT concat(table_schema, '.', table_name) FROM information_schema.tables "
                "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
            )
            no_table(self._files, [known_name for (known_name,) in known])
        return name

    def _fetch(self, query: str) -> list[Any]:
        reader = self._streamed(query)
        try:
            return list(zip(*(column.to_pylist() for column in reader.read_all().columns), strict=True))
        except (Error, OSError) as error:
            raise broken(self._files, error) from None

    def _streamed(self, query: str) -> pa.RecordBatchReader:
        return self._run(query).fetch_record_batch()

    def _run(self, query: str) -> dbapi.Cursor:
        try:
            self._cursor.execute(query)
        except Error as error:
            # Class 42 is about names and syntax, which are the configuration's own and hold nothing of a row.
            if str(error.sqlstate).startswith("42"):
                raise refused(self._files, said(str(error))) from None
            if str(error.sqlstate).startswith("25"):
                raise refused(self._files, without_values(str(error))) from None
            raise broken(self._files, error) from None
        return self._cursor


@contextmanager
def opened(address: str, files: Files) -> Iterator[Postgres]:
    """Open a table or a query of PostgreSQL for the time of a block.

    Parameters
    ----------
    address
        As libpq takes it; parameters such as ``?connect_timeout=10`` may stand in it.
    files
        What to read.

    Raises
    ------
    ConfigError
        Nobody answers there, the server refuses, or there is no such table.
    ContractError
        The server broke off.
    """
    try:
        connection = dbapi.connect(address, autocommit=True)
    except Error as error:
        reason = next(
            (words for sign, words in _REASONS.items() if sign in str(error)), "no server there, or no way in"
        )
        # What libpq says may quote pieces of the address.
        raise ConfigError(
            f"cannot connect to {files.connection}: {reason}",
            "an address such as postgresql://user:password@host/database, signs like @ and / in it as %40 and %2F",
            f"correct the environment variable {files.connection}, or start the server",
        ) from None
    with connection, connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        settings = ", ".join(
            f"set_config({literal(name)}, {literal(value)}, true)" for name, value in _SETTINGS.items()
        )
        cursor.execute(f"SELECT {settings}")
        cursor.fetchall()
        yield Postgres(cursor, files)


def _setting(name: str, value: str) -> str:
    return f"set_config({literal(name)}, {literal(value)}, true)"


def _column(name: str, kind: str) -> str:
    """Return the SQL of a column in a form that keeps what it says on its way through Arrow."""
    column = quoted(name)
    if kind in _PLAIN:
        return column
    if kind in _MOMENTS:
        return f"CASE WHEN isfinite({column}) THEN {column} END"
    # An amount of type money would come as a count of its smallest unit.
    return f"CAST({f'CAST({column} AS numeric)' if kind == 'money' else column} AS text)"
