"""Learners of effects against their formulas, known worlds and saved forms; and what the gate says of their ranking."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor

from data.errors import TrainingError
from models.uplift import LEARNERS, Comparison, Learner, Nested, Uplift, choose, fit, fitted, nested, out_of_fold
from models.uplift_curves import qini
from models.uplift_gate import Answer, Terms, judge_ranking

LINEAR = tuple(Learner(kind, "linear", "linear") for kind in ("S", "T", "X", "R", "DR"))


def world(seed, n=3_000, strength=1.0, share=0.5, is_binary=False):
    """Return a trial and the true effects; what drives the outcome is not what drives the effect."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    effect = 0.5 + strength * X[:, 0]
    is_treated = rng.random(n) < share
    outcome = X[:, 1] ** 2 + X[:, 2] + is_treated * effect + rng.normal(size=n)
    if is_binary:
        chance = 1 / (1 + np.exp(-(-1 + 0.5 * X[:, 1] + is_treated * effect)))
        outcome = (rng.random(n) < chance).astype(float)
    return Comparison(X, outcome, is_treated, np.full(n, share)), effect


@pytest.fixture(scope="module")
def trial():
    return world(1)


@pytest.fixture(scope="module")
def models(trial):
    return fit(trial[0], [*LEARNERS, *LINEAR], seed=0)


def boosting(X, y):
    return HistGradientBoostingRegressor(
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=int(np.clip(len(y) // 50, 20, 100)),
        early_stopping=False,
        random_state=0,
    ).fit(X, y)


class TestLearners:
    def test_single_two_and_cross_learners_are_their_formulas(self, trial, models):
        data, _ = trial
        X, y, t = data.X, data.outcome, data.is_treated
        one = boosting(np.column_stack([X, t]), y)
        shown = [one.predict(np.column_stack([X, np.full(len(X), arm)])) for arm in (1.0, 0.0)]
        assert np.array_equal(models[Learner("S")].effect(X), shown[0] - shown[1])
        treated, control = boosting(X[t], y[t]), boosting(X[~t], y[~t])
        assert np.array_equal(models[Learner("T")].effect(X), treated.predict(X) - control.predict(X))
        of_treated = boosting(X[t], y[t] - control.predict(X[t]))
        of_control = boosting(X[~t], treated.predict(X[~t]) - y[~t])
        assert models[Learner("X", effect="boosting")].effect(X) == pytest.approx(
            0.5 * of_treated.predict(X) + 0.5 * of_control.predict(X), abs=1e-12
        )

    @pytest.mark.parametrize("learner", [*LEARNERS, *LINEAR[1:]], ids=str)
    def test_every_learner_finds_a_plain_effect(self, models, learner):
        fresh, truth = world(2)
        assert stats.spearmanr(models[learner].effect(fresh.X), truth).statistic > 0.85

    def test_a_linear_single_model_knows_one_effect_for_all(self, trial, models):
        told = models[LINEAR[0]].effect(trial[0].X)
        assert np.ptp(told) < 1e-9
        assert told[0] == pytest.approx(0.5, abs=0.2)

    def test_the_mean_is_the_mean_of_the_others(self, trial, models):
        X = trial[0].X
        others = [model.effect(X) for learner, model in models.items() if learner.kind != "mean"]
        assert models[LEARNERS[0]].effect(X) == pytest.approx(np.mean(others, axis=0))

    def test_chances_of_the_ledger_are_used(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(6_000, 3))
        chance = np.where(X[:, 0] > 0, 0.9, 0.2)
        is_treated = rng.random(6_000) < chance
        data = Comparison(X, 3 * X[:, 0] + is_treated + rng.normal(size=6_000), is_treated, chance)
        told = fit(data, [Learner("DR"), Learner("R")], seed=0)
        for model in told.values():
            assert model.effect(X).mean() == pytest.approx(1, abs=0.15)

    def test_money_and_yes_or_no_are_both_learned(self):
        data, truth = world(3, is_binary=True)
        effects = out_of_fold(data, [Learner("T", "linear"), Learner("X")], seed=0)
        for told in effects.values():
            assert stats.spearmanr(told, truth).statistic > 0.7
            assert np.abs(told).max() < 1

    def test_a_model_comes_back_from_its_estimators_and_facts(self, trial, models):
        X = trial[0].X[:50]
        for model in models.values():
            facts = json.loads(json.dumps(model.facts()))
            again = Uplift.restore([term.estimator for term in model.terms], facts)
            assert again.learner == model.learner
            assert np.array_equal(again.effect(X), model.effect(X))

    def test_nobody_is_judged_by_a_model_that_saw_them(self, trial):
        data, _ = trial
        spoiled = data.outcome.copy()
        mine = data.folds(0)[2][1]
        spoiled[mine] += 1_000 * data.is_treated[mine]
        other = Comparison(data.X, spoiled, data.is_treated, data.propensity)
        assert {tuple(test) for _, test in other.folds(0)} == {tuple(test) for _, test in data.folds(0)}
        first, second = (out_of_fold(one, LINEAR[1:2], 0)[LINEAR[1]] for one in (data, other))
        assert np.array_equal(first[mine], second[mine])
        assert not np.array_equal(first, second)

    def test_nobody_to_speak_of_has_no_effects(self, trial, models):
        assert models[LEARNERS[0]].effect(trial[0].X[:0]).shape == (0,)


class TestRefusals:
    def test_a_small_arm_is_refused(self):
        with pytest.raises(TrainingError, match="in the smaller arm"):
            fit(world(1, n=150)[0], LINEAR, seed=0)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"propensity": np.ones(3_000)}, "chance of 0 or 1"),
            ({"outcome": np.full(3_000, np.nan)}, "null or infinite"),
            ({"outcome": np.zeros(2)}, "different length"),
        ],
        ids=["chance", "null", "length"],
    )
    def test_broken_trials_are_refused(self, trial, change, said):
        data, _ = trial
        columns = {"X": data.X, "outcome": data.outcome, "is_treated": data.is_treated, "propensity": data.propensity}
        with pytest.raises(TrainingError, match=said):
            Comparison(**(columns | change))

    @pytest.mark.parametrize("wrong", [{"value_cents": -1}, {"cost_cents": -1}, {"budget_share": 0}])
    def test_impossible_terms_are_refused(self, wrong):
        with pytest.raises(ValueError, match="must be"):
            Terms(**wrong)


