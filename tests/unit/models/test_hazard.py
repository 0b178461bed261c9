"""When: curves against a simulator that knows them, against Kaplan and Meier, and against the churn probability."""

import json
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models import hazard
from models.hazard import HazardModel
from models.person_periods import person_periods, step_edges, stepped, watched_edges

HORIZON_DAYS = 28


@pytest.fixture(scope="module")
def train(followed: ModuleType) -> pd.DataFrame:
    return followed.training(followed.world(3))


@pytest.fixture(scope="module")
def model(train: pd.DataFrame) -> HazardModel:
    return hazard.fit(train, horizon_days=HORIZON_DAYS)


@pytest.fixture(scope="module")
def tonight(followed: ModuleType) -> pd.DataFrame:
    return followed.seen_from(followed.world(3), followed.NOW_DAY, followed.WORLD_DAYS)


def kaplan_meier(event: "pd.Series[float]", watched: "pd.Series[float]", days: int) -> float:
    """Return the share without an event by a day, by hand."""
    share = 1.0
    for day in range(days):
        at_risk = ((watched > day) & ~(event < day)).sum()
        share *= 1 - (event == day).sum() / at_risk
    return share


class TestPersonPeriods:
    def test_edges_are_quarters_of_a_horizon_and_horizons_are_among_them(self):
        for horizon_days in (1, 2, 7, 30, 91):
            edges = step_edges(horizon_days, 3)
            assert {horizon_days, 2 * horizon_days, 3 * horizon_days} <= set(edges)
            assert list(edges) == sorted(set(edges))

    def test_a_row_per_step_until_the_event_or_the_last_step_watched_to_its_end(self):
        train = pd.DataFrame(
            {
                "customer_id": ["buys on day 0", "on day 8", "never", "censored"],
                "as_of": 1,
                "event_days": [0, 8, None, None],
                "observed_days": [21, 21, 21, 13],
                "recency_days": [1.0, 2.0, 3.0, 4.0],
            }
        )
        rows, matrix, y = person_periods(train, train[["recency_days"]], (7, 14, 21))
        steps = rows.assign(y=y).groupby("customer_id", sort=False)[["step", "y"]].agg(list)
        assert steps.loc["buys on day 0"].tolist() == [[0], [1]]
        assert steps.loc["on day 8"].tolist() == [[0, 1], [0, 1]]
        assert steps.loc["never"].tolist() == [[0, 1, 2], [0, 0, 0]]
        assert steps.loc["censored"].tolist() == [[0], [0]]
        assert matrix.shape[0] == len(rows)

    def test_what_was_seen_of_a_step_that_was_not_watched_to_its_end_is_not_used(self):
        """Only early events of such a step are seen: to use them would make it look shorter than it is."""
        train = pd.DataFrame(
            {"customer_id": ["a"], "as_of": 1, "event_days": [8], "observed_days": [10], "recency_days": [1.0]}
        )
        rows, _, y = person_periods(train, train[["recency_days"]], (7, 14))
        assert rows["step"].tolist() == [0]
        assert y.tolist() == [0]

    def test_silence_grows_with_the_steps_and_a_contract_comes_closer_to_its_end(self):
        X = pd.DataFrame({"contract_to_end_days": [90.0], "gap_mean_days": [10.0], "recency_days": [5.0]})
        assert stepped(X, (7, 14), 0).tolist() == [[90, 10, 5, 0.5, 0, 0]]
        assert stepped(X, (7, 14), 1).tolist() == [[83, 10, 12, 1.2, 7, 1]]

    def test_the_curve_ends_where_history_does(self):
        train = pd.DataFrame({"event_days": [None] * 60, "observed_days": [20] * 60})
        assert watched_edges(train, (7, 14, 21), 14) == (7, 14)
        with pytest.raises(TrainingError, match="21 days"):
            watched_edges(train, (7, 14, 21), 21)


