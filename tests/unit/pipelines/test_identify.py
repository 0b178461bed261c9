"""Identify: rules merge only where the company wrote them down, and a person is one customer wherever models look."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.identity.log import split
from data.identity.masters import read_log, write_log
from data.simulator import simulate
from features.matrix import feature_matrix, to_frame
from pipelines.identify import identify
from pipelines.ingest import ingest
from pipelines.run import Run
from pipelines.settings import Company, Settings

AS_OF = datetime(2024, 12, 31)
RULES = ("email+name",)


@pytest.fixture(scope="module")
def raw() -> dict[str, pa.Table]:
    """Return a shop in which the first two customers have one name and one address of mail."""
    tables = dict(simulate(seed=3, n_customers=120, n_days=365).tables)
    ids = sorted(tables["customers"]["customer_id"].to_pylist())
    names = ["Ada Lovelace", "Lovelace, Ada", *(f"Somebody Else{n}" for n in range(len(ids) - 2))]
    mails = ["ada@example.org", "ADA@example.org ", *(f"{n}@example.org" for n in range(len(ids) - 2))]
    return tables | {"identities": pa.table({"customer_id": ids, "name": names, "email": mails})}


@pytest.fixture
def night(tmp_path: Path, raw, in_memory):
    """Return a function that validates and identifies a night, by default with the rule."""

    def run(rules: tuple[str, ...] = RULES, as_of: datetime = AS_OF) -> tuple[Run, dict[str, int]]:
        company = Company(timezone="UTC", currency="EUR")
        settings = Settings(root=tmp_path, company=company, engine={"threads": 1}, identity={"merge_rules": rules})
        made = Run(settings, as_of, f"source {rules}")
        versions = ingest(made, in_memory(raw))
        return made, versions | identify(made, versions)

    return run


def orders(run: Run, versions: Mapping[str, int]) -> dict[str, int]:
    matrix = feature_matrix(run.people(versions), [run.as_of], "UTC", ["n_orders_84d"])
    frame = to_frame(matrix)
    return dict(zip(frame["customer_id"], frame["n_orders_84d"], strict=True))


def test_nothing_is_merged_without_a_rule(night, raw):
    run, versions = night(())
    assert run.frame("identity_log", versions, sliced=False).num_rows == 0
    assert len(orders(run, versions)) == len(set(raw["transactions"]["customer_id"].to_pylist()))


def test_a_rule_makes_one_customer_of_two(night, raw):
    apart = orders(*night(()))
    run, versions = night()
    together = orders(run, versions)
    first, second = sorted(raw["customers"]["customer_id"].to_pylist())[:2]
    master = ({first, second} & together.keys()).pop()
    assert {first, second} - together.keys() == {first, second} - {master}
    assert together[master] == apart[first] + apart[second]
    assert {one: n for one, n in together.items() if one != master} == {
        one: n for one, n in apart.items() if one not in {first, second}
    }


def test_the_lake_keeps_the_delivered_ids(night, raw):
    run, versions = night()
    kept = run.frame("customers", versions, sliced=False)
    assert kept.num_rows == raw["customers"].num_rows
    (row,) = run.frame("identity_log", versions, sliced=False).to_pylist()
    assert (row["action"], row["by"]) == ("merge", "rule: email+name")
    assert "ada" not in str(row).lower()


def test_who_was_parted_stays_parted(night, raw):
    run, versions = night()
    first, second = sorted(raw["customers"]["customer_id"].to_pylist())[:2]
    with run.lake.lock():
        log = split(read_log(run.lake), first, second, by="Eve", reason="twins", decided_at=AS_OF)
        write_log(run.lake, log)
    later = replace(run, as_of=AS_OF + timedelta(days=1), source_digest="next")
    versions |= identify(later, versions)
    assert {first, second} <= orders(run, versions).keys()


def test_every_column_has_its_completeness(night, raw):
    run, versions = night()
    scorecard = run.frame("completeness", versions)
    of_names = scorecard.filter((pc.field("table_name") == "identities") & (pc.field("column") == "name"))
    assert of_names["filled_share"].to_pylist() == [1.0]
    assert set(scorecard["as_of"].to_pylist()) == {AS_OF}
