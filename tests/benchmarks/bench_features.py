"""Compute features on ten million lines: regulars against SQL, pandas and Polars by hand; all of them; many as_of.

    .venv/bin/python tests/benchmarks/bench_features.py
    .venv/bin/python tests/benchmarks/bench_features.py --scale 1 3 10 30 100

Every way runs in a process of its own with two threads. The features of ``feature_peers`` must be equal in all ways;
then every registered feature is computed at one ``as_of`` and at twelve monthly ones. Times are of computing
alone: from the Parquet files, but for pandas, which has its lines in memory already. CPU seconds suffer less than
seconds from what else the machine does. ``--scale`` takes millions of lines and fits how time grows with them; it says
first what room on disk it needs, and each size is written, measured and deleted before the next.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import feature_peers as peers
import numpy as np
import pandas as pd
from feature_lines import LINES_PER_CUSTOMER, write_lines
from measuring import Measured, measure, show, show_ratios, warn_if_busy

from data.demo import TIMEZONE
from data.engine import connect
from features.clock import local_date
from features.matrix import collect, plan

AS_OF = datetime(2018, 1, 1, 5)
MONTHS = [datetime(2017, month, 1, 5) for month in range(2, 13)] + [AS_OF]
LINE_BYTES, SPILL_BYTES = 9, 200
"""Disk that a line takes: as Parquet, and at most of the spill while features are computed."""
TABLES = ("transactions", "products", "campaigns", "contacts")
PEERS = peers.WAYS
WORDS = {
    "regulars": "regulars",
    "sql": "DuckDB SQL by hand",
    "polars": "Polars by hand",
    "shared_pandas": "pandas by hand, every group-by shared",
    "pandas": "pandas by hand, feature by feature",
    "all": "regulars, every feature",
    "months": "regulars, every feature, 12 as_of",
}


def main() -> None:
    """Measure each way in a process of its own and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=float, default=10, help="millions of lines for the comparison")
    parser.add_argument("--scale", type=float, nargs="+", help="millions of lines, to fit how time grows")
    parser.add_argument("--memory", default="2.2GB", help="memory that DuckDB may use before it spills")
    parser.add_argument("--folder", type=Path, help="keep the lines here and use those that are")
    parser.add_argument("--way", choices=WORDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(_run(given.way, given.folder, given.memory)))
        return
    warn_if_busy()
    with tempfile.TemporaryDirectory() as scratch:
        root = given.folder or Path(scratch)
        if given.scale:
            _grow(root, given.scale, given.memory, is_kept=given.folder is not None)
        else:
            _compare(_world(root, given.lines), given.memory)


def _world(root: Path, millions: float) -> Path:
    folder = root / f"{millions:g}M"
    if not folder.exists():
        # In a process of its own, that its memory is given back.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(write_lines, folder, round(millions * 1_000_000 / LINES_PER_CUSTOMER)).result()
    return folder


def _measured(way: str, folder: Path, memory: str) -> tuple[Measured, dict[str, Any]]:
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--memory", memory]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "POLARS_MAX_THREADS": "2"}
    ran = measure(command, env=environment)
    return ran, json.loads(ran.output.splitlines()[-1])


def _row(way: str, ran: Measured, told: dict[str, Any]) -> tuple[str, ...]:
    times = (f"{told['seconds']:.1f} s", f"{told['cpu_seconds']:.1f} s")
    return WORDS[way], str(told["n_features"]), f"{told['n_rows']:,}", *times, f"{ran.peak_mib:,.0f} MiB"


