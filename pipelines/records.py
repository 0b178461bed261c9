"""Records of a delivery as tables: every bad row with its reasons, every expectation, and where rows and money went."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import pyarrow as pa

from data.contracts import CONTRACTS
from data.contracts.base import ExpectationResult
from data.quarantine import Reconciliation

_QUARANTINE = pa.schema({name: pa.string() for name in ("table_name", "row_id", "reasons", "row_json")})

_QUALITY = pa.schema(
    {
        "table_name": pa.string(),
        "expectation": pa.string(),
        "severity": pa.string(),
        "n_rows": pa.int64(),
        "n_failed": pa.int64(),
        "is_passed": pa.bool_(),
        "detail": pa.string(),
    }
)

_SIDES = {
    "rows": "in",
    "accepted": "accepted",
    "quarantined": "quarantined",
    "duplicates": "duplicate",
    "refused": "refused",
}

_RECONCILIATION = pa.schema(
    {"table_name": pa.string()}
    | {("n_in" if side == "rows" else f"n_{side}"): pa.int64() for side in _SIDES}
    | {f"{word}_cents": pa.int64() for word in _SIDES.values()}
)


def quarantine_table(parts: Sequence[pa.Table]) -> pa.Table:
    """Return the quarantined rows of all tables, those of several batches together."""
    return pa.concat_tables([_QUARANTINE.empty_table(), *(part.cast(_QUARANTINE) for part in parts)])


def quality_table(results: Iterable[ExpectationResult]) -> pa.Table:
    """Return one row per table and expectation; of several batches the counts are added up."""
    together: dict[tuple[str, str], dict[str, object]] = {}
    for result in results:
        row = asdict(result)
        before = together.setdefault((result.table_name, result.expectation), row)
        if before is not row:
            row["n_rows"], row["n_failed"] = (
                int(str(before[name])) + int(row[name]) for name in ("n_rows", "n_failed")
            )
            row["is_passed"] = bool(before["is_passed"]) and result.is_passed
            row["detail"] = "; ".join(dict.fromkeys(str(text) for text in (before["detail"], row["detail"]) if text))
            together[result.table_name, result.expectation] = row
    return pa.Table.from_pylist(list(together.values()), _QUALITY)


def reconciliation_table(found: Iterable[Reconciliation]) -> pa.Table:
    """Return where the rows and the money of each table went; a table without a delivery has zeros."""
    by_table = {name: [one for one in found if one.table_name == name] for name in CONTRACTS}
    rows = []
    for name, parts in by_table.items():
        counts = {
            ("n_in" if side == "rows" else f"n_{side}"): sum(getattr(one, f"n_{side}") for one in parts)
            for side in _SIDES
        }
        has_total = CONTRACTS[name].total is not None
        sums = {
            f"{word}_cents": sum(getattr(one, f"{side}_total") or 0 for one in parts) if has_total else None
            for side, word in _SIDES.items()
        }
        rows.append({"table_name": name} | counts | sums)
    return pa.Table.from_pylist(rows, _RECONCILIATION)
