"""Campaigns in the night: windows that are over, and verdicts that a simulated truth can be held against."""

from datetime import date, datetime, timedelta

import pandas as pd
import pytest

from pipelines.campaign import _windows
from pipelines.run import Run
from pipelines.settings import Campaigns, Company, Settings

AS_OF = datetime(2018, 1, 1, 5)


def ledger(*starts: date, **columns: object) -> pd.DataFrame:
    row = {"kind": "letter", "cost_per_contact_cents": 90.0, "is_randomised": False} | columns
    rows = [
        row | {"campaign_id": str(number), "name": f"L{number}", "starts_on": on} for number, on in enumerate(starts)
    ]
    return pd.DataFrame(rows)


def windows(campaigns: pd.DataFrame, **settings: object) -> list:
    found = Settings(campaigns=Campaigns(**settings), company=Company(timezone="America/New_York"))
    return _windows(Run(found, AS_OF, "source"), campaigns)


class TestWindows:
    def test_outcome_and_placebo_begin_at_local_midnights_one_window_apart(self):
        (window,) = windows(ledger(date(2017, 11, 10)))
        assert window.starts_at == datetime(2017, 11, 10, 5)
        assert window.placebo_at == datetime(2017, 10, 13, 4), "before the clocks were set back"
        assert window.campaign.window_days == 28

    @pytest.mark.parametrize(("starts_on", "is_over"), [(date(2017, 12, 4), True), (date(2017, 12, 5), False)])
    def test_a_window_that_is_not_over_is_not_judged(self, starts_on, is_over):
        assert len(windows(ledger(starts_on))) == is_over

    def test_a_shorter_window_is_over_sooner(self):
        assert len(windows(ledger(date(2017, 12, 5)), outcome_days=27)) == 1

    def test_they_come_in_order_of_their_start_and_id(self):
        mixed = ledger(date(2017, 6, 1), date(2017, 5, 1), date(2017, 5, 1)).iloc[[2, 0, 1]]
        assert [window.campaign.campaign_id for window in windows(mixed)] == ["1", "2", "0"]

    def test_only_the_chosen_kinds_are_judged_and_no_choice_means_all(self):
        mixed = pd.concat([ledger(date(2017, 5, 1)), ledger(date(2017, 5, 2), kind="mail")])
        assert [window.campaign.name for window in windows(mixed, kinds=("mail",))] == ["L0"]
        assert len(windows(mixed)) == 2
        assert windows(mixed, kinds=("fax",)) == []

    def test_an_unknown_cost_is_null(self):
        (window,) = windows(ledger(date(2017, 5, 1), cost_per_contact_cents=float("nan")))
        assert window.campaign.cost_per_contact_cents is None


def verdict(run: Run) -> dict[str, object]:
    (row,) = run.frame("campaign_verdicts", run.lake.snapshot(run.run_key).versions).to_pylist()
    return row


def eligible_candidates(world) -> pd.DataFrame:
    """Return the candidates who ordered within 56 days before the start, counted by hand."""
    campaign = world.truth.campaign
    orders = world.truth.orders.to_pandas()
    since = campaign.starts_at - timedelta(days=56)
    lately = orders[(orders["event_time"] >= since) & (orders["event_time"] < campaign.starts_at)]
    candidates = campaign.candidates.to_pandas()
    return candidates[candidates["customer_id"].isin(lately["customer_id"])]


@pytest.mark.slow
class TestVerdicts:
    def test_a_campaign_that_works_is_said_to_work_and_its_interval_holds_the_truth(self, two_nights, nights):
        """Two thousand cents each is what 450 customers can show; the truth is that of the mailed who were eligible."""
        row, who = verdict(two_nights.first), eligible_candidates(nights.world())
        truth = who.loc[who["arm"] == "mail", "effect_cents"].mean()
        assert row["verdict"] == "works"
        assert row["effect_low_cents"] <= truth <= row["effect_high_cents"]
        assert row["effect_low_cents"] > 0
        assert row["is_randomised"]

    def test_everybody_who_took_part_and_was_eligible_is_counted(self, two_nights, nights):
        row, who = verdict(two_nights.first), eligible_candidates(nights.world())
        assert {"n_treated": row["n_treated"], "n_control": row["n_control"]} == {
            "n_treated": int((who["arm"] == "mail").sum()),
            "n_control": int((who["arm"] == "control").sum()),
        }

    def test_the_placebo_finds_nothing(self, two_nights):
        row = verdict(two_nights.first)
        assert row["placebo_low_cents"] <= 0 <= row["placebo_high_cents"]

    def test_a_campaign_that_does_nothing_is_not_said_to_work(self, blind_night):
        row = verdict(blind_night)
        assert row["verdict"] != "works"
        assert row["effect_low_cents"] <= 0 <= row["effect_high_cents"]

    def test_the_verdict_does_not_move_from_night_to_night(self, two_nights):
        first, second = verdict(two_nights.first), verdict(two_nights.second)
        assert {**first, "as_of": None} == {**second, "as_of": None}
