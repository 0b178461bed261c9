"""The uncertainty of a calibration grows where it should."""

import numpy as np
import pytest

from models.calibration import calibration_covariance, excess_sd, tenths


def draws(n, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    score = rng.normal(-1, 1, size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-score - shift))).astype(float)
    return score, y, 1 / (1 + np.exp(-score))


def test_independent_rows_give_the_information_matrix():
    score, y, p = draws(20_000)
    x = np.column_stack([np.ones(len(score)), score])
    expected = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x)
    np.testing.assert_allclose(calibration_covariance(score[:, None], y, p, np.arange(len(y))), expected, rtol=0.1)


def test_copies_of_a_customer_add_nothing():
    score, y, p = draws(2_000)
    alone = calibration_covariance(score[:, None], y, p, np.arange(2_000))
    threefold = [np.repeat(x, 3) for x in (score, y, p, np.arange(2_000))]
    copied = calibration_covariance(threefold[0][:, None], *threefold[1:])
    np.testing.assert_allclose(copied, alone, rtol=1e-6)


def test_two_models_give_a_square_of_three():
    score, y, p = draws(500)
    found = calibration_covariance(np.column_stack([score, score**2]), y, p, np.arange(500))
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found, found.T)


def test_no_shift_without_a_shift():
    _, y, p = draws(8_000)
    assert excess_sd(y, p, np.repeat(np.arange(8), 1000)) < 0.1


@pytest.mark.parametrize("sd", [0.3, 0.6])
def test_finds_the_excess_sd(sd):
    shifts = np.random.default_rng(8).normal(size=12)
    shifts = (shifts - shifts.mean()) / shifts.std(ddof=1) * sd
    parts = [draws(3_000, seed=i, shift=shift) for i, shift in enumerate(shifts)]
    y, p = np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])
    assert excess_sd(y, p, np.repeat(np.arange(12), 3_000)) == pytest.approx(sd, rel=0.2)


def test_one_date_or_one_class_per_date_gives_no_shift():
    _, y, p = draws(300)
    assert excess_sd(y, p, np.zeros(300)) == 0
    assert excess_sd([0, 0, 1, 1], [0.5] * 4, [1, 1, 2, 2]) == 0


def test_finds_a_curve_that_bends():
    score, _, p = draws(50_000)
    rng = np.random.default_rng(1)
    bent = (rng.random(50_000) < 1 / (1 + np.exp(-score - 0.3 * (score + 1) ** 2))).astype(float)
    assert excess_sd(bent, p, tenths(p)) > 0.2
    straight = (rng.random(50_000) < p).astype(float)
    assert excess_sd(straight, p, tenths(p)) < 0.05


def test_tenths_are_equal_and_rise():
    found = tenths(np.random.default_rng(0).normal(size=1000))
    assert np.bincount(found).tolist() == [100] * 10
    assert tenths(np.zeros(20)).tolist() == np.repeat(np.arange(10), 2).tolist()
    assert tenths([]).tolist() == []
