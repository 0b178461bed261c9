"""Every number on the page and in the workbook is that of a published table: both are parsed back and compared."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from data.export import restore
from pipelines.report.night import Night
from pipelines.report.page import page
from pipelines.report.workbook import sheets, write_workbook

Row = list[dict[str, str]]


class Reader(HTMLParser):
    """Keeps the tiles as name -> (value, note) and the tables as id -> rows of cells with their texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tiles: dict[str, tuple[str, str]] = {}
        self.tables: dict[str, list[Row]] = {}
        self._path: list[str] = []
        self._tile = ["", "", ""]
        self._table = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in {"meta", "link", "input"}:
            return
        self._path.append(f"{tag}.{given.get('class') or ''}")
        if tag == "table":
            self._table = given["id"] or ""
            self.tables[self._table] = []
        elif tag == "tr" and "tbody." in self._path:
            self.tables[self._table].append([])
        elif tag == "td":
            self.tables[self._table][-1].append({"text": "", "lines": "", "sort": given.get("data-v") or ""})
        elif tag == "dt":
            self._tile = ["", "", ""]

    def handle_endtag(self, tag: str) -> None:
        assert self._path.pop().startswith(tag)
        if tag == "dd" and "dl.tiles" in self._path:
            name, value, note = self._tile
            self.tiles[name] = (value, note)

    def handle_data(self, data: str) -> None:
        last = self._path[-1] if self._path else ""
        if "dl.tiles" in self._path and last[:2] in {"dt", "b.", "sm"}:
            self._tile[("dt", "b.", "sm").index(last[:2])] += data
        elif "tbody." in self._path and last in {"span.v", "small."}:
            cell = self.tables[self._table][-1][-1]
            cell["text" if last == "span.v" else "lines"] += data if last == "span.v" else f"{data}|"


def amount(text: str) -> float:
    """Read a number as it is written for people: thousands, a true minus sign, a currency, per cent."""
    bare = re.sub(r"[$,\s%×→]", "", text).replace("−", "-")
    return float("inf") if bare == "∞" else float(bare)


@pytest.fixture(scope="module")
def read(night: Night) -> Reader:
    reader = Reader()
    reader.feed(page(night))
    return reader


def column(read: Reader, table: str, place: int) -> list[str]:
    return [row[place]["text"] for row in read.tables[table]]


def contacts_of(night: Night) -> pd.DataFrame:
    """Choose the contacts from the published table by its own columns, not by the report's functions."""
    rows = night.actions.query("action != 'leave_alone' and arm == 'action'")
    return rows.sort_values("priority").reset_index(drop=True)


class TestTiles:
    def test_customers(self, night: Night, read: Reader) -> None:
        value, note = read.tiles["Customers"]
        assert amount(value) == night.scores["customer_id"].nunique()
        assert amount(note.split()[0]) == night.scores["is_eligible"].sum()

    def test_net_value_is_the_sum_of_the_contacts_with_both_ends(self, night: Night, read: Reader) -> None:
        value, note = read.tiles["Expected net value"]
        rows = contacts_of(night)
        ends = [amount(part) for part in re.findall(r"−?\$[\d,]+", note)]
        sums = [rows[f"expected_net_value{end}_cents"].sum() / 100 for end in ("", "_low", "_high")]
        assert [amount(value), *ends] == pytest.approx(sums, abs=0.5)

    def test_value_at_risk(self, night: Night, read: Reader) -> None:
        value, note = read.tiles["Value at risk"]
        assert amount(value) == pytest.approx(night.scores["value_at_risk_cents"].sum() / 100, abs=0.5)
        assert note == f"in the next {night.horizon_days} days"

    def test_rows_set_aside(self, night: Night, read: Reader) -> None:
        value, note = read.tiles["Rows set aside"]
        assert amount(value) == night.reconciliation["n_quarantined"].sum()
        assert amount(note.split()[1]) == night.reconciliation["n_in"].sum()

    def test_no_tile_is_left_out_of_this_test(self, read: Reader) -> None:
        assert set(read.tiles) == {"Customers", "Expected net value", "Value at risk", "Rows set aside"}


