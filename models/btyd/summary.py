"""Customers with equal sufficient statistics as one weighted row: a million customers are some thousand rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import TrainingError
from models.spec import FloatArray

IntArray = npt.NDArray[np.int64]

_KEY_SPACE = 2**62
_DAYS_IN_WEEK = 7


@dataclass(frozen=True, eq=False)
class Summary:
    """Distinct rows of sufficient statistics in ascending order, each with the number of its customers.

    Parameters
    ----------
    frequency
        Repeat purchases.
    recency
        Time from first to last purchase, 0 where there is no repeat purchase.
    T
        Time from first purchase to the end of the history.
    n
        Customers with these numbers.
    """

    frequency: FloatArray
    recency: FloatArray
    T: FloatArray
    n: FloatArray

    def __len__(self) -> int:
        return len(self.n)

    @property
    def n_customers(self) -> int:
        """Number of customers of all rows."""
        return int(self.n.sum())

    def thinned(self, n_rows: int) -> "Summary":
        """Return every so many-th row, less than twice ``n_rows`` of them, for a first and rough fit; itself if few."""
        step = max(1, len(self) // n_rows)
        if step == 1:
            return self
        return Summary(self.frequency[::step], self.recency[::step], self.T[::step], self.n[::step])


def summarise(customers: pd.DataFrame) -> Summary:
    """Return the customers' sufficient statistics, grouped.

    Parameters
    ----------
    customers
        One row a customer, with ``frequency``, ``recency`` and ``T``; the order of rows changes nothing.

    Returns
    -------
    Summary
        Distinct rows with their numbers of customers.

    Raises
    ------
    TrainingError
        If there is no row, or a number is missing, negative, out of order or no whole number of purchases.

    Examples
    --------
    >>> grouped = summarise(pd.DataFrame({"frequency": [0, 2, 0], "recency": [0, 5, 0], "T": [9, 9, 9]}))
    >>> grouped.frequency.tolist(), grouped.n.tolist()
    ([0.0, 2.0], [2.0, 1.0])
    """
    (frequency, recency, age), n = grouped(statistics(customers))
    return Summary(frequency, recency, age, n)


def statistics(customers: pd.DataFrame) -> list[FloatArray]:
    """Return ``frequency``, ``recency`` and ``T`` as checked float64 arrays.

    Parameters
    ----------
    customers
        One row a customer.

    Returns
    -------
    list of numpy.ndarray
        The three columns.

    Raises
    ------
    TrainingError
        As ``summarise`` does, but for a frame without rows.
    """
    missing = {"frequency", "recency", "T"} - set(customers.columns)
    if missing:
        raise TrainingError(f"no column {', '.join(sorted(missing))}", "frequency, recency and T", "name them so")
    frequency, recency, age = (customers[name].to_numpy(np.float64) for name in ("frequency", "recency", "T"))
    # NaN fails each comparison, so what holds nowhere else needs no check of its own.
    fine = (frequency >= 0) & (frequency == np.rint(frequency)) & (recency >= 0) & (recency <= age)
    fine &= np.isfinite(age) & ((frequency > 0) | (recency == 0))
    if not fine.all():
        raise TrainingError(
            f"{int((~fine).sum())} customers with impossible numbers",
            "frequency a whole number, 0 <= recency <= T, and recency 0 where frequency is 0",
            "count repeat purchases and times from the first purchase again",
        )
    return [frequency, recency, age]


def grouped(columns: Sequence[FloatArray]) -> tuple[list[FloatArray], FloatArray]:
    """Return the distinct rows of the columns, in ascending order of the last column first, and how often each occurs.

    Parameters
    ----------
    columns
        Arrays of one length.

    Returns
    -------
    tuple
        The columns of the distinct rows, and their counts as float64.

    Raises
    ------
    TrainingError
        If there is no row.
    """
    _refuse_none(columns)
    key, levels = _key(columns)
    ordered = np.sort(key)
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return _decoded(ordered[begins], levels), np.diff(np.append(begins, len(ordered))).astype(np.float64)


def distinct(columns: Sequence[FloatArray]) -> tuple[list[FloatArray], IntArray]:
    """Return the distinct rows of the columns and, for every row, which of them it is."""
    key, levels = _key(columns)
    found, which = np.unique(key, return_inverse=True)
    return _decoded(found, levels), which


def _refuse_none(columns: Sequence[FloatArray]) -> None:
    if not len(columns[0]):
        raise TrainingError("no customer", "at least one", "take a history with purchases")


def _key(columns: Sequence[FloatArray]) -> tuple[IntArray, list[FloatArray]]:
    """Return one integer a row, and the levels of each column that it is made of."""
    key, size = np.zeros(len(columns[0]), np.int64), 1
    levels: list[FloatArray] = []
    for column in reversed(columns):
        codes, values = _codes(column)
        size *= len(values)
        if size >= _KEY_SPACE:
            raise TrainingError(
                "times so fine that no two customers are alike", "days or weeks", "round recency and T to days"
            )
        key = key * len(values) + codes
        levels.insert(0, values)
    return key, levels


def _codes(column: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the position of each value among levels; days, and weeks counted in days, need no sorting."""
    for per_unit in (1, _DAYS_IN_WEEK):
        whole = np.rint(column * per_unit)
        top = whole.max(initial=0.0)
        if top <= max(len(column), 2**16) and np.array_equal(whole / per_unit, column):
            return whole.astype(np.int64), np.arange(int(top) + 1) / per_unit
    values, codes = np.unique(column, return_inverse=True)
    return codes, values


def _decoded(key: IntArray, levels: Sequence[FloatArray]) -> list[FloatArray]:
    columns = []
    for values in levels:
        key, code = np.divmod(key, len(values))
        columns.append(values[code])
    return columns
