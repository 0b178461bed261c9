"""Data Docs: Great Expectations' pages of a run, static, private, the same for the same results, and of counts only."""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, DType
from data.contracts.rules import rules
from data.data_docs import write_data_docs
from data.validation import Seen, validate

AS_OF = datetime(2024, 5, 1, 5)
PARENTS = {"customers": ("customer_id", "C1"), "products": ("product_id", "P1"), "campaigns": ("campaign_id", "K1")}
DELIVERY = Delivery(
    AS_OF,
    currencies=("EUR",),
    parents={name: f"parent_{name}" for name in PARENTS},
    usual_amount_cents=100,
    reject_limit=1.0,
)
PLANTED = {
    "mail": "ada.lovelace@example.org",
    "phone": "+44 20 7946 0958",
    "name": "Ada Byron-Lovelace",
    "card": "4111 1111 1111 1111",
    "markup": "<script>alert(1)</script>",
}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as made:
        for parent, (key, value) in PARENTS.items():
            made.execute(f"CREATE TABLE parent_{parent} AS SELECT '{value}' AS {key}")
        yield made


def saw(connection: duckdb.DuckDBPyConnection, contract: Contract, lines: list[dict[str, Any]], seen: Seen) -> None:
    names = list(
        dict.fromkeys([*(column.name for column in contract.columns), *(name for line in lines for name in line)])
    )
    raw = pa.table({name: pa.array([line.get(name) for line in lines], pa.string()) for name in names})
    connection.register("delivered", raw)
    connection.execute("CREATE OR REPLACE TABLE raw AS FROM delivered")
    staged = stage(connection, contract, "raw", DELIVERY)
    rows = distinct(connection, contract, staged)
    for about_copies, table in ((True, staged), (False, rows)):
        chosen = [rule for rule in rules(contract) if rule.is_about_copies is about_copies]
        validate(connection, contract, chosen, table, seen)


@pytest.fixture(scope="module")
def seen(connection) -> Seen:
    found: Seen = {}
    for contract in CONTRACTS.values():
        bad = [{**contract.examples[0], **reject.changes} for reject in contract.rejects]
        saw(connection, contract, [*contract.examples, *bad], found)
    return found


class Page(HTMLParser):
    """What a page shows, and what it would load or open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.html = path.read_text()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action", "data-url"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    @property
    def shown(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def test_there_is_an_index_and_one_page_for_each_contract(seen, tmp_path):
    index = write_data_docs(seen, tmp_path / "docs", AS_OF)
    assert index == tmp_path / "docs" / "index.html"
    assert {path.stem for path in index.parent.iterdir()} == {"index", *CONTRACTS}
    page = Page(index)
    assert {f"{name}.html" for name in CONTRACTS} <= set(page.links)
    assert "Data Docs of 2024-05-01" in page.shown
    n_broken = sum(not result.success for result in seen["transactions"])
    assert f"transactions with findings {len(seen['transactions'])} {n_broken}" in page.shown


def test_a_page_names_each_rule_with_its_count(seen, tmp_path):
    write_data_docs(seen, tmp_path, AS_OF)
    for contract in CONTRACTS.values():
        shown = Page(tmp_path / f"{contract.name}.html").shown
        evaluated = {str(result.expectation_config.meta["name"]) for result in seen[contract.name]}
        assert all(name in shown for name in evaluated)
        assert f"Evaluated Expectations {len(seen[contract.name])}" in shown
    shown = Page(tmp_path / "transactions.html").shown
    assert "orphan customer 1 unexpected rows" in shown
    assert "order_id is null" in shown
    assert "2024-05-01T05:00:00Z" in shown


def test_a_clean_run_says_that_it_succeeded(connection, tmp_path):
    seen: Seen = {}
    saw(connection, CONTRACTS["customers"], [{"customer_id": "C1"}], seen)
    index = write_data_docs(seen, tmp_path, AS_OF)
    assert "customers passed" in Page(index).shown
    assert "Status: Succeeded" in Page(tmp_path / "customers.html").shown


def test_a_page_loads_nothing_runs_nothing_and_links_to_its_neighbours_only(seen, tmp_path):
    write_data_docs(seen, tmp_path, AS_OF)
    for path in tmp_path.iterdir():
        page = Page(path)
        assert not {"script", "link", "img", "iframe", "form", "object"} & set(page.tags)
        assert "http:" not in page.html
        assert "https:" not in page.html
        assert "url(" not in page.html
        assert "default-src 'none'" in page.html
        for link in page.links:
            assert link.startswith("#") or (tmp_path / link).is_file(), link


def test_values_of_rows_never_reach_a_page(connection, tmp_path):
    seen: Seen = {}
    for contract in CONTRACTS.values():
        texts = [column.name for column in contract.columns] + ["note"]
        spoilt = [{**contract.examples[0], name: f"{value} in {name}"} for value in PLANTED.values() for name in texts]
        saw(connection, contract, [*contract.examples, *spoilt, *spoilt[:3]], seen)
    write_data_docs(seen, tmp_path, AS_OF)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for value in PLANTED.values():
        assert value.encode() not in content
        assert value.split()[0].encode() not in content.replace(b"<script>", b"")
    assert any(column.dtype is DType.STRING for column in CONTRACTS["identities"].columns)


def test_even_a_result_with_values_is_written_without_them(connection, tmp_path):
    seen: Seen = {}
    saw(connection, CONTRACTS["customers"], [{"customer_id": None}], seen)
    for result in seen["customers"]:
        result.result["partial_unexpected_list"] = [PLANTED["mail"]]
        result.result["unexpected_rows"] = [{"name": PLANTED["name"]}]
        result.exception_info = {"raised_exception": False, "exception_message": PLANTED["phone"]}
    write_data_docs(seen, tmp_path, AS_OF)
    html = (tmp_path / "customers.html").read_text()
    assert not [value for value in PLANTED.values() if value in html]


def test_the_same_results_give_the_same_bytes(seen, tmp_path):
    write_data_docs(seen, tmp_path / "a", AS_OF)
    write_data_docs(seen, tmp_path / "b", AS_OF)
    write_data_docs(seen, tmp_path / "b", AS_OF)
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab")
    assert first == second


def test_only_the_owner_may_look(seen, tmp_path, open_umask):
    write_data_docs(seen, tmp_path / "docs", AS_OF)
    assert (tmp_path / "docs").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "docs").iterdir()} == {0o600}


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_great_expectations_has_no_complaint(seen, tmp_path, caplog, capsys):
    write_data_docs(seen, tmp_path, AS_OF)
    assert caplog.text == ""
    assert capsys.readouterr() == ("", "")
