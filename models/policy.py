"""Which customer gets which treatment, or none, when money, channels, managers and patience are limited.

Every customer takes one of several arms or nothing (a multiple-choice knapsack). An arm brings an expected margin,
takes its cost from the budget and one place of its channel, and one of the customer's manager. Small problems are
solved exactly by HiGHS; large ones by prices: each limit has one, everyone takes what is worth most after prices, and
prices are moved until the limits hold (Lagrangian relaxation; Fisher, 1981). The prices also bound what any choice
could bring, so the gap to the best is known and printed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.effects import Effect, Floats, effect_of
from models.policy_solvers import Problem, by_prices, exactly

NOTHING = "nothing"
"""The arm of who is left alone."""

EXACT = 500
"""Customers up to whom the exact solver is asked."""


@dataclass(frozen=True)
class Limits:
    """What is limited; null means that it is not.

    Parameters
    ----------
    budget_cents
        For all contacts together.
    per_arm
        Contacts by arm: the capacity of its channel.
    per_manager
        Contacts by manager.
    n_contacts
        Contacts in all.

    Raises
    ------
    ValueError
        A limit is negative.
    """

    budget_cents: int | None = None
    per_arm: Mapping[str, int] = field(default_factory=dict)
    per_manager: Mapping[str, int] = field(default_factory=dict)
    n_contacts: int | None = None

    def __post_init__(self) -> None:
        given = [self.budget_cents, self.n_contacts, *self.per_arm.values(), *self.per_manager.values()]
        if any(limit is not None and limit < 0 for limit in given):
            raise ValueError("a limit must be 0 or more")


@dataclass(frozen=True, eq=False)
class Choice:
    """The arms chosen.

    Attributes
    ----------
    arm
        Arm by customer_id, ``nothing`` for who is left alone.
    net_cents
        Expected margin minus cost of the choice.
    cost_cents
        What it costs.
    bound_cents
        No choice within the limits can bring more.
    prices
        What one more unit of each limit would bring, in cents: of the budget per cent, of places per place.
    """

    arm: pd.Series
    net_cents: float
    cost_cents: float
    bound_cents: float
    prices: Mapping[str, float]

    @property
    def gap_share(self) -> float:
        """The share of the bound that may be missing; 0 is proof of the best."""
        return 0.0 if self.bound_cents <= 0 else max(0.0, 1 - self.net_cents / self.bound_cents)

    def __str__(self) -> str:
        contacted = int((self.arm != NOTHING).sum())
        return (
            f"{contacted:,} of {len(self.arm):,} customers for {self.cost_cents / 100:,.2f}: "
            f"{self.net_cents / 100:,.2f} expected net, at most {self.gap_share:.3%} below the best there is"
        )


def choose_arms(
    margins: pd.DataFrame,
    costs: Mapping[str, float],
    limits: Limits,
    *,
    managers: pd.Series | None = None,
    barred: pd.Series | None = None,
    is_exact: bool | None = None,
) -> Choice:
    """Choose an arm or nothing for every customer so that expected margin minus cost is greatest within the limits.

    Parameters
    ----------
    margins
        Expected incremental margin in cents, one row per customer_id, one column per arm; null where an arm is not
        open to a customer (no consent for its channel, no such offer).
    costs
        Cents per contact by arm.
    limits
        What is limited.
    managers
        Manager by customer_id, where managers have limits; who has none is without limit.
    barred
        True by customer_id for who may not be contacted at all: no consent, an open complaint, contacted lately, held
        out. Absent is not barred.
    is_exact
        Whether to solve exactly; null decides by size.

    Returns
    -------
    Choice
        Equal whatever the order of the rows.

    Raises
    ------
    ValueError
        A customer_id occurs twice, a margin is infinite, an arm has no cost, or a limit names an unknown arm.

    Examples
    --------
    >>> margins = pd.DataFrame({"mail": [300, 80], "call": [900, 100]}, index=["a", "b"])
    >>> choice = choose_arms(margins, {"mail": 50, "call": 400}, Limits(budget_cents=450))
    >>> choice.arm.to_dict(), choice.net_cents
    ({'a': 'call', 'b': 'mail'}, 530.0)
    """
    problem = _problem(margins, costs, limits, managers, barred)
    exact = len(problem.net) <= EXACT if is_exact is None else is_exact
    solution = exactly(problem) if exact else by_prices(problem)
    chosen = solution.chosen
    arms = np.array([*margins.columns, NOTHING], dtype=object)
    arm = pd.Series(arms[chosen], index=problem.index, name="arm", dtype="str").reindex(margins.index)
    is_in = chosen < problem.net.shape[1]
    cost = float(problem.cost[chosen[is_in]].sum())
    net = problem.value(chosen)
    return Choice(arm, net, cost, max(solution.bound, net), dict(zip(problem.names, solution.prices, strict=True)))


def budget_curve(
    margins: pd.DataFrame,
    costs: Mapping[str, float],
    limits: Limits,
    budgets: Sequence[int],
    **who: pd.Series | None,
) -> pd.DataFrame:
    """Return what growing budgets would bring, and what the next unit of money would.

    Parameters
    ----------
    margins, costs, limits
        As for ``choose_arms``; the budget of the limits is replaced.
    budgets
        Budgets in cents.
    **who
        ``managers`` and ``barred`` as for ``choose_arms``.

    Returns
    -------
    pandas.DataFrame
        ``budget_cents``, ``cost_cents``, ``n_contacts``, ``net_cents`` (expected), ``next_unit`` (net gain of one more
        unit of money, beyond that unit itself) and ``gap_share``.
    """
    rows = []
    for budget in budgets:
        mine = Limits(int(budget), limits.per_arm, limits.per_manager, limits.n_contacts)
        found = choose_arms(margins, costs, mine, is_exact=False, **who)
        n = int((found.arm != NOTHING).sum())
        rows.append(
            (int(budget), found.cost_cents, n, found.net_cents, found.prices.get("budget", 0.0), found.gap_share)
        )
    return pd.DataFrame(
        rows, columns=["budget_cents", "cost_cents", "n_contacts", "net_cents", "next_unit", "gap_share"]
    )


def policy_value(
    chosen: pd.Series, arms: pd.Series, outcome: Floats, expected: pd.DataFrame, chances: pd.DataFrame
) -> Effect:
    """Estimate the mean outcome if everybody had been given the chosen arm, from a randomised trial (AIPW).

    The doubly robust value of a policy (Dudík, Langford and Li, 2011): what models expect, corrected by what they
    missed on customers who by lot got the very arm that the policy chooses. The policy and the models must not have
    seen the outcome of the customer.

    Parameters
    ----------
    chosen
        Arm chosen for each customer of the trial.
    arms
        Arm that each had.
    outcome
        What came of it, net of the cost of the arm where the value is to be net.
    expected
        Expected outcome of each customer under each arm, out of fold; one column per arm.
    chances
        Known chance of each arm for each customer, greater than 0 where it is chosen.

    Raises
    ------
    ValueError
        The policy chooses an arm that a customer could not have had.
    """
    columns = expected.columns.get_indexer(pd.Index(chosen))
    rows = np.arange(len(chosen))
    chance = chances[expected.columns].to_numpy(dtype=np.float64)[rows, columns]
    if (columns < 0).any() or not (chance > 0).all():
        raise ValueError("the policy chooses an arm that a customer of the trial had no chance of")
    model = expected.to_numpy(dtype=np.float64)[rows, columns]
    is_same = chosen.to_numpy() == arms.to_numpy()
    scores = model + np.where(is_same, (outcome - model) / chance, 0.0)
    return effect_of(float(scores.mean()), float(scores.var(ddof=1)) / len(scores), len(scores) - 1)


def _problem(
    margins: pd.DataFrame,
    costs: Mapping[str, float],
    limits: Limits,
    managers: pd.Series | None,
    barred: pd.Series | None,
) -> Problem:
    unknown = (set(limits.per_arm) | set(margins.columns)) - (set(margins.columns) & set(costs))
    if unknown or not margins.index.is_unique:
        raise ValueError(f"one row per customer_id, and a margin and a cost per arm, lacking for {sorted(unknown)}")
    ordered = margins.sort_index()
    net = ordered.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(net).any():
        raise ValueError("a margin must be finite or null")
    cost = np.array([float(costs[arm]) for arm in ordered.columns])
    net = np.where(np.isnan(net), -np.inf, net - cost)
    if barred is not None:
        net[barred.reindex(ordered.index).astype("boolean").fillna(value=False).to_numpy(dtype=bool)] = -np.inf
    names, room, uses = _shared_limits(limits, list(ordered.columns), cost)
    capacity = np.array(list(limits.per_manager.values()), dtype=np.int64)
    mine = np.full(len(net), -1)
    if managers is not None and len(capacity):
        mine = pd.Index(list(limits.per_manager)).get_indexer(pd.Index(managers.reindex(ordered.index)))
    return Problem(ordered.index, net, cost, names, room, uses, mine.astype(np.int64), capacity)


def _shared_limits(limits: Limits, arms: list[str], cost: Floats) -> tuple[tuple[str, ...], Floats, Floats]:
    """Return names, room and use per contact of every arm, of the limits that customers of all managers share."""
    rows: list[tuple[str, float, Floats]] = []
    if limits.budget_cents is not None:
        rows.append(("budget", float(limits.budget_cents), cost))
    if limits.n_contacts is not None:
        rows.append(("contacts", float(limits.n_contacts), np.ones(len(arms))))
    for arm, places in sorted(limits.per_arm.items()):
        rows.append((arm, float(places), np.array([float(arm == one) for one in arms])))
    names = tuple(name for name, _, _ in rows)
    return names, np.array([room for _, room, _ in rows]), np.array([use for _, _, use in rows]).reshape(-1, len(arms))
