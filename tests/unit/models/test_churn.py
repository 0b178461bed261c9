"""The churn model learns, is calibrated, survives odd frames and refuses what it cannot use."""

import json

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.metrics import roc_auc_score

from data.errors import TrainingError
from models import churn, churn_parts
from models.baselines import RecencyBaseline
from models.folds import customer_folds
from models.metrics import calibration_intercept

ALLOWED_TYPES = {
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils._bunch.Bunch",
}
COLUMNS = ["churn_probability", "churn_probability_low", "churn_probability_high"]


@pytest.fixture(scope="module", autouse=True)
def small_boosting():
    """Shorten the boosting: what is asked here holds for any length."""
    whole = churn_parts.boosting
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(churn_parts, "boosting", lambda *known: whole(*known).set_params(max_iter=60, learning_rate=0.1))
        yield


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
    assert set(model.out_of_fold_log_loss) == {"recency", "logistic", "boosting", "blend"}
    assert model.chosen == min(model.out_of_fold_log_loss, key=model.out_of_fold_log_loss.get)
    assert model.forward_log_loss == {}


def test_with_a_horizon_candidates_are_judged_ahead_in_time_as_well(world, train):
    candidates = churn.fit_candidates(train, world.NAMES, seed=0, themes=world.THEME_OF, horizon_days=28)
    one = candidates["blend"]
    assert set(one.forward_log_loss) == set(candidates)
    losses = {name: one.out_of_fold_log_loss[name] + one.forward_log_loss[name] for name in candidates}
    assert churn.choose(candidates).chosen == min(losses, key=losses.get)
    # A first date whose label window ends after the last date begins would tell of the future.
    late = churn.fit_candidates(train, world.NAMES, seed=0, themes=world.THEME_OF, horizon_days=85)
    assert late["blend"].forward_log_loss == {}


def test_the_date_ahead_is_not_trained_on(world, train):
    """Labels of the last date turned round make the loss ahead worse, and nothing else of that fit."""
    is_last = train["as_of"] == train["as_of"].max()
    turned = train.assign(has_churned=train["has_churned"].where(~is_last, ~train["has_churned"].astype(bool)))
    found = [
        churn.fit_candidates(rows, world.NAMES, seed=0, themes=world.THEME_OF, horizon_days=28)["logistic"]
        for rows in (train, turned.astype({"has_churned": int}))
    ]
    assert found[1].forward_log_loss["recency"] > found[0].forward_log_loss["recency"] + 0.05


def test_a_risk_never_falls_as_silence_grows(model, later):
    """The field knows the direction, so the trees must keep to it."""
    trees = dict(model.estimator.named_estimators_)["boosting"]
    columns = later[list(model.names)].astype(float)
    longer = columns.assign(recency_days=columns["recency_days"] + 7)
    assert (trees.decision_function(longer) >= trees.decision_function(columns) - 1e-12).all()


def test_a_column_that_stood_still_in_training_moves_nothing_far(world, train, later):
    """A ridge on a column without spread would multiply the first value that differs."""
    still = train.assign(discount_share=0.5 + 1e-9 * (np.arange(len(train)) % 2))
    one = churn.fit_candidates(still, world.NAMES, seed=0)["logistic"]
    assert np.abs(one.log_odds(later) - one.log_odds(later.assign(discount_share=0.5))).max() < 1


def test_more_rows_than_enough_are_thinned_by_whole_customers(world, train, later, model, monkeypatch):
    monkeypatch.setattr(churn, "ENOUGH_ROWS", len(train) // 3)
    kept = train.iloc[churn.enough(train)]
    assert len(kept) == len(train) // 3
    assert set(kept.groupby("customer_id").size()) == {4}
    few = churn.fit(train, world.NAMES, seed=0, themes=world.THEME_OF).predict(later)["churn_probability"]
    assert few.corr(model.predict(later)["churn_probability"]) > 0.8


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
