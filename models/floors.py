"""Floors: a candidate that is better on the whole may be worse for some customers, or promise risks that are not so.

Judged customers are cut into slices: thirds by what is known of them, and whatever kinds the company keeps. In none of
them may the candidate be worse than whom it would replace, beyond chance; the level is shared among the slices
(Bonferroni), so that many slices refuse a good candidate no more often than one. Of a probability the calibration has a
floor too. A slice with few customers is counted and not measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.evaluation import paired_difference, point
from models.gate import Decision
from models.metrics import AMOUNT_METRICS, METRICS
from models.spec import FloatArray

BoolArray = npt.NDArray[np.bool_]
LEAST_ROWS = 200
"""Fewer customers are a slice too small to judge."""
MOST_VALUES = 12
LEVEL = 0.95
CALIBRATION = "calibration of all"
CALIBRATION_MARGIN = 0.02
"""Expected calibration error may exceed that of the reference by this much, beyond chance: two points of a hundred."""
THIRDS: Mapping[str, tuple[str, str, str]] = {
    "tenure_days": ("newest third", "middle third by tenure", "oldest third"),
    "recency_days": ("seen latest", "middle third by recency", "longest silent"),
    "spend_84d_cents": ("lowest spend", "middle third by spend", "highest spend"),
}


@dataclass(frozen=True)
class Floor:
    """Compare a candidate with whom it would replace, among customers of one kind.

    Parameters
    ----------
    slice
        Which customers.
    n_rows
        How many of the judged ones.
    metric
        The measure.
    candidate_value, reference_value
        On these customers; null where they are too few or all alike.
    difference, difference_low, difference_high
        Candidate minus reference with its paired interval, at the level shared among the slices.
    is_broken
        The candidate is worse, beyond chance.
    """

    slice: str
    n_rows: int
    metric: str
    candidate_value: float | None = None
    reference_value: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    is_broken: bool = False


def slices(frame: pd.DataFrame, kinds: Sequence[str] = ()) -> dict[str, BoolArray]:
    """Return who belongs to which slice.

    Parameters
    ----------
    frame
        Judged customers, one a row: those of the features in ``THIRDS`` that are known, and ``kinds``.
    kinds
        Columns of text whose values are slices of their own, such as a segment or a region; null is no slice, and a
        column of more than ``MOST_VALUES`` is none either.

    Returns
    -------
    dict
        Name of the slice -> one flag per row. Thirds are those of the rows themselves, equal values stay together.

    Examples
    --------
    >>> found = slices(pd.DataFrame({"tenure_days": [1, 2, 3], "region": ["N", "N", None]}), ["region"])
    >>> {name: flags.tolist() for name, flags in found.items()}["region N"]
    [True, True, False]
    """
    found: dict[str, BoolArray] = {}
    for feature, names in THIRDS.items():
        if feature not in frame:
            continue
        rank = frame[feature].astype("float64").rank(pct=True).to_numpy()
        third = np.where(np.isnan(rank), -1, np.ceil(np.nan_to_num(rank) * 3 - 1e-9) - 1)
        found |= {name: np.asarray(third == number) for number, name in enumerate(names)}
    for kind in kinds:
        values = sorted(frame[kind].dropna().unique())
        if len(values) <= MOST_VALUES:
            found |= {f"{kind} {value}": np.asarray(frame[kind].eq(value)) for value in values}
    return found


def floors(
    metric: str,
    y: npt.ArrayLike,
    candidate: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    among: Mapping[str, BoolArray],
    groups: npt.ArrayLike,
    seed: int,
) -> tuple[Floor, ...]:
    """Compare a candidate with whom it would replace, slice by slice.

    Parameters
    ----------
    metric
        The gate's measure.
    y, candidate, reference
        Labels and the two predictions of the judged rows.
    among
        Slices as in ``slices``.
    groups
        Customer of each row.
    seed
        Seed of the resampling.

    Returns
    -------
    tuple of Floor
        One per slice, and the calibration of all where the predictions are probabilities.

    Examples
    --------
    >>> y = np.tile([0.0, 1.0], 500)
    >>> new = np.arange(1000) < 500
    >>> good, bad = np.where(y == 1, 0.8, 0.2), np.where(y == 1, 0.7, 0.3)
    >>> found = floors("log_loss", y, np.where(new, 0.5, good), bad, among={"new": new}, groups=range(1000), seed=0)
    >>> [one.is_broken for one in found]
    [True, False]
    """
    truth, ours, other = (np.asarray(values, dtype=np.float64) for values in (y, candidate, reference))
    customers = np.asarray(groups)
    judged = {name: rows for name, rows in among.items() if rows.sum() >= LEAST_ROWS and np.ptp(truth[rows]) > 0}
    level = 1 - (1 - LEVEL) / max(1, len(judged))
    found = []
    for name, rows in among.items():
        if name not in judged:
            found.append(Floor(name, int(rows.sum()), metric))
            continue
        parts = (truth[rows], ours[rows], other[rows])
        found.append(_floor(name, metric, *parts, groups=customers[rows], seed=seed, level=level))
    if metric in METRICS:
        found.append(_floor(CALIBRATION, "ece", truth, ours, other, groups=customers, seed=seed, level=LEVEL))
    return tuple(found)


def held_to(decision: Decision, found: Sequence[Floor], *, has_champion: bool) -> Decision:
    """Return the decision, taken back where a floor is broken.

    Parameters
    ----------
    decision
        The gate's, on all judged customers.
    found
        The floors of the same candidate.
    has_champion
        There is one who stays; otherwise nothing ships.
    """
    broken = [one for one in found if one.is_broken]
    if decision.decision != "promoted" or not broken:
        return decision
    worst = broken[0]
    what = worst.slice if worst.slice == CALIBRATION else f"{worst.n_rows} customers of the slice {worst.slice!r}"
    end = "the champion stays" if has_champion else "nothing ships"
    sentence = (
        f"{decision.reason}; but it is worse than the {decision.reference} in the {what}: {worst.metric} "
        f"{worst.candidate_value:.4g} against {worst.reference_value:.4g}, {len(broken)} of {len(found)} floors are "
        f"broken; {end}"
    )
    return replace(decision, decision="kept" if has_champion else "refused", reason=sentence)


def _floor(
    name: str,
    metric: str,
    y: FloatArray,
    candidate: FloatArray,
    reference: FloatArray,
    *,
    groups: npt.ArrayLike,
    seed: int,
    level: float,
) -> Floor:
    is_higher_better = {**METRICS, **AMOUNT_METRICS}[metric].is_higher_better
    if is_higher_better is None:
        raise ValueError(f"{metric} has no better direction: it is no floor")
    found = paired_difference(metric, y, candidate, reference, groups=groups, seed=seed, level=level)
    margin = CALIBRATION_MARGIN if metric == "ece" else 0.0
    is_broken = found.high < -margin if is_higher_better else found.low > margin
    return Floor(
        slice=name,
        n_rows=len(y),
        metric=metric,
        candidate_value=point(metric, y, candidate),
        reference_value=point(metric, y, reference),
        difference=found.value,
        difference_low=found.low,
        difference_high=found.high,
        is_broken=is_broken,
    )
