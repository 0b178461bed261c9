"""Periods: a row counts from the first as_of after it became known until the last before it was replaced."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import ibis
import pandas as pd
import pytest
from ibis import _

import features.periods as periods_module
from data.errors import ConfigError
from features.periods import KEYS, Periods, whole_things

AS_OFS = [datetime(2024, 1, day) for day in (10, 20, 30)]
MICROSECOND = timedelta(microseconds=1)


def table(rows: list[dict[str, Any]]) -> ibis.Table:
    columns = {
        "customer_id": "string",
        "thing": "string",
        "local_on": "date",
        "ready_at": "timestamp(6)",
        "gone_at": "timestamp(6)",
        "n": "int64",
    }
    defaults = {"customer_id": "c", "thing": "t", "local_on": date(2024, 1, 1), "gone_at": None, "n": 1}
    frame = pd.DataFrame([defaults | row for row in rows], columns=list(columns), dtype=object)
    return ibis.memtable(frame, schema=columns)


def found(rows: ibis.Table, *columns: str) -> list[tuple[Any, ...]]:
    values = rows.select(*columns).to_pyarrow().to_pylist()
    return sorted(tuple(row[column] for column in columns) for row in values)


def days_known(ready_at: datetime, gone_at: datetime | None = None, as_ofs: list[datetime] = AS_OFS) -> list[int]:
    rows = Periods.of(as_ofs, "UTC").known(table([{"ready_at": ready_at, "gone_at": gone_at}]))
    return [as_of.day for (as_of,) in found(rows, "as_of")]


@pytest.mark.parametrize(
    ("ready_at", "gone_at", "expected"),
    [
        (AS_OFS[0] - MICROSECOND, None, [10, 20, 30]),
        (AS_OFS[0], None, [20, 30]),
        (AS_OFS[0] + MICROSECOND, None, [20, 30]),
        (AS_OFS[2], None, []),
        (AS_OFS[0] - MICROSECOND, AS_OFS[1] - MICROSECOND, [10]),
        (AS_OFS[0] - MICROSECOND, AS_OFS[1], [10, 20]),
        (AS_OFS[0], AS_OFS[1] - MICROSECOND, []),
        (AS_OFS[0], AS_OFS[0], []),
        (AS_OFS[1], AS_OFS[0], []),
    ],
)
def test_both_ends_are_half_open(ready_at: datetime, gone_at: datetime | None, expected: list[int]) -> None:
    assert days_known(ready_at, gone_at) == expected
    assert days_known(ready_at, gone_at, AS_OFS[::-1]) == expected
    one_by_one = [day for as_of in AS_OFS for day in days_known(ready_at, gone_at, [as_of])]
    assert one_by_one == expected


def test_the_day_of_as_of_is_the_one_of_the_wall_clock() -> None:
    rows = Periods.of([datetime(2024, 1, 10, 3)], "America/New_York").known(table([{"ready_at": datetime(2024, 1, 1)}]))
    assert found(rows, "as_of_on") == [(date(2024, 1, 9),)]


@pytest.mark.parametrize(("age", "expected"), [(9, [10]), (10, [10]), (11, []), (-10, [10, 20, 30]), (0, [10, 20])])
def test_lookback_ends_a_row_after_its_last_day(age: int, expected: list[int]) -> None:
    """``age`` is counted back from the first as_of."""
    sold_on = AS_OFS[0].date() - timedelta(days=age)
    rows = Periods.of(AS_OFS, "UTC").known(
        table([{"ready_at": datetime(2023, 1, 1), "local_on": sold_on}]), lookback=10
    )
    assert [as_of.day for (as_of,) in found(rows, "as_of")] == expected


def test_rows_without_a_second_clock_stay() -> None:
    rows = table([{"ready_at": datetime(2024, 1, 15)}]).drop("gone_at")
    assert found(Periods.of(AS_OFS, "UTC").known(rows), "as_of") == [(AS_OFS[1],), (AS_OFS[2],)]


def combined(periods: Periods, rows: ibis.Table) -> ibis.Table:
    parts = periods.spanned(rows)
    return periods_module.combined(periods, whole_things(parts, "thing", n=_.n.sum()), parts, "thing", n=_.n.sum())


def gathered(periods: Periods, rows: ibis.Table, lookback: int | None = None) -> ibis.Table:
    return periods_module.gathered(
        periods, periods_module.things(periods, rows, "thing", lookback, n=_.n.sum()), "thing", n=_.n.sum()
    )


def test_a_thing_is_put_together_from_the_parts_known_then() -> None:
    rows = table(
        [
            {"thing": "steady", "ready_at": datetime(2024, 1, 5), "n": 1},
            {"thing": "steady", "ready_at": datetime(2024, 1, 6), "n": 2},
            {"thing": "grown", "ready_at": datetime(2024, 1, 5), "n": 4},
            {"thing": "grown", "ready_at": datetime(2024, 1, 15), "n": 8},
            {"thing": "corrected", "ready_at": datetime(2024, 1, 5), "gone_at": datetime(2024, 1, 22), "n": 16},
            {"thing": "corrected", "ready_at": datetime(2024, 1, 22), "n": 32},
            {"thing": "withdrawn", "ready_at": datetime(2024, 1, 5), "gone_at": datetime(2024, 1, 12), "n": 64},
        ]
    )
    periods = Periods.of(AS_OFS, "UTC")
    parts = periods.spanned(rows)
    expected = sorted(
        (thing, AS_OFS[at], n)
        for thing, values in {
            "steady": {0: 3, 1: 3, 2: 3},
            "grown": {0: 4, 1: 12, 2: 12},
            "corrected": {0: 16, 1: 16, 2: 32},
            "withdrawn": {0: 64},
        }.items()
        for at, n in values.items()
    )
    assert found(combined(periods, rows), "thing", "as_of", "n") == expected
    assert found(gathered(periods, rows), "thing", "as_of", "n") == expected
    for position, as_of in enumerate(AS_OFS):
        then = [row for row in expected if row[1] == as_of]
        at_one = replace(periods, now=periods.dates.filter(periods.dates.position == position))
        assert found(combined(at_one, rows), "thing", "as_of", "n") == then
        assert found(gathered(at_one, rows), "thing", "as_of", "n") == then
    steady = whole_things(parts, "thing", n=_.n.sum())
    assert found(steady.filter(steady.is_steady), "thing") == [("steady",), ("withdrawn",)]


def test_customers_do_not_share_things() -> None:
    rows = table([{"customer_id": name, "ready_at": datetime(2024, 1, day)} for name, day in (("a", 5), ("b", 25))])
    periods = Periods.of(AS_OFS, "UTC")
    expected = [("a", as_of, 1) for as_of in AS_OFS] + [("b", AS_OFS[2], 1)]
    assert found(combined(periods, rows), *KEYS, "n") == expected


def test_gathered_forgets_what_is_older_than_the_lookback() -> None:
    rows = table(
        [
            {"ready_at": datetime(2024, 1, 1), "local_on": date(2024, 1, 1), "n": 1},
            {"ready_at": datetime(2024, 1, 9), "local_on": date(2024, 1, 9), "n": 2},
        ]
    )
    recent = gathered(Periods.of(AS_OFS, "UTC"), rows, lookback=15)
    assert found(recent, "as_of", "n") == [(AS_OFS[0], 3), (AS_OFS[1], 2)]


@pytest.mark.parametrize("as_ofs", [[], [AS_OFS[0], AS_OFS[0]]])
def test_unusable_instants_are_refused(as_ofs: list[datetime]) -> None:
    with pytest.raises(ConfigError):
        Periods.of(as_ofs, "UTC")
