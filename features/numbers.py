"""Numbers for ids: where the same rows are grouped again and again, comparing texts is most of the work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import ibis

IDS = ("customer_id", "product_id")
"""Ids that become numbers: those by which features join and group tables."""


@dataclass(frozen=True)
class Numbered:
    """Accepted tables in which ids are numbers, in the order of the ids.

    Parameters
    ----------
    tables
        Accepted tables by name. Rows of customers without an order line are left out, for nothing is said of them.
    customers
        What number each customer has: customer_id, number.
    """

    tables: Mapping[str, ibis.Table]
    customers: ibis.Table

    @classmethod
    def of(cls, tables: Mapping[str, ibis.Table], keep: Callable[[ibis.Table], ibis.Table]) -> Self:
        """Return the tables with the customers of the order lines, and the products of the list, numbered.

        Parameters
        ----------
        tables
            Accepted tables by name: transactions, and any others.
        keep
            Has the engine work a table out.
        """
        customers = keep(_numbers(tables["transactions"], "customer_id"))
        numbered = {
            name: _replaced(table, "customer_id", customers) if "customer_id" in table.columns else table
            for name, table in tables.items()
        }
        if "products" in numbered:
            products = keep(_numbers(numbered["products"], "product_id"))
            numbered["products"] = _replaced(numbered["products"], "product_id", products)
            # A line of a product that no list knows is a line.
            numbered["transactions"] = _replaced(numbered["transactions"], "product_id", products, how="left")
        return cls(numbered, customers)

    def named(self, rows: ibis.Table) -> ibis.Table:
        """Give the rows of a result their customers' ids back."""
        rows = rows.rename(number="customer_id").join(self.customers, "number")
        return rows.select("customer_id", *(name for name in rows.columns if name not in ("customer_id", "number")))


def _numbers(table: ibis.Table, name: str) -> ibis.Table:
    ids = table.filter(table[name].notnull()).select(name).distinct()
    return ids.mutate(number=ibis.row_number().over(order_by=name).cast("int32"))


def _replaced(table: ibis.Table, name: str, numbers: ibis.Table, how: str = "inner") -> ibis.Table:
    rows = table.join(numbers, name, how=how)
    others = (column for column in table.columns if column != name)
    return rows.select(*others, **{name: rows.number})
