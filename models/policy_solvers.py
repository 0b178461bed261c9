"""Solve who gets what: exactly by branch and bound, or by prices with a bound on what is missing."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, vstack

from models.effects import Floats

Ints = NDArray[np.int64]

_SAMPLE = 20_000
_ROUNDS = 120
_CLOSE = 1e-6
_NODES = 2_000
_MOST_FILLED = 200_000


@dataclass(frozen=True, eq=False)
class Problem:
    """Customers, what each arm brings them, and what is limited.

    Parameters
    ----------
    index
        Customers.
    net
        Gain in cents by customer and arm; minus infinity where an arm is closed to a customer.
    cost
        Cents per contact by arm.
    names, room, uses
        The limits that all share: their names, their size, and what a contact of each arm takes of them.
    manager
        Number of each customer's manager, -1 for none.
    capacity
        Contacts per manager.
    """

    index: pd.Index
    net: Floats
    cost: Floats
    names: tuple[str, ...]
    room: Floats
    uses: Floats
    manager: Ints
    capacity: Ints

    @property
    def n_arms(self) -> int:
        """Arms beside nothing; nothing is the number after the last arm."""
        return int(self.net.shape[1])

    def value(self, chosen: Ints) -> float:
        """Return the gain of a choice."""
        rows = np.flatnonzero(chosen < self.n_arms)
        return float(self.net[rows, chosen[rows]].sum())

    def drawn(self, chosen: Ints) -> Floats:
        """Return what a choice takes of each shared limit."""
        counts = np.bincount(chosen, minlength=self.n_arms + 1)[: self.n_arms]
        return np.asarray(self.uses @ counts, dtype=np.float64)

    def part(self, step: int) -> "Problem":
        """Return every so manieth customer, with limits in proportion."""
        share = len(self.net[::step]) / max(len(self.net), 1)
        return Problem(
            self.index[::step],
            self.net[::step],
            self.cost,
            self.names,
            self.room * share,
            self.uses,
            self.manager[::step],
            np.ceil(self.capacity * share).astype(np.int64),
        )


@dataclass(frozen=True, eq=False)
class Solution:
    """A choice (arm by customer, the number of arms for nothing), a bound on any choice, and the prices of limits."""

    chosen: Ints
    bound: float
    prices: Floats


@dataclass(frozen=True, eq=False)
class _Priced:
    """What prices lead to: the bound, its slope, the choice and what each customer's best arm brings after prices."""

    bound: float
    slope: Floats
    chosen: Ints
    worth: Floats


def exactly(problem: Problem) -> Solution:
    """Solve by HiGHS; if the search is cut short, its bound says so.

    Parameters
    ----------
    problem
        Of some hundred customers.
    """
    rows, arms = np.nonzero(problem.net > 0)
    if not len(rows):
        return _nothing(problem)
    n, m = len(problem.net), len(rows)
    columns = np.arange(m)
    parts = [csr_array((np.ones(m), (rows, columns)), shape=(n, m)), csr_array(problem.uses[:, arms])]
    mine = problem.manager[rows]
    owned = mine >= 0
    parts.append(csr_array((np.ones(owned.sum()), (mine[owned], columns[owned])), shape=(len(problem.capacity), m)))
    most = np.concatenate([np.ones(n), problem.room, problem.capacity])
    found = milp(
        -problem.net[rows, arms],
        constraints=LinearConstraint(vstack(parts), -np.inf, most),
        integrality=np.ones(m, dtype=np.int64),
        bounds=Bounds(0, 1),
        options={"node_limit": _NODES, "mip_rel_gap": _CLOSE},
    )
    prices = _least_bound(problem, np.zeros(len(problem.room)))[0]
    if found.x is None:
        return by_prices(problem)
    chosen = np.full(n, problem.n_arms)
    taken = found.x > 0.5
    chosen[rows[taken]] = arms[taken]
    return Solution(chosen, -float(found.mip_dual_bound), prices)


