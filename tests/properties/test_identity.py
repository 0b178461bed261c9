"""The log of identities: replay is a function of the log, a split takes a merge back, and order does not matter."""

from datetime import date, datetime, timedelta
from itertools import permutations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.identity.log import LOG, IdentityError, empty, merge, replay, split

NOW = datetime(2024, 5, 1)
IDS = [f"c{i}" for i in range(8)]
SEEN = {one: date(2020, 1, 1) + timedelta(days=(i * 5) % 8) for i, one in enumerate(IDS[:-1])}
pairs = st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)).filter(lambda pair: pair[0] != pair[1])
steps = st.lists(st.tuples(st.sampled_from(["merge", "merge", "split"]), pairs), max_size=14)


def said(log: pa.Table, action: str, a: str, b: str) -> pa.Table:
    how = {"by": "clerk", "reason": "seen", "decided_at": NOW}
    return merge(log, a, b, first_seen=SEEN, **how) if action == "merge" else split(log, a, b, **how)


def played(chosen: list[tuple[str, tuple[str, str]]]) -> pa.Table:
    """Return the log of those of the steps that are possible where they stand."""
    log = empty()
    for action, pair in chosen:
        who = replay(log)
        if (who.master(pair[0]) != who.master(pair[1])) == (action == "merge"):
            log = said(log, action, *pair)
    return log


def persons(log: pa.Table) -> set[frozenset[str]]:
    who = replay(log)
    return {frozenset(one for one in IDS if who.master(one) == master) for master in map(who.master, IDS)}


def oracle(log: pa.Table) -> set[frozenset[str]]:
    """Return the persons by flooding the merges that stand."""
    edges: list[frozenset[str]] = []
    for row in log.to_pylist():
        pair = frozenset({row["customer_id_a"], row["customer_id_b"]})
        edges = [*edges, pair] if row["action"] == "merge" else [edge for edge in edges if edge != pair]
    groups = [{one} for one in IDS]
    for _ in IDS:
        for edge in edges:
            touched = [group for group in groups if group & edge]
            groups = [group for group in groups if not group & edge] + [set().union(*touched)]
    return {frozenset(group) for group in groups}


@given(steps)
@settings(max_examples=80, deadline=None)
def test_persons_are_those_that_the_standing_merges_connect(chosen):
    log = played(chosen)
    assert persons(log) == oracle(log)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_replay_reads_the_log_alone(chosen):
    log = played(chosen)
    shuffled = log.take(pa.array(reversed(range(log.num_rows)), pa.int64()))
    chunks = pa.concat_tables([log.slice(i, 1) for i in range(log.num_rows)] or [log])
    assert replay(log).mapping() == replay(shuffled).mapping() == replay(chunks).mapping()
    assert log.schema == LOG


@given(steps)
@settings(max_examples=80, deadline=None)
def test_a_person_goes_by_the_id_of_their_first_customer(chosen):
    log = played(chosen)
    who = replay(log)
    for group in persons(log):
        first = min(group, key=lambda one: (SEEN.get(one) or date.max, one))
        assert {who.master(one) for one in group} == {first}
    assert set(who.mapping()) == {one for one in IDS if who.master(one) != one}


@given(steps, pairs)
@settings(max_examples=80, deadline=None)
def test_merge_then_split_is_as_before(chosen, pair):
    before = played(chosen)
    if replay(before).master(pair[0]) == replay(before).master(pair[1]):
        return
    after = said(said(before, "merge", *pair), "split", *pair)
    assert replay(after).mapping() == replay(before).mapping()
    assert after.slice(0, before.num_rows).equals(before)


@given(steps, pairs)
@settings(max_examples=80, deadline=None)
def test_a_split_parts_the_two_and_touches_nobody_else(chosen, pair):
    before = played(chosen)
    if replay(before).master(pair[0]) != replay(before).master(pair[1]):
        return
    after = said(before, "split", *pair)
    assert replay(after).master(pair[0]) != replay(after).master(pair[1])
    assert replay(after).are_parted(*pair)
    assert {group for group in persons(before) if pair[0] not in group} <= persons(after)
    assert len(persons(after)) == len(persons(before)) + 1


@given(st.lists(pairs, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_the_order_of_merges_does_not_matter(chosen):
    orders = [played([("merge", pair) for pair in order]) for order in permutations(chosen)]
    assert len({str(sorted(replay(log).mapping().items())) for log in orders}) == 1


@given(steps)
@settings(max_examples=60, deadline=None)
def test_numbers_are_given_once_and_in_order(chosen):
    log = played(chosen)
    assert log["sequence"].to_pylist() == list(range(log.num_rows))


@given(steps, st.sampled_from(IDS))
@settings(max_examples=80, deadline=None)
def test_what_erasure_takes_out_was_never_said(chosen, gone):
    log = played(chosen)
    left = pa.Table.from_pylist(
        [row for row in log.to_pylist() if gone not in {row["customer_id_a"], row["customer_id_b"]}], schema=LOG
    )
    assert persons(left) == oracle(left)
    assert replay(left).master(gone) == gone
    extended = played(chosen) if left.num_rows == 0 else said_somewhere(left)
    assert len(set(extended["sequence"].to_pylist())) == extended.num_rows


def said_somewhere(log: pa.Table) -> pa.Table:
    """Return the log with a merge of the first two persons; as it is where there is one person."""
    first, *others = sorted({replay(log).master(one) for one in IDS})
    return said(log, "merge", first, others[0]) if others else log


@given(pairs)
@settings(max_examples=10, deadline=None)
def test_impossible_decisions_are_refused(pair):
    a, b = pair
    with pytest.raises(IdentityError, match="two persons already"):
        said(empty(), "split", a, b)
    log = said(empty(), "merge", a, b)
    with pytest.raises(IdentityError, match="one person already"):
        said(log, "merge", b, a)
    with pytest.raises(IdentityError, match="twice"):
        said(log, "merge", a, a)
