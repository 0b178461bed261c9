"""A company with known duplicates, loaded by path: tests are no package."""

import importlib.util
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from data.identity.candidates import Candidates, candidates
from data.identity.settings import Identity


@pytest.fixture(scope="session")
def people():
    """Return the module that makes companies."""
    name = "people_of_companies"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("people.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def find():
    """Return a function that finds candidates in rows, on a connection of its own."""

    def find(rows: pa.Table | list[dict], threads: int = 1, min_probability: float = 0.9) -> Candidates:
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        with duckdb.connect(config={"threads": threads}) as connection:
            connection.register("identities", table)
            return candidates(
                connection, "identities", Identity(default_region="DE"), min_probability=min_probability, seed=1
            )

    return find


@pytest.fixture(scope="session")
def company(people):
    """Return a company of 4000 customers with families and known duplicates."""
    return people.company(4000, seed=3)


@pytest.fixture(scope="session")
def found(company, find) -> Candidates:
    """Return its pairs, down to unlikely ones."""
    return find(company.identities, min_probability=0.001)
