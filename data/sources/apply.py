"""Apply: the SQL projection of a raw relation onto the columns of a contract."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.contracts import CONTRACTS
from data.contracts.base import Column, DType, literal, quoted
from data.errors import ConfigError
from data.sources import cells
from data.sources.cells import TEXT, Cell
from data.sources.keys import nearest
from data.sources.mapping import ROW, Join, Money, Returns, Table
from data.sources.readers import Raw
from data.sources.sheets import as_text

CUSTOMER, PRODUCT = "customer: ", "product: "
"""What begins the name of a column that says something about a line's customer or product."""

_FALSE = "false"
_NO_NUMBER = "no number with the decimal sign "


@dataclass(frozen=True)
class Projection:
    """One contract table over its raw relations.

    Parameters
    ----------
    name, table
        The contract and its mapping.
    raws
        The table's own relation, then those of its joins.
    paths, timezone
        The files of the table's own relation, for messages, and the zone of instants where the mapping has none.
    elsewhere
        Gives the columns of files that are not read now: an attribute that only they have is null here.
    """

    name: str
    table: Table
    raws: Sequence[Raw]
    paths: Sequence[Path]
    timezone: str
    elsewhere: Callable[[], Collection[str]] = tuple

    @property
    def sql(self) -> str:
        """The query: contract columns that are mapped, what a line says of its customer and product, attributes.

        Raises
        ------
        ConfigError
            A column is mapped that a file does not have.
        """
        selected = {column.name: self._value(column) for column in CONTRACTS[self.name].columns}
        values = {name: value.sql for name, value in selected.items() if value is not None}
        if self.raws[0].has_unread:
            values = _marked(values)
        for prefix, used in ((CUSTOMER, self.table.customer), (PRODUCT, self.table.product)):
            values |= {prefix + name: self.cell(source).text for name, source in used.items()}
        values |= {name: self.cell(name, is_optional=True).sql for name in self.table.attributes}
        signs = (self.table.decimal, self.table.thousands)
        values |= {name: cells.figure(self.cell(name, is_optional=True), name, *signs) for name in self.table.numbers}
        columns = ", ".join(f"{value} AS {quoted(name)}" for name, value in values.items())
        return f"SELECT {columns} FROM {self._relation()}"

    @property
    def used(self) -> set[str]:
        """Columns of the table's own files that the mapping names."""
        table = self.table
        named = {part for parts in table.columns.values() for part in ([parts] if isinstance(parts, str) else parts)}
        named |= {*table.attributes, *table.numbers, *table.customer.values(), *table.product.values()}
        named |= {part for money in table.money.values() for part in (money.column, money.times, money.minus) if part}
        named |= {join.key_columns[0] for join in table.join} | ({table.returns.column} if table.returns else set())
        named |= {table.label.column} if table.label else set()
        return named

    def cell(self, name: str, *, is_optional: bool = False) -> Cell:
        """Return a column's cell, from the first relation that has it.

        Raises
        ------
        ConfigError
            No file has it, or one of the files lacks it, or two columns have this name.
        """
        if name == ROW:
            return Cell('CAST(t0."$row" AS VARCHAR)', TEXT)
        for place, raw in enumerate(self.raws):
            if name in raw.names:
                if name in raw.lacking and not is_optional:
                    self._refuse(f"{raw.lacking[name]} has no column {name!r}, but other files have", raw.names, name)
                if raw.names.count(name) > 1:
                    self._refuse(f"{self.paths[0]} has {raw.names.count(name)} columns {name!r}", raw.names, name)
                return self._clean(name, f"t{place}.c{raw.names.index(name)}", raw.types[raw.names.index(name)])
        if is_optional and name in self.elsewhere():
            return Cell("CAST(NULL AS VARCHAR)", TEXT)
        every = [known for raw in self.raws for known in raw.names]
        where = self.paths[0] if self.paths else f"[sources.{self.name}]"
        return self._refuse(f"{where} has no column {name!r}", every, name)

    def _refuse(self, found: str, known: Sequence[str], name: str) -> Cell:
        others = [other for other in known if other != name]
        action = nearest(name, others)
        raise ConfigError(
            f"{found}, which [sources.{self.name}] maps",
            f"one of {', '.join(known)[:500]}",
            action if action.startswith("did") else "map a column of the file",
        )

    def _clean(self, name: str, sql: str, dtype: str) -> Cell:
        cell = Cell(sql, TEXT if dtype.startswith("ENUM(") else dtype)
        if name in self.table.whole:
            cell = cells.whole(cell)
        return cells.without(cell, self.table.missing)

    def _value(self, column: Column) -> Cell | None:
        """Return the value of a contract column, null where nothing is mapped to it."""
        table = self.table
        if column.name in table.money:
            return self._cents(table.money[column.name])
        if column.name in table.constants:
            cell = Cell(literal(as_text(table.constants[column.name])), TEXT)
            if column.name == "quantity" and table.returns is not None:
                return cells.kept(self._signed(cells.quantity(cell.sql)), cell, "no number")
            return self._typed(column, cell, ()) if column.dtype is DType.INSTANT else cell
        if column.name == "has_churned" and table.label is not None:
            return cells.either(self.cell(table.label.column), table.label.churned, table.label.kept)
        if column.name not in table.columns:
            return None
        names = table.columns[column.name]
        cell = cells.joined([self.cell(name) for name in ([names] if isinstance(names, str) else names)])
        cell = cells.replaced(cell, dict(table.values.get(column.name, {})))
        return self._typed(column, cell, table.formats)

    def _typed(self, column: Column, cell: Cell, formats: Sequence[str]) -> Cell:
        table, zone = self.table, self.table.timezone or self.timezone
        if column.dtype is DType.INSTANT:
            return cells.instant(cell, formats, zone)
        if column.dtype is DType.DATE:
            return cells.day(cell, formats, zone)
        is_signed = table.returns is not None and column.name in {"quantity", "amount_cents"}
        is_plain = table.decimal == "." and not table.thousands
        if column.dtype not in {DType.INTEGER, DType.DECIMAL, DType.NUMBER}:
            return cell
        if is_plain and not is_signed:
            return cells.turned(cell) if cell.is_text else cell
        value = cells.number(cell, table.decimal, table.thousands)
        # Trailing zeros of the exact value would keep a whole number from reading as one.
        digits = rf"regexp_replace(CAST({self._signed(value)} AS VARCHAR), '\.?0+$', '')"
        return cells.kept(digits, cell, _NO_NUMBER + table.decimal)

    def _cents(self, money: Money) -> Cell:
        parts = {part: self.cell(part) for part in (money.column, money.times, money.minus) if part}
        values = {part: cells.number(cell, self.table.decimal, self.table.thousands) for part, cell in parts.items()}
        value = cells.cents(
            values[money.column], values.get(money.times or ""), values.get(money.minus or ""), money.unit
        )
        value = f"-({value})" if money.negated else value
        return cells.kept(self._signed(value), cells.joined(list(parts.values())), _NO_NUMBER + self.table.decimal)

    def _signed(self, value: str) -> str:
        """Return a value that is negative where the row is a return."""
        if self.table.returns is None:
            return value
        return f"CASE WHEN {self._is_return(self.table.returns)} THEN -abs({value}) ELSE {value} END"

    def _is_return(self, returns: Returns) -> str:
        cell = self.cell(returns.column)
        if returns.negative:
            condition = f"{cells.number(cell, self.table.decimal, self.table.thousands)} < 0"
        elif returns.prefix:
            condition = f"starts_with({cell.text}, {literal(returns.prefix)})"
        else:
            condition = f"{cell.text} IN ({', '.join(map(literal, returns.values))})"
        return f"coalesce({condition}, {_FALSE})"

    def _relation(self) -> str:
        own = f"(SELECT *, row_number() OVER () AS {quoted(ROW)} FROM {self.raws[0].relation})"
        relation = f"{own if ROW in self.used else self.raws[0].relation} AS t0"
        for place, join in enumerate(self.table.join, 1):
            relation += f" LEFT JOIN {self.raws[place].relation} AS t{place} ON {self._on(place, join)}"
        return relation

    def _on(self, place: int, join: Join) -> str:
        ours = Projection(self.name, self.table, self.raws[:place], self.paths, self.timezone).cell(join.key_columns[0])
        return f"{ours.text} = {join_key(self.raws[place], join, f't{place}')}"


def _marked(values: dict[str, str]) -> dict[str, str]:
    """Give a line that could not be split to the first column of the contract, and null to all the others."""
    first = next(iter(values))
    return {
        name: f"CASE WHEN t0.unread IS NULL THEN {value} {'ELSE t0.unread' if name == first else ''} END"
        for name, value in values.items()
    }


def join_key(raw: Raw, join: Join, alias: str) -> str:
    """Return the SQL of a joined file's key as text.

    Raises
    ------
    ConfigError
        The file has no such column.
    """
    key = join.key_columns[1]
    if key not in raw.names:
        raise ConfigError(
            f"{join.place} has no column {key!r} to join on", f"one of {', '.join(raw.names)}", nearest(key, raw.names)
        )
    return f"CAST({alias}.c{raw.names.index(key)} AS VARCHAR)"
