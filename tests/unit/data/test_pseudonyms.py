"""A pseudonym is one name for one customer; without the key it tells nobody whose it is."""

import hashlib
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data.errors import ConfigError
from data.lake import Lake
from data.pseudonyms import Privacy, pseudonym, pseudonymise, read_key, rotate, rotation
from data.tombstones import bury, read_tombstones

KEY, OTHER = b"k" * 32, b"o" * 32
HOSTILE = ["'); DROP TABLE raw; --", "../up", "x" * 300, "a\nb", "日本-ü", '"']


def view(connection: duckdb.DuckDBPyConnection, ids: pa.Array, key: bytes = KEY) -> list[tuple[object, int]]:
    connection.register("arrow_lines", pa.table({"line": range(len(ids)), "customer_id": ids}))
    connection.execute("CREATE OR REPLACE TABLE raw AS FROM arrow_lines")
    connection.unregister("arrow_lines")
    name = pseudonymise(connection, "raw", key)
    return connection.execute(f'SELECT customer_id, line FROM "{name}" ORDER BY line').fetchall()


@given(st.text(min_size=1, max_size=50).filter(str.strip))
def test_it_looks_like_one_and_depends_on_the_key(customer):
    name = pseudonym(KEY, customer)
    assert len(name) == 27
    assert name[0] == "p"
    assert name.isascii()
    assert name.isalnum()
    assert name == pseudonym(KEY, f" {customer} ") != pseudonym(OTHER, customer)


def test_a_dictionary_of_all_ids_recovers_plain_hashes_and_no_pseudonym():
    """Catalogue row G6: with every possible id at hand, a hash is no secret; without the key, a pseudonym is."""
    n_candidates, customers = 200_000, [f"{number:06d}" for number in range(0, 200_000, 997)]
    candidates = [f"{number:06d}" for number in range(n_candidates)]
    plain = {hashlib.sha256(one.encode()).hexdigest(): one for one in candidates}
    assert sum(hashlib.sha256(one.encode()).hexdigest() in plain for one in customers) == len(customers)
    wrong = {pseudonym(b"guess" * 8, one) for one in candidates}
    wrong |= {f"p{digest[:26]}" for digest in plain}
    assert sum(pseudonym(KEY, one) in wrong for one in customers) == 0


def test_every_row_gets_its_customer_s_name_and_blank_ids_stay_blank():
    with duckdb.connect() as connection:
        rows = view(connection, pa.array(["12", None, "512", " 12 ", "", "12"], pa.string()))
    twelve, other = pseudonym(KEY, "12"), pseudonym(KEY, "512")
    assert [name for name, _ in rows] == [twelve, None, other, twelve, "", twelve]


def test_numbers_and_hostile_texts_are_ids_too():
    with duckdb.connect() as connection:
        assert view(connection, pa.array([12, None]))[0][0] == pseudonym(KEY, "12")
        assert [name for name, _ in view(connection, pa.array(HOSTILE))] == [pseudonym(KEY, one) for one in HOSTILE]


def test_a_table_of_no_customers_is_its_own_view():
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE products AS SELECT 'p' AS product_id")
        assert pseudonymise(connection, "products", KEY) == "products"


