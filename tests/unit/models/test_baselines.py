"""The rules to beat are simple and right."""

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models.baselines import RecencyBaseline, trailing_value


@pytest.fixture
def train():
    rng = np.random.default_rng(0)
    recency = rng.integers(0, 57, size=4000)
    return pd.DataFrame({"recency_days": recency, "has_churned": rng.random(4000) < recency / 80})


def test_recency_is_monotone_and_calibrated(train):
    rule = RecencyBaseline(train)
    curve = rule.predict(pd.DataFrame({"recency_days": range(57)}))
    assert (np.diff(curve) > 0).all()
    assert rule.predict(train).mean() == pytest.approx(train["has_churned"].mean(), abs=1e-3)


def test_recency_reads_one_column_only(train):
    rule = RecencyBaseline(train)
    np.testing.assert_array_equal(rule.predict(train), rule.predict(train[["recency_days"]]))
    with pytest.raises(TrainingError, match="lacks recency_days"):
        rule.predict(pd.DataFrame({"tenure_days": [1]}))


def test_trailing_scales_to_the_horizon():
    frame = pd.DataFrame({"spend_84d_cents": [0, 840, None]})
    assert trailing_value(frame, "spend_84d_cents", 84, 7).tolist() == [0, 70, 0]
