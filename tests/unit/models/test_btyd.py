"""Buy-till-you-die models: what they take, what they refuse, and what they say when the data tell too little."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models.btyd import (
    BgNbd,
    GammaGamma,
    MbgNbd,
    ParetoNbd,
    fit_bg_nbd,
    fit_gamma_gamma,
    fit_mbg_nbd,
    fit_pareto_nbd,
    interval,
)
from models.btyd.newton import BOUND, climb, highest, staged
from models.btyd.summary import distinct, grouped, statistics, summarise

FITS = {BgNbd: fit_bg_nbd, MbgNbd: fit_mbg_nbd, ParetoNbd: fit_pareto_nbd}
HORIZONS = [1, 13, 52]


def frame(frequency, recency, age):
    return pd.DataFrame({"frequency": frequency, "recency": recency, "T": age})


def drawn(n=3_000, seed=3):
    """Draw histories of customers who buy at their own rate and leave with a chance of one in four."""
    rng = np.random.default_rng(seed)
    rate, chance = rng.gamma(0.7, 0.4, n), rng.beta(1, 3, n)
    age = rng.integers(20, 80, n).astype(float)
    frequency, recency, now = np.zeros(n), np.zeros(n), np.zeros(n)
    going = np.arange(n)
    while len(going):
        now[going] += np.ceil(rng.exponential(1 / np.maximum(rate[going], 1e-6)))
        going = going[now[going] <= age[going]]
        frequency[going] += 1
        recency[going] = now[going]
        going = going[rng.random(len(going)) > chance[going]]
    return frame(frequency, recency, age)


@pytest.fixture(scope="module")
def customers():
    return drawn()


@pytest.fixture(scope="module", params=FITS, ids=lambda model: model.__name__)
def model(request, customers):
    return FITS[request.param](customers)


class TestSummary:
    def test_equal_customers_are_one_row(self):
        summary = summarise(frame([0, 2, 0, 2, 2], [0, 5, 0, 5, 4], [9, 9, 9, 9, 9]))
        assert len(summary) == 3
        assert summary.n_customers == 5
        rows = list(zip(summary.frequency, summary.recency, summary.T, summary.n, strict=True))
        assert sorted(rows) == [(0, 0, 9, 2), (2, 4, 9, 1), (2, 5, 9, 2)]

    @pytest.mark.parametrize("unit", [1.0, 7.0, 30.4, 1e-3])
    def test_times_in_any_unit_come_back_to_the_bit(self, unit):
        customers = drawn(500)
        scaled = customers.assign(recency=customers["recency"] / unit, T=customers["T"] / unit)
        columns, which = distinct(statistics(scaled))
        for column, name in zip(columns, ["frequency", "recency", "T"], strict=True):
            assert np.array_equal(column[which], scaled[name])
        kept, n = grouped(statistics(scaled))
        assert n.sum() == 500
        assert all(np.array_equal(a, b) for a, b in zip(kept, columns, strict=True))

    def test_it_agrees_with_pandas(self, customers):
        summary = summarise(customers)
        by_pandas = customers.groupby(["T", "recency", "frequency"]).size()
        assert len(summary) == len(by_pandas)
        found = pd.Series(summary.n, pd.MultiIndex.from_arrays([summary.T, summary.recency, summary.frequency]))
        assert (found.sort_index().to_numpy() == by_pandas.sort_index().to_numpy()).all()

    def test_integers_of_any_width_will_do(self):
        customers = drawn(300)
        assert fit_bg_nbd(customers.astype("int32")) == fit_bg_nbd(customers)

    @pytest.mark.parametrize(
        ("frequency", "recency", "age"),
        [
            (-1, 0, 5),
            (1.5, 2, 5),
            (1, 6, 5),
            (1, -1, 5),
            (0, 3, 5),
            (1, np.nan, 5),
            (np.nan, 1, 5),
            (1, 1, np.inf),
            (1, 1, np.nan),
        ],
    )
    def test_impossible_numbers_are_refused_with_their_count(self, frequency, recency, age):
        with pytest.raises(TrainingError, match="1 customers with impossible numbers"):
            fit_bg_nbd(frame([1, frequency], [1, recency], [3, age]))

    def test_nobody_is_refused(self):
        with pytest.raises(TrainingError, match="no customer"):
            fit_bg_nbd(frame([], [], []))

    def test_a_missing_column_is_named(self):
        with pytest.raises(TrainingError, match="no column T"):
            fit_pareto_nbd(pd.DataFrame({"frequency": [1], "recency": [1]}))


class TestPredictions:
    def test_shapes(self, model, customers):
        assert model.p_alive(customers).shape == (len(customers),)
        assert model.p_no_purchase(customers, HORIZONS).shape == (len(customers), 3)
        assert model.expected_purchases(customers, HORIZONS).shape == (len(customers), 3)

    def test_nobody_to_predict_is_no_error(self, model, customers):
        assert model.p_alive(customers[:0]).shape == (0,)
        assert model.p_no_purchase(customers[:0], HORIZONS).shape == (0, 3)
        assert model.expected_purchases(customers[:0], HORIZONS).shape == (0, 3)

    def test_all_horizons_in_one_pass_are_each_by_itself(self, model, customers):
        for predict in (model.p_no_purchase, model.expected_purchases):
            together = predict(customers, HORIZONS)
            for column, horizon in enumerate(HORIZONS):
                assert together[:, column] == pytest.approx(predict(customers, [horizon])[:, 0], rel=1e-9)

    def test_other_customers_change_nothing(self, model, customers):
        some = customers[::7]
        assert model.expected_purchases(some, HORIZONS) == pytest.approx(
            model.expected_purchases(customers, HORIZONS)[::7], rel=1e-12
        )

    def test_nothing_happens_in_no_time(self, model, customers):
        assert model.expected_purchases(customers, [0])[:, 0] == pytest.approx(0, abs=1e-15)
        assert model.p_no_purchase(customers, [0])[:, 0] == pytest.approx(1, abs=1e-12)

    def test_more_time_means_more_purchases(self, model, customers):
        assert (np.diff(model.expected_purchases(customers, HORIZONS), axis=1) > 0).all()
        assert (np.diff(model.p_no_purchase(customers, HORIZONS), axis=1) <= 0).all()

    def test_at_least_one_is_less_than_their_number(self, model, customers):
        some = 1 - model.p_no_purchase(customers, HORIZONS)
        assert (some <= model.expected_purchases(customers, HORIZONS) + 1e-12).all()

    def test_a_longer_silence_means_less(self, model):
        silent = frame([4] * 4, [40, 30, 20, 10], [40] * 4)
        assert (np.diff(model.p_alive(silent)) < 0).all()
        assert (np.diff(model.p_no_purchase(silent, [13])[:, 0]) > 0).all()

    def test_one_who_never_bought_again_is_alive_in_bg_nbd_alone(self, customers):
        once = frame([0], [0], [52])
        assert fit_bg_nbd(customers).p_alive(once) == pytest.approx([1.0])
        assert fit_mbg_nbd(customers).p_alive(once)[0] < 0.9


class TestIntervals:
    def test_of_parameters_hold_the_estimate(self, model):
        for name, (low, high) in model.parameter_intervals().items():
            assert low < getattr(model, name) < high

    def test_more_customers_narrow_them(self, model, customers):
        more = FITS[type(model)](pd.concat([customers] * 4))
        for name in model.PARAMETERS:
            few, many = (np.diff(np.log(one.parameter_intervals()[name]))[0] for one in (model, more))
            assert many == pytest.approx(few / 2, rel=1e-3)

    def test_a_higher_level_widens_them(self, model):
        narrow, wide = model.parameter_intervals(0.5), model.parameter_intervals(0.99)
        assert all(wide[name][0] < narrow[name][0] < narrow[name][1] < wide[name][1] for name in wide)

    def test_of_predictions_have_their_shape_and_hold_them(self, model, customers):
        def predict(one):
            return one.expected_purchases(customers[:20], HORIZONS)

        low, high = interval(model, predict)
        assert low.shape == high.shape == (20, 3)
        assert (low < predict(model)).all()
        assert (predict(model) < high).all()

    def test_the_whole_is_surer_than_its_parts(self, model, customers):
        whole = interval(model, lambda one: one.expected_purchases(customers, [13]).sum(axis=0))
        parts = interval(model, lambda one: one.expected_purchases(customers, [13])[:, 0])
        assert (whole[1] - whole[0])[0] < (parts[1] - parts[0]).sum()


class TestFacts:
    def test_a_model_returns_from_json(self, model):
        assert type(model).restore(json.loads(json.dumps(model.facts()))) == model

    def test_so_does_one_with_a_warning(self):
        model = fit_bg_nbd(frame([0] * 20, [0] * 20, range(1, 21)))
        again = BgNbd.restore(json.loads(json.dumps(model.facts())))
        assert again == model
        assert again.warning == model.warning is not None

    def test_so_does_a_model_of_spend(self):
        model = fit_gamma_gamma(spenders())
        assert GammaGamma.restore(json.loads(json.dumps(model.facts()))) == model

    def test_the_fit_tells_of_itself(self, model, customers):
        assert model.warning is None
        assert model.fit.n_customers == len(customers)
        assert model.fit.n_rows == len(customers.drop_duplicates())
        assert model.fit.log_likelihood < 0
        assert 0 < model.fit.n_iterations < 40


rng = np.random.default_rng(0)
POISSON = rng.poisson(3, 500)
EXTREMES = {
    "nobody bought again": frame([0] * 50, [0] * 50, range(1, 51)),
    "one customer": frame([2], [5], [9]),
    "one customer, one purchase": frame([0], [0], [9]),
    "all came today": frame([0, 0], [0, 0], [0, 0]),
    "all bought today": frame([1, 2, 3] * 20, [5, 6, 7] * 20, [5, 6, 7] * 20),
    "one bought a hundred thousand times": frame([100_000, 3, 0], [300, 20, 0], [365, 30, 10]),
    "all bought a hundred million times": frame([10**8] * 3 + [0], [300, 200, 100, 0], [365] * 4),
    "all alike and nobody leaves": frame(POISSON, np.where(POISSON > 0, 50, 0), [52] * 500),
    "all on the first day": frame([1, 2, 0], [0, 0, 0], [10, 10, 10]),
    "times next to nothing": frame([1, 2, 0] * 9, [1e-6, 2e-6, 0] * 9, [3e-6] * 27),
    "times without end": frame([1, 2, 0] * 9, [1e9, 2e9, 0] * 9, [3e9] * 27),
}


@pytest.mark.parametrize("what", EXTREMES)
@pytest.mark.parametrize("kind", FITS, ids=lambda kind: kind.__name__)
class TestExtremes:
    def test_are_fitted_with_a_warning_and_predicted_in_finite_numbers(self, kind, what):
        customers = EXTREMES[what]
        model = FITS[kind](customers)
        assert model.warning
        assert np.isfinite(model.parameters).all()
        assert np.isfinite(model.fit.log_likelihood)
        alive, silent = model.p_alive(customers), model.p_no_purchase(customers, [1, 100])
        assert ((alive >= 0) & (alive <= 1)).all()
        assert ((silent >= -1e-12) & (silent <= 1)).all()
        expected = model.expected_purchases(customers, [1, 100])
        assert (np.isfinite(expected) & (expected >= 0)).all()

    def test_an_interval_is_told_or_is_nan_and_never_nothing(self, kind, what):
        model = FITS[kind](EXTREMES[what])
        for low, high in model.parameter_intervals().values():
            assert (np.isnan(low) and np.isnan(high)) or 0 <= low < high


class TestWarnings:
    def test_a_boundary_fit_says_that_hardly_anybody_leaves(self):
        """Purchases to the last day at one's own rate: P(alive) is 1 for all, and no forecast of silence."""
        rng = np.random.default_rng(5)
        frequency = rng.poisson(rng.gamma(1.0, 3.0, 2_000))
        recency = np.where(frequency > 0, np.rint(52 * rng.beta(np.maximum(frequency, 1), 1)), 0)
        customers = frame(frequency, recency, np.full(2_000, 52))
        model = fit_bg_nbd(customers)
        assert "edge" in model.warning
        assert "leav" in model.warning
        assert model.p_alive(customers).mean() > 0.99
        assert model.p_no_purchase(customers, [13]).mean() > 0.4

    def test_few_customers_are_told_by_wide_intervals(self, customers):
        few, many = fit_bg_nbd(drawn(25, seed=8)), fit_bg_nbd(customers)
        for name in BgNbd.PARAMETERS:
            narrow, wide = (np.divide(*one.parameter_intervals()[name][::-1]) for one in (many, few))
            assert wide > max(2.0, 1.5 * narrow)

    def test_problems_add_up(self, model):
        once = model.fit.warned("this")
        assert once.warning == "this"
        assert once.warned("and that").warning == "this; and that"
        assert replace(model, fit=once).warning == "this"


