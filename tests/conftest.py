"""Fixtures that every test may use."""

import gc
import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from data.engine import connect
from data.sources import Source

# Loaded by path where a test asks for them: as modules of their own they do not find each other.
collect_ignore = ["drops.py", "nights.py", "postgres.py", "story.py"]

# Busy-waiting OpenMP threads make a small fit forty times slower on shared cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What one process compiles, all others read.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What is imported while tests are collected stays; to look through it for garbage takes a third of that time.
gc.disable()


_NIGHTS = {"alone_night", "blind_night", "operator", "story", "two_nights"}
"""Fixtures whose nights several files read."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that need whole nights, then those with slow tests: the quick ones even out the end."""
    order: dict[Path, int] = {}
    for item in items:
        needs_night = not _NIGHTS.isdisjoint(getattr(item, "fixturenames", ()))
        rank = 0 if needs_night else 1 if item.get_closest_marker("slow") else 2
        order[item.path] = min(rank, order.get(item.path, rank))
    items.sort(key=lambda item: order[item.path])


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what all tests share; to look through it again and again takes long."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of public test data, or skip where there is none."""
    root = Path(__file__).parents[1] / os.environ.get("REGULARS_TEST_DATA", "../shared/data")
    if not (root / "README.md").exists():
        pytest.skip(f"no test data at {root}: set REGULARS_TEST_DATA to the folder that holds it")
    return root


@pytest.fixture(scope="session")
def tables_of() -> Callable[[Source], dict[str, pa.Table]]:
    """Return a function that reads all raw tables of a source into memory."""

    def read(source: Source) -> dict[str, pa.Table]:
        backend = connect(threads=1)
        try:
            loaded = source.load(backend.con)
            return {name: backend.con.table(one.table).to_arrow_table() for name, one in loaded.items()}
        finally:
            backend.disconnect()

    return read


@pytest.fixture(scope="module")
def spark_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return Ibis on a Spark of this machine, quick with few rows, or skip where there is none."""
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("no Java")
    cluster = importlib.import_module("data.cluster")
    # A handful of rows: no code that is worth compiling well, and a plan that is worth making once.
    quick = {"shuffle.partitions": "2", "adaptive.enabled": "false", "codegen.wholeStage": "false"}
    options = "".join(f" --conf spark.sql.{name}={value}" for name, value in quick.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPARK_REMOTE", raising=False)
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        patch.setenv("PYSPARK_SUBMIT_ARGS", f"{options} pyspark-shell")
        backend = cluster.connect(threads=2, memory_limit="1.5GB", scratch=tmp_path_factory.mktemp("spark"))
    for name, value in quick.items():
        # Another module may have started Java before, without them.
        backend.session.conf.set(f"spark.sql.{name}", value)
    yield backend
    backend.session.stop()
    gc.collect()  # here, where warnings of unclosed sockets are expected, and in no other test


@pytest.fixture(scope="session")
def nights() -> ModuleType:
    """Return the module that makes small whole nights, loaded by path and only where it is asked for."""
    return _module("nights")


def _module(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this run of pytest have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def shop(nights: ModuleType, shared_folder: Path) -> Path:
    """Return the raw files of a simulated shop with a few bad rows; its campaign works."""
    return nights.once(
        shared_folder / "shop", lambda folder: nights.write_shop(folder, nights.spoiled(nights.world().tables))
    )


@pytest.fixture(scope="session")
def two_nights(nights: ModuleType, shop: Path, shared_folder: Path) -> Any:
    """Return two nights in a row in one root, run in this process with one thread: do not change them."""
    return nights.TwoNights.at(shared_folder / "two-nights", shop)


@pytest.fixture(scope="session")
def alone_night(nights: ModuleType, shop: Path, shared_folder: Path) -> Any:
    """Return the first of these nights by the command: no network, two threads, another hash seed, an open umask."""
    return nights.AloneNight.at(shared_folder / "alone-night", shop)


@pytest.fixture(scope="session")
def blind_night(nights: ModuleType, shared_folder: Path) -> Any:
    """Return a night in which nobody can know who leaves and the campaign does nothing: do not change it."""
    return nights.blind_night(shared_folder / "blind-night")


@pytest.fixture(scope="session")
def drops() -> ModuleType:
    """Return the module of a company that drops CSV files every night."""
    return _module("drops")


@pytest.fixture(scope="session")
def operator(drops: ModuleType, nights: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return who gives commands to regulars."""
    with drops.operator(tmp_path_factory.mktemp("operator"), nights) as found:
        yield found


@pytest.fixture(scope="session")
def story(drops: ModuleType, nights: ModuleType, shared_folder: Path, request: pytest.FixtureRequest) -> Any:
    """Return three nights of the company with all that goes wrong between them: do not change them."""

    def tell(folder: Path) -> None:
        _module("story").tell(folder, nights, request.getfixturevalue("operator"))

    return _module("story").read(nights.once(shared_folder / "story", tell))


@pytest.fixture(scope="session")
def followed() -> ModuleType:
    """Return the module of customers who are followed from several dates, with their true curves."""
    return _module("followed")
