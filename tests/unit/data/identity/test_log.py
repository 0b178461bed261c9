"""Decisions by hand: what is written down, and whose id stays."""

import json
from datetime import date, datetime

import pytest

from data.identity.log import Identities, IdentityError, empty, merge, replay, split

NOW = datetime(2024, 5, 1, 9)
HOW = {"by": "Kim", "reason": "called them", "decided_at": NOW}
SEEN = {"old": date(2019, 1, 1), "mid": date(2020, 1, 1), "new": date(2021, 1, 1)}


def test_a_merge_says_who_when_and_why():
    row = merge(empty(), "new", "old", first_seen=SEEN, evidence={"name_level": "same"}, **HOW).to_pylist()[0]
    assert (row["sequence"], row["action"], row["by"], row["reason"]) == (0, "merge", "Kim", "called them")
    assert (row["customer_id_a"], row["customer_id_b"], row["master_customer_id"]) == ("new", "old", "old")
    assert (row["first_seen_a"], row["first_seen_b"], row["decided_at"]) == (SEEN["new"], SEEN["old"], NOW)
    assert json.loads(row["evidence_json"]) == {"name_level": "same"}


def test_the_older_of_two_persons_keeps_the_id():
    log = merge(empty(), "new", "mid", first_seen=SEEN, **HOW)
    assert replay(log).mapping() == {"new": "mid"}
    log = merge(log, "new", "old", first_seen=SEEN, **HOW)
    assert replay(log).mapping() == {"new": "old", "mid": "old"}
    assert log["master_customer_id"].to_pylist() == ["mid", "old"]


def test_the_day_of_first_sight_is_that_of_the_first_decision():
    log = merge(empty(), "new", "mid", first_seen=SEEN, **HOW)
    later = merge(log, "mid", "old", first_seen=SEEN | {"mid": date(1990, 1, 1)}, **HOW)
    assert replay(later).master("new") == "old"


@pytest.mark.parametrize(("seen", "master"), [({}, "a"), ({"b": date(2024, 1, 1)}, "b"), ({"a": None}, "a")])
def test_unknown_age_is_the_youngest_and_ids_break_ties(seen, master):
    assert replay(merge(empty(), "b", "a", first_seen=seen, **HOW)).master("a") == master


def test_a_split_takes_back_the_merge_that_joined_the_two():
    log = empty()
    for pair in (("a", "b"), ("c", "d"), ("b", "c")):
        log = merge(log, *pair, **HOW)
    assert set(replay(log).mapping().values()) == {"a"}
    log = split(log, "a", "d", **HOW)
    last = log.to_pylist()[-1]
    assert replay(log).mapping() == {"b": "a", "d": "c"}
    assert (last["customer_id_a"], last["customer_id_b"], last["master_customer_id"]) == ("b", "c", "a")


def test_parted_persons_stay_parted_until_somebody_joins_them():
    log = split(merge(empty(), "a", "b", **HOW), "a", "b", **HOW)
    assert replay(log).are_parted("b", "a")
    log = merge(log, "a", "b", **HOW)
    assert not replay(log).are_parted("a", "b")
    assert replay(log).mapping() == {"b": "a"}


def test_whoever_is_joined_to_a_parted_customer_is_parted_too():
    log = merge(split(merge(empty(), "a", "b", **HOW), "a", "b", **HOW), "b", "c", **HOW)
    assert replay(log).are_parted("a", "c")
    assert not replay(log).are_parted("a", "d")


def test_a_long_chain_is_followed_to_its_end():
    who = Identities()
    for i in range(2000, 0, -1):
        who.join(f"{i:04d}", f"{i - 1:04d}")
    assert who.master("2000") == "0000"
    assert set(who.mapping().values()) == {"0000"}


def test_a_refusal_is_one_line_with_what_to_do():
    with pytest.raises(IdentityError) as refused:
        merge(merge(empty(), "a", "b", **HOW), "a", "b", **HOW)
    assert str(refused.value).count("\n") == 0
    assert "regulars identities log" in refused.value.action
