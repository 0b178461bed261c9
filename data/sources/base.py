"""Sources that deliver contract columns already, and what every source can do."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from data import demo
from data.contracts import CONTRACTS
from data.contracts.base import quoted
from data.errors import ConfigError, ContractError


@dataclass(frozen=True)
class Loaded:
    """A raw table that was loaded: its name, its rows, the files, and their columns that nobody asked for."""

    table: str
    n_rows: int
    files: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()


class Source(Protocol):
    """Gives raw contract tables by name, and their digest without reading them all."""

    def digest(self) -> str:
        """Return a digest that changes with any byte of the source."""

    def tables(self) -> Mapping[str, pa.Table]:
        """Return the raw tables by the name of their contract; tables that the source lacks are left out."""

    def load(self, connection: duckdb.DuckDBPyConnection) -> Mapping[str, Loaded]:
        """Write the raw tables into DuckDB and return what was loaded, by the name of its contract."""


class DemoSource:
    """Complete Journey, from its PyPI package."""

    def digest(self) -> str:
        """Return a digest of the package's files that are read."""
        return demo.source_digest()

    def tables(self) -> Mapping[str, pa.Table]:
        """Return all five tables."""
        return demo.raw_tables()

    def load(self, connection: duckdb.DuckDBPyConnection) -> Mapping[str, Loaded]:
        """Write all five tables into DuckDB."""
        return load_tables(connection, self.tables())


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

    def digest(self) -> str:
        """Return a digest of every file."""
        digest = hashlib.sha256()
        for name, path in self._files.items():
            with path.open("rb") as stream:
                digest.update(f"{name}:{hashlib.file_digest(stream, 'sha256').hexdigest()};".encode())
        return digest.hexdigest()

    def tables(self) -> Mapping[str, pa.Table]:
        """Return the tables whose files are there.

        Raises
        ------
        ContractError
            A file is empty, cut off, damaged or no Parquet.
        """
        return {name: _read(path) for name, path in self._files.items()}

    def load(self, connection: duckdb.DuckDBPyConnection) -> Mapping[str, Loaded]:
        """Write the tables whose files are there into DuckDB."""
        return load_tables(connection, self.tables())


def raw_name(contract: str) -> str:
    """Return the name of a contract's raw table."""
    return f"raw_{contract}"


def load_tables(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> dict[str, Loaded]:
    """Write tables in memory into DuckDB, each under the name of its contract's raw table."""
    for name, table in tables.items():
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
