"""The features of ``feature_peers`` as one writes them by hand in lazy Polars: shared frames, one collect_all."""

from collections.abc import Callable
from datetime import date, datetime
from functools import reduce
from pathlib import Path

import pandas as pd
import polars as pl

_AGE = pl.col("age")


def in_polars(
    folder: Path,
    as_of: datetime,
    today: date,
    *,
    names: tuple[str, ...],
    online: tuple[str, ...],
    own: tuple[str, ...],
) -> Callable[[], pd.DataFrame]:
    """Return the features in lazy Polars, to be called."""
    lines = _lines(folder, as_of, today)
    products = pl.scan_parquet(folder / "products.parquet").group_by("product_id")
    products = products.agg(pl.col("category").max(), pl.col("brand").max())
    orders = _orders(lines)
    goods = lines.filter(pl.col("is_sold"), _AGE <= 182).select("customer_id", "product_id", "age")
    goods = goods.join(products, on="product_id")
    parts = [
        _by_order(orders, online),
        _by_weekday(orders),
        _by_day(lines),
        _by_category(goods),
        _by_brand(goods, own),
        _by_store(lines),
    ]

    def compute() -> pd.DataFrame:
        first, *others = pl.collect_all(parts)
        features = reduce(lambda left, right: left.join(right, on="customer_id", how="left"), others, first)
        return features.select("customer_id", *names).to_pandas()

    return compute


def _lines(folder: Path, as_of: datetime, today: date) -> pl.LazyFrame:
    source = pl.scan_parquet(folder / "transactions" / "*.parquet")
    held = pl.col("replaced_at").is_null() | (pl.col("replaced_at") >= as_of)
    source = source.filter(pl.col("customer_id").is_not_null(), pl.col("event_time") < as_of)
    return source.filter(pl.col("known_at") < as_of, held).with_columns(
        age=(pl.lit(today) - pl.col("local_time").dt.date()).dt.total_days(),
        is_sold=pl.col("quantity") > 0,
        is_returned=pl.col("quantity") < 0,
        discount_cents=pl.col("discount_cents").fill_null(0),
        coupon_cents=pl.col("coupon_cents").fill_null(0),
    )


def _orders(lines: pl.LazyFrame) -> pl.LazyFrame:
    sold, paid = pl.col("is_sold"), pl.col("amount_cents") + pl.col("discount_cents") + pl.col("coupon_cents")
    orders = lines.group_by("customer_id", "order_id").agg(
        age=_AGE.max(),
        ordered_at=pl.col("local_time").min(),
        store_id=pl.col("store_id").min(),
        channel=pl.col("channel").min(),
        n_sold=sold.sum().cast(pl.Int64),
        n_returned=pl.col("is_returned").sum().cast(pl.Int64),
        spend=pl.col("amount_cents").sum(),
        sold=pl.col("amount_cents").filter(sold).sum(),
        list=paid.filter(sold).sum(),
        discount=pl.col("discount_cents").filter(sold).sum(),
        coupon=pl.col("coupon_cents").sum(),
    )
    return orders.with_columns(
        channel=pl.col("channel").str.strip_chars(" ").str.to_lowercase(),
        is_purchase=pl.col("n_sold") > 0,
        in_half=(pl.col("n_sold") > 0) & (_AGE <= 182),
        in_year=(pl.col("n_sold") > 0) & (_AGE <= 364),
    )


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


def _n(condition: pl.Expr) -> pl.Expr:
    return condition.sum().cast(pl.Int64)


def _by_order(orders: pl.LazyFrame, online: tuple[str, ...]) -> pl.LazyFrame:
    purchase, half, year = pl.col("is_purchase"), pl.col("in_half"), pl.col("in_year")
    counts = {f"n_orders_{days}d": _n(purchase & (days >= _AGE)) for days in (7, 28, 84, 91)}
    counts |= {"n_orders": _n(purchase), "n_orders_182d": _n(half), "n_orders_364d": _n(year)}
    by_customer = orders.group_by("customer_id").agg(
        **counts,
        **_order_values(half, year),
        **_order_habits(year, online),
        **_returns(),
        first=_AGE.filter(purchase).max(),
    )
    lately, quarter, half, year = (pl.col(f"n_orders_{days}d") for days in (28, 84, 182, 364))
    n_orders, days_91 = pl.col("n_orders"), pl.col("n_orders_91d")
    halves = ("coupon_orders_share", "discounted_orders_share", "single_line_orders_share")
    years = ("morning_share", "evening_share", "weekend_share")
    return by_customer.with_columns(
        *(_share(pl.col(name), half).alias(name) for name in halves),
        *(_share(pl.col(name), year).alias(name) for name in years),
        orders_per_week=_share(7 * n_orders, pl.col("first")),
        orders_trend=_share(3 * lately - quarter, lately + quarter),
        orders_trend_182d=_share(2 * days_91 - half, half),
        orders_trend_364d=_share(2 * half - year, year),
    )