def by_prices(problem: Problem) -> Solution:
    """Solve by prices of the limits; the gap shrinks with the number of customers.

    Parameters
    ----------
    problem
        Of any size; a large one is first solved on a part of its customers, to begin with good prices.
    """
    if not (problem.net > 0).any():
        return _nothing(problem)
    prices = np.zeros(len(problem.room))
    if len(problem.net) > 2 * _SAMPLE:
        prices = _least_bound(problem.part(len(problem.net) // _SAMPLE), prices)[0]
    prices, priced = _least_bound(problem, prices)
    return Solution(_filled(problem, _within(problem, priced), prices), priced.bound, prices)


def _nothing(problem: Problem) -> Solution:
    return Solution(np.full(len(problem.net), problem.n_arms), 0.0, np.zeros(len(problem.room)))


def _least_bound(problem: Problem, start: Floats) -> tuple[Floats, _Priced]:
    """Return the prices of the least bound, by cutting planes (Kelley, 1960)."""
    best_prices, best = start, _priced(problem, start)
    if not len(start):
        return best_prices, best
    # No price beyond the largest gain per unit can matter.
    gain = float(problem.net[np.isfinite(problem.net)].max(initial=0.0))
    least = np.array([use[use > 0].min() if (use > 0).any() else np.inf for use in problem.uses])
    top = np.maximum(gain, 0.0) / least
    cuts, offsets = [best.slope], [best.bound - best.slope @ start]
    for _ in range(_ROUNDS):
        n = len(start)
        plane = linprog(
            np.r_[np.zeros(n), 1.0],
            A_ub=np.column_stack([np.array(cuts), -np.ones(len(cuts))]),
            b_ub=-np.array(offsets),
            bounds=[*((0.0, high) for high in top), (0.0, None)],
        )
        if plane.x is None or best.bound - float(plane.x[n]) <= _CLOSE * best.bound:
            break
        # Half way from the best prices so far: the lowest point of the planes alone jumps about.
        prices = 0.5 * best_prices + 0.5 * plane.x[:n]
        now = _priced(problem, prices)
        cuts.append(now.slope)
        offsets.append(now.bound - now.slope @ prices)
        if now.bound < best.bound:
            best_prices, best = prices, now
    return best_prices, best


def _priced(problem: Problem, prices: Floats) -> _Priced:
    """Let everybody take what is worth most after prices; managers take their best customers."""
    after = problem.net - prices @ problem.uses
    arm = after.argmax(axis=1)
    worth = after[np.arange(len(arm)), arm]
    is_in = worth > 0
    for number, places in enumerate(problem.capacity):
        mine = np.flatnonzero(is_in & (problem.manager == number))
        if len(mine) > places:
            order = mine[np.argsort(-worth[mine], kind="stable")]
            is_in[order[places:]] = False
    chosen = np.where(is_in, arm, problem.n_arms)
    bound = float(worth[is_in].sum() + prices @ problem.room)
    return _Priced(bound, problem.room - problem.drawn(chosen), chosen, worth)


def _within(problem: Problem, priced: _Priced) -> Ints:
    """Leave out whose choice is worth least after prices until every limit holds."""
    chosen, drawn = priced.chosen.copy(), problem.drawn(priced.chosen)
    over = drawn > problem.room + _CLOSE
    if not over.any():
        return chosen
    members = np.flatnonzero(chosen < problem.n_arms)
    for row in members[np.argsort(priced.worth[members], kind="stable")]:
        use = problem.uses[:, chosen[row]]
        if (use[over] > 0).any():
            drawn = drawn - use
            chosen[row] = problem.n_arms
            over = drawn > problem.room + _CLOSE
            if not over.any():
                break
    return chosen


def _filled(problem: Problem, chosen: Ints, prices: Floats) -> Ints:
    """Give what room is left to those who are left out, the best after prices first."""
    out = np.flatnonzero(chosen == problem.n_arms)
    rows, arms = np.nonzero(problem.net[out] > 0)
    rows = out[rows]
    worth = problem.net[rows, arms] - (prices @ problem.uses)[arms]
    left = problem.room - problem.drawn(chosen)
    is_manned = (chosen < problem.n_arms) & (problem.manager >= 0)
    places = problem.capacity - np.bincount(problem.manager[is_manned], minlength=len(problem.capacity))
    for at in np.argsort(-worth, kind="stable")[:_MOST_FILLED]:
        row, use, manager = rows[at], problem.uses[:, arms[at]], problem.manager[rows[at]]
        is_free = chosen[row] == problem.n_arms and (manager < 0 or places[manager] > 0)
        if is_free and (use <= left + _CLOSE).all():
            chosen[row] = arms[at]
            left = left - use
            if manager >= 0:
                places[manager] -= 1
    return chosen
