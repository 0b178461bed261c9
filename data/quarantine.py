"""The border: each delivered row is accepted, put into quarantine with every reason, or counted as an exact copy.

Rows in = accepted + quarantined + duplicates, and the same for the money, or nothing comes out. All of it is SQL in
DuckDB over tables that may be larger than memory; the order of the delivered rows changes nothing.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb

from data.cells import ROW, check_delivered, distinct, leave_out, stage
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, ExpectationResult, Rows, Severity, literal, quoted
from data.contracts.rules import rules
from data.engine import enough_room
from data.validation import Seen, is_checked, stop_if_broken, validate


class ReconciliationError(RuntimeError):
    """Rows or money went missing between delivery and split: a bug, never the user's doing."""


@dataclass(frozen=True)
class Reconciliation:
    """Where the rows of a delivery went, and the sum of the contract's total column on each way.

    Refused are rows that may not be kept: of customers who were erased, or older than the company keeps such rows. The
    sums are in the column's unit, of the cells that read as its type; null for a contract without a total.
    """

    table_name: str
    n_rows: int
    n_accepted: int
    n_quarantined: int
    n_duplicates: int
    rows_total: int | None = None
    accepted_total: int | None = None
    quarantined_total: int | None = None
    duplicates_total: int | None = None
    n_refused: int = 0
    refused_total: int | None = None

    def check(self) -> "Reconciliation":
        """Return itself if every row, and all of the total, is accounted for.

        Raises
        ------
        ReconciliationError
            A row or a part of the total is lost, or counted twice.

        Examples
        --------
        >>> Reconciliation("customers", 10, 7, 2, 1).check().n_accepted
        7
        """
        n_found = self.n_accepted + self.n_quarantined + self.n_duplicates + self.n_refused
        totals = (self.accepted_total, self.quarantined_total, self.duplicates_total, self.refused_total)
        found = sum(total for total in totals if total is not None)
        if n_found != self.n_rows or (self.rows_total is not None and found != self.rows_total):
            raise ReconciliationError(f"not accounted for: {self}, found {n_found} rows and a total of {found}")
        return self

    def __str__(self) -> str:
        rows = (
            f"{self.table_name}: {self.n_rows:,} rows = {self.n_accepted:,} accepted + {self.n_quarantined:,} "
            f"quarantined + {self.n_duplicates:,} duplicates"
            + (f" + {self.n_refused:,} refused" if self.n_refused else "")
        )
        if self.rows_total is None:
            return rows
        return (
            f"{rows}; total {self.rows_total:,} = {self.accepted_total:,} + {self.quarantined_total:,} + "
            f"{self.duplicates_total:,}" + (f" + {self.refused_total:,}" if self.refused_total else "")
        )


@dataclass(frozen=True)
class Admission:
    """What became of a delivered table: the names of its two sides, where the rows went, and every result."""

    accepted: str
    quarantine: str
    reconciliation: Reconciliation
    results: tuple[ExpectationResult, ...]


def admit(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    raw_table: str,
    delivery: Delivery,
    seen: Seen | None = None,
) -> Admission:
    """Type, validate, label, split and reconcile one raw table.

    Parameters
    ----------
    connection
        Where the raw table and the accepted tables of ``delivery.parents`` are.
    contract
        What the raw table should be.
    raw_table
        Its name.
    delivery
        What the run knows about it.

    Returns
    -------
    Admission
        ``accepted`` has the contract's columns, the derived ones and the attributes; ``quarantine`` has table_name,
        row_id (a digest of the row, whatever its place in the delivery), reasons and row_json (the row as delivered).

    Raises
    ------
    ContractError
        A required column is missing or of a wrong type, a critical expectation is broken, or the share of rejected
        rows is above the limit. The quarantine table stands by then, for a look at the reasons.
    LakeError
        Memory or disk ran out; nothing is accepted.
    ReconciliationError
        A row is lost.
    """
    results = check_delivered(connection, contract, raw_table, delivery.known_columns.get(contract.name, ()))
    with enough_room():
        staged = stage(connection, contract, raw_table, delivery)
        leave_out(connection, staged, delivery.repaired.get(contract.name, ()))
        rows = distinct(connection, contract, staged)
        results += _checked(connection, contract, staged, rows, seen)
        stop_if_broken(results)
        accepted, quarantine, reconciliation = split(connection, contract, raw_table, staged, rows)
        results.append(_share_of_rejects(connection, quarantine, reconciliation, delivery))
    stop_if_broken(results)
    return Admission(accepted, quarantine, reconciliation, tuple(results))


