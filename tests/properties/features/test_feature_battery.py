"""Every registered feature passes the battery by itself."""

from datetime import timedelta
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from features.battery.checks import CHECKS, Bench
from features.registry import FEATURES

RANGES = dict.fromkeys(("count", "days", "years", "nats", "ratio"), (0, np.inf)) | {"share": (0, 1)}


@pytest.fixture(scope="module")
def world(worlds: ModuleType) -> dict[str, pd.DataFrame]:
    return worlds.random_world(11)


@pytest.fixture(scope="module")
def bench(worlds: ModuleType, world: dict[str, pd.DataFrame]) -> Bench:
    return Bench(world, engine=worlds.ENGINE)


@pytest.fixture(scope="module")
def observed(bench: Bench) -> pd.DataFrame:
    return bench.base()


@pytest.mark.parametrize("check", CHECKS)
def test_every_feature_passes(bench: Bench, check: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each feature is accused by itself; a check runs once for all of them, because it costs seconds."""
    accused = bench.accused(check)
    with capsys.disabled():
        print(f"\nbattery: {check} {len(FEATURES) - len(accused)}/{len(FEATURES)}")
    assert bench.judged == list(FEATURES)
    assert accused == set()


@pytest.mark.parametrize("name", list(FEATURES))
def test_feature_is_what_it_declares(observed: pd.DataFrame, name: str) -> None:
    feature, values = FEATURES[name], observed[name]
    assert feature.doc.endswith(".")
    assert feature.view in FEATURES.views
    if feature.null is None:
        assert not values.isna().any()
        assert values.dtype == ("bool" if feature.unit == "flag" else "int64")
    else:
        assert values.dtype == "float64"
        assert values.notna().any()
        assert not np.isinf(values).any()
    low, high = RANGES.get(feature.unit, (-np.inf, np.inf))
    assert values.dropna().between(low, high).all()
    # A feature that is the same for everyone tells nothing, and a battery on it proves nothing.
    assert values.nunique() > 1


@pytest.fixture(scope="module")
def unknown(worlds: ModuleType) -> pd.Series:
    """Return the features of a customer of whom nothing is known but that they used a coupon."""
    at = worlds.AS_OFS[0]
    coupon_only = worlds.line("c0", at - timedelta(days=5), quantity=0, amount_cents=0, coupon_cents=100)
    return worlds.compute(worlds.frames([coupon_only]), [at]).astype("float64").loc[("c0", at)]


@pytest.mark.parametrize("name", list(FEATURES))
def test_feature_says_when_it_is_null(unknown: pd.Series, name: str) -> None:
    assert pd.isna(unknown[name]) == (FEATURES[name].null is not None)
    if FEATURES[name].null is None:
        assert unknown[name] == 0


def test_grain_is_one_row_per_customer_and_as_of(observed: pd.DataFrame, world: dict[str, pd.DataFrame]) -> None:
    assert observed.index.is_unique
    lines = world["transactions"]
    for as_of, rows in observed.groupby("as_of"):
        known = lines[(lines["event_time"] < as_of) & (lines["known_at"] < as_of)]
        assert set(rows.index.get_level_values("customer_id")) == set(known["customer_id"].dropna())


def test_empty_tables_give_an_empty_matrix_of_the_same_types(worlds: ModuleType, observed: pd.DataFrame) -> None:
    empty = worlds.compute(worlds.frames([]))
    assert len(empty) == 0
    assert empty.dtypes.equals(observed.dtypes)


@pytest.mark.parametrize("name", ["feedback", "subscriptions", "customers"])
def test_a_table_that_a_company_does_not_have_is_an_empty_one(
    worlds: ModuleType, world: dict[str, pd.DataFrame], name: str
) -> None:
    without = {table: frame for table, frame in world.items() if table != name}
    readers = [feature for feature in FEATURES if name in FEATURES.views[FEATURES[feature].view].sources]
    assert readers
    empty = worlds.compute(world | {name: worlds.frames([])[name]}, names=readers)
    pd.testing.assert_frame_equal(worlds.compute(without, names=readers), empty)


def test_customers_without_history_are_not_observed(worlds: ModuleType) -> None:
    at = worlds.AS_OFS[1]
    contact = {"campaign_id": "m", "customer_id": "unseen", "arm": "mail", "assigned_at": at, "contacted_at": at}
    tables = worlds.frames([worlds.line("seen", at - timedelta(days=1))], contacts=pd.DataFrame([contact]))
    assert list(worlds.compute(tables, [at]).index.get_level_values("customer_id")) == ["seen"]
