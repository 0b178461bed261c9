"""Merge: what comes again counts once, and a correction holds from when it came."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import count

import duckdb
import pytest

from data.contracts import CONTRACTS
from data.contracts.base import literal, quoted
from data.engine import connect
from data.merge import KNOWN_AT, REPLACED_AT, Merged, merge

MONDAY, TUESDAY, WEDNESDAY = datetime(2024, 1, 1, 10), datetime(2024, 1, 2, 10), datetime(2024, 1, 3, 10)
SECOND, THIRD = datetime(2024, 1, 3), datetime(2024, 1, 4)
LINE = {"order_id": "O1", "product_id": "P1", "event_time": MONDAY, "quantity": 1, "amount_cents": 100}
NUMBER = count()


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    backend = connect(threads=1)
    yield backend.con
    backend.disconnect()


def table(connection: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, object]]) -> str:
    """Write rows as the accepted table of a delivery, and return its name."""
    name = f"delivery {next(NUMBER)}"
    selects = (
        f"SELECT {', '.join(f'{literal(value)} AS {quoted(key)}' for key, value in row.items())}" for row in rows
    )
    connection.execute(f"CREATE TABLE {quoted(name)} AS {' UNION ALL BY NAME '.join(selects)}")
    return name


def lines(known_at: datetime | None, *rows: Mapping[str, object]) -> list[dict[str, object]]:
    """Return lines as they are admitted: with ``known_at``, by default when they happened."""
    return [LINE | row | {KNOWN_AT: max(known_at or MONDAY, (LINE | row)["event_time"])} for row in rows]


def rows(connection: duckdb.DuckDBPyConnection, merged: Merged, *names: str) -> list[tuple[object, ...]]:
    chosen = ", ".join(map(quoted, names))
    return connection.execute(f"SELECT {chosen} FROM {quoted(merged.table)} ORDER BY ALL").fetchall()


def deliver(
    connection: duckdb.DuckDBPyConnection,
    known: Merged | None,
    known_at: datetime | None,
    *changes: Mapping[str, object],
) -> Merged:
    """Merge a delivery of transactions."""
    name = table(connection, lines(known_at, *changes))
    return merge(connection, CONTRACTS["transactions"], name, known.table if known else None, known_at)


class TestTransactions:
    def test_the_first_delivery_could_be_used_when_it_happened(self, connection):
        first = deliver(connection, None, None, {}, {"order_id": "O2", "event_time": TUESDAY})
        assert (first.n_added, first.n_replaced, first.n_again) == (2, 0, 0)
        assert rows(connection, first, KNOWN_AT, REPLACED_AT) == [(MONDAY, None), (TUESDAY, None)]

    def test_the_same_again_counts_once_and_keeps_when_it_was_known(self, connection):
        first = deliver(connection, None, None, {}, {"product_id": "P2", "amount_cents": 50})
        again = deliver(connection, first, SECOND, {}, {"product_id": "P2", "amount_cents": 50})
        assert (again.n_added, again.n_replaced, again.n_again, again.total_again) == (0, 0, 2, 150)
        assert rows(connection, again, "product_id", KNOWN_AT) == [("P1", MONDAY), ("P2", MONDAY)]

    def test_a_late_line_is_known_from_when_it_came(self, connection):
        first = deliver(connection, None, None, {})
        second = deliver(connection, first, SECOND, {"order_id": "late", "event_time": MONDAY})
        assert rows(connection, second, "order_id", KNOWN_AT) == [("O1", MONDAY), ("late", SECOND)]

    def test_a_line_that_happened_after_the_night_began_is_known_then(self, connection):
        first = deliver(connection, None, None, {})
        early = deliver(connection, first, SECOND, {"order_id": "early", "event_time": WEDNESDAY})
        assert ("early", WEDNESDAY) in rows(connection, early, "order_id", KNOWN_AT)

    def test_a_correction_takes_the_line_s_place_and_leaves_the_past_as_it_was_known(self, connection):
        first = deliver(connection, None, None, {}, {"product_id": "P2"})
        second = deliver(connection, first, SECOND, {"amount_cents": 70})
        assert (second.n_added, second.n_replaced, second.n_again) == (1, 1, 0)
        assert rows(connection, second, "product_id", "amount_cents", KNOWN_AT, REPLACED_AT) == [
            ("P1", 70, SECOND, None),
            ("P1", 100, MONDAY, SECOND),
            ("P2", 100, MONDAY, None),
        ]

    def test_a_correction_is_not_believed_to_be_older_than_it_is(self, connection):
        """A source that keeps the line's own entry date would otherwise rewrite the past."""
        first = deliver(connection, None, None, {})
        name = table(connection, [LINE | {"amount_cents": 70, KNOWN_AT: MONDAY}])
        second = merge(connection, CONTRACTS["transactions"], name, first.table, SECOND)
        assert rows(connection, second, "amount_cents", KNOWN_AT) == [(70, SECOND), (100, MONDAY)]

    def test_what_the_source_says_of_a_new_line_is_believed(self, connection):
        first = deliver(connection, None, None, {})
        name = table(connection, [LINE | {"order_id": "O2", KNOWN_AT: TUESDAY}])
        second = merge(connection, CONTRACTS["transactions"], name, first.table, SECOND)
        assert ("O2", TUESDAY) in rows(connection, second, "order_id", KNOWN_AT)

    def test_a_correction_of_a_correction(self, connection):
        first = deliver(connection, None, None, {})
        second = deliver(connection, first, SECOND, {"amount_cents": 70})
        third = deliver(connection, second, THIRD, {"amount_cents": 100})
        assert rows(connection, third, "amount_cents", KNOWN_AT, REPLACED_AT) == [
            (70, SECOND, THIRD),
            (100, MONDAY, SECOND),
            (100, THIRD, None),
        ]

    def test_a_return_is_another_matter_than_the_sale(self, connection):
        first = deliver(connection, None, None, {})
        second = deliver(connection, first, SECOND, {"quantity": -1, "amount_cents": -100})
        assert (second.n_added, second.n_replaced) == (1, 0)

    def test_a_receipt_number_of_another_day_is_another_receipt(self, connection):
        first = deliver(connection, None, None, {})
        second = deliver(connection, first, SECOND, {"event_time": TUESDAY, "amount_cents": 5})
        assert (second.n_added, second.n_replaced) == (1, 0)

    def test_lines_of_one_key_are_replaced_together(self, connection):
        first = deliver(connection, None, None, {}, {"amount_cents": 90}, {"amount_cents": 80})
        second = deliver(connection, first, SECOND, {}, {"amount_cents": 60})
        assert (second.n_added, second.n_replaced, second.n_again) == (1, 2, 1)
        current = [row for row in rows(connection, second, "amount_cents", REPLACED_AT) if row[1] is None]
        assert current == [(60, None), (100, None)]

    def test_nulls_are_equal_to_nulls(self, connection):
        first = deliver(connection, None, None, {"channel": None})
        assert deliver(connection, first, SECOND, {"channel": None}).n_again == 1
        assert deliver(connection, first, SECOND, {"channel": "web"}).n_replaced == 1

    def test_a_column_that_comes_later_is_null_before(self, connection):
        first = deliver(connection, None, None, {})
        second = deliver(connection, first, SECOND, {"order_id": "O2", "clerk": "7"})
        assert rows(connection, second, "order_id", "clerk") == [("O1", None), ("O2", "7")]
        third = deliver(connection, second, THIRD, {"order_id": "O3"})
        assert ("O3", None) in rows(connection, third, "order_id", "clerk")

    def test_a_line_of_the_same_night_that_never_could_be_used_leaves_no_trace(self, connection):
        first = deliver(connection, None, None, {"order_id": "O0"})
        second = deliver(connection, first, SECOND, {})
        third = deliver(connection, second, SECOND, {"amount_cents": 70})
        assert rows(connection, third, "order_id", "amount_cents") == [("O0", 100), ("O1", 70)]

    def test_rows_are_copied_where_the_delivery_does_not_stay(self, connection):
        name = table(connection, lines(None, {}))
        first = merge(connection, CONTRACTS["transactions"], name, None, None, is_last=False)
        connection.execute(f"DROP TABLE {quoted(name)}")
        assert rows(connection, first, "order_id") == [("O1",)]


