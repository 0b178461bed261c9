"""``regulars quarantine``: what it lists, what it writes, and what it takes back."""

import csv
import json
import os
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from data.contracts import CONTRACTS
from data.contracts.base import Delivery
from data.errors import ConfigError, ContractError, LakeError, LockHeldError
from data.export import neutralise
from data.lake import Lake
from data.quarantine import admit
from data.readmission import pieces, readmitted
from pipelines.commands.quarantine import app

AS_OF = datetime(2024, 5, 1, 4)
DELIVERED = {
    "customers": [{"customer_id": "C1"}, {"customer_id": "C2"}, {"customer_id": None, "region": "=North"}],
    "identities": [{"customer_id": None, "name": "Ada Lovelace", "email": "ada@example.org"}],
    "transactions": [
        {"order_id": "O1", "amount_cents": "250"},
        {"order_id": "O2", "amount_cents": "EUR 3"},
        {"order_id": "O3", "quantity": "two"},
        {"order_id": None, "quantity": "two", "customer_id": "C404"},
    ],
}
LINE = {
    "customer_id": "C1",
    "product_id": "P1",
    "event_time": "2024-03-10 07:30:00",
    "quantity": "1",
    "amount_cents": "1",
}


@pytest.fixture(scope="module")
def night_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("night") / "root"
    lake, sides, versions = Lake(root / "lake"), [], {}
    delivery = Delivery(AS_OF, currencies=("USD",), parents={"customers": "customers_accepted"}, reject_limit=1.0)
    with duckdb.connect(config={"threads": 1}) as connection:
        for name, lines in DELIVERED.items():
            given = [{**(LINE if name == "transactions" else {}), **line} for line in lines]
            names = list(dict.fromkeys(column for line in given for column in line))
            table = pa.table({column: pa.array([line.get(column) for line in given], pa.string()) for column in names})
            connection.register(f"arrow_{name}", table)
            connection.execute(f"CREATE TABLE raw_{name} AS FROM arrow_{name}")
            admission = admit(connection, CONTRACTS[name], f"raw_{name}", delivery)
            sides.append(connection.table(admission.quarantine).to_arrow_table())
            accepted = connection.table(admission.accepted).to_arrow_table()
            versions[name] = lake.write(name, accepted, as_of=None, fingerprint="f")
    quarantine = pa.concat_tables(sides)
    as_of = pa.array([AS_OF] * quarantine.num_rows, pa.timestamp("us"))
    versions["quarantine"] = lake.write(
        "quarantine", quarantine.append_column("as_of", as_of), as_of=AS_OF, fingerprint="f"
    )
    lake.publish("n1", flow="night", as_of=AS_OF, code_digest="", versions=versions, summary={}, mlflow_run_id=None)
    return root


@pytest.fixture
def root(night_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(night_root, tmp_path / "root"))


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def run(root: Path, *words: object) -> Result:
    result = CliRunner().invoke(app, [*map(str, words), "--root", str(root)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def repaired(path: Path, **changes: dict[str, str]) -> Path:
    """Change cells of an exported CSV file, by the order_id of their line."""
    with path.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        line |= {name: neutralise(cell) for name, cell in changes.get(line["order_id"], {}).items()}
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def test_list_counts_by_table_and_reason(root):
    found = json.loads(run(root, "list", "--json").output)
    assert found == {
        "n_rows": 5,
        "counts": [
            {"table": "customers", "reason": "customer_id is null", "n_rows": 1},
            {"table": "identities", "reason": "customer_id is null", "n_rows": 1},
            {"table": "transactions", "reason": "quantity is not a decimal", "n_rows": 2},
            {"table": "transactions", "reason": "amount_cents is not an integer", "n_rows": 1},
            {"table": "transactions", "reason": "order_id is null", "n_rows": 1},
            {"table": "transactions", "reason": "orphan customer", "n_rows": 1},
        ],
    }
    shown = run(root, "list").output
    assert "quantity is not a decimal" in shown
    assert "5 rows in quarantine." in shown


@pytest.mark.parametrize(
    ("words", "n_rows"),
    [
        (("--table", "transactions"), 3),
        (("--table", "products"), 0),
        (("--reason", "quantity is not a decimal"), 2),
        (("--reason", "quantity"), 0),
        (("--table", "customers", "--reason", "customer_id is null"), 1),
    ],
)
def test_list_can_be_narrowed(root, words, n_rows):
    assert json.loads(run(root, "list", "--json", *words).output)["n_rows"] == n_rows
    assert f"{n_rows} rows in quarantine." in run(root, "list", *words).output


def test_list_shows_no_value_of_a_row(root):
    for words in (("list",), ("list", "--json")):
        assert "Ada" not in run(root, *words).output
        assert "example.org" not in run(root, *words).output


def test_export_writes_the_rows_with_their_reasons(root, tmp_path):
    output = run(root, "export", "transactions", tmp_path / "bad.csv").output
    with (tmp_path / "bad.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert list(lines[0])[:2] == ["row_id", "reasons"]
    assert {line["order_id"]: line["reasons"] for line in lines} == {
        "O2": "amount_cents is not an integer",
        "O3": "quantity is not a decimal",
        "": "order_id is null; orphan customer; quantity is not a decimal",
    }
    assert "3 rows of transactions" in output
    assert "regulars quarantine readmit" in output


@pytest.mark.parametrize("name", ["bad.csv", "bad.xlsx"])
def test_an_export_is_for_its_owner_alone_and_says_that_it_is_personal(root, tmp_path, open_umask, name):
    output = run(root, "export", "identities", tmp_path / name).output
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert "They hold personal data" in output
    assert "Ada" not in output
    assert "personal" not in run(root, "export", "customers", tmp_path / name).output


def test_an_export_holds_no_formula(root, tmp_path):
    run(root, "export", "customers", tmp_path / "bad.csv")
    assert '"\'=North"' in (tmp_path / "bad.csv").read_text()
    run(root, "export", "customers", tmp_path / "bad.xlsx")
    cells = [cell for row in openpyxl.load_workbook(tmp_path / "bad.xlsx")["Quarantine"].iter_rows() for cell in row]
    assert "'=North" in {cell.value for cell in cells}
    assert not [cell for cell in cells if cell.data_type == "f"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("export", "products", "bad.csv"), "no row of 'products' in quarantine.*customers, identities, transactions"),
        (("export", "transactions", "bad.pdf"), "ends in '.pdf'"),
        (("export", "transactions", "nowhere/bad.csv"), "no folder nowhere"),
        (("readmit", "nothing.csv"), "no file nothing.csv"),
    ],
)
def test_what_cannot_be_done_is_one_line(root, words, message):
    with pytest.raises(ConfigError, match=message) as raised:
        run(root, *words)
    assert "\n" not in str(raised.value)


def test_without_a_published_night_there_is_nothing_to_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LakeError, match="no published night"):
        run(tmp_path / "empty", "list")


