"""Key accounts: concentration with its interval, health, and what changed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from models.accounts import HEALTH, Before, concentration, key_accounts


def accounts(**changes: list[object]) -> pd.DataFrame:
    """Return four accounts in good health, with some columns changed."""
    usual: dict[str, list[object]] = {
        "customer_id": ["a", "b", "c", "d"],
        "spend_364d_cents": [400_00, 300_00, 200_00, 100_00],
        "spend_84d_cents": [100_00, 80_00, 50_00, 25_00],
        "recency_days": [3, 4, 5, 6],
        "tenure_days": [800, 800, 800, 800],
        "gap_mean_days": [7.0, 7.0, 7.0, 7.0],
        "n_open_cases": [0, 0, 0, 0],
        "churn_probability": [0.05, 0.05, 0.05, 0.05],
        "lifecycle_state": ["active"] * 4,
    }
    return pd.DataFrame(usual | changes)


class TestConcentration:
    def test_of_equal_customers_a_tenth_holds_a_tenth(self):
        found = concentration(pd.Series([5.0] * 100)).set_index("measure")
        assert found["value"].round(9).to_dict() == {
            "top 1 %": 0.01,
            "top 5 %": 0.05,
            "top 10 %": 0.10,
            "top 20 %": 0.20,
            "gini": 0,
        }

    def test_one_customer_who_holds_all_but_crumbs(self):
        found = concentration(pd.Series([1e9] + [1.0] * 99)).set_index("measure")["value"]
        assert found["top 1 %"] == pytest.approx(1, abs=1e-6)
        assert found["gini"] == pytest.approx(0.99, abs=1e-6)

    def test_gini_is_the_mean_difference_over_twice_the_mean(self):
        x = np.random.default_rng(1).gamma(0.7, 100, 200)
        by_hand = np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())
        found = concentration(pd.Series(x)).set_index("measure")["value"]
        assert found["gini"] == pytest.approx(by_hand)
        assert found["top 10 %"] == pytest.approx(np.sort(x)[-20:].sum() / x.sum())

    def test_who_spends_nothing_or_sends_back_is_not_counted(self):
        spend = pd.Series([5.0] * 100)
        more = pd.concat([spend, pd.Series([0.0, -3.0, np.nan])], ignore_index=True)
        pd.testing.assert_frame_equal(concentration(more), concentration(spend))

    def test_unit_and_order_do_not_matter(self):
        x = pd.Series(np.random.default_rng(1).gamma(0.7, 100, 200))
        pd.testing.assert_frame_equal(concentration(x * 100), concentration(x.sample(frac=1, random_state=1)))

    def test_few_customers_have_no_concentration(self):
        found = concentration(pd.Series([1.0] * 9))
        assert found[["value", "low", "high"]].isna().all(axis=None)

    def test_intervals_cover_as_often_as_they_say(self):
        """Spends are log-normal, of which Gini and the shares of the top are known."""
        sd, rng = 0.8, np.random.default_rng(2)
        truth = {f"top {round(100 * q)} %": stats.norm.sf(stats.norm.isf(q) - sd) for q in (0.05, 0.10, 0.20)}
        truth["gini"] = 2 * stats.norm.cdf(sd / np.sqrt(2)) - 1
        inside: dict[str, list[bool]] = {name: [] for name in truth}
        for _ in range(300):
            found = concentration(pd.Series(rng.lognormal(0, sd, 800))).set_index("measure")
            for name, value in truth.items():
                inside[name].append(found.loc[name, "low"] <= value <= found.loc[name, "high"])
        for name, found_inside in inside.items():
            assert 0.84 <= np.mean(found_inside) <= 0.96, name


class TestAccounts:
    def test_the_highest_spend_of_a_year_comes_first_and_ties_go_by_id(self):
        frame = accounts(spend_364d_cents=[100, 300, 300, 0])
        found = key_accounts(frame, n_accounts=3)
        assert found["customer_id"].tolist() == ["b", "c", "a"]
        assert found["rank"].tolist() == [1, 2, 3]
        assert found["spend_share"].tolist() == pytest.approx([3 / 7, 3 / 7, 1 / 7])

    def test_accounts_are_healthy_unless_something_speaks_against_it(self):
        found = key_accounts(accounts())
        assert found["health"].unique().tolist() == ["healthy"]
        assert found["reasons"].unique().tolist() == [""]

    def test_one_sign_is_watched_two_are_a_risk(self):
        found = key_accounts(
            accounts(
                n_open_cases=[1, 0, 0, 2],
                spend_84d_cents=[100_00, 20_00, 50_00, 5_00],
                lifecycle_state=["active", "active", "lapsed", "active"],
            )
        ).set_index("customer_id")
        assert found["health"].to_dict() == {"a": "watch", "b": "watch", "c": "lapsed", "d": "at risk"}
        assert found.loc["a", "reasons"] == "an open case"
        assert found.loc["b", "reasons"] == "spend 76% below its own pace"
        assert found.loc["d", "reasons"] == "spend 82% below its own pace; 2 open cases"
        assert set(found["health"]) <= set(HEALTH)

    def test_a_likely_leaver_is_at_risk(self):
        found = key_accounts(accounts(churn_probability=[0.5, 0.49, np.nan, 0.1]))
        assert found["health"].tolist() == ["at risk", "healthy", "healthy", "healthy"]
        assert found["reasons"].iloc[0] == "chance of leaving 50%"

    def test_silence_is_told_against_the_own_rhythm(self):
        found = key_accounts(
            accounts(lifecycle_state=["slipping", "active", "active", "active"], recency_days=[21, 4, 5, 6])
        )
        assert found["reasons"].iloc[0] == "silent for 3.0 times the usual gap"

    def test_a_newcomer_has_no_pace_of_its_own(self):
        found = key_accounts(accounts(tenure_days=[100, 800, 800, 800], spend_84d_cents=[1, 80_00, 50_00, 25_00]))
        assert np.isnan(found["spend_change"].iloc[0])
        assert found["health"].iloc[0] == "healthy"

    def test_pace_is_that_of_the_time_before_for_who_is_no_customer_for_a_year(self):
        """168 days: 300 in the first 84, 100 in the last."""
        found = key_accounts(accounts(tenure_days=[168, 800, 800, 800]))
        assert found["spend_change"].iloc[0] == pytest.approx(100 / 300 - 1)

    def test_missing_columns_of_feedback_or_chance_say_nothing(self):
        found = key_accounts(accounts().drop(columns=["n_open_cases", "churn_probability"]))
        assert found["n_open_cases"].tolist() == [0] * 4
        assert found["churn_probability"].isna().all()

    def test_nobody_who_spends_gives_no_accounts(self):
        assert key_accounts(accounts(spend_364d_cents=[0, 0, 0, None])).empty


class TestChanges:
    def test_what_changed_is_said_and_nothing_else(self):
        before = accounts(
            spend_364d_cents=[390_00, 380_00, 150_00, 100_00],
            lifecycle_state=["active", "slipping", "active", "active"],
            n_open_cases=[1, 0, 0, 0],
        )
        found = key_accounts(accounts(), Before(before, "6 May")).set_index("customer_id")["changed"]
        assert found.to_dict() == {
            "a": "open cases 0, were 1",
            "b": "active, was slipping; year's spend down 21%",
            "c": "year's spend up 33%",
            "d": "",
        }

    def test_places_are_those_among_everybody(self):
        before = accounts(spend_364d_cents=[400_00, 100_00, 200_00, 300_00], tenure_days=[100] * 4)
        found = key_accounts(accounts(), Before(before, "6 May")).set_index("customer_id")["changed"]
        assert found.to_dict() == {"a": "", "b": "place 2, was 4", "c": "", "d": "place 4, was 2"}

    def test_who_was_not_there_before_is_new(self):
        found = key_accounts(accounts(), Before(accounts()[1:], "6 May"))["changed"]
        assert found.iloc[0] == "new since 6 May"

    def test_a_year_that_was_not_whole_then_is_not_compared(self):
        before = accounts(spend_364d_cents=[100_00, 90_00, 80_00, 70_00], tenure_days=[200] * 4)
        assert key_accounts(accounts(), Before(before, "6 May"))["changed"].tolist() == [""] * 4

    def test_without_an_earlier_date_nothing_is_said(self):
        assert key_accounts(accounts())["changed"].unique().tolist() == [""]
