"""Oracles of what follows from order lines: rhythm, trends, baskets, brands, prices, habits."""

import math
import statistics
from collections import Counter
from datetime import datetime, time

import pandas as pd
from feature_oracle import Past, _change, _number, _ratio, _value, oracle

OWN = {"private", "private label", "own brand", "own label", "own", "store brand", "house brand"}


def _entropy(counts: Counter) -> float | None:
    shares = [count / counts.total() for count in counts.values()]
    return -math.fsum(share * math.log(share) for share in shares) if shares else None


def _top(counts: Counter) -> float | None:
    return _ratio(max(counts.values(), default=0), counts.total())


def _sold(past: Past, days: int) -> list[dict]:
    return [row for row in past.lines if row["quantity"] > 0 and past.age(row["local_time"].date()) <= days]


def _starts(past: Past, days: int = 364) -> list[datetime]:
    return [min(row["local_time"] for row in rows) for rows in past.orders_within(days)]


def _sold_value(orders: list[list[dict]]) -> int:
    return sum(row["amount_cents"] for rows in orders for row in rows if row["quantity"] > 0)


def _ages(past: Past) -> list[int]:
    return [past.age(day) for day in past.purchase_days]


@oracle
def recency_to_gap_max_ratio(past: Past) -> float | None:
    return min(_ages(past)) / max(past.gaps) if past.gaps else None


@oracle
def recency_in_deviations(past: Past) -> float | None:
    spread = statistics.stdev(past.gaps) if len(past.gaps) > 1 else 0
    return (min(_ages(past)) - statistics.fmean(past.gaps)) / spread if spread else None


@oracle
def recency_share(past: Past) -> float | None:
    return _ratio(min(_ages(past), default=0), max(_ages(past), default=0))


@oracle
def gap_last_days(past: Past) -> float | None:
    return past.gaps[-1] if past.gaps else None


@oracle
def gap_trend(past: Past) -> float | None:
    recent = [gap for gap, day in zip(past.gaps, past.purchase_days[1:], strict=False) if past.age(day) <= 84]
    return _change(statistics.fmean(recent), statistics.fmean(past.gaps)) if recent else None


@oracle
def n_purchase_days_84d(past: Past) -> float | None:
    return sum(age <= 84 for age in _ages(past))


@oracle
def n_active_weeks_182d(past: Past) -> float | None:
    return len({math.ceil(max(age, 1) / 7) for age in _ages(past) if age <= 182})


@oracle
def n_orders(past: Past) -> float | None:
    return len(past.orders_within(10**6))


@oracle
def orders_per_week(past: Past) -> float | None:
    ages = [past.age(at.date()) for at in _starts(past, 10**6)]
    return _ratio(7 * len(ages), max(ages, default=0))


@oracle
def orders_trend_182d(past: Past) -> float | None:
    recent = len(past.orders_within(91))
    return _change(recent, len(past.orders_within(182)) - recent)


@oracle
def orders_trend_364d(past: Past) -> float | None:
    recent = len(past.orders_within(182))
    return _change(recent, len(past.orders_within(364)) - recent)


@oracle
def spend_7d_cents(past: Past) -> float | None:
    return past.spend_within(7)


@oracle
def spend_total_cents(past: Past) -> float | None:
    return _value(past.lines)


@oracle
def spend_trend_182d(past: Past) -> float | None:
    recent = past.spend_within(91)
    return _change(recent, past.spend_within(182) - recent)


@oracle
def spend_trend_364d(past: Past) -> float | None:
    recent = past.spend_within(182)
    return _change(recent, past.spend_within(364) - recent)


@oracle
def spend_per_day_cents(past: Past) -> float | None:
    return _ratio(_value(past.lines), max(_ages(past), default=0))


@oracle
def order_value_median_cents(past: Past) -> float | None:
    values = [_value(rows) for rows in past.orders_within(364)]
    return statistics.median(values) if values else None


@oracle
def order_value_ratio(past: Past) -> float | None:
    recent, year = past.orders_within(84), past.orders_within(364)
    if not recent or not _sold_value(year):
        return None
    return (_sold_value(recent) / len(recent)) / (_sold_value(year) / len(year))


@oracle
def active_span_days(past: Past) -> float | None:
    return (past.purchase_days[-1] - past.purchase_days[0]).days if past.purchase_days else None


@oracle
def is_new(past: Past) -> float | None:
    return bool(past.purchase_days) and past.age(past.purchase_days[0]) <= 84


@oracle
def single_line_orders_share(past: Past) -> float | None:
    n_sold = [sum(row["quantity"] > 0 for row in rows) for rows in past.orders_within(182)]
    return _ratio(n_sold.count(1), len(n_sold))


