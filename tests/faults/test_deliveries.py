"""Deliveries that are broken as files, odd in their names, or too large for the disk: rows D5, D10 and G12."""

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.contracts import CONTRACTS
from data.contracts.base import Delivery, quoted
from data.engine import connect
from data.errors import ConfigError, ContractError, LakeError
from data.lake import Lake
from data.quarantine import Admission, admit
from data.sources import ParquetSource, digest

DELIVERY = Delivery(datetime(2024, 5, 1), reject_limit=1.0)
CUSTOMERS = CONTRACTS["customers"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("customers", "products", "transactions"):
        pq.write_table(pa.table({f"{name[:-1]}_id": ["a", "b"]}), tmp_path / f"{name}.parquet")
    return tmp_path


def many(path: Path) -> bytes:
    pq.write_table(pa.table({"customer_id": [f"c{number}" for number in range(10_000)]}), path)
    return path.read_bytes()


def zeroed(path: Path) -> bytes:
    content = many(path)
    return content[:100] + bytes(100) + content[200:]


BROKEN: dict[str, Callable[[Path], bytes]] = {
    "no byte": lambda _: b"",
    "a CSV file": lambda _: b"customer_id,name\nc1,Anna\n",
    "cut in half": lambda path: many(path)[:20_000],
    "cut by one byte": lambda path: many(path)[:-1],
    "its head alone": lambda path: many(path)[:4],
    "zeros in the middle": zeroed,
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_a_damaged_file_is_a_users_error_in_one_line_that_names_it(tables_of, folder, damage):
    path = folder / "customers.parquet"
    path.write_bytes(damage(path))
    with pytest.raises(ContractError, match=r"customers\.parquet cannot be read: .*deliver the file again$") as caught:
        tables_of(ParquetSource(folder))
    assert "\n" not in str(caught.value)


def test_a_damaged_file_still_has_a_digest_so_that_the_night_after_its_repair_is_another(folder):
    before = digest(ParquetSource(folder))
    (folder / "customers.parquet").write_bytes(b"")
    assert digest(ParquetSource(folder)) != before


def test_two_columns_of_one_name_cannot_be_told_apart(tables_of, folder):
    twins = pa.table([pa.array(["a"]), pa.array(["b"])], names=["customer_id", "customer_id"])
    pq.write_table(twins, folder / "customers.parquet")
    with pytest.raises(ContractError, match="columns of different names"):
        tables_of(ParquetSource(folder))


@pytest.mark.parametrize("missing", ["customers", "products", "transactions"])
def test_a_missing_file_is_named(folder, missing):
    (folder / f"{missing}.parquet").unlink()
    with pytest.raises(ConfigError, match=rf"no {missing}\.parquet"):
        ParquetSource(folder)


def test_a_folder_in_the_place_of_a_file_is_no_file(folder):
    (folder / "customers.parquet").unlink()
    (folder / "customers.parquet").mkdir()
    with pytest.raises(ConfigError, match=r"no customers\.parquet"):
        ParquetSource(folder)


def test_files_without_rows_and_cells_of_ten_megabytes_are_read(tables_of, folder):
    pq.write_table(pa.table({"customer_id": pa.array([], pa.string())}), folder / "customers.parquet")
    pq.write_table(pa.table({"product_id": ["x" * 10_000_000]}), folder / "products.parquet")
    tables = tables_of(ParquetSource(folder))
    assert tables["customers"].num_rows == 0
    assert len(tables["products"]["product_id"][0].as_py()) == 10_000_000


def admitted(connection: duckdb.DuckDBPyConnection, attribute: str) -> Admission:
    """Admit two good rows, one of them twice, and a bad one, with an attribute of this name."""
    connection.execute(
        "CREATE TABLE raw AS FROM (VALUES ('C1', 'x', '2020-01-01'), ('C2', 'y', '2020-01-02'), "
        f"('C2', 'y', '2020-01-02'), (NULL, 'z', '2020-01-01')) t(customer_id, {quoted(attribute)}, first_seen_on)"
    )
    return admit(connection, CUSTOMERS, "raw", DELIVERY)


OURS = ["rowid", "ROWID", "reasons", "bad_row", "copy", "row as staged", "row_json", "table_name", "line"]
OURS += ["first_seen_on (as delivered)", "customer_id (attribute)", "local_time", "raw", "customers__rows"]
HOSTILE = ['a "quoted" name', "it's", "a; DROP TABLE raw; --", "a:b :c", "a{0}{batch}", "100 %s", "a\\:b", "a\nb", " "]
HOSTILE += ["*", "a.b", "select", "../up", "x" * 300, "Straße 日本", "\u202e", "customer_id "]


@pytest.mark.parametrize("attribute", [*OURS, *HOSTILE], ids=lambda name: repr(name[:30]))
def test_an_attribute_may_have_any_name(attribute):
    """Names of our own tables' columns included: a shop may well have a column called ``reasons`` or ``copy``."""
    with duckdb.connect(config={"threads": 1}) as connection:
        admission = admitted(connection, attribute)
        found = admission.reconciliation
        accepted = connection.execute(f"FROM {admission.accepted} ORDER BY customer_id").to_arrow_table()
        ((reasons, row),) = connection.execute(f"SELECT reasons, row_json FROM {admission.quarantine}").fetchall()
        ((delivered,),) = connection.execute("SELECT to_json(t) FROM raw AS t WHERE customer_id IS NULL").fetchall()
    assert (found.n_rows, found.n_accepted, found.n_quarantined, found.n_duplicates) == (4, 2, 1, 1)
    assert accepted.column_names == [*(column.name for column in CUSTOMERS.columns), attribute]
    assert accepted[attribute].to_pylist() == ["x", "y"]
    assert [str(day) for day in accepted["first_seen_on"].to_pylist()] == ["2020-01-01", "2020-01-02"]
    assert reasons == "customer_id is null"
    assert row == delivered


@pytest.mark.parametrize("name", ["../up", "a/b", "/abs", "", ".", "..", "lock", "a%20b", "a\0b", "a\nb", "x" * 256])
def test_no_name_of_a_table_leaves_the_lake(tmp_path, name):
    lake = Lake(tmp_path / "root" / "lake")
    rows = pa.table({"x": [1]})
    for use in (
        lambda: lake.write(name, rows, as_of=None, fingerprint="f"),
        lambda: lake.read(name),
        lambda: lake.has(name),
        lambda: lake.find(name, "f"),
    ):
        with pytest.raises(LakeError, match="a table called"):
            use()
    assert [path.name for path in tmp_path.rglob("*")] == ["root", "lake"]


@pytest.mark.parametrize("name", ["..hidden", "a b", 'a "b"', "it's", "ünïcode 日本", "x" * 255, "LOCK", "-rf"])
def test_other_names_of_tables_are_only_names(tmp_path, name):
    lake = Lake(tmp_path / "lake")
    lake.write(name, pa.table({"x": [1]}), as_of=None, fingerprint="f")
    assert lake.read(name).to_pydict() == {"x": [1]}
    assert lake.find(name, "f") == 0
    assert [path.name for path in lake.root.iterdir()] == [name]


FULL_DISK = """
import resource, signal, sys
from datetime import datetime
from pathlib import Path
from data.contracts import CONTRACTS
from data.contracts.base import Delivery
from data.engine import connect
from data.errors import UserError
from data.quarantine import admit

connection = connect(1, "40MB", Path(sys.argv[1])).con
connection.execute('''CREATE TABLE raw AS SELECT 'o' || i AS order_id, 'c' || i % 999 AS customer_id,
    'p' || i % 50 AS product_id, '2024-01-01 10:00:00' AS event_time, CASE WHEN i % 20 > 0 THEN '1' END AS quantity,
    '100' AS amount_cents, repeat('x', 20) || hash(i) AS note FROM range(200_000) t(i)''')
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    print(admit(connection, CONTRACTS["transactions"], "raw", Delivery(datetime(2024, 5, 1), reject_limit=1.0)))
except UserError as error:
    print(error)
    views = connection.execute("SELECT view_name FROM duckdb_views() WHERE view_name LIKE '%accepted'").fetchall()
    sys.exit(99 if views else error.exit_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("n_bytes", "code"), [(5_000_000, 7), (10**9, 0)])
def test_a_full_disk_ends_the_run_with_its_code_and_nothing_accepted(tmp_path, n_bytes, code):
    """D5: what does not fit into memory spills, and there is no room for it."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL_DISK, str(tmp_path / "spill"), str(n_bytes)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (code, "")
    assert ("found: a query ran out of room" in ended.stdout) == (code == 7)
    assert ("n_quarantined=10000" in ended.stdout) == (code == 0)


def test_too_little_memory_and_nowhere_to_spill_is_a_users_error(tmp_path):
    backend = connect(1, "30MB")
    backend.raw_sql(
        "CREATE TABLE raw AS SELECT CAST(i AS VARCHAR) AS customer_id, hash(i) AS x FROM range(500_000) t(i)"
    )
    with pytest.raises(LakeError, match=r"ran out of room: Out of Memory Error.*raise memory_limit"):
        admit(backend.con, CUSTOMERS, "raw", DELIVERY)
    backend.disconnect()
