"""The query engine: an Ibis backend on DuckDB that reads versions of the lake and never the network."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from data.errors import LakeError
from data.lake import Lake


@contextmanager
def enough_room() -> Iterator[None]:
    """Turn DuckDB's word that memory or the spill folder is full into one that says what to do.

    Raises
    ------
    LakeError
        A query ran out of memory, or out of disk where it spilled.
    """
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise LakeError(
            f"a query ran out of room: {str(error).splitlines()[0]}",
            "memory, and disk for what does not fit into it",
            "free space, or raise memory_limit under [engine], and run again; what was published last still stands",
        ) from error


def connect(threads: int | None = None, memory_limit: str | None = None, spill: Path | None = None) -> Backend:
    """Connect to an empty DuckDB database in memory.

    Instants are naive UTC and the session's zone is UTC. Extensions are neither downloaded nor loaded by themselves.
    Rows without ORDER BY come in the order of their source, whatever the number of threads.

    Parameters
    ----------
    threads
        Threads of a query; None takes all cores.
    memory_limit
        Size such as ``"2GB"``, beyond which a query spills; None leaves 80 % of the machine's memory.
    spill
        Folder for what does not fit in memory, made with mode 0700; None spills nothing, so that no customer's
        data reach a disk by themselves.

    Returns
    -------
    Backend
        An Ibis backend. Close it with ``disconnect()``.

    Examples
    --------
    >>> backend = connect(threads=1)
    >>> backend.raw_sql("SELECT current_setting('TimeZone')").fetchone()
    ('UTC',)
    >>> backend.disconnect()
    """
    config: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
        "temp_directory": "",
    }
    if threads is not None:
        config["threads"] = threads
    if memory_limit is not None:
        config["memory_limit"] = memory_limit
    if spill is not None:
        spill.mkdir(mode=0o700, parents=True, exist_ok=True)
        config["temp_directory"] = str(spill)
    backend: Backend = ibis.duckdb.connect(**config)
    if backend.raw_sql("SELECT current_setting('enable_progress_bar')").fetchone()[0]:
        # A notebook without widgets shows no bar, and there DuckDB refuses even to switch it off.
        backend.raw_sql("SET enable_progress_bar = false")
    return backend


@contextmanager
def keeping(backend: Backend) -> Iterator[Callable[[ir.Table], ir.Table]]:
    """Give a function that works a table out, the same one once, and keeps it until the end of the context."""
    made: dict[object, ir.Table] = {}
    names: list[str] = []

    def keep(rows: ir.Table) -> ir.Table:
        if rows.op() not in made:
            names.append(f"_kept_{id(made)}_{len(made)}")
            made[rows.op()] = backend.create_table(names[-1], rows, temp=True)
        return made[rows.op()]

    try:
        yield keep
    finally:
        for name in names:
            backend.raw_sql(f"DROP TABLE IF EXISTS {_quote(name)}")


def one_by_one(rows: ir.Table, column: str, query: Callable[[ir.Table], ir.Table]) -> Iterator[pa.Table]:
    """Yield what a query gives for one row of a table after the other.

    The SQL is made once: of a long query that takes longer than to run it.

    Parameters
    ----------
    rows
        A table of DuckDB.
    column
        Integer column that tells its rows apart, and orders them.
    query
        Function from a table with one of the rows to the query.
    """
    backend, values = rows.get_backend(), sorted(rows[column].to_pyarrow().to_pylist())
    whole_name = rows.op().name
    name = f"{whole_name}_one"
    one = f"CREATE OR REPLACE TEMP VIEW {_quote(name)} AS FROM {_quote(whole_name)} WHERE {_quote(column)} = "
    backend.raw_sql(f"{one} {values[0]:d}")
    whole = query(backend.table(name))
    sql, schema = backend.compile(whole), whole.schema().to_pyarrow()
    for value in values:
        backend.raw_sql(f"{one} {value:d}")
        yield backend.raw_sql(sql).to_arrow_table().cast(schema)
    backend.raw_sql(f"DROP VIEW {_quote(name)}")


def attach(backend: Backend, lake: Lake, versions: Mapping[str, int]) -> dict[str, ir.Table]:
    """Make a view of each table at its version and return the views by table name.

    The lake says which columns there are and of which type: a column that a file lacks is null there, and a version
    without rows is an empty table.

    Parameters
    ----------
    versions
        Table name to version, as ``Snapshot.versions`` has it. A view of the same name is replaced.

    Returns
    -------
    dict[str, ir.Table]
        Ibis tables; they stay as they are when the lake moves on.

    Raises
    ------
    LakeError
        If a version cannot be read.
    """
    for table, version in versions.items():
        query = _select(backend, lake.uris(table, version), lake.schema(table, version))
        backend.raw_sql(f"CREATE OR REPLACE VIEW {_quote(table)} AS {query}")
    return {table: backend.table(table) for table in versions}


def _select(backend: Backend, files: list[str], schema: pa.Schema) -> str:
    """Return the query that gives the schema's columns from files that may lack some."""
    kinds = {name: _sql_type(kind) for name, kind in zip(schema.names, schema.types, strict=True)}
    if not files:
        nothing = ", ".join(f"CAST(NULL AS {kind}) AS {_quote(name)}" for name, kind in kinds.items())
        return f"SELECT {nothing} WHERE false"
    source = f"read_parquet([{', '.join(map(_text, files))}], union_by_name = true)"
    stored = {row[0]: row[1] for row in backend.raw_sql(f"DESCRIBE FROM {source}").fetchall()}
    columns = [
        # A bare column keeps filters next to the file, so only what differs is cast.
        _quote(name)
        if stored.get(name) == kind
        else f"CAST({_quote(name) if name in stored else 'NULL'} AS {kind}) AS {_quote(name)}"
        for name, kind in kinds.items()
    ]
    return f"FROM {source} SELECT {', '.join(columns)}"


def _sql_type(kind: pa.DataType) -> str:
    """Return DuckDB's name of a type that the lake holds."""
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _SQL_TYPES[kind]


_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
}


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
