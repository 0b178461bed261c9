"""Costs say whom to contact, and the expected maximum profit is what a direct search finds."""

import numpy as np
import pytest
from scipy import stats

from data.errors import TrainingError
from models.profit import RetentionCosts, contact_profit, cost_threshold, expected_maximum_profit

COSTS = RetentionCosts(value=20_000, incentive=1_000, contact=100)


def drawn(n=400, seed=1):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 3, n).round(2)
    return (rng.random(n) < p).astype(int), p


def by_search(y, p, costs, n_grid=4001):
    """Search every threshold for every acceptance on a fine grid."""
    order = np.argsort(-p, kind="stable")
    is_end = np.append(np.diff(p[order]) != 0, True)
    left = np.concatenate(([0], np.cumsum(y[order])[is_end])) / len(y)
    taken = np.concatenate(([0], np.arange(1, len(y) + 1)[is_end])) / len(y)
    accepts = (np.arange(n_grid) + 0.5) / n_grid
    weights = stats.beta.pdf(accepts, costs.alpha, costs.beta)
    profit = accepts[:, None] * left * (costs.value - costs.incentive)
    profit = profit - (taken - left) * costs.incentive - taken * costs.contact
    best = profit.argmax(axis=1)
    weights = weights / weights.sum()
    return (profit.max(axis=1) * weights).sum(), (taken[best] * weights).sum()


@pytest.mark.parametrize("costs", [COSTS, RetentionCosts(5_000, 2_000, 300), RetentionCosts(900, 0, 10, 2, 2)])
def test_equals_a_direct_search(costs):
    y, p = drawn()
    found = expected_maximum_profit(y, p, costs, seed=0, n_resamples=20)
    cents, share = by_search(y, p, costs)
    assert found.cents == pytest.approx(cents, rel=1e-3)
    assert found.share == pytest.approx(share, abs=2e-3)
    assert found.low < found.cents < found.high


def test_a_better_score_earns_more_and_a_useless_offer_nothing():
    y, p = drawn(2000)
    good, poor = (expected_maximum_profit(y, said, COSTS, seed=0, n_resamples=5) for said in (p, np.roll(p, 1)))
    assert good.cents > poor.cents
    dear = expected_maximum_profit(y, p, RetentionCosts(1_000, 990, 900), seed=0, n_resamples=5)
    assert (dear.cents, dear.share, dear.threshold) == (0, 0, np.inf)


def test_only_the_ranking_and_no_order_of_rows_counts():
    y, p = drawn()
    found = [
        expected_maximum_profit(truth, said, COSTS, seed=0, n_resamples=0)
        for truth, said in ((y, p), (y, p**3 / 2), (y[::-1], p[::-1]))
    ]
    assert found[1].cents == pytest.approx(found[0].cents, abs=1e-9)
    assert found[2].cents == pytest.approx(found[0].cents, abs=1e-9)


def test_a_perfect_score_earns_what_every_leaver_accepts():
    y = np.array([0] * 80 + [1] * 20)
    found = expected_maximum_profit(y, y.astype(float), COSTS, seed=0, n_resamples=0)
    assert found.cents == pytest.approx(0.2 * (0.3 * 19_000 - 100), rel=1e-6)
    assert found.share == pytest.approx(0.2, abs=1e-6)
    assert found.threshold == 1


def test_threshold_is_where_contacting_earns_nothing():
    threshold = cost_threshold(COSTS)
    assert contact_profit(threshold, COSTS) == pytest.approx(0, abs=1e-9)
    worth = np.array([1_200.0, 5_000.0, 80_000.0])
    each = cost_threshold(COSTS, worth)
    assert (np.diff(each) < 0).all()
    np.testing.assert_allclose(contact_profit(each, COSTS, worth), 0, atol=1e-9)
    assert np.isinf(cost_threshold(COSTS, [1_000.0, np.nan])).all()


def test_threshold_agrees_with_the_best_on_calibrated_scores():
    """Between the two lies only that the best share is chosen anew for every acceptance."""
    y, p = drawn(40_000, seed=3)
    found = expected_maximum_profit(y, p, RetentionCosts(20_000, 1_000, 100, 600, 1_400), seed=0, n_resamples=0)
    assert found.threshold == pytest.approx(float(cost_threshold(COSTS)), abs=0.02)


def test_interval_covers_the_truth():
    truth = expected_maximum_profit(*drawn(300_000, seed=99), COSTS, seed=0, n_resamples=0).cents
    found = [expected_maximum_profit(*drawn(500, seed=s), COSTS, seed=s, n_resamples=60) for s in range(60)]
    # 90 % nominal; sixty worlds leave four points of noise, and a maximum is a little too hopeful.
    assert np.mean([f.low <= truth <= f.high for f in found]) > 0.78


@pytest.mark.parametrize("numbers", [(100, 100, 0), (100, -1, 0), (100, 10, -1), (np.nan, 10, 1), (100, 10, 1, 0, 1)])
def test_refuses_impossible_costs(numbers):
    with pytest.raises(TrainingError):
        RetentionCosts(*numbers)


@pytest.mark.parametrize("y", [[0, 0], [1, 1], [0, 2]])
def test_refuses_labels_of_one_kind(y):
    with pytest.raises(TrainingError, match="labels 0 and 1"):
        expected_maximum_profit(y, [0.1, 0.2], COSTS, seed=0)
