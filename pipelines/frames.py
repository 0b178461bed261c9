"""Between frames and the lake's tables: the ``as_of`` column, exact types, stable order."""

from collections.abc import Mapping
from datetime import datetime

import pandas as pd
import pyarrow as pa

INSTANT = pa.timestamp("us")


def with_as_of(table: pa.Table, as_of: datetime) -> pa.Table:
    """Return the table with its ``as_of`` in front, the same in every row."""
    column = pa.repeat(pa.scalar(as_of, INSTANT), table.num_rows)
    if "as_of" in table.column_names:
        table = table.drop_columns("as_of")
    return table.add_column(0, pa.field("as_of", INSTANT), column)


def to_table(frame: pd.DataFrame, as_of: datetime, types: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Return a frame as a table of the lake.

    Parameters
    ----------
    frame
        Rows in their final order; the index is dropped.
    as_of
        Written into every row.
    types
        Types of columns whose values do not tell them: all null, dates, or integers with nulls.
    """
    plain = frame.reset_index(drop=True)
    fields = pa.Schema.from_pandas(plain, preserve_index=False)
    for name, kind in (types or {}).items():
        fields = fields.set(fields.get_field_index(name), pa.field(name, kind))
    fields = pa.schema([pa.field(field.name, _storable(field.type)) for field in fields])
    return with_as_of(pa.Table.from_pandas(plain, fields, preserve_index=False).replace_schema_metadata(None), as_of)


def _storable(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_null(kind) or pa.types.is_large_string(kind):
        return pa.string()
    return INSTANT if pa.types.is_timestamp(kind) else kind
