"""Churn against its peers on exactly their splits, and what training and scoring a million customers take.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_churn.py
    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_churn.py --only telco --splits 25
    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_churn.py --only speed --customers 100000 300000

Flat tables: 25 repeated stratified splits, means over them; differences to the logistic regression with the corrected
interval of Nadeau and Bengio. Panels: trained on the published cut-offs, judged once on the later one; differences to
``hgb_small`` with an interval from resampled customers. ``regulars`` is chosen by training rows alone. Peers are
scikit-learn's: gradient boosting as configured by the peers before any result was seen, by default, logistic
regression, four features, a random forest. ``one theme`` is the same model where all features may interact, which
leaves one reason for everything. ``ceiling`` moves the level of ``regulars`` to the judged date's own base rate, which
nobody knows beforehand.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import churn_splits as splits
import numpy as np
import pandas as pd
from measuring import show, warn_if_busy
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from features.registry import FEATURES
from models import churn
from models.churn_reasons import effects, reasons
from models.churn_table import LabelledTable
from models.evaluation import paired_difference
from models.inputs import INPUTS
from models.metrics import METRICS
from pipelines.phrases import PHRASES

SEED = splits.SEED
MEASURES = ("auc", "pr_auc", "top_decile_lift", "brier", "log_loss", "ece")
TARGETS = {
    "telco": "auc >= .849, log loss <= .411, ece <= .022",
    "retail": "auc > .744, brier < .198, ece <= .03",
    "grocer": "auc > .863, brier < .090, ece <= .015",
}
FLAT = {"telco": splits.telco, "bank": splits.bank, "cards": splits.cards}
PANELS = {"retail": splits.retail, "grocer": splits.grocer}
THEMES = churn.themes_by_family({feature.name: feature.family for feature in FEATURES.values()})
Say = Callable[[pd.DataFrame, np.ndarray, pd.DataFrame], np.ndarray]


def main() -> None:
    """Print a table for every data set, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--only", nargs="+", choices=[*FLAT, *PANELS, "speed"], default=[*FLAT, *PANELS, "speed"])
    parser.add_argument("--splits", type=int, default=25)
    parser.add_argument("--customers", type=int, nargs="+", default=[100_000, 300_000])
    asked = parser.parse_args()
    warn_if_busy()
    # The peers' linear model is run as it was: it does not always settle in its steps.
    warnings.filterwarnings("ignore", category=UserWarning)
    found: dict[str, Any] = {}
    for name in asked.only:
        if name in FLAT:
            found[name] = flat(name, FLAT[name](asked.data), asked.splits)
        elif name in PANELS:
            found[name] = panel(name, PANELS[name](asked.data))
        else:
            found[name] = speed(asked.customers)
    print(json.dumps(found), flush=True)


def measured(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return every measure of one prediction."""
    once = np.ones((1, len(y)))
    return np.array([METRICS[name].function(y.astype(float), p, once)[0] for name in MEASURES])


def small(**options: Any) -> HistGradientBoostingClassifier:
    """Return the peers' small regularised boosting."""
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_leaf_nodes=8,
        max_iter=150,
        min_samples_leaf=50,
        l2_regularization=1.0,
        max_features=0.6,
        early_stopping=False,
        random_state=SEED,
        **options,
    )


def peers(names: Sequence[str], categories: Sequence[str]) -> dict[str, Any]:
    """Return the peers' estimators."""
    numbers = [name for name in names if name not in categories]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    filled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    linear = ColumnTransformer([("number", filled, numbers), ("word", encoder, list(categories))])
    plain = ColumnTransformer(
        [("number", SimpleImputer(keep_empty_features=True), numbers), ("word", encoder, list(categories))]
    )
    codes = [name in categories for name in names]
    return {
        "logistic": make_pipeline(linear, LogisticRegression(max_iter=1000)),
        "hgb_small": small(categorical_features=codes),
        "hgb default": HistGradientBoostingClassifier(random_state=SEED, categorical_features=codes),
        "forest, leaf 20": make_pipeline(plain, RandomForestClassifier(400, min_samples_leaf=20, random_state=SEED)),
    }


