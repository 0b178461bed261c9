"""How well a ranking puts those first whom the treatment moves most: Qini, AUUC, TOC and deciles, with intervals.

One scale throughout: units of the outcome per customer of the trial. Customers stand in descending order of score, of
n the first k have Q(k) = Yt(k) - Yc(k) Nt(k) / Nc(k), the outcome that treating them brought (Radcliffe, 2007).

* ``qini``: mean over k of [Q(k) - (k / n) Q(n)] / n: what the ranking brings beyond a random one, averaged over how
  many are treated. 0 is a random ranking.
* ``auuc``: mean over k of Q(k) / n: the same area without taking the random one away.
* ``autoc``: mean over k of TOC(k), the mean effect among the first k minus that of all (Yadlowsky and others, 2021,
  "Evaluating treatment prioritization rules via rank-weighted average treatment effects"). It looks at the top.
* ``rate_qini``: mean over k of (k / n) TOC(k), from doubly robust scores: about the Qini divided by the share treated.

Equal scores are spread evenly, so the order of rows says nothing. Unequal known chances are weighted away. An interval
is that of a smooth function of means, by its influence function: it equals the bootstrap of customers with fixed scores
and takes no resampling, whatever the number of rows. It holds for this ranking on such customers, not for training it
again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.effects import Effect, Flags, Floats, effect_of
from models.folds import Rows

Rates = Callable[[Floats], tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False)
class Area:
    """A measure of a ranking, with what each customer adds to its error.

    Attributes
    ----------
    value
        The measure, in units of the outcome per customer.
    influence
        One number per customer in the order of the rows, 0 on average.
    """

    value: float
    influence: Floats

    @property
    def effect(self) -> Effect:
        """The measure with its 95 % interval."""
        n = len(self.influence)
        return effect_of(self.value, float(np.mean(self.influence**2)) / n, n - 1)

    def minus(self, other: "Area") -> Effect:
        """Return the difference to another ranking of the same customers, with its paired interval."""
        return Area(self.value - other.value, self.influence - other.influence).effect


def qini(score: Floats, outcome: Floats, is_treated: Flags, propensity: Floats) -> Area:
    """Measure a ranking by its Qini.

    Parameters
    ----------
    score
        The higher the earlier; one finite number per customer.
    outcome
        What came of it, one finite number per customer.
    is_treated
        Who was assigned to the treatment, by lot.
    propensity
        The known chance of it, strictly between 0 and 1.

    Examples
    --------
    >>> outcome, is_treated = np.array([1.0, 0.0, 0.0, 0.0]), np.array([True, False, True, False])
    >>> qini(np.array([4.0, 3.0, 2.0, 1.0]), outcome, is_treated, np.full(4, 0.5)).value
    0.09375
    """
    area, total = _both(score, outcome, is_treated, propensity)
    half = (1 + 1 / len(score)) / 2
    return Area(area.value - half * total.value, area.influence - half * total.influence)


def auuc(score: Floats, outcome: Floats, is_treated: Flags, propensity: Floats) -> Area:
    """Measure a ranking by the area under its uplift curve.

    Parameters
    ----------
    score, outcome, is_treated, propensity
        As for ``qini``.
    """
    return _both(score, outcome, is_treated, propensity)[0]


def autoc(score: Floats, effects: Floats) -> Area:
    """Measure a ranking by the mean of its TOC: what the first have above the mean, the very first counting most.

    Parameters
    ----------
    score
        The higher the earlier.
    effects
        Doubly robust score of each customer: its mean over any customers estimates their mean effect.
    """
    columns = np.column_stack([effects, np.ones(len(effects))])
    area = _area(score, columns, _mean_of_first)
    return Area(area.value - float(effects.mean()), area.influence - (effects - effects.mean()))


def rate_qini(score: Floats, effects: Floats) -> Area:
    """Measure a ranking by the mean of its TOC times the share treated.

    Parameters
    ----------
    score, effects
        As for ``autoc``.
    """
    area = _area(score, effects[:, np.newaxis], _itself)
    half = (1 + 1 / len(score)) / 2
    return Area(area.value - half * float(effects.mean()), area.influence - half * (effects - effects.mean()))


def by_decile(score: Floats, effects: Floats, expected: Floats | None = None, n_groups: int = 10) -> pd.DataFrame:
    """Return the mean effect in each tenth of a ranking, with its 95 % interval.

    Parameters
    ----------
    score
        The higher the earlier; customers of equal score stay together, so a tenth may be larger or missing.
    effects
        Doubly robust score of each customer.
    expected
        Predicted effect of each customer; none where the score is no effect.
    n_groups
        Tenths, or other parts.

    Returns
    -------
    pandas.DataFrame
        ``decile`` (1 the first), ``n_customers``, ``expected_effect``, ``effect``, ``low``, ``high``.
    """
    place = pd.Series(-score).rank(method="average").to_numpy()
    decile = np.clip(np.ceil(place / len(score) * n_groups), 1, n_groups).astype(int)
    rows = []
    for one in np.unique(decile):
        mine = effects[decile == one]
        variance = float(mine.var(ddof=1)) / len(mine) if len(mine) > 1 else np.inf
        found = effect_of(float(mine.mean()), variance, max(len(mine) - 1, 1))
        told = np.nan if expected is None else float(expected[decile == one].mean())
        rows.append((int(one), len(mine), told, found.estimate, found.low, found.high))
    return pd.DataFrame(rows, columns=["decile", "n_customers", "expected_effect", "effect", "low", "high"])


def curve(score: Floats, outcome: Floats, is_treated: Flags, propensity: Floats, n_points: int = 100) -> pd.DataFrame:
    """Return points of the Qini curve to draw: Q(k) / n and the straight line of a random ranking.

    Parameters
    ----------
    score, outcome, is_treated, propensity
        As for ``qini``.
    n_points
        Points beside the origin, at most.

    Returns
    -------
    pandas.DataFrame
        ``treated_share``, ``gain`` and ``random_gain``, the last two in units of the outcome per customer.
    """
    ends, sums = _sums(score, _observed(outcome, is_treated, propensity))[1:]
    share = ends / len(score)
    gain = _brought(sums)[0]
    at = np.linspace(0, 1, n_points + 1)
    told = np.interp(at, np.r_[0.0, share], np.r_[0.0, gain])
    return pd.DataFrame({"treated_share": at, "gain": told, "random_gain": at * gain[-1]})


def _both(score: Floats, outcome: Floats, is_treated: Flags, propensity: Floats) -> tuple[Area, Area]:
    """Return the area under the curve, and its last point."""
    columns = _observed(outcome, is_treated, propensity)
    value, slope = _brought(columns.mean(axis=0)[np.newaxis, :])
    influence = columns @ slope[0]
    return _area(score, columns, _brought), Area(float(value[0]), influence - influence.mean())


def _observed(outcome: Floats, is_treated: Flags, propensity: Floats) -> Floats:
    """Return outcome and count by arm, weighted so that equal chances weigh 1."""
    share = float(propensity.mean())
    treated = np.where(is_treated, share / propensity, 0.0)
    control = np.where(is_treated, 0.0, (1 - share) / (1 - propensity))
    return np.column_stack([treated * outcome, control * outcome, treated, control])


def _brought(sums: Floats) -> tuple[Floats, Floats]:
    """Return Q and its slopes in the four sums; before the first control there is nothing to compare with."""
    treated, control, n_treated, n_control = sums.T
    is_known = n_control > 0
    safe = np.where(is_known, n_control, 1.0)
    ratio = np.where(is_known, n_treated / safe, 0.0)
    mean = np.where(is_known, control / safe, 0.0)
    slopes = np.column_stack([np.ones(len(sums)), -ratio, -mean, mean * ratio])
    return treated - control * ratio, slopes


def _mean_of_first(sums: Floats) -> tuple[Floats, Floats]:
    total, count = sums.T
    return total / count, np.column_stack([1 / count, -total / count**2])


def _itself(sums: Floats) -> tuple[Floats, Floats]:
    return sums[:, 0], np.ones_like(sums)


def _sums(score: Floats, columns: Floats) -> tuple[Rows, Floats, Floats]:
    """Return the order, the last place of each group of equal scores, and the sums up to there, divided by n."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    return order, (ends + 1).astype(np.float64), np.cumsum(columns[order], axis=0)[ends] / len(score)


def _area(score: Floats, columns: Floats, rates: Rates) -> Area:
    """Return the mean over k of a function of the sums over the first k, with its influence function.

    The sums up to a threshold are means over customers, and the mean over k is one over thresholds: a customer
    counts as a threshold, and in the sums of every threshold below it.
    """
    n = len(score)
    order, ends, sums = _sums(score, columns)
    values, slopes = rates(sums)
    sizes = np.diff(ends, prepend=0.0)
    before = np.r_[0.0, values[:-1]]
    # Within a group of equal scores the curve is a straight line.
    within = (before * (sizes - 1) + values * (sizes + 1)) / (2 * sizes)
    weights = ((sizes + 1) + np.r_[sizes[1:] - 1, 0.0]) / (2 * n)
    below = np.cumsum((weights[:, np.newaxis] * slopes)[::-1], axis=0)[::-1]
    group = np.repeat(np.arange(len(ends)), sizes.astype(int))
    influence = np.empty(n)
    influence[order] = within[group] + (columns[order] * below[group]).sum(axis=1)
    return Area(float((within * sizes).sum() / n), influence - influence.mean())
