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
    "products": pa.schema(
        [
            ("product_id", pa.string()),
            ("category", pa.string()),
            ("brand", pa.string()),
            ("list_price_cents", pa.int64()),
        ]
    ),
    "campaigns": pa.schema([("campaign_id", pa.string()), ("starts_on", pa.date32()), ("ends_on", pa.date32())]),
    "contacts": pa.schema(
        [
            ("campaign_id", pa.string()),
            ("customer_id", pa.string()),
            ("arm", pa.string()),
            ("assigned_at", pa.timestamp("us")),
            ("contacted_at", pa.timestamp("us")),
            ("known_at", pa.timestamp("us")),
        ]
    ),
    "feedback": pa.schema(
        [
            ("feedback_id", pa.string()),
            ("customer_id", pa.string()),
            ("event_time", pa.timestamp("us")),
            ("kind", pa.string()),
            ("rating", pa.float64()),
            ("rating_max", pa.float64()),
            ("status", pa.string()),
            ("resolved_at", pa.timestamp("us")),
            ("known_at", pa.timestamp("us")),
            ("replaced_at", pa.timestamp("us")),
        ]
    ),
    "subscriptions": pa.schema(
        [
            ("customer_id", pa.string()),
            ("plan", pa.string()),
            ("started_on", pa.date32()),
            ("ended_on", pa.date32()),
            ("fee_cents", pa.int64()),
            ("known_at", pa.timestamp("us")),
            ("replaced_at", pa.timestamp("us")),
        ]
    ),
    "customers": pa.schema(
        [
            ("customer_id", pa.string()),
            ("first_seen_on", pa.date32()),
            ("age_band", pa.string()),
            ("loyalty_joined_on", pa.date32()),
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
    """Return all tables with these lines; tables that are not given are empty."""
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
    more = np.random.default_rng([seed, 1])
    channels = {row["order_id"]: more.choice(["store", "Web", "app", ""]) or None for row in lines}
    lines = [row | {"channel": channels[row["order_id"]]} for row in lines]
    products = pd.DataFrame(
        {
            "product_id": [f"p{i}" for i in range(9)],
            "category": [f"k{i % 4}" if i else None for i in range(9)],
            "brand": [None, "Private", "acme", "acme", "zeta", "Private", "zeta", None, "own brand"],
            "list_price_cents": [100, 250, None, 399, 120, 99, 301, 0, 777],
        },
        dtype=object,
    )
    starts = [date(2016, 12, 20) + timedelta(days=int(d)) for d in rng.integers(0, 380, 8)]
    ends = [None if i == 0 else day + timedelta(days=int(rng.integers(5, 60))) for i, day in enumerate(starts)]
    campaigns = pd.DataFrame({"campaign_id": [f"m{i}" for i in range(8)], "starts_on": starts, "ends_on": ends})
    contacts = pd.DataFrame([_contact(rng, c, starts) for c in range(n_customers + 2) for _ in range(4)])
    contacts = contacts.drop_duplicates(["campaign_id", "customer_id"]).astype(object)
    late = [more.random() < 0.2 and at is not pd.NaT for at in pd.to_datetime(contacts["contacted_at"])]
    contacts["known_at"] = [
        at + timedelta(days=int(more.integers(1, 60))) if is_late else None
        for at, is_late in zip(pd.to_datetime(contacts["contacted_at"]), late, strict=True)
    ]
    others = random_people(more, [f"c{number}" for number in range(n_customers + 1)])
    return frames(lines, products=products, campaigns=campaigns.astype(object), contacts=contacts, **others)


def random_people(rng: np.random.Generator, customers: Sequence[str]) -> Frames:
    """Return feedback, contracts and profiles of customers around ``AS_OFS``, at the boundaries too."""
    said = [_statement(rng, customer) for customer in customers for _ in range(rng.integers(2, 9))]
    said += [_statement(rng, "c1", at + timedelta(microseconds=step)) for at in AS_OFS for step in (-1, 0, 1)]
    said = [row | {"feedback_id": f"f{number:04}"} for number, row in enumerate(said)]
    versions = [_version(rng, customer) for customer in customers for _ in range(rng.integers(1, 6))]
    people = [
        {
            "customer_id": customer,
            "first_seen_on": _day(rng) if rng.random() < 0.8 else None,
            "age_band": [None, "18-24", "35-44", "65+", "unknown"][rng.integers(5)],
            "loyalty_joined_on": _day(rng) if rng.random() < 0.6 else None,
        }
        for customer in customers
    ]
    made = {"feedback": said, "subscriptions": versions, "customers": people}
    found = {name: pd.DataFrame(rows, columns=SCHEMAS[name].names, dtype=object) for name, rows in made.items()}
    found["subscriptions"] = found["subscriptions"].drop_duplicates(["customer_id", "plan", "started_on"])
    return found


def _day(rng: np.random.Generator) -> date:
    return date(2016, 8, 1) + timedelta(days=int(rng.integers(0, 520)))


def _statement(rng: np.random.Generator, customer: str, at: datetime | None = None) -> dict[str, object]:
    at = at or datetime.fromisoformat("2016-06-01") + timedelta(seconds=int(rng.integers(0, 570 * 86400)))
    best = [None, 5.0, 10.0][rng.integers(3)]
    known_at = [None, at, at + timedelta(days=int(rng.integers(1, 50)))][rng.integers(3)]
    return {
        "customer_id": customer,
        "event_time": at,
        "kind": ["survey", "review", "complaint", "claim", "request"][rng.integers(5)],
        "rating": None if best is None else float(rng.integers(0, int(best) + 1)),
        "rating_max": best,
        "status": "closed",
        "resolved_at": at + timedelta(seconds=int(rng.integers(0, 90 * 86400))) if rng.random() < 0.6 else None,
        "known_at": known_at,
        "replaced_at": (known_at or at) + timedelta(days=90) if rng.random() < 0.1 else None,
    }


def _version(rng: np.random.Generator, customer: str) -> dict[str, object]:
    day = [_day(rng), _day(rng), *(local(at).date() for at in AS_OFS)][rng.integers(5)]
    midnight = datetime.combine(day, datetime.min.time())
    known_at = [None, midnight, midnight + timedelta(days=int(rng.integers(1, 40)))][rng.integers(3)]
    return {
        "customer_id": customer,
        "plan": ["basic", "plus"][rng.integers(2)],
        "started_on": day,
        "ended_on": day + timedelta(days=int(rng.integers(0, 400))) if rng.random() < 0.6 else None,
        "fee_cents": None if rng.random() < 0.1 else int(rng.integers(500, 2000)),
        "known_at": known_at,
        "replaced_at": (known_at or midnight) + timedelta(days=90) if rng.random() < 0.1 else None,
    }


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
        rows = frame.reindex(columns=SCHEMAS[name].names).astype(object)
        rows = rows.where(rows.notna(), None)
        connection.con.register("incoming", pa.Table.from_pandas(rows, SCHEMAS[name], preserve_index=False))
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
