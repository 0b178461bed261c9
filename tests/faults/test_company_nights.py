"""Catalogue rows G1, G2, G4, G5, G8, G12 and G13 on whole nights of a company, by the command."""

import json
import os
import sqlite3
from contextlib import closing

import openpyxl
import pytest

from data.contracts import CONTRACTS
from data.tombstones import read_tombstones
from data.traces import Traces
from pipelines.sweep import search

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tale(story):
    """Return the module of the story, whose names say what was planted."""
    import story as module  # noqa: PLC0415 - loaded by path, by the fixture

    assert story.answers
    return module


def sheet(company, night):
    """Return the rows of each sheet of a night's workbook."""
    (path,) = (company.root / "reports").glob(f"{night}-*/actions.xlsx")
    book = openpyxl.load_workbook(path)
    return {page.title: [[cell.value for cell in row] for row in page.iter_rows()] for page in book}


def named(company, night):
    """Return every cell of a night's workbook as text."""
    return {str(cell) for rows in sheet(company, night).values() for row in rows for cell in row if cell is not None}


def test_every_step_ended_as_it_should(story):
    """A traceback that ends a step gives it another code; those that libraries log at DEBUG end nothing."""
    codes = {name: answer.code for name, answer in story.answers.items()}
    assert {name: code for name, code in codes.items() if code} == {"access": 7}


class TestConsent:
    def test_before_they_took_it_back_some_of_them_were_to_be_contacted(self, story, tale):
        actions = story.at("one").table("actions")
        assert [row for row in actions if row["customer_id"] in tale.WITHDRAWN and row["action"] != "leave_alone"]

    def test_from_then_on_none_of_them_is_contacted(self, story, tale, drops):
        """Catalogue rows G1 and G2: in no decision of the next nights, and in no workbook."""
        for company, number in ((story.at("two"), 1), (story.company, 2)):
            as_of = drops.midnight(drops.after(drops.FIRST_NIGHT, number))
            mine = [
                row
                for row in company.table("actions")
                if row["as_of"] == as_of and row["customer_id"] in tale.WITHDRAWN
            ]
            assert mine
            assert {row["action"] for row in mine} == {"leave_alone"}
            assert not named(company, tale.NIGHTS[number]) & set(tale.WITHDRAWN)

    def test_the_earlier_snapshot_says_what_was_decided_then(self, story, drops):
        """Catalogue row G2."""
        first = drops.midnight(drops.FIRST_NIGHT)
        then, now = (
            [row for row in company.table("actions") if row["as_of"] == first]
            for company in (story.at("one"), story.at("two"))
        )
        assert then == now

    def test_who_never_agreed_is_in_no_list(self, story, tale, drops):
        """Catalogue row G1: leaks 0 of n, the n being all without a yes of their own."""
        for number, company in enumerate((story.at("one"), story.at("two"), story.company)):
            as_of = drops.midnight(drops.after(drops.FIRST_NIGHT, number))
            agreed = {row["customer_id"] for row in company.table("consents") if row["purpose"] == "marketing"}
            silent = {row["customer_id"] for row in company.table("customers")} - agreed
            assert len(silent) >= len(tale.HOSTILE)
            rows = [row for row in company.table("actions") if row["as_of"] == as_of and row["customer_id"] in silent]
            assert rows
            assert {row["action"] for row in rows} == {"leave_alone"}
            assert not named(company, tale.NIGHTS[number]) & silent


class TestErased:
    def test_nothing_of_her_came_back_though_two_files_name_her(self, story, tale):
        """Catalogue row G4."""
        company = story.company
        assert any(tale.ERASED in path.read_text() for path in (company.folder / "daily").iterdir())
        traces = Traces(frozenset({tale.ERASED}), frozenset({f"{tale.ERASED}@example.org"}))
        assert search(company.root, traces).places == {}
        assert read_tombstones(company.root).holds(tale.ERASED)
        assert story.answers["access"].one_line().startswith("found: nothing about this customer")

    def test_her_lines_are_refused_and_counted(self, story, tale, drops):
        """Catalogue row G4."""
        as_of = drops.midnight(tale.NIGHTS[2])
        (path,) = (story.company.folder / "daily").glob(f"{tale.NIGHTS[1]}.csv")
        n_hers = sum(tale.ERASED in line for line in path.read_text().splitlines())
        night = story.company.reconciled(as_of)
        assert night["n_refused"] == n_hers > 0
        assert night["n_in"] == night["n_accepted"] + n_hers
        (told,) = (
            row
            for row in story.company.table("quality")
            if (row["as_of"], row["table_name"], row["expectation"])
            == (as_of, "transactions", "erased customer delivered again")
        )
        assert (told["n_failed"], told["is_passed"]) == (n_hers, False)

    def test_the_night_after_it_differs_by_her_alone(self, story, tale, drops):
        """Catalogue row G5, to the cent, against what the files of that night say."""
        before, now = story.at("two").table("transactions"), story.company.table("transactions")
        others = [row for row in before if row["customer_id"] != tale.ERASED]
        assert len(before) > len(others)
        delivered = [
            row for row in drops.lines_of(drops.raw_tables(), tale.NIGHTS[1]) if row["customer_id"] != tale.ERASED
        ]
        assert len(now) == len(others) + len(delivered)
        assert sum(row["amount_cents"] for row in now) == sum(row["amount_cents"] for row in [*others, *delivered])