class TestHistories:
    """Contracts and statements are looked back on, so that their earlier rows stay too."""

    STATEMENT = {"feedback_id": "F1", "customer_id": "a", "event_time": MONDAY, "kind": "complaint", "status": "open"}  # noqa: RUF012

    def test_a_complaint_that_was_closed_was_open_before(self, connection):
        feedback = CONTRACTS["feedback"]
        first = merge(connection, feedback, table(connection, [self.STATEMENT]), None, None)
        came = table(connection, [self.STATEMENT | {"status": "closed"}])
        second = merge(connection, feedback, came, first.table, SECOND)
        assert rows(connection, second, "status", KNOWN_AT, REPLACED_AT) == [
            ("closed", SECOND, None),
            ("open", MONDAY, SECOND),
        ]

    def test_a_plan_that_ended_ran_before(self, connection):
        plan = {"customer_id": "a", "plan": "gold", "started_on": date(2023, 5, 1), "ended_on": None, "fee_cents": 900}
        subscriptions = CONTRACTS["subscriptions"]
        first = merge(connection, subscriptions, table(connection, [plan]), None, None)
        came = table(connection, [plan | {"ended_on": date(2024, 1, 2)}])
        second = merge(connection, subscriptions, came, first.table, SECOND)
        assert rows(connection, second, "ended_on", REPLACED_AT) == [(date(2024, 1, 2), None), (None, SECOND)]
        third = merge(connection, subscriptions, came, second.table, THIRD)
        assert (third.n_added, third.n_replaced, third.n_again) == (0, 0, 1)


