"""Sources: the files of a delivery, a digest that sees every byte, and errors that name the file."""

import hashlib
import os
from datetime import datetime
from pathlib import Path
from time import sleep

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import demo
from data.errors import ConfigError, ContractError
from data.simulator import simulate
from data.sources import DemoSource, ParquetSource, digest
from data.sources.base import digest_of

NEEDED = ("customers", "products", "transactions")


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, table in simulate(seed=1, n_customers=50, n_days=112).tables.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path


def test_the_files_come_back_as_the_tables_that_were_written(tables_of, folder):
    tables = tables_of(ParquetSource(folder))
    assert set(tables) == set(demo.TABLES)
    for name, table in simulate(seed=1, n_customers=50, n_days=112).tables.items():
        assert tables[name].equals(table)


def test_the_digest_does_not_depend_on_place_or_time(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    for path in sorted(folder.iterdir(), reverse=True):
        (other / path.name).write_bytes(path.read_bytes())
    assert digest(ParquetSource(other)) == digest(ParquetSource(folder)) == digest(ParquetSource(folder))


@pytest.mark.parametrize("name", sorted(demo.TABLES))
def test_any_byte_of_any_file_changes_the_digest(folder, name):
    before = digest(ParquetSource(folder))
    path = folder / f"{name}.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert digest(ParquetSource(folder)) != before


def test_two_files_that_change_places_change_the_digest(folder):
    before = digest(ParquetSource(folder))
    (folder / "customers.parquet").rename(folder / "spare")
    (folder / "products.parquet").rename(folder / "customers.parquet")
    (folder / "spare").rename(folder / "products.parquet")
    assert digest(ParquetSource(folder)) != before


def test_files_that_are_no_raw_tables_are_not_read(tables_of, folder):
    before = digest(ParquetSource(folder))
    (folder / "notes.parquet").write_bytes(b"no parquet")
    (folder / "customers.csv").write_text("customer_id")
    assert digest(ParquetSource(folder)) == before
    assert set(tables_of(ParquetSource(folder))) == set(demo.TABLES)


def test_a_shop_may_keep_no_campaigns(tables_of, folder):
    with_all = digest(ParquetSource(folder))
    for name in ("campaigns", "contacts"):
        (folder / f"{name}.parquet").unlink()
    source = ParquetSource(folder)
    assert set(tables_of(source)) == set(NEEDED)
    assert digest(source) != with_all


@pytest.mark.parametrize("name", NEEDED)
def test_what_every_run_needs_must_be_there(folder, name):
    (folder / f"{name}.parquet").unlink()
    with pytest.raises(ConfigError, match=rf"no {name}\.parquet in {folder}.*correct source\.path"):
        ParquetSource(folder)


def test_a_folder_that_is_not_there_misses_all_three(tmp_path):
    with pytest.raises(ConfigError, match=r"no customers\.parquet, products\.parquet, transactions\.parquet in"):
        ParquetSource(tmp_path / "nowhere")


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_damaged_file_is_named_in_one_line(tables_of, folder, cut):
    """Catalogue row D10."""
    path = folder / "transactions.parquet"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ContractError, match=r"transactions\.parquet cannot be read") as caught:
        tables_of(ParquetSource(folder))
    assert "\n" not in str(caught.value)


def test_the_demo_needs_no_file_of_ours():
    source = DemoSource()
    assert {piece.digest for piece in source.pieces()} == {demo.source_digest()}
    assert digest(source) == digest(DemoSource())


@pytest.mark.slow
def test_the_demo_has_every_table(tables_of):
    tables = tables_of(DemoSource())
    assert set(tables) == set(demo.TABLES)
    assert tables["transactions"].num_rows == 1_469_307
    assert max(tables["transactions"]["event_time"].to_pylist()) < demo.AS_OF
    assert all(table.schema == demo.RAW_SCHEMAS[name] for name, table in tables.items())
    assert isinstance(demo.AS_OF, datetime)
    assert isinstance(tables["customers"], pa.Table)


class TestLargeFiles:
    """A file that is worth remembering: its digest is made once in a process, and anew when it changed."""

    @pytest.fixture
    def large(self, tmp_path) -> Path:
        path = tmp_path / "large.csv"
        path.write_bytes(b"a" * 2**20)
        return path

    @pytest.fixture
    def reads(self, monkeypatch) -> list[str]:
        """Return the names of the files that are digested from now on."""
        seen: list[str] = []
        real = hashlib.file_digest

        def noting(stream, name):
            seen.append(Path(stream.name).name)
            return real(stream, name)

        monkeypatch.setattr(hashlib, "file_digest", noting)
        return seen

    def test_it_is_read_once(self, large, reads):
        assert digest_of(large) == digest_of(large) == hashlib.sha256(b"a" * 2**20).hexdigest()
        assert reads == ["large.csv"]

    def test_a_change_of_the_same_length_is_seen(self, large):
        before = digest_of(large)
        sleep(0.02)  # longer than a tick of the file system's clock
        with large.open("r+b") as stream:
            stream.write(b"b")
        assert digest_of(large) != before

    def test_a_change_whose_time_was_set_back_is_seen(self, large):
        before, found = digest_of(large), large.stat()
        sleep(0.02)
        large.write_bytes(b"b" * 2**20)
        os.utime(large, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert digest_of(large) != before

    def test_another_file_in_its_place_is_seen(self, large, tmp_path):
        before, found = digest_of(large), large.stat()
        (tmp_path / "new").write_bytes(b"b" * 2**20)
        os.utime(tmp_path / "new", ns=(found.st_atime_ns, found.st_mtime_ns))
        (tmp_path / "new").replace(large)
        assert digest_of(large) != before

    def test_small_files_are_read_each_time(self, tmp_path, reads):
        (tmp_path / "small.csv").write_bytes(b"a")
        assert digest_of(tmp_path / "small.csv") == digest_of(tmp_path / "small.csv")
        assert reads == ["small.csv"] * 2
