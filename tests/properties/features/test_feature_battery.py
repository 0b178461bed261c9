"""Every registered feature passes the battery by itself."""

import hashlib
from datetime import timedelta
from types import ModuleType

import ibis
import numpy as np
import pandas as pd
import pytest

from features.matrix import feature_matrix, to_arrow
from features.registry import FEATURES

CHECKS = [
    "poisoned_future",
    "absent_future",
    "late_events",
    "row_order",
    "repeated_references",
    "anonymous_lines",
    "other_customers",
    "one_as_of_at_a_time",
    "lookback",
    "alone",
]
RANGES = dict.fromkeys(("count", "days", "years", "nats", "ratio"), (0, np.inf)) | {"share": (0, 1)}


@pytest.fixture(scope="module")
def world(worlds: ModuleType) -> dict[str, pd.DataFrame]:
    return worlds.random_world(11)


@pytest.fixture(scope="module")
def bench(battery: ModuleType, world: dict[str, pd.DataFrame]) -> object:
    assert sorted(battery.CHECKS) == sorted(CHECKS)
    return battery.Bench(world)


@pytest.fixture(scope="module")
def observed(worlds: ModuleType, world: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return worlds.compute(world)


@pytest.mark.parametrize("check", CHECKS)
def test_every_feature_passes(battery: ModuleType, bench: object, check: str) -> None:
    """Each feature is accused by itself; a check runs once for all of them, because it costs seconds."""
    assert battery.accused(check, bench) == set()


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


@pytest.mark.parametrize("name", ["products", "campaigns", "contacts", "feedback", "subscriptions", "customers"])
def test_an_empty_reference_table_is_no_error(
    worlds: ModuleType, world: dict[str, pd.DataFrame], observed: pd.DataFrame, name: str
) -> None:
    frame = worlds.compute(world | {name: worlds.frames([])[name]})
    untouched = [feature for feature in FEATURES if name not in FEATURES.views[FEATURES[feature].view].sources]
    assert len(frame) > 0
    pd.testing.assert_frame_equal(frame[untouched], observed[untouched])


@pytest.mark.parametrize("name", ["feedback", "subscriptions", "customers"])
def test_a_table_that_a_company_does_not_have_is_an_empty_one(
    worlds: ModuleType, world: dict[str, pd.DataFrame], name: str
) -> None:
    without = {table: frame for table, frame in world.items() if table != name}
    pd.testing.assert_frame_equal(worlds.compute(without), worlds.compute(world | {name: worlds.frames([])[name]}))


def test_customers_without_history_are_not_observed(worlds: ModuleType) -> None:
    at = worlds.AS_OFS[1]
    contact = {"campaign_id": "m", "customer_id": "unseen", "arm": "mail", "assigned_at": at, "contacted_at": at}
    tables = worlds.frames([worlds.line("seen", at - timedelta(days=1))], contacts=pd.DataFrame([contact]))
    assert list(worlds.compute(tables, [at]).index.get_level_values("customer_id")) == ["seen"]


def _digest(connection: ibis.BaseBackend, tables: dict[str, ibis.Table], worlds: ModuleType) -> str:
    table = to_arrow(feature_matrix(tables, worlds.AS_OFS, worlds.NEW_YORK))
    hashes = pd.util.hash_pandas_object(table.to_pandas(), index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


def test_threads_and_file_splits_change_no_byte(worlds: ModuleType, tmp_path) -> None:
    """R1, R2: 200,000 lines, 1 and 2 threads, one file and seven, ordered and shuffled."""
    tables = {name: frame for name, frame in worlds.random_world(5).items() if name != "transactions"}
    big = worlds.connect()
    big.con.execute(
        """CREATE TABLE lines AS
        SELECT 'o' || (i // 6) AS order_id, 'c' || (hash(i // 6) % 900) AS customer_id,
          'p' || (hash(i) % 11) AS product_id,
          TIMESTAMP '2016-01-01' + INTERVAL (hash(i // 6, 1) % 61000000) SECOND AS event_time,
          ((hash(i, 2) % 5)::INT - 1)::DECIMAL(18, 3) AS quantity, (hash(i, 3) % 9999)::BIGINT AS amount_cents,
          (hash(i, 4) % 99)::BIGINT AS discount_cents, (hash(i, 5) % 3)::BIGINT AS coupon_cents,
          NULL::VARCHAR AS channel,
          's' || (hash(i, 6) % 9) AS store_id, NULL::VARCHAR AS currency,
          event_time AS known_at, event_time AS local_time
        FROM range(200000) AS r(i)"""
    )
    for part in range(7):
        big.con.execute(
            f"COPY (FROM lines WHERE hash(order_id, product_id) % 7 = {part}) TO '{tmp_path}/{part}.parquet'"
        )
    big.con.execute(f"COPY (FROM lines ORDER BY hash(order_id, 9)) TO '{tmp_path}/all.parquet'")
    digests = set()
    for threads, files in [(1, ["all"]), (2, ["all"]), (2, list("0123456")), (2, list("6204315"))]:
        connection = worlds.connect(threads)
        loaded = worlds.load(connection, tables)
        loaded["transactions"] = connection.read_parquet([f"{tmp_path}/{file}.parquet" for file in files])
        digests.add(_digest(connection, loaded, worlds))
    assert len(digests) == 1
