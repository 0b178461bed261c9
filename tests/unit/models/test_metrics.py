"""The measures agree with scikit-learn's, row by row of the weights."""

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.linear_model import LogisticRegression

from models.metrics import AMOUNT_METRICS, METRICS, calibration_intercept, calibration_slope, ece, top_decile_lift

ORACLES = {
    "auc": oracle.roc_auc_score,
    "pr_auc": oracle.average_precision_score,
    "brier": oracle.brier_score_loss,
    "log_loss": oracle.log_loss,
}


@pytest.fixture
def judged():
    rng = np.random.default_rng(3)
    p = np.round(rng.beta(1, 5, size=400), 2).clip(0.01, 0.99)
    y = (rng.random(400) < p).astype(float)
    weights = rng.integers(0, 4, size=(6, 400)).astype(float)
    return y, p, weights


@pytest.mark.parametrize("name", ORACLES)
def test_equals_scikit_learn_with_ties_and_weights(judged, name):
    y, p, weights = judged
    found = METRICS[name].function(y, p, weights)
    expected = [ORACLES[name](y, p, sample_weight=w) for w in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_weight_of_two_is_the_row_twice(judged):
    y, p, _ = judged
    twice = np.full((1, len(y)), 2.0)
    for name, metric in METRICS.items():
        if name != "ece":  # bins hold rows, so doubling moves their edges
            once = metric.function(y, p, np.ones((1, len(y))))
            np.testing.assert_allclose(metric.function(y, p, twice), once, rtol=1e-9, err_msg=name)


def test_slope_is_the_maximum_likelihood_one(judged):
    y, p, weights = judged
    x = np.log(p / (1 - p)).reshape(-1, 1)
    for w, found in zip(weights, calibration_slope(y, p, weights), strict=True):
        fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, y, sample_weight=w)
        assert found == pytest.approx(fitted.coef_[0, 0], abs=1e-5)


def test_intercept_makes_the_total_right(judged):
    y, p, weights = judged
    shifts = calibration_intercept(y, p, weights)
    moved = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + shifts[:, None])))
    np.testing.assert_allclose((weights * moved).sum(axis=1), weights @ y)


def test_ece_by_hand():
    p = np.repeat([0.2, 0.8], 50)
    y = np.r_[np.ones(20), np.zeros(30), np.ones(40), np.zeros(10)]
    shuffled = np.random.default_rng(0).permutation(50)
    y = np.r_[y[:50][shuffled], y[50:]]
    ten = [abs(part.mean() - q.mean()) for part, q in zip(np.split(y, 10), np.split(p, 10), strict=True)]
    assert ece(y, p, np.ones((1, 100)))[0] == pytest.approx(np.mean(ten))


def test_lift_takes_a_tenth_and_shares_ties():
    y = np.r_[np.ones(10), np.zeros(90)]
    assert top_decile_lift(y, y, np.ones((1, 100)))[0] == pytest.approx(10)
    assert top_decile_lift(y, np.full(100, 0.1), np.ones((1, 100)))[0] == pytest.approx(1)


@pytest.mark.parametrize("name", ["auc", "pr_auc", "calibration_slope", "calibration_intercept", "top_decile_lift"])
def test_a_resample_with_one_class_is_not_a_number(name):
    y, p = np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.3])
    assert np.isnan(METRICS[name].function(y, p, np.array([[1.0, 1.0, 0.0]]))).all()


def test_slope_of_one_value_is_not_a_number():
    assert np.isnan(calibration_slope(np.array([0.0, 1.0]), np.array([0.5, 0.5]), np.ones((1, 2)))).all()


def test_perfect_separation_does_not_diverge():
    y = np.r_[np.zeros(20), np.ones(20)]
    assert np.isfinite(calibration_slope(y, np.linspace(0.1, 0.9, 40), np.ones((1, 40)))).all()


def test_amounts():
    y, p, once = np.array([1.0, 3.0]), np.array([2.0, 1.0]), np.ones((1, 2))
    found = {name: metric.function(y, p, once)[0] for name, metric in AMOUNT_METRICS.items()}
    by_hand = {"root_squared_error": np.sqrt(2.5), "absolute_error": 1.5, "total_bias_share": -0.25}
    assert found == pytest.approx(by_hand | {"amount_deviance": (3 * np.sqrt(2) + 8) / 2})


def test_amount_deviance_is_least_at_the_mean_of_signed_amounts():
    y, once = np.array([-50.0, 0.0, 100.0, 350.0]), np.ones((1, 4))
    said = {p: AMOUNT_METRICS["amount_deviance"].function(y, np.full(4, p), once)[0] for p in (80.0, 100.0, 120.0)}
    assert min(said, key=said.get) == y.mean()
