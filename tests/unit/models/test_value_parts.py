"""The pieces of the value model, each against a truth worked out by hand or simulated."""

import json

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models.btyd import fit_pareto_nbd
from models.value_candidates import stretched
from models.value_history import Histories, statistics
from models.value_interval import RootBand, fit_band
from models.value_parts import Outcome, Said, exposed, fit_parts, say
from models.value_season import Levels


def shop(n=400, seed=0):
    rng = np.random.default_rng(seed)
    tenure = rng.integers(30, 300, n)
    purchases = 1 + rng.poisson(rng.gamma(1, 0.02, n) * tenure)
    recency = np.where(purchases > 1, (tenure * rng.random(n) * 0.5).astype(int) + 1, tenure)
    columns = {"n_purchase_days": purchases, "tenure_days": tenure, "recency_days": recency}
    return pd.DataFrame({**columns, "spend_total_cents": purchases * rng.integers(500, 5000, n)})


@pytest.fixture(scope="module")
def histories():
    return Histories.fit(shop())


class TestHistories:
    def test_statistics_by_hand(self):
        rows = pd.DataFrame(
            {
                "n_purchase_days": [1, 3, 2, np.nan],
                "tenure_days": [10, 50, 40, np.nan],
                "recency_days": [10, 11, 40, np.nan],
                "spend_total_cents": [500, 600, -20, np.nan],
            }
        )
        found = statistics(rows)
        assert found["frequency"].tolist() == [0, 2, 1, 0]
        assert found["recency"].tolist() == [0, 39, 0, 0]
        assert found["T"].tolist() == [9, 49, 39, 0]
        assert found["monetary_value"].fillna(-1).tolist() == [500, 200, -1, -1]

    def test_first_purchase_must_not_follow_the_last(self):
        row = {"n_purchase_days": [2], "tenure_days": [5], "recency_days": [9], "spend_total_cents": [1]}
        with pytest.raises(TrainingError, match="before the first"):
            statistics(pd.DataFrame(row))

    def test_are_those_of_the_room(self, histories):
        seen = statistics(shop())
        expected = fit_pareto_nbd(seen).expected_purchases(seen, [28])[:, 0]
        np.testing.assert_allclose(histories.expected(shop(), "pareto_nbd", 28).purchases, expected)

    def test_nobody_known_is_expected_to_buy_nothing(self, histories):
        nobody = shop(1).assign(n_purchase_days=0, tenure_days=np.nan, recency_days=np.nan)
        found = histories.expected(nobody, "bg_nbd", 28)
        assert (found.purchases[0], found.silence[0]) == (0, 1)

    def test_survive_json(self, histories):
        again = Histories.restore(json.loads(json.dumps(histories.facts())))
        for kind in ("bg_nbd", "mbg_nbd", "pareto_nbd"):
            one, two = (each.expected(shop(50, 3), kind, 28) for each in (histories, again))
            np.testing.assert_array_equal(one.spend, two.spend)

    def test_too_few_repeat_buyers_give_none(self):
        assert not Histories.can_fit(shop(30).assign(n_purchase_days=1), shop(1).columns)
        assert not Histories.can_fit(shop(), ["recency_days"])
        assert Histories.can_fit(shop(), shop(1).columns)


