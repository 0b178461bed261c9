"""A season that past years show is carried over, one that they do not is left alone and said to be."""

import numpy as np
import pandas as pd
import pytest

from models import churn
from models.churn_season import Season, fit_season

DATES = pd.date_range("2021-01-01", "2023-12-01", freq="MS")


def shop(rng, dates, swing, n=300):
    """Draw customers whose base rate swings with the year."""
    frames = []
    for date in dates:
        a = rng.normal(size=n)
        truth = -1.0 + a + swing * np.cos(2 * np.pi * date.day_of_year / 365.25)
        left = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(int)
        columns = {"a": a, "b": rng.normal(size=n), "truth": 1 / (1 + np.exp(-truth)), "has_churned": left}
        frames.append(pd.DataFrame({"customer_id": [f"c{i:04d}" for i in range(n)], "as_of": date, **columns}))
    return pd.concat(frames, ignore_index=True)


def season(rng, swing, dates=DATES):
    rows = shop(rng, dates, swing)
    return fit_season(rows["has_churned"].to_numpy(), 1 / (1 + np.exp(1 - rows["a"].to_numpy())), rows["as_of"])


def test_finds_the_same_weeks_of_past_years():
    found = season(np.random.default_rng(1), 0.8)
    assert found.at(pd.Timestamp("2024-01-05")) == pytest.approx(0.8, abs=0.2)
    assert found.at(pd.Timestamp("2024-07-03")) == pytest.approx(-0.8, abs=0.2)
    # The swing is .57; what is left is what 300 customers a date cannot tell.
    assert found.shift_sd < 0.2


def test_a_world_without_seasons_is_hardly_moved():
    shifts = [np.abs(list(season(np.random.default_rng(seed), 0.0).shifts.values())).max() for seed in range(5)]
    assert np.mean(shifts) < 0.1


def test_less_than_a_year_says_nothing_and_says_so():
    found = season(np.random.default_rng(2), 0.8, DATES[:6])
    assert found.at(pd.Timestamp("2021-09-01")) is None
    assert "no past year" in found.told(pd.Timestamp("2021-09-01"))
    assert found.shift_sd is None
    assert "more left" in found.told(pd.Timestamp("2022-01-10"))


def test_rows_take_the_shift_of_their_date():
    found = Season({"2023-01-01T00:00:00": 0.5})
    dates = pd.Series(pd.to_datetime(["2024-01-03", "2024-06-01", "2023-01-01"]))
    np.testing.assert_array_equal(found.of(dates), [0.5, np.nan, np.nan])
    assert Season.restore(found.facts()) == found


def test_calibration_survives_the_season():
    """Trained on two years, judged in the third winter and summer: the total is right with the season only."""
    rng, errors = np.random.default_rng(5), {True: [], False: []}
    train = shop(rng, pd.date_range("2021-01-01", "2022-12-01", freq="2MS"), 0.7, n=250)
    model = churn.fit(train, ["a", "b"], seed=0, horizon_days=28)
    inside, widths = [], []
    for date in pd.to_datetime(["2023-01-04", "2023-07-02"]):
        new = shop(rng, [date], 0.7, n=4000)
        for has_season in (True, False):
            found = model.predict(new if has_season else new.drop(columns="as_of"))
            errors[has_season].append(abs(found["churn_probability"].mean() - new["truth"].mean()))
            widths.append((found["churn_probability_high"] - found["churn_probability_low"]).mean())
            if has_season:
                inside.append(new["truth"].mean() >= found["churn_probability_low"].mean())
    assert max(errors[True]) < 0.04 < min(errors[False])
    assert all(inside)
    assert widths[0] < widths[1], "what past years explain need not be in the interval"
