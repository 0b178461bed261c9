"""Frames become tables of the lake with exact types, whatever the values happen to be."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.frames import INSTANT, to_table, with_as_of

AS_OF = datetime(2018, 1, 1, 5)


def test_as_of_stands_in_front_and_in_every_row():
    table = with_as_of(pa.table({"x": [1, 2]}), AS_OF)
    assert table.column_names == ["as_of", "x"]
    assert table["as_of"].to_pylist() == [AS_OF, AS_OF]
    assert table.schema.field("as_of").type == pa.timestamp("us")


def test_an_as_of_that_was_there_is_replaced():
    other = pa.table({"x": [1], "as_of": pa.array([datetime(2001, 1, 1)], pa.timestamp("ns"))})
    assert with_as_of(other, AS_OF).to_pydict() == {"as_of": [AS_OF], "x": [1]}


def test_a_table_without_rows_has_the_column_all_the_same():
    table = with_as_of(pa.table({"x": pa.array([], pa.int64())}), AS_OF)
    assert table.schema.field("as_of").type == INSTANT
    assert table.num_rows == 0


def test_the_index_is_dropped_and_the_order_kept():
    frame = pd.DataFrame({"customer_id": ["b", "a"]}, index=[7, 3])
    assert to_table(frame, AS_OF).select(["customer_id"]).to_pydict() == {"customer_id": ["b", "a"]}


def test_every_type_that_pandas_gives_becomes_one_that_a_lake_holds():
    frame = pd.DataFrame(
        {
            "text": pd.Series(["a", None], dtype="str"),
            "object_text": pd.Series(["a", None], dtype="object"),
            "nothing": pd.Series([None, None], dtype="object"),
            "count": pd.Series([1, None], dtype="Int64"),
            "share": [0.5, np.nan],
            "flag": [True, False],
            "instant": pd.to_datetime(["2018-01-01", "2018-01-02"]).astype("datetime64[ns]"),
            "day": [date(2018, 1, 1), None],
        }
    )
    kinds = {field.name: field.type for field in to_table(frame, AS_OF).schema}
    assert kinds == {
        "as_of": INSTANT,
        "text": pa.string(),
        "object_text": pa.string(),
        "nothing": pa.string(),
        "count": pa.int64(),
        "share": pa.float64(),
        "flag": pa.bool_(),
        "instant": INSTANT,
        "day": pa.date32(),
    }


def test_null_and_not_a_number_are_null():
    frame = pd.DataFrame({"share": [0.5, np.nan], "count": pd.Series([None, 2], dtype="Int64")})
    assert to_table(frame, AS_OF).select(["share", "count"]).to_pydict() == {"share": [0.5, None], "count": [None, 2]}


def test_columns_whose_values_do_not_tell_take_the_type_that_is_named():
    frame = pd.DataFrame({"due_on": [None], "priority": [None], "name": ["x"]})
    table = to_table(frame, AS_OF, {"due_on": pa.date32(), "priority": pa.int64()})
    assert table.schema.field("due_on").type == pa.date32()
    assert table.schema.field("priority").type == pa.int64()
    assert table.schema.field("name").type == pa.string()


def test_a_type_for_a_column_that_is_not_there_is_a_bug():
    with pytest.raises((IndexError, pa.ArrowException)):
        to_table(pd.DataFrame({"x": [1]}), AS_OF, {"y": pa.int64()})


def test_no_metadata_of_pandas_travels_along():
    assert to_table(pd.DataFrame({"x": [1]}), AS_OF).schema.metadata is None


def test_a_lossy_type_is_refused():
    with pytest.raises(pa.ArrowException):
        to_table(pd.DataFrame({"cents": [1.5]}), AS_OF, {"cents": pa.int64()})
