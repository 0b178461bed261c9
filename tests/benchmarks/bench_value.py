"""Fit BG/NBD to a million customers: regulars against plain fits by scipy, and peers that are installed.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_value.py
    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_value.py --customers 100000

All are measured in CPU seconds from the frame of customers to the parameters, grouping included, best of several runs.
``plain`` is what a careful hand would write: equal rows merged by pandas, the published likelihood with its gamma
functions taken once per number of purchases, L-BFGS with the analytic gradient by the logarithms of the parameters.
``simplex`` is the same without a gradient. Their maxima must be equal.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from measuring import calibration_seconds, show, show_ratios, warn_if_busy
from scipy.optimize import minimize
from scipy.special import betaln, digamma, expit, gammaln

from models.btyd import fit_bg_nbd, fit_mbg_nbd, fit_pareto_nbd

TRUTH = (0.25, 4.4, 0.8, 2.4)
LONGEST_WEEKS = 104
HORIZONS = (4, 13, 26)
FIT = tuple[np.ndarray, float]


def main() -> None:
    """Measure every way in this process, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    warn_if_busy()
    customers = histories(asked.customers)
    unit = calibration_seconds()
    ways: dict[str, Callable[[pd.DataFrame], FIT]] = {"regulars": regulars, "plain": plain, "simplex": simplex}
    if importlib.util.find_spec("lifetimes"):
        ways["lifetimes"] = lifetimes
    found = {name: best_of(1 if name == "simplex" else asked.runs, way, customers) for name, way in ways.items()}
    rows = [
        [name, f"{seconds:.2f}", f"{seconds / unit:.2f}", f"{value:.4f}", " ".join(f"{p:.4f}" for p in parameters)]
        for name, (seconds, (parameters, value)) in found.items()
    ]
    n_rows = len(customers.drop_duplicates())
    show(
        f"BG/NBD, {asked.customers:,} customers, {n_rows:,} distinct",
        ["fit", "CPU s", "units", "log-likelihood", "r, alpha, a, b"],
        rows,
    )
    top = found["regulars"][1][1]
    for name, (_, (_, value)) in found.items():
        assert abs(value - top) < 1e-7 * abs(top), name
    others = rest(customers)
    show("The rest of the room", ["what", "CPU s"], [[name, f"{seconds:.2f}"] for name, seconds in others.items()])
    seconds = {name: took for name, (took, _) in found.items()}
    ratios = {
        f"{name}_over_regulars": took / seconds["regulars"] for name, took in seconds.items() if name != "regulars"
    }
    show_ratios({"cpu_seconds": seconds["regulars"], "units": seconds["regulars"] / unit, **ratios, **others})


def rest(customers: pd.DataFrame) -> dict[str, float]:
    """Return the CPU seconds of the other fits, and of the forecasts for all horizons at once."""
    model = fit_bg_nbd(customers)
    return {
        "mbg_fit": best_of(1, fit_mbg_nbd, customers)[0],
        "pareto_fit": best_of(1, fit_pareto_nbd, customers)[0],
        "p_no_purchase_3_horizons": best_of(1, lambda rows: model.p_no_purchase(rows, HORIZONS), customers)[0],
        "expected_purchases_3_horizons": best_of(1, lambda rows: model.expected_purchases(rows, HORIZONS), customers)[
            0
        ],
    }


def best_of(n_runs: int, way: Callable[[pd.DataFrame], Any], customers: pd.DataFrame) -> tuple[float, Any]:
    """Return the least CPU seconds of several runs, and what the way gave."""
    least = float("inf")
    for _ in range(n_runs):
        began = time.process_time()
        given = way(customers)
        least = min(least, time.process_time() - began)
    return least, given


