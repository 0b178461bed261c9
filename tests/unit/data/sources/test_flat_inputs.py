"""Flat files: one row per customer with a label, one row per participant of a trial, and what is too little."""

import tomllib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data.contracts import CONTRACTS
from data.contracts.base import Delivery
from data.engine import connect
from data.errors import ConfigError
from data.quarantine import Admission, admit_all
from data.sources import FilesSource, Sources

LABELLED = """
[sources.customers]
path = "a.csv"
columns = { customer_id = "id" }
label = { column = "left", %s }
"""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    made: duckdb.DuckDBPyConnection = connect(threads=2).con
    yield made
    made.close()


@pytest.fixture
def admitted(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> Callable[[str, str], dict[str, Admission]]:
    """Return a function that loads ``a.csv`` by a configuration and admits what it says."""

    def run(config: str, text: str) -> dict[str, Admission]:
        (tmp_path / "a.csv").write_text(text)
        loaded = FilesSource(Sources.model_validate(tomllib.loads(config)["sources"]), tmp_path).load(connection)
        delivery = Delivery(datetime(2024, 5, 1), reject_limit=1.0)
        return admit_all(connection, {name: one.table for name, one in loaded.items()}, delivery)

    return run


@pytest.mark.parametrize(
    ("words", "cell", "flag"),
    [
        ('churned = ["Yes"], kept = ["No"]', "Yes", True),
        ('churned = ["Yes"], kept = ["No"]', " Yes ", True),
        ('churned = ["Yes"], kept = ["No"]', "No", False),
        ('churned = ["Yes"], kept = ["No"]', "", None),
        ('churned = ["Yes"]', "No", False),
        ('churned = ["Yes"]', "anything else", False),
        ('churned = ["Yes"]', " ", None),
        ('churned = ["no"], kept = ["yes"]', "yes", False),
        ('churned = ["gone", "it\'s over"]', "it's over", True),
        ('churned = ["1"], kept = ["0"]', "1", True),
    ],
)
def test_a_label_says_who_left(admitted, connection, words, cell, flag):
    admitted(LABELLED % words, f"id,left\nC1,{cell}\nC2,Yes\n")
    found = connection.execute("SELECT has_churned FROM customers_accepted WHERE customer_id = 'C1'").fetchall()
    assert found == [(flag,)]


@pytest.mark.parametrize("cell", ["Y", "yes", "true", "1", "No ticket", "maybe"])
def test_a_word_that_is_neither_goes_to_the_quarantine_even_if_it_reads_as_a_flag(admitted, connection, cell):
    found = admitted(LABELLED % 'churned = ["Yes"], kept = ["No"]', f"id,left\nC1,{cell}\nC2,No\n")["customers"]
    assert found.reconciliation.n_quarantined == 1
    ((reasons, row),) = connection.execute(f"SELECT reasons, row_json FROM {found.quarantine}").fetchall()
    assert reasons == "has_churned is not a flag"
    assert f"{cell} [neither Yes or No]" in row


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (pa.array([True, False, None]), 'churned = ["true"], kept = ["false"]'),
        (pa.array([1, 0, None]), 'churned = ["1"], kept = ["0"]'),
        (pa.array([1.0, 0.0, None]), 'churned = ["1.0"], kept = ["0.0"]'),
    ],
)
def test_a_label_may_be_no_text(tmp_path, admitted, connection, cells, words):
    pq.write_table(pa.table({"id": ["C1", "C2", "C3"], "left": cells}), tmp_path / "a.parquet")
    admitted((LABELLED % words).replace("a.csv", "a.parquet"), "")
    found = connection.execute("SELECT has_churned FROM customers_accepted ORDER BY customer_id").fetchall()
    assert found == [(True,), (False,), (None,)]


def test_a_label_by_columns_and_words_says_the_same(admitted, connection):
    by_words = """
[sources.customers]
path = "a.csv"
columns = { customer_id = "id", has_churned = "left" }
values.has_churned = { ja = "yes", nein = "no" }
"""
    admitted(by_words, "id,left\nC1,ja\nC2,nein\nC3,\nC4,vielleicht\n")
    found = connection.execute("SELECT customer_id, has_churned FROM customers_accepted ORDER BY 1").fetchall()
    assert found == [("C1", True), ("C2", False), ("C3", None)]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LABELLED % 'churned = ["Yes"], kept = ["Yes"]', "Yes cannot mean both that a customer left and stayed"),
        (LABELLED % "churned = []", "at least 1 item"),
        (LABELLED % 'kept = ["No"]', "Field required"),
    ],
)
def test_a_label_that_says_nothing_is_refused(config, words):
    with pytest.raises(ValidationError, match=words):
        Sources.model_validate(tomllib.loads(config)["sources"])


def test_a_label_stands_on_customers_alone_and_once():
    with pytest.raises(ConfigError, match=r"unknown key 'label' in \[sources.products\]"):
        Sources.model_validate({"products": {"path": "a", "columns": {"product_id": "p"}, "label": LABEL}})
    twice = {"path": "a", "columns": {"customer_id": "c", "has_churned": "x"}, "label": LABEL}
    with pytest.raises(ConfigError, match="two sources of has_churned"):
        Sources.model_validate({"customers": twice})