def fitted(estimator: Any, names: Sequence[str]) -> Say:
    """Return a function that trains a peer and predicts."""

    def say(train: pd.DataFrame, y: np.ndarray, test: pd.DataFrame) -> np.ndarray:
        return estimator.fit(train[list(names)].astype(float), y).predict_proba(test[list(names)].astype(float))[:, 1]

    return say


def flat(name: str, table: LabelledTable, n_splits: int) -> dict[str, Any]:
    """Judge every model on the same splits of a flat table."""
    y = table.frame["has_churned"].to_numpy()
    ways: dict[str, Say] = {
        peer: fitted(one, table.names) for peer, one in peers(table.names, table.categories).items()
    }
    chosen: list[str] = []

    def regulars(train: pd.DataFrame, _: np.ndarray, test: pd.DataFrame, **options: Any) -> np.ndarray:
        model = churn.fit(train, table.names, seed=SEED, categories=table.categories, **options)
        chosen.append(model.chosen)
        return model.predict(test)["churn_probability"].to_numpy()

    ways["regulars, one theme"] = lambda *rows: regulars(*rows, themes=dict.fromkeys(table.names, "all"))
    ways["regulars"] = regulars
    kept = splits.stratified_splits(y)[:n_splits]
    found = {
        way: np.array(
            [measured(y[test], say(table.frame.iloc[train], y[train], table.frame.iloc[test])) for train, test in kept]
        )
        for way, say in ways.items()
    }
    rows = [
        [way, *_digits(values.mean(axis=0)), corrected(values[:, 0] - found["logistic"][:, 0])]
        for way, values in found.items()
    ]
    show(f"{name}, {len(kept)} splits; {TARGETS.get(name, '')}", ["model", *MEASURES, "auc - logistic [95 %]"], rows)
    print("chosen:", {one: chosen.count(one) for one in sorted(set(chosen))}, flush=True)
    return {
        way: dict(zip(MEASURES, values.mean(axis=0).round(4).tolist(), strict=True)) for way, values in found.items()
    }


def corrected(differences: np.ndarray, test_to_train: float = 0.25) -> str:
    """Return mean and interval of paired differences over repeated splits (Nadeau and Bengio 2003)."""
    n = len(differences)
    if n < 2:
        return f"{differences.mean():+.4f}"
    error = np.sqrt((1 / n + test_to_train) * differences.var(ddof=1))
    half = stats.t.ppf(0.975, n - 1) * error
    return f"{differences.mean():+.4f} [{differences.mean() - half:+.4f}, {differences.mean() + half:+.4f}]"


def panel(name: str, data: splits.Panel) -> dict[str, Any]:
    """Judge every model once on the later cut-off of a panel."""
    y, truth = data.train["has_churned"].to_numpy(), data.test["has_churned"].to_numpy()
    own = [one for one in data.own_names if data.train[one].notna().any()]
    said: dict[str, np.ndarray] = {}
    rfm = [f"peer_{one}" for one in splits.RFM]
    for peer, one in peers(data.peer_names, ()).items():
        said[peer] = fitted(one, data.peer_names)(data.train, y, data.test)
    said["RFM logistic"] = fitted(make_pipeline(StandardScaler(), LogisticRegression()), rfm)(data.train, y, data.test)
    said["hgb_small, catalogue"] = fitted(small(), own)(data.train, y, data.test)
    sets = {"regulars": [one for one in INPUTS if one in own], "regulars, catalogue": own}
    told = {}
    for way, names in sets.items():
        candidates = churn.fit_candidates(data.train, names, seed=SEED, themes=THEMES, horizon_days=data.horizon_days)
        best = churn.choose(candidates)
        said[way] = best.predict(data.test)["churn_probability"].to_numpy()
        told[way] = f"{best.chosen}; warning: {best.warning}; {best.season.told(data.test['as_of'].iloc[0])}"
        if way == "regulars":
            said |= {
                f"  {one}": model.predict(data.test)["churn_probability"].to_numpy()
                for one, model in candidates.items()
            }
    mixed = churn.fit(
        data.train, sets["regulars"], seed=SEED, themes=dict.fromkeys(own, "all"), horizon_days=data.horizon_days
    )
    said["regulars, one theme"] = mixed.predict(data.test)["churn_probability"].to_numpy()
    said["ceiling of regulars"] = levelled(said["regulars"], float(truth.mean()))
    rows = [
        [way, *_digits(measured(truth, p)), against(truth, p, said["hgb_small"], data.test["customer_id"])]
        for way, p in said.items()
    ]
    title = f"{name}: {len(y):,} rows, {len(truth):,} judged, {truth.mean():.1%} churn; {TARGETS[name]}"
    show(title, ["model", *MEASURES, "log loss - hgb_small [95 %]"], rows)
    for way, words in told.items():
        print(f"{way}: {words}", flush=True)
    return {way: dict(zip(MEASURES, measured(truth, p).round(4).tolist(), strict=True)) for way, p in said.items()}


