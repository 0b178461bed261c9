"""Spark gives the numbers of DuckDB and of the oracle, and the battery finds on Spark what it finds on DuckDB.

Spark takes seconds to plan a query of all features, whatever the number of rows. So the worlds of the battery stand
side by side in one query, each with customers, orders, products and campaigns of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.battery.checks import CHECKS, Bench, differing
from features.battery.engine import Engine, connect, load
from features.battery.worlds import AS_OFS, SCHEMAS, TIMEZONE, Frames, random_world
from features.labels import eligible, labels, purchase_gaps
from features.matrix import collect, feature_matrix, to_frame
from features.periods import KEYS
from features.registry import FEATURES, Expression, Registry
from features.views import History

pytestmark = [
    pytest.mark.slow,
    # PySpark and its bridge leave their sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

IDS = ("customer_id", "product_id", "campaign_id", "order_id", "feedback_id")
N_WORLDS = 3
# These ask for other queries, not for other rows; the last looks at expressions, which are the same on every engine.
OTHER_QUERIES = {"alone", "one_as_of_at_a_time", "clock_and_chance"}

planted = FEATURES.copy()


@planted.view(sources=["transactions"])
def everything(history: History) -> ibis.Table:
    """Lines of all times."""
    return history.lines.cross_join(history.as_ofs)


@planted.view(sources=["transactions"])
def not_yet_known(history: History) -> ibis.Table:
    """Lines that had happened, known or not."""
    rows = history.lines.cross_join(history.as_ofs)
    return rows.filter(rows.event_time < rows.as_of)


@planted.view(sources=["transactions", "products"])
def multiplied(history: History) -> ibis.Table:
    """Lines joined to a product list that may repeat itself."""
    return history.known(history.lines.join(history.table("products"), "product_id"))


@planted.view(sources=["transactions"])
def secretly_joined(history: History) -> ibis.Table:
    """Lines of products that are in a list which is not declared."""
    return history.known(history.lines.semi_join(history.table("products"), "product_id"))


@planted.feature(view="everything", unit="cents")
def spend_of_all_times(rows: ibis.Table) -> Expression:
    """Sum what is still to come."""
    return rows.amount_cents.sum()


@planted.feature(view="not_yet_known", unit="count")
def lines_before_known(rows: ibis.Table) -> Expression:
    """Count lines that arrive later."""
    return rows.count()


@planted.feature(view="multiplied", unit="count")
def lines_multiplied(rows: ibis.Table) -> Expression:
    """Count lines once per listing of their product."""
    return rows.count()


@planted.feature(view="secretly_joined", unit="count")
def lines_of_listed_products(rows: ibis.Table) -> Expression:
    """Count by a table that is not declared."""
    return rows.count()


@planted.feature(view="days", unit="cents", lookback=28)
def short_memory(days: ibis.Table) -> Expression:
    """Sum more than it admits."""
    return days.spend_cents.sum(where=days.age_days <= 84)


@planted.feature(view="not_yet_known", unit="cents", null="no line")
def spend_in_floats(rows: ibis.Table) -> Expression:
    """Sum in floats, whose sum depends on their order."""
    return (rows.amount_cents / 3).sum()


# The checks that must see a leak, of those that all of them together may be asked.
LEAKS = {
    "spend_of_all_times": {"poisoned_future", "absent_future", "late_events"},
    "lines_before_known": {"absent_future", "late_events"},
    "lines_multiplied": {"repeated_references"},
    "lines_of_listed_products": {"declared_sources"},
    "short_memory": {"lookback"},
    "spend_in_floats": {"row_order"},
}


def to_spark(backend: Any, tables: Frames) -> dict[str, ibis.Table]:
    """Put tables into Spark with the types of the lake, in parts, so that rows come in no order."""
    for name, frame in tables.items():
        rows = frame.reindex(columns=SCHEMAS[name].names).astype(object)
        arrow = pa.Table.from_pandas(rows.where(rows.notna(), None), SCHEMAS[name], preserve_index=False)
        backend.session.createDataFrame(arrow).repartition(3).createOrReplaceTempView(name)
    return {name: backend.table(name) for name in tables}


def side_by_side(worlds: Sequence[Frames]) -> Frames:
    """Return worlds as one, whose ids begin with the number of the world."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for number, world in enumerate(worlds):
        for name, frame in world.items():
            ids = {column: _numbered(frame[column], number) for column in IDS if column in frame}
            parts.setdefault(name, []).append(frame.astype(object).assign(**ids))
    return {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}


def _numbered(ids: "pd.Series[Any]", number: int) -> "pd.Series[Any]":
    return ids.map(lambda one: None if pd.isna(one) else f"{number:03}/{one}").astype(object)


def of_world(matrix: pd.DataFrame, number: int) -> pd.DataFrame:
    """Return the rows of one of the worlds, with the ids that they had."""
    rows = matrix[matrix.index.get_level_values("customer_id").str.startswith(f"{number:03}/")].copy()
    customers, instants = rows.index.get_level_values("customer_id"), rows.index.get_level_values("as_of")
    rows.index = pd.MultiIndex.from_arrays([customers.str[4:], instants], names=KEYS)
    return rows


