"""Twelve features of every kind as one writes them by hand: in DuckDB's SQL, in pandas twice, and in Polars.

Each way gets the same Parquet files and one ``as_of``, and each is written as its users would: SQL and Polars let their
engine read what it needs, pandas holds the lines in memory before the clock starts. pandas comes as notebooks have it,
one function after the other, each on the lines, and as an expert writes it, every group-by shared. Money stays in
integers.
"""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

try:
    import polars as pl
except ImportError:
    pl = None

NAMES = (
    "n_orders_84d",
    "order_value_mean_cents",
    "weekend_share",
    "discount_share",
    "spend_182d_cents",
    "recency_days",
    "tenure_days",
    "gap_median_days",
    "gap_deviation_days",
    "n_categories_84d",
    "top_category_share",
    "category_entropy",
)
"""The features that every way computes: windows, shares, rhythm and breadth."""

Way = Callable[[], pd.DataFrame]

_SQL = """
WITH known AS MATERIALIZED (
    SELECT customer_id, order_id, product_id, local_time, local_time::DATE AS local_on, quantity > 0 AS is_sold,
        amount_cents, coalesce(discount_cents, 0) AS discount_cents, coalesce(coupon_cents, 0) AS coupon_cents
    FROM read_parquet('{folder}/transactions/*.parquet')
    WHERE customer_id IS NOT NULL AND event_time < $as_of AND known_at < $as_of
        AND (replaced_at IS NULL OR replaced_at >= $as_of)
), orders AS (
    SELECT customer_id, $today - min(local_on) AS age, min(local_time) AS ordered_at,
        count(*) FILTER (is_sold) > 0 AS is_purchase, sum(amount_cents)::BIGINT AS spend,
        sum(amount_cents + discount_cents + coupon_cents) FILTER (is_sold)::BIGINT AS list,
        sum(discount_cents) FILTER (is_sold)::BIGINT AS discount
    FROM known GROUP BY customer_id, order_id
), by_order AS (
    SELECT customer_id, count(*) FILTER (is_purchase AND age <= 84) AS n_orders_84d,
        avg(spend) FILTER (is_purchase AND age <= 364) AS order_value_mean_cents,
        count(*) FILTER (is_purchase AND age <= 364 AND isodow(ordered_at) >= 6)
            / nullif(count(*) FILTER (is_purchase AND age <= 364), 0) AS weekend_share,
        CASE WHEN sum(list) FILTER (age <= 182) > 0
            THEN sum(discount) FILTER (age <= 182) / sum(list) FILTER (age <= 182) END AS discount_share
    FROM orders GROUP BY customer_id
), days AS (
    SELECT customer_id, local_on, $today - local_on AS age, bool_or(is_sold) AS is_purchase, sum(amount_cents) AS spend
    FROM known GROUP BY customer_id, local_on
), gaps AS (
    SELECT *, CASE WHEN is_purchase
        THEN local_on - lag(local_on) OVER (PARTITION BY customer_id, is_purchase ORDER BY local_on) END AS gap
    FROM days
), by_day AS (
    SELECT customer_id, coalesce(sum(spend) FILTER (age <= 182), 0)::BIGINT AS spend_182d_cents,
        min(age) FILTER (is_purchase) AS recency_days, max(age) FILTER (is_purchase) AS tenure_days,
        median(gap) AS gap_median_days, stddev_samp(gap) AS gap_deviation_days
    FROM gaps GROUP BY customer_id
), categories AS (
    SELECT customer_id, category, count(*) AS n, min($today - local_on) AS age
    FROM known JOIN (
        SELECT product_id, max(category) AS category FROM read_parquet('{folder}/products.parquet') GROUP BY ALL
    ) USING (product_id)
    WHERE is_sold AND category IS NOT NULL AND $today - local_on <= 182 GROUP BY customer_id, category
), by_category AS (
    SELECT customer_id, count(*) FILTER (age <= 84) AS n_categories_84d, max(n) / sum(n) AS top_category_share,
        ln(sum(n)) - sum(n * ln(n)) / sum(n) AS category_entropy
    FROM categories GROUP BY customer_id
)
SELECT customer_id, {names}
FROM by_order JOIN by_day USING (customer_id) LEFT JOIN by_category USING (customer_id)
"""


def in_sql(folder: Path, as_of: datetime, today: date) -> Way:
    """Return the features in one SQL query of DuckDB's."""
    connection = duckdb.connect(config={"temp_directory": "", "threads": 2})
    query = _SQL.format(folder=folder, names=", ".join(NAMES))
    return lambda: connection.execute(query, {"as_of": as_of, "today": today}).to_arrow_table().to_pandas()


