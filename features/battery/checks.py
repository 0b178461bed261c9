"""The checks that a feature passes by itself, with no test written for it.

Nearly every check makes twins: two computations that must give the same bytes, feature by feature. It accuses the
features whose bytes differ. A new feature is judged as soon as it is registered.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis.expr.operations as ops
import pandas as pd

from features.battery.engine import Engine
from features.battery.poison import ancient_garbage, before, garbage, poisoned, poisoned_lateness
from features.battery.worlds import AS_OFS, Frames, random_world
from features.registry import FEATURES, Registry

Accused = Iterator[set[str]]
UNSURE = (ops.Impure, ops.Arbitrary)
"""Clocks, lots and names made up anew; whichever row comes first."""


@dataclass(frozen=True)
class Check:
    """One way in which a feature may be wrong.

    Parameters
    ----------
    name
        Name of the check.
    says
        What an accused feature does, in words that follow its name.
    accuse
        Function from a bench to the names that it accuses, in one set or more.
    """

    name: str
    says: str
    accuse: Callable[["Bench"], Accused]


class Bench:
    """A world, the features that are judged on it, those beside them in their views, and what was already computed.

    Parameters
    ----------
    world
        Tables by name; not to be changed in place.
    registry
        Where the features are registered.
    names
        Features that are judged, None for all.
    engine
        Where the queries run; one that knows them already saves the time of compiling them.
    """

    def __init__(
        self,
        world: Frames,
        registry: Registry = FEATURES,
        names: Sequence[str] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.world, self.registry = world, registry
        self.judged = [feature.name for feature in registry.select(names)]
        views = {registry[name].view for name in self.judged}
        self.beside = [name for name in registry if registry[name].view in views]
        self.engine = engine or Engine()
        self._bases: dict[tuple[datetime, ...], pd.DataFrame] = {}

    def base(self, as_ofs: Sequence[datetime] = AS_OFS) -> pd.DataFrame:
        """Return the judged features of the world itself.

        Parameters
        ----------
        as_ofs
            Naive UTC instants, each once.
        """
        key = tuple(as_ofs)
        if key not in self._bases:
            self._bases[key] = self.run({}, as_ofs)
        return self._bases[key]

    def run(
        self, changed: Frames, as_ofs: Sequence[datetime] = AS_OFS, names: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return features of the world with some tables changed.

        Parameters
        ----------
        changed
            Tables in the place of the world's.
        as_ofs
            Naive UTC instants, each once.
        names
            Features to compute, None for those that are judged.
        """
        return self.engine.compute(self.world | changed, as_ofs, names or self.judged, self.registry)

    def accused(self, check: str) -> set[str]:
        """Return the judged features that a check accuses.

        Parameters
        ----------
        check
            Name of the check.
        """
        return set().union(*CHECKS[check].accuse(self))


CHECKS: dict[str, Check] = {}
"""Every check by its name."""


def judge(names: Sequence[str] | None = None, registry: Registry = FEATURES, seed: int = 11) -> pd.DataFrame:
    """Return what each check finds of each feature: feature, check, passed, says.

    The features are computed on a random world of a dozen customers in DuckDB, again and again with something in it
    changed. ``says`` are the words of a check that was not passed, and empty where it was.

    Parameters
    ----------
    names
        Features to judge, None for all.
    registry
        Where the features are registered.
    seed
        Seed of the world.

    Raises
    ------
    ConfigError
        If a name is not registered.
    IbisError
        If a feature or a view runs a query of its own while it is built: its numbers would be those of another day.
    """
    bench = Bench(random_world(seed), registry, names)
    found = {name: bench.accused(name) for name in CHECKS}
    rows = [
        (feature, check.name, feature not in found[check.name], check.says * (feature in found[check.name]))
        for feature in bench.judged
        for check in CHECKS.values()
    ]
    return pd.DataFrame(rows, columns=["feature", "check", "passed", "says"])


def differing(left: pd.DataFrame, right: pd.DataFrame) -> set[str]:
    """Return the columns whose bytes differ; all of them where the rows are others.

    Parameters
    ----------
    left, right
        Matrices with the same index and columns, if all is well.
    """
    if list(left.index) != list(right.index) or list(left) != list(right):
        return {str(name) for name in (*left, *right)}
    return {
        name
        for name in map(str, left)
        if left[name].dtype != right[name].dtype or _bytes(left[name]) != _bytes(right[name])
    }


def _bytes(column: pd.Series) -> bytes:
    return bytes(column.to_numpy().tobytes())


def _check(says: str) -> Callable[[Callable[[Bench], Accused]], Callable[[Bench], Accused]]:
    def register(function: Callable[[Bench], Accused]) -> Callable[[Bench], Accused]:
        CHECKS[function.__name__] = Check(function.__name__, says, function)
        return function

    return register


@_check("uses what happens at as_of or later")
def poisoned_future(bench: Bench) -> Accused:
    """L1, L3: every event from as_of on is rewritten with garbage, some of it claiming to be known long before."""
    for as_of in AS_OFS:
        yield differing(bench.base([as_of]), bench.run(poisoned(bench.world, as_of), [as_of]))


