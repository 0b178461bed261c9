"""Catalogue rows G3, G4, G5, G12, G13: a customer is erased from the root of two real nights, whatever kills it."""

import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.contracts.base import Delivery
from data.erasure import find
from data.errors import LakeError, LockHeldError
from data.lake import Lake
from data.quarantine import admit_all
from data.tombstones import read_tombstones, refuse
from data.traces import Traces
from pipelines.erase import erase, resume
from pipelines.settings import Settings
from pipelines.sweep import files_under, search

pytestmark = pytest.mark.slow

ANNA, EMAIL, PHONE = "c000000713", "anna.nobody@example.org", "+46 70 123 45 67"
TRACES = Traces(frozenset({ANNA}), frozenset({EMAIL, PHONE}))
AT = datetime(2025, 1, 2, 9, 30)

VICTIM = """
import os, signal, sys
from datetime import datetime
from pathlib import Path

from data import private
from pipelines.erase import erase
from pipelines.settings import Settings

swapped, removed = Path.replace, Path.unlink

def dying(function):
    def call(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*args, **kwargs)
    return call

Path.replace, Path.unlink = dying(swapped), dying(removed)
for line in sys.stdin:
    left, config = line.rstrip().split(" ", 1)
    left = int(left)
    pid = os.fork()
    if pid == 0:
        erase(Settings.read(Path(config)), [sys.argv[1]], datetime(2025, 1, 2, 9, 30))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    print(status, flush=True)
"""


@dataclass(frozen=True)
class Root:
    """A root of two nights in which Anna is everywhere, and the settings that lead to it."""

    settings: Settings
    config: Path

    @property
    def path(self) -> Path:
        return self.settings.root

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_root)


def plant(root: Path) -> None:
    """Put Anna where nights of other companies would: identities, logs, exports, drafts, stores, spilled rows."""
    lake = Lake(root / "lake")
    people = [
        {"customer_id": ANNA, "name": "Anna Nobody", "email": EMAIL, "phone": PHONE},
        {"customer_id": "c000000001", "name": "Bo", "email": "bo@example.org", "phone": None},
    ]
    with lake.lock():
        for fingerprint in ("first", "second"):
            lake.write("people_identities", pa.Table.from_pylist(people), as_of=None, fingerprint=fingerprint)
        identities = lake.read("identities")
        rows = [{name: row.get(name) for name in identities.schema.names} for row in people]
        lake.write("identities", pa.Table.from_pylist(rows, identities.schema), as_of=None, fingerprint="planted")
    for name in ("logs", "exports", "docs"):
        (root / name).mkdir(mode=0o700)
    (root / "logs" / "night.log").write_text(f"row of {ANNA} failed\nall well\nmail to {EMAIL.upper()}\n")
    (root / "logs" / "night.log.gz").write_bytes(gzip.compress(f"{ANNA} failed".encode()))
    (root / "exports" / "actions.csv").write_text(f'"customer_id","action"\n"{ANNA}","retain"\n')
    (root / "exports" / "others.csv").write_text('"customer_id","action"\n"c000000001","retain"\n')
    (root / "docs" / "note.txt").write_text(f"call 46 (70) 123-45-67, not {ANNA}1")
    (root / "spill").mkdir(exist_ok=True)
    (root / "spill" / "duckdb_temp_storage-0.tmp").write_bytes(b"\0" + ANNA.encode())
    with closing(sqlite3.connect(root / "mlflow.db")) as store:
        run = store.execute("SELECT run_uuid FROM runs LIMIT 1").fetchone()[0]
        store.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('note', ?, ?)", (f"asked by {EMAIL}", run))
        store.execute("PRAGMA secure_delete = OFF")
        store.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('gone', ?, ?)", (f"of {ANNA}", run))
        store.commit()
        store.execute("DELETE FROM tags WHERE key = 'gone'")
        store.commit()
    (root / "prefect").mkdir(mode=0o700, exist_ok=True)
    # Left as a killed server leaves it: rows in the write-ahead log alone.
    with closing(sqlite3.connect(root / "prefect" / "made.db")) as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("CREATE TABLE log (message TEXT, data BLOB)")
        store.execute("INSERT INTO log VALUES (?, ?)", (f"flow failed on {ANNA}", f"{PHONE}".encode()))
        store.commit()
        for name in ("made.db", "made.db-wal"):
            shutil.copy(root / "prefect" / name, root / "prefect" / name.replace("made", "prefect"))
    for name in ("made.db", "made.db-wal", "made.db-shm"):
        (root / "prefect" / name).unlink(missing_ok=True)
    for path in root.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def trim(root: Path) -> None:
    """Leave what tells most about a crash: a report is not written again, and few tables are swept."""
    shutil.rmtree(root / "mlartifacts")
    for folder in (root / "lake").iterdir():
        if folder.is_dir() and folder.name not in {"transactions", "scores", "quarantine", "identities"}:
            shutil.rmtree(folder)