class TestCurves:
    def test_they_never_rise_and_lie_between_0_and_1(self, model: HazardModel, tonight: pd.DataFrame):
        curves = model.curves(tonight)
        assert curves.columns.tolist() == list(step_edges(HORIZON_DAYS, 3))
        assert (np.diff(curves.to_numpy(), axis=1) <= 0).all()
        assert curves.to_numpy().min() > 0
        assert curves.to_numpy().max() < 1

    def test_they_come_close_to_the_true_curves(
        self, model: HazardModel, train: pd.DataFrame, tonight: pd.DataFrame, followed: ModuleType
    ):
        """No model can know both rates of a customer, so that some distance always stays; recency alone is further."""
        truth = followed.true_curves(followed.world(3), tonight["customer_id"], model.edges)
        found = model.curves(tonight).to_numpy()
        assert np.abs(found - truth).mean() < 0.11
        assert np.abs(found.mean(axis=0) - truth.mean(axis=0)).max() < 0.03
        simple = hazard.fit(train, ("recency_days",), horizon_days=HORIZON_DAYS)
        assert np.abs(found - truth).mean() < np.abs(simple.curves(tonight).to_numpy() - truth).mean() - 0.02

    def test_one_group_without_differences_gets_the_curve_of_kaplan_and_meier(self, train: pd.DataFrame):
        alike = train.assign(constant=1.0)
        model = hazard.fit(alike, ("constant",), horizon_days=HORIZON_DAYS)
        found = model.curves(alike.head(1)).iloc[0]
        for days in model.edges:
            assert found[days] == pytest.approx(
                kaplan_meier(alike["event_days"], alike["observed_days"], days), abs=0.012
            )

    def test_censoring_is_not_taken_for_silence(self):
        """All who are watched for shorter: the curve is that of those watched for long, only less sure."""
        rng = np.random.default_rng(5)
        wait = rng.exponential(20, 4_000)
        watched = np.where(rng.random(4_000) < 0.6, rng.integers(7, 60, 4_000), 60)
        train = pd.DataFrame(
            {
                "customer_id": np.arange(4_000).astype(str),
                "as_of": 1,
                "constant": 1.0,
                "event_days": np.where(wait < watched, np.floor(wait), np.nan),
                "observed_days": watched,
            }
        )
        found = hazard.fit(train, ("constant",), horizon_days=20).curves(train.head(1)).iloc[0]
        for days in (10, 20, 40, 60):
            assert found[days] == pytest.approx(np.exp(-days / 20), abs=0.025)

    def test_contracts_end_where_their_end_is_near(self):
        """Leaving is likelier in the step in which the contract runs out; who is still subscribed is censored."""
        rng = np.random.default_rng(6)
        n = 3_000
        to_end = rng.integers(1, 90, n)
        quits = rng.random(n) < 0.6
        event = np.where(quits, to_end, np.inf)
        train = pd.DataFrame(
            {
                "customer_id": np.arange(n).astype(str),
                "as_of": 1,
                "contract_to_end_days": to_end.astype(float),
                "event_days": np.where(event < 60, event, np.nan),
                "observed_days": 60,
            }
        )
        model = hazard.fit(train, ("contract_to_end_days",), horizon_days=28)
        soon, late = model.curves(pd.DataFrame({"contract_to_end_days": [10.0, 80.0]})).to_numpy()
        at = model.edges.index(28)
        assert soon[at] == pytest.approx(0.4, abs=0.12)
        assert late[at] > 0.9

    def test_with_the_churn_probability_the_curve_meets_it_at_the_horizon(
        self, model: HazardModel, tonight: pd.DataFrame
    ):
        said = pd.Series(np.random.default_rng(0).uniform(0, 1, len(tonight)), index=tonight.index)
        said.iloc[:2] = [0.0, 1.0]
        curves = model.curves(tonight, said)
        np.testing.assert_allclose(curves[HORIZON_DAYS], said, atol=1e-8)
        assert (np.diff(curves.to_numpy(), axis=1) <= 0).all()

    def test_the_curve_by_itself_agrees_with_what_is_seen_at_the_horizon(
        self, model: HazardModel, tonight: pd.DataFrame
    ):
        """Shown, not assumed: by fifths of the curve at the horizon, as many are silent as it says."""
        said = model.curves(tonight)[HORIZON_DAYS]
        seen = ~(tonight["event_days"] < HORIZON_DAYS)
        fifth = pd.qcut(said, 5, labels=False)
        assert (seen.groupby(fifth).mean() - said.groupby(fifth).mean()).abs().max() < 0.12
        assert abs(seen.mean() - said.mean()) < 0.04

    def test_nobody_has_no_curve(self, model: HazardModel, tonight: pd.DataFrame):
        assert model.curves(tonight.head(0)).shape == (0, len(model.edges))


