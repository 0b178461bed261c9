"""What goes wrong with files and machines at night: nothing is lost or doubled (rows C1, C8, C9, C16, D8, D11).

A company drops files, its nights are killed, its files are cut, renamed, deleted or sent again; each time the next
night ends as if nothing had happened.
"""

import threading
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from data.digest import digest
from data.engine import attach, connect
from data.errors import ConfigError, ContractError, LakeError
from data.readmission import hand_in, open_rows
from data.tombstones import bury
from pipelines.ingest import ACCEPTED, RECORDS

pytestmark = pytest.mark.slow

TABLES = ("customers", "products", "consents", "transactions")
DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(6)]
KEY = ("order_id", "product_id")


def line(day, number, **cells):
    """Return an order line of a day."""
    order = {"order_id": f"{day}-{number}", "customer_id": f"C{number % 7}", "product_id": f"P{number % 5}"}
    at = datetime(day.year, day.month, day.day, 8 + number % 12)
    return {**order, "event_time": at, "quantity": 1, "amount_cents": 100 + number, **cells}


def lines(day, n_lines=20):
    return [line(day, number) for number in range(n_lines)]


@pytest.fixture(scope="module")
def begun(drops, nights, tmp_path_factory):
    """Return a company that nobody changes."""
    return opened(drops, nights, tmp_path_factory.mktemp("begun") / "company")


@pytest.fixture
def company(begun, tmp_path):
    return begun.copy(tmp_path / "company")


def opened(drops, nights, folder):
    """Return a small company after its first night, with the file of the second."""
    company = drops.Company(folder)
    company.drop("customers", [{"customer_id": f"C{number}"} for number in range(7)])
    company.drop("products", [{"product_id": f"P{number}"} for number in range(5)])
    said = {"purpose": "marketing", "is_granted": True, "event_time": datetime(2024, 1, 1)}
    company.drop("consents", [{"customer_id": f"C{number}", **said} for number in range(7)])
    company.drop("transactions", lines(DAYS[0]), DAYS[0])
    company.write_config(nights, TABLES)
    company.ingested(DAYS[1])
    company.drop("transactions", lines(DAYS[1]), DAYS[1])
    return company


def current(company, *, without=("known_at", "replaced_at")):
    """Return the lines that hold, as cells that can be compared."""
    rows = [row for row in company.table("transactions") if row["replaced_at"] is None]
    return sorted(str({name: row[name] for name in row if name not in without}) for row in rows)


def cents(company, as_of=None):
    """Return the cents of the lines that hold, or of those that were known at an instant."""
    return sum(
        row["amount_cents"]
        for row in company.table("transactions")
        if (row["replaced_at"] is None if as_of is None else known(row, as_of))
    )


def known(row, as_of):
    return row["known_at"] < as_of and (row["replaced_at"] is None or row["replaced_at"] >= as_of)


def warned(company, expectation):
    return [row for row in company.table("quality") if row["expectation"] == expectation and not row["is_passed"]]


class TestKilled:
    def test_at_each_commit_of_an_incremental_night_the_next_try_ends_as_if_nothing_had_happened(
        self, company, operator, tmp_path
    ):
        """Catalogue row C1: killed before the n-th commit, for n = 0, 1, … until one is not."""
        twin = company.copy(tmp_path / "twin")
        calm = twin.ingested(DAYS[2])
        before, n_killed = company.lake.snapshots(), 0
        while operator.regulars(company.folder, "ingest", DAYS[2], n_writes=n_killed).code == -9:
            assert company.lake.snapshots() == before, "readers see what was published before"
            n_killed += 1
        assert n_killed == len((*ACCEPTED, *RECORDS)) + 1
        here, there = (one.lake.snapshot() for one in (company, twin))
        assert here.run_key == calm.run_key == there.run_key
        for table in (*ACCEPTED, *RECORDS):
            ours, theirs = (one.lake.published(table) for one in (company, twin))
            assert digest(ours) == digest(theirs), table
        assert company.lake.read("snapshots").num_rows == 2

    @pytest.mark.parametrize("n_writes", [1, 13])
    def test_a_night_that_was_never_tried_again_loses_nothing_to_the_next_one(self, company, operator, n_writes):
        """Killed after validate's n-th table; the operator wakes up a day later."""
        assert operator.regulars(company.folder, "ingest", DAYS[2], n_writes=n_writes).code == -9
        company.drop("transactions", lines(DAYS[2]), DAYS[2])
        company.ingested(DAYS[3])
        assert Counter(row["order_id"][:10] for row in company.table("transactions")) == dict.fromkeys(
            map(str, DAYS[:3]), 20
        )
        assert cents(company) == sum(row["amount_cents"] for day in DAYS[:3] for row in lines(day))


