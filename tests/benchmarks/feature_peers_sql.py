"""The features of ``feature_peers`` as one writes them by hand in DuckDB's SQL: one query, a few CTEs, FILTER."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

_KNOWN = """
known AS MATERIALIZED (
    SELECT customer_id, order_id, product_id, store_id, channel, local_time, local_time::DATE AS local_on,
        quantity > 0 AS is_sold, quantity < 0 AS is_returned, amount_cents,
        coalesce(discount_cents, 0) AS discount_cents, coalesce(coupon_cents, 0) AS coupon_cents
    FROM read_parquet('{folder}/transactions/*.parquet')
    WHERE customer_id IS NOT NULL AND event_time < $as_of AND known_at < $as_of
        AND (replaced_at IS NULL OR replaced_at >= $as_of)
), products AS (
    SELECT product_id, max(category) AS category, max(brand) AS brand FROM read_parquet('{folder}/products.parquet')
    GROUP BY product_id
)"""
_ORDERS = """
orders AS (
    SELECT customer_id, $today - min(local_on) AS age, min(local_time) AS ordered_at, min(store_id) AS store_id,
        lower(trim(min(channel))) AS channel, count(*) FILTER (is_sold) AS n_sold,
        count(*) FILTER (is_returned) AS n_returned, n_sold > 0 AS is_purchase,
        is_purchase AND age <= 182 AS in_half, is_purchase AND age <= 364 AS in_year,
        sum(amount_cents)::BIGINT AS spend, coalesce(sum(amount_cents) FILTER (is_sold), 0)::BIGINT AS sold,
        sum(amount_cents + discount_cents + coupon_cents) FILTER (is_sold)::BIGINT AS list,
        sum(discount_cents) FILTER (is_sold)::BIGINT AS discount, sum(coupon_cents)::BIGINT AS coupon
    FROM known GROUP BY customer_id, order_id
), by_order AS (
    SELECT customer_id, count(*) FILTER (is_purchase) AS n_orders,
        count(*) FILTER (is_purchase AND age <= 7) AS n_orders_7d,
        count(*) FILTER (is_purchase AND age <= 28) AS n_orders_28d,
        count(*) FILTER (is_purchase AND age <= 84) AS n_orders_84d,
        count(*) FILTER (is_purchase AND age <= 91) AS n_orders_91d,
        count(*) FILTER (in_half) AS n_orders_182d, count(*) FILTER (in_year) AS n_orders_364d,
        count(*) FILTER (in_year AND age > 280) AS n_orders_season,
        7 * n_orders / nullif(max(age) FILTER (is_purchase), 0) AS orders_per_week,
        (2 * n_orders_28d - (n_orders_84d - n_orders_28d))
            / nullif(2 * n_orders_28d + n_orders_84d - n_orders_28d, 0) AS orders_trend,
        (2 * n_orders_91d - n_orders_182d) / nullif(n_orders_182d, 0) AS orders_trend_182d,
        (2 * n_orders_182d - n_orders_364d) / nullif(n_orders_364d, 0) AS orders_trend_364d,
        coalesce(sum(coupon) FILTER (in_half), 0)::BIGINT AS coupon_182d_cents,
        count(*) FILTER (in_half AND coupon > 0) / nullif(n_orders_182d, 0) AS coupon_orders_share,
        min(age) FILTER (is_purchase AND coupon > 0) AS coupon_recency_days,
        coalesce(sum(discount) FILTER (in_half), 0)::BIGINT AS discount_182d_cents,
        CASE WHEN sum(list) FILTER (age <= 182) > 0
            THEN sum(discount) FILTER (age <= 182) / sum(list) FILTER (age <= 182) END AS discount_share,
        count(*) FILTER (in_half AND discount > 0) / nullif(n_orders_182d, 0) AS discounted_orders_share,
        sum(sold) FILTER (in_half) / sum(n_sold) FILTER (in_half) AS line_value_mean_cents,
        avg(n_sold) FILTER (in_half) AS lines_per_order,
        count(*) FILTER (in_half AND n_sold = 1) / nullif(n_orders_182d, 0) AS single_line_orders_share,
        count(*) FILTER (in_year AND hour(ordered_at) < 12) / nullif(n_orders_364d, 0) AS morning_share,
        count(*) FILTER (in_year AND hour(ordered_at) >= 18) / nullif(n_orders_364d, 0) AS evening_share,
        count(*) FILTER (in_year AND isodow(ordered_at) >= 6) / nullif(n_orders_364d, 0) AS weekend_share,
        count(DISTINCT channel) FILTER (in_year) AS n_channels_364d,
        count(DISTINCT store_id) FILTER (in_year) AS n_stores_364d,
        count(*) FILTER (in_year AND channel IN {online})
            / nullif(count(channel) FILTER (in_year), 0) AS online_share,
        max(spend) FILTER (in_year) AS order_value_max_cents, avg(spend) FILTER (in_year) AS order_value_mean_cents,
        median(spend) FILTER (in_year) AS order_value_median_cents,
        avg(sold) FILTER (is_purchase AND age <= 84) / nullif(avg(sold) FILTER (in_year), 0) AS order_value_ratio,
        coalesce(sum(n_returned) FILTER (age <= 364), 0)::BIGINT AS n_returned_lines_364d,
        count(*) FILTER (age <= 364 AND n_returned > 0)
            / nullif(count(*) FILTER (age <= 364 AND n_sold + n_returned > 0), 0) AS return_orders_share,
        min(age) FILTER (n_returned > 0) AS return_recency_days,
        sum(n_returned) FILTER (age <= 182)
            / nullif(sum(n_returned + n_sold) FILTER (age <= 182), 0) AS returned_lines_share,
        CASE WHEN sum(sold) FILTER (age <= 364) > 0
            THEN sum(sold - spend) FILTER (age <= 364) / sum(sold) FILTER (age <= 364) END AS returned_value_ratio
    FROM orders GROUP BY customer_id
), by_weekday AS (
    SELECT customer_id, max(n) / sum(n) AS top_weekday_share, ln(sum(n)) - sum(n * ln(n)) / sum(n) AS weekday_entropy
    FROM (SELECT customer_id, count(*) AS n FROM orders WHERE in_year GROUP BY customer_id, isodow(ordered_at))
    GROUP BY customer_id
)"""
_DAYS = """
days AS (
    SELECT customer_id, local_on, $today - local_on AS age, bool_or(is_sold) AS is_purchase,
        sum(amount_cents)::BIGINT AS spend
    FROM known GROUP BY customer_id, local_on
), gaps AS (
    SELECT *, CASE WHEN is_purchase
        THEN local_on - lag(local_on) OVER (PARTITION BY customer_id, is_purchase ORDER BY local_on) END AS gap
    FROM days
), by_day AS (
    SELECT customer_id, coalesce(sum(spend) FILTER (age <= 7), 0)::BIGINT AS spend_7d_cents,
        coalesce(sum(spend) FILTER (age <= 28), 0)::BIGINT AS spend_28d_cents,
        coalesce(sum(spend) FILTER (age <= 84), 0)::BIGINT AS spend_84d_cents,
        coalesce(sum(spend) FILTER (age <= 91), 0)::BIGINT AS spend_91d_cents,
        coalesce(sum(spend) FILTER (age <= 182), 0)::BIGINT AS spend_182d_cents,
        coalesce(sum(spend) FILTER (age <= 364), 0)::BIGINT AS spend_364d_cents,
        sum(spend)::BIGINT AS spend_total_cents,
        CASE WHEN spend_84d_cents + spend_28d_cents > 0
            THEN (3 * spend_28d_cents - spend_84d_cents) / (spend_28d_cents + spend_84d_cents) END AS spend_trend,
        CASE WHEN spend_182d_cents > 0
            THEN (2 * spend_91d_cents - spend_182d_cents) / spend_182d_cents END AS spend_trend_182d,
        CASE WHEN spend_364d_cents > 0
            THEN (2 * spend_182d_cents - spend_364d_cents) / spend_364d_cents END AS spend_trend_364d,
        min(age) FILTER (is_purchase) AS recency_days, max(age) FILTER (is_purchase) AS tenure_days,
        tenure_days - recency_days AS active_span_days, coalesce(tenure_days <= 84, false) AS is_new,
        spend_total_cents / nullif(tenure_days, 0) AS spend_per_day_cents,
        recency_days / nullif(tenure_days, 0) AS recency_share,
        avg(gap) AS gap_mean_days, median(gap) AS gap_median_days, stddev_samp(gap) AS gap_deviation_days,
        max(gap) AS gap_max_days, arg_max(gap, local_on) AS gap_last_days,
        gap_deviation_days / gap_mean_days AS gap_variation,
        (avg(gap) FILTER (age <= 84) - gap_mean_days) / (avg(gap) FILTER (age <= 84) + gap_mean_days) AS gap_trend,
        recency_days / gap_median_days AS recency_to_gap_ratio, recency_days / gap_max_days AS recency_to_gap_max_ratio,
        (recency_days - gap_mean_days) / nullif(gap_deviation_days, 0) AS recency_in_deviations,
        count(*) FILTER (is_purchase) AS n_purchase_days,
        count(*) FILTER (is_purchase AND age <= 84) AS n_purchase_days_84d,
        count(DISTINCT (greatest(age, 1) - 1) // 7) FILTER (is_purchase AND age <= 182) AS n_active_weeks_182d
    FROM gaps GROUP BY customer_id
)"""
_GOODS = """
goods AS (
    SELECT customer_id, product_id, $today - local_on AS age FROM known WHERE is_sold AND $today - local_on <= 182
), categories AS (
    SELECT customer_id, category, count(*) AS n, min(age) AS last_age, max(age) AS first_age
    FROM goods JOIN products USING (product_id) WHERE category IS NOT NULL GROUP BY customer_id, category
), by_category AS (
    SELECT customer_id, count(*) AS n_categories_182d, count(*) FILTER (last_age <= 84) AS n_categories_84d,
        count(*) FILTER (last_age > 84) AS n_lost_categories, n_lost_categories / count(*) AS lost_categories_share,
        count(*) FILTER (first_age <= 84) / count(*) AS new_categories_share,
        count(*) FILTER (n >= 2) / count(*) AS repeat_categories_share, max(n) / sum(n) AS top_category_share,
        ln(sum(n)) - sum(n * ln(n)) / sum(n) AS category_entropy
    FROM categories GROUP BY customer_id
), brands AS (
    SELECT customer_id, brand, count(*) AS n
    FROM goods JOIN products USING (product_id) WHERE brand IS NOT NULL GROUP BY customer_id, brand
), by_brand AS (
    SELECT customer_id, count(*) AS n_brands_182d, max(n) / sum(n) AS top_brand_share,
        ln(sum(n)) - sum(n * ln(n)) / sum(n) AS brand_entropy,
        coalesce(sum(n) FILTER (lower(trim(brand)) IN {own}), 0) / sum(n) AS own_brand_share
    FROM brands GROUP BY customer_id
), stores AS (
    SELECT customer_id, store_id, count(*) AS n
    FROM known WHERE is_sold AND store_id IS NOT NULL AND $today - local_on <= 364 GROUP BY customer_id, store_id
), by_store AS (
    SELECT customer_id, max(n) / sum(n) AS top_store_share, ln(sum(n)) - sum(n * ln(n)) / sum(n) AS store_entropy
    FROM stores GROUP BY customer_id
)"""
_SQL = f"""
WITH {_KNOWN}, {_ORDERS}, {_DAYS}, {_GOODS}
SELECT customer_id, {{names}}
FROM by_order JOIN by_day USING (customer_id) LEFT JOIN by_weekday USING (customer_id)
    LEFT JOIN by_category USING (customer_id) LEFT JOIN by_brand USING (customer_id)
    LEFT JOIN by_store USING (customer_id)
"""


def query(folder: Path, names: tuple[str, ...], online: tuple[str, ...], own: tuple[str, ...]) -> str:
    """Return the query of some features over the Parquet files of a folder; it takes $as_of and $today."""
    return _SQL.format(folder=folder, names=", ".join(names), online=online, own=own)


def in_sql(folder: Path, as_of: datetime, today: date, names: tuple[str, ...], **words: tuple[str, ...]) -> Any:
    """Return the features in one SQL query of DuckDB's, to be called."""
    connection = duckdb.connect(config={"temp_directory": "", "threads": 2})
    sql = query(folder, names, **words)
    return lambda: connection.execute(sql, {"as_of": as_of, "today": today}).to_arrow_table().to_pandas()
