"""Beside the champion: shadow scores, what moves the risk on the whole, the threshold, and the card of each version."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from data.erasure import forget, held
from data.lake import Lake
from data.tombstones import bury
from data.traces import Traces
from models.churn import ChurnModel
from pipelines.publish import CARDS
from pipelines.registry import recorded
from pipelines.report.card import card_page
from pipelines.results import open_night
from pipelines.run import Run
from pipelines.shadow import TABLES
from pipelines.tracking import Tracker

pytestmark = pytest.mark.slow


def read(run: Run, table: str, *, sliced: bool = True) -> pd.DataFrame:
    snapshot = run.lake.snapshot(run.run_key)
    assert snapshot is not None
    frame: pd.DataFrame = run.frame(table, snapshot.versions, sliced=sliced).to_pandas()
    return frame


class TestShadow:
    def test_a_night_whose_candidates_all_serve_has_none(self, two_nights: Any) -> None:
        assert [len(read(two_nights.first, name)) for name in TABLES] == [0, 0]

    def test_a_candidate_that_was_kept_out_stands_beside_the_champion(self, two_nights: Any) -> None:
        run = two_nights.second
        found = read(run, "shadow_scores")
        kept = read(run, "model_decisions").query("decision == 'kept'")
        assert set(found["model"]) == set(kept["model"])
        churn = found[found["model"] == "churn"].set_index("customer_id")
        scores = read(run, "scores").set_index("customer_id")["churn_probability"].dropna()
        assert churn["serving_value"].to_dict() == scores.to_dict()
        assert set(churn["candidate_version"]) == {2}

    def test_what_it_says_is_what_the_version_in_the_registry_says(self, two_nights: Any) -> None:
        run = two_nights.second
        churn = read(run, "shadow_scores").query("model == 'churn'").set_index("customer_id")["candidate_value"]
        record = recorded(read(run, "model_versions", sliced=False).to_dict("records"), "churn", 2)
        model = ChurnModel.restore(Tracker(run.settings.root).load(record.version), record.facts)
        observed = read(run, "observations").query("is_eligible").set_index("customer_id", drop=False)
        said = model.predict(observed)["churn_probability"]
        assert np.allclose(said.loc[churn.index], churn, rtol=0, atol=1e-12)

    def test_how_far_they_agree_is_measured(self, two_nights: Any) -> None:
        run = two_nights.second
        rows = read(run, "shadow_scores").query("model == 'churn'")
        found = read(run, "shadow_agreement").query("model == 'churn'").set_index("metric")
        assert found.loc["mean_difference", "value"] == pytest.approx(
            (rows["candidate_value"] - rows["serving_value"]).mean()
        )
        rank = stats.spearmanr(rows["candidate_value"], rows["serving_value"]).statistic
        assert found.loc["rank_correlation", "value"] == pytest.approx(rank)
        assert found["value"].between(found["low"], found["high"]).all()

    def test_a_refused_candidate_stands_beside_nothing(self, blind_night: Run) -> None:
        found = read(blind_night, "shadow_scores").query("model == 'churn'")
        assert len(found) > 100
        assert found["serving_value"].isna().all()
        assert read(blind_night, "scores")["churn_probability"].isna().all(), "and nobody reads it as a score"
        agreed = read(blind_night, "shadow_agreement")
        assert "churn" not in set(agreed["model"])

    def test_erasing_a_customer_reaches_it(self, two_nights: Any, tmp_path: Path) -> None:
        run = two_nights.second
        customer = str(read(run, "shadow_scores")["customer_id"].iloc[0])
        shutil.copytree(run.lake.root, tmp_path / "lake")
        lake = Lake(tmp_path / "lake")
        assert len(held(lake, customer)["shadow_scores"]) >= 1
        forget(lake.root, bury(tmp_path, [customer]), Traces(frozenset({customer}), frozenset()))
        assert "shadow_scores" not in held(lake, customer)
        assert lake.read("shadow_scores").num_rows > 0


class TestEffects:
    def test_both_versions_have_theirs_and_one_serves(self, two_nights: Any) -> None:
        found = read(two_nights.second, "model_effects")
        assert found.groupby("version")["is_serving"].first().to_dict() == {1: True, 2: False}
        assert found["mean_effect"].between(found["low"], found["high"]).all()

    def test_of_a_night_without_a_model_the_candidates_are_there(self, blind_night: Run) -> None:
        assert not read(blind_night, "model_effects")["is_serving"].any()


class TestThreshold:
    def test_it_is_that_of_the_model_in_use(self, two_nights: Any) -> None:
        (row,) = read(two_nights.second, "contact_thresholds").to_dict("records")
        assert row["version"] == 1
        money = two_nights.second.settings.money
        expected = money.cost_per_contact_cents / (money.retain_save_share * row["value_cents"])
        assert row["cost_threshold"] == pytest.approx(expected)
        assert row["cost_threshold_low"] < row["cost_threshold"] < row["cost_threshold_high"] < 0.5

    def test_without_a_model_there_is_none(self, blind_night: Run) -> None:
        assert read(blind_night, "contact_thresholds").empty


class TestCards:
    def test_every_registered_version_has_one_that_is_named_beside_it(self, two_nights: Any) -> None:
        run = two_nights.second
        tracker, night = Tracker(run.settings.root), open_night(run.settings, run.run_key)
        there = {file.path for file in tracker.client.list_artifacts(night.mlflow_run_id, CARDS)}
        assert there == {f"{CARDS}/churn-2.html", f"{CARDS}/value-2.html"}
        decided = read(run, "model_decisions").set_index("model")["decision"]
        for model in ("churn", "value"):
            tags = tracker.client.get_model_version(model, "2").tags
            assert (tags["card"], tags["decision"]) == (f"{CARDS}/{model}-2.html", decided[model])

    def test_a_card_says_data_dates_measures_decision_and_limits(self, two_nights: Any) -> None:
        run = two_nights.second
        night = open_night(run.settings, run.run_key)
        (made,) = (
            read(run, "model_versions", sliced=False).query("model == 'churn' and version == 2").to_dict("records")
        )
        html = card_page(night, made)
        decision = read(run, "model_decisions").set_index("model").loc["churn"]
        told = json.loads(made["facts_json"])
        for text in (
            "Model churn, version 2",
            f"training_observations@{night.versions['training_observations']}",
            made["sha256"],
            f"{len(told['names'])}</span>",
            f"leaves within {night.horizon_days} days",
            str(decision["reason"])[10:40],
            "Ranking (AUC)",
            "The chances mean what they say",
            "The risk is moved most by",
            "goes together with leaving, and says no more",
            "o past year covers these weeks",
            "It says what goes together",
        ):
            assert text in html, text
        assert card_page(night, made) == html

    def test_a_card_names_no_customer(self, two_nights: Any) -> None:
        run = two_nights.second
        night = open_night(run.settings, run.run_key)
        for made in read(run, "model_versions", sliced=False).to_dict("records"):
            html = card_page(night, made)
            assert not [one for one in night.scores["customer_id"] if one in html]
