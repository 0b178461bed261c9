"""The value model beats trailing spend or steps back for it, and its interval is calibrated where it says."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import skops.io

from models import value
from models.baselines import trailing_value
from models.metrics import root_squared_error
from models.value_season import Levels


@pytest.fixture(scope="module")
def train(world):
    return world.panel()


@pytest.fixture(scope="module")
def later(world):
    return world.panel(n_customers=1000, dates=pd.to_datetime(["2024-04-22"]), seed=9)


@pytest.fixture(scope="module")
def model(world, train):
    return value.fit(train, world.NAMES, horizon_days=28, seed=0)


def error(frame, expected):
    return root_squared_error(frame["spend_cents"].to_numpy(float), np.asarray(expected), np.ones((1, len(frame))))[0]


def test_beats_trailing_spend_on_a_later_date(model, later):
    stayed = value.staying(later)
    trailing = trailing_value(stayed, "spend_84d_cents", 84, 28)
    assert model.chosen in {"two_part", "blend"}
    assert error(stayed, model.expected_cents(stayed)) < error(stayed, trailing)


def test_total_is_about_right(model, later):
    stayed = value.staying(later)
    assert model.expected_cents(stayed).sum() == pytest.approx(stayed["spend_cents"].sum(), rel=0.1)


def test_interval_holds_the_expectation(model, later):
    found = model.predict(later)
    assert found.index.equals(later.index)
    assert (found["expected_spend_low_cents"] <= found["expected_spend_cents"]).all()
    assert (found["expected_spend_cents"] <= found["expected_spend_high_cents"]).all()


def test_trailing_is_kept_where_nothing_beats_it(world, train):
    exact = train.assign(spend_cents=np.where(train["has_churned"], 0, train["spend_84d_cents"] / 3))
    kept = value.fit(exact, ["discount_share"], horizon_days=28, seed=0)
    assert (kept.chosen, kept.estimator) == ("trailing", None)
    np.testing.assert_allclose(kept.expected_cents(exact), exact["spend_84d_cents"] / 3)


def test_unit_of_money_does_not_matter(world, train, later, model):
    def hundredfold(frame):
        return frame.assign(spend_cents=frame["spend_cents"] * 100, spend_84d_cents=frame["spend_84d_cents"] * 100)

    again = value.fit(hundredfold(train), world.NAMES, horizon_days=28, seed=0)
    np.testing.assert_allclose(again.predict(hundredfold(later)), model.predict(later) * 100, rtol=1e-6)


def test_conformalise_moves_the_interval_only(model, later):
    noisy = later.assign(spend_cents=later["spend_cents"] * np.random.default_rng(0).choice([0.2, 5], size=len(later)))
    again = model.conformalise(noisy)
    np.testing.assert_array_equal(again.expected_cents(later), model.expected_cents(later))
    width = [m.predict(later).eval("expected_spend_high_cents - expected_spend_low_cents") for m in (model, again)]
    assert (width[1] > width[0]).all()


def test_conformal_ranks_by_hand():
    spend, expected = np.arange(1, 20.0) ** 3, np.zeros(19)
    assert value.root_interval(spend, expected, 0.9) == pytest.approx((1, 19))
    assert value.root_interval(spend[:10], expected[:10], 0.9) == (-np.inf, np.inf)


def test_restored_from_skops_and_json_it_predicts_the_same_bits(model, later):
    stored = skops.io.dumps(model.estimator)
    facts = json.loads(json.dumps(model.facts()))
    again = value.ValueModel.restore(skops.io.loads(stored, trusted=skops.io.get_untrusted_types(data=stored)), facts)
    pd.testing.assert_frame_equal(again.predict(later), model.predict(later), check_exact=True)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_few_rows(model, later, n_rows):
    assert model.predict(later.head(n_rows)).shape == (n_rows, 3)


def test_a_history_without_spend_leaves_the_simple_rule_and_an_interval_from_labels(world, train, later):
    """Lines without money have no value to learn; all other questions have their answers."""
    simple = value.fit(train.assign(spend_cents=-5), world.NAMES, horizon_days=28, seed=0)
    assert (simple.chosen, simple.estimator) == ("trailing", None)
    again = value.ValueModel.restore(None, json.loads(json.dumps(simple.facts())))
    assert not np.isfinite(again.predict(later)["expected_spend_high_cents"]).any()
    told = again.conformalise(later).predict(later)
    assert np.isfinite(told).all(axis=None)
    pd.testing.assert_series_equal(
        told["expected_spend_cents"], pd.Series(simple.expected_cents(later)), check_names=False
    )


def test_net_returns_count_as_nothing(later):
    assert trailing_value(pd.DataFrame({"spend_84d_cents": [-300, 300]}), "spend_84d_cents", 84, 28).tolist() == [
        0,
        100,
    ]


def test_forecast_of_all_horizons_adds_up(model, later):
    found = model.forecast(later, [7, 28, 56])
    assert (found["p_purchase_7d"] < found["p_purchase_28d"]).all()
    np.testing.assert_allclose(found["net_spend_56d_cents"], 2 * found["net_spend_28d_cents"])
    assert found["net_spend_56d_low_cents"].isna().all()
    assert found["net_spend_28d_cents"].sum() == pytest.approx(later["spend_cents"].sum(), rel=0.1)
    inside = later["spend_cents"].between(found["net_spend_28d_low_cents"], found["net_spend_28d_high_cents"])
    assert 0.85 <= inside.mean() <= 0.95


def test_another_horizon_has_an_interval_once_labelled(model, later):
    labelled = later.assign(spend_56=later["spend_cents"] * 2)
    found = model.calibrated_for(labelled, 56, "spend_56").forecast(later, [56])
    inside = labelled["spend_56"].between(found["net_spend_56d_low_cents"], found["net_spend_56d_high_cents"])
    assert inside.mean() == pytest.approx(0.9, abs=0.02)


def test_net_returns_are_not_cut_off(world, train):
    returned = train.assign(spend_cents=np.where(train["has_churned"], -500, train["spend_cents"]))
    found = value.fit(returned, world.NAMES, horizon_days=28, seed=0)
    assert found.parts.returned_share > 0
    assert found.forecast(returned)["net_spend_28d_cents"].sum() == pytest.approx(
        returned["spend_cents"].sum(), rel=0.1
    )


def test_season_of_last_year_moves_the_level(world, model, later):
    peak = dataclasses.replace(model, levels=Levels(("2023-04-24", "2024-01-01"), (4.0, 1.0)))
    np.testing.assert_allclose(peak.expected_cents(later), model.expected_cents(later) * 4**0.25)
    assert model.season(later["as_of"].iloc[0]).factor == 1
