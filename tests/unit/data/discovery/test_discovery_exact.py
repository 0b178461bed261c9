"""Exact: a company that names its columns as the contracts do needs no guessing."""

import tomllib
from pathlib import Path

import duckdb
import pytest

from data.contracts import CONTRACTS
from data.discovery.propose import propose
from data.discovery.write import write
from data.simulator import simulate


@pytest.fixture(scope="module")
def sections(tmp_path_factory) -> dict[str, dict[str, object]]:
    folder: Path = tmp_path_factory.mktemp("exact")
    for name, table in simulate(seed=3, n_customers=60, n_days=120).tables.items():
        duckdb.from_arrow(table).write_csv(str(folder / f"{name}.csv"))
    return tomllib.loads(write(propose([folder], folder)))["sources"]


def mapped(section: dict[str, object]) -> set[str]:
    return {*section.get("columns", {}), *section.get("money", {}), *section.get("constants", {})}


@pytest.mark.parametrize("name", ["customers", "products", "transactions", "campaigns", "contacts"])
def test_every_column_that_has_values_is_mapped(sections, name):
    table = simulate(seed=3, n_customers=60, n_days=120).tables[name]
    of_contract = {column.name for column in CONTRACTS[name].columns}
    filled = {column for column in of_contract & set(table.column_names) if table[column].null_count < table.num_rows}
    assert filled - mapped(sections[name]) == set()


def test_cents_are_cents(sections):
    for section in sections.values():
        for target, money in section.get("money", {}).items():
            assert (money["column"], money["unit"]) == (target, "minor")


def test_a_flag_that_is_there_needs_no_advice(sections, tmp_path):
    assert sections["campaigns"]["columns"]["is_randomised"] == "is_randomised"
