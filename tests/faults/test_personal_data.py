"""Catalogue row G8: what is planted in every cell stays in the tables: no log, document, result, error or file says it.

Everything runs at the DEBUG level, with good rows, rejected rows, a broken contract and a rule that cannot be run.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, DType, quoted
from data.contracts.rules import holds, matches, rules
from data.errors import ContractError
from data.quarantine import admit, admit_all
from data.validation import gx_expectation, validate

SECRETS = ("anna.nobody@example.org", "+46 70 123 45 67", "Anna Nobody-Svensson", "4111 1111 1111 1111")
DELIVERY = Delivery(datetime(2024, 5, 1), "Europe/Berlin", ("USD",), reject_limit=1.0)


def plant(connection: duckdb.DuckDBPyConnection, contract: Contract) -> str:
    """Deliver the contract's rows, good and bad, with a secret in each text, each unreadable cell and an attribute."""
    raw, names = f"raw_{contract.name}", [column.name for column in contract.columns]
    texts = {
        column.name for column in contract.columns if column.dtype is DType.STRING and not column.name.endswith("id")
    }
    lines = [dict(line) for line in contract.examples]
    lines += [{**contract.examples[0], **reject.changes} for reject in contract.rejects]
    lines += [{**contract.examples[0], name: SECRETS[place % 4]} for place, name in enumerate(names)]
    rows = [
        [*(SECRETS[place % 4] if name in texts and line.get(name) else line.get(name) for name in names), SECRETS[1]]
        for place, line in enumerate(lines)
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