class TestTables:
    def test_contacts_row_by_row(self, night: Night, read: Reader) -> None:
        rows = contacts_of(night)
        assert column(read, "contacts", 1) == rows["customer_id"].tolist()
        assert [int(text) for text in column(read, "contacts", 0)] == rows["priority"].tolist()
        values = [amount(text) for text in column(read, "contacts", 3)]
        assert values == pytest.approx((rows["expected_net_value_cents"].astype(float) / 100).tolist())
        sorts = [float(row[3]["sort"]) for row in read.tables["contacts"]]
        assert sorts == rows["expected_net_value_cents"].astype(float).tolist()
        assert column(read, "contacts", 6) == rows["owner"].tolist()
        assert column(read, "contacts", 5) == [str(day)[:10] for day in rows["due_on"]]
        for row, reasons in zip(read.tables["contacts"], rows["reasons"], strict=True):
            assert row[4]["lines"] == "".join(f"{part}|" for part in reasons.split("; "))

    def test_the_ends_of_every_contact(self, night: Night, read: Reader) -> None:
        rows = contacts_of(night)
        for cells, low, high in zip(
            read.tables["contacts"],
            rows["expected_net_value_low_cents"],
            rows["expected_net_value_high_cents"],
            strict=True,
        ):
            ends = cells[3]["lines"].rstrip("|").split(" to ")
            assert [amount(end) for end in ends] == pytest.approx([low / 100, high / 100])

    def test_customers_by_state(self, night: Night, read: Reader) -> None:
        groups = night.scores.groupby("lifecycle_state")
        for cells in read.tables["states"]:
            members = groups.get_group(cells[0]["text"].lower())
            assert amount(cells[1]["text"]) == len(members)
            risks = members["churn_probability"].dropna()
            if len(risks) > 7:
                assert amount(cells[2]["text"]) == pytest.approx(100 * risks.mean(), abs=0.051)
                assert amount(cells[3]["text"]) == pytest.approx(members["value_at_risk_cents"].sum() / 100, abs=0.5)
        assert len(read.tables["states"]) == groups.ngroups

    def test_customers_by_action_add_up_to_everybody(self, night: Night, read: Reader) -> None:
        counts = {row[0]["text"]: amount(row[1]["text"]) for row in read.tables["by-action"]}
        assert sum(counts.values()) == len(night.actions)
        rows = contacts_of(night)
        assert counts["Retain"] == (rows["action"] == "retain").sum()
        assert counts["Held out"] == (night.actions["arm"] == "holdout").sum()
        worth = [amount(row[2]["text"]) for row in read.tables["by-action"] if row[2]["text"] != "–"]
        assert sum(worth) == pytest.approx(rows["expected_net_value_cents"].sum() / 100, abs=1.5)

    def test_campaigns(self, night: Night, read: Reader) -> None:
        frame = night.campaign_verdicts
        cells = read.tables["effect-table"]
        assert column(read, "effect-table", 0) == frame["name"].tolist()
        for place, name in ((1, "n_treated"), (2, "n_control")):
            assert [amount(row[place]["text"]) for row in cells] == frame[name].tolist()
        for place, name in ((3, "naive"), (4, "effect"), (5, "placebo")):
            found = [amount(row[place]["text"]) for row in cells]
            assert found == pytest.approx((frame[f"{name}_cents"] / 100).tolist()), name
        for row, low, high in zip(cells, frame["effect_low_cents"], frame["effect_high_cents"], strict=True):
            ends = [amount(end) for end in row[4]["lines"].rstrip("|").split(" to ")]
            assert ends == pytest.approx([low / 100, high / 100])

    def test_where_every_row_and_cent_went(self, night: Night, read: Reader) -> None:
        for cells, (_, row) in zip(read.tables["reconciliation"], night.reconciliation.iterrows(), strict=True):
            assert cells[0]["text"] == row["table_name"]
            for place, part in enumerate(("in", "accepted", "quarantined", "duplicates"), start=1):
                assert amount(cells[place]["text"]) == row[f"n_{part}"]
                cents = row[f"{part.removesuffix('s')}_cents"]
                said = cells[place]["lines"].rstrip("|")
                assert (amount(said) == pytest.approx(cents / 100)) if pd.notna(cents) else said == ""

    def test_expectations_that_did_not_hold(self, night: Night, read: Reader) -> None:
        failed = night.quality[~night.quality["is_passed"]]
        found = {(row[0]["text"], row[1]["text"]): row for row in read.tables["failures"]}
        assert set(found) == set(zip(failed["table_name"], failed["expectation"], strict=True))
        for row in failed.itertuples():
            cells = found[row.table_name, row.expectation]
            assert (amount(cells[3]["text"]), amount(cells[4]["text"])) == (row.n_failed, row.n_rows)
            assert cells[2]["text"] == row.severity

    def test_decisions_of_the_gate(self, night: Night, read: Reader) -> None:
        for cells, row in zip(read.tables["gate"], night.model_decisions.itertuples(), strict=True):
            assert cells[0]["text"] == row.model
            assert row.reason in cells[1]["lines"]
            for place, value in ((2, row.candidate_value), (3, row.reference_value), (4, row.difference)):
                assert amount(cells[place]["text"]) == pytest.approx(value, abs=0.00051)

    def test_measures_of_the_churn_model(self, night: Night, read: Reader) -> None:
        models = list(dict.fromkeys(night.metrics["model"]))
        names = list(dict.fromkeys(night.metrics["metric"]))
        value = night.metrics.set_index(["model", "metric"])["value"]
        for cells, name in zip(read.tables["metrics"], names, strict=True):
            found = [amount(cell["text"]) for cell in cells[1:]]
            assert found == pytest.approx([value[model, name] for model in models], abs=0.00051)

    def test_versions(self, night: Night, read: Reader) -> None:
        assert (
            dict(zip(column(read, "versions", 0), map(int, column(read, "versions", 1)), strict=True)) == night.versions
        )

    def test_stages(self, night: Night, read: Reader) -> None:
        found = dict(zip(column(read, "stages", 0), map(amount, column(read, "stages", 1)), strict=True))
        assert found == pytest.approx(dict(night.stage_seconds or {}), abs=0.051)


