"""The battery catches and names each kind of leak of the catalogue, and accuses nobody else."""

from collections.abc import Callable
from datetime import datetime
from types import ModuleType

import ibis
import pytest
from ibis.common.exceptions import IbisError

import features.labels
from data.errors import LeakageError
from features.battery.checks import CHECKS, Bench, differing
from features.battery.engine import described
from features.matrix import feature_matrix, to_frame
from features.registry import FEATURES, Expression, Registry
from features.views import KEYS, History

planted = Registry()
planted.views |= FEATURES.views


def _raw(history: History, condition: Callable[[ibis.Table], Expression]) -> ibis.Table:
    rows = history.lines.cross_join(history.as_ofs)
    return rows.filter(condition(rows)).mutate(age_days=rows.as_of_on.delta(rows.local_on, unit="day"))


@planted.view(sources=["transactions"])
def everything(history: History) -> ibis.Table:
    """Lines of all times."""
    return _raw(history, lambda rows: rows.quantity > 0)


@planted.view(sources=["transactions"])
def not_yet_known(history: History) -> ibis.Table:
    """Lines that had happened, known or not."""
    return _raw(history, lambda rows: rows.event_time < rows.as_of)


@planted.view(sources=["transactions"])
def not_yet_happened(history: History) -> ibis.Table:
    """Lines that claim to be known, happened or not."""
    return _raw(history, lambda rows: rows.known_at < rows.as_of)


@planted.view(sources=["transactions"])
def closed_boundary(history: History) -> ibis.Table:
    """Lines up to and with as_of."""
    return _raw(history, lambda rows: (rows.event_time <= rows.as_of) & (rows.known_at <= rows.as_of))


@planted.view(sources=["transactions", "products"])
def multiplied(history: History) -> ibis.Table:
    """Lines joined to a product list that may repeat itself."""
    return history.known(history.lines.join(history.table("products"), "product_id"))


@planted.view(sources=["contacts"])
def planned_contacts(history: History) -> ibis.Table:
    """Contacts of all times."""
    return history.table("contacts").cross_join(history.as_ofs).select(*KEYS, "campaign_id", "arm")


@planted.view(sources=["transactions"])
def known_at_the_last(history: History) -> ibis.Table:
    """Lines known at the last as_of that is asked for."""
    last = history.as_ofs.aggregate(last=history.as_ofs.as_of.max())
    rows = history.lines.cross_join(history.as_ofs).cross_join(last)
    return rows.filter(rows.ready_at < rows.last)


@planted.view(sources=["feedback"])
def as_they_stand_today(history: History) -> ibis.Table:
    """Statements with the status that they have today."""
    said = history.table("feedback")
    ready_at = ibis.greatest(said.event_time, said.known_at.fill_null(said.event_time))
    return history.known(said.mutate(ready_at=ready_at, gone_at=said.replaced_at))


@planted.view(sources=["subscriptions"])
def ends_of_today(history: History) -> ibis.Table:
    """Contracts with the ends that are known today."""
    rows = history.table("subscriptions").cross_join(history.as_ofs)
    return rows.filter(rows.started_on < rows.as_of_on, rows.known_at.isnull() | (rows.known_at < rows.as_of))


@planted.view(sources=["transactions"])
def secretly_joined(history: History) -> ibis.Table:
    """Lines of products that are in a list which is not declared."""
    return history.known(history.lines.semi_join(history.table("products"), "product_id"))


@planted.view(sources=["transactions"])
def beside_all_others(history: History) -> ibis.Table:
    """Known lines with what everybody spent."""
    rows = history.known(history.lines)
    return rows.mutate(of_all_cents=rows.amount_cents.sum().over(group_by="as_of"))


@planted.view(sources=["transactions"])
def of_nobody_too(history: History) -> ibis.Table:
    """Lines, those of nobody counted for one customer."""
    rows = history.table("transactions").cross_join(history.as_ofs)
    rows = rows.filter(rows.event_time < rows.as_of, rows.known_at < rows.as_of)
    return rows.mutate(customer_id=rows.customer_id.fill_null("c1"))


