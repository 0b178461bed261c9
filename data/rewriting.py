"""Rows taken out of a Delta table for good, from every version of it: what erasure and retention need.

Each data file that has such rows is written again without them **under its own name**, then its entry in the log gets
the new size and statistics. So version numbers, fingerprints and the manifest stay as they are, a reader sees the file
before or after and never both, and whatever a crash leaves is finished by the next call: an entry that does not fit
its file is written again. Hold the lake's lock. Programs other than regulars that keep Delta files in a cache of their
own must drop it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from data.private import replacing

_COMMIT = re.compile(r"\d{20}\.json")
_BOUND = "as_of"
"""The one column whose bounds are kept in the log: slices are found by it. Bounds of others could name a customer."""


class Edit(Protocol):
    """Says which rows stay and what they say."""

    def columns(self, schema: pa.Schema) -> Sequence[str]:
        """Return the columns that decide; none leaves a file as it is."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the rows that stay, of a table or its deciding columns; the same object where nothing changes."""


@dataclass(frozen=True)
class Rewritten:
    """What a rewrite did: data files written again, and the rows that went, each file counted once."""

    n_files: int = 0
    n_rows: int = 0

    def __add__(self, other: "Rewritten") -> "Rewritten":
        return Rewritten(self.n_files + other.n_files, self.n_rows + other.n_rows)


def tables(root: Path) -> list[Path]:
    """Return the folders of the Delta tables under a lake's root, by name."""
    return sorted(log.parent for log in root.glob("*/_delta_log") if log.is_dir())


def rewrite(folder: Path, edit: Edit) -> Rewritten:
    """Apply an edit to every data file of every version of a table, and remove what no version names.

    Parameters
    ----------
    folder
        The table's folder.
    edit
        What stays. It must find nothing to do in its own result.
    """
    log = folder / "_delta_log"
    commits = sorted(path for path in log.iterdir() if _COMMIT.fullmatch(path.name))
    _remove_leftovers(folder, commits)
    done = Rewritten()
    for commit in commits:
        lines = commit.read_text(encoding="utf-8").splitlines()
        new = []
        for line in lines:
            action = json.loads(line)
            if "add" in action:
                done += _rewrite_added(folder, action["add"], edit)
            action.get("remove", {}).pop("stats", None)
            new.append(json.dumps(action, ensure_ascii=False, separators=(",", ":")))
        if [json.loads(line) for line in lines] != [json.loads(line) for line in new]:
            _remove_checkpoints(log)
            with replacing(commit) as draft:
                draft.write_text("\n".join(new) + "\n", encoding="utf-8")
    return done


def remove_files(folder: Path, kept: Sequence[int]) -> int:
    """Remove the data files that none of the kept versions needs, and return how many.

    Parameters
    ----------
    folder
        The table's folder.
    kept
        Versions that must stay readable; the newest version always is.
    """
    needed: set[str] = set()
    live: set[str] = set()
    versions = sorted(path for path in (folder / "_delta_log").iterdir() if _COMMIT.fullmatch(path.name))
    for commit in versions:
        for action in _actions(commit):
            if "add" in action:
                live.add(unquote(action["add"]["path"]))
            if "remove" in action:
                live.discard(unquote(action["remove"]["path"]))
        if int(commit.stem) in kept:
            needed |= live
    gone = [path for path in folder.glob("*.parquet") if path.name not in needed | live]
    for path in gone:
        path.unlink()
    return len(gone)


def _actions(commit: Path) -> Iterator[dict[str, Any]]:
    with commit.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _remove_leftovers(folder: Path, commits: Sequence[Path]) -> None:
    """Remove what killed writers left: data files and drafts that no commit names. The lock says nobody is writing."""
    named = {unquote(action["add"]["path"]) for commit in commits for action in _actions(commit) if "add" in action}
    for path in folder.iterdir():
        if path.is_file() and path.name not in named:
            path.unlink()
    for path in (folder / "_delta_log").iterdir():
        if path.is_file() and not _COMMIT.fullmatch(path.name) and "checkpoint" not in path.name:
            path.unlink()


def _remove_checkpoints(log: Path) -> None:
    """Remove summaries of the log, which repeat its statistics; the commits, which are all kept, say the same."""
    (log / "_last_checkpoint").unlink(missing_ok=True)
    for path in log.glob("*.checkpoint*"):
        path.unlink()


def _rewrite_added(folder: Path, added: dict[str, Any], edit: Edit) -> Rewritten:
    """Rewrite one data file and its entry in the log, where they need it."""
    path = folder / unquote(added["path"])
    said = json.loads(added.get("stats") or "{}")
    if not path.exists():
        # An old version whose file is gone: its bounds could still name somebody.
        added["stats"] = json.dumps({"numRecords": said.get("numRecords", 0)})
        return Rewritten()
    n_removed = _rewrite_file(path, edit)
    # A crash between the file and its entry leaves an entry that does not fit.
    is_stale = added["size"] != path.stat().st_size
    if n_removed is not None or is_stale:
        added["size"] = path.stat().st_size
        added["stats"] = json.dumps(_stats(path))
    return Rewritten() if n_removed is None else Rewritten(1, n_removed)


def _rewrite_file(path: Path, edit: Edit) -> int | None:
    """Write a file again without the rows that go, and return their number; None where the file stays as it is."""
    with pq.ParquetFile(path) as source:
        schema = source.schema_arrow
        deciding = list(edit.columns(schema))
        if not deciding or not any(
            edit(part) is not part
            for part in (source.read_row_group(group, deciding) for group in range(source.num_row_groups))
        ):
            return None
        n_before, n_after = source.metadata.num_rows, 0
        with replacing(path) as draft, pq.ParquetWriter(draft, schema, compression="zstd") as target:
            for group in range(source.num_row_groups):
                rows = edit(source.read_row_group(group))
                n_after += rows.num_rows
                target.write_table(rows)
    return int(n_before - n_after)


def _stats(path: Path) -> dict[str, Any]:
    """Return the statistics of a file for the log: rows, nulls, and the bounds of its slices."""
    with pq.ParquetFile(path) as source:
        metadata, names = source.metadata, source.schema_arrow.names
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    found: dict[str, Any] = {"numRecords": metadata.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    for place, name in enumerate(names):
        parts = [group.column(place).statistics for group in groups if group.num_rows]
        if any(part is None or not part.has_null_count for part in parts):
            continue
        found["nullCount"][name] = sum(part.null_count for part in parts)
        bounds = [part for part in parts if part.has_min_max]
        if name == _BOUND and bounds and isinstance(bounds[0].min, datetime):
            found["minValues"][name] = _written(min(part.min for part in bounds))
            found["maxValues"][name] = _written(max(part.max for part in bounds))
    return found


def _written(instant: datetime) -> str:
    """Return an instant as Delta's statistics have it: cut to milliseconds."""
    return instant.isoformat(sep=" ", timespec="milliseconds")