class Recorder(Engine):
    """Computes nothing, but remembers which worlds it was asked about, in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.worlds: list[Frames] = []
        self.asked: list[int] = []

    def compute(
        self,
        tables: Frames,
        as_ofs: Sequence[datetime] = AS_OFS,
        names: Sequence[str] | None = None,
        registry: Registry = FEATURES,
        timezone: str = TIMEZONE,
    ) -> pd.DataFrame:
        assert set(as_ofs) <= set(AS_OFS)
        assert timezone == TIMEZONE
        found = [n for n, world in enumerate(self.worlds) if all(world[name] is tables[name] for name in tables)]
        if not found:
            self.worlds.append(tables)
        self.asked.append(found[0] if found else len(self.worlds) - 1)
        nobody = pd.MultiIndex.from_arrays([[], []], names=KEYS)
        return pd.DataFrame(columns=[feature.name for feature in registry.select(names)], index=nobody)


class Answers(Engine):
    """Says of the worlds, in the order in which they were asked about, what Spark found."""

    def __init__(self, matrix: pd.DataFrame, asked: Sequence[int]) -> None:
        super().__init__()
        self.matrix, self.asked = matrix, iter(asked)

    def compute(
        self,
        tables: Frames,
        as_ofs: Sequence[datetime] = AS_OFS,
        names: Sequence[str] | None = None,
        registry: Registry = FEATURES,
        timezone: str = TIMEZONE,
    ) -> pd.DataFrame:
        assert set(tables) == set(SCHEMAS)
        assert timezone == TIMEZONE
        rows = of_world(self.matrix, next(self.asked))
        rows = rows[rows.index.get_level_values("as_of").isin(as_ofs)]
        return rows[[feature.name for feature in registry.select(names)]]


@dataclass(frozen=True)
class Found:
    """What Spark said of all worlds together."""

    recorder: Recorder
    matrix: pd.DataFrame

    def world(self, number: int) -> pd.DataFrame:
        return of_world(self.matrix, number)


def accused(engine: Engine) -> dict[str, set[str]]:
    bench = Bench(random_world(11), planted, engine=engine)
    return {name: bench.accused(name) for name in CHECKS if name not in OTHER_QUERIES}


@pytest.fixture(scope="module")
def found(spark_backend: Any) -> Found:
    recorder = Recorder()
    accused(recorder)
    whole = side_by_side([*recorder.worlds, *(random_world(seed) for seed in range(N_WORLDS))])
    matrix = feature_matrix(to_spark(spark_backend, whole), AS_OFS, TIMEZONE, registry=planted)
    return Found(recorder, to_frame(matrix).set_index(list(KEYS)))


def assert_equal(computed: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(computed.index) == list(expected.index)
    assert sorted(computed) == sorted(expected)
    for name in computed:
        exact = computed[name].dtype != "float64" or FEATURES[name].unit in {"count", "flag", "cents"}
        exact = exact and "mean" not in name and "median" not in name
        tolerance = {"rtol": 0 if exact else 1e-9, "atol": 0 if exact else 1e-9}
        ours, theirs = computed[name].astype("float64"), expected[name].astype("float64")
        np.testing.assert_allclose(ours, theirs, err_msg=str(name), **tolerance)


@pytest.mark.parametrize("seed", range(N_WORLDS))
def test_every_feature_is_that_of_duckdb_and_of_the_oracle(
    found: Found, oracle: ModuleType, worlds: ModuleType, seed: int
) -> None:
    world = random_world(seed)
    computed = found.world(len(found.recorder.worlds) + seed)[list(FEATURES)]
    assert len(computed) > 20
    duck = worlds.compute(world)
    assert dict(computed.dtypes) == dict(duck.dtypes)
    assert_equal(computed, duck)
    assert_equal(computed, oracle.matrix(world, AS_OFS, TIMEZONE))


def test_the_battery_accuses_each_planted_leak_on_spark_and_nobody_else(found: Found) -> None:
    assert len(found.recorder.worlds) > 25
    ours = accused(Answers(found.matrix, found.recorder.asked))
    assert {name: names - set(LEAKS) for name, names in ours.items()} == {name: set() for name in ours}
    for leak, checks in LEAKS.items():
        assert checks <= {name for name, names in ours.items() if leak in names}, leak


def test_a_world_by_itself_and_a_feature_of_each_view_at_one_as_of_are_the_same_bytes(
    found: Found, spark_backend: Any
) -> None:
    """Neither the other customers, nor the other instants, nor the other features of the query matter."""
    names = sorted({FEATURES[name].view: name for name in FEATURES}.values())
    alone = collect(to_spark(spark_backend, random_world(0)), [AS_OFS[1]], TIMEZONE, names).to_pandas()
    alone = alone.astype({"customer_id": "str", "as_of": "datetime64[us]"}).set_index(list(KEYS))
    together = found.world(len(found.recorder.worlds)).xs(AS_OFS[1], level="as_of", drop_level=False)
    assert differing(alone, together[alone.columns.tolist()]) == set()


def test_labels_and_who_is_eligible_are_those_of_duckdb(spark_backend: Any) -> None:
    """What models are taught, and the gaps that choose the horizon, are counts and cents: no digit may differ."""
    world, past, duck = random_world(1), (AS_OFS[0], AS_OFS[1] - timedelta(days=30)), connect()
    answers = []
    for tables in (to_spark(spark_backend, world), load(duck, world)):
        asked = [
            labels(tables, past, TIMEZONE, 30, observed_until=AS_OFS[2], gap_days=3),
            eligible(tables, past, TIMEZONE, 56),
            purchase_gaps(tables, AS_OFS[2], TIMEZONE),
        ]
        answers.append([to_frame(one) for one in asked])
    duck.disconnect()
    for ours, theirs in zip(*answers, strict=True):
        assert len(ours) > 10
        pd.testing.assert_frame_equal(ours, theirs)
