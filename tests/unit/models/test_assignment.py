"""Draws: the same for ever, balanced where it matters, households together, each chance as stated; and their checks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.assignment import draw_arms, soundness, strata_of

THREE = {"control": 0.5, "mail": 0.3, "call": 0.2}


IMPOSSIBLE = [
    ("", THREE),
    ("x", {"mail": 1.0}),
    ("x", {"control": 0.5, "mail": 0.4}),
    ("x", {"control": 1.0, "mail": 0.0}),
]


def people(n, strata=1, size=1):
    ids = [f"{number:05d}" for number in range(n)]
    frame = pd.DataFrame({"customer_id": ids, "stratum": np.resize([f"s{i}" for i in range(strata)], n)})
    frame["household_id"] = [f"h{number // size}" for number in range(n)] if size > 1 else None
    return frame


class TestDraw:
    def test_the_same_whatever_the_order_and_who_else_asks(self):
        first = draw_arms(people(500, 3), "spring", THREE)
        again = draw_arms(people(500, 3).sample(frac=1, random_state=0), "spring", THREE)
        assert first.equals(again)
        assert not first["arm"].equals(draw_arms(people(500, 3), "summer", THREE)["arm"])

    @settings(max_examples=30, deadline=None)
    @given(n=st.integers(3, 300), strata=st.integers(1, 5), salt=st.text(min_size=1, max_size=5))
    def test_every_stratum_is_split_as_evenly_as_it_can_be(self, n, strata, salt):
        drawn = draw_arms(people(n, strata), salt, THREE)
        assert len(drawn) == n
        for _, part in drawn.groupby("stratum"):
            for arm, share in THREE.items():
                assert abs((part["arm"] == arm).sum() - share * len(part)) < 2

    def test_each_customer_has_the_chance_that_is_stated(self):
        frame = people(7)
        hits = np.column_stack([draw_arms(frame, f"salt {i}", THREE)["arm"] for i in range(600)])
        for arm, share in THREE.items():
            assert (hits == arm).mean(axis=1) == pytest.approx(share, abs=0.075)
        assert draw_arms(frame, "x", THREE)["propensity"].tolist() == [0.5] * 7

    def test_households_stay_together(self):
        drawn = draw_arms(people(400, strata=2, size=3), "spring", THREE)
        assert drawn.groupby("household_id")["arm"].nunique().max() == 1
        assert soundness(drawn, THREE).n_split_households == 0

    def test_who_has_no_household_is_one(self):
        frame = people(200)
        frame.loc[:9, "household_id"] = "together"
        drawn = draw_arms(frame, "spring", THREE)
        assert drawn.loc[:9, "arm"].nunique() == 1
        assert drawn["household_id"].isna().sum() == 190
        assert drawn["arm"].nunique() == 3

    def test_draws_of_two_campaigns_say_nothing_of_each_other(self):
        one, other = (draw_arms(people(8_000), salt, {"control": 0.5, "mail": 0.5})["arm"] for salt in ("a", "b"))
        assert abs((one == other).mean() - 0.5) < 0.03

    @pytest.mark.parametrize(("salt", "shares"), IMPOSSIBLE)
    def test_impossible_draws_are_refused(self, salt, shares):
        with pytest.raises(ValueError, match="a salt, and shares"):
            draw_arms(people(4), salt, shares)

    def test_a_customer_twice_is_refused(self):
        with pytest.raises(ValueError, match="every customer_id once"):
            draw_arms(pd.concat([people(3), people(3)]), "x", THREE)


class TestSoundness:
    def test_a_sound_draw_raises_no_doubt(self):
        found = soundness(draw_arms(people(5_000), "spring", THREE), THREE)
        assert found.doubts == ()
        assert found.ratio_p_value > 0.9

    def test_lost_customers_are_noticed(self):
        drawn = draw_arms(people(5_000), "spring", THREE)
        lost = drawn[(drawn["arm"] != "mail") | (np.arange(5_000) % 5 > 0)]
        assert any("lost or added" in doubt for doubt in soundness(lost, THREE).doubts)

    def test_chance_alone_is_seldom_doubted(self):
        rng = np.random.default_rng(0)
        drawn = [pd.DataFrame({"arm": rng.choice(list(THREE), 500, p=list(THREE.values()))}) for _ in range(400)]
        assert sum(bool(soundness(one, THREE).doubts) for one in drawn) <= 3

    def test_contact_of_the_control_arm_and_torn_households_are_told(self):
        drawn = pd.DataFrame({"arm": ["control", "mail", "control", "mail"], "household_id": ["h", "h", None, None]})
        drawn["contacted_at"] = pd.to_datetime(["2024-01-01", None, None, "2024-01-01"])
        found = soundness(drawn, {"control": 0.5, "mail": 0.5})
        assert (found.n_contaminated, found.n_unreached, found.n_split_households) == (1, 1, 1)
        assert "1 of 2 customers of the control arm were contacted" in found.doubts
        assert "1 households have members in several arms" in found.doubts

    def test_nobody_drawn_is_no_doubt(self):
        assert soundness(pd.DataFrame({"arm": pd.Series(dtype="str")}), THREE).doubts == ()


def test_strata_are_fifths_and_equals_stay_together():
    assert strata_of(np.arange(10.0)).tolist() == ["1", "1", "2", "2", "3", "3", "4", "4", "5", "5"]
    assert strata_of([0.0, 0.0, 0.0, 9.0]).nunique() == 2
    assert strata_of([]).empty