class TestThings:
    """Tables of things keep the newest row of a key."""

    CUSTOMERS = CONTRACTS["customers"]

    def test_a_changed_customer_takes_the_place_of_the_earlier_one(self, connection):
        first = merge(
            connection,
            self.CUSTOMERS,
            table(connection, [{"customer_id": "a", "region": "N"}, {"customer_id": "b"}]),
            None,
            None,
        )
        name = table(connection, [{"customer_id": "a", "region": "S"}])
        second = merge(connection, self.CUSTOMERS, name, first.table, SECOND)
        assert rows(connection, second, "customer_id", "region") == [("a", "S"), ("b", None)]
        assert (second.n_added, second.n_replaced) == (1, 1)

    def test_what_lines_say_adds_to_what_earlier_lines_said(self, connection):
        early, late = date(2024, 1, 1), date(2024, 2, 1)
        known = [
            {"customer_id": "a", "first_seen_on": late, "region": "N"},
            {"customer_id": "b", "first_seen_on": early},
        ]
        first = merge(connection, self.CUSTOMERS, table(connection, known), None, None, is_derived=True)
        came = [
            {"customer_id": "a", "first_seen_on": early, "region": None},
            {"customer_id": "b", "first_seen_on": late, "region": "S"},
        ]
        second = merge(connection, self.CUSTOMERS, table(connection, came), first.table, SECOND, is_derived=True)
        assert rows(connection, second, "customer_id", "first_seen_on", "region") == [
            ("a", early, "N"),
            ("b", early, "S"),
        ]

    def test_a_table_of_events_says_when_it_was_known(self, connection):
        consents = CONTRACTS["consents"]
        said = {"customer_id": "a", "purpose": "marketing", "is_granted": True, "event_time": MONDAY}
        first = merge(connection, consents, table(connection, [said]), None, None)
        came = table(connection, [said, said | {"is_granted": False, "event_time": TUESDAY}])
        second = merge(connection, consents, came, first.table, SECOND)
        assert rows(connection, second, "is_granted", KNOWN_AT) == [(False, SECOND), (True, MONDAY)]
