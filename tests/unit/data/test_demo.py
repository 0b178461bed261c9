"""The demo's raw tables are Complete Journey exactly: every cent, every instant, every household."""

import hashlib
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data import demo

NEW_YORK = ZoneInfo(demo.TIMEZONE)
UTC = ZoneInfo("UTC")


@pytest.fixture(scope="module")
def raw() -> dict[str, pa.Table]:
    return demo.raw_tables()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def to_local(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC).astimezone(NEW_YORK).replace(tzinfo=None)


def total(table: pa.Table, column: str) -> int:
    return int(pc.sum(table[column]).as_py())


def test_tables_have_their_schema_and_published_sizes(raw: dict[str, pa.Table]) -> None:
    assert {name: table.num_rows for name, table in raw.items()} == {
        "customers": 2_469,
        "products": 92_331,
        "transactions": 1_469_307,
        "campaigns": 27,
        "contacts": 6_589,
    }
    for name, table in raw.items():
        assert table.schema == demo.RAW_SCHEMAS[name]


def test_required_columns_hold_no_null(raw: dict[str, pa.Table]) -> None:
    required = {
        "customers": ("customer_id", "first_seen_on"),
        "products": ("product_id", "brand", "department", "manufacturer_id"),
        "transactions": ("order_id", "customer_id", "product_id", "event_time", "quantity", "amount_cents", "known_at"),
        "campaigns": ("campaign_id", "name", "kind", "channel", "starts_on", "ends_on", "is_randomised"),
        "contacts": ("campaign_id", "customer_id", "arm", "assigned_at", "contacted_at"),
    }
    for name, columns in required.items():
        assert {column: raw[name][column].null_count for column in columns} == dict.fromkeys(columns, 0)


def test_what_the_source_does_not_say_is_null(raw: dict[str, pa.Table]) -> None:
    silent = {
        "customers": ("gender", "region", "segment", "account_manager", "loyalty_tier", "loyalty_joined_on"),
        "products": ("list_price_cents", "unit_cost_cents"),
        "transactions": ("currency",),
        "campaigns": ("cost_per_contact_cents", "offer"),
        "contacts": ("propensity",),
    }
    for name, columns in silent.items():
        assert all(raw[name][column].null_count == raw[name].num_rows for column in columns)


def test_money_is_exact_to_the_cent(raw: dict[str, pa.Table]) -> None:
    lines = raw["transactions"]
    assert total(lines, "amount_cents") == 459_603_958
    assert total(lines, "discount_cents") == 79_165_064 + 454_265
    assert total(lines, "coupon_cents") == 2_635_990
    assert min(pc.min(lines[column]).as_py() for column in ("amount_cents", "discount_cents", "coupon_cents")) == 0


def test_cents_equal_the_published_copy_line_by_line(raw: dict[str, pa.Table], test_data: Path) -> None:
    lines = raw["transactions"]  # noqa: F841 - DuckDB finds it by name
    path = test_data / "completejourney" / "transactions.parquet"
    with duckdb.connect() as connection:
        published = connection.read_parquet(str(path))  # noqa: F841 - DuckDB finds it by name
        n_equal, n_lines = connection.sql(
            """
            SELECT count(*) FILTER (abs(amount_cents - sales_value * 100) < 1e-6
                     AND abs(coupon_cents - coupon_disc * 100) < 1e-6
                     AND abs(discount_cents - (retail_disc + coupon_match_disc) * 100) < 1e-6
                     AND lines.quantity = published.quantity AND customer_id = household_id::VARCHAR
                     AND lines.store_id = published.store_id::VARCHAR AND event_time = transaction_timestamp),
                   count(*)
            FROM lines JOIN published
              ON order_id = basket_id::VARCHAR AND lines.product_id = published.product_id::VARCHAR
            """
        ).fetchone() or (0, 0)
    assert n_equal == n_lines == 1_469_307


