"""The battery as a call: one row per feature and check, in words that a failure can be mended by."""

import ibis
import pandas as pd
import pytest

from data.errors import ConfigError
from features.battery import CHECKS, judge
from features.battery.checks import Bench, differing
from features.battery.engine import Engine, connect, load
from features.battery.poison import ancient_garbage, before, poisoned, poisoned_lateness
from features.battery.worlds import AS_OFS, SCHEMAS, frames, line, random_world
from features.matrix import feature_matrix, to_frame
from features.registry import FEATURES, Expression, Registry
from features.views import History


@pytest.fixture(scope="module")
def registry() -> Registry:
    made = FEATURES.copy()

    @made.view(sources=["transactions"])
    def happened(history: History) -> ibis.Table:
        """Lines that had happened, known or not."""
        rows = history.lines.cross_join(history.as_ofs)
        return rows.filter(rows.event_time < rows.as_of)

    @made.feature(view="happened", unit="count")
    def n_lines_happened(rows: ibis.Table) -> Expression:
        """Lines that had happened."""
        return rows.count()

    @made.feature(view="days", unit="count", lookback=14)
    def n_days_14d(days: ibis.Table) -> Expression:
        """Days of the last 14 with a line."""
        return days.count(where=days.age_days <= 14)

    return made


@pytest.fixture(scope="module")
def verdict(registry: Registry) -> pd.DataFrame:
    return judge(["n_lines_happened", "n_days_14d"], registry)


def test_one_row_per_feature_and_check(verdict: pd.DataFrame) -> None:
    assert list(verdict) == ["feature", "check", "passed", "says"]
    assert verdict["feature"].tolist() == ["n_days_14d"] * len(CHECKS) + ["n_lines_happened"] * len(CHECKS)
    assert verdict["check"].tolist() == list(CHECKS) * 2
    assert verdict["passed"].dtype == "bool"


def test_a_leaky_one_is_told_what_it_does_and_a_good_one_nothing(verdict: pd.DataFrame) -> None:
    failed = verdict[~verdict["passed"]].set_index("check")
    assert set(failed["feature"]) == {"n_lines_happened"}
    assert "uses a line known only after as_of" in failed.loc["late_events", "says"]
    assert set(verdict.loc[verdict["passed"], "says"]) == {""}


def test_who_looks_back_further_than_declared_is_named_where_others_share_the_view(registry: Registry) -> None:
    """Alone, the matrix hands it no older row; only beside others could it see one."""
    curious = registry.copy()

    @curious.feature(view="days", unit="count", lookback=14)
    def n_days_84d(days: ibis.Table) -> Expression:
        """Days of the last 84 with a line."""
        return days.count(where=days.age_days <= 84)

    bench = Bench(random_world(11), curious, ["n_days_84d", "n_days_14d"])
    assert bench.accused("lookback") == {"n_days_84d"}


def test_every_check_has_words_of_its_own() -> None:
    says = [check.says for check in CHECKS.values()]
    assert len(set(says)) == len(says)
    assert all(words and words[0].islower() and not words.endswith(".") for words in says)
    assert all(check.name == name and check.accuse.__doc__ for name, check in CHECKS.items())


def test_the_registry_of_the_night_is_left_as_it_is(registry: Registry) -> None:
    assert len(registry) == len(FEATURES) + 2
    assert set(registry.views) - set(FEATURES.views) == {"happened"}
    assert "n_days_14d" not in FEATURES


def test_an_unknown_feature_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="n_days_14d"):
        judge(["n_days_14d"])


def test_a_query_compiled_once_equals_one_that_is_compiled_for_its_world() -> None:
    """Over worlds of another content, of which some tables are empty, and back."""
    names, engine = ["recency_days", "is_in_campaign", "spend_28d_cents", "n_open_cases", "category_entropy"], Engine()
    worlds = [random_world(1), random_world(2), frames([]), random_world(1)]
    worlds.append(worlds[0] | {"feedback": worlds[1]["feedback"]})
    for world in worlds:
        connection = connect()
        plain = to_frame(feature_matrix(load(connection, world), AS_OFS, "America/New_York", names))
        found = engine.compute(world, names=names).reset_index()
        pd.testing.assert_frame_equal(found, plain, check_exact=True)
        connection.disconnect()


def test_a_feature_that_is_written_again_is_judged_again() -> None:
    registry, engine, world = FEATURES.copy(), Engine(), random_world(3)
    for days in (7, 28):

        @registry.feature(view="days", unit="count")
        def n_days_lately(days_: ibis.Table, days: int = days) -> Expression:
            """Days with a line lately."""
            return days_.count(where=days_.age_days <= days)

        counts = Bench(world, registry, ["n_days_lately"], engine).base()["n_days_lately"]
        expected = engine.compute(world, names=["n_orders"])
        assert len(counts) == len(expected)
        if days == 7:
            narrow = counts
    assert (counts >= narrow).all()
    assert (counts > narrow).any()


@pytest.mark.parametrize("seed", range(24))
def test_every_world_has_what_the_checks_are_about(seed: int) -> None:
    """A check on a world without late lines would be passed by everybody."""
    world = random_world(seed)
    assert {name: list(frame) for name, frame in world.items()} == {name: SCHEMAS[name].names for name in SCHEMAS}
    for as_of in AS_OFS:
        lines = world["transactions"]
        assert ((lines["event_time"] < as_of) & (lines["known_at"] >= as_of)).any()
        assert len(before(world, as_of)["transactions"]) < len(lines)
        changed = poisoned(world, as_of) | {"contacts": poisoned_lateness(world, as_of)["contacts"]}
        past = lines["event_time"] < as_of
        assert changed["transactions"][past].equals(lines[past])
        assert not changed["transactions"][~past].equals(lines[~past])
        assert not changed["contacts"].equals(world["contacts"])
    assert lines["customer_id"].isna().any()
    recent = [n for n, frame in ancient_garbage(world, AS_OFS[-1], 28).items() if not frame.equals(world[n])]
    assert set(recent) >= {"transactions", "feedback", "subscriptions"}


def test_the_same_seed_gives_the_same_world() -> None:
    assert all(frame.equals(random_world(4)[name]) for name, frame in random_world(4).items())
    assert not random_world(5)["transactions"].equals(random_world(4)["transactions"])


def test_differing_names_the_columns_that_differ_by_a_bit() -> None:
    left = pd.DataFrame({"same": [1.0, None], "other": [0.1 + 0.2, 1.0], "kind": [1, 2]}, index=["a", "b"])
    right = pd.DataFrame({"same": [1.0, None], "other": [0.3, 1.0], "kind": [1.0, 2.0]}, index=["a", "b"])
    assert differing(left, left.copy()) == set()
    assert differing(left, right) == {"other", "kind"}
    assert differing(left, left.iloc[::-1]) == {"same", "other", "kind"}


def test_a_line_is_plain_where_nothing_else_is_said() -> None:
    made = line("c", AS_OFS[0], amount_cents=7)
    assert (made["customer_id"], made["amount_cents"], made["known_at"]) == ("c", 7, AS_OFS[0])
    assert made["local_time"] == AS_OFS[0].replace(hour=0)
