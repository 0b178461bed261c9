"""Customers followed step by step: one row per customer, date and step that was watched to its end."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import TrainingError
from models.spec import FloatArray

GROWING: Mapping[str, float] = MappingProxyType(
    {"recency_days": 1.0, "tenure_days": 1.0, "contract_days": 1.0, "contract_to_end_days": -1.0}
)
"""Features that change by so much with each day on which nothing happens."""
STEPS_PER_HORIZON = 4
_RATIO = ("recency_days", "gap_mean_days")
_LEAST_ROWS = 50


def step_edges(horizon_days: int, n_horizons: int) -> tuple[int, ...]:
    """Return the days at which steps end: a quarter of a horizon each, whole days, so that horizons are among them.

    Parameters
    ----------
    horizon_days
        Length of the label window.
    n_horizons
        How many of them.

    Examples
    --------
    >>> step_edges(30, 2)
    (8, 15, 22, 30, 38, 45, 52, 60)
    """
    edges = (round(horizon_days * step / STEPS_PER_HORIZON) for step in range(1, STEPS_PER_HORIZON * n_horizons + 1))
    return tuple(sorted({max(1, edge) for edge in edges}))


def stepped(X: pd.DataFrame, edges: Sequence[int], step: int) -> FloatArray:
    """Return the features as they are at the beginning of a step in which nothing has happened yet, and the step.

    Parameters
    ----------
    X
        Features as of the date.
    edges
        Days at which steps end.
    step
        Which step, from 0.

    Returns
    -------
    numpy.ndarray
        The features, grown where they are in ``GROWING``; the silence as a multiple of the mean gap where both are
        known; the day on which the step begins; its number.
    """
    start = edges[step - 1] if step else 0
    columns = [X[name].to_numpy() + start * GROWING.get(name, 0.0) for name in X.columns]
    if set(_RATIO) <= set(X.columns):
        silence, rhythm = (X[name].to_numpy() for name in _RATIO)
        columns.append((silence + start) / np.maximum(rhythm, 1.0))
    columns += [np.full(len(X), float(start)), np.full(len(X), float(step))]
    return np.column_stack(columns)


def person_periods(
    train: pd.DataFrame, X: pd.DataFrame, edges: Sequence[int]
) -> tuple[pd.DataFrame, FloatArray, npt.NDArray[np.int64]]:
    """Return one row per customer, date and step that was watched to its end and in which the event could come.

    Parameters
    ----------
    train
        ``customer_id``, ``as_of``, ``event_days`` and ``observed_days`` of each followed row; see ``hazard.fit``.
    X
        Its features.
    edges
        Days at which steps end.

    Returns
    -------
    tuple
        ``customer_id``, ``as_of`` and ``step`` of each row; its columns as ``stepped`` makes them; whether the event
        came in the step.
    """
    event = train["event_days"].astype("float64").fillna(np.inf).to_numpy()
    watched = train["observed_days"].astype("float64").to_numpy()
    rows, matrices, truths = [], [], []
    for step, end in enumerate(edges):
        start = edges[step - 1] if step else 0
        here = (watched >= end) & (event >= start)
        rows.append(train.loc[here, ["customer_id", "as_of"]].assign(step=step))
        matrices.append(stepped(X[here], edges, step))
        truths.append(event[here] < end)
    return pd.concat(rows, ignore_index=True), np.concatenate(matrices), np.concatenate(truths).astype(np.int64)


def watched_edges(train: pd.DataFrame, edges: tuple[int, ...], horizon_days: int) -> tuple[int, ...]:
    """Return the edges up to which enough customers were watched.

    Raises
    ------
    TrainingError
        The horizon is not among them.
    """
    event = train["event_days"].astype("float64").fillna(np.inf)
    enough = [
        end
        for start, end in zip((0, *edges), edges, strict=False)
        if ((train["observed_days"] >= end) & (event >= start)).sum() >= _LEAST_ROWS
    ]
    if horizon_days not in enough:
        raise TrainingError(
            f"fewer than {_LEAST_ROWS} customers watched for {horizon_days} days",
            f"{_LEAST_ROWS} who had not bought by then",
            "choose a longer history or another horizon",
        )
    return tuple(enough)
