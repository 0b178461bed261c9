"""Merges by rule: only the rules that are written, only what is equal, never a family, never against a person."""

import json
from datetime import date, datetime

import duckdb
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data.identity.log import empty, merge, replay, split
from data.identity.rules import merge_by_rules
from data.identity.settings import Identity

NOW = datetime(2024, 5, 1, 9)
BOTH = Identity(merge_rules=("email+name", "phone+name"), default_region="DE")
HOW = {"by": "Kim", "reason": "called them", "decided_at": NOW}


def row(customer_id, name="Anna Meyer", email=None, phone=None):
    return {"customer_id": customer_id, "name": name, "email": email, "phone": phone}


def ruled(rows, identity=BOTH, log=None, first_seen=None):
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    with duckdb.connect() as connection:
        connection.register("identities", table)
        return merge_by_rules(
            empty() if log is None else log, connection, "identities", identity, decided_at=NOW, first_seen=first_seen
        )


SAME = [row("a", email="anna@example.org"), row("b", "MEYER, Anna", "Anna@Example.org")]


def test_nothing_is_merged_without_a_rule():
    assert ruled(SAME, Identity()).num_rows == 0


def test_equal_parts_are_merged_and_the_rule_is_named():
    decided = ruled(SAME).to_pylist()
    assert len(decided) == 1
    assert (decided[0]["by"], decided[0]["decided_at"]) == ("rule: email+name", NOW)
    assert json.loads(decided[0]["evidence_json"]) == {"email_level": "same", "name_level": "same"}
    assert "example.org" not in str(decided)


@pytest.mark.parametrize(
    "other",
    [
        row("b", "Jonas Meyer", "anna@example.org"),
        row("b", "Anna Meyr", "anna@example.org"),
        row("b", None, "anna@example.org"),
        row("b", "Anna Meyer", None),
        row("b", "Anna Meyer", "other@example.org"),
    ],
)
def test_what_is_not_equal_or_not_known_is_left(other):
    assert ruled([SAME[0], other]).num_rows == 0


def test_one_word_is_too_little_of_a_name():
    assert ruled([row("a", "Anna", "x@example.org"), row("b", "Anna", "x@example.org")]).num_rows == 0


def test_a_crowd_is_left_to_people():
    crowd = [row(f"{i:03d}", "Max Mustermann", "unknown@example.org") for i in range(60)]
    assert ruled(crowd).num_rows == 0
    assert ruled(crowd[:10]).num_rows == 9


def test_the_first_seen_keeps_the_id():
    log = ruled(SAME, first_seen={"a": date(2022, 1, 1), "b": date(2020, 1, 1)})
    assert replay(log).mapping() == {"a": "b"}


def test_two_rules_join_what_each_alone_does_not():
    rows = [
        row("a", email="anna@example.org"),
        row("b", email="anna@example.org", phone="0151 23456789"),
        row("c", phone="+49 151 23456789"),
    ]
    assert replay(ruled(rows)).mapping() == {"b": "a", "c": "a"}
    assert replay(ruled(rows, Identity(merge_rules=("email+name",)))).mapping() == {"b": "a"}


def test_a_second_run_decides_nothing_new():
    log = ruled(SAME)
    assert ruled(SAME, log=log).equals(log)


def test_no_rule_joins_what_a_person_parted():
    log = split(ruled(SAME), "a", "b", **HOW)
    assert ruled(SAME, log=log).equals(log)


def test_no_rule_joins_parted_persons_by_a_third():
    rows = [*SAME, row("c", email="anna@example.org")]
    log = split(merge(empty(), "a", "b", **HOW), "a", "b", **HOW)
    who = replay(ruled(rows, log=log))
    assert who.master("a") != who.master("b")


@pytest.mark.slow
def test_no_family_is_merged_by_rule_and_most_merges_are_there(people):
    company = people.company(6000, family_share=0.6, seed=11)
    log = ruled(company.identities)
    named = [(one["customer_id_a"], one["customer_id_b"]) for one in log.to_pylist()]
    assert len(named) > 150
    assert [pair for pair in named if not company.is_one(*pair)] == []


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (("email",), "merge strangers"),
        (("email+phone",), "merge strangers"),
        (("name",), "merge strangers"),
        (("name+name",), "merge strangers"),
        (("e-mail+name",), "no such part 'e-mail'"),
        (("",), "no such part"),
    ],
)
def test_a_rule_that_would_merge_families_is_refused(rules, said):
    with pytest.raises(ValidationError, match=said):
        Identity(merge_rules=rules)


@pytest.mark.parametrize("region", ["de", "Germany", "XX", ""])
def test_a_region_is_two_letters_of_a_country(region):
    with pytest.raises(ValidationError, match="no such region"):
        Identity(default_region=region)


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="merge_rule"):
        Identity(merge_rule=("email+name",))