def _order_values(half: pl.Expr, year: pl.Expr) -> dict[str, pl.Expr]:
    purchase, in_half_year = pl.col("is_purchase"), _AGE <= 182
    spend, sold, n_sold = pl.col("spend"), pl.col("sold"), pl.col("n_sold")
    coupon, discount = pl.col("coupon"), pl.col("discount")
    usual = sold.filter(year).mean()
    return {
        "n_orders_season": _n(year & (_AGE > 280)),
        "coupon_182d_cents": coupon.filter(half).sum(),
        "coupon_orders_share": _n(half & (coupon > 0)),
        "coupon_recency_days": _AGE.filter(purchase & (coupon > 0)).min(),
        "discount_182d_cents": discount.filter(half).sum(),
        "discount_share": _share(discount.filter(in_half_year).sum(), pl.col("list").filter(in_half_year).sum()),
        "discounted_orders_share": _n(half & (discount > 0)),
        "line_value_mean_cents": _share(sold.filter(half).sum(), n_sold.filter(half).sum()),
        "lines_per_order": n_sold.filter(half).mean(),
        "single_line_orders_share": _n(half & (n_sold == 1)),
        "order_value_max_cents": spend.filter(year).max(),
        "order_value_mean_cents": spend.filter(year).mean(),
        "order_value_median_cents": spend.filter(year).median(),
        "order_value_ratio": pl.when(usual != 0).then(sold.filter(purchase & (_AGE <= 84)).mean() / usual),
    }


def _order_habits(year: pl.Expr, online: tuple[str, ...]) -> dict[str, pl.Expr]:
    at, channel = pl.col("ordered_at"), pl.col("channel")
    told = year & channel.is_not_null()
    return {
        "morning_share": _n(year & (at.dt.hour() < 12)),
        "evening_share": _n(year & (at.dt.hour() >= 18)),
        "weekend_share": _n(year & (at.dt.weekday() >= 6)),
        "n_channels_364d": channel.filter(told).n_unique(),
        "n_stores_364d": pl.col("store_id").filter(year).drop_nulls().n_unique(),
        "online_share": _share(_n(told & channel.is_in(online)), _n(told)),
    }


def _returns() -> dict[str, pl.Expr]:
    half, year = _AGE <= 182, _AGE <= 364
    spend, sold, n_sold, n_returned = pl.col("spend"), pl.col("sold"), pl.col("n_sold"), pl.col("n_returned")
    return {
        "n_returned_lines_364d": n_returned.filter(year).sum(),
        "return_orders_share": _share(_n(year & (n_returned > 0)), _n(year & (n_sold + n_returned > 0))),
        "return_recency_days": _AGE.filter(n_returned > 0).min(),
        "returned_lines_share": _share(n_returned.filter(half).sum(), (n_sold + n_returned).filter(half).sum()),
        "returned_value_ratio": _share((sold - spend).filter(year).sum(), sold.filter(year).sum()),
    }


def _entropy(n: pl.Expr) -> pl.Expr:
    return n.sum().log() - (n * n.log()).sum() / n.sum()


def _by_weekday(orders: pl.LazyFrame) -> pl.LazyFrame:
    orders = orders.filter(pl.col("in_year"))
    counts = orders.group_by("customer_id", pl.col("ordered_at").dt.weekday().alias("weekday"))
    n = pl.col("n")
    counts = counts.agg(n=pl.len().cast(pl.Int64)).group_by("customer_id")
    return counts.agg(top_weekday_share=n.max() / n.sum(), weekday_entropy=_entropy(n))


