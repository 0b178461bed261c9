"""Every feature equals an independent implementation on random tables: counts and cents exactly, floats within 1e-9."""

from datetime import datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.registry import FEATURES

TABLES = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
BERLIN_SPRING, LEAP, MONTH_END = map(
    datetime.fromisoformat, ("2020-03-29T22:00", "2020-02-29T23:00", "2020-05-31T22:00")
)


@st.composite
def sales(draw: st.DrawFn) -> tuple[str | None, datetime, dict[str, Any]]:
    quantity = draw(st.sampled_from([-2, -1, 0, 1, 1, 2]))
    # Whole days before an as_of, then microseconds to either side: windows and boundaries are hit, not missed.
    at = draw(st.sampled_from([BERLIN_SPRING, LEAP, MONTH_END])) - timedelta(
        days=draw(st.sampled_from([0, 1, 7, 28, 29, 84, 85, 182, 183, 364, 365])),
        hours=draw(st.integers(0, 30)),
        microseconds=draw(st.integers(-1, 1)),
    )
    columns = {
        "order_id": draw(st.sampled_from(["o1", "o2", "o3", "o4", "o5", "o6"])),
        "product_id": draw(st.sampled_from(["p0", "p1", "p2", "p3", "unknown"])),
        "quantity": Decimal(quantity),
        "amount_cents": draw(st.integers(1, 10**6)) * (quantity > 0) - draw(st.integers(1, 10**5)) * (quantity < 0),
        "discount_cents": draw(st.none() | st.integers(0, 5000)) if quantity > 0 else None,
        "coupon_cents": draw(st.none() | st.integers(0, 500)),
        "store_id": draw(st.sampled_from(["s1", "s2", None])),
        "known_at": at + timedelta(days=draw(st.sampled_from([0, 0, 0, 1, 40]))),
    }
    return draw(st.sampled_from(["a", "b", None])), at, columns


def _equal(computed: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert sorted(computed) == sorted(expected), "a feature without an oracle, or an oracle without a feature"
    assert list(computed.index) == list(expected.index)
    for name in computed:
        exact = FEATURES[name].unit in {"count", "flag"} or computed[name].dtype == "int64"
        np.testing.assert_allclose(
            computed[name].astype("float64"),
            expected[name],
            rtol=0 if exact else 1e-9,
            atol=0 if exact else 1e-9,
            err_msg=name,
        )


@pytest.mark.parametrize("seed", range(3))
def test_every_feature_equals_the_oracle_in_a_world(worlds: ModuleType, oracle: ModuleType, seed: int) -> None:
    world = worlds.random_world(seed)
    computed = worlds.compute(world)
    assert len(computed) > 20
    assert computed.isna().mean().mean() < 0.3
    _equal(computed, oracle.matrix(world, worlds.AS_OFS, worlds.NEW_YORK))


@TABLES
@given(shops=st.lists(st.lists(sales(), max_size=30), min_size=5, max_size=5))
def test_every_feature_equals_the_oracle_on_random_lines(
    worlds: ModuleType, oracle: ModuleType, shops: list[list[Any]]
) -> None:
    """Five small shops go into one query: each has customers and orders of its own."""
    as_ofs = [LEAP, BERLIN_SPRING, MONTH_END]
    lines = [
        worlds.line(
            customer and f"{customer}{shop}",
            at,
            **columns | {"order_id": f"{columns['order_id']}{shop}"},
            local_time=worlds.local(at, "Europe/Berlin"),
        )
        for shop, rows in enumerate(shops)
        for customer, at, columns in rows
    ]
    products = pd.DataFrame({"product_id": ["p0", "p1", "p2", "p3"], "category": ["k0", "k1", "k1", None]})
    tables = worlds.frames(lines, products=products)
    computed = worlds.compute(tables, as_ofs, timezone="Europe/Berlin")
    _equal(computed, oracle.matrix(tables, as_ofs, "Europe/Berlin"))
