"""Whom a treatment moves: meta-learners of the effect on one customer, chosen by evidence out of fold.

S, T and X learners (Künzel and others, 2019), the R learner (Nie and Wager, 2021) and the DR learner (Kennedy, 2023) on
linear models and on small boosting, for one treatment against the control arm. No learner is best everywhere: on one
famous trial none beats two linear models, in another world they lose by far. So all are tried, and each is judged on
customers that it has not seen. The chance of treatment is the known one, never a fitted one, where lots were drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data.errors import TrainingError
from models.effects import CLIP, Flags, Floats
from models.folds import Rows, label_folds
from models.uplift_curves import qini

Kind = Literal["S", "T", "X", "R", "DR", "mean"]
Base = Literal["linear", "boosting"]

MIN_ARM = 100
"""Customers of the smaller arm below which no learner is tried."""

MAX_CHOICE = 100_000
"""Customers on whom learners are compared; of more, so many are drawn. The chosen one is trained on all."""

_PENALTIES = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
_SMALLEST_LEAF, _LARGEST_LEAF, _ROWS_PER_LEAF = 20, 100, 50


@dataclass(frozen=True)
class Learner:
    """Name a way to learn effects.

    Parameters
    ----------
    kind
        The meta-learner; ``mean`` averages the effects of all others.
    outcome
        Base of the models of the outcome.
    effect
        Base of the model of the effect; S and T have none.
    """

    kind: Kind
    outcome: Base = "boosting"
    effect: Base = "linear"

    def __str__(self) -> str:
        bases = {"mean": "", "S": f", {self.outcome}", "T": f", {self.outcome}"}
        return self.kind + bases.get(self.kind, f", {self.outcome} then {self.effect}")


LEARNERS: tuple[Learner, ...] = (
    Learner("mean"),
    Learner("T", "linear"),
    Learner("S"),
    Learner("T"),
    Learner("X"),
    Learner("X", effect="boosting"),
    Learner("R"),
    Learner("R", effect="boosting"),
    Learner("DR"),
    Learner("DR", effect="boosting"),
)
"""Candidates; the first is used unless another is clearly better. The mean of all errs least where none is right."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The customers of one treatment and of the control arm.

    Parameters
    ----------
    X
        What was known before, one row per customer, as numbers; NaN only where every learner used is boosting.
    outcome
        What came of it: 0 and 1, or money; finite.
    is_treated
        Who was assigned to the treatment.
    propensity
        The known chance of it, or the share treated where lots of equal chance were drawn.

    Raises
    ------
    TrainingError
        The arrays differ in length, an outcome is not finite, or a chance is not between 0 and 1.
    """

    X: Floats
    outcome: Floats
    is_treated: Flags
    propensity: Floats

    def __post_init__(self) -> None:
        if len({len(self.X), len(self.outcome), len(self.is_treated), len(self.propensity)}) > 1:
            raise TrainingError("columns of different length", "one row per customer", "check the trial")
        if not np.isfinite(self.outcome).all():
            raise TrainingError("an outcome that is null or infinite", "finite numbers", "fill or drop those customers")
        if not ((self.propensity > 0) & (self.propensity < 1)).all():
            raise TrainingError("a chance of 0 or 1", "chances between them", "leave out who had no choice of arm")

    def of(self, rows: Rows) -> "Comparison":
        """Return some of the customers."""
        return Comparison(self.X[rows], self.outcome[rows], self.is_treated[rows], self.propensity[rows])

    @property
    def smaller_arm(self) -> int:
        """Customers of the smaller arm."""
        n_treated = int(self.is_treated.sum())
        return min(n_treated, len(self.is_treated) - n_treated)

    def folds(self, seed: int) -> list[tuple[Rows, Rows]]:
        """Return folds with like shares of both arms, and of those who did anything at all."""
        kinds = 2 * self.is_treated + (self.outcome != 0)
        fewest = np.unique(kinds, return_counts=True)[1].min()
        # Where next to nobody did anything, or everybody, arms alone must do.
        strata = kinds if fewest >= _SMALLEST_LEAF else self.is_treated.astype(int)
        return label_folds(strata, np.arange(len(strata)), seed)


@dataclass(frozen=True, eq=False)
class Term:
    """One estimator of an effect: ``weight`` times its prediction, with the arm as a last column if ``arm`` is set."""

    estimator: BaseEstimator
    weight: float
    arm: float | None = None

    def predict(self, X: Floats) -> Floats:
        """Return the term of every row."""
        shown = X if self.arm is None else np.column_stack([X, np.full(len(X), self.arm)])
        return np.asarray(self.weight * self.estimator.predict(shown), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Uplift:
    """A trained learner: its effect is the sum of its terms, in units of the outcome per customer."""

    learner: Learner
    terms: tuple[Term, ...]

    def effect(self, X: Floats) -> Floats:
        """Return the effect expected on every row."""
        return np.sum([term.predict(X) for term in self.terms], axis=0) if len(X) else np.empty(0)

    def facts(self) -> dict[str, Any]:
        """Return everything but the estimators as plain values that JSON can hold."""
        terms = [{"weight": term.weight, "arm": term.arm} for term in self.terms]
        return {"learner": [self.learner.kind, self.learner.outcome, self.learner.effect], "terms": terms}

    @classmethod
    def restore(cls, estimators: Sequence[BaseEstimator], facts: Mapping[str, Any]) -> "Uplift":
        """Return the model again from its estimators, in the order of its terms, and its facts."""
        terms = [Term(one, told["weight"], told["arm"]) for one, told in zip(estimators, facts["terms"], strict=True)]
        return cls(Learner(*facts["learner"]), tuple(terms))


def fit(data: Comparison, learners: Sequence[Learner], seed: int) -> dict[Learner, Uplift]:
    """Train learners on the same customers; models of the outcome are shared between them.

    Parameters
    ----------
    data
        Customers of both arms.
    learners
        What to train; ``mean`` averages the others of the list.
    seed
        Decides the folds of the R and DR learners.

    Raises
    ------
    TrainingError
        The smaller arm has fewer than ``MIN_ARM`` customers.
    """
    if data.smaller_arm < MIN_ARM:
        raise TrainingError(
            f"{data.smaller_arm} customers in the smaller arm", f"{MIN_ARM} at least", "judge the campaign as a whole"
        )
    shared = _Shared(data, seed)
    found = {one: Uplift(one, _TERMS[one.kind](shared, one)) for one in learners if one.kind != "mean"}
    for one in learners:
        if one.kind == "mean":
            terms = [Term(t.estimator, t.weight / len(found), t.arm) for model in found.values() for t in model.terms]
            found[one] = Uplift(one, tuple(terms))
    return {one: found[one] for one in learners}


def out_of_fold(data: Comparison, learners: Sequence[Learner], seed: int) -> dict[Learner, Floats]:
    """Return the effect that each learner expects of every customer, trained on others.

    Parameters
    ----------
    data, learners, seed
        As for ``fit``.
    """
    effects = {one: np.empty(len(data.outcome)) for one in learners}
    for train, apply in data.folds(seed):
        for one, model in fit(data.of(train), learners, seed).items():
            effects[one][apply] = model.effect(data.X[apply])
    return effects


def choose(data: Comparison, seed: int, learners: Sequence[Learner] = LEARNERS) -> Learner:
    """Return the learner whose effects, out of fold, rank the customers best by their Qini.

    The best of many is often best by chance, so the first stays unless the interval of the paired difference to the
    best excludes 0.

    Parameters
    ----------
    data, seed
        As for ``fit``.
    learners
        Candidates.
    """
    if len(learners) == 1:
        return learners[0]
    if len(data.outcome) > MAX_CHOICE:
        data = data.of(np.sort(np.random.default_rng(seed).choice(len(data.outcome), MAX_CHOICE, replace=False)))
    effects = out_of_fold(data, learners, seed)
    areas = {one: qini(effects[one], data.outcome, data.is_treated, data.propensity) for one in learners}
    best = max(learners, key=lambda one: areas[one].value)
    ahead = areas[best].minus(areas[learners[0]])
    return best if ahead.low > 0 else learners[0]


@dataclass(frozen=True, eq=False)
class Nested:
    """What the whole procedure, choice of the learner included, says of customers that it has not seen.

    Attributes
    ----------
    effects
        Expected effect of each customer.
    response
        Expected outcome of each customer if left alone, by boosting: the response model that a ranking must beat.
    chosen
        The learner of each fold.
    """

    effects: Floats
    response: Floats
    chosen: tuple[Learner, ...]


def nested(data: Comparison, seed: int, learners: Sequence[Learner] = LEARNERS) -> Nested:
    """Choose and train a learner on four fifths of the customers and apply it to the fifth, five times.

    Parameters
    ----------
    data, seed, learners
        As for ``choose``.
    """
    effects, response, chosen = np.empty(len(data.outcome)), np.empty(len(data.outcome)), []
    for train, apply in data.folds(seed):
        mine = data.of(train)
        best = choose(mine, seed, learners)
        effects[apply] = fitted(mine, best, seed, learners).effect(data.X[apply])
        response[apply] = response_model(mine).predict(data.X[apply])
        chosen.append(best)
    return Nested(effects, response, tuple(chosen))


def fitted(data: Comparison, learner: Learner, seed: int, learners: Sequence[Learner] = LEARNERS) -> Uplift:
    """Return one learner, trained; ``learners`` are what a ``mean`` averages.

    Parameters
    ----------
    data, learner, seed
        As for ``fit``.
    learners
        The candidates that it was chosen from.
    """
    return fit(data, learners if learner.kind == "mean" else (learner,), seed)[learner]


def response_model(data: Comparison) -> BaseEstimator:
    """Return a model of the outcome itself, arms aside: what most companies target by.

    Parameters
    ----------
    data
        Customers of both arms.
    """
    return _learn("boosting", data.X, data.outcome)


class _Shared:
    """The models of the outcome that learners have in common, each trained once."""

    def __init__(self, data: Comparison, seed: int) -> None:
        self.data, self._seed = data, seed
        self._whole: dict[Base, tuple[BaseEstimator, BaseEstimator]] = {}
        self._crossed: dict[Base, tuple[Floats, Floats]] = {}

    def arms(self, base: Base) -> tuple[BaseEstimator, BaseEstimator]:
        """Return the models of treated and control customers."""
        if base not in self._whole:
            self._whole[base] = _both_arms(base, self.data)
        return self._whole[base]

    def crossed(self, base: Base) -> tuple[Floats, Floats]:
        """Return the outcome expected of every customer with and without treatment, by models of others."""
        if base not in self._crossed:
            data = self.data
            treated, control = np.empty(len(data.outcome)), np.empty(len(data.outcome))
            for train, apply in data.folds(self._seed):
                models = _both_arms(base, data.of(train))
                treated[apply], control[apply] = (model.predict(data.X[apply]) for model in models)
            self._crossed[base] = treated, control
        return self._crossed[base]


def _both_arms(base: Base, data: Comparison) -> tuple[BaseEstimator, BaseEstimator]:
    first, second = (_learn(base, data.X[rows], data.outcome[rows]) for rows in (data.is_treated, ~data.is_treated))
    return first, second


def _single(shared: _Shared, learner: Learner) -> tuple[Term, ...]:
    data = shared.data
    model = _learn(learner.outcome, np.column_stack([data.X, data.is_treated]), data.outcome)
    return Term(model, 1.0, 1.0), Term(model, -1.0, 0.0)


def _two(shared: _Shared, learner: Learner) -> tuple[Term, ...]:
    treated, control = shared.arms(learner.outcome)
    return Term(treated, 1.0), Term(control, -1.0)


def _crosswise(shared: _Shared, learner: Learner) -> tuple[Term, ...]:
    """Model the difference of each customer to what the other arm's model expects, and average over the arms."""
    data, (treated, control) = shared.data, shared.arms(learner.outcome)
    share, rows = float(data.propensity.mean()), data.is_treated
    of_treated = _learn(learner.effect, data.X[rows], data.outcome[rows] - control.predict(data.X[rows]))
    of_control = _learn(learner.effect, data.X[~rows], treated.predict(data.X[~rows]) - data.outcome[~rows])
    return Term(of_treated, 1 - share), Term(of_control, share)


