"""A shop of any size for the benchmark of the features: the demo's households, dealt out to many customers.

A household of Complete Journey buys far more often than the customer of a usual shop. So its orders of the year go to
twelve customers, and once more, 364 days earlier, to the same twelve in another deal: two years and about 98 lines per
customer. More customers are further copies. One order in a hundred is known three days late, one line in five hundred
is corrected five days after it was sold. Lines lie in one file per month, as nights leave them.
"""

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from data.demo import TIMEZONE, raw_tables

LINES_PER_CUSTOMER = 98
"""Lines that a customer has on average."""

_DEALS = 12
_SHOP = f"""
CREATE TABLE shop AS
WITH demo AS (
    SELECT *, event_time AT TIME ZONE 'UTC' AT TIME ZONE '{TIMEZONE}' AS local_time,
        dense_rank() OVER (ORDER BY customer_id) - 1 AS household
    FROM demo_transactions
), dealt AS (
    SELECT demo.* REPLACE (event_time - years * INTERVAL 364 DAY AS event_time,
            local_time - years * INTERVAL 364 DAY AS local_time, order_id || '-' || years AS order_id),
        household * {_DEALS} + hash(order_id, years) % {_DEALS} AS number,
        event_time - years * INTERVAL 364 DAY
            + CASE WHEN hash(order_id) % 100 = 0 THEN INTERVAL 3 DAY ELSE INTERVAL 0 DAY END AS ready_at,
        CASE WHEN hash(order_id, product_id) % 500 = 0 THEN 2 ELSE 1 END AS versions
    FROM demo, range(2) AS year(years)
)
SELECT * REPLACE (amount_cents + version AS amount_cents), date_trunc('month', event_time) AS month,
    ready_at + version * INTERVAL 5 DAY AS known_from,
    CASE WHEN version + 1 < versions THEN ready_at + INTERVAL 5 DAY END AS replaced_at
FROM dealt, range(versions) AS corrections(version)
ORDER BY event_time, number, order_id, product_id, version
"""
_MONTH = """
SELECT order_id || '-' || copy AS order_id, 'c' || (copy * $size + number) AS customer_id, product_id, event_time,
    quantity, amount_cents, discount_cents, coupon_cents, channel, store_id, currency, known_from AS known_at,
    local_time, replaced_at
FROM shop, range($copies) AS copies(copy) WHERE month = $month AND copy * $size + number < $customers
"""
_CONTACTS = """
SELECT campaign_id, 'c' || (copy * $size + household * $size // $households + deal) AS customer_id, arm, assigned_at,
    contacted_at
FROM demo_contacts JOIN (SELECT DISTINCT customer_id, household FROM shop) USING (customer_id),
    range($copies) AS copies(copy), range($size // $households) AS deals(deal)
WHERE copy * $size + household * $size // $households + deal < $customers
"""


def write_lines(folder: Path, n_customers: int) -> None:
    """Write transactions (one file a month), products, campaigns and contacts of so many customers as Parquet."""
    (folder / "transactions").mkdir(parents=True)
    connection = duckdb.connect(config={"temp_directory": str(folder / "spill"), "memory_limit": "3GB"})
    connection.execute("SET enable_progress_bar = false")
    raw = raw_tables()
    for name in ("products", "campaigns"):
        pq.write_table(raw[name], folder / f"{name}.parquet")
    connection.register("demo_transactions", raw["transactions"])
    connection.register("demo_contacts", raw["contacts"])
    connection.execute(_SHOP)
    households = connection.execute("SELECT max(household) + 1 FROM shop").fetchall()[0][0]
    size = households * _DEALS
    values = {"size": size, "copies": -(-n_customers // size), "customers": n_customers}
    for (month,) in connection.execute("SELECT DISTINCT month FROM shop ORDER BY month").fetchall():
        lines = connection.execute(_MONTH, values | {"month": month}).to_arrow_reader(1_000_000)
        with pq.ParquetWriter(folder / "transactions" / f"{month:%Y-%m}.parquet", lines.schema) as writer:
            for batch in lines:
                writer.write_batch(batch)
    contacts = connection.execute(_CONTACTS, values | {"households": households})
    pq.write_table(contacts.to_arrow_table(), folder / "contacts.parquet")
    connection.close()