@_check("was another number at as_of, before the rest came in")
def absent_future(bench: Bench) -> Accused:
    """L1, L9: the tables as they were at as_of give the same features as today's."""
    for as_of in AS_OFS:
        yield differing(bench.base([as_of]), bench.run(before(bench.world, as_of), [as_of]))


@_check("uses a line known only after as_of, or not one that came late but in time")
def late_events(bench: Bench) -> Accused:
    """L2: an event known at as_of or later is not used, one known before is used as if it had never been late."""
    lines = bench.world["transactions"]
    for as_of in AS_OFS:
        late = (lines["event_time"] < as_of) & (lines["known_at"] >= as_of)
        assert late.any()
        wrong = garbage(lines, late, lambda row: row["event_time"] - timedelta(days=3), known_at=lambda at: at)
        punctual = lines.assign(known_at=lines["event_time"].where(lines["known_at"] < as_of, lines["known_at"]))
        base = bench.base([as_of])
        yield differing(base, bench.run({"transactions": wrong} | poisoned_lateness(bench.world, as_of), [as_of]))
        yield differing(base, bench.run({"transactions": punctual}, [as_of]))


@_check("depends on the order of the rows")
def row_order(bench: Bench) -> Accused:
    """R2: the order of the rows means nothing."""
    for seed in range(3):
        shuffled = {name: frame.sample(frac=1, random_state=seed) for name, frame in bench.world.items()}
        yield differing(bench.base(), bench.run(shuffled))


@_check("counts twice what a table lists twice")
def repeated_references(bench: Bench) -> Accused:
    """List every row of any table but the order lines twice: it multiplies nothing."""
    twice = {name: pd.concat([frame] * 2) for name, frame in bench.world.items() if name != "transactions"}
    yield differing(bench.base(), bench.run(twice))


@_check("counts lines of nobody")
def anonymous_lines(bench: Bench) -> Accused:
    """Lines without a customer count for nobody."""
    lines = bench.world["transactions"]
    assert lines["customer_id"].isna().any()
    yield differing(bench.base(), bench.run({"transactions": lines[lines["customer_id"].notna()]}))


@_check("depends on other customers")
def other_customers(bench: Bench) -> Accused:
    """Leave out all other customers: their rows are nobody else's features."""
    mine = {"c0", "c1", "c2"}
    world = bench.world
    alone = {name: rows[rows["customer_id"].isin(mine)] for name, rows in world.items() if "customer_id" in rows}
    base = bench.base()
    yield differing(base[base.index.get_level_values("customer_id").isin(mine)], bench.run(alone))


@_check("depends on which other as_of are asked for")
def one_as_of_at_a_time(bench: Bench) -> Accused:
    """L10: many as_ofs in one pass equal one pass each, in whatever order they are asked for."""
    one_by_one = pd.concat([bench.base([as_of]) for as_of in AS_OFS]).sort_index()
    yield differing(bench.base(), one_by_one)
    yield differing(bench.run({}, AS_OFS[::-1]), one_by_one)


@_check("looks further back than it declares")
def lookback(bench: Bench) -> Accused:
    """Nothing older than the declared lookback changes the feature."""
    as_of, declared = AS_OFS[-1], {name: bench.registry[name].lookback for name in bench.judged}
    # Alone, a feature is handed no row older than it declares; beside others it may see older ones.
    base = bench.run({}, [as_of], bench.beside)
    for days in sorted({days for days in declared.values() if days is not None}):
        names = [name for name in bench.judged if declared[name] == days]
        found = bench.run(ancient_garbage(bench.world, as_of, days), [as_of], bench.beside)
        yield differing(base[names], found[names])


@_check("reads a table that its view does not declare")
def declared_sources(bench: Bench) -> Accused:
    """Empty a table that is not among the declared sources: nothing changes."""
    base, registry = bench.base(), bench.registry
    # Without lines there is no customer to look at.
    for table in sorted(set(bench.world) - {"transactions"}):
        names = [name for name in bench.judged if table not in registry.views[registry[name].view].sources]
        yield differing(base[names], bench.run({table: bench.world[table].iloc[:0]})[names])


@_check("depends on which other features are computed")
def alone(bench: Bench) -> Accused:
    """Compute each feature by itself, and with all others of the views in question: the same."""
    together = bench.run({}, AS_OFS, bench.beside)
    for name in bench.judged:
        yield differing(together[[name]], bench.run({}, AS_OFS, [name]))


@_check("asks what time it is, draws lots, or takes whichever row comes first")
def clock_and_chance(bench: Bench) -> Accused:
    """R3: the same tables give the same features on another day, and on an engine that reads rows in another order."""
    for name in bench.judged:
        query = bench.engine.query(list(bench.world), AS_OFS, [name], bench.registry).op()
        ordered = {window.func for window in query.find(ops.WindowFunction) if window.order_by}
        loose = [pick for pick in query.find((ops.First, ops.Last)) if not pick.order_by and pick not in ordered]
        yield {name} if loose or query.find(UNSURE) else set()
