"""What is one value in two writings, and what is not."""

import duckdb
import pyarrow as pa
import pytest

from data.contracts.identities import IDENTITIES
from data.identity import normalise
from data.identity.normalise import email, folded, name, normalised, phone, postal_code, region, street


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Anna Meyer", "MEYER, Anna"),
        ("Anna Meyer", "Anna Meyer"),
        ("Anna Meyer", "Ａｎｎａ Ｍｅｙｅｒ"),
        ("René Müller", "Rene\u0301 Mu\u0308ller"),
        ("José Łukasz Ødegård", "jose lukasz odegard"),
        ("Groß", "GROSS"),
        ("Frau Dr. Anna Meyer", "Anna  Meyer "),
        ("Conor O'Brien", "Conor O’Brien"),
        ("Anna-Lena Meyer", "Anna Lena Meyer"),
        ("Νίκος Παπάς", "ΝΙΚΟΣ ΠΑΠΑΣ"),
    ],
)
def test_two_writings_of_one_name(left, right):
    assert name(left) == name(right) is not None


@pytest.mark.parametrize(
    ("left", "right"),
    [("Bob Meyer", "Robert Meyer"), ("Anna Meyer", "Anne Meyer"), ("か", "が"), ("Anna Meyer jr", "Anna Meyer")],
)
def test_names_are_not_guessed(left, right):
    assert name(left) != name(right)


@pytest.mark.parametrize("text", ["", "  ", "---", "12345", "Dr."])
def test_a_name_without_a_letter_is_none(text):
    assert name(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@b",
        "a b@example.org",
        "a@@example.org",
        ".a@example.org",
        "a..b@example.org",
        "a@-x.org",
        "none",
        "a@x.1",
    ],
)
def test_what_is_no_mailbox_is_null(text):
    assert email(text) is None


def test_mailboxes_are_told_apart_by_dots_and_tags():
    assert email("Anna.Meyer@GMAIL.com") == "anna.meyer@gmail.com"
    assert len({email("anna.meyer@gmail.com"), email("annameyer@gmail.com"), email("anna.meyer+x@gmail.com")}) == 3
    assert email("mailto:info@bücher.example") == "info@bücher.example"


def test_a_number_is_read_as_in_its_country():
    assert phone("(212) 736-5000", "US") == phone("+1 212 736 5000", None) == "+12127365000"
    assert phone("0151 23456789", "DE") == phone("+49 151/23456789", "FR") == "+4915123456789"
    assert phone("0151 23456789", None) is None


@pytest.mark.parametrize("text", ["", "0", "000000000", "call me", "12", "+49", "9" * 40])
def test_what_is_no_number_is_null(text):
    assert phone(text, "DE") is None


def test_country_by_code_or_name():
    assert [region(text, "FR") for text in ("de", "DEU", "Österreich", "UK")] == ["DE", "DE", "AT", "GB"]
    assert region(None, "FR") == region("", "FR") == region("nowhere", "FR") == "FR"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Hauptstr. 5", "Hauptstraße 5"),
        ("HAUPTSTRASSE 5", "hauptstr 5"),
        ("Lange Str. 12 A", "Lange Strasse 12a"),
        ("12 High St.", "12 High Street"),
        ("5 Park Ave", "5, Park Avenue"),
    ],
)
def test_two_writings_of_one_street(left, right):
    assert street(left) == street(right)


def test_a_saint_is_no_street_and_houses_differ():
    assert street("St. Peter Rd 1") == "st peter road 1"
    assert street("Hauptstr. 5") != street("Hauptstr. 6")


def test_postal_codes_lose_their_blanks():
    assert postal_code("111 22") == postal_code("111-22") == "11122"
    assert postal_code(" ") is None


@pytest.mark.parametrize("text", ["\x00", "🙂", "'); DROP TABLE people; --", "%" * 300, "ﬁ", "ß" * 50])
def test_any_text_is_read(text):
    assert folded(folded(text)) == folded(text)
    for read in (name, email, street, postal_code):
        assert read(text) is None or isinstance(read(text), str)
    assert phone(text, "DE") is None


def test_a_table_is_read_by_customer_with_what_it_has():
    rows = [
        {"customer_id": "b", "name": "Anna Meyer", "street": "Lange Str. 5 b", "postal_code": "10115", "country": "DE"},
        {"customer_id": "a", "name": None, "street": "12 High St", "postal_code": None, "country": None},
        {"customer_id": None, "name": "Nobody", "street": None, "postal_code": None, "country": None},
    ]
    with duckdb.connect() as connection:
        connection.register("given", pa.Table.from_pylist(rows))
        a, b = normalised(connection, "given").to_pylist()
    assert (a["customer_id"], a["house"], a["street"], a["address"]) == ("a", "12", "high street", None)
    assert (b["house"], b["street"], b["address"]) == ("5b", "lange strasse", "lange strasse 5b, 10115")
    assert a["email"] is b["email"] is None


def test_the_country_of_the_row_reads_its_number():
    rows = [
        {"customer_id": "a", "phone": "0151 23456789", "country": "Germany"},
        {"customer_id": "b", "phone": "(212) 736-5000", "country": "US"},
        {"customer_id": "c", "phone": "(212) 736-5000", "country": None},
    ]
    with duckdb.connect() as connection:
        connection.register("given", pa.Table.from_pylist(rows))
        without = normalised(connection, "given")["phone"].to_pylist()
        with_default = normalised(connection, "given", "US")["phone"].to_pylist()
    assert without == ["+4915123456789", "+12127365000", None]
    assert with_default[2] == "+12127365000"


def test_fields_are_those_of_the_contract():
    assert {column.name for column in IDENTITIES.columns} == {"customer_id", *normalise.FIELDS}
