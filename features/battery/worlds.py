"""Small worlds with every awkward row in them, as DataFrames with the columns of the accepted tables."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

TIMEZONE = "America/New_York"
"""Wall clock of the worlds."""
SCHEMAS: dict[str, pa.Schema] = {
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
            ("birth_year", pa.int64()),
            ("age_band", pa.string()),
            ("loyalty_joined_on", pa.date32()),
        ]
    ),
}
"""Columns of the accepted tables that a feature may read."""
AS_OFS = tuple(map(datetime.fromisoformat, ("2017-03-01T05:00", "2017-11-06T05:00", "2017-12-06T17:30")))
"""Instants of the worlds: a midnight after a usual day, one after a day of 25 hours, and the middle of a day."""
Frames = dict[str, pd.DataFrame]


def local(instant: datetime, timezone: str = TIMEZONE) -> datetime:
    """Return what the wall clock shows at an instant.

    Parameters
    ----------
    instant
        Naive UTC.
    timezone
        IANA name.
    """
    return instant.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(timezone)).replace(tzinfo=None)


def line(customer: str | None, at: datetime, **columns: object) -> dict[str, object]:
    """Return one line of transactions: one piece for a dollar, known at once, unless other values are given.

    Parameters
    ----------
    customer
        Customer, null for nobody.
    at
        Naive UTC instant of the event.
    **columns
        Values in the place of the plain ones.
    """
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
    """Return all tables with these lines; tables that are not given are empty.

    Parameters
    ----------
    lines
        Lines of transactions.
    **others
        Tables in the place of empty ones.
    """
    tables = {name: pd.DataFrame(columns=schema.names, dtype=object) for name, schema in SCHEMAS.items()}
    return tables | {"transactions": pd.DataFrame(lines, columns=SCHEMAS["transactions"].names, dtype=object)} | others


# Whatever is drawn, each instant has something of every table that came in too late for it.
_LATE_CONTACTS = [
    {
        "campaign_id": f"m{number + 1}",
        "customer_id": "c1",
        "arm": "mail",
        "contacted_at": at - timedelta(days=5),
        "known_at": at + timedelta(days=3),
    }
    for number, at in enumerate(AS_OFS)
]
_LATE_STATEMENTS = [
    {"event_time": at - timedelta(days=4), "known_at": at, "resolved_at": at + timedelta(days=1), "replaced_at": None}
    for at in AS_OFS
]
_LATE_VERSIONS = [
    {
        "started_on": local(at).date() - timedelta(days=9 + number),
        "ended_on": None,
        "known_at": at + timedelta(days=1),
        "replaced_at": None,
    }
    for number, at in enumerate(AS_OFS)
]


def random_world(seed: int, n_customers: int = 12, n_orders: int = 160) -> Frames:
    """Return a world around ``AS_OFS`` with late, returned, anonymous, coupon-only and boundary lines.

    Parameters
    ----------
    seed
        The same seed gives the same world.
    n_customers, n_orders
        Size of the world.
    """
    rng = np.random.default_rng(seed)
    lines = [made for order in range(n_orders) for made in _order(rng, order, n_customers)]
    for step in (-1, 0, 1):
        lines += [
            line(f"c{rng.integers(n_customers)}", at + timedelta(microseconds=step), order_id=f"edge{step}{at}")
            for at in AS_OFS
        ]
    lines += [line("c1", at - timedelta(days=2), order_id=f"late{at}", known_at=at) for at in AS_OFS]
    more = np.random.default_rng([seed, 1])
    channels = {row["order_id"]: more.choice(["store", "Web", "web", "app", ""]) or None for row in lines}
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
    late = [more.random() < 0.2 and pd.notna(at) for at in contacts["contacted_at"]]
    contacts["known_at"] = [
        at + timedelta(days=int(more.integers(1, 60))) if is_late else None
        for at, is_late in zip(pd.to_datetime(contacts["contacted_at"]), late, strict=True)
    ]
    contacts = pd.concat([contacts, pd.DataFrame(_LATE_CONTACTS, columns=contacts.columns, dtype=object)])
    contacts = contacts.drop_duplicates(["campaign_id", "customer_id"], keep="last", ignore_index=True)
    others = _people(more, [f"c{number}" for number in range(n_customers + 1)])
    return frames(lines, products=products, campaigns=campaigns.astype(object), contacts=contacts, **others)


def _people(rng: np.random.Generator, customers: Sequence[str]) -> Frames:
    """Return feedback, contracts and profiles of customers around ``AS_OFS``, at the boundaries too."""
    said = [_statement(rng, customer) for customer in customers for _ in range(rng.integers(2, 9))]
    said += [_statement(rng, "c1", at + timedelta(microseconds=step)) for at in AS_OFS for step in (-1, 0, 1)]
    said += [_statement(rng, "c1") | late for late in _LATE_STATEMENTS]
    said = [row | {"feedback_id": f"f{number:04}"} for number, row in enumerate(said)]
    versions = [_version(rng, customer) for customer in customers for _ in range(rng.integers(1, 6))]
    versions += [_version(rng, "c1") | late for late in _LATE_VERSIONS]
    people: list[dict[str, object]] = [
        {
            "customer_id": customer,
            "first_seen_on": _day(rng) if rng.random() < 0.8 else None,
            "birth_year": [None, None, 1900, 1907, 1950, 1999, 2017, 2018][rng.integers(8)],
            "age_band": [None, "under 18", "18-24", "35-44", "65+", "<25", "unknown"][rng.integers(7)],
            "loyalty_joined_on": _day(rng) if rng.random() < 0.6 else None,
        }
        for customer in customers
    ]
    made: dict[str, list[dict[str, object]]] = {"feedback": said, "subscriptions": versions, "customers": people}
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
