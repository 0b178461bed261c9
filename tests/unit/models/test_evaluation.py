"""Estimates carry intervals, comparisons are paired, and unusable rows are refused with a reason."""

import numpy as np
import pytest
from scipy import stats

from data.errors import TrainingError
from models.evaluation import calibration_curve, evaluate, paired_difference, point, table, wilson
from models.metrics import METRICS


@pytest.fixture
def judged():
    rng = np.random.default_rng(5)
    p = rng.beta(1, 4, size=1500)
    return (rng.random(1500) < p).astype(int), p, np.arange(1500)


def delong_interval(y, p, level=0.95):
    """DeLong's interval of the AUC by its definition, as an oracle."""
    left, stayed = p[y == 1], p[y == 0]
    wins = (left[:, None] > stayed[None, :]) + (left[:, None] == stayed[None, :]) / 2
    variance = wins.mean(axis=1).var(ddof=1) / len(left) + wins.mean(axis=0).var(ddof=1) / len(stayed)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance)
    return wins.mean() - half, wins.mean() + half


def test_every_measure_has_an_interval_around_it(judged):
    y, p, groups = judged
    for name, found in evaluate(y, p, groups, seed=1).items():
        assert found.low <= found.value <= found.high, name
        assert found.n_rows == 1500


def test_auc_interval_agrees_with_delong(judged):
    y, p, groups = judged
    found = evaluate(y, p, groups, seed=1, metrics=("auc",), n_resamples=2000)["auc"]
    assert (found.low, found.high) == pytest.approx(delong_interval(y, p), abs=0.004)


def test_same_seed_same_digits_whatever_the_block(judged, monkeypatch):
    y, p, groups = judged
    whole = evaluate(y, p, groups, seed=7, n_resamples=60)
    assert evaluate(y, p, groups, seed=7, n_resamples=60) == whole
    monkeypatch.setattr("models.evaluation._CELLS_AT_ONCE", 7 * 1500)
    assert evaluate(y, p, groups, seed=7, n_resamples=60)["brier"].low == pytest.approx(whole["brier"].low)


def test_rows_of_a_customer_are_drawn_together(judged):
    y, p, _ = judged
    alone = evaluate(y, p, np.arange(1500), seed=2, metrics=("brier",))["brier"]
    fourfold = evaluate(*(np.repeat(x, 4) for x in (y, p, np.arange(1500))), seed=2, metrics=("brier",))["brier"]
    assert fourfold.high - fourfold.low == pytest.approx(alone.high - alone.low, rel=0.15)


def test_a_model_does_not_differ_from_itself(judged):
    y, p, groups = judged
    for name in METRICS:
        found = paired_difference(name, y, p, p, groups=groups, seed=0, n_resamples=20)
        assert (found.value, found.low, found.high) == (0, 0, 0)


def test_pairing_is_narrower_than_two_intervals(judged):
    y, p, groups = judged
    other = np.clip(p * 1.6, 0, 0.99)
    paired = paired_difference("brier", y, p, other, groups=groups, seed=0)
    alone = evaluate(y, p, groups, seed=0, metrics=("brier",))["brier"]
    assert paired.high - paired.low < 0.8 * (alone.high - alone.low)
    assert paired.high < 0


@pytest.mark.parametrize(
    ("y", "p", "found"),
    [
        ([], [], "0 labels"),
        ([0, 1], [0.5], "2 labels and 1"),
        ([0, 1], [0.5, np.nan], "null"),
        ([1, 1], [0.5, 0.6], "have the label 1"),
    ],
)
def test_unusable_rows_are_refused(y, p, found):
    with pytest.raises(TrainingError, match=found):
        evaluate(y, p, np.arange(len(y)), seed=0)


def test_amounts_need_no_two_classes():
    found = evaluate([5, 5], [4, 7], [1, 2], seed=0, metrics=("absolute_error",))
    assert found["absolute_error"].value == 1.5


def test_undefined_measure_has_no_interval():
    found = evaluate([0, 1], [0.5, 0.5], [1, 2], seed=0, metrics=("calibration_slope",))["calibration_slope"]
    assert np.isnan([found.value, found.low, found.high]).all()


def test_point_equals_evaluate(judged):
    y, p, groups = judged
    assert point("ece", y, p) == evaluate(y, p, groups, seed=0, n_resamples=2)["ece"].value


def test_calibration_curve_covers_every_row_once(judged):
    y, p, _ = judged
    curve = calibration_curve(y, p)
    assert curve["n_customers"].sum() == 1500
    assert curve["predicted_share"].is_monotonic_increasing
    assert (curve["observed_share_low"] <= curve["observed_share"]).all()
    assert (curve["observed_share"] <= curve["observed_share_high"]).all()
    assert np.average(curve["observed_share"], weights=curve["n_customers"]) == pytest.approx(y.mean())
    assert len(calibration_curve(y[:3], p[:3])) == 3


def test_wilson_of_nothing_and_everything():
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1


def test_table_and_words(judged):
    y, p, groups = judged
    found = evaluate(y, p, groups, seed=0, metrics=("auc", "brier"), n_resamples=20)
    assert table(found)["metric"].tolist() == ["auc", "brier"]
    assert str(found["auc"]).startswith("0.7")
