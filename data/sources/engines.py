"""Other databases: SQLite by Python's own driver, row by row as text, and whatever else Ibis can connect to."""
# ruff: noqa: S608 - every name goes through quoted(), every value through a parameter

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

import ibis
import pyarrow as pa

from data.contracts.base import quoted
from data.errors import ConfigError
from data.sources.database import body, broken, check_grows, identifiers, no_table, refused
from data.sources.mapping import Files
from data.sources.sheets import as_text

_BATCH_ROWS = 20_000


class Sqlite:
    """A table or a query of an SQLite file, whose cells may be of any type whatever their column says: all as text.

    Parameters
    ----------
    connection
        Read-only.
    files
        What to read.
    """

    def __init__(self, connection: sqlite3.Connection, files: Files) -> None:
        self._connection = connection
        self._files = files
        self._relation = body(files.query) if files.query else self._found()
        described = self._run(f"SELECT * FROM {self._relation} AS delivered LIMIT 0").description
        self.names = tuple(str(name) for name, *_ in described)

    def batches(self, since: str | None) -> pa.RecordBatchReader:
        """Stream the rows as text, those above a watermark where one is given."""
        columns = ", ".join(f"{quoted(name)} AS c{n}" for n, name in enumerate(self.names))
        query, values = f"SELECT {columns} FROM {self._relation} AS delivered", {}
        if since is not None:
            # A number is above every number and below every text.
            watermark, values = quoted(str(self._files.watermark)), {"since": since}
            query += f" WHERE {watermark} > iif(typeof({watermark}) = 'text', :since, CAST(:since AS NUMERIC))"
        schema = pa.schema([(f"c{n}", pa.string()) for n in range(len(self.names))])
        return pa.RecordBatchReader.from_batches(schema, _as_batches(self._run(query, values), schema))

    def newest(self, column: str) -> tuple[int, int, str | None]:
        """Return the rows, those of them without a watermark, and the greatest watermark as text."""
        watermark = quoted(column)
        cursor = self._run(f"SELECT count(*), count({watermark}), max({watermark}) FROM {self._relation} AS delivered")
        n_rows, n_known, newest = cursor.fetchone()
        return n_rows, n_rows - n_known, None if newest is None else str(newest)

    def digest(self) -> str | None:
        """Return null: SQLite makes no digest."""
        return None

    def _found(self) -> str:
        """Return the table's name as SQL."""
        *schema, table = identifiers(str(self._files.table))
        main = quoted(schema[-1] if schema else "main")
        known = self._run(f"SELECT name FROM {main}.sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        names = [str(name) for (name,) in known.fetchall()]
        if table not in names:
            no_table(self._files, names)
        return f"{main}.{quoted(table)}"

    def _run(self, query: str, values: dict[str, str] | None = None) -> sqlite3.Cursor:
        try:
            return self._connection.execute(query, values or {})
        except sqlite3.Error as error:
            raise refused(self._files, str(error)) from None


class IbisTable:
    """A table or a query of any database that Ibis connects to.

    Parameters
    ----------
    backend
        The connection.
    files
        What to read.
    """

    def __init__(self, backend: Any, files: Files) -> None:
        self._files = files
        self._table = self._opened(backend)
        self.names = tuple(self._table.columns)

    def batches(self, since: str | None) -> pa.RecordBatchReader:
        """Stream the rows, those above a watermark where one is given; exact numbers and rare types as text."""
        table = self._table
        if since is not None:
            column = table[self._files.watermark]
            table = table.filter(column > ibis.literal(since).cast(column.type()))
        columns = {f"c{n}": _column(table[name]) for n, name in enumerate(self.names)}
        with _asking(self._files):
            return table.select(**columns).to_pyarrow_batches(chunk_size=_BATCH_ROWS)

    def newest(self, column: str) -> tuple[int, int, str | None]:
        """Return the rows, those of them without a watermark, and the greatest watermark as text."""
        watermark = self._table[column]
        kind = watermark.type()
        check_grows(self._files, str(kind), can_grow=kind.is_numeric() or kind.is_timestamp())
        counts = {"n_rows": self._table.count(), "n_known": watermark.count()}
        with _asking(self._files):
            found = self._table.aggregate(**counts, newest=watermark.max().cast("string")).to_pyarrow()
        ((n_rows, n_known, newest),) = zip(*(column.to_pylist() for column in found.columns), strict=True)
        return n_rows, n_rows - n_known, newest

    def digest(self) -> str | None:
        """Return null: no two databases make digests in the same way."""
        return None

    def _opened(self, backend: Any) -> Any:
        files = self._files
        if files.query:
            try:
                return backend.sql(files.query.strip().rstrip(";"))
            except Exception as error:  # noqa: BLE001 - every driver has errors of its own
                raise refused(files, str(error).partition("\n")[0]) from None
        *schema, table = identifiers(str(files.table))
        try:
            return backend.table(table, database=tuple(schema) or None)
        except Exception:  # noqa: BLE001 - every driver has errors of its own
            no_table(files, backend.list_tables())


@contextmanager
def sqlite(address: str, files: Files) -> Iterator[Sqlite]:
    """Open a table or a query of an SQLite file, such as ``sqlite:////data/shop.db``, for the time of a block.

    Raises
    ------
    ConfigError
        There is no such file, or no such table in it.
    """
    path = unquote(address.partition("://")[2].removeprefix("/").partition("?")[0])
    try:
        # DuckDB asks for the batches from threads of its own, one at a time.
        uri = f"file:{quote(path)}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    except sqlite3.Error:
        raise _no_connection(files, "there is no such file") from None
    with closing(connection):
        # Bytes that are no text become the sign that the contracts reject.
        connection.text_factory = lambda cell: cell.decode("utf-8", "replace")
        connection.execute("BEGIN")
        yield Sqlite(connection, files)


@contextmanager
def ibis_table(address: str, files: Files) -> Iterator[IbisTable]:
    """Open a table or a query of a database that Ibis knows, such as ``duckdb:////data/shop.duckdb``.

    Raises
    ------
    ConfigError
        Ibis cannot connect, or there is no such table.
    """
    kind = address.partition("://")[0].lower()
    try:
        # Other drivers have no such word; nothing but SELECT is ever sent to them.
        backend = ibis.connect(address, **({"read_only": True} if kind == "duckdb" else {}))
    except ImportError:
        raise _no_connection(files, f"the driver of {kind} is not installed: ibis-framework[{kind}]") from None
    except Exception:  # noqa: BLE001 - every driver has errors of its own, which may quote the address
        raise _no_connection(files, "no such database, or it lets nobody in") from None
    try:
        yield IbisTable(backend, files)
    finally:
        backend.disconnect()


@contextmanager
def _asking(files: Files) -> Iterator[None]:
    """Turn what a driver says of a question into one line without values."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - every driver has errors of its own
        raise broken(files, error) from None


def _no_connection(files: Files, reason: str) -> ConfigError:
    return ConfigError(
        f"cannot connect to {files.connection}: {reason}",
        "an address that is right and reachable from here",
        f"correct the environment variable {files.connection}",
    )


def _as_batches(rows: Iterator[tuple[object, ...]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while some := list(islice(rows, _BATCH_ROWS)):
        columns = [pa.array([_text(cell) for cell in cells], pa.string()) for cells in zip(*some, strict=True)]
        yield pa.record_batch(columns, schema=schema)


def _text(cell: object) -> str | None:
    return cell.hex() if isinstance(cell, bytes) else as_text(cell)


def _column(column: Any) -> Any:
    kind = column.type()
    is_plain = kind.is_boolean() or kind.is_integer() or kind.is_floating() or kind.is_string()
    return column if is_plain or kind.is_timestamp() or kind.is_date() else column.cast("string")
