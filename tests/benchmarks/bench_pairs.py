"""Count pairs of categories and measure their rules: regulars against mlxtend and every peer that is installed.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_pairs.py --mlxtend type:0.01 cat:0.01
    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_pairs.py --baskets 10000000 --items 100000

Complete Journey at three levels, each peer from its own form of the same baskets, all counts compared. CPU seconds,
best of several runs in one process, one thread each; mlxtend once, and only the cells asked for (product level would
take 10 GB of memory: its published times are in the references). ``--baskets`` counts simulated baskets of seven with
a popularity like a grocer's instead, and prints the plan beforehand and the peak of memory after.
"""

import argparse
import importlib.util
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from measuring import show, warn_if_busy
from mlxtend.frequent_patterns import association_rules, fpgrowth
from scipy import sparse

from models.basket import least_count
from models.counting import frequent_pairs, plan_counting
from models.rule_measures import measured, pair_rules

DATA = Path(__file__).parents[3] / "shared" / "data" / "completejourney"
LEVELS = {"cat": "product_category", "type": "product_type", "prod": "product_id"}
SUPPORTS = (0.01, 0.001, 0.0005)
PEERS = ("polars", "numba", "rusket", "fim", "fastapriori", "efficient_apriori")
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def main() -> None:
    """Print a table for every level and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlxtend", nargs="*", default=["cat:0.01", "type:0.01", "type:0.001"], metavar="LEVEL:SHARE")
    parser.add_argument("--baskets", type=int)
    parser.add_argument("--items", type=int, default=100_000)
    asked = parser.parse_args()
    warn_if_busy()
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    print("not installed, so not measured:", ", ".join(missing) or "none")
    if asked.baskets:
        found = many(asked.baskets, asked.items)
        show("Many baskets", ["what", "value"], [[name, f"{value:,.2f}"] for name, value in found.items()])
        print(json.dumps(found))
        return
    result: dict[str, Any] = {}
    rows = []
    for level, column in LEVELS.items():
        matrix = baskets(column)
        for support in SUPPORTS:
            cell = f"{level}:{support}"
            took = compared(matrix, support, with_mlxtend=cell in asked.mlxtend)
            result[cell] = took
            rows.append([cell, *(f"{took[name]:.4f}" if name in took else "-" for name in NAMES)])
    show("Pairs, CPU seconds", ["cell", *NAMES], rows)
    rules = rule_speed(baskets(LEVELS["cat"]))
    show("Rules", ["what", "value"], [[name, f"{value:,.4f}"] for name, value in rules.items()])
    print(json.dumps(result | rules))


NAMES = ("regulars", "scipy", "duckdb", "polars", "mlxtend")


def baskets(column: str) -> sparse.csr_array:
    """Return the distinct items of each basket as 0 and 1; lines without a label are dropped."""
    lines = pd.read_parquet(DATA / "transactions.parquet", columns=["basket_id", "product_id"])
    if column != "product_id":
        lines = lines.merge(pd.read_parquet(DATA / "products.parquet", columns=["product_id", column]), on="product_id")
    lines = lines.dropna(subset=[column])
    rows, columns = pd.factorize(lines["basket_id"])[0], pd.Categorical(lines[column]).codes.astype(np.int64)
    matrix = sparse.coo_array((np.ones(len(lines), np.int32), (rows, columns))).tocsr()
    matrix.data = np.ones(matrix.nnz, np.uint8)
    return matrix


def compared(matrix: sparse.csr_array, support: float, *, with_mlxtend: bool) -> dict[str, float]:
    """Return the CPU seconds of every way, whose pairs and counts must be equal."""
    least = least_count(support, matrix.shape[0])
    found = frequent_pairs(matrix, least)
    expected = (found.first, found.second, found.n_both)
    ways = {"regulars": lambda: _ours(matrix, least), "scipy": lambda: _scipy(matrix, least)}
    ways |= {"duckdb": _duckdb(matrix, least)}
    if importlib.util.find_spec("polars"):
        ways["polars"] = _polars(matrix, least)
    took = {}
    for name, way in ways.items():
        took[name], pairs = best_of(3, way)
        assert all(np.array_equal(one, other) for one, other in zip(pairs, expected, strict=True)), name
    if with_mlxtend:
        frame = pd.DataFrame.sparse.from_spmatrix(matrix.astype(bool))
        took["mlxtend"], sets = best_of(1, lambda: fpgrowth(frame, (least - 0.5) / matrix.shape[0], max_len=2))
        assert int((sets["itemsets"].map(len) == 2).sum()) == len(found.n_both)
    return took


def best_of(n_runs: int, way: Callable[[], Any]) -> tuple[float, Any]:
    """Return the least CPU seconds of some runs, and the result."""
    least, result = float("inf"), None
    for _ in range(n_runs):
        began = time.process_time()
        result = way()
        least = min(least, time.process_time() - began)
    return least, result


def _ours(matrix: sparse.csr_array, least: int) -> Pairs:
    found = frequent_pairs(matrix, least)
    return found.first, found.second, found.n_both


def _scipy(matrix: sparse.csr_array, least: int) -> Pairs:
    frequent = np.flatnonzero(np.bincount(matrix.indices, minlength=matrix.shape[1]) >= least)
    narrow = matrix[:, frequent].astype(np.int32)
    product = (narrow.T @ narrow).tocoo()
    row, column = product.coords
    keep = (row < column) & (product.data >= least)
    return _in_order(frequent[row[keep]], frequent[column[keep]], product.data[keep])


def _in_order(first: np.ndarray, second: np.ndarray, n_both: np.ndarray) -> Pairs:
    order = np.lexsort((second, first))
    return first[order].astype(np.int64), second[order].astype(np.int64), n_both[order].astype(np.int64)


def _duckdb(matrix: sparse.csr_array, least: int) -> Callable[[], Pairs]:
    connection = duckdb.connect()
    connection.execute("set threads = 1")
    basket, item = matrix.tocoo().coords
    lines = pd.DataFrame({"basket": basket.astype(np.int32), "item": item.astype(np.int32)})
    connection.register("lines", lines)
    connection.execute("create table x as select * from lines")
    query = f"""
        with frequent as (select item from x group by item having count(*) >= {least}),
             y as (select x.* from x semi join frequent using (item))
        select a.item as first, b.item as second, count(*) as n from y a join y b
        on a.basket = b.basket and a.item < b.item group by all having count(*) >= {least}"""
    return lambda: _in_order(*connection.execute(query).fetchnumpy().values())


def _polars(matrix: sparse.csr_array, least: int) -> Callable[[], Pairs]:
    import polars as pl  # noqa: PLC0415 - a peer that need not be installed

    basket, item = matrix.tocoo().coords
    lines = pl.DataFrame({"basket": basket.astype(np.int32), "item": item.astype(np.int32)})

    def counted() -> Pairs:
        frequent = lines.group_by("item").len().filter(pl.col("len") >= least).select("item")
        kept = lines.join(frequent, on="item", how="semi")
        both = kept.join(kept, on="basket", suffix="_2").filter(pl.col("item") < pl.col("item_2"))
        found = both.group_by("item", "item_2").len().filter(pl.col("len") >= least)
        return _in_order(*(found[name].to_numpy() for name in ("item", "item_2", "len")))

    return counted


def rule_speed(matrix: sparse.csr_array) -> dict[str, float]:
    """Return what all measures with both tests take, and mlxtend's measures alone, on equal pairs and for 100,000."""
    n = matrix.shape[0]
    pairs = frequent_pairs(matrix, least_count(0.001, n))
    sets = [frozenset([i]) for i in np.flatnonzero(pairs.single)] + [
        frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    ]
    counts = np.concatenate([pairs.single[pairs.single > 0], pairs.n_both])
    frame = pd.DataFrame({"support": counts / n, "itemsets": pd.Series(sets, dtype=object)})
    ours, (measures, _, _) = best_of(5, lambda: measured(pair_rules(pairs, n, 1e-9), len(pairs.n_both)))
    theirs, rules = best_of(2, lambda: association_rules(frame, metric="support", min_threshold=0.0))
    assert len(rules) == len(measures)
    assert np.allclose(np.sort(rules["lift"]), np.sort(measures["lift"]))
    wide = frequent_pairs(matrix, 5)
    hundred, (candidates, _, _) = best_of(3, lambda: measured(pair_rules(wide, n, 1e-9), len(wide.n_both)))
    per_rule = hundred / len(candidates)
    return {
        "rules": float(len(rules)),
        "regulars": ours,
        "mlxtend": theirs,
        "ratio": theirs / ours,
        "per_100k": 1e5 * per_rule,
    }


