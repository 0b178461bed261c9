"""The digest of a table: blind to the order of its rows, keen on any single change of any cell."""

import math
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data.digest import digest

MICROSECONDS = st.integers(-(10**15), 10**15)
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), st.text(max_size=4)),
    "number": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small": (pa.int32(), st.integers(-9, 9)),
    "quantity": (pa.decimal128(18, 3), st.decimals(-999, 999, places=3)),
    "share": (pa.float64(), st.floats()),
    "flag": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    "instant": (pa.timestamp("us"), st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))),
}
NAMES = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=4, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Any flat table of up to eight rows, nulls and repeated rows included."""
    n_rows = draw(st.integers(0, 8))
    columns = {}
    for name in draw(NAMES):
        kind, values = KINDS[draw(st.sampled_from(sorted(KINDS)))]
        cells = draw(st.lists(st.none() | values, min_size=n_rows, max_size=n_rows))
        columns[name] = pa.array(cells, kind)
    table = pa.table(columns)
    return pa.concat_tables([table, table.slice(0, draw(st.integers(0, 2)))])


def meaning(cell: object) -> object:
    """Return what the digest takes a cell for: every NaN is one NaN, and there is one zero."""
    if isinstance(cell, float):
        return "nan" if math.isnan(cell) else cell + 0.0
    return (type(cell).__name__, cell)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(tables(), st.randoms(use_true_random=False), st.data())
def test_the_order_of_rows_and_columns_and_the_chunks_mean_nothing(table, random, data):
    rows, names = list(range(table.num_rows)), list(table.column_names)
    random.shuffle(rows)
    random.shuffle(names)
    keys = data.draw(st.lists(st.sampled_from(names), unique=True))
    shuffled = table.take(pa.array(rows, pa.int64())).select(names)
    cut = data.draw(st.integers(0, table.num_rows))
    assert digest(pa.concat_tables([shuffled.slice(cut), shuffled.slice(0, cut)]), keys) == digest(table, keys)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(tables(), st.data())
def test_any_single_change_of_a_cell_changes_the_digest(table, data):
    assume(table.num_rows)
    name = data.draw(st.sampled_from(table.column_names))
    row = data.draw(st.integers(0, table.num_rows - 1))
    kind = table.schema.field(name).type
    values = next(strategy for other, strategy in KINDS.values() if other == kind)
    cells = table[name].to_pylist()
    new = data.draw(st.none() | values)
    assume(meaning(new) != meaning(cells[row]))
    cells[row] = new
    changed = table.set_column(table.column_names.index(name), name, pa.array(cells, kind))
    assert digest(changed) != digest(table)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(tables(), st.data())
def test_a_row_more_or_less_changes_the_digest(table, data):
    assume(table.num_rows)
    row = data.draw(st.integers(0, table.num_rows - 1))
    assert digest(pa.concat_tables([table, table.slice(row, 1)])) != digest(table)
    assert digest(pa.concat_tables([table.slice(0, row), table.slice(row + 1)])) != digest(table)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(tables(), st.text(min_size=1, max_size=3))
def test_a_renamed_column_changes_the_digest(table, name):
    assume(name not in table.column_names)
    assert digest(table.rename_columns([name, *table.column_names[1:]])) != digest(table)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=3), min_size=2, max_size=6), st.data())
def test_letters_that_move_to_the_neighbouring_cell_change_the_digest(texts, data):
    joined = "".join(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(joined)), min_size=len(texts) - 1, max_size=len(texts) - 1)))
    ends = [0, *cuts, len(joined)]
    other = [joined[low:high] for low, high in pairwise(ends)]
    assume(sorted(other) != sorted(texts))
    assert digest(pa.table({"x": other})) != digest(pa.table({"x": texts}))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.decimals(-999, 999, places=3), min_size=1, max_size=5))
def test_the_type_is_part_of_what_a_table_says(quantities):
    narrow = pa.table({"x": pa.array(quantities, pa.decimal128(18, 3))})
    wide = pa.table({"x": pa.array([Decimal(one) for one in quantities], pa.decimal128(20, 3))})
    assert digest(narrow) != digest(wide)
