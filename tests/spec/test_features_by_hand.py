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
The list of products has rye of acme at 150 cents, oat of the own brand at 90 and milk of no known brand at 60.
A complaint of 31 days ago was answered after three days and a half, a claim of 90 days ago only in the new year.
The basic plan became dearer 214 days ago; plus was added 60 days ago and was soon known to end on the 1st of February.
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
CHANNELS = {"o1": "shop", "o2": "Web", "o3": "shop", "o4": None}
FEEDBACK = [
    ("f1", "2017-12-01T00:00", "complaint", 2.0, 5.0, "2017-12-04T12:00"),
    ("f2", "2017-12-22T00:00", "survey", 9.0, 10.0, None),
    ("f3", "2017-10-03T00:00", "claim", None, None, "2018-01-05T00:00"),
]
VERSIONS = [
    ("basic", "2016-12-01", "2017-06-01", 1000, None),
    ("basic", "2017-06-01", None, 1500, None),
    ("plus", "2017-11-02", "2018-02-01", 500, "2017-11-10T00:00"),
]
DEVIATION = math.sqrt((4900 + 100 + 121 - 91**2 / 3) / 2)


def _spread(*counts: int) -> float:
    return -sum(count / sum(counts) * math.log(count / sum(counts)) for count in counts)


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
    "recency_to_gap_max_ratio": 1 / 70,
    "recency_in_deviations": (1 - 91 / 3) / DEVIATION,
    "recency_share": 1 / 92,
    "gap_last_days": 11,
    "gap_trend": 0,
    "n_purchase_days_84d": 3,
    "n_active_weeks_182d": 4,
    "n_orders": 4,
    "orders_per_week": 4 / (92 / 7),
    "orders_trend_182d": (3 - 1) / 4,
    "orders_trend_364d": 1,
    "spend_7d_cents": 700,
    "spend_total_cents": 2500,
    "spend_trend_182d": (1000 - 1500) / 2500,
    "spend_trend_364d": 1,
    "spend_per_day_cents": 2500 / 92,
    "order_value_median_cents": (300 + 700) / 2,
    "order_value_ratio": (1400 / 3) / (2900 / 4),
    "active_span_days": 91,
    "is_new": False,
    "first_seen_days": 122,
    "single_line_orders_share": 3 / 4,
    "line_value_mean_cents": 2900 / 5,
    "n_categories_182d": 2,
    "n_lost_categories": 1,
    "lost_categories_share": 1 / 2,
    "new_categories_share": 0,
    "repeat_categories_share": 1 / 2,
    "n_brands_182d": 2,
    "top_brand_share": 2 / 3,
    "brand_entropy": _spread(2, 1),
    "own_brand_share": 1 / 3,
    "price_level": (150 + 60 + 150 + 90) / (120 + 60 + 120 + 120),
    "dear_lines_share": 2 / 4,
    "discounted_orders_share": 2 / 4,
    "discount_182d_cents": 300,
    "coupon_182d_cents": 100,
    "coupon_recency_days": 22,
    "n_returned_lines_364d": 1,
    "returned_value_ratio": 400 / 2900,
    "return_orders_share": 1 / 4,
    "return_recency_days": 12,
    "morning_share": 1 / 4,
    "top_weekday_share": 3 / 4,
    "weekday_entropy": _spread(3, 1),
    "n_orders_season": 0,
    "top_store_share": 4 / 5,
    "store_entropy": _spread(4, 1),
    "n_channels_364d": 2,
    "online_share": 1 / 3,
    "n_campaigns_28d": 0,
    "n_campaigns_364d": 1,
    "n_running_campaigns": 1,
    "campaigns_trend": 1,
    "n_campaigns_unanswered": 0,
    "campaign_response_share": 0,
    "response_days_mean": 40 - 22,
    "n_statements_364d": 3,
    "n_complaints_84d": 1,
    "n_complaints_364d": 2,
    "n_claims_364d": 1,
    "n_open_cases": 1,
    "open_case_days": 90,
    "complaint_recency_days": 31,
    "resolution_days_mean": 3.5,
    "resolution_days_max": 3.5,
    "rating_mean": (2 / 5 + 9 / 10) / 2,
    "rating_last": 9 / 10,
    "n_low_ratings_364d": 1,
    "n_contracts": 2,
    "contract_fee_cents": 1500 + 500,
    "contract_fee_trend": (1500 - 1000) / (1500 + 1000),
    "contract_days": 214,
    "contract_anniversary_days": 365 - 214,
    "contract_to_end_days": 31,
    "contract_ended_days": 214,
    "n_contract_changes_364d": 2,
    "is_loyalty_member": True,
    "loyalty_days": 60,
    "age_years": 35,
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
                "channel": CHANNELS[order],
            }
        )
    return pa.Table.from_pylist(rows)


def _people() -> dict[str, pa.Table]:
    said = [
        {
            "feedback_id": name,
            "customer_id": "c",
            "event_time": _utc(datetime.fromisoformat(at)),
            "kind": kind,
            "rating": rating,
            "rating_max": best,
            "resolved_at": _utc(datetime.fromisoformat(resolved)) if resolved else None,
        }
        for name, at, kind, rating, best, resolved in FEEDBACK
    ]
    versions = [
        {
            "customer_id": "c",
            "plan": plan,
            "started_on": date.fromisoformat(start),
            "ended_on": date.fromisoformat(end) if end else None,
            "fee_cents": fee,
            "known_at": datetime.fromisoformat(known) if known else None,
        }
        for plan, start, end, fee, known in VERSIONS
    ]
    person = {"customer_id": "c", "age_band": "35-54"}
    person |= {"first_seen_on": date(2017, 9, 1), "loyalty_joined_on": date(2017, 11, 2)}
    rows = {"feedback": said, "subscriptions": versions, "customers": [person]}
    return {name: pa.Table.from_pylist(listed) for name, listed in rows.items()}


@pytest.fixture(scope="module")
def computed() -> dict[str, float]:
    reached = _utc(datetime.fromisoformat("2017-11-22T00:00"))
    tables = {
        "transactions": _transactions(),
        "products": pa.table(
            {
                "product_id": ["rye", "oat", "milk"],
                "category": ["bread", "bread", "milk"],
                "brand": ["acme", "Private Label", None],
                "list_price_cents": [150, 90, 60],
            }
        ),
        **_people(),
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
