"""The features of ``feature_peers`` in pandas: one small function each, on one cleaned frame of lines in memory.

``in_pandas`` is what notebooks have: each feature is worked out by itself, group-bys and all. ``in_shared_pandas`` is
what an expert makes of it: customers, orders, products and stores are numbers, and whatever two features need is worked
out once.
"""

from collections.abc import Callable, Hashable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Series = pd.Series
_IDS = ("customer_id", "order_id", "product_id", "store_id")
_MONEY = ["amount_cents", "discount_cents", "coupon_cents"]


class Shop:
    """The lines known at one ``as_of`` and what is made of them: anew each time, or once where parts are shared."""

    def __init__(self, lines: pd.DataFrame, products: pd.DataFrame, words: dict[str, Any], *, is_shared: bool) -> None:
        self.lines, self.products, self.words, self.is_shared = lines, products, words, is_shared
        self._made: dict[Hashable, Any] = {}

    def __call__(self, part: Callable[..., Any], *given: Hashable) -> Any:
        if not self.is_shared:
            return part(self, *given)
        if (part, given) not in self._made:
            self._made[part, given] = part(self, *given)
        return self._made[part, given]


def in_pandas(folder: Path, as_of: datetime, today: date, names: tuple[str, ...], **words: Any) -> Any:
    """Return the features, each worked out by itself, to be called."""
    loaded, products = _loaded(folder)

    def compute() -> pd.DataFrame:
        lines = _known(loaded, as_of, today)
        shop = Shop(lines, products, words, is_shared=False)
        customers = pd.Index(lines["customer_id"].unique(), name="customer_id")
        return pd.DataFrame({name: FEATURES[name](shop) for name in names}, index=customers).reset_index()

    return compute


def in_shared_pandas(folder: Path, as_of: datetime, today: date, names: tuple[str, ...], **words: Any) -> Any:
    """Return the features, with numbers for ids and every group-by shared, to be called."""
    loaded, products = _loaded(folder)

    def compute() -> pd.DataFrame:
        lines = _known(loaded, as_of, today)
        customers = _number(lines, products)
        shop = Shop(lines, products.assign(product_id=products["product_number"]), words, is_shared=True)
        features = pd.DataFrame({name: FEATURES[name](shop) for name in names}, index=range(len(customers)))
        return features.set_index(pd.Index(customers, name="customer_id")).reset_index()

    return compute


