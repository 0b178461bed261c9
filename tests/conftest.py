"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

# Busy-waiting OpenMP threads make a small fit forty times slower on shared cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of public test data, or skip where there is none."""
    root = Path(__file__).parents[1] / os.environ.get("REGULARS_TEST_DATA", "../shared/data")
    if not (root / "README.md").exists():
        pytest.skip(f"no test data at {root}: set REGULARS_TEST_DATA to the folder that holds it")
    return root
