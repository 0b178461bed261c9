"""What to offer: every method of the room on the published split of Complete Journey, and what each adds.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_offers.py --month 11
    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_offers.py --month 12 --level type

Trained on everything before the month (store time), judged on it: ``next`` is a household's first basket of the month,
``new`` what it bought in the month and never before. Methods and constants were chosen on ``--month 11`` and earlier;
December is the published test. Recall and NDCG at 10 are means over households with a 95 % interval; differences to
the best simple method are paired by household. At product level offers are the most bought products (targets over
all), as the item-item models of the published figures.
"""

import argparse
import json
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import show

from models.basket import Incidence
from models.offer_components import Standing, neighbour_scores, standing
from models.offer_ranker import Kind, Lesson, learn_ranker
from models.recommend import Purchases, encode_purchases, gains, log_scores, situation, spend

DATA = Path(__file__).parents[3] / "shared" / "data" / "completejourney"
LEVELS = {"cat": "product_category", "type": "product_type", "prod": "product_id"}
RIDGE = {"cat": 1_000.0, "type": 3_000.0, "prod": 1_000.0}
HORIZON, LOOKBACK = 30, 365
CHUNK = 512
TARGETS = {
    "type": "next recall > .269, NDCG > .330; new recall > .0767, NDCG > .1136",
    "prod": "next NDCG > .223; new recall > .0203, NDCG > .0583",
}
Found = dict[str, tuple[np.ndarray, np.ndarray]]


