"""The content digest: blind to storage, keen on content."""

from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.digest import digest

ROWS = pa.table(
    {
        "customer_id": ["a", "b", "c", "d"],
        "category": ["x", None, "", "é"],
        "cents": pa.array([1, None, 0, -5], pa.int64()),
        "quantity": pa.array([Decimal("1.000"), None, Decimal("0.000"), Decimal("-2.500")], pa.decimal128(18, 3)),
        "share": pa.array([0.0, None, np.nan, -1.5]),
        "is_new": [True, None, False, True],
        "on": pa.array([date(2017, 1, 1), None, date(1970, 1, 1), date(1969, 1, 1)]),
        "at": pa.array([86_400_000_000, None, 0, -1], pa.timestamp("us")),
        "raw": pa.array([b"1", None, b"", b"\x00"]),
        "hour": pa.array([time(1), None, time(0), time(23)], pa.time64("us")),
        "void": pa.nulls(4),
    }
)
KEYS = ["customer_id"]


def _rechunked(data: pa.Table) -> pa.Table:
    return pa.concat_tables([data.slice(0, 1), data.slice(1, 0), data.slice(1, 3)])


def _sliced(data: pa.Table) -> pa.Table:
    return pa.concat_tables([data, data, data]).combine_chunks().slice(4, 4)


def _encoded(data: pa.Table) -> pa.Table:
    return data.set_column(1, "category", data["category"].dictionary_encode())


def _large(data: pa.Table) -> pa.Table:
    return data.set_column(1, "category", data["category"].cast(pa.large_string()))


def _dirty_nulls(data: pa.Table) -> pa.Table:
    """Put garbage into the slot of the null."""
    cents = pa.Array.from_buffers(
        pa.int64(), 4, [pa.py_buffer(b"\x0d"), pa.py_buffer(np.array([1, 77, 0, -5]).tobytes())]
    )
    return data.set_column(2, "cents", cents)


def _other_nan(data: pa.Table) -> pa.Table:
    values = np.array([-0.0, 0.0, 0.0, -1.5])
    values[2] = np.array([0xFFF8000000000123], dtype=np.uint64).view(np.float64)[0]
    return data.set_column(4, "share", pa.array(values, mask=np.array([False, True, False, False])))


@pytest.mark.parametrize(
    "stored",
    [
        lambda data: data.take([3, 1, 0, 2]),
        lambda data: data.select(data.column_names[::-1]),
        _rechunked,
        _sliced,
        _encoded,
        _large,
        _dirty_nulls,
        _other_nan,
    ],
)
@pytest.mark.parametrize("keys", [KEYS, []])
def test_storage_does_not_count(stored: Callable[[pa.Table], pa.Table], keys: list[str]) -> None:
    assert digest(stored(ROWS), keys) == digest(ROWS, keys)


def test_parquet_does_not_count(tmp_path: Path) -> None:
    data = ROWS.drop_columns(["void"])
    pq.write_table(data, tmp_path / "t.parquet", row_group_size=2)
    assert digest(pq.read_table(tmp_path / "t.parquet", read_dictionary=["category"]), KEYS) == digest(data, KEYS)


def _with(name: str, values: list[Any], kind: pa.DataType | None = None) -> pa.Table:
    at = ROWS.column_names.index(name)
    return ROWS.set_column(at, name, pa.array(values, kind or ROWS.schema.field(name).type))


CHANGED = {
    "as it is": ROWS,
    "null to empty": _with("category", ["x", "", "", "é"]),
    "empty to null": _with("category", ["x", None, None, "é"]),
    "null to zero": _with("cents", [1, 0, 0, -5]),
    "type": _with("cents", [1, None, 0, -5], pa.int32()),
    "a cent": _with("cents", [1, None, 0, -6]),
    "nan to null": _with("share", [0.0, None, None, -1.5]),
    "flag": _with("is_new", [True, None, False, False]),
    "null flag": _with("is_new", [True, False, False, True]),
    "swapped": _with("cents", [None, 1, 0, -5]),
    "renamed": ROWS.rename_columns([*ROWS.column_names[:-1], "empty"]),
    "a row less": ROWS.slice(0, 3),
    "a row twice": pa.concat_tables([ROWS, ROWS.slice(0, 1)]),
    "a column less": ROWS.drop_columns(["on"]),
    "letters moved": _with("raw", [b"1\x00", None, b"", b""]),
}


def test_content_counts() -> None:
    digests = {name: digest(data, KEYS) for name, data in CHANGED.items()}
    assert [pair for pair in combinations(digests, 2) if digests[pair[0]] == digests[pair[1]]] == []


def test_rows_that_repeat_in_the_keys_have_one_order() -> None:
    rng = np.random.default_rng(7)
    data = pa.table({"k": rng.integers(0, 3, 500), "x": rng.integers(0, 5, 500), "y": rng.random(500).round(1)})
    shuffled = data.take(rng.permutation(500))
    assert digest(data, ["k"]) == digest(shuffled, ["k"])
    assert digest(data) == digest(shuffled)


@pytest.mark.parametrize("name", ROWS.column_names)
def test_every_type_can_be_a_key(name: str) -> None:
    twice = pa.concat_tables([ROWS, ROWS])
    shuffled = twice.take([5, 0, 7, 2, 1, 6, 3, 4])
    assert digest(twice, [name]) == digest(shuffled, [name])
    assert digest(twice.select([name])) == digest(shuffled.select([name]))


def test_null_and_nan_keys_have_one_order() -> None:
    data = pa.table({"k": pa.array([None, np.nan, 1.0, None, np.nan]), "x": [1, 2, 3, 4, 5]})
    for order in ([4, 3, 2, 1, 0], [1, 0, 3, 2, 4]):
        assert digest(data.take(order), ["k"]) == digest(data, ["k"])


@pytest.mark.parametrize("data", [ROWS.slice(0, 0), ROWS.slice(0, 1), ROWS.select([])])
def test_small_tables_have_a_digest(data: pa.Table) -> None:
    assert len(digest(data)) == 64


def test_a_nested_column_is_refused() -> None:
    with pytest.raises(TypeError, match="flat columns"):
        digest(pa.table({"x": [[1]]}))