class TestClimb:
    def bowl(self, point):
        centre = np.array([1.0, -2.0])
        return -float(((point - centre) ** 2).sum()), -2 * (point - centre), -2 * np.eye(2)

    def test_a_bowl_takes_few_steps(self):
        end = climb(self.bowl, np.array([3.0, 3.0]))
        assert end.is_clean
        assert end.point == pytest.approx([1.0, -2.0])
        assert end.n_iterations <= 4

    def test_a_slope_without_end_stops_at_the_edge_and_says_so(self):
        end = climb(lambda point: (float(point.sum()), np.ones(2), np.zeros((2, 2))), np.zeros(2))
        assert end.point == pytest.approx([BOUND, BOUND])
        assert end.at_bound.all()
        assert not end.is_clean

    @pytest.mark.parametrize("room", [1e-2, 1e-4, 1e-6, 12.0])
    def test_a_ridge_that_leaves_the_box_is_followed_to_its_edge(self, room):
        """Both rise together for ever, ever more slowly; a step that is bent at the edge would fall off the ridge."""
        calls = []

        def ridge(point):
            calls.append(point)
            across, height = point[1] - point[0] + 3.0, np.exp(-point[1])
            slope = np.array([2e5 * across, -2e5 * across + height])
            curve = np.array([[-2e5, 2e5], [2e5, -2e5 - height]])
            return round(-1e5 * across**2 - height, 9), slope, curve

        end = climb(ridge, np.array([BOUND, BOUND - 3.0]) - room)
        assert end.has_converged
        assert end.at_bound.tolist() == [True, False]
        assert end.point == pytest.approx([BOUND, BOUND - 3.0], abs=1e-6)
        assert len(calls) < 30

    def test_it_never_ends_in_a_valley(self):
        """From the edge of a saddle, where the curvature is of the wrong sign, it climbs all the same."""

        def two_hills(point):
            x = point[0]
            return -((x * x - 4) ** 2), np.array([-4 * x * (x * x - 4)]), np.array([[-12 * x * x + 16]])

        assert climb(two_hills, np.array([0.1])).point == pytest.approx([2.0], abs=1e-4)

    def test_the_best_of_several_starts_wins(self):
        def slope_and_hill(point):
            x = point[0]
            hill = 40 * np.exp(-((x - 3) ** 2))
            return -0.1 * x + hill, np.array([-0.1 - 2 * (x - 3) * hill]), np.array([[(4 * (x - 3) ** 2 - 2) * hill]])

        # The climb from the left runs off to the edge; what began on the right knows better.
        assert highest(slope_and_hill, [[-9.0], [1.5]]).point == pytest.approx([3.0], abs=0.01)

    def test_a_rough_start_saves_no_answer(self):
        def shifted(point):
            return self.bowl(point + 0.3)

        end = staged(self.bowl, shifted, [[0.0, 0.0]])
        assert end.point == pytest.approx([1.0, -2.0])
        assert end.n_iterations >= 2

    def test_few_rows_are_their_own_rough_start(self):
        """The same climb twice would find the same."""
        calls = []

        def bowl(point):
            calls.append(point)
            return self.bowl(point)

        end = staged(bowl, bowl, [[0.0, 0.0]])
        assert end.point == pytest.approx([1.0, -2.0])
        assert len(calls) <= 6


