"""Agreement of two models: measures by hand, intervals that cover, and odd inputs."""

import numpy as np
import pytest

from models.agreement import agreement


def found(ours: object, theirs: object) -> dict[str, tuple[float, float, float]]:
    rows = agreement(ours, theirs)  # type: ignore[arg-type]
    return {row["metric"]: (row["value"], row["low"], row["high"]) for row in rows.to_dict("records")}


def test_measures_by_hand() -> None:
    ours = np.arange(20.0)
    theirs = ours[::-1].copy()
    measured = found(ours, theirs)
    assert measured["mean_difference"][0] == 0.0
    assert measured["rank_correlation"] == (-1.0, -1.0, -1.0)
    assert measured["top_tenth_shared"][0] == 0.0
    half = found(ours, np.concatenate([ours[:18], [19.0, -1.0]]))
    assert half["top_tenth_shared"][0] == 0.5
    assert half["mean_difference"][0] == pytest.approx((ours[18:].sum() - 18.0) / 20)


def test_intervals_hold_the_truth_of_a_known_world() -> None:
    rho, n_covered, n_worlds = 0.8, np.zeros(2), 200
    spearman = 6 / np.pi * np.arcsin(rho / 2)
    for seed in range(n_worlds):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=150)
        b = rho * a + np.sqrt(1 - rho**2) * rng.normal(size=150) + 0.3
        measured = found(a, b)
        for place, (name, truth) in enumerate((("mean_difference", -0.3), ("rank_correlation", spearman))):
            _, low, high = measured[name]
            n_covered[place] += low <= truth <= high
    assert ((n_covered / n_worlds > 0.91) & (n_covered / n_worlds < 0.99)).all(), n_covered


def test_one_thing_said_of_all_has_no_order() -> None:
    assert list(found(np.ones(30), np.arange(30.0))) == ["mean_difference"]


@pytest.mark.parametrize("n", [0, 1, 9])
def test_few_customers_give_no_row(n: int) -> None:
    assert agreement(np.arange(n), np.arange(n)).empty
