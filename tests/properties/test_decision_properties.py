"""Catalogue rows O13 and M13: messages of several offers within every constraint, and no odd number let through."""

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decisions import Policy, decide

AS_OF, TODAY = datetime(2018, 1, 1, 5), date(2018, 1, 1)
CENTS = ("expected_value_cents", "expected_value_low_cents", "expected_value_high_cents", "value_at_risk_cents")


def scores_of(risks: list[float | None], values: list[int]) -> pd.DataFrame:
    """Return scores of customers c00, c01, ...; a risk of None is a customer who is not eligible."""
    rows = [
        {
            "customer_id": f"c{number:02d}",
            "as_of": AS_OF,
            "churn_probability": risk,
            "churn_probability_low": None if risk is None else risk * 0.7,
            "churn_probability_high": None if risk is None else min(1.0, risk * 1.3),
            "expected_value_cents": value,
            "expected_value_low_cents": value // 2,
            "expected_value_high_cents": value * 2,
            "value_at_risk_cents": None if risk is None else round(risk * value),
            "lifecycle_state": "active",
            "reasons": "stays away longer than usual",
        }
        for number, (risk, value) in enumerate(zip(risks, values, strict=True))
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(CENTS, "Int64"))


def offers_of(margins: list[list[int]]) -> pd.DataFrame:
    """Return the offers of customers c00, c01, ... by rank, each category with a name of its own."""
    columns = ["customer_id", "as_of", "rank", "category", "acceptance_probability", "expected_margin_cents", "reason"]
    rows = [
        (f"c{number:02d}", AS_OF, rank, f"K{number}.{rank}", 0.9 / rank, margin, f"reason {number}.{rank}")
        for number, own in enumerate(margins)
        for rank, margin in enumerate(own, start=1)
    ]
    return pd.DataFrame(rows, columns=columns)


