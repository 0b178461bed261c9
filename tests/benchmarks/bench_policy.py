"""The choice of arms at size: what it takes, how near to the bound it is, and what the value of a policy is worth.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_policy.py
    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_policy.py --customers 100000 --worlds 50

``scale``: three arms, a budget, places per arm, a cap on contacts, with and without fifty managers. ``exact``: the same
at 500 customers against HiGHS. ``worlds``: a trial of two treatments is drawn, effects are learned on one half, a
policy within a budget is chosen for the other half, and its doubly robust value is held against the truth: how often
the interval holds it, and how much of the best policy's gain, of who knows every effect, is earned.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import pandas as pd
from measuring import show, warn_if_busy
from scipy import stats

from models.policy import NOTHING, Limits, choose_arms, policy_value
from models.uplift import Comparison, Learner, fit

COSTS = {"call": 500, "mail": 60, "text": 20}
TRIAL_COSTS = {"call": 150.0, "mail": 40.0}
SEED = 20240601


def main() -> None:
    """Print a table for every part, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--worlds", type=int, default=200)
    asked = parser.parse_args()
    warn_if_busy()
    found: dict[str, Any] = {f"{n} managers": scale(asked.customers, n) for n in (0, 50)}
    show(
        f"{asked.customers:,} customers, three arms",
        ("", "CPU s", "gap to the bound"),
        [(name, f"{one['cpu_s']:.1f}", f"{one['gap_share']:.5%}") for name, one in found.items()],
    )
    found["exact"] = exact()
    found["worlds"] = worlds(asked.worlds)
    print(json.dumps(found), flush=True)


def shop(seed: int, n: int) -> pd.DataFrame:
    """Return margins by customer and arm in cents."""
    margins = np.random.default_rng(seed).gamma(1.5, 300.0, (n, 3)) * [2.5, 0.8, 0.4]
    return pd.DataFrame(margins, index=[f"{number:07d}" for number in range(n)], columns=list(COSTS))


def limits(n: int, n_managers: int) -> Limits:
    """Return limits that all bind or nearly do."""
    per_manager = {f"m{number}": n // (3 * n_managers) for number in range(n_managers)}
    return Limits(30 * n, {"call": n // 25, "mail": n // 5}, per_manager, int(0.45 * n))


def scale(n: int, n_managers: int) -> dict[str, float]:
    """Return what a choice takes, and its gap to the bound."""
    margins = shop(SEED, n)
    managers = pd.Series(np.resize([f"m{i}" for i in range(max(n_managers, 1))], n), index=margins.index)
    began = time.process_time()
    choice = choose_arms(margins, COSTS, limits(n, n_managers), managers=managers if n_managers else None)
    took = time.process_time() - began
    print(choice)
    return {"cpu_s": took, "gap_share": choice.gap_share, "net_cents": choice.net_cents}


def exact(n: int = 500, n_shops: int = 10) -> dict[str, float]:
    """Return how far prices stay behind the exact solver at small size, on average and at worst."""
    behind = []
    for seed in range(n_shops):
        margins = shop(seed, n)
        best, priced = (choose_arms(margins, COSTS, limits(n, 0), is_exact=way) for way in (True, False))
        behind.append(1 - priced.net_cents / best.net_cents)
    found = {"mean_behind_share": float(np.mean(behind)), "worst_behind_share": float(np.max(behind))}
    show(f"prices against HiGHS, {n} customers", tuple(found), [tuple(f"{value:.4%}" for value in found.values())])
    return found


def trial(rng: np.random.Generator, n: int) -> tuple[np.ndarray, pd.Series, np.ndarray, dict[str, np.ndarray]]:
    """Return what was known, arms by lot, margin in cents and the true effect of each treatment."""
    X = rng.normal(size=(n, 5))
    effects = {"mail": 60 + 80 * X[:, 0], "call": 120 + 100 * np.maximum(X[:, 1], 0) - 60 * X[:, 0]}
    arms = pd.Series(rng.choice([NOTHING, "mail", "call"], n, p=[0.4, 0.3, 0.3]))
    margin = 300 + 120 * X[:, 2] + rng.normal(0, 250, n)
    for arm, effect in effects.items():
        margin += np.where(arms == arm, effect, 0.0)
    return X, arms, margin, effects


def worlds(n_worlds: int, n: int = 3_000) -> dict[str, float]:
    """Return coverage of the policy's value, and what share of the best possible gain is earned within the budget."""
    covered, earned = [], []
    for seed in range(n_worlds):
        rng = np.random.default_rng(SEED + seed)
        X, arms, margin, _ = trial(rng, n)
        models = {}
        for arm in TRIAL_COSTS:
            rows = arms.isin([arm, NOTHING]).to_numpy()
            data = Comparison(X[rows], margin[rows], (arms[rows] == arm).to_numpy(), np.full(rows.sum(), 0.3 / 0.7))
            learner = Learner("X", "linear", "linear")
            models[arm] = fit(data, [learner], SEED)[learner]
        base = np.linalg.lstsq(np.c_[np.ones(n), X][arms == NOTHING], margin[arms == NOTHING], rcond=None)[0]
        X2, arms2, margin2, effects2 = trial(rng, n)
        told = pd.DataFrame({arm: model.effect(X2) for arm, model in models.items()})
        within = Limits(budget_cents=int(30 * n))
        mine = choose_arms(told, TRIAL_COSTS, within, is_exact=False)
        best = choose_arms(pd.DataFrame(effects2), TRIAL_COSTS, within, is_exact=False)
        truth = pd.DataFrame({**effects2, NOTHING: np.zeros(n)}) - pd.Series({**TRIAL_COSTS, NOTHING: 0.0})
        gain = truth.to_numpy()[np.arange(n), truth.columns.get_indexer(pd.Index(mine.arm))]
        cost2 = arms2.map({**TRIAL_COSTS, NOTHING: 0.0}).to_numpy(dtype=float)
        expected = pd.DataFrame({NOTHING: np.c_[np.ones(n), X2] @ base})
        for arm, cost in TRIAL_COSTS.items():
            expected[arm] = expected[NOTHING] + told[arm] - cost
        chances = pd.DataFrame(np.tile([0.4, 0.3, 0.3], (n, 1)), columns=[NOTHING, "mail", "call"])
        value = policy_value(mine.arm, arms2, margin2 - cost2, expected, chances[expected.columns])
        expected_value = float(np.mean(300 + 120 * X2[:, 2] + gain))
        covered.append(value.low <= expected_value <= value.high)
        earned.append(gain.sum() / best.net_cents)
    low, high = stats.binomtest(int(sum(covered)), n_worlds).proportion_ci(0.95, "wilson")
    found = {
        "coverage": float(np.mean(covered)),
        "coverage_low": float(low),
        "coverage_high": float(high),
        "earned_share_of_best": float(np.mean(earned)),
    }
    show(f"value of a policy in {n_worlds} worlds", tuple(found), [tuple(f"{value:.3f}" for value in found.values())])
    return found


if __name__ == "__main__":
    main()
