"""Exact: columns that carry the very names of the contract are what they say, whatever else was found."""

from data.contracts import CONTRACTS
from data.contracts.base import Column, DType
from data.discovery.profile import ColumnProfile
from data.discovery.proposal import Draft, Entry, says

_KINDS = {
    DType.INSTANT: {"date"},
    DType.DATE: {"date"},
    DType.NUMBER: {"number"},
    DType.DECIMAL: {"number"},
    DType.INTEGER: {"number"},
}
_EVIDENCE = "the contract's own name"


def add_exact(draft: Draft) -> None:
    """Map what is not mapped yet and is called as the contract calls it; cents are cents."""
    filled = {entry.key.partition(".")[2] for entry in draft.entries if entry.is_active}
    for target in CONTRACTS[draft.name].columns:
        named = [one for one in draft.columns if one.name.strip().casefold() == target.name]
        column = next((one for one in named if one.name not in draft.used), None)
        if column is not None and target.name not in filled and _fits(target, column):
            draft.used[column.name] = column
            draft.entries.append(_entry(target, column))
            draft.notes = [note for note in draft.notes if f"constants.{target.name}" not in note]


def _fits(target: Column, column: ColumnProfile) -> bool:
    return column.kind in _KINDS.get(target.dtype, {column.kind})


def _entry(target: Column, column: ColumnProfile) -> Entry:
    evidence = (says(column), _EVIDENCE)
    if target.name.endswith("_cents"):
        return Entry(f"money.{target.name}", {"column": column.name, "unit": "minor"}, evidence)
    return Entry(f"columns.{target.name}", column.name, evidence)
