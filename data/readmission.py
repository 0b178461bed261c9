"""Quarantined rows out to a file, repaired, and in again: each is admitted once, and the totals still reconcile.

A row is known by its ``row_id``, the digest of the row as delivered. What is handed in waits in the lake's table
``readmissions`` for the next night, which takes it as one more delivery; from then on the row as it first came counts
as a copy of its repaired form wherever it is read again. A repair that the night refuses is quarantined under an id of
its own, for another try.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.contracts.base import Contract
from data.errors import ContractError
from data.lake import Lake
from data.sources.base import Piece

READMISSIONS = "readmissions"
ROW_ID, REASONS = "row_id", "reasons"

_SCHEMA = pa.schema(
    {
        "table_name": pa.string(),
        "row_id": pa.string(),
        "row_json": pa.string(),
        "hand_in": pa.string(),
        "place": pa.int64(),
    }
)
Cells = dict[str, str | None]
"""A row as delivered: its cells as text, by column."""


@dataclass(frozen=True)
class Open:
    """A quarantined row that was not repaired yet."""

    table_name: str
    row_id: str
    reasons: str
    cells: Cells


@dataclass(frozen=True)
class Verdict:
    """What becomes of a row of a repaired file: the reasons why it is still bad, or none and whether it is new.

    Parameters
    ----------
    row_id
        Which quarantined row it repairs.
    reasons
        Why it is still bad; empty where it is not.
    is_known
        Whether it was handed in before, so that nothing is left to do.
    """

    row_id: str
    reasons: str = ""
    is_known: bool = False


def open_rows(lake: Lake) -> list[Open]:
    """Return the rows in quarantine after the newest published night, those of all nights, without the repaired ones.

    Sorted by table and ``row_id``; a row that several nights refused has the reasons of the last. Without a published
    night there are none.
    """
    snapshot = lake.snapshot()
    if snapshot is None or "quarantine" not in snapshot.versions:
        return []
    rows = lake.published("quarantine", snapshot)
    repaired = {(row["table_name"], row["row_id"]) for row in _handed_in(lake).to_pylist()}
    newest: dict[tuple[str, str], Open] = {}
    for row in rows.sort_by([("as_of", "ascending"), ("reasons", "ascending")]).to_pylist():
        key = row["table_name"], row["row_id"]
        if key not in repaired:
            newest[key] = Open(*key, row["reasons"], to_cells(row["row_json"]))
    return [newest[key] for key in sorted(newest)]


def to_frame(rows: Sequence[Open]) -> pd.DataFrame:
    """Return rows of one table as its export has them: the cells as delivered, ``row_id`` and ``reasons``.

    A delivered column that has one of these two names gets `` (as delivered)`` after it.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row.cells))
    made: dict[str, list[str | None]] = {
        ROW_ID: [row.row_id for row in rows],
        REASONS: [row.reasons for row in rows],
        **{exported(name): [row.cells.get(name) for row in rows] for name in columns},
    }
    return pd.DataFrame(made, dtype=object)


def exported(name: str) -> str:
    """Return the title of a delivered column in the export."""
    return f"{name} (as delivered)" if name in {ROW_ID, REASONS} else name


def to_cells(row_json: str) -> Cells:
    """Return a row of the quarantine as text, each number as it was written.

    Examples
    --------
    >>> to_cells('{"order_id": "O1", "quantity": 1.000, "is_gift": true, "note": null}')
    {'order_id': 'O1', 'quantity': '1.000', 'is_gift': 'true', 'note': None}
    """
    found = json.loads(row_json, parse_float=str, parse_int=str, parse_constant=str)
    return {name: cell if cell is None or isinstance(cell, str) else json.dumps(cell) for name, cell in found.items()}


def repaired_rows(lake: Lake, lines: Sequence[Mapping[str, str | None]]) -> tuple[list[Open], list[Verdict]]:
    """Return the rows of a repaired file by what they repair, and a verdict on those that need no look.

    Parameters
    ----------
    lake
        Where the quarantine is.
    lines
        Rows of the file, by the titles of the export.

    Returns
    -------
    tuple of list of Open, list of Verdict
        The changed rows, all of one table, with the reasons of the quarantine; verdicts on the unchanged ones and on
        those that were handed in before.

    Raises
    ------
    ContractError
        A ``row_id`` is of no quarantined row or stands there twice, rows of several tables are mixed, or the columns
        are not those of the export.
    """
    waiting, known = {row.row_id: row for row in open_rows(lake)}, set(_handed_in(lake)[ROW_ID].to_pylist())
    _check_ids([str(line[ROW_ID]) for line in lines], waiting, known)
    tables = sorted({waiting[line[ROW_ID]].table_name for line in lines if line[ROW_ID] in waiting})  # type: ignore[index]
    if len(tables) > 1:
        raise ContractError(
            f"rows of {', '.join(tables)} in one file", "rows of one table", "hand in one file for each"
        )
    _check_columns(lines, [row for row in waiting.values() if row.table_name in tables])
    changed: list[Open] = []
    verdicts: list[Verdict] = []
    for line in lines:
        row_id = str(line[ROW_ID])
        if row_id not in waiting:
            verdicts.append(Verdict(row_id, is_known=True))
            continue
        cells = _merged(waiting[row_id].cells, line)
        if cells == waiting[row_id].cells:
            verdicts.append(Verdict(row_id, waiting[row_id].reasons))
        else:
            changed.append(replace(waiting[row_id], cells=cells))
    return changed, verdicts


