"""One customer whose features can be counted on the fingers.

As of Monday 2018-01-01 00:00 in New York (05:00 UTC):

=====================  ======  =====  ========  ======  ========  ======  ========  =====
local time             order   store  quantity  cents   discount  coupon  category  age
=====================  ======  =====  ========  ======  ========  ======  ========  =====
2017-10-01 Sun 10:00   o1      s1     2         1000    200       0       bread     92
2017-10-01 Sun 10:00   o1      s1     1         500     0         0       milk      92
2017-12-10 Sun 19:00   o2      s2     1         300     100       100     bread     22
2017-12-20 Wed 18:00   o3      s1     1         400     0         0       bread     12
2017-12-21 Thu 09:00   o3      s1     -1        -400    0         0       bread     11
2017-12-31 Sun 23:30   o4      s1     1         700     0         0       unknown   1
=====================  ======  =====  ========  ======  ========  ======  ========  =====

Purchase days are 92, 22, 12 and 1 days old, so the gaps are 70, 10 and 11 days.
A mailing reached the customer 40 days ago and runs until the 1st of January; another held them out.
"""

import math
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest

from features.matrix import feature_matrix, to_frame
from features.registry import FEATURES

NEW_YORK = "America/New_York"
AS_OF = datetime.fromisoformat("2018-01-01T05:00")
LINES = [
    ("2017-10-01T10:00", "o1", "s1", 2, 1000, 200, 0, "rye"),
    ("2017-10-01T10:00", "o1", "s1", 1, 500, 0, 0, "milk"),
    ("2017-12-10T19:00", "o2", "s2", 1, 300, 100, 100, "rye"),
    ("2017-12-20T18:00", "o3", "s1", 1, 400, 0, 0, "oat"),
    ("2017-12-21T09:00", "o3", "s1", -1, -400, 0, 0, "oat"),
    ("2017-12-31T23:30", "o4", "s1", 1, 700, 0, 0, "not in the list"),
]
BY_HAND = {
    "recency_days": 1,
    "recency_to_gap_ratio": 1 / 11,
    "gap_mean_days": 91 / 3,
    "gap_median_days": 11,
    "gap_deviation_days": math.sqrt((4900 + 100 + 121 - 91**2 / 3) / 2),
    "gap_variation": math.sqrt((4900 + 100 + 121 - 91**2 / 3) / 2) / (91 / 3),
    "gap_max_days": 70,
    "n_orders_7d": 1,
    "n_orders_28d": 3,
    "n_orders_84d": 3,
    "n_orders_182d": 4,
    "n_orders_364d": 4,
    "n_purchase_days": 4,
    "orders_trend": 1,
    "spend_28d_cents": 1000,
    "spend_84d_cents": 1000,
    "spend_182d_cents": 2500,
    "spend_364d_cents": 2500,
    "spend_trend": 1,
    "order_value_mean_cents": 2500 / 4,
    "order_value_max_cents": 1500,
    "tenure_days": 92,
    "lines_per_order": 5 / 4,
    "returned_lines_share": 1 / 6,
    "n_categories_84d": 1,
    "category_entropy": -(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4)),
    "top_category_share": 3 / 4,
    "weekend_share": 3 / 4,
    "evening_share": 3 / 4,
    "n_stores_364d": 2,
    "discount_share": 300 / (2900 + 300 + 100),
    "coupon_orders_share": 1 / 4,
    "n_campaigns_84d": 1,
    "n_campaigns_182d": 1,
    "contact_recency_days": 40,
    "is_in_campaign": True,
}


def _utc(wall: datetime) -> datetime:
    return wall.replace(tzinfo=ZoneInfo(NEW_YORK)).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)


def _transactions() -> pa.Table:
    rows = []
    for text, order, store, quantity, cents, discount, coupon, product in LINES:
        wall = datetime.fromisoformat(text)
        rows.append(
            {
                "order_id": order,
                "customer_id": "c",
                "product_id": product,
                "event_time": _utc(wall),
                "known_at": _utc(wall),
                "local_time": wall,
                "quantity": Decimal(quantity),
                "amount_cents": cents,
                "discount_cents": discount,
                "coupon_cents": coupon,
                "store_id": store,
            }
        )
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def computed() -> dict[str, float]:
    reached = _utc(datetime.fromisoformat("2017-11-22T00:00"))
    tables = {
        "transactions": _transactions(),
        "products": pa.table({"product_id": ["rye", "oat", "milk"], "category": ["bread", "bread", "milk"]}),
        "campaigns": pa.table({"campaign_id": ["m1", "m2"], "ends_on": [date(2018, 1, 1), date(2018, 2, 1)]}),
        "contacts": pa.table(
            {
                "campaign_id": ["m1", "m2"],
                "customer_id": ["c", "c"],
                "arm": ["mail", "control"],
                "contacted_at": pa.array([reached, None], pa.timestamp("us")),
            }
        ),
    }
    connection = ibis.duckdb.connect(threads=1)
    for name, table in tables.items():
        connection.con.register("incoming", table)
        connection.con.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
    loaded = {name: connection.table(name) for name in tables}
    return to_frame(feature_matrix(loaded, [AS_OF], NEW_YORK)).iloc[0].to_dict()


def test_every_feature_is_in_the_table() -> None:
    assert sorted(BY_HAND) == list(FEATURES)


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_by_hand(computed: dict[str, float], name: str) -> None:
    assert computed[name] == pytest.approx(BY_HAND[name], rel=1e-12, abs=1e-9)
