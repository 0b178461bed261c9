"""Repaired rows: out with their reasons, in again once, and every row and cent accounted for."""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pytest

from data.cells import distinct, leave_out, stage
from data.contracts import CONTRACTS
from data.contracts.base import Delivery
from data.engine import attach, connect
from data.errors import ConfigError, ContractError
from data.export import Sheet, write_csv, write_xlsx
from data.lake import Lake
from data.quarantine import Admission, Reconciliation, admit, split
from data.readmission import (
    ROW_ID,
    Open,
    Verdict,
    hand_in,
    open_rows,
    pieces,
    readmitted,
    repaired_rows,
    superseded,
    to_frame,
)
from data.recheck import check
from data.repairs import SHEET, check_fits, read_repairs

TRANSACTIONS = CONTRACTS["transactions"]
DELIVERY = Delivery(datetime(2024, 5, 1), currencies=("USD",), parents={"customers": "customers"}, reject_limit=1.0)
FIRST = datetime(2024, 5, 1)
LINE = {
    "order_id": "O1",
    "customer_id": "C1",
    "product_id": "P1",
    "event_time": "2024-03-10 07:30:00",
    "quantity": "1.000",
    "amount_cents": "250",
    "note": "",
}
BAD = [
    LINE | {"order_id": "O2", "amount_cents": "EUR 3"},
    LINE | {"order_id": None, "currency": "XXX", "note": "=1+1"},
    LINE | {"order_id": "O4", "quantity": "two", "note": ' said "no",\nthen; \'=left '},
]


def deliver(connection: duckdb.DuckDBPyConnection, lines: Sequence[Mapping[str, object]]) -> str:
    names = list(dict.fromkeys(name for line in lines for name in line))
    table = pa.table({name: pa.array([line.get(name) for line in lines], pa.string()) for name in names})
    connection.register("arrow", table)
    connection.execute("CREATE OR REPLACE TABLE raw AS FROM arrow")
    return "raw"


