"""The churn model learns, is calibrated, survives odd frames and refuses what it cannot use."""

import json

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.metrics import roc_auc_score

from data.errors import TrainingError
from models import churn
from models.baselines import RecencyBaseline
from models.folds import customer_folds
from models.metrics import calibration_intercept

ALLOWED_TYPES = {
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils._bunch.Bunch",
}
COLUMNS = ["churn_probability", "churn_probability_low", "churn_probability_high"]


@pytest.fixture(scope="module")
def train(world):
    return world.panel()


@pytest.fixture(scope="module")
def later(world):
    return world.panel(n_customers=800, dates=pd.to_datetime(["2024-04-22"]), seed=9)


@pytest.fixture(scope="module")
def model(world, train):
    return churn.fit(train, world.NAMES, seed=0, themes=world.THEME_OF)


def test_beats_recency_on_a_later_date(model, train, later):
    y = later["has_churned"]
    ours = roc_auc_score(y, model.predict(later)["churn_probability"])
    assert ours > roc_auc_score(y, RecencyBaseline(train).predict(later))
    assert ours > roc_auc_score(y, later["true_risk"]) - 0.04


def test_keeps_the_candidate_with_the_lowest_loss(model):
    assert set(model.out_of_fold_log_loss) == {"logistic", "boosting", "blend"}
    assert model.chosen == min(model.out_of_fold_log_loss, key=model.out_of_fold_log_loss.get)


def test_interval_holds_the_probability(model, later):
    found = model.predict(later)
    assert found.columns.tolist() == COLUMNS
    assert found.index.equals(later.index)
    assert (found["churn_probability_low"] < found["churn_probability"]).all()
    assert (found["churn_probability"] < found["churn_probability_high"]).all()
    assert found.to_numpy().min() > 0
    assert found.to_numpy().max() < 1


def test_wider_level_wider_interval(model, later):
    widths = [model.predict(later, level)["churn_probability_high"] for level in (0.5, 0.9, 0.99)]
    assert (widths[0] < widths[1]).all()
    assert (widths[1] < widths[2]).all()


def test_total_is_right_out_of_fold(model, train):
    p = model.predict(train)["churn_probability"].to_numpy()
    shift = calibration_intercept(train["has_churned"].to_numpy(float), p, np.ones((1, len(p))))[0]
    assert abs(shift) < 0.1


def test_order_of_rows_and_of_columns_does_not_matter(world, train, later, model):
    shuffled = train.sample(frac=1, random_state=5)[train.columns[::-1]]
    again = churn.fit(shuffled, world.NAMES, seed=0, themes=world.THEME_OF)
    pd.testing.assert_frame_equal(again.predict(later[later.columns[::-1]]), model.predict(later), check_exact=True)


def test_unit_of_money_does_not_matter(world, train, later, model):
    dollars = {"spend_84d_cents": lambda frame: frame["spend_84d_cents"] / 100}
    again = churn.fit(train.assign(**dollars), world.NAMES, seed=0, themes=world.THEME_OF)
    np.testing.assert_allclose(again.predict(later.assign(**dollars)), model.predict(later), rtol=1e-4)


def test_names_of_customers_and_dates_do_not_matter(world, train, later, model):
    renamed = train.assign(customer_id="x" + train["customer_id"], as_of=train["as_of"] + pd.Timedelta(days=1000))
    again = churn.fit(renamed, world.NAMES, seed=0, themes=world.THEME_OF)
    pd.testing.assert_frame_equal(again.predict(later), model.predict(later), check_exact=True)


def test_restored_from_skops_and_json_it_predicts_the_same_bits(model, later):
    stored = skops.io.dumps(model.estimator)
    untrusted = skops.io.get_untrusted_types(data=stored)
    assert set(untrusted) <= ALLOWED_TYPES
    facts = json.loads(json.dumps(model.facts()))
    again = churn.ChurnModel.restore(skops.io.loads(stored, trusted=untrusted), facts)
    pd.testing.assert_frame_equal(again.predict(later), model.predict(later), check_exact=True)
    assert again.theme_of == model.theme_of


@pytest.mark.parametrize("n_rows", [0, 1])
def test_few_rows(model, later, n_rows):
    found = model.predict(later.head(n_rows))
    assert found.shape == (n_rows, 3)
    pd.testing.assert_frame_equal(found, model.predict(later).head(n_rows))


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_a_column_that_says_nothing_does_no_harm(world, train, later, value):
    odd = {"discount_share": value}
    found = churn.fit(train.assign(**odd), world.NAMES, seed=0).predict(later.assign(**odd))["churn_probability"]
    assert roc_auc_score(later["has_churned"], found) > 0.6


def test_a_column_null_for_everybody_is_left_out(world, train):
    known = churn.fit(train.assign(discount_share=np.nan), world.NAMES, seed=0)
    assert known.names == tuple(name for name in world.NAMES if name != "discount_share")
    with pytest.raises(TrainingError, match="every feature is null"):
        churn.fit(train.assign(discount_share=np.nan), ["discount_share"], seed=0)


def test_a_null_never_seen_in_training_is_scored(model, later):
    found = model.predict(later.assign(recency_days=np.nan))
    assert np.isfinite(found.to_numpy()).all()


def test_refuses_other_features(model, later):
    with pytest.raises(TrainingError, match="lacks discount_share"):
        model.predict(later.drop(columns="discount_share"))


def test_refuses_infinity(model, later):
    with pytest.raises(TrainingError, match="infinite values in recency_days"):
        model.predict(later.assign(recency_days=np.inf))


@pytest.mark.parametrize("label", [0, 1])
def test_refuses_one_class(world, train, label):
    with pytest.raises(TrainingError, match="has_churned holds the values"):
        churn.fit(train.assign(has_churned=label), world.NAMES, seed=0)


def test_refuses_one_customer(world, train):
    one = train.head(4).assign(customer_id="same", has_churned=[0, 1, 0, 1])
    with pytest.raises(TrainingError, match="1 customers"):
        churn.fit(one, world.NAMES, seed=0)


def test_themes_by_family():
    families = {"recency_days": "recency", "gap_mean_days": "rhythm", "spend_28d_cents": "monetary", "age": "profile"}
    assert churn.themes_by_family(families) == {
        "recency_days": "rhythm",
        "gap_mean_days": "rhythm",
        "spend_28d_cents": "spend",
        "age": "age",
    }


def test_folds_never_split_a_customer(train):
    seen = []
    for fit_rows, test_rows in customer_folds(train):
        ids = train["customer_id"]
        assert not set(ids.iloc[fit_rows]) & set(ids.iloc[test_rows])
        seen.extend(test_rows.tolist())
    assert sorted(seen) == list(range(len(train)))
