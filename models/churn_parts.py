"""The parts that churn models are made of: estimators of scikit-learn, each on its own columns.

Simple parts (recency, rhythm, four features, the odds of buying till one dies) must be beaten by the rich ones. Every
part is a sum of one term per theme on the scale of the log-odds.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

from models.churn_odds import NO_PURCHASE

SIMPLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "recency": ("recency_days",),
        "rhythm": ("recency_days", "gap_mean_days", "recency_to_gap_ratio"),
        "rfm": ("recency_days", "n_purchase_days", "order_value_mean_cents", "tenure_days"),
        "odds": (NO_PURCHASE,),
    }
)
"""Simple part -> its columns; a part whose columns are not all at hand is left out."""
DIRECTIONS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("recency_days", "recency_to_gap_ratio", "recency_to_gap_max_ratio", NO_PURCHASE), 1),
        **dict.fromkeys(("recency_in_deviations", "recency_share"), 1),
        **dict.fromkeys(("n_orders_7d", "n_orders_28d", "n_orders_84d", "n_active_weeks_182d"), -1),
        "n_purchase_days_84d": -1,
    }
)
"""Feature -> 1 where more of it goes with a higher risk in every shop, -1 where with a lower one."""


def available(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns of every part that these columns allow; the rich parts take all but the odds.

    Examples
    --------
    >>> sorted(available(["recency_days", "spend_28d_cents"]))
    ['boosting', 'logistic', 'recency']
    """
    simple = {part: names for part, names in SIMPLE.items() if set(names) <= set(columns)}
    return {**simple, "logistic": tuple(columns), "boosting": tuple(columns)}


def part(name: str, X: pd.DataFrame, themes: Sequence[str], categories: Collection[str], seed: int) -> Any:
    """Return one part, not yet fitted.

    Parameters
    ----------
    name
        Its name.
    X
        Training rows; of the values, only the codes of categories are looked at.
    themes
        Theme of each column.
    categories
        Columns that hold codes of categories.
    seed
        Seed of the boosting.

    Returns
    -------
    sklearn estimator
        A classifier with a ``decision_function``.
    """
    own = set(SIMPLE.get(name, X.columns))
    numbers = [i for i, column in enumerate(X) if column in own and column not in categories]
    codes = [i for i, column in enumerate(X) if column in own and column in categories]
    if name != "boosting":
        return logistic(numbers, codes)
    directions = [DIRECTIONS.get(X.columns[i], 0) for i in numbers]
    if not codes:
        return boosting(_blocks(themes), seed, directions)
    levels = [np.unique(X.iloc[:, i]) for i in codes]
    of = [themes[i] for i in numbers] + [themes[i] for i, found in zip(codes, levels, strict=True) for _ in found]
    encoder = OneHotEncoder(categories=levels, handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("number", "passthrough", numbers), ("word", encoder, codes)])
    trees = boosting(_blocks(of), seed, directions + [0] * (len(of) - len(numbers)))
    return Pipeline([("columns", columns), ("trees", trees)])


def _blocks(themes: Sequence[str]) -> list[list[int]]:
    return [[i for i, theme in enumerate(themes) if theme == block] for block in dict.fromkeys(themes)]


def logistic(numbers: Sequence[int], codes: Sequence[int] = ()) -> Pipeline:
    """Return a logistic regression: null filled by the median and marked, log-like scale, one-hot codes, ridge."""
    steps = [
        ("fill", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)),
        # First to a common scale, so that cents or dollars make no difference; then the inverse hyperbolic sine, which
        # is the logarithm for large amounts and passes zero and refunds.
        ("unit", StandardScaler(with_mean=False)),
        ("log", FunctionTransformer(np.arcsinh)),
        # A line goes on for ever: what training never saw, as a column that stood still then, counts as its end.
        ("range", MinMaxScaler(clip=True)),
        ("scale", StandardScaler()),
    ]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("number", Pipeline(steps), list(numbers)), ("word", encoder, list(codes))])
    return Pipeline([("columns", columns), ("line", LogisticRegression(C=0.1, max_iter=2000))])


def boosting(
    blocks: Sequence[Sequence[int]], seed: int, directions: Sequence[int] = ()
) -> HistGradientBoostingClassifier:
    """Return small regularised boosted trees.

    Parameters
    ----------
    blocks
        Groups of columns whose features may interact.
    seed
        Seed of the columns drawn at each split.
    directions
        1, 0 or -1 per column: which way the risk may go as it grows; empty for any.
    """
    return HistGradientBoostingClassifier(
        learning_rate=0.03,
        max_iter=250,
        max_leaf_nodes=6,
        min_samples_leaf=50,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        interaction_cst=[list(block) for block in blocks],
        monotonic_cst=list(directions) or None,
        # Words come as zeros and ones; left to guess, the trees would look for them in the types of columns.
        categorical_features=None,
        random_state=seed,
    )