def in_pandas(folder: Path, as_of: datetime, today: date) -> Way:
    """Return the features on frames in memory, feature by feature."""
    loaded, products = _loaded_frames(folder)

    def compute() -> pd.DataFrame:
        lines = _known_lines(loaded, as_of, today)
        index = pd.Index(lines["customer_id"].unique(), name="customer_id")
        features = {name: one(lines, products) for name, one in _PLAINLY.items()}
        return pd.DataFrame(features, index=index)[list(NAMES)].reset_index()

    return compute


def in_shared_pandas(folder: Path, as_of: datetime, today: date) -> Way:
    """Return the features on frames in memory, in group-bys that they share."""
    loaded, products = _loaded_frames(folder)

    def compute() -> pd.DataFrame:
        lines = _known_lines(loaded, as_of, today)
        features = _pandas_orders(lines).join(_pandas_days(lines))
        return features.join(_pandas_categories(lines, products))[list(NAMES)].reset_index()

    return compute


def _loaded_frames(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = ["customer_id", "order_id", "product_id", "event_time", "known_at", "replaced_at", "local_time"]
    columns += ["quantity", "amount_cents", "discount_cents", "coupon_cents"]
    loaded = pd.read_parquet(folder / "transactions", columns=columns)
    loaded["quantity"] = loaded["quantity"].astype("float64")
    products = pd.read_parquet(folder / "products.parquet", columns=["product_id", "category"])
    return loaded, products


def _known_lines(loaded: pd.DataFrame, as_of: datetime, today: date) -> pd.DataFrame:
    lines = loaded[(loaded["event_time"] < as_of) & (loaded["known_at"] < as_of) & loaded["customer_id"].notna()]
    lines = lines[lines["replaced_at"].isna() | (lines["replaced_at"] >= as_of)]
    reductions = lines["discount_cents"].fillna(0) + lines["coupon_cents"].fillna(0)
    is_sold = lines["quantity"] > 0
    return lines.assign(
        is_sold=is_sold,
        age=(pd.Timestamp(today) - lines["local_time"].dt.normalize()).dt.days,
        list=(lines["amount_cents"] + reductions).where(is_sold, 0),
        discount=lines["discount_cents"].fillna(0).where(is_sold, 0),
    )


def _plain_orders(lines: pd.DataFrame) -> pd.DataFrame:
    orders = lines.groupby(["customer_id", "order_id"]).agg(
        age=("age", "max"), spend=("amount_cents", "sum"), ordered_at=("local_time", "min"), is_sold=("is_sold", "any")
    )
    return orders[orders["is_sold"]]


def _plain_gaps(lines: pd.DataFrame) -> "pd.api.typing.SeriesGroupBy[int, str]":
    bought = lines[lines["is_sold"]].drop_duplicates(["customer_id", "age"]).sort_values(["customer_id", "age"])
    return bought.groupby("customer_id")["age"].diff().groupby(bought["customer_id"])


def _plain_counts(lines: pd.DataFrame, products: pd.DataFrame) -> "pd.Series[int]":
    listed = products.groupby("product_id")["category"].max().dropna().reset_index()
    sold = lines[lines["is_sold"] & (lines["age"] <= 182)].merge(listed, on="product_id")
    return sold.groupby(["customer_id", "category"]).size()


def _plain_n_orders(lines: pd.DataFrame, _products: pd.DataFrame) -> "pd.Series[int]":
    orders = _plain_orders(lines)
    counts = orders[orders["age"] <= 84].groupby("customer_id").size()
    return counts.reindex(lines["customer_id"].unique(), fill_value=0)


def _plain_order_value(lines: pd.DataFrame, _products: pd.DataFrame) -> "pd.Series[float]":
    orders = _plain_orders(lines)
    return orders[orders["age"] <= 364].groupby("customer_id")["spend"].mean()


def _plain_weekend(lines: pd.DataFrame, _products: pd.DataFrame) -> "pd.Series[float]":
    orders = _plain_orders(lines)
    orders = orders[orders["age"] <= 364]
    return (orders["ordered_at"].dt.dayofweek >= 5).groupby("customer_id").mean()


def _plain_discount(lines: pd.DataFrame, _products: pd.DataFrame) -> "pd.Series[float]":
    age = lines.groupby(["customer_id", "order_id"])["age"].transform("max")
    half = lines[age <= 182].groupby("customer_id")
    whole = half["list"].sum()
    return half["discount"].sum() / whole.where(whole > 0)


def _plain_spend(lines: pd.DataFrame, _products: pd.DataFrame) -> "pd.Series[int]":
    spend = lines[lines["age"] <= 182].groupby("customer_id")["amount_cents"].sum()
    return spend.reindex(lines["customer_id"].unique(), fill_value=0)


def _plain_n_categories(lines: pd.DataFrame, products: pd.DataFrame) -> "pd.Series[int]":
    listed = products.groupby("product_id")["category"].max().dropna().reset_index()
    sold = lines[lines["is_sold"] & (lines["age"] <= 84)].merge(listed, on="product_id")
    counts = sold.groupby("customer_id")["category"].nunique()
    return counts.reindex(lines["customer_id"].unique(), fill_value=0)


def _plain_top_category(lines: pd.DataFrame, products: pd.DataFrame) -> "pd.Series[float]":
    counts = _plain_counts(lines, products).groupby("customer_id")
    return counts.max() / counts.sum()


def _plain_entropy(lines: pd.DataFrame, products: pd.DataFrame) -> "pd.Series[float]":
    counts = _plain_counts(lines, products)
    shares = counts / counts.groupby("customer_id").transform("sum")
    return -(shares * np.log(shares)).groupby("customer_id").sum()


_PLAINLY: dict[str, Callable[[pd.DataFrame, pd.DataFrame], "pd.Series[Any]"]] = {
    "n_orders_84d": _plain_n_orders,
    "order_value_mean_cents": _plain_order_value,
    "weekend_share": _plain_weekend,
    "discount_share": _plain_discount,
    "spend_182d_cents": _plain_spend,
    "recency_days": lambda lines, _: lines[lines["is_sold"]].groupby("customer_id")["age"].min(),
    "tenure_days": lambda lines, _: lines[lines["is_sold"]].groupby("customer_id")["age"].max(),
    "gap_median_days": lambda lines, _: _plain_gaps(lines).median(),
    "gap_deviation_days": lambda lines, _: _plain_gaps(lines).std(),
    "n_categories_84d": _plain_n_categories,
    "top_category_share": _plain_top_category,
    "category_entropy": _plain_entropy,
}


def _pandas_orders(lines: pd.DataFrame) -> pd.DataFrame:
    orders = lines.groupby(["customer_id", "order_id"]).agg(
        age=("age", "max"),
        ordered_at=("local_time", "min"),
        is_purchase=("is_sold", "any"),
        spend=("amount_cents", "sum"),
        list=("list", "sum"),
        discount=("discount", "sum"),
    )
    bought = orders[orders["is_purchase"]]
    year = bought[bought["age"] <= 364]
    half = orders[orders["age"] <= 182].groupby("customer_id")[["list", "discount"]].sum()
    features = pd.DataFrame(index=orders.index.get_level_values("customer_id").unique())
    features["n_orders_84d"] = bought[bought["age"] <= 84].groupby("customer_id").size()
    features["n_orders_84d"] = features["n_orders_84d"].fillna(0)
    features["order_value_mean_cents"] = year.groupby("customer_id")["spend"].mean()
    features["weekend_share"] = (year["ordered_at"].dt.dayofweek >= 5).groupby("customer_id").mean()
    features["discount_share"] = half["discount"] / half["list"].where(half["list"] > 0)
    return features


def _pandas_days(lines: pd.DataFrame) -> pd.DataFrame:
    days = lines.groupby(["customer_id", "age"]).agg(spend=("amount_cents", "sum"), is_purchase=("is_sold", "any"))
    days = days.reset_index()
    bought = days[days["is_purchase"]].sort_values(["customer_id", "age"])
    gaps = bought.groupby("customer_id")["age"].diff().groupby(bought["customer_id"])
    ages = bought.groupby("customer_id")["age"]
    features = pd.DataFrame(index=days["customer_id"].unique())
    features["spend_182d_cents"] = days[days["age"] <= 182].groupby("customer_id")["spend"].sum()
    features["spend_182d_cents"] = features["spend_182d_cents"].fillna(0)
    features["recency_days"], features["tenure_days"] = ages.min(), ages.max()
    features["gap_median_days"], features["gap_deviation_days"] = gaps.median(), gaps.std()
    return features


def _pandas_categories(lines: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    listed = products.groupby("product_id")["category"].max().dropna().reset_index()
    sold = lines[lines["is_sold"] & (lines["age"] <= 182)].merge(listed, on="product_id")
    counts = sold.groupby(["customer_id", "category"]).agg(n=("age", "size"), age=("age", "min")).reset_index()
    counts["surprise"] = counts["n"] * np.log(counts["n"])
    counts["is_recent"] = counts["age"] <= 84
    by_customer = counts.groupby("customer_id")
    total = by_customer["n"].sum()
    return pd.DataFrame(
        {
            "n_categories_84d": by_customer["is_recent"].sum(),
            "top_category_share": by_customer["n"].max() / total,
            "category_entropy": np.log(total) - by_customer["surprise"].sum() / total,
        }
    )


def in_polars(folder: Path, as_of: datetime, today: date) -> Way:
    """Return the features in lazy Polars."""
    source = pl.scan_parquet(folder / "transactions" / "*.parquet")
    held = pl.col("replaced_at").is_null() | (pl.col("replaced_at") >= as_of)
    source = source.filter(pl.col("customer_id").is_not_null(), pl.col("event_time") < as_of)
    lines = source.filter(pl.col("known_at") < as_of, held).with_columns(
        age=(pl.lit(today) - pl.col("local_time").dt.date()).dt.total_days(),
        is_sold=pl.col("quantity") > 0,
        discount_cents=pl.col("discount_cents").fill_null(0),
        coupon_cents=pl.col("coupon_cents").fill_null(0),
    )
    listed = pl.scan_parquet(folder / "products.parquet").group_by("product_id").agg(pl.col("category").max())
    parts = [_polars_orders(lines), _polars_days(lines), _polars_categories(lines, listed)]

    def compute() -> pd.DataFrame:
        orders, days, categories = pl.collect_all(parts)
        features = orders.join(days, on="customer_id").join(categories, on="customer_id", how="left")
        return features.select("customer_id", *NAMES).to_pandas()

    return compute


def _polars_orders(lines: "pl.LazyFrame") -> "pl.LazyFrame":
    sold, paid = pl.col("is_sold"), pl.col("amount_cents") + pl.col("discount_cents") + pl.col("coupon_cents")
    orders = lines.group_by("customer_id", "order_id").agg(
        age=pl.col("age").max(),
        ordered_at=pl.col("local_time").min(),
        is_purchase=sold.any(),
        spend=pl.col("amount_cents").sum(),
        list=paid.filter(sold).sum(),
        discount=pl.col("discount_cents").filter(sold).sum(),
    )
    year, half = pl.col("is_purchase") & (pl.col("age") <= 364), pl.col("age") <= 182
    whole = pl.col("list").filter(half).sum()
    return orders.group_by("customer_id").agg(
        n_orders_84d=(pl.col("is_purchase") & (pl.col("age") <= 84)).sum(),
        order_value_mean_cents=pl.col("spend").filter(year).mean(),
        weekend_share=(pl.col("ordered_at").dt.weekday() >= 6).filter(year).mean(),
        discount_share=pl.when(whole > 0).then(pl.col("discount").filter(half).sum() / whole),
    )


def _polars_days(lines: "pl.LazyFrame") -> "pl.LazyFrame":
    days = lines.group_by("customer_id", "age").agg(
        spend=pl.col("amount_cents").sum(), is_purchase=pl.col("is_sold").any()
    )
    bought = pl.col("age").filter(pl.col("is_purchase"))
    gaps = bought.sort().diff().drop_nulls()
    return days.group_by("customer_id").agg(
        spend_182d_cents=pl.col("spend").filter(pl.col("age") <= 182).sum(),
        recency_days=bought.min(),
        tenure_days=bought.max(),
        gap_median_days=gaps.median(),
        gap_deviation_days=gaps.std(),
    )


def _polars_categories(lines: "pl.LazyFrame", listed: "pl.LazyFrame") -> "pl.LazyFrame":
    sold = lines.filter(pl.col("is_sold"), pl.col("age") <= 182)
    sold = sold.join(listed.filter(pl.col("category").is_not_null()), on="product_id")
    counts = sold.group_by("customer_id", "category").agg(n=pl.len().cast(pl.Int64), age=pl.col("age").min())
    n, total = pl.col("n"), pl.col("n").sum()
    return counts.group_by("customer_id").agg(
        n_categories_84d=(pl.col("age") <= 84).sum(),
        top_category_share=n.max() / total,
        category_entropy=total.log() - (n * n.log()).sum() / total,
    )
