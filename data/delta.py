"""One Delta table in one folder: the only place that knows the format. The lake is what other rooms talk to."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from data.errors import LakeError

# DuckDB gives each thread one row group, and a streamed write holds one in memory.
_WRITER = WriterProperties(compression="ZSTD", max_row_group_size=122_880)
# A snapshot names old versions, so neither the log's clean-up nor a stranger's VACUUM may take them away.
_CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
_READER_FEATURES = {"timestampNtz"}
# Delta cuts the instants of its statistics to milliseconds.
_BLUR = timedelta(milliseconds=1)

Data: TypeAlias = pa.Table | pa.RecordBatchReader


def exists(folder: Path) -> bool:
    """Say whether a Delta table with at least one version is in the folder."""
    return (folder / "_delta_log").is_dir() and bool(DeltaTable.is_deltatable(str(folder)))


def open_table(folder: Path, version: int | None = None) -> DeltaTable:
    """Open a table at a version, by default the newest.

    Raises
    ------
    LakeError
        If there is no such table or version, or it was changed by a program in a way that we cannot read.
    """
    try:
        table = DeltaTable(str(folder), version=version)
    except (DeltaError, OSError) as error:
        raise LakeError(
            f"no {_label(folder, version)}: {_reason(error)}",
            "a table that an earlier run wrote",
            "run regulars nightly, or point the configuration at the right lake",
        ) from error
    if unknown := set(table.protocol().reader_features or ()) - _READER_FEATURES:
        raise LakeError(
            f"{_label(folder, version)} uses {', '.join(sorted(unknown))}",
            f"a table without Delta features other than {', '.join(sorted(_READER_FEATURES))}",
            "let regulars alone write its lake",
        )
    return table


def schema(table: DeltaTable) -> pa.Schema:
    """Return the columns of a version, in order, with their types."""
    return pa.schema(table.schema().to_arrow())


def files(table: DeltaTable, folder: Path, as_of: datetime | None = None) -> list[str]:
    """Return the Parquet files of a version: slices by ``as_of`` to the millisecond, parts in the order written.

    Parameters
    ----------
    as_of
        Leave out the files that cannot hold rows of this slice.

    Raises
    ------
    LakeError
        If a file of the version is gone.
    """
    actions = pa.table(table.get_add_actions(flatten=True))
    nothing = [None] * actions.num_rows
    low, high = (
        actions[name].to_pylist() if name in actions.column_names else nothing for name in ("min.as_of", "max.as_of")
    )
    # A version whose slices are not told apart keeps the order of its commits, and of the parts of each.
    written = actions["modification_time"].to_pylist()
    found = sorted(
        ("" if first is None else first.isoformat(), 0 if first else at, path)
        for first, last, at, path in zip(low, high, written, actions["path"].to_pylist(), strict=True)
        if as_of is None or first is None or last is None or (first - as_of <= _BLUR and as_of - last <= _BLUR)
    )
    paths = [folder / path for *_, path in found]
    if gone := [path.name for path in paths if not path.exists()]:
        raise LakeError(
            f"{_label(folder, table.version())} misses {len(gone)} of {len(paths)} files, {gone[0]} first",
            "every file of the version",
            "restore the lake from its backup, or run regulars nightly to publish a new snapshot",
        )
    return [str(path) for path in paths]


def read(table: DeltaTable, folder: Path, as_of: datetime | None, columns: Sequence[str] | None) -> pa.Table:
    """Read a version or one slice of it; a column that a file lacks is null there."""
    fields = schema(table)
    paths = files(table, folder, as_of)
    if not paths:
        return fields.empty_table().select(list(columns or fields.names))
    rows = ds.dataset(paths, schema=fields, format="parquet")
    chosen = None if as_of is None else ds.field("as_of") == pa.scalar(as_of, fields.field("as_of").type)
    with _explained(folder, "read", "every file of the version whole", "restore the lake from its backup"):
        return rows.to_table(columns=None if columns is None else list(columns), filter=chosen)


def write(folder: Path, data: Data, as_of: datetime | None, metadata: Mapping[str, str]) -> int:
    """Replace the table, or its slice of ``as_of``, in one commit and return the version.

    A table that is replaced whole takes the columns of the new rows; a slice may bring new columns, and the rows
    of other slices are null there.

    Raises
    ------
    LakeError
        If a column changes its type or has one that a lake cannot hold, if rows lie outside the slice, or if the rows
        cannot be stored.
    """
    table = open_table(folder) if exists(folder) else None
    known = schema(table) if table is not None else None
    _check_names(folder, data.schema.names, known.names if known is not None and as_of is not None else [])
    _check_types(folder, data.schema, known)
    if as_of is not None:
        data = _only(folder, data, as_of)
    if isinstance(data, pa.Table):
        # Several batches are written by several threads, which mixes their order; one batch keeps it.
        data = data.combine_chunks()
    if table is None:
        return _commit(folder, folder, data, "error", metadata)
    if as_of is None:
        return _commit(folder, table, data, "overwrite", metadata, schema_mode="overwrite")
    predicate = f"as_of = '{as_of.isoformat(timespec='microseconds')}'"
    return _commit(folder, table, data, "overwrite", metadata, schema_mode="merge", predicate=predicate)


def write_parts(folder: Path, parts: Iterable[pa.Table], metadata: Mapping[str, str]) -> int:
    """Replace the table by parts, each in a commit of its own, and return the version that holds them all.

    Only the last commit has the metadata. At least one part must come, if without rows.
    """
    version, held = None, None
    for part in parts:
        if held is not None:
            version = write(folder, held, None, {}) if version is None else extend(folder, held, version, {})
        held = part
    assert held is not None, f"no part of {folder.name}"
    return write(folder, held, None, metadata) if version is None else extend(folder, held, version, metadata)


def append(folder: Path, data: pa.Table, after: int | None, metadata: Mapping[str, str]) -> int:
    """Append rows as the version that follows ``after`` (None: the table is new), and no other.

    Raises
    ------
    LakeError
        If another writer took that version, or the rows cannot be stored.
    """
    if after is None:
        return _commit(folder, folder, data, "error", metadata)
    return _commit(folder, open_table(folder, after), data, "append", metadata)


def extend(folder: Path, data: pa.Table, after: int, metadata: Mapping[str, str]) -> int:
    """Append rows to a version and return the version that holds both; columns that one side lacks are null there.

    Where the table has gone on since, the version is brought back first: what was written meanwhile, by runs that were
    never published, stays in the history.

    Raises
    ------
    LakeError
        If another writer wrote at the same time, a column changes its type, or the rows cannot be stored.
    """
    then, table = schema(open_table(folder, after)), open_table(folder)
    _check_names(folder, data.schema.names, then.names)
    _check_types(folder, data.schema, then)
    if int(table.version()) != after:
        with _explained(folder, "write", "room for the new version", "free space and run the same command again"):
            table.restore(after)
        _make_private(table, folder)
    return _commit(folder, table, data.combine_chunks(), "append", metadata, schema_mode="merge")


def commits(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the commits of a table, newest first: version and what the writer noted.

    The log is read by its own file names, because ``DeltaTable.history`` counts down from the version that is open
    and so misnames every commit when another writer has added one since.
    """
    for path in sorted((folder / "_delta_log").glob("[0-9]*.json"), reverse=True):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if "commitInfo" in (action := json.loads(line)):
                    yield int(path.stem), action["commitInfo"]
                    break


