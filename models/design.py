"""Design an experiment before anybody is contacted: what it could find, what it costs, and whether it can answer.

The company's own history stands for the future: spend in the last windows, and how much of its variance spend before
them explains there, which is what CUPED (Deng and others, 2013) will save. No effect is assumed beyond the one that is
worth having.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from models.assignment import CONTROL
from models.effects import Floats
from models.verdict import money

LEVEL = 0.05
POWER = 0.8


@dataclass(frozen=True, eq=False)
class Window:
    """What customers did in one past window, and before it.

    Parameters
    ----------
    days
        Length of the window.
    outcome
        Spend in it, in cents, one finite number per customer.
    before
        What was known at its start, one row of finite numbers per customer; spend before it belongs there.
    """

    days: int
    outcome: Floats
    before: Floats


@dataclass(frozen=True)
class Plan:
    """What is planned.

    Parameters
    ----------
    shares
        Share of each arm, ``control`` among them.
    cost_cents
        Cost of a contact by arm.
    margin_share
        Margin per unit of spend.
    worth_cents
        Extra spend per customer that is worth having; null: what pays for a contact.

    Raises
    ------
    ValueError
        No control arm, shares that do not sum to 1, or a cost, margin or worth out of range.
    """

    shares: Mapping[str, float]
    cost_cents: Mapping[str, float]
    margin_share: float
    worth_cents: float | None = None

    def __post_init__(self) -> None:
        sizes = list(self.shares.values())
        if CONTROL not in self.shares or len(sizes) < 2 or min(sizes) <= 0 or not np.isclose(sum(sizes), 1):
            raise ValueError(f"shares above 0 that sum to 1, one of them of {CONTROL}, not {dict(self.shares)}")
        if not 0 < self.margin_share <= 1 or any(cost < 0 for cost in self.cost_cents.values()):
            raise ValueError("a margin in (0, 1] and costs of 0 or more")
        if self.worth_cents is not None and self.worth_cents <= 0:
            raise ValueError("an effect that is worth having is above 0")

    @property
    def treatments(self) -> tuple[str, ...]:
        """The arms that are contacted."""
        return tuple(arm for arm in self.shares if arm != CONTROL)

    def worth(self, arm: str) -> float:
        """Return the extra spend per customer that is worth having: at least what pays for the contact."""
        return max(self.worth_cents or 0.0, self.cost_cents.get(arm, 0.0) / self.margin_share)


@dataclass(frozen=True)
class ArmDesign:
    """What the comparison of one arm with control could find in one window.

    Attributes
    ----------
    arm, days
        The arm, and the length of the window.
    n_treated, n_control
        Customers.
    mean_cents
        Usual spend per customer in such a window.
    variance_saved_share
        What spend before took off the variance in the last such window.
    plain_detectable_cents, detectable_cents
        Effect that is found in four of five cases, without and with that.
    worth_cents
        Effect that is worth having; null where no cost and no wish was stated.
    power
        Chance to find that effect if it is there; null likewise.
    n_needed
        Customers in all arms that would find it in four of five cases; null likewise.
    cost_cents
        Of contacting the arm.
    """

    arm: str
    days: int
    n_treated: int
    n_control: int
    mean_cents: float
    variance_saved_share: float
    plain_detectable_cents: float
    detectable_cents: float
    worth_cents: float | None
    power: float | None
    n_needed: int | None
    cost_cents: float

    @property
    def can_answer(self) -> bool | None:
        """Whether the effect that is worth having would be found; null where nobody said what is."""
        return None if self.power is None else self.power >= POWER


@dataclass(frozen=True)
class Design:
    """What an experiment could find, by arm and length of the window.

    Attributes
    ----------
    n_customers
        Eligible customers.
    arms
        One entry per arm and window, the asked window first.
    """

    n_customers: int
    arms: tuple[ArmDesign, ...]

    @property
    def asked(self) -> tuple[ArmDesign, ...]:
        """The entries of the asked window."""
        return tuple(one for one in self.arms if one.days == self.arms[0].days)

    @property
    def can_answer(self) -> bool | None:
        """Whether every arm's question can be answered in the asked window; null where nobody said what is worth it."""
        answers = [one.can_answer for one in self.asked]
        return None if None in answers else all(answers)

    @property
    def cost_cents(self) -> float:
        """Cost of all contacts."""
        return sum(one.cost_cents for one in self.asked)

    @property
    def words(self) -> str:
        """The design in sentences, one per arm."""
        return " ".join(self._say(one) for one in self.asked)

    def _say(self, one: ArmDesign) -> str:
        compared = f"{one.arm}: {one.n_treated:,} customers against {one.n_control:,} for {one.days} days"
        usual = f"{_share(one.detectable_cents, one.mean_cents)} of the usual {money(one.mean_cents)}"
        found = (
            f"finds {money(one.detectable_cents)} more spend per customer ({usual}) in four of five cases; past spend "
            f"explains {one.variance_saved_share:.0%} of the variance, without it {money(one.plain_detectable_cents)}"
        )
        return f"{compared} {found}. {self._answer(one)}"

    def _answer(self, one: ArmDesign) -> str:
        if one.worth_cents is None or one.power is None:
            return "Nobody said which effect is worth having, nor what a contact costs."
        worth = money(one.worth_cents)
        if one.can_answer:
            return f"An effect of {worth}, which is worth having, would be found with a chance of {one.power:.0%}."
        longer = next((b for b in self.arms if b.arm == one.arm and b.can_answer), None)
        if longer is not None:
            way = f"{longer.days} days instead of {one.days} could"
        else:
            way = f"about {one.n_needed:,} customers would be needed, {self.n_customers:,} are there"
        return (
            f"These numbers cannot answer the question: an effect of {worth}, which is worth having, would be found "
            f"with a chance of {one.power:.0%} only; {way}."
        )


