"""Catalogue rows M2 and M12 on the way of a night: simulated lines, the shipped features, both models, known truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from data.engine import connect
from data.errors import TrainingError
from data.simulator import simulate
from features.labels import eligible, labels
from features.matrix import feature_matrix, to_frame
from features.registry import FEATURES
from models import churn, value
from models.churn_reasons import effects
from models.evaluation import evaluate

HORIZON = 42
NAMES = list(FEATURES)
THEMES = {name: FEATURES[name].family for name in NAMES}
MONEY = [*(name for name in NAMES if FEATURES[name].unit == "cents"), "spend_cents"]
RISK = "churn_probability"


@dataclass(frozen=True)
class World:
    """Observations of four past dates, those of a later one, and the true risk of the latter's customers."""

    train: pd.DataFrame
    judged: pd.DataFrame
    true_risk: np.ndarray

    @property
    def left(self) -> np.ndarray:
        return self.judged["has_churned"].to_numpy(dtype=float)


@pytest.fixture(scope="module")
def world() -> World:
    made = simulate(seed=11, n_customers=2_500, n_days=420)
    backend = connect(2)
    for name, table in made.tables.items():
        backend.con.register("incoming", table)
        local = ", event_time AS local_time" if name == "transactions" else ""
        backend.con.execute(f"CREATE TABLE {name} AS SELECT *{local} FROM incoming")
    tables = {name: backend.table(name) for name in made.tables}
    dates = [made.truth.as_of - timedelta(days=HORIZON * n) for n in range(5, 0, -1)]
    truth = to_frame(labels(tables, dates, "UTC", HORIZON, observed_until=made.truth.as_of))
    rows = to_frame(feature_matrix(tables, dates, "UTC"))
    for frame in (truth.drop(columns="n_purchase_days"), to_frame(eligible(tables, dates, "UTC", 2 * HORIZON))):
        rows = rows.merge(frame, on=["customer_id", "as_of"], validate="1:1")
    backend.disconnect()
    rows = rows[rows["is_eligible"]].reset_index(drop=True)
    judged = rows[rows["as_of"] == dates[-1]].reset_index(drop=True)
    known = made.truth.churn_probability(dates[-1], HORIZON).to_pandas().set_index("customer_id")[RISK]
    return World(rows[rows["as_of"] < dates[-1]], judged, known.reindex(judged["customer_id"]).to_numpy())


def fit_churn(train: pd.DataFrame) -> churn.ChurnModel:
    return churn.fit(train, NAMES, seed=1, themes=THEMES)


def fit_value(train: pd.DataFrame) -> value.ValueModel:
    return value.fit(train, NAMES, horizon_days=HORIZON, seed=1)


@pytest.fixture(scope="module")
def model(world: World) -> churn.ChurnModel:
    return fit_churn(world.train)


@pytest.fixture(scope="module")
def said(world: World, model: churn.ChurnModel) -> pd.DataFrame:
    return model.predict(world.judged)


@pytest.fixture(scope="module")
def worth(world: World) -> pd.DataFrame:
    return fit_value(world.train).predict(world.judged)


def area(world: World, risk: np.ndarray) -> float:
    return evaluate(world.left, risk, world.judged["customer_id"], seed=0, metrics=("auc",), n_resamples=2)["auc"].value


class TestAgainstTheTruth:
    def test_the_world_is_a_fair_test(self, world: World) -> None:
        assert len(world.judged) > 1_500
        assert world.left.mean() == pytest.approx(world.true_risk.mean(), abs=0.02)
        assert world.judged["customer_id"].is_unique

    def test_ranking_comes_near_the_oracle_and_beats_recency(self, world: World, said: pd.DataFrame) -> None:
        """The oracle knows both rates of every customer; nobody who sees orders alone can reach it."""
        oracle, ours = area(world, world.true_risk), area(world, said[RISK].to_numpy())
        recency = area(world, world.judged["recency_days"].to_numpy(dtype=float))
        assert oracle - ours < 0.07
        assert ours - recency > 0.03

    def test_risks_follow_the_true_risks(self, world: World, said: pd.DataFrame) -> None:
        assert said[RISK].corr(pd.Series(world.true_risk), method="spearman") > 0.8
        assert abs(said[RISK].mean() - world.true_risk.mean()) < 0.02
        assert np.abs(said[RISK] - world.true_risk).mean() < 0.13

    def test_groups_of_equal_risk_leave_as_said(self, world: World, said: pd.DataFrame) -> None:
        group = pd.qcut(said[RISK], 10, labels=False)
        means = said.assign(true_risk=world.true_risk).groupby(group).mean()
        # Six groups of ten within a nominal 90 % would happen by chance once in five hundred.
        held = means["true_risk"].between(means[f"{RISK}_low"], means[f"{RISK}_high"])
        assert held.sum() >= 7
        assert (means["true_risk"] - means[RISK]).abs().max() < 0.08
        assert means["true_risk"].is_monotonic_increasing

    def test_every_measure_of_a_silent_customer_points_the_same_way(
        self, world: World, model: churn.ChurnModel
    ) -> None:
        risk = model.predict(world.judged)[RISK]
        silent = world.judged["recency_days"] > 2 * world.judged["gap_mean_days"].fillna(np.inf)
        assert risk[silent].mean() > 2 * risk[~silent].mean()

    def test_value_is_right_in_total_and_in_its_interval(self, world: World, worth: pd.DataFrame) -> None:
        stayed = world.left == 0
        spent = world.judged["spend_cents"].to_numpy()[stayed]
        expected = worth[stayed]
        assert expected["expected_spend_cents"].sum() == pytest.approx(spent.sum(), rel=0.1)
        covered = (spent >= expected["expected_spend_low_cents"]) & (spent <= expected["expected_spend_high_cents"])
        assert 0.87 < covered.mean() < 0.94


