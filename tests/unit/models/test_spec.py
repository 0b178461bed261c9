"""A specification meets the registry in names; frames are checked before they reach an estimator."""

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models.churn import SPEC as CHURN
from models.metrics import AMOUNT_METRICS, METRICS
from models.spec import ModelSpec, binary_label, design
from models.value import SPEC as VALUE


@pytest.mark.parametrize("spec", [CHURN, VALUE])
def test_shipped_specifications_name_known_measures(spec):
    known = METRICS | AMOUNT_METRICS
    assert set(spec.metrics) <= set(known)
    assert known[spec.gate_metric].is_higher_better is not None


def test_no_list_means_every_feature():
    spec = ModelSpec("m", "y", "recency_days", ("auc",), "auc")
    assert spec.resolve(["n_orders", "recency_days"]) == ("n_orders", "recency_days")


@pytest.mark.parametrize("spec", [CHURN, VALUE])
def test_shipped_specifications_list_their_features_once_and_with_the_baseline(spec):
    assert len(set(spec.features)) == len(spec.features)
    assert spec.baseline in spec.features
    assert not set(spec.features) & {"age_years", "first_seen_days", "loyalty_days", "n_contracts"}


def test_a_list_keeps_its_order():
    spec = ModelSpec("m", "y", "a", ("auc",), "auc", features=("b", "a"))
    assert spec.resolve(["a", "b", "c"]) == ("b", "a")


@pytest.mark.parametrize("available", [["n_orders"], []])
def test_unknown_names_are_refused(available):
    with pytest.raises(TrainingError, match="recency_days"):
        CHURN.resolve(available)


def test_design_orders_columns_and_types():
    frame = pd.DataFrame({"flag": [True, False], "extra": ["x", "y"], "n": pd.array([1, None], dtype="Int64")})
    found = design(frame, ("n", "flag"))
    assert found.columns.tolist() == ["n", "flag"]
    assert (found.dtypes == "float64").all()
    assert np.isnan(found["n"].iloc[1])


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        ({"a": [1.0]}, "lacks b"),
        ({"a": [1.0], "b": ["text"]}, "not a number"),
        ({"a": [1.0], "b": [np.inf]}, "infinite values in b"),
    ],
)
def test_design_refuses(frame, found):
    with pytest.raises(TrainingError, match=found):
        design(pd.DataFrame(frame), ("a", "b"))


@pytest.mark.parametrize("values", [[0, 0], [1, 1], [0, 2], [0.0, None], []])
def test_label_needs_both_classes_and_nothing_else(values):
    with pytest.raises(TrainingError, match="holds the values"):
        binary_label(pd.DataFrame({"y": pd.array(values, dtype="Float64")}), "y")


def test_label_may_be_a_flag():
    assert binary_label(pd.DataFrame({"y": [True, False]}), "y").tolist() == [1, 0]