class TestParts:
    def made(self, n=4000, seed=0):
        rng = np.random.default_rng(seed)
        X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n)})
        chance = 1 / (1 + np.exp(-X["a"].to_numpy()))
        bought = (rng.random(n) < chance).astype(float)
        wealth = np.exp(rng.normal(7, 1.2, n))
        spend = wealth * np.exp(0.5 * (X["b"].to_numpy() > 0)) * rng.gamma(4, 0.25, n)
        net = np.where(bought > 0, np.where(rng.random(n) < 0.05, -spend, spend), np.where(rng.random(n) < 0.1, -50, 0))
        return X, Outcome(bought, bought, net), exposed(wealth), chance

    def test_totals_are_right_where_returns_outweigh_some_purchases(self):
        X, outcome, exposure, _ = self.made()
        estimator, parts = fit_parts(X, outcome, exposure, np.ones(len(X)), seed=0)
        new, truth, exposure, chance = self.made(seed=1)
        found = say(estimator, parts, new, exposure, np.ones(len(new)))
        assert (truth.net < 0).any()
        assert parts.lost_share > 0
        assert parts.returned_share > 0
        assert found.net.sum() == pytest.approx(truth.net.sum(), rel=0.1)
        assert np.corrcoef(found.probability, chance)[0, 1] > 0.97

    def test_who_does_not_ask_how_often_hears_the_same_of_money(self):
        X, outcome, exposure, _ = self.made(600)
        often = np.ones(len(X))
        whole, money = (fit_parts(X, outcome, exposure, asked, seed=0) for asked in (often, None))
        found, same = say(*whole, X, exposure, often), say(*money, X, exposure, often)
        assert np.isfinite(found.purchases).all()
        assert np.isnan(same.purchases).all()
        np.testing.assert_array_equal(same.net, found.net)

    def test_nobody_is_no_error(self):
        X, outcome, exposure, _ = self.made(600)
        estimator, parts = fit_parts(X, outcome, exposure, np.ones(len(X)), seed=0)
        assert say(estimator, parts, X.head(0), exposure[:0], exposure[:0]).net.shape == (0,)

    def test_a_feature_that_no_buyer_has_is_no_error(self):
        X, outcome, exposure, _ = self.made(600)
        X = X.assign(c=np.where(outcome.bought > 0, np.nan, 1.0))
        estimator, parts = fit_parts(X, outcome, exposure, np.ones(len(X)), seed=0)
        assert np.isfinite(say(estimator, parts, X, exposure, np.ones(len(X))).net).all()

    def test_exposure_is_never_nil(self):
        assert exposed(np.array([0.0, 100.0])).tolist() == [1.0, 100.0]
        assert exposed(np.zeros(2)).tolist() == [1.0, 1.0]


class TestBand:
    @pytest.mark.parametrize("n_rows", [150, 2000])
    def test_covers_amounts_with_many_zeros_and_net_returns(self, n_rows):
        rng = np.random.default_rng(n_rows)

        def draw(n):
            mean = np.exp(rng.normal(8, 1, n))
            spend = np.where(rng.random(n) < 0.6, mean / 0.6 * rng.gamma(2, 0.5, n), 0)
            return np.where(rng.random(n) < 0.03, -0.2 * mean, spend), mean

        shares = []
        for _ in range(20):
            band = fit_band(*draw(n_rows))
            truth, mean = draw(4000)
            low, high = band.around(mean)
            shares.append(((low <= truth) & (truth <= high)).mean())
        assert 0.87 <= np.mean(shares) <= 0.93

    def test_survives_json_and_keeps_few_rows_honest(self):
        band = fit_band(np.arange(5.0), np.arange(5.0))
        assert RootBand.restore(json.loads(json.dumps(band.facts()))) == band
        assert band.around(np.ones(1)) == (-np.inf, np.inf)


class TestSeason:
    def test_last_years_peak_is_believed_by_half(self):
        as_ofs = pd.to_datetime(["2023-01-01", "2023-03-01", "2023-06-01"]).repeat(2)
        levels = Levels.of(as_ofs, np.array([4.0, 4, 1, 1, 1, 1]), np.ones(6))
        season = levels.at(pd.Timestamp("2023-12-31"))
        assert season.factor == pytest.approx((4 ** (2 / 3)) ** 0.5)
        assert season.n_years == 1
        assert f"{season.factor:.2f}" in season.sentence

    @pytest.mark.parametrize("as_of", [pd.Timestamp("2023-07-01"), 3])
    def test_without_a_year_there_is_none_and_it_is_said(self, as_of):
        levels = Levels.of(pd.to_datetime(["2023-01-01", "2023-06-01"]), np.array([1.0, 3]), np.ones(2))
        assert levels.at(as_of).factor == 1
        assert levels.at(as_of).sentence.startswith("No season correction")

    def test_survives_json(self):
        levels = Levels(("2023-01-01",), (2.0,))
        assert Levels.restore(json.loads(json.dumps(levels.facts()))) == levels


def test_other_horizons_follow_the_history():
    base = Said(np.array([0.5]), np.array([100.0]), np.array([50.0]), np.array([1.0]))
    twice = stretched(base, None, None, 2.0)
    assert (twice.probability[0], twice.net[0], twice.purchases[0]) == (0.75, 100.0, 2.0)
    assert twice.if_buying[0] * twice.probability[0] == pytest.approx(twice.net[0])
    assert stretched(base, None, None, 1.0) is base
