"""Sources that deliver contract columns already, and what every source can do."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from data import demo
from data.contracts import CONTRACTS
from data.contracts.base import quoted
from data.errors import ConfigError, ContractError

_LARGE = 2**20
"""Bytes from which on a file's digest is remembered."""


@dataclass(frozen=True)
class Loaded:
    """A raw table that was loaded.

    Parameters
    ----------
    table
        Its name in DuckDB.
    n_rows
        Its rows.
    files
        The files that they came from.
    unmapped
        Columns of the files that nobody asked for.
    is_derived
        Whether it was made from what order lines say, because nobody delivers it.
    """

    table: str
    n_rows: int
    files: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()
    is_derived: bool = False


@dataclass(frozen=True, order=True)
class Piece:
    """A part of a source that a night takes as a whole: a file, or the rows of a database table.

    Parameters
    ----------
    contract
        Name of the contract whose rows it brings.
    name
        What the company calls it.
    digest
        Changes with any byte of it, and not with its name.
    watermark
        Newest value of the column that only grows, for a database table that has one.
    since
        Watermark above which its rows are taken; null takes all.
    """

    contract: str
    name: str
    digest: str
    watermark: str | None = None
    since: str | None = None


class Source(Protocol):
    """Gives raw contract tables, a piece at a time, and says without reading them what there is."""

    def pieces(self) -> tuple[Piece, ...]:
        """Return what there is to take, in the order in which later pieces replace earlier ones."""

    def mapping_digest(self, contract: str) -> str:
        """Return a digest of how the pieces of a contract are read."""

    def load(
        self, connection: duckdb.DuckDBPyConnection, pieces: Collection[Piece] | None = None
    ) -> Mapping[str, Loaded]:
        """Write these pieces, by default all, into raw tables of DuckDB and return them by contract."""


def digest(source: Source) -> str:
    """Return a digest that changes with any byte of a source and with how it is read."""
    parts = [f"{one.contract}:{one.name}:{one.digest}:{source.mapping_digest(one.contract)}" for one in source.pieces()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class DemoSource:
    """Complete Journey, from its PyPI package."""

    def pieces(self) -> tuple[Piece, ...]:
        """Return one piece per table, with the digest of all the package's files: they come together."""
        digest = demo.source_digest()
        return tuple(Piece(name, "completejourney", digest) for name in demo.TABLES)

    def mapping_digest(self, contract: str) -> str:  # noqa: ARG002 - the same for all
        """Return that there is one way to read them."""
        return "demo"

    def load(
        self, connection: duckdb.DuckDBPyConnection, pieces: Collection[Piece] | None = None
    ) -> Mapping[str, Loaded]:
        """Write the tables into DuckDB."""
        wanted = demo.TABLES if pieces is None else {piece.contract for piece in pieces}
        tables = demo.raw_tables() if wanted else {}
        return load_tables(connection, {name: table for name, table in tables.items() if name in wanted})


class ParquetSource:
    """A folder with one Parquet file per contract table, named after it.

    Parameters
    ----------
    folder
        Where the files are.

    Raises
    ------
    ConfigError
        There is no such folder, or it lacks a file that every run needs.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {name: folder / f"{name}.parquet" for name in CONTRACTS if (folder / f"{name}.parquet").is_file()}
        missing = [f"{name}.parquet" for name in ("customers", "products", "transactions") if name not in self._files]
        if missing:
            raise ConfigError(f"no {', '.join(missing)} in {folder}", "one file per raw table", "correct source.path")

    def pieces(self) -> tuple[Piece, ...]:
        """Return one piece per file."""
        return tuple(Piece(name, path.name, digest_of(path)) for name, path in self._files.items())

    def mapping_digest(self, contract: str) -> str:  # noqa: ARG002 - the same for all
        """Return that there is one way to read them."""
        return "parquet"

    def load(
        self, connection: duckdb.DuckDBPyConnection, pieces: Collection[Piece] | None = None
    ) -> Mapping[str, Loaded]:
        """Write the tables whose files are there into DuckDB.

        Raises
        ------
        ContractError
            A file is empty, cut off, damaged or no Parquet.
        """
        wanted = self._files if pieces is None else {piece.contract for piece in pieces}
        return load_tables(connection, {name: _read(path) for name, path in self._files.items() if name in wanted})


def digest_of(path: Path) -> str:
    """Return the digest of a file's bytes; a process reads a large file that stays as it is once.

    Whether it stayed is told by its inode, size and times. Small files are read each time: that is quick, and their
    change within one tick of the file system's clock is seen too.
    """
    found = path.stat()
    if found.st_size < _LARGE:
        return _digest_now(path, ())
    return _digest_once(
        path.absolute(), (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    )


def _digest_now(path: Path, _: tuple[int, ...]) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_digest_once = lru_cache(maxsize=10_000)(_digest_now)


def raw_name(contract: str) -> str:
    """Return the name of a contract's raw table."""
    return f"raw_{contract}"


def make_way(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Drop a table or a view, whichever an earlier batch left under a name: DuckDB replaces neither by the other."""
    kinds = connection.execute("SELECT table_type FROM information_schema.tables WHERE table_name = ?", [name])
    for (kind,) in kinds.fetchall():
        connection.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted(name)}")


def load_tables(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> dict[str, Loaded]:
    """Write tables in memory into DuckDB, each under the name of its contract's raw table."""
    for name, table in tables.items():
        make_way(connection, raw_name(name))
        connection.register("regulars delivered", table)
        connection.execute(f'CREATE OR REPLACE TABLE {quoted(raw_name(name))} AS FROM "regulars delivered"')
        connection.unregister("regulars delivered")
    return {name: Loaded(raw_name(name), table.num_rows) for name, table in tables.items()}


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ContractError(
            f"{path} cannot be read: {str(error).splitlines()[0]}",
            "a whole Parquet file with columns of different names",
            "deliver the file again",
        ) from error
