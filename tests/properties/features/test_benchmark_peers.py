"""The features written by hand for the benchmark have the numbers of the package, awkward rows and all."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.battery.engine import connect
from features.battery.worlds import AS_OFS, SCHEMAS, TIMEZONE, random_world
from features.clock import local_date
from features.matrix import collect
from features.registry import FEATURES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WAYS = ("sql", "polars", "shared_pandas", "pandas")
LINES = SCHEMAS["transactions"].append(pa.field("replaced_at", pa.timestamp("us")))


@pytest.fixture(scope="module")
def peers() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        known = set(sys.modules)
        yield importlib.import_module("feature_peers")
        for name in set(sys.modules) - known:
            if name.startswith("feature_peers"):
                del sys.modules[name]


def corrected(lines: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the lines, some of them replaced: by another amount, or by nothing."""
    rng = np.random.default_rng(seed)
    is_replaced = rng.random(len(lines)) < 0.1
    replaced_at = (lines["known_at"] + pd.Timedelta(days=20)).where(is_replaced)
    again = lines[is_replaced & (rng.random(len(lines)) < 0.5)]
    again = again.assign(amount_cents=again["amount_cents"] + 7, known_at=again["known_at"] + pd.Timedelta(days=20))
    return pd.concat([lines.assign(replaced_at=replaced_at), again.assign(replaced_at=pd.NaT)])


@pytest.fixture(scope="module", params=range(2))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a world as the benchmark's lines lie: a folder of transactions and a list of products."""
    folder, world = tmp_path_factory.mktemp("world"), random_world(request.param)
    (folder / "transactions").mkdir()
    lines = corrected(world["transactions"], request.param)
    lines["channel"] = np.resize(np.array([None, "Web", "app", "store"], dtype=object), len(lines))
    halves = np.array_split(np.arange(len(lines)), 2)
    for number, half in enumerate(halves):
        part = pa.Table.from_pandas(lines.iloc[half], LINES, preserve_index=False)
        pq.write_table(part, folder / "transactions" / f"{number}.parquet")
    products = pa.Table.from_pandas(world["products"], SCHEMAS["products"], preserve_index=False)
    pq.write_table(products, folder / "products.parquet")
    return folder


@pytest.fixture(scope="module")
def mine(folder: Path, peers: ModuleType) -> dict[object, pd.DataFrame]:
    backend: ibis.BaseBackend = connect()
    tables = {
        "transactions": backend.read_parquet(folder / "transactions" / "*.parquet"),
        "products": backend.read_parquet(folder / "products.parquet"),
    }
    made = collect(tables, list(AS_OFS), TIMEZONE, list(peers.NAMES)).to_pandas()
    backend.disconnect()
    return {at: rows.drop(columns="as_of") for at, rows in made.groupby("as_of")}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("as_of", AS_OFS[:2])
def test_every_way_has_the_same_numbers(
    peers: ModuleType, folder: Path, mine: dict[object, pd.DataFrame], way: str, as_of: object
) -> None:
    theirs = peers.WAYS[way](folder, as_of, local_date(as_of, TIMEZONE))()
    assert peers.unlike(mine[as_of], theirs) == []


def test_it_would_be_seen_if_they_differed(peers: ModuleType, mine: dict[object, pd.DataFrame]) -> None:
    rows = mine[AS_OFS[1]]
    other = rows.assign(n_orders=rows["n_orders"].where(rows.index != rows.index[0], rows["n_orders"] + 1))
    assert peers.unlike(rows, other) == ["n_orders: 1 customers"]
    assert peers.unlike(rows, rows.iloc[1:]) == [f"customers: {len(rows) - 1} in the place of {len(rows)}"]


def test_they_are_of_every_family_that_stands_on_lines_and_products(peers: ModuleType) -> None:
    views = {"orders", "days", "categories", "brands", "stores"}
    assert set(peers.NAMES) == {name for name, feature in FEATURES.items() if feature.view in views}


def test_the_worlds_have_something_to_differ_by(mine: dict[object, pd.DataFrame], peers: ModuleType) -> None:
    rows = pd.concat(mine.values())
    assert [name for name in peers.NAMES if rows[name].nunique(dropna=False) == 1] == []
