"""How delivered cells become typed values: a raw table in, one typed table out, nothing lost.

A raw table may hold text where the contract wants numbers, as a CSV file does. Each cell is read by one written rule;
a cell that does not read as its type keeps its text beside a null value, so that the quarantine can say so. A blank
cell of a contract column is null.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Collection, Mapping, Sequence

import duckdb

from data.contracts.base import (
    Column,
    Contract,
    Delivery,
    DType,
    ExpectationResult,
    Rows,
    Severity,
    literal,
    quoted,
)
from data.errors import ContractError

_SQL_TYPES = {
    DType.STRING: "VARCHAR",
    DType.INTEGER: "BIGINT",
    DType.DECIMAL: "DECIMAL(18,3)",
    DType.NUMBER: "DOUBLE",
    DType.DATE: "DATE",
    DType.INSTANT: "TIMESTAMP",
    DType.FLAG: "BOOLEAN",
}

_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_BROKEN = {"FLOAT", "DOUBLE", "DECIMAL"}
_INSTANTS = {"TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "TIMESTAMP WITH TIME ZONE", "DATE"}

# A type that is not listed cannot mean the column's type: a price as a date, an id as a floating point number.
_READABLE = {
    DType.STRING: _WHOLE | {"UUID"},
    DType.INTEGER: _WHOLE | _BROKEN,
    DType.DECIMAL: _WHOLE | _BROKEN,
    DType.NUMBER: _WHOLE | _BROKEN,
    DType.DATE: _INSTANTS,
    DType.INSTANT: _INSTANTS,
    DType.FLAG: _WHOLE | {"BOOLEAN"},
}

# DuckDB's own cast would round 12.5 to an integer, drop the offset of an instant, and cut the time off a date. It knows
# no blanks around a flag, and which words it takes for one may change.
_FROM_TEXT = {
    DType.FLAG: (
        "CASE WHEN lower(trim({0})) IN ('yes', 'y', 'true', 't', '1') THEN true "
        "WHEN lower(trim({0})) IN ('no', 'n', 'false', 'f', '0') THEN false END"
    ),
    # Tools that know no missing integer write 1985 as 1985.0.
    DType.INTEGER: r"CASE WHEN regexp_full_match({0}, '\s*[+-]?\d+(\.0+)?\s*') THEN TRY_CAST({0} AS BIGINT) END",
    DType.NUMBER: "CASE WHEN isfinite(TRY_CAST({0} AS DOUBLE)) THEN TRY_CAST({0} AS DOUBLE) END",
    DType.DATE: r"CASE WHEN regexp_full_match({0}, '\s*\d+-\d+-\d+\s*') THEN TRY_CAST({0} AS DATE) END",
    DType.INSTANT: (
        r"CASE WHEN regexp_full_match({0}, '.*:\d\d(\.\d+)?\s*([zZ]|[+-]\d\d(:?\d\d)?)\s*') "
        "THEN TRY_CAST({0} AS TIMESTAMP WITH TIME ZONE) AT TIME ZONE 'UTC' "
        r"WHEN regexp_full_match({0}, '\s*\d+-.*') THEN TRY_CAST({0} AS TIMESTAMP) END"
    ),
}

# What a cell of another type must fulfil for its cast to keep what it says.
_LOSSLESS = {
    **{(DType.INTEGER, family): "{0} = round({0})" for family in _BROKEN},
    **{(DType.FLAG, family): "{0} IN (0, 1)" for family in _WHOLE},
    **{(DType.DATE, family): "{0} = date_trunc('day', {0})" for family in _INSTANTS},
}

ROW = "row as staged"
"""Column of the distinct rows that numbers them within their staged table; it means nothing outside of one run."""


def stage(connection: duckdb.DuckDBPyConnection, contract: Contract, raw_table: str, delivery: Delivery) -> Rows:
    """Type a raw table into one new table, every row of it, and note which rows are exact copies.

    Parameters
    ----------
    connection
        Where the raw table is, as a table or a view.
    contract
        What it should be.
    raw_table
        Its name.
    delivery
        What the run knows about it.

    Returns
    -------
    Rows
        The typed rows, copies included; ``cells`` names the column that holds each delivered cell.
    """
    delivered = _described(connection, raw_table)
    columns = {column.name: column.dtype for column in contract.columns}
    selected: list[str] = []
    cells: dict[str, str] = {}
    for name, dtype in delivered.items():
        cells[name] = name
        if name not in columns:
            # A name of its own keeps an attribute from passing for a column of ours or for DuckDB's rowid.
            cells[name] = f"{name} (attribute)"
            selected.append(f"{_attribute(name, dtype)} AS {quoted(cells[name])}")
            continue
        if columns[name] is not DType.STRING and dtype != _SQL_TYPES[columns[name]]:
            cells[name] = f"{name} (as delivered)"
            selected.append(f"{_cell(name, dtype)} AS {quoted(cells[name])}")
        selected.append(f"{_value(columns[name], dtype, name)} AS {quoted(name)}")
    absent = (column for column in contract.columns if column.name not in delivered)
    selected += [f"CAST(NULL AS {_SQL_TYPES[column.dtype]}) AS {quoted(column.name)}" for column in absent]
    staged = f"{contract.name}__staged"
    connection.execute(
        f"CREATE OR REPLACE TABLE {quoted(staged)} AS SELECT {', '.join(selected)} FROM {quoted(raw_table)}"
    )
    types = _described(connection, staged)
    texts = tuple(cell for cell in cells.values() if types[cell] == "VARCHAR")
    return Rows(staged, delivery, cells, texts, _note_copies(connection, contract, staged, cells))


def distinct(connection: duckdb.DuckDBPyConnection, contract: Contract, staged: Rows) -> Rows:
    """Return the staged rows without the copies, as a view."""
    view = f"{contract.name}__rows"
    connection.execute(
        f"CREATE OR REPLACE VIEW {quoted(view)} AS SELECT *, rowid AS {quoted(ROW)} FROM {quoted(staged.table)} "
        f"WHERE rowid NOT IN (SELECT copy FROM {quoted(str(staged.copies))})"
    )
    return Rows(view, staged.delivery, staged.cells, staged.texts)


def leave_out(connection: duckdb.DuckDBPyConnection, staged: Rows, row_ids: Collection[str]) -> None:
    """Count the rows that came in again repaired as copies, which they are of their repaired form.

    Where a delivery is read anew they would otherwise be quarantined anew. Rows in stay accepted + quarantined +
    duplicates, and so does the money.
    """
    if row_ids and staged.copies:
        delivered = ", ".join(f"{quoted(name)} := {quoted(cell)}" for name, cell in staged.cells.items())
        row_id = f"md5(CAST(to_json(struct_pack({delivered})) AS VARCHAR))"
        connection.execute(
            f"INSERT INTO {quoted(staged.copies)} SELECT rowid FROM {quoted(staged.table)} "
            f"WHERE {row_id} IN {literal(tuple(sorted(row_ids)))} "
            f"AND rowid NOT IN (SELECT copy FROM {quoted(staged.copies)})"
        )


def check_delivered(
    connection: duckdb.DuckDBPyConnection, contract: Contract, raw_table: str, known: Sequence[str] = ()
) -> list[ExpectationResult]:
    """Return the results for the columns of a delivery: none missing, all of types that can be read.

    Parameters
    ----------
    connection
        Where the raw table is.
    contract
        What it should be.
    raw_table
        Its name.
    known
        Its columns in the last delivery: one that is new, and one that is gone although no row needs it, are warned of.
        Their order means nothing. None leaves that unchecked.

    Raises
    ------
    ContractError
        A required column is missing, or of another type; the error names all of them.
    """
    delivered = _described(connection, raw_table)
    required = [column.name for column in contract.columns if column.required]
    missing = ", ".join(name for name in required if name not in delivered)
    if missing:
        raise ContractError(
            f"{contract.name} has no column {missing}, but {', '.join(delivered)}",
            f"the columns {', '.join(required)}",
            f"map a column of the source to {missing}",
        )
    wrong = [column for column in contract.columns if not _is_readable(column, delivered)]
    if wrong:
        raise ContractError(
            f"{contract.name} has {', '.join(f'{column.name} as {delivered[column.name]}' for column in wrong)}",
            ", ".join(f"{column.dtype} in {column.name}" for column in wrong),
            "map another column of the source, or deliver this one as text",
        )
    n_columns = len(contract.columns)
    kept = [
        ExpectationResult(contract.name, name, Severity.CRITICAL, n_columns, 0, is_passed=True)
        for name in ("missing column", "column of a wrong type")
    ]
    return kept + _changes(contract, tuple(delivered), known)


def _changes(contract: Contract, delivered: Sequence[str], known: Sequence[str]) -> list[ExpectationResult]:
    """Return the results for the columns against those of the last delivery."""
    found = {
        "new column": [name for name in delivered if name not in known],
        "vanished column": [name for name in known if name not in delivered],
    }
    return [
        ExpectationResult(
            contract.name, name, Severity.WARNING, len(known), len(columns), not columns, ", ".join(columns)
        )
        if known
        else ExpectationResult(
            contract.name, name, Severity.WARNING, 0, 0, is_passed=True, detail="not checked: no earlier delivery"
        )
        for name, columns in found.items()
    ]


def columns_of(connection: duckdb.DuckDBPyConnection, raw_table: str) -> tuple[str, ...]:
    """Return the columns of a raw table, for ``Delivery.known_columns`` of the next delivery."""
    return tuple(_described(connection, raw_table))


def _described(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return the columns of a table and their types, a parametrised or enumerated type by its family's name."""
    described = connection.execute(f"DESCRIBE {quoted(table)}").fetchall()
    return {name: "VARCHAR" if dtype.startswith("ENUM(") else str(dtype) for name, dtype, *_ in described}


