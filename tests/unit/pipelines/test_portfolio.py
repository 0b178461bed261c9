"""The portfolio of a night: its tables agree with the scores, with each other and with the labels."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from models.lifecycle import ARRIVED, STATES
from models.rfm import SEGMENTS
from pipelines.portfolio import GROUPINGS, TABLES, TOTAL, thresholds
from pipelines.report import portfolio as section
from pipelines.results import open_night
from pipelines.run import Run

Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def run(two_nights: Any) -> Run:
    found: Run = two_nights.first
    return found


@pytest.fixture(scope="module")
def frames(run: Run) -> Frames:
    snapshot = run.lake.snapshot(run.run_key)
    assert snapshot is not None
    names = (*TABLES, "scores", "observations", "training_observations", "horizons")
    return {
        name: run.lake.read(
            name, version=snapshot.versions[name], as_of=None if name == "training_observations" else run.as_of
        ).to_pandas()
        for name in names
    }


def test_the_section_reads_the_tables_that_the_stage_writes() -> None:
    assert set(section.TABLES) == set(TABLES)


def test_every_table_is_published_and_part_of_the_night(run: Run) -> None:
    night = open_night(run.settings, run.run_key)
    assert set(night.portfolio) == set(TABLES)
    assert all(len(frame) for frame in night.portfolio.values())


class TestValueAtRisk:
    def test_each_grouping_adds_up_to_the_scores(self, frames: Frames) -> None:
        found, scores = frames["value_at_risk"], frames["scores"]
        total = scores["value_at_risk_cents"].sum()
        for grouping in (TOTAL, *GROUPINGS):
            rows = found[found["grouping"] == grouping]
            assert rows["value_at_risk_cents"].sum() == pytest.approx(total, rel=0.001, abs=len(scores)), grouping
            assert rows["n_customers"].sum() == scores["churn_probability"].notna().sum()

    def test_intervals_hold_their_centre(self, frames: Frames) -> None:
        found = frames["value_at_risk"]
        ends = (found["value_at_risk_low_cents"], found["value_at_risk_high_cents"])
        assert found["value_at_risk_cents"].between(*ends).all()

    def test_the_ends_of_all_together_are_narrower_than_those_of_all_groups_added_up(self, frames: Frames) -> None:
        found = frames["value_at_risk"]
        width = (found["value_at_risk_high_cents"] - found["value_at_risk_low_cents"]).groupby(found["grouping"]).sum()
        assert width[TOTAL] <= 1.02 * width["rfm_segment"]


class TestStates:
    def test_who_has_lapsed_is_exactly_who_is_not_eligible(self, frames: Frames) -> None:
        scores = frames["scores"]
        assert ((scores["lifecycle_state"] == "lapsed") == ~scores["is_eligible"]).all()

    def test_the_threshold_is_that_of_eligibility(self, run: Run) -> None:
        versions = {"horizons": run.lake.snapshot(run.run_key).versions["horizons"]}  # type: ignore[union-attr]
        assert thresholds(run, versions).longest_days == run.settings.churn.eligible_days

    def test_the_last_moves_end_in_the_states_of_the_scores(self, frames: Frames) -> None:
        moves = frames["lifecycle_transitions"]
        last = moves[moves["to_at"] == moves["to_at"].max()].groupby("to_state")["n_customers"].sum()
        states = frames["scores"]["lifecycle_state"].value_counts().reindex(STATES, fill_value=0)
        assert last.reindex(STATES).to_dict() == states.to_dict()

    def test_each_date_begins_where_the_one_before_ended(self, frames: Frames) -> None:
        moves = frames["lifecycle_transitions"]
        ended = moves.groupby(["to_at", "to_state"])["n_customers"].sum()
        began = moves[moves["from_state"] != ARRIVED].groupby(["from_at", "from_state"])["n_customers"].sum()
        for (date, state), n in began.items():  # type: ignore[misc]
            if date in ended:
                assert ended[date, state] == n


class TestCurves:
    def test_they_meet_the_churn_probability_at_the_horizon(self, frames: Frames) -> None:
        curves, scores = frames["churn_curves"], frames["scores"]
        at = curves[curves["days"] == frames["horizons"]["horizon_days"].iloc[0]]
        everybody = at.loc[at["grouping"] == TOTAL, "silent_share"].iloc[0]
        assert everybody == pytest.approx(scores["churn_probability"].mean(), abs=1e-6)
        states = at[at["grouping"] == "lifecycle_state"].set_index("group")["silent_share"]
        means = scores.groupby("lifecycle_state")["churn_probability"].mean().dropna()
        assert states.to_dict() == pytest.approx(means.to_dict(), abs=1e-6)

    def test_they_fall_and_stay_within_their_ends(self, frames: Frames) -> None:
        curves = frames["churn_curves"]
        falls = curves.groupby(["grouping", "group"])["silent_share"].diff().dropna()
        assert (falls <= 0).all()
        assert curves["silent_share"].between(curves["silent_share_low"], curves["silent_share_high"]).all()


class TestAccounts:
    def test_they_are_the_customers_with_the_highest_spend(self, frames: Frames) -> None:
        top = frames["observations"].nlargest(20, "spend_364d_cents")["spend_364d_cents"]
        accounts = frames["key_accounts"]
        assert accounts["spend_cents"].tolist() == top.astype("int64").tolist()
        assert accounts["rank"].tolist() == list(range(1, len(accounts) + 1))

    def test_their_value_at_risk_is_that_of_the_scores(self, frames: Frames) -> None:
        both = frames["key_accounts"].merge(frames["scores"], on="customer_id", suffixes=("", "_scored")).dropna()
        gap = (both["value_at_risk_cents"] - both["value_at_risk_cents_scored"]).abs()
        assert (gap <= 1).all()

    def test_segments_hold_every_customer_once(self, frames: Frames) -> None:
        found = frames["rfm_segments"]
        assert found["rfm_segment"].tolist() == list(SEGMENTS)
        assert found["n_customers"].sum() == len(frames["scores"])
        assert found["spend_cents"].sum() == frames["observations"]["spend_364d_cents"].fillna(0).sum()


def test_the_next_night_writes_its_own(two_nights: Any, nights: ModuleType) -> None:
    first, second = (nights.digests(one, TABLES) for one in (two_nights.first, two_nights.second))
    assert set(first) == set(TABLES)
    assert first["lifecycle_transitions"] != second["lifecycle_transitions"]


def test_a_night_before_there_were_such_tables_says_so() -> None:
    night = SimpleNamespace(portfolio={}, source=lambda name: f"{name}@1")
    found = section.portfolio(night)  # type: ignore[arg-type]
    assert found.lede == ["The portfolio was not worked out tonight."]
    assert not found.blocks
