"""Who gets what: against every possible choice, within every limit, near the bound at any size, and its worth."""

import itertools

import numpy as np
import pandas as pd
import pytest

from models.policy import NOTHING, Limits, budget_curve, choose_arms, policy_value

COSTS = {"call": 500, "mail": 60, "text": 20}


def shop(seed, n, whole=False):
    """Return margins by customer and arm in cents."""
    rng = np.random.default_rng(seed)
    margins = rng.gamma(1.5, 300.0, (n, 3)) * [2.5, 0.8, 0.4]
    names = [f"{number:06d}" for number in range(n)]
    return pd.DataFrame(np.round(margins, -2 if whole else 0), index=names, columns=list(COSTS))


def taken(choice, costs=COSTS):
    """Return the counts of arms, and their cost."""
    counts = choice.arm.value_counts()
    return counts, sum(costs[arm] * count for arm, count in counts.items() if arm != NOTHING)


def best_of_all(margins, limits, costs=COSTS, managers=None):
    """Return the best net gain by trying every choice."""
    arms, best = [*margins.columns, None], 0.0
    for chosen in itertools.product(arms, repeat=len(margins)):
        cost = sum(costs[arm] for arm in chosen if arm)
        held = limits.budget_cents is None or cost <= limits.budget_cents
        held &= limits.n_contacts is None or sum(arm is not None for arm in chosen) <= limits.n_contacts
        held &= all(sum(arm == one for arm in chosen) <= most for one, most in limits.per_arm.items())
        for manager, most in limits.per_manager.items():
            held &= sum(arm is not None and managers[i] == manager for i, arm in enumerate(chosen)) <= most
        if held:
            gains = (margins.iloc[i][arm] - costs[arm] for i, arm in enumerate(chosen) if arm)
            best = max(best, sum(gains))
    return best


class TestExact:
    @pytest.mark.parametrize("seed", range(6))
    def test_nothing_is_better_than_what_is_chosen(self, seed):
        margins = shop(seed, 5)
        limits = Limits(budget_cents=700, per_arm={"call": 2, "mail": 1}, n_contacts=3)
        choice = choose_arms(margins, COSTS, limits)
        assert choice.net_cents == pytest.approx(best_of_all(margins, limits))
        assert choice.gap_share == pytest.approx(0, abs=1e-6)

    def test_managers_have_their_limits(self):
        margins = shop(9, 5)
        managers = pd.Series(["a", "a", "a", "b", None], index=margins.index)
        limits = Limits(budget_cents=900, per_manager={"a": 1, "b": 0})
        choice = choose_arms(margins, COSTS, limits, managers=managers)
        assert choice.net_cents == pytest.approx(best_of_all(margins, limits, managers=managers.tolist()))
        assert (choice.arm.iloc[:3] != NOTHING).sum() <= 1
        assert choice.arm.iloc[3] == NOTHING

    def test_without_limits_everybody_gets_their_best(self):
        margins = shop(1, 50)
        choice = choose_arms(margins, COSTS, Limits())
        net = margins - pd.Series(COSTS)
        expected = net.idxmax(axis=1).where(net.max(axis=1) > 0, NOTHING)
        assert choice.arm.tolist() == expected.tolist()

    def test_prices_find_nearly_what_the_exact_solver_finds(self):
        margins = shop(2, 400)
        limits = Limits(budget_cents=12_000, per_arm={"call": 15, "mail": 100}, n_contacts=150)
        exact, priced = (choose_arms(margins, COSTS, limits, is_exact=way) for way in (True, False))
        assert priced.net_cents <= exact.net_cents + 1e-6
        assert exact.net_cents <= priced.bound_cents + 1e-6
        assert priced.net_cents > 0.99 * exact.net_cents


class TestLimits:
    @pytest.mark.parametrize("is_exact", [True, False])
    @pytest.mark.parametrize("whole", [False, True], ids=["distinct", "tied"])
    def test_every_limit_holds(self, is_exact, whole):
        margins = shop(3, 300, whole)
        managers = pd.Series(np.resize(["a", "b", "c"], 300), index=margins.index)
        limits = Limits(9_000, {"call": 9, "mail": 40}, {"a": 20, "b": 30}, 90)
        choice = choose_arms(margins, COSTS, limits, managers=managers, is_exact=is_exact)
        counts, cost = taken(choice)
        assert cost == choice.cost_cents <= 9_000
        assert counts.get("call", 0) <= 9
        assert counts.get("mail", 0) <= 40
        contacted = choice.arm != NOTHING
        assert contacted.sum() <= 90
        assert contacted[managers == "a"].sum() <= 20
        assert contacted[managers == "b"].sum() <= 30
        assert choice.gap_share < 0.02

    def test_who_is_barred_or_has_no_such_arm_is_left_out(self):
        margins = shop(4, 200)
        margins.loc[margins.index[:50], "call"] = np.nan
        barred = pd.Series(True, index=margins.index[100:150])
        choice = choose_arms(margins, COSTS, Limits(), barred=barred)
        assert "call" not in set(choice.arm.iloc[:50])
        assert set(choice.arm.iloc[100:150]) == {NOTHING}
        assert (choice.arm.iloc[150:] != NOTHING).mean() > 0.5

    def test_nobody_is_contacted_at_a_loss(self):
        choice = choose_arms(shop(5, 50) * 0 + 10, COSTS, Limits(budget_cents=10**9))
        assert set(choice.arm) == {NOTHING}
        assert (choice.net_cents, choice.cost_cents, choice.gap_share) == (0, 0, 0)

    @pytest.mark.parametrize("limits", [Limits(budget_cents=0), Limits(n_contacts=0)])
    @pytest.mark.parametrize("is_exact", [True, False])
    def test_no_room_is_nobody(self, limits, is_exact):
        assert set(choose_arms(shop(6, 40), COSTS, limits, is_exact=is_exact).arm) == {NOTHING}

    def test_nobody_to_choose_for(self):
        choice = choose_arms(shop(6, 0), COSTS, Limits(budget_cents=10))
        assert choice.arm.empty
        assert choice.net_cents == 0

    def test_customers_all_alike_fill_two_channels(self):
        margins = pd.DataFrame(100.0, index=[str(i) for i in range(1_000)], columns=["x", "y"])
        choice = choose_arms(margins, {"x": 10, "y": 10}, Limits(per_arm={"x": 300, "y": 200}), is_exact=False)
        assert choice.arm.value_counts().to_dict() == {NOTHING: 500, "x": 300, "y": 200}
        assert choice.gap_share == pytest.approx(0, abs=1e-5)

    def test_impossible_questions_are_refused(self):
        margins = shop(1, 3)
        with pytest.raises(ValueError, match="0 or more"):
            Limits(budget_cents=-1)
        with pytest.raises(ValueError, match="lacking for"):
            choose_arms(margins, {"call": 1}, Limits())
        with pytest.raises(ValueError, match="lacking for"):
            choose_arms(margins, COSTS, Limits(per_arm={"fax": 1}))
        with pytest.raises(ValueError, match="one row"):
            choose_arms(pd.concat([margins, margins]), COSTS, Limits())
        with pytest.raises(ValueError, match="finite"):
            choose_arms(margins * np.inf, COSTS, Limits())


