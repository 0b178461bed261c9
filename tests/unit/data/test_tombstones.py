"""Whom a tombstone names is refused at the door, and who reads the list learns nobody's name."""

import hashlib
import os
import time
from datetime import datetime

import duckdb
import pyarrow as pa
import pytest

from data.contracts import CONTRACTS
from data.contracts.base import Delivery, Severity
from data.errors import LakeError
from data.quarantine import admit
from data.tombstones import REFUSED, Tombstones, bury, read_tombstones, refuse, tombstones_digest

HOSTILE = ("'); DROP TABLE raw; --", "../up", "x" * 300, "a\nb", "日本-ü", '"', "%", "=1+1")


def deliver(connection: duckdb.DuckDBPyConnection, *customers: str | None) -> None:
    lines = pa.table({"customer_id": pa.array(customers, pa.string()), "cents": range(len(customers))})
    connection.register("lines", lines)
    connection.execute("CREATE OR REPLACE TABLE raw AS FROM lines")
    connection.unregister("lines")


def left(connection: duckdb.DuckDBPyConnection, table: str) -> list[str | None]:
    return [row[0] for row in connection.execute(f'SELECT customer_id FROM "{table}" ORDER BY cents').fetchall()]


def test_nobody_was_erased_at_first(tmp_path):
    assert read_tombstones(tmp_path) is None
    assert tombstones_digest(tmp_path) == ""
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"


def test_the_list_grows_and_the_key_stays(tmp_path):
    first = bury(tmp_path, ["a"])
    digest = tombstones_digest(tmp_path)
    second = bury(tmp_path, ["b"])
    assert first.key == second.key
    assert first.digests < second.digests
    assert read_tombstones(tmp_path) == second
    assert tombstones_digest(tmp_path) != digest
    assert bury(tmp_path, ["b", " a "]) == second, "again changes nothing"


def test_it_is_a_keyed_digest_and_no_hash(tmp_path):
    """Who has the list and all ids, but not the key, recognises nobody."""
    stones = bury(tmp_path, ["512"])
    listed = (tmp_path / "keys" / "tombstones.txt").read_text().split()
    assert not {hashlib.sha256(str(number).encode()).hexdigest() for number in range(10_000)} & set(listed)
    assert stones.digest("512") in listed
    assert bury(tmp_path / "other", ["512"]).digests != stones.digests, "every root has a key of its own"
    assert "key" not in repr(stones)


def test_files_are_their_owner_s(tmp_path):
    before = os.umask(0)
    try:
        bury(tmp_path, ["a"])
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")}
    assert modes == {"keys": "0o700", "tombstones.key": "0o600", "tombstones.txt": "0o600"}


@pytest.mark.parametrize("spoil", [lambda key: key.unlink(), lambda key: key.write_bytes(b"short")])
def test_without_the_key_no_run_goes_on_as_if_nobody_had_been_erased(tmp_path, spoil):
    bury(tmp_path, ["a"])
    spoil(tmp_path / "keys" / "tombstones.key")
    with pytest.raises(LakeError, match="without their key"):
        read_tombstones(tmp_path)
    with pytest.raises(LakeError):
        bury(tmp_path, ["b"])


def test_rows_of_erased_customers_are_refused_and_counted(tmp_path):
    stones = bury(tmp_path, ["12"])
    with duckdb.connect() as connection:
        deliver(connection, "12", "512", None, " 12 ", "1", "12")
        found = refuse(connection, "transactions", "raw", stones)
        assert left(connection, found.table) == ["512", None, "1"]
        assert left(connection, "raw")[0] == "12", "the raw table itself is the caller's"
    assert (found.n_rows, found.n_refused) == (6, 3)
    result = found.result
    assert result is not None
    assert (result.table_name, result.expectation, result.severity) == ("transactions", REFUSED, Severity.WARNING)
    assert (result.n_rows, result.n_failed, result.is_passed) == (6, 3, False)
    assert "12" not in result.detail, "the detail names nobody"


def test_who_was_never_erased_costs_nothing(tmp_path):
    stones = bury(tmp_path, ["12"])
    with duckdb.connect() as connection:
        deliver(connection, "1", None)
        found = refuse(connection, "transactions", "raw", stones)
        assert (found.table, found.n_refused) == ("raw", 0)
        assert found.result is not None
        assert found.result.is_passed
        assert refuse(connection, "transactions", "raw", None).result is None
        assert refuse(connection, "products", "raw", stones, column="product_id").table == "raw"


def test_hostile_ids_are_refused_like_any_other(tmp_path):
    stones = bury(tmp_path, HOSTILE)
    with duckdb.connect() as connection:
        deliver(connection, *HOSTILE, "kept")
        assert left(connection, refuse(connection, "customers", "raw", stones).table) == ["kept"]


def test_numbers_are_ids_too(tmp_path):
    stones = bury(tmp_path, ["12"])
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE raw AS SELECT unnest([12, 512, NULL])::BIGINT AS customer_id, 1 AS cents")
        found = refuse(connection, "transactions", "raw", stones)
        rows = connection.execute(f'SELECT customer_id FROM "{found.table}"').fetchall()
    assert [row[0] for row in rows] == [512, None]


def test_a_contract_admits_what_is_left(tmp_path):
    """The view takes the raw table's place in every step that follows."""
    stones = bury(tmp_path, ["C1"])
    contract = CONTRACTS["customers"]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE raw AS SELECT unnest(['C1', 'C2', 'C3']) AS customer_id")
        found = refuse(connection, "customers", "raw", stones)
        admission = admit(connection, contract, found.table, Delivery(datetime(2024, 5, 1)))
        ids = connection.execute(f'SELECT customer_id FROM "{admission.accepted}" ORDER BY 1').fetchall()
    assert [row[0] for row in ids] == ["C2", "C3"]
    assert admission.reconciliation.n_rows + found.n_refused == found.n_rows == 3


def test_a_hundred_thousand_customers_are_told_apart_in_a_second(tmp_path):
    stones = Tombstones(b"k" * 32, frozenset()).with_ids(["c77", "c99999"])
    ids = [f"c{number}" for number in range(100_000)]
    began = time.perf_counter()
    assert stones.among(ids) == ["c77", "c99999"]
    assert time.perf_counter() - began < 5.0
