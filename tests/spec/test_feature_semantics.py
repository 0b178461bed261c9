"""What each feature means where it is not obvious: one customer per case, a few lines each, all in one small world.

A line is (age in local days, wall clock, order, quantity, cents, anything else). As of Monday 2018-01-01 00:00 in New
York, so age 1 is Sunday, 2 is Saturday, and windows end with the day whose age is their length.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from features.matrix import feature_matrix, to_frame

ZONE = ZoneInfo("America/New_York")
TODAY = date(2018, 1, 1)
AS_OF = datetime(2018, 1, 1, 5)
EDGES = (7, 8, 28, 29, 84, 85, 182, 183, 364, 365)

Line = tuple[int, str, str, int, int] | tuple[int, str, str, int, int, dict[str, object]]


def _each(ages: tuple[int, ...], clock: str = "10:00", cents: int = 100, **more: object) -> list[Line]:
    return [(age, clock, f"o{age}", 1, cents, more) for age in ages]


@dataclass(frozen=True)
class Case:
    """One customer: their lines, who reached them (campaign, age in days of 24 hours), and what must come out."""

    says: str
    lines: list[Line]
    expected: Mapping[str, float | None]
    reached: list[tuple[str, float]] = field(default_factory=list)
    arm: str = "mail"


NO_RHYTHM = dict.fromkeys(("gap_mean_days", "gap_median_days", "gap_max_days", "recency_to_gap_ratio"))
NO_SPREAD = dict.fromkeys(("gap_deviation_days", "gap_variation"))
NO_ORDER = dict.fromkeys(("order_value_mean_cents", "order_value_max_cents", "lines_per_order", "orders_trend"))
NO_ORDER |= dict.fromkeys(("weekend_share", "evening_share", "coupon_orders_share"))
NO_PURCHASE = dict.fromkeys(("recency_days", "tenure_days"))
NO_CATEGORY: dict[str, float | None] = {"category_entropy": None, "top_category_share": None, "n_categories_84d": 0}
COUNTS = [f"n_orders_{days}d" for days in (7, 28, 84, 182, 364)]
SPENDS = [f"spend_{days}d_cents" for days in (28, 84, 182, 364)]

CASES = [
    Case(
        "one purchase says when, but nothing about a rhythm",
        _each((1,), cents=500),
        {"recency_days": 1, "tenure_days": 1, "n_purchase_days": 1, "orders_trend": 1, "spend_trend": 1}
        | NO_RHYTHM | NO_SPREAD | dict.fromkeys(COUNTS, 1) | dict.fromkeys(SPENDS, 500)
        | {"weekend_share": 1, "evening_share": 0, "category_entropy": 0, "top_category_share": 1, "discount_share": 0}
        | {"order_value_mean_cents": 500, "lines_per_order": 1, "returned_lines_share": 0, "n_campaigns_182d": 0}
        | {"contact_recency_days": None, "is_in_campaign": False},
    ),
    Case(
        "a window holds the day whose age is its length, and not the day before it",
        _each(EDGES),
        dict(zip(COUNTS, (1, 3, 5, 7, 9), strict=True))
        | dict(zip(SPENDS, (300, 500, 700, 900), strict=True))
        | {"n_purchase_days": 10, "recency_days": 7, "tenure_days": 365, "orders_trend": (2 * 3 - 2) / (2 * 3 + 2)},
    ),
    Case(
        "gaps are counted over the whole history",
        _each(EDGES),
        {"gap_mean_days": 358 / 9, "gap_median_days": 1, "gap_max_days": 181, "recency_to_gap_ratio": 7},
    ),
    Case(
        "two purchase days make one gap, which has no spread",
        _each((3, 10)),
        {"gap_mean_days": 7, "gap_median_days": 7, "gap_max_days": 7, "recency_to_gap_ratio": 3 / 7} | NO_SPREAD,
    ),
    Case(
        "clockwork has no variation",
        _each((1, 8, 15, 22)),
        {"gap_mean_days": 7, "gap_deviation_days": 0, "gap_variation": 0, "recency_to_gap_ratio": 1 / 7},
    ),
    Case(
        "an even number of gaps has the mean of the middle two as its median",
        _each((1, 2, 5)),
        {"gap_median_days": 2, "gap_deviation_days": math.sqrt(2), "gap_variation": math.sqrt(2) / 2},
    ),
    Case(
        "two orders on one day are two orders and one purchase day",
        [(4, "09:00", "a", 1, 100), (4, "19:00", "b", 1, 300)],
        {"n_orders_7d": 2, "n_purchase_days": 1, "order_value_mean_cents": 200, "evening_share": 0.5} | NO_RHYTHM,
    ),
    Case(
        "an order is of the day and the clock of its first line",
        [(3, "23:50", "a", 1, 100), (2, "00:10", "a", 2, 300)],
        {"n_orders_7d": 1, "n_purchase_days": 2, "weekend_share": 0, "evening_share": 1, "lines_per_order": 2}
        | {"order_value_mean_cents": 400, "order_value_max_cents": 400, "gap_mean_days": 1, "recency_days": 2},
    ),
    Case(
        "only returns: known, never a buyer, and money went out",
        [(3, "10:00", "r", -1, -500)],
        NO_PURCHASE | NO_RHYTHM | NO_ORDER | NO_CATEGORY | dict.fromkeys(COUNTS, 0) | dict.fromkeys(SPENDS, -500)
        | {"n_purchase_days": 0, "returned_lines_share": 1, "spend_trend": None, "discount_share": None},
    ),
    Case(
        "a return before the purchase is no purchase day and no tenure",
        [(9, "10:00", "r", -1, -200), (2, "10:00", "a", 1, 700)],
        {"recency_days": 2, "tenure_days": 2, "n_purchase_days": 1, "spend_28d_cents": 500, "n_orders_28d": 1}
        | {"order_value_mean_cents": 700, "returned_lines_share": 0.5} | NO_RHYTHM,
    ),
    Case(
        "a return within the order lowers the order's value",
        [(5, "10:00", "a", 2, 800), (4, "10:00", "a", -1, -400)],
        {"order_value_mean_cents": 400, "lines_per_order": 1, "returned_lines_share": 0.5, "n_purchase_days": 1},
    ),
    Case(
        "a trend lies beyond its ends where returns outweigh the sales of one period",
        [(60, "10:00", "a", 1, 1000), (10, "10:00", "r", -1, -200)],
        {"spend_trend": (2 * -200 - 1000) / (2 * -200 + 1000), "spend_84d_cents": 800, "orders_trend": -1},
    ),
    Case(
        "a trend of money that came and all went back is not known",
        [(60, "10:00", "a", 1, 1000), (10, "10:00", "r", -1, -1500)],
        {"spend_trend": None, "spend_84d_cents": -500},
    ),
    Case("a steady customer has no trend", _each((7, 21, 35, 49, 63, 77)), {"orders_trend": 0, "spend_trend": 0}),
    Case("who came only before is gone", _each((40, 50)), {"orders_trend": -1, "spend_trend": -1, "n_orders_28d": 0}),
    Case("who came longer ago has no trend", _each((85,)), {"orders_trend": None, "spend_trend": None}),
    Case(
        "a line of quantity 0 that carries a coupon is no purchase",
        [(4, "10:00", "k", 0, 0, {"coupon_cents": 100})],
        NO_PURCHASE | NO_ORDER | NO_CATEGORY | dict.fromkeys(SPENDS, 0) | {"returned_lines_share": None},
    ),
    Case(
        "the coupon line of an order makes it an order with a coupon, not a larger one",
        [(4, "10:00", "a", 1, 300), (4, "10:00", "a", 0, 0, {"coupon_cents": 100}), (5, "10:00", "b", 1, 100)],
        {"coupon_orders_share": 0.5, "lines_per_order": 1, "n_orders_7d": 2, "discount_share": 0},
    ),
    Case(
        "what costs nothing is a purchase without a value to reduce",
        _each((6,), cents=0),
        {"n_orders_7d": 1, "order_value_mean_cents": 0, "discount_share": None, "spend_trend": None, "orders_trend": 1},
    ),
    Case("all of the price given away", _each((6,), cents=0, discount_cents=500), {"discount_share": 1}),
    Case(
        "a discount is a share of the price before all reductions",
        _each((6,), cents=600, discount_cents=300, coupon_cents=100),
        {"discount_share": 0.3, "coupon_orders_share": 1},
    ),
    Case("unknown reductions are none", _each((6,), discount_cents=None, coupon_cents=None),
         {"discount_share": 0, "coupon_orders_share": 0}),
    Case("unknown stores are no store", _each((1, 2), store_id=None), {"n_stores_364d": 0}),
    Case(
        "stores are counted over a year",
        [line for age in (1, 2, 364, 365) for line in _each((age,), store_id=f"s{age // 2}")],
        {"n_stores_364d": 3},
    ),
    Case("the evening begins at six", [(1, clock, clock, 1, 1) for clock in ("17:59", "18:00", "23:59", "00:00")],
         {"evening_share": 0.5}),
    Case("the weekend is Saturday and Sunday", _each((1, 2, 3, 4)), {"weekend_share": 0.5}),
    Case(
        "an unknown product has a price and no category",
        _each((5,), product_id="nobody knows"),
        {"spend_28d_cents": 100, "n_orders_7d": 1} | NO_CATEGORY,
    ),
    Case("a product without a category has none", _each((5,), product_id="plain"), NO_CATEGORY),
    Case(
        "categories are counted for twelve weeks and weighed for a half-year",
        [
            *_each((84, 85, 182), product_id="milk"),
            *_each((85, 183), product_id="rye"),
            *_each((86,), product_id="oat"),
        ],
        {"n_categories_84d": 1, "top_category_share": 3 / 5}
        | {"category_entropy": -(3 / 5 * math.log(3 / 5) + 2 / 5 * math.log(2 / 5))},
    ),
    Case("returned goods are no category", [(5, "10:00", "r", -1, -100)], NO_CATEGORY),
    Case(
        "a campaign counts from the instant of its contact, in days of 24 hours",
        _each((1,)),
        {"n_campaigns_84d": 2, "n_campaigns_182d": 4, "contact_recency_days": 1, "is_in_campaign": False},
        [("over", 1.5), ("over2", 83.999), ("over3", 84.0), ("over4", 181.9), ("over5", 182.0)],
    ),
    Case("a campaign runs on its last day", _each((1,)), {"is_in_campaign": True}, [("last day", 9)]),
    Case("a campaign without a last day runs on", _each((1,)), {"is_in_campaign": True}, [("endless", 300)]),
    Case("a campaign that nobody describes has reached them all the same", _each((1,)),
         {"is_in_campaign": False, "n_campaigns_84d": 1}, [("nobody knows", 3)]),
    Case("who was held out was not reached", _each((1,)),
         {"n_campaigns_84d": 0, "contact_recency_days": None, "is_in_campaign": False}, [("endless", 3)], "control"),
    Case("a contact at as_of is not known yet", _each((1,)), {"n_campaigns_84d": 0}, [("endless", 0)]),
]  # fmt: skip


def _row(customer: str, line: Line) -> dict[str, object]:
    age, clock, order, quantity, cents, *more = line
    wall = datetime.combine(TODAY - timedelta(days=age), time.fromisoformat(clock))
    instant = wall.replace(tzinfo=ZONE).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
    return {
        "order_id": f"{customer} {order}",
        "customer_id": customer,
        "product_id": "rye",
        "event_time": instant,
        "known_at": instant,
        "local_time": wall,
        "quantity": Decimal(quantity),
        "amount_cents": cents,
        "discount_cents": 0,
        "coupon_cents": 0,
        "store_id": "s1",
    } | (more[0] if more else {})


def _contacts() -> pa.Table:
    rows = [
        {"campaign_id": name, "customer_id": case.says, "arm": case.arm, "contacted_at": AS_OF - timedelta(days=age)}
        for case in CASES
        for name, age in case.reached
    ]
    # Known from a campaign alone: no line, so nothing to say about them.
    stranger = {
        "campaign_id": "endless",
        "customer_id": "only a contact",
        "arm": "mail",
        "contacted_at": datetime(2017, 9, 9),
    }
    return pa.Table.from_pylist([*rows, stranger])


@pytest.fixture(scope="module")
def computed() -> pd.DataFrame:
    over = {f"over{number}": date(2017, 12, 31) for number in ("", 2, 3, 4, 5)}
    ends = over | {"last day": TODAY, "endless": None}
    tables = {
        "transactions": pa.Table.from_pylist([_row(case.says, line) for case in CASES for line in case.lines]),
        "products": pa.table(
            {"product_id": ["rye", "oat", "milk", "plain"], "category": ["bread", "bread", "milk", None]}
        ),
        "campaigns": pa.table({"campaign_id": list(ends), "ends_on": pa.array(list(ends.values()), pa.date32())}),
        "contacts": _contacts(),
    }
    connection = ibis.duckdb.connect(threads=1)
    for name, table in tables.items():
        connection.con.register("incoming", table)
        connection.con.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
    loaded = {name: connection.table(name) for name in tables}
    frame = to_frame(feature_matrix(loaded, [AS_OF], str(ZONE))).set_index("customer_id")
    connection.disconnect()
    return frame


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_what_it_means(computed: pd.DataFrame, case: Case) -> None:
    found = computed.loc[case.says]
    for name, value in case.expected.items():
        if value is None:
            assert pd.isna(found[name]), name
        else:
            assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-9), name


def test_every_feature_has_a_case_of_its_own(computed: pd.DataFrame) -> None:
    told = {name for case in CASES for name in case.expected}
    assert set(computed.columns) - told == {"as_of"}


def test_every_null_is_shown_to_happen(computed: pd.DataFrame) -> None:
    can_be_null = {name for name in computed.columns if computed[name].isna().any()}
    assert can_be_null <= {name for case in CASES for name, value in case.expected.items() if value is None}


def test_customers_are_those_with_a_line(computed: pd.DataFrame) -> None:
    assert sorted(computed.index) == sorted(case.says for case in CASES)
