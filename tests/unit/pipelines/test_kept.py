"""Which rows of an earlier night still hold: whatever changes a feature changes its digest, and little else does."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from features.battery.engine import connect, load
from features.battery.worlds import AS_OFS, TIMEZONE, random_world
from features.matrix import collect
from features.periods import KEYS
from pipelines import kept, run
from pipelines.kept import MADE_FROM, common_to_all, matrix, origins, sources
from pipelines.run import Run
from pipelines.settings import Company, Engine, Settings

NIGHT = datetime(2018, 1, 1, 5)
N_CUSTOMERS = 45
WORLD = random_world(1, N_CUSTOMERS, 700)
EARLY = "event_time < TIMESTAMP '2017-03-01 05:00'"

OF_CUSTOMERS = (
    "DELETE FROM transactions WHERE {who} AND hash(order_id) % 2 = 0",
    "INSERT INTO transactions SELECT * FROM transactions WHERE {who} AND hash(order_id) % 2 = 0",
    "UPDATE transactions SET amount_cents = amount_cents + 1 WHERE {who} AND hash(order_id) % 3 = 0",
    "UPDATE transactions SET quantity = -quantity WHERE {who} AND hash(order_id) % 3 = 0",
    "UPDATE transactions SET discount_cents = 60, coupon_cents = NULL WHERE {who}",
    "UPDATE transactions SET product_id = 'p2', store_id = 's1' WHERE {who}",
    "UPDATE transactions SET channel = 'post', order_id = order_id || 'x' WHERE {who} AND hash(order_id) % 2 = 0",
    "UPDATE transactions SET local_time = local_time + INTERVAL 9 HOUR WHERE {who}",
    "UPDATE transactions SET event_time = event_time - INTERVAL 9 DAY, known_at = event_time WHERE {who}",
    "UPDATE transactions SET known_at = known_at + INTERVAL 40 DAY WHERE {who}",
    "UPDATE transactions SET replaced_at = known_at + INTERVAL 40 DAY WHERE {who} AND hash(order_id) % 2 = 0",
    "UPDATE transactions SET customer_id = 'c0' WHERE {who}",
    "UPDATE customers SET birth_year = 1961, age_band = '20-30' WHERE {who}",
    "UPDATE customers SET first_seen_on = DATE '2016-05-01', loyalty_joined_on = NULL WHERE {who}",
    "UPDATE subscriptions SET fee_cents = fee_cents + 100, ended_on = DATE '2017-02-01' WHERE {who}",
    "UPDATE subscriptions SET replaced_at = TIMESTAMP '2017-06-01' WHERE {who}",
    "UPDATE feedback SET rating = 1, rating_max = 10, kind = 'complaint' WHERE {who}",
    "UPDATE feedback SET resolved_at = TIMESTAMP '2017-02-01', replaced_at = NULL WHERE {who}",
    "UPDATE contacts SET arm = 'control', campaign_id = 'm1' WHERE {who}",
    "UPDATE contacts SET contacted_at = TIMESTAMP '2017-01-20', known_at = NULL WHERE {who}",
    "DELETE FROM contacts WHERE {who}",
)
"""Something else for each customer, each of them by itself."""
OF_LISTS = (
    "UPDATE products SET category = 'k2' WHERE product_id = 'p1'",
    "UPDATE products SET brand = 'acme' WHERE product_id = 'p5'",
    "UPDATE products SET list_price_cents = 1 WHERE product_id = 'p6'",
    "INSERT INTO products BY NAME SELECT 'new' AS product_id, 'k1' AS category, 20000 AS list_price_cents",
    "DELETE FROM products WHERE product_id = 'p4'",
    "UPDATE campaigns SET ends_on = NULL",
)
WITHOUT_TRACE = (
    f"INSERT INTO transactions SELECT * REPLACE (TIMESTAMP '{AS_OFS[-1]}' AS known_at) FROM transactions WHERE {EARLY}",
    f"UPDATE transactions SET replaced_at = TIMESTAMP '{AS_OFS[-1]}' WHERE hash(order_id) % 5 = 0",
    "INSERT INTO transactions SELECT * REPLACE (NULL AS customer_id) FROM transactions",
    "INSERT INTO transactions SELECT * REPLACE ('somebody' AS customer_id) FROM transactions",
    "INSERT INTO customers BY NAME SELECT 'somebody' AS customer_id, 1990 AS birth_year",
    "INSERT INTO products BY NAME SELECT 'unsold' AS product_id, 'k1' AS category, 'acme' AS brand",
    "UPDATE products SET brand = 'none' WHERE product_id NOT IN (SELECT product_id FROM transactions)",
    "INSERT INTO campaigns BY NAME SELECT 'silent' AS campaign_id",
    "CREATE OR REPLACE TABLE transactions AS SELECT * FROM transactions ORDER BY hash(order_id, product_id)",
)
"""What nobody's features can see at the dates of ``AS_OFS``."""


def a_night(**settings: Any) -> Run:
    company = Company(timezone=settings.pop("timezone", TIMEZONE))
    return Run(Settings(root=Path("unused"), company=company, **settings), NIGHT, "source")