def copied(two_nights: Any, nights: ModuleType, shop: Path, folder: Path) -> Root:
    config = nights.write_config(folder, shop)
    shutil.copytree(two_nights.first.settings.root, folder / "var")
    plant(folder / "var")
    return Root(Settings.read(config), config)


@pytest.fixture(scope="module")
def before(two_nights, nights, shop, tmp_path_factory) -> Root:
    """A root that nobody changes."""
    return copied(two_nights, nights, shop, tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def done(two_nights, nights, shop, tmp_path_factory) -> tuple[Root, Any]:
    """A root from which Anna was erased under an open umask, and the receipt."""
    root = copied(two_nights, nights, shop, tmp_path_factory.mktemp("done"))
    umask = os.umask(0)
    try:
        (receipt,) = erase(root.settings, [ANNA], AT)
    finally:
        os.umask(umask)
    return root, receipt


def test_before_the_erasure_anna_is_everywhere(before):
    found = search(before.path, TRACES)
    kinds = {Path(place).parts[0] for place in found.places}
    assert {"lake", "reports", "mlartifacts", "logs", "exports", "docs", "prefect", "mlflow.db", "spill"} <= kinds
    assert sum(found.places.values()) > 50


def test_no_byte_of_the_root_names_her_afterwards(done):
    """Catalogue row G3: an independent look, with nothing but what decodes a file, and the search itself."""
    root, receipt = done
    assert search(root.path, TRACES).places == {}
    assert receipt.n_hits == 0
    assert receipt.n_bytes_searched > 5_000_000
    needles = [ANNA.encode(), EMAIL.encode(), b"46701234567"]
    for path in files_under(root.path):
        content = path.read_bytes().lower().replace(ANNA.encode() + b"1", b"")
        assert not any(needle in content for needle in needles), path
        if content.startswith(b"par1"):
            cells = str(pq.ParquetFile(path).read().to_pydict())
            assert ANNA not in cells, path
            assert EMAIL not in cells, path


def test_only_her_rows_are_gone_and_every_night_resolves_as_before(done, before):
    root, receipt = done
    n_gone = 0
    for night in ("first", "second"):
        old = before.lake.read("snapshots").to_pylist()[0 if night == "first" else 1]
        new = root.lake.read("snapshots").to_pylist()[0 if night == "first" else 1]
        assert new == old
        for table, version in json.loads(old["versions_json"]).items():
            was, now = before.lake.read(table, version=version), root.lake.read(table, version=version)
            if "customer_id" not in was.column_names:
                assert now.equals(was), table
                continue
            mine = pa.array([one != ANNA for one in was["customer_id"].to_pylist()], pa.bool_())
            assert now.equals(was.filter(mine)), table
            n_gone += was.num_rows - now.num_rows
    assert 0 < receipt.rows["transactions"] <= receipt.n_rows <= n_gone + 10


def test_the_newest_report_is_written_again_and_older_ones_that_name_her_are_gone(done, before):
    root, _ = done
    older, newest = sorted((root.path / "reports").iterdir())
    assert sorted(path.name for path in newest.iterdir()) == [
        "actions.xlsx",
        "data_docs",
        "features.html",
        "report.html",
    ]
    assert not (older / "actions.xlsx").exists(), "its sheet of customers named her"
    assert (newest / "report.html").stat().st_size > 10_000
    run_id = root.lake.snapshot().mlflow_run_id
    copies = root.path / "mlartifacts" / run_id / "artifacts" / "report"
    assert {path.name: path.read_bytes() for path in copies.iterdir()} == {
        path.name: path.read_bytes() for path in newest.iterdir() if path.is_file()
    }
    models = [path for path in (before.path / "mlartifacts").rglob("*") if path.suffix == ".skops"]
    assert models
    for path in models:
        assert (root.path / path.relative_to(before.path)).read_bytes() == path.read_bytes()


def test_others_keep_what_is_theirs(done):
    root, receipt = done
    assert (root.path / "logs" / "night.log").read_text() == "row of [erased] failed\nall well\nmail to [erased]\n"
    assert (root.path / "docs" / "note.txt").read_text() == f"call [erased], not {ANNA}1"
    assert (root.path / "exports" / "others.csv").exists()
    assert not (root.path / "exports" / "actions.csv").exists()
    assert list((root.path / "spill").iterdir()) == []
    assert receipt.files["exports/actions.csv"] == "removed"
    assert receipt.files["logs/night.log"] == "cleaned"
    with closing(sqlite3.connect(root.path / "mlflow.db")) as store:
        assert store.execute("SELECT value FROM tags WHERE key = 'note'").fetchall() == [("asked by [erased]",)]
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(sqlite3.connect(root.path / "prefect" / "prefect.db")) as store:
        assert store.execute("SELECT message, data FROM log").fetchall() == [("flow failed on [erased]", b"[erased]")]


def test_the_receipt_proves_it_without_naming_her(done):
    root, receipt = done
    (path,) = (root.path / "receipts").iterdir()
    assert path.name == f"{read_tombstones(root.path).digest(ANNA)}.json"
    told = json.loads(path.read_text())
    assert told["n_hits"] == 0
    assert told["rows"] == receipt.rows
    assert told["erased_at"] == "2025-01-02 09:30:00"
    assert told["searched_everywhere"] is True
    assert "keep their weights" in told["models"]
    assert TRACES.count(path.read_bytes()) == 0


def test_the_company_hears_which_of_its_own_files_still_name_her(done, shop):
    _, receipt = done
    assert receipt.in_your_files
    assert all("could not be read" not in name for name in receipt.in_your_files)
    assert ANNA in pq.read_table(shop / "customers.parquet")["customer_id"].to_pylist(), "they are never changed"


def test_everything_is_its_owner_s_under_an_open_umask(done):
    """Catalogue row G13."""
    root, _ = done
    modes = {path: path.stat().st_mode & 0o777 for path in root.path.rglob("*") if path.name != "spill"}
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_no_list_of_ids_stays_behind(done):
    root, _ = done
    assert sorted(path.name for path in (root.path / "keys").iterdir()) == ["tombstones.key", "tombstones.txt"]
    assert resume(root.settings) == []


def test_erasing_waits_for_no_night_but_says_so(before):
    with before.lake.lock(), pytest.raises(LockHeldError):
        erase(before.settings, [ANNA], AT)
    assert not (before.path / "keys").exists(), "nothing was begun"


def test_killed_anywhere_the_next_start_finishes_it(two_nights, nights, shop, tmp_path, done):
    """SIGKILL before the n-th file is swapped or removed, for n all over the way; then the next call."""
    finished, receipt = done
    config = nights.write_config(tmp_path / "one", shop)
    command = [sys.executable, "-c", VICTIM, ANNA]
    n_killed = 0
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=nights.ROOT
    ) as parent:
        for n_left in (0, 1, 3, 6, 8, 13, 19):
            shutil.rmtree(tmp_path / "one" / "var", ignore_errors=True)
            shutil.copytree(two_nights.first.settings.root, tmp_path / "one" / "var")
            plant(tmp_path / "one" / "var")
            trim(tmp_path / "one" / "var")
            parent.stdin.write(f"{n_left} {config}\n")
            parent.stdin.flush()
            status = int(parent.stdout.readline())
            if os.WIFSIGNALED(status):
                assert os.WTERMSIG(status) == signal.SIGKILL
                n_killed += 1
            settings = Settings.read(config)
            # Before the list is written nothing was begun, and the command is simply given again.
            again = [] if (settings.root / "keys" / "erasing.json").exists() else [ANNA]
            receipts = erase(settings, again, AT)
            assert search(settings.root, TRACES).places == {}, n_left
            assert not (settings.root / "keys" / "erasing.json").exists()
            lake = Lake(settings.lake_root)
            for table in ("transactions", "scores", "identities"):
                assert lake.read(table).equals(finished.lake.read(table)), (n_left, table)
            if not again:
                assert receipts[0].rows["transactions"] == receipt.rows["transactions"], "as the first try counted"
        parent.stdin.close()
    assert n_killed >= 5, "some tries were long enough to be killed"