def _residual(shared: _Shared, learner: Learner) -> tuple[Term, ...]:
    """Regress what the outcome leaves unexplained on what the lot leaves unexplained."""
    data, (treated, control) = shared.data, shared.crossed(learner.outcome)
    chance = np.clip(data.propensity, CLIP, 1 - CLIP)
    surprise = data.is_treated - chance
    target = (data.outcome - chance * treated - (1 - chance) * control) / surprise
    return (Term(_learn(learner.effect, data.X, target, surprise**2), 1.0),)


def _robust(shared: _Shared, learner: Learner) -> tuple[Term, ...]:
    """Regress the doubly robust score of each customer."""
    data, (treated, control) = shared.data, shared.crossed(learner.outcome)
    chance = np.clip(data.propensity, CLIP, 1 - CLIP)
    missed = np.where(data.is_treated, (data.outcome - treated) / chance, -(data.outcome - control) / (1 - chance))
    return (Term(_learn(learner.effect, data.X, treated - control + missed), 1.0),)


_TERMS: Mapping[Kind, Callable[[_Shared, Learner], tuple[Term, ...]]] = {
    "S": _single,
    "T": _two,
    "X": _crosswise,
    "R": _residual,
    "DR": _robust,
}


def _learn(base: Base, X: Floats, target: Floats, weights: Floats | None = None) -> BaseEstimator:
    """Return a trained regression; of 0 and 1 it predicts the chance."""
    if base == "linear":
        linear = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
        return linear.fit(X, target, ridgecv__sample_weight=weights)
    boosting = HistGradientBoostingRegressor(
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=int(np.clip(len(target) // _ROWS_PER_LEAF, _SMALLEST_LEAF, _LARGEST_LEAF)),
        early_stopping=False,
        random_state=0,
    )
    return boosting.fit(X, target, sample_weight=weights)
