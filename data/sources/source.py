"""The source that a mapping describes: a company's own files, loaded into raw tables of the contracts."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from data.contracts.base import quoted
from data.engine import enough_room
from data.errors import ContractError
from data.sources.apply import CUSTOMER, PRODUCT, Projection, join_key
from data.sources.base import Loaded, Piece, make_way, raw_name
from data.sources.derive import LINES, derive
from data.sources.mapping import Join, Sources, Table
from data.sources.readers import Job, Raw, read, read_rows
from data.sources.shelf import Shelf, together
from data.sources.text import REPLACEMENT


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
        self._shelf = Shelf(folder)
        self._timezone = timezone

    def pieces(self) -> tuple[Piece, ...]:
        """Return one piece per file and per database table.

        Raises
        ------
        ConfigError
            A file is not there, or lies where it may not.
        ContractError
            A file cannot be read.
        """
        return tuple(piece for name, table in self._sources.tables.items() for piece in self._shelf.pieces(name, table))

    def mapping_digest(self, contract: str) -> str:
        """Return a digest of a contract's mapping and of the zone that it leaves open."""
        table = self._sources.tables.get(contract) or self._sources.transactions
        return together(table.model_dump_json() if table else "", self._timezone)

    def load(self, connection: duckdb.DuckDBPyConnection, pieces: Collection[Piece] | None = None) -> dict[str, Loaded]:
        """Load pieces, and derive customers and products from transactions where they are not delivered.

        Parameters
        ----------
        connection
            Gets one raw table per contract; what is larger than its memory goes to its spill folder.
        pieces
            Those to load; null loads all that there are.

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
        loaded = {}
        for name, table in self._sources.tables.items():
            wanted = None if pieces is None else [piece for piece in pieces if piece.contract == name]
            if wanted is None or any(_may_bring(piece) for piece in wanted):
                loaded[name] = self._load(connection, name, table, wanted)
        if self._sources.transactions is not None and "transactions" in loaded:
            lines, mapped = loaded["transactions"], self._sources.tables
            loaded |= derive(connection, self._sources.transactions, lines, mapped, self._timezone)
        return loaded

    def _load(
        self, connection: duckdb.DuckDBPyConnection, name: str, table: Table, pieces: Sequence[Piece] | None
    ) -> Loaded:
        names = None if pieces is None else {piece.name for piece in pieces}
        paths = [path for path in self._shelf.paths(table) if names is None or self._shelf.name(path) in names]
        since = pieces[0].since if pieces else None
        with _scratch(connection) as scratch:
            own = Job(connection, table, paths, f"{name} files", scratch, since)
            for careful in (False, True):
                try:
                    raws = self._raws(own, name, careful=careful)
                    elsewhere = partial(self._columns_elsewhere, own)
                    made = Projection(name, _identity(table), raws, paths, self._timezone, elsewhere)
                    # A day on which the shop was closed has a file without rows; only one of its own says nothing.
                    is_one_of_many = len(paths) < len(self._shelf.paths(table))
                    return _written(connection, made, may_be_empty=is_one_of_many)
                except duckdb.Error as error:
                    if careful or own.files.kind != "csv" or not isinstance(error, duckdb.InvalidInputException):
                        raise _cannot_read(name, table, paths, error) from error
        raise AssertionError

    def _columns_elsewhere(self, own: Job) -> set[str]:
        """Return the columns of a table's files that are not read now."""
        others = [path for path in self._shelf.paths(own.files) if path not in own.paths]
        return set(read(replace(own, paths=others, label=f"{own.label} elsewhere")).names) if others else set()

    def _raws(self, own: Job, name: str, *, careful: bool) -> list[Raw]:
        """Open a table's own files and those that are joined to it."""
        table = own.files
        assert isinstance(table, Table)
        if table.rows:
            return [read_rows([dict(row) for row in table.rows])]
        connection, scratch = own.connection, own.scratch
        raws = [read(own, careful=careful)]
        for number, join in enumerate(table.join):
            job = Job(connection, join, self._shelf.paths(join), f"{name} join {number}", scratch)
            raws.append(read(job, careful=careful))
            _check_once(connection, join, raws[-1])
        return raws


def _written(connection: duckdb.DuckDBPyConnection, projection: Projection, *, may_be_empty: bool) -> Loaded:
    """Write a projection as the raw table of its contract.

    Raises
    ------
    ContractError
        There are no rows, although there must be.
    """
    name, paths = projection.name, tuple(map(str, projection.paths)) or (projection.table.place,)
    target = quoted(LINES if name == "transactions" else raw_name(name))
    with enough_room():
        connection.execute(f"CREATE OR REPLACE TABLE {target} AS {projection.sql}")
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {target}").fetchall()
    for (table,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall():
        connection.execute(f"DROP TABLE {quoted(table)}")
    if not n_rows and not may_be_empty:
        raise ContractError(
            f"no rows in {', '.join(paths[:3])}", f"rows of {name} below the header", "deliver the file again"
        )
    if name == "transactions":
        _hide_lines(connection)
    unmapped = tuple(column for column in projection.raws[0].names if column not in projection.used)
    return Loaded(raw_name(name), n_rows, paths, unmapped)


def _check_once(connection: duckdb.DuckDBPyConnection, join: Join, raw: Raw) -> None:
    """Refuse a joined file that has a key twice, or a line that cannot be read: it has no quarantine."""
    key = join_key(raw, join, "side")
    unread = raw.has_unread and connection.execute(f"SELECT any_value(unread) FROM {raw.relation}").fetchall()[0][0]
    if unread:
        raise ContractError(
            f"{join.place}: {unread.strip(REPLACEMENT + ' ')}",
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
            f"{join.place} has {twice[0][1]} rows for {join.key_columns[1]} {twice[0][0]!r}",
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


def _hide_lines(connection: duckdb.DuckDBPyConnection) -> None:
    """Show the contract the lines without what they say of their customers and products."""
    columns = [str(column) for column, *_ in connection.execute(f"DESCRIBE {quoted(LINES)}").fetchall()]
    shown = ", ".join(quoted(column) for column in columns if not column.startswith((CUSTOMER, PRODUCT)))
    raw = quoted(raw_name("transactions"))
    make_way(connection, raw_name("transactions"))
    connection.execute(f"CREATE OR REPLACE VIEW {raw} AS SELECT {shown} FROM {quoted(LINES)}")


def _may_bring(piece: Piece) -> bool:
    """Say whether a piece can have new rows: a database table whose watermark has not moved has none."""
    return piece.watermark is None or piece.watermark != piece.since


def _identity(table: Table) -> Table:
    """Return a mapping whose rows, where it has any, are columns of the contract already."""
    if not table.rows:
        return table
    return table.model_copy(update={"columns": {name: name for row in table.rows for name in row}})


def _cannot_read(name: str, table: Table, paths: Sequence[Path], error: duckdb.Error) -> ContractError:
    return ContractError(
        f"{', '.join(map(str, paths[:3])) or table.place} cannot be read as {name}: {str(error).splitlines()[0][:300]}",
        "files as the mapping describes them",
        f"correct [sources.{name}], or deliver the files again",
    )