def night(lake: Lake, raw: pa.Table | Sequence[Mapping[str, object]], as_of: datetime) -> Admission:
    """Admit a delivery, write both sides and publish them, as a night does."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE customers AS SELECT 'C1' AS customer_id")
        deliver(connection, raw if not isinstance(raw, pa.Table) else raw.to_pylist())
        admission = admit(connection, TRANSACTIONS, "raw", DELIVERY)
        quarantine = connection.table(admission.quarantine).to_arrow_table()
        accepted = connection.table(admission.accepted).to_arrow_table()
        customers = connection.table("customers").to_arrow_table()
    as_of_column = pa.array([as_of] * quarantine.num_rows, pa.timestamp("us"))
    earlier = lake.published("transactions") if lake.snapshot() else accepted.slice(0, 0)
    versions = {
        "quarantine": lake.write(
            "quarantine", quarantine.append_column("as_of", as_of_column), as_of=as_of, fingerprint=str(as_of)
        ),
        "transactions": lake.write(
            "transactions",
            pa.concat_tables([earlier, accepted], promote_options="default"),
            as_of=None,
            fingerprint=str(as_of),
        ),
        "customers": lake.write("customers", customers, as_of=None, fingerprint=str(as_of)),
    }
    lake.publish(
        str(as_of), flow="night", as_of=as_of, code_digest="", versions=versions, summary={}, mlflow_run_id=None
    )
    return admission


@pytest.fixture(scope="module")
def after_a_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Lake(tmp_path_factory.mktemp("night") / "lake")
    night(made, [LINE, *BAD], FIRST)
    return made.root


@pytest.fixture
def lake(after_a_night: Path, tmp_path: Path) -> Lake:
    return Lake(shutil.copytree(after_a_night, tmp_path / "lake"))


def by_order(lake: Lake) -> dict[str | None, Open]:
    return {row.cells["order_id"]: row for row in open_rows(lake)}


def lines_of(path: Path) -> list[dict[str, str | None]]:
    return read_repairs(path, ROW_ID)


def exported(lake: Lake, path: Path) -> Path:
    frame = to_frame(open_rows(lake))
    if path.suffix == ".csv":
        write_csv(frame, path)
    else:
        names = {name: name for name in frame.columns}
        write_xlsx([Sheet(SHEET, frame, dict.fromkeys(names, "text"), names)], path)
    return path


def looked_at(lake: Lake, rows: Sequence[Open]) -> list[Verdict]:
    backend = connect(threads=1)
    with closing(backend.con) as connection:
        snapshot = lake.snapshot()
        assert snapshot is not None
        attach(backend, lake, {"customers": snapshot.versions["customers"]})
        return check(connection, rows, DELIVERY)


def repaired(row: Open, **changes: str | None) -> Open:
    return replace(row, cells=row.cells | changes)


def test_open_rows_have_their_reasons_and_their_cells_as_delivered(lake):
    rows = by_order(lake)
    assert {order: row.reasons for order, row in rows.items()} == {
        "O2": "amount_cents is not an integer",
        None: "order_id is null; unknown currency",
        "O4": "quantity is not a decimal",
    }
    assert rows["O2"].cells == {name: BAD[0].get(name) for name in (*LINE, "currency")}


def test_without_a_night_nothing_is_open(tmp_path):
    assert open_rows(Lake(tmp_path / "lake")) == []


def test_a_row_that_two_nights_refused_is_open_once(lake):
    night(lake, [LINE | {"order_id": "O9"}, BAD[0] | {"currency": None}], datetime(2024, 5, 2))
    assert len(open_rows(lake)) == 3


@pytest.mark.parametrize("name", ["rows.csv", "rows.xlsx"])
def test_an_export_that_nobody_touched_comes_back_unchanged(lake, tmp_path, name):
    changed, verdicts = repaired_rows(lake, lines_of(exported(lake, tmp_path / name)))
    assert changed == []
    assert {verdict.row_id: verdict.reasons for verdict in verdicts} == {
        row.row_id: row.reasons for row in open_rows(lake)
    }


def test_texts_that_look_like_formulas_come_back_as_they_were(lake, tmp_path):
    path = exported(lake, tmp_path / "rows.csv")
    assert '"\'=1+1"' in path.read_text()
    path.write_text(path.read_text().replace("EUR 3", "300"))
    (row,), _ = repaired_rows(lake, lines_of(path))
    assert row.cells == by_order(lake)["O2"].cells | {"amount_cents": "300"}
    assert {line["note"] for line in lines_of(path)} >= {"=1+1", BAD[2]["note"]}


@pytest.mark.parametrize(("delimiter", "ending"), [(";", "\n"), ("\t", "\n"), (",", "\r\n")])
def test_a_file_that_a_spreadsheet_saved_again_is_read(lake, tmp_path, delimiter, ending):

    lines = [{**line, "order_id": line["order_id"] or "O3"} for line in lines_of(exported(lake, tmp_path / "rows.csv"))]
    with (tmp_path / "saved.csv").open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]), delimiter=delimiter, lineterminator=ending)
        writer.writeheader()
        writer.writerows(lines)
    (row,), verdicts = repaired_rows(lake, lines_of(tmp_path / "saved.csv"))
    assert (row.cells["order_id"], len(verdicts)) == ("O3", 2)


def test_numbers_and_dates_of_a_workbook_are_texts_again(lake, tmp_path):

    path = exported(lake, tmp_path / "rows.xlsx")
    book = openpyxl.load_workbook(path)
    sheet = book[SHEET]
    header = [cell.value for cell in sheet[1]]
    for row in sheet.iter_rows(min_row=2):
        if row[header.index("order_id")].value == "O2":
            row[header.index("amount_cents")].value = 300
            row[header.index("event_time")].value = datetime(2024, 3, 11, 8, 30)
    book.save(path)
    (row,), _ = repaired_rows(lake, lines_of(path))
    assert (row.cells["amount_cents"], row.cells["event_time"]) == ("300", "2024-03-11 08:30:00")
    assert looked_at(lake, [row]) == [Verdict(row.row_id)]


def test_each_repaired_row_gets_its_verdict(lake):
    rows = by_order(lake)
    given = [
        repaired(rows["O2"], amount_cents="300"),
        repaired(rows[None], order_id="O3"),
        repaired(rows["O4"], quantity="2", customer_id="C404"),
    ]
    assert [verdict.reasons for verdict in looked_at(lake, given)] == ["", "unknown currency", "orphan customer"]
    assert looked_at(lake, []) == []


def test_a_repaired_row_is_admitted_once_and_the_totals_reconcile(lake):
    row = repaired(by_order(lake)["O2"], amount_cents="300")
    for _ in range(2):
        with lake.lock():
            hand_in(lake, [row])
    assert len(pieces(lake)) == 1
    assert superseded(lake, TRANSACTIONS) == {row.row_id}
    assert sorted(open_row.cells["order_id"] or "" for open_row in open_rows(lake)) == ["", "O4"]
    raw = readmitted(lake, TRANSACTIONS)
    assert raw is not None
    admission = night(lake, raw, datetime(2024, 5, 2))
    assert admission.reconciliation == Reconciliation("transactions", 1, 1, 0, 0, 300, 300, 0, 0)
    accepted = lake.published("transactions")
    assert sorted(accepted["order_id"].to_pylist()) == ["O1", "O2"]
    assert sum(accepted["amount_cents"].to_pylist()) == 550


def test_a_row_handed_in_before_is_said_to_be_known(lake, tmp_path):
    path = exported(lake, tmp_path / "rows.csv")
    path.write_text(path.read_text().replace("EUR 3", "300"))
    changed, _ = repaired_rows(lake, lines_of(path))
    hand_in(lake, changed)
    again, verdicts = repaired_rows(lake, lines_of(path))
    assert again == []
    assert [verdict.row_id for verdict in verdicts if verdict.is_known] == [changed[0].row_id]


def test_a_second_repair_of_the_same_row_changes_nothing(lake):
    row = by_order(lake)["O2"]
    hand_in(lake, [repaired(row, amount_cents="300")])
    hand_in(lake, [repaired(row, amount_cents="999")])
    assert readmitted(lake, TRANSACTIONS)["amount_cents"].to_pylist() == ["300"]


def test_hand_ins_keep_their_order_and_can_be_taken_one_by_one(lake):
    rows = by_order(lake)
    hand_in(lake, [repaired(rows["O4"], quantity="2")])
    hand_in(lake, [repaired(rows["O2"], amount_cents="300")])
    first, second = pieces(lake)
    assert (first.contract, second.contract) == ("transactions", "transactions")
    assert first.digest != second.digest
    assert readmitted(lake, TRANSACTIONS, {second.digest})["order_id"].to_pylist() == ["O2"]
    assert readmitted(lake, TRANSACTIONS)["order_id"].to_pylist() == ["O4", "O2"]
    assert readmitted(lake, TRANSACTIONS, ()) is None
    assert readmitted(lake, CONTRACTS["customers"]) is None


def test_a_repair_that_the_night_refuses_is_open_again_under_an_id_of_its_own(lake):
    row = repaired(by_order(lake)["O2"], amount_cents="still no number")
    hand_in(lake, [row])
    night(lake, readmitted(lake, TRANSACTIONS), datetime(2024, 5, 2))
    (anew,) = [one for one in open_rows(lake) if one.cells["order_id"] == "O2"]
    assert anew.row_id != row.row_id
    assert anew.reasons == "amount_cents is not an integer"


def test_read_anew_the_first_form_of_a_repaired_row_counts_as_a_copy(lake):
    row = repaired(by_order(lake)["O4"], quantity="2")
    hand_in(lake, [row])
    lines = [LINE, *BAD, BAD[2], LINE]
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("CREATE TABLE customers AS SELECT 'C1' AS customer_id")
        staged = stage(connection, TRANSACTIONS, deliver(connection, lines), DELIVERY)
        leave_out(connection, staged, superseded(lake, TRANSACTIONS))
        leave_out(connection, staged, superseded(lake, TRANSACTIONS))
        rows = distinct(connection, TRANSACTIONS, staged)
        _, quarantine, found = split(connection, TRANSACTIONS, "raw", staged, rows)
        left = connection.execute(f"SELECT row_json FROM {quarantine}").fetchall()
    assert found == Reconciliation("transactions", 6, 1, 2, 3, 1250, 250, 250, 750)
    assert {json.loads(text)["order_id"] for (text,) in left} == {"O2", None}


def test_a_delivered_column_may_be_called_row_id(tmp_path):
    lake = Lake(tmp_path / "lake")
    night(lake, [LINE | {"row_id": "7", "reasons": "none", "amount_cents": "x"}], FIRST)
    path = exported(lake, tmp_path / "rows.csv")
    path.write_text(path.read_text().replace('"x"', '"5"'))
    (row,), _ = repaired_rows(lake, lines_of(path))
    assert (row.cells["row_id"], row.cells["reasons"], row.cells["amount_cents"]) == ("7", "none", "5")


def test_typed_cells_of_a_delivery_come_back_as_they_were_written(lake):
    cells = {"order_id": "O7", "quantity": 12345678901234.125, "n": 2**62, "is_gift": True, "at": None}
    row = Open("transactions", "0" * 32, "", {})
    hand_in(lake, [replace(row, cells={name: None if cell is None else str(cell) for name, cell in cells.items()})])
    found = readmitted(lake, TRANSACTIONS).to_pylist()[0]
    assert (found["quantity"], found["n"], found["is_gift"], found["at"]) == (
        "12345678901234.125",
        str(2**62),
        "True",
        None,
    )


Edit = Any


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [{**lines[0], ROW_ID: "f" * 32}], r"row_id 'f{32}' in line 2; expected: the row_id of a row in"),
        (lambda lines: [{**lines[0], ROW_ID: None}], "row_id 'None' in line 2"),
        (lambda lines: [lines[0], lines[1], lines[0]], "twice, again in line 4"),
        (lambda lines: [{k: v for k, v in line.items() if k != "order_id"} for line in lines], "no column order_id"),
        (lambda lines: [{**line, "colour": "red"} for line in lines], "a column colour"),
    ],
)
def test_a_file_of_another_shape_is_refused(lake, tmp_path, change: Edit, message):
    lines = lines_of(exported(lake, tmp_path / "rows.csv"))
    with pytest.raises(ContractError, match=message):
        repaired_rows(lake, change(lines))
    assert pieces(lake) == ()


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("rows.csv", None, ConfigError, "no file"),
        ("rows.pdf", b"x", ConfigError, "ends in '.pdf'"),
        ("rows.csv", b"", ContractError, "no header with row_id"),
        ("rows.csv", b"a,b\n1,2\n", ContractError, "no header with row_id"),
        ("rows.csv", b"row_id,row_id\n1,2\n", ContractError, "or a column twice"),
        ("rows.csv", b"row_id,a\n1,2,3\n", ContractError, "line 2 of rows.csv has 3 cells"),
        ("rows.csv", b'row_id,a\n1,"2\n', ContractError, "cannot be read as CSV"),
        ("rows.csv", b"row_id,a\n1,\xff\xfe\n", ContractError, "cannot be read as CSV"),
        ("rows.xlsx", b"PK no workbook", ContractError, "a whole Excel workbook"),
        ("rows.xlsx", b"", ContractError, "a whole Excel workbook"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, name, content, error, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message) as raised:
        lines_of(path)
    assert "\n" not in str(raised.value)


def test_a_cell_that_a_workbook_would_cut_is_refused(lake):
    row = repaired(by_order(lake)["O2"], note="x" * 40_000)
    with pytest.raises(ConfigError, match=r"40,000 characters.*csv"):
        check_fits(to_frame([row]))
