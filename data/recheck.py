"""Recheck: whether repaired rows keep their contract, before a night takes them."""
# ruff: noqa: S608 - every name goes through quoted()

from collections.abc import Sequence

import duckdb

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Delivery, quoted
from data.quarantine import split
from data.readmission import Open, Verdict, text_table

_CHECKED = "repaired rows"


def check(connection: duckdb.DuckDBPyConnection, rows: Sequence[Open], delivery: Delivery) -> list[Verdict]:
    """Return a verdict on each repaired row of one table: whether it keeps the contract, looked at with its like.

    Parameters
    ----------
    connection
        Where the accepted tables of ``delivery.parents`` are.
    rows
        Repaired rows of one table.
    delivery
        What is known about them. What only a whole delivery shows, as what a product usually costs, is not looked at.
    """
    if not rows:
        return []
    contract = CONTRACTS[rows[0].table_name]
    connection.register("handed in", text_table(contract, [row.cells for row in rows]))
    connection.execute(f'CREATE OR REPLACE TABLE {quoted(_CHECKED)} AS FROM "handed in"')
    staged = stage(connection, contract, _CHECKED, delivery)
    split(connection, contract, _CHECKED, staged, distinct(connection, contract, staged))
    # The staged rows stand in the order of the table that they were made from.
    labels = connection.execute(f"SELECT bad_row, reasons FROM {quoted(contract.name + '__labels')}").fetchall()
    reasons = dict(labels)
    return [Verdict(row.row_id, reasons.get(place, "")) for place, row in enumerate(rows)]
