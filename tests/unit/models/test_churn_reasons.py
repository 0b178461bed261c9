"""Reasons add up exactly, name what raises the risk, and speak plainly."""

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models import churn
from models.churn_reasons import effects, reasons
from models.phrases import Phrase, in_words

PHRASES = {
    "recency_days": Phrase(
        "last visit {value} ago; usually every {own}",
        "days",
        "gap_mean_days",
        "last visit {value} ago; typical {typical}",
    ),
    "n_orders_84d": Phrase("{value} orders in 84 days; typical {typical}", "count"),
    "spend_84d_cents": Phrase("spent {value}; typical {typical}", "cents"),
}


@pytest.fixture(scope="module")
def train(world):
    return world.panel()


@pytest.fixture(scope="module")
def model(world, train):
    return churn.fit(train, world.NAMES, seed=0, themes=world.THEME_OF)


@pytest.fixture(scope="module")
def found(model, train):
    return effects(model.log_odds, train, model.theme_of, train)


def test_effects_add_up_to_the_log_odds(model, train, found):
    assert found.themes.columns.tolist() == ["rhythm", "spend", "discount_share"]
    np.testing.assert_allclose(found.base + found.themes.sum(axis=1), model.log_odds(train), atol=1e-9)


def test_every_candidate_is_additive(world, train):
    for model in churn.fit_candidates(train, world.NAMES, seed=0, themes=world.THEME_OF).values():
        effects(model.log_odds, train.head(50), model.theme_of, train)


def test_a_model_that_mixes_themes_is_refused(train):
    theme_of = {"recency_days": "a", "gap_mean_days": "b"}
    known = train.dropna()
    with pytest.raises(TrainingError, match="an additive model"):
        effects(lambda X: (X["recency_days"] * X["gap_mean_days"]).to_numpy(), known, theme_of, known)


def test_typical_customer_has_no_effects(model, found):
    typical = found.typical.to_frame().T
    again = effects(model.log_odds, typical, model.theme_of, typical)
    assert np.abs(again.themes.to_numpy()).max() < 1e-12
    assert reasons(again, typical, PHRASES).tolist() == [""]


def test_silent_customer_is_told_of_the_silence(model, train):
    silent = train.dropna().assign(recency_days=50.0, gap_mean_days=5.0).head(3)
    again = effects(model.log_odds, silent, model.theme_of, train)
    texts = reasons(again, silent, {"recency_days": PHRASES["recency_days"]})
    assert texts.tolist() == ["last visit 50 days ago; usually every 5 days"] * 3
    assert texts.index.equals(silent.index)


def test_order_length_and_number(train, found):
    texts = reasons(found, train, PHRASES, n_reasons=1)
    for i in range(50):
        strongest = found.themes.iloc[i][["rhythm", "spend"]]
        is_said = (found.features.iloc[i][["recency_days", "n_orders_84d"]] > 0).any()
        if texts.iloc[i] and is_said:
            assert texts.iloc[i].startswith("spent") == (strongest.idxmax() == "spend")
    both = reasons(found, train, PHRASES)
    assert all(text in whole for text, whole in zip(texts, both, strict=True))
    assert (both.str.count("typical") <= 2).all()


def test_feature_without_phrase_is_never_named(train, found):
    assert set(reasons(found, train, {})) == {""}


def test_null_companion_falls_back():
    known = {"recency_days": 41, "gap_mean_days": None}
    assert PHRASES["recency_days"].about("recency_days", known, 6) == "last visit 41 days ago; typical 6 days"


def test_empty_frame(model, train):
    none = effects(model.log_odds, train.head(0), model.theme_of, train)
    assert len(reasons(none, train.head(0), PHRASES)) == 0


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1, "days", "1 day"),
        (9.04, "days", "9 days"),
        (9.5, "days", "9.5 days"),
        (41.2, "days", "41 days"),
        (0.335, "share", "34 %"),
        (1234567, "cents", "12,345.67"),
        (-50, "cents", "-0.50"),
        (1200, "count", "1,200"),
        (0.1234, "ratio", "0.12"),
        (np.nan, "days", "unknown"),
    ],
)
def test_numbers_in_words(value, unit, text):
    assert in_words(value, unit) == text


def test_effects_of_features_alone_equal_the_theme_where_it_is_one(found):
    pd.testing.assert_series_equal(found.features["discount_share"], found.themes["discount_share"])
