"""Whatever mix of defects comes in: every row and every cent ends on one side, and the order of rows means nothing."""

import json
from collections import Counter
from datetime import datetime

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.cells import distinct, stage
from data.contracts import CONTRACTS
from data.contracts.base import Delivery, Severity
from data.contracts.rules import rules
from data.quarantine import Reconciliation, admit, split

CONTRACT = CONTRACTS["transactions"]
COLUMNS = [column.name for column in CONTRACT.columns]
DELIVERY = Delivery(
    datetime(2024, 5, 1), "Europe/Berlin", ("USD",), {"customers": "people", "products": "goods"}, reject_limit=1.0
)

Line = dict[str, str | None]

DEFECTS = [reject.changes for reject in CONTRACT.rejects]
CELLS = st.one_of(
    st.none(), st.sampled_from(["", " ", "0", "-1", "2024-03-01", "x", "\ufffd", "C1", "P1", "999999999"])
)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """A good line, with some defects of the contract's own and some cells of anything."""
    line: Line = {**draw(st.sampled_from(CONTRACT.examples))}  # type: ignore[dict-item]
    for changes in draw(st.lists(st.sampled_from(DEFECTS), max_size=3)):
        line |= changes  # type: ignore[arg-type]
    return line | draw(st.dictionaries(st.sampled_from(COLUMNS), CELLS, max_size=2))


DELIVERIES = st.lists(lines(), min_size=1, max_size=25).flatmap(
    lambda found: st.lists(st.sampled_from(found), max_size=8).map(lambda copies: found + copies)
)


def connected(given_lines: list[Line]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("CREATE TABLE people AS SELECT 'C1' AS customer_id")
    connection.execute("CREATE TABLE goods AS SELECT 'P1' AS product_id")
    connection.execute(f"CREATE TABLE raw ({', '.join(f'{name} VARCHAR' for name in COLUMNS)})")
    marks = ", ".join("?" for _ in COLUMNS)
    connection.executemany(
        f"INSERT INTO raw VALUES ({marks})", [[line.get(name) for name in COLUMNS] for line in given_lines]
    )
    return connection


def divided(connection: duckdb.DuckDBPyConnection) -> Reconciliation:
    staged = stage(connection, CONTRACT, "raw", DELIVERY)
    return split(connection, CONTRACT, "raw", staged, distinct(connection, CONTRACT, staged))[2]


def blank_is_null(line: Line) -> tuple[str | None, ...]:
    return tuple(cell if cell and cell.strip() else None for cell in (line.get(name) for name in COLUMNS))


def both_sides(connection: duckdb.DuckDBPyConnection) -> tuple[Counter[object], Counter[object]]:
    accepted = connection.execute("FROM transactions_accepted").fetchall()
    quarantine = connection.execute("SELECT row_id, reasons, row_json FROM transactions_quarantine").fetchall()
    return Counter(accepted), Counter(quarantine)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(DELIVERIES)
def test_rows_in_are_accepted_or_quarantined_or_duplicates(found):
    """Catalogue row D2."""
    connection = connected(found)
    reconciliation = divided(connection)
    different = {blank_is_null(line) for line in found}
    assert reconciliation.n_rows == len(found)
    assert reconciliation.n_duplicates == len(found) - len(different)
    assert reconciliation.n_accepted + reconciliation.n_quarantined == len(different)
    assert reconciliation.rows_total == (
        reconciliation.accepted_total + reconciliation.quarantined_total + reconciliation.duplicates_total
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(DELIVERIES)
def test_no_row_is_on_two_sides_and_none_is_lost(found):
    """Catalogue row D2."""
    connection = connected(found)
    divided(connection)
    rejected = connection.execute("SELECT row_json FROM transactions_quarantine").fetchall()
    bad = {tuple(json.loads(text)[name] for name in COLUMNS) for (text,) in rejected}
    assert len(bad) == len(rejected)
    good = {blank_is_null(line) for line in found} - bad
    ((n_accepted,),) = connection.execute("SELECT count(*) FROM transactions_accepted").fetchall()
    assert n_accepted == len(good)
    orders = connection.execute("SELECT order_id FROM transactions_accepted").fetchall()
    assert Counter(order for (order,) in orders) == Counter(line[0] for line in good)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(DELIVERIES, st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(found, random):
    """Catalogue row D2."""
    connection = connected(found)
    first = divided(connection), both_sides(connection)
    shuffled = list(found)
    random.shuffle(shuffled)
    again = connected(shuffled)
    assert (divided(again), both_sides(again)) == first


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(DELIVERIES)
def test_what_is_accepted_is_accepted_again(found):
    connection = connected(found)
    reconciliation = divided(connection)
    if reconciliation.n_accepted:
        connection.execute("CREATE TABLE kept AS SELECT * EXCLUDE (local_time) FROM transactions_accepted")
        connection.execute("DROP TABLE raw; ALTER TABLE kept RENAME TO raw")
        again = divided(connection)
        assert again.n_quarantined == 0
        assert again.n_accepted + again.n_duplicates == reconciliation.n_accepted


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(DELIVERIES)
def test_the_suite_counts_what_the_quarantine_labels(found):
    connection = connected(found)
    results = {result.expectation: result.n_failed for result in admit(connection, CONTRACT, "raw", DELIVERY).results}
    labels = connection.execute("SELECT reasons FROM transactions_quarantine").fetchall()
    counted = Counter(reason for (text,) in labels for reason in text.split("; "))
    rejecting = [rule.name for rule in rules(CONTRACT) if rule.severity is Severity.REJECT]
    assert {name: results[name] for name in rejecting if results[name]} == counted
    assert results["duplicate order line"] == len(found) - len({blank_is_null(line) for line in found})