class TestChoice:
    def test_the_best_out_of_fold_is_chosen(self, trial):
        data, _ = trial
        candidates = [Learner("S", "linear"), Learner("X")]
        assert choose(data, 0, candidates) == Learner("X")
        assert choose(data, 0, candidates[:1] * 2) == candidates[0]

    def test_a_large_trial_is_chosen_on_a_sample_of_it(self, trial, monkeypatch):
        data, _ = trial
        monkeypatch.setattr("models.uplift.MAX_CHOICE", 1_000)
        seen = []

        def looked(part, *rest):
            seen.append(part)
            return out_of_fold(part, *rest)

        monkeypatch.setattr("models.uplift.out_of_fold", looked)
        assert choose(data, 0, [LINEAR[0], LINEAR[1]]) == LINEAR[1]
        assert [len(part.outcome) for part in seen] == [1_000]

    def test_the_procedure_ranks_customers_it_has_not_seen(self, trial):
        data, truth = trial
        said = nested(data, 0, LINEAR[:3])
        assert len(said.chosen) == 5
        assert stats.spearmanr(said.effects, truth).statistic > 0.9
        assert fitted(data, said.chosen[0], 0).effect(data.X) == pytest.approx(said.effects, abs=0.6)

    def test_the_response_model_expects_the_outcome(self, trial):
        data, _ = trial
        said = nested(data, 0, LINEAR[:1])
        assert stats.spearmanr(said.response, data.X[:, 1] ** 2 + data.X[:, 2]).statistic > 0.7


def report(data, effects, response, terms=None, n_rankings=1):
    return judge_ranking(data, Nested(effects, response, (Learner("X"),)), terms or Terms(), 0, n_rankings)


