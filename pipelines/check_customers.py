"""What came with the customers: a label of who left, and who may be contacted."""

from datetime import datetime

import duckdb
import pyarrow as pa

from data.privacy import consented
from models.readiness_facts import ColumnPower, Contactable, LabelFacts, share_of
from models.screening import single_column_auc
from pipelines.check_trials import attributes

LABEL = "has_churned"
PURPOSES = ("marketing", "profiling")
"""What customers are asked for: to be contacted, and to be scored."""


def label_facts(connection: duckdb.DuckDBPyConnection, name: str) -> LabelFacts | None:
    """Return how many of the labelled customers left, and how well each other column alone ranks them.

    Parameters
    ----------
    connection
        Where ``customers_accepted`` is.
    name
        What the company calls the label.

    Returns
    -------
    LabelFacts or None
        Null where no customer has a label.
    """
    frame = connection.execute(f"SELECT customer_id, {LABEL} FROM customers_accepted ORDER BY customer_id").df()  # noqa: S608 - our own names
    known = frame[LABEL].notna()
    if not known.any():
        return None
    has_left = frame.loc[known, LABEL].to_numpy(dtype=bool)
    others = attributes(connection, "customers", frame.loc[known, "customer_id"].tolist()).drop(
        columns=LABEL, errors="ignore"
    )
    if has_left.all() or not has_left.any():
        others = others.iloc[:, :0]
    powers = [
        ColumnPower(
            str(column),
            single_column_auc(others[column], has_left),
            share_of(int(others[column].isna().sum()), len(others)),
        )
        for column in others
    ]
    return LabelFacts(
        column=name,
        share=share_of(int(has_left.sum()), len(has_left)),
        n_unlabelled=int((~known).sum()),
        columns=tuple(sorted(powers, key=lambda power: (-power.auc, power.name))),
    )


def contactable(
    customer_ids: list[str], consents: pa.Table | None, as_of: datetime, assumed: frozenset[str]
) -> tuple[Contactable, ...]:
    """Return for each purpose how many customers may be processed for it, and who says so.

    Parameters
    ----------
    customer_ids
        All customers.
    consents
        Accepted statements; null where none are delivered.
    as_of
        Naive UTC instant; later statements are not known yet.
    assumed
        Purposes that the configuration declares lawful without statements.
    """
    found = []
    for purpose in PURPOSES:
        if consents is None and purpose not in assumed:
            found.append(Contactable(purpose, None, "nobody says"))
            continue
        n_allowed = int(consented(customer_ids, consents, purpose, as_of, assumed).sum())
        source = "assumed by the configuration" if consents is None else "customers' own statements"
        found.append(Contactable(purpose, share_of(n_allowed, len(customer_ids)), source))
    return tuple(found)
