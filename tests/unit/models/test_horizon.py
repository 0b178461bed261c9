"""The horizon follows from the gaps by a fixed rule."""

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models.horizon import base_rates, choose_horizon, returned_curve


def gaps_of(days, *, is_open=False, n_gaps=1):
    return pd.DataFrame({"gap_days": days, "is_open": is_open, "n_gaps": n_gaps})


def test_curve_without_open_gaps_is_the_plain_share():
    curve = returned_curve(gaps_of([1, 2, 2, 5]))
    assert curve["days"].tolist() == [1, 2, 5]
    assert curve["returned_share"].tolist() == pytest.approx([0.25, 0.75, 1.0])


def test_open_gaps_count_only_while_they_last():
    both = pd.concat([gaps_of([1, 3]), gaps_of([2], is_open=True)])
    assert returned_curve(both)["returned_share"].tolist() == pytest.approx([1 / 3, 1.0])


def test_counted_rows_equal_repeated_rows():
    pd.testing.assert_frame_equal(
        returned_curve(gaps_of([3, 7], n_gaps=[2, 3])), returned_curve(gaps_of([3, 3, 7, 7, 7]))
    )


def test_smallest_whole_weeks_with_95_percent():
    choice = choose_horizon(gaps_of([5] * 94 + [25] * 2 + [60] * 4), history_days=365)
    assert (choice.horizon_days, choice.eligible_days, choice.is_capped) == (28, 56, False)
    assert choice.returned_by_week.set_index("days")["returned_share"].to_dict()[28] == pytest.approx(0.96)
    assert choice.gap_quantiles.set_index("share")["days"].to_dict()[0.95] == 25
    assert choice.sentence.startswith("96.0% of purchases are followed by the next one within 28 days (94.0%")


def test_one_week_is_the_least():
    choice = choose_horizon(gaps_of([1] * 100), history_days=365)
    assert choice.horizon_days == 7
    assert "(0.0% a week earlier)" in choice.sentence


def test_short_history_caps_and_says_so():
    choice = choose_horizon(gaps_of([5] * 50 + [60] * 50), history_days=100)
    assert (choice.horizon_days, choice.is_capped) == (14, True)
    assert "too short" in choice.sentence


def test_never_reaching_95_percent_caps():
    mixed = pd.concat([gaps_of([5] * 10), gaps_of([90] * 10, is_open=True)])
    choice = choose_horizon(mixed, history_days=365)
    assert (choice.horizon_days, choice.is_capped) == (56, True)
    assert choice.gap_quantiles["days"].isna().any()


def test_refusals():
    with pytest.raises(TrainingError, match="bought twice"):
        choose_horizon(gaps_of([5], is_open=True), history_days=365)
    with pytest.raises(TrainingError, match="40 days of history"):
        choose_horizon(gaps_of([5]), history_days=40)


def test_complete_journey_gives_28_days(test_data):
    sales = pd.read_parquet(
        test_data / "completejourney" / "transactions.parquet", columns=["household_id", "transaction_timestamp"]
    )
    local = sales["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.tz_localize(None)
    days = (
        sales.assign(day=local.dt.normalize())[["household_id", "day"]]
        .drop_duplicates()
        .sort_values(["household_id", "day"])
    )
    ends = days.groupby("household_id")["day"].shift(-1)
    gaps = (ends.fillna(pd.Timestamp("2018-01-01")) - days["day"]).dt.days
    choice = choose_horizon(pd.DataFrame({"gap_days": gaps, "is_open": ends.isna(), "n_gaps": 1}), history_days=365)
    assert (choice.horizon_days, choice.eligible_days) == (28, 56)
    returned = choice.returned_by_week.set_index("days")["returned_share"]
    assert returned[21] == pytest.approx(0.946, abs=0.001)
    assert returned[28] == pytest.approx(0.965, abs=0.001)


def test_base_rates_by_date():
    frame = pd.DataFrame({"as_of": np.repeat(pd.to_datetime(["2024-01-01", "2024-02-01"]), [10, 4]), "has_churned": 0})
    frame.loc[:2, "has_churned"] = 1
    rates = base_rates(frame)
    assert rates["n_customers"].tolist() == [10, 4]
    assert rates["n_churned"].tolist() == [3, 0]
    assert rates["churned_share"].tolist() == [0.3, 0.0]
    assert (rates["churned_share_low"] <= rates["churned_share"]).all()
