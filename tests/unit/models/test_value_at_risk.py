"""Value at risk: of one customer, of many, and what may be added up."""

import numpy as np
import pandas as pd
import pytest

from models.value_at_risk import LevelError, level_error, value_at_risk

ENDS = ["value_at_risk_low_cents", "value_at_risk_high_cents"]


def scores(n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    p, value = rng.uniform(0.02, 0.6, n), rng.gamma(2, 4_000, n)
    return pd.DataFrame(
        {
            "churn_probability": p,
            "churn_probability_low": p * 0.8,
            "churn_probability_high": np.minimum(p * 1.2, 0.99),
            "expected_value_cents": value,
            "expected_value_low_cents": value * 0.2,
            "expected_value_high_cents": value * 2.5,
        }
    )


def of(frame: pd.DataFrame, groups: object = "all", **given: object) -> pd.DataFrame:
    return value_at_risk(frame, pd.Series(groups, index=frame.index), seed=1, **given).set_index("group")


class TestSums:
    def test_the_value_is_the_sum_of_chance_times_margin(self):
        frame = scores()
        row = of(frame).loc["all"]
        assert row["value_at_risk_cents"] == pytest.approx(
            (frame["churn_probability"] * frame["expected_value_cents"]).sum()
        )
        assert row["expected_leavers"] == pytest.approx(frame["churn_probability"].sum())
        assert row["value_cents"] == pytest.approx(frame["expected_value_cents"].sum())
        assert row["n_customers"] == len(frame)

    def test_the_interval_of_a_sum_is_narrower_than_the_sum_of_intervals(self):
        frame = scores()
        one_each = of(frame, [f"c{i:03d}" for i in range(len(frame))])
        together = of(frame).loc["all"]
        assert np.ptp(together[ENDS]) < 0.6 * np.ptp(one_each[ENDS].sum())

    def test_what_is_shared_does_not_even_out_however_many_there_are(self):
        widths = []
        for n in (200, 20_000):
            row = of(scores(n)).loc["all"]
            widths.append(np.ptp(row[ENDS]) / row["value_at_risk_cents"])
        assert widths[1] > 0.25
        assert widths[1] > 0.7 * widths[0]

    def test_without_any_error_there_is_no_interval(self):
        frame = scores()
        for name in ("churn_probability", "expected_value"):
            ends = ("_low", "_high") if name == "churn_probability" else ("_low_cents", "_high_cents")
            value = frame[name if name == "churn_probability" else "expected_value_cents"]
            frame = frame.assign(**{f"{name}{end}": value for end in ends})
        row = of(frame).loc["all"]
        assert np.ptp(row[ENDS]) < 1e-6 * row["value_at_risk_cents"]

    def test_a_group_does_not_depend_on_the_others_nor_on_the_order_of_rows(self):
        frame = scores()
        groups = pd.Series(np.where(frame.index < 100, "a", "b"))
        both = value_at_risk(frame, groups, seed=1).set_index("group")
        alone = value_at_risk(frame[:100], groups[:100], seed=1).set_index("group")
        pd.testing.assert_series_equal(both.loc["a"], alone.loc["a"])
        shuffled = frame.sample(frac=1, random_state=2)
        again = value_at_risk(shuffled, groups.loc[shuffled.index], seed=1).set_index("group")
        pd.testing.assert_frame_equal(again, both)

    def test_an_error_of_level_widens_the_interval(self):
        narrow, wide = (of(scores(), level_error=error).loc["all"] for error in (None, LevelError(0.2, 6)))
        assert np.ptp(wide[ENDS]) > 1.3 * np.ptp(narrow[ENDS])


class TestUnknown:
    def test_who_has_no_chance_or_no_group_is_left_out(self):
        frame = scores(4)
        frame.loc[0, "churn_probability"] = np.nan
        found = value_at_risk(frame, pd.Series(["a", "a", None, "b"]), seed=1)
        assert found.set_index("group")["n_customers"].to_dict() == {"a": 1, "b": 1}

    def test_a_margin_without_a_bound_leaves_the_group_without_one(self):
        frame = scores(3)
        frame.loc[1, "expected_value_high_cents"] = np.nan
        found = value_at_risk(frame, pd.Series(["a", "b", "b"]), seed=1).set_index("group")
        assert found.loc["b", ENDS].isna().all()
        assert found.loc["a", ENDS].notna().all()
        assert found["value_at_risk_cents"].notna().all()

    def test_nobody_with_a_chance_gives_no_groups(self):
        assert of(scores(3).assign(churn_probability=np.nan)).empty

    def test_nullable_numbers_are_read(self):
        frame = scores(3).round()
        frame["expected_value_cents"] = frame["expected_value_cents"].astype("Int64")
        assert len(of(frame)) == 1

    def test_a_negative_margin_is_no_gain_from_leaving(self):
        """A customer who costs more than he brings takes from the value at risk; the ends stay in order."""
        frame = scores(2)
        frame.loc[0, ["expected_value_cents", "expected_value_low_cents", "expected_value_high_cents"]] = [
            -500,
            -900,
            300,
        ]
        found = of(frame, ["a", "b"])
        assert found.loc["a", "value_at_risk_cents"] < 0
        assert (found[ENDS[0]] <= found["value_at_risk_cents"]).all()
        assert (found["value_at_risk_cents"] <= found[ENDS[1]]).all()


class TestLevel:
    def test_a_constant_offset_is_no_error_and_a_changing_one_is(self):
        past = pd.DataFrame({"as_of": [1, 2, 3, 4], "rule": [100] * 4, "spend": [100, 120, 80, 100]})
        found = level_error(past, "rule", "spend")
        assert found.n_dates == 4
        assert found.log_sd == pytest.approx(np.std(np.log([1, 1.2, 0.8, 1]), ddof=1))
        assert level_error(past.assign(spend=past["rule"] * 3), "rule", "spend").log_sd == pytest.approx(0)

    def test_two_dates_say_nothing(self):
        past = pd.DataFrame({"as_of": [1, 2, 3], "rule": [100, 100, 0], "spend": [100, 200, 5]})
        assert level_error(past, "rule", "spend") == LevelError()