def spenders(n=1_500, seed=4):
    rng = np.random.default_rng(seed)
    frequency = rng.integers(0, 9, n)
    rate = rng.gamma(3.5, 1 / 20, n)
    mean = rng.gamma(5.0 * np.maximum(frequency, 1), 1 / (rate * np.maximum(frequency, 1)))
    return pd.DataFrame({"frequency": frequency, "monetary_value": np.where(frequency > 0, mean, np.nan)})


class TestSpend:
    def test_expectation_lies_between_the_own_mean_and_the_mean_of_all(self):
        customers = spenders()
        model = fit_gamma_gamma(customers)
        seen = customers[customers["frequency"] > 0]
        expected = model.expected_value(seen)
        low = np.minimum(seen["monetary_value"], model.mean_value)
        high = np.maximum(seen["monetary_value"], model.mean_value)
        assert ((low <= expected) & (expected <= high)).all()

    def test_without_a_purchase_it_is_the_mean_of_all(self):
        model = fit_gamma_gamma(spenders())
        nobody = pd.DataFrame({"frequency": [0, 0, 3], "monetary_value": [np.nan, 0.0, np.nan]})
        assert model.expected_value(nobody) == pytest.approx([model.mean_value] * 3)

    def test_more_purchases_weigh_more(self):
        model = fit_gamma_gamma(spenders())
        rising = model.expected_value(pd.DataFrame({"frequency": [1, 5, 50, 5000], "monetary_value": [900.0] * 4}))
        assert (np.diff(rising) > 0).all()
        assert rising[-1] == pytest.approx(900, rel=0.01)

    def test_who_spent_nothing_is_left_out_and_counted(self):
        customers = spenders()
        returned = pd.DataFrame({"frequency": [2, 3], "monetary_value": [0.0, -5.0]})
        model, more = fit_gamma_gamma(customers), fit_gamma_gamma(pd.concat([customers, returned]))
        assert more.n_left_out == model.n_left_out + 2
        assert more.parameters == pytest.approx(model.parameters)

    def test_the_unit_of_money_is_no_matter(self):
        customers = spenders()
        cents = customers.assign(monetary_value=customers["monetary_value"] * 100)
        model, in_cents = fit_gamma_gamma(customers), fit_gamma_gamma(cents)
        assert in_cents.parameters == pytest.approx(model.parameters * [1, 1, 100], rel=1e-6)
        shift = model.fit.n_customers * np.log(100)
        assert in_cents.fit.log_likelihood == pytest.approx(model.fit.log_likelihood - shift, rel=1e-9)

    def test_an_infinite_mean_is_said(self):
        rng = np.random.default_rng(1)
        rate = rng.gamma(0.6, 1.0, 2_000)
        customers = pd.DataFrame({"frequency": 4, "monetary_value": rng.gamma(8.0, 1 / rate)})
        model = fit_gamma_gamma(customers)
        assert "infinite" in model.warning
        assert np.isinf(model.mean_value)
        assert np.isfinite(model.expected_value(customers)).all()

    @pytest.mark.parametrize("money", [[5.0] * 40, [5.0], [1e-9, 1e9]])
    def test_too_little_to_learn_from_is_said(self, money):
        model = fit_gamma_gamma(pd.DataFrame({"frequency": 2, "monetary_value": money}))
        assert model.warning
        assert np.isfinite(model.parameters).all()

    def test_nobody_to_learn_from_is_refused(self):
        with pytest.raises(TrainingError, match="no repeat buyer"):
            fit_gamma_gamma(pd.DataFrame({"frequency": [0, 2], "monetary_value": [np.nan, 0.0]}))

    @pytest.mark.parametrize(("frequency", "money"), [(-1, 5.0), (np.nan, 5.0), (1, np.inf)])
    def test_impossible_numbers_are_refused(self, frequency, money):
        with pytest.raises(TrainingError, match="impossible"):
            fit_gamma_gamma(pd.DataFrame({"frequency": [frequency], "monetary_value": [money]}))

    def test_a_missing_column_is_named(self):
        with pytest.raises(TrainingError, match="monetary_value"):
            fit_gamma_gamma(pd.DataFrame({"frequency": [1]}))
