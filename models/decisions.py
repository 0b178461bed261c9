"""Decide for every customer whom to contact tomorrow, why, and whom to leave alone.

The value of a contact is money that would otherwise be lost or not come, times the share of it that a contact is
assumed to move, minus the cost of the contact. No campaign has measured that share yet, so it is a stated assumption
of the policy and every row says so in ``basis``; the holdout will tell. Intervals carry the uncertainty of the scores
through, not that of the assumption.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.holdout import HOLDOUT
from models.verdict import money

RETAIN, CROSS_SELL, LEAVE_ALONE = "retain", "cross_sell", "leave_alone"

_TEXTS = ("customer_id", "action", "arm", "category", "reasons", "basis", "owner")
_VALUES = ("expected_net_value_cents", "expected_net_value_low_cents", "expected_net_value_high_cents")
_COLUMNS = (
    "customer_id",
    "as_of",
    "action",
    "arm",
    *_VALUES,
    "category",
    "reasons",
    "basis",
    "due_on",
    "owner",
    "priority",
)


@dataclass(frozen=True)
class Policy:
    """The terms on which customers are contacted.

    Attributes
    ----------
    n_contacts
        The budget: at most so many customers are contacted.
    cost_per_contact_cents
        What one contact costs.
    save_share
        Assumed share of the leaving customers whom a contact keeps.
    extra_share
        Assumed purchases that a contact adds, per purchase of the offers that would come anyway.
    n_offers
        Offers that one message carries.
    retain_within_days, cross_sell_within_days
        Local days from the run to the day a contact is due.

    Raises
    ------
    ValueError
        If the budget, the cost or a time is negative, a share is outside [0, 1], or a message carries no offer.
    """

    n_contacts: int
    cost_per_contact_cents: int
    save_share: float = 0.1
    extra_share: float = 0.1
    n_offers: int = 3
    retain_within_days: int = 3
    cross_sell_within_days: int = 7

    def __post_init__(self) -> None:
        amounts = (self.n_contacts, self.cost_per_contact_cents, self.retain_within_days, self.cross_sell_within_days)
        if not all(amount >= 0 for amount in amounts):
            raise ValueError("the budget, the cost of a contact and the days until it is due must be 0 or more")
        if self.n_offers < 1:
            raise ValueError("a message must carry an offer at least")
        if not (0 <= self.save_share <= 1 and 0 <= self.extra_share <= 1):
            raise ValueError("save_share and extra_share must lie in [0, 1]")

    def basis(self, action: str) -> str:
        """Return the assumption that the value of an action rests on, in words."""
        if action == RETAIN:
            return f"assumes that a contact keeps {self.save_share:.0%} of those who would leave; {_UNMEASURED}"
        return f"assumes that a contact adds {self.extra_share:.0%} to the purchases that come anyway; {_UNMEASURED}"


_UNMEASURED = "no uplift is measured yet, the holdout will tell"

Selector = Callable[[pd.DataFrame, Policy], pd.Series]


def by_net_value(candidates: pd.DataFrame, policy: Policy) -> pd.Series:
    """Choose the contacts that earn most under a budget of contacts.

    Every contact takes one unit of the budget and every customer at most one contact, so the best action of each
    customer, in descending order of net value until the budget is spent, is the exact optimum. Ties go to the smaller
    customer_id and the first action in alphabetical order.

    Parameters
    ----------
    candidates
        One row per customer and admissible action: ``customer_id``, ``action``, ``expected_net_value_cents`` > 0.
    policy
        The budget.

    Returns
    -------
    pandas.Series
        The priority (1, 2, ...) of the chosen rows, indexed as the candidates; at most one row per customer.
    """
    order = ["expected_net_value_cents", "customer_id", "action"]
    ranked = candidates.sort_values(order, ascending=[False, True, True])
    chosen = ranked.drop_duplicates("customer_id").head(policy.n_contacts)
    return pd.Series(range(1, len(chosen) + 1), index=chosen.index, dtype="Int64")


def decide(
    scores: pd.DataFrame,
    offers: pd.DataFrame,
    policy: Policy,
    today: date,
    *,
    arms: pd.Series,
    owners: pd.Series | None = None,
    has_consent: pd.Series | None = None,
    barriers: Mapping[str, pd.Series] | None = None,
    select: Selector = by_net_value,
) -> pd.DataFrame:
    """Return the table ``actions``: exactly one action per customer of the scores.

    "retain" is worth the share assumed to be saved times the value at risk, minus the cost; its interval multiplies the
    ends of the intervals of churn probability and expected value in every combination and takes the outermost, which
    holds at least 90 % of the time if each holds 95 %. "cross_sell" is worth the share assumed to be extra times the
    expected margin of the best offers, minus the cost; its interval runs from "none accepted" to "all accepted".
    "leave_alone" is worth 0 by definition.

    Parameters
    ----------
    scores
        The published scores of one ``as_of``.
    offers
        The published offers of that ``as_of``; ``expected_margin_cents`` already counts the acceptance probability.
    policy
        Budget, costs and assumptions.
    today
        The local date of the run; dates due count from it.
    arms
        Arm of the universal holdout by customer_id; a customer without an arm counts as held out.
    owners
        Account manager by customer_id; null or absent is "unassigned".
    has_consent
        Consent to marketing by customer_id; null or absent is no consent. None where nobody needs it.
    barriers
        Reason in words, such as "contacted in the last 14 days", to flag by customer_id; absent is not flagged.
    select
        Chooses among the admissible actions; replace it where more than the number of contacts is limited.

    Returns
    -------
    pandas.DataFrame
        The columns of ``actions`` and ``basis``; contacts by priority, then the others by customer_id.

    Raises
    ------
    ValueError
        If a customer_id occurs twice in the scores, the scores hold more than one ``as_of``, a number of scores or
        offers is infinite, or a probability is outside [0, 1].
    """
    _check_numbers("scores", scores)
    _check_numbers("offers", offers)
    customers = scores.set_index("customer_id").sort_index()
    if not customers.index.is_unique or customers["as_of"].nunique() > 1:
        raise ValueError("scores must hold one row per customer_id and one as_of")
    in_holdout = arms.reindex(customers.index).fillna(HOLDOUT) == HOLDOUT
    barred = _barred(customers, in_holdout, has_consent, barriers or {})
    values = pd.concat([_retain(customers, policy), _cross_sell(customers, offers, policy)], ignore_index=True)
    is_admissible = values["customer_id"].map(barred).isna() & (values["expected_net_value_cents"] > 0)
    candidates = values[is_admissible]
    contacts = candidates.join(select(candidates, policy).rename("priority"), how="inner").set_index("customer_id")
    assert contacts.index.is_unique, "a selector chose two actions for one customer"
    contacts["reasons"] = _with_money(contacts, customers["value_at_risk_cents"])
    left = _left_alone(barred, contacts.index, values["customer_id"], candidates["customer_id"])
    actions = pd.concat([contacts, left]).reindex(contacts.index.append(left.index))
    return _published(actions, customers, in_holdout=in_holdout, owners=owners, policy=policy, today=today)


def _check_numbers(name: str, frame: pd.DataFrame) -> None:
    """Refuse what no model should have said; null is what it says where it knows nothing."""
    for column in frame.columns[frame.columns.str.contains("_cents|probability")]:
        values = frame[column].to_numpy(dtype="float64", na_value=np.nan)
        if np.isinf(values).any():
            raise ValueError(f"{name} must be finite, not infinite in {column}")
        if "probability" in column and ((values < 0) | (values > 1)).any():
            raise ValueError(f"{name} must hold probabilities in [0, 1], not others in {column}")


def _barred(
    customers: pd.DataFrame,
    in_holdout: pd.Series,
    has_consent: pd.Series | None,
    barriers: Mapping[str, pd.Series],
) -> pd.Series:
    """Return why each customer may not be contacted at all, null where nothing forbids it; the first reason wins."""
    flags = {"in the holdout": in_holdout}
    if has_consent is not None:
        flags = {"no consent": ~_flag(has_consent, customers.index)} | flags
    flags |= {reason: _flag(flag, customers.index) for reason, flag in barriers.items()}
    flags["already lapsed"] = customers["lifecycle_state"] == "lapsed"
    barred = pd.Series(None, index=customers.index, dtype="str")
    for reason, flag in flags.items():
        barred = barred.mask(barred.isna() & flag, reason)
    return barred


def _flag(flag: pd.Series, customer_ids: pd.Index) -> pd.Series:
    return flag.astype("boolean").reindex(customer_ids).fillna(value=False).astype(bool)


def _retain(customers: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    risk_ends = ["churn_probability_low", "churn_probability_high"]
    worth_ends = ["expected_value_low_cents", "expected_value_high_cents"]
    scored = customers.dropna(subset=["value_at_risk_cents", *risk_ends, *worth_ends])
    risks = scored[risk_ends].to_numpy(dtype=float)
    worths = scored[worth_ends].to_numpy(dtype=float)
    corners = (risks[:, :, np.newaxis] * worths[:, np.newaxis, :]).reshape(len(scored), 4)
    at_risk = scored["value_at_risk_cents"].to_numpy(dtype=float)
    return pd.DataFrame(
        {
            "customer_id": scored.index,
            "action": RETAIN,
            **_net(at_risk, corners.min(axis=1), corners.max(axis=1), policy.save_share, policy),
            "category": pd.Series(None, index=range(len(scored)), dtype="str"),
            "reasons": scored["reasons"].astype("str").to_numpy(),
        }
    )


def _cross_sell(customers: pd.DataFrame, offers: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Value one message with the offers of highest margin of each customer; equal offers by rank."""
    is_known = customers.index.get_indexer(pd.Index(offers["customer_id"])) >= 0
    known = offers[is_known & offers["expected_margin_cents"].notna()]
    order = ["customer_id", "expected_margin_cents", "rank"]
    best = known.sort_values(order, ascending=[True, False, True]).groupby("customer_id").head(policy.n_offers)
    margin = best["expected_margin_cents"].to_numpy(dtype=float)
    accepted = best["acceptance_probability"].to_numpy(dtype=float)
    if_accepted = np.divide(margin, accepted, out=margin.copy(), where=accepted > 0)
    best = best.assign(margin=margin, low=np.minimum(if_accepted, 0), high=np.maximum(if_accepted, 0))
    message = best.groupby("customer_id", sort=True).agg(
        margin=("margin", "sum"),
        low=("low", "sum"),
        high=("high", "sum"),
        category=("category", " + ".join),
        reasons=("reason", "; ".join),
    )
    gain, low, high = (message[name].to_numpy(dtype=float) for name in ("margin", "low", "high"))
    return pd.DataFrame(
        {
            "customer_id": message.index,
            "action": CROSS_SELL,
            **_net(gain, low, high, policy.extra_share, policy),
            "category": message["category"].to_numpy(),
            "reasons": message["reasons"].to_numpy(),
        }
    )


