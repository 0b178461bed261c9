"""A ranker stacked on the component scores: a straight line and a few small trees, averaged on the log-odds.

Either alone was as good as the best component on grocery shopping; their average was better than each, as their
mistakes differ. It learns from instants whose horizon is over before the instant at which it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from models.basket import Incidence, Integers
from models.cooccurrence import Floats
from models.offer_components import (
    N_NEW,
    N_NEW_AT_REPEAT,
    Features,
    Standing,
    held_candidates,
    held_features,
    new_candidates,
    new_features,
    spread,
)

Kind = Literal["explore", "repeat"]

MAX_ROWS = 100_000
"""Pairs to learn from; of more, all that were bought and a sample of the others."""

MIN_BOUGHT = 1_000
"""Pairs that must have been bought: with fewer, the features are more than the data can weigh."""

MAX_HOUSEHOLDS = 8_192
"""Households of one instant to learn from."""

CHUNK = 1_024
"""Households whose components are in memory at once."""

N_TREES = 60

EVENNESS = {"explore": 0.0, "repeat": 0.5}
"""How much the baskets of a household that buys much count less, so that the order in each household counts alike."""


@dataclass
class Lesson:
    """Hold what was known at one instant and what was bought after it, and read it once only.

    Parameters
    ----------
    state
        The standing at the instant.
    truth
        Households (rows of the standing) by categories, 1 where the household then bought what is to be ranked high.
    """

    state: Standing
    truth: Incidence
    _read: dict[str, tuple[Features, NDArray[np.bool_], Floats]] = field(default_factory=dict)

    def taught(self, kind: Kind) -> tuple[Features, NDArray[np.bool_], Floats]:
        """Return features, what was bought, and weights of the candidates of households that bought something."""
        if kind not in self._read:
            self._read[kind] = _taught(kind, self)
        return self._read[kind]


@dataclass(frozen=True)
class OfferRanker:
    """Rank categories for households by two small models of the features of each pair.

    Parameters
    ----------
    kind
        ``explore`` ranks what is new to a household, ``repeat`` all of its next basket.
    line, trees
        The two models.
    offset
        Added to the log-odds, as not all pairs that were not bought were learned from.
    """

    kind: Kind
    line: Pipeline
    trees: HistGradientBoostingClassifier
    offset: float

    def log_scores(self, state: Standing, rows: Integers) -> Floats:
        """Return the log-odds of each category for some households; minus infinity for what is no candidate.

        They hold for a household that buys something of the kind at all; a chance needs calibration after this.
        """
        scores = np.full((len(rows), state.known.owned.shape[1]), -np.inf)
        for low in range(0, len(rows), CHUNK):
            (position, item), x = candidates(self.kind, state, rows[low : low + CHUNK])
            if len(item):
                odds = (self.line.decision_function(x) + self.trees.decision_function(x)) / 2 + self.offset
                # Digits beyond the sixth may depend on how many threads the linear algebra had.
                scores[low + position, item] = odds.round(6)
        return scores


def candidates(kind: Kind, state: Standing, rows: Integers) -> tuple[tuple[Integers, Integers], Features]:
    """Return the pairs worth ranking, by household and category, and their features."""
    if kind == "explore":
        position, item = new_candidates(state, rows, N_NEW)
    else:
        parts = [held_candidates(state, rows)]
        if len(state.known.weights):
            parts.append(new_candidates(state, rows, N_NEW_AT_REPEAT))
        position, item = (np.concatenate(axis) for axis in zip(*parts, strict=True))
    order = np.lexsort((item, position))
    pairs = position[order], item[order]
    x = new_features(state, rows, pairs)
    return pairs, x if kind == "explore" else np.column_stack([x, held_features(state, rows, pairs)])


def learn_ranker(
    kind: Kind, lessons: Sequence[Lesson], seed: int, *, max_rows: int = MAX_ROWS, n_trees: int = N_TREES
) -> OfferRanker | None:
    """Learn from past instants which candidates were bought; None where too few were.

    Parameters
    ----------
    kind
        What is ranked.
    lessons
        Past instants with what followed; their horizons must be over where the ranker is used.
    seed
        Draws the pairs that are learned from where there are too many.
    max_rows
        Pairs to learn from; of more, all that were bought and a sample of the others.
    n_trees
        Trees; more pay only with more rows.

    Notes
    -----
    Households that bought nothing of the kind teach nothing about its order and are left out.
    """
    n_bought = sum(lesson.truth.nnz for lesson in lessons)
    if n_bought < MIN_BOUGHT:
        return None
    parts = [lesson.taught(kind) for lesson in lessons]
    x, y, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    share = min(1.0, max(max_rows - y.sum(), 1) / (~y).sum())
    if share < 1:
        kept = y | (np.random.default_rng(seed).random(len(y)) < share)
        x, y, weight = x[kept], y[kept], weight[kept]
    if y.sum() < MIN_BOUGHT or y.all():
        return None
    even = weight / weight.mean() if EVENNESS[kind] else None
    line = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    line.fit(x, y, logisticregression__sample_weight=even)
    trees = HistGradientBoostingClassifier(
        max_iter=n_trees, max_leaf_nodes=15, learning_rate=0.07, min_samples_leaf=100, l2_regularization=10.0,
        early_stopping=False, random_state=seed,
    ).fit(x, y, sample_weight=even)  # fmt: skip
    return OfferRanker(kind, line, trees, float(np.log(share)))


def _taught(kind: Kind, lesson: Lesson) -> tuple[Features, NDArray[np.bool_], Floats]:
    """Return features, what was bought, and weights of the candidates of the households that bought something."""
    n_targets = np.diff(lesson.truth.indptr)
    rows = np.flatnonzero(n_targets)
    rows = rows[spread(len(rows), MAX_HOUSEHOLDS)]
    found = []
    for low in range(0, len(rows), CHUNK):
        some = rows[low : low + CHUNK]
        (position, item), x = candidates(kind, lesson.state, some)
        weight = n_targets[some[position]] ** -EVENNESS[kind]
        found.append((x, lesson.truth[some].toarray()[position, item] > 0, weight))
    x, y, weight = (np.concatenate(column) for column in zip(*found, strict=True))
    return x, y, weight
