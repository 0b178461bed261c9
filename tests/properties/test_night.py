"""A whole night is a function of its key, and its tables keep their promises to each other."""

import itertools
from collections import Counter

import pandas as pd
import pytest

from data.contracts import CONTRACTS
from pipelines.plan import plan
from pipelines.results import files_of

pytestmark = pytest.mark.slow

KEYS = {
    "observations": ["customer_id"],
    "scores": ["customer_id"],
    "actions": ["customer_id"],
    "offers": ["customer_id", "rank"],
    "rules": ["antecedents", "consequents"],
    "campaign_verdicts": ["campaign_id"],
    "model_decisions": ["model"],
    "quality": ["table_name", "expectation"],
    "reconciliation": ["table_name"],
}


@pytest.fixture(scope="module")
def tables(two_nights) -> dict[str, pd.DataFrame]:
    """Return every table of the first night."""
    run = two_nights.first
    versions = run.lake.snapshot(run.run_key).versions
    return {name: run.frame(name, versions, sliced=name in KEYS).to_pandas() for name in versions}


class TestSameNight:
    """Catalogue rows R1 and R4."""

    def test_threads_hash_seed_zone_locale_and_place_change_nothing(self, two_nights, alone_night, nights):
        other = plan(alone_night.config, None, lambda _: nights.LAST_DAY)
        assert other.run_key == two_nights.first.run_key
        assert other.settings.engine.threads == 2
        assert two_nights.first.settings.engine.threads == 1
        assert nights.digests(other) == nights.digests(two_nights.first)

    def test_models_and_what_they_measure_are_the_same(self, two_nights, alone_night, nights):
        """The artefacts are not: MLflow writes an id and the time into each."""
        other = plan(alone_night.config, None, lambda _: nights.LAST_DAY)
        tables = ("candidates", "churn_metrics", "calibration", "offer_quality", "training_observations", "horizons")
        assert nights.digests(other, tables) == nights.digests(two_nights.first, tables)

    def test_the_report_is_the_same_but_for_its_record(self, two_nights, alone_night, nights):
        other = plan(alone_night.config, None, lambda _: nights.LAST_DAY)
        here, there = (files_of(run.settings, run)["report"].read_text() for run in (two_nights.first, other))
        different = [pair for pair in zip(here.splitlines(), there.splitlines(), strict=True) if pair[0] != pair[1]]
        assert len(different) < 30, "only the times of the stages and the MLflow run may differ"
        assert two_nights.first.run_key in here

    def test_again_does_no_work_and_changes_no_byte(self, alone_night):
        first, again = alone_night.first, alone_night.again
        assert again.exit_code == 0
        assert "already published: nothing to do" in again.output
        assert "validate" not in again.output.split("Customers")[0]
        assert first.files == again.files
        assert len(first.files) > 40

    def test_the_next_night_leaves_the_last_one_as_it_was(self, two_nights, nights):
        run = two_nights.first
        newest = two_nights.second.lake.snapshot()
        assert newest.run_key == two_nights.second.run_key
        for table, digest in nights.digests(run).items():
            version = newest.versions[table]
            assert run.lake.digest(table, version=version, as_of=run.as_of) == digest, (
                f"{table} of the first night moved"
            )


class TestTables:
    def test_every_published_table_has_its_key(self, tables):
        for name, key in KEYS.items():
            assert not tables[name].duplicated(key).any(), name
            assert tables[name][key].notna().all(axis=None), name
            assert tables[name]["as_of"].nunique() <= 1

    def test_the_manifest_names_every_table(self, tables, two_nights):
        written = {path.parent.name for path in two_nights.first.lake.root.glob("*/_delta_log")}
        assert written == {*tables, "snapshots"}
        assert set(CONTRACTS) <= set(tables)

    def test_whoever_is_observed_is_scored_and_gets_one_action(self, tables):
        observed = set(tables["observations"]["customer_id"])
        assert observed == set(tables["scores"]["customer_id"]) == set(tables["actions"]["customer_id"])
        assert observed <= set(tables["customers"]["customer_id"])

    def test_only_the_eligible_have_a_probability(self, tables):
        scores = tables["scores"]
        assert (scores["churn_probability"].notna() == scores["is_eligible"]).all()
        eligible = scores[scores["is_eligible"]]
        low, middle, high = (eligible[f"churn_probability{end}"] for end in ("_low", "", "_high"))
        assert ((low > 0) & (low <= middle) & (middle <= high) & (high < 1)).all()
        worth = tables["scores"][[f"expected_value{end}_cents" for end in ("_low", "", "_high")]]
        assert (worth.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)

    def test_value_at_risk_is_probability_times_value(self, tables):
        scores = tables["scores"].dropna(subset=["churn_probability"])
        product = scores["churn_probability"] * scores["expected_value_cents"]
        # The product is rounded once, its factor too: half a cent each.
        assert ((product - scores["value_at_risk_cents"]).abs() <= 1).all()

    def test_contacts_keep_within_budget_and_leave_the_holdout_alone(self, tables, two_nights):
        actions, settings = tables["actions"], two_nights.first.settings.decisions
        contacts = actions[actions["action"] != "leave_alone"]
        assert 0 < len(contacts) <= settings.max_contacts
        assert set(contacts["arm"]) == {"action"}
        assert contacts["priority"].tolist() == sorted(contacts["priority"])
        assert sorted(contacts["priority"]) == list(range(1, len(contacts) + 1))
        assert actions.loc[actions["action"] == "leave_alone", "priority"].isna().all()
        assert (contacts["expected_net_value_cents"] > 0).all()
        assert (contacts["due_on"] >= two_nights.first.as_of_on).all()
        share = Counter(actions["arm"])["holdout"] / len(actions)
        assert 0 < share < 2 * settings.holdout_share

    def test_an_offer_of_an_action_is_one_of_the_customer_s_offers(self, tables):
        offered = tables["offers"].groupby("customer_id")["category"].apply(set)
        for row in tables["actions"].query("action == 'cross_sell'").to_dict("records"):
            assert set(row["category"].split(" + ")) <= offered[row["customer_id"]]

    def test_no_training_window_reaches_into_what_is_judged_or_not_yet_known(self, tables, two_nights):
        """Catalogue row L5."""
        horizon = pd.Timedelta(days=int(tables["horizons"]["horizon_days"].iloc[0]))
        dates = sorted(tables["training_observations"]["as_of"].unique())
        assert all(later - earlier >= horizon for earlier, later in itertools.pairwise(dates))
        assert dates[-1] + horizon <= two_nights.first.as_of
        assert tables["horizons"]["judged_at"].iloc[0] == dates[-1]