def main() -> None:
    """Print a table for each kind, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", choices=sorted(LEVELS), default="type")
    parser.add_argument("--month", type=int, default=11, help="judged month of 2017")
    parser.add_argument("--lessons", type=int, default=5, help="instants to learn from, half a horizon apart")
    parser.add_argument("--most", type=int, default=5_000, help="products that may be offered")
    parser.add_argument("--kinds", nargs="*", default=["explore", "repeat"])
    asked = parser.parse_args()
    at = datetime(2017, asked.month, 1)
    end = datetime(2017, asked.month + 1, 1) if asked.month < 12 else datetime(2018, 1, 1)
    lines = shopping(LEVELS[asked.level])
    result: dict[str, object] = {"level": asked.level, "month": asked.month}
    for kind in asked.kinds:
        result[kind] = contest(lines, (at, end), kind, asked)
    print(TARGETS.get(asked.level, ""))
    print(json.dumps(result))


def contest(lines: pd.DataFrame, month: tuple[datetime, datetime], kind: Kind, asked: argparse.Namespace) -> object:
    """Learn from the months before, judge every method on the month, and print what came of it."""
    began, at = time.process_time(), month[0]
    # Past a few thousand categories the neighbours do not fit: what is new is ranked among the most bought, what is
    # known among all, without neighbours.
    is_wide = asked.level == "prod"
    purchases = encode_purchases(offerable(lines, at, asked.most) if is_wide and kind == "explore" else lines)
    ridge, lessons = None if is_wide and kind == "repeat" else RIDGE[asked.level], []
    for then in (at - timedelta(days=HORIZON + 15 * j) for j in range(asked.lessons)):
        state = described(purchases, then, ridge)
        lesson = Lesson(state, truth_of(purchases, state, (then, then + timedelta(days=HORIZON)), kind))
        lesson.taught(kind)
        lesson.state = state = None  # Three tables of categories by categories each: only what was read is kept.
        lessons.append(lesson)
    ranker = learn_ranker(kind, lessons, seed=0, max_rows=200_000)
    del lessons
    now = described(purchases, at, ridge)
    truth, extra = truth_of(purchases, now, month, kind), beyond(lines, purchases, now, month, kind)
    scores = explored(now) if kind == "explore" else repeated(now, with_neighbours=ridge is not None)
    scores["stacked ranker"] = lambda rows: ranker.log_scores(now, rows)
    found = {name: measured(score, truth, extra) for name, score in scores.items()}
    return report(kind, found, time.process_time() - began)


def shopping(column: str) -> pd.DataFrame:
    """Return order lines by category in store time; lines without a label are dropped."""
    lines = pd.read_parquet(
        DATA / "transactions.parquet",
        columns=["household_id", "basket_id", "product_id", "transaction_timestamp", "sales_value"],
    )
    if column != "product_id":
        products = pd.read_parquet(DATA / "products.parquet", columns=["product_id", column])
        lines = lines.merge(products, on="product_id").dropna(subset=[column])
    local = lines["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.tz_localize(None)
    lines = lines.assign(event_time=local, amount_cents=(lines["sales_value"] * 100).round().astype(np.int64))
    grouped = lines.groupby(["basket_id", column], as_index=False).agg(
        customer_id=("household_id", "min"), event_time=("event_time", "min"), amount_cents=("amount_cents", "sum")
    )
    names = {"basket_id": "order_id", column: "category"}
    return grouped.rename(columns=names).assign(event_time=lambda x: x["event_time"].astype("datetime64[us]"))


def offerable(lines: pd.DataFrame, at: datetime, most: int) -> pd.DataFrame:
    """Keep the products that most households bought before the judged month."""
    before = lines[lines["event_time"] < at].drop_duplicates(["customer_id", "category"])
    n_buyers = before.groupby("category").size().sort_values(ascending=False, kind="stable")
    return lines[lines["category"].isin(n_buyers.index[:most])]


def described(purchases: Purchases, at: datetime, ridge: float | None) -> Standing:
    """Return what was known at an instant."""
    known = situation(purchases, at, horizon_days=HORIZON, lookback_days=LOOKBACK, ridge=ridge)
    return standing(purchases, known, at, horizon_days=HORIZON, lookback_days=LOOKBACK)


def truth_of(purchases: Purchases, state: Standing, window: tuple[datetime, datetime], kind: Kind) -> Incidence:
    """Return households by categories: their next basket, or what was new to them."""
    rows = purchases.between(*window)
    if kind == "repeat":
        orders = pd.DataFrame({"c": purchases.customer[rows], "o": purchases.order[rows], "t": purchases.times[rows]})
        first = orders.sort_values(["t", "o"]).groupby("c")["o"].first()
        rows &= np.isin(purchases.order, first.to_numpy())
    bought = spend(purchases, rows)[state.known.rows]
    bought.data = np.ones(bought.nnz, dtype=np.uint8)
    if kind == "explore":
        bought = (bought > bought.multiply(state.known.owned)).astype(np.uint8)
        bought = bought.multiply((state.known.popularity > 0).astype(np.uint8)).tocsr()
        bought.eliminate_zeros()
    return bought


def beyond(
    lines: pd.DataFrame, purchases: Purchases, state: Standing, month: tuple[datetime, datetime], kind: Kind
) -> np.ndarray:
    """Return each household's targets among products that are never offered: nobody can hit them, all must count."""
    when = lines["event_time"]
    before, after = lines[when < month[0]], lines[(when >= month[0]) & (when < month[1])]
    known = after[after["category"].isin(before["category"].unique())]
    if kind == "repeat":
        first = after.sort_values(["event_time", "order_id"]).groupby("customer_id")["order_id"].first()
        known = known[known["order_id"].isin(first)]
    known = known[~known["category"].isin(purchases.categories)].drop_duplicates(["customer_id", "category"])
    if kind == "explore":
        owned = pd.MultiIndex.from_frame(before[["customer_id", "category"]])
        known = known[~pd.MultiIndex.from_frame(known[["customer_id", "category"]]).isin(owned)]
    n = known.groupby("customer_id").size()
    return n.reindex(purchases.customers[state.known.rows]).fillna(0).to_numpy(dtype=np.int64)


