"""The gate in the night: who serves, who is kept out, and what a night without a model still does (P1, L8)."""

import numpy as np
import pytest

from models.churn import ChurnModel
from pipelines.registry import recorded
from pipelines.results import files_of
from pipelines.tracking import Tracker

pytestmark = pytest.mark.slow


def tables(run, *names):
    versions = run.lake.snapshot(run.run_key).versions
    return [run.frame(name, versions, sliced=name != "model_versions").to_pandas() for name in names]


def decisions(run):
    (frame,) = tables(run, "model_decisions")
    return frame.set_index("model")


class TestFirstNight:
    def test_a_model_that_beats_the_simple_rule_is_promoted(self, two_nights):
        found = decisions(two_nights.first)
        assert found["decision"].to_dict() == {"churn": "promoted", "value": "promoted"}
        assert found["champion_version"].isna().all()
        assert (found["difference_high"] < 0).all(), "both measures are errors: less is better"

    def test_it_serves_the_same_night(self, two_nights):
        (scores,) = tables(two_nights.first, "scores")
        assert scores["churn_probability"].notna().any()


class TestSecondNight:
    def test_a_candidate_that_is_not_better_is_kept_out_and_the_reason_is_written_down(self, two_nights):
        found = decisions(two_nights.second)
        assert found["candidate_version"].to_dict() == {"churn": 2, "value": 2}
        assert found["champion_version"].to_dict() == {"churn": 1, "value": 1}
        assert found.loc["churn", "decision"] == "kept"
        assert found.loc["churn", "reference"] == "champion"
        assert found.loc["churn", "reason"].endswith("the champion stays")

    def test_the_alias_moves_with_a_promotion_only_and_both_versions_are_in_the_registry(self, two_nights):
        tracker = Tracker(two_nights.second.settings.root)
        for model, decision in decisions(two_nights.second)["decision"].items():
            assert tracker.champion(model) == (2 if decision == "promoted" else 1)
            assert len(tracker.client.search_model_versions(f"name = '{model}'")) == 2

    def test_customers_of_each_kind_were_looked_at(self, two_nights):
        (found,) = tables(two_nights.second, "model_floors")
        assert set(found["model"]) == {"churn", "value"}
        kinds = found[found["model"] == "churn"].set_index("slice")
        assert {"newest third", "seen latest", "highest spend", "calibration of all"} <= set(kinds.index)
        assert kinds.loc["calibration of all", "n_rows"] == found["n_rows"].max()
        assert not found["is_broken"].any()

    @pytest.mark.parametrize(("version", "is_the_one"), [(1, True), (2, False)])
    def test_the_scores_are_those_of_the_champion_from_the_registry(self, two_nights, version, is_the_one):
        run = two_nights.second
        scores, observed, known = tables(run, "scores", "observations", "model_versions")
        record = recorded(known.to_dict("records"), "churn", version)
        model = ChurnModel.restore(Tracker(run.settings.root).load(record.version), record.facts)
        eligible = observed[observed["is_eligible"]].sort_values("customer_id")
        said = model.predict(eligible)["churn_probability"].to_numpy()
        served = scores.set_index("customer_id").loc[eligible["customer_id"], "churn_probability"].to_numpy()
        assert np.array_equal(said, served) == is_the_one


class TestBlindNight:
    """Nobody can tell who leaves: the labels were drawn again."""

    def test_the_candidate_is_refused(self, blind_night):
        churn = decisions(blind_night).loc["churn"]
        assert churn["decision"] == "refused"
        assert churn["reference"] == "baseline"
        assert churn["reason"].endswith("nothing ships")
        assert churn["difference_high"] >= 0

    def test_no_champion_is_made(self, blind_night):
        tracker = Tracker(blind_night.settings.root)
        assert tracker.champion("churn") is None
        assert len(tracker.client.search_model_versions("name = 'churn'")) == 1, "the refused one can be looked at"

    def test_its_ranking_is_chance(self, blind_night):
        (metrics,) = tables(blind_night, "churn_metrics")
        row = metrics.query("model == 'candidate chosen' and metric == 'auc'").iloc[0]
        assert row["low"] <= 0.5 <= row["high"]

    def test_nobody_gets_a_probability_or_a_reason_and_everybody_a_value(self, blind_night):
        (scores,) = tables(blind_night, "scores")
        probabilities = scores[[name for name in scores if name.startswith("churn_probability")]]
        assert probabilities.isna().all(axis=None)
        assert scores["value_at_risk_cents"].isna().all()
        assert (scores["reasons"] == "").all()
        assert scores["expected_value_cents"].notna().all()
        assert scores["is_eligible"].any()

    def test_there_are_actions_all_the_same_but_none_to_retain(self, blind_night):
        (actions,) = tables(blind_night, "actions")
        assert set(actions["action"]) == {"cross_sell", "leave_alone"}

    def test_the_report_says_it(self, blind_night):
        files = files_of(blind_night.settings, blind_night)
        assert "refused" in files["report"].read_text()
        assert files["actions"].stat().st_size > 5_000