def _loaded(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = [*_IDS, "event_time", "known_at", "replaced_at", "local_time", "quantity", "channel", *_MONEY]
    loaded = pd.read_parquet(folder / "transactions", columns=columns)
    loaded["quantity"] = loaded["quantity"].astype("float64")
    products = pd.read_parquet(folder / "products.parquet", columns=["product_id", "category", "brand"])
    return loaded, products.groupby("product_id", as_index=False)[["category", "brand"]].max()


def _known(loaded: pd.DataFrame, as_of: datetime, today: date) -> pd.DataFrame:
    lines = loaded[(loaded["event_time"] < as_of) & (loaded["known_at"] < as_of) & loaded["customer_id"].notna()]
    lines = lines[lines["replaced_at"].isna() | (lines["replaced_at"] >= as_of)]
    lines = lines.drop(columns=["event_time", "known_at", "replaced_at"])
    lines = lines.assign(**{name: lines[name].fillna(0).astype("int64") for name in _MONEY})
    is_sold = lines["quantity"] > 0
    return lines.assign(
        is_sold=is_sold,
        is_returned=lines["quantity"] < 0,
        age=(pd.Timestamp(today) - lines["local_time"].dt.normalize()).dt.days,
        sold=lines["amount_cents"].where(is_sold, 0),
        list=lines[_MONEY].sum(axis=1).where(is_sold, 0),
        discount=lines["discount_cents"].where(is_sold, 0),
    )


def _number(lines: pd.DataFrame, products: pd.DataFrame) -> pd.Index:
    """Put numbers in the place of ids, and return the customers in the order of their numbers."""
    lines["customer_id"], customers = pd.factorize(lines["customer_id"])
    lines["order_id"] = pd.factorize(lines["order_id"])[0]
    stores, _ = pd.factorize(lines["store_id"], sort=True)
    lines["store_id"] = Series(stores, index=lines.index).where(stores >= 0)
    products["product_number"] = range(len(products))
    lines["product_id"] = pd.Index(products["product_id"]).get_indexer(lines["product_id"])
    return pd.Index(customers)


# What features are made from.


def orders(shop: Shop) -> pd.DataFrame:
    made = shop.lines.groupby(["customer_id", "order_id"], as_index=False).agg(
        age=("age", "max"),
        at=("local_time", "min"),
        store_id=("store_id", "min"),
        channel=("channel", "min"),
        n_sold=("is_sold", "sum"),
        n_returned=("is_returned", "sum"),
        spend=("amount_cents", "sum"),
        sold=("sold", "sum"),
        list=("list", "sum"),
        discount=("discount", "sum"),
        coupon=("coupon_cents", "sum"),
    )
    return made.assign(channel=made["channel"].str.strip(" ").str.lower())


def all_within(shop: Shop, days: int) -> pd.DataFrame:
    made = shop(orders)
    return made[made["age"] <= days]


def bought(shop: Shop, days: int = 10**6) -> pd.DataFrame:
    made = shop(all_within, days)
    return made[made["n_sold"] > 0]


def days(shop: Shop) -> pd.DataFrame:
    grouped = shop.lines.groupby(["customer_id", "age"], as_index=False)
    return grouped.agg(spend=("amount_cents", "sum"), is_purchase=("is_sold", "any"))


def visits(shop: Shop) -> pd.DataFrame:
    made = shop(days)
    made = made[made["is_purchase"]].sort_values(["customer_id", "age"])
    # Ages ascend, so the gap that a day ended is the step to the row below.
    return made.assign(gap=-made.groupby("customer_id")["age"].diff(-1))


def goods(shop: Shop, days: int) -> pd.DataFrame:
    lines = shop.lines[shop.lines["is_sold"] & (shop.lines["age"] <= days)]
    return lines[["customer_id", "product_id", "store_id", "age"]]


def listed(shop: Shop) -> pd.DataFrame:
    return shop(goods, 182).merge(shop.products, on="product_id")


def kinds(shop: Shop, kind: str) -> pd.DataFrame:
    rows = shop(goods, 364) if kind == "store_id" else shop(listed)
    grouped = rows.groupby(["customer_id", kind], as_index=False)
    return grouped.agg(n=("age", "size"), last=("age", "min"), first=("age", "max"))


def weekdays(shop: Shop) -> pd.DataFrame:
    made = shop(bought, 364)
    weekday = made["at"].dt.day_of_week.rename("weekday")
    return made.groupby(["customer_id", weekday]).size().rename("n").reset_index()


def size(rows: pd.DataFrame) -> Series:
    return rows.groupby("customer_id").size()


def by(rows: pd.DataFrame, column: str) -> Any:
    return rows.groupby("customer_id")[column]


def share(part: Series, whole: Series) -> Series:
    return part.reindex(whole.index, fill_value=0) / whole.where(whole > 0)


def minus(whole: Series, part: Series) -> Series:
    return whole - part.reindex(whole.index, fill_value=0)


def trend(recent: Series, before: Series) -> Series:
    recent = recent.reindex(before.index, fill_value=0)
    return share(recent - before, recent + before)


def n_orders(shop: Shop, length: int = 10**6) -> Series:
    return size(shop(bought, length))


def spend(shop: Shop, length: int = 10**6) -> Series:
    made = shop(days)
    return by(made[made["age"] <= length], "spend").sum()


def recency(shop: Shop) -> Series:
    return by(shop(visits), "age").min()


def tenure(shop: Shop) -> Series:
    return by(shop(visits), "age").max()


def gap(shop: Shop, what: str) -> Series:
    made: Series = getattr(by(shop(visits), "gap"), what)()
    return made


def orders_change(shop: Shop, lately: int, length: int) -> Series:
    whole = shop(n_orders, length)
    recent = shop(n_orders, lately).reindex(whole.index, fill_value=0)
    return trend(recent * (length // lately - 1), whole - recent)


def spend_change(shop: Shop, lately: int, length: int) -> Series:
    whole = shop(spend, length)
    recent = shop(spend, lately).reindex(whole.index, fill_value=0)
    return trend(recent * (length // lately - 1), whole - recent)


def orders_with(shop: Shop, length: int, condition: Callable[[pd.DataFrame], Series]) -> Series:
    made = shop(bought, length)
    return share(size(made[condition(made)]), shop(n_orders, length))


def order_mean(shop: Shop, length: int, column: str) -> Series:
    mean: Series = by(shop(bought, length), column).mean()
    return mean


def lines_back(shop: Shop) -> Series:
    made = shop(all_within, 182)
    n_returned = by(made, "n_returned").sum()
    return share(n_returned, n_returned + by(made, "n_sold").sum())


def orders_back(shop: Shop) -> Series:
    made = shop(all_within, 364)
    return share(size(made[made["n_returned"] > 0]), size(made[made["n_sold"] + made["n_returned"] > 0]))


def value_back(shop: Shop) -> Series:
    made = shop(all_within, 364)
    sold = by(made, "sold").sum()
    return share(sold - by(made, "spend").sum(), sold)


def discount_share(shop: Shop) -> Series:
    made = shop(all_within, 182)
    return share(by(made, "discount").sum(), by(made, "list").sum())


def line_value(shop: Shop) -> Series:
    made = shop(bought, 182)
    return share(by(made, "sold").sum(), by(made, "n_sold").sum())


def online(shop: Shop) -> Series:
    made = shop(bought, 364)
    made = made[made["channel"].notna()]
    return share(size(made[made["channel"].isin(shop.words["online"])]), size(made))


def last_of(rows: pd.DataFrame) -> Series:
    age: Series = by(rows, "age").min()
    return age


def season(shop: Shop) -> Series:
    made = shop(bought, 364)
    return size(made[made["age"] > 280])


def in_deviations(shop: Shop) -> Series:
    deviation = shop(gap, "std")
    return (shop(recency) - shop(gap, "mean")) / deviation.where(deviation > 0)


def gap_trend(shop: Shop) -> Series:
    made, usual = shop(visits), shop(gap, "mean")
    recent = by(made[made["age"] <= 84], "gap").mean()
    return (recent - usual) / (recent + usual)


def n_visits(shop: Shop, length: int = 10**6) -> Series:
    made = shop(visits)
    return size(made[made["age"] <= length])


def n_weeks(shop: Shop) -> Series:
    made = shop(visits)
    made = made[made["age"] <= 182]
    weeks: Series = by(made.assign(week=(made["age"].clip(lower=1) - 1) // 7), "week").nunique()
    return weeks


def n_kinds(shop: Shop, kind: str, condition: Callable[[pd.DataFrame], Series]) -> Series:
    made = shop(kinds, kind)
    return size(made[condition(made)])


def kind_share(shop: Shop, kind: str, condition: Callable[[pd.DataFrame], Series]) -> Series:
    return share(shop(n_kinds, kind, condition), size(shop(kinds, kind)))


def top(counts: pd.DataFrame) -> Series:
    return by(counts, "n").max() / by(counts, "n").sum()


def entropy(counts: pd.DataFrame) -> Series:
    shares = counts["n"] / by(counts, "n").transform("sum")
    return -(shares * np.log(shares)).groupby(counts["customer_id"]).sum()


def own_brands(shop: Shop) -> Series:
    made = shop(kinds, "brand")
    is_own = made["brand"].str.strip(" ").str.lower().isin(shop.words["own"])
    return share(by(made[is_own], "n").sum(), by(made, "n").sum())


_lost: Callable[[pd.DataFrame], Series] = lambda rows: rows["last"] > 84  # noqa: E731
FEATURES: dict[str, Callable[[Shop], Series]] = {
    **{f"n_orders_{length}d": (lambda shop, n=length: shop(n_orders, n)) for length in (7, 28, 84, 182, 364)},
    "n_orders": lambda shop: shop(n_orders),
    "n_orders_season": season,
    "orders_per_week": lambda shop: share(7 * shop(n_orders), by(shop(bought), "age").max()),
    "orders_trend": lambda shop: orders_change(shop, 28, 84),
    "orders_trend_182d": lambda shop: orders_change(shop, 91, 182),
    "orders_trend_364d": lambda shop: orders_change(shop, 182, 364),
    "coupon_182d_cents": lambda shop: by(shop(bought, 182), "coupon").sum(),
    "coupon_orders_share": lambda shop: orders_with(shop, 182, lambda rows: rows["coupon"] > 0),
    "coupon_recency_days": lambda shop: last_of(shop(bought)[shop(bought)["coupon"] > 0]),
    "discount_182d_cents": lambda shop: by(shop(bought, 182), "discount").sum(),
    "discount_share": discount_share,
    "discounted_orders_share": lambda shop: orders_with(shop, 182, lambda rows: rows["discount"] > 0),
    "line_value_mean_cents": line_value,
    "lines_per_order": lambda shop: order_mean(shop, 182, "n_sold"),
    "single_line_orders_share": lambda shop: orders_with(shop, 182, lambda rows: rows["n_sold"] == 1),
    "morning_share": lambda shop: orders_with(shop, 364, lambda rows: rows["at"].dt.hour < 12),
    "evening_share": lambda shop: orders_with(shop, 364, lambda rows: rows["at"].dt.hour >= 18),
    "weekend_share": lambda shop: orders_with(shop, 364, lambda rows: rows["at"].dt.day_of_week >= 5),
    "top_weekday_share": lambda shop: top(shop(weekdays)),
    "weekday_entropy": lambda shop: entropy(shop(weekdays)),
    "n_channels_364d": lambda shop: by(shop(bought, 364), "channel").nunique(),
    "n_stores_364d": lambda shop: by(shop(bought, 364), "store_id").nunique(),
    "online_share": online,
    "order_value_max_cents": lambda shop: by(shop(bought, 364), "spend").max(),
    "order_value_mean_cents": lambda shop: order_mean(shop, 364, "spend"),
    "order_value_median_cents": lambda shop: by(shop(bought, 364), "spend").median(),
    "order_value_ratio": lambda shop: order_mean(shop, 84, "sold") / order_mean(shop, 364, "sold").replace(0, np.nan),
    "n_returned_lines_364d": lambda shop: by(shop(all_within, 364), "n_returned").sum(),
    "return_orders_share": orders_back,
    "return_recency_days": lambda shop: last_of(shop(orders)[shop(orders)["n_returned"] > 0]),
    "returned_lines_share": lines_back,
    "returned_value_ratio": value_back,
    **{f"spend_{length}d_cents": (lambda shop, n=length: shop(spend, n)) for length in (7, 28, 84, 182, 364)},
    "spend_total_cents": lambda shop: shop(spend),
    "spend_trend": lambda shop: spend_change(shop, 28, 84),
    "spend_trend_182d": lambda shop: spend_change(shop, 91, 182),
    "spend_trend_364d": lambda shop: spend_change(shop, 182, 364),
    "spend_per_day_cents": lambda shop: shop(spend) / shop(tenure).where(shop(tenure) > 0),
    "recency_days": lambda shop: shop(recency),
    "tenure_days": lambda shop: shop(tenure),
    "active_span_days": lambda shop: shop(tenure) - shop(recency),
    "is_new": lambda shop: shop(tenure) <= 84,
    "recency_share": lambda shop: share(shop(recency), shop(tenure)),
    "recency_to_gap_ratio": lambda shop: shop(recency) / shop(gap, "median"),
    "recency_to_gap_max_ratio": lambda shop: shop(recency) / shop(gap, "max"),
    "recency_in_deviations": in_deviations,
    "gap_mean_days": lambda shop: shop(gap, "mean"),
    "gap_median_days": lambda shop: shop(gap, "median"),
    "gap_deviation_days": lambda shop: shop(gap, "std"),
    "gap_max_days": lambda shop: shop(gap, "max"),
    "gap_last_days": lambda shop: shop(gap, "first"),
    "gap_variation": lambda shop: shop(gap, "std") / shop(gap, "mean"),
    "gap_trend": gap_trend,
    "n_purchase_days": n_visits,
    "n_purchase_days_84d": lambda shop: n_visits(shop, 84),
    "n_active_weeks_182d": n_weeks,
    "n_categories_182d": lambda shop: size(shop(kinds, "category")),
    "n_categories_84d": lambda shop: n_kinds(shop, "category", lambda rows: rows["last"] <= 84),
    "n_lost_categories": lambda shop: shop(n_kinds, "category", _lost),
    "lost_categories_share": lambda shop: kind_share(shop, "category", _lost),
    "new_categories_share": lambda shop: kind_share(shop, "category", lambda rows: rows["first"] <= 84),
    "repeat_categories_share": lambda shop: kind_share(shop, "category", lambda rows: rows["n"] >= 2),
    "top_category_share": lambda shop: top(shop(kinds, "category")),
    "category_entropy": lambda shop: entropy(shop(kinds, "category")),
    "n_brands_182d": lambda shop: size(shop(kinds, "brand")),
    "top_brand_share": lambda shop: top(shop(kinds, "brand")),
    "brand_entropy": lambda shop: entropy(shop(kinds, "brand")),
    "own_brand_share": own_brands,
    "top_store_share": lambda shop: top(shop(kinds, "store_id")),
    "store_entropy": lambda shop: entropy(shop(kinds, "store_id")),
}
