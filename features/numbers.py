"""Numbers for ids: where the same rows are grouped again and again, comparing texts is most of the work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
    products
        What number each product of the list has: product_id, number; None without a list.
    """

    tables: Mapping[str, ibis.Table]
    customers: ibis.Table
    products: ibis.Table | None

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
        if "products" not in tables:
            return cls(numbered, customers, None)
        products = keep(_numbers(tables["products"], "product_id"))
        numbered["products"] = _replaced(tables["products"], "product_id", products)
        made = cls(numbered, customers, products)
        return replace(made, tables=numbered | {"transactions": made.numbered(tables["transactions"])})

    def numbered(self, rows: ibis.Table) -> ibis.Table:
        """Put the numbers in the place of the ids of order lines, or of what was made of them."""
        rows = _replaced(rows, "customer_id", self.customers)
        if self.products is None or "product_id" not in rows.columns:
            return rows
        # A line of a product that no list knows is a line.
        return _replaced(rows, "product_id", self.products, how="left")

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
