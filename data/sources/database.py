"""Tables of a company's database: opened read-only, copied into DuckDB batch by batch, told apart from night to night.

The address of a database stands in an environment variable, and only the variable's name in the configuration, in
messages and in logs: what a driver says of its address is not repeated, because it may quote the password. What a
server says of a row is not repeated either.
"""
# ruff: noqa: S608 - every name goes through quoted()

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn, Protocol

import duckdb
import pyarrow as pa

from data.contracts.base import quoted
from data.engine import connect, enough_room
from data.errors import ConfigError, ContractError
from data.sources.keys import nearest, one_of
from data.sources.mapping import Files

_POSTGRES = {"postgres", "postgresql"}
_PART = r'"((?:[^"]|"")+)"|([^".]+)'
_BATCH = '"regulars batch"'


class Link(Protocol):
    """One table or query of a database, opened read-only; all that it gives is of one state of it."""

    names: tuple[str, ...]
    """The columns, as the database has them."""

    def batches(self, since: str | None) -> pa.RecordBatchReader:
        """Stream the rows, those above a watermark where one is given; column ``c<n>`` is ``names[n]``."""

    def newest(self, column: str) -> tuple[int, int, str | None]:
        """Return the rows, those of them without a watermark, and the greatest watermark as text."""

    def digest(self) -> str | None:
        """Return a digest of all rows in any order, null where the server cannot make one."""


def copy_table(connection: duckdb.DuckDBPyConnection, files: Files, target: str, since: str | None) -> tuple[str, ...]:
    """Copy a table or a query of a database into a temporary table of DuckDB, all of it or nothing.

    Parameters
    ----------
    connection
        Where the table is made; column ``c<n>`` of it holds the n-th column of the database's.
    files
        What to read.
    target
        Name of the temporary table.
    since
        Read rows only whose watermark is above; null reads all.

    Returns
    -------
    tuple[str, ...]
        The columns as the database has them.

    Raises
    ------
    ConfigError
        The variable, the database, the table, the query or the watermark is not what the configuration says.
    ContractError
        The database broke off in the middle.
    LakeError
        Memory or disk ran out.
    """
    with _opened(files) as link, enough_room():
        _pour(connection, files, link.batches(since), f"CREATE OR REPLACE TEMP TABLE {quoted(target)} AS FROM {_BATCH}")
        return link.names


def database_piece(files: Files, since: str | None) -> tuple[str, str | None]:
    """Return a digest of what a table or a query holds now, and its newest watermark.

    With a watermark the digest is of the number of rows and the newest watermark, so that a row which changes without
    a new watermark is not noticed. Without one it is of every row, in whatever order: PostgreSQL makes it by itself,
    of another database all rows are read.

    Parameters
    ----------
    files
        What is read.
    since
        The watermark up to which rows were taken; it is returned where there are no rows now.

    Returns
    -------
    tuple[str, str | None]
        The digest; the watermark as text, null without a watermark column and as long as there are no rows.

    Raises
    ------
    ConfigError
        As ``copy_table``.
    ContractError
        A row has no watermark, so that it would never be read again; or the database broke off.
    """
    with _opened(files) as link:
        if files.watermark is None:
            return _digest(link.digest() or _streamed(files, link)), None
        n_rows, n_open, newest = link.newest(files.watermark)
        if n_open or (newest or "").lower() in {"infinity", "inf", "nan"}:
            raise ContractError(
                f"{files.watermark} is {'null' if n_open else 'without end'} in {n_open or 'a row of'} "
                f"{f'of {n_rows:,} rows of ' if n_open else ''}{files.place}",
                "a watermark in every row, or later changes of that row would never be read",
                "fill the column, or remove watermark to read all rows every night",
            )
        # So little says what it is of only together with the table.
        content = f"{files.table or files.query} {files.watermark} {n_rows} {newest}"
        return _digest(content), since if newest is None else newest


def identifiers(name: str) -> tuple[str, ...]:
    """Return the parts of a name such as ``public.orders``; a part with a dot in it stands in double quotes.

    Raises
    ------
    ConfigError
        It does not read as a name.

    Examples
    --------
    >>> identifiers("public.orders"), identifiers('"a.b".orders')
    (('public', 'orders'), ('a.b', 'orders'))
    """
    if not re.fullmatch(rf"(?:{_PART})(?:\.(?:{_PART}))*", name):
        raise ConfigError(
            f"table = {name!r}", "a name such as public.orders", 'put parts with a dot in double quotes: "a.b".orders'
        )
    return tuple((inner or plain).replace('""', '"') for inner, plain in re.findall(_PART, name))


def body(query: str) -> str:
    """Return a query in brackets, without the semicolon at its end; a comment may be its last line."""
    return f"(\n{query.strip().rstrip(';').rstrip()}\n)"