def _checked(
    connection: duckdb.DuckDBPyConnection, contract: Contract, staged: Rows, rows: Rows, seen: Seen | None
) -> list[ExpectationResult]:
    """Run the rules about copies over all rows, and the others over those that are none."""
    if contract.name in staged.delivery.absent:
        return [
            ExpectationResult(contract.name, rule.name, rule.severity, 0, 0, is_passed=True, detail="not delivered")
            for rule in rules(contract)
        ]
    about_copies = [rule for rule in rules(contract) if rule.is_about_copies]
    about_rows = [rule for rule in rules(contract) if not rule.is_about_copies]
    return [
        *validate(connection, contract, about_copies, staged, seen),
        *validate(connection, contract, about_rows, rows, seen),
    ]


def admit_all(
    connection: duckdb.DuckDBPyConnection,
    raw_tables: Mapping[str, str],
    delivery: Delivery,
    seen: Seen | None = None,
) -> dict[str, Admission]:
    """Admit raw tables, given by the names of their contracts, parents first.

    References are checked against what ``delivery`` names as known and what this delivery brings together. A parent of
    which neither has a row is a table that the company does not keep: references to it stay unchecked.
    """
    admissions: dict[str, Admission] = {}
    parents = dict(delivery.parents)
    for name, contract in CONTRACTS.items():
        if name in raw_tables:
            admissions[name] = admit(connection, contract, raw_tables[name], replace(delivery, parents=parents), seen)
            if admissions[name].reconciliation.n_rows:
                parents[name] = _known_by_now(connection, contract, admissions[name].accepted, parents.get(name))
    return admissions


def _known_by_now(connection: duckdb.DuckDBPyConnection, contract: Contract, accepted: str, earlier: str | None) -> str:
    """Return the accepted table, or a view of the keys of it and of an earlier one."""
    if earlier is None:
        return accepted
    named = [column.name for column in contract.columns if column.name in contract.key]
    view, key = f"{contract.name}__known", ", ".join(map(quoted, named))
    connection.execute(
        f"CREATE OR REPLACE VIEW {quoted(view)} AS "
        f"SELECT {key} FROM {quoted(accepted)} UNION ALL SELECT {key} FROM {quoted(earlier)}"
    )
    return view


def split(
    connection: duckdb.DuckDBPyConnection, contract: Contract, raw_table: str, staged: Rows, rows: Rows
) -> tuple[str, str, Reconciliation]:
    """Label the bad rows once, with all their reasons, and split the rows by it.

    Returns
    -------
    tuple of str, str, Reconciliation
        The accepted view, the quarantine table, and where the rows of the raw table went.

    Raises
    ------
    ReconciliationError
        A row is lost.
    """
    labels = _label(connection, contract, rows)
    quarantine = _write_quarantine(connection, contract, rows, labels)
    accepted = _view_accepted(connection, contract, rows, labels)
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(raw_table)}").fetchall()
    sides = {
        "rows": quoted(staged.table),
        "accepted": quoted(accepted),
        "quarantined": f"{quoted(staged.table)} AS line JOIN {quoted(labels)} ON line.rowid = bad_row",
        "duplicates": f"{quoted(staged.table)} AS line JOIN {quoted(str(staged.copies))} ON line.rowid = copy",
    }
    return accepted, quarantine, _reconcile(connection, contract, n_rows, sides).check()


