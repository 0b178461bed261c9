"""Consent is what the customer last said, and silence is none."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ConfigError
from data.privacy import SUPPRESSION, consented

DAY = datetime.fromisoformat("2024-03-01")
Statement = tuple[str, str, bool | None, datetime]


def statements(rows: Sequence[Statement]) -> pa.Table:
    schema = pa.schema(
        {"customer_id": pa.string(), "purpose": pa.string(), "is_granted": pa.bool_(), "event_time": pa.timestamp("us")}
    )
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def ask(rows: Sequence[Statement], customers: Sequence[str] = ("a",), as_of: datetime = DAY) -> list[bool]:
    mask = consented(customers, statements(rows), "marketing", as_of)
    assert mask.dtype == bool
    return list(mask.tolist())


def test_the_newest_statement_counts() -> None:
    granted = ("a", "marketing", True, DAY - timedelta(days=9))
    withdrawn = ("a", "marketing", False, DAY - timedelta(days=5))
    granted_again = ("a", "marketing", True, DAY - timedelta(days=1))
    assert ask([granted]) == [True]
    assert ask([granted, withdrawn]) == ask([withdrawn, granted]) == [False]
    assert ask([granted_again, granted, withdrawn]) == [True]


def test_silence_is_no_consent() -> None:
    assert ask([]) == [False]
    assert ask([("b", "marketing", True, DAY - timedelta(days=1))]) == [False]


def test_statements_on_another_purpose_do_not_count() -> None:
    assert ask([("a", "profiling", True, DAY - timedelta(days=1))]) == [False]
    refused = ("a", "profiling", False, DAY - timedelta(hours=1))
    assert ask([("a", "marketing", True, DAY - timedelta(days=1)), refused]) == [True]


def test_as_of_is_half_open() -> None:
    before = ("a", "marketing", True, DAY - timedelta(microseconds=1))
    assert ask([before]) == [True]
    assert ask([("a", "marketing", True, DAY)]) == [False]
    assert ask([before, ("a", "marketing", False, DAY)]) == [True]
    assert ask([before, ("a", "marketing", False, DAY)], as_of=DAY + timedelta(microseconds=1)) == [False]


@pytest.mark.parametrize("answer", [False, None])
def test_of_two_statements_at_one_instant_the_refusal_wins(answer: bool | None) -> None:
    at = DAY - timedelta(days=1)
    yes, no = ("a", "marketing", True, at), ("a", "marketing", answer, at)
    assert ask([yes, no]) == ask([no, yes]) == [False]


def test_an_unknown_answer_is_a_refusal() -> None:
    rows = [("a", "marketing", True, DAY - timedelta(days=2)), ("a", "marketing", None, DAY - timedelta(days=1))]
    assert ask(rows) == [False]


def test_the_mask_follows_the_order_and_repetition_of_the_customers() -> None:
    rows = [("a", "marketing", True, DAY - timedelta(days=1)), ("b", "marketing", False, DAY - timedelta(days=1))]
    assert ask(rows, ["b", "a", "unknown", "a"]) == [False, True, False, True]
    assert ask(rows, []) == []


@pytest.mark.parametrize("customer", ["'); DROP TABLE consents; --", "../a", "x" * 300, "=1+1", "", "é"])
def test_hostile_ids_are_only_ids(customer: str) -> None:
    assert ask([(customer, "marketing", True, DAY - timedelta(days=1))], [customer, "a"]) == [True, False]


def test_without_a_table_only_assumed_purposes_are_allowed() -> None:
    assert consented(["a", "b"], None, "marketing", DAY, frozenset({"marketing"})).tolist() == [True, True]
    with pytest.raises(ConfigError, match=r"consents table.*assumed_consent") as caught:
        consented(["a"], None, "marketing", DAY, frozenset({"profiling"}))
    assert "'marketing'" in caught.value.found
    with pytest.raises(ConfigError):
        consented(["a"], None, "marketing", DAY)


def test_a_table_outweighs_what_is_assumed() -> None:
    mask = consented(["a"], statements([]), "marketing", DAY, frozenset({"marketing"}))
    assert mask.tolist() == [False]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["marketing", "profiling"]),
            st.sampled_from([True, False, None]),
            st.integers(-3, 2).map(lambda days: DAY + timedelta(days=days)),
        ),
        max_size=12,
    )
)
def test_the_mask_equals_a_plain_reading(rows: list[Statement]) -> None:
    def plain(customer: str) -> bool:
        said = [(at, is_granted) for who, what, is_granted, at in rows if (who, what) == (customer, "marketing")]
        known = [(at, is_granted) for at, is_granted in said if at < DAY]
        newest = [is_granted for at, is_granted in known if at == max(at for at, _ in known)]
        return bool(newest) and all(newest)

    assert ask(rows, list("abc")) == [plain(customer) for customer in "abc"]


def test_small_counts_begin_below_eight() -> None:
    assert SUPPRESSION == 8
