"""Deliveries: a piece is taken once, by its content, and read anew where the reading changed."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from data.deliveries import Ledger, Plan
from data.sources import Piece

FIRST, SECOND, THIRD = (datetime(2024, 1, day) for day in (2, 3, 4))
MAPPINGS = {"transactions": "m", "customers": "m"}
TICK = timedelta(microseconds=1)


def lines(name: str, content: str | None = None, **more: str) -> Piece:
    return Piece("transactions", name, content or f"content of {name}", **more)


def carried_out(
    ledger: Ledger, as_of: datetime, *pieces: Piece, mappings: Mapping[str, str] = MAPPINGS
) -> tuple[Plan, Ledger]:
    """Plan a night, carry the plan out, and send the ledger through its table."""
    plan = ledger.plan(pieces, mappings, as_of)
    after = ledger.after(plan, mappings, {"transactions": ("a", "b"), "customers": ("a",)})
    return plan, Ledger.read(after.table())


def taken(plan: Plan) -> list[list[str]]:
    return [[piece.name for piece in batch.pieces] for batch in plan.batches]


def test_the_first_night_takes_everything_and_each_later_one_what_is_new():
    plan, ledger = carried_out(Ledger(), FIRST, lines("1.csv"), lines("2.csv"))
    assert taken(plan) == [["1.csv", "2.csv"]]
    assert plan.batches[0].known_at("transactions") is None
    plan, ledger = carried_out(ledger, SECOND, lines("1.csv"), lines("2.csv"), lines("3.csv"))
    assert taken(plan) == [["3.csv"]]
    assert plan.batches[0].known_at("transactions") == SECOND - TICK
    plan, _ = carried_out(ledger, THIRD, lines("1.csv"), lines("2.csv"), lines("3.csv"))
    assert (plan.batches, plan.results()) == ((), [])


def test_a_table_that_begins_later_is_a_first_load_of_its_own():
    _, ledger = carried_out(Ledger(), FIRST, lines("1.csv"))
    plan, _ = carried_out(ledger, SECOND, lines("1.csv"), lines("2.csv"), Piece("customers", "c.csv", "c"))
    (batch,) = plan.batches
    assert (batch.known_at("customers"), batch.known_at("transactions")) == (None, SECOND - TICK)


def test_yesterday_s_file_under_a_new_name_is_not_taken_and_is_said_once():
    """Catalogue row O4."""
    _, ledger = carried_out(Ledger(), FIRST, lines("monday.csv", "x"))
    plan, ledger = carried_out(ledger, SECOND, lines("monday.csv", "x"), lines("tuesday.csv", "x"))
    assert plan.batches == ()
    (result,) = plan.results()
    assert (result.expectation, result.detail) == ("same content delivered again", "tuesday.csv")
    assert not result.is_passed
    plan, _ = carried_out(ledger, THIRD, lines("monday.csv", "x"), lines("tuesday.csv", "x"))
    assert plan.results() == []


def test_the_same_file_twice_in_one_night_is_taken_once():
    plan, _ = carried_out(Ledger(), FIRST, lines("a.csv", "x"), lines("b.csv", "x"))
    assert taken(plan) == [["a.csv"]]
    assert [result.detail for result in plan.results()] == ["b.csv"]


def test_the_same_content_may_mean_something_else_in_another_table():
    plan, _ = carried_out(Ledger(), FIRST, lines("a.csv", "x"), Piece("customers", "a.csv", "x"))
    assert taken(plan) == [["a.csv", "a.csv"]]


def test_a_file_that_grew_is_taken_again():
    _, ledger = carried_out(Ledger(), FIRST, lines("all.csv", "one day"))
    plan, _ = carried_out(ledger, SECOND, lines("all.csv", "two days"))
    assert taken(plan) == [["all.csv"]]


def test_a_database_table_goes_on_after_its_newest_watermark():
    _, ledger = carried_out(Ledger(), FIRST, lines("orders", "10 rows", watermark="2024-01-01"))
    plan, ledger = carried_out(ledger, SECOND, lines("orders", "12 rows", watermark="2024-01-02"))
    assert plan.batches[0].pieces[0].since == "2024-01-01"
    plan, _ = carried_out(ledger, THIRD, lines("orders", "13 rows", watermark="2024-01-03"))
    assert plan.batches[0].pieces[0].since == "2024-01-02"


def test_what_was_taken_tonight_never_looks_older_than_what_was_taken_before():
    """Or a look back would bring today's file into the past."""
    _, ledger = carried_out(Ledger(), THIRD, lines("1.csv"))
    plan, _ = carried_out(ledger, FIRST, lines("1.csv"), lines("2.csv"))
    assert plan.batches[0].received_at == THIRD


class TestAnew:
    """A better mapping reads the past anew, and the past stays the past."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        _, ledger = carried_out(Ledger(), FIRST, lines("1.csv"), Piece("customers", "c.csv", "c"))
        return carried_out(ledger, SECOND, lines("1.csv"), lines("2.csv"), Piece("customers", "c.csv", "c"))[1]

    def plan(self, ledger: Ledger, *pieces: Piece) -> tuple[Plan, Ledger]:
        return carried_out(ledger, THIRD, *pieces, mappings=MAPPINGS | {"transactions": "better"})

    def test_each_piece_comes_when_it_first_came(self, ledger):
        plan, after = self.plan(
            ledger, lines("1.csv"), lines("2.csv"), lines("3.csv"), Piece("customers", "c.csv", "c")
        )
        assert plan.anew == {"transactions"}
        assert taken(plan) == [["1.csv"], ["2.csv"], ["3.csv"]]
        known = [batch.known_at("transactions") for batch in plan.batches]
        assert known == [None, SECOND - TICK, THIRD - TICK]
        again, _ = carried_out(
            after,
            THIRD,
            lines("1.csv"),
            lines("2.csv"),
            lines("3.csv"),
            Piece("customers", "c.csv", "c"),
            mappings=MAPPINGS | {"transactions": "better"},
        )
        assert (again.batches, again.anew) == ((), frozenset())

    def test_a_file_that_grew_keeps_when_it_first_came(self, ledger):
        plan, _ = self.plan(ledger, lines("1.csv", "grown"), lines("2.csv"), Piece("customers", "c.csv", "c"))
        assert [batch.received_at for batch in plan.batches] == [FIRST, SECOND]

    def test_what_is_gone_cannot_be_read_anew_and_stays_as_it_was(self, ledger):
        plan, after = self.plan(ledger, lines("2.csv"), lines("3.csv"), Piece("customers", "c.csv", "c"))
        assert (plan.anew, plan.outdated) == (frozenset(), {"transactions"})
        assert taken(plan) == [["3.csv"]]
        (result,) = plan.results()
        assert (result.table_name, result.expectation) == ("transactions", "read by an earlier mapping")
        assert {one.piece.name for one in after.taken} == {"1.csv", "2.csv", "3.csv", "c.csv"}


def test_the_ledger_remembers_the_newest_columns_of_each_table():
    _, ledger = carried_out(Ledger(), FIRST, lines("1.csv"), Piece("customers", "c.csv", "c"))
    assert ledger.columns() == {"transactions": ("a", "b"), "customers": ("a",)}
