"""The watch of a night: what moved, how past scores came true, how old the models are, and what holds a night."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from data.errors import ContractError
from models.evaluation import evaluate
from pipelines.plan import plan
from pipelines.profiles import N_KEPT, TABLE, known_profiles, profile_rows, with_profiles
from pipelines.report import trust
from pipelines.results import open_night
from pipelines.run import Run
from pipelines.tracking import Tracker
from pipelines.watch import EVERYBODY, HOLDOUT, TABLES, _matured, _watched

pytestmark = pytest.mark.slow

Frames = dict[str, pd.DataFrame]


def versions_of(run: Run) -> dict[str, int]:
    snapshot = run.lake.snapshot(run.run_key)
    assert snapshot is not None
    return dict(snapshot.versions)


def frames(run: Run) -> Frames:
    return {name: run.frame(name, versions_of(run)).to_pandas() for name in TABLES}


@pytest.fixture
def copied(two_nights: Any, tmp_path: Path, nights: Any) -> Callable[..., Run]:
    """Return a function that opens the second night in a copy of its root, under other limits."""
    root = tmp_path / "var"
    shutil.copytree(two_nights.second.settings.root, root)

    def open_second(**limits: object) -> Run:
        run = plan(two_nights.config, root, lambda _: nights.NEXT_DAY)
        changed = run.settings.limits.model_copy(update=limits)
        settings = run.settings.model_copy(update={"limits": changed})
        return Run(settings, run.as_of, run.source_digest)

    return open_second


def watched(run: Run, versions: dict[str, int]) -> Frames:
    made = _watched(run, versions, Tracker(run.settings.root))
    return {name: table.to_pandas() for name, table in made.items()}


def test_the_section_reads_the_tables_that_the_stage_writes(two_nights: Any) -> None:
    assert set(trust.TABLES) == set(TABLES)
    run = two_nights.second
    assert set(trust.TABLES) <= set(open_night(run.settings, run.run_key).models)


class TestDrift:
    def test_every_feature_of_the_champion_and_its_score_are_looked_at(self, two_nights: Any) -> None:
        run = two_nights.second
        found = frames(run)["drift"]
        table = run.frame(TABLE, versions_of(run), sliced=False)
        assert set(found.loc[found["model"] == "churn", "feature"]) == set(known_profiles(table, "churn", 1))
        assert "churn_probability" in set(found["feature"])
        assert found["gap_low"].between(0, found["gap"]).all()

    def test_days_without_a_sale_are_seen_in_recency(self, two_nights: Any) -> None:
        # The second night is thirteen days after the last line.
        found = frames(two_nights.second)["drift"].iloc[0]
        assert (found["feature"], found["tonight_share"], found["is_alarm"]) == ("recency_days", 0.0, True)

    def test_the_first_night_has_no_such_alarm(self, two_nights: Any) -> None:
        found = frames(two_nights.first)["drift"].set_index("feature")
        assert not found.loc[["recency_days", "churn_probability"], "is_alarm"].any()


class TestModels:
    def test_the_age_is_that_of_the_night_that_trained_it(self, two_nights: Any) -> None:
        found = frames(two_nights.second)["serving_models"].set_index("model").loc["churn"]
        assert (found["version"], found["age_days"], found["is_old"]) == (1, 13, False)
        assert found["trained_at"] == two_nights.first.as_of

    def test_an_old_model_is_marked_or_stops_the_night_as_configured(self, copied: Callable[..., Run]) -> None:
        """Catalogue row P9."""
        run = copied(old_model_days=12)
        found = watched(run, versions_of(copied()))["serving_models"].set_index("model")
        assert found["is_old"].to_dict() == {"churn": True, "value": False}
        with pytest.raises(
            ContractError, match=r"model churn version 1, trained 13 days ago; expected: at most 12 days"
        ):
            watched(copied(old_model_days=12, old_model="stop"), versions_of(copied()))

    def test_the_newest_profiles_and_the_champions_are_kept(self, copied: Callable[..., Run]) -> None:
        run = copied()
        rows = pd.DataFrame({"customer_id": ["a"], "as_of": [run.as_of], "x": [1.0]})
        made = [profile_rows("churn", number, run.as_of, rows, ["x"]) for number in range(3, 3 + N_KEPT)]
        kept = with_profiles(run.lake, made, {"churn": 1})
        assert set(kept.filter(pa.compute.equal(kept["model"], "churn"))["version"].to_pylist()) == {
            1,
            *range(3, 3 + N_KEPT),
        }
        assert known_profiles(kept, "churn", 2) == {}
        again = with_profiles(run.lake, made[:1], {"churn": 1})
        assert len(known_profiles(again, "churn", 3)) == 1


class TestOutcomes:
    @pytest.fixture
    def scored(self, copied: Callable[..., Run]) -> tuple[Run, dict[str, int], pd.DataFrame]:
        """Return the second night after a published night on its judged date, whose scores are the truth, softened."""
        run = copied()
        versions = versions_of(run)
        past = run.frame("training_observations", versions, sliced=False).to_pandas()
        past = past[(past["as_of"] == past["as_of"].max()) & past["is_eligible"]].reset_index(drop=True)
        said = past[["as_of", "customer_id"]].assign(
            churn_probability=0.3 + 0.4 * past["has_churned"] * (past.index % 3 > 0)
        )
        as_of = past["as_of"].iloc[0].to_pydatetime()
        now = run.frame("scores", versions, sliced=False)
        table = pa.Table.from_pylist(said.to_dict("records"), now.schema)
        versions["scores"] = run.lake.write("scores", table, as_of=as_of, fingerprint="past")
        horizon = run.frame("horizons", versions).set_column(0, "as_of", table["as_of"].slice(0, 1))
        versions["horizons"] = run.lake.write("horizons", horizon, as_of=as_of, fingerprint="past")
        run.lake.publish(
            "past", flow="nightly", as_of=as_of, code_digest="", versions=versions, summary={}, mlflow_run_id=None
        )
        return run, versions, said.assign(has_churned=past["has_churned"])

    def test_past_scores_meet_the_labels_that_have_matured(
        self, scored: tuple[Run, dict[str, int], pd.DataFrame]
    ) -> None:
        run, versions, said = scored
        found = watched(run, versions)["score_outcomes"]
        assert set(found["scored_at"]) == {said["as_of"].iloc[0]}, "the nights of this month are not over yet"
        everybody = found[found["customers"] == EVERYBODY].set_index("metric")
        truth = evaluate(
            said["has_churned"], said["churn_probability"], said["customer_id"], seed=1, metrics=("auc", "brier")
        )
        assert everybody.loc["auc", "value"] == pytest.approx(truth["auc"].value)
        assert everybody.loc["brier", "value"] == pytest.approx(truth["brier"].value)
        assert everybody.loc["churned_share", "value"] == pytest.approx(said["has_churned"].mean())
        assert everybody.loc["predicted_share", "value"] == pytest.approx(said["churn_probability"].mean())
        assert (everybody["n_customers"] == len(said)).all()
        measured = everybody.drop("predicted_share")
        assert measured["value"].between(measured["low"], measured["high"]).all()

    def test_the_holdout_is_told_apart(self, scored: tuple[Run, dict[str, int], pd.DataFrame]) -> None:
        run, versions, said = scored
        found = watched(run, versions)["score_outcomes"]
        n_held = found.loc[found["customers"] == HOLDOUT, "n_customers"].iloc[0]
        assert 0.03 < n_held / len(said) < 0.2

    def test_a_night_counts_when_its_horizon_is_over_and_not_before(
        self, scored: tuple[Run, dict[str, int], pd.DataFrame]
    ) -> None:
        run, versions, said = scored
        as_of = said["as_of"].iloc[0].to_pydatetime()
        (horizon_days,) = _matured(run, versions).values()
        early = Run(run.settings, as_of + timedelta(days=horizon_days) - timedelta(microseconds=1), "")
        assert _matured(early, versions) == {}
        just = Run(run.settings, as_of + timedelta(days=horizon_days), "")
        assert _matured(just, versions) == {as_of: horizon_days}


class TestJump:
    """Catalogue row O5: publish is held where one and the same model says something else altogether."""

    @pytest.fixture
    def moved(self, copied: Callable[..., Run]) -> Callable[[float], dict[str, int]]:
        """Return a function that says of a share of tonight's customers that they leave, after a night two days ago."""
        run = copied()
        versions = versions_of(run)
        as_of = run.as_of - timedelta(days=2)
        before = dict(versions)
        for name in ("scores", "horizons", "serving_models"):
            rows = run.frame(name, versions)
            rows = rows.set_column(0, "as_of", pa.repeat(pa.scalar(as_of, rows["as_of"].type), rows.num_rows))
            before[name] = run.lake.write(name, rows, as_of=as_of, fingerprint="before")
        versions = before
        run.lake.publish(
            "before", flow="nightly", as_of=as_of, code_digest="", versions=before, summary={}, mlflow_run_id=None
        )

        def move(share: float) -> dict[str, int]:
            scores = run.frame("scores", versions).to_pandas()
            hit = scores["churn_probability"].rank(pct=True) <= share
            scores.loc[hit, "churn_probability"] = 0.999
            table = pa.Table.from_pandas(scores, run.frame("scores", versions).schema, preserve_index=False)
            return versions | {"scores": run.lake.write("scores", table, as_of=run.as_of, fingerprint=str(share))}

        return move

    def test_the_night_is_held(self, copied: Callable[..., Run], moved: Callable[[float], dict[str, int]]) -> None:
        with pytest.raises(ContractError, match=r"went from \d+% on 2025-01-11 to 40%, by one and the same model"):
            watched(copied(), moved(0.6))

    def test_a_higher_limit_lets_it_pass(
        self, copied: Callable[..., Run], moved: Callable[[float], dict[str, int]]
    ) -> None:
        assert set(watched(copied(score_jump_share=1.0), moved(0.6))) == set(TABLES)

    def test_what_moved_a_little_passes(
        self, copied: Callable[..., Run], moved: Callable[[float], dict[str, int]]
    ) -> None:
        assert set(watched(copied(), moved(0.1))) == set(TABLES)
