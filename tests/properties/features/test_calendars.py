"""Clocks that change at midnight, over it, by half an hour or by a day: one calendar for DuckDB, Python and us."""

from datetime import UTC, date, datetime, timedelta
from types import ModuleType
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.contracts import CONTRACTS
from data.contracts.base import Delivery
from features.clock import local_date, shift
from features.labels import labels
from features.matrix import to_frame

# Days on which the clocks change: at midnight, back over midnight, at one o'clock, by half an hour, never, by a day.
CHANGES = {
    "America/Sao_Paulo": [date(2018, 2, 18), date(2018, 11, 4)],
    "America/Asuncion": [date(2018, 3, 25), date(2018, 10, 7)],
    "America/Havana": [date(2018, 3, 11), date(2018, 11, 4)],
    "America/St_Johns": [date(2010, 3, 14), date(2010, 11, 7)],
    "Asia/Beirut": [date(2018, 3, 25), date(2018, 10, 28)],
    "Asia/Amman": [date(2018, 3, 30), date(2018, 10, 26)],
    "Africa/Cairo": [date(2014, 5, 16), date(2014, 9, 26)],
    "Atlantic/Azores": [date(2018, 3, 25), date(2018, 10, 28)],
    "Australia/Lord_Howe": [date(2018, 4, 1), date(2018, 10, 7)],
    "Africa/Casablanca": [date(2018, 5, 13), date(2018, 6, 17)],
    "Asia/Tokyo": [date(2018, 1, 1)],
    "Pacific/Apia": [date(2011, 12, 30)],
}
NIGHTS = [(zone, day) for zone, days in CHANGES.items() for day in days]
IDS = [f"{zone} {day}" for zone, day in NIGHTS]


def midnight(day: date, zone: str) -> datetime:
    """Return the instant at which a local day begins, at whatever hour the clocks then show."""
    local = datetime.combine(day, datetime.min.time(), ZoneInfo(zone))
    return local.astimezone(UTC).replace(tzinfo=None)


def wall_clock(instant: datetime, zone: str) -> datetime:
    return instant.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@pytest.mark.parametrize(("zone", "day"), NIGHTS, ids=IDS)
def test_the_border_writes_the_wall_clock_that_features_read(zone, day):
    """Every quarter of an hour in the week around the change: DuckDB's time zones against those of Python."""
    begins = midnight(day, zone) - timedelta(days=3)
    formula = CONTRACTS["transactions"].derived["local_time"](Delivery(begins, timezone=zone))
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT event_time, {formula} FROM (SELECT CAST(? AS TIMESTAMP) + INTERVAL (15 * i) MINUTE AS event_time "
            "FROM range(7 * 96) t(i))",
            [begins],
        ).fetchall()
    assert [(instant, wall_clock(instant, zone)) for instant, _ in rows] == rows


@pytest.mark.parametrize(("zone", "day"), NIGHTS, ids=IDS)
def test_a_shift_by_days_stays_at_midnight_through_the_change(zone, day):
    for n_days in range(-3, 4):
        there = shift(midnight(day - timedelta(days=5), zone), 5 + n_days, zone)
        assert there == midnight(day + timedelta(days=n_days), zone)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(CHANGES)),
    st.datetimes(datetime(2005, 1, 1), datetime(2030, 1, 1)),
    st.integers(-800, 800),
    st.integers(-800, 800),
)
def test_shifts_keep_the_order_of_instants_and_the_count_of_days(zone, instant, first, second):
    near, far = (shift(instant, days, zone) for days in sorted((first, second)))
    assert near <= far
    assert (near == far) == (first == second) or zone == "Pacific/Apia"
    asked = local_date(instant, zone) + timedelta(days=first)
    found = local_date(shift(instant, first, zone), zone)
    # A wall time that a change skips moves on by as much, at worst into the next day.
    assert found - asked in {timedelta(0), timedelta(days=1)}
    assert shift(instant, 0, zone) == instant


# Without the day that Samoa left out.
@pytest.mark.parametrize(("zone", "day"), NIGHTS[:-1], ids=IDS[:-1])
def test_recency_counts_calendar_days_however_long_they_were(worlds: ModuleType, zone: str, day: date):
    """At local midnight the first and the last instant of a day have the same age: yesterday is 1."""
    as_of = midnight(day + timedelta(days=1), zone)
    edges = {}
    for age in (1, 2, 3):
        bought = day - timedelta(days=age - 1)
        edges[f"{age} first"] = midnight(bought, zone)
        edges[f"{age} last"] = midnight(bought + timedelta(days=1), zone) - timedelta(microseconds=1)
    lines = [worlds.line(name, at, local_time=wall_clock(at, zone)) for name, at in edges.items()]
    found = worlds.compute(worlds.frames(lines), [as_of], ["recency_days", "n_orders_7d"], timezone=zone)
    assert found["recency_days"].tolist() == [1, 1, 2, 2, 3, 3]
    assert found["n_orders_7d"].eq(1).all()


@pytest.mark.parametrize(("zone", "day"), NIGHTS, ids=IDS)
def test_a_label_window_of_a_week_holds_seven_calendar_days(worlds: ModuleType, zone: str, day: date):
    as_of = midnight(day - timedelta(days=3), zone)
    known = worlds.line("c", as_of - timedelta(days=9), local_time=wall_clock(as_of - timedelta(days=9), zone))
    end = midnight(day + timedelta(days=4), zone)
    instants = [as_of + n * timedelta(hours=1) for n in range(9 * 24)]
    lines = [worlds.line("c", at, local_time=wall_clock(at, zone), amount_cents=1) for at in instants]
    tables = worlds.load(worlds.connect(), worlds.frames([known, *lines]))
    found = to_frame(labels(tables, [as_of], zone, 7, observed_until=end + timedelta(days=5)))
    assert found["n_purchase_days"].item() == 7 - (zone == "Pacific/Apia")
    assert found["spend_cents"].item() == sum(at < end for at in instants)


def test_a_clock_that_goes_back_over_midnight_makes_no_day_of_tomorrow(worlds: ModuleType):
    """St. John's, until 2011: at one past midnight it was 23:01 of the day before, which was then still to come."""
    zone = "America/St_Johns"
    change = datetime(2010, 11, 7, 2, 31)
    early = change - timedelta(seconds=30)
    assert wall_clock(early, zone).date() == date(2010, 11, 7)
    assert wall_clock(change, zone).date() == date(2010, 11, 6)
    lines = [worlds.line("c", at, local_time=wall_clock(at, zone)) for at in (early, early - timedelta(days=7))]
    found = worlds.compute(worlds.frames(lines), [change + timedelta(minutes=5)], timezone=zone)
    assert found["recency_days"].item() == 0
    assert found["n_orders_7d"].item() >= 1
    assert (found[["gap_mean_days", "tenure_days"]] >= 0).all(axis=None)
