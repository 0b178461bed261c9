"""What is there and what is not, counted: filled cells, valid forms, and nothing personal."""

import duckdb
import pyarrow as pa
import pytest

from data import completeness as module
from data.completeness import SCORECARD, completeness, scores


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        yield connection


def card(connection, table, **columns):
    connection.register("given", pa.table(columns))
    connection.execute(f"CREATE OR REPLACE TABLE {table} AS FROM given")
    return {row["column"]: row for row in completeness(connection, [table]).to_pylist()}


def test_null_and_blank_cells_are_not_filled(connection):
    row = card(connection, "products", product_id=["a", "b", "c", "d"], brand=["x", "x", " ", None])["brand"]
    assert (row["n_rows"], row["n_filled"], row["filled_share"], row["n_distinct"]) == (4, 2, 0.5, 1)


def test_numbers_dates_and_flags_are_counted_too(connection):
    found = card(
        connection, "products", product_id=["a", "b"], price=pa.array([0, None], pa.int64()), is_new=[False, None]
    )
    assert [found[name]["n_filled"] for name in ("price", "is_new")] == [1, 1]


def test_the_interval_is_wilsons(connection):
    row = card(connection, "products", product_id=["a"] * 5 + [None] * 45)["product_id"]
    # Newcombe (1998), 5 of 50.
    assert (row["low"], row["high"]) == pytest.approx((0.0435, 0.2136), abs=1e-4)


def test_a_table_without_rows_has_no_shares(connection):
    row = card(connection, "products", product_id=pa.array([], pa.string()))["product_id"]
    assert (row["n_rows"], row["n_filled"]) == (0, 0)
    assert row["filled_share"] is row["low"] is row["high"] is None
    assert scores(completeness(connection, ["products"]))["score"].to_pylist() == [None]


def test_required_columns_are_those_of_the_contract(connection):
    found = card(connection, "customers", customer_id=["a"], region=["North"], shoe_size=[42])
    assert {name for name, row in found.items() if row["is_required"]} == {"customer_id"}


def test_a_column_without_a_form_is_not_checked(connection):
    row = card(connection, "products", product_id=["a"])["product_id"]
    assert row["n_checked"] is row["n_valid"] is row["valid_share"] is None


def test_forms_of_identities_are_checked_by_country(connection):
    found = card(
        connection,
        "identities",
        customer_id=["a", "b", "c", "d"],
        email=["a@example.org", "a at example", None, " "],
        phone=["0151 23456789", "12", None, "+12127365000"],
        postal_code=["10115", "1011", "SW1A 1AA", "anything"],
        country=["DE", "Germany", "UK", None],
    )
    checked = {name: (row["n_checked"], row["n_valid"]) for name, row in found.items() if row["n_checked"] is not None}
    assert checked == {"email": (2, 1), "phone": (3, 2), "postal_code": (3, 2)}
    assert found["email"]["valid_share"] == 0.5


def test_the_country_of_the_company_stands_in(connection):
    card(connection, "identities", customer_id=["a"], phone=["0151 23456789"], postal_code=["10115"])
    without, with_region = (
        {row["column"]: row["n_valid"] for row in completeness(connection, ["identities"], region).to_pylist()}
        for region in (None, "DE")
    )
    assert (without["phone"], without["postal_code"]) == (0, 0)
    assert (with_region["phone"], with_region["postal_code"]) == (1, 1)


@pytest.mark.parametrize(
    ("code", "country", "is_valid"),
    [
        ("D-10115", "DE", True),
        ("1010", "AT", True),
        ("1234 AB", "NL", True),
        ("12345-6789", "US", True),
        ("01310-100", "BR", True),
        ("K1A 0B1", "CA", True),
        ("111 22", "SE", True),
        ("123456", "DE", False),
        ("AB 1234", "NL", False),
        ("-", "FR", False),
    ],
)
def test_postal_codes_have_the_form_of_their_country(connection, code, country, is_valid):
    row = card(connection, "identities", customer_id=["a"], postal_code=[code], country=[country])["postal_code"]
    assert (row["n_checked"], row["n_valid"]) == (1, int(is_valid))


def test_the_score_counts_a_wrong_form_as_missing(connection):
    card(connection, "identities", customer_id=["a", "b"], email=["a@example.org", "nonsense"])
    card(connection, "products", product_id=["a", None])
    found = scores(completeness(connection, ["products", "identities"])).to_pylist()
    assert found == [{"table_name": "products", "score": 0.5}, {"table_name": "identities", "score": 0.75}]


def test_tables_and_columns_come_as_asked_whatever_the_order_of_rows(connection):
    names = [f"p{i}" for i in range(500)]
    first = card(connection, "products", product_id=names, brand=["x", None] * 250)
    assert list(first) == ["product_id", "brand"]
    assert first == card(connection, "products", product_id=names[::-1], brand=[None, "x"] * 250)
    assert completeness(connection, []).schema == SCORECARD


def test_distinct_values_of_a_large_table_are_near(connection, monkeypatch):
    monkeypatch.setattr(module, "EXACT_ROWS", 100)
    row = card(connection, "products", product_id=[f"p{i}" for i in range(5000)])["product_id"]
    assert row["n_distinct"] == pytest.approx(5000, rel=0.1)
    assert row["n_filled"] == 5000


def test_names_are_only_names(connection):
    hostile = 'x"); DROP TABLE products; --'
    found = card(connection, "products", **{"product_id": ["a"], hostile: ["b"]})
    assert found[hostile]["n_filled"] == 1


def test_only_counts_leave(connection):
    found = card(connection, "identities", customer_id=["a"], name=["Zaphod"], email=["zaphod@example.org"])
    assert "zaphod" not in str(found).casefold()
