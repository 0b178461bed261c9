"""A labelled flat table: one customer a row, a label, no dates, numbers and words mixed.

Words become codes here and are one-hot or split on inside the model; the model is that of ``models.churn``, so are its
calibration, its interval and its exact reasons.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.errors import TrainingError
from models.churn import SPEC

MOST_LEVELS = 60
"""Levels of a category kept apart; the rarer ones are one, named ``OTHER``."""
OTHER = "other"
LEFT_WORDS = frozenset({"1", "1.0", "yes", "y", "true", "t", "churned", "churn", "left", "exited", "attrited customer"})
"""What a label says, in small letters, of customers who left."""
_NAME_LIKE = 0.5


@dataclass(frozen=True)
class LabelledTable:
    """Hold a table that ``models.churn.fit`` takes, and how it was read.

    Parameters
    ----------
    frame
        ``customer_id``, ``has_churned`` and the features as float64, words as codes; null stays null.
    names
        The features.
    levels
        Levels of each category; a code is the position of its level.
    left_out
        Columns that are not learned from, each with the reason.
    """

    frame: pd.DataFrame
    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, str]

    @property
    def categories(self) -> tuple[str, ...]:
        """Return the features that hold codes."""
        return tuple(self.levels)

    def encode(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return the features of new customers, as the model was trained on them.

        A level that was not there in training counts as ``OTHER`` where there is that level, else as null.
        """
        return pd.DataFrame({name: _coded(raw, name, self.levels) for name in self.names}, index=raw.index)

    def phrases(self) -> dict[str, "ColumnPhrase"]:
        """Return the sentence of every feature, for ``models.churn_reasons.reasons``."""
        return {name: ColumnPhrase(name, self.levels.get(name, ())) for name in self.names}


@dataclass(frozen=True)
class ColumnPhrase:
    """Say a column that nobody has worded: its name, the customer's value and the typical customer's.

    Parameters
    ----------
    column
        Its name.
    levels
        Levels of a category; empty for numbers.

    Examples
    --------
    >>> ColumnPhrase("Contract", ("monthly", "yearly")).about("Contract", {"Contract": 0}, typical=1)
    'Contract is monthly (typical yearly)'
    >>> ColumnPhrase("tenure", ()).about("tenure", {"tenure": 2}, typical=29)
    'tenure is 2 (typical 29)'
    """

    column: str
    levels: tuple[str, ...]

    def about(self, name: str, known: Mapping[Hashable, Any], typical: float) -> str:
        """Return the sentence for one customer."""
        own = float(known[name])
        same = " as typical" if own == typical else f" (typical {self._word(typical)})"
        return f"{self.column} is {self._word(own)}{same}"

    def _word(self, value: float) -> str:
        if self.levels and not np.isnan(value):
            return self.levels[int(value)]
        if np.isnan(value):
            return "unknown"
        return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:,.3g}"


def read_labelled(raw: pd.DataFrame, label: str, customer: str | None = None) -> LabelledTable:
    """Return a labelled flat table, ready for training.

    Parameters
    ----------
    raw
        One row a customer. A column of text that holds numbers alone, blanks aside, is a number.
    label
        Column that says who left: 0 and 1, true and false, or one of ``LEFT_WORDS`` against another word.
    customer
        Column with the customer's id, each once; null for the number of the row.

    Returns
    -------
    LabelledTable
        Rows in the order of the table. Columns with one value, and text that differs for most customers (names,
        ids), are left out.

    Raises
    ------
    TrainingError
        If the label has not two values that can be told apart, ids repeat, or no feature is left.
    """
    ids = pd.Series(np.arange(len(raw)), raw.index) if customer is None else raw[customer]
    if ids.duplicated().any() or ids.isna().any():
        raise TrainingError(f"{int(ids.duplicated().sum())} repeated ids", "one row a customer", "take the latest row")
    columns, levels, left_out = {}, {}, {}
    for name in raw.columns.difference([label, customer] if customer else [label], sort=False):
        column, words, reason = _read(raw[name])
        if reason:
            left_out[str(name)] = reason
            continue
        columns[str(name)] = column
        if words:
            levels[str(name)] = words
    if not columns:
        raise TrainingError("no column to learn from", "one at least", "add columns that differ between customers")
    told = pd.DataFrame({"customer_id": ids.astype(str), SPEC.label: _label(raw[label])})
    frame = pd.concat([told, pd.DataFrame(columns, index=raw.index)], axis=1)
    return LabelledTable(frame, tuple(columns), levels, left_out)


def _read(column: "pd.Series[Any]") -> tuple[Any, tuple[str, ...], str]:
    """Return the values of a column, the levels if it is a category, and why it is left out if it is."""
    numbers = _numbers(column)
    if numbers is not None:
        return numbers, (), "one value only" if numbers.nunique() < 2 else ""
    words = _words(column)
    counts = words.value_counts()
    if len(counts) < 2:
        return words, (), "one value only"
    if len(counts) > MOST_LEVELS and len(counts) > _NAME_LIKE * len(words):
        return words, (), "differs for most customers"
    # Most frequent first, ties by name: the order of the rows changes nothing.
    order = sorted(counts.index, key=lambda word: (-counts[word], word))
    levels = (
        tuple(order) if len(order) <= MOST_LEVELS else (*[w for w in order if w != OTHER][: MOST_LEVELS - 1], OTHER)
    )
    return _codes(words, levels), levels, ""


def _numbers(column: "pd.Series[Any]") -> "pd.Series[float] | None":
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        return column.astype("float64")
    if pd.api.types.is_datetime64_any_dtype(column):
        return None
    words = _words(column)
    found = pd.to_numeric(words, errors="coerce").astype("float64")
    return found if found.notna().sum() == words.notna().sum() and found.notna().any() else None


def _words(column: "pd.Series[Any]") -> "pd.Series[Any]":
    words = column.astype("str").str.strip().where(column.notna())
    return words.where(words != "")


def _codes(words: "pd.Series[Any]", levels: tuple[str, ...]) -> "pd.Series[float]":
    codes = {level: float(code) for code, level in enumerate(levels)}
    found = words.map(codes)
    if OTHER in codes:
        found = found.where(found.notna() | words.isna(), codes[OTHER])
    return found.astype("float64")


def _coded(raw: pd.DataFrame, name: str, levels: Mapping[str, tuple[str, ...]]) -> Any:
    if name not in raw:
        raise TrainingError(f"the table lacks {name}", "every column of training", "add it, empty if need be")
    if name in levels:
        return _codes(_words(raw[name]), levels[name])
    return pd.to_numeric(raw[name], errors="coerce").astype("float64")


def _label(column: "pd.Series[Any]") -> "pd.Series[int]":
    words = column.astype("str").str.strip().str.lower()
    left = words.isin(LEFT_WORDS)
    if column.isna().any() or words.nunique() != 2 or left.nunique() != 2:
        raise TrainingError(
            f"the label says {', '.join(sorted(words.astype('object').map(str).unique())[:5])}",
            f"two values, one of them among {', '.join(sorted(LEFT_WORDS))}",
            "recode the label as 0 and 1",
        )
    return left.astype("int64")