def histories(n: int) -> pd.DataFrame:
    """Tell the story of the BG/NBD in weeks, observed by the day."""
    rng = np.random.default_rng(20240601)
    r, alpha, a, b = TRUTH
    rate, chance, age = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n), rng.integers(1, 7 * LONGEST_WEEKS, n) / 7
    frequency, recency, now, going = np.zeros(n), np.zeros(n), np.zeros(n), np.arange(n)
    while len(going):
        now[going] += rng.exponential(1 / rate[going])
        going = going[now[going] <= age[going]]
        frequency[going] += 1
        recency[going] = now[going]
        going = going[rng.random(len(going)) >= chance[going]]
    in_days = np.minimum(np.ceil(recency * 7), np.rint(age * 7))
    return pd.DataFrame({"frequency": frequency, "recency": in_days / 7, "T": age})


def regulars(customers: pd.DataFrame) -> FIT:
    """Fit by regulars."""
    model = fit_bg_nbd(customers)
    assert model.warning is None
    return model.parameters, model.fit.log_likelihood


def plain(customers: pd.DataFrame) -> FIT:
    """Fit as one would with scipy: merged rows, L-BFGS, analytic gradient."""
    columns = merged(customers)
    n_customers = columns[3].sum()

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = published(point, columns)
        return -value / n_customers, -gradient / n_customers

    end = minimize(loss, np.zeros(4), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-7})
    return np.exp(end.x), -end.fun * n_customers


def simplex(customers: pd.DataFrame) -> FIT:
    """Fit without a gradient."""
    columns = merged(customers)
    end = minimize(
        lambda point: -published(point, columns, with_gradient=False)[0] / columns[3].sum(),
        np.zeros(4),
        method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-10, "maxfev": 2000},
    )
    return np.exp(end.x), -end.fun * columns[3].sum()


def merged(customers: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Merge equal customers, and number their different counts of purchases."""
    counts = customers.groupby(["frequency", "recency", "T"], sort=False).size()
    x, recency, age = (counts.index.get_level_values(i).to_numpy(float) for i in range(3))
    return x, recency, age, counts.to_numpy(float), *np.unique(x, return_inverse=True)


def published(
    point: np.ndarray, columns: tuple[np.ndarray, ...], *, with_gradient: bool = True
) -> tuple[float, np.ndarray]:
    """Return the log-likelihood of Fader, Hardie and Lee 2005, and its gradient by the logarithms of the parameters."""
    r, alpha, a, b = np.exp(point)
    x, recency, age, n, counts, which = columns
    by_count = gammaln(r + counts) - gammaln(r) + r * point[1] + betaln(a, b + counts) - betaln(a, b)
    log_age, log_recency = np.log(alpha + age), np.log(alpha + recency)
    odds = np.where(x > 0, np.log(a) - np.log(b + np.maximum(x, 1) - 1) + (r + x) * (log_age - log_recency), -np.inf)
    stayed = by_count[which] - (r + x) * log_age
    value = float((n * (stayed + np.logaddexp(0, odds))).sum())
    if not with_gradient:
        return value, np.zeros(4)
    left = expit(odds)
    both = (digamma(a + b) - digamma(a + b + counts))[which]
    by_r = (digamma(r + counts) - digamma(r))[which] + point[1] - log_age + left * (log_age - log_recency)
    by_alpha = r / alpha - (r + x) * ((1 - left) / (alpha + age) + left / (alpha + recency))
    by_a = both + left / a
    by_b = both + (digamma(b + counts) - digamma(b))[which] - np.where(x > 0, left / (b + np.maximum(x, 1) - 1), 0)
    slopes = [float((n * by).sum()) for by in (by_r, by_alpha, by_a, by_b)]
    return value, np.array(slopes) * np.exp(point)


def lifetimes(customers: pd.DataFrame) -> FIT:
    """Fit by the package lifetimes."""
    from lifetimes import BetaGeoFitter  # noqa: PLC0415

    fitter = BetaGeoFitter().fit(customers["frequency"], customers["recency"], customers["T"])
    return fitter.params_.to_numpy(), -fitter._negative_log_likelihood_ * len(customers)


if __name__ == "__main__":
    main()
