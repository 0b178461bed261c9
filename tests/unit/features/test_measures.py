"""Arithmetic on integers that is divided once."""

import math
import statistics

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.measures import deviation, entropy, share, trend

COUNTS = st.lists(st.integers(1, 10**5), min_size=1, max_size=40)
QUICK = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def connection() -> ibis.BaseBackend:
    return ibis.duckdb.connect(threads=2)


def value(connection: ibis.BaseBackend, expression: object) -> float:
    return float(connection.to_pyarrow(expression).as_py() or 0.0)  # type: ignore[attr-defined]


def table(values: list[int]) -> ibis.Table:
    return ibis.memtable(pa.table({"n": pa.array(values, pa.int64())}))


@QUICK
@given(counts=COUNTS)
def test_entropy_is_within_a_billionth(connection: ibis.BaseBackend, counts: list[int]) -> None:
    rows, total = table(counts), sum(counts)
    exact = -math.fsum(n / total * math.log(n / total) for n in counts)
    assert value(connection, entropy(rows.n, rows.n > 0)) == pytest.approx(exact, abs=1e-9)


@QUICK
@given(counts=COUNTS)
def test_entropy_does_not_see_the_order(connection: ibis.BaseBackend, counts: list[int]) -> None:
    one, other = (table(sorted(counts, reverse=back)) for back in (False, True))
    assert value(connection, entropy(one.n, one.n > 0)) == value(connection, entropy(other.n, other.n > 0))


@QUICK
@given(gaps=st.lists(st.integers(1, 4000), min_size=2, max_size=60))
def test_deviation_is_the_sample_standard_deviation(connection: ibis.BaseBackend, gaps: list[int]) -> None:
    assert value(connection, deviation(table(gaps).n)) == pytest.approx(statistics.stdev(gaps), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("values", [[], [5]])
def test_deviation_of_fewer_than_two_is_null(connection: ibis.BaseBackend, values: list[int]) -> None:
    assert connection.to_pyarrow(deviation(table(values).n)).as_py() is None


@pytest.mark.parametrize(("recent", "before", "expected"), [(3, 0, 1), (0, 3, -1), (2, 2, 0), (3, 1, 0.5), (-1, 3, -2)])
def test_trend(connection: ibis.BaseBackend, recent: int, before: int, expected: float) -> None:
    assert value(connection, trend(ibis.literal(recent), ibis.literal(before))) == expected


@pytest.mark.parametrize(("recent", "before"), [(0, 0), (-2, 1)])
def test_trend_without_a_positive_sum_is_null(connection: ibis.BaseBackend, recent: int, before: int) -> None:
    assert connection.to_pyarrow(trend(ibis.literal(recent), ibis.literal(before))).as_py() is None


def test_share_of_nothing_is_null(connection: ibis.BaseBackend) -> None:
    assert connection.to_pyarrow(share(ibis.literal(1), ibis.literal(0))).as_py() is None
    assert np.isclose(value(connection, share(ibis.literal(1), ibis.literal(3))), 1 / 3, rtol=0)