@oracle
def line_value_mean_cents(past: Past) -> float | None:
    orders = past.orders_within(182)
    return _ratio(_sold_value(orders), sum(row["quantity"] > 0 for rows in orders for row in rows))


@oracle
def n_categories_182d(past: Past) -> float | None:
    return len(past.category_counts(182))


@oracle
def n_lost_categories(past: Past) -> float | None:
    return len(set(past.category_counts(182)) - set(past.category_counts(84)))


@oracle
def lost_categories_share(past: Past) -> float | None:
    return _ratio(n_lost_categories(past) or 0, len(past.category_counts(182)))


@oracle
def new_categories_share(past: Past) -> float | None:
    recent, all_of_them = past.category_counts(84), past.category_counts(182)
    return _ratio(sum(all_of_them[name] == count for name, count in recent.items()), len(all_of_them))


@oracle
def repeat_categories_share(past: Past) -> float | None:
    counts = past.category_counts(182)
    return _ratio(sum(count > 1 for count in counts.values()), len(counts))


def _brand_counts(past: Past) -> Counter:
    return Counter(row["brand"] for row in _sold(past, 182) if pd.notna(row["brand"]))


@oracle
def n_brands_182d(past: Past) -> float | None:
    return len(_brand_counts(past))


@oracle
def top_brand_share(past: Past) -> float | None:
    return _top(_brand_counts(past))


@oracle
def brand_entropy(past: Past) -> float | None:
    return _entropy(_brand_counts(past))


@oracle
def own_brand_share(past: Past) -> float | None:
    counts = _brand_counts(past)
    return _ratio(sum(count for name, count in counts.items() if name.lower() in OWN), counts.total())


def _priced(past: Past) -> list[dict]:
    return [row for row in _sold(past, 182) if pd.notna(row["usual_cents"])]


@oracle
def price_level(past: Past) -> float | None:
    rows = _priced(past)
    return _ratio(sum(row["list_price_cents"] for row in rows), sum(row["usual_cents"] for row in rows))


@oracle
def dear_lines_share(past: Past) -> float | None:
    rows = _priced(past)
    return _ratio(sum(row["list_price_cents"] > row["usual_cents"] for row in rows), len(rows))


@oracle
def discounted_orders_share(past: Past) -> float | None:
    discounts = [
        sum(_number(row["discount_cents"]) for row in rows if row["quantity"] > 0) for rows in past.orders_within(182)
    ]
    return _ratio(sum(discount > 0 for discount in discounts), len(discounts))


@oracle
def discount_182d_cents(past: Past) -> float | None:
    return sum(
        _number(row["discount_cents"]) for rows in past.orders_within(182) for row in rows if row["quantity"] > 0
    )


def _coupons(rows: list[dict]) -> int:
    return sum(_number(row["coupon_cents"]) for row in rows)


@oracle
def coupon_182d_cents(past: Past) -> float | None:
    return sum(_coupons(rows) for rows in past.orders_within(182))


@oracle
def coupon_recency_days(past: Past) -> float | None:
    orders = [rows for rows in past.orders_within(10**6) if _coupons(rows) > 0]
    return min((past.age(min(row["local_time"] for row in rows).date()) for rows in orders), default=None)


def _returned(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["quantity"] < 0]


@oracle
def n_returned_lines_364d(past: Past) -> float | None:
    return sum(len(_returned(rows)) for rows in past.orders_within(364, bought=False))


@oracle
def returned_value_ratio(past: Past) -> float | None:
    orders = past.orders_within(364, bought=False)
    sold, back = _sold_value(orders), -sum(_value(_returned(rows)) for rows in orders)
    return back / sold if sold > 0 else None


@oracle
def return_orders_share(past: Past) -> float | None:
    orders = [rows for rows in past.orders_within(364, bought=False) if any(row["quantity"] != 0 for row in rows)]
    return _ratio(sum(bool(_returned(rows)) for rows in orders), len(orders))


@oracle
def return_recency_days(past: Past) -> float | None:
    orders = [rows for rows in past.orders if _returned(rows)]
    return min((past.age(min(row["local_time"] for row in rows).date()) for rows in orders), default=None)


@oracle
def morning_share(past: Past) -> float | None:
    return _ratio(sum(at.time() < time(12) for at in _starts(past)), len(_starts(past)))


@oracle
def top_weekday_share(past: Past) -> float | None:
    return _top(Counter(at.strftime("%a") for at in _starts(past)))


@oracle
def weekday_entropy(past: Past) -> float | None:
    return _entropy(Counter(at.strftime("%a") for at in _starts(past)))


@oracle
def n_orders_season(past: Past) -> float | None:
    return len(past.orders_within(364)) - len(past.orders_within(280))
