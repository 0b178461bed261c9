"""What tests of the stages share."""

from collections.abc import Collection, Mapping

import duckdb
import pyarrow as pa
import pytest

from data.digest import digest
from data.sources import Loaded, Piece
from data.sources.base import load_tables


class Tables:
    """A source in memory: each table is a piece."""

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self._tables = tables

    def pieces(self) -> tuple[Piece, ...]:
        return tuple(Piece(name, name, digest(table)) for name, table in self._tables.items())

    def mapping_digest(self, _: str) -> str:
        return "tables"

    def load(
        self, connection: duckdb.DuckDBPyConnection, pieces: Collection[Piece] | None = None
    ) -> Mapping[str, Loaded]:
        wanted = self._tables if pieces is None else {piece.contract for piece in pieces}
        return load_tables(connection, {name: table for name, table in self._tables.items() if name in wanted})


@pytest.fixture(scope="session")
def in_memory() -> type[Tables]:
    """Return the class of sources in memory."""
    return Tables