class TestFiles:
    def test_a_file_that_was_half_written_is_taken_whole_by_the_next_night(self, company, begun, tmp_path):
        """Cut within a line: what could be read is corrected, and what could not is let in."""
        path = company.folder / "daily" / f"{DAYS[1]}.csv"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2 + 7])
        company.ingested(DAYS[2])
        assert 0 < cents(company) < cents_of(DAYS[0], DAYS[1])
        path.write_bytes(whole)
        company.ingested(DAYS[3])
        twin = begun.copy(tmp_path / "twin")
        twin.ingested(DAYS[2])
        assert current(company) == current(twin)
        assert cents(company) == cents_of(DAYS[0], DAYS[1])

    @pytest.mark.parametrize("n_bytes", [0, 40])
    def test_a_file_without_a_line_is_told_in_one_line_and_taken_when_it_is_there(self, company, n_bytes):
        path = company.folder / "daily" / f"{DAYS[1]}.csv"
        whole = path.read_bytes()
        path.write_bytes(whole[:n_bytes])
        with pytest.raises((ContractError, ConfigError), match=path.name) as caught:
            company.ingested(DAYS[2])
        assert "\n" not in str(caught.value)
        path.write_bytes(whole)
        company.ingested(DAYS[2])
        assert cents(company) == cents_of(DAYS[0], DAYS[1])

    def test_a_file_that_was_deleted_leaves_what_it_brought(self, company):
        (company.folder / "daily" / f"{DAYS[0]}.csv").unlink()
        company.ingested(DAYS[2])
        assert cents(company) == cents_of(DAYS[0], DAYS[1])

    def test_a_table_whose_only_file_was_deleted_stops_the_night_by_name(self, company, operator):
        (company.folder / "consents.csv").rename(company.folder / "elsewhere.csv")
        answer = operator.regulars(company.folder, "nightly", "--as-of", DAYS[2])
        assert answer.code == 2
        assert "no file 'consents.csv'" in answer.one_line()
        (company.folder / "elsewhere.csv").rename(company.folder / "consents.csv")
        company.ingested(DAYS[2])
        assert len(company.table("consents")) == 7

    def test_a_file_that_was_renamed_is_not_another(self, company):
        daily = company.folder / "daily"
        (daily / f"{DAYS[0]}.csv").rename(daily / "renamed.csv")
        company.ingested(DAYS[2])
        assert cents(company) == cents_of(DAYS[0], DAYS[1])
        assert [row["detail"] for row in warned(company, "same content delivered again")] == ["daily/renamed.csv"]

    def test_a_file_that_grows_counts_its_old_lines_once(self, company):
        company.drop("transactions", [*lines(DAYS[0]), *lines(DAYS[1]), *lines(DAYS[2])], DAYS[0])
        company.ingested(DAYS[3])
        assert cents(company) == cents_of(*DAYS[:3])


def cents_of(*days):
    return sum(row["amount_cents"] for day in days for row in lines(day))


