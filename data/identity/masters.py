"""The log in the lake, and one id for each person wherever a table names customers.

The lake keeps every table with the ids that were delivered. They are replaced when tables are opened for a run, so a
split undoes a merge everywhere, history included.
"""

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from data.contracts.base import quoted
from data.digest import digest
from data.identity.log import LOG, RULE, empty, replay
from data.lake import Lake

IDENTITY_LOG = "identity_log"

MAPPING = pa.schema([("customer_id", pa.string()), ("master_id", pa.string())])


def read_log(lake: Lake, version: int | None = None) -> pa.Table:
    """Return the log in the lake, by default the newest; empty where nobody ever decided anything."""
    return lake.read(IDENTITY_LOG, version=version).select(LOG.names).cast(LOG) if lake.has(IDENTITY_LOG) else empty()


def write_log(lake: Lake, log: pa.Table) -> int:
    """Write the log with its new decisions and return its version; hold the lake's lock.

    Raises
    ------
    ValueError
        A decision that the lake has is missing or differs: the log only grows.
    """
    known = read_log(lake)
    if not log.slice(0, known.num_rows).equals(known):
        raise ValueError("the log of identities only grows, and these rows do not begin with those of the lake")
    return lake.write(IDENTITY_LOG, log, as_of=None, fingerprint=digest(log, ["sequence"]))


def decided_by_people(log: pa.Table) -> str:
    """Return a digest of what people decided, an input of every run as rules are not; '' where nobody did."""
    rows = [row for row in log.to_pylist() if not row["by"].startswith(RULE)]
    return digest(pa.Table.from_pylist(rows, LOG), ["sequence"]) if rows else ""


def master_ids(lake: Lake, version: int | None = None) -> pa.Table:
    """Return customer_id and master_id of each customer who goes by another id than their own, by default as of now."""
    found = replay(read_log(lake, version)).mapping()
    return pa.table({"customer_id": list(found), "master_id": list(found.values())}, schema=MAPPING)


def renamed(table: pa.Table, mapping: pa.Table) -> pa.Table:
    """Return a table in memory with the id of each person instead of the ids that were delivered.

    Examples
    --------
    >>> mapping = pa.table({"customer_id": ["b"], "master_id": ["a"]})
    >>> renamed(pa.table({"customer_id": ["b", "c"]}), mapping)["customer_id"].to_pylist()
    ['a', 'c']
    """
    masters = dict(zip(mapping["customer_id"].to_pylist(), mapping["master_id"].to_pylist(), strict=True))
    if not masters:
        return table
    ids = pa.array([masters.get(one, one) for one in table["customer_id"].to_pylist()], pa.string())
    return table.set_column(table.schema.get_field_index("customer_id"), "customer_id", ids)


def resolved(connection: duckdb.DuckDBPyConnection, table: str, mapping: pa.Table, one_per: Sequence[str] = ()) -> str:
    """Make a view of a table in which each person goes by one id, and return its name.

    Parameters
    ----------
    table
        A table or view with customer_id. Where it is null it stays null.
    mapping
        As ``master_ids`` gives it.
    one_per
        Columns of which one row is kept, such as customer_id of customers: that of the person's own id, else the one
        of the smallest id delivered. Its ``first_seen_on`` is the earliest of all. Without columns every row is kept.

    Examples
    --------
    >>> with duckdb.connect() as connection:
    ...     _ = connection.execute("CREATE TABLE transactions AS SELECT 'b' AS customer_id, 5 AS amount_cents")
    ...     mapping = pa.table({"customer_id": ["b"], "master_id": ["a"]})
    ...     connection.table(resolved(connection, "transactions", mapping)).fetchall()
    [('a', 5)]
    """
    view, ids = f"{table}_resolved", f"{table}_master_ids"
    connection.register("mapping_given", mapping)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {quoted(ids)} AS SELECT customer_id, master_id FROM mapping_given"  # noqa: S608
    )
    connection.unregister("mapping_given")
    person = "coalesce(master_id, given.customer_id)"
    keys = ", ".join(person if key == "customer_id" else f"given.{quoted(key)}" for key in one_per)
    replaced = [f"{person} AS customer_id"]
    if one_per and "first_seen_on" in connection.table(table).columns:
        replaced.append(f"min(first_seen_on) OVER (PARTITION BY {keys}) AS first_seen_on")
    choice = f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY master_id NULLS FIRST, given.customer_id) = 1"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW {quoted(view)} AS
        SELECT given.* REPLACE ({", ".join(replaced)})
        FROM {quoted(table)} given LEFT JOIN {quoted(ids)} ids ON given.customer_id = ids.customer_id
        {choice if one_per else ""}
        """  # noqa: S608
    )
    return view
