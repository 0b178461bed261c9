"""A trace is found however it is spelled and wherever it is packed, and nobody else's is taken for it."""

import bz2
import gzip
import html
import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.export import Sheet, write_csv, write_xlsx
from data.traces import BLANK, Traces, is_customer_column, is_distinctive

ANNA = Traces(frozenset({"C-10482", "12"}), frozenset({"anna.nobody@example.org", "+46 70 123 45 67"}))
HOSTILE = (
    "'); DROP TABLE customers; --",
    "../../etc/passwd",
    'say "hello"',
    "x" * 300,
    "Åsa-7 \\ 日本",
    "=1+1|cmd 9",
    "a\nb 77",
)


@pytest.mark.parametrize(
    "text",
    [
        "C-10482",
        "customer c-10482 called",
        "(C-10482)",
        "ANNA.NOBODY@example.org,",
        "<anna.nobody@example.org>",
        "+46701234567",
        "46 (70) 123-45-67",
        '{"customer_id": "12"}',
        '{"customer_id":12}',
        '{\\"customer_id\\":\\"12\\",',
        "customer_id=12",
        "other_customer_id = '12'",
    ],
)
def test_it_is_found_as_people_and_programs_write_it(text):
    assert ANNA.count(text.encode()) == 1
    assert ANNA.count(ANNA.blanked(text.encode())) == 0


@pytest.mark.parametrize(
    "text",
    [
        "C-104821",
        "AC-10482",
        "7C-10482",
        "C-10482-1",
        "joanna.nobody@example.org",
        "jo.anna.nobody@example.org",
        "anna.nobody@example.organic",
        "anna.nobody@example.org.uk",
        "467012345678",
        "512",
        '{"customer_id": "512"}',
        '{"customer_id": "121"}',
        '{"order_id": "12"}',
        "12 orders on 2024-12-12",
    ],
)
def test_nobody_else_is_taken_for_it(text):
    assert ANNA.count(text.encode()) == 0
    assert ANNA.blanked(text.encode()) == text.encode()


@pytest.mark.parametrize("customer", HOSTILE)
def test_hostile_ids_are_found_in_every_spelling(customer):
    traces = Traces(frozenset({customer}))
    assert is_distinctive(customer)
    spelled = [customer, json.dumps(customer), html.escape(customer), quote(customer, safe=""), repr(customer)]
    spelled += [json.dumps(json.dumps({"id": customer})), customer.replace("'", "''")]
    assert [traces.count(f"<{text}>".encode()) for text in spelled] == [1] * len(spelled)
    assert traces.blanked(customer.encode()) == BLANK


@given(st.text(min_size=6, max_size=40).filter(is_distinctive), st.text(max_size=20))
def test_no_id_is_left_in_what_was_blanked(customer, text):
    traces = Traces(frozenset({customer}))
    assert traces.count(traces.blanked(f"{text} {customer} {text}".encode())) == 0


def test_a_number_within_a_number_is_none():
    traces = Traces(frozenset({"100000482"}))
    for text in ("0.100000482", "100000482.5", "2024-100000482", "1100000482", "a100000482"):
        assert traces.count(text.encode()) == 0, text
    assert traces.count(b"[100000482]") == 1


def test_what_is_packed_is_unpacked(tmp_path):
    text = b"2024-01-05 customer C-10482 bought"
    (tmp_path / "a.gz").write_bytes(gzip.compress(text))
    (tmp_path / "a.bz2").write_bytes(bz2.compress(text))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", text)
    (tmp_path / "a.bin").write_bytes(b"\0" * 100 + text)
    assert {path.name: ANNA.in_file(path) > 0 for path in tmp_path.iterdir()} == {
        "a.gz": True, "a.bz2": True, "a.zip": True, "a.bin": True
    }  # fmt: skip


def test_a_trace_on_the_border_of_two_chunks_counts_once(tmp_path, monkeypatch):
    monkeypatch.setattr("data.traces._CHUNK", 8192)
    for offset in (0, 4090, 4096, 8188, 8192, 12_280):
        (tmp_path / "big").write_bytes(b"." * offset + b" C-10482 " + b"." * 30_000)
        assert ANNA.in_file(tmp_path / "big") == 1, offset


def test_cells_of_parquet_are_decoded(tmp_path):
    table = {"customer_id": ["12", "512", "12"], "product_id": ["12", "12", "12"], "note": ["x", "of C-10482", None]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet", compression="zstd")
    assert Traces(frozenset({"12"})).in_file(tmp_path / "a.parquet") == 2, "a product is no customer"
    assert Traces(frozenset({"C-10482"})).in_file(tmp_path / "a.parquet") >= 1
    assert Traces(frozenset({"13"})).in_file(tmp_path / "a.parquet") == 0


def test_a_row_set_aside_is_found_by_its_key(tmp_path):
    table = pa.table({"row_json": ['{"customer_id":"12","amount":"5"}', '{"customer_id":"5","amount":"12"}']})
    pq.write_table(table, tmp_path / "a.parquet")
    assert Traces(frozenset({"12"})).in_file(tmp_path / "a.parquet") > 0
    assert Traces(frozenset({"512"})).in_file(tmp_path / "a.parquet") == 0


def test_short_ids_are_found_in_workbooks_and_csv_files_where_customers_stand(tmp_path):
    frame = pd.DataFrame({"customer_id": ["12", "7"], "orders": [3, 99]})
    write_xlsx([Sheet("Customers", frame)], tmp_path / "a.xlsx", read_me=["x"], created=pd.Timestamp("2024-01-01"))
    write_csv(frame, tmp_path / "a.csv")
    for name in ("a.xlsx", "a.csv"):
        assert Traces(frozenset({"12"})).in_file(tmp_path / name) > 0, name
        assert Traces(frozenset({"99"})).in_file(tmp_path / name) == 0, f"a count in {name} is no customer"
        assert Traces(frozenset({"1"})).in_file(tmp_path / name) == 0, name


def test_texts_of_a_database_are_read_those_of_its_free_pages_too(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA secure_delete = OFF")
        store.execute("CREATE TABLE tags (value TEXT)")
        store.execute("INSERT INTO tags VALUES ('for C-10482')")
        store.commit()
        assert ANNA.in_file(path) > 0
        store.execute("DELETE FROM tags")
        store.commit()
    assert ANNA.in_file(path) == 1, "deleted text lives on in a free page"


def test_a_column_keeps_its_other_words():
    column = pa.chunked_array([["C-10482 called, not C-104821", None], ["fine", "mail Anna.Nobody@example.org."]])
    assert ANNA.column(column).to_pylist() == ["[erased] called, not C-104821", None, "fine", "mail [erased]."]
    clean = pa.chunked_array([["fine", None]])
    assert ANNA.column(clean) is clean
    assert Traces(frozenset()).column(column) is column


def test_names_of_columns_say_whose_ids_they_hold():
    assert all(map(is_customer_column, ("customer_id", "Customer_ID", "left_customer_id")))
    assert not any(map(is_customer_column, ("order_id", "id", "customer")))


def test_nothing_wanted_is_nothing_found(tmp_path):
    (tmp_path / "a").write_bytes(b"anything")
    assert Traces(frozenset()).in_file(tmp_path / Path("a")) == 0
