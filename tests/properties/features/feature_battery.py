"""The checks that every feature passes by itself, with no test written for it.

A check makes twins: two computations that must give the same bytes, feature by feature. ``accused`` names the features
whose bytes differ. A new feature is judged as soon as it is registered; a registry of leaky ones shows that the judge
sees.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import pandas as pd
from feature_poison import ancient_garbage, before, garbage, poisoned, poisoned_lateness
from feature_worlds import AS_OFS, Frames, compute

from features.registry import FEATURES, Registry

Twins = Iterator[tuple[pd.DataFrame, pd.DataFrame]]


class Bench:
    """A world and a registry, with what was already computed on the world itself."""

    def __init__(self, world: Frames, registry: Registry = FEATURES) -> None:
        self.world, self.registry = world, registry
        self._bases: dict[tuple[datetime, ...], pd.DataFrame] = {}

    def base(self, as_ofs: Sequence[datetime] = AS_OFS) -> pd.DataFrame:
        key = tuple(as_ofs)
        if key not in self._bases:
            self._bases[key] = self.run({}, as_ofs)
        return self._bases[key]

    def run(
        self, changed: Frames, as_ofs: Sequence[datetime] = AS_OFS, names: Sequence[str] | None = None
    ) -> pd.DataFrame:
        return compute(self.world | changed, as_ofs, names, self.registry)


CHECKS: dict[str, Callable[[Bench], Twins]] = {}


def check(function: Callable[[Bench], Twins]) -> Callable[[Bench], Twins]:
    CHECKS[function.__name__] = function
    return function


def accused(name: str, bench: Bench) -> set[str]:
    """Return the features that one check accuses."""
    return {feature for twins in CHECKS[name](bench) for feature in differing(*twins)}


def differing(left: pd.DataFrame, right: pd.DataFrame) -> set[str]:
    """Return the columns whose bytes differ; all of them where the rows are others."""
    if list(left.index) != list(right.index) or list(left) != list(right):
        return set(left) | set(right)
    return {name for name in left if left[name].dtype != right[name].dtype or _bytes(left[name]) != _bytes(right[name])}


def _bytes(column: pd.Series) -> bytes:
    return column.to_numpy().tobytes()


@check
def poisoned_future(bench: Bench) -> Twins:
    """L1: every event from as_of on is rewritten with garbage, some of it claiming to be known long before."""
    for as_of in AS_OFS:
        yield bench.base([as_of]), bench.run(poisoned(bench.world, as_of), [as_of])


@check
def absent_future(bench: Bench) -> Twins:
    """L1: the tables as they were at as_of give the same features as today's."""
    for as_of in AS_OFS:
        yield bench.base([as_of]), bench.run(before(bench.world, as_of), [as_of])


@check
def late_events(bench: Bench) -> Twins:
    """L2: an event known at as_of or later is not used, one known before is used as if it had never been late."""
    for as_of in AS_OFS:
        lines = bench.world["transactions"]
        late = (lines["event_time"] < as_of) & (lines["known_at"] >= as_of)
        assert late.any()
        wrong = garbage(lines, late, lambda row: row["event_time"] - timedelta(days=3), known_at=lambda row: row)
        punctual = lines.assign(known_at=lines["event_time"].where(lines["known_at"] < as_of, lines["known_at"]))
        base = bench.base([as_of])
        yield base, bench.run({"transactions": wrong} | poisoned_lateness(bench.world, as_of), [as_of])
        yield base, bench.run({"transactions": punctual}, [as_of])


@check
def row_order(bench: Bench) -> Twins:
    """R2: the order of the rows means nothing."""
    for seed in range(3):
        shuffled = {name: frame.sample(frac=1, random_state=seed) for name, frame in bench.world.items()}
        yield bench.base(), bench.run(shuffled)


@check
def repeated_references(bench: Bench) -> Twins:
    """A row of any table but the order lines that is listed twice multiplies nothing."""
    twice = {name: pd.concat([frame] * 2) for name, frame in bench.world.items() if name != "transactions"}
    yield bench.base(), bench.run(twice)


@check
def anonymous_lines(bench: Bench) -> Twins:
    """Lines without a customer count for nobody."""
    lines = bench.world["transactions"]
    assert lines["customer_id"].isna().any()
    yield bench.base(), bench.run({"transactions": lines[lines["customer_id"].notna()]})


@check
def other_customers(bench: Bench) -> Twins:
    """A customer's features depend on their own rows alone."""
    mine = {"c0", "c1", "c2"}
    world = bench.world
    alone = {name: rows[rows["customer_id"].isin(mine)] for name, rows in world.items() if "customer_id" in rows}
    base = bench.base()
    yield base[base.index.get_level_values("customer_id").isin(mine)], bench.run(alone)


@check
def one_as_of_at_a_time(bench: Bench) -> Twins:
    """Many as_ofs in one pass equal one pass each, in whatever order they are asked for."""
    one_by_one = pd.concat([bench.base([as_of]) for as_of in AS_OFS]).sort_index()
    yield bench.base(), one_by_one
    yield bench.run({}, AS_OFS[::-1]), one_by_one


@check
def lookback(bench: Bench) -> Twins:
    """Nothing older than the declared lookback changes the feature."""
    as_of = AS_OFS[-1]
    base = bench.base([as_of])
    for days in {bench.registry[name].lookback for name in base} - {None}:
        names = [name for name in base if bench.registry[name].lookback == days]
        yield base[names], bench.run(ancient_garbage(bench.world, as_of, days), [as_of], names)


@check
def alone(bench: Bench) -> Twins:
    """A feature computed by itself equals the one computed with all others."""
    base = bench.base()
    for name in base:
        yield base[[name]], bench.run({}, AS_OFS, [name])
