"""The gate: a candidate ships only where later data says that it is better, beyond chance."""

from dataclasses import dataclass
from typing import Literal

import numpy.typing as npt

from models.evaluation import paired_difference, point
from models.metrics import AMOUNT_METRICS, METRICS

Verdict = Literal["promoted", "refused", "kept"]


@dataclass(frozen=True)
class Decision:
    """Record one decision of the gate, with the numbers behind it.

    Parameters
    ----------
    decision
        ``promoted``: the candidate becomes champion. ``refused``: there is no champion and the candidate does not beat
        the simple rule, so nothing ships. ``kept``: there is a champion and he stays.
    reason
        One sentence for the record.
    metric
        The measure that decided.
    candidate_value
        The candidate's value on the judged rows.
    reference
        ``baseline`` or ``champion``: whom the numbers compare with.
    reference_value
        Its value on the same rows.
    difference, difference_low, difference_high
        Candidate minus reference with its paired interval.
    """

    decision: Verdict
    reason: str
    metric: str
    candidate_value: float
    reference: str
    reference_value: float
    difference: float
    difference_low: float
    difference_high: float


def decide(
    metric: str,
    y: npt.ArrayLike,
    candidate: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    groups: npt.ArrayLike,
    seed: int,
    champion: npt.ArrayLike | None = None,
) -> Decision:
    """Compare a candidate with the baseline and the champion on judged rows.

    Parameters
    ----------
    metric
        Name of a measure that has a better direction.
    y
        Labels of rows that trained neither model.
    candidate, baseline, champion
        Predictions for these rows; ``champion`` is null where there is none yet.
    groups
        Customer of each row.
    seed
        Seed of the resampling.

    Returns
    -------
    Decision
        With a champion, everything but a clear win over him is ``kept``; without one, everything but a clear win
        over the baseline is ``refused``.

    Raises
    ------
    TrainingError
        If the judged rows cannot be measured, for example because all labels are equal.

    Examples
    --------
    >>> y = [0, 1] * 50
    >>> sharp, blunt = [0.1, 0.9] * 50, [0.5] * 100
    >>> decide("brier", y, sharp, blunt, groups=range(100), seed=0).decision
    'promoted'
    >>> decide("brier", y, sharp, blunt, groups=range(100), seed=0, champion=sharp).decision
    'kept'
    """
    against = {"baseline": baseline} | ({} if champion is None else {"champion": champion})
    lost: Verdict = "refused" if champion is None else "kept"
    for reference, predicted in against.items():
        found = _compare(metric, y, candidate, predicted, reference=reference, lost=lost, groups=groups, seed=seed)
        if found.decision != "promoted":
            break
    return found


def _compare(
    metric: str,
    y: npt.ArrayLike,
    candidate: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    reference: str,
    lost: Verdict,
    groups: npt.ArrayLike,
    seed: int,
) -> Decision:
    """Compare with one reference; the decision is ``promoted`` or ``lost``."""
    is_higher_better = {**METRICS, **AMOUNT_METRICS}[metric].is_higher_better
    if is_higher_better is None:
        raise ValueError(f"{metric} has no better direction: it cannot decide")
    difference = paired_difference(metric, y, candidate, predicted, groups=groups, seed=seed)
    better, worse = difference.low > 0, difference.high < 0
    if not is_higher_better:
        better, worse = worse, better
    value, reference_value = (point(metric, y, p) for p in (candidate, predicted))
    words = "better than" if better else "worse than" if worse else "not distinguishable from"
    sentence = (
        f"candidate is {words} the {reference} on {difference.n_rows} judged customers: {metric} {_plain(value)} "
        f"against {_plain(reference_value)}, difference {_plain(difference.value, '+')} "
        f"[{_plain(difference.low, '+')}, {_plain(difference.high, '+')}]"
    )
    tail = {"promoted": "", "refused": "; nothing ships", "kept": "; the champion stays"}
    decision: Verdict = "promoted" if better else lost
    return Decision(
        decision=decision,
        reason=sentence + tail[decision],
        metric=metric,
        candidate_value=value,
        reference=reference,
        reference_value=reference_value,
        difference=difference.value,
        difference_low=difference.low,
        difference_high=difference.high,
    )


def _plain(value: float, sign: str = "") -> str:
    """Print a share with four decimals and an amount with none."""
    return f"{value:{sign},.0f}" if abs(value) >= 100 else f"{value:{sign}.4f}"
