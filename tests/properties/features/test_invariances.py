"""Catalogue row M12: features know no unit of money, no date of the calendar but the weekday, and no name."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from features.labels import labels
from features.matrix import feature_matrix, to_frame
from features.registry import FEATURES

CENTS = sorted(name for name in FEATURES if FEATURES[name].unit == "cents")
MONEY = {
    "transactions": ["amount_cents", "discount_cents", "coupon_cents"],
    "products": ["list_price_cents"],
    "subscriptions": ["fee_cents"],
}
DATES = {
    "transactions": ["event_time", "known_at"],
    "contacts": ["assigned_at", "contacted_at", "known_at"],
    "campaigns": ["starts_on", "ends_on"],
    "feedback": ["event_time", "resolved_at", "known_at", "replaced_at"],
    "subscriptions": ["started_on", "ended_on", "known_at", "replaced_at"],
    "customers": ["first_seen_on", "loyalty_joined_on"],
}
# Zones without summer time: in the others a shift by weeks may cross a change of the clocks, which is tested elsewhere.
ZONES = ["UTC", "Asia/Kolkata", "Pacific/Marquesas"]
Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def world(worlds: ModuleType) -> Frames:
    return worlds.random_world(23)


@pytest.fixture(scope="module")
def observed(worlds: ModuleType, world: Frames) -> pd.DataFrame:
    return worlds.compute(world)


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right, check_exact=False, rtol=1e-12)


@pytest.mark.parametrize("factor", [100, 7, 10**6])
def test_money_in_another_unit_scales_the_money_and_leaves_the_rest(worlds, world, observed, factor):
    richer = {name: world[name].copy() for name in MONEY}
    for name, columns in MONEY.items():
        for column in columns:
            richer[name][column] = [None if pd.isna(cents) else int(cents) * factor for cents in world[name][column]]
    found = worlds.compute(world | richer)
    same(found, observed.assign(**{name: observed[name] * factor for name in CENTS}))


def shifted(worlds: ModuleType, world: Frames, days: int, zone: str) -> Frames:
    """Return the world so many days later, with the wall clock of a zone."""
    by = timedelta(days=days)
    later = {name: world[name].copy() for name in DATES}
    for name, columns in DATES.items():
        for column in columns:
            # As Python's own instants: pandas would make floats of a column without any.
            moved = [None if pd.isna(at) else at + by for at in world[name][column]]
            later[name][column] = pd.Series(moved, index=later[name].index, dtype=object)
    lines = later["transactions"]
    lines["local_time"] = [worlds.local(at, zone) for at in lines["event_time"]]
    # A year of birth is no date: no whole number of weeks moves it by years.
    later["customers"]["birth_year"] = None
    return world | later


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("weeks", [-1000, 209])
def test_all_dates_later_by_whole_weeks_change_nothing(worlds, world, zone, weeks):
    days, as_of = 7 * weeks, worlds.AS_OFS[-1]
    there = worlds.compute(shifted(worlds, world, 0, zone), [as_of], timezone=zone)
    found = worlds.compute(shifted(worlds, world, days, zone), [as_of + timedelta(days=days)], timezone=zone)
    found.index = found.index.set_levels([as_of], level="as_of")
    pd.testing.assert_frame_equal(found, there, check_exact=True)


def test_a_shift_by_a_day_moves_the_weekend_alone(worlds, world):
    there = worlds.compute(shifted(worlds, world, 0, "UTC"), timezone="UTC")
    found = worlds.compute(
        shifted(worlds, world, 1, "UTC"), [at + timedelta(days=1) for at in worlds.AS_OFS], timezone="UTC"
    )
    found.index = found.index.set_levels(sorted(worlds.AS_OFS), level="as_of")
    assert [name for name in found if not found[name].equals(there[name])] == ["weekend_share"]


# Stores are told apart by the least of an order's names, so their order must stay; of the others nothing need to.
RENAMED: dict[str, tuple[list[str], Callable[[str], str]]] = {
    "customer_id": (
        ["transactions", "contacts", "feedback", "subscriptions", "customers"],
        lambda name: f"{99 - int(name[1:])} 'x\" ☃",
    ),
    "order_id": (["transactions"], lambda name: name[::-1] + "; DROP TABLE"),
    "product_id": (["transactions", "products"], lambda name: f"{name[::-1]}%"),
    "campaign_id": (["contacts", "campaigns"], lambda name: f"{9 - int(name[1:])}{{}}"),
    "store_id": (["transactions"], lambda name: f"shop {name}"),
    "category": (["products"], lambda name: f"{9 - int(name[1:])} meat & fish"),
}


@pytest.mark.parametrize("column", RENAMED)
def test_names_are_only_names(worlds, world, observed, column):
    tables, rename = RENAMED[column]
    changed = {
        table: world[table].assign(**{column: [None if pd.isna(one) else rename(one) for one in world[table][column]]})
        for table in tables
    }
    found = worlds.compute(world | changed)
    if column == "customer_id":
        back = {rename(name): name for name in {customer for customer, _ in observed.index}}
        found.index = found.index.set_levels([back[name] for name in found.index.levels[0]], level=0)
        found = found.sort_index()
    pd.testing.assert_frame_equal(found, observed, check_exact=True)


@pytest.mark.parametrize(("table", "column"), [("transactions", "currency"), ("feedback", "status")])
def test_columns_that_no_feature_reads_change_nothing(worlds, world, observed, table, column):
    changed = world[table].assign(**{column: "something else"})
    pd.testing.assert_frame_equal(worlds.compute(world | {table: changed}), observed, check_exact=True)


@pytest.mark.parametrize("table", ["products", "campaigns", "contacts", "feedback", "subscriptions", "customers"])
def test_an_empty_table_leaves_what_rests_on_others(worlds, world, observed, table):
    found = worlds.compute(world | {table: world[table].iloc[:0]})
    reads = {name: FEATURES.views[FEATURES[name].view].sources for name in found}
    rest = [name for name in found if table not in reads[name]]
    pd.testing.assert_frame_equal(found[rest], observed[rest], check_exact=True)
    for name in set(found) - set(rest):
        feature = FEATURES[name]
        if feature.null is None and table != "campaigns":
            assert not found[name].any(), name
        elif table != "campaigns":
            assert found[name].isna().all(), name
    assert not found["is_in_campaign"].any() or table not in {"campaigns", "contacts"}


def test_no_lines_at_all_are_a_matrix_without_rows(worlds, world):
    found = worlds.compute(world | {"transactions": world["transactions"].iloc[:0]})
    assert found.empty
    assert list(found) == list(FEATURES)


def test_lines_of_nobody_are_a_matrix_without_rows(worlds, world):
    assert worlds.compute(world | {"transactions": world["transactions"].assign(customer_id=None)}).empty


def test_labels_scale_with_money_and_know_no_names(worlds, world):
    as_of, until = worlds.AS_OFS[0], datetime(2018, 6, 1)

    def truth(tables: Frames) -> pd.DataFrame:
        loaded = worlds.load(worlds.connect(), tables)
        return to_frame(labels(loaded, [as_of], worlds.NEW_YORK, 28, observed_until=until)).set_index("customer_id")

    lines = world["transactions"]
    base, richer = truth(world), truth(world | {"transactions": lines.assign(amount_cents=lines["amount_cents"] * 100)})
    same(richer, base.assign(spend_cents=base["spend_cents"] * 100))
    renamed = truth(world | {"transactions": lines.assign(order_id=[name[::-1] for name in lines["order_id"]])})
    same(renamed, base)
    assert base["has_churned"].nunique() == 2


def test_features_of_one_customer_do_not_depend_on_how_many_others_there_are(worlds, world, observed):
    twins = world["transactions"].assign(
        customer_id=[one and f"twin {one}" for one in world["transactions"]["customer_id"]]
    )
    twins["order_id"] = "twin " + twins["order_id"].astype(str)
    crowd = worlds.compute(world | {"transactions": pd.concat([world["transactions"], twins])})
    kept = crowd[~crowd.index.get_level_values(0).str.startswith("twin")]
    pd.testing.assert_frame_equal(kept, observed, check_exact=True)
    sources = {name: set(FEATURES.views[FEATURES[name].view].sources) for name in FEATURES}
    from_lines = [name for name in FEATURES if sources[name] <= {"transactions", "products"}]
    copies = crowd[crowd.index.get_level_values(0).str.startswith("twin")][from_lines]
    assert np.array_equal(copies.to_numpy(float), observed[from_lines].to_numpy(float), equal_nan=True)


def test_one_matrix_of_some_features_equals_those_columns_of_all(worlds, world, observed):
    chosen = ["spend_28d_cents", "category_entropy", "is_in_campaign"]
    loaded = worlds.load(worlds.connect(), world)
    some = to_frame(feature_matrix(loaded, worlds.AS_OFS, worlds.NEW_YORK, chosen)).set_index(["customer_id", "as_of"])
    pd.testing.assert_frame_equal(some[chosen], observed[chosen], check_exact=True)
    assert list(some) == sorted(chosen)