def check_columns(files: Files, names: Sequence[str]) -> None:
    """Refuse two columns of the same name, and a watermark that is no column.

    Raises
    ------
    ConfigError
        The query gives such columns, or the watermark is not there.
    """
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"the {files.place} has two columns {twice!r}", "columns of different names", "give one a name by AS"
        )
    if files.watermark is not None and files.watermark not in names:
        raise ConfigError(
            f"{files.place} has no column {files.watermark!r}, which is its watermark",
            one_of(names)[:500],
            nearest(files.watermark, names),
        )


def check_grows(files: Files, kind: str, *, can_grow: bool) -> None:
    """Refuse a watermark of a type on which rows that come later are not above: a day, a word.

    Raises
    ------
    ConfigError
        The type is such a one.
    """
    if not can_grow:
        raise ConfigError(
            f"the watermark {files.watermark} of {files.place} is of type {kind}",
            "an instant or a number, so that what is added later on the same day is above it",
            "name another column, or remove watermark to read all rows every night",
        )


def no_table(files: Files, known: Sequence[str]) -> NoReturn:
    """Refuse a table that is not there, naming the nearest that is.

    Raises
    ------
    ConfigError
        Always.
    """
    asked = str(files.table)
    # Most people name a table of the usual schema without it.
    near = nearest(asked, [*known, *(name.rpartition(".")[2] for name in known if "." not in asked)])
    raise ConfigError(
        f"no table {asked!r} in {files.connection}",
        one_of(known)[:500],
        near if near.startswith("did") else "name a table that this user may read",
    )


def refused(files: Files, reason: str) -> ConfigError:
    """Return the error of a query that the database does not take; the reason must be without values of rows."""
    return ConfigError(
        f"the {files.place} is refused: {reason}",
        "a SELECT of what this user may read",
        f"correct {'query' if files.query else 'table'}, or ask for the right to read it",
    )


def broken(files: Files, error: BaseException) -> ContractError:
    """Return the error of a database that broke off."""
    return ContractError(
        f"the {files.place} broke off: {without_values(str(error))}",
        "all of its rows; none was taken",
        f"run again when the database answers{', or correct the query' if files.query else ''}",
    )


def without_values(message: str) -> str:
    """Return what a server says without what stands in quotation marks, which may be of a row.

    Examples
    --------
    >>> without_values('ERROR:  invalid input syntax for type integer: "ann@example.org"')
    'invalid input syntax for type integer: …'
    """
    return re.sub(r"\"[^\"]*\"?|'[^']*'?|=\(.*", "…", said(message))


def said(message: str) -> str:
    """Return the line of a message in which PostgreSQL says what is wrong, in any language, else the first line."""
    found = re.search(r"[A-Z]+ ?:  (.*)", message)
    return (found[1] if found else message.strip().partition("\n")[0]).strip()[:200]


@contextmanager
def _opened(files: Files) -> Iterator[Link]:
    name = str(files.connection)
    address = os.environ.get(name, "").strip()
    if "://" not in address:
        raise ConfigError(
            f"the environment variable {name} {'holds no address' if address else 'is not set'}",
            "the address of a database, such as postgresql://user:password@host/database",
            f"set {name} where regulars runs, never in its configuration",
        )
    with _link(address, files) as link:
        check_columns(files, link.names)
        yield link


def _link(address: str, files: Files) -> AbstractContextManager[Link]:
    # Few need them, and they take long to import.
    scheme = address.partition("://")[0].lower()
    if scheme in _POSTGRES:
        from data.sources import postgres  # noqa: PLC0415

        return postgres.opened(address, files)
    from data.sources import engines  # noqa: PLC0415

    return engines.sqlite(address, files) if scheme == "sqlite" else engines.ibis_table(address, files)


def _pour(
    connection: duckdb.DuckDBPyConnection, files: Files, reader: pa.RecordBatchReader, query: str
) -> list[tuple[object, ...]]:
    """Run a query over batches as they come, and return its rows."""
    failures: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except Exception as error:
            # DuckDB would pass on its words alone.
            failures.append(error)
            raise

    connection.register(_BATCH.strip('"'), pa.RecordBatchReader.from_batches(reader.schema, batches()))
    try:
        return connection.execute(query).fetchall()
    except duckdb.Error:
        if failures:
            raise broken(files, failures[0]) from None
        raise
    finally:
        connection.unregister(_BATCH.strip('"'))


def _streamed(files: Files, link: Link) -> str:
    """Return a digest of all rows in any order, by reading them."""
    backend = connect(threads=1)
    query = f"SELECT count(*), CAST(sum(hash(delivered)) AS VARCHAR) FROM {_BATCH} AS delivered"
    try:
        return str(_pour(backend.con, files, link.batches(None), query))
    finally:
        backend.disconnect()


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
