"""A PostgreSQL server that the tests of sources share."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """Return a running private server, one for each process of pytest, or skip where there is none."""
    spec = importlib.util.spec_from_file_location("postgres", Path(__file__).parents[3] / "postgres.py")
    module = sys.modules.setdefault("postgres", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    if module.binaries() is None:
        pytest.skip("no PostgreSQL server")
    with module.serving() as server:
        yield server
