"""Global effects: they measure what they say, intervals cover, and a theme speaks through its strongest feature."""

import numpy as np
import pandas as pd
import pytest

from models.churn_reasons import Effects
from models.global_effects import ENOUGH_ROWS, global_effects, no_effects


def effects(n: int, seed: int = 0, scale: float = 1.0) -> Effects:
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        {"a": scale * rng.normal(size=n), "b": 0.1 * rng.normal(size=n), "c": np.abs(rng.normal(size=n)) * 0.5}
    )
    themes = pd.DataFrame({"rhythm": features["a"] + features["b"], "c": features["c"]})
    return Effects(themes, features, {"a": "rhythm", "b": "rhythm", "c": "c"}, -1.0, pd.Series(dtype=float))


def test_the_mean_size_of_an_effect_and_whose_risk_it_raises() -> None:
    one = effects(400)
    found = global_effects(one, seed=1).set_index("theme")
    assert list(found.index) == ["rhythm", "c"]
    assert found.loc["rhythm", "mean_effect"] == pytest.approx(one.themes["rhythm"].abs().mean())
    assert found.loc["rhythm", "raised_share"] == (one.themes["rhythm"] > 0).mean()
    assert found.loc["c", "raised_share"] == 1.0
    assert found["feature"].to_dict() == {"rhythm": "a", "c": "c"}
    assert (found["low"] < found["mean_effect"]).all()
    assert (found["mean_effect"] < found["high"]).all()


def test_the_interval_holds_the_mean_of_all_customers_alike() -> None:
    truth = np.sqrt(2 / np.pi) * 0.5
    covered = 0
    for seed in range(100):
        row = global_effects(effects(150, seed), seed=seed).set_index("theme").loc["c"]
        covered += row["low"] <= truth <= row["high"]
    assert 88 <= covered <= 100


def test_the_same_seed_gives_the_same_digits_and_another_does_not() -> None:
    one = effects(100)
    assert global_effects(one, seed=1).equals(global_effects(one, seed=1))
    assert not global_effects(one, seed=1).equals(global_effects(one, seed=2))


def test_of_many_customers_some_suffice_and_of_none_nothing_is_said() -> None:
    assert (global_effects(effects(2 * ENOUGH_ROWS + 1), seed=0)["n_customers"] <= ENOUGH_ROWS).all()
    empty = global_effects(effects(0), seed=0)
    assert empty.empty
    assert [*empty.columns, "version", "is_serving"] == list(no_effects().columns)