class TestGate:
    def test_a_ranking_that_holds_is_used(self, trial):
        data, truth = trial
        found = report(data, truth, data.X[:, 2], Terms(value_cents=100, cost_cents=50))
        assert found.is_accepted
        assert found.answer == Answer.TARGET
        way = found.way("target by uplift")
        assert way.treated_share == pytest.approx((truth > 0.5).mean())
        assert way.net.low > 0
        assert found.way("treat all").minus_target.high < 0
        assert "The ranking holds" in found.words
        assert "Target by uplift" in found.words

    def test_what_ways_earn_is_near_the_truth(self):
        data, truth = world(11, n=20_000)
        found = report(data, truth, data.X[:, 2], Terms(value_cents=100, cost_cents=50))
        expected = {
            "target by uplift": np.mean(np.where(truth > 0.5, 100 * truth - 50, 0)),
            "treat all": np.mean(100 * truth - 50),
            "treat none": 0.0,
        }
        for name, net in expected.items():
            effect = found.way(name).net
            assert effect.low <= net <= effect.high

    def test_a_ranking_by_chance_is_refused_and_all_or_none_are_treated(self):
        data, _ = world(4, strength=0.0)
        chance = np.random.default_rng(0).normal(size=len(data.outcome))
        for cost, answer in ((0.0, Answer.ALL), (80.0, Answer.NONE)):
            found = report(data, chance, chance, Terms(value_cents=100, cost_cents=cost))
            assert not found.is_accepted
            assert found.answer == answer
            assert "refused" in found.words
        assert "is not shown" in found.words

    def test_a_treatment_that_harms_is_for_none(self):
        data, _ = world(4, strength=0.0)
        harmful = Comparison(data.X, data.outcome - 1.0 * data.is_treated, data.is_treated, data.propensity)
        noise = np.random.default_rng(1).normal(size=len(data.outcome))
        assert report(harmful, noise, noise).answer == Answer.NONE

    def test_a_learner_no_better_than_the_response_model_is_told_so(self, trial):
        data, truth = trial
        found = report(data, truth + 0.01 * data.X[:, 3], truth)
        assert found.is_accepted
        assert found.answer == Answer.RESPONSE
        assert "No learner beats the response model" in found.words

    def test_a_ranking_that_holds_may_still_not_pay(self, trial):
        data, truth = trial
        better = Comparison(data.X, data.outcome + 9 * data.is_treated, data.is_treated, data.propensity)
        found = report(better, truth + 9, data.X[:, 2])
        assert found.is_accepted
        assert found.answer == Answer.ALL

    def test_a_budget_keeps_to_its_share(self, trial):
        data, truth = trial
        found = report(data, np.round(truth), data.X[:, 2], Terms(100, 0, budget_share=0.2))
        assert {way.name: round(way.treated_share, 6) for way in found.ways} == {
            "target by uplift": 0.2,
            "target by response": 0.2,
            "treat at random": 0.2,
            "treat all": 0.2,
            "treat none": 0.0,
        }
        assert found.way("treat at random").minus_target.high < 0

    def test_many_rankings_ask_for_more(self, trial):
        data, truth = trial
        faint = truth * 0.3 + np.random.default_rng(3).normal(size=len(truth))
        alone, among = (report(data, faint, data.X[:, 2], n_rankings=n) for n in (1, 1_000_000))
        assert alone.qini == among.qini
        assert alone.is_accepted
        assert not among.is_accepted

    def test_holes_in_the_columns_do_not_matter(self, trial):
        data, truth = trial
        X = np.where(np.random.default_rng(0).random(data.X.shape) < 0.1, np.nan, data.X)
        X = np.column_stack([X, np.full(len(X), np.nan), np.ones(len(X))])
        found = report(Comparison(X, data.outcome, data.is_treated, data.propensity), truth, data.X[:, 2])
        assert found.is_accepted


@pytest.fixture(scope="module")
def mail(test_data):
    rows = pd.read_parquet(test_data / "hillstrom" / "hillstrom.parquet")
    words = pd.get_dummies(rows[["zip_code", "channel"]].astype("object"), drop_first=True)
    plain = rows[["recency", "history", "mens", "womens", "newbie"]].assign(
        log_history=np.log(rows["history"]), segment=rows["history_segment"].str[0].astype(int)
    )
    X = pd.concat([plain, words], axis=1).to_numpy(float)

    def arm(name):
        mine = rows["segment"].isin([name, "No E-Mail"]).to_numpy()
        is_treated = (rows["segment"] == name).to_numpy()[mine]
        visit = rows["visit"].to_numpy(float)[mine]
        return Comparison(X[mine], visit, is_treated, np.full(len(visit), 0.5))

    return arm


class TestPublishedTrial:
    def test_two_linear_models_score_as_published(self, mail):
        data = mail("Womens E-Mail")
        found = out_of_fold(data, [Learner("T", "linear")], 20240601)[Learner("T", "linear")]
        effect = qini(found, data.outcome, data.is_treated, data.propensity).effect
        assert 1e4 * effect.estimate == pytest.approx(36.4, abs=0.3)
        assert 1e4 * effect.low == pytest.approx(27.7, abs=1)
        assert 1e4 * effect.high == pytest.approx(45.4, abs=1)

    def test_the_other_mail_has_no_ranking(self, mail):
        data = mail("Mens E-Mail")
        said = nested(data, 20240601, (Learner("T", "linear"),))
        found = report(data, said.effects, said.response)
        assert not found.is_accepted
        assert 1e4 * found.qini.estimate == pytest.approx(3.3, abs=1)
        assert found.effect.low > 0.069
