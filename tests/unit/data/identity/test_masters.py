"""The log in the lake, and one id for each person in the tables that a run opens."""

from datetime import date, datetime

import duckdb
import pyarrow as pa
import pytest

from data.errors import LockHeldError
from data.identity.log import LOG, empty, merge, split
from data.identity.masters import IDENTITY_LOG, MAPPING, master_ids, read_log, resolved, write_log
from data.lake import Lake

HOW = {"by": "Kim", "reason": "called them", "decided_at": datetime(2024, 5, 1)}


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        yield connection


def mapping(**ids):
    return pa.table({"customer_id": list(ids), "master_id": list(ids.values())}, schema=MAPPING)


def test_a_lake_without_decisions_has_no_mapping(lake):
    assert read_log(lake).num_rows == 0
    assert master_ids(lake).equals(MAPPING.empty_table())


def test_the_log_comes_back_as_it_was_written(lake):
    log = merge(empty(), "b", "a", first_seen={"a": date(2020, 1, 1)}, **HOW)
    write_log(lake, log)
    assert read_log(lake).equals(log)
    assert read_log(lake).schema == LOG
    assert master_ids(lake).to_pylist() == [{"customer_id": "b", "master_id": "a"}]
    write_log(lake, split(log, "a", "b", **HOW))
    assert master_ids(lake).num_rows == 0
    assert lake.read(IDENTITY_LOG, version=0).num_rows == 1


def test_the_log_only_grows(lake):
    log = merge(empty(), "a", "b", **HOW)
    write_log(lake, merge(log, "c", "d", **HOW))
    for shorter in (log, empty(), merge(log, "c", "e", **HOW)):
        with pytest.raises(ValueError, match="only grows"):
            write_log(lake, shorter)


def test_decisions_wait_for_the_lock(lake):
    with lake.lock(), pytest.raises(LockHeldError), Lake(lake.root).lock():
        pass


def test_events_go_to_the_person_and_none_is_lost(connection):
    connection.execute(
        """CREATE TABLE transactions AS SELECT * FROM (VALUES ('a', 1), ('b', 2), (NULL, 4), ('c', 8))
        t(customer_id, amount_cents)"""
    )
    view = resolved(connection, "transactions", mapping(b="a"))
    sums = connection.sql(f"SELECT customer_id, sum(amount_cents)::INT FROM {view} GROUP BY 1 ORDER BY 1").fetchall()
    assert sums == [("a", 3), ("c", 8), (None, 4)]
    assert connection.table(view).columns == ["customer_id", "amount_cents"]


def test_a_person_is_one_row_of_customers_their_own_with_the_earliest_day(connection):
    connection.execute(
        """CREATE TABLE customers AS SELECT * FROM (VALUES
        ('a', DATE '2020-05-01', 'North'), ('b', DATE '2020-01-01', 'South'), ('c', NULL, 'West'), ('d', NULL, 'East'))
        t(customer_id, first_seen_on, region)"""
    )
    view = resolved(connection, "customers", mapping(b="a", d="z"), one_per=["customer_id"])
    assert connection.table(view).order("customer_id").fetchall() == [
        ("a", date(2020, 1, 1), "North"),
        ("c", None, "West"),
        ("z", None, "East"),
    ]


def test_of_two_arms_of_one_person_the_own_one_stays(connection):
    connection.execute(
        """CREATE TABLE contacts AS SELECT * FROM (VALUES ('k', 'b', 'control'), ('k', 'a', 'mail'), ('l', 'b', 'mail'))
        t(campaign_id, customer_id, arm)"""
    )
    view = resolved(connection, "contacts", mapping(b="a"), one_per=["campaign_id", "customer_id"])
    assert connection.table(view).order("campaign_id").fetchall() == [("k", "a", "mail"), ("l", "a", "mail")]


def test_opening_again_takes_the_new_mapping(connection):
    connection.execute("CREATE TABLE feedback AS SELECT 'b' AS customer_id")
    assert connection.table(resolved(connection, "feedback", mapping(b="a"))).fetchall() == [("a",)]
    assert connection.table(resolved(connection, "feedback", mapping())).fetchall() == [("b",)]
    assert connection.table("feedback").fetchall() == [("b",)]


def test_names_are_only_names(connection):
    connection.execute("""CREATE TABLE "so ""called"" t" AS SELECT '''); DROP' AS customer_id""")
    view = resolved(connection, 'so "called" t', mapping(**{"'); DROP": "a"}))
    assert connection.table(view).fetchall() == [("a",)]