class TestOracle:
    def test_days_twice_late_lines_and_corrections_add_up_to_what_was_known(self, company):
        """Catalogue row D11: sums by night and customer against a reading of the files line by line."""
        deliveries = [
            [*lines(DAYS[2]), *lines(DAYS[1])],
            [*lines(DAYS[3]), line(DAYS[0], 3, amount_cents=7), line(DAYS[1], 4, quantity=2, amount_cents=999)],
            [*lines(DAYS[4]), line(DAYS[0], 90, amount_cents=55), line(DAYS[0], 3, amount_cents=8), *lines(DAYS[3])],
        ]
        states, nights = [{}], [(DAYS[1], lines(DAYS[0])), (DAYS[2], lines(DAYS[1]))]
        company.ingested(DAYS[2])
        for number, delivery in enumerate(deliveries, start=3):
            company.drop("transactions", delivery, f"drop {number}")
            company.ingested(DAYS[number] if number < len(DAYS) else DAYS[-1] + timedelta(days=1))
            nights.append((DAYS[number] if number < len(DAYS) else DAYS[-1] + timedelta(days=1), delivery))
        n_sums = 0
        for day, delivery in nights:
            states.append({**states[-1], **{tuple(row[key] for key in KEY): row for row in delivery}})
            oracle = Counter()
            for row in states[-1].values():
                oracle[row["customer_id"]] += row["amount_cents"]
            as_of = datetime(day.year, day.month, day.day)
            found = Counter()
            for row in company.table("transactions"):
                if known(row, as_of):
                    found[row["customer_id"]] += row["amount_cents"]
            assert found == oracle, day
            n_sums += len(oracle)
        assert n_sums == 35


