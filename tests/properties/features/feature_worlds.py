"""Small worlds with every awkward row in them, as DataFrames, and the matrix computed on them by DuckDB."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from features.matrix import feature_matrix, to_frame
from features.registry import FEATURES, Registry

NEW_YORK = "America/New_York"
SCHEMAS = {
    "transactions": pa.schema(
        [
            ("order_id", pa.string()),
            ("customer_id", pa.string()),
            ("product_id", pa.string()),
            ("event_time", pa.timestamp("us")),
            ("quantity", pa.decimal128(18, 3)),
            ("amount_cents", pa.int64()),
            ("discount_cents", pa.int64()),
            ("coupon_cents", pa.int64()),
            ("channel", pa.string()),
            ("store_id", pa.string()),
            ("currency", pa.string()),
            ("known_at", pa.timestamp("us")),
            ("local_time", pa.timestamp("us")),
        ]
    ),
    "products": pa.schema([("product_id", pa.string()), ("category", pa.string())]),
    "campaigns": pa.schema([("campaign_id", pa.string()), ("starts_on", pa.date32()), ("ends_on", pa.date32())]),
    "contacts": pa.schema(
        [
            ("campaign_id", pa.string()),
            ("customer_id", pa.string()),
            ("arm", pa.string()),
            ("assigned_at", pa.timestamp("us")),
            ("contacted_at", pa.timestamp("us")),
        ]
    ),
}
# Midnight after a usual day, after the day of 25 hours, and an instant in the middle of a day.
AS_OFS = tuple(map(datetime.fromisoformat, ("2017-03-01T05:00", "2017-11-06T05:00", "2017-12-06T17:30")))
Frames = dict[str, pd.DataFrame]


def local(instant: datetime, timezone: str = NEW_YORK) -> datetime:
    """Return the wall clock of a naive UTC instant."""
    return instant.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(timezone)).replace(tzinfo=None)


def line(customer: str | None, at: datetime, **columns: object) -> dict[str, object]:
    """Return one line of transactions with plain values where none are given."""
    plain = {
        "order_id": f"o-{customer}-{at}",
        "customer_id": customer,
        "product_id": "p0",
        "event_time": at,
        "quantity": Decimal(1),
        "amount_cents": 100,
        "discount_cents": 0,
        "coupon_cents": 0,
        "channel": None,
        "store_id": "s0",
        "currency": None,
        "known_at": at,
        "local_time": local(at),
    }
    return plain | columns


def frames(lines: Sequence[Mapping[str, object]], **others: pd.DataFrame) -> Frames:
    """Return the four tables with these lines; tables that are not given are empty."""
    tables = {name: pd.DataFrame(columns=schema.names, dtype=object) for name, schema in SCHEMAS.items()}
    return tables | {"transactions": pd.DataFrame(lines, columns=SCHEMAS["transactions"].names, dtype=object)} | others


def random_world(seed: int, n_customers: int = 12, n_orders: int = 160) -> Frames:
    """Return a world around ``AS_OFS`` with late, returned, anonymous, coupon-only and boundary lines."""
    rng = np.random.default_rng(seed)
    lines = [made for order in range(n_orders) for made in _order(rng, order, n_customers)]
    for step in (-1, 0, 1):
        lines += [
            line(f"c{rng.integers(n_customers)}", at + timedelta(microseconds=step), order_id=f"edge{step}{at}")
            for at in AS_OFS
        ]
    products = pd.DataFrame(
        {"product_id": [f"p{i}" for i in range(9)], "category": [f"k{i % 4}" if i else None for i in range(9)]}
    )
    starts = [date(2016, 12, 20) + timedelta(days=int(d)) for d in rng.integers(0, 380, 8)]
    ends = [None if i == 0 else day + timedelta(days=int(rng.integers(5, 60))) for i, day in enumerate(starts)]
    campaigns = pd.DataFrame({"campaign_id": [f"m{i}" for i in range(8)], "starts_on": starts, "ends_on": ends})
    contacts = pd.DataFrame([_contact(rng, c, starts) for c in range(n_customers + 2) for _ in range(4)])
    contacts = contacts.drop_duplicates(["campaign_id", "customer_id"])
    return frames(lines, products=products, campaigns=campaigns.astype(object), contacts=contacts.astype(object))


def _order(rng: np.random.Generator, order: int, n_customers: int) -> list[dict[str, object]]:
    customer = None if rng.random() < 0.05 else f"c{rng.integers(n_customers)}"
    at = datetime.fromisoformat("2016-11-01") + timedelta(seconds=int(rng.integers(0, 420 * 86400)))
    known_at = at + timedelta(days=int(rng.integers(1, 60))) if rng.random() < 0.2 else at
    made = []
    for _ in range(rng.integers(1, 5)):
        quantity = int(rng.choice([1, 2, 3, 0, -1], p=[0.5, 0.2, 0.1, 0.1, 0.1]))
        amount = int(rng.integers(1, 5000)) * int(np.sign(quantity))
        made.append(
            line(
                customer,
                at,
                order_id=f"o{order}",
                product_id=f"p{rng.integers(11)}",
                quantity=Decimal(quantity),
                amount_cents=amount,
                discount_cents=[None, 0, 50, 400][rng.integers(4)] if quantity > 0 else 0,
                coupon_cents=100 if quantity == 0 or rng.random() < 0.1 else None,
                store_id=[None, "s0", "s1", "s2"][rng.integers(4)],
                known_at=known_at,
            )
        )
    return made


def _contact(rng: np.random.Generator, customer: int, starts: Sequence[date]) -> dict[str, object]:
    campaign = int(rng.integers(len(starts)))
    at = datetime.combine(starts[campaign], datetime.min.time()) + timedelta(
        hours=5, minutes=int(rng.integers(0, 6000))
    )
    arm = str(rng.choice(["mail", "mail", "control"]))
    reached_at = None if arm == "control" else at
    return {
        "campaign_id": f"m{campaign}",
        "customer_id": f"c{customer}",
        "arm": arm,
        "assigned_at": at - timedelta(days=1),
        "contacted_at": reached_at,
    }


def connect(threads: int = 2) -> ibis.BaseBackend:
    """Return an empty DuckDB on UTC."""
    connection = ibis.duckdb.connect(threads=threads)
    connection.raw_sql("SET TimeZone = 'UTC'")
    return connection


def load(connection: ibis.BaseBackend, tables: Frames) -> dict[str, ibis.Table]:
    """Put the tables into DuckDB with the types of the lake."""
    for name, frame in tables.items():
        connection.con.register("incoming", pa.Table.from_pandas(frame, SCHEMAS[name], preserve_index=False))
        connection.con.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
        connection.con.unregister("incoming")
    return {name: connection.table(name) for name in tables}


def compute(
    tables: Frames,
    as_ofs: Sequence[datetime] = AS_OFS,
    names: Sequence[str] | None = None,
    registry: Registry = FEATURES,
    timezone: str = NEW_YORK,
) -> pd.DataFrame:
    """Return the matrix of these tables, indexed by customer_id and as_of."""
    connection = connect()
    matrix = feature_matrix(load(connection, tables), as_ofs, timezone, names, registry)
    frame = to_frame(matrix)
    connection.disconnect()
    return frame.set_index(["customer_id", "as_of"])