def _net(
    gain: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], moved_share: float, policy: Policy
) -> dict[str, NDArray[np.int64]]:
    ends = (gain, np.minimum(low, gain), np.maximum(high, gain))
    net = [np.rint(moved_share * end).astype("int64") - policy.cost_per_contact_cents for end in ends]
    return dict(zip(_VALUES, net, strict=True))


def _with_money(contacts: pd.DataFrame, at_risk: pd.Series) -> list[str]:
    """Return the reasons of the contacts; those to retain end with the money."""
    told = []
    for action, reasons, cents in zip(
        contacts["action"], contacts["reasons"].fillna(""), at_risk.reindex(contacts.index), strict=True
    ):
        stake = f"{money(cents)} of margin at risk" if action == RETAIN else ""
        told.append("; ".join(filter(None, (reasons, stake))))
    return told


def _left_alone(barred: pd.Series, contacted: pd.Index, valued: pd.Series, worthwhile: pd.Series) -> pd.DataFrame:
    """Return the rows of all who are not contacted, each with its own reason."""
    reasons = pd.Series("the budget is spent on customers worth more", index=barred.index, dtype="str")
    reasons = reasons.mask(~_among(barred.index, worthwhile), "expected gain below the cost of contact")
    reasons = reasons.mask(~_among(barred.index, valued), "neither a churn score nor an offer")
    reasons = barred.fillna(reasons)[~_among(barred.index, contacted)]
    return pd.DataFrame({"action": LEAVE_ALONE, "reasons": reasons, **dict.fromkeys(_VALUES, 0)}, index=reasons.index)