def _commit(
    folder: Path,
    target: Path | DeltaTable,
    data: Data,
    mode: Literal["error", "append", "overwrite"],
    metadata: Mapping[str, str],
    **how: Any,
) -> int:
    with _explained(
        folder,
        "write",
        "room for the new version; the published snapshot is unchanged",
        "free space and run the same command again: it goes on where it stopped",
    ):
        folder.mkdir(mode=0o700, exist_ok=True)
        # Without retries a commit that another writer overtook fails, instead of landing on rows it never saw.
        noted = CommitProperties(custom_metadata=dict(metadata), max_commit_retries=0)
        if isinstance(target, Path):
            how["configuration"] = _CONFIGURATION
        write_deltalake(
            str(target) if isinstance(target, Path) else target,
            data,
            mode=mode,
            writer_properties=_WRITER,
            commit_properties=noted,
            **how,
        )
    table = target if isinstance(target, DeltaTable) else open_table(folder, 0)
    _make_private(table, folder)
    return int(table.version())


def _make_private(table: DeltaTable, folder: Path) -> None:
    """Take the rights of others from what a commit left (the root's own mode already keeps them out)."""
    log = folder / "_delta_log"
    log.chmod(0o700)
    new = [*(Path(path) for path in files(table, folder)), log / f"{table.version():020d}.json"]
    for path in new:
        path.chmod(0o600)


