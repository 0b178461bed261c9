"""One defect of each class among real lines: each is caught by the expectation named for it, and nothing else is."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from data.contracts import CONTRACTS
from data.contracts.base import Delivery
from data.errors import ContractError
from data.quarantine import Admission, admit

TRANSACTIONS = CONTRACTS["transactions"]
PARENTS = {"customers": "customers_accepted", "products": "products_accepted"}
DELIVERY = Delivery(datetime(2018, 1, 1, 5), "America/New_York", ("USD",), PARENTS)
UNKNOWN_PRODUCTS, MONEY_WITHOUT_GOODS = "unknown product", "amount without quantity"

# The first line of a common product that was sold at its usual price is the one that is spoilt.
BANANAS = "FROM raw WHERE product_id = '1082185' AND quantity = '1'"
USUAL_PRICE = f"(SELECT quantile_disc(CAST(amount_cents AS BIGINT), 0.5) {BANANAS})"
VICTIM = f"rowid = (SELECT min(rowid) {BANANAS} AND CAST(amount_cents AS BIGINT) = {USUAL_PRICE})"

PLANTED = {
    "order_id is null": "UPDATE raw SET order_id = NULL WHERE {victim}",
    "duplicate order line": "INSERT INTO raw SELECT * FROM raw WHERE {victim}",
    "orphan customer": "UPDATE raw SET customer_id = 'C404' WHERE {victim}",
    "negative quantity with positive amount": "UPDATE raw SET quantity = '-' || quantity WHERE {victim}",
    "event in the future": "UPDATE raw SET event_time = '2018-01-01 05:00:01' WHERE {victim}",
    "unknown currency": "UPDATE raw SET currency = 'XXX' WHERE {victim}",
    "amount_cents is not an integer": "UPDATE raw SET amount_cents = 'EUR 3' WHERE {victim}",
    "unreadable text": "UPDATE raw SET store_id = 'Caf' || chr(65533) WHERE {victim}",
    "unit slip": "UPDATE raw SET amount_cents = CAST(CAST(amount_cents AS BIGINT) * 100 AS VARCHAR) WHERE {victim}",
    "shifted columns": (
        "UPDATE raw SET product_id = customer_id, event_time = product_id, quantity = event_time, "
        "amount_cents = quantity, discount_cents = amount_cents, coupon_cents = discount_cents, "
        "channel = coupon_cents, store_id = channel, currency = store_id, known_at = currency WHERE {victim}"
    ),
}


def load(connection: duckdb.DuckDBPyConnection, folder: Path, *, n_households: int | None) -> None:
    """Load Complete Journey as text, as a file would hold it; with a number, the first households only."""
    few = f"WHERE household_id <= {n_households}" if n_households else ""
    connection.execute(f"""
        CREATE TABLE lines AS
        SELECT CAST(basket_id AS VARCHAR) AS order_id, CAST(household_id AS VARCHAR) AS customer_id,
               CAST(product_id AS VARCHAR) AS product_id,
               CAST(CAST(transaction_timestamp AS TIMESTAMP) AS VARCHAR) AS event_time,
               CAST(quantity AS VARCHAR) AS quantity,
               CAST(CAST(round(sales_value * 100) AS BIGINT) AS VARCHAR) AS amount_cents,
               '0' AS discount_cents, '0' AS coupon_cents, 'store' AS channel, CAST(store_id AS VARCHAR) AS store_id,
               CAST(NULL AS VARCHAR) AS currency, CAST(NULL AS VARCHAR) AS known_at
        FROM read_parquet('{folder}/transactions.parquet') {few} ORDER BY ALL""")
    connection.execute("CREATE TABLE customers_accepted AS SELECT DISTINCT customer_id FROM lines")
    connection.execute(
        f"CREATE TABLE products_accepted AS SELECT CAST(product_id AS VARCHAR) AS product_id "
        f"FROM read_parquet('{folder}/products.parquet')"
    )


@pytest.fixture(scope="module")
def journey(test_data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as connection:
        load(connection, test_data / "completejourney", n_households=60)
        yield connection


def admitted(connection: duckdb.DuckDBPyConnection, change: str | None = None) -> Admission:
    connection.execute("CREATE OR REPLACE TABLE raw AS FROM lines")
    if change:
        connection.execute(change.format(victim=VICTIM))
    return admit(connection, TRANSACTIONS, "raw", DELIVERY)


def alarms(admission: Admission) -> dict[str, int]:
    return {result.expectation: result.n_failed for result in admission.results if result.n_failed}


@pytest.fixture(scope="module")
def clean(journey: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return alarms(admitted(journey))


def test_the_clean_twin_raises_no_alarm_but_its_own(clean):
    assert set(clean) <= {UNKNOWN_PRODUCTS, MONEY_WITHOUT_GOODS, "too many rejected rows"}


@pytest.mark.parametrize("defect", PLANTED)
def test_each_class_of_defect_is_caught_by_the_expectation_named_for_it(journey, clean, defect):
    """Catalogue row D1."""
    admission = admitted(journey, PLANTED[defect])
    found = alarms(admission)
    assert found.get(defect, 0) == clean.get(defect, 0) + 1
    ((n_lines,),) = journey.execute("SELECT count(*) FROM lines").fetchall()
    is_copy = defect == "duplicate order line"
    assert admission.reconciliation.n_rows == n_lines + is_copy
    assert admission.reconciliation.n_duplicates == is_copy
    if defect != "shifted columns" and not is_copy:
        others = {name: count for name, count in found.items() if name not in {defect, "too many rejected rows"}}
        assert others == {name: count for name, count in clean.items() if name != "too many rejected rows"}


def test_bytes_that_are_no_utf8_are_caught_as_read_from_a_file(journey, tmp_path):
    path = tmp_path / "lines.csv"
    journey.execute(f"COPY (FROM lines LIMIT 1000) TO '{path}' (HEADER)")
    content = path.read_bytes().replace(b",store,", b",b\xfcro,", 1)
    path.write_text(content.decode("utf-8", errors="replace"))
    journey.execute(f"CREATE OR REPLACE TABLE raw AS FROM read_csv('{path}', all_varchar = true)")
    assert alarms(admit(journey, TRANSACTIONS, "raw", DELIVERY))["unreadable text"] == 1


def test_a_line_with_one_delimiter_too_many_is_shifted(journey, tmp_path):
    path = tmp_path / "lines.csv"
    journey.execute(f"COPY (FROM lines LIMIT 1000) TO '{path}' (HEADER)")
    header, first, *rest = path.read_text().splitlines()
    order, others = first.split(",", 1)
    path.write_text("\n".join([header, f"{order},,{others}".removesuffix(","), *rest]))
    journey.execute(f"CREATE OR REPLACE TABLE raw AS FROM read_csv('{path}', all_varchar = true)")
    assert alarms(admit(journey, TRANSACTIONS, "raw", DELIVERY))["shifted columns"] == 1


def test_a_whole_file_in_dollars_times_a_hundred_stops_the_run(journey):
    median = journey.execute("SELECT CAST(median(CAST(amount_cents AS BIGINT)) AS BIGINT) FROM lines").fetchall()[0][0]
    journey.execute("CREATE OR REPLACE TABLE raw AS FROM lines")
    journey.execute("UPDATE raw SET amount_cents = amount_cents || '00'")
    usual = Delivery(DELIVERY.received_at, DELIVERY.timezone, DELIVERY.currencies, PARENTS, usual_amount_cents=median)
    with pytest.raises(ContractError, match="unit slip of the whole delivery"):
        admit(journey, TRANSACTIONS, "raw", usual)


def test_a_slip_of_a_line_far_below_its_usual_price_stays_below_the_factor(journey):
    cheap = f"rowid = (SELECT rowid {BANANAS} ORDER BY CAST(amount_cents AS BIGINT), rowid LIMIT 1)"
    admission = admitted(journey, f"UPDATE raw SET amount_cents = amount_cents || '00' WHERE {cheap}")
    assert "unit slip" not in alarms(admission)


def with_totals(connection: duckdb.DuckDBPyConnection, *changes: str) -> Admission:
    """Admit the lines with the total of each order on every line of it, after some changes."""
    connection.execute("CREATE OR REPLACE TABLE raw AS FROM lines")
    connection.execute("ALTER TABLE raw ADD COLUMN order_total_cents BIGINT")
    connection.execute(
        "UPDATE raw SET order_total_cents = total FROM (SELECT order_id AS whole, sum(CAST(amount_cents AS BIGINT)) AS "
        "total FROM lines GROUP BY order_id) WHERE order_id = whole"
    )
    for change in changes:
        connection.execute(change.format(victim=VICTIM))
    return admit(connection, TRANSACTIONS, "raw", DELIVERY)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE raw SET amount_cents = CAST(CAST(amount_cents AS BIGINT) + 1 AS VARCHAR) WHERE {victim}",
        "UPDATE raw SET order_total_cents = order_total_cents - 1 WHERE {victim}",
        "DELETE FROM raw WHERE {victim}",
    ],
)
def test_an_order_that_does_not_add_up_is_told_of_all_its_lines_and_holds_none_back(journey, clean, change):
    journey.execute("CREATE OR REPLACE TABLE raw AS FROM lines")
    ((order,),) = journey.execute(f"SELECT order_id FROM raw WHERE {VICTIM}").fetchall()
    assert "order total differs from its lines" not in alarms(with_totals(journey))
    admission = with_totals(journey, change)
    ((n_lines,),) = journey.execute("SELECT count(*) FROM raw WHERE order_id = ?", [order]).fetchall()
    assert n_lines > 1
    assert alarms(admission)["order total differs from its lines"] == n_lines
    assert admission.reconciliation.n_quarantined == clean.get(MONEY_WITHOUT_GOODS, 0)


def test_a_line_that_was_delivered_twice_on_purpose_shows_in_the_total_of_its_order(journey):
    """Equal lines of an order may be two pieces: counted as copies, they are missed by the order's total."""
    order = "(SELECT order_id FROM raw WHERE {victim})"
    more = f"UPDATE raw SET order_total_cents = order_total_cents + 1 WHERE order_id = {order}"
    admission = with_totals(journey, more, "INSERT INTO raw SELECT * FROM raw WHERE {victim}")
    assert admission.reconciliation.n_duplicates == 1
    assert alarms(admission)["order total differs from its lines"] > 1


