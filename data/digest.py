"""A digest of what a table says, whatever way it is stored."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def digest(data: pa.Table, keys: Sequence[str] = ()) -> str:
    """Return the SHA-256 of a table's content.

    Equal content gives equal digests whatever the order of rows and columns, the chunks, the files and the encoding of
    text (plain, large, dictionary). A null differs from every value; every NaN is one NaN and -0.0 is 0.0. Names and
    types count.

    Parameters
    ----------
    data
        The table. Columns may be of any flat type.
    keys
        Columns that come first in the order of rows, best the grain: the order is then cheap. The other columns break
        ties, so a digest exists for rows that repeat. Compare only digests made with the same keys.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        If a column is nested.

    Examples
    --------
    >>> left = pa.table({"customer_id": ["b", "a"], "n_orders": [2, 1]})
    >>> right = pa.table({"n_orders": [1, 2], "customer_id": pa.array(["a", "b"]).dictionary_encode()})
    >>> digest(left, ["customer_id"]) == digest(right, ["customer_id"])
    True
    """
    names = sorted(data.column_names)
    plain = pa.table({name: _plain(data[name]) for name in names})
    order = _order(plain, [*keys, *(name for name in names if name not in keys)], len(keys) or 2)
    state = hashlib.sha256(f"{data.num_rows}".encode())
    for name in names:
        column = plain[name].combine_chunks()
        state.update(f"|{name}|{column.type}|".encode())
        for part in _bytes(column if order is None else column.take(order)):
            state.update(part)
    return state.hexdigest()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Undo what only storage decides: dictionaries, widths of text offsets, payloads of NaN, the sign of zero."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.large_string())
    if pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return column.cast(pa.large_binary())
    if pa.types.is_floating(kind):
        is_odd = pc.or_(pc.is_nan(column), pc.equal(column, 0))
        return pc.if_else(is_odd, pc.if_else(pc.is_nan(column), pa.scalar(np.nan, kind), pa.scalar(0.0, kind)), column)
    if pa.types.is_nested(kind):
        raise TypeError(f"a digest needs flat columns, not {kind}")
    return column


def _order(data: pa.Table, names: Sequence[str], n_first: int) -> pa.Array | None:
    """Return the row numbers in the order of the named columns, or None where order cannot matter."""
    if data.num_rows < 2 or not names:
        return None
    # The first columns nearly always decide; the rest is sorted only where they do not.
    ranks = [_rank(data[name]) for name in names[:n_first]]
    order = np.lexsort(ranks[::-1])
    if np.logical_and.reduce([rank[order[1:]] == rank[order[:-1]] for rank in ranks]).any():
        ranks += [_rank(data[name]) for name in names[n_first:]]
        order = np.lexsort(ranks[::-1])
    return pa.array(order)


def _rank(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the place of each value among the distinct ones: text repeats, and numbers sort faster than text."""
    values = column.combine_chunks()
    if pa.types.is_null(values.type):
        return np.zeros(len(values), dtype=np.int64)
    values = values.dictionary_encode(null_encoding="encode")
    order = pc.sort_indices(values.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    placed: NDArray[np.int64] = rank[values.indices.to_numpy()]
    return placed


def _bytes(column: pa.Array) -> list[Any]:
    """Return the buffers of a column with null slots set to one value."""
    is_valid = np.packbits(np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), dtype=bool))
    kind = column.type
    if pa.types.is_null(kind):
        return [is_valid]
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        filled = pc.fill_null(column, "" if pa.types.is_large_string(kind) else b"")
        return [is_valid, _fixed(pc.binary_length(filled)), b"".join(_data(filled))]
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif pa.types.is_temporal(kind):
        column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return [is_valid, _fixed(pc.fill_null(column, 0))]


def _data(column: pa.Array) -> list[memoryview]:
    """Return the characters of a text column without what lies before or after its slice."""
    _, offsets, data = column.buffers()
    if data is None:
        return []
    ends = np.frombuffer(offsets, dtype=np.int64)
    return [memoryview(data)[ends[column.offset] : ends[column.offset + len(column)]]]


def _fixed(column: pa.Array) -> NDArray[np.uint8]:
    """Return the bytes of a column of fixed width."""
    width = column.type.bit_width // 8
    values = np.frombuffer(column.buffers()[1] or b"", dtype=np.uint8)
    return values[column.offset * width : (column.offset + len(column)) * width]
