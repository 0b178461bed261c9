"""Worlds in DuckDB: every query is compiled once and asked of many worlds, because compiling is what costs."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import ibis
import pandas as pd
import pyarrow as pa

from features.battery.worlds import AS_OFS, SCHEMAS, TIMEZONE, Frames
from features.matrix import feature_matrix, to_frame
from features.periods import KEYS
from features.registry import FEATURES, Registry


def connect(threads: int = 1) -> ibis.BaseBackend:
    """Return an empty DuckDB on UTC.

    Parameters
    ----------
    threads
        Threads that it may use; small worlds never need a second one.
    """
    connection = ibis.duckdb.connect(threads=threads)
    connection.raw_sql("SET TimeZone = 'UTC'")
    return connection


def load(connection: ibis.BaseBackend, tables: Frames) -> dict[str, ibis.Table]:
    """Put the tables into DuckDB with the types of the lake, in the place of those that are there.

    Parameters
    ----------
    connection
        A DuckDB.
    tables
        Tables by name; columns that they lack are null.
    """
    for name, frame in tables.items():
        rows = frame.reindex(columns=SCHEMAS[name].names).astype(object)
        rows = rows.where(rows.notna(), None)
        connection.con.register("incoming", pa.Table.from_pandas(rows, SCHEMAS[name], preserve_index=False))
        connection.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608 - ours
        connection.con.unregister("incoming")
    return {name: connection.table(name) for name in tables}


def described(names: Sequence[str]) -> dict[str, ibis.Table]:
    """Return accepted tables that are nothing but names and types: what is built on them has not seen a row.

    Parameters
    ----------
    names
        Names of tables.
    """
    return {name: ibis.table(ibis.Schema.from_pyarrow(SCHEMAS[name]), name=name) for name in names}


class Engine:
    """A DuckDB that holds one world at a time, and the queries that were asked of it before.

    A query is built on tables without rows and compiled once, then asked of every world that is loaded. A feature that
    runs a query of its own while it is built has nothing to run it on, and fails.
    """

    def __init__(self) -> None:
        self.connection = connect()
        self._frames: Frames = {}
        self._asked: dict[Hashable, _Asked] = {}

    def compute(
        self,
        tables: Frames,
        as_ofs: Sequence[datetime] = AS_OFS,
        names: Sequence[str] | None = None,
        registry: Registry = FEATURES,
        timezone: str = TIMEZONE,
    ) -> pd.DataFrame:
        """Return the matrix of these tables, indexed by customer_id and as_of.

        Parameters
        ----------
        tables
            Tables by name. A frame that was handed in once must not be changed in place.
        as_ofs, names, registry, timezone
            As of ``features.matrix.feature_matrix``.
        """
        changed = {name: frame for name, frame in tables.items() if self._frames.get(name) is not frame}
        load(self.connection, changed)
        self._frames |= changed
        return to_frame(self._ask(tables, as_ofs, names, registry, timezone).view).set_index(list(KEYS))

    def query(
        self,
        tables: Iterable[str],
        as_ofs: Sequence[datetime] = AS_OFS,
        names: Sequence[str] | None = None,
        registry: Registry = FEATURES,
        timezone: str = TIMEZONE,
    ) -> ibis.Table:
        """Return the matrix as an expression on tables without rows.

        Parameters
        ----------
        tables
            Names of the tables.
        as_ofs, names, registry, timezone
            As of ``features.matrix.feature_matrix``.
        """
        return self._ask(tables, as_ofs, names, registry, timezone).matrix

    def _ask(
        self,
        tables: Iterable[str],
        as_ofs: Sequence[datetime],
        names: Sequence[str] | None,
        registry: Registry,
        timezone: str,
    ) -> "_Asked":
        there = frozenset(tables)
        chosen = tuple(registry.select(names))
        views = tuple(registry.views[feature.view] for feature in chosen)
        question = (there, tuple(as_ofs), chosen, views, timezone)
        if question not in self._asked:
            matrix = feature_matrix(described(sorted(there)), as_ofs, timezone, names, registry)
            name = f"matrix_{len(self._asked)}"
            self.connection.create_view(name, matrix)
            # The types of the matrix, not of its view: an engine's own sums are wider than int64.
            self._asked[question] = _Asked(matrix, self.connection.sql(f"FROM {name}", schema=matrix.schema()))
        return self._asked[question]


@dataclass(frozen=True, eq=False)
class _Asked:
    """A query and its compiled view, kept together: small tables of the query live no longer than it does."""

    matrix: ibis.Table
    view: ibis.Table
