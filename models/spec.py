"""What a model is, in one frozen value: name, label, features, baseline, metrics and the metric its gate reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import TrainingError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ModelSpec:
    """State what a model learns, from what, and what it has to beat.

    Parameters
    ----------
    name
        Name in the registry of models.
    label
        Column of the training frame to be learned.
    baseline
        Feature that the simple rule uses alone; the model must beat that rule.
    metrics
        Names of ``models.metrics.METRICS`` that are reported.
    gate_metric
        The one metric that decides about promotion.
    features
        Names of the features, or null for every feature that the registry offers.

    Examples
    --------
    >>> spec = ModelSpec("churn", "has_churned", "recency_days", ("auc",), "auc")
    >>> spec.resolve(["recency_days", "n_orders"])
    ('recency_days', 'n_orders')
    """

    name: str
    label: str
    baseline: str
    metrics: tuple[str, ...]
    gate_metric: str
    features: tuple[str, ...] | None = None

    def resolve(self, available: Sequence[str]) -> tuple[str, ...]:
        """Return the feature names in a fixed order.

        Parameters
        ----------
        available
            Names that the registry of features offers.

        Returns
        -------
        tuple of str
            ``features`` as listed, or all of ``available``.

        Raises
        ------
        TrainingError
            If the baseline or a listed feature is not on offer.
        """
        names = tuple(available) if self.features is None else self.features
        unknown = sorted({*names, self.baseline} - set(available))
        if unknown:
            raise TrainingError(
                f"model {self.name} lists {', '.join(unknown)}, which no feature defines",
                f"names among {len(available)} registered features",
                "define the feature or take its name off the model's list",
            )
        return names


def design(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the features as float64 columns in the model's own order.

    Parameters
    ----------
    frame
        Any frame that holds the columns; their order and further columns do not matter.
    names
        The model's features.

    Returns
    -------
    pandas.DataFrame
        One float64 column per name; unknown stays null (NaN).

    Raises
    ------
    TrainingError
        If a name is missing, a column is not numeric, or a value is infinite.

    Examples
    --------
    >>> design(pd.DataFrame({"b": [1], "a": [None]}), ["a", "b"]).to_dict("list")
    {'a': [nan], 'b': [1.0]}
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise TrainingError(
            f"the frame lacks {', '.join(missing)}",
            f"the {len(names)} features that the model was trained on",
            "compute the missing features or train the model again",
        )
    try:
        columns = {name: pd.to_numeric(frame[name]).astype("float64").to_numpy(dtype="float64") for name in names}
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"a feature is not a number: {error}", "numeric features", "encode it as a number"
        ) from error
    matrix = pd.DataFrame(columns, index=frame.index)
    infinite = [name for name in names if np.isinf(columns[name]).any()]
    if infinite:
        raise TrainingError(f"infinite values in {', '.join(infinite)}", "finite numbers or null", "mend the feature")
    return matrix


def binary_label(frame: pd.DataFrame, name: str) -> npt.NDArray[np.int64]:
    """Return a label of zeros and ones.

    Parameters
    ----------
    frame
        Frame with the label.
    name
        Its column.

    Returns
    -------
    numpy.ndarray
        int64, one value per row.

    Raises
    ------
    TrainingError
        If the label is null somewhere, is not 0 or 1, or has one class only.
    """
    values = pd.to_numeric(frame[name]).to_numpy(dtype="float64", na_value=np.nan)
    found = set(np.unique(values).tolist())
    if found != {0.0, 1.0}:
        raise TrainingError(
            f"{name} holds the values {sorted(found)} on {len(values)} rows",
            "both 0 and 1, and nothing else",
            "choose a longer history or another horizon, so that some customers leave and some stay",
        )
    return values.astype(np.int64)