def test_quantities_are_counts_and_keep_the_odd_lines(raw: dict[str, pa.Table]) -> None:
    lines = raw["transactions"]
    is_empty = pc.equal(lines["quantity"], 0)
    assert total(lines, "quantity") == 152_923_108
    assert pc.sum(is_empty).as_py() == 8_869
    paid = lines.filter(pc.and_(is_empty, pc.greater(lines["amount_cents"], 0)))
    # In the source 49 of them have a positive amount, but 20 of those are rests of floating point below 1e-14 dollars.
    assert (paid.num_rows, total(paid, "amount_cents")) == (29, 1_252)


def test_every_line_is_one_product_of_one_order(raw: dict[str, pa.Table]) -> None:
    lines = raw["transactions"]
    assert lines.group_by(["order_id", "product_id"]).aggregate([]).num_rows == lines.num_rows
    orders = lines.group_by(["order_id", "customer_id", "event_time", "store_id"]).aggregate([])
    assert orders.num_rows == pc.count_distinct(lines["order_id"]).as_py() == 155_848


def test_timestamps_are_utc_and_span_the_local_year(raw: dict[str, pa.Table]) -> None:
    first, last = pc.min_max(raw["transactions"]["event_time"]).as_py().values()
    assert (first, last) == (at("2017-01-01 11:53:26"), at("2018-01-01 04:01:20"))
    assert to_local(first) == at("2017-01-01 06:53:26")
    assert to_local(last) == at("2017-12-31 23:01:20")
    assert raw["transactions"]["known_at"].equals(raw["transactions"]["event_time"])


def test_as_of_is_local_midnight_after_the_last_line(raw: dict[str, pa.Table]) -> None:
    last = pc.max(raw["transactions"]["event_time"]).as_py()
    assert last < demo.AS_OF
    assert to_local(demo.AS_OF) == at("2018-01-01")
    assert to_local(last).date() == date(2017, 12, 31)


def test_the_week_of_the_source_changes_at_local_midnight_only() -> None:
    path = demo._folder() / "transactions.parquet"
    source = pq.read_table(path, columns=["week", "transaction_timestamp"])
    weeks = source.group_by("week").aggregate([("transaction_timestamp", "min"), ("transaction_timestamp", "max")])
    spans = sorted(
        (row["week"], *(to_local(row[f"transaction_timestamp_{end}"].to_pydatetime()) for end in ("min", "max")))
        for row in weeks.to_pylist()
    )
    assert [week for week, _, _ in spans] == list(range(1, 54))
    first_days = [first.date() for _, first, _ in spans]
    last_days = [last.date() for _, _, last in spans]
    assert all(ended < began for ended, began in zip(last_days[:-1], first_days[1:], strict=True))
    assert any(last.hour == 23 for _, _, last in spans)
    utc_days = {(row["week"], row["transaction_timestamp_max"].date()) for row in weeks.to_pylist()}
    assert any(day > last_days[week - 1] for week, day in utc_days), "in UTC the weeks would overlap in days"


def test_customers_are_all_households_with_their_first_local_day(raw: dict[str, pa.Table]) -> None:
    customers = raw["customers"]
    lines = raw["transactions"].group_by("customer_id").aggregate([("event_time", "min")]).to_pylist()
    expected = {row["customer_id"]: to_local(row["event_time_min"]).date() for row in lines}
    assert dict(zip(*(customers[c].to_pylist() for c in ("customer_id", "first_seen_on")), strict=True)) == expected
    assert customers["customer_id"].to_pylist() == sorted(expected, key=int)


def test_demographics_are_kept_as_text_with_unknown_as_null(raw: dict[str, pa.Table]) -> None:
    customers = raw["customers"]
    known = customers.filter(pc.is_valid(customers["age_band"]))
    assert known.num_rows == 801
    assert (known["home_ownership"].null_count, known["marital_status"].null_count) == (233, 137)
    assert set(known["household_size"].to_pylist()) == {"1", "2", "3", "4", "5+"}
    assert set(known["kids_count"].to_pylist()) == {"0", "1", "2", "3+"}
    first = known.slice(0, 1).to_pylist()[0]
    assert (first["customer_id"], first["age_band"], first["income_band"]) == ("1", "65+", "35-49K")
    assert first["household_composition"] == "2 Adults No Kids"


