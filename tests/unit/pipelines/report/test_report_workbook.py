"""The workbook: the lists to work from, and nothing that a spreadsheet would run."""

from dataclasses import replace
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from data.errors import ConfigError
from pipelines.report import facts
from pipelines.report.night import Night
from pipelines.report.workbook import read_me, sheets, write_workbook


@pytest.fixture(scope="module")
def book(night: Night, tmp_path_factory: pytest.TempPathFactory) -> openpyxl.Workbook:
    path = tmp_path_factory.mktemp("book") / "actions.xlsx"
    write_workbook(night, path)
    return openpyxl.load_workbook(path)


def test_the_contact_list_comes_first_after_the_explanation(book: openpyxl.Workbook) -> None:
    assert book.sheetnames[:4] == ["Read me", "Contacts", "Held out", "Customers"]
    assert "Versions" in book.sheetnames


def test_contacts_are_complete_and_in_order(night: Night, book: openpyxl.Workbook) -> None:
    rows = list(book["Contacts"].iter_rows(values_only=True))
    chosen = facts.contacts(night)
    assert [row[1] for row in rows[1:]] == list(chosen["customer_id"])
    assert rows[0][:7] == ("Priority", "Customer id", "Action", "Category", "Expected net value", "Low end", "High end")
    assert rows[1][4] == pytest.approx(chosen["expected_net_value_cents"].iloc[0] / 100)
    assert {row[2] for row in rows[1:]} == {"Retain", "Offer"}


def test_risk_and_its_interval_stand_beside_each_contact(night: Night, book: openpyxl.Workbook) -> None:
    rows = list(book["Contacts"].iter_rows(values_only=True))
    place = rows[0].index("Churn probability")
    scores = night.scores.set_index("customer_id")["churn_probability"]
    known = [row for row in rows[1:] if row[place] is not None]
    assert known
    for row in known:
        assert row[place] == pytest.approx(scores[row[1]])
        assert row[place + 1] <= row[place] <= row[place + 2]
    assert book["Contacts"].cell(2, place + 1).number_format == "0.0%"


def test_the_held_out_are_listed_with_the_request_not_to_contact_them(night: Night, book: openpyxl.Workbook) -> None:
    listed = {row[0] for row in book["Held out"].iter_rows(min_row=2, values_only=True)}
    assert listed == set(facts.held_out(night)["customer_id"])
    first = "\n".join(str(row[0]) for row in book["Read me"].iter_rows(values_only=True))
    assert "please do not contact them" in first
    assert night.run_key in first
    assert "scores@2" in first
    assert "a margin of 25 % of sales" in first


def test_every_customer_is_listed_with_the_most_at_risk_first(night: Night, book: openpyxl.Workbook) -> None:
    rows = list(book["Customers"].iter_rows(values_only=True))
    place = rows[0].index("Value at risk")
    values = [row[place] for row in rows[1:] if row[place] is not None]
    assert len(rows) == len(night.scores) + 1
    assert values == sorted(values, reverse=True)


def test_no_cell_is_a_formula(small_night: Night, tmp_path: Path) -> None:
    danger = "=HYPERLINK(1)"
    everyone = small_night.actions.assign(action="retain", arm="action", owner=danger, reasons=danger)
    offers = small_night.offers.assign(customer_id=danger, category=danger)
    write_workbook(replace(small_night, actions=everyone, offers=offers, company=danger), tmp_path / "a.xlsx")
    cells = [cell for sheet in openpyxl.load_workbook(tmp_path / "a.xlsx") for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert any(cell.value == f"'{danger}" for cell in cells)


def test_the_same_night_gives_the_same_bytes(small_night: Night, tmp_path: Path) -> None:
    for name in ("a.xlsx", "b.xlsx"):
        write_workbook(small_night, tmp_path / name)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_a_night_without_anything_still_makes_a_workbook(empty_night: Night, tmp_path: Path) -> None:
    write_workbook(empty_night, tmp_path / "a.xlsx")
    assert openpyxl.load_workbook(tmp_path / "a.xlsx")["Contacts"].max_row == 1


def test_sheets_do_not_repeat_the_date_of_the_run_in_every_row(night: Night) -> None:
    dated = replace(night, rules=night.rules.assign(as_of=pd.Timestamp(night.as_of)))
    assert all("as_of" not in sheet.frame.columns for sheet in sheets(dated))


def test_the_sheets_keep_the_order_and_names_that_spreadsheets_allow(night: Night) -> None:
    names = [sheet.name for sheet in sheets(night)]
    assert len(names) == len(set(names))
    assert max(map(len, names)) <= 31


def test_without_an_assumption_none_is_claimed(night: Night) -> None:
    assert not [line for line in read_me(replace(night, texts={})) if "assumes" in line]


def test_a_missing_folder_is_a_users_error(empty_night: Night, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_workbook(empty_night, tmp_path / "absent" / "a.xlsx")
