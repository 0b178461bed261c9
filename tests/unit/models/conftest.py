"""The shared panel, loaded by path: tests are no package."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def world():
    """Return the module ``panel``."""
    spec = importlib.util.spec_from_file_location("panel_of_customers", Path(__file__).with_name("panel.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
