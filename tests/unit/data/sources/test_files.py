"""Files as companies have them: what is read, and what is refused in one line. Catalogue rows D9, D10 and G12."""

import gzip
import re
import tomllib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import deltalake
import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.contracts.base import Delivery, quoted
from data.engine import connect
from data.errors import ConfigError, ContractError, UserError
from data.quarantine import admit_all
from data.sources import FilesSource, Loaded, Sources, digest

HEAD = "order;customer;product;at;units;price"
LINES = ("007;C1;P1;2024-03-01 10:00:00;2;1.50", "008;C2;1e5;2024-03-02 10:00:00;1;0.10")

LINES_MAPPING = """
[sources.transactions]
path = "%s"
delimiter = ";"
columns = { order_id = "order", customer_id = "customer", product_id = "product", event_time = "at", quantity = "units" }
money.amount_cents = { column = "price", times = "units" }
"""  # noqa: E501 - a line of the configuration

CUSTOMERS_MAPPING = """
[sources.customers]
path = "%s"
columns = { customer_id = "id", region = "town" }
"""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    made: duckdb.DuckDBPyConnection = connect(threads=2).con
    yield made
    made.close()


@pytest.fixture
def load(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> Callable[[str], dict[str, Loaded]]:
    def run(config: str) -> dict[str, Loaded]:
        sources = Sources.model_validate(tomllib.loads(config)["sources"])
        return FilesSource(sources, tmp_path).load(connection)

    return run


def csv_text(*lines: str, head: str = HEAD, end: str = "\n") -> str:
    return end.join((head, *(lines or LINES))) + end


def many(n: int) -> list[str]:
    return [f"{i};C{i % 7};P1;2024-03-01 10:00:00;1;1.00" for i in range(n)]


def cells(connection: duckdb.DuckDBPyConnection, columns: str, table: str = "raw_transactions") -> list[tuple]:
    return connection.execute(f"SELECT {columns} FROM {table}").fetchall()


READ_ALIKE: dict[str, tuple[str, bytes, str]] = {
    "plain": ("a.csv", csv_text().encode(), ""),
    "carriage returns and line feeds": ("a.csv", csv_text(end="\r\n").encode(), ""),
    "carriage returns alone": ("a.csv", csv_text(end="\r").encode(), ""),
    "mixed line ends": ("a.csv", f"{HEAD}\r\n{LINES[0]}\n{LINES[1]}\r\n".encode(), ""),
    "no last line end": ("a.csv", csv_text().encode().rstrip(), ""),
    "a byte-order mark": ("a.csv", b"\xef\xbb\xbf" + csv_text().encode(), ""),
    "blank lines": ("a.csv", f"{HEAD}\n\n{LINES[0]}\n\n{LINES[1]}\n\n".encode(), ""),
    "gzip": ("a.csv.gz", gzip.compress(csv_text().encode()), ""),
    "two gzip members": (
        "a.csv.gz",
        gzip.compress(f"{HEAD}\n{LINES[0]}\n".encode()) + gzip.compress(LINES[1].encode()),
        "",
    ),
    "utf-16": ("a.csv", csv_text().encode("utf-16"), 'encoding = "utf-16"'),
    "gzip in cp1252": ("a.csv.gz", gzip.compress(csv_text().encode("cp1252")), 'encoding = "cp1252"'),
    "a title above": ("a.csv", b"Sales\nof March\n" + csv_text().encode(), "skip_lines = 2"),
    "line ends that change below the header": (
        "a.csv",
        f"{HEAD}\n".encode() + csv_text(end="\r\n").encode().split(b"\r\n", 1)[1],
        "",
    ),
    "line ends that change below a title": ("a.csv", b"Sales\n\n" + csv_text(end="\r\n").encode(), "skip_lines = 2"),
    "line ends that change in cp1252": (
        "a.csv",
        b"Sales\n\n" + csv_text(end="\r\n").encode("cp1252"),
        'skip_lines = 2\nencoding = "cp1252"',
    ),
    "quoted cells": ("a.csv", csv_text(*(";".join(f'"{c}"' for c in line.split(";")) for line in LINES)).encode(), ""),
    "quoted header": ("a.csv", csv_text(head=";".join(f'"{c}"' for c in HEAD.split(";"))).encode(), ""),
    "columns in another order": (
        "a.csv",
        "\n".join(";".join(reversed(line.split(";"))) for line in (HEAD, *LINES)).encode(),
        "",
    ),
    "a column more": ("a.csv", "\n".join(f"{line};x" for line in (HEAD, *LINES)).encode(), ""),
    "an ending of its own": ("a.dat", csv_text().encode(), 'format = "csv"'),
}


@pytest.mark.parametrize("case", READ_ALIKE.values(), ids=READ_ALIKE)
def test_the_same_rows_whatever_the_file_looks_like(load, connection, tmp_path, case):
    name, content, setting = case
    (tmp_path / name).write_bytes(content)
    loaded = load(LINES_MAPPING % name + setting)
    assert loaded["transactions"].n_rows == 2
    found = cells(connection, "order_id, customer_id, product_id, event_time, quantity, amount_cents")
    # Ids keep their zeros, and 1e5 is no number.
    assert found == [
        ("007", "C1", "P1", "2024-03-01 10:00:00", "2", "300"),
        ("008", "C2", "1e5", "2024-03-02 10:00:00", "1", "10"),
    ]


REFUSED: dict[str, tuple[str, bytes, str, str]] = {
    "zero bytes": ("a.csv", b"", "", "is empty"),
    "zero bytes of gzip": ("a.csv.gz", b"", "", "is empty"),
    "an empty gzip": ("a.csv.gz", gzip.compress(b""), "", "has no header"),
    "header only": ("a.csv", f"{HEAD}\n".encode(), "", "no rows in"),
    "truncated gzip": (
        "a.csv.gz",
        gzip.compress(csv_text(*many(9000)).encode())[:-2000],
        "",
        "before the end-of-stream",
    ),
    "gzip without its sum": ("a.csv.gz", gzip.compress(csv_text().encode())[:-8], "", "before the end-of-stream"),
    "gzip with a wrong sum": (
        "a.csv.gz",
        gzip.compress(csv_text().encode())[:-8] + bytes(8),
        "",
        "CRC check failed",
    ),
    "no gzip": ("a.csv.gz", csv_text().encode(), "", "Not a gzipped file"),
    "wrong delimiter": ("a.csv", csv_text().replace(";", "\t").encode(), "", r"set delimiter = '\\t'"),
    "utf-16 undeclared": ("a.csv", csv_text().encode("utf-16"), "", "is no utf-8"),
    "not utf-8": (
        "a.csv",
        csv_text(*(line.replace("C", "Ä") for line in many(50))).encode("cp1252"),
        "",
        "line 2: bytes",
    ),
    "most lines short": ("a.csv", csv_text("1;2;3", "4;5;6").encode(), "", "line 2: 3 cells, not 6"),
    "a quote without end": ("a.csv", csv_text('"' + LINES[0], LINES[1]).encode(), "", "line 2: .*unexpected end"),
    "no workbook": ("a.xlsx", csv_text().encode(), "", "cannot be read"),
    "truncated parquet": ("a.parquet", b"PAR1" + bytes(100), "", "cannot be read"),
    "zero bytes of parquet": ("a.parquet", b"", "", "cannot be read"),
    "an unknown ending": ("a.json", b"{}", "", "set format"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_broken_file_is_a_users_error_of_one_line_that_names_it(load, tmp_path, case):
    name, content, setting, words = case
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        load(LINES_MAPPING % name + setting)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_LINES: dict[str, bytes] = {
    "a cell too many": b"1;C1;P1;2024-03-01;1;1.00;x",
    "a cell too few": b"1;C1;P1;2024-03-01;1",
    "a quote inside": b'1;"C1" x;P1;2024-03-01;1;1.00',
    "bytes of another encoding": b"1;C1;P\xe4;2024-03-01 10:00:00;1;1.00",
    "a quote without end": b'1;"C1;P1;2024-03-01;1;1.00',
    "ten megabytes in a cell": b"1;C1;P" + b"x" * 10_000_000 + b";2024-03-01;1;1.00",
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_one_bad_line_among_many_goes_to_quarantine_and_stops_nothing(load, connection, tmp_path, bad):
    lines = [line.encode() for line in many(200)]
    content = b"\n".join([HEAD.encode(), *lines[:100], bad, *lines[100:]])
    (tmp_path / "a.csv").write_bytes(content)
    loaded = load(LINES_MAPPING % "a.csv")
    tables = {name: one.table for name, one in loaded.items()}
    admission = admit_all(connection, tables, Delivery(datetime(2024, 5, 1)))["transactions"]
    found = admission.reconciliation
    assert (found.n_rows, found.n_accepted, found.n_quarantined) == (201, 200, 1)
    ((reasons, row),) = connection.execute(f"SELECT reasons, row_json FROM {admission.quarantine}").fetchall()
    assert "unreadable text" in reasons
    assert "line 102" in row or "P\ufffd" in row
    assert len(row) < 1000
    assert cells(connection, "count(*)", "raw_customers") == [(7,)]


def test_a_bad_day_is_read_with_care_and_the_other_days_are_not(load, connection, tmp_path):
    for day in range(3):
        (tmp_path / f"{day}.csv").write_text(csv_text(*many(50)) + ("1;2\n" if day == 1 else ""))
    assert load(LINES_MAPPING % "*.csv")["transactions"].n_rows == 151
    assert cells(
        connection, "count(*)", "raw_transactions WHERE order_id LIKE '%line 52 of 1.csv: 2 cells, not 6%'"
    ) == [(1,)]


# D9: schema changes between deliveries.


def test_a_column_that_came_later_is_null_before_and_counted_where_nobody_asks_for_it(load, connection, tmp_path):
    (tmp_path / "1.csv").write_text(csv_text(LINES[0]))
    (tmp_path / "2.csv").write_text(csv_text(f"{LINES[1]};web;x", head=f"{HEAD};till;note"))
    loaded = load(LINES_MAPPING % "*.csv" + 'attributes = ["till"]')
    assert cells(connection, "order_id, till") == [("007", None), ("008", "web")]
    assert loaded["transactions"].unmapped == ("note",)


def test_a_renamed_column_is_refused_with_the_file_and_the_nearest_name(load, tmp_path):
    (tmp_path / "1.csv").write_text(csv_text())
    (tmp_path / "2.csv").write_text(csv_text(head=HEAD.replace("customer", "customers")))
    with pytest.raises(ConfigError, match=r"2\.csv has no column 'customer'.*did you mean 'customers'") as caught:
        load(LINES_MAPPING % "*.csv")
    assert "[sources.transactions]" in str(caught.value)


def test_a_column_in_other_letters_is_another_column(load, tmp_path):
    (tmp_path / "a.csv").write_text(csv_text(head=HEAD.replace("price", "PRICE")))
    with pytest.raises(ConfigError, match=r"no column 'price'.*did you mean 'PRICE'"):
        load(LINES_MAPPING % "a.csv")


def test_a_name_that_stands_twice_is_refused_only_if_it_is_used(load, tmp_path):
    (tmp_path / "a.csv").write_text(csv_text(*(f"{line};1;2" for line in LINES), head=f"{HEAD};Note;note"))
    assert load(LINES_MAPPING % "a.csv")["transactions"].unmapped == ("Note", "note")
    (tmp_path / "a.csv").write_text(csv_text(*(f"{line};1" for line in LINES), head=f"{HEAD};price"))
    with pytest.raises(ConfigError, match="has 2 columns 'price'"):
        load(LINES_MAPPING % "a.csv")


# G12: hostile names, and paths that leave the folder.

HOSTILE = [
    "it's",
    'so "called"',
    "'); DROP TABLE raw_customers; --",
    "a;b",
    "$row$",
    "c0",
    "unread",
    "x" * 300,
    "{0}",
    "%",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_column_name_is_a_name(load, connection, tmp_path, name):
    pq.write_table(pa.table({"id": ["1"], name: ["Bonn"]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(f'id,"{name.replace(chr(34), chr(34) * 2)}"\n1,Bonn\n')
    literal = "'" + name + "'" if "'" not in name else '"""' + name.replace('"', '\\"') + '"""'
    for ending in ("csv", "parquet"):
        loaded = load(f'[sources.customers]\npath = "a.{ending}"\ncolumns.customer_id = "id"\nattributes = [{literal}]')
        assert cells(connection, quoted(name), "raw_customers") == [("Bonn",)]
        assert loaded["customers"].unmapped == ()


@pytest.mark.parametrize(
    "name", ["it's.csv", "we[i]rd.csv", "a*b?.csv", "-- x.csv", "ünïcode.csv", 'q"uote.csv', "a b;c.csv"]
)
def test_a_hostile_file_name_is_a_name(load, connection, tmp_path, name):
    (tmp_path / name).write_text("id,town\n1,Bonn\n")
    (tmp_path / "aXbY.csv").write_text("id,town\n2,Rome\n")
    (tmp_path / "weird.csv").write_text("id,town\n2,Rome\n")
    load(CUSTOMERS_MAPPING.replace('"%s"', "'''" + name + "'''"))
    assert cells(connection, "customer_id, region", "raw_customers") == [("1", "Bonn")]


@pytest.mark.parametrize("path", ["../out.csv", "../*.csv", "inner/../../out.csv", "link.csv", "*.csv"])
def test_no_path_leaves_the_folder_of_the_configuration(tmp_path, connection, path):
    folder = tmp_path / "company"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "out.csv").write_text("id,town\n1,Bonn\n")
    (folder / "link.csv").symlink_to(tmp_path / "out.csv")
    sources = Sources.model_validate(tomllib.loads(CUSTOMERS_MAPPING % path)["sources"])
    for use in (FilesSource(sources, folder).pieces, lambda: FilesSource(sources, folder).load(connection)):
        with pytest.raises(ConfigError, match=f"{re.escape(path)!r} leaves|{re.escape(path)}' leaves"):
            use()


def test_an_absolute_path_may_lie_anywhere(tmp_path, connection):
    (tmp_path / "out.csv").write_text("id,town\n1,Bonn\n")
    sources = Sources.model_validate(tomllib.loads(CUSTOMERS_MAPPING % (tmp_path / "o*.csv"))["sources"])
    assert FilesSource(sources, tmp_path / "elsewhere").load(connection)["customers"].n_rows == 1


def test_a_file_that_is_not_there_is_named(load):
    with pytest.raises(ConfigError, match=r"no file 'daily/\*\.csv'"):
        load(CUSTOMERS_MAPPING % "daily/*.csv")


# The other formats.


def test_excel_cells_read_as_text_files_do(load, connection, tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["ignored"])
    sheet = book.create_sheet("Sales")
    sheet.append(["Export of March"])
    sheet.append([*HEAD.split(";"), None])
    sheet.append(["007", 17850.0, "P1", datetime(2024, 3, 1, 10, 30), 2, 1.5])
    sheet.append([None] * 6)
    sheet.append([8, "C2", True, datetime(2024, 3, 2), 1.25, 0.1])
    book.save(tmp_path / "a.xlsx")
    load(LINES_MAPPING % "a.xlsx" + 'sheet = "Sales"\nskip_lines = 1')
    assert cells(connection, "order_id, customer_id, product_id, event_time, quantity, amount_cents") == [
        ("007", "17850", "P1", "2024-03-01 10:30:00", "2", "300"),
        ("8", "C2", "true", "2024-03-02", "1.25", "13"),
    ]
    with pytest.raises(ConfigError, match=r"no sheet 'Sale' in .*did you mean 'Sales'"):
        load(LINES_MAPPING % "a.xlsx" + 'sheet = "Sale"')


def test_an_excel_sheet_without_rows_is_refused(load, tmp_path):
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    with pytest.raises(ContractError, match=r"a\.xlsx has no header"):
        load(LINES_MAPPING % "a.xlsx")


def test_a_delta_table_is_a_folder(load, connection, tmp_path):
    for number, town in enumerate(("Bonn", "Rome")):
        table = pa.table({"id": [number], "town": [town]})
        deltalake.write_deltalake(str(tmp_path / "shop"), table, mode="append", partition_by=["town"])
    load(CUSTOMERS_MAPPING % "shop" + 'format = "delta"')
    assert sorted(cells(connection, "customer_id, region", "raw_customers")) == [(0, "Bonn"), (1, "Rome")]
    (tmp_path / "none").mkdir()
    with pytest.raises(ContractError, match="a Delta table"):
        load(CUSTOMERS_MAPPING % "none" + 'format = "delta"')


def test_parquet_files_with_other_columns_go_below_each_other(load, connection, tmp_path):
    pq.write_table(pa.table({"id": [1], "town": ["Bonn"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"town": ["Rome"], "id": [2**40], "new": [1]}), tmp_path / "2.parquet")
    load(CUSTOMERS_MAPPING % "*.parquet")
    assert cells(connection, "customer_id, region", "raw_customers") == [(1, "Bonn"), (2**40, "Rome")]


def test_fixed_width_lines_are_cut_at_their_places(load, connection, tmp_path):
    (tmp_path / "a.txt").write_bytes("id  town\r\n001 Köln \r\n002\r\n\x1a\r\n".encode("cp1252"))
    load(CUSTOMERS_MAPPING % "a.txt" + 'skip_lines = 1\nencoding = "cp1252"\nfields = { id = [1, 3], town = [5, 9] }')
    assert cells(connection, "customer_id, region", "raw_customers") == [("001", "Köln"), ("002", None)]
    with pytest.raises(ConfigError, match="fixed-width without fields"):
        load(CUSTOMERS_MAPPING % "a.txt" + 'format = "fixed"')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "iso8859-15"])
def test_letters_survive_every_encoding(load, connection, tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("id,town\n1,Södermanland\n2,Århus\n".encode(encoding))
    load(CUSTOMERS_MAPPING % "a.csv" + f'encoding = "{encoding}"')
    assert cells(connection, "region", "raw_customers") == [("Södermanland",), ("Århus",)]


def test_nothing_is_left_behind(tmp_path):
    (tmp_path / "a.csv").write_bytes("id,town\n1,Århus\n".encode("cp1252"))
    backend = connect(threads=1, spill=tmp_path / "spill")
    sources = Sources.model_validate(tomllib.loads(CUSTOMERS_MAPPING % "a.csv" + 'encoding = "cp1252"')["sources"])
    FilesSource(sources, tmp_path).load(backend.con)
    assert list((tmp_path / "spill").iterdir()) == []
    assert backend.con.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("raw_customers",)]
    backend.disconnect()


def test_the_digest_changes_with_every_byte_and_setting_and_with_nothing_else(tmp_path):
    (tmp_path / "a.csv").write_text("id,town\n1,Bonn\n")

    def of(config: str = CUSTOMERS_MAPPING % "a.csv", zone: str = "UTC") -> str:
        return digest(FilesSource(Sources.model_validate(tomllib.loads(config)["sources"]), tmp_path, zone))

    first = of()
    (tmp_path / "other.csv").write_text("x")
    assert of() == first
    assert len({first, of(CUSTOMERS_MAPPING % "a.csv" + 'missing = ["NA"]'), of(zone="Asia/Tokyo")}) == 3
    (tmp_path / "a.csv").write_text("id,town\n1,bonn\n")
    assert of() != first


def test_tables_in_memory_are_those_that_load_writes(tables_of, tmp_path):
    (tmp_path / "a.csv").write_text(csv_text())
    sources = Sources.model_validate(tomllib.loads(LINES_MAPPING % "a.csv")["sources"])
    tables = tables_of(FilesSource(sources, tmp_path))
    assert {name: table.num_rows for name, table in tables.items()} == {
        "transactions": 2,
        "customers": 2,
        "products": 2,
    }