class TestGroups:
    def test_group_curves_are_the_means_of_the_curves_of_their_customers(
        self, model: HazardModel, tonight: pd.DataFrame
    ):
        groups = pd.Series(np.where(tonight["recency_days"] > 14, "long", "short"), index=tonight.index)
        found = model.group_curves(tonight, groups).pivot(index="group", columns="days", values="silent_share")
        means = model.curves(tonight).groupby(groups).mean()
        np.testing.assert_allclose(found, means)

    def test_rows_without_a_group_are_left_out(self, model: HazardModel, tonight: pd.DataFrame):
        groups = pd.Series("a", index=tonight.index, dtype="object").where(tonight["recency_days"] < 10)
        found = model.group_curves(tonight, groups, pd.Series(0.5, index=tonight.index))
        assert found["n_customers"].unique().tolist() == [(tonight["recency_days"] < 10).sum()]

    def test_large_groups_are_surer_than_small_ones(self, model: HazardModel, tonight: pd.DataFrame):
        groups = pd.Series(["few"] * 20 + ["many"] * (len(tonight) - 20), index=tonight.index)
        found = model.group_curves(tonight, groups)
        width = (found["silent_share_high"] - found["silent_share_low"]).groupby(found["group"]).mean()
        assert width["few"] > 2 * width["many"]

    def test_intervals_hold_their_centre_and_keep_to_shares(self, model: HazardModel, tonight: pd.DataFrame):
        found = model.group_curves(tonight, pd.Series("all", index=tonight.index))
        assert found["silent_share"].between(found["silent_share_low"], found["silent_share_high"]).all()
        assert found[["silent_share_low", "silent_share_high"]].stack().between(0, 1).all()


class TestModel:
    def test_it_comes_back_from_its_facts_as_json(self, model: HazardModel, tonight: pd.DataFrame):
        again = HazardModel.restore(model.estimator, json.loads(json.dumps(model.facts())))
        pd.testing.assert_frame_equal(again.curves(tonight), model.curves(tonight))
        groups = pd.Series("all", index=tonight.index)
        pd.testing.assert_frame_equal(again.group_curves(tonight, groups), model.group_curves(tonight, groups))

    def test_the_order_of_rows_does_not_matter(self, train: pd.DataFrame, model: HazardModel, tonight: pd.DataFrame):
        again = hazard.fit(train.sample(frac=1, random_state=9), horizon_days=HORIZON_DAYS)
        pd.testing.assert_frame_equal(again.curves(tonight), model.curves(tonight))

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda train: train.assign(observed_days=5), "watched for 28 days"),
            (lambda train: train.assign(event_days=None), "no event"),
            (lambda train: train.drop(columns="recency_days"), "lacks recency_days"),
        ],
    )
    def test_what_cannot_be_learned_from_is_refused(
        self, train: pd.DataFrame, spoil: Callable[[pd.DataFrame], pd.DataFrame], said: str
    ):
        with pytest.raises(TrainingError, match=said):
            hazard.fit(spoil(train), horizon_days=HORIZON_DAYS)
