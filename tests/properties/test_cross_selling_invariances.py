"""Rules in odd worlds: freaks change nothing that they should not, the calendar and the order of rows mean nothing."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from models.basket import encode_baskets, least_count
from models.counting import cap_baskets, frequent_pairs, plan_counting
from models.rules import mine_rules

AS_OF, CONFIRM_FROM = datetime(2018, 1, 1), datetime(2017, 10, 1)


def independent(seed: int, n_orders: int = 1_500, n_items: int = 20, n_households: int = 300) -> pd.DataFrame:
    """Every category is in a basket by its own lot, so every rule is false."""
    rng = np.random.default_rng(seed)
    held = rng.random((n_orders, n_items)) < np.linspace(0.03, 0.4, n_items)
    order, item = np.nonzero(held)
    when = np.datetime64("2017-01-01", "us") + (order * (364 * 24 * 60) // n_orders).astype("timedelta64[m]")
    return pd.DataFrame({
        "order_id": [f"o{i:05}" for i in order], "customer_id": [f"c{i % n_households:03}" for i in order],
        "category": [f"k{j:02}" for j in item], "event_time": when,
    })  # fmt: skip


def mined(lines: pd.DataFrame, as_of: datetime = AS_OF, confirm_from: datetime = CONFIRM_FROM):
    return mine_rules(encode_baskets(lines), as_of, confirm_from, min_support=0.003, min_confidence=0.05)


def with_freaks(lines: pd.DataFrame) -> pd.DataFrame:
    """Add a customer with as many orders as all others together, and a basket of 2,000 categories."""
    rng = np.random.default_rng(9)
    n = 1_500
    held = rng.random((n, 20)) < np.linspace(0.03, 0.4, 20)
    order, item = np.nonzero(held)
    day = np.datetime64("2017-01-01", "us") + (order * (364 * 24 * 60) // n).astype("timedelta64[m]")
    busy = pd.DataFrame({"order_id": [f"busy {i}" for i in order], "customer_id": "busy", "event_time": day,
                         "category": [f"k{j:02}" for j in item]})  # fmt: skip
    freak = pd.DataFrame({"order_id": "freak", "customer_id": "freak", "event_time": np.datetime64("2017-05-01", "us"),
                          "category": [f"k{j:02}" if j < 20 else f"odd {j}" for j in range(2_000)]})  # fmt: skip
    return pd.concat([lines, busy, freak], ignore_index=True)


def planted(seed: int) -> pd.DataFrame:
    lines = independent(seed)
    orders = lines.drop_duplicates("order_id")
    chosen = orders[np.random.default_rng(seed).random(len(orders)) < 0.12]
    both = pd.concat([chosen.assign(category="k03"), chosen.assign(category="k07")])
    return pd.concat([lines, both], ignore_index=True).drop_duplicates(["order_id", "category"])


def test_freaks_do_not_take_the_rule_away_and_memory_stays_planned() -> None:
    lines = planted(1)
    plain, odd = mined(lines)[0], mined(with_freaks(lines))[0]
    survivors = [set(zip(r["antecedents"], r["consequents"], strict=True)) for r in
                 (plain[plain["is_confirmed"]], odd[odd["is_confirmed"]])]  # fmt: skip
    assert ("k03", "k07") in survivors[0]
    assert survivors[0] == survivors[1]
    baskets = encode_baskets(with_freaks(lines))
    least = least_count(0.003, baskets.n_baskets)
    # The odd categories of one basket are not frequent: they cost nothing.
    assert plan_counting(baskets.matrix, least).n_frequent == 20
    assert plan_counting(baskets.matrix, least).memory_bytes < 4 * 2**20
    capped, report = cap_baskets(baskets, 100)
    assert report.n_left_out == 1
    assert report.share_of_pairs > 0.95
    counts = [
        dict(zip(zip(found.first, found.second, strict=True), found.n_both, strict=True))
        for found in (frequent_pairs(each.matrix, 1) for each in (baskets, capped))
    ]
    assert all(0 <= n - counts[1].get(pair, 0) <= 1 for pair, n in counts[0].items())


@pytest.mark.parametrize("change", ["calendar", "order"])
def test_rules_do_not_depend_on_the_calendar_or_the_order_of_rows(change: str) -> None:
    lines = planted(2)
    shift = timedelta(days=365 if change == "calendar" else 0)
    other = lines.assign(event_time=lines["event_time"] + shift).sample(frac=1, random_state=3)
    one, two = mined(lines)[0], mined(other, AS_OF + shift, CONFIRM_FROM + shift)[0]
    pd.testing.assert_frame_equal(one.drop(columns="as_of"), two.drop(columns="as_of"))
    assert (two["as_of"] - one["as_of"] == shift).all()
