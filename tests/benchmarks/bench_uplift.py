"""Uplift on the public trials, on the folds and with the measure of the peers, and on worlds whose truth is known.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_uplift.py
    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_uplift.py --only hillstrom

Every learner alone is shown beside what regulars does: choose one on four fifths by their own folds, apply it to the
fifth. Only the latter is judged by the gate. Best peer on the women's visit: 38.6e-4; two linear models: 36.4e-4.
``known``: ten covariates, effects that are no straight line, 8,000 customers to train on; Spearman with the true effect
on 8,000 others. ``insurance``: no effect at all, 68 covariates.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import show, warn_if_busy
from scipy import stats

from models.uplift import LEARNERS, Comparison, choose, fit, nested, out_of_fold
from models.uplift_curves import qini
from models.uplift_gate import Terms, judge_ranking

SEED = 20240601
ARMS = {"women": "Womens E-Mail", "men": "Mens E-Mail"}
PARTS = ("hillstrom", "insurance", "known", "speed")


def main() -> None:
    """Print a table for every part, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--customers", type=int, default=1_000_000)
    asked = parser.parse_args()
    warn_if_busy()
    found: dict[str, Any] = {}
    if "hillstrom" in asked.only:
        trial = pd.read_parquet(asked.data / "hillstrom" / "hillstrom.parquet")
        for arm, outcome in (("women", "visit"), ("men", "visit"), ("women", "spend"), ("men", "spend")):
            found[f"{arm} {outcome}"] = judged(f"{arm}'s mail, {outcome}", hillstrom(trial, arm, outcome))
    if "insurance" in asked.only:
        found["insurance"] = judged("insurance", insurance(asked.data))
    if "known" in asked.only:
        found["known"] = known()
    if "speed" in asked.only:
        found["speed"] = speed(asked.customers)
    print(json.dumps(found), flush=True)


def hillstrom(trial: pd.DataFrame, arm: str, outcome: str) -> Comparison:
    """Return one arm against no e-mail, with the eleven columns of the peers."""
    rows = trial[trial["segment"].isin([ARMS[arm], "No E-Mail"])]
    plain = rows[["recency", "history", "mens", "womens", "newbie"]].assign(
        log_history=np.log(rows["history"]), segment=rows["history_segment"].str[0].astype(int)
    )
    words = pd.get_dummies(rows[["zip_code", "channel"]].astype("object"), drop_first=True)
    X = pd.concat([plain, words], axis=1).to_numpy(dtype=np.float64)
    is_treated = (rows["segment"] == ARMS[arm]).to_numpy()
    return Comparison(X, rows[outcome].to_numpy(dtype=np.float64), is_treated, np.full(len(rows), 0.5))


def insurance(data: Path) -> Comparison:
    """Return the training half of the insurer's campaign, missing values at the median."""
    rows = pd.read_parquet(data / "insurance_uplift" / "train.parquet")
    X = rows.drop(columns=["TREATMENT", "PURCHASE", "UNIQUE_ID"]).apply(pd.to_numeric, errors="coerce")
    X = X.fillna(X.median()).to_numpy(dtype=np.float64)
    is_treated = rows["TREATMENT"].to_numpy(dtype=bool)
    share = np.full(len(rows), is_treated.mean())
    return Comparison(X, rows["PURCHASE"].to_numpy(dtype=np.float64), is_treated, share)


def judged(title: str, data: Comparison) -> dict[str, Any]:
    """Show every learner alone, and what the gate says of the whole procedure."""
    began = time.process_time()
    alone = {
        str(one): qini(effects, data.outcome, data.is_treated, data.propensity).effect
        for one, effects in out_of_fold(data, LEARNERS, SEED).items()
    }
    half = time.process_time()
    said = nested(data, SEED)
    report = judge_ranking(data, said, Terms(), SEED)
    rows = [(name, *ten_thousand(one)) for name, one in alone.items()]
    rows += [("regulars", *ten_thousand(report.qini)), ("response model", *ten_thousand(report.response_qini))]
    rows.append(("regulars - response model", *ten_thousand(report.minus_response)))
    show(
        f"{title}: Qini x 1e4, chosen in the folds: {', '.join(report.learners)}", ("learner", "", "low", "high"), rows
    )
    print(f"{report.answer.value}: {report.words}")
    return {
        "qini": 1e4 * report.qini.estimate,
        "low": 1e4 * report.qini.low,
        "best alone": 1e4 * max(one.estimate for one in alone.values()),
        "linear": 1e4 * alone["T, linear"].estimate,
        "answer": report.answer.value,
        "is_accepted": report.is_accepted,
        "cpu_s_all_learners": half - began,
        "cpu_s_procedure": time.process_time() - half,
    }


def ten_thousand(effect: Any) -> tuple[str, str, str]:
    """Return an effect and its interval per 10,000 customers."""
    return f"{1e4 * effect.estimate:.1f}", f"{1e4 * effect.low:.1f}", f"{1e4 * effect.high:.1f}"


def world(seed: int, n: int) -> tuple[Comparison, np.ndarray]:
    """Return a trial whose effects are known: curved, and much smaller than what drives the outcome."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10))
    baseline = 2 * np.sin(X[:, 0]) + X[:, 1] ** 2 + np.maximum(X[:, 2], 0) * 2 + X[:, 3]
    effect = 1.0 + 0.8 * np.tanh(X[:, 0]) + 0.6 * np.where(X[:, 4] > 0, 1, -1) + 0.4 * X[:, 5]
    is_treated = rng.random(n) < 0.5
    outcome = baseline + is_treated * effect + rng.normal(0, 2, n)
    return Comparison(X, outcome, is_treated, np.full(n, 0.5)), effect


def known(n_worlds: int = 3) -> dict[str, float]:
    """Show how well each learner, and the chosen one, orders customers by their true effect."""
    names = [str(one) for one in LEARNERS]
    spearman: dict[str, list[float]] = {name: [] for name in [*names, "regulars"]}
    for seed in range(n_worlds):
        train, _ = world(SEED + seed, 8_000)
        test, truth = world(SEED + 1_000 + seed, 8_000)
        models = fit(train, LEARNERS, SEED)
        for one, model in models.items():
            spearman[str(one)].append(stats.spearmanr(model.effect(test.X), truth).statistic)
        spearman["regulars"].append(stats.spearmanr(models[choose(train, SEED)].effect(test.X), truth).statistic)
    means = {name: float(np.mean(values)) for name, values in spearman.items()}
    show("known effects: Spearman with the truth", ("learner", ""), [(k, f"{v:.3f}") for k, v in means.items()])
    return means


def speed(n: int) -> dict[str, float]:
    """Show what choosing and training takes at size."""
    data, _ = world(SEED, n)
    began = time.process_time()
    best = choose(data, SEED)
    chosen = time.process_time()
    model = fit(data, LEARNERS if best.kind == "mean" else (best,), SEED)[best]
    trained = time.process_time()
    effects = model.effect(data.X)
    predicted = time.process_time()
    qini(effects, data.outcome, data.is_treated, data.propensity)
    done = time.process_time()
    took = {
        "customers": n,
        "choose_cpu_s": chosen - began,
        "train_cpu_s": trained - chosen,
        "predict_cpu_s": predicted - trained,
        "qini_cpu_s": done - predicted,
    }
    show("size", tuple(took), [tuple(f"{value:,.1f}" for value in took.values())])
    return took


if __name__ == "__main__":
    main()
