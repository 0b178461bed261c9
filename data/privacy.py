"""Who may be processed for what: consent by purpose, as it stood at an instant."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import ConfigError

SUPPRESSION = 8
"""Smallest number of customers that a cell of an aggregate report may show; fewer could point at a person."""


def consented(
    customer_ids: Sequence[str],
    consents: pa.Table | None,
    purpose: str,
    as_of: datetime,
    assumed: frozenset[str] = frozenset(),
) -> npt.NDArray[np.bool_]:
    """Return for each customer whether they may be processed for a purpose.

    The newest statement of a customer on the purpose before ``as_of`` counts; of several at one instant a refusal wins.
    Who said nothing has not consented, and an unknown answer is a refusal. Without a table of consents only purposes
    that the configuration assumes are allowed, and then for everybody.

    Parameters
    ----------
    customer_ids
        The customers, in any order, repeated or not.
    consents
        Statements with customer_id, purpose, is_granted, event_time and, where they came later, known_at; None where
        the company keeps none.
    purpose
        What for, such as 'marketing'.
    as_of
        Naive UTC instant; later statements are not known yet.
    assumed
        Purposes that the configuration declares lawful without statements.

    Raises
    ------
    ConfigError
        There is no table of consents and the purpose is not assumed.

    Examples
    --------
    >>> said = {"customer_id": ["a"], "purpose": ["letters"], "is_granted": [True]}
    >>> said |= {"event_time": [datetime(2024, 1, 1)]}
    >>> consented(["a", "b"], pa.table(said), "letters", datetime(2024, 2, 1)).tolist()
    [True, False]
    """
    if consents is None:
        if purpose not in assumed:
            raise ConfigError(
                f"no table of consents and no rule for {purpose!r}",
                "a consents table, or the purpose among those that are lawful without one",
                f"map a consents source in regulars.toml, or add {purpose!r} to assumed_consent under [decisions]",
            )
        return np.ones(len(customer_ids), dtype=np.bool_)
    granted = _newest(consents, purpose, as_of)
    return np.fromiter((granted.get(customer, False) for customer in customer_ids), np.bool_, len(customer_ids))


def objected(
    customer_ids: Sequence[str], consents: pa.Table | None, purpose: str, as_of: datetime
) -> npt.NDArray[np.bool_]:
    """Return for each customer whether their newest statement on a purpose before ``as_of`` refuses it.

    Who said nothing has not objected. The rules of time are those of ``consented``.

    Examples
    --------
    >>> said = {"customer_id": ["a"], "purpose": ["profiling"], "is_granted": [False]}
    >>> said |= {"event_time": [datetime(2024, 1, 1)]}
    >>> objected(["a", "b"], pa.table(said), "profiling", datetime(2024, 2, 1)).tolist()
    [True, False]
    """
    granted = {} if consents is None else _newest(consents, purpose, as_of)
    return np.fromiter((not granted.get(customer, True) for customer in customer_ids), np.bool_, len(customer_ids))


def _newest(consents: pa.Table, purpose: str, as_of: datetime) -> dict[str, bool]:
    """Return the answer in force of every customer who gave one."""
    until = pa.scalar(as_of, pa.timestamp("us"))
    said = consents.filter((pc.field("purpose") == purpose) & (pc.field("event_time") < until))
    if "known_at" in said.column_names:
        # A statement that reached the company later could not be heeded earlier.
        said = said.filter(pc.coalesce(pc.field("known_at"), pc.field("event_time")) < until)
    last = said.group_by("customer_id").aggregate([("event_time", "max")])
    newest = said.join(last, "customer_id").filter(pc.field("event_time") == pc.field("event_time_max"))
    is_granted = pc.fill_null(newest["is_granted"], False)
    answers = pa.table({"customer_id": newest["customer_id"], "is_granted": is_granted})
    answers = answers.group_by("customer_id").aggregate([("is_granted", "all")])
    return dict(zip(answers["customer_id"].to_pylist(), answers["is_granted_all"].to_pylist(), strict=True))
