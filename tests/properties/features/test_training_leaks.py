"""Catalogue row L7: what a model makes of a row it has not seen depends on no other row it has not seen."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from models.churn_parts import logistic
from models.folds import customer_folds

Predict = Callable[[pd.DataFrame, np.ndarray, np.ndarray], np.ndarray]
NAMES = ["a", "b", "c"]


def out_of_fold(frame: pd.DataFrame, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Predict as the model does: all that is fitted is fitted on the rows to learn from."""
    model = clone(logistic(range(len(NAMES)))).fit(frame.iloc[train][NAMES], frame.iloc[train]["y"])
    return model.predict_proba(frame.iloc[test][NAMES])[:, 1]


def scaled_before_the_split(frame: pd.DataFrame, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Predict with the leak: the scale is taken from all rows, those to be judged among them."""
    scaled = frame.assign(**pd.DataFrame(StandardScaler().fit_transform(frame[NAMES]), columns=NAMES))
    return out_of_fold(scaled, train, test)


def filled_before_the_split(frame: pd.DataFrame, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Predict with the leak: null is filled with the median of all rows."""
    return out_of_fold(frame.fillna(frame[NAMES].median()), train, test)


def sees_other_rows(predict: Predict) -> bool:
    """Return whether half of the unseen rows, changed, change what is said of the other half."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(400, 3)) ** 3, columns=NAMES).mask(rng.random((400, 3)) < 0.1)
    frame = frame.assign(customer_id=np.arange(400) % 150, y=(rng.random(400) < 0.3).astype(int))
    for train, test in customer_folds(frame):
        wild = frame.copy()
        kept, changed = test[: len(test) // 2], test[len(test) // 2 :]
        wild.loc[changed, NAMES] = 1e3 + rng.normal(size=(len(changed), 3))
        before, after = predict(frame, train, test), predict(wild, train, test)
        if not np.array_equal(before[: len(kept)], after[: len(kept)]):
            return True
    return False


def test_the_model_s_own_steps_see_none_of_them() -> None:
    assert not sees_other_rows(out_of_fold)


@pytest.mark.parametrize("leak", [scaled_before_the_split, filled_before_the_split])
def test_a_step_fitted_before_the_split_is_caught(leak: Predict) -> None:
    assert sees_other_rows(leak)
