"""Amounts as companies write them: with codes and signs beside them, a minus behind, in parentheses, fixed blanks."""

import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from data.contracts.base import Delivery, literal
from data.engine import connect
from data.errors import ContractError
from data.quarantine import admit_all
from data.sources import FilesSource, Sources
from data.sources.cells import TEXT, Cell, day, instant, number, turned

READ = [
    ("R$ 1.100,10", ",", ".", "1100.10"),
    ("kr 12,50", ",", "", "12.50"),
    ("12,50 kr.", ",", "", "12.50"),
    ("EUR 5.00", ".", "", "5"),
    ("5.00 eur", ".", "", "5"),
    ("CHF 1'299.00", ".", "'", "1299"),
    ("CHF 1\u2019299.00", ".", "'", "1299"),
    ("Fr. 12.50", ".", "", "12.50"),
    ("¥1,200", ".", ",", "1200"),
    ("99,90 zł", ",", "", "99.90"),
    ("1\u202f234,50\u00a0€", ",", " ", "1234.50"),
    ("$1,234.50", ".", ",", "1234.50"),
    ("($1,234.50)", ".", ",", "-1234.50"),
    ("$(1,234.50)", ".", ",", "-1234.50"),
    ("-$5.00", ".", "", "-5"),
    ("$-5.00", ".", "", "-5"),
    ("1.100,10-", ",", ".", "-1100.10"),
    ("5.00- USD", ".", "", "-5"),
    ("\u22125,00 €", ",", "", "-5"),
    ("+5", ".", "", "5"),
]


def value(sql: str, text: str) -> object:
    with connect(threads=1).con as connection:
        ((found,),) = connection.execute(f"SELECT {sql} FROM (SELECT {literal(text)} AS x)").fetchall()
    return found


@pytest.mark.parametrize(("text", "decimal", "thousands", "amount"), READ)
def test_an_amount_reads_with_what_stands_beside_it(text, decimal, thousands, amount):
    assert value(number(Cell("x", TEXT), decimal, thousands), text) == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    ["--5", "(-5)", "-5-", "(5", "5)", "()", "-", "EUR", "", "ABC 5", "5 (7)", "5 of 7", "1-2", "EUR5EUR7", "12 34"],
)
@pytest.mark.parametrize("decimal", [".", ","])
def test_what_is_no_amount_is_not_made_one(text, decimal):
    assert value(number(Cell("x", TEXT), decimal, ""), text) is None


def test_a_point_where_a_comma_is_expected_stays_unread():
    assert value(number(Cell("x", TEXT), ",", ""), "EUR 1.5") is None


@pytest.mark.parametrize(
    ("text", "expected"), [("5-", "-5"), ("(5)", "-5"), ("5", "5"), ("1e3", "1e3"), ("abc-", "abc-"), ("", "")]
)
def test_a_quantity_is_turned_only_where_it_is_a_number(text, expected):
    assert value(turned(Cell("x", TEXT)).sql, text) == expected


LINES = """
path = "{path}"
money.amount_cents = {{ column = "price" }}
[columns]
order_id = "order"
customer_id = "customer"
product_id = "item"
event_time = "at"
quantity = "pieces"
"""
HEADER = "order,customer,item,at,pieces,price"


def source(folder: Path, path: str) -> FilesSource:
    return FilesSource(Sources.model_validate({"transactions": tomllib.loads(LINES.format(path=path))}), folder)


def test_returns_written_with_a_minus_behind_or_in_parentheses_are_accepted_as_negative(tmp_path):
    rows = ["1,C1,P1,2024-03-01,2,$9.00", "2,C1,P1,2024-03-02,2-,($9.00)", "3,C1,P1,2024-03-03,1-,4.50-"]
    (tmp_path / "a.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    with connect(threads=1).con as connection:
        loaded = source(tmp_path, "a.csv").load(connection)
        admitted = admit_all(
            connection, {name: one.table for name, one in loaded.items()}, Delivery(datetime(2024, 5, 1))
        )["transactions"]
        found = connection.execute(
            f"SELECT quantity, amount_cents FROM {admitted.accepted} ORDER BY order_id"
        ).fetchall()
    assert found == [(Decimal(2), 900), (Decimal(-2), -900), (Decimal(-1), -450)]


class TestAFileWithoutRows:
    """A closed Sunday: a header alone among the files of a pattern counts as 0 rows; alone it is an error."""

    @pytest.fixture
    def connection(self) -> duckdb.DuckDBPyConnection:
        with connect(threads=1).con as made:
            yield made

    def drop(self, folder: Path, **files: str) -> None:
        for name, row in files.items():
            (folder / f"{name}.csv").write_text(f"{HEADER}\n{row}")

    def test_it_counts_as_none_beside_others(self, tmp_path, connection):
        self.drop(tmp_path, saturday="1,C1,P1,2024-03-02,1,1.00\n", sunday="")
        loaded = source(tmp_path, "*.csv").load(connection)
        assert {name: one.n_rows for name, one in loaded.items()} == {"transactions": 1, "customers": 1, "products": 1}

    def test_it_counts_as_none_where_it_is_all_that_is_new(self, tmp_path, connection):
        self.drop(tmp_path, saturday="1,C1,P1,2024-03-02,1,1.00\n", sunday="")
        days = source(tmp_path, "*.csv")
        new = [piece for piece in days.pieces() if piece.name == "sunday.csv"]
        loaded = days.load(connection, new)
        assert {name: one.n_rows for name, one in loaded.items()} == {"transactions": 0, "customers": 0, "products": 0}

    def test_it_is_an_error_alone_and_where_all_are_like_it(self, tmp_path, connection):
        self.drop(tmp_path, saturday="", sunday="")
        for path in ("sunday.csv", "*.csv"):
            with pytest.raises(ContractError, match=r"no rows in .*sunday"):
                source(tmp_path, path).load(connection)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2024-03-01 23:30:00", "2024-03-01"),
        ("2024-03-01T09:30", "2024-03-01"),
        ("2024-03-01T23:30:00Z", "2024-03-02"),
        ("2024-03-01", "2024-03-01"),
        ("2024-03-01 at night", "2024-03-01 at night"),
        ("", ""),
    ],
)
def test_a_day_has_no_clock_and_is_that_of_the_zone(text, found):
    assert value(day(Cell("x", TEXT), (), "Europe/Berlin").sql, text) == found


@pytest.mark.parametrize(
    ("dtype", "found"),
    [("TIMESTAMP", "2024-03-01"), ("TIMESTAMP WITH TIME ZONE", "2024-03-02"), ("DATE", "2024-03-01")],
)
def test_a_typed_instant_is_cut_too(dtype, found):
    typed = f"CAST('2024-03-01 23:30:00{'+00' if 'ZONE' in dtype else ''}' AS {dtype})"
    assert str(value(day(Cell(typed, dtype), (), "Europe/Berlin").sql, "")) == found


@pytest.mark.parametrize(("text", "is_read"), [("1709289000123", True), ("1709289000123.5", True), ("soon", False)])
def test_milliseconds_since_1970(text, is_read):
    read = str(value(instant(Cell("x", TEXT), ("epoch_ms",), "Europe/Berlin").sql, text))
    assert read.startswith("2024-03-01 10:30:00.123") if is_read else read == "soon [not epoch_ms]"
