"""Volume: whether a night brought about as many lines as the same days of the week usually do.

A file that was cut off, a shop whose till stopped sending, and yesterday's file under a new name look alike: rows that
are all good, and too few of them.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

import duckdb

from data.contracts.base import ExpectationResult, Severity, literal, quoted

TRAILING_DAYS = 56
"""Local days before the last night that say what is usual: eight of each day of the week."""

MIN_NIGHTS = 3
"""Nights that must have brought new lines before a break of volume stops a run: a history in one file has none."""

NAME = "volume against trailing days"


@dataclass(frozen=True)
class Limits:
    """The shares of the usual volume between which a night is believed."""

    low: float = 0.5
    high: float = 2.0


def check_volume(
    connection: duckdb.DuckDBPyConnection, lines: str, since: date, until: date, *, limits: Limits, n_nights: int
) -> ExpectationResult:
    """Compare the lines of the days since the last night with what these days of the week usually bring.

    Parameters
    ----------
    connection
        Where the lines are.
    lines
        Name of all lines known by now, with ``local_time``.
    since, until
        Local days that the night should have brought: from ``since`` to the day before ``until``.
    limits
        What is believed.
    n_nights
        Earlier nights that brought new lines; with fewer than ``MIN_NIGHTS`` a break is only a warning.

    Returns
    -------
    ExpectationResult
        ``n_rows`` is the usual number of lines. Days of the week that usually bring none are not expected to.
    """
    start = since - timedelta(days=TRAILING_DAYS)
    found = connection.execute(
        f"SELECT CAST(local_time AS DATE), count(*) FROM {quoted(lines)} WHERE local_time >= {literal(start)} "
        f"AND local_time < {literal(until)} GROUP BY 1"
    ).fetchall()
    n_lines = dict(found)
    before = [start + timedelta(days=n) for n in range(TRAILING_DAYS)]
    days = [since + timedelta(days=n) for n in range((until - since).days)]
    usual = int(sum(median(n_lines.get(day, 0) for day in before if day.weekday() == one.weekday()) for one in days))
    came = sum(n_lines.get(day, 0) for day in days)
    is_usual = not usual or limits.low * usual <= came <= limits.high * usual
    severity = Severity.CRITICAL if n_nights >= MIN_NIGHTS else Severity.WARNING
    return ExpectationResult(
        "transactions",
        NAME,
        severity,
        usual,
        0 if is_usual else abs(came - usual),
        is_usual,
        _detail(came, usual, days),
    )


def _detail(came: int, usual: int, days: list[date]) -> str:
    span = f"{days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "") if days else "no day"
    change = f", {came / usual - 1:+.0%}" if usual else ""
    return f"{came:,} lines of {span}, usually {usual:,}{change}"
