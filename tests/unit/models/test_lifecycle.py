"""Every customer has exactly one state, by written thresholds."""

import pandas as pd
import pytest

from data.errors import TrainingError
from models.lifecycle import STATES, Thresholds, lifecycle_state

LIMITS = Thresholds(horizon_days=28)


def state(recency=5, tenure=300, gap=10.0, days=20):
    frame = pd.DataFrame(
        {"recency_days": [recency], "tenure_days": [tenure], "gap_mean_days": [gap], "n_purchase_days": [days]}
    )
    return lifecycle_state(frame, LIMITS).iloc[0]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, "active"),
        ({"recency": 20}, "active"),
        ({"recency": 21}, "slipping"),
        ({"recency": 56}, "slipping"),
        ({"recency": 57}, "lapsed"),
        ({"tenure": 28}, "new"),
        ({"tenure": 29}, "active"),
        ({"recency": 57, "tenure": 20}, "lapsed"),
        ({"recency": None, "tenure": None}, "lapsed"),
    ],
)
def test_thresholds(known, expected):
    assert state(**known) == expected


def test_daily_customer_has_a_week():
    assert state(recency=7, gap=1) == "active"
    assert state(recency=8, gap=1) == "slipping"


def test_without_a_rhythm_half_a_horizon_counts():
    assert state(recency=14, gap=None, days=1) == "active"
    assert state(recency=15, gap=None, days=1) == "slipping"
    assert state(recency=15, gap=60, days=3) == "slipping"
    assert state(recency=15, gap=60, days=4) == "active"


def test_index_and_names_are_kept():
    frame = pd.DataFrame(
        {"recency_days": [1, 99], "tenure_days": [99, 99], "gap_mean_days": [3.0, 3.0], "n_purchase_days": [9, 9]},
        index=[7, 3],
    )
    found = lifecycle_state(frame, LIMITS)
    assert found.to_dict() == {7: "active", 3: "lapsed"}
    assert set(found) <= set(STATES)


def test_missing_column_is_named():
    with pytest.raises(TrainingError, match="tenure_days"):
        lifecycle_state(pd.DataFrame({"recency_days": [1]}), LIMITS)
