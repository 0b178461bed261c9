"""Nine in ten intervals of the value at risk hold the truth: of one customer, of a few and of many."""

import numpy as np
import pandas as pd
import pytest

from models.value_at_risk import LevelError, value_at_risk

N = 240
WORLDS = 100
N_ALONE = 20
REACH = 1.6448536269514722
BAND = 0.25
ROOT_SD = 5.0
LEVEL_SD = 0.10


def world(seed: int, *, has_level: bool) -> tuple[pd.DataFrame, "pd.Series[float]"]:
    """Return what models say of customers whose true chance of leaving and margin are drawn around it, and the truth.

    All chances err together, as with a season; margins err each by itself on the scale of cube roots, and with
    ``has_level`` together too. What is said of the margin is its mean.
    """
    rng = np.random.default_rng(seed)
    log_odds, root = rng.normal(-1.5, 1.0, N), rng.gamma(16, 1.2, N)
    value = root**3 + 3 * root * ROOT_SD**2
    told = np.cbrt(value)
    frame = pd.DataFrame(
        {
            "churn_probability": 1 / (1 + np.exp(-log_odds)),
            "churn_probability_low": 1 / (1 + np.exp(-(log_odds - REACH * BAND))),
            "churn_probability_high": 1 / (1 + np.exp(-(log_odds + REACH * BAND))),
            "expected_value_cents": value,
            "expected_value_low_cents": np.maximum(root - REACH * ROOT_SD, 0) ** 3,
            "expected_value_high_cents": np.maximum(root + REACH * ROOT_SD, told) ** 3,
        }
    )
    chance = 1 / (1 + np.exp(-(log_odds + BAND * rng.standard_normal())))
    margin = np.maximum(root + ROOT_SD * rng.standard_normal(N), 0) ** 3
    if has_level:
        margin = margin * np.exp(LEVEL_SD * rng.standard_normal())
    return frame, pd.Series(chance * margin)


@pytest.mark.parametrize("has_level", [False, True])
def test_the_interval_holds_the_truth_as_often_as_it_says(has_level: bool) -> None:
    groups = pd.Series([f"one {i}" for i in range(N_ALONE)] + ["few"] * 20 + ["many"] * (N - N_ALONE - 20))
    shared = LevelError(LEVEL_SD, 12) if has_level else None
    inside: dict[str, list[bool]] = {"one": [], "few": [], "many": []}
    for seed in range(WORLDS):
        frame, truth = world(seed, has_level=has_level)
        found = value_at_risk(frame, groups, seed=seed, level_error=shared).set_index("group")
        for name, total in truth.groupby(groups).sum().items():
            row = found.loc[str(name)]
            kind = str(name).split()[0]
            inside[kind].append(row["value_at_risk_low_cents"] <= total <= row["value_at_risk_high_cents"])
    for name, found_inside in inside.items():
        assert 0.85 <= np.mean(found_inside) <= 0.96, (name, np.mean(found_inside))