class TestMachine:
    @pytest.mark.parametrize(
        ("zone", "day", "hours"),
        [("Europe/Berlin", date(2024, 3, 31), 23), ("Europe/Berlin", date(2024, 10, 27), 25)],
    )
    def test_the_days_on_which_clocks_change_lose_no_line_and_take_none_twice(self, company, zone, day, hours):
        company.change_config('timezone = "UTC"', f'timezone = "{zone}"')
        names = [day - timedelta(days=1), day, day + timedelta(days=1)]
        for one in names:
            local = [datetime(one.year, one.month, one.day, hour, 30) for hour in range(24)]
            company.drop("transactions", [line(one, n, event_time=at) for n, at in enumerate(local)], one)
            company.ingested(one + timedelta(days=1))
        runs = [company.run(one + timedelta(days=1)) for one in names]
        assert runs[1].as_of - runs[0].as_of == timedelta(hours=hours)
        rows = [row for row in company.table("transactions") if row["order_id"][:10] in map(str, names)]
        n_known = [sum(known(row, run.as_of) for row in rows) for run in runs]
        n_bad = len([row for row in open_rows(company.lake) if row.table_name == "transactions"])
        assert n_known == [24, 48 - n_bad, 72 - n_bad]
        assert len(rows) + n_bad == 72

    def test_pseudonyms_without_their_key_stop_the_night_and_nothing_changes(self, company):
        plain = company.config.read_text()
        company.config.write_text(plain + '[privacy]\npseudonyms = true\nkey_file = "keys/pseudonyms.key"\n')
        before = company.lake.snapshots()
        with pytest.raises(ConfigError, match=r"no key of 32 bytes in file .*pseudonyms\.key") as caught:
            company.ingested(DAYS[2])
        assert "\n" not in str(caught.value)
        assert company.lake.snapshots() == before
        company.config.write_text(plain)
        company.ingested(DAYS[2])
        assert cents(company) == cents_of(DAYS[0], DAYS[1])

    def test_pseudonyms_switched_on_over_plain_ids_stop_the_night_before_anything(self, company, operator, drops):
        plain = company.config.read_text()
        company.config.write_text(plain + '[privacy]\npseudonyms = true\nkey_variable = "NAMES_KEY"\n')
        before = drops.bytes_below(company.root)
        answer = operator.regulars(company.folder, "nightly", "--as-of", DAYS[2], NAMES_KEY="ab" * 32)
        assert answer.code == 2
        assert "7 customers in" in answer.one_line()
        assert "go by their own ids" in answer.one_line()
        assert drops.bytes_below(company.root) == before
        company.config.write_text(plain)
        company.ingested(DAYS[2])
        assert cents(company) == cents_of(DAYS[0], DAYS[1])

    def test_pseudonyms_switched_off_again_stop_the_night_too(self, company, monkeypatch):
        monkeypatch.setenv("NAMES_KEY", "ab" * 32)
        plain = company.config.read_text().replace(str(company.root), str(company.root.with_name("named")))
        company.config.write_text(plain + '[privacy]\npseudonyms = true\nkey_variable = "NAMES_KEY"\n')
        company.ingested(DAYS[1])
        company.ingested(DAYS[2])
        company.config.write_text(plain)
        with pytest.raises(ConfigError, match=r"the 7 customers in .* go by pseudonyms"):
            company.run(DAYS[3])

    def test_tombstones_without_their_key_stop_the_night_before_anything(self, company, operator):
        bury(company.root, ["C3"])
        key = company.root / "keys" / "tombstones.key"
        kept = key.read_bytes()
        key.unlink()
        answer = operator.regulars(company.folder, "nightly", "--as-of", DAYS[2])
        assert answer.code == 7
        assert "tombstones.txt without their key" in answer.one_line()
        key.write_bytes(kept)
        company.ingested(DAYS[2])
        tonight = [row for row in company.table("transactions") if row["order_id"].startswith(str(DAYS[1]))]
        assert tonight
        assert "C3" not in {row["customer_id"] for row in tonight}

    def test_a_customer_is_erased_though_the_newest_night_ended_before_its_report(self, company, operator):
        answer = operator.regulars(company.folder, "erase", "C3")
        assert answer.code == 0, answer.errors
        assert "C3" not in {row["customer_id"] for row in company.table("transactions")}
        company.ingested(DAYS[2])
        assert "C3" not in {row["customer_id"] for row in company.table("transactions")}

    def test_a_report_of_a_night_that_ended_before_it_is_refused_in_one_line(self, company, operator):
        answer = operator.regulars(company.folder, "report")
        assert answer.code == 7
        assert "without actions, base_rates" in answer.one_line()

    @pytest.mark.parametrize(
        ("old", "new", "word"),
        [
            ("[company]", "[compny]", "did you mean"),
            ('timezone = "UTC"', 'timezone = "UTD"', "time zone"),
            ("[sources.consents]", "[sources.consent]", "consents"),
            ('path = "daily/*.csv"', 'path = "daily/*.txt"', "daily/*.txt"),
        ],
    )
    def test_a_mistake_in_the_configuration_is_one_line(self, company, operator, old, new, word):
        company.change_config(old, new)
        answer = operator.regulars(company.folder, "nightly", "--as-of", DAYS[2])
        assert answer.code == 2
        assert word in answer.one_line()


def test_repaired_rows_and_a_new_file_come_in_one_night(company):
    """Catalogue row D8: files that are read as views, and rows handed in as tables, in turn."""
    company.drop("transactions", [*lines(DAYS[1], 60), line(DAYS[1], 90, quantity="two")], DAYS[1])
    company.ingested(DAYS[2])
    (bad,) = open_rows(company.lake)
    bad.cells["quantity"] = "2"
    hand_in(company.lake, [bad])
    company.drop("transactions", lines(DAYS[2]), DAYS[2])
    company.ingested(DAYS[3])
    assert [row["quantity"] for row in company.table("transactions") if row["order_id"] == bad.cells["order_id"]] == [
        Decimal(2)
    ]
    company.change_config('path = "daily/*.csv"', 'path = "daily/*.csv"\nmissing = ["NULL"]')
    company.ingested(DAYS[4])
    assert len(company.table("transactions")) == 20 + 60 + 1 + 20
    assert open_rows(company.lake) == []