@planted.view(sources=["transactions"])
def plain_lines(history: History) -> ibis.Table:
    """Lines as known."""
    return history.known(history.lines)


@planted.feature(view="everything", unit="cents")
def spend_of_all_times(rows: ibis.Table) -> Expression:
    """Sum what is still to come."""
    return rows.amount_cents.sum()


@planted.feature(view="not_yet_known", unit="count")
def lines_before_known(rows: ibis.Table) -> Expression:
    """Count lines that arrive later."""
    return rows.count()


@planted.feature(view="not_yet_happened", unit="count")
def lines_before_happened(rows: ibis.Table) -> Expression:
    """Count lines that happen later."""
    return rows.count()


@planted.feature(view="closed_boundary", unit="cents")
def spend_at_the_boundary(rows: ibis.Table) -> Expression:
    """Sum lines at as_of itself."""
    return rows.amount_cents.sum()


@planted.feature(view="multiplied", unit="count")
def lines_multiplied(rows: ibis.Table) -> Expression:
    """Count lines once per listing of their product."""
    return rows.count()


@planted.feature(view="planned_contacts", unit="count")
def contacts_to_come(rows: ibis.Table) -> Expression:
    """Count contacts that are only planned."""
    return rows.count()


@planted.feature(view="days", unit="cents", lookback=28)
def short_memory(days: ibis.Table) -> Expression:
    """Sum more than it admits."""
    return days.spend_cents.sum(where=days.age_days <= 84)


@planted.feature(view="orders", unit="cents", null="no order")
def whatever_comes_first(orders: ibis.Table) -> Expression:
    """Take the value of some order or other."""
    return orders.spend_cents.arbitrary()


@planted.feature(view="known_at_the_last", unit="cents")
def spend_at_the_last_as_of(rows: ibis.Table) -> Expression:
    """Sum what was known at another as_of."""
    return rows.amount_cents.sum()


@planted.feature(view="as_they_stand_today", unit="count")
def statements_closed_today(rows: ibis.Table) -> Expression:
    """Count by a status that nobody knew then."""
    return rows.count(where=rows.status == "closed")


@planted.feature(view="ends_of_today", unit="count")
def contracts_with_an_end(rows: ibis.Table) -> Expression:
    """Count ends that were told later."""
    return rows.count(where=rows.ended_on.notnull())


@planted.feature(view="secretly_joined", unit="count")
def lines_of_listed_products(rows: ibis.Table) -> Expression:
    """Count by a table that is not declared."""
    return rows.count()


@planted.feature(view="beside_all_others", unit="cents")
def spend_of_everybody(rows: ibis.Table) -> Expression:
    """Take what others spent."""
    return rows.of_all_cents.max()


@planted.feature(view="of_nobody_too", unit="count")
def lines_of_nobody(rows: ibis.Table) -> Expression:
    """Count lines of nobody."""
    return rows.count()


@planted.feature(view="plain_lines", unit="cents", null="no line")
def spend_in_floats(rows: ibis.Table) -> Expression:
    """Sum in floats, whose sum depends on their order."""
    return (rows.amount_cents / 3).sum()


@planted.feature(view="orders", unit="cents", null="no order")
def first_order_cents(orders: ibis.Table) -> Expression:
    """Take the first without saying in which order."""
    return orders.spend_cents.first()


@planted.feature(view="orders", unit="count")
def orders_until_today(orders: ibis.Table) -> Expression:
    """Ask the clock of the machine."""
    return orders.count(where=orders.ordered_at < ibis.now())


@planted.feature(view="orders", unit="count")
def orders_by_lot(orders: ibis.Table) -> Expression:
    """Draw lots."""
    return orders.count(where=ibis.random() < 0.5)


calls: list[str] = []


@planted.feature(view="orders", unit="count")
def times_asked(orders: ibis.Table) -> Expression:
    """Count how often the feature was built."""
    calls.append("again")
    return orders.count() + len(calls)


@planted.feature(view="days", unit="cents")
def honest(days: ibis.Table) -> Expression:
    """Sum what is known."""
    return days.spend_cents.sum()


