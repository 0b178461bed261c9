"""Where history is cut: at Mondays, whose label windows do not overlap and are over."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from data.errors import UserError
from pipelines.observe import _refuse_old, cut_dates
from pipelines.run import Run, local_midnight
from pipelines.settings import Churn, Company, Settings

FIRST_AT = datetime(2022, 1, 1, 12)


def a_night(day: date, timezone: str = "America/New_York", eligible_days: int = 56) -> Run:
    churn = Churn(eligible_days=eligible_days, n_training_dates=4)
    settings = Settings(root=Path("unused"), company=Company(timezone=timezone), churn=churn)
    return Run(settings, local_midnight(day, timezone), "source")


@pytest.mark.parametrize("timezone", ["America/New_York", "Pacific/Auckland", "America/Santiago"])
@pytest.mark.parametrize("horizon_days", [7, 28, 45])
def test_dates_stay_for_a_week_and_their_label_windows_are_over(timezone, horizon_days):
    days = [date(2024, 2, 26) + timedelta(days=n) for n in range(50)]
    for day in days:
        run = a_night(day, timezone)
        found = cut_dates(run, horizon_days, FIRST_AT)
        dates = [run.local_day(at) for at in (*found.training, found.judging)]
        assert {(later - earlier).days for earlier, later in pairwise(dates)} == {horizon_days}
        assert 0 <= (day - (dates[-1] + timedelta(days=horizon_days))).days < 7
        assert (dates[-1] + timedelta(days=horizon_days)).weekday() == 0
        if day.weekday():
            assert found == cut_dates(a_night(day - timedelta(days=1), timezone), horizon_days, FIRST_AT)


def test_a_monday_counts_from_its_own_midnight():
    """So does the demo's night of 2018-01-01."""
    found = cut_dates(a_night(date(2018, 1, 1)), 28, datetime(2017, 1, 1))
    assert found.judging == datetime(2017, 12, 4, 5)
    assert found.training[-1] == datetime(2017, 11, 6, 5)


def test_whole_weeks_are_cut_at_midnights_of_mondays_across_the_change_of_clocks():
    found = cut_dates(a_night(date(2024, 4, 18)), 28, FIRST_AT)
    local = [at.replace(tzinfo=UTC).astimezone(ZoneInfo("America/New_York")) for at in (*found.training, found.judging)]
    assert {(at.weekday(), at.hour, at.minute) for at in local} == {(0, 0, 0)}
    assert len({at.utcoffset() for at in local}) == 2


@pytest.mark.parametrize("day", [date(2024, 4, 15), date(2024, 4, 17), date(2024, 4, 21)])
def test_a_history_too_short_names_the_days_that_suffice(day):
    run = a_night(day, "UTC", eligible_days=20)
    with pytest.raises(UserError) as told:
        cut_dates(run, 14, run.as_of - timedelta(days=30))
    n_days = int(told.value.expected.split()[2])
    assert n_days == 20 + 3 * 14 + day.weekday()
    assert len(cut_dates(run, 14, run.as_of - timedelta(days=n_days)).training) == 2
    with pytest.raises(UserError):
        cut_dates(run, 14, run.as_of - timedelta(days=n_days, microseconds=-1))


def test_lines_that_end_before_the_judged_weeks_name_the_night_that_has_them():
    """Who points at last year's export and asks for tonight would else be told that everybody left."""
    run = a_night(date(2024, 4, 17), "UTC")
    judging = datetime(2024, 3, 18)
    _refuse_old(run, judging, judging)
    with pytest.raises(UserError, match=r"newest line is of 2024-03-17.*night of 2024-04-17.*--as-of 2024-03-18"):
        _refuse_old(run, judging - timedelta(seconds=1), judging)