def times(factor: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{name: frame[name] * factor for name in MONEY})


def renamed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(customer_id=["shop/" + name for name in frame["customer_id"]])


def later(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(as_of=frame["as_of"] + timedelta(days=7 * 333))


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=3)


CHANGES: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "money in cents of cents": times(100),
    "all dates later": later,
    "rows and names in another dress": lambda frame: shuffled(renamed(frame)),
}


class TestInvariances:
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_risk_stays_as_it_is(self, world: World, said: pd.DataFrame, change: Callable) -> None:
        found = fit_churn(change(world.train)).predict(change(world.judged)).sort_index()
        pd.testing.assert_frame_equal(found, said, check_exact=False, rtol=1e-9)

    def test_value_stays_as_it_is(self, world: World, worth: pd.DataFrame) -> None:
        found = fit_value(shuffled(renamed(world.train))).predict(shuffled(renamed(world.judged))).sort_index()
        pd.testing.assert_frame_equal(found, worth, check_exact=False, rtol=1e-9)

    def test_value_scales_with_money(self, world: World, worth: pd.DataFrame) -> None:
        found = fit_value(times(100)(world.train)).predict(times(100)(world.judged))
        pd.testing.assert_frame_equal(found / 100, worth, check_exact=False, rtol=1e-9)

    def test_names_in_another_order_only_deal_the_folds_anew(self, world: World, said: pd.DataFrame) -> None:
        """Customers are dealt to folds by their names, so the calibration moves a little, and nothing else."""
        train = world.train.assign(customer_id=[f"z{10**9 - int(name[1:])}" for name in world.train["customer_id"]])
        found = fit_churn(train).predict(world.judged)
        assert (found - said).abs().to_numpy().max() < 0.05
        assert found[RISK].corr(said[RISK]) > 0.999


class TestOddNumbers:
    @pytest.mark.parametrize("odd", [np.inf, -np.inf])
    @pytest.mark.parametrize("name", ["recency_days", "category_entropy"])
    def test_an_infinite_feature_is_refused_in_training_and_scoring(self, world, model, name, odd) -> None:
        spoilt = world.judged.astype({name: float})
        # Value learns from those who stayed.
        spoilt.loc[int(np.flatnonzero(world.left == 0)[0]), name] = odd
        for use in (model.predict, fit_churn, fit_value):
            with pytest.raises(TrainingError, match=rf"infinite values in {name}"):
                use(spoilt)

    def test_unknown_is_no_odd_number(self, world: World, model: churn.ChurnModel) -> None:
        blank = world.judged.head(3).assign(**dict.fromkeys(NAMES, np.nan))
        found = model.predict(blank)
        assert np.isfinite(found.to_numpy()).all()
        assert found.nunique().eq(1).all()

    @pytest.mark.parametrize("where", ["label", "prediction"])
    @pytest.mark.parametrize("odd", [np.nan, np.inf])
    def test_no_measure_is_taken_of_odd_numbers(self, world: World, said: pd.DataFrame, where: str, odd: float) -> None:
        y, p = world.left.copy(), said[RISK].to_numpy().copy()
        (y if where == "label" else p)[0] = odd
        with pytest.raises(TrainingError, match="or a null among them"):
            evaluate(y, p, world.judged["customer_id"], seed=0)

    def test_what_is_predicted_is_finite_and_in_order(self, said: pd.DataFrame, worth: pd.DataFrame) -> None:
        for frame in (said, worth):
            middle, low, high = (frame.iloc[:, place].to_numpy() for place in range(3))
            assert np.isfinite(frame.to_numpy()).all()
            assert (low <= middle).all()
            assert (middle <= high).all()
        assert said.stack().between(0, 1).all()
        assert (worth >= 0).all(axis=None)


def test_reasons_add_up_to_the_whole_difference(world: World, model: churn.ChurnModel) -> None:
    found = effects(model.log_odds, world.judged.head(50), model.theme_of, world.judged)
    whole = model.log_odds(world.judged.head(50)) - found.base
    assert np.allclose(found.themes.sum(axis=1), whole, atol=1e-6)
