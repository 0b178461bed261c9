"""A customer leaves every table and every version of the lake, and nobody else loses a row; what is held is told."""

import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from data.erasure import customers_in, find, forget, held
from data.lake import Lake
from data.rewriting import Rewritten
from data.tombstones import bury
from data.traces import Traces

AS_OF, LATER = datetime(2024, 1, 1), datetime(2024, 2, 1)
HOSTILE = ("'); DROP TABLE x; --", "../../etc/passwd", 'a"b', "x" * 300, "a\nb", "日本-ü", "%s{}", "=1+1", "<b>")


def identity(customer: str, email: str | None, phone: str | None = None) -> dict[str, str | None]:
    return {"customer_id": customer, "name": f"Name of {customer}", "email": email, "phone": phone, "city": "Lund"}


def scores(as_of: datetime, *customers: str) -> pa.Table:
    when = pa.array([as_of] * len(customers), pa.timestamp("us"))
    return pa.table({"as_of": when, "customer_id": list(customers), "cents": range(len(customers))})


def publish(lake: Lake, run_key: str, as_of: datetime, *tables: str) -> None:
    versions = {table: lake.version(table) for table in tables}
    lake.publish(
        run_key, flow="nightly", as_of=as_of, code_digest="c", versions=versions, summary={}, mlflow_run_id=None
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two nights of a small company, the second of which knows a corrected address."""
    lake = Lake(tmp_path / "lake")
    people = [identity("12", "anna@example.org", "+46 70 123 45 67"), identity("512", "bo@example.org")]
    aside = [
        {"customer_id": "12", "email": "old.anna@example.org", "amount": "x"},
        {"customer_id": "512", "note": "anna@example.org pays"},
    ]
    pairs = {"left_customer_id": ["12", "512", "7"], "right_customer_id": ["512", "7", "9"]}
    notes = {"customer_id": ["512", "12"], "text": ["my friend Anna@example.org, 0046701234567?", "I am Anna"]}
    with lake.lock():
        lake.write("identities", pa.Table.from_pylist(people), as_of=None, fingerprint="i1")
        lake.write("quarantine", pa.table({"row_json": list(map(json.dumps, aside))}), as_of=None, fingerprint="q")
        lake.write("identity_log", pa.table(pairs), as_of=None, fingerprint="l")
        lake.write("feedback", pa.table(notes), as_of=None, fingerprint="f")
        lake.write("products", pa.table({"product_id": ["12", "13"]}), as_of=None, fingerprint="p")
        lake.write("scores", scores(AS_OF, "12", "512"), as_of=AS_OF, fingerprint="s1")
        publish(lake, "first", AS_OF, "identities", "scores", "feedback", "quarantine", "products", "identity_log")
        people[0] |= {"email": "anna.new@example.org"}
        people.append(identity("7", "bo@example.org"))
        lake.write("identities", pa.Table.from_pylist(people), as_of=None, fingerprint="i2")
        lake.write("scores", scores(LATER, "12", "512", "7"), as_of=LATER, fingerprint="s2")
        publish(lake, "second", LATER, "identities", "scores", "feedback", "quarantine", "products", "identity_log")
    return lake


def erased(lake: Lake, *customers: str) -> dict[str, Rewritten]:
    found = find(lake.root, customers)
    return forget(lake.root, bury(lake.root.parent, customers), Traces(frozenset(customers), found.contacts))


def test_what_is_held_is_found_in_every_version(lake):
    found = find(lake.root, ["12", "nobody"])
    assert found.rows == {
        "12": {"identities": 2, "quarantine": 1, "identity_log": 1, "feedback": 1, "scores": 2},
        "nobody": {},
    }
    assert found.contacts == {
        "anna@example.org",
        "anna.new@example.org",
        "old.anna@example.org",
        "+46 70 123 45 67",
    }
    assert found.n_shared == 0


def test_an_address_that_another_customer_has_too_stays_with_them(lake):
    found = find(lake.root, ["512"])
    assert found.contacts == set()
    assert found.n_shared == 1
    erased(lake, "512")
    assert lake.read("identities")["email"].to_pylist() == ["anna.new@example.org", "bo@example.org"]


def test_every_row_of_every_version_goes_and_nobody_else_s(lake):
    erased(lake, "12")
    for version, others in ((0, ["512"]), (1, ["512", "7"])):
        assert lake.read("identities", version=version)["customer_id"].to_pylist() == others
        assert lake.read("scores", version=version)["customer_id"].to_pylist()[-len(others) :] == others
    assert lake.read("identity_log")["left_customer_id"].to_pylist() == ["512", "7"]
    assert lake.read("products")["product_id"].to_pylist() == ["12", "13"], "a product is no customer"


def test_text_of_others_stays_without_what_names_the_customer(lake):
    erased(lake, "12")
    assert lake.read("feedback").to_pylist() == [
        {"customer_id": "512", "text": "my friend [erased], 0046701234567?"}
    ], "a number with another prefix is another number"
    (aside,) = lake.read("quarantine")["row_json"].to_pylist()
    assert json.loads(aside) == {"customer_id": "512", "note": "[erased] pays"}


def test_published_nights_resolve_as_before(lake):
    before = lake.snapshot("first"), lake.snapshot("second")
    erased(lake, "12")
    assert (lake.snapshot("first"), lake.snapshot("second")) == before
    assert lake.published("scores", before[0])["customer_id"].to_pylist() == ["512"]
    assert lake.published("scores")["customer_id"].to_pylist() == ["512", "512", "7"]
    with lake.lock():
        publish(lake, "third", LATER, "scores")
    assert lake.snapshot("third").sequence == 2


def test_nothing_is_left_in_any_byte_of_the_lake(lake):
    erased(lake, "12")
    traces = Traces(frozenset({"12"}), frozenset({"anna@example.org", "anna.new@example.org", "+46 70 123 45 67"}))
    assert {
        str(path): traces.in_file(path) for path in lake.root.rglob("*") if path.is_file() and traces.in_file(path)
    } == {}


def test_the_search_would_have_found_it(lake):
    traces = Traces(frozenset({"12"}))
    assert sum(traces.in_file(path) > 0 for path in lake.root.rglob("*") if path.is_file()) >= 6


def test_again_changes_nothing(lake):
    erased(lake, "12")
    assert set(erased(lake, "12").values()) == {Rewritten()}


def test_an_unfinished_sweep_needs_no_list_of_ids(lake):
    """The tombstones say who it is about: what a crash left, or a backup brought back, goes with the next sweep."""
    stones = bury(lake.root.parent, ["12"])
    forget(lake.root, stones, Traces(frozenset()))
    assert find(lake.root, ["12"]).rows == {"12": {}}


@pytest.mark.parametrize("customer", HOSTILE)
def test_hostile_ids_go_like_any_other(tmp_path, customer):
    lake = Lake(tmp_path / "lake")
    rows = [{"customer_id": customer, "other": "x"}, {"customer_id": "kept", "other": f"of {customer}"}]
    with lake.lock():
        lake.write("customers", pa.Table.from_pylist(rows), as_of=None, fingerprint="c")
        lake.write("quarantine", pa.table({"row_json": [json.dumps(row) for row in rows]}), as_of=None, fingerprint="q")
        publish(lake, "night", AS_OF, "customers", "quarantine")
    outside = sorted(path.name for path in tmp_path.iterdir())
    assert held(lake, customer)["customers"] == [rows[0]]
    erased(lake, customer)
    assert lake.read("customers")["customer_id"].to_pylist() == ["kept"]
    assert lake.read("quarantine").num_rows == 1
    assert held(lake, customer) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*outside, "keys"]), "no path leaves the root"


def test_everything_held_is_told_and_nothing_of_others(lake):
    found = held(lake, "512")
    assert {table: len(rows) for table, rows in found.items()} == {
        "feedback": 1, "identities": 1, "identity_log": 2, "quarantine": 1, "scores": 2
    }  # fmt: skip
    assert found["identities"][0]["email"] == "bo@example.org"
    assert "anna.new" not in json.dumps(found, default=str)
    assert held(lake, "5") == {}


def test_what_is_held_is_what_the_newest_night_publishes(lake):
    (row,) = held(lake, "12")["identities"]
    assert row["email"] == "anna.new@example.org"


def test_a_lake_without_a_night_holds_nothing_of_anybody(tmp_path):
    assert held(Lake(tmp_path), "12") == {}


@pytest.mark.parametrize(
    "text", [None, "", "no json customer_id", "[1]", '{"order_id": "12"}', '{"customer_id": null}']
)
def test_what_names_nobody_names_nobody(text):
    assert customers_in(text) == []
