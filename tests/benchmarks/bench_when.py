"""When customers leave and what is at risk: coverage over many worlds, and the cost for a million customers.

Run alone: ``python tests/benchmarks/bench_when.py [n_worlds] [n_customers]``. The last line is one JSON object.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from models import hazard  # noqa: E402
from models.accounts import concentration  # noqa: E402
from models.rfm import rfm  # noqa: E402
from models.value_at_risk import value_at_risk  # noqa: E402

HORIZON_DAYS = 28


def followed() -> ModuleType:
    """Return the module of the tests that follows customers of a simulated shop."""
    spec = importlib.util.spec_from_file_location("followed", ROOT / "tests" / "followed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def coverage(n_worlds: int) -> dict[str, float]:
    """Return how often intervals of groups hold what is seen, and how far curves are from the truth."""
    told = followed()
    rows = []
    for seed in range(n_worlds):
        world = told.world(1_000 + seed)
        model = hazard.fit(told.training(world, n_dates=7), horizon_days=HORIZON_DAYS)
        tonight = told.seen_from(world, told.NOW_DAY, told.WORLD_DAYS)
        groups = pd.cut(tonight["recency_days"], [-1, 7, 14, 28, 56], labels=list("abcd")).astype(str)
        truth = pd.DataFrame(told.true_curves(world, tonight["customer_id"], model.edges), columns=model.edges)
        silent = pd.DataFrame({edge: ~(tonight["event_days"] < edge) for edge in model.edges})
        found = model.group_curves(tonight, groups).set_index(["group", "days"])
        share = silent.groupby(groups).mean().stack().reindex(found.index)
        exact = truth.groupby(groups).mean().stack().reindex(found.index)
        ends = (found["silent_share_low"], found["silent_share_high"])
        rows.append(
            {
                "seen_inside": share.between(*ends).mean(),
                "truth_inside": exact.between(*ends).mean(),
                "bias": (found["silent_share"] - exact).mean(),
                "distance_per_customer": np.abs(model.curves(tonight).to_numpy() - truth.to_numpy()).mean(),
                "width": (ends[1] - ends[0]).mean(),
            }
        )
    return {name: round(float(value), 4) for name, value in pd.DataFrame(rows).mean().items()}


def cost(n_customers: int) -> dict[str, float]:
    """Return CPU seconds for so many customers."""
    told = followed()
    world = told.world(1, 2_000)
    train = told.training(world)
    model, fit_seconds = _timed(lambda: hazard.fit(train, horizon_days=HORIZON_DAYS))
    few = told.seen_from(world, told.NOW_DAY, told.WORLD_DAYS)
    many = few.sample(n_customers, replace=True, random_state=1, ignore_index=True)
    rng = np.random.default_rng(1)
    p, value = rng.uniform(0.02, 0.6, n_customers), rng.gamma(2, 4_000, n_customers)
    scores = pd.DataFrame(
        {
            "churn_probability": p,
            "churn_probability_low": p * 0.8,
            "churn_probability_high": p * 1.2,
            "expected_value_cents": value,
            "expected_value_low_cents": value * 0.2,
            "expected_value_high_cents": value * 2.5,
        }
    )
    groups = pd.Series(rng.choice(["a", "b", "c", "d"], n_customers))
    money = pd.DataFrame({"recency_days": many["recency_days"], "n_orders_364d": rng.poisson(4, n_customers)})
    money["spend_364d_cents"] = value
    work = {
        "curves": lambda: model.curves(many, scores["churn_probability"]),
        "group_curves": lambda: model.group_curves(many, groups, scores["churn_probability"]),
        "value_at_risk": lambda: value_at_risk(scores, groups, seed=1),
        "rfm": lambda: rfm(money),
        "concentration": lambda: concentration(scores["expected_value_cents"]),
    }
    seconds = {f"{name}_cpu_seconds": round(_timed(do)[1], 2) for name, do in work.items()}
    return {"n_customers": n_customers, "fit_rows": len(train), "fit_cpu_seconds": round(fit_seconds, 2), **seconds}


def _timed(work):
    began = time.process_time()
    done = work()
    return done, time.process_time() - began


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    result = {"coverage": coverage(given[0] if given else 40), "cost": cost(given[1] if len(given) > 1 else 1_000_000)}
    print(json.dumps(result))