def _among(customer_ids: pd.Index, chosen: pd.Series | pd.Index) -> NDArray[np.bool_]:
    """Flag the customers that are among the chosen; ``isin`` on text takes ten times as long."""
    flags = np.zeros(len(customer_ids), dtype=bool)
    flags[customer_ids.get_indexer(pd.Index(chosen))] = True
    return flags


def _published(
    actions: pd.DataFrame,
    customers: pd.DataFrame,
    *,
    in_holdout: pd.Series,
    owners: pd.Series | None,
    policy: Policy,
    today: date,
) -> pd.DataFrame:
    is_contact = actions["action"] != LEAVE_ALONE
    days = {RETAIN: policy.retain_within_days, CROSS_SELL: policy.cross_sell_within_days}
    due = {action: today + timedelta(days=within) for action, within in days.items()}
    owned = pd.Series(dtype="str") if owners is None else owners.astype("str")
    actions = actions.assign(
        as_of=customers["as_of"].reindex(actions.index).astype("datetime64[us]"),
        arm=np.select([is_contact, in_holdout.reindex(actions.index)], ["action", HOLDOUT], "none"),
        basis=actions["action"].map({action: policy.basis(action) for action in days}),
        due_on=actions["action"].map(due).astype("object").where(is_contact, None),
        owner=owned.reindex(actions.index).fillna("unassigned"),
        priority=actions["priority"].astype("Int64"),
    )
    actions = (
        actions.rename_axis("customer_id").reset_index().sort_values(["priority", "customer_id"], ignore_index=True)
    )
    return actions.astype(dict.fromkeys(_TEXTS, "str") | dict.fromkeys(_VALUES, "int64"))[list(_COLUMNS)]
