"""Folds that never split a customer."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from data.errors import TrainingError

Rows = npt.NDArray[np.intp]
N_FOLDS = 5


def customer_folds(frame: pd.DataFrame, n_folds: int = N_FOLDS) -> list[tuple[Rows, Rows]]:
    """Return folds that keep all rows of a customer on one side.

    Rows of one customer at several dates are near copies: split over two folds they would reward a model for
    recognising the customer.

    Parameters
    ----------
    frame
        Frame with ``customer_id``.
    n_folds
        Number of folds; fewer where there are fewer customers.

    Returns
    -------
    list of tuple
        Row numbers to train on and to test on.

    Raises
    ------
    TrainingError
        If there are fewer than two customers.

    Examples
    --------
    >>> frame = pd.DataFrame({"customer_id": ["a", "a", "b"]})
    >>> [test.tolist() for _, test in customer_folds(frame)]
    [[0, 1], [2]]
    """
    groups = frame["customer_id"].to_numpy()
    n_splits = min(n_folds, frame["customer_id"].nunique())
    if n_splits < 2:
        raise TrainingError(f"{n_splits} customers to train on", "two at least", "collect more history first")
    return list(GroupKFold(n_splits).split(np.zeros(len(groups)), groups=groups))


def label_folds(
    y: npt.ArrayLike, customers: npt.ArrayLike, seed: int, n_folds: int = N_FOLDS
) -> list[tuple[Rows, Rows]]:
    """Return folds of a table without time: customers undivided, and the share of leavers alike in all.

    Parameters
    ----------
    y
        Labels.
    customers
        Customer of each row.
    seed
        Seed of the draw.
    n_folds
        Number of folds; fewer where a label has fewer customers.

    Returns
    -------
    list of tuple
        Row numbers to train on and to test on.

    Raises
    ------
    TrainingError
        If a label has fewer than two customers.

    Examples
    --------
    >>> folds = label_folds([0, 0, 0, 1, 1, 1], list("abcdef"), seed=0, n_folds=3)
    >>> [int(np.array([0, 0, 0, 1, 1, 1])[test].sum()) for _, test in folds]
    [1, 1, 1]
    """
    truth, groups = np.asarray(y), np.asarray(customers)
    fewest = min(len(np.unique(groups[truth == label])) for label in np.unique(truth))
    if fewest < 2:
        raise TrainingError(
            f"{fewest} customers with one of the labels", "two at least", "collect more customers first"
        )
    n_splits, rows = min(n_folds, fewest), np.zeros(len(truth))
    if len(np.unique(groups)) == len(groups):
        return list(StratifiedKFold(n_splits, shuffle=True, random_state=seed).split(rows, truth))
    return list(StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed).split(rows, truth, groups))


def usable_features(X: pd.DataFrame, folds: list[tuple[Rows, Rows]]) -> list[str]:
    """Return the features that hold a value in the training part of every fold.

    Parameters
    ----------
    X
        The features.
    folds
        As returned by ``customer_folds``.

    Returns
    -------
    list of str
        In the order of the columns; a feature that is null for (nearly) everybody has nothing to learn from.

    Raises
    ------
    TrainingError
        If no feature is left.

    Examples
    --------
    >>> X = pd.DataFrame({"a": [1.0, 2.0], "b": [None, 2.0]})
    >>> usable_features(X, [([0], [1]), ([1], [0])])
    ['a']
    """
    known = X.notna().to_numpy()
    is_usable = np.logical_and.reduce([known[train].any(axis=0) for train, _ in folds])
    if not is_usable.any():
        raise TrainingError("every feature is null", "one feature with values at least", "check the accepted tables")
    return X.columns[is_usable].tolist()