def _label(connection: duckdb.DuckDBPyConnection, contract: Contract, rows: Rows) -> str:
    """Write the reasons of each bad row, and return the table's name."""
    labels, broken = f"{contract.name}__labels", f"{contract.name}__broken"
    rejecting = [rule for rule in rules(contract) if rule.severity is Severity.REJECT and is_checked(rule, rows)]
    connection.execute(f"CREATE OR REPLACE TABLE {quoted(broken)} (bad_row BIGINT, reason VARCHAR)")
    # In one query the comparisons with other rows would hold the columns of all rules, of all rows, at once.
    for rule in rejecting:
        if rule.condition:
            connection.execute(
                f"INSERT INTO {quoted(broken)} SELECT {quoted(ROW)}, {literal(rule.name)} FROM {quoted(rows.table)} "
                f"WHERE NOT {rule.predicate(rows)}"
            )
    connection.execute(
        f"CREATE OR REPLACE TABLE {quoted(labels)} AS SELECT bad_row, string_agg(reason, '; ' ORDER BY reason) "
        f"AS reasons FROM {quoted(broken)} GROUP BY bad_row ORDER BY bad_row"
    )
    connection.execute(f"DROP TABLE {quoted(broken)}")
    return labels


def _write_quarantine(connection: duckdb.DuckDBPyConnection, contract: Contract, rows: Rows, labels: str) -> str:
    """Write the bad rows as delivered, and return the table's name."""
    quarantine = f"{contract.name}_quarantine"
    delivered = ", ".join(f"{quoted(name)} := {quoted(cell)}" for name, cell in rows.cells.items())
    connection.execute(
        f"CREATE OR REPLACE TABLE {quoted(quarantine)} AS "
        f"SELECT {literal(contract.name)} AS table_name, md5(row_json) AS row_id, reasons, row_json FROM "
        f"(SELECT reasons, CAST(to_json(struct_pack({delivered})) AS VARCHAR) AS row_json "
        f"FROM {quoted(rows.table)} JOIN {quoted(labels)} ON {quoted(ROW)} = bad_row) ORDER BY row_id"
    )
    return quarantine


def _view_accepted(connection: duckdb.DuckDBPyConnection, contract: Contract, rows: Rows, labels: str) -> str:
    """Define the good rows with the derived columns, and return the view's name."""
    accepted = f"{contract.name}_accepted"
    of_contract = [column.name for column in contract.columns]
    attributes = [name for name in rows.cells if name not in of_contract and name not in contract.derived]
    values = {name: quoted(name) for name in of_contract}
    values |= {name: formula(rows.delivery) for name, formula in contract.derived.items()}
    values |= {name: quoted(rows.cells[name]) for name in attributes}
    selected = ", ".join(f"{value} AS {quoted(name)}" for name, value in values.items())
    connection.execute(
        f"CREATE OR REPLACE VIEW {quoted(accepted)} AS SELECT {selected} FROM {quoted(rows.table)} "
        f"WHERE {quoted(ROW)} NOT IN (SELECT bad_row FROM {quoted(labels)})"
    )
    return accepted


def _reconcile(
    connection: duckdb.DuckDBPyConnection, contract: Contract, n_rows: int, sides: Mapping[str, str]
) -> Reconciliation:
    """Count and sum each side by itself; the rows that came in were counted in the raw table."""
    total = f"coalesce(sum({quoted(contract.total)}), 0)" if contract.total else "NULL"
    found = {
        side: connection.execute(f"SELECT count(*), {total} FROM {relation}").fetchall()[0]
        for side, relation in sides.items()
    }
    counts = {f"n_{side}": count for side, (count, _) in found.items()} | {"n_rows": n_rows}
    totals = {f"{side}_total": whole for side, (_, whole) in found.items()}
    return Reconciliation(contract.name, **counts, **totals)


def _share_of_rejects(
    connection: duckdb.DuckDBPyConnection, quarantine: str, found: Reconciliation, delivery: Delivery
) -> ExpectationResult:
    """Return the result for the share of rejected rows among those that are no copies."""
    n_rows = found.n_accepted + found.n_quarantined
    share = found.n_quarantined / n_rows if n_rows else 0.0
    often = connection.execute(
        "SELECT reason, count(*) FROM "
        f"(SELECT unnest(string_split(reasons, '; ')) AS reason FROM {quoted(quarantine)}) "
        "GROUP BY reason ORDER BY 2 DESC, 1 LIMIT 3"
    ).fetchall()
    return ExpectationResult(
        found.table_name,
        "too many rejected rows",
        Severity.CRITICAL,
        n_rows,
        found.n_quarantined,
        is_passed=share <= delivery.reject_limit,
        detail=f"{share:.2%} rejected, at most {delivery.reject_limit:.2%} allowed"
        + "".join(f", {reason}: {count:,}" for reason, count in often),
    )
