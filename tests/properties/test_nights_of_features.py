"""Night after night, features are those of one build: tonight's of all files at once, the past's as it was known.

Whatever the nights bring: days, lines that come late, corrections, the same lines again, and people who turn out to be
one.
"""

import random
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from data.identity.log import merge
from data.identity.masters import IDENTITY_LOG, read_log, write_log
from data.sources import FilesSource, Sources, digest
from features.matrix import collect
from pipelines.ingest import ingest
from pipelines.run import Run
from pipelines.settings import Company, Settings

pytestmark = pytest.mark.slow

MAPPING = """
[transactions]
path = "daily/*.csv"
columns = { order_id = "order", customer_id = "customer", product_id = "item", event_time = "at", quantity = "pieces" }
money.amount_cents = { column = "euros" }
"""
HEADER = "order,customer,item,at,pieces,euros"
DAY = date(2024, 3, 4)
N_NIGHTS = 3

Lines = dict[tuple[str, str], str]
"""The line that holds, by order and product."""

Night = tuple[Run, dict[str, int]]


def night(folder: Path, files: Mapping[str, Sequence[str]], day: date) -> Night:
    """Write what is delivered, validate it at the midnight that begins a day, and publish."""
    (folder / "daily").mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        (folder / "daily" / f"{name}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    company, limits = Company(timezone="UTC", currency="EUR"), {"low_volume_share": 0.0, "high_volume_share": 1e6}
    source = FilesSource(Sources.model_validate(tomllib.loads(MAPPING)), folder)
    settings = Settings(root=folder / "var", company=company, limits=limits)
    run = Run(settings, datetime(day.year, day.month, day.day), digest(source))
    versions = ingest(run, source)
    run.lake.publish(
        run.run_key, flow="nightly", as_of=run.as_of, code_digest="", versions=versions, summary={}, mlflow_run_id=None
    )
    return run, versions


def one_person(run: Run) -> dict[str, int]:
    """Decide that two customers are one, and return the version of the log."""
    how = {"by": "anna", "reason": "one household", "decided_at": datetime(2024, 3, 1)}
    return {IDENTITY_LOG: write_log(run.lake, merge(read_log(run.lake), "C1", "C2", **how))}


def features(night: Night, as_ofs: Sequence[datetime], log: Mapping[str, int]) -> pa.Table:
    run, versions = night
    return collect(run.people(versions | log), as_ofs, "UTC").combine_chunks()


def delivered(rng: random.Random, number: int, held: Lines) -> list[str]:
    """Return what one night brings, and note in ``held`` what holds from then on."""
    rows, days = [], [(number, f"n{number}-{n}") for n in range(12)]
    days += [(rng.randrange(number), f"late{number}-{n}") for n in range(3)] if number else []
    for n_days, order in days:
        at = f"{DAY + timedelta(days=n_days)}T{rng.randrange(24):02}:{rng.randrange(60):02}:00"
        who, pieces = f"C{rng.randrange(6)}", rng.choice((1, 1, 1, 1, 1, 1, 2, -1))
        for item in rng.sample(range(5), rng.randrange(1, 4)):
            row = f"{order},{who},P{item},{at},{pieces},{pieces * rng.randrange(500, 800) / 100:.2f}"
            held[order, f"P{item}"] = row
            rows.append(row)
    known = sorted(set(held) - {(row.split(",")[0], row.split(",")[2]) for row in rows})
    rows += [held[key] for key in rng.sample(known, min(5, len(known)))]
    for key in rng.sample(known, min(4, len(known))):
        *same, pieces, _ = held[key].split(",")
        corrected = ",".join([*same, pieces, f"{int(pieces) * rng.randrange(800, 1000) / 100:.2f}"])
        rows = [row for row in rows if row != held[key]] + [corrected]
        held[key] = corrected
    return rng.sample(rows, len(rows))


@pytest.mark.parametrize("seed", range(2))
def test_features_of_nights_have_the_bytes_of_one_build_and_the_past_stays_as_it_was_known(tmp_path, seed):
    rng, held, nights = random.Random(seed), {}, []
    for number in range(N_NIGHTS):
        tomorrow, files = DAY + timedelta(days=number + 1), {f"n{number}": delivered(rng, number, held)}
        nights.append(night(tmp_path / "nights", files, tomorrow))
        whole = night(tmp_path / f"whole{number}", {"all": sorted(held.values())}, tomorrow)
        as_of = nights[-1][0].as_of
        assert features(nights[-1], [as_of], {}).equals(features(whole, [as_of], {}))
    assert any(row["replaced_at"] for row in whole_of(nights[-1]))
    log, as_ofs = one_person(nights[-1][0]), [run.as_of for run, _ in nights]
    at_last = features(nights[-1], as_ofs, log)
    assert "C2" not in at_last["customer_id"].to_pylist()
    assert at_last.equals(pa.concat_tables(features(one, [one[0].as_of], log) for one in nights).combine_chunks())


def whole_of(one: Night) -> list[dict[str, object]]:
    run, versions = one
    return run.frame("transactions", versions, sliced=False).to_pylist()