def test_features_are_those_of_the_plain_ids():
    """Catalogue row G7: counts, sums and gaps by customer do not hear of the names."""
    start = datetime(2024, 1, 1)
    lines = pa.table(
        {
            "customer_id": [str(number % 37) for number in range(2000)],
            "order_id": [str(number // 2) for number in range(2000)],
            "event_time": [start + timedelta(hours=number) for number in range(2000)],
            "amount_cents": [number * 13 % 997 for number in range(2000)],
        }
    )

    def features(names: "list[str]") -> set[tuple[object, ...]]:
        table = ibis.memtable(lines.set_column(0, "customer_id", pa.array(names)))
        by = table.group_by("customer_id").agg(
            n=table.order_id.nunique(), cents=table.amount_cents.sum(), last=table.event_time.max()
        )
        return {(row["n"], row["cents"], row["last"]) for row in by.to_pyarrow().to_pylist()}

    plain = lines["customer_id"].to_pylist()
    old, new = ([pseudonym(key, one) for one in plain] for key in (KEY, OTHER))
    assert features(plain) == features(old) == features(new)
    assert len(features(plain)) == 37


def test_only_who_holds_both_keys_and_the_ids_can_lead_from_old_names_to_new(tmp_path):
    ids = ["12", "512", "erased"]
    names = rotation(ids, KEY, OTHER)
    lake = Lake(tmp_path / "lake")
    rows = [{"customer_id": pseudonym(KEY, one), "note": f"like {pseudonym(KEY, '512')}", "cents": 1} for one in ids]
    with lake.lock():
        lake.write("lines", pa.Table.from_pylist(rows[:1]), as_of=None, fingerprint="a")
        lake.write("lines", pa.Table.from_pylist(rows[:2]), as_of=None, fingerprint="b")
    bury(tmp_path, [pseudonym(KEY, "erased")])
    assert rotate(tmp_path, lake.root, names) == 2
    assert [lake.read("lines", version=number)["customer_id"].to_pylist() for number in range(2)] == [
        [pseudonym(OTHER, "12")],
        [pseudonym(OTHER, "12"), pseudonym(OTHER, "512")],
    ]
    assert lake.read("lines")["note"][0].as_py() == f"like {pseudonym(OTHER, '512')}"
    assert read_tombstones(tmp_path).holds(pseudonym(OTHER, "erased")), "nobody comes back under a new name"
    assert rotate(tmp_path, lake.root, names) == 0, "again changes nothing"
    assert rotation(ids, OTHER, KEY) == {new: old for old, new in names.items()}


@pytest.mark.parametrize("text", ["6b" * 32, "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="])
def test_the_key_is_read_from_a_file_or_a_variable(tmp_path, monkeypatch, text):
    (tmp_path / "secret").write_text(text + "\n")
    in_file = Privacy(pseudonyms=True, key_file=Path("secret"))
    assert read_key(in_file, tmp_path, tmp_path / "var") == KEY
    monkeypatch.setenv("REGULARS_KEY", text)
    assert read_key(Privacy(pseudonyms=True, key_variable="REGULARS_KEY"), tmp_path, tmp_path / "var") == KEY
    assert read_key(Privacy(), tmp_path, tmp_path / "var") is None


@pytest.mark.parametrize("text", ["", "short", "6b" * 31, "not a key but a long sentence of many words"])
def test_what_is_no_key_is_refused_and_never_repeated(tmp_path, text):
    (tmp_path / "secret").write_text(text)
    with pytest.raises(ConfigError, match="no key of 32 bytes") as caught:
        read_key(Privacy(pseudonyms=True, key_file=Path("secret")), tmp_path, tmp_path / "var")
    assert not text or text not in str(caught.value)


def test_the_key_does_not_lie_with_the_data(tmp_path):
    for place, is_fine in (("var/lake/key", False), ("var/key", False), ("var/keys/key", True)):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("6b" * 32)
        privacy = Privacy(pseudonyms=True, key_file=Path(place))
        if is_fine:
            assert read_key(privacy, tmp_path, tmp_path / "var") == KEY
        else:
            with pytest.raises(ConfigError, match="with the data that it protects"):
                read_key(privacy, tmp_path, tmp_path / "var")


def test_settings_name_one_key_and_never_hold_it():
    for wrong in ({"pseudonyms": True}, {"pseudonyms": True, "key_file": "a", "key_variable": "B"}, {"key": "x"}):
        with pytest.raises(ValidationError):
            Privacy.model_validate(wrong)
    with pytest.raises(ConfigError) as caught:
        Privacy.model_validate({"pseudonyms": True, "key_variable": "6b" * 32})
    assert "6b6b" not in str(caught.value)


def test_a_hundred_thousand_customers_cost_seconds_at_most():
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            "CREATE TABLE raw AS SELECT 'c' || (range % 100_000) AS customer_id, range AS line FROM range(500_000)"
        )
        began = time.perf_counter()
        name = pseudonymise(connection, "raw", KEY)
        ((n_names, n_rows),) = connection.execute(
            f'SELECT count(DISTINCT customer_id), count(*) FROM "{name}"'
        ).fetchall()
    assert (n_names, n_rows) == (100_000, 500_000)
    assert time.perf_counter() - began < 20.0
    assert os.environ.get("REGULARS_KEY") is None