def test_good_repairs_are_taken_and_the_others_named(root, tmp_path):
    run(root, "export", "transactions", tmp_path / "bad.csv")
    path = repaired(tmp_path / "bad.csv", O2={"amount_cents": "-300", "quantity": "-1"}, O3={"quantity": "2,5"})
    result = run(root, "readmit", path)
    assert result.exit_code == 3
    assert "1 admitted tonight, 2 still bad, 0 handed in before." in result.output
    assert "still bad: quantity is not a decimal" in result.output
    raw = readmitted(Lake(root / "lake"), CONTRACTS["transactions"])
    assert raw.select(["order_id", "quantity", "amount_cents"]).to_pylist() == [
        {"order_id": "O2", "quantity": "-1", "amount_cents": "-300"}
    ]
    assert json.loads(run(root, "list", "--json").output)["n_rows"] == 4


def test_the_same_file_twice_is_taken_once(root, tmp_path):
    run(root, "export", "transactions", tmp_path / "bad.csv")
    path = repaired(
        tmp_path / "bad.csv", O2={"amount_cents": "300"}, O3={"quantity": "2"}, **{"": ANEW | {"order_id": "O5"}}
    )
    first, second = run(root, "readmit", path), run(root, "readmit", path, "--json")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "3 admitted tonight, 0 still bad, 0 handed in before." in first.output
    assert [row["is_known"] for row in json.loads(second.output)] == [True] * 3
    lake = Lake(root / "lake")
    assert len(pieces(lake)) == 1
    assert sorted(readmitted(lake, CONTRACTS["transactions"])["order_id"].to_pylist()) == ["O2", "O3", "O5"]


ANEW = {"quantity": "1", "customer_id": "C2"}


def test_a_workbook_is_taken_too(root, tmp_path):
    run(root, "export", "customers", tmp_path / "bad.xlsx")
    book = openpyxl.load_workbook(tmp_path / "bad.xlsx")
    sheet = book["Quarantine"]
    column = [cell.value for cell in sheet[1]].index("customer_id") + 1
    sheet.cell(2, column).value = 4711
    book.save(tmp_path / "bad.xlsx")
    assert run(root, "readmit", tmp_path / "bad.xlsx").exit_code == 0
    found = readmitted(Lake(root / "lake"), CONTRACTS["customers"])
    assert found.to_pylist() == [{"customer_id": "4711", "region": "=North"}]


def test_an_unknown_row_takes_none(root, tmp_path):
    run(root, "export", "transactions", tmp_path / "bad.csv")
    path = repaired(tmp_path / "bad.csv", O2={"amount_cents": "300"}, O3={"row_id": "0" * 32})
    with pytest.raises(ContractError, match=r"row_id '0{32}' in line"):
        run(root, "readmit", path)
    assert pieces(Lake(root / "lake")) == ()


def test_while_a_night_runs_nothing_is_handed_in(root, tmp_path):
    run(root, "export", "transactions", tmp_path / "bad.csv")
    with Lake(root / "lake").lock(), pytest.raises(LockHeldError):
        run(root, "readmit", repaired(tmp_path / "bad.csv", O2={"amount_cents": "300"}))
    assert pieces(Lake(root / "lake")) == ()


def test_verdicts_show_no_value_of_a_row(root, tmp_path):
    run(root, "export", "identities", tmp_path / "bad.csv")
    text: Any = (tmp_path / "bad.csv").read_text()
    (tmp_path / "bad.csv").write_text(text.replace("Ada Lovelace", "Ada King"))
    result = run(root, "readmit", tmp_path / "bad.csv")
    assert result.exit_code == 3
    assert "customer_id is null" in result.output
    assert "Ada" not in result.output