class TestPlanted:
    def test_the_tables_that_may_hold_it_do(self, story, tale):
        """Or nothing would be shown by its absence elsewhere."""
        told = {name: json.dumps(story.company.table(name), default=str, ensure_ascii=False) for name in CONTRACTS}
        held = {name for name, text in told.items() if any(secret in text for secret in tale.SECRETS)}
        assert {"customers", "identities", "products", "campaigns", "feedback"} <= held
        quarantined = json.dumps(story.company.table("quarantine"), default=str, ensure_ascii=False)
        assert all(secret in quarantined for secret in tale.SECRETS)

    def test_no_word_on_the_terminal_or_in_a_log_says_it(self, story, tale):
        """Catalogue row G8, every logger at DEBUG."""
        log = (story.company.folder / "debug.log").read_text(errors="replace")
        assert len(log) > 10_000
        for name, text in [
            ("debug.log", log),
            *((name, one.output + one.errors) for name, one in story.answers.items()),
        ]:
            assert [secret for secret in tale.SECRETS if secret in text] == [], name

    def test_no_file_but_the_tables_says_it(self, story, tale):
        """Catalogue row G8: documents of Great Expectations, readiness, reports, MLflow, receipts, all that is left."""
        tables = {*CONTRACTS, "quarantine", "readmissions"}
        n_read = 0
        for path in story.company.root.rglob("*"):
            place = path.relative_to(story.company.root).parts
            if path.is_file() and not (place[0] == "lake" and place[1] in tables):
                content = path.read_bytes().decode("latin-1")
                assert [one for one in tale.SECRETS if one.encode().decode("latin-1") in content] == [], path
                n_read += 1
        assert n_read > 100
        kinds = {path.suffix for path in story.company.root.rglob("*")}
        assert {".html", ".xlsx", ".db", ".skops", ".json"} <= kinds
        assert list(story.company.root.glob("reports/*/data_docs/**/*.html"))
        assert list(story.company.root.glob("readiness/*.html"))

    @pytest.mark.parametrize("table", ["deliveries", "quality", "reconciliation", "completeness", "identity_log"])
    def test_no_record_of_a_night_says_it(self, story, tale, table):
        """Catalogue row G8."""
        text = json.dumps(story.company.table(table), default=str, ensure_ascii=False)
        assert [secret for secret in tale.SECRETS if secret in text] == []

    def test_what_was_planted_in_a_workbook_s_cells_is_no_formula_and_no_secret(self, story, tale):
        for company, night in zip((story.at("one"), story.at("two"), story.company), tale.NIGHTS, strict=True):
            cells = named(company, night)
            assert len(cells) > 100
            assert not [cell for cell in cells for secret in tale.SECRETS if secret in cell]
            assert not [cell for cell in cells if cell.startswith("=")]

    def test_mlflow_has_no_name_of_a_person_in_any_cell(self, story, tale):
        """Catalogue row G8: parameters, tags and measures of the runs."""
        with closing(sqlite3.connect(story.company.root / "mlflow.db")) as store:
            names = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            text = str([store.execute(f'SELECT * FROM "{name}"').fetchall() for name in names])
        assert not [one for one in (*tale.SECRETS, *tale.HOSTILE, "c00000") if one in text]


class TestHostile:
    def test_each_id_is_a_customer_like_another(self, story, tale):
        """Catalogue row G12."""
        for name in ("customers", "identities"):
            known = {row["customer_id"] for row in story.company.table(name)}
            assert set(tale.HOSTILE) <= known, name
        lines = [row for row in story.company.table("transactions") if row["order_id"].startswith("hostile")]
        assert {row["customer_id"] for row in lines} == set(tale.HOSTILE)
        assert set(tale.HOSTILE) <= {row["customer_id"] for row in story.company.table("scores")}

    def test_a_column_and_a_file_keep_their_names(self, story, tale):
        """Catalogue row G12."""
        assert tale.ATTRIBUTE in story.company.table("products")[0]
        names = {row["name"] for row in story.company.table("deliveries")}
        assert f"daily/{tale.HOSTILE_FILE}.csv" in names

    def test_no_page_runs_what_a_customer_is_called(self, story):
        for path in story.company.root.rglob("*.html"):
            assert "<script>alert(1)" not in path.read_text(encoding="utf-8"), path

    def test_nothing_was_written_beside_the_root(self, story):
        """Catalogue row G12: no path leaves it."""
        company = story.company.folder
        ours = {"var", "daily", "out", "err", "debug.log", "bad.csv", "bad.xlsx", "regulars.toml"}
        assert {path.name for path in company.iterdir()} - ours == {
            f"{name}.csv" for name in CONTRACTS if name not in {"transactions", "trials"}
        }
        assert not [path for path in company.rglob("*") if "passwd" in path.name]


def test_all_of_it_is_its_owner_s(story, drops):
    """Catalogue row G13: the umask was 000 all along; the root with pages, receipts and keys, and both exports."""
    assert drops.modes(story.company.root) == {}
    kinds = {path.name for path in story.company.root.iterdir()}
    assert {"lake", "reports", "readiness", "receipts", "keys", "mlartifacts", "mlflow.db"} <= kinds
    for name in ("bad.csv", "bad.xlsx"):
        assert os.lstat(story.company.folder / name).st_mode & 0o077 == 0, name
