"""Incremental nights: new pieces only, the past as it was known, and a stop where too little came.

Catalogue rows D7, D9, D11 and O4, on files as a shop drops them into a folder every night.
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from time import sleep

import pyarrow as pa
import pytest

from data.deliveries import Ledger
from data.errors import ConfigError, ContractError
from data.lake import Snapshot
from data.sources import FilesSource, Sources, digest
from data.tombstones import bury
from features.extracts import sales_by_month
from pipelines.ingest import ingest
from pipelines.run import Run
from pipelines.settings import Company, Settings

MAPPING = """
[transactions]
path = "daily/*.csv"
columns = { order_id = "order", customer_id = "customer", product_id = "item", event_time = "at", quantity = "pieces" }
money.amount_cents = { column = "euros" }
"""
HEADER = "order,customer,item,at,pieces,euros"
DAY = date(2024, 3, 4)


class Shop:
    """A folder of daily files, and the nights over it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mapping = folder, MAPPING
        self.limits: dict[str, float] = {}
        (folder / "daily").mkdir()

    def drop(self, name: str, rows: Sequence[str], header: str = HEADER) -> None:
        (self.folder / "daily" / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")

    def day(self, day: date, n_lines: int = 4) -> list[str]:
        """Return the lines of a day: each an order of its own, one euro each."""
        return [f"{day}-{n},C{n},P{n},{day}T1{n % 10}:00:00,1,1.00" for n in range(n_lines)]

    def planned(self, day: date) -> tuple[Run, FilesSource]:
        """Return the night at the midnight that begins a day, and what it takes from."""
        company = Company(timezone="UTC", currency="EUR")
        settings = Settings(root=self.folder / "var", company=company, limits=self.limits)
        source = FilesSource(Sources.model_validate(tomllib.loads(self.mapping)), self.folder)
        return Run(settings, datetime(day.year, day.month, day.day), digest(source)), source

    def night(self, day: date) -> tuple[Run, dict[str, int]]:
        """Validate at the midnight that begins a day, and publish."""
        run, source = self.planned(day)
        versions = ingest(run, source)
        run.lake.publish(
            run.run_key,
            flow="nightly",
            as_of=run.as_of,
            code_digest="",
            versions=versions,
            summary={},
            mlflow_run_id=None,
        )
        return run, versions

    def nights(self, n_days: int, n_lines: int = 4) -> tuple[Run, dict[str, int]]:
        """Drop a file and run a night on each of some days."""
        for number in range(n_days):
            day = DAY + timedelta(days=number)
            self.drop(str(day), self.day(day, n_lines))
            last = self.night(day + timedelta(days=1))
        return last


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def lines(night: tuple[Run, Mapping[str, int]]) -> list[dict[str, object]]:
    run, versions = night
    return run.frame("transactions", versions, sliced=False).sort_by("order_id").to_pylist()


def quality(night: tuple[Run, Mapping[str, int]], expectation: str) -> list[dict[str, object]]:
    run, versions = night
    found = run.frame("quality", versions).to_pylist()
    return [row for row in found if row["expectation"] == expectation and not row["is_passed"]]


def counts(night: tuple[Run, Mapping[str, int]]) -> tuple[int, int, int, int]:
    run, versions = night
    (row,) = (row for row in run.frame("reconciliation", versions).to_pylist() if row["table_name"] == "transactions")
    return row["n_in"], row["n_accepted"], row["n_quarantined"], row["n_duplicates"]


def sales(night: tuple[Run, Mapping[str, int]], as_of: date) -> int:
    """Return the cents that were known at a day's midnight."""
    run, versions = night
    tables = run.tables({"transactions": versions["transactions"]})
    found: pa.Table = sales_by_month(tables, datetime(as_of.year, as_of.month, as_of.day)).to_pyarrow()
    return sum(found["sales_cents"].to_pylist())


def test_each_night_takes_the_new_file_only(shop):
    night = shop.nights(3)
    assert counts(night) == (4, 4, 0, 0)
    assert len(lines(night)) == 12
    assert [sales(night, DAY + timedelta(days=n)) for n in range(4)] == [0, 400, 800, 1200]


def test_nights_one_by_one_know_what_one_load_knows(shop, tmp_path):
    night = shop.nights(3)
    (tmp_path / "other").mkdir()
    other = Shop(tmp_path / "other")
    for number in range(3):
        other.drop(str(DAY + timedelta(days=number)), other.day(DAY + timedelta(days=number)))
    whole = other.night(DAY + timedelta(days=3))
    said = [[{key: row[key] for key in row if key != "known_at"} for row in lines(one)] for one in (night, whole)]
    assert said[0] == said[1]
    for name in ("customers", "products"):
        one, all_at_once = (
            run.frame(name, versions, sliced=False).sort_by(f"{name[:-1]}_id") for run, versions in (night, whole)
        )
        assert one.equals(all_at_once)


def test_a_night_with_nothing_new_changes_no_row(shop):
    shop.drop("1", shop.day(DAY))
    first = shop.night(DAY + timedelta(days=1))
    second = shop.night(DAY + timedelta(days=2))
    assert lines(first) == lines(second)
    assert counts(second) == (0, 0, 0, 0)


def test_the_same_day_twice_counts_once(shop):
    """Under another name, within another file, and beside it in one night."""
    shop.nights(2)
    shop.drop("again", shop.day(DAY))
    shop.drop("overlap", [*shop.day(DAY), *shop.day(DAY + timedelta(days=2))])
    night = shop.night(DAY + timedelta(days=3))
    assert len(lines(night)) == 12
    assert counts(night) == (8, 4, 0, 4)
    assert [row["detail"] for row in quality(night, "same content delivered again")] == ["daily/again.csv"]


def test_a_late_line_is_visible_from_the_night_that_brought_it(shop):
    shop.nights(1)
    shop.drop("later", [*shop.day(DAY + timedelta(days=1)), f"late,C1,P1,{DAY}T12:00:00,1,7.00"])
    night = shop.night(DAY + timedelta(days=2))
    assert sales(night, DAY + timedelta(days=1)) == 400
    assert sales(night, DAY + timedelta(days=2)) == 1500


def test_a_correction_is_visible_from_the_night_that_brought_it(shop):
    shop.nights(1)
    corrected = shop.day(DAY)[0].replace("1.00", "0.40")
    shop.drop("later", [*shop.day(DAY + timedelta(days=1)), corrected])
    night = shop.night(DAY + timedelta(days=2))
    assert sales(night, DAY + timedelta(days=1)) == 400
    assert sales(night, DAY + timedelta(days=2)) == 740
    assert len([row for row in lines(night) if row["replaced_at"] is None]) == 8


def test_the_same_night_again_takes_what_it_took_before_and_what_came_since(shop):
    shop.nights(1)
    shop.drop("a", shop.day(DAY + timedelta(days=1), 40)[:2])
    shop.night(DAY + timedelta(days=2))
    shop.drop("b", [*shop.day(DAY + timedelta(days=1), 40)[2:], "bad,C1,P1,nonsense,1,1.00"])
    night = shop.night(DAY + timedelta(days=2))
    assert counts(night) == (41, 40, 1, 0)
    assert len(lines(night)) == 44


def test_a_look_back_takes_nothing_and_sees_what_was_known_then(shop):
    shop.nights(2)
    shop.drop("later", shop.day(DAY + timedelta(days=2)))
    back = shop.night(DAY + timedelta(days=1))
    assert counts(back) == (0, 0, 0, 0)
    assert sales(back, DAY + timedelta(days=1)) == 400
    later = shop.night(DAY + timedelta(days=3))
    assert sales(later, DAY + timedelta(days=3)) == 1200


def test_bad_rows_of_every_night_stay_in_the_quarantine(shop):
    for number in range(2):
        day = DAY + timedelta(days=number)
        shop.drop(str(day), [*shop.day(day, 40), f"bad{number},C1,P1,nonsense,1,1.00"])
        run, versions = shop.night(day + timedelta(days=1))
    found = run.frame("quarantine", versions, sliced=False).to_pylist()
    assert [row["as_of"].date() - DAY for row in found] == [timedelta(days=1), timedelta(days=2)]


def test_a_night_after_a_crash_finds_its_stage_done(shop):
    shop.nights(1)
    shop.drop("2", shop.day(DAY + timedelta(days=1)))
    settings = Settings(root=shop.folder / "var", company=Company(timezone="UTC", currency="EUR"))
    source = FilesSource(Sources.model_validate(tomllib.loads(MAPPING)), shop.folder)
    run = Run(settings, datetime(2024, 3, 6), digest(source))
    first = ingest(run, source)
    assert run.seconds["validate"] > 0
    assert ingest(run, source) == first
    assert run.seconds["validate"] == 0
    assert len(lines((run, first))) == 8


def test_rows_of_a_night_that_was_never_published_are_not_built_upon(shop):
    shop.nights(1)
    shop.drop("2", shop.day(DAY + timedelta(days=1)))
    settings = Settings(root=shop.folder / "var", company=Company(timezone="UTC", currency="EUR"))
    source = FilesSource(Sources.model_validate(tomllib.loads(MAPPING)), shop.folder)
    ingest(Run(settings, datetime(2024, 3, 6), "crashed"), source)
    night = shop.night(date(2024, 3, 6))
    assert len(lines(night)) == 8


class TestVolume:
    """Catalogue rows D7 and O4."""

    TODAY = DAY + timedelta(days=38)

    @pytest.fixture
    def shop(self, shop: Shop) -> Shop:
        """Return a shop with five weeks of history in one file, and three nights that brought a day each."""
        shop.drop("history", [line for n in range(35) for line in shop.day(DAY + timedelta(days=n), 10)])
        shop.night(DAY + timedelta(days=35))
        for number in range(35, 38):
            day = DAY + timedelta(days=number)
            shop.drop(str(day), shop.day(day, 10))
            shop.night(day + timedelta(days=1))
        return shop

    def test_a_night_that_brings_too_little_stops_and_says_by_how_much(self, shop):
        shop.drop(str(self.TODAY), shop.day(self.TODAY, 4))
        with pytest.raises(ContractError, match=f"4 lines of {self.TODAY}, usually 10, -60%") as caught:
            shop.night(self.TODAY + timedelta(days=1))
        assert "\n" not in str(caught.value)
        shop.drop(f"{self.TODAY} rest", shop.day(self.TODAY, 10)[4:])
        assert counts(shop.night(self.TODAY + timedelta(days=1))) == (10, 10, 0, 0)

    def test_yesterday_s_file_under_a_new_name_stops_the_night(self, shop):
        shop.drop(str(self.TODAY), shop.day(self.TODAY - timedelta(days=1), 10))
        with pytest.raises(ContractError, match=f"0 lines of {self.TODAY}, usually 10, -100%"):
            shop.night(self.TODAY + timedelta(days=1))

    def test_what_the_company_believes_is_its_own_affair(self, shop):
        shop.limits = {"low_volume_share": 0.0}
        run, versions = shop.night(self.TODAY + timedelta(days=1))
        assert counts((run, versions)) == (0, 0, 0, 0)


class TestColumns:
    """Catalogue row D9."""

    def night(self, shop: Shop, header: str, cells: str) -> tuple[Run, dict[str, int]]:
        shop.nights(1)
        shop.drop("next", [cells], header)
        return shop.night(DAY + timedelta(days=2))

    def test_an_added_column_is_warned_of(self, shop):
        night = self.night(shop, f"{HEADER},till", "n,C1,P1,2024-03-05T10:00:00,1,1.00,3")
        assert [(row["n_failed"], row["detail"]) for row in quality(night, "new column")] == [(1, "till")]
        assert len(lines(night)) == 5

    def test_an_added_column_that_is_mapped_is_kept_and_null_before(self, shop):
        shop.nights(1)
        shop.mapping += 'attributes = ["clerk"]'
        shop.drop("next", ["n,C1,P1,2024-03-05T10:00:00,1,1.00,Ann"], f"{HEADER},clerk")
        night = shop.night(DAY + timedelta(days=2))
        assert [row["clerk"] for row in lines(night)] == [None, None, None, None, "Ann"]

    def test_another_order_is_accepted(self, shop):
        night = self.night(shop, "euros,pieces,at,item,customer,order", "1.00,1,2024-03-05T10:00:00,P1,C1,n")
        assert (len(lines(night)), counts(night)) == (5, (1, 1, 0, 0))

    def test_a_renamed_column_is_refused_by_name(self, shop):
        with pytest.raises(ConfigError, match=r"no column 'customer'.*did you mean 'Customer'"):
            self.night(shop, HEADER.replace("customer", "Customer"), "n,C1,P1,2024-03-05T10:00:00,1,1.00")

    def test_another_type_is_refused_by_name(self, shop):
        with pytest.raises(ContractError, match="amount_cents is not an integer: 1"):
            self.night(shop, HEADER, "n,C1,P1,2024-03-05T10:00:00,1,one euro")


class TestMapping:
    def test_a_better_mapping_reads_the_past_anew_as_it_came(self, shop):
        shop.nights(2)
        shop.mapping = MAPPING.replace('{ column = "euros" }', '{ column = "euros", unit = "minor" }')
        night = shop.night(DAY + timedelta(days=3))
        assert {row["amount_cents"] for row in lines(night)} == {1}
        assert [sales(night, DAY + timedelta(days=n)) for n in (1, 2, 3)] == [4, 8, 8]
        assert not any(row["replaced_at"] for row in lines(night))

    def test_files_that_are_gone_stay_as_they_were_read(self, shop):
        shop.nights(2)
        (shop.folder / "daily" / f"{DAY}.csv").unlink()
        shop.mapping += 'constants = { channel = "store" }'
        day = DAY + timedelta(days=2)
        shop.drop(str(day), shop.day(day))
        night = shop.night(day + timedelta(days=1))
        assert [row["channel"] for row in lines(night)] == [None] * 8 + ["store"] * 4
        assert [row["table_name"] for row in quality(night, "read by an earlier mapping")] == ["transactions"]


def test_days_without_a_line_are_no_repetition(shop):
    shop.nights(1)
    shop.drop("sunday", [])
    shop.drop("holiday", [])
    shop.drop("2", shop.day(DAY + timedelta(days=1)))
    night = shop.night(DAY + timedelta(days=2))
    assert quality(night, "same content delivered again") == []
    assert len(lines(night)) == 8


def test_a_file_of_an_erased_customer_alone_brings_nothing_and_is_counted(shop):
    shop.nights(1)
    bury(shop.folder / "var", ["C1"])
    day = DAY + timedelta(days=1)
    shop.drop("hers", [f"o{n},C1,P1,{day}T10:00:00,1,1.00" for n in range(3)])
    night = shop.night(day + timedelta(days=1))
    assert len(lines(night)) == 4
    assert {row["n_failed"] for row in quality(night, "erased customer delivered again")} >= {3}


def test_the_manifest_says_what_each_night_took(shop):
    run, _ = shop.nights(2)
    snapshots: list[Snapshot] = run.lake.snapshots()
    names = [run.lake.read("deliveries", version=one.versions["deliveries"])["name"].to_pylist() for one in snapshots]
    assert names == [[f"daily/{DAY}.csv"], [f"daily/{DAY}.csv", f"daily/{DAY + timedelta(days=1)}.csv"]]


class TestAClosedDay:
    """A file with its header alone, as a till writes it when nobody sold anything."""

    def test_it_stops_no_night_and_changes_nothing(self, shop):
        before = lines(shop.nights(6))
        shop.drop("sunday", [])
        after = lines(shop.night(DAY + timedelta(days=7)))
        assert after == before

    def test_the_next_day_is_taken_and_the_closed_one_is_not_read_again(self, shop):
        shop.nights(2)
        shop.drop("sunday", [])
        shop.night(DAY + timedelta(days=3))
        shop.drop("monday", shop.day(DAY + timedelta(days=3)))
        run, versions = shop.night(DAY + timedelta(days=4))
        assert len(lines((run, versions))) == 12
        taken = run.lake.read("deliveries", version=versions["deliveries"]).to_pylist()
        assert sum("sunday" in str(row) for row in taken) == 1

    def test_files_that_all_have_no_rows_are_no_delivery(self, shop):
        shop.drop("saturday", [])
        shop.drop("sunday", [])
        with pytest.raises(ContractError, match=r"no rows in|fewer than 1 rows"):
            shop.night(DAY)


class TestAQuietDay:
    """A day's median amount is judged only where there are lines enough to have one."""

    def test_one_cheap_line_stops_no_night(self, shop):
        shop.nights(1, n_lines=30)
        shop.drop("quiet", [f"q,C1,P1,{DAY + timedelta(days=1)}T10:00:00,1,0.05"])
        assert len(lines(shop.night(DAY + timedelta(days=2)))) == 31

    def test_a_whole_delivery_in_another_unit_does(self, shop):
        shop.nights(1, n_lines=30)
        rows = [row.replace(",1.00", ",0.01") for row in shop.day(DAY + timedelta(days=1), 30)]
        shop.drop("slipped", rows)
        with pytest.raises(ContractError, match="unit slip of the whole delivery"):
            shop.night(DAY + timedelta(days=2))


class TestBetweenPlanAndIngest:
    """A night looks at its files when it is planned, and again when it takes them."""

    def large(self, shop, cents: str = "1.00") -> None:
        shop.drop("large", [f"{n:05},C{n % 50},P{n % 9},{DAY}T10:00:00,1,{cents}" for n in range(30_000)])

    def test_a_file_that_stays_is_read_for_its_digest_once(self, shop, monkeypatch):
        self.large(shop)
        read: list[str] = []
        real = hashlib.file_digest

        def noting(stream, name):
            read.append(Path(stream.name).name)
            return real(stream, name)

        monkeypatch.setattr(hashlib, "file_digest", noting)
        shop.night(DAY + timedelta(days=1))
        assert read == ["large.csv"]

    def test_a_file_that_changes_meanwhile_is_taken_as_it_is_then(self, shop):
        self.large(shop)
        run, source = shop.planned(DAY + timedelta(days=1))
        sleep(0.02)  # longer than a tick of the file system's clock
        self.large(shop, "2.00")
        versions = ingest(run, source)
        assert sum(row["amount_cents"] for row in lines((run, versions))) == 30_000 * 200
        (taken,) = Ledger.read(run.lake.read("deliveries", version=versions["deliveries"])).taken
        assert (taken.piece,) == source.pieces()