def design(windows: Sequence[Window], plan: Plan, n_customers: int | None = None) -> Design:
    """Say what an experiment on these customers could find.

    Parameters
    ----------
    windows
        Past windows of the same customers' history; the first is as long as the experiment is to be, others show what
        another length would bring.
    plan
        Arms, costs and the effect that is worth having.
    n_customers
        Customers who can take part now; null: as many as in the first window.

    Raises
    ------
    ValueError
        There is no window or it has fewer than two customers.
    """
    if not windows or min(len(one.outcome) for one in windows) < 2:
        raise ValueError("at least one past window of two customers")
    n = len(windows[0].outcome) if n_customers is None else n_customers
    return Design(n, tuple(_arm(one, plan, arm, n) for one in windows for arm in plan.treatments))


def _arm(window: Window, plan: Plan, arm: str, n: int) -> ArmDesign:
    n_treated, n_control = (round(n * plan.shares[one]) for one in (arm, CONTROL))
    saved = variance_saved(window.outcome, window.before)
    plain = float(window.outcome.std(ddof=1))
    deviation = plain * float(np.sqrt(1 - saved))
    level = LEVEL / len(plan.treatments)
    size = np.sqrt(1 / max(n_treated, 1) + 1 / max(n_control, 1))
    reach = stats.norm.ppf(1 - level / 2) + stats.norm.ppf(POWER)
    worth = plan.worth(arm)
    power = needed = None
    if worth > 0:
        power = float(stats.norm.sf(stats.norm.ppf(1 - level / 2) - worth / max(deviation * size, 1e-12)))
        unit = 1 / plan.shares[arm] + 1 / plan.shares[CONTROL]
        needed = int(np.ceil((reach * deviation / worth) ** 2 * unit))
    return ArmDesign(
        arm=arm,
        days=window.days,
        n_treated=n_treated,
        n_control=n_control,
        mean_cents=float(window.outcome.mean()),
        variance_saved_share=saved,
        plain_detectable_cents=float(reach * plain * size),
        detectable_cents=float(reach * deviation * size),
        worth_cents=worth or None,
        power=power,
        n_needed=needed,
        cost_cents=n_treated * plan.cost_cents.get(arm, 0.0),
    )


def variance_saved(outcome: Floats, before: Floats) -> float:
    """Return the share of the variance of an outcome that a regression on what was known before explains.

    Adjusted for the number of columns, and never below 0.

    Parameters
    ----------
    outcome
        One number per customer.
    before
        One row per customer; it may have no columns.

    Examples
    --------
    >>> variance_saved(np.array([1.0, 2.0, 3.0, 4.0]), np.array([[1.0], [2.0], [3.0], [4.0]]))
    1.0
    """
    n = len(outcome)
    centred = outcome - outcome.mean()
    total = float(centred @ centred)
    if total == 0 or before.shape[1] == 0:
        return 0.0
    columns = before - before.mean(axis=0)
    slopes, _, rank, _ = np.linalg.lstsq(columns, centred, rcond=None)
    left = float(((centred - columns @ slopes) ** 2).sum())
    freedom = n - 1 - int(rank)
    return float(np.clip(1 - left / total * (n - 1) / freedom, 0.0, 1.0)) if freedom > 0 else 0.0


def design_frame(found: Design) -> pd.DataFrame:
    """Return a design as a table, one row per arm and window.

    Parameters
    ----------
    found
        The design.
    """
    return pd.DataFrame([{**vars(one), "can_answer": one.can_answer} for one in found.arms])


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole > 0 else "of nothing"