def decided(scores: pd.DataFrame, offers: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    arms = pd.Series("action", index=scores["customer_id"])
    return decide(scores, offers, policy, TODAY, arms=arms).set_index("customer_id")


@st.composite
def nights(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame, Policy]:
    n = draw(st.integers(1, 8))
    risks = draw(st.lists(st.none() | st.floats(0, 1), min_size=n, max_size=n))
    values = draw(st.lists(st.integers(0, 10**6), min_size=n, max_size=n))
    margins = draw(st.lists(st.lists(st.integers(-500, 10**5), max_size=5), min_size=n, max_size=n))
    budget, cost, extra = draw(st.integers(0, 9)), draw(st.integers(0, 900)), draw(st.floats(0, 1))
    policy = Policy(budget, cost, n_offers=draw(st.integers(1, 4)), extra_share=extra)
    return scores_of(risks, values), offers_of(margins), policy


@settings(max_examples=40, deadline=None, derandomize=True)
@given(nights())
def test_a_message_carries_the_best_offers_of_its_customer_and_no_more_than_allowed(night):
    scores, offers, policy = night
    actions = decided(scores, offers, policy)
    for customer, row in actions[actions["action"] == "cross_sell"].iterrows():
        own = offers[offers["customer_id"] == customer].sort_values(
            ["expected_margin_cents", "rank"], ascending=[False, True]
        )
        best = own.head(policy.n_offers)
        assert row["category"] == " + ".join(best["category"])
        assert row["reasons"] == "; ".join(best["reason"])
        assert row["expected_net_value_cents"] == pytest.approx(
            policy.extra_share * best["expected_margin_cents"].sum() - policy.cost_per_contact_cents, abs=1
        )
    assert actions.loc[actions["action"] == "retain", "category"].isna().all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(nights())
def test_the_contacts_are_worth_at_least_as_much_as_any_other_choice_of_one_action_each(night):
    scores, offers, policy = night
    within = decided(scores, offers, policy)
    free = decided(scores, offers, replace(policy, n_contacts=len(scores)))
    best = free["expected_net_value_cents"].nlargest(policy.n_contacts)
    assert within["expected_net_value_cents"].sum() == best.sum()
    assert (within["expected_net_value_cents"] >= 0).all()
    assert (within["action"] != "leave_alone").sum() <= policy.n_contacts


@pytest.mark.parametrize("factor", [100, 7])
def test_another_unit_of_money_changes_no_choice(factor):
    """With amounts that leave no half cents: those are rounded once, in whatever unit."""
    rng = np.random.default_rng(3)
    scores = scores_of((rng.integers(0, 11, 40) / 10).tolist(), (rng.integers(0, 50, 40) * 1_000).tolist())
    offers = offers_of((rng.integers(0, 50, (40, 3)) * 100).tolist())
    actions = decided(scores, offers, Policy(20, 150))
    dearer = scores.assign(**{name: scores[name] * factor for name in CENTS})
    deals = offers.assign(expected_margin_cents=offers["expected_margin_cents"] * factor)
    others = decided(dearer, deals, Policy(20, 150 * factor))
    assert set(actions["action"]) == {"retain", "cross_sell", "leave_alone"}
    assert (others["expected_net_value_cents"] == actions["expected_net_value_cents"] * factor).all()
    same = ["action", "arm", "category", "due_on", "owner", "priority"]
    pd.testing.assert_frame_equal(others[same], actions[same])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(nights())
def test_names_of_customers_decide_ties_alone(night):
    scores, offers, policy = night
    values = decided(scores, offers, policy)["expected_net_value_cents"]
    renamed = {name: f"z{99 - int(name[1:])}" for name in scores["customer_id"]}
    other = decided(
        scores.assign(customer_id=scores["customer_id"].map(renamed)),
        offers.assign(customer_id=offers["customer_id"].map(renamed)),
        policy,
    )["expected_net_value_cents"]
    assert sorted(values) == sorted(other)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(nights())
def test_a_larger_budget_keeps_every_contact_and_its_place(night):
    scores, offers, policy = night
    more = replace(policy, n_contacts=policy.n_contacts + 1)
    small, large = decided(scores, offers, policy), decided(scores, offers, more)
    contacted = small.index[small["action"] != "leave_alone"]
    pd.testing.assert_frame_equal(small.loc[contacted], large.loc[contacted])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(nights())
def test_a_dearer_contact_is_never_made_to_more_people(night):
    scores, offers, policy = night
    dear = replace(policy, cost_per_contact_cents=policy.cost_per_contact_cents + 500)
    cheap, costly = decided(scores, offers, policy), decided(scores, offers, dear)
    assert (costly["action"] != "leave_alone").sum() <= (cheap["action"] != "leave_alone").sum()
    assert (costly["expected_net_value_cents"].sum()) <= cheap["expected_net_value_cents"].sum()


ONE = scores_of([0.5], [10_000])
DEALS = offers_of([[5_000, 4_000]])


@pytest.mark.parametrize("odd", [float("inf"), float("-inf"), 1.5, -0.5])
@pytest.mark.parametrize("column", ["churn_probability", "churn_probability_low", "churn_probability_high"])
def test_a_probability_that_is_none_is_refused(column, odd):
    with pytest.raises(ValueError, match=rf"scores must .*{column}$"):
        decided(ONE.assign(**{column: odd}), DEALS, Policy(1, 1))


@pytest.mark.parametrize("odd", [float("inf"), float("-inf")])
@pytest.mark.parametrize("column", CENTS)
def test_infinite_money_is_refused_and_not_published_as_the_largest_integer(column, odd):
    with pytest.raises(ValueError, match=rf"scores must be finite, not infinite in {column}"):
        decided(ONE.assign(**{column: odd}), DEALS, Policy(1, 1))


@pytest.mark.parametrize(("column", "odd"), [("acceptance_probability", 1.1), ("expected_margin_cents", float("inf"))])
def test_odd_offers_are_refused(column, odd):
    with pytest.raises(ValueError, match=rf"offers must .*{column}$"):
        decided(ONE, DEALS.assign(**{column: odd}), Policy(1, 1))


@pytest.mark.parametrize("column", ["churn_probability_low", "expected_value_high_cents", "value_at_risk_cents"])
def test_an_unknown_part_of_a_score_leaves_the_customer_unscored(column):
    unknown = ONE.astype({column: "object"}).assign(**{column: None})
    row = decided(unknown, DEALS.head(0), Policy(1, 1)).loc["c00"]
    assert (row["action"], row["reasons"]) == ("leave_alone", "neither a churn score nor an offer")


def test_an_offer_of_unknown_margin_is_not_made():
    offers = DEALS.assign(expected_margin_cents=[np.nan, 4_000.0])
    row = decided(scores_of([None], [0]), offers, Policy(1, 1)).loc["c00"]
    assert row["category"] == "K0.2"


@pytest.mark.parametrize(
    "terms",
    [{"n_offers": 0}, {"n_offers": -1}, {"cost_per_contact_cents": float("nan")}, {"retain_within_days": -1}],
    ids=str,
)
def test_terms_that_make_no_sense_are_refused(terms):
    with pytest.raises(ValueError, match="must"):
        Policy(**({"n_contacts": 1, "cost_per_contact_cents": 1} | terms))
