"""The source that a mapping describes: a company's own files, loaded into raw tables of the contracts."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from data.contracts.base import literal, quoted
from data.engine import connect, enough_room
from data.errors import ConfigError, ContractError
from data.sources.apply import CUSTOMER, PRODUCT, Projection, join_key
from data.sources.base import Loaded, raw_name
from data.sources.mapping import Files, Join, Sources, Table
from data.sources.readers import Job, Raw, read, read_rows
from data.sources.text import REPLACEMENT, readable


class FilesSource:
    """Files of a company, by the mapping of its configuration.

    Parameters
    ----------
    sources
        The mapping.
    folder
        Folder of the configuration; a relative path stays below it.
    timezone
        Zone of instants without an offset, where the mapping names none.
    """

    def __init__(self, sources: Sources, folder: Path, timezone: str = "UTC") -> None:
        self._sources = sources
        self._folder = folder
        self._timezone = timezone

    def digest(self) -> str:
        """Return a digest of the mapping and of every byte of the files.

        Raises
        ------
        ConfigError
            A file is not there, or lies where it may not.
        ContractError
            A file cannot be read.
        """
        digest = hashlib.sha256(self._sources.model_dump_json().encode() + self._timezone.encode())
        for table in self._sources.tables.values():
            for files in (table, *table.join):
                for path in self._paths(files):
                    digest.update(f"{path.name}:{_digest(path)};".encode())
        return digest.hexdigest()

    def load(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Loaded]:
        """Load every table, and derive customers and products from transactions where they are not delivered.

        Parameters
        ----------
        connection
            Gets one raw table per contract; what is larger than its memory goes to its spill folder.

        Returns
        -------
        dict[str, Loaded]
            What was loaded, by contract; contracts without rows of their own are left out.

        Raises
        ------
        ConfigError
            The mapping names a file or a column that is not there.
        ContractError
            A file cannot be read, has no rows, or would count rows twice when it is joined.
        LakeError
            Memory or disk ran out.
        """
        loaded = {name: self._load(connection, name, table) for name, table in self._sources.tables.items()}
        if self._sources.transactions is not None:
            loaded |= self._derived(connection, self._sources.transactions, loaded)
        return loaded

    def tables(self) -> Mapping[str, pa.Table]:
        """Return the raw tables in memory; ``load`` has no such limit."""
        connection: duckdb.DuckDBPyConnection = connect().con
        try:
            loaded = self.load(connection)
            return {name: connection.table(one.table).to_arrow_table() for name, one in loaded.items()}
        finally:
            connection.close()

    def _paths(self, files: Files) -> list[Path]:
        """Return the files that a path names, sorted.

        Raises
        ------
        ConfigError
            None is there, or one lies outside of the configuration's folder without an absolute path to it.
        """
        if files.path is None:
            return []
        pattern = Path(files.path)
        root = Path(pattern.anchor) if pattern.is_absolute() else self._folder
        relative = str(pattern.relative_to(root)) if pattern.is_absolute() else files.path
        exact = root / relative
        try:
            found = [exact] if exact.exists() else sorted(path for path in root.glob(relative) if path.is_file())
        except (ValueError, NotImplementedError, OSError):
            found = []
        if not found:
            raise ConfigError(f"no file {files.path!r} in {root}", "a file or a pattern of files", "correct path")
        for path in found:
            is_below = path.resolve().is_relative_to(self._folder.resolve())
            if not pattern.is_absolute() and not is_below:
                raise ConfigError(
                    f"{files.path!r} leaves {self._folder}", "files below the configuration", "give an absolute path"
                )
        return [path.absolute() for path in found]

    def _load(self, connection: duckdb.DuckDBPyConnection, name: str, table: Table) -> Loaded:
        with _scratch(connection) as scratch:
            for careful in (False, True):
                try:
                    raws = self._raws(connection, name, table, scratch, careful=careful)
                    return _written(
                        connection, Projection(name, _identity(table), raws, self._paths(table), self._timezone)
                    )
                except duckdb.Error as error:
                    if careful or not isinstance(error, duckdb.InvalidInputException):
                        raise _cannot_read(name, self._paths(table), error) from error
        raise AssertionError

    def _raws(
        self, connection: duckdb.DuckDBPyConnection, name: str, table: Table, scratch: Path, *, careful: bool
    ) -> list[Raw]:
        """Open a table's own files and those that are joined to it."""
        if table.rows:
            return [read_rows([dict(row) for row in table.rows])]
        label = f"{name} files"
        raws = [read(Job(connection, table, self._paths(table), label, scratch), careful=careful)]
        for number, join in enumerate(table.join):
            job = Job(connection, join, self._paths(join), f"{name} join {number}", scratch)
            raws.append(read(job, careful=careful))
            _check_once(connection, join, raws[-1])
        return raws

    def _derived(
        self, connection: duckdb.DuckDBPyConnection, table: Table, loaded: Mapping[str, Loaded]
    ) -> dict[str, Loaded]:
        """Make the tables that lines know enough about."""
        zone = literal(self._timezone)
        first = "min(CAST(moment AT TIME ZONE 'UTC' AT TIME ZONE " + zone + " AS DATE)) AS first_seen_on"
        wanted = {
            "customers": ("customer_id", CUSTOMER, table.customer, [first]),
            "products": ("product_id", PRODUCT, table.product, []),
        }
        made = {}
        for name, (key, prefix, texts, further) in wanted.items():
            if name in loaded:
                continue
            latest = [_latest(prefix + column, column) for column in texts]
            columns = ", ".join([quoted(key), *further, *latest])
            lines = f"(SELECT *, TRY_CAST(event_time AS TIMESTAMP) AS moment FROM {quoted(_lines('transactions'))})"
            text = f"CAST({quoted(key)} AS VARCHAR)"
            known = f"trim({text}) <> '' AND NOT contains({text}, chr(65533))"
            connection.execute(
                f"CREATE OR REPLACE TABLE {quoted(raw_name(name))} AS SELECT {columns} FROM {lines} "
                f"WHERE {known} GROUP BY {quoted(key)} ORDER BY {quoted(key)}"
            )
            ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(raw_name(name))}").fetchall()
            made[name] = Loaded(raw_name(name), n_rows, loaded["transactions"].files, ())
        return made