def test_a_database_in_use_is_named_and_the_next_call_goes_on(two_nights, nights, shop, tmp_path, monkeypatch):
    root = copied(two_nights, nights, shop, tmp_path)
    monkeypatch.setattr("pipelines.sweep._PATIENCE_SECONDS", 0.1)
    with closing(sqlite3.connect(root.path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LakeError, match=r"mlflow\.db is in use.*stop `regulars serve`"):
            erase(root.settings, [ANNA], AT)
        other.execute("ROLLBACK")
    (receipt,) = erase(root.settings, [], AT)
    assert receipt.n_hits == 0
    assert receipt.rows["transactions"] > 0


def test_delivered_again_she_is_refused_and_totals_differ_by_her_alone(done, shop):
    """Catalogue rows G4 and G5: the same files, without her, to the cent."""
    root, _ = done
    stones = read_tombstones(root.path)
    delivery = Delivery(datetime(2025, 1, 2), "UTC", ("EUR",))
    with duckdb.connect(config={"threads": 1}) as connection:
        names, admitted = {}, {}
        for path in sorted(shop.glob("*.parquet")):
            connection.execute(f"CREATE TABLE {path.stem} AS FROM read_parquet('{path}')")
            names[path.stem] = path.stem
        whole = admit_all(connection, names, delivery)
        lines = "SELECT count(*), sum(amount_cents) FROM transactions_accepted"
        (all_lines,) = connection.execute(lines).fetchall()
        (hers,) = connection.execute(f"{lines} WHERE customer_id = ?", [ANNA]).fetchall()
        refusals = {name: refuse(connection, name, table, stones) for name, table in names.items()}
        admitted = admit_all(connection, {name: one.table for name, one in refusals.items()}, delivery)
        (others,) = connection.execute(lines).fetchall()
        named = [connection.execute(f"FROM {one.accepted}").to_arrow_table() for one in admitted.values()]
    assert others == (all_lines[0] - hers[0], all_lines[1] - hers[1])
    assert hers[0] > 0
    assert not any(ANNA in str(table.to_pydict()) for table in named)
    for name, refusal in refusals.items():
        sides = admitted[name].reconciliation
        assert sides.n_rows + refusal.n_refused == whole[name].reconciliation.n_rows, name
    assert refusals["transactions"].n_refused >= hers[0]
    assert refusals["customers"].n_refused == 1


def without(shop: Path, customer: str, folder: Path) -> Path:
    """Return the files of a company that took the customer out of its own systems too."""
    folder.mkdir()
    for path in shop.glob("*.parquet"):
        table = pq.read_table(path)
        if "customer_id" in table.column_names:
            table = table.filter(pc.fill_null(pc.not_equal(table["customer_id"], customer), True))
        pq.write_table(table, folder / path.name)
    return folder


def test_the_next_night_is_green_and_differs_by_her_alone(two_nights, nights, shop, tmp_path):
    """Catalogue row G5."""
    root = copied(two_nights, nights, without(shop, ANNA, tmp_path / "raw"), tmp_path)
    (receipt,) = erase(root.settings, [ANNA], AT)
    assert receipt.in_your_files == ()
    run, recorder = nights.run_night(root.config, date(2025, 1, 2))
    assert recorder.order[-1] == "report"
    for name, n_hers in (("customers", 1), ("transactions", receipt.rows["transactions"])):
        old, now = two_nights.second.lake.published(name), run.lake.published(name)
        others = old.filter(pc.fill_null(pc.not_equal(old["customer_id"], ANNA), True))
        assert old.num_rows - others.num_rows == n_hers > 0
        assert now.num_rows == others.num_rows, name
        if name == "transactions":
            assert pc.sum(now["amount_cents"]) == pc.sum(others["amount_cents"]), "to the cent"
    scores = run.lake.published("scores")
    assert scores.filter(pc.equal(scores["as_of"], pa.scalar(run.as_of, scores["as_of"].type))).num_rows == 799
    assert search(root.path, TRACES).places == {}, "the night brought nothing of her back"


def test_who_is_not_known_yet_is_refused_from_now_on(two_nights, nights, shop, tmp_path):
    root = copied(two_nights, nights, shop, tmp_path)
    receipts = erase(root.settings, ["'); DROP TABLE x; --", "../../etc/passwd", "x" * 300, "a\nb", " "], AT)
    assert [receipt.n_rows for receipt in receipts] == [0] * 4
    assert read_tombstones(root.path).holds("../../etc/passwd")
    names = sorted(path.name for path in (root.path / "receipts").iterdir())
    assert all(len(name) == 64 + len(".json") for name in names), "a receipt is called by its digest, whatever the id"
    assert find(root.settings.lake_root, [ANNA]).rows[ANNA]["customers"] == 1, "nobody else was touched"
