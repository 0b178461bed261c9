"""Ingest: a bad row never stops a night and is never lost, a broken contract always stops it."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.contracts import CONTRACTS
from data.errors import ContractError
from data.simulator import simulate
from data.sources import ParquetSource, Source
from pipelines.campaign import judge_campaigns
from pipelines.ingest import RECORDS, ingest
from pipelines.observe import observe
from pipelines.run import Run
from pipelines.settings import Company, Settings

AS_OF = datetime(2024, 12, 31)


@pytest.fixture(scope="module")
def raw() -> dict[str, pa.Table]:
    return dict(simulate(seed=3, n_customers=120, n_days=365).tables)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    company = Company(timezone="UTC", currency="EUR")
    return Run(Settings(root=tmp_path, company=company, engine={"threads": 1}), AS_OF, "source")


def with_lines(raw: dict[str, pa.Table], *rows: dict[str, object]) -> dict[str, pa.Table]:
    """Return the raw tables with more lines, each like the first one but for what is said."""
    lines = raw["transactions"]
    like = lines.slice(0, 1).to_pylist()[0]
    more = pa.Table.from_pylist([like | {"order_id": f"more {n}"} | row for n, row in enumerate(rows)], lines.schema)
    return raw | {"transactions": pa.concat_tables([lines, more])}


def quarantined(run: Run, versions: dict[str, int]) -> list[dict[str, object]]:
    return run.frame("quarantine", versions).to_pylist()


class TestRows:
    def test_good_tables_pass_whole(self, in_memory, run, raw):
        versions = ingest(run, in_memory(raw))
        assert set(versions) == {*CONTRACTS, *RECORDS}
        assert quarantined(run, versions) == []
        for name in CONTRACTS:
            assert run.frame(name, versions, sliced=False).num_rows == (raw[name].num_rows if name in raw else 0)

    def test_a_bad_row_is_kept_with_all_its_reasons_as_it_came(self, in_memory, run, raw):
        future = AS_OF + timedelta(days=40)
        bad = {"event_time": future, "known_at": future, "quantity": Decimal(-1), "amount_cents": 5, "customer_id": "x"}
        versions = ingest(run, in_memory(with_lines(raw, bad)))
        (row,) = quarantined(run, versions)
        assert row["table_name"] == "transactions"
        assert row["reasons"] == "event in the future; negative quantity with positive amount; orphan customer"
        assert json.loads(row["row_json"])["order_id"] == "more 0"
        assert row["as_of"] == AS_OF
        accepted = run.frame("transactions", versions, sliced=False)
        assert "more 0" not in accepted["order_id"].to_pylist()
        assert accepted.num_rows == raw["transactions"].num_rows

    def test_rows_and_money_reconcile(self, in_memory, run, raw):
        tables = with_lines(
            raw, {"customer_id": "x", "amount_cents": 700}, {"quantity": Decimal(0), "amount_cents": 30}
        )
        copies = tables["transactions"].slice(5, 2)
        tables["transactions"] = pa.concat_tables([tables["transactions"], copies])
        found = run.frame("reconciliation", ingest(run, in_memory(tables))).to_pylist()
        assert [row["table_name"] for row in found] == list(CONTRACTS)
        (lines,) = (row for row in found if row["table_name"] == "transactions")
        assert lines["n_in"] == tables["transactions"].num_rows
        assert (lines["n_quarantined"], lines["n_duplicates"]) == (2, 2)
        assert lines["n_in"] == lines["n_accepted"] + lines["n_quarantined"] + lines["n_duplicates"]
        assert lines["in_cents"] == pc.sum(tables["transactions"]["amount_cents"]).as_py()
        assert (lines["quarantined_cents"], lines["duplicate_cents"]) == (730, pc.sum(copies["amount_cents"]).as_py())
        assert lines["in_cents"] == lines["accepted_cents"] + lines["quarantined_cents"] + lines["duplicate_cents"]

    def test_every_expectation_is_on_record(self, in_memory, run, raw):
        quality = run.frame("quality", ingest(run, in_memory(with_lines(raw, {"customer_id": "x"})))).to_pylist()
        failed = {(row["table_name"], row["expectation"]): row["n_failed"] for row in quality if not row["is_passed"]}
        assert failed == {("transactions", "orphan customer"): 1}
        assert {row["table_name"] for row in quality} == set(CONTRACTS)

    def test_the_order_of_delivery_changes_no_byte_of_what_is_accepted(self, in_memory, run, raw, tmp_path):
        backwards = {name: table.take(pa.array(range(table.num_rows)[::-1])) for name, table in raw.items()}
        other = replace(run, settings=run.settings.model_copy(update={"root": tmp_path / "other"}))
        here, there = ingest(run, in_memory(raw)), ingest(other, in_memory(backwards))
        for name in CONTRACTS:
            assert run.frame(name, here, sliced=False).equals(other.frame(name, there, sliced=False))

    @pytest.mark.parametrize(("hours", "is_early"), [(23.9, True), (24.1, False)])
    def test_a_line_of_the_night_s_own_day_is_early_and_not_wrong(self, in_memory, run, raw, hours, is_early):
        """A night begins after midnight, and a web shop sells on: such a line waits, and nobody is blamed for it."""
        later = AS_OF + timedelta(hours=hours)
        versions = ingest(run, in_memory(with_lines(raw, {"event_time": later, "known_at": later})))
        assert [row["reasons"] for row in quarantined(run, versions)] == ([] if is_early else ["event in the future"])

    @pytest.mark.parametrize(("currency", "reasons"), [("EUR", []), (None, []), ("USD", ["unknown currency"])])
    def test_only_the_company_s_currency_is_added_up(self, in_memory, run, raw, currency, reasons):
        versions = ingest(run, in_memory(with_lines(raw, {"currency": currency})))
        assert [row["reasons"] for row in quarantined(run, versions)] == reasons


class TestStops:
    """Catalogue rows D6 and D7."""

    def check(self, run: Run, source: Source, message: str) -> None:
        with pytest.raises(ContractError, match=message) as caught:
            ingest(run, source)
        assert caught.value.exit_code == 3
        assert "\n" not in str(caught.value)
        assert not any(run.lake.has(name) for name in (*CONTRACTS, *RECORDS)), "nothing was written"

    def test_a_missing_column(self, in_memory, run, raw):
        tables = raw | {"transactions": raw["transactions"].drop_columns("event_time")}
        self.check(run, in_memory(tables), "transactions has no column event_time")

    def test_a_column_of_another_type(self, in_memory, run, raw):
        flags = pa.array([True] * raw["transactions"].num_rows)
        tables = raw | {
            "transactions": raw["transactions"].drop_columns("amount_cents").append_column("amount_cents", flags)
        }
        self.check(run, in_memory(tables), "amount_cents")

    def test_a_share_of_bad_rows_beyond_the_limit_says_by_how_much(self, in_memory, run, raw):
        n_rows = raw["transactions"].num_rows
        # One in twenty is still allowed: k of n + k are bad.
        allowed = n_rows // 19
        bad = [{"customer_id": "x"}] * (allowed + 1)
        self.check(
            run, in_memory(with_lines(raw, *bad)), r"too many rejected rows \(5\.0\d% rejected, at most 5\.00% allowed"
        )
        versions = ingest(run, in_memory(with_lines(raw, *bad[:-1])))
        assert len(quarantined(run, versions)) == allowed

    def test_no_line_at_all(self, in_memory, run, raw):
        self.check(run, in_memory(raw | {"transactions": raw["transactions"].slice(0, 0)}), "transactions")


class TestNoCampaigns:
    def test_a_shop_without_campaigns_has_a_night_and_may_begin_to_keep_some(
        self, in_memory, nights, run, raw, tmp_path
    ):
        needed = {name: raw[name] for name in ("customers", "products", "transactions")}
        source = ParquetSource(nights.write_shop(tmp_path / "raw", needed))
        versions = ingest(run, source)
        assert run.frame("contacts", versions, sliced=False).num_rows == 0
        versions |= observe(run, versions)
        versions |= judge_campaigns(run, versions)
        assert run.frame("campaign_verdicts", versions).num_rows == 0
        later = replace(run, source_digest="with campaigns", as_of=AS_OF + timedelta(days=1))
        versions = ingest(later, in_memory(raw))
        versions |= observe(later, versions)
        versions |= judge_campaigns(later, versions)
        assert later.frame("campaign_verdicts", versions)["campaign_id"].to_pylist() == ["1"]
        kinds = later.frame("contacts", versions, sliced=False).schema
        assert kinds.field("propensity").type == pa.float64()
