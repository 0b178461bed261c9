"""Catalogue row G8: what is planted in every cell stays in the tables: no log, document, result, error or file says it.

Everything runs at the DEBUG level, with good rows, rejected rows, a broken contract and a rule that cannot be run.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime
from itertools import cycle
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, DType, Severity, quoted
from data.contracts.rules import holds, matches, rules
from data.contracts.trials import CONTROL
from data.errors import ContractError, LakeError
from data.lake import Lake
from data.quarantine import admit, admit_all
from data.tombstones import bury, read_tombstones, refuse
from data.validation import gx_expectation, validate
from pipelines.erase import erase
from pipelines.settings import Settings, Source

SECRETS = ("anna.nobody@example.org", "+46 70 123 45 67", "Anna Nobody-Svensson", "4111 1111 1111 1111")
DELIVERY = Delivery(datetime(2024, 5, 1), "Europe/Berlin", ("USD",), reject_limit=1.0)


def plant(connection: duckdb.DuckDBPyConnection, contract: Contract) -> str:
    """Deliver the contract's rows, good and bad, with a secret in each text, each unreadable cell and an attribute."""
    raw, names = f"raw_{contract.name}", [column.name for column in contract.columns]
    texts = {
        column.name for column in contract.columns if column.dtype is DType.STRING and not column.name.endswith("id")
    }
    stopping = [rule for rule in contract.expectations if rule.severity is Severity.CRITICAL]
    stops = {name for rule in stopping for name in (rule.name, *rule.columns)}
    spared = {None, "", CONTROL}
    lines = [dict(line) for line in contract.examples]
    lines += [{**contract.examples[0], **one.changes} for one in contract.rejects if one.breaks not in stops]
    lines += [{**contract.examples[0], name: SECRETS[n % 4]} for n, name in enumerate(names) if name not in stops]
    rows = [
        [*(secret if name in texts and line.get(name) not in spared else line.get(name) for name in names), SECRETS[1]]
        for secret, line in zip(cycle(SECRETS), lines, strict=False)
    ]
    columns = ", ".join(f"{quoted(name)} VARCHAR" for name in [*names, "e-mail"])
    connection.execute(f"CREATE OR REPLACE TABLE {raw} ({columns})")
    connection.executemany(f"INSERT INTO {raw} VALUES ({', '.join('?' * (len(names) + 1))})", rows)
    return raw


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Listen to every logger at DEBUG, those that libraries had set to something else included."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "level", logging.NOTSET)
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "propagate", True)
    said: list[str] = []
    with caplog.at_level(logging.DEBUG):
        yield said
    records = caplog.get_records("call")
    said += [f"{record.getMessage()} {record.exc_info} {record.exc_text} {record.args}" for record in records]
    assert any(record.levelno == logging.DEBUG for record in records), "nobody spoke, so nothing was listened to"
    assert leaks(" ".join(said)) == []
    assert list(tmp_path.rglob("*")) == []


def leaks(text: str) -> list[str]:
    bare = text.replace("\\", "")
    return [secret for secret in SECRETS if secret in bare]


def test_the_net_would_catch_one():
    assert leaks(repr({"row": f"it's {SECRETS[0]}"})) == [SECRETS[0]]


def test_a_whole_night_of_contracts_says_nothing_personal(heard):
    with duckdb.connect(config={"threads": 1}) as connection:
        tables = {name: plant(connection, contract) for name, contract in CONTRACTS.items()}
        admissions = admit_all(connection, tables, DELIVERY)
        kept = [connection.execute(f"SELECT row_json FROM {one.quarantine}").fetchall() for one in admissions.values()]
    heard += [json.dumps([asdict(one) for one in admission.results]) for admission in admissions.values()]
    heard += [str(admission.reconciliation) for admission in admissions.values()]
    assert leaks(str(kept)) == list(SECRETS), "the quarantine is where the cells themselves are kept"


def test_the_documents_of_great_expectations_hold_rules_and_no_cells(heard):
    with duckdb.connect(config={"threads": 1}) as connection:
        for contract in CONTRACTS.values():
            staged = stage(connection, contract, plant(connection, contract), DELIVERY)
            rows = distinct(connection, contract, staged)
            suite = [gx_expectation(rule, staged if rule.is_about_copies else rows) for rule in rules(contract)]
            heard += [json.dumps(one.configuration.to_json_dict()) for one in suite if one is not None]
            validate(connection, contract, [rule for rule in rules(contract) if not rule.is_about_copies], rows)