class TestReaders:
    def test_a_hundred_reads_of_a_notebook_while_nights_are_written(self, company, operator):
        """Catalogue rows C8 and C9: no error of a lock, and each read sees one whole night with its ledger."""
        seen, errors, is_over = [], [], threading.Event()

        def read():
            lake, backend = company.lake, connect(threads=1)
            try:
                while len(seen) < 100 or not is_over.is_set():
                    snapshot = lake.snapshot()
                    views = attach(backend, lake, snapshot.versions)
                    n_files = views["deliveries"].filter(views["deliveries"].contract == "transactions").count()
                    n_lines = views["transactions"].count()
                    seen.append((snapshot.sequence, n_files.to_pyarrow().as_py(), n_lines.to_pyarrow().as_py()))
            except Exception as error:  # noqa: BLE001 - whatever it is, the reader was disturbed
                errors.append(error)
            finally:
                backend.disconnect()

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(2, 6):
            company.drop("transactions", lines(DAYS[number - 1]), DAYS[number - 1])
            done = operator.regulars(company.folder, "ingest", DAYS[number])
            assert done.code == 0, done.errors
        is_over.set()
        reader.join()
        assert errors == []
        assert len(seen) >= 100
        assert len({sequence for sequence, _, _ in seen}) >= 2
        assert {(n_files, n_lines) for _, n_files, n_lines in seen} <= {(n, 20 * n) for n in range(1, 6)}

    def test_fifty_publications_and_no_mixed_read(self, company):
        """Catalogue row C9, with the ledger of deliveries among the tables that must agree."""
        lake, seen = company.lake, []
        versions = dict(lake.snapshot().versions)
        for number in range(50):
            for table in ("transactions", "deliveries"):
                rows = pa.table({"night": [number] * 10})
                versions[table] = lake.write(table, rows, as_of=None, fingerprint=f"{number}")
                seen.append(mixed(lake) if number else 0)
            lake.publish(
                f"run {number}", flow="nightly", as_of=datetime(2024, 3, 2), code_digest="", versions=versions,
                summary={}, mlflow_run_id=None,
            )  # fmt: skip
            seen.append(mixed(lake))
        assert sum(seen) == 0

    @pytest.mark.parametrize("table", ["transactions", "deliveries", "quarantine", "snapshots"])
    def test_half_a_commit_of_any_table_is_no_version(self, company, table):
        """Catalogue row C16: stray files, a commit without its end, and a folder that a dead writer began."""
        log = company.root / "lake" / table / "_delta_log"
        (log / "_commit_dead.json.tmp").write_bytes(b'{"add": {"path"')
        (log.parent / "part-00000-dead.zstd.parquet").write_bytes(b"PAR1 half")
        (company.root / "lake" / "trash" / "_delta_log").mkdir(parents=True)
        before = cents(company)
        assert before == cents_of(DAYS[0])
        company.ingested(DAYS[2])
        assert cents(company) == cents_of(DAYS[0], DAYS[1])

    @pytest.mark.parametrize("table", ["transactions", "deliveries"])
    def test_a_night_whose_files_are_gone_is_named_and_the_others_still_read(self, company, table):
        """Catalogue row C16: the manifest points at a version whose file is missing."""
        company.ingested(DAYS[2])
        first, last = company.lake.snapshots()
        gone = {Path(uri) for uri in company.lake.uris(table, last.versions[table])}
        gone -= {Path(uri) for uri in company.lake.uris(table, first.versions[table])}
        for path in gone:
            path.unlink()
        assert gone
        with pytest.raises(LakeError, match=table) as caught:
            company.lake.published(table)
        assert "\n" not in str(caught.value)
        assert company.lake.published(table, first).num_rows > 0


def mixed(lake):
    """Say whether what is published is of two nights."""
    snapshot = lake.snapshot()
    found = [lake.published(table, snapshot) for table in ("transactions", "deliveries")]
    nights = [set(table["night"].to_pylist()) for table in found if "night" in table.column_names]
    return int((len(nights) == 2 and nights[0] != nights[1]) or len(nights) == 1)


def test_files_of_the_company_were_never_changed(company):
    held = {path: path.read_bytes() for path in company.folder.glob("**/*.csv")}
    company.ingested(DAYS[2])
    assert {path: path.read_bytes() for path in held} == held