def many(n_baskets: int, n_items: int) -> dict[str, float]:
    """Count the pairs of simulated baskets; the plan is printed before, the peak of memory is read after."""
    matrix = simulated(n_baskets, n_items)
    least = least_count(0.0005, n_baskets)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    plan = plan_counting(matrix, least)
    print(plan)
    began = time.process_time()
    found = frequent_pairs(matrix, least)
    seconds = time.process_time() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "baskets": float(n_baskets),
        "frequent pairs": float(len(found.n_both)),
        "CPU seconds": seconds,
        "planned MiB": plan.memory_bytes / 2**20,
        "peak MiB above the baskets": after - before,
    }


def simulated(n_baskets: int, n_items: int) -> sparse.csr_array:
    """Return baskets of about seven items; item k sells about as often as 1 / (k + 20)."""
    rng = np.random.default_rng(0)
    share = np.cumsum(1 / (np.arange(n_items) + 20))
    parts = []
    for size in np.full(-(-n_baskets // 500_000), 500_000):
        n = min(int(size), n_baskets - 500_000 * len(parts))
        drawn = np.searchsorted(share, rng.random((n, 8), dtype=np.float32) * share[-1]).astype(np.int32)
        drawn.sort(axis=1)
        is_new = np.concatenate([np.ones((n, 1), bool), drawn[:, 1:] != drawn[:, :-1]], axis=1)
        parts.append((np.minimum(drawn, n_items - 1)[is_new], is_new.sum(axis=1)))
    items = np.concatenate([part[0] for part in parts])
    ends = np.concatenate([[0], np.cumsum(np.concatenate([part[1] for part in parts]))])
    return sparse.csr_array((np.ones(len(items), np.uint8), items, ends), shape=(n_baskets, n_items))


if __name__ == "__main__":
    main()