def hand_in(lake: Lake, rows: Sequence[Open]) -> None:
    """Put repaired rows where the next night finds them. Hold the lake's lock.

    A row that was handed in before stays as it was then.
    """
    before = _handed_in(lake)
    known = set(zip(before["table_name"].to_pylist(), before[ROW_ID].to_pylist(), strict=True))
    found = [(row.table_name, row.row_id, json.dumps(row.cells)) for row in rows]
    new = sorted(one for one in found if one[:2] not in known)
    if not new:
        return
    digest = sha256(json.dumps(new).encode()).hexdigest()
    added = [(*one, digest, before.num_rows + place) for place, one in enumerate(new)]
    table = pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in added], _SCHEMA)
    lake.write(READMISSIONS, pa.concat_tables([before, table]), as_of=None, fingerprint=digest)


def pieces(lake: Lake) -> tuple[Piece, ...]:
    """Return what was handed in as pieces of a source, in the order of coming: a night takes each once."""
    found = _handed_in(lake)
    pairs = dict.fromkeys(zip(found["table_name"].to_pylist(), found["hand_in"].to_pylist(), strict=True))
    return tuple(Piece(table, f"repaired rows {digest[:12]}", digest) for table, digest in pairs)


def readmitted(lake: Lake, contract: Contract, digests: Collection[str] | None = None) -> pa.Table | None:
    """Return the repaired rows of a contract as a raw table of text, in the order of coming; null where there are none.

    Parameters
    ----------
    lake
        Where they wait.
    contract
        Whose rows.
    digests
        Digests of the pieces to return; null returns all.
    """
    found = [
        row
        for row in _handed_in(lake).to_pylist()
        if row["table_name"] == contract.name and (digests is None or row["hand_in"] in digests)
    ]
    return text_table(contract, [to_cells(row["row_json"]) for row in found]) if found else None


def superseded(lake: Lake, contract: Contract) -> set[str]:
    """Return the ``row_id`` of each row of a contract that came in again, repaired."""
    found = _handed_in(lake)
    return set(found.filter(pc.equal(found["table_name"], contract.name))[ROW_ID].to_pylist())


def _handed_in(lake: Lake) -> pa.Table:
    return lake.read(READMISSIONS).sort_by("place") if lake.has(READMISSIONS) else _SCHEMA.empty_table()


def text_table(contract: Contract, rows: Sequence[Cells]) -> pa.Table:
    """Return rows as a raw table of text, with the columns that the contract requires."""
    of_contract = [column.name for column in contract.columns if column.required]
    names = dict.fromkeys([*(name for row in rows for name in row), *of_contract])
    return pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})


def _merged(before: Cells, line: Mapping[str, str | None]) -> Cells:
    """Return a row with the cells of the file; a cell that was blank and still is stays the blank that it was."""
    titles = {exported(name): name for name in before}
    cells = dict(before)
    for title, cell in line.items():
        name = titles.get(title, title)
        if title not in {ROW_ID, REASONS} and (cell or "").strip() != (before.get(name) or "").strip():
            cells[name] = cell
    return cells


def _check_ids(row_ids: Sequence[str], waiting: Collection[str], known: Collection[str]) -> None:
    seen: set[str] = set()
    for number, row_id in enumerate(row_ids, start=2):
        if row_id not in waiting and row_id not in known:
            raise ContractError(
                f"row_id {row_id[:40]!r} in line {number}",
                "the row_id of a row in quarantine",
                "export the quarantine again, and leave the column row_id as it is",
            )
        if row_id in seen:
            raise ContractError(f"row_id {row_id} twice, again in line {number}", "one line for each row", "remove one")
        seen.add(row_id)


def _check_columns(lines: Sequence[Mapping[str, str | None]], rows: Sequence[Open]) -> None:
    if not rows:
        return
    expected = {exported(name) for row in rows for name in row.cells}
    found = set(lines[0]) - {ROW_ID, REASONS}
    missing, added = sorted(expected - found), sorted(found - expected)
    if missing or added:
        told = [f"no column {', '.join(missing)}"] * bool(missing) + [f"a column {', '.join(added)}"] * bool(added)
        raise ContractError(
            " and ".join(told), "the columns of the export", "repair the cells and leave the columns as they are"
        )