def _family(dtype: str) -> str:
    return dtype.partition("(")[0]


def _is_readable(column: Column, delivered: Mapping[str, str]) -> bool:
    family = _family(delivered.get(column.name, "VARCHAR"))
    # A column of nulls alone arrives as an integer or with the type "NULL".
    return family in {"VARCHAR", '"NULL"'} or family in _READABLE[column.dtype]


def _cell(name: str, dtype: str) -> str:
    """Return the SQL of a cell of a contract column as delivered, where a blank text is null."""
    column = quoted(name)
    if dtype != "VARCHAR":
        return column
    text = f"CAST({column} AS VARCHAR)"
    blank = f"trim({text}, ' ' || chr(9) || chr(10) || chr(13)) = ''"
    # The comparison spares nearly every cell the trimming: what is blank sorts before the first visible character.
    return f"CASE WHEN {text} < '!' AND {blank} THEN NULL ELSE {text} END"


def _attribute(name: str, dtype: str) -> str:
    return f"CAST({quoted(name)} AS VARCHAR)" if dtype == "VARCHAR" else quoted(name)


def _value(wanted: DType, dtype: str, name: str) -> str:
    """Return the SQL of a cell's value in the wanted type, null where it does not read as one."""
    cell, sql_type, family = _cell(name, dtype), _SQL_TYPES[wanted], _family(dtype)
    cast = f"TRY_CAST({cell} AS {sql_type})"
    if dtype == sql_type:
        return cell
    if family == "VARCHAR":
        return _FROM_TEXT.get(wanted, "TRY_CAST({0} AS " + sql_type + ")").format(cell)
    if family == "TIMESTAMP WITH TIME ZONE":
        cast = f"TRY_CAST({cell} AT TIME ZONE 'UTC' AS {sql_type})"
    condition = _LOSSLESS.get((wanted, family))
    return f"CASE WHEN {condition.format(cell)} THEN {cast} END" if condition else cast


def _note_copies(
    connection: duckdb.DuckDBPyConnection, contract: Contract, staged: str, cells: Mapping[str, str]
) -> str:
    """Write the ``rowid`` of each row that repeats an earlier one cell by cell, and return the table's name."""
    copies, key = f"{contract.name}__copies", ", ".join(quoted(cell) for cell in cells.values())
    hashes = quoted(f"{contract.name}__hashes")
    # Equal rows have equal hashes, so that only rows with a shared hash are read again and compared in full.
    connection.execute(
        f"CREATE OR REPLACE TABLE {hashes} AS SELECT rowid AS line, hash({key}) AS digest FROM {quoted(staged)}"
    )
    connection.execute(
        f"CREATE OR REPLACE TABLE {quoted(copies)} AS SELECT rowid AS copy FROM {quoted(staged)} "
        f"WHERE rowid IN (SELECT line FROM {hashes} WHERE digest IN "
        f"(SELECT digest FROM {hashes} GROUP BY digest HAVING count(*) > 1)) "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY rowid) > 1"
    )
    connection.execute(f"DROP TABLE {hashes}")
    return copies
