"""What each feature means where it is not obvious: one customer per case, a few lines each, all in one small world.

A line is (age in local days, wall clock, order, quantity, cents, anything else). As of Monday 2018-01-01 00:00 in New
York, so age 1 is Sunday, 2 is Saturday, and windows end with the day whose age is their length. Negative ages are still
to come.

The list of products: rye of acme at 150 cents, oat of the own brand at 90 and rusk of budd without a price are bread,
milk of no brand at 60 and butter of acme at 75 are milk, egg at 200 and a gift at 0 are eggs, and plain of acme at 500
is nothing. So the usual price of bread is 120 cents, that of milk 67.5 and that of eggs 200.
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
PRODUCTS = {
    "product_id": ["rye", "oat", "rusk", "milk", "butter", "egg", "gift", "plain"],
    "category": ["bread", "bread", "bread", "milk", "milk", "eggs", "eggs", None],
    "brand": ["acme", " Private Label ", "budd", None, "acme", None, None, "acme"],
    "list_price_cents": [150, 90, None, 60, 75, 200, 0, 500],
}
EDGES = (7, 8, 28, 29, 84, 85, 182, 183, 364, 365)

Line = tuple[int, str, str, int, int] | tuple[int, str, str, int, int, dict[str, object]]
Statement = tuple[float, str, float | None, float | None, float | None]
Version = tuple[str, int, int | None, int | None, float | None]


def _each(ages: tuple[int, ...], clock: str = "10:00", cents: int = 100, **more: object) -> list[Line]:
    return [(age, clock, f"o{age}", 1, cents, more) for age in ages]


@dataclass(frozen=True)
class Case:
    """One customer: their lines, what is known of them besides, and what must come out.

    Reached by (campaign, age in days of 24 hours); said (age in days of 24 hours, kind, rating, best rating, age of the
    resolution); versions of contracts (plan, age of the first day, of the last day, fee, age of the delivery that told
    it); profile (column of the list of customers, where a day is given by its age).
    """

    says: str
    lines: list[Line]
    expected: Mapping[str, float | None]
    reached: list[tuple[str, float]] = field(default_factory=list)
    arm: str = "mail"
    said: list[Statement] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    profile: Mapping[str, int | str] = field(default_factory=dict)


def _spread(*counts: int) -> float:
    return -sum(count / sum(counts) * math.log(count / sum(counts)) for count in counts)


NO_RHYTHM = dict.fromkeys(("gap_mean_days", "gap_median_days", "gap_max_days", "recency_to_gap_ratio"))
NO_RHYTHM |= dict.fromkeys(("gap_last_days", "gap_trend", "recency_to_gap_max_ratio"))
NO_SPREAD = dict.fromkeys(("gap_deviation_days", "gap_variation", "recency_in_deviations"))
NO_TREND = dict.fromkeys(("orders_trend", "orders_trend_182d", "orders_trend_364d"))
NO_SPEND_TREND = dict.fromkeys(("spend_trend", "spend_trend_182d", "spend_trend_364d"))
NO_ORDER_182D = dict.fromkeys(("lines_per_order", "single_line_orders_share", "line_value_mean_cents"))
NO_ORDER_182D |= dict.fromkeys(("coupon_orders_share", "discounted_orders_share", "orders_trend_182d"))
NO_ORDER_364D = dict.fromkeys(("order_value_mean_cents", "order_value_max_cents", "order_value_median_cents"))
NO_ORDER_364D |= dict.fromkeys(("weekend_share", "evening_share", "morning_share", "top_weekday_share"))
NO_ORDER_364D |= dict.fromkeys(("weekday_entropy", "online_share", "order_value_ratio"))
NO_ORDER = NO_TREND | NO_ORDER_182D | NO_ORDER_364D | dict.fromkeys(("orders_per_week", "coupon_recency_days"))
NO_PURCHASE = dict.fromkeys(("recency_days", "tenure_days", "active_span_days", "recency_share", "spend_per_day_cents"))
NO_CATEGORY: dict[str, float | None] = {"category_entropy": None, "top_category_share": None, "n_categories_84d": 0}
NO_CATEGORY |= dict.fromkeys(("lost_categories_share", "new_categories_share", "repeat_categories_share"))
NO_CATEGORY |= {"n_categories_182d": 0, "n_lost_categories": 0}
NO_BRAND: dict[str, float | None] = {"top_brand_share": None, "brand_entropy": None, "own_brand_share": None}
NO_BRAND |= {"n_brands_182d": 0}
NO_PRICE = dict.fromkeys(("price_level", "dear_lines_share"))
NO_STORE: dict[str, float | None] = {"top_store_share": None, "store_entropy": None, "n_stores_364d": 0}
NO_CAMPAIGN = dict.fromkeys(("contact_recency_days", "campaigns_trend"))
NO_CAMPAIGN |= dict.fromkeys(("campaign_response_share", "response_days_mean"))
NO_CASE = dict.fromkeys(("open_case_days", "complaint_recency_days", "resolution_days_mean", "resolution_days_max"))
NO_RATING = dict.fromkeys(("rating_mean", "rating_last"))
NONE_RUNNING = dict.fromkeys(("contract_fee_cents", "contract_fee_trend", "contract_days", "contract_anniversary_days"))
NONE_RUNNING |= dict.fromkeys(("contract_to_end_days",))
BANDS = {
    "under 25": 24, "<25": 24, "< 25 years": 24, "Unter 18": 17, "moins de 30 ans": 29, "menos de 30": 29,
    "<=24": 24, "up to 24": 24, "24 or younger": 24, "18-24": 18, "25 bis 34": 25, "65+": 65, "over 65": 65,
    "born 1980-1989": None, "": None,
}  # fmt: skip
"""Age bands as companies write them: the lowest age, or the highest of a band without a lowest."""
BORN = [
    (TODAY.year - 40, "35-44", 40), (TODAY.year, "", 0), (TODAY.year - 109, "65+", 109),
    (TODAY.year - 110, "65+", 65), (TODAY.year + 1, "under 18", 17), (TODAY.year - 118, "", None),
]  # fmt: skip
"""Years of birth, which come before a band unless nobody alive was born then."""
NO_PROFILE = dict.fromkeys(("first_seen_days", "loyalty_days", "age_years"))
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
        | {"contact_recency_days": None, "is_in_campaign": False}
        | {"active_span_days": 0, "recency_share": 1, "is_new": True, "orders_per_week": 7, "spend_per_day_cents": 500},
    ),
    Case(
        "a window holds the day whose age is its length, and not the day before it",
        _each(EDGES),
        dict(zip(COUNTS, (1, 3, 5, 7, 9), strict=True))
        | dict(zip(SPENDS, (300, 500, 700, 900), strict=True))
        | {"n_purchase_days": 10, "recency_days": 7, "tenure_days": 365, "orders_trend": (2 * 3 - 2) / (2 * 3 + 2)}
        | {"spend_7d_cents": 100, "spend_total_cents": 1000, "n_orders": 10, "n_purchase_days_84d": 5},
    ),
    Case(
        "gaps are counted over the whole history",
        _each(EDGES),
        {"gap_mean_days": 358 / 9, "gap_median_days": 1, "gap_max_days": 181, "recency_to_gap_ratio": 7},
    ),
    Case(
        "two purchase days make one gap, which has no spread",
        _each((3, 10)),
        {"gap_mean_days": 7, "gap_median_days": 7, "gap_max_days": 7, "recency_to_gap_ratio": 3 / 7}
        | {"gap_last_days": 7, "gap_trend": 0, "recency_to_gap_max_ratio": 3 / 7} | NO_SPREAD,
    ),
    Case(
        "clockwork has no variation",
        _each((1, 8, 15, 22)),
        {"gap_mean_days": 7, "gap_deviation_days": 0, "gap_variation": 0, "recency_to_gap_ratio": 1 / 7}
        | {"recency_in_deviations": None},
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
        | {"n_purchase_days": 0, "returned_lines_share": 1, "discount_share": None, "is_new": False, "n_orders": 0}
        | {"n_returned_lines_364d": 1, "returned_value_ratio": None, "return_orders_share": 1, "return_recency_days": 3}
        | {"spend_total_cents": -500} | NO_SPEND_TREND | NO_BRAND | NO_PRICE | NO_STORE,
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
        {"order_value_mean_cents": 400, "lines_per_order": 1, "returned_lines_share": 0.5, "n_purchase_days": 1}
        | {"return_recency_days": 5, "returned_value_ratio": 400 / 800, "return_orders_share": 1}
        | {"line_value_mean_cents": 800, "order_value_median_cents": 400},
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
    Case("who came longer ago has no trend", _each((85,)), {"orders_trend": None, "spend_trend": None}
         | {"order_value_ratio": None, "is_new": False, "orders_trend_182d": 1, "n_purchase_days_84d": 0}),
    Case(
        "a line of quantity 0 that carries a coupon is no purchase",
        [(4, "10:00", "k", 0, 0, {"coupon_cents": 100})],
        NO_PURCHASE | NO_ORDER | NO_CATEGORY | dict.fromkeys(SPENDS, 0) | {"returned_lines_share": None}
        | dict.fromkeys(("return_orders_share", "returned_value_ratio", "return_recency_days"))
        | {"coupon_182d_cents": 0, "n_orders": 0},
    ),
    Case(
        "the coupon line of an order makes it an order with a coupon, not a larger one",
        [(4, "10:00", "a", 1, 300), (4, "10:00", "a", 0, 0, {"coupon_cents": 100}), (5, "10:00", "b", 1, 100)],
        {"coupon_orders_share": 0.5, "lines_per_order": 1, "n_orders_7d": 2, "discount_share": 0}
        | {"coupon_182d_cents": 100, "coupon_recency_days": 4, "single_line_orders_share": 1},
    ),
    Case(
        "what costs nothing is a purchase without a value to reduce",
        _each((6,), cents=0),
        {"n_orders_7d": 1, "order_value_mean_cents": 0, "discount_share": None, "orders_trend": 1}
        | {"order_value_ratio": None, "line_value_mean_cents": 0, "returned_value_ratio": None} | NO_SPEND_TREND,
    ),
    Case("all of the price given away", _each((6,), cents=0, discount_cents=500), {"discount_share": 1}),
    Case(
        "a discount is a share of the price before all reductions",
        _each((6,), cents=600, discount_cents=300, coupon_cents=100),
        {"discount_share": 0.3, "coupon_orders_share": 1, "discounted_orders_share": 1, "coupon_recency_days": 6}
        | {"discount_182d_cents": 300, "coupon_182d_cents": 100},
    ),
    Case("unknown reductions are none", _each((6,), discount_cents=None, coupon_cents=None),
         {"discount_share": 0, "coupon_orders_share": 0, "discounted_orders_share": 0, "coupon_recency_days": None}),
    Case("unknown stores are no store", _each((1, 2), store_id=None), NO_STORE),
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
        {"spend_28d_cents": 100, "n_orders_7d": 1} | NO_CATEGORY | NO_BRAND | NO_PRICE,
    ),
    Case("a product without a category has none, and no usual price, but a brand", _each((5,), product_id="plain"),
         {"n_brands_182d": 1, "top_brand_share": 1} | NO_CATEGORY | NO_PRICE),
    Case(
        "categories are counted for twelve weeks and weighed for a half-year",
        [
            *_each((84, 85, 182), product_id="milk"),
            *_each((85, 183), product_id="rye"),
            *_each((86,), product_id="oat"),
        ],
        {"n_categories_84d": 1, "top_category_share": 3 / 5}
        | {"category_entropy": -(3 / 5 * math.log(3 / 5) + 2 / 5 * math.log(2 / 5))}
        | {"n_categories_182d": 2, "n_lost_categories": 1, "lost_categories_share": 1 / 2, "new_categories_share": 0},
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
         {"n_campaigns_84d": 0, "n_running_campaigns": 0, "is_in_campaign": False} | NO_CAMPAIGN,
         [("endless", 3)], "control"),
    Case("a contact at as_of is not known yet", _each((1,)), {"n_campaigns_84d": 0}, [("endless", 0)]),
    Case(
        "half a year lies against the half-year before, and a quarter against the quarter before",
        [line for age, cents in ((91, 400), (92, 100), (182, 100), (183, 300), (364, 200), (365, 1000))
         for line in _each((age,), cents=cents)],
        {"orders_trend_182d": (1 - 2) / (1 + 2), "spend_trend_182d": (400 - 200) / (400 + 200)}
        | {"orders_trend_364d": (3 - 2) / (3 + 2), "spend_trend_364d": (600 - 500) / (600 + 500)}
        | {"n_orders": 6, "orders_per_week": 6 / (365 / 7), "spend_total_cents": 2100, "spend_7d_cents": 0}
        | {"spend_per_day_cents": 2100 / 365, "active_span_days": 365 - 91, "recency_share": 91 / 365, "is_new": False},
    ),
    Case("who came longer ago than a half-year", _each((183,)),
         {"orders_trend_364d": -1, "spend_trend_364d": -1, "n_orders": 1, "spend_trend_182d": None} | NO_ORDER_182D),
    Case("who came longer ago than a year", _each((365,), coupon_cents=50),
         {"n_orders": 1, "coupon_recency_days": 365, "coupon_182d_cents": 0, "orders_per_week": 7 / 365}
         | {"spend_total_cents": 100, "spend_per_day_cents": 100 / 365, "return_orders_share": None}
         | NO_TREND | NO_SPEND_TREND | NO_ORDER_182D | NO_ORDER_364D | NO_STORE),
    Case("a cohort is new for twelve weeks, and begins with the purchase, not with the return",
         [(90, "10:00", "r", -1, -100), *_each((84, 24))],
         {"is_new": True, "active_span_days": 84 - 24, "recency_share": 24 / 84}),
    Case(
        "a gap is of the day that ended it",
        _each((5, 25, 125, 155)),  # gaps of 30, 100 and 20 days, of which the last two ended lately
        {"gap_last_days": 20, "gap_mean_days": 50, "gap_trend": (60 - 50) / (60 + 50), "gap_max_days": 100}
        | {"recency_to_gap_max_ratio": 5 / 100, "recency_share": 5 / 155, "active_span_days": 150}
        | {"recency_in_deviations": (5 - 50) / math.sqrt((20**2 + 50**2 + 30**2) / 2)},
    ),
    Case("lately is twelve weeks: the gap of 15 days ended before", _each((84, 85, 100)),
         {"gap_trend": (1 - 8) / (1 + 8), "gap_last_days": 1, "recency_to_gap_max_ratio": 84 / 15}),
    Case("no gap ended lately", _each((85, 100)), {"gap_trend": None, "gap_last_days": 15}),
    Case("a return ends no gap", [*_each((10, 30)), (20, "10:00", "r", -1, -10)],
         {"gap_last_days": 20, "n_purchase_days_84d": 2}),
    Case("weeks are counted back from as_of", _each((1, 7, 8, 182, 183)),
         {"n_active_weeks_182d": 3, "n_purchase_days_84d": 3}),
    Case("a season is the twelve weeks that followed as_of a year ago", _each((280, 281, 364, 365)),
         {"n_orders_season": 2}),
    Case("three Sundays and a Friday of this year, and a Sunday of the year before", _each((1, 3, 8, 15, 365)),
         {"top_weekday_share": 3 / 4, "weekday_entropy": _spread(3, 1), "weekend_share": 3 / 4}),
    Case("the morning ends at noon", [(1, clock, clock, 1, 1) for clock in ("00:00", "05:00", "11:59", "12:00")],
         {"morning_share": 3 / 4, "evening_share": 0}),
    Case(
        "a basket is of sold lines, a value net of returns, and a usual value before them",
        [
            *[(10, "10:00", "a", 1, cents) for cents in (300, 200, 100)],
            (20, "10:00", "b", 1, 400), (20, "10:00", "b", -1, -100), (182, "10:00", "c", 5, 1000),
            (183, "10:00", "d", 1, 50), (365, "10:00", "e", 1, 9000),
        ],
        {"single_line_orders_share": 2 / 3, "lines_per_order": 5 / 3, "line_value_mean_cents": (600 + 400 + 1000) / 5}
        | {"order_value_median_cents": (300 + 600) / 2, "order_value_ratio": 500 / ((600 + 400 + 1000 + 50) / 4)},
    ),
    Case("an odd number of orders has a middle one",
         [(age, "10:00", str(age), 1, cents) for age, cents in ((3, 500), (2, 100), (1, 200))],
         {"order_value_median_cents": 200, "order_value_ratio": 1}),
    Case(
        "what came back is counted over a year, and remembered",
        [
            (200, "10:00", "b", 1, 500), (364, "10:00", "a", 1, 1000), (364, "10:00", "a", -1, -250),
            (365, "10:00", "r", -1, -100),
        ],
        {"n_returned_lines_364d": 1, "returned_value_ratio": 250 / 1500, "return_orders_share": 1 / 2}
        | {"return_recency_days": 364},
    ),
    Case(
        "reductions are summed over a half-year",
        [*_each((10,)), *_each((182,), discount_cents=50, coupon_cents=20),
         *_each((183,), discount_cents=70, coupon_cents=30)],
        {"discounted_orders_share": 1 / 2, "discount_182d_cents": 50, "coupon_182d_cents": 20}
        | {"coupon_recency_days": 182},
    ),
    Case("the discount of a returned line is none",
         [(5, "10:00", "a", 1, 500), (5, "10:00", "a", -1, -100, {"discount_cents": 40})],
         {"discounted_orders_share": 0, "discount_182d_cents": 0}),
    Case(
        "milk was kept, bread lost and found anew, eggs lost, and one line does not make a habit",
        [*_each((10, 84, 85), product_id="milk"), *_each((84, 183)), *_each((85,), product_id="egg")],
        {"n_categories_182d": 3, "n_lost_categories": 1, "lost_categories_share": 1 / 3, "new_categories_share": 1 / 3}
        | {"repeat_categories_share": 1 / 3, "n_categories_84d": 2},
    ),
    Case("two lines of one order are a repetition", [(5, "10:00", "a", 1, 100), (5, "10:00", "a", 1, 100)],
         {"repeat_categories_share": 1, "new_categories_share": 1}),
    Case(
        "brands: three of acme, one of the house, one of budd; a price has all but the one of budd",
        [*_each((10, 20, 182, 183)), *_each((30,), product_id="oat"), *_each((40,), product_id="rusk"),
         *_each((50,), product_id="milk")],
        {"n_brands_182d": 3, "top_brand_share": 3 / 5, "brand_entropy": _spread(3, 1, 1), "own_brand_share": 1 / 5}
        | {"price_level": (3 * 150 + 90 + 60) / (4 * 120 + 67.5), "dear_lines_share": 3 / 5},
    ),
    Case("butter is dearer than milk usually is", _each((5,), product_id="butter"),
         {"price_level": 75 / 67.5, "dear_lines_share": 1, "own_brand_share": 0}),
    Case("what costs as much as is usual is not dear, and a price of nothing is no price",
         [*_each((5,), product_id="egg"), *_each((6,), product_id="gift")],
         {"price_level": 1, "dear_lines_share": 0} | NO_BRAND),
    Case(
        "stores are weighed by what was sold in them within a year",
        [*_each((1, 2)), *_each((364,), store_id="s2"), *_each((365,), store_id="s3"), *_each((3,), store_id=None),
         (4, "10:00", "r", -1, -10, {"store_id": "s2"})],
        {"top_store_share": 2 / 3, "store_entropy": _spread(2, 1), "n_stores_364d": 2},
    ),
    Case(
        "a year of channels: the shop, the app, twice the web; one unknown, and the phone of the year before",
        [*_each((1,), channel="shop"), *_each((2,), channel="App"), *_each((3,), channel=" Web"),
         *_each((364,), channel="web"), *_each((4,)), *_each((365,), channel="phone")],
        {"n_channels_364d": 3, "online_share": 3 / 4},
    ),
    Case("without a known channel nobody is online", _each((1,)), {"n_channels_364d": 0, "online_share": None}),
    Case(
        "campaigns are counted over four weeks, a quarter, a year",
        _each((1,)),
        {"n_campaigns_28d": 1, "n_campaigns_84d": 2, "n_campaigns_182d": 4, "n_campaigns_364d": 5}
        | {"campaigns_trend": (3 - 1) / (3 + 1), "n_running_campaigns": 1},
        [("over", 27.9), ("over2", 28.0), ("over3", 90.9), ("over4", 91.0), ("over5", 363.9), ("endless", 364.0)],
    ),
    Case("a campaign of more than a half-year ago has no trend", _each((1,)),
         {"campaigns_trend": None, "n_campaigns_364d": 1}, [("over", 182.0)]),
    Case("a purchase on the day of the contact is no answer", _each((21, 10, 5)),
         {"response_days_mean": 20 - 10, "campaign_response_share": 1, "n_campaigns_unanswered": 0}, [("over", 20.5)]),
    Case(
        "an answer is one within a fortnight, once the fortnight is over",
        _each((27, 2)),  # answers after 33, 14, 13, 3 and 12 days; the fortnight of the last is not over
        {"campaign_response_share": 2 / 4, "response_days_mean": (33 + 14 + 13 + 3 + 12) / 5}
        | {"n_campaigns_unanswered": 1, "n_running_campaigns": 2, "n_campaigns_28d": 2, "campaigns_trend": 1},
        [("over", 60.5), ("over2", 41.5), ("endless", 40.5), ("over3", 30.5), ("over4", 14.5), ("last day", 1.5)],
    ),
    Case("a fortnight that is not over says nothing yet", _each((30,)),
         {"campaign_response_share": None, "response_days_mean": None, "n_campaigns_unanswered": 1}, [("over", 14.9)]),
    Case("a return is no answer", [(5, "10:00", "r", -1, -100)],
         {"campaign_response_share": 0, "response_days_mean": None, "n_campaigns_unanswered": 1}, [("over", 20.5)]),
    Case("who said and signed nothing, and whom no list tells of", _each((1,)),
         NO_CASE | NO_RATING | NONE_RUNNING | NO_PROFILE
         | {"contract_ended_days": None, "n_statements_364d": 0, "n_contracts": 0, "is_loyalty_member": False}),
    Case(
        "a statement counts in days of 24 hours, and claims are complaints",
        _each((1,)),
        {"n_statements_364d": 4, "n_complaints_84d": 1, "n_complaints_364d": 3, "n_claims_364d": 2}
        | {"complaint_recency_days": 83, "n_open_cases": 4, "open_case_days": 364},
        said=[(10, "praise", None, None, None), (83.9, "complaint", None, None, None), (84, "claim", None, None, None),
              (363.9, "claim", None, None, None), (364, "complaint", None, None, None)],
    ),
    Case(
        "a case is open until it is resolved before as_of, and surveys are no cases",
        _each((1,)),
        {"n_open_cases": 2, "open_case_days": 10, "resolution_days_mean": (2.5 + 1) / 2, "resolution_days_max": 2.5}
        | {"n_complaints_84d": 2, "n_claims_364d": 1, "complaint_recency_days": 10, "n_statements_364d": 5},
        said=[(30, "request", None, None, 27.5), (20, "complaint", None, None, 19), (10, "claim", None, None, -1),
              (5, "survey", None, None, 1), (3, "request", None, None, 0)],
    ),
    Case(
        "a rating is a share of the best, and two fifths are low",
        _each((1,)),
        {"rating_mean": (0.8 + 0.4 + 0.41) / 3, "rating_last": 0.41, "n_low_ratings_364d": 1, "n_statements_364d": 4}
        | NO_CASE,
        said=[(400, "survey", 1, 5, None), (363.9, "survey", 8, 10, None), (20, "survey", 2, 5, None),
              (10, "survey", 41, 100, None), (2, "praise", None, None, None)],
    ),
    Case("a rating of more than a year ago is still the newest", _each((1,)),
         {"rating_mean": None, "rating_last": 1 / 5, "n_low_ratings_364d": 0}, said=[(364, "survey", 1, 5, None)]),
    Case("a rating without a best says nothing", _each((1,)),
         {"n_statements_364d": 2, "n_low_ratings_364d": 0} | NO_RATING,
         said=[(3, "survey", 1, None, None), (2, "survey", 0, 0, None)]),
    Case(
        "a contract that became cheaper, and one beside it that nothing came before",
        _each((1,)),
        {"n_contracts": 2, "contract_fee_cents": 900 + 500, "contract_fee_trend": (900 - 1000) / (900 + 1000)}
        | {"contract_days": 500, "contract_anniversary_days": 2 * 365 - 500, "contract_ended_days": 500}
        | {"n_contract_changes_364d": 1, "contract_to_end_days": None},
        versions=[("basic", 800, 500, 1000, None), ("basic", 500, None, 900, None), ("plus", 100, None, 500, None)],
    ),
    Case(
        "a year ago a contract without a fee, a day later one that is to end",
        _each((1,)),
        {"n_contracts": 2, "contract_fee_cents": 300, "contract_fee_trend": None, "contract_days": 365}
        | {"contract_anniversary_days": 1, "contract_to_end_days": 30, "contract_ended_days": None}
        | {"n_contract_changes_364d": 1},
        versions=[("basic", 365, None, None, None), ("plus", 364, -30, 300, 100)],
    ),
    Case("on its anniversary a contract has a year to the next, and a change a year ago is no longer one", _each((1,)),
         {"contract_anniversary_days": 365, "contract_days": 365, "n_contract_changes_364d": 0}
         | {"contract_fee_trend": 0},
         versions=[("basic", 900, 365, 100, None), ("basic", 365, None, 100, None)]),
    Case("a contract runs on the day of its end", _each((1,)),
         {"n_contracts": 1, "contract_to_end_days": 0, "contract_ended_days": None, "contract_anniversary_days": 355},
         versions=[("basic", 10, 0, 100, 5)]),
    Case("an end that no delivery told after the first day is not known", _each((1,)),
         {"n_contracts": 2, "contract_to_end_days": None, "contract_days": 50},
         versions=[("basic", 50, -20, 100, None), ("plus", 50, -20, 100, 60)]),
    Case("a contract that is over", _each((1,)),
         {"n_contracts": 0, "contract_ended_days": 1, "n_contract_changes_364d": 0} | NONE_RUNNING,
         versions=[("basic", 90, 1, 100, None)]),
    Case("who comes back to a contract changes it", _each((1,)),
         {"n_contracts": 1, "contract_ended_days": 100, "contract_days": 90, "n_contract_changes_364d": 1}
         | {"contract_fee_trend": (300 - 100) / (300 + 100)},
         versions=[("basic", 300, 100, 100, None), ("basic", 90, None, 300, None)]),
    Case("a contract that begins today has not begun", _each((1,)), {"n_contracts": 0} | NONE_RUNNING,
         versions=[("basic", 0, None, 100, None)]),
    Case("a member who was seen long before they bought", _each((1,)),
         {"first_seen_days": 200, "is_loyalty_member": True, "loyalty_days": 50, "age_years": 35, "tenure_days": 1},
         profile={"first_seen_on": 200, "loyalty_joined_on": 50, "age_band": "35-54"}),
    Case("a day of today is not known yet, and an age in words is none", _each((1,)),
         {"is_loyalty_member": False} | NO_PROFILE,
         profile={"first_seen_on": 0, "loyalty_joined_on": 0, "age_band": "grown up"}),
    Case("yesterday is known, and an age may be open above", _each((1,)),
         {"first_seen_days": 1, "is_loyalty_member": True, "loyalty_days": 1, "age_years": 65},
         profile={"first_seen_on": 1, "loyalty_joined_on": 1, "age_band": "65+"}),
    *(Case(f"an age band {band!r} is {years}", _each((1,)), {"age_years": years}, profile={"age_band": band})
      for band, years in BANDS.items()),
    *(Case(f"born in {year} and {band}", _each((1,)), {"age_years": years}, profile={"born": year, "age_band": band})
      for year, band, years in BORN),
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
        "channel": None,
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


def _statements() -> pa.Table:
    rows = [
        {
            "feedback_id": f"{case.says} {number}",
            "customer_id": case.says,
            "event_time": AS_OF - timedelta(days=age),
            "kind": kind,
            "rating": rating,
            "rating_max": best,
            "resolved_at": None if resolved is None else AS_OF - timedelta(days=resolved),
        }
        for case in CASES
        for number, (age, kind, rating, best, resolved) in enumerate(case.said)
    ]
    return pa.Table.from_pylist(rows)


def _versions() -> pa.Table:
    rows = [
        {
            "customer_id": case.says,
            "plan": plan,
            "started_on": TODAY - timedelta(days=first),
            "ended_on": None if last is None else TODAY - timedelta(days=last),
            "fee_cents": fee,
            "known_at": None if told is None else AS_OF - timedelta(days=told),
        }
        for case in CASES
        for plan, first, last, fee, told in case.versions
    ]
    return pa.Table.from_pylist(rows)


def _profiles() -> pa.Table:
    rows = [{"customer_id": case.says} | _dated(case.profile) for case in CASES if case.profile]
    kinds = {"customer_id": pa.string(), "first_seen_on": pa.date32(), "loyalty_joined_on": pa.date32()}
    return pa.Table.from_pylist(rows, pa.schema(kinds | {"birth_year": pa.int64(), "age_band": pa.string()}))


def _dated(profile: Mapping[str, int | str]) -> dict[str, object]:
    said = {"birth_year": profile["born"]} if "born" in profile else {}
    rest = {name: value for name, value in profile.items() if name != "born"}
    return said | {name: TODAY - timedelta(days=one) if isinstance(one, int) else one for name, one in rest.items()}


@pytest.fixture(scope="module")
def computed() -> pd.DataFrame:
    over = {f"over{number}": date(2017, 12, 31) for number in ("", 2, 3, 4, 5)}
    ends = over | {"last day": TODAY, "endless": None}
    tables = {
        "transactions": pa.Table.from_pylist([_row(case.says, line) for case in CASES for line in case.lines]),
        "products": pa.table(PRODUCTS),
        "campaigns": pa.table({"campaign_id": list(ends), "ends_on": pa.array(list(ends.values()), pa.date32())}),
        "contacts": _contacts(),
        "feedback": _statements(),
        "subscriptions": _versions(),
        "customers": _profiles(),
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