def world(backend: Any, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Take the world, have it changed, and return its tables."""
    for name in WORLD:
        backend.con.execute(f"CREATE OR REPLACE TABLE {name} AS FROM kept_{name}")
    for change in changes:
        backend.con.execute(change)
    return sources({name: backend.table(name) for name in WORLD})


def made_from(tables: dict[str, Any], night: Run | None = None) -> pd.Series:
    common = common_to_all(night or a_night(), tables)
    rows = origins(tables, AS_OFS, TIMEZONE, common).to_pyarrow().to_pandas()
    return rows.set_index(list(KEYS))[MADE_FROM].sort_index()


def features(tables: dict[str, Any]) -> pd.DataFrame:
    return collect(tables, AS_OFS, TIMEZONE).to_pandas().set_index(list(KEYS)).sort_index()


def unlike(left: pd.DataFrame, right: pd.DataFrame) -> set[Any]:
    """Return the customers and dates of which any feature differs, or that only one side knows."""
    index = left.index.union(right.index)
    left, right = left.reindex(index), right.reindex(index)
    is_same = (left.eq(right) | (left.isna() & right.isna())).all(axis=1)
    absent = left.isna().all(axis=1) != right.isna().all(axis=1)
    return set(index[~is_same | absent])


@pytest.fixture(scope="module")
def backend() -> Any:
    made = connect()
    load(made, WORLD)
    made.con.execute("ALTER TABLE transactions ADD COLUMN replaced_at TIMESTAMP")
    for name in WORLD:
        made.con.execute(f"CREATE TABLE kept_{name} AS FROM {name}")
    return made


@pytest.fixture(scope="module")
def base(backend) -> tuple[pd.DataFrame, pd.Series]:
    tables = world(backend)
    return features(tables), made_from(tables)


@pytest.mark.slow
@pytest.mark.parametrize("is_listed", [False, True], ids=["of customers", "of lists"])
def test_whatever_changes_a_feature_changes_what_it_is_made_from(backend, base, is_listed):
    each = [
        f"customer_id IN ({', '.join(repr(f'c{n}') for n in range(number, N_CUSTOMERS, len(OF_CUSTOMERS)))})"
        for number in range(len(OF_CUSTOMERS))
    ]
    changes = OF_LISTS if is_listed else [one.format(who=who) for one, who in zip(OF_CUSTOMERS, each, strict=True)]
    tables = world(backend, changes)
    other = unlike(base[0], features(tables))
    digests = made_from(tables)
    stale = [pair for pair in other if pair in digests and digests.get(pair) == base[1].get(pair)]
    assert not stale
    assert len({customer for customer, _ in other}) > N_CUSTOMERS * 0.6


@pytest.mark.parametrize("change", WITHOUT_TRACE)
def test_what_nobody_could_see_leaves_the_digest_alone(backend, base, change):
    found = made_from(world(backend, [change]))
    assert found.drop("somebody", errors="ignore").equals(base[1])
    assert found.index.is_unique


@pytest.mark.parametrize("number", range(len(OF_CUSTOMERS)))
def test_another_row_is_another_digest_of_that_customer_alone(backend, base, number):
    change = OF_CUSTOMERS[number].format(who="customer_id IN ('c5', 'c6', 'c7')")
    found, expected = made_from(world(backend, [change])).align(base[1])
    others = {customer for customer, _ in found[found.ne(expected)].index}
    assert set() < others <= {"c5", "c6", "c7", "c0"}
    assert ("c0" in others) == ("'c0'" in change)


@pytest.mark.parametrize("change", OF_LISTS[:3])
def test_a_product_of_another_kind_concerns_those_who_bought_it(backend, base, change):
    """But its price concerns all: what is usual in a category is looked at over the whole list."""
    differs = made_from(world(backend, [change])).ne(base[1])
    assert differs.any()
    assert differs.all() == ("brand" not in change)


def test_code_settings_and_features_are_part_of_it(backend, base, monkeypatch):
    tables = world(backend)
    others = [
        made_from(tables, a_night(timezone="Europe/Berlin")),
        made_from(tables, a_night(engine=Engine(kind="spark"))),
    ]
    monkeypatch.setattr(kept, "code_digest", lambda: "another")
    others.append(made_from(tables))
    monkeypatch.undo()
    monkeypatch.setattr(kept, "FEATURES", kept.FEATURES.copy())
    kept.FEATURES._features.popitem()
    others.append(made_from(tables))
    for other in others:
        assert other.ne(base[1]).all()
    assert run.code_digest() != "another"


def test_settings_that_change_no_feature_are_not(backend, base):
    night = a_night(seed=5, engine=Engine(threads=1, memory_limit="1GB"))
    assert made_from(world(backend), night).equals(base[1])


def test_where_nothing_is_known_nothing_is_kept(backend, tmp_path):
    tables = world(backend)
    night = Run(Settings(root=tmp_path), AS_OFS[-1], "source")
    empty = pa.table(
        {
            "customer_id": pa.array([], pa.string()),
            "as_of": pa.array([], pa.timestamp("us")),
            MADE_FROM: pa.array([], pa.int64()),
        }
    )
    never = datetime(2000, 1, 1)
    found = matrix(night, tables, [never - timedelta(days=7), never], empty)
    assert set(found["as_of"].to_pylist()) == {AS_OFS[-1]}