@pytest.fixture(scope="module")
def many():
    return shop(7, 60_000)


class TestAtScale:
    def test_the_gap_is_below_a_tenth_of_a_percent(self, many):
        managers = pd.Series(np.resize([f"m{i}" for i in range(20)], len(many)), index=many.index)
        limits = Limits(2_000_000, {"call": 2_000, "mail": 10_000}, {f"m{i}": 1_000 for i in range(20)}, 18_000)
        choice = choose_arms(many, COSTS, limits, managers=managers)
        assert choice.gap_share < 0.001
        assert choice.bound_cents >= choice.net_cents > 0
        assert "below the best there is" in str(choice)

    def test_the_order_of_rows_says_nothing(self):
        margins = shop(8, 1_200, whole=True)
        limits = Limits(budget_cents=20_000, per_arm={"call": 20})
        first = choose_arms(margins, COSTS, limits)
        second = choose_arms(margins.sample(frac=1, random_state=1), COSTS, limits)
        assert first.arm.equals(second.arm.reindex(first.arm.index))

    def test_the_budget_curve_rises_and_its_next_unit_is_its_slope(self, many):
        part = many.iloc[:5_000]
        budgets = [0, 50_000, 100_000, 101_000, 400_000, 10**9]
        table = budget_curve(part, COSTS, Limits(per_arm={"call": 400}), budgets)
        assert table["net_cents"].is_monotonic_increasing
        assert (table["cost_cents"] <= table["budget_cents"]).all()
        assert table["next_unit"].is_monotonic_decreasing
        assert table["next_unit"].iloc[-1] == pytest.approx(0, abs=1e-6)
        slope = (table["net_cents"][3] - table["net_cents"][2]) / 1_000
        assert table["next_unit"][2] == pytest.approx(slope, rel=0.15)
        # The budget is not spent where the next contact would not pay.
        assert table["cost_cents"].iloc[-1] < 10**9


def trial(seed, n=2_000):
    """Return a trial of three arms with unequal known chances, the effect of each arm and out-of-fold expectations."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    truth = pd.DataFrame({"nothing": x, "mail": x + 1 - x, "call": x + 0.5 + 0.5 * x})
    chances = pd.DataFrame(np.tile([0.5, 0.3, 0.2], (n, 1)), columns=truth.columns)
    arms = pd.Series(rng.choice(truth.columns, n, p=[0.5, 0.3, 0.2]))
    outcome = truth.to_numpy()[np.arange(n), truth.columns.get_indexer(pd.Index(arms))] + rng.normal(0, 2, n)
    return truth, chances, arms, outcome


class TestValue:
    @pytest.mark.parametrize("is_known", [True, False], ids=["with models", "without"])
    def test_the_interval_holds_the_true_value_at_its_rate(self, is_known):
        best = np.mean([trial(seed, 5_000)[0].max(axis=1).mean() for seed in range(20)])
        covered = []
        for seed in range(200):
            truth, chances, arms, outcome = trial(seed, 400)
            expected = truth + 0.3 if is_known else truth * 0
            value = policy_value(truth.idxmax(axis=1), arms, outcome, expected, chances)
            covered.append(value.low <= best <= value.high)
        assert 0.915 <= np.mean(covered) <= 0.98

    def test_models_make_it_narrower(self):
        truth, chances, arms, outcome = trial(1)
        chosen = truth.idxmax(axis=1)
        wide, narrow = (policy_value(chosen, arms, outcome, truth * k, chances) for k in (0, 1))
        assert narrow.standard_error < wide.standard_error

    def test_an_arm_that_nobody_could_have_had_cannot_be_valued(self):
        truth, chances, arms, outcome = trial(1)
        with pytest.raises(ValueError, match="no chance of"):
            policy_value(arms.where(arms != "call", "fax"), arms, outcome, truth, chances)
        with pytest.raises(ValueError, match="no chance of"):
            policy_value(arms, arms, outcome, truth, chances.assign(call=0.0))
