"""Value at risk with its interval: the chance of leaving times the margin expected, of one customer and of many.

Two errors meet. That of the chance (its band) is shared: a bad season raises all chances at once, so it does not
average out over customers, and the ends of a sum are those of all chances moved together. That of the margin is each
customer's own, so it averages out, but for the level of a whole horizon, which is shared too. Adding up the ends of
every customer's interval would treat all errors as shared and exaggerate; adding up variances would treat all as own
and promise too much.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.special import expit

from models.spec import FloatArray, design

LEVEL = 0.90
Codes = npt.NDArray[np.intp]
CHANCE = ("churn_probability", "churn_probability_low", "churn_probability_high")
VALUE = ("expected_value_cents", "expected_value_low_cents", "expected_value_high_cents")
_N_BAND = 41
_N_DRAWS = 4_000
_LEAST = 1e-9
# Deviation over mean of a cube, by deviation over mean of its root.
_RATIOS = np.linspace(0.0, 5.0, 501)
_SPREADS = np.sqrt(9 * _RATIOS**2 + 36 * _RATIOS**4 + 15 * _RATIOS**6) / (1 + 3 * _RATIOS**2)


@dataclass(frozen=True)
class LevelError:
    """Hold how far the margin of all customers together strays in a horizon from what was expected of it.

    Parameters
    ----------
    log_sd
        Standard deviation of the logarithm of actual over expected, between dates; 0: none known.
    n_dates
        Dates that it was taken from.
    """

    log_sd: float = 0.0
    n_dates: int = 0


def level_error(past: pd.DataFrame, expected: str, actual: str) -> LevelError:
    """Return how far the total of a date strays from what a simple rule expects, beyond its usual offset.

    Parameters
    ----------
    past
        ``as_of`` and both columns, one row per customer who stayed and date.
    expected, actual
        Columns of amounts; the simple rule may be off by a constant factor, which is no error of level.

    Returns
    -------
    LevelError
        Of the dates with a total above 0; of none with fewer than three.

    Examples
    --------
    >>> past = pd.DataFrame({"as_of": [1, 2, 3], "rule": [100, 100, 100], "spend": [200, 200, 200]})
    >>> level_error(past, "rule", "spend")
    LevelError(log_sd=0.0, n_dates=3)
    """
    sums = past.groupby("as_of")[[expected, actual]].sum().astype("float64")
    sums = sums[(sums > 0).all(axis=1)]
    if len(sums) < 3:
        return LevelError()
    return LevelError(float(np.log(sums[actual] / sums[expected]).std()), len(sums))


def value_at_risk(
    scores: pd.DataFrame,
    groups: "pd.Series[str]",
    *,
    seed: int,
    level_error: LevelError | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Return the value at risk of each group, with its interval; a group may be one customer.

    Parameters
    ----------
    scores
        ``CHANCE`` and ``VALUE`` columns, whose intervals are of the nominal coverage ``level``; rows without a chance
        (nobody who is not eligible has one) are left out.
    groups
        Group of each row; rows without one are left out.
    seed
        Seed of the draws; each group has its own stream, so that it does not matter which others there are.
    level_error
        Error of the margin that all share, by default none.
    level
        Nominal coverage.

    Returns
    -------
    pandas.DataFrame
        By group: ``group``, ``n_customers`` (with a chance), ``expected_leavers``, ``value_cents`` (margin expected
        of them if they stay), ``value_at_risk_cents`` with ``_low_cents`` and ``_high_cents``: the margin that these
        customers would bring if they stayed, each weighted by their true chance of leaving. The ends are null where
        a margin has no bound.
    """
    known = groups.notna() & scores[CHANCE[0]].notna() & scores[VALUE[0]].notna()
    frame = design(scores[known], (*CHANCE, *VALUE))
    names, codes = np.unique(groups[known].to_numpy(dtype=str), return_inverse=True)
    p, value = frame[CHANCE[0]].to_numpy(), frame[VALUE[0]].to_numpy()
    variance = _value_variance(frame, level)
    nodes, means, squares = _moved_together(frame, variance, codes, len(names), level)
    ends = [
        _ends((nodes, means[:, place], squares[:, place]), level_error or LevelError(), _stream(seed, name), level)
        for place, name in enumerate(names)
    ]
    low, high = np.array(ends).reshape(-1, 2).T
    at_risk = _sum(p * value, codes, len(names))
    return pd.DataFrame(
        {
            "group": pd.Series(names, dtype="str"),
            "n_customers": np.bincount(codes, minlength=len(names)),
            "expected_leavers": _sum(p, codes, len(names)),
            "value_cents": _sum(value, codes, len(names)),
            "value_at_risk_cents": at_risk,
            "value_at_risk_low_cents": np.minimum(low, at_risk),
            "value_at_risk_high_cents": np.maximum(high, at_risk),
        }
    )


