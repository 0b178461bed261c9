"""Tables that a company may not have, and columns that its lake may not have: absent is empty, not an error."""

from collections.abc import Mapping

import ibis

from features.numbers import IDS
from features.views import History


def given(history: History, name: str, columns: Mapping[str, str]) -> ibis.Table:
    """Return columns of an accepted table: no rows where it was not handed in, null where it lacks the column.

    Parameters
    ----------
    history
        The accepted tables.
    name
        Name of the table.
    columns
        Ibis type of each column.
    """
    if name not in history.tables:
        # Rows of a table that is always there, none of them: every engine can make these.
        nobody = history.table("transactions").filter(ibis.literal(False))
        return nobody.select(
            **{column: nobody[column] if column in IDS else ibis.null(kind) for column, kind in columns.items()}
        )
    table = history.table(name)
    return table.select(
        **{
            column: _as(table[column], column, kind) if column in table.columns else ibis.null(kind)
            for column, kind in columns.items()
        }
    )


def _as(value: ibis.Value, column: str, kind: str) -> ibis.Value:
    # Ids stay what they are: where many dates are looked at they are numbers.
    return value if column in IDS else value.cast(kind)