@pytest.fixture(scope="module")
def book(small_night: Night, tmp_path_factory: pytest.TempPathFactory) -> openpyxl.Workbook:
    path: Path = tmp_path_factory.mktemp("book") / "actions.xlsx"
    write_workbook(small_night, path)
    return openpyxl.load_workbook(path)


def same(cell: object, value: object, name: str) -> bool:
    """Say whether a cell shows a value: cents as units, dates as dates, texts as they were before neutralising."""
    if value is None or value is pd.NaT or (not isinstance(value, str) and bool(pd.isna(value))) or value == "":
        return cell in {None, ""}
    if isinstance(value, bool | np.bool_):
        return cell == bool(value)
    if isinstance(value, int | float | np.number):
        if np.isinf(float(value)):
            return restore(str(cell)) == str(float(value))
        return cell == pytest.approx(float(value) / (100 if name.endswith("_cents") else 1), rel=1e-12)
    return (
        restore(str(cell)).startswith(str(value)) if not hasattr(value, "year") else str(cell)[:10] == str(value)[:10]
    )


SHEETS = ["Contacts", "Held out", "Customers", "Offers", "Rules", "Campaigns", "Model decisions", "Metrics"]
SHEETS += ["Expectations", "Reconciliation", "Versions"]


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_is_its_frame_cell_by_cell(small_night: Night, book: openpyxl.Workbook, name: str) -> None:
    frame = next(sheet.frame for sheet in sheets(small_night) if sheet.name == name)
    header, *rows = book[name].iter_rows(values_only=True)
    assert len(rows) == len(frame)
    assert len(header) == frame.shape[1]
    for cells, values in zip(rows, frame.itertuples(index=False), strict=True):
        for cell, value, column_name in zip(cells, values, frame.columns, strict=True):
            assert same(cell, value, column_name), f"{column_name}: {cell!r} for {value!r}"


def test_every_sheet_is_compared(book: openpyxl.Workbook) -> None:
    assert book.sheetnames == ["Read me", *SHEETS]


PUBLISHED = {
    "Customers": "scores",
    "Offers": "offers",
    "Rules": "rules",
    "Campaigns": "campaign_verdicts",
    "Model decisions": "model_decisions",
    "Metrics": "metrics",
    "Expectations": "quality",
    "Reconciliation": "reconciliation",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_frame_of_a_sheet_is_the_published_table_in_another_order(small_night: Night, name: str) -> None:
    sheet = next(sheet for sheet in sheets(small_night) if sheet.name == name)
    table = getattr(small_night, PUBLISHED[name]).drop(columns="as_of", errors="ignore")
    pd.testing.assert_frame_equal(sheet.frame.sort_index(), table.sort_index())
