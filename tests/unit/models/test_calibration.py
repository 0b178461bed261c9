"""The uncertainty of a calibration grows where it should."""

import json

import numpy as np
import pytest

from models.calibration import Band, clustered_covariance, fit_band, shift_between_dates


def draws(n, seed=0, shift=0.0, bend=0.0):
    rng = np.random.default_rng(seed)
    score = rng.normal(-1, 1, size=n)
    truth = score + shift + bend * (score + 1) ** 2
    y = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(int)
    return score, y, 1 / (1 + np.exp(-score))


def width(band, score, level=0.9):
    low, high = band.around(np.asarray(score, dtype=float), level)
    return high - low


def test_independent_rows_give_the_information_matrix():
    score, y, p = draws(20_000)
    x = np.column_stack([np.ones(len(score)), score])
    expected = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x)
    np.testing.assert_allclose(clustered_covariance(x, y, p, np.arange(len(y))), expected, rtol=0.1)


def test_copies_of_a_customer_add_nothing():
    score, y, p = draws(2_000)
    x, customers = np.column_stack([np.ones(2_000), score]), np.arange(2_000)
    copied = clustered_covariance(*(np.repeat(part, 3, axis=0) for part in (x, y, p, customers)))
    np.testing.assert_allclose(copied, clustered_covariance(x, y, p, customers), rtol=1e-6)


def test_more_customers_make_it_narrower():
    few, many = (fit_band(*draws(n)[:2], np.arange(n), np.zeros(n)) for n in (1_000, 16_000))
    assert width(few, [-1.0])[0] / width(many, [-1.0])[0] == pytest.approx(4, rel=0.3)


def test_it_holds_what_the_model_says_and_follows_a_bend():
    score, y, _ = draws(50_000, bend=0.3)
    band = fit_band(score, y, np.arange(50_000), np.zeros(50_000))
    said = np.linspace(-5, 3, 50)
    low, high = band.around(said, 0.9)
    assert (low <= said).all()
    assert (said <= high).all()
    truth = 0.5 + 0.3 * 1.5**2
    assert band.around(np.array([0.5]), 0.9)[1][0] == pytest.approx(truth, abs=0.15)


def test_a_shift_between_dates_widens_it():
    parts = [draws(3_000, seed=i, shift=shift) for i, shift in enumerate((-0.5, 0.0, 0.5, 0.0))]
    score, y = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    dates, customers = np.repeat(np.arange(4), 3_000), np.arange(12_000)
    shifting, steady = fit_band(score, y, customers, dates), fit_band(score, y, customers, np.zeros(12_000))
    assert shifting.shift_sd > 0.2
    assert width(shifting, [-1.0])[0] > 3 * width(steady, [-1.0])[0]


def test_restored_from_json_it_is_the_same():
    score, y, _ = draws(500)
    band = fit_band(score, y, np.arange(500), np.arange(500) % 4)
    again = Band.restore(json.loads(json.dumps(band.facts())))
    for ends in zip(band.around(score, 0.9), again.around(score, 0.9), strict=True):
        np.testing.assert_array_equal(*ends)


def test_one_score_for_all_is_survived():
    _, y, _ = draws(200)
    band = fit_band(np.full(200, -1.0), y, np.arange(200), np.zeros(200))
    assert np.isfinite(band.around(np.array([-1.0]), 0.9)).all()


def test_no_shift_without_a_shift():
    _, y, p = draws(8_000)
    assert shift_between_dates(y, p, np.repeat(np.arange(8), 1000)) < 0.1


@pytest.mark.parametrize("sd", [0.3, 0.6])
def test_finds_the_shift_between_dates(sd):
    shifts = np.random.default_rng(8).normal(size=12)
    shifts = (shifts - shifts.mean()) / shifts.std(ddof=1) * sd
    parts = [draws(3_000, seed=i, shift=shift) for i, shift in enumerate(shifts)]
    y, p = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    assert shift_between_dates(y, p, np.repeat(np.arange(12), 3_000)) == pytest.approx(sd, rel=0.2)


def test_one_date_or_one_class_per_date_gives_no_shift():
    _, y, p = draws(300)
    assert shift_between_dates(y, p, np.zeros(300)) == 0
    assert shift_between_dates([0, 0, 1, 1], [0.5] * 4, [1, 1, 2, 2]) == 0
