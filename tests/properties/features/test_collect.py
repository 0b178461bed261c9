"""Collected one ``as_of`` after the other, the matrix has the bytes of the one query."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import ibis
import pyarrow as pa
import pytest

from features.battery.engine import connect, load
from features.battery.worlds import AS_OFS, random_world
from features.matrix import collect, feature_matrix
from features.registry import FEATURES

NEW_YORK = "America/New_York"
BOUNDED = ["n_orders_84d", "spend_28d_cents", "category_entropy", "top_store_share"]


@pytest.fixture
def backend() -> Iterator[ibis.BaseBackend]:
    backend = connect()
    yield backend
    backend.disconnect()


def in_one_query(tables: dict[str, ibis.Table], as_ofs: list[datetime], names: list[str] | None = None) -> pa.Table:
    return feature_matrix(tables, as_ofs, NEW_YORK, names).order_by("as_of", "customer_id").to_pyarrow()


class Whole:
    """The one query, compiled once for each list of dates and asked of every world."""

    def __init__(self) -> None:
        self.backend = connect()
        self.asked: dict[tuple[datetime, ...], tuple[ibis.Table, ibis.Table]] = {}

    def __call__(self, seed: int, as_ofs: Sequence[datetime]) -> pa.Table:
        tables, dates = load(self.backend, random_world(seed)), tuple(as_ofs)
        if dates not in self.asked:
            matrix, name = feature_matrix(tables, as_ofs, NEW_YORK), f"matrix_{len(self.asked)}"
            self.backend.create_view(name, matrix)
            self.asked[dates] = matrix, self.backend.sql(f"FROM {name}", schema=matrix.schema())
        return self.asked[dates][1].order_by("as_of", "customer_id").to_pyarrow()


@pytest.fixture(scope="module")
def whole() -> Whole:
    return Whole()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_as_ofs", [1, 2, None])
def test_it_has_the_bytes_of_one_query(
    backend: ibis.BaseBackend, whole: Whole, seed: int, n_as_ofs: int | None
) -> None:
    tables, as_ofs = load(backend, random_world(seed)), list(AS_OFS)[:n_as_ofs][::-1]
    collected = collect(tables, as_ofs, NEW_YORK)
    assert collected.column_names == ["customer_id", "as_of", *FEATURES]
    assert collected.combine_chunks().equals(whole(seed, as_ofs).combine_chunks())


@pytest.mark.parametrize("names", [BOUNDED, ["n_orders"], ["campaign_response_share"]])
def test_some_features_are_those_of_all(backend: ibis.BaseBackend, names: list[str]) -> None:
    tables = load(backend, random_world(5))
    expected = in_one_query(tables, list(AS_OFS), names)
    assert collect(tables, list(AS_OFS), NEW_YORK, names).combine_chunks().equals(expected.combine_chunks())


def test_a_company_that_keeps_orders_alone_has_features(backend: ibis.BaseBackend) -> None:
    world = random_world(6)
    tables = load(backend, {name: world[name] for name in ("transactions", "products", "campaigns", "contacts")})
    expected = in_one_query(tables, list(AS_OFS))
    assert collect(tables, list(AS_OFS), NEW_YORK).combine_chunks().equals(expected.combine_chunks())


def test_nothing_is_left_behind_in_the_engine(backend: ibis.BaseBackend) -> None:
    tables = load(backend, random_world(7))
    collect(tables, list(AS_OFS), NEW_YORK)
    found = backend.con.execute("SELECT table_name FROM information_schema.tables").fetchall()
    assert {name for (name,) in found if not name.startswith("ibis_pandas_memtable")} == set(tables)


def test_without_an_order_line_there_is_nobody(backend: ibis.BaseBackend) -> None:
    world = random_world(8)
    tables = load(backend, world | {"transactions": world["transactions"].iloc[:0]})
    assert collect(tables, list(AS_OFS), NEW_YORK).num_rows == 0