def _by_day(lines: pl.LazyFrame) -> pl.LazyFrame:
    days = lines.group_by("customer_id", "age").agg(
        spend=pl.col("amount_cents").sum(), is_purchase=pl.col("is_sold").any()
    )
    spend, purchase = pl.col("spend"), pl.col("is_purchase")
    ages = _AGE.filter(purchase).sort()
    # Ages ascend, so the gap that a day ended stands behind that day: the first is the last one of the calendar.
    gaps = ages.diff().drop_nulls()
    by_customer = days.group_by("customer_id").agg(
        *(spend.filter(length >= _AGE).sum().alias(f"spend_{length}d_cents") for length in (7, 28, 84, 91, 182, 364)),
        spend_total_cents=spend.sum(),
        recency_days=ages.min(),
        tenure_days=ages.max(),
        gap_mean_days=gaps.mean(),
        gap_median_days=gaps.median(),
        gap_deviation_days=gaps.std(),
        gap_max_days=gaps.max(),
        gap_last_days=gaps.first(),
        gap_recent_days=(ages.shift(-1) - ages).filter(ages <= 84).mean(),
        n_purchase_days=_n(purchase),
        n_purchase_days_84d=_n(purchase & (_AGE <= 84)),
        n_active_weeks_182d=((_AGE.clip(lower_bound=1) - 1) // 7).filter(purchase & (_AGE <= 182)).n_unique(),
    )
    return by_customer.with_columns(**_rhythm(), **_trends())


def _rhythm() -> dict[str, pl.Expr]:
    recency, tenure, mean = pl.col("recency_days"), pl.col("tenure_days"), pl.col("gap_mean_days")
    deviation, recent = pl.col("gap_deviation_days"), pl.col("gap_recent_days")
    return {
        "active_span_days": tenure - recency,
        "is_new": (tenure <= 84).fill_null(value=False),
        "recency_share": _share(recency, tenure),
        "recency_to_gap_ratio": recency / pl.col("gap_median_days"),
        "recency_to_gap_max_ratio": recency / pl.col("gap_max_days"),
        "recency_in_deviations": _share(recency - mean, deviation),
        "gap_variation": deviation / mean,
        "gap_trend": (recent - mean) / (recent + mean),
        "spend_per_day_cents": _share(pl.col("spend_total_cents"), tenure),
    }


def _trends() -> dict[str, pl.Expr]:
    lately, quarter, days_91, half, year = (pl.col(f"spend_{days}d_cents") for days in (28, 84, 91, 182, 364))
    return {
        "spend_trend": _share(3 * lately - quarter, lately + quarter),
        "spend_trend_182d": _share(2 * days_91 - half, half),
        "spend_trend_364d": _share(2 * half - year, year),
    }


def _by_category(goods: pl.LazyFrame) -> pl.LazyFrame:
    counts = goods.filter(pl.col("category").is_not_null()).group_by("customer_id", "category")
    counts = counts.agg(n=pl.len().cast(pl.Int64), last=_AGE.min(), first=_AGE.max())
    n, last, first = pl.col("n"), pl.col("last"), pl.col("first")
    return counts.group_by("customer_id").agg(
        n_categories_182d=pl.len().cast(pl.Int64),
        n_categories_84d=_n(last <= 84),
        n_lost_categories=_n(last > 84),
        lost_categories_share=(last > 84).mean(),
        new_categories_share=(first <= 84).mean(),
        repeat_categories_share=(n >= 2).mean(),
        top_category_share=n.max() / n.sum(),
        category_entropy=_entropy(n),
    )


def _by_brand(goods: pl.LazyFrame, own: tuple[str, ...]) -> pl.LazyFrame:
    counts = goods.filter(pl.col("brand").is_not_null()).group_by("customer_id", "brand")
    n, is_own = pl.col("n"), pl.col("brand").str.strip_chars(" ").str.to_lowercase().is_in(own)
    counts = counts.agg(n=pl.len().cast(pl.Int64))
    return counts.group_by("customer_id").agg(
        n_brands_182d=pl.len().cast(pl.Int64),
        top_brand_share=n.max() / n.sum(),
        brand_entropy=_entropy(n),
        own_brand_share=n.filter(is_own).sum() / n.sum(),
    )


def _by_store(lines: pl.LazyFrame) -> pl.LazyFrame:
    sold = lines.filter(pl.col("is_sold"), pl.col("store_id").is_not_null(), _AGE <= 364)
    counts = sold.group_by("customer_id", "store_id").agg(n=pl.len().cast(pl.Int64))
    n = pl.col("n")
    return counts.group_by("customer_id").agg(top_store_share=n.max() / n.sum(), store_entropy=_entropy(n))
