"""The plan: each view is aggregated once, whatever the number of features."""

import pytest

from data.errors import ConfigError
from features.matrix import plan
from features.registry import FEATURES


def test_every_feature_is_in_the_plan_once() -> None:
    shared = plan()
    assert shared["view"].is_unique
    names = [name for row in shared["features"] for name in row.split(", ")]
    assert sorted(names) == sorted(FEATURES)
    assert shared["n_features"].sum() == len(FEATURES)
    assert len(shared) <= len(FEATURES) / 4


def test_the_lookback_is_the_longest_or_none() -> None:
    shared = plan(["n_orders_7d", "n_orders_364d", "recency_days", "spend_28d_cents"]).set_index("view")
    assert shared.loc["orders", "lookback"] == 364
    assert shared["lookback"].isna()["days"]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError):
        plan(["no_such_feature"])