def test_products_are_named_by_type_and_category(raw: dict[str, pa.Table]) -> None:
    products = raw["products"]
    ice = products.filter(pc.equal(products["product_id"], "25671")).to_pylist()[0]
    assert (ice["name"], ice["category"], ice["department"]) == ("ICE - CRUSHED/CUBED", "FRZN ICE", "GROCERY")
    assert (ice["brand"], ice["manufacturer_id"], ice["package_size"]) == ("National", "2", "22 LB")
    brands = {row["values"]: row["counts"] for row in pc.value_counts(products["brand"]).to_pylist()}
    assert brands == {"National": 78_516, "Private": 13_815}
    unknown = pc.invert(pc.is_in(raw["transactions"]["product_id"], value_set=products["product_id"]))
    assert pc.sum(unknown).as_py() == 4_836


def test_campaigns_are_not_randomised_mailings(raw: dict[str, pa.Table]) -> None:
    campaigns = raw["campaigns"].to_pylist()
    kinds = [row["kind"] for row in campaigns]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"Type A": 4, "Type B": 17, "Type C": 6}
    assert not any(row["is_randomised"] for row in campaigns)
    assert {row["campaign_id"] for row in campaigns if row["kind"] == "Type A"} >= {"8", "13", "18"}
    assert [row["campaign_id"] for row in campaigns] == [str(number) for number in range(1, 28)]
    assert all(row["starts_on"] < row["ends_on"] for row in campaigns)


def test_contacts_are_assigned_at_local_midnight_of_the_start(raw: dict[str, pa.Table]) -> None:
    starts = {row["campaign_id"]: row["starts_on"] for row in raw["campaigns"].to_pylist()}
    contacts = raw["contacts"].to_pylist()
    assert {row["arm"] for row in contacts} == {"mail"}
    assert len({row["customer_id"] for row in contacts}) == 1_559
    assert len({(row["campaign_id"], row["customer_id"]) for row in contacts}) == len(contacts)
    for row in contacts:
        assert row["contacted_at"] == row["assigned_at"]
    moments = {(row["campaign_id"], row["assigned_at"]) for row in contacts}
    assert {campaign: to_local(at) for campaign, at in moments} == {
        campaign: datetime.combine(day, datetime.min.time()) for campaign, day in starts.items()
    }
    assert len(moments) == 27
    assert {at.hour for _, at in moments} == {4, 5}, "summer and winter differ in UTC"


def test_reading_twice_gives_the_same_tables(raw: dict[str, pa.Table]) -> None:
    again = demo.raw_tables()
    assert all(again[name].equals(table) for name, table in raw.items())


def test_digest_moves_with_content_and_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = demo.source_digest()
    assert len(real) == 64
    assert real == demo.source_digest()
    for source in demo._SOURCES:
        (tmp_path / f"{source}.parquet").write_bytes((demo._folder() / f"{source}.parquet").read_bytes())
    monkeypatch.setattr(demo, "_folder", lambda: tmp_path)
    assert demo.source_digest() == real
    monkeypatch.setattr(demo.metadata, "version", lambda _: "0.2.0")
    newer = demo.source_digest()
    monkeypatch.undo()
    monkeypatch.setattr(demo, "_folder", lambda: tmp_path)
    (tmp_path / "campaigns.parquet").write_bytes(b"other")
    assert len({real, newer, demo.source_digest(), hashlib.sha256().hexdigest()}) == 4


def test_promotions_are_never_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for source in demo._SOURCES:
        (tmp_path / f"{source}.parquet").symlink_to(demo._folder() / f"{source}.parquet")
    monkeypatch.setattr(demo, "_folder", lambda: tmp_path)
    assert demo.raw_tables()["campaigns"].num_rows == 27


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_loading_stays_within_its_memory() -> None:
    script = "from data.demo import raw_tables; tables = raw_tables(); print(open('/proc/self/status').read())"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True)
    # A child's ru_maxrss starts at its parent's size; VmHWM is the process's own.
    peak = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("VmHWM"))
    assert int(peak) < 700 * 1024