# Kind of the catalogue (or none of its rows), and the checks that must see it.
LEAKS = {
    "spend_of_all_times": ("L1", {"poisoned_future", "absent_future", "late_events"}),
    "lines_before_happened": ("L1", {"poisoned_future"}),
    "contacts_to_come": ("L1", {"poisoned_future", "absent_future"}),
    "lines_before_known": ("L2", {"absent_future", "late_events"}),
    "spend_at_the_boundary": ("L3", {"poisoned_future", "absent_future"}),
    "statements_closed_today": ("L9", {"poisoned_future"}),
    "contracts_with_an_end": ("L9", {"absent_future"}),
    "spend_at_the_last_as_of": ("L10", {"one_as_of_at_a_time"}),
    "spend_in_floats": ("R2", {"row_order"}),
    "whatever_comes_first": ("R3", {"clock_and_chance"}),
    "first_order_cents": ("R3", {"clock_and_chance"}),
    "orders_until_today": ("R3", {"clock_and_chance"}),
    "orders_by_lot": ("R3", {"clock_and_chance"}),
    "lines_multiplied": ("", {"repeated_references"}),
    "short_memory": ("", {"lookback"}),
    "lines_of_listed_products": ("", {"declared_sources"}),
    "spend_of_everybody": ("", {"other_customers"}),
    "lines_of_nobody": ("", {"anonymous_lines"}),
    "times_asked": ("", {"alone"}),
}
CAUGHT: dict[str, str] = {}


@pytest.fixture(scope="module")
def accusations(worlds: ModuleType) -> dict[str, set[str]]:
    bench = Bench(worlds.random_world(11), planted)
    return {check: bench.accused(check) for check in CHECKS}


@pytest.mark.parametrize("name", sorted(LEAKS))
def test_a_planted_leak_is_caught_and_named(accusations: dict[str, set[str]], name: str) -> None:
    kind, checks = LEAKS[name]
    assert checks <= {check for check, names in accusations.items() if name in names}
    CAUGHT[name] = kind


def test_an_honest_feature_beside_leaks_is_not_accused(accusations: dict[str, set[str]]) -> None:
    assert [check for check, names in accusations.items() if "honest" in names] == []


def test_every_check_has_its_leak_and_every_leak_is_in_the_list() -> None:
    assert set().union(*(checks for _, checks in LEAKS.values())) == set(CHECKS)
    assert set(LEAKS) | {"honest"} == set(planted)


def test_a_feature_of_the_label_is_refused_before_it_is_one() -> None:
    """L4: it is not even registered, whatever it does with the label."""
    truth = features.labels.labels
    registry = Registry()
    with pytest.raises(LeakageError, match="will_leave reaches truth"):

        @registry.feature(view="orders", unit="flag")
        def will_leave(orders: ibis.Table) -> Expression:
            """Look at the truth."""
            return truth({}, [], "", 28, observed_until=datetime(2018, 1, 1)).has_churned.any()

    assert list(registry) == []
    CAUGHT["will_leave"] = "L4"


def test_a_feature_that_runs_a_query_of_its_own_has_nothing_to_run_it_on(worlds: ModuleType) -> None:
    """L9: its number would be baked into the query on the day it was built."""
    registry = FEATURES.copy()

    @registry.feature(view="orders", unit="cents")
    def above_the_usual(orders: ibis.Table) -> Expression:
        """Compare with a number that was asked for while the feature was built."""
        return orders.spend_cents.sum(where=orders.spend_cents > orders.spend_cents.mean().execute())

    with pytest.raises(IbisError, match="unbound"):
        Bench(worlds.random_world(11), registry, ["above_the_usual"]).base()
    assert "above_the_usual" not in FEATURES
    CAUGHT["above_the_usual"] = "L9"


