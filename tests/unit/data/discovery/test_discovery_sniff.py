"""Which files there are, how each is read, and which are left out with what reason."""

import gzip
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from data.discovery.sample import group
from data.discovery.sniff import Layout, Skipped, find, layouts
from data.errors import ConfigError


def one(path: Path, content: bytes) -> Layout:
    path.write_bytes(content)
    found = layouts(path)
    assert isinstance(found, list), found
    return found[0]


def reason(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    found = layouts(path)
    assert isinstance(found, Skipped)
    return found.reason


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path, delimiter):
    lines = "\n".join(delimiter.join(row) for row in (["id", "name", "price"], ["1", "a", "2.5"], ["2", "b", "3.5"]))
    found = one(tmp_path / "a.csv", lines.encode())
    assert (found.files.delimiter, found.names) == (delimiter, ("id", "name", "price"))


def test_decimal_commas_are_no_delimiter(tmp_path):
    found = one(tmp_path / "a.csv", b"Artikel;Preis;Summe\nx;1,50;3,00\ny;2,50;5,00\n")
    assert found.files.delimiter == ";"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_encodings(tmp_path, encoding):
    found = one(tmp_path / "a.csv", "Straße;Größe\nKölner Straße;3\nBäckergasse;4\n".encode(encoding))
    assert (found.files.encoding, found.names) == (encoding, ("Straße", "Größe"))


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    found = one(tmp_path / "a.csv", b"\xef\xbb\xbfid;name\n1;a\n2;b\n")
    assert found.has_bom
    assert found.names == ("id", "name")


def test_a_letter_far_behind_the_beginning_counts_for_the_encoding(tmp_path):
    content = b"id,name\n" + b"1,abcdefghij\n" * 900_000 + "2,Müller\n".encode("cp1252")
    assert one(tmp_path / "a.csv", content).files.encoding == "cp1252"


def test_titles_above_the_header_are_skipped(tmp_path):
    found = one(tmp_path / "a.csv", b"Report of sales\n\nid;day;amount\n1;2024-01-01;3\n2;2024-01-02;4\n")
    assert (found.files.skip_lines, found.names) == (2, ("id", "day", "amount"))


def test_fixed_places(tmp_path):
    rows = "".join(f"{n:>5}  {'ab' if n % 2 else 'abcd':<6}{n * 1.5:>9.2f}\n" for n in range(1, 300))
    found = one(tmp_path / "a.txt", b"   no  kind    amount\n" + rows.encode())
    assert found.files.kind == "fixed"
    assert found.names == ("no", "kind", "amount")
    first, kind, amount = (found.files.fields[name] for name in found.names)
    line = "12345  abcd  123456.50"
    assert [line[a - 1 : b].strip() for a, b in (first, kind, amount)] == ["12345", "abcd", "123456.50"]


def test_sheets_of_a_workbook(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["id", "name"])
    book.active.append([1, "a"])
    other = book.create_sheet("Orders")
    other.append(["A title"])
    other.append(["order", "day", "sum"])
    other.append([1, "2024-01-01", 3])
    book.create_sheet("Empty")
    book.save(tmp_path / "a.xlsx")
    first, second = layouts(tmp_path / "a.xlsx")
    assert (first.files.sheet, first.names) == (None, ("id", "name"))
    assert (second.files.sheet, second.files.skip_lines, second.names) == ("Orders", 1, ("order", "day", "sum"))


def test_parquet_and_delta(tmp_path):
    table = pa.table({"id": [1], "name": ["a"]})
    pq.write_table(table, tmp_path / "a.parquet")
    write_deltalake(str(tmp_path / "lake"), table)
    found = [layouts(path)[0] for path in find([tmp_path])]
    assert [layout.files.kind for layout in found] == ["parquet", "delta"]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", bytes(range(256)) * 40, "binary"),
        ("a.pdf", b"%PDF", ".pdf"),
        ("a.csv", b"1;2024-01-01;3\n2;2024-01-02;4\n", "names of the columns"),
        ("a.txt", b"just\nsome words of text\nand more\n", "column"),
        ("a.xlsx", b"PK no workbook", "workbook"),
        ("a.parquet", b"PAR1 but broken", "magic"),
        ("a.csv.gz", gzip.compress(b"id,name\n1,a\n" * 1000, mtime=0)[:40], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason(tmp_path, name, content, word):
    assert word in reason(tmp_path / name, content)


def test_paths_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no file or folder"):
        find([tmp_path / "nothing"])
    with pytest.raises(ConfigError, match="no files in"):
        find([tmp_path])


def test_daily_files_are_one_set_that_the_next_month_joins(tmp_path):
    for day in ("2024-01-30", "2024-01-31", "2024-02-01"):
        (tmp_path / f"sales_{day}.csv").write_text("id,name\n1,a\n2,b\n")
    (tmp_path / "other.csv").write_text("key,value\n1,a\n2,b\n")
    sets = group([layout for path in find([tmp_path]) for layout in layouts(path)])
    assert {Path(one.pattern).name: len(one.paths) for one in sets} == {"sales_*.csv": 3, "other.csv": 1} or {
        Path(one.pattern).name: len(one.paths) for one in sets
    } == {"sales*.csv": 3, "other.csv": 1}


def test_files_of_several_folders_are_one_set(tmp_path):
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        (tmp_path / year / "orders.csv").write_text("id,name\n1,a\n2,b\n")
    (one_set,) = group([layout for path in find([tmp_path]) for layout in layouts(path)])
    assert len(one_set.paths) == 2
    assert one_set.pattern == f"{tmp_path}/**/orders*.csv"