def test_a_broken_contract_is_told_without_its_cells(heard):
    with duckdb.connect(config={"threads": 1}) as connection:
        for contract in CONTRACTS.values():
            with pytest.raises(ContractError, match="too many rejected rows") as caught:
                admit(connection, contract, plant(connection, contract), replace(DELIVERY, reject_limit=0.0))
            heard.append(f"{caught.value} {caught.value.__cause__} {caught.value.__context__}")


def test_arms_without_a_control_are_not_told_by_their_names(heard):
    lines = [{"trial_id": "T1", "customer_id": f"C{n}", "arm": secret} for n, secret in enumerate(SECRETS)]
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("CREATE TABLE raw (trial_id VARCHAR, customer_id VARCHAR, arm VARCHAR, outcome INT)")
        connection.executemany("INSERT INTO raw VALUES (?, ?, ?, 1)", [list(line.values()) for line in lines])
        with pytest.raises(ContractError, match="no arm named control") as caught:
            admit(connection, CONTRACTS["trials"], "raw", DELIVERY)
    heard.append(str(caught.value))


@pytest.mark.parametrize(
    "rule",
    [
        holds("a careless cast", "CAST(region AS INTEGER) > 0"),
        holds("a careless date", "CAST(region AS DATE) > DATE '2020-01-01'"),
        holds("a careless error", "CASE WHEN region <> '' THEN error(region) ELSE true END"),
        matches("region", "[", name="a careless pattern"),
        holds("a column that is not there", "nothing > 1"),
    ],
    ids=lambda rule: rule.name,
)
def test_a_rule_that_cannot_be_run_does_not_quote_the_cell_it_broke_on(heard, rule):
    with duckdb.connect(config={"threads": 1}) as connection:
        rows = stage(connection, CONTRACTS["customers"], plant(connection, CONTRACTS["customers"]), DELIVERY)
        with pytest.raises(duckdb.Error, match=f"could not evaluate '{rule.name}'") as caught:
            validate(connection, CONTRACTS["customers"], [rule], rows)
    heard.append(f"{caught.value} {caught.value.__cause__} {caught.value.__context__}")


def test_erasing_a_customer_tells_nobody_who_it_was(heard, tmp_path_factory):
    """Logs, receipt, tombstones, results and errors; the customer's id is their e-mail address here."""
    root = tmp_path_factory.mktemp("erased")
    person = {"customer_id": SECRETS[0], "name": SECRETS[2], "phone": SECRETS[1], "card": SECRETS[3]}
    lake = Lake(root / "var" / "lake")
    with lake.lock():
        lake.write("identities", pa.Table.from_pylist([person]), as_of=None, fingerprint="f")
    settings = Settings(root=root / "var", source=Source(kind="parquet", path=root / "nowhere"))
    with closing(sqlite3.connect(root / "var" / "mlflow.db", isolation_level=None)) as store:
        store.execute("CREATE TABLE tags (value TEXT)")
        store.execute("INSERT INTO tags VALUES (?)", [f"asked by {SECRETS[0]}"])
    (receipt,) = erase(settings, [SECRETS[0]], DELIVERY.received_at)
    heard.append(f"{receipt} {receipt.to_json()}")
    for path in (root / "var").rglob("*"):
        heard.append(f"{path} {path.read_bytes().decode('latin-1') if path.is_file() else ''}")
    stones = read_tombstones(root / "var")
    with duckdb.connect(config={"threads": 1}) as connection:
        refusal = refuse(connection, "customers", plant(connection, CONTRACTS["customers"]), stones)
        admission = admit(connection, CONTRACTS["customers"], refusal.table, DELIVERY)
    assert refusal.n_refused > 0
    heard.append(f"{stones} {refusal} {admission.results}")
    with pytest.raises(LakeError) as caught:
        bury_without_key(root)
    heard.append(str(caught.value))


def bury_without_key(root: Path) -> None:
    (root / "var" / "keys" / "tombstones.key").unlink()
    bury(root / "var", [SECRETS[0]])