def _value_variance(frame: pd.DataFrame, level: float) -> FloatArray:
    """Return each customer's variance of the margin, from its interval on the scale of cube roots.

    There amounts are nearly normal (Wilson and Hilferty 1931): the interval gives mean and deviation of the root, and
    those the variance of its cube.
    """
    low, high = (np.cbrt(frame[name].to_numpy()) for name in VALUE[1:])
    return _cube_variance((low + high) / 2, (high - low) / 2 / stats.norm.ppf((1 + level) / 2))


def _cube_variance(centre: FloatArray, sd: FloatArray) -> FloatArray:
    """Return the variance of the cube of a normal number."""
    found: FloatArray = 9 * centre**4 * sd**2 + 36 * centre**2 * sd**4 + 15 * sd**6
    return found


def _moved_together(
    frame: pd.DataFrame, variance: FloatArray, codes: Codes, n_groups: int, level: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return, for each place within the band, every group's value at risk and the variance of its own errors."""
    value = frame[VALUE[0]].to_numpy()
    centre, low, high = (_log_odds(frame[name].to_numpy()) for name in CHANCE)
    reach = stats.norm.ppf((1 + level) / 2)
    nodes = stats.norm.ppf((np.arange(_N_BAND) + 0.5) / _N_BAND)
    means, squares = [], []
    for place in nodes:
        side = (high - centre) if place > 0 else (centre - low)
        p = expit(centre + place / reach * side)
        means.append(_sum(p * value, codes, n_groups))
        squares.append(_sum(p**2 * variance, codes, n_groups))
    return nodes, np.array(means), np.array(squares)


def _ends(
    within: tuple[FloatArray, FloatArray, FloatArray], shared: LevelError, rng: np.random.Generator, level: float
) -> tuple[float, float]:
    """Return the quantiles of a group's value at risk over the errors that are shared and its own."""
    nodes, means, squares = within
    if not np.isfinite(squares).all():
        return np.nan, np.nan
    place = rng.standard_normal(_N_DRAWS)
    mean, own = np.interp(place, nodes, means), np.sqrt(np.interp(place, nodes, squares))
    if shared.log_sd > 0:
        spread = shared.log_sd * np.sqrt(1 + 1 / shared.n_dates)
        mean = mean * np.exp(spread * rng.standard_t(shared.n_dates - 1, _N_DRAWS))
    low, high = np.quantile(_amounts(mean, own, rng.standard_normal(_N_DRAWS)), ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _amounts(mean: FloatArray, sd: FloatArray, z: FloatArray) -> FloatArray:
    """Return draws of this mean and deviation: cubes of normal numbers, skewed as amounts are, never below 0.

    For large sums these are normal numbers; so are those whose mean is negative.
    """
    safe = np.maximum(mean, _LEAST)
    ratio = np.interp(sd / safe, _SPREADS, _RATIOS)
    root = np.cbrt(safe / (1 + 3 * ratio**2))
    drawn: FloatArray = np.where(mean > 0, np.maximum(root * (1 + ratio * z), 0) ** 3, mean + sd * z)
    return drawn


def _sum(values: FloatArray, codes: Codes, n_groups: int) -> FloatArray:
    return np.asarray(np.bincount(codes, weights=values, minlength=n_groups), dtype=np.float64)


def _log_odds(p: FloatArray) -> FloatArray:
    clipped = np.clip(p, _LEAST, 1 - _LEAST)
    odds: FloatArray = np.log(clipped / (1 - clipped))
    return odds


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(name.encode())))
