"""Each feature by itself: shares by band, the AUC with an interval that counts customers, and the alarm."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from models.evaluation import Estimate, evaluate
from models.univariate import SUSPICIOUS_AUC, bands, is_suspicious, spread, strength

NAN = float("nan")


def rows(n, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    return rng, (rng.random(n) < share).astype(float)


class TestSpread:
    def test_every_known_value_is_in_a_bin(self):
        rng, _ = rows(1)
        values = np.r_[rng.lognormal(3, 2, 5_000), [NAN] * 100]
        found = spread(values)
        assert sum(found.counts) == found.n_known == 5_000
        assert found.n_rows == 5_100
        assert found.missing_share == pytest.approx(100 / 5_100)
        assert found.median == pytest.approx(np.nanmedian(values))
        assert (found.low, found.high) == tuple(np.nanquantile(values, [0.05, 0.95]))

    def test_few_whole_numbers_get_a_bin_each(self):
        found = spread(np.array([0.0, 0, 0, 1, 3]))
        assert found.edges == (-0.5, 0.5, 1.5, 2.5, 3.5)
        assert found.counts == (3, 1, 0, 1)

    def test_many_whole_numbers_get_bins_of_equally_many_of_them(self):
        found = spread(np.arange(1_000.0) % 100)
        widths = {round(high - low, 9) for low, high in zip(found.edges, found.edges[1:], strict=False)}
        assert len(widths) == 1
        assert widths.pop().is_integer()
        assert set(found.counts[1:-2]) == {found.counts[1]}

    @pytest.mark.parametrize("values", [[NAN, NAN], []])
    def test_without_a_value_there_is_nothing_to_draw(self, values):
        found = spread(np.array(values))
        assert (found.edges, found.counts, found.n_known) == ((), (), 0)
        assert math.isnan(found.median)
        assert math.isnan(found.missing_share) == (not values)

    @pytest.mark.parametrize("value", [0.0, 7.0, 0.25, -3.5, 1e12])
    def test_a_constant_is_one_bin_that_holds_it(self, value):
        found = spread(np.full(20, value))
        assert sum(found.counts) == 20
        place = int(np.argmax(found.counts))
        assert found.edges[place] <= value <= found.edges[place + 1]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.floats(-1e9, 1e9) | st.just(NAN) | st.integers(-50, 50).map(float), max_size=80))
    def test_counts_add_up_and_edges_ascend(self, values):
        found = spread(np.array(values, dtype=float))
        assert sum(found.counts) == found.n_known == sum(not math.isnan(value) for value in values)
        assert list(found.edges) == sorted(set(found.edges))
        assert len(found.edges) == (len(found.counts) + 1 if found.counts else 0)


class TestBands:
    def test_shares_are_those_of_counting(self):
        rng, y = rows(3_000)
        values = rng.normal(size=3_000)
        values[rng.random(3_000) < 0.2] = NAN
        found = bands(values, y, np.arange(3_000))
        assert sum(band.n_rows for band in found) == 3_000
        for band in found[:-1]:
            inside = (values >= band.low) & (values <= band.high)
            assert band.share == pytest.approx(y[inside].mean())
            assert band.n_rows == inside.sum()
            assert band.share_low <= band.share <= band.share_high
        assert found[-1].is_unknown
        assert found[-1].share == pytest.approx(y[np.isnan(values)].mean())

    def test_equal_values_are_never_parted(self):
        rng, y = rows(2_000)
        values = rng.choice([0.0, 0, 0, 1, 2, 3, 5, 8, 13], 2_000)
        found = bands(values, y, np.arange(2_000))
        ends = [(band.low, band.high) for band in found]
        assert all(low[1] < high[0] for low, high in itertools.pairwise(ends))
        assert len(found) <= 5

    def test_an_interval_counts_customers_and_not_rows(self):
        """The same customers seen eight times say no more than once; Wilson's interval on rows would be too narrow."""
        rng, y = rows(200)
        values = rng.normal(size=200)
        once = bands(values, y, np.arange(200), n_bands=1)[0]
        often = bands(np.tile(values, 8), np.tile(y, 8), np.tile(np.arange(200), 8), n_bands=1)[0]
        assert (often.n_rows, often.n_customers) == (1_600, 200)
        assert (often.share_low, often.share_high) == pytest.approx((once.share_low, once.share_high), rel=0.01)

    def test_nine_of_ten_intervals_and_more_hold_the_truth(self):
        hits = 0
        for seed in range(300):
            rng = np.random.default_rng(seed)
            customers = np.repeat(np.arange(150), 4)
            # Each customer has a rate of their own, .2 on average.
            rate = np.repeat(rng.beta(1, 4, 150), 4)
            y = (rng.random(600) < rate).astype(float)
            band = bands(np.zeros(600), y, customers)[0]
            hits += band.share_low <= 0.2 <= band.share_high
        assert 0.92 <= hits / 300 <= 0.98

    def test_nobody_and_everybody_leave_room_for_doubt(self):
        for label in (0.0, 1.0):
            band = bands(np.zeros(30), np.full(30, label), np.arange(30))[0]
            assert band.share == label
            assert band.share_high - band.share_low > 0.05

    def test_without_rows_there_are_no_bands(self):
        assert bands(np.array([]), np.array([]), np.array([], dtype=np.intp)) == []


