"""The lake: tables with all their versions under one root, and the manifest that publishes many of them at once."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from data import delta, lock
from data.digest import digest
from data.errors import LakeError

FINGERPRINT = "regulars.fingerprint"
SNAPSHOTS = "snapshots"
_LOCK = "lock"
_MAX_NAME = 255

_SNAPSHOT_SCHEMA = pa.schema(
    [
        ("sequence", pa.int64()),
        ("run_key", pa.string()),
        ("flow", pa.string()),
        ("as_of", pa.timestamp("us")),
        ("code_digest", pa.string()),
        ("versions_json", pa.string()),
        ("summary_json", pa.string()),
        ("mlflow_run_id", pa.string()),
    ]
)


@dataclass(frozen=True)
class Snapshot:
    """One published run: which version of each table belongs to it.

    Attributes
    ----------
    sequence
        Place in the order of publication, from 0: the Delta version of the manifest that brought this row.
    run_key
        Key of the run: flow, as_of, code and inputs.
    flow, as_of, code_digest
        What ran, up to which instant (naive UTC), and with which code.
    versions
        Table name to Delta version.
    summary
        What the run reports about itself.
    mlflow_run_id
        The run's record in MLflow; null where none was kept.
    """

    sequence: int
    run_key: str
    flow: str
    as_of: datetime
    code_digest: str
    versions: Mapping[str, int]
    summary: Mapping[str, Any]
    mlflow_run_id: str | None


class Lake:
    """Tables under one root folder, which is the only place where regulars keeps data for good.

    Every write is one Delta commit: readers see the version before it or the one after it. Only the owner may look in
    (mode 0700, files 0600). Errors are ``LakeError``.

    Parameters
    ----------
    root
        A folder; made where it is missing.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> lake = Lake(folder.name)
    >>> with lake.lock():
    ...     lake.write("products", pa.table({"product_id": ["a", "b"]}), as_of=None, fingerprint="f1")
    0
    >>> lake.find("products", "f1"), lake.read("products").num_rows
    (0, 2)
    >>> folder.cleanup()
    """

    def __init__(self, root: Path | str) -> None:
        # Delta decodes a percent sign twice and then looks in another folder.
        if "://" in str(root) or "%" in str(root):
            raise LakeError(f"the lake's root is {root}", "a local folder without % in its name", "name another folder")
        self.root = Path(root).absolute()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)

    def lock(self) -> AbstractContextManager[None]:
        """Return a context that holds the run lock; a second holder gets ``LockHeldError`` at once."""
        return lock.hold(self.root / _LOCK)

    def write(self, table: str, data: delta.Data, *, as_of: datetime | None, fingerprint: str) -> int:
        """Replace a table, or only its slice of ``as_of``, and return the new version.

        Parameters
        ----------
        data
            The rows. A table keeps its order; a ``RecordBatchReader`` is streamed in bounded memory and keeps the order
            within each batch only.
        as_of
            Replace only the rows of this instant (naive UTC; all rows must have it). None replaces the whole table.
        fingerprint
            What the rows were made from; ``find`` finds the version by it.
        """
        return delta.write(self._folder(table), data, _naive(as_of), {FINGERPRINT: fingerprint})

    def write_parts(self, table: str, parts: Iterable[pa.Table], *, fingerprint: str) -> int:
        """Replace a table by parts that together may be larger than memory, and return the new version.

        Only the last part has the fingerprint, so that ``find`` never sees half of them.
        """
        return delta.write_parts(self._folder(table), parts, {FINGERPRINT: fingerprint})

    def append(self, table: str, rows: pa.Table, *, after: int, fingerprint: str) -> int:
        """Add rows to a version of a table and return the new version; what was written since then is left out.

        Columns that only one side has are null on the other.
        """
        return delta.extend(self._folder(table), rows, after, {FINGERPRINT: fingerprint})

    def find(self, table: str, fingerprint: str) -> int | None:
        """Return the newest version that was written with a fingerprint and can still be read, or None.

        Later commits do not matter: the version is read as it was.
        """
        if not self.has(table):
            return None
        for version, info in delta.commits(self._folder(table)):
            if info.get(FINGERPRINT) == fingerprint:
                with suppress(LakeError):
                    self.uris(table, version)
                    return version
        return None

    def read(
        self,
        table: str,
        *,
        version: int | None = None,
        as_of: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Read a version (by default the newest), or one slice and some columns of it; slices come by ``as_of``."""
        folder = self._folder(table)
        return delta.read(delta.open_table(folder, version), folder, _naive(as_of), columns)

    def digest(
        self, table: str, *, version: int | None = None, as_of: datetime | None = None, keys: Sequence[str] = ()
    ) -> str:
        """Return the content digest of a version or one slice of it; see ``data.digest``."""
        return digest(self.read(table, version=version, as_of=as_of), keys)

    def uris(self, table: str, version: int | None = None) -> list[str]:
        """Return the Parquet files of a version; they may lack columns that came later, see ``schema``."""
        folder = self._folder(table)
        return delta.files(delta.open_table(folder, version), folder)

    def schema(self, table: str, version: int | None = None) -> pa.Schema:
        """Return the columns and types of a version; they hold whatever its files say."""
        return delta.schema(delta.open_table(self._folder(table), version))

    def has(self, table: str) -> bool:
        """Say whether the table has any version."""
        return delta.exists(self._folder(table))

    def version(self, table: str) -> int:
        """Return the newest version of a table, published or not."""
        return int(delta.open_table(self._folder(table)).version())

    def publish(
        self,
        run_key: str,
        *,
        flow: str,
        as_of: datetime,
        code_digest: str,
        versions: Mapping[str, int],
        summary: Mapping[str, Any],
        mlflow_run_id: str | None,
    ) -> None:
        """Publish a run: one row of the manifest makes all its table versions current at once.

        The same run with the same versions is published once; again is a no-op. A version that cannot be read is
        refused.
        """
        _naive(as_of)
        known = self.snapshot(run_key)
        if known is not None and dict(known.versions) == dict(versions):
            return
        for table, version in versions.items():
            self.uris(table, version)
        head = self.version(SNAPSHOTS) if self.has(SNAPSHOTS) else None
        sequence = 0 if head is None else head + 1
        row = Snapshot(sequence, run_key, flow, as_of, code_digest, versions, summary, mlflow_run_id)
        delta.append(self._folder(SNAPSHOTS), _to_rows(row), head, {FINGERPRINT: run_key})

    def snapshot(self, run_key: str | None = None) -> Snapshot | None:
        """Return the newest snapshot, or the newest of a run; None where nothing was published."""
        return next((one for one in reversed(self.snapshots()) if run_key in {None, one.run_key}), None)

    def snapshots(self) -> list[Snapshot]:
        """Return every snapshot, in the order of publication."""
        if not self.has(SNAPSHOTS):
            return []
        return [_from_row(row) for row in self.read(SNAPSHOTS).sort_by("sequence").to_pylist()]

    def published(self, table: str, snapshot: Snapshot | None = None) -> pa.Table:
        """Read a table as a snapshot has it, by default the newest."""
        snapshot = snapshot or self.snapshot()
        if snapshot is None or table not in snapshot.versions:
            where = "no snapshot" if snapshot is None else f"snapshot {snapshot.run_key} without table {table}"
            raise LakeError(
                f"{where} in {self.root}", f"a snapshot that publishes {table}", "run regulars nightly first"
            )
        return self.read(table, version=snapshot.versions[table])

    def _folder(self, table: str) -> Path:
        """Return the folder of a table: the one place that turns names into addresses, all of them below the root."""
        is_plain = table.isprintable() and not set(table) & {"/", "%"} and len(table.encode()) <= _MAX_NAME
        if table in {"", ".", "..", _LOCK} or not is_plain:
            raise LakeError(
                f"a table called {table[:80]!r}",
                f"a name of 1 to {_MAX_NAME} bytes without /, % or control characters, and not {_LOCK!r}",
                "name it otherwise",
            )
        return self.root / table


def _to_rows(snapshot: Snapshot) -> pa.Table:
    """Return the manifest's row of a snapshot."""
    row = {name: getattr(snapshot, name) for name in _SNAPSHOT_SCHEMA.names if hasattr(snapshot, name)}
    row["versions_json"] = json.dumps(dict(snapshot.versions), sort_keys=True)
    row["summary_json"] = json.dumps(dict(snapshot.summary), sort_keys=True, allow_nan=False)
    return pa.Table.from_pylist([row], schema=_SNAPSHOT_SCHEMA)


def _from_row(row: dict[str, Any]) -> Snapshot:
    """Return the snapshot of a manifest's row."""
    versions, summary = json.loads(row.pop("versions_json")), json.loads(row.pop("summary_json"))
    return Snapshot(**row, versions=versions, summary=summary)


def _naive(as_of: datetime | None) -> datetime | None:
    """Refuse an instant with a zone: the lake's instants are naive UTC."""
    if as_of is not None and as_of.tzinfo is not None:
        raise ValueError(f"as_of is {as_of}: give it as naive UTC")
    return as_of