def _check_names(folder: Path, new: Sequence[str], old: Sequence[str]) -> None:
    """Refuse columns that Delta and DuckDB would take for one: their names may not differ in case alone."""
    known = {name.casefold(): name for name in old}
    for name in new:
        if not name or new.count(name) > 1 or known.setdefault(name.casefold(), name) != name:
            raise LakeError(
                f"{folder.name} has a column {name!r} beside {known.get(name.casefold(), name)!r}",
                "columns with names that differ in more than case",
                "rename one of them",
            )


def _check_types(folder: Path, new: pa.Schema, old: pa.Schema | None) -> None:
    for field in new:
        kind = _plain_type(field.type)
        was = kind if old is None or field.name not in old.names else old.field(field.name).type
        if kind != was:
            raise LakeError(
                f"{folder.name}.{field.name} comes as {field.type}",
                f"{was}, as in the versions before",
                "cast it, give the new meaning a new name, or start a new lake",
            )
        if not _is_allowed(kind):
            raise LakeError(
                f"{folder.name}.{field.name} comes as {field.type}",
                "text, bool, a signed integer, a float, a decimal, a date, or a timestamp[us] without zone",
                "cast it before it is written",
            )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return pa.string() if is_text else kind


def _is_allowed(kind: pa.DataType) -> bool:
    is_number = pa.types.is_signed_integer(kind) or kind in {pa.float32(), pa.float64()} or pa.types.is_decimal128(kind)
    return is_number or kind in {pa.string(), pa.bool_(), pa.date32(), pa.timestamp("us")}


def _only(folder: Path, data: Data, as_of: datetime) -> Data:
    """Return the data as they are if every row belongs to the slice; a stream is checked by the commit itself."""
    if "as_of" not in data.schema.names:
        raise LakeError(f"{folder.name} has no column as_of", "the slice's as_of in each row", "add the column")
    if isinstance(data, pa.Table):
        wrong = [value for value in pc.unique(data["as_of"]).to_pylist() if value != as_of]
        if wrong:
            raise LakeError(
                f"{folder.name} has rows of as_of {wrong[0]}", f"rows of {as_of} alone", "write each as_of by itself"
            )
    return data


@contextmanager
def _explained(folder: Path, verb: str, expected: str, action: str) -> Iterator[None]:
    try:
        yield
    except CommitFailedError as error:
        raise LakeError(
            f"another writer changed {folder.name} in {folder.parent} meanwhile; nothing of this write counts",
            "one writer at a time, under the lake's lock",
            "end the other writer and run the same command again",
        ) from error
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise LakeError(
            f"cannot {verb} {folder.name} in {folder.parent}: {_reason(error)}", expected, action
        ) from error


def _label(folder: Path, version: int | None) -> str:
    return f"table {folder.name} in {folder.parent}" + ("" if version is None else f" at version {version}")


def _reason(error: Exception) -> str:
    """Return what an error of Delta says in one line, without colours and the stack of its runtime."""
    said = []
    for line in re.sub(r"\x1b\[\d*m", "", str(error)).strip().splitlines():
        text = line.strip(" ↳")
        if not text or re.match(r"\d+: <", text):
            break
        said.append(text)
    return ": ".join(said)[:400] or type(error).__name__
