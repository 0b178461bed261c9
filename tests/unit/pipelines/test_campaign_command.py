"""The ledger by command: a design that tells before it costs, a draw that never changes, a verdict near the truth."""

import json
import shutil
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from data.errors import ConfigError, UserError
from data.lake import Lake
from models.assignment import soundness
from models.design import Plan
from models.holdout import assign as draw_holdout
from models.uplift import LEARNERS, nested
from models.uplift_gate import Answer, Terms
from models.verdict import VerdictWord
from pipelines.cli import app
from pipelines.evaluate import evaluate, league
from pipelines.experiments import Experiments
from pipelines.ledger import AlreadyAssignedError, Entry, Ledger, UnknownCampaignError
from pipelines.tracking import Tracker
from pipelines.trial_file import evaluate_file, rank_file, read_trial

AT = datetime(2025, 1, 2, 9)
START = date(2025, 1, 15)


@pytest.fixture
def settings(two_nights, tmp_path, monkeypatch):
    """Return the settings of a root of its own, with the lake of a shop's two nights."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    old = two_nights.second.settings
    shutil.copytree(old.root / "lake", tmp_path / "lake")
    shutil.copy(old.root / "mlflow.db", tmp_path / "mlflow.db")
    return old.model_copy(update={"root": tmp_path})


@pytest.fixture
def command(settings, monkeypatch):
    """Return a function that gives a command on these settings."""
    monkeypatch.setattr("pipelines.commands.campaign._settings", lambda *_: settings)

    def give(*words):
        result = CliRunner().invoke(app, ["campaign", *map(str, words)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return give


def entry(campaign_id="spring", starts_on=START, days=28, shares=None, **costs):
    shares = shares or {"control": 0.5, "mail": 0.5}
    return Entry(campaign_id, "Spring", starts_on, days, shares, costs or {"mail": 60.0}, 0, "", AT, "Kim")


@pytest.mark.slow
class TestDesign:
    def test_it_says_what_could_be_found_and_for_how_much(self, command):
        (one, *longer) = json.loads(command("design", "--cost", "mail=60", "--json"))
        assert one["arm"] == "mail"
        assert one["days"] == 28
        assert one["n_treated"] + one["n_control"] > 100
        assert 0 <= one["variance_saved_share"] < 1
        assert one["detectable_cents"] <= one["plain_detectable_cents"]
        assert one["worth_cents"] == 60 / 0.25
        assert one["cost_cents"] == 60 * one["n_treated"]
        assert [other["days"] for other in longer] == [56, 112]

    def test_it_says_before_launch_that_the_numbers_cannot_answer(self, command):
        told = command("design", "--cost", "mail=1")
        assert "These numbers cannot answer the question" in " ".join(told.split())
        with pytest.raises(UserError, match="cannot answer the question"):
            command("assign", "tiny", "--starts-on", "2025-01-15", "--by", "Kim", "--cost", "mail=1")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--arm", "mail=1"], "one of them of control"),
            (["--arm", "control=0.5", "--arm", "mail=half"], "NAME=NUMBER"),
            (["--cost", "call=9"], "a cost of call"),
        ],
    )
    def test_impossible_plans_are_refused(self, command, words, said):
        with pytest.raises(ConfigError, match=said):
            command("design", *words)


@pytest.mark.slow
class TestAssign:
    def test_a_draw_is_balanced_listed_and_never_changed(self, command, settings):
        words = ("assign", "spring", "--starts-on", "2025-01-15", "--by", "Kim", "--anyway")
        (told,) = json.loads(command(*words, "--json"))
        drawn = Ledger(Lake(settings.lake_root)).draw("spring")
        counts = drawn["arm"].value_counts()
        assert counts.to_dict() == told["arms"]
        assert abs(counts["mail"] - counts["control"]) <= drawn["stratum"].nunique()
        by_stratum = drawn.groupby("stratum")["arm"].apply(lambda arms: abs((arms == "mail").mean() - 0.5))
        assert by_stratum.max() < 0.05
        listed = pd.read_csv(told["files"]["csv"], dtype=str)
        assert sorted(listed["customer_id"]) == sorted(drawn.loc[drawn["arm"] == "mail", "customer_id"])
        book = pd.read_excel(told["files"]["xlsx"], sheet_name="Contacts", dtype=str)
        assert book.iloc[:, 0].tolist() == listed["customer_id"].tolist()
        with pytest.raises(AlreadyAssignedError, match="which was drawn on"):
            command(*words)
        assert Ledger(Lake(settings.lake_root)).draw("spring").equals(drawn)

    def test_who_is_held_out_is_in_no_campaign_and_who_is_in_one_in_no_other(self, settings):
        experiments = Experiments(settings)
        plan_of = entry()
        first = experiments.assign(plan(plan_of), plan_of)
        share = settings.decisions.holdout_share
        drawn = experiments.ledger.draw("spring")["customer_id"]
        arms = draw_holdout(drawn, settings.decisions.holdout_salt, {"holdout": share, "action": 1 - share})
        assert set(arms) == {"action"}
        assert first.left_out["in the universal holdout"] > 0
        again, left_out = experiments.candidates(28)
        assert again.empty
        assert left_out["in another campaign that is not over"] == len(drawn)

    def test_several_arms_and_another_id_draw_anew(self, settings):
        experiments, three = Experiments(settings), {"control": 0.4, "mail": 0.4, "call": 0.2}
        done = entry("old", starts_on=date(2024, 1, 1))
        experiments.assign(plan(done), done)
        mine = entry("three", shares=three)
        counts = experiments.assign(plan(mine), mine).counts
        total = sum(counts.values())
        assert {arm: round(count / total, 1) for arm, count in counts.items()} == three
        both = experiments.ledger.draw("old").merge(experiments.ledger.draw("three"), on="customer_id")
        agree = ((both["arm_x"] == "control") == (both["arm_y"] == "control")).mean()
        assert 0.4 < agree < 0.6


def plan(one):
    return Plan(one.shares, one.costs, 0.25)


def past_campaign(settings, days=28, campaign_id="lot"):
    """Write the simulated campaign into the ledger, as if its arms had been drawn here, and return its truth."""
    lake = Lake(settings.lake_root)
    contacts = lake.read("contacts").to_pandas().sort_values("customer_id", ignore_index=True)
    starts_on = lake.read("campaigns").to_pandas()["starts_on"].iloc[0]
    drawn = contacts[["customer_id", "arm", "propensity"]].assign(stratum="", household_id=None)
    mine = entry(campaign_id, starts_on=pd.Timestamp(starts_on).date(), days=days, mail=60.0)
    return Ledger(lake).add(mine, drawn)


@pytest.mark.slow
class TestEvaluate:
    def test_a_verdict_holds_the_truth_and_goes_to_mlflow(self, settings, nights):
        known = past_campaign(settings)
        judged = evaluate(settings, "lot")
        (verdict,) = judged.verdicts
        truth = nights.world().truth.campaign.candidates.to_pandas()
        assert verdict.word == VerdictWord.WORKS
        assert verdict.effect.low < truth["effect_cents"].mean() * 1.3
        assert verdict.effect.high > truth["effect_cents"].mean() * 0.7
        assert verdict.net.estimate == pytest.approx(0.25 * verdict.effect.estimate - 60)
        assert verdict.after is not None, "the window after it is over too"
        assert judged.draw_digest == known.draw_digest
        tracker = Tracker(settings.root)
        run_id = tracker.open_run(f"campaign-{known.draw_digest[:16]}", "", {})
        run = tracker.client.get_run(run_id)
        assert run.data.params["draw_digest"] == known.draw_digest
        assert run.data.tags["verdict_0"] == "works"
        assert evaluate(settings, "lot") == judged

    def test_a_delivered_campaign_is_judged_by_its_id(self, command):
        (told,) = json.loads(command("evaluate", "1", "--json"))
        assert told["verdict"] == "works"
        assert "targeted at random" in told["words"]
        assert told["doubts"] == []

    def test_a_window_that_is_not_over_is_not_looked_into(self, settings, command):
        experiments, mine = Experiments(settings), entry()
        experiments.assign(plan(mine), mine)
        with pytest.raises(UserError, match="are not over"):
            evaluate(settings, "spring")
        assert "Not judged yet: spring" in command("list")

    def test_an_unknown_campaign_is_said_to_be_unknown(self, settings):
        with pytest.raises(UnknownCampaignError):
            evaluate(settings, "nothing")

    def test_control_that_was_contacted_is_told(self, settings):
        past_campaign(settings, campaign_id="1")
        lake = Lake(settings.lake_root)
        drawn = Ledger(lake).draw("1")
        swapped = drawn.assign(arm=drawn["arm"].map({"mail": "control", "control": "mail"}))
        Ledger(lake).add(
            entry("swapped", starts_on=Ledger(lake).entries()["1"].starts_on), swapped.drop(columns="campaign_id")
        )
        contacts = lake.read("contacts").to_pandas()
        n_mailed = int(contacts["contacted_at"].notna().sum())
        told = contacts.set_index("customer_id")["contacted_at"].reindex(swapped["customer_id"]).to_numpy()
        found = soundness(swapped.assign(contacted_at=told), {"mail": 0.5, "control": 0.5})
        assert found.n_contaminated == n_mailed
        assert "were contacted" in found.doubts[0]

    def test_the_league_ranks_by_net_per_cost(self, settings, command):
        past_campaign(settings)
        table = league(settings, [evaluate(settings, "lot")])
        assert table["campaign_id"].tolist()[0] == "lot"
        first = table.iloc[0]
        assert first["net_per_cost"] == pytest.approx(first["net_cents"] / first["cost_cents"])
        assert first["net_low_cents"] < first["net_cents"] < first["net_high_cents"]
        assert "Spring" in command("list")
        rows = json.loads(command("list", "--json"))
        assert {row["campaign_id"] for row in rows} == {"lot", "1"}


class TestFile:
    @pytest.fixture
    def trial(self, tmp_path):
        rows = pd.DataFrame({"id": range(4_000), "segment": ["A", "none"] * 2_000, "age": [30, 40, 50, 60] * 1_000})
        chance = 0.25 + 0.5 * (rows["segment"] == "A")
        rows["visit"] = (np.random.default_rng(0).random(4_000) < chance).astype(int)
        path = tmp_path / "trial.csv"
        rows.to_csv(path, index=False)
        return path

    def test_a_flat_file_needs_no_lake(self, trial):
        words = ("--file", trial, "--arm-column", "segment", "--outcome", "visit", "--control", "none")
        result = CliRunner().invoke(app, ["campaign", "evaluate", *map(str, words), "--json"])
        (told,) = json.loads(result.output)
        assert told["plain_low"] < 0.5 < told["plain_high"]
        assert (told["n_treated"], told["n_control"]) == (2_000, 2_000)
        plain = CliRunner().invoke(app, ["campaign", "evaluate", *map(str, words)])
        assert "A, visit" in plain.output

    def test_a_ranking_is_refused_where_everybody_is_moved_alike(self, trial, monkeypatch):
        # Two linear learners: the whole list takes longer than a test may.
        monkeypatch.setattr("pipelines.trial_file.nested", lambda data, seed: nested(data, seed, LEARNERS[1:2]))
        found = rank_file(
            read_trial(trial, arm="segment", outcomes=["visit"], control="none"), "visit", Terms(100, 10), seed=1
        )
        assert found["A"].answer in {Answer.ALL, Answer.RESPONSE}
        assert not found["A"].is_accepted
        words = ("--file", trial, "--arm-column", "segment", "--outcome", "visit", "--control", "none", "--rank")
        told = CliRunner().invoke(app, ["campaign", "evaluate", *map(str, words)])
        assert "The ranking is refused" in " ".join(told.output.split())

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"arm": "arms"}, "no column arms"),
            ({"outcomes": ["sale"]}, "no column sale"),
            ({"control": "nobody"}, "name --control"),
            ({"outcomes": ["segment"]}, "no number"),
        ],
    )
    def test_what_is_missing_is_named(self, trial, change, said):
        asked = {"arm": "segment", "outcomes": ["visit"], "control": "none"} | change
        with pytest.raises(ConfigError, match=said):
            evaluate_file(trial, **asked)

    def test_no_file_and_no_campaign_is_no_question(self, tmp_path):
        with pytest.raises(ConfigError, match="a file that ends in"):
            evaluate_file(tmp_path / "none.csv", arm="a", outcomes=["b"], control="c")
        result = CliRunner().invoke(app, ["campaign", "evaluate"])
        assert isinstance(result.exception, ConfigError)


def test_the_ledger_begins_empty(tmp_path):
    ledger = Ledger(Lake(tmp_path / "lake"))
    assert ledger.entries() == {}
    assert ledger.draw("spring").empty
    assert ledger.running(START + timedelta(days=1)) == set()
