"""A realistic synthetic night, seeded: nothing here is a real customer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.report.night import COLUMNS, Night

N_CUSTOMERS = 2469
N_CONTACTS = 300
_CATEGORIES = ["soft drinks", "fluid milk", "baked bread", "cheese", "yogurt", "tropical fruit", "frozen pizza", "beef"]
_TABLES = (
    "observations scores rules offers campaign_verdicts actions model_decisions quality quarantine reconciliation "
    "churn_metrics calibration base_rates purchase_gaps offer_quality"
)
_CAMPAIGNS = {"8": (135, 12, 135), "13": (148, 21, 151), "18": (137, -4, 136)}


def _scores(rng: np.random.Generator) -> pd.DataFrame:
    state = rng.choice(["new", "active", "slipping", "lapsed"], N_CUSTOMERS, p=[0.04, 0.72, 0.17, 0.07])
    eligible = state != "lapsed"
    risk = np.where(state == "slipping", rng.beta(3, 5, N_CUSTOMERS), rng.beta(1.1, 18, N_CUSTOMERS))
    value = rng.lognormal(8.2, 0.8, N_CUSTOMERS).round()
    frame = pd.DataFrame(
        {
            "customer_id": [str(number) for number in range(1, N_CUSTOMERS + 1)],
            "is_eligible": eligible,
            "churn_probability": np.where(eligible, risk, np.nan),
            "churn_probability_low": np.where(eligible, risk * 0.7, np.nan),
            "churn_probability_high": np.where(eligible, np.minimum(1, risk * 1.35), np.nan),
            "lifecycle_state": state,
        }
    )
    frame["expected_value_cents"] = pd.Series(np.where(eligible, value, np.nan)).astype("Int64")
    frame["value_at_risk_cents"] = (frame["churn_probability"] * frame["expected_value_cents"]).round().astype("Int64")
    return frame


def _actions(rng: np.random.Generator, scores: pd.DataFrame) -> pd.DataFrame:
    gain = (scores["value_at_risk_cents"].astype("float64").fillna(0) * 0.1 + rng.exponential(180, N_CUSTOMERS)).round()
    held = rng.random(N_CUSTOMERS) < 0.1
    order = gain.mask(held, 0).rank(ascending=False, method="first").astype(int)
    chosen = order <= N_CONTACTS
    kind = np.where(scores["churn_probability"].fillna(0) > 0.25, "retain", "cross_sell")
    action = np.where(chosen, kind, "leave_alone")
    category = rng.choice(_CATEGORIES, N_CUSTOMERS)
    reasons = [
        f"Last visit {rng.integers(9, 60)} days ago, usually every {rng.integers(3, 9)}"
        if doing == "retain"
        else f"Buys {_CATEGORIES[place % 8]}, which goes with {thing}"
        if doing == "cross_sell"
        else None
        for place, (doing, thing) in enumerate(zip(action, category, strict=True))
    ]
    return pd.DataFrame(
        {
            "customer_id": scores["customer_id"],
            "action": action,
            "arm": np.where(held, "holdout", np.where(chosen, "action", "none")),
            "expected_net_value_cents": pd.Series(np.where(chosen, gain - 60, 0)).astype("Int64"),
            "expected_net_value_low_cents": pd.Series(np.where(chosen, gain * 0.3 - 60, 0).round()).astype("Int64"),
            "expected_net_value_high_cents": pd.Series(np.where(chosen, gain * 1.9 - 60, 0).round()).astype("Int64"),
            "category": np.where(action == "cross_sell", category, None),
            "reasons": pd.Series(reasons, dtype="object"),
            "due_on": np.where(chosen, date(2018, 1, 2 + 0), None),
            "owner": np.where(chosen, rng.choice(["A. Novak", "unassigned"], N_CUSTOMERS), "unassigned"),
            "priority": pd.Series(np.where(chosen, order, np.nan)).astype("Int64"),
        }
    )


def _rules(rng: np.random.Generator) -> pd.DataFrame:
    pairs = [(a, b) for a in _CATEGORIES for b in _CATEGORIES if a < b]
    lift = rng.gamma(6, 0.3, len(pairs)) + 0.8
    return pd.DataFrame(
        {
            "antecedents": [f"{a} + fluid milk" if place % 5 == 0 else a for place, (a, _) in enumerate(pairs)],
            "consequents": [b for _, b in pairs],
            "support": rng.uniform(0.01, 0.05, len(pairs)),
            "confidence": rng.uniform(0.1, 0.5, len(pairs)),
            "lift": lift,
            "conviction": np.where(lift > 3, np.inf, 1.2),
            "n_orders": rng.integers(900, 9000, len(pairs)),
            "q_value": rng.uniform(0, 0.01, len(pairs)),
            "adjusted_lift": lift,
            "confirmed_lift": lift * 0.96,
            "confirmed_adjusted_lift": lift * 0.97,
            "is_confirmed": lift > 2.0,
        }
    )


def _verdicts() -> pd.DataFrame:
    rows = [
        {
            "campaign_id": key,
            "name": f"Type A, campaign {key}",
            "is_randomised": False,
            "n_treated": 1076 + int(key),
            "n_control": 1380,
            "naive_cents": naive * 100,
            "effect_cents": effect * 100,
            "effect_low_cents": effect * 100 - 2300,
            "effect_high_cents": effect * 100 + 2500,
            "placebo_cents": placebo * 100,
            "placebo_low_cents": placebo * 100 - 1900,
            "placebo_high_cents": placebo * 100 + 1900,
            "propensity_auc": 0.83,
            "extreme_share": 0.04,
            "verdict": "not proven",
            "words": "The groups differed just as much before the campaign began, so nothing is proven either way.",
        }
        for key, (naive, effect, placebo) in _CAMPAIGNS.items()
    ]
    return pd.DataFrame(rows)


def _measures() -> dict[str, pd.DataFrame]:
    models = {"candidate chosen": 0.866, "logistic": 0.858, "recency": 0.801}
    metrics = {
        "auc": 1.0,
        "pr_auc": 0.52,
        "brier": 0.07,
        "calibration_slope": 1.12,
        "top_decile_lift": 5.2,
        "ece": 0.012,
    }
    rows = [
        (model, metric, auc * factor, auc * factor * 0.98, auc * factor * 1.02)
        for model, auc in models.items()
        for metric, factor in metrics.items()
    ]
    said = np.array([0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.19, 0.28, 0.41, 0.62])
    seen = said * np.array([1.1, 0.9, 1.05, 0.95, 1.1, 0.97, 0.92, 1.08, 0.96, 0.75])
    days = np.arange(0, 91)
    offers = [
        ("ease", "recall_at_10", 0.072, 0.066, 0.078),
        ("popularity", "recall_at_10", 0.066, 0.060, 0.072),
        ("ease minus popularity", "ndcg_at_10", 0.006, 0.003, 0.009),
        ("ease", "hit_share", 0.31, 0.29, 0.33),
    ]
    return {
        "metrics": pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high"]),
        "calibration": pd.DataFrame(
            {"predicted": said, "observed": seen, "low": seen * 0.8, "high": np.minimum(1, seen * 1.2 + 0.01), "n": 230}
        ),
        "base_rates": pd.DataFrame(
            {
                "as_of": pd.to_datetime([f"2017-{month:02d}-01 04:00:00" for month in range(5, 12)]),
                "n_eligible": range(2210, 2280, 10),
                "churned_share": [0.101, 0.094, 0.092, 0.099, 0.088, 0.085, 0.091],
            }
        ),
        "gaps": pd.DataFrame({"days": days, "share_returned": 1 - np.exp(-days / 9.5)}),
        "offer_quality": pd.DataFrame(
            offers,
            columns=["method", "metric", "value", "low", "high"],
        ),
    }


def _record() -> dict[str, pd.DataFrame]:
    decisions = pd.DataFrame(
        {
            "model": ["churn", "offers"],
            "candidate_version": [1, 1],
            "champion_version": [None, None],
            "decision": ["promoted", "refused"],
            "reason": [
                "better than days since the last purchase on later data",
                "the interval of the difference contains 0",
            ],
            "metric": ["log_loss", "ndcg_at_10"],
            "candidate_value": [0.212, 0.104],
            "reference": ["baseline", "baseline"],
            "reference_value": [0.247, 0.101],
            "difference": [-0.035, 0.003],
            "difference_low": [-0.044, -0.002],
            "difference_high": [-0.026, 0.008],
            "mlflow_run_id": ["a1b2", "a1b2"],
        }
    )
    quality = pd.DataFrame(
        [
            ("transactions", "amount without quantity", "reject", 1_469_307, 49, False, "12.52 in all"),
            ("transactions", "product is known", "warning", 1_469_307, 4834, False, "kept; category unknown"),
            ("transactions", "order_id is present", "reject", 1_469_307, 0, True, ""),
            ("customers", "customer_id is unique", "critical", 2469, 0, True, None),
        ],
        columns=["table_name", "expectation", "severity", "n_rows", "n_failed", "is_passed", "detail"],
    )
    reconciliation = pd.DataFrame(
        [
            ("customers", 2469, 2469, 0, 0, None, None, None, None),
            ("products", 92331, 92331, 0, 0, None, None, None, None),
            ("transactions", 1_469_307, 1_469_258, 49, 0, 459_603_958, 459_602_706, 1252, 0),
            ("campaigns", 27, 27, 0, 0, None, None, None, None),
            ("contacts", 6589, 6589, 0, 0, None, None, None, None),
        ],
        columns=[name for name in COLUMNS["reconciliation"] if "refused" not in name],
    ).assign(n_refused=0, refused_cents=0)
    return {"model_decisions": decisions, "quality": quality, "reconciliation": reconciliation}


def _offers(rng: np.random.Generator, scores: pd.DataFrame) -> pd.DataFrame:
    frame = scores.loc[scores.index.repeat(3), ["customer_id"]].reset_index(drop=True)
    frame["rank"] = np.tile([1, 2, 3], N_CUSTOMERS)
    frame["category"] = rng.choice(_CATEGORIES, len(frame), p=np.array([30, 20, 16, 12, 9, 7, 4, 2]) / 100)
    frame["acceptance_probability"] = rng.beta(2, 8, len(frame))
    frame["expected_margin_cents"] = rng.integers(20, 400, len(frame))
    frame["reason"] = "goes with what they buy"
    return frame


def sample_night(seed: int = 7) -> Night:
    """Return the synthetic night."""
    rng = np.random.default_rng(seed)
    scores = _scores(rng)
    months = [f"2017-{month:02d}" for month in range(1, 13)]
    sales = (380_000 + rng.normal(0, 14_000, 12)).round().astype("int64") * 100
    return Night(
        run_key="9f31c07be2d4a611",
        as_of=datetime.fromisoformat("2018-01-01T05:00:00"),
        as_of_on=date(2018, 1, 1),
        timezone="America/New_York",
        currency="$",
        company="Complete Journey (demo)",
        code_digest="c0ffee12",
        mlflow_run_id="6f1e0c2b9d7a4e35",
        horizon_days=28,
        versions={name: place for place, name in enumerate(_TABLES.split(), 1)},
        stage_seconds={"validate": 11.2, "features": 8.4, "train": 21.9, "score": 3.1, "decide": 0.9, "publish": 1.4},
        scores=scores,
        rules=_rules(rng),
        offers=_offers(rng, scores),
        campaign_verdicts=_verdicts(),
        actions=_actions(rng, scores),
        sales_by_month=pd.DataFrame(
            {"month": months, "sales_cents": sales, "n_customers": 2400, "n_orders": rng.integers(11_000, 14_000, 12)}
        ),
        texts={
            "horizon_reason": "28 days: 95 of 100 pauses between purchases are shorter, so silence means something.",
            "value_assumption": "a margin of 25 % of sales, 60 cents a contact, and 1 in 10 kept by a contact; "
            "none of these is measured yet.",
            "rules_survived": "31 of 412 candidate rules survived",
        },
        **_measures(),
        **_record(),
    )


@pytest.fixture(scope="session")
def night() -> Night:
    """Return the synthetic night; it is frozen and its frames must not be changed in place."""
    return sample_night()


@pytest.fixture(scope="session")
def small_night(night: Night) -> Night:
    """Return the synthetic night of the first 200 customers, for tests that write much."""
    parts = {name: getattr(night, name) for name in ("scores", "actions", "offers")}
    return replace(night, **{name: frame[frame["customer_id"].astype(int) <= 200] for name, frame in parts.items()})


@pytest.fixture(scope="session")
def empty_night(night: Night) -> Night:
    """Return a night on which nothing was found: every frame is empty and every optional part is absent."""
    frames = {name: value.iloc[:0] for name, value in vars(night).items() if isinstance(value, pd.DataFrame)}
    return replace(night, **frames, texts={}, versions={}, stage_seconds=None, mlflow_run_id="")


@pytest.fixture
def changed(night: Night) -> Callable[..., Night]:
    """Return a function that makes a night with some cells of a frame's first row replaced."""

    def change(frame: str, **cells: Any) -> Night:
        table = getattr(night, frame).copy()
        for column, value in cells.items():
            table[column] = table[column].astype("object")
            table.loc[table.index[0], column] = value
        return replace(night, **{frame: table})

    return change