LABEL = {"column": "left", "churned": ["Yes"]}
CUSTOMERS = {"path": "a.csv", "columns": {"customer_id": "id"}}
ENOUGH = {
    "transactions": {
        "path": "a.csv",
        "columns": {name: name for name in ("order_id", "customer_id", "product_id", "event_time", "quantity")},
        "constants": {"amount_cents": 0},
    },
    "subscriptions": {"path": "a.csv", "columns": {name: name for name in ("customer_id", "plan", "started_on")}},
    "trials": {"path": "a.csv", "columns": {name: name for name in ("trial_id", "customer_id", "arm", "outcome")}},
}


@pytest.mark.parametrize(
    "sections",
    [
        *({name: table} for name, table in ENOUGH.items()),
        {"customers": CUSTOMERS | {"label": LABEL}},
        {"customers": {"path": "a.csv", "columns": {"customer_id": "id", "has_churned": "left"}}},
        {"customers": {"rows": [{"customer_id": "C1", "has_churned": True}]}},
    ],
)
def test_one_table_that_says_who_bought_stayed_or_left_is_enough(sections):
    Sources.model_validate(sections).check_enough()


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        ({}, "no table"),
        ({"customers": CUSTOMERS}, "customers"),
        ({"customers": CUSTOMERS, "identities": CUSTOMERS}, "customers, identities"),
    ],
)
def test_without_one_the_error_says_what_is_missing(sections, found):
    with pytest.raises(ConfigError, match=rf"\[sources\] has {found}, and nothing says.*map \[sources.transactions\]"):
        Sources.model_validate(sections).check_enough()


def test_every_contract_has_a_section_of_its_name():
    assert set(Sources.model_fields) == set(CONTRACTS)


@pytest.mark.parametrize(
    "dated",
    [
        ("%Y%m%d", pa.array([20240301, None]), date(2024, 3, 1)),
        ("epoch", pa.array([1709251200, None]), date(2024, 3, 1)),
        ("epoch", pa.array([1709251200.0, None]), date(2024, 3, 1)),
        ("%Y%m%d", pa.array([date(2024, 3, 1), None]), date(2024, 3, 1)),
    ],
)
def test_dates_that_are_written_as_numbers_are_read(tmp_path, admitted, connection, dated):
    form, cells, day = dated
    pq.write_table(pa.table({"id": ["C1", "C2"], "at": cells}), tmp_path / "a.parquet")
    where = f'path = "a.parquet"\ndate_format = "{form}"'
    config = f"""
[sources.customers]
{where}
columns = {{ customer_id = "id", first_seen_on = "at" }}
[sources.feedback]
{where}
columns = {{ customer_id = "id", feedback_id = "id", event_time = "at" }}
constants = {{ kind = "review" }}
"""
    admitted(config, "")
    for table, column in (("customers", "first_seen_on"), ("feedback", "event_time")):
        query = f"SELECT CAST({column} AS DATE) FROM {table}_accepted WHERE customer_id = 'C1'"
        assert connection.execute(query).fetchall() == [(day,)]


def test_people_consents_plans_and_feedback_come_from_files_too(tmp_path, admitted, connection):
    (tmp_path / "people.csv").write_text("id;who;mail;road\nC1;Anna Example;anna@example.org;Storgatan 1\nC2;Bo;;\n")
    (tmp_path / "plans.csv").write_text(
        "id;plan;von;bis;fee\nC1;basic;01.01.2023;01.07.2023;9,99\nC1;basic;01.07.2023;;10,99\n"
    )
    (tmp_path / "said.csv").write_text("nr;id;art;wann\n1;C1;Beschwerde;2024-03-01\n2;C9;Lob;2024-03-02\n")
    config = """
[sources.identities]
path = "people.csv"
delimiter = ";"
columns = { customer_id = "id", name = "who", email = "mail", street = "road" }
[sources.consents]
path = "a.csv"
columns = { customer_id = "id", is_granted = "ok", event_time = "at" }
constants = { purpose = "marketing" }
values.is_granted = { ja = "yes", nein = "no" }
[sources.subscriptions]
path = "plans.csv"
delimiter = ";"
decimal = ","
date_format = "%d.%m.%Y"
columns = { customer_id = "id", plan = "plan", started_on = "von", ended_on = "bis" }
money.fee_cents = { column = "fee" }
[sources.feedback]
path = "said.csv"
delimiter = ";"
columns = { feedback_id = "nr", customer_id = "id", kind = "art", event_time = "wann" }
values.kind = { Beschwerde = "complaint", Lob = "praise" }
"""  # fmt: skip
    found = admitted(config, "id,ok,at\nC1,ja,2024-01-01\nC1,nein,2024-02-01\nC2,vielleicht,2024-02-01\n")
    counts = {name: (one.reconciliation.n_accepted, one.reconciliation.n_quarantined) for name, one in found.items()}
    assert counts == {"identities": (2, 0), "consents": (2, 1), "subscriptions": (2, 0), "feedback": (1, 1)}
    assert connection.execute("SELECT is_granted FROM consents_accepted ORDER BY event_time").fetchall() == [
        (True,),
        (False,),
    ]
    fees = connection.execute("SELECT fee_cents, ended_on FROM subscriptions_accepted ORDER BY started_on").fetchall()
    assert fees == [(999, date(2023, 7, 1)), (1_099, None)]
    assert connection.execute("SELECT reasons FROM feedback_quarantine").fetchall() == [("unknown kind",)]
    overlaps = [one for one in found["subscriptions"].results if one.expectation == "contract versions overlap"]
    assert [one.n_failed for one in overlaps] == [0]