def test_a_wrong_feature_differs_from_its_independent_twin(worlds: ModuleType, oracle: ModuleType) -> None:
    """L11: a window of a day too many is seen by the oracle, and by nothing else."""
    registry, world = Registry(), worlds.random_world(11)
    registry.views |= FEATURES.views

    @registry.feature(view="orders", unit="count", lookback=29)
    def n_orders_28d(orders: ibis.Table) -> Expression:
        """Count a day too many."""
        return orders.count(where=orders.is_purchase & (orders.age_days <= 29))

    @registry.feature(view="orders", unit="count", lookback=7)
    def n_orders_7d(orders: ibis.Table) -> Expression:
        """Count as it should be."""
        return orders.count(where=orders.is_purchase & (orders.age_days <= 7))

    bench = Bench(world, registry)
    assert set().union(*(bench.accused(check) for check in CHECKS)) == set()
    truth = oracle.matrix(world, worlds.AS_OFS, worlds.NEW_YORK)[bench.judged]
    assert differing(bench.base().astype("float64"), truth) == {"n_orders_28d"}
    CAUGHT["n_orders_28d"] = "L11"


@pytest.mark.slow
def test_threads_and_file_splits_change_no_byte_but_of_a_sum_of_floats(worlds: ModuleType, tmp_path) -> None:
    """R1, R2: 200,000 lines, 1 and 2 threads, one file and seven, ordered and shuffled."""
    registry = FEATURES.copy()
    registry.views["plain_lines"] = planted.views["plain_lines"]
    registry.feature(view="plain_lines", unit="cents", null="no line")(planted["spend_in_floats"].expression)
    connection = worlds.connect()
    _write_lines(connection, tmp_path)
    worlds.load(connection, {name: rows for name, rows in worlds.random_world(5).items() if name != "transactions"})
    matrix = feature_matrix(described(list(worlds.SCHEMAS)), worlds.AS_OFS, worlds.NEW_YORK, registry=registry)
    found = []
    for threads, files in [(1, ["all"]), (2, ["all"]), (2, list("0123456")), (2, list("6204315"))]:
        connection.raw_sql(f"SET threads = {threads}")
        connection.create_view(
            "transactions", connection.read_parquet([f"{tmp_path}/{file}.parquet" for file in files]), overwrite=True
        )
        if not found:
            connection.create_view("matrix", matrix)
        found.append(to_frame(connection.sql("FROM matrix", schema=matrix.schema())).set_index(list(KEYS)))
    assert len(found[0]) > 2000
    assert set().union(*(differing(found[0], other) for other in found[1:])) == {"spend_in_floats"}
    CAUGHT["spend_in_floats on two threads"] = "R1"


def _write_lines(connection: ibis.BaseBackend, folder) -> None:
    """Write lines into one file in a random order, and into seven."""
    connection.raw_sql(
        """CREATE TABLE many AS
        SELECT 'o' || (i // 6) AS order_id, 'c' || (hash(i // 6) % 900) AS customer_id,
          'p' || (hash(i) % 11) AS product_id,
          TIMESTAMP '2016-01-01' + INTERVAL (hash(i // 6, 1) % 61000000) SECOND AS event_time,
          ((hash(i, 2) % 5)::INT - 1)::DECIMAL(18, 3) AS quantity, (hash(i, 3) % 9999)::BIGINT AS amount_cents,
          (hash(i, 4) % 99)::BIGINT AS discount_cents, (hash(i, 5) % 3)::BIGINT AS coupon_cents,
          NULL::VARCHAR AS channel,
          's' || (hash(i, 6) % 9) AS store_id, NULL::VARCHAR AS currency,
          event_time AS known_at, event_time AS local_time
        FROM range(200000) AS r(i)"""
    )
    for part in range(7):
        where = f"hash(order_id, product_id) % 7 = {part}"
        connection.raw_sql(f"COPY (FROM many WHERE {where}) TO '{folder}/{part}.parquet'")
    connection.raw_sql(f"COPY (FROM many ORDER BY hash(order_id, 9)) TO '{folder}/all.parquet'")


def test_all_that_was_planted_was_caught(capsys: pytest.CaptureFixture[str]) -> None:
    if len(CAUGHT) < len(LEAKS):
        pytest.skip("the tests above did not all run in this process")
    kinds = sorted(set(CAUGHT.values()) - {""}, key=lambda kind: (kind[0], int(kind[1:])))
    with capsys.disabled():
        print(f"\nplanted leaks: {len(CAUGHT)}/{len(LEAKS) + 4} caught and named; rows {', '.join(kinds)}")
