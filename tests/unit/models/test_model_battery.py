"""One battery for every trained model: shapes, odd frames, repeated fits and threads."""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from data.errors import TrainingError
from models import churn, value


def fit_churn(world, train, names=None, seed=0):
    return churn.fit(train, names or world.NAMES, seed=seed, themes=world.THEME_OF)


def fit_value(world, train, names=None, seed=0):
    return value.fit(train, names or world.NAMES, horizon_days=28, seed=seed)


MODELS = pytest.mark.parametrize("fit", [fit_churn, fit_value], ids=["churn", "value"])


@pytest.fixture(scope="module")
def train(world):
    return world.panel(n_customers=150)


@pytest.fixture(scope="module")
def later(world):
    return world.panel(n_customers=60, dates=pd.to_datetime(["2024-04-22"]), seed=4)


@MODELS
def test_one_row_equals_its_row_among_many(world, train, later, fit):
    model = fit(world, train)
    whole = model.predict(later)
    single = pd.concat([model.predict(later.iloc[[i]]) for i in range(5)])
    pd.testing.assert_frame_equal(single, whole.head(5), check_exact=False, rtol=1e-12)


@MODELS
def test_rows_may_come_in_any_order(world, train, later, fit):
    model = fit(world, train)
    shuffled = later.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(model.predict(shuffled).sort_index(), model.predict(later), rtol=1e-12)


@MODELS
def test_same_seed_same_bits_on_any_number_of_threads(world, train, later, fit):
    with threadpool_limits(1):
        one = fit(world, train).predict(later)
    with threadpool_limits(2):
        two = fit(world, train).predict(later)
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@MODELS
def test_training_frame_is_left_as_it_was(world, train, fit):
    before = train.copy(deep=True)
    fit(world, train)
    pd.testing.assert_frame_equal(train, before)


@MODELS
@pytest.mark.parametrize("names", [["recency_days"], ["recency_days", "discount_share"]])
def test_few_features(world, train, later, fit, names):
    found = fit(world, train, names=names).predict(later)
    assert np.isfinite(found.iloc[:, 0]).all()


@MODELS
@pytest.mark.parametrize("kind", ["constant", "nearly_null", "flag", "huge", "integer_with_null"])
def test_odd_columns(world, train, later, fit, kind):
    def odd(frame):
        column = {
            "constant": lambda: 7,
            "nearly_null": lambda: np.where(frame["customer_id"] == "c00001", 1.0, np.nan),
            "flag": lambda: frame["recency_days"] > 5,
            "huge": lambda: frame["discount_share"] * 1e15,
            "integer_with_null": lambda: frame["n_orders_84d"].astype("Int64").mask(frame["recency_days"] > 20),
        }[kind]()
        return frame.assign(discount_share=column)

    found = fit(world, odd(train)).predict(odd(later))
    assert np.isfinite(found.iloc[:, 0]).all()


@MODELS
def test_further_columns_are_ignored(world, train, later, fit):
    noise = {"extra": "text", "other": 1}
    found = fit(world, train.assign(**noise)).predict(later.assign(**noise))
    pd.testing.assert_frame_equal(found, fit(world, train).predict(later), check_exact=True)


@MODELS
@pytest.mark.parametrize("missing", ["recency_days", "spend_84d_cents"])
def test_training_without_a_feature_names_it(world, train, fit, missing):
    with pytest.raises(TrainingError, match=f"lacks {missing}"):
        fit(world, train.drop(columns=missing))


@MODELS
def test_text_is_refused(world, train, fit):
    with pytest.raises(TrainingError, match="not a number"):
        fit(world, train.assign(discount_share="much"))


@MODELS
def test_infinity_is_refused(world, train, fit):
    with pytest.raises(TrainingError, match="infinite values in discount_share"):
        fit(world, train.assign(discount_share=-np.inf))


@MODELS
def test_one_date_is_enough(world, train, later, fit):
    single = train[train["as_of"] == train["as_of"].min()]
    found = fit(world, single).predict(later)
    assert np.isfinite(found.iloc[:, 0]).all()


@MODELS
def test_score_of_a_doubled_frame_is_doubled(world, train, later, fit):
    model = fit(world, train)
    twice = pd.concat([later, later], ignore_index=True)
    found = model.predict(twice)
    pd.testing.assert_frame_equal(
        found.iloc[: len(later)].reset_index(drop=True), found.iloc[len(later) :].reset_index(drop=True)
    )
