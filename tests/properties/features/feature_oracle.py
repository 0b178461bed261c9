"""Every feature once more, in plain Python over pandas rows, sharing no line with the package.

One function per feature, from a ``Past`` (what one customer's rows looked like at one ``as_of``) to a number or None.
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

FUNCTIONS: dict[str, Callable[["Past"], float | None]] = {}


class Past:
    """The rows of one customer that were known at one instant."""

    def __init__(
        self,
        lines: pd.DataFrame,
        contacts: pd.DataFrame,
        others: dict[str, pd.DataFrame],
        as_of: datetime,
        timezone: str,
    ) -> None:
        self.as_of = as_of
        self.today = as_of.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(timezone)).date()
        self.lines = lines.to_dict("records")
        self.contacts = contacts.to_dict("records")
        self.statements, self.versions, self.profile = (
            others[name].to_dict("records") for name in ("feedback", "subscriptions", "customers")
        )
        sold = {row["local_time"].date() for row in self.lines if row["quantity"] > 0}
        self.purchase_days = sorted(sold)
        self.gaps = [(b - a).days for a, b in zip(self.purchase_days, self.purchase_days[1:], strict=False)]
        orders = defaultdict(list)
        for row in self.lines:
            orders[row["order_id"]].append(row)
        self.orders = list(orders.values())

    def age(self, day: date) -> int:
        return (self.today - day).days

    def orders_within(self, days: int, *, bought: bool = True) -> list[list[dict]]:
        first = [(min(row["local_time"] for row in rows), rows) for rows in self.orders]
        recent = [rows for at, rows in first if self.age(at.date()) <= days]
        return [rows for rows in recent if any(row["quantity"] > 0 for row in rows)] if bought else recent

    def spend_within(self, days: int) -> int:
        return sum(row["amount_cents"] for row in self.lines if self.age(row["local_time"].date()) <= days)

    def category_counts(self, days: int) -> Counter:
        return Counter(
            row["category"]
            for row in self.lines
            if row["quantity"] > 0 and pd.notna(row["category"]) and self.age(row["local_time"].date()) <= days
        )

    def contact_days(self) -> list[int]:
        return [(self.as_of - row["contacted_at"].to_pydatetime()) // timedelta(days=1) for row in self.contacts]


def oracle(function: Callable[[Past], float | None]) -> Callable[[Past], float | None]:
    FUNCTIONS[function.__name__] = function
    return function


def _number(value: object) -> int:
    return 0 if pd.isna(value) else int(value)


def _value(rows: list[dict]) -> int:
    return sum(row["amount_cents"] for row in rows)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _change(recent: float, before: float) -> float | None:
    return (recent - before) / (recent + before) if recent + before > 0 else None


@oracle
def recency_days(past: Past) -> float | None:
    return past.age(past.purchase_days[-1]) if past.purchase_days else None


@oracle
def recency_to_gap_ratio(past: Past) -> float | None:
    return past.age(past.purchase_days[-1]) / statistics.median(past.gaps) if past.gaps else None


@oracle
def gap_mean_days(past: Past) -> float | None:
    return statistics.fmean(past.gaps) if past.gaps else None


@oracle
def gap_median_days(past: Past) -> float | None:
    return statistics.median(past.gaps) if past.gaps else None


@oracle
def gap_deviation_days(past: Past) -> float | None:
    return statistics.stdev(past.gaps) if len(past.gaps) > 1 else None


@oracle
def gap_variation(past: Past) -> float | None:
    return statistics.stdev(past.gaps) / statistics.fmean(past.gaps) if len(past.gaps) > 1 else None


@oracle
def gap_max_days(past: Past) -> float | None:
    return max(past.gaps, default=None)


@oracle
def n_orders_7d(past: Past) -> float | None:
    return len(past.orders_within(7))


@oracle
def n_orders_28d(past: Past) -> float | None:
    return len(past.orders_within(28))


@oracle
def n_orders_84d(past: Past) -> float | None:
    return len(past.orders_within(84))


@oracle
def n_orders_182d(past: Past) -> float | None:
    return len(past.orders_within(182))


@oracle
def n_orders_364d(past: Past) -> float | None:
    return len(past.orders_within(364))


@oracle
def n_purchase_days(past: Past) -> float | None:
    return len(past.purchase_days)


@oracle
def orders_trend(past: Past) -> float | None:
    recent, all_of_it = len(past.orders_within(28)), len(past.orders_within(84))
    return _change(recent / 28, (all_of_it - recent) / 56)


@oracle
def spend_28d_cents(past: Past) -> float | None:
    return past.spend_within(28)


@oracle
def spend_84d_cents(past: Past) -> float | None:
    return past.spend_within(84)


@oracle
def spend_182d_cents(past: Past) -> float | None:
    return past.spend_within(182)


@oracle
def spend_364d_cents(past: Past) -> float | None:
    return past.spend_within(364)


@oracle
def spend_trend(past: Past) -> float | None:
    recent, all_of_it = past.spend_within(28), past.spend_within(84)
    return _change(2 * recent, all_of_it - recent)


@oracle
def order_value_mean_cents(past: Past) -> float | None:
    values = [_value(rows) for rows in past.orders_within(364)]
    return sum(values) / len(values) if values else None


@oracle
def order_value_max_cents(past: Past) -> float | None:
    return max((_value(rows) for rows in past.orders_within(364)), default=None)


@oracle
def tenure_days(past: Past) -> float | None:
    return past.age(past.purchase_days[0]) if past.purchase_days else None


@oracle
def lines_per_order(past: Past) -> float | None:
    orders = past.orders_within(182)
    return _ratio(sum(row["quantity"] > 0 for rows in orders for row in rows), len(orders))


@oracle
def returned_lines_share(past: Past) -> float | None:
    rows = [row for rows in past.orders_within(182, bought=False) for row in rows if row["quantity"] != 0]
    return _ratio(sum(row["quantity"] < 0 for row in rows), len(rows))


@oracle
def n_categories_84d(past: Past) -> float | None:
    return len(past.category_counts(84))


@oracle
def category_entropy(past: Past) -> float | None:
    counts = past.category_counts(182)
    shares = [count / counts.total() for count in counts.values()]
    return -math.fsum(share * math.log(share) for share in shares) if shares else None


@oracle
def top_category_share(past: Past) -> float | None:
    counts = past.category_counts(182)
    return _ratio(max(counts.values(), default=0), counts.total())


@oracle
def weekend_share(past: Past) -> float | None:
    starts = [min(row["local_time"] for row in rows) for rows in past.orders_within(364)]
    return _ratio(sum(at.strftime("%a") in {"Sat", "Sun"} for at in starts), len(starts))


@oracle
def evening_share(past: Past) -> float | None:
    starts = [min(row["local_time"] for row in rows) for rows in past.orders_within(364)]
    return _ratio(sum(at.time() >= time(18) for at in starts), len(starts))


@oracle
def n_stores_364d(past: Past) -> float | None:
    stores = [[row["store_id"] for row in rows if pd.notna(row["store_id"])] for rows in past.orders_within(364)]
    return len({min(names) for names in stores if names})


@oracle
def discount_share(past: Past) -> float | None:
    rows = [row for rows in past.orders_within(182, bought=False) for row in rows if row["quantity"] > 0]
    discount = sum(_number(row["discount_cents"]) for row in rows)
    whole = discount + sum(row["amount_cents"] + _number(row["coupon_cents"]) for row in rows)
    return discount / whole if whole > 0 else None


@oracle
def coupon_orders_share(past: Past) -> float | None:
    orders = past.orders_within(182)
    return _ratio(sum(sum(_number(row["coupon_cents"]) for row in rows) > 0 for rows in orders), len(orders))


@oracle
def n_campaigns_84d(past: Past) -> float | None:
    return sum(days < 84 for days in past.contact_days())


@oracle
def n_campaigns_182d(past: Past) -> float | None:
    return sum(days < 182 for days in past.contact_days())


@oracle
def contact_recency_days(past: Past) -> float | None:
    return min(past.contact_days(), default=None)


@oracle
def is_in_campaign(past: Past) -> float | None:
    return any(pd.isna(row["ends_on"]) or row["ends_on"] >= past.today for row in past.contacts)


def matrix(tables: dict[str, pd.DataFrame], as_ofs: Sequence[datetime], timezone: str) -> pd.DataFrame:
    """Return every feature for every customer known at every instant, indexed by both."""
    lines = tables["transactions"].merge(_with_usual_prices(tables["products"]), on="product_id", how="left")
    contacts = tables["contacts"].merge(tables["campaigns"], on="campaign_id", how="inner")
    for column in ("event_time", "known_at", "local_time"):
        lines[column] = pd.to_datetime(lines[column])
    contacts["contacted_at"] = pd.to_datetime(contacts["contacted_at"])
    people = {name: tables[name] for name in ("feedback", "subscriptions", "customers")}
    rows = []
    for as_of in as_ofs:
        known = lines[(lines["event_time"] < as_of) & (lines["known_at"] < as_of)]
        reached = contacts[(contacts["contacted_at"] < as_of) & (contacts["arm"] != "control")]
        reached = _known(reached, as_of)
        others = {name: _known(frame, as_of) for name, frame in people.items()}
        for customer, mine in known.groupby("customer_id"):
            theirs = {name: frame[frame["customer_id"] == customer] for name, frame in others.items()}
            past = Past(mine, reached[reached["customer_id"] == customer], theirs, as_of, timezone)
            values = {name: function(past) for name, function in FUNCTIONS.items()}
            rows.append({"customer_id": customer, "as_of": as_of} | values)
    frame = pd.DataFrame(rows, columns=["customer_id", "as_of", *FUNCTIONS])
    return frame.set_index(["customer_id", "as_of"]).astype("float64").sort_index()


def _known(rows: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Return the rows that a delivery had brought and no later one had replaced."""
    for column, holds in (("known_at", lambda at: at < as_of), ("replaced_at", lambda at: at >= as_of)):
        if column in rows:
            rows = rows[rows[column].map(lambda at, holds=holds: pd.isna(at) or holds(at)).astype(bool)]
    return rows


def _with_usual_prices(products: pd.DataFrame) -> pd.DataFrame:
    """Return the products with the median list price of their category, and nothing for those without a price."""
    products = products.reindex(columns=["product_id", "category", "brand", "list_price_cents"]).astype(object)
    prices = defaultdict(list)
    for row in products.to_dict("records"):
        if pd.notna(row["category"]) and pd.notna(row["list_price_cents"]) and row["list_price_cents"] > 0:
            prices[row["category"]].append(row["list_price_cents"])
    is_priced = [pd.notna(price) and price > 0 for price in products["list_price_cents"]]
    usual = [
        statistics.median(prices[category]) if is_known and category in prices else None
        for category, is_known in zip(products["category"], is_priced, strict=True)
    ]
    return products.assign(usual_cents=pd.Series(usual, index=products.index, dtype=object))
