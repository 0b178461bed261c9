"""A labelled flat table of words and numbers trains, explains itself and refuses what it cannot use."""

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.metrics import roc_auc_score

from data.errors import TrainingError
from models import churn
from models.churn_reasons import effects, reasons
from models.churn_table import MOST_LEVELS, OTHER, read_labelled
from models.folds import label_folds

ALLOWED_TYPES = {
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils._bunch.Bunch",
}


def subscribers(n=900, seed=0):
    rng = np.random.default_rng(seed)
    plan = rng.choice(["monthly", "one year", "two years"], n, p=[0.6, 0.25, 0.15])
    months = rng.integers(0, 72, n)
    truth = -0.5 + 1.2 * (plan == "monthly") - 0.04 * months
    return pd.DataFrame(
        {
            "id": [f"k{i:04d}" for i in range(n)],
            "plan": plan,
            "months": months,
            "total": [f"{m * 20.5:.2f}" if m else " " for m in months],
            "name": [f"person {i}" for i in range(n)],
            "country": "here",
            "is_senior": rng.random(n) < 0.2,
            "left": np.where(rng.random(n) < 1 / (1 + np.exp(-truth)), "Yes", "No"),
        }
    )


@pytest.fixture(scope="module")
def raw():
    return subscribers()


@pytest.fixture(scope="module")
def table(raw):
    return read_labelled(raw, "left", "id")


@pytest.fixture(scope="module")
def model(table):
    return churn.fit(table.frame, table.names, seed=0, categories=table.categories)


def test_reads_words_numbers_and_what_to_leave_out(table, raw):
    assert table.names == ("plan", "months", "total", "is_senior")
    assert dict(table.levels) == {"plan": ("monthly", "one year", "two years")}
    assert dict(table.left_out) == {"name": "differs for most customers", "country": "one value only"}
    assert table.frame["total"].isna().equals(raw["total"] == " ")
    assert table.frame["has_churned"].sum() == (raw["left"] == "Yes").sum()


def test_learns_and_encodes_new_customers(table, model):
    new = subscribers(600, seed=7)
    said = model.predict(table.encode(new))
    assert roc_auc_score(new["left"] == "Yes", said["churn_probability"]) > 0.7
    assert said["churn_probability"].mean() == pytest.approx((new["left"] == "Yes").mean(), abs=0.05)
    assert (said["churn_probability_low"] < said["churn_probability_high"]).all()
    assert model.band.shift_sd == 0


def test_order_of_rows_and_number_of_threads_do_not_matter(raw, table, model):
    shuffled = read_labelled(raw.sample(frac=1, random_state=3), "left", "id")
    assert shuffled.levels == table.levels
    again = churn.fit(shuffled.frame, shuffled.names, seed=0, categories=shuffled.categories)
    pd.testing.assert_frame_equal(again.predict(table.frame), model.predict(table.frame), check_exact=True)


def test_a_word_never_seen_is_borne(table, model):
    new = subscribers(5).assign(plan=["weekly", None, "monthly", " ", "two years"])
    coded = table.encode(new)
    assert coded["plan"].isna().tolist() == [True, True, False, True, False]
    assert np.isfinite(model.predict(coded).to_numpy()).all()


def test_reasons_are_exact_and_in_words(table, model):
    found = effects(model.log_odds, table.frame, model.theme_of, table.frame, model.categories)
    np.testing.assert_allclose(found.base + found.themes.sum(axis=1), model.log_odds(table.frame), atol=1e-9)
    assert found.typical["plan"] == 0
    texts = reasons(found, table.frame, table.phrases())
    young = table.frame.index[(table.frame["months"] == 2) & (table.frame["plan"] == 0)][0]
    assert "months is 2 (typical" in texts[young] or "total is 41 (typical" in texts[young]
    loyal = table.frame.index[(table.frame["months"] > 60) & (table.frame["plan"] == 2)]
    assert not texts[loyal].str.contains("plan").any()


def test_is_saved_as_the_types_that_are_loaded(model):
    assert set(skops.io.get_untrusted_types(data=skops.io.dumps(model.estimator))) <= ALLOWED_TYPES


def test_many_levels_are_kept_to_a_number(raw):
    rng = np.random.default_rng(1)
    crowded = raw.assign(city=[f"town {i:03d}" for i in rng.integers(0, 200, len(raw))])
    levels = read_labelled(crowded, "left", "id").levels["city"]
    assert len(levels) == MOST_LEVELS
    assert levels[-1] == OTHER
    coded = read_labelled(crowded, "left", "id").encode(crowded.assign(city="never seen"))
    assert (coded["city"] == MOST_LEVELS - 1).all()


@pytest.mark.parametrize(
    ("words", "n_left"), [(["0", "1"], 1), ([True, False], 1), (["Attrited Customer", "Existing"], 1), ([0.0, 1.0], 1)]
)
def test_reads_labels_of_many_kinds(words, n_left):
    rows = pd.DataFrame({"x": [1.0, 2.0], "label": words})
    assert read_labelled(rows, "label").frame["has_churned"].sum() == n_left


@pytest.mark.parametrize("words", [["a", "b"], ["yes", "yes"], ["yes", None], ["yes", "true"]])
def test_refuses_labels_that_cannot_be_told_apart(words):
    with pytest.raises(TrainingError, match="the label says"):
        read_labelled(pd.DataFrame({"x": [1.0, 2.0], "label": words}), "label")


def test_refuses_repeated_ids_and_empty_tables(raw, table):
    with pytest.raises(TrainingError, match="1 repeated ids"):
        read_labelled(pd.concat([raw, raw.head(1)]), "left", "id")
    with pytest.raises(TrainingError, match="no column"):
        read_labelled(raw[["id", "left", "country"]], "left", "id")
    with pytest.raises(TrainingError, match="lacks months"):
        table.encode(raw.drop(columns="months"))


def test_folds_hold_the_share_of_leavers_and_no_customer_twice():
    y = np.array([0] * 80 + [1] * 20)
    for customers in (np.arange(100), np.arange(100) // 2):
        folds = label_folds(y, customers, seed=0)
        assert sorted(np.concatenate([test for _, test in folds])) == list(range(100))
        assert all(3 <= y[test].sum() <= 5 for _, test in folds)
        assert all(not set(customers[train]) & set(customers[test]) for train, test in folds)
    with pytest.raises(TrainingError, match="1 customers"):
        label_folds([0, 0, 1], ["a", "b", "c"], seed=0)
