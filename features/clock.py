"""Instants and local calendar days: the only arithmetic with time zones in this package."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ibis
import pandas as pd

from data.errors import ConfigError


def local_date(instant: datetime, timezone: str) -> date:
    """Return the calendar day that the shop's wall clock shows at an instant.

    Parameters
    ----------
    instant
        Naive UTC.
    timezone
        IANA name.

    Examples
    --------
    >>> local_date(datetime(2018, 1, 1, 4, 59), "America/New_York")
    datetime.date(2017, 12, 31)
    """
    return _wall_clock(instant, timezone).date()


def shift(instant: datetime, days: int, timezone: str) -> datetime:
    """Return the instant at which the wall clock shows the same time some calendar days later.

    A local midnight stays a local midnight, however long the days between were. A wall time that the spring change
    skips becomes the instant as far after the change.

    Parameters
    ----------
    instant
        Naive UTC.
    days
        Calendar days, negative for earlier.
    timezone
        IANA name.

    Examples
    --------
    >>> shift(datetime(2017, 3, 12, 5), 1, "America/New_York")  # a day of 23 hours
    datetime.datetime(2017, 3, 13, 4, 0)
    """
    if days == 0:
        # Wall clock arithmetic forgets which of the two hours it was in the night that has one twice.
        return instant
    moved = _wall_clock(instant, timezone) + timedelta(days=days)
    return moved.astimezone(UTC).replace(tzinfo=None)


def as_of_table(as_ofs: Sequence[datetime], timezone: str) -> ibis.Table:
    """Return one row per ``as_of`` with its local day: as_of, as_of_on.

    Parameters
    ----------
    as_ofs
        Naive UTC instants, each once.
    timezone
        IANA name.

    Raises
    ------
    ConfigError
        If there is none, one occurs twice, one carries a zone, or the time zone is not known.
    """
    instants = sorted(check_instants(as_ofs))
    frame = pd.DataFrame(
        {
            "as_of": pd.Series(instants, dtype="datetime64[us]"),
            "as_of_on": pd.Series([local_date(instant, timezone) for instant in instants], dtype="object"),
        }
    )
    return ibis.memtable(frame, schema={"as_of": "timestamp(6)", "as_of_on": "date"})


def check_instants(as_ofs: Sequence[datetime]) -> list[datetime]:
    """Return the instants as a list, or say which of them cannot serve as ``as_of``.

    Parameters
    ----------
    as_ofs
        Candidates.

    Raises
    ------
    ConfigError
        If there is none, one occurs twice, or one carries a zone.
    """
    instants = list(as_ofs)
    aware = [str(instant) for instant in instants if instant.tzinfo is not None]
    if aware or not instants or len(set(instants)) < len(instants):
        found = f"an as_of with a zone: {aware[0]}" if aware else f"as_ofs {[str(instant) for instant in instants]}"
        raise ConfigError(found, "one or more naive UTC instants, each once", "convert to UTC and remove repeats")
    return instants


def _wall_clock(instant: datetime, timezone: str) -> datetime:
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"time zone {timezone!r}", "an IANA name such as Europe/Berlin", "correct it") from error
    return instant.replace(tzinfo=UTC).astimezone(zone)