def explored(now: Standing) -> dict[str, object]:
    """Return the methods for what is new to a household, by name."""
    known = now.known
    facts = {"popularity": 0, "adoption, two horizons": 3, "popularity, one horizon": 5}

    def new(score: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.where((known.owned[rows].toarray() > 0), -np.inf, score)

    found: dict[str, object] = {
        name: (lambda rows, column=column: new(np.tile(now.items[:, column], (len(rows), 1)), rows))
        for name, column in facts.items()
    }
    for name in ("ease", "item_knn", "user_knn", "ease_counts", "tifu_neighbours"):
        found[name] = lambda rows, name=name: new(neighbour_scores(now, rows)[name], rows)
    found["ease x adoption"] = lambda rows: log_scores(known, "ease", rows)
    return found


def repeated(now: Standing, *, with_neighbours: bool) -> dict[str, object]:
    """Return the methods for the next basket, by name."""
    held = now.held

    def dense(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        # Popularity orders what a household never bought, and breaks ties.
        return now.entries(values, rows).toarray() + 1e-6 * np.exp(now.items[:, 4])

    def tifu(rows: np.ndarray) -> np.ndarray:
        return 0.7 * dense(held.tifu, rows) + 0.3 * neighbour_scores(now, rows)["tifu_neighbours"]

    found = {
        "popularity": lambda rows: np.tile(now.items[:, 4], (len(rows), 1)),
        "personal frequency": lambda rows: dense(held.count, rows),
        "half-life of 2 horizons": lambda rows: dense(held.decayed[3], rows),
        "half-life of 4 horizons": lambda rows: dense(held.decayed[4], rows),
    }
    # Without neighbours TIFU-KNN is its own vector alone.
    return found | ({"TIFU-KNN": tifu} if with_neighbours else {"TIFU, own": lambda rows: dense(held.tifu, rows)})


def measured(score: object, truth: Incidence, beyond_reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return NDCG and recall at 10 of each household with a target, reachable or not."""
    found = []
    for low in range(0, truth.shape[0], CHUNK):
        rows = np.arange(low, min(low + CHUNK, truth.shape[0]))
        extra = np.zeros((len(rows), max(1, int(beyond_reach.max(initial=0)))), dtype=np.uint8)
        extra[np.arange(extra.shape[1]) < beyond_reach[rows][:, None]] = 1
        scores = np.concatenate([score(rows), np.full(extra.shape, -np.inf)], axis=1)
        found.append(gains(scores, np.concatenate([truth[rows].toarray(), extra], axis=1)))
    return tuple(np.concatenate([part[k] for part in found]) for k in (0, 1))


def report(kind: Kind, found: Mapping[str, tuple[np.ndarray, np.ndarray]], seconds: float) -> dict[str, object]:
    """Print each method with its interval, and the ranker's paired difference to the best other one."""
    rows, values = [], {}
    for name, (ndcg, recall) in found.items():
        values[name] = {"recall": interval(recall), "ndcg": interval(ndcg)}
        rows.append([name, *(f"{v:.4f} [{a:.4f}, {b:.4f}]" for v, a, b in values[name].values())])
    others = {name: values[name]["ndcg"][0] for name in found if name != "stacked ranker"}
    best = max(others, key=lambda name: (others[name], name))
    simple = "popularity" if kind == "explore" else "personal frequency"
    for other in dict.fromkeys((simple, best)):
        gap = [interval(one - two) for one, two in zip(found["stacked ranker"], found[other], strict=True)]
        values[f"ranker minus {other}"] = {"recall": gap[1], "ndcg": gap[0]}
        rows.append([f"ranker minus {other}", *(f"{v:+.4f} [{a:+.4f}, {b:+.4f}]" for v, a, b in gap[::-1])])
    n = int((~np.isnan(found["stacked ranker"][0])).sum())
    show(f"{kind}, {n:,} households, {seconds:.0f} CPU s", ["method", "recall@10", "NDCG@10"], rows)
    return values | {"households": n, "cpu_seconds": round(seconds, 1)}


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over households with targets and its normal 95 % interval."""
    there = values[~np.isnan(values)]
    reach = 1.96 * there.std(ddof=1) / len(there) ** 0.5
    return round(float(there.mean()), 5), round(float(there.mean() - reach), 5), round(float(there.mean() + reach), 5)


if __name__ == "__main__":
    main()
