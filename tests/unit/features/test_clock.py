"""Local days and instants."""

from datetime import UTC, date, datetime, timedelta

import ibis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ConfigError
from features.clock import as_of_table, check_instants, local_date, shift

ZONES = ["America/New_York", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia", "UTC"]
at = datetime.fromisoformat
INSTANTS = st.datetimes(min_value=at("2000-01-01"), max_value=at("2030-01-01"))


@pytest.mark.parametrize(
    ("instant", "timezone", "day"),
    [
        ("2018-01-01T04:59:59.999999", "America/New_York", date(2017, 12, 31)),
        ("2018-01-01T05:00", "America/New_York", date(2018, 1, 1)),
        ("2017-07-01T04:00", "America/New_York", date(2017, 7, 1)),
        ("2020-02-28T23:00", "Europe/Berlin", date(2020, 2, 29)),
        ("2020-02-29T12:00", "Asia/Kolkata", date(2020, 2, 29)),
    ],
)
def test_local_date(instant: str, timezone: str, day: date) -> None:
    assert local_date(at(instant), timezone) == day


@pytest.mark.parametrize(
    ("instant", "days", "timezone", "moved"),
    [
        ("2017-03-12T05:00", 1, "America/New_York", "2017-03-13T04:00"),
        ("2017-11-05T04:00", 1, "America/New_York", "2017-11-06T05:00"),
        ("2018-01-01T05:00", -252, "America/New_York", "2017-04-24T04:00"),
        ("2020-02-28T23:00", 1, "Europe/Berlin", "2020-02-29T23:00"),
        ("2017-03-11T07:30", 1, "America/New_York", "2017-03-12T07:30"),
        ("2017-11-05T06:30", 0, "America/New_York", "2017-11-05T06:30"),
        ("2018-11-03T03:00", 1, "America/Sao_Paulo", "2018-11-04T03:00"),
    ],
)
def test_shift_keeps_the_wall_clock(instant: str, days: int, timezone: str, moved: str) -> None:
    assert shift(at(instant), days, timezone) == at(moved)


@given(INSTANTS, st.sampled_from(ZONES))
def test_shift_by_nothing_is_nothing(instant: datetime, timezone: str) -> None:
    assert shift(instant, 0, timezone) == instant


@given(INSTANTS, st.integers(1, 400), st.sampled_from(ZONES))
def test_shift_moves_about_as_many_days_and_never_back(instant: datetime, days: int, timezone: str) -> None:
    moved = shift(instant, days, timezone)
    # One zone skipped a whole day, with its summer hour on top; all others change by an hour or so.
    assert abs(moved - instant - timedelta(days=days)) <= timedelta(hours=26)
    assert moved >= instant


def test_the_table_is_sorted_and_typed() -> None:
    table = as_of_table([at("2018-01-01T05:00"), at("2017-07-01T04:00")], "America/New_York")
    assert str(table.schema()["as_of"]) == "timestamp(6)"
    assert ibis.duckdb.connect().to_pyarrow(table)["as_of_on"].to_pylist() == [date(2017, 7, 1), date(2018, 1, 1)]


@pytest.mark.parametrize(
    "as_ofs",
    [[], [at("2018-01-01"), at("2018-01-01")], [datetime(2018, 1, 1, tzinfo=UTC)]],
    ids=["none", "twice", "aware"],
)
def test_instants_that_cannot_serve(as_ofs: list[datetime]) -> None:
    with pytest.raises(ConfigError, match="naive UTC instants"):
        check_instants(as_ofs)


@pytest.mark.parametrize("timezone", ["Mars/Olympus", "", "../etc"])
def test_a_zone_that_does_not_exist(timezone: str) -> None:
    with pytest.raises(ConfigError, match="IANA"):
        local_date(at("2018-01-01"), timezone)