@pytest.mark.parametrize(("n_times", "is_told"), [(1, False), (2, True)])
def test_what_comes_back_must_have_been_sold(journey, clean, n_times, is_told):
    journey.execute("CREATE OR REPLACE TABLE raw AS FROM lines")
    # Of somebody who bought the product once.
    once = """SELECT * FROM lines SEMI JOIN (SELECT customer_id, product_id FROM lines GROUP BY ALL
        HAVING count(*) = 1 AND sum(CAST(quantity AS BIGINT)) = 1 AND sum(CAST(amount_cents AS BIGINT)) > 0
        ORDER BY ALL LIMIT 1) USING (customer_id, product_id)"""
    for number in range(n_times):
        journey.execute(f"""INSERT INTO raw SELECT * REPLACE ('r{number}' AS order_id, '-' || quantity AS quantity,
            '-' || amount_cents AS amount_cents,
            CAST(CAST(event_time AS TIMESTAMP) + INTERVAL {number + 1} DAY AS VARCHAR) AS event_time) FROM ({once})""")
    admission = admit(journey, TRANSACTIONS, "raw", DELIVERY)
    ((n_lines,),) = journey.execute("SELECT count(*) FROM lines").fetchall()
    assert admission.reconciliation.n_rows == n_lines + n_times
    assert alarms(admission).get("returned more than was sold", 0) == is_told
    assert admission.reconciliation.n_quarantined == clean.get(MONEY_WITHOUT_GOODS, 0)


@pytest.mark.slow
def test_complete_journey_reconciles_to_the_cent(test_data):
    with duckdb.connect(config={"threads": 2}) as connection:
        load(connection, test_data / "completejourney", n_households=None)
        admission = admitted(connection)
        found = admission.reconciliation
        ((last,),) = connection.execute("SELECT max(local_time) FROM transactions_accepted").fetchall()
    # The source has 49 lines of money without goods; 20 of them hold less than a millionth of a cent.
    assert alarms(admission) == {UNKNOWN_PRODUCTS: 4836, MONEY_WITHOUT_GOODS: 29, "too many rejected rows": 29}
    assert (found.n_rows, found.n_accepted, found.n_quarantined, found.n_duplicates) == (1469307, 1469278, 29, 0)
    assert (found.rows_total, found.quarantined_total, found.duplicates_total) == (459603958, 1252, 0)
    assert last == datetime(2017, 12, 31, 23, 1, 20)