class TestStrength:
    def test_a_monotone_feature_gets_about_its_auc(self):
        rng, y = rows(6_000)
        values = y + rng.normal(0, 1.5, 6_000)
        found = strength(values, y, np.arange(6_000))
        assert found.value == pytest.approx(roc_auc_score(y, values), abs=0.02)
        assert strength(-values, y, np.arange(6_000)).value == pytest.approx(found.value, abs=0.01), "either direction"

    def test_a_shape_that_rises_and_falls_counts(self):
        rng, y = rows(4_000)
        values = np.where(y > 0, rng.normal(0, 0.5, 4_000), rng.choice([-2.0, 2], 4_000) + rng.normal(0, 0.5, 4_000))
        assert strength(values, y, np.arange(4_000)).value > 0.95
        assert abs(roc_auc_score(y, values) - 0.5) < 0.05

    def test_missing_is_a_value_too(self):
        _, y = rows(2_000)
        values = np.where(y > 0, NAN, 1.0)
        assert strength(values, y, np.arange(2_000)).value == pytest.approx(1)

    def test_noise_is_about_a_coin_toss_and_its_interval_says_so(self):
        hits = 0
        for seed in range(60):
            rng, y = rows(800, seed)
            found = strength(rng.normal(size=800), y, np.arange(800))
            hits += found.low <= 0.5 <= found.high
        assert hits >= 50

    def test_the_interval_is_that_of_resampling_customers(self):
        rng = np.random.default_rng(2)
        customers = np.repeat(np.arange(400), 5)
        habit = np.repeat(rng.normal(size=400), 5)
        y = (rng.random(2_000) < 1 / (1 + np.exp(1 - habit))).astype(float)
        values = habit + rng.normal(0, 0.3, 2_000)
        found = strength(values, y, customers)
        resampled = evaluate(y, values, customers, seed=1, metrics=("auc",))["auc"]
        assert found.high - found.low == pytest.approx(resampled.high - resampled.low, rel=0.2)
        alone = strength(values, y, np.arange(2_000))
        assert alone.high - alone.low < 0.95 * (found.high - found.low), "rows alone would be too sure"

    @pytest.mark.parametrize("label", [0.0, 1.0])
    def test_one_label_has_no_auc(self, label):
        assert math.isnan(strength(np.arange(20.0), np.full(20, label), np.arange(20)).value)

    @pytest.mark.parametrize("value", [1.0, NAN])
    def test_one_value_has_no_auc(self, value):
        _, y = rows(50)
        assert math.isnan(strength(np.full(50, value), y, np.arange(50)).value)

    def test_the_same_rows_give_the_same_digits(self):
        rng, y = rows(500)
        values = rng.normal(size=500)
        assert strength(values, y, np.arange(500)) == strength(values, y, np.arange(500))


class TestAlarm:
    """Catalogue row L4."""

    MODEL = Estimate(0.86, 0.84, 0.88, 2_000)

    @pytest.mark.parametrize("noise", [0.0, 0.1, 0.25])
    def test_a_function_of_the_label_is_caught(self, noise):
        rng, y = rows(3_000)
        found = strength(y * 100 + rng.normal(0, 100 * noise, 3_000), y, np.arange(3_000))
        assert is_suspicious(found, self.MODEL)
        assert is_suspicious(found, None)

    def test_one_that_hides_in_what_is_missing_is_caught(self):
        rng, y = rows(3_000)
        values = np.where((y > 0) & (rng.random(3_000) < 0.98), NAN, rng.normal(size=3_000))
        assert is_suspicious(strength(values, y, np.arange(3_000)), self.MODEL)

    def test_one_that_is_surely_better_than_the_model_is_caught(self):
        assert is_suspicious(Estimate(0.92, 0.9, 0.94, 9), self.MODEL)
        assert not is_suspicious(Estimate(0.92, 0.9, 0.94, 9), None)

    def test_honest_features_are_left_alone(self):
        rng, y = rows(3_000)
        assert not is_suspicious(strength(y + rng.normal(size=3_000), y, np.arange(3_000)), self.MODEL)
        assert not is_suspicious(Estimate(0.89, 0.87, 0.91, 9), self.MODEL), "its interval reaches the model's"
        assert not is_suspicious(Estimate(NAN, NAN, NAN, 9), self.MODEL)
        assert not is_suspicious(Estimate(0.9, 0.89, 0.91, 9), Estimate(0.8, NAN, NAN, 9))

    def test_the_limit_itself_is_caught(self):
        assert is_suspicious(Estimate(SUSPICIOUS_AUC, 0.9, 1.0, 9), None)
