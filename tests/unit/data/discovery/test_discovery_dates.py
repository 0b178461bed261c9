"""Formats of dates, and whether day or month comes first."""

from datetime import date, timedelta

import duckdb
import pytest

from data.discovery.dates import read_dates

YEAR = [date(2023, 1, 1) + timedelta(days=n) for n in range(365)]


@pytest.mark.parametrize(
    "form",
    [
        "%d.%m.%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d-%m-%y",
        "%Y/%m/%d",
        "%Y%m%d",
        "%d %b %Y",
        "%d-%b-%Y",
        "%m/%d/%Y %I:%M %p",
        "%d.%m.%Y %H:%M:%S",
        "%d/%m/%Y, %H:%M",
    ],
)
def test_a_year_of_days_is_read_back_as_it_was_written(form):
    texts = [day.strftime(form) for day in YEAR]
    found = read_dates(texts)
    assert found is not None
    assert not found.is_undecided
    read = [
        duckdb.execute("SELECT CAST(strptime(?, ?) AS DATE)", [text, found.formats[0]]).fetchall()[0][0]
        for text in texts[::40]
    ]
    assert read == YEAR[::40]


def test_iso_needs_no_format():
    found = read_dates(["2023-01-31 10:00:00", "2023-02-01 11:00:00"])
    assert found.formats == ()
    assert found.all_formats == ("%Y-%m-%d %H:%M:%S",)
    assert found.has_clock


def test_without_a_field_above_twelve_nothing_decides():
    found = read_dates(["01/02/2011", "03/04/2011"])
    assert found.is_undecided
    assert (found.formats, found.others) == (("%d/%m/%Y",), ("%m/%d/%Y",))


def test_dots_are_written_where_the_day_comes_first():
    found = read_dates(["01.02.2011", "03.04.2011"])
    assert (found.formats, found.is_undecided) == (("%d.%m.%Y",), False)


def test_one_date_above_twelve_decides_for_all_shapes_of_the_column():
    found = read_dates(["1/2/2011", "13/2/2011 10:00", "2/3/2011"])
    assert found.formats == ("%d/%m/%Y", "%d/%m/%Y %H:%M")


@pytest.mark.parametrize("texts", [["A-12", "B-13"], ["13/13/2011"], ["1.5", "2.75"], [], ["10-20-30-40"]])
def test_what_is_no_date(texts):
    assert read_dates(texts) is None


def test_a_few_odd_cells_do_not_hide_the_format():
    found = read_dates([f"{day:%d/%m/%Y}" for day in YEAR[:60]] + ["unknown"])
    assert found.formats == ("%d/%m/%Y",)
    assert found.share == pytest.approx(60 / 61)
