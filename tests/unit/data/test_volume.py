"""Volume: too few good rows are a defect too (catalogue rows D7 and O4)."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import duckdb
import pytest

from data.contracts.base import ExpectationResult, Severity
from data.engine import connect
from data.volume import Limits, check_volume

MONDAY = date(2024, 6, 3)
USUAL = 100
LIMITS = Limits()


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    backend = connect(threads=1)
    yield backend.con
    backend.disconnect()


def check(
    connection: duckdb.DuckDBPyConnection,
    tonight: dict[date, int],
    *,
    until: date = MONDAY + timedelta(days=1),
    n_nights: int = 3,
    closed: frozenset[int] = frozenset(),
    limits: Limits = LIMITS,
) -> ExpectationResult:
    """Check a shop that sold 100 lines on each open day for years, and tonight these."""
    days = {
        MONDAY - timedelta(days=n): 0 if (MONDAY - timedelta(days=n)).weekday() in closed else USUAL
        for n in range(1, 400)
    }
    rows = [(datetime(day.year, day.month, day.day, 12), n) for day, n in (days | tonight).items()]
    connection.execute("CREATE OR REPLACE TABLE days (local_time TIMESTAMP, n BIGINT)")
    connection.executemany("INSERT INTO days VALUES (?, ?)", rows)
    connection.execute("CREATE OR REPLACE VIEW lines AS SELECT local_time FROM days, range(n)")
    return check_volume(connection, "lines", MONDAY, until, limits=limits, n_nights=n_nights)


@pytest.mark.parametrize(
    ("came", "is_passed"), [(100, True), (50, True), (49, False), (200, True), (201, False), (0, False)]
)
def test_it_stops_one_line_past_the_limit(connection, came, is_passed):
    result = check(connection, {MONDAY: came})
    assert (result.is_passed, result.severity, result.n_rows) == (is_passed, Severity.CRITICAL, USUAL)


def test_it_says_by_how_much(connection):
    assert check(connection, {MONDAY: 30}).detail == "30 lines of 2024-06-03, usually 100, -70%"


def test_limits_are_the_company_s_own(connection):
    assert check(connection, {MONDAY: 20}, limits=Limits(0.1, 3.0)).is_passed
    assert not check(connection, {MONDAY: 301}, limits=Limits(0.1, 3.0)).is_passed


def test_several_days_are_counted_together(connection):
    until = MONDAY + timedelta(days=3)
    late = {MONDAY: 0, MONDAY + timedelta(days=1): 0, MONDAY + timedelta(days=2): 300}
    assert check(connection, late, until=until).is_passed, "a night that was missed brings the lines of two"
    assert check(connection, {MONDAY: 100}, until=until).detail.startswith("100 lines of 2024-06-03 to 2024-06-05")


def test_a_day_on_which_the_shop_is_closed_is_not_expected_to_bring_anything(connection):
    result = check(connection, {}, closed=frozenset({MONDAY.weekday()}))
    assert (result.is_passed, result.n_rows) == (True, 0)


def test_an_old_data_set_that_ended_long_ago_is_not_stale(connection):
    connection.execute(
        "CREATE OR REPLACE TABLE lines AS SELECT TIMESTAMP '2011-12-09 12:50:00' AS local_time FROM range(9)"
    )
    tomorrow = MONDAY + timedelta(days=1)
    assert check_volume(connection, "lines", MONDAY, tomorrow, limits=LIMITS, n_nights=9).is_passed


def test_without_nights_that_brought_lines_it_is_a_warning(connection):
    """A history in one file says nothing of what a night brings."""
    result = check(connection, {MONDAY: 0}, n_nights=2)
    assert (result.is_passed, result.severity) == (False, Severity.WARNING)