def _compare(folder: Path, memory: str) -> None:
    ways = [way for way in WORDS if way != "polars" or way in PEERS]
    results = {way: _measured(way, folder, memory) for way in ways}
    by_hand = [way for way in ways if way in PEERS]
    for way in by_hand:
        _check_equal(folder, way)
    columns = ("way", "features", "rows", "time", "CPU time", "peak memory")
    show(f"{folder.name} lines, equal results", columns, [_row(way, *results[way]) for way in ways])
    _show_plan()
    told = {way: result[1] for way, result in results.items()}
    ratios = {f"{way}_per_regulars_seconds": told[way]["seconds"] / told["regulars"]["seconds"] for way in by_hand}
    ratios |= {f"{way}_per_regulars_cpu": told[way]["cpu_seconds"] / told["regulars"]["cpu_seconds"] for way in by_hand}
    ratios |= {
        "all_seconds": told["all"]["seconds"],
        "all_cpu_seconds": told["all"]["cpu_seconds"],
        "all_memory_mib": results["all"][0].peak_mib,
        "months_per_one_seconds": told["months"]["seconds"] / told["all"]["seconds"],
        "months_per_one_cpu": told["months"]["cpu_seconds"] / told["all"]["cpu_seconds"],
    }
    show_ratios(ratios)


def _show_plan() -> None:
    columns = ("view", "reads", "features", "lookback")
    rows = [
        (one["view"], one["sources"], str(one["n_features"]), str(one["lookback"]).replace("<NA>", "all"))
        for one in plan().to_dict("records")
    ]
    show("The plan: one aggregate per view", columns, rows)


def _grow(root: Path, scale: list[float], memory: str, *, is_kept: bool) -> None:
    need = max(scale) * 1_000_000 * (LINE_BYTES + SPILL_BYTES)
    free = shutil.disk_usage(root).free
    print(f"{root}: at most {need / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free", flush=True)
    if need > free:
        sys.exit("not enough room: give another TMPDIR or --folder")
    results = {}
    for millions in scale:
        folder = _world(root, millions)
        results[millions] = _measured("all", folder, memory)
        if not is_kept:
            shutil.rmtree(folder)
    columns = ("lines", "features", "rows", "time", "CPU time", "peak memory")
    rows = [(f"{millions:g} million", *_row("all", *result)[1:]) for millions, result in results.items()]
    show("Every feature at one as_of", columns, rows)
    powers = {
        kind: float(np.polyfit(np.log(scale), np.log([told[kind] for _, told in results.values()]), 1)[0])
        for kind in ("seconds", "cpu_seconds")
    }
    peak = max(ran.peak_mib for ran, _ in results.values())
    show_ratios({f"growth_power_{kind}": power for kind, power in powers.items()} | {"peak_memory_mib": peak})


def _run(way: str, folder: Path, memory: str) -> dict[str, float]:
    today = local_date(AS_OF, TIMEZONE)
    compute = PEERS[way](folder, AS_OF, today) if way in PEERS else _by_regulars(way, folder, memory)
    began, cpu = time.perf_counter(), time.process_time()
    table = compute()
    told = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    if way == "regulars" or way in PEERS:
        (table if way in PEERS else table.to_pandas()).to_parquet(folder / f"{way}.result")
    return told | {"n_rows": len(table), "n_features": len(list(table.columns)) - (1 if way in PEERS else 2)}


def _by_regulars(way: str, folder: Path, memory: str) -> Any:
    backend = connect(threads=2, memory_limit=memory, spill=folder / "spill")
    files = {name: folder / (f"{name}/*.parquet" if name == "transactions" else f"{name}.parquet") for name in TABLES}
    tables = {name: backend.read_parquet(path) for name, path in files.items()}
    if way == "regulars":
        return lambda: collect(tables, [AS_OF], TIMEZONE, list(peers.NAMES))
    return lambda: collect(tables, MONTHS if way == "months" else [AS_OF], TIMEZONE)


def _check_equal(folder: Path, way: str) -> None:
    """Stop where a way has other customers or other numbers."""
    found = peers.unlike(*(pd.read_parquet(folder / f"{name}.result") for name in ("regulars", way)))
    if found:
        sys.exit(f"{way} has others than regulars: {'; '.join(found)}")


if __name__ == "__main__":
    main()
