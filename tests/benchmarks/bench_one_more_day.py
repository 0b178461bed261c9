"""One more day: a night on yesterday's snapshot and a day of lines, beside the same night from all lines at once.

    .venv/bin/python tests/benchmarks/bench_one_more_day.py --lines 10

Both validate, identify, and compute every feature at the training dates and at tonight's ``as_of``; their observations
must be the same to the byte. Then comes the night of the next Monday, on which the training dates move on. Each night
runs in a process of its own with two threads.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
from feature_lines import LINES_PER_CUSTOMER, write_lines
from measuring import Measured, measure, show, show_ratios, warn_if_busy

from data.demo import TIMEZONE
from data.sources import FilesSource, Sources, digest
from pipelines.identify import identify
from pipelines.ingest import ingest
from pipelines.observe import observe
from pipelines.run import Run
from pipelines.settings import Churn, Company, Engine, Settings

YESTERDAY, TONIGHT, MONDAY = datetime(2017, 12, 28, 5), datetime(2017, 12, 29, 5), datetime(2018, 1, 1, 5)
WAYS = {
    "before": ("the night before, from all lines", YESTERDAY),
    "day": ("one more day", TONIGHT),
    "whole": ("all lines at once", TONIGHT),
    "monday": ("the first night of a week", MONDAY),
}
STAGES = ("validate", "identify", "features")

_MAPPING = """
[transactions]
path = "*.parquet"
timezone = "UTC"
columns = { order_id = "order_id", customer_id = "customer_id", product_id = "product_id", event_time = "event_time", quantity = "quantity", channel = "channel", store_id = "store_id" }
money.amount_cents = { column = "amount_cents", unit = "minor" }
money.discount_cents = { column = "discount_cents", unit = "minor" }
money.coupon_cents = { column = "coupon_cents", unit = "minor" }
"""  # noqa: E501 - a line of the configuration

_DAY = """
COPY (SELECT order_id, customer_id, product_id, event_time, quantity, channel, store_id, amount_cents, discount_cents,
        coupon_cents
    FROM read_parquet('{world}/transactions/*.parquet')
    WHERE replaced_at IS NULL AND event_time >= TIMESTAMP '{since}' AND event_time < TIMESTAMP '{until}')
TO '{path}'
"""


def main() -> None:
    """Run the nights, each in a process of its own, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=float, default=10, help="millions of lines")
    parser.add_argument("--dates", type=int, default=12, help="past dates, four weeks apart")
    parser.add_argument("--memory", default="2.2GB", help="memory that DuckDB may use before it spills")
    parser.add_argument("--folder", type=Path, help="take the lines of bench_features.py that were kept here")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(_night(given.folder, given.way, given.memory, given.dates)))
        return
    warn_if_busy()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        world = (given.folder or scratch) / f"{given.lines:g}M"
        if not world.exists():
            write_lines(world, round(given.lines * 1_000_000 / LINES_PER_CUSTOMER))
        (scratch / "files").mkdir()
        results = {}
        for way, since, until in (
            ("before", datetime(1, 1, 1), YESTERDAY),
            ("day", YESTERDAY, TONIGHT),
            ("whole", TONIGHT, TONIGHT),
            ("monday", TONIGHT, MONDAY),
        ):
            if since < until:
                _deliver(world, scratch / "files" / f"{way}.parquet", since, until)
            results[way] = _measured(way, scratch, given.memory, given.dates)
    _tell(results)


def _deliver(world: Path, path: Path, since: datetime, until: datetime) -> None:
    with duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(path.parent.parent / "spill")}) as it:
        it.execute(_DAY.format(world=world, since=since, until=until, path=path))


def _measured(way: str, folder: Path, memory: str, n_dates: int) -> tuple[Measured, dict[str, Any]]:
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--memory", memory]
    command += ["--dates", str(n_dates)]
    ran = measure(command, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    return ran, json.loads(ran.output.splitlines()[-1])


def _night(folder: Path, way: str, memory: str, n_dates: int) -> dict[str, Any]:
    """Run the stages up to the features and publish; return the CPU seconds of each, and digests of what was made."""
    source = FilesSource(Sources.model_validate(tomllib.loads(_MAPPING)), folder / "files")
    settings = Settings(
        root=folder / ("whole" if way == "whole" else "nights"),
        company=Company(timezone=TIMEZONE, currency="USD"),
        engine=Engine(threads=2, memory_limit=memory),
        churn=Churn(horizon_days=28, n_training_dates=n_dates - 1),
    )
    run = Run(settings, WAYS[way][1], digest(source))
    marks = [time.process_time()]
    versions = ingest(run, source)
    for stage in (identify, observe):
        marks.append(time.process_time())
        versions |= stage(run, versions)
    marks.append(time.process_time())
    run.lake.publish(
        run.run_key, flow="nightly", as_of=run.as_of, code_digest="", versions=versions, summary={}, mlflow_run_id=None
    )
    slices = {"observations": run.as_of, "training_observations": None}
    made = [run.lake.digest(name, version=versions[name], as_of=at) for name, at in slices.items()]
    seconds = {stage: end - begin for stage, begin, end in zip(STAGES, marks, marks[1:], strict=False)}
    return {"seconds": seconds, "made": made}


def _tell(results: dict[str, tuple[Measured, dict[str, Any]]]) -> None:
    (_, day), (_, whole) = results["day"], results["whole"]
    if day["made"] != whole["made"]:
        sys.exit("One more day made other observations than all lines at once.")
    rows = [
        (WAYS[way][0], *(f"{told['seconds'][stage]:.1f} s" for stage in STAGES), f"{ran.peak_mib:,.0f} MiB")
        for way, (ran, told) in results.items()
    ]
    show("CPU seconds of a night, equal observations", ("way", *STAGES, "peak memory"), rows)
    ratios = {f"{stage}_day_per_whole_cpu": day["seconds"][stage] / whole["seconds"][stage] for stage in STAGES}
    ratios["features_monday_per_whole_cpu"] = results["monday"][1]["seconds"]["features"] / whole["seconds"]["features"]
    ratios["day_per_whole_cpu"] = sum(day["seconds"].values()) / sum(whole["seconds"].values())
    show_ratios(ratios)


if __name__ == "__main__":
    main()