def levelled(p: np.ndarray, rate: float) -> np.ndarray:
    """Return probabilities moved on the scale of the log-odds until their mean is the rate."""
    log_odds, low, high = np.log(p / (1 - p)), -5.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if (1 / (1 + np.exp(-log_odds - middle))).mean() > rate else (middle, high)
    return 1 / (1 + np.exp(-log_odds - middle))


def against(y: np.ndarray, p: np.ndarray, other: np.ndarray, customers: pd.Series) -> str:
    """Return the paired differences of log loss and AUC with their intervals."""
    one = paired_difference("log_loss", y, p, other, groups=customers, seed=SEED)
    two = paired_difference("auc", y, p, other, groups=customers, seed=SEED)
    return f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]; auc {two.value:+.3f} [{two.low:+.3f}, {two.high:+.3f}]"


def speed(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure training on 80 features and scoring with reasons for the top tenth, in CPU seconds."""
    rows, found = [], {}
    for n in sizes:
        frame = made_up(n)
        names = [name for name in frame if name not in ("customer_id", "as_of", "has_churned")]
        began = time.process_time()
        model = churn.fit(frame, names, seed=SEED, themes=THEMES, horizon_days=28)
        trained = time.process_time() - began
        began = time.process_time()
        risk = model.predict(frame)["churn_probability"]
        scored = time.process_time() - began
        top = frame.loc[risk.nlargest(n // 10).index]
        began = time.process_time()
        reasons(effects(model.log_odds, top, model.theme_of, frame), top, PHRASES)
        explained = time.process_time() - began
        found[str(n)] = {"train": trained, "score": scored, "reasons": explained}
        rows.append([f"{n:,}", model.chosen, f"{trained:.1f}", f"{scored:.1f}", f"{explained:.1f}"])
    show("CPU seconds, 80 features", ["rows", "chosen", "train", "score all", "reasons of a tenth"], rows)
    return found


def made_up(n: int) -> pd.DataFrame:
    """Return rows of four dates with 80 features of the catalogue's names; some matter."""
    rng = np.random.default_rng(SEED)
    names = [*INPUTS, *(name for name in FEATURES if name not in INPUTS)][:80]
    columns = {name: np.round(rng.gamma(2.0, 20.0, n), 2) for name in names}
    columns["tenure_days"] = np.round(columns["recency_days"] + rng.gamma(2, 90, n))
    columns["n_purchase_days"] = 1.0 + rng.poisson(columns["tenure_days"] / 40)
    columns["recency_days"] = np.round(columns["recency_days"])
    risk = -1.5 + 0.02 * columns["recency_days"] - 0.01 * columns["n_orders_28d"] + 0.3 * np.sin(columns["spend_trend"])
    dates = pd.date_range("2024-01-01", periods=4, freq="28D")
    frame = pd.DataFrame(columns)
    return frame.assign(
        customer_id=[f"c{i // 4:08d}" for i in range(n)],
        as_of=dates[np.arange(n) % 4],
        has_churned=(rng.random(n) < 1 / (1 + np.exp(-risk))).astype(int),
    )


def _digits(values: np.ndarray) -> list[str]:
    return [f"{value:.4f}" for value in values]


if __name__ == "__main__":
    main()
