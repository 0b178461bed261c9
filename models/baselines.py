"""The simple rules that the models have to beat."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from models.spec import FloatArray, binary_label, design


class RecencyBaseline:
    """Turn the time since the last purchase, alone, into a probability of leaving.

    Parameters
    ----------
    train
        Training frame.
    column
        The one feature, in days; customers without a purchase are not eligible, so it is never null.
    label
        Column of zeros and ones.

    Examples
    --------
    >>> train = pd.DataFrame({"recency_days": [1, 2, 30, 40], "has_churned": [0, 1, 0, 1]})
    >>> bool(np.diff(RecencyBaseline(train).predict(train))[-1] > 0)
    True
    """

    def __init__(self, train: pd.DataFrame, column: str = "recency_days", label: str = "has_churned") -> None:
        self.column = column
        # A logistic curve over the logarithm is monotone in recency and calibrated on its training rows.
        steps = [("log", FunctionTransformer(np.log1p)), ("curve", LogisticRegression(C=1e6, max_iter=1000))]
        self._curve = Pipeline(steps).fit(design(train, (column,)), binary_label(train, label))

    def predict(self, frame: pd.DataFrame) -> FloatArray:
        """Return the probability of leaving for every row."""
        probability: FloatArray = self._curve.predict_proba(design(frame, (self.column,)))[:, 1]
        return probability


def trailing_value(frame: pd.DataFrame, column: str, window_days: int, horizon_days: int) -> FloatArray:
    """Return the spend of the past window, scaled to the horizon.

    Parameters
    ----------
    frame
        Any frame with the column.
    column
        Spend within the window, in cents; null counts as no spend.
    window_days, horizon_days
        Lengths of the window and of the horizon.

    Returns
    -------
    numpy.ndarray
        Cents expected in the horizon; a net return counts as 0.

    Examples
    --------
    >>> trailing_value(pd.DataFrame({"spend_84d_cents": [8400, None]}), "spend_84d_cents", 84, 28).tolist()
    [2800.0, 0.0]
    """
    spend = design(frame, (column,))[column].fillna(0.0).to_numpy()
    scaled: FloatArray = np.maximum(spend, 0.0) * (horizon_days / window_days)
    return scaled
