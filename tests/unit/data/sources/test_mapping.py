"""The mapping: what each setting does to a cell, what is derived, and how a typo is answered."""

import tomllib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, ValidationError

from data.contracts.base import Delivery
from data.engine import connect
from data.errors import ConfigError, ContractError, UserError
from data.quarantine import admit_all
from data.sources import DemoSource, FilesSource, ParquetSource, Sources
from data.sources.base import load_tables
from data.sources.keys import config_error

BASE: dict[str, Any] = {
    "path": "a.csv",
    "columns": {
        "order_id": "order",
        "customer_id": "customer",
        "product_id": "product",
        "event_time": "at",
        "quantity": "units",
    },
    "money": {"amount_cents": {"column": "price", "times": "units"}},
}
ROW = {"order": "1", "customer": "C1", "product": "P1", "at": "2024-03-01 10:00:00", "units": "2", "price": "1.50"}


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    made: duckdb.DuckDBPyConnection = connect(threads=2).con
    yield made
    made.close()


@pytest.fixture
def rows(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that writes rows of a shop to a file, loads them by a mapping, and returns a raw table."""

    def run(given: list[dict[str, Any]], table: str = "transactions", **settings: Any) -> list[dict[str, Any]]:
        zone = settings.pop("zone", "UTC")
        every = [{**ROW, **row} for row in given]
        lines = ["|".join(every[0]), *("|".join(str(cell) for cell in row.values()) for row in every)]
        (tmp_path / "a.csv").write_text("\n".join(lines))
        sources = Sources.model_validate({"transactions": {**BASE, "delimiter": "|", **settings}})
        FilesSource(sources, tmp_path, zone).load(connection)
        return connection.table(f"raw_{table}").to_arrow_table().to_pylist()

    return run


AMOUNTS = [
    # cell, decimal, thousands, cents of one piece; null where it must not read
    ("1.50", ".", "", 150),
    ("0.005", ".", "", 1),
    ("-0.005", ".", "", -1),
    ("0.0049", ".", "", 0),
    ("1.005", ".", "", 101),
    ("£12.50", ".", "", 1250),
    ("12,50 €", ",", "", 1250),
    ("1,234.50", ".", ",", 123_450),
    ("1.234,50", ",", ".", 123_450),
    ("1.234.567", ",", ".", 123_456_700),
    ("1 234,50", ",", " ", 123_450),
    ("1'234.50", ".", "'", 123_450),
    ("1234,5", ",", ".", 123_450),
    (" 7 ", ".", "", 700),
    ("1,50", ".", "", None),
    ("1.50", ",", "", None),
    ("1.5", ",", ".", None),
    ("12,50", ".", ",", None),
    ("1,2345", ".", ",", None),
    ("free", ".", "", None),
    ("1.2.3", ".", "", None),
    ("Infinity", ".", "", None),
    ("99999999999999999999", ".", "", None),
]


@pytest.mark.parametrize("case", AMOUNTS)
def test_money_is_exact_or_goes_to_quarantine_as_it_was(rows, connection, case):
    cell, decimal, thousands, cents = case
    (found,) = rows([{"price": cell, "units": "1"}], decimal=decimal, thousands=thousands)
    if cents is not None:
        assert found["amount_cents"] == str(cents)
        return
    assert cell in found["amount_cents"]
    delivery = Delivery(datetime(2024, 5, 1), reject_limit=1.0)
    admission = admit_all(connection, {"transactions": "raw_transactions"}, delivery)["transactions"]
    reasons = connection.execute(f"SELECT reasons FROM {admission.quarantine}").fetchall()
    assert reasons == [("amount_cents is not an integer",)]


@pytest.mark.parametrize(
    ("money", "cents"),
    [
        ({"column": "price"}, "150"),
        ({"column": "price", "times": "units"}, "450"),
        ({"column": "price", "times": "units", "minus": "rebate"}, "425"),
        ({"column": "units", "unit": "minor"}, "3"),
        ({"column": "third", "times": "units"}, "100"),
        ({"column": "empty", "times": "units"}, None),
    ],
)
def test_an_amount_is_a_price_times_pieces_less_what_was_given(rows, money, cents):
    given = [{"units": "3", "rebate": "0.25", "third": "0.333333", "empty": ""}]
    (found,) = rows(given, money={"amount_cents": money})
    assert found["amount_cents"] == cents


QUANTITIES = [("2", ".", "2"), ("2.5", ".", "2.5"), ("2,5", ",", "2.5"), ("100", ",", "100"), ("0,0", ",", "0")]


@pytest.mark.parametrize(("cell", "decimal", "quantity"), QUANTITIES)
def test_a_quantity_keeps_its_digits(rows, cell, decimal, quantity):
    price = "1,5" if decimal == "," else "1.5"
    assert rows([{"units": cell, "price": price}], decimal=decimal)[0]["quantity"] == quantity


def test_a_decimal_point_where_a_comma_is_expected_is_never_read(rows, connection):
    (found,) = rows([{"units": "1.500", "price": "1"}], decimal=",")
    assert found["quantity"].startswith("1.500 [")
    assert found["amount_cents"].startswith("1 1.500 [")


INSTANTS = [
    # cell, formats, zone, UTC; null where it must not read
    ("2024-03-01 10:00:00", None, "UTC", "2024-03-01 10:00:00"),
    ("2024-03-01 10:00:00", None, "America/New_York", "2024-03-01 15:00:00"),
    ("2024-07-01T10:00:00", None, "Europe/Berlin", "2024-07-01 08:00:00"),
    ("2024-07-01T10:00:00Z", None, "Europe/Berlin", "2024-07-01T10:00:00Z"),
    ("2024-07-01 10:00:00+05:30", None, "Europe/Berlin", "2024-07-01 10:00:00+05:30"),
    ("31.12.2023 23:30", "%d.%m.%Y %H:%M", "Europe/Berlin", "2023-12-31 22:30:00"),
    ("1/2/2024 3:04", "%m/%d/%Y %H:%M", "UTC", "2024-01-02 03:04:00"),
    ("1/2/2024", ["%m/%d/%Y %H:%M", "%m/%d/%Y"], "UTC", "2024-01-02 00:00:00"),
    ("20240102", "%Y%m%d", "Asia/Tokyo", "2024-01-01 15:00:00"),
    ("2024-01-02 03:00 +0200", "%Y-%m-%d %H:%M %z", "Asia/Tokyo", "2024-01-02 01:00:00"),
    ("1704164640", "epoch", "Asia/Tokyo", "2024-01-02 03:04:00"),
    # Twice in autumn, never in spring.
    ("2024-10-27 02:30:00", None, "Europe/Berlin", "2024-10-27 01:30:00"),
    ("2024-03-31 02:30:00", None, "Europe/Berlin", "2024-03-31 01:30:00"),
    ("31.02.2024 10:00", "%d.%m.%Y %H:%M", "UTC", None),
    ("2024-03-01 10:00", "%d.%m.%Y %H:%M", "UTC", None),
    ("13/13/2024 3:04", "%m/%d/%Y %H:%M", "UTC", None),
    ("yesterday", None, "Europe/Berlin", None),
]


@pytest.mark.parametrize("case", INSTANTS)
def test_an_instant_is_utc_or_goes_to_quarantine_as_it_was(rows, connection, case):
    cell, formats, zone, utc = case
    (found,) = rows([{"at": cell}], date_format=formats, timezone=zone)
    if utc is not None:
        assert found["event_time"] == utc
        return
    assert found["event_time"].startswith(cell)
    delivery = Delivery(datetime(2025, 5, 1), reject_limit=1.0)
    admission = admit_all(connection, {"transactions": "raw_transactions"}, delivery)["transactions"]
    ((reasons,),) = connection.execute(f"SELECT reasons FROM {admission.quarantine}").fetchall()
    assert "event_time is not an instant" in reasons


def test_a_typed_instant_is_one_of_the_zone_too(tmp_path, connection):
    moment = datetime(2024, 7, 1, 10)
    for unit in ("s", "ms", "us", "ns"):
        table = pa.table({name: [cell] for name, cell in ROW.items() if name not in {"at", "price"}})
        table = table.append_column("at", pa.array([moment], pa.timestamp(unit)))
        table = table.append_column("price", pa.array([1.5]))
        pq.write_table(table, tmp_path / f"{unit}.parquet")
        sources = Sources.model_validate(
            {"transactions": {**BASE, "path": f"{unit}.parquet", "timezone": "Europe/Berlin"}}
        )
        FilesSource(sources, tmp_path).load(connection)
        (found,) = connection.table("raw_transactions").to_arrow_table().to_pylist()
        assert (found["event_time"], found["amount_cents"]) == (datetime(2024, 7, 1, 8), "300")


@pytest.mark.parametrize(
    ("returns", "given", "signed"),
    [
        (None, {"units": "-2"}, ("-2", "-300")),
        ({"column": "order", "prefix": "C"}, {"order": "C1"}, ("-2", "-300")),
        ({"column": "order", "prefix": "C"}, {"order": "C1", "units": "-2"}, ("-2", "-300")),
        ({"column": "order", "prefix": "C"}, {"order": "1"}, ("2", "300")),
        ({"column": "product", "values": ["P1", "P9"]}, {}, ("-2", "-300")),
        ({"column": "price", "negative": True}, {"price": "-1.50"}, ("-2", "-300")),
        ({"column": "price", "negative": True}, {"price": "odd"}, ("2", "odd 2 [no number with the decimal sign .]")),
    ],
)
def test_a_return_is_negative_whatever_sign_it_came_with(rows, returns, given, signed):
    (found,) = rows([given], returns=returns)
    assert (found["quantity"], found["amount_cents"]) == signed


def test_words_marks_and_zeros_of_a_cell(rows):
    given = [
        {"customer": "17850.0", "way": "Laden"},
        {"customer": "N/A", "way": "Netz"},
        {"customer": "1.5", "way": "-"},
    ]
    columns = {**BASE["columns"], "channel": "way"}
    settings = {"missing": ["N/A", "-"], "whole": ["customer"], "values": {"channel": {"Laden": "store"}}}
    found = rows(given, columns=columns, **settings)
    assert [row["customer_id"] for row in found] == ["17850", None, "1.5"]
    assert [row["channel"] for row in found] == ["store", "Netz", None]


def test_constants_attributes_and_numbers_stand_beside_the_columns(rows):
    constants = {"currency": "EUR", "known_at": date(2024, 4, 1), "discount_cents": 0}
    given = [
        {"weight": "1.25", "note": " x"},
        {"weight": " ", "note": ""},
        {"weight": "1e3", "note": "0.1234567890123"},
    ]
    found = rows(given, constants=constants, attributes=["note"], numbers=["weight"], timezone="Asia/Tokyo")
    assert [row["weight"] for row in found] == [1.25, None, 1000.0]
    assert [row["note"] for row in found] == [" x", None, "0.1234567890123"]
    assert {(row["currency"], row["known_at"], row["discount_cents"]) for row in found} == {
        ("EUR", "2024-03-31 15:00:00", "0")
    }


@pytest.mark.parametrize("cell", ["heavy", "nan", "1,5"])
def test_a_number_beside_the_contract_that_is_none_stops_the_load(rows, cell):
    with pytest.raises(ContractError, match=f"weight holds no number but {cell}"):
        rows([{"weight": "1"}, {"weight": cell}], numbers=["weight"])


def test_several_columns_make_one_and_a_missing_part_leaves_none(rows):
    columns = {**BASE["columns"], "order_id": ["customer", "day"], "event_time": ["day", "clock"]}
    given = [{"day": "2024-03-01", "clock": "10:15"}, {"day": "2024-03-01", "clock": ""}]
    found = rows(given, columns=columns)
    assert [(row["order_id"], row["event_time"]) for row in found] == [
        ("C1 2024-03-01", "2024-03-01 10:15"),
        ("C1 2024-03-01", None),
    ]


# What lines say about customers and products.


def test_customers_are_those_of_the_lines_with_their_first_local_day(rows):
    given = [
        {"customer": "C2", "at": "2024-03-02 03:00:00"},
        {"customer": "C1", "at": "2024-03-05 12:00:00"},
        {"customer": "C2", "at": "2024-03-04 12:00:00"},
        {"customer": "", "at": "2024-01-01 12:00:00"},
        {"customer": "C3", "at": "unknown"},
    ]
    assert rows(given, "customers", zone="America/New_York", timezone="UTC") == [
        {"customer_id": "C1", "first_seen_on": date(2024, 3, 5)},
        {"customer_id": "C2", "first_seen_on": date(2024, 3, 1)},
        {"customer_id": "C3", "first_seen_on": None},
    ]


def test_a_product_has_its_latest_name_whatever_the_order_of_the_lines(rows):
    given = [
        {"product": "P1", "at": "2024-03-01", "name": "Milk"},
        {"product": "P1", "at": "2024-03-03", "name": "Whole milk"},
        {"product": "P1", "at": "2024-03-04", "name": ""},
        {"product": "P1", "at": "2024-03-03", "name": "Milk 3.5 %"},
        {"product": "P2", "at": "bad", "name": "Bread"},
        {"product": "P3", "at": "2024-03-01", "name": ""},
    ]
    expected = [("P1", "Whole milk"), ("P2", "Bread"), ("P3", None)]
    for order in (given, given[::-1]):
        found = rows(order, "products", product={"name": "name"})
        assert [(row["product_id"], row["name"]) for row in found] == expected
    assert "name" not in rows(given, product={"name": "name"})[0]


def test_what_is_delivered_is_not_derived(tmp_path, connection, rows):
    rows([{}])
    (tmp_path / "c.csv").write_text("id\nC9\n")
    customers = {"path": "c.csv", "columns": {"customer_id": "id"}}
    sources = Sources.model_validate({"transactions": {**BASE, "delimiter": "|"}, "customers": customers})
    loaded = FilesSource(sources, tmp_path).load(connection)
    assert loaded["customers"].files == (str(tmp_path / "c.csv"),)
    assert connection.table("raw_customers").fetchall() == [("C9",)]


# Joins.


def test_a_joined_file_is_looked_up_and_never_multiplies_lines(rows, tmp_path, connection):
    (tmp_path / "c.csv").write_text("key,town,product\nC1,Bonn,no\nC2,Rome,no\n")
    join = [{"path": "c.csv", "on": ["customer", "key"]}]
    found = rows([{}, {"customer": "C3"}], join=join, attributes=["town"])
    # A name that both files have is the first file's.
    assert [(row["customer_id"], row["product_id"], row["town"]) for row in found] == [
        ("C1", "P1", "Bonn"),
        ("C3", "P1", None),
    ]
    (tmp_path / "c.csv").write_text("key,town,product\nC1,Bonn,no\nC1,Rome,no\n")
    with pytest.raises(ContractError, match=r"c\.csv has 2 rows for key 'C1'.*count twice"):
        rows([{}], join=join)
    with pytest.raises(ConfigError, match=r"no column 'kee' to join on.*did you mean 'key'"):
        rows([{}], join=[{"path": "c.csv", "on": ["customer", "kee"]}])
    (tmp_path / "c.csv").write_text("key,town,product\n" + "".join(f"K{n},x,y\n" for n in range(99)) + "C1,x\n")
    with pytest.raises(ContractError, match=r"c\.csv: line 101 of c\.csv: 2 cells, not 3"):
        rows([{}], join=join)


# Settings that are wrong.

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a column of no contract": ({"columns": {**BASE["columns"], "custmer_id": "x"}}, "did you mean 'customer_id'"),
    "money of no contract": ({"money": {"amount_cent": {"column": "price"}}}, "did you mean 'amount_cents'"),
    "a constant of no contract": ({"constants": {"chanel": "x"}}, "did you mean 'channel'"),
    "a required column left open": ({"money": {}}, "fills amount_cents not at all"),
    "a column filled twice": ({"constants": {"order_id": "x"}}, "two sources of order_id"),
    "an attribute with a contract's name": (
        {"attributes": ["Store_ID"]},
        r"map it under \[sources.transactions.columns",
    ),
    "a derived column as an attribute": ({"attributes": ["local_time"]}, "names that the contract does not have"),
    "a word for no customer column": ({"customer": {"regon": "x"}}, "did you mean 'region'"),
    "a file's column that is not there": ({"attributes": ["pric"]}, "did you mean 'price'"),
}


@pytest.mark.parametrize(("settings", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_mapping_is_answered_with_the_nearest_key(rows, settings, words):
    with pytest.raises(ConfigError, match=words) as caught:
        rows([{}], **settings)
    assert "\n" not in str(caught.value)


class Root(BaseModel):
    """What a configuration is read as."""

    sources: Sources | None = None


TYPOS = {
    "[sources.transaction]": "did you mean 'transactions'",
    '[sources.transactions]\npath = "a.csv"\ndelimter = ";"': "did you mean 'delimiter'",
    '[sources.transactions]\npath = "a.csv"\nmoney.amount_cents.colum = "x"': "did you mean 'column'",
    '[sources.transactions]\npath = "a.csv"\njoin = [{ path = "b", onn = "x" }]': "did you mean 'on'|Field required",
    '[sources.transactions]\npath = "a.csv"\ntimezone = "Europe/Berln"': "no such time zone 'Europe/Berln'",
    '[sources.transactions]\npath = "a.csv"\nencoding = "cp9999"': "no such encoding 'cp9999'",
    '[sources.transactions]\npath = "a.csv"\nformat = "json"': "'csv', 'fixed', 'parquet'",
    '[sources.transactions]\npath = "a.csv"\ndecimal = ","\nthousands = ","': "the same sign",
    '[sources.transactions]\npath = "a.csv"\nfields = { a = [5, 2] }': "last not before first",
    "[sources.transactions]\ndelimiter = ';'": "give either a path or rows",
    '[sources.transactions]\npath = "a.csv"\nreturns = { column = "a" }': "exactly one of values, prefix and negative",
}


@pytest.mark.parametrize(("config", "words"), TYPOS.items(), ids=[config.splitlines()[-1] for config in TYPOS])
def test_a_typo_in_the_configuration_is_answered_in_one_line(config, words):
    with pytest.raises(ValidationError) as caught:
        Root.model_validate(tomllib.loads(config))
    error = config_error(Path("regulars.toml"), Root, caught.value)
    assert isinstance(error, UserError)
    assert "regulars.toml" in str(error)
    assert "\n" not in str(error)
    with pytest.raises(ConfigError, match=words):
        raise error


def test_the_other_sources_load_the_same_way(tmp_path, connection):
    for name in ("customers", "products", "transactions"):
        pq.write_table(pa.table({f"{name[:-1]}_id": ["a", "b"]}), tmp_path / f"{name}.parquet")
    loaded = ParquetSource(tmp_path).load(connection)
    assert {name: (one.table, one.n_rows) for name, one in loaded.items()} == {
        name: (f"raw_{name}", 2) for name in ("customers", "products", "transactions")
    }
    assert callable(DemoSource().load)
    again = load_tables(connection, {"customers": pa.table({"customer_id": ["z"]})})
    assert (again["customers"].n_rows, connection.table("raw_customers").fetchall()) == (1, [("z",)])
