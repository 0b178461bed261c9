"""Where one customer stands among others."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.portrait import Standing, standing, standings

NAN = float("nan")
numbers = st.floats(-1e6, 1e6) | st.integers(0, 3).map(float)


def test_place_is_the_share_below_and_half_of_those_that_are_equal():
    found = standing("x", 2, np.array([1.0, 2, 2, 5]), least=1)
    assert (found.share_below, found.share_above, found.place, found.distance) == (0.25, 0.25, 0.5, 0.0)


@pytest.mark.parametrize(("value", "place"), [(0, 0.0), (9, 1.0)])
def test_beyond_all_others_is_an_end(value, place):
    found = standing("x", value, np.array([1.0, 2, 3]), least=1)
    assert (found.place, found.distance) == (place, 1.0)


def test_few_others_are_not_told_about():
    found = standing("x", 2, np.array([1.0, 2, NAN, NAN]), least=3)
    assert found.n_others == 2
    assert all(math.isnan(one) for one in (found.typical, found.low, found.high, found.share_below, found.place))
    assert found.value == 2


def test_unknown_of_the_customer_still_says_what_is_typical():
    found = standing("x", NAN, np.array([1.0, 2, 3]), least=3)
    assert found.typical == 2
    assert math.isnan(found.place)
    assert math.isnan(found.distance)


def test_nobody_else_is_no_error():
    assert standing("x", 1, np.array([]), least=1).n_others == 0


def test_features_come_in_the_order_asked_for():
    others = {"a": np.arange(9.0), "b": np.arange(9.0)}
    found = standings({"a": 1.0, "b": 2.0}, others, ["b", "a"], least=1)
    assert [(one.name, one.value) for one in found] == [("b", 2.0), ("a", 1.0)]
    assert isinstance(found[0], Standing)


@given(numbers, st.lists(numbers, min_size=1, max_size=40))
def test_shares_add_up_and_the_quartiles_ascend(value, others):
    found = standing("x", value, np.array(others), least=1)
    equal = sum(one == value for one in others) / len(others)
    assert found.share_below + found.share_above + equal == pytest.approx(1)
    assert 0 <= found.place <= 1
    assert found.low <= found.typical <= found.high


@given(numbers, st.lists(numbers, min_size=1, max_size=40))
def test_turning_everything_round_turns_the_place_round(value, others):
    there, back = (standing("x", sign * value, sign * np.array(others), least=1) for sign in (1, -1))
    assert there.place == pytest.approx(1 - back.place)