def _written(connection: duckdb.DuckDBPyConnection, projection: Projection) -> Loaded:
    """Write a projection as the raw table of its contract.

    Raises
    ------
    ContractError
        There are no rows.
    """
    name, paths = projection.name, tuple(map(str, projection.paths))
    target = quoted(_lines(name) if name == "transactions" else raw_name(name))
    with enough_room():
        connection.execute(f"CREATE OR REPLACE TABLE {target} AS {projection.sql}")
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {target}").fetchall()
    for (table,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall():
        connection.execute(f"DROP TABLE {quoted(table)}")
    if not n_rows:
        raise ContractError(
            f"no rows in {', '.join(paths[:3])}", f"rows of {name} below the header", "deliver the file again"
        )
    if name == "transactions":
        _hide_lines(connection, name)
    unmapped = tuple(column for column in projection.raws[0].names if column not in projection.used)
    return Loaded(raw_name(name), n_rows, paths, unmapped)


def _check_once(connection: duckdb.DuckDBPyConnection, join: Join, raw: Raw) -> None:
    """Refuse a joined file that has a key twice, or a line that cannot be read: it has no quarantine."""
    key = join_key(raw, join, "side")
    unread = raw.has_unread and connection.execute(f"SELECT any_value(unread) FROM {raw.relation}").fetchall()[0][0]
    if unread:
        raise ContractError(
            f"{join.path}: {unread.strip(REPLACEMENT + ' ')}",
            "a file to look up in without unreadable lines",
            "mend that line",
        )
    with enough_room():
        twice = connection.execute(
            f"SELECT {key} AS key, count(*) FROM {raw.relation} AS side WHERE key IS NOT NULL "
            "GROUP BY key HAVING count(*) > 1 ORDER BY key LIMIT 1"
        ).fetchall()
    if twice:
        raise ContractError(
            f"{join.path} has {twice[0][1]} rows for {join.keys[1]} {twice[0][0]!r}",
            "one row at most for each key, or lines would count twice",
            "join another file, or on another column",
        )


@contextmanager
def _scratch(connection: duckdb.DuckDBPyConnection) -> Iterator[Path]:
    """Give a folder that only its owner may enter, beside what DuckDB spills, for the time of a load."""
    ((spill,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    if spill:
        Path(spill).mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="regulars", dir=spill or None) as folder:
        yield Path(folder)


def _latest(source: str, name: str) -> str:
    """Return the SQL of the latest text that is not blank, the last in the alphabet where two are as late."""
    column = quoted(source)
    order = f"(coalesce(moment, TIMESTAMP '0001-01-01'), {column})"
    return f"arg_max({column}, {order}) FILTER (trim({column}) <> '') AS {quoted(name)}"


def _lines(name: str) -> str:
    return f"read_{name}"


def _hide_lines(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Show the contract the lines without what they say of their customers and products."""
    columns = [str(column) for column, *_ in connection.execute(f"DESCRIBE {quoted(_lines(name))}").fetchall()]
    shown = ", ".join(quoted(column) for column in columns if not column.startswith((CUSTOMER, PRODUCT)))
    connection.execute(f"CREATE OR REPLACE VIEW {quoted(raw_name(name))} AS SELECT {shown} FROM {quoted(_lines(name))}")


def _identity(table: Table) -> Table:
    """Return a mapping whose rows, where it has any, are columns of the contract already."""
    if not table.rows:
        return table
    return table.model_copy(update={"columns": {name: name for row in table.rows for name in row}})


def _cannot_read(name: str, paths: Sequence[Path], error: duckdb.Error) -> ContractError:
    return ContractError(
        f"{', '.join(map(str, paths[:3]))} cannot be read as {name}: {str(error).splitlines()[0][:300]}",
        "files as the mapping describes them",
        f"correct [sources.{name}], or deliver the files again",
    )


def _digest(path: Path) -> str:
    """Return a digest of a file, or of the version of a Delta table."""
    with readable(path):
        if path.is_dir():
            table = DeltaTable(str(path))
            return f"{table.version()}:{hashlib.sha256(chr(0).join(sorted(table.file_uris())).encode()).hexdigest()}"
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
