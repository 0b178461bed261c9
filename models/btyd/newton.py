"""Newton's method for a handful of parameters in a box, with what its end means said in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.spec import FloatArray

Objective = Callable[[FloatArray], tuple[float, FloatArray, FloatArray]]
"""Value, gradient and matrix of second derivatives at a point."""

BOUND = 12.0
"""Logarithms of the parameters, in units of the data's own scale, stay within this distance of 0."""

_MAX_ITERATIONS = 150
_LONGEST_STEP = 3.0
_SUFFICIENT = 1e-4
_TOLERANCE = 1e-9
_RIDGE = 1e-10


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where the climb ended.

    Parameters
    ----------
    point
        The point.
    value
        Value of the objective there.
    hessian
        Second derivatives there.
    at_bound
        Which coordinates ended on the box.
    has_converged
        Whether no step within the box promised more.
    n_iterations
        Steps taken.
    """

    point: FloatArray
    value: float
    hessian: FloatArray
    at_bound: np.ndarray
    has_converged: bool
    n_iterations: int

    @property
    def is_clean(self) -> bool:
        """Whether it is a maximum within the box."""
        return self.has_converged and not self.at_bound.any()


def climb(objective: Objective, start: FloatArray) -> Maximum:
    """Return the maximum that is reached from a start.

    Directions of wrong curvature are turned round, long steps are cut, and a step must keep a share of what it
    promised, so that the climb never goes down. It ends where the next step promises less than 1e-9 of
    log-likelihood.

    Parameters
    ----------
    objective
        Value to be maximised, with gradient and second derivatives.
    start
        Point within the box.

    Returns
    -------
    Maximum
        The end, which may be on the box or not converged: it says so.
    """
    at = start.astype(np.float64)
    value, gradient, hessian = objective(at)
    for n_steps in range(_MAX_ITERATIONS):
        free = ~((np.abs(at) >= BOUND) & (gradient * at > 0))
        step, promise = _step(gradient, hessian, free)
        # Along a ridge that leaves the box, what the other coordinates would do without this one is all there is.
        while (leaves := free & (np.abs(at) >= BOUND) & (step * at > 0)).any():
            free &= ~leaves
            step, promise = _step(gradient, hessian, free)
        if promise < _TOLERANCE:
            return Maximum(at, value, hessian, np.abs(at) >= BOUND, True, n_steps)
        share, whole = 1.0, _within(at, step)
        while True:
            there = at + share * (whole - at) if share < 1 else whole
            found = objective(there)
            gain = float(gradient @ (there - at))
            # The last hair's breadth to the box promises less than rounding hides, and is taken unseen.
            if found[0] >= value + _SUFFICIENT * gain or (share == 1 and gain < _TOLERANCE):
                break
            share /= 4
            if share < _RIDGE:
                # Rounding hides what the step promised: this is as high as numbers of this size can tell.
                return Maximum(at, value, hessian, np.abs(at) >= BOUND, promise < 1e-5, n_steps)
        at, (value, gradient, hessian) = there, found
    return Maximum(at, value, hessian, np.abs(at) >= BOUND, False, _MAX_ITERATIONS)


def highest(objective: Objective, starts: Sequence[Sequence[float]]) -> Maximum:
    """Return the best of the maxima reached from several starts, the earliest among equals.

    The climb begins where the objective is highest already; the other starts follow only where it ends on the box or
    does not converge.

    Parameters
    ----------
    objective
        Value to be maximised.
    starts
        Points within the box.

    Returns
    -------
    Maximum
        The highest end.
    """
    points = [np.asarray(start, np.float64) for start in starts]
    values = [objective(point)[0] for point in points]
    order = np.argsort(-np.asarray(values), kind="stable")
    best = climb(objective, points[order[0]])
    for index in order[1:]:
        if best.is_clean:
            break
        other = climb(objective, points[index])
        # An end within the box wins over one on it that is no higher than rounding.
        if other.value > best.value + _TOLERANCE * abs(best.value) or (other.is_clean and other.value >= best.value):
            best = other
    return best


def staged(objective: Objective, rough: Objective, starts: Sequence[Sequence[float]]) -> Maximum:
    """Return the highest point, sought on some of the rows first and then from there on all of them.

    Parameters
    ----------
    objective
        Value to be maximised.
    rough
        The same of some of the rows, which costs little; the objective itself where there are few.
    starts
        Points within the box; all of them are tried on all rows where the short way ends on the box.

    Returns
    -------
    Maximum
        The highest end; its steps are those of both parts.
    """
    begin = highest(rough, starts)
    if rough is objective:
        return begin
    end = climb(objective, begin.point)
    if not end.is_clean:
        end = highest(objective, [list(end.point), *starts])
    return replace(end, n_iterations=begin.n_iterations + end.n_iterations)


def shifted(objective: Objective, by: FloatArray) -> Objective:
    """Return the objective with its origin moved, so that the box lies around the scale of the data."""
    return lambda point: objective(point + by)


def _within(at: FloatArray, step: FloatArray) -> FloatArray:
    """Return where a step ends, or meets the box: one that is bent at an edge would leave the ridge it is to follow."""
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(step == 0, np.inf, (np.copysign(BOUND, step) - at) / step)
    nearest = float(room.min())
    if nearest >= 1:
        return at + step
    return np.where(room == nearest, np.copysign(BOUND, step), at + nearest * step)


def _step(gradient: FloatArray, hessian: FloatArray, free: np.ndarray) -> tuple[FloatArray, float]:
    """Return the step uphill among the free coordinates, and the gain that it promises."""
    step = np.zeros_like(gradient)
    if not free.any():
        return step, 0.0
    curvature, directions = np.linalg.eigh(-hessian[np.ix_(free, free)])
    size = np.maximum(np.abs(curvature), _RIDGE * max(1.0, float(np.abs(curvature).max())))
    along = directions.T @ gradient[free]
    # A maximum among few customers and a saddle both promise little at once; a saddle may not end the climb.
    promise = 0.5 * float(np.sum(along**2 / size))
    step[free] = directions @ (along / size)
    longest = float(np.abs(step).max())
    return (step if longest <= _LONGEST_STEP else step * (_LONGEST_STEP / longest)), promise
