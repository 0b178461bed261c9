"""Whether a ranking by uplift may be used, and what to do where it may not.

The ranking is that of the whole procedure on customers it has not seen. It is refused where the interval of its Qini
contains 0, and it is no better than what everybody does where its paired difference to the response model contains 0.
Then treating all, or none, is the answer. Whatever the answer, it comes with the money that each way to choose earns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pandas as pd

from models.effects import Effect, Floats, doubly_robust, effect_of
from models.uplift import Comparison, Nested
from models.uplift_curves import Area, autoc, auuc, by_decile, qini
from models.verdict import money

_LEVEL = 0.05


class Answer(StrEnum):
    """What to do with a treatment."""

    TARGET = "target by uplift"
    RESPONSE = "no learner beats the response model"
    ALL = "treat all"
    NONE = "treat none"


@dataclass(frozen=True)
class Terms:
    """What an outcome is worth and what a treatment costs.

    Parameters
    ----------
    value_cents
        Margin in cents per unit of the outcome: the margin share where the outcome is spend in cents; 1 where nobody
        said, so that "cents" are units of the outcome.
    cost_cents
        Of treating one customer.
    budget_share
        Share of the customers that can be treated at most.

    Raises
    ------
    ValueError
        A value or cost is negative, or the share is not in (0, 1].
    """

    value_cents: float = 1.0
    cost_cents: float = 0.0
    budget_share: float = 1.0

    def __post_init__(self) -> None:
        if self.value_cents < 0 or self.cost_cents < 0 or not 0 < self.budget_share <= 1:
            raise ValueError("a value and a cost must be 0 or more, the share of the budget in (0, 1]")


@dataclass(frozen=True)
class Way:
    """What one way to choose customers earns, per customer of the trial, against treating nobody.

    Attributes
    ----------
    name
        ``target by uplift``, ``target by response``, ``treat all``, ``treat none``, ``treat at random``.
    treated_share
        Share of the customers it treats.
    net
        Margin minus cost in cents.
    minus_target
        The same minus that of targeting by uplift, paired.
    """

    name: str
    treated_share: float
    net: Effect
    minus_target: Effect


@dataclass(frozen=True)
class UpliftReport:
    """What is known about a ranking by uplift.

    Attributes
    ----------
    answer
        What to do.
    is_accepted
        Whether the interval of the Qini excludes 0; else the ranking is refused.
    n_treated, n_control
        Customers compared.
    learners
        The learner chosen in each fold.
    effect
        Average effect in units of the outcome.
    qini, response_qini, minus_response
        Of the ranking, of the response model, and their paired difference; units of the outcome per customer.
    auuc, autoc
        Other measures of the ranking.
    deciles
        Effect by tenth of the ranking.
    ways
        What each way to choose earns.
    n_rankings
        Rankings judged at once; each must pass at that part of the level.
    """

    answer: Answer
    is_accepted: bool
    n_treated: int
    n_control: int
    learners: tuple[str, ...]
    effect: Effect
    qini: Effect
    response_qini: Effect
    minus_response: Effect
    auuc: Effect
    autoc: Effect
    deciles: pd.DataFrame = field(repr=False)
    ways: tuple[Way, ...]
    n_rankings: int = 1

    def way(self, name: str) -> Way:
        """Return one way to choose by its name."""
        return next(one for one in self.ways if one.name == name)

    @property
    def words(self) -> str:
        """The answer in sentences."""
        used = "The ranking holds" if self.is_accepted else "The ranking is refused: it may be no better than chance"
        rival = f"response model {_told(self.response_qini)}, difference {_told(self.minus_response)}"
        return f"{used} (Qini per 10,000 customers {_told(self.qini)}, {rival}). {self._do}"

    @property
    def _do(self) -> str:
        target = self.way("target by uplift")
        others = [one for one in self.ways if one.name in _RIVALS[self.answer]]
        sayings = {
            Answer.TARGET: f"Target by uplift: {_net(target)}",
            Answer.RESPONSE: f"No learner beats the response model. Targeting by uplift earns {_net(target)}",
            Answer.ALL: f"Treat all: {_net(self.way('treat all'))}",
            Answer.NONE: "Treat none: that treating pays is not shown",
        }
        gaps = "; ".join(f"{one.name} {_interval(one.minus_target)} against targeting by uplift" for one in others)
        return f"{sayings[self.answer]} ({gaps}, per customer)."


_RIVALS: dict[Answer, tuple[str, ...]] = {
    Answer.TARGET: ("treat all", "treat none", "target by response"),
    Answer.RESPONSE: ("target by response", "treat all"),
    Answer.ALL: ("treat all",),
    Answer.NONE: ("treat all", "treat none"),
}


def judge_ranking(data: Comparison, said: Nested, terms: Terms, seed: int, n_rankings: int = 1) -> UpliftReport:
    """Judge a ranking on customers that it has not seen.

    Parameters
    ----------
    data
        Customers of a treatment and of the control arm, assigned by lot.
    said
        Effects and expected outcomes of the same customers, by models of others.
    terms
        What an outcome is worth, what a treatment costs, how many can be treated.
    seed
        Decides the folds of the doubly robust scores.
    n_rankings
        Rankings judged at once, such as one per arm (Bonferroni).
    """
    ranked, by_response = (_qini(score, data) for score in (said.effects, said.response))
    scores = doubly_robust(data.outcome, data.is_treated, _finite(data.X), seed, data.propensity).scores
    ways = _ways(said, scores, terms)
    level = _LEVEL / n_rankings
    is_accepted = _passes(ranked.effect, level)
    beats = _passes(ranked.minus(by_response), level)
    n = len(scores)
    effect = effect_of(float(scores.mean()), float(scores.var(ddof=1)) / n, n - 1)
    return UpliftReport(
        answer=_answer(is_accepted, beats, _passes(by_response.effect, level), effect, ways),
        is_accepted=is_accepted,
        n_treated=int(data.is_treated.sum()),
        n_control=int((~data.is_treated).sum()),
        learners=tuple(map(str, said.chosen)),
        effect=effect,
        qini=ranked.effect,
        response_qini=by_response.effect,
        minus_response=ranked.minus(by_response),
        auuc=auuc(said.effects, data.outcome, data.is_treated, data.propensity).effect,
        autoc=autoc(said.effects, scores).effect,
        deciles=by_decile(said.effects, scores, said.effects),
        ways=ways,
        n_rankings=n_rankings,
    )


def _qini(score: Floats, data: Comparison) -> Area:
    return qini(score, data.outcome, data.is_treated, data.propensity)


def _passes(effect: Effect, level: float) -> bool:
    return effect.estimate > 0 and effect.p_value < level


def _finite(X: Floats) -> Floats:
    """Return columns that a linear model can use; a column without spread says nothing."""
    filled = np.where(np.isfinite(X), X, np.nan)
    known = np.isfinite(filled).any(axis=0)
    filled = filled[:, known]
    filled = np.where(np.isnan(filled), np.nanmean(filled, axis=0), filled)
    spread = filled.std(axis=0)
    return np.asarray((filled - filled.mean(axis=0))[:, spread > 0] / spread[spread > 0])


def _ways(said: Nested, scores: Floats, terms: Terms) -> tuple[Way, ...]:
    """Return what each way earns; ways that do not rank treat by lot as many as the budget allows."""
    is_worth = terms.value_cents * said.effects > terms.cost_cents
    targeted = _first(said.effects, terms.budget_share) * is_worth
    share = float(targeted.mean())
    chosen: Sequence[tuple[str, Floats]] = (
        ("target by uplift", targeted),
        ("target by response", _first(said.response, share)),
        ("treat at random", np.full(len(scores), share)),
        ("treat all", np.full(len(scores), terms.budget_share)),
        ("treat none", np.zeros(len(scores))),
    )
    earned = terms.value_cents * scores - terms.cost_cents
    return tuple(
        Way(name, float(part.mean()), _mean(part * earned), _mean((part - targeted) * earned)) for name, part in chosen
    )


def _first(score: Floats, share: float) -> Floats:
    """Return the chance of each customer to be among the first; who is tied at the edge shares what is left."""
    if share >= 1:
        return np.ones(len(score))
    room = share * len(score)
    edge = np.sort(score)[::-1][min(int(room), len(score) - 1)]
    above, at = score > edge, score == edge
    return np.where(above, 1.0, np.where(at, (room - above.sum()) / at.sum(), 0.0))


def _mean(values: Floats) -> Effect:
    return effect_of(float(values.mean()), float(values.var(ddof=1)) / len(values), len(values) - 1)


def _answer(is_accepted: bool, beats: bool, response_ranks: bool, effect: Effect, ways: Sequence[Way]) -> Answer:
    nets = {way.name: way.net.estimate for way in ways}
    constant = Answer.ALL if effect.low > 0 and nets["treat all"] > 0 else Answer.NONE
    if is_accepted and beats:
        return Answer.TARGET if nets["target by uplift"] > nets[constant] else constant
    return Answer.RESPONSE if is_accepted or response_ranks else constant


def _told(effect: Effect) -> str:
    return f"{1e4 * effect.estimate:.1f} [95 %: {1e4 * effect.low:.1f} to {1e4 * effect.high:.1f}]"


def _interval(effect: Effect) -> str:
    return f"{money(effect.estimate)} [95 %: {money(effect.low)} to {money(effect.high)}]"


def _net(way: Way) -> str:
    return f"{_interval(way.net)} net per customer at {way.treated_share:.0%} treated"
