"""``regulars erase`` and ``regulars access``: what a person sees, and what a script reads."""

import json
import os
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from data.errors import LakeError
from data.lake import Lake
from pipelines import erase as module
from pipelines.commands import privacy

HOSTILE = ("'); DROP TABLE x; --", "../../etc/passwd", "x" * 300, "a\nb", "[bold]b[/bold]", "日本-ü")


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(privacy.erase)
    made.command()(privacy.access)
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A lake with one published night: customers with ids of all kinds, and six lines of the first."""
    ids = ["c-00077", *HOSTILE, "kept-1"]
    lake = Lake(tmp_path / "var" / "lake")
    with lake.lock():
        tables = {
            "customers": pa.table({"customer_id": ids, "region": ["north"] * len(ids)}),
            "transactions": pa.table({"customer_id": ["c-00077"] * 6, "amount_cents": range(6)}),
        }
        versions = {name: lake.write(name, rows, as_of=None, fingerprint="f") for name, rows in tables.items()}
        lake.publish(
            "night", flow="nightly", as_of=datetime(2024, 1, 1), code_digest="c",
            versions=versions, summary={}, mlflow_run_id=None,
        )  # fmt: skip
    path = tmp_path / "regulars.toml"
    path.write_text(f'root = "{tmp_path}/var"\n[source]\nkind = "parquet"\npath = "nowhere"\n')
    return path


@pytest.fixture(autouse=True)
def _without_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the report, which needs all tables of a night; the tests of faults write it."""
    monkeypatch.setattr("pipelines.erase._write_newest_again", lambda _: {})


def test_everything_held_is_shown_table_by_table(app, config):
    done = CliRunner().invoke(app, ["access", "c-00077", "--config", str(config)])
    assert done.exit_code == 0
    assert "customers: 1 row, one per customer" in done.output
    assert "transactions: 6 rows" in done.output
    assert "region north" in done.output
    assert "and 1 more: see them with --json or --out FILE" in done.output
    assert "kept-1" not in done.output


def test_a_file_holds_all_of_it_for_its_owner_alone(app, config, tmp_path):
    out = tmp_path / "about.json"
    before = os.umask(0)
    try:
        done = CliRunner().invoke(app, ["access", "c-00077", "--config", str(config), "--out", str(out)])
    finally:
        os.umask(before)
    assert done.exit_code == 0, done.output
    assert "7 rows of 2 tables are in" in done.output.replace("\n", " ")
    assert oct(out.stat().st_mode & 0o777) == "0o600"
    told = json.loads(out.read_text())
    assert told["customer_id"] == "c-00077"
    assert {name: len(rows) for name, rows in told["tables"].items()} == {"customers": 1, "transactions": 6}


def test_a_script_reads_json(app, config):
    done = CliRunner().invoke(app, ["access", "kept-1", "--config", str(config), "--json"])
    assert json.loads(done.output)["tables"] == {"customers": [{"customer_id": "kept-1", "region": "north"}]}


def test_an_unknown_customer_is_one_line_that_names_nobody(app, config):
    done = CliRunner().invoke(app, ["access", "c-0007", "--config", str(config)])
    assert isinstance(done.exception, LakeError)
    assert done.exception.exit_code == 7
    assert "nothing about this customer" in str(done.exception)
    assert "\n" not in str(done.exception)
    assert "c-0007" not in str(done.exception)


@pytest.mark.parametrize("customer", HOSTILE)
def test_hostile_ids_are_shown_and_erased_like_any_other(app, config, customer):
    """Catalogue row G12."""
    shown = CliRunner().invoke(app, ["access", "--config", str(config), "--json", "--", customer])
    assert json.loads(shown.output)["tables"]["customers"] == [{"customer_id": customer, "region": "north"}]
    before = sorted(config.parent.iterdir())
    done = CliRunner().invoke(app, ["erase", "--config", str(config), "--json", "--", customer])
    assert done.exit_code == 0, done.output
    (receipt,) = json.loads(done.output)
    assert (receipt["rows"], receipt["n_hits"]) == ({"customers": 1}, 0)
    assert sorted(config.parent.iterdir()) == before, "nothing is written outside of the root"
    again = CliRunner().invoke(app, ["access", "--config", str(config), "--", customer])
    assert isinstance(again.exception, LakeError)
    kept = Lake(config.parent / "var" / "lake").read("customers")["customer_id"].to_pylist()
    assert kept == [one for one in ["c-00077", *HOSTILE, "kept-1"] if one != customer]


def test_the_receipt_is_told_in_plain_words(app, config):
    done = CliRunner().invoke(app, ["erase", "c-00077", "--config", str(config)])
    words = " ".join(done.output.split())
    assert done.exit_code == 0, done.output
    assert "Rows removed, over all versions: 7 (customers 1, transactions 6)" in words
    assert "traces left: 0" in words
    assert "the source could not be read" in words, "whatever the company's own files hold is theirs to look at"
    assert "keep their weights" in words
    assert "c-00077" not in done.output


def test_several_customers_get_a_receipt_each_and_an_earlier_one_stays(app, config):
    done = CliRunner().invoke(app, ["erase", "c-00077", "kept-1", "--config", str(config), "--json"])
    assert [receipt["n_rows"] for receipt in json.loads(done.output)] == [7, 1]
    CliRunner().invoke(app, ["erase", "kept-1", "--config", str(config)])
    receipts = sorted((config.parent / "var" / "receipts").iterdir())
    assert sorted(json.loads(path.read_text())["n_rows"] for path in receipts) == [0, 1, 7]


def test_nobody_named_and_nothing_begun_is_said_so(app, config):
    done = CliRunner().invoke(app, ["erase", "--config", str(config)])
    assert done.exit_code == 0
    assert "Nobody was named and nothing was left to finish." in done.output


def test_what_is_left_is_named_and_the_list_stays_until_it_is_gone(app, config, monkeypatch):
    """A program that keeps writing the customer's rows while they are erased."""
    root = config.parent / "var"
    honest = module.search

    def late(path: Path, traces: object) -> object:
        (root / "late.bin").write_bytes(b"\0 row of c-00077")
        return honest(path, traces)

    monkeypatch.setattr(module, "search", late)
    done = CliRunner().invoke(app, ["erase", "c-00077", "--config", str(config)])
    assert isinstance(done.exception, LakeError)
    assert "1 traces are left in late.bin" in str(done.exception)
    assert (root / "keys" / "erasing.json").exists()
    assert not (root / "receipts").exists(), "no receipt for what is not done"
    monkeypatch.setattr(module, "search", honest)
    done = CliRunner().invoke(app, ["erase", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert "removed: late.bin" in done.output
    assert not (root / "keys" / "erasing.json").exists()
