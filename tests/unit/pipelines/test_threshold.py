"""From which chance on a contact pays: costs decide, not a half, and the list agrees with it."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from models.decisions import Policy, decide
from models.profit import assumed, contact_profit, cost_threshold, expected_maximum_profit
from pipelines.settings import Money
from pipelines.threshold import COLUMNS, no_threshold, threshold_by_cost

MONEY = Money(margin_share=0.25, cost_per_contact_cents=40, retain_save_share=0.1)


def judged(n: int = 600, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1.2, 5, n)
    left = (rng.random(n) < p).astype(int)
    spend = np.where(left, 0, rng.gamma(2, 4_000, n).round()).astype(int)
    return pd.DataFrame({"has_churned": left, "spend_cents": spend}), p


def row(**money: object) -> pd.Series:
    rows, p = judged()
    return threshold_by_cost(rows, p, MONEY.model_copy(update=money), version=3, seed=1).iloc[0]


def test_the_threshold_is_where_the_assumed_gain_meets_the_cost() -> None:
    rows, _ = judged()
    value = rows.loc[rows["has_churned"] == 0, "spend_cents"].mean() * 0.25
    found = row()
    assert found["value_cents"] == pytest.approx(value)
    assert found["cost_threshold"] == pytest.approx(40 / (0.1 * value))
    assert found["cost_threshold_low"] < found["cost_threshold"] < found["cost_threshold_high"]
    assert found["cost_threshold"] < 0.5


def test_a_dearer_contact_asks_for_a_higher_chance() -> None:
    cheap, dear = row(cost_per_contact_cents=5), row(cost_per_contact_cents=80)
    assert cheap["cost_threshold"] < dear["cost_threshold"]
    assert cheap["best_threshold"] < dear["best_threshold"]
    assert cheap["best_share"] > dear["best_share"]
    assert row(cost_per_contact_cents=100_000)["cost_threshold"] > 1


def test_the_most_profit_beats_a_half_and_everybody_and_has_an_interval() -> None:
    found = row()
    assert found["profit_cents"] > max(found["half_profit_cents"], found["everybody_profit_cents"], 0)
    assert found["profit_low_cents"] < found["profit_cents"] < found["profit_high_cents"]
    assert found["best_threshold_low"] <= found["best_threshold"] <= found["best_threshold_high"]


def test_the_interval_of_the_best_threshold_holds_that_of_a_large_population() -> None:
    rows, p = judged(40_000, seed=99)
    value = rows.loc[rows["has_churned"] == 0, "spend_cents"].mean() * 0.25
    costs = assumed(value, 40, 0.1)
    truth = expected_maximum_profit(rows["has_churned"], p, costs, seed=0, n_resamples=0).threshold
    covered = 0
    for seed in range(20):
        few, said = judged(400, seed)
        best = expected_maximum_profit(few["has_churned"], said, costs, seed=seed, n_resamples=60)
        covered += best.threshold_low <= truth <= best.threshold_high
    assert covered >= 16


@pytest.mark.parametrize("left", [[1, 1, 1], [0, 0, 0], [1, 1, 0]])
def test_without_leavers_or_stayers_there_is_no_row(left: list[int]) -> None:
    rows = pd.DataFrame({"has_churned": left, "spend_cents": 100})
    found = threshold_by_cost(rows, np.full(3, 0.5), MONEY, version=1, seed=0)
    assert found.empty
    assert list(found.columns) == list(COLUMNS)
    assert (found.dtypes == no_threshold().dtypes).all()


def test_customers_who_are_worth_nothing_have_no_threshold() -> None:
    rows, p = judged()
    assert threshold_by_cost(rows.assign(spend_cents=-5), p, MONEY, version=1, seed=0).empty


@pytest.mark.parametrize("save_share", [0.0, 1.0])
def test_the_ends_of_the_assumption_still_give_numbers(save_share: float) -> None:
    found = row(retain_save_share=save_share)
    assert np.isfinite(found["cost_threshold"])


def test_the_list_retains_exactly_whom_a_contact_pays_for() -> None:
    """What is decided and what is said are one: retain where the chance exceeds the own threshold by cost."""
    rng = np.random.default_rng(4)
    n = 400
    p, value = rng.uniform(0.001, 0.6, n), rng.integers(100, 9_000, n)
    at_risk = np.round(p * value).astype(int)
    scores = pd.DataFrame(
        {
            "customer_id": [f"c{place:04d}" for place in range(n)],
            "as_of": pd.Timestamp("2024-01-01"),
            "is_eligible": True,
            "churn_probability": p,
            "churn_probability_low": p,
            "churn_probability_high": p,
            "expected_value_cents": value,
            "expected_value_low_cents": value,
            "expected_value_high_cents": value,
            "value_at_risk_cents": at_risk,
            "lifecycle_state": "active",
            "reasons": "",
        }
    )
    offers = pd.DataFrame(
        {
            "customer_id": pd.Series(dtype="str"),
            "rank": pd.Series(dtype="int64"),
            "category": pd.Series(dtype="str"),
            "acceptance_probability": pd.Series(dtype="float64"),
            "expected_margin_cents": pd.Series(dtype="int64"),
            "reason": pd.Series(dtype="str"),
        }
    )
    ids = scores["customer_id"]
    actions = decide(
        scores,
        offers,
        Policy(n_contacts=n, cost_per_contact_cents=40, save_share=0.1, extra_share=0.5),
        date(2024, 1, 1),
        arms=pd.Series("action", index=ids),
        owners=pd.Series("nobody", index=ids),
        has_consent=pd.Series(True, index=ids),
    ).set_index("customer_id")
    listed = (actions.loc[ids, "action"] == "retain").to_numpy()
    costs = assumed(1_000, 40, 0.1)
    pays = p > cost_threshold(costs, value)
    gain = contact_profit(p, costs, value)
    is_clear = np.abs(gain) > 1  # Whole cents decide nothing here.
    assert (listed == pays)[is_clear].all()
    assert listed.any()
    assert not listed.all()
    assert (p[listed] < 0.5).any(), "a threshold of a half would have missed some"
