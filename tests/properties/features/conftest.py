"""Load the helpers of this folder, which is no package, under names of their own."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def _load(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


# Doctest collection imports the other parts of the oracle, which import it by this name, before any fixture runs.
_load("feature_oracle")
# These build on each other's names, which only the fixture below gives them.
collect_ignore = ["feature_oracle_trade.py", "feature_oracle_reach.py", "feature_oracle_people.py"]


@pytest.fixture(scope="session")
def worlds() -> ModuleType:
    """Return the module that makes small worlds and runs the matrix on them."""
    return _load("feature_worlds")


@pytest.fixture(scope="session")
def oracle() -> ModuleType:
    """Return the independent implementation of every feature."""
    base = _load("feature_oracle")
    for name in ("feature_oracle_trade", "feature_oracle_reach", "feature_oracle_people"):
        _load(name)
    return base
