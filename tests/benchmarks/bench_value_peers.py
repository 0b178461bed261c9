"""Forecast purchases and spend of three public shops, against the simple rules and the models of histories.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_value_peers.py ../shared/data --only cdnow

Splits, clean-up and horizons are those of a published comparison. Every candidate is trained on earlier cut-offs; which
one serves was chosen there, and the judged cut-off is read once. Histories are fitted again to what was known at the
judged cut-off, which takes no label. Differences of the absolute error are paired, by a bootstrap over customers.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from measuring import show
from value_shops import SHOPS, Shop

from models import value
from models.evaluation import paired_difference

SEED = 20240601
MONEY = 100


def main() -> None:
    """Show one table a shop and definition of spend; the last line is the chosen ones as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=SHOPS)
    asked = parser.parse_args()
    found = {}
    for key in [asked.only] if asked.only else SHOPS:
        shop = SHOPS[key](asked.data)
        labels = ["spend_cents"] + ["sold_cents"] * bool(
            (shop.judged["sold_cents"] != shop.judged["spend_cents"]).any()
        )
        for label in labels:
            found[f"{key} {label}"] = judged(shop, label)
    print(json.dumps(found))


def judged(shop: Shop, label: str) -> dict[str, float | str]:
    """Show how every candidate did on the judged cut-off, and return what the chosen one reached."""
    train = shop.train.assign(spend_cents=shop.train[label])
    rows = shop.judged.assign(spend_cents=shop.judged[label])
    model = value.fit(train, shop.names, horizon_days=shop.train_days, seed=SEED).refreshed(rows)
    said = {name: replace(model, chosen=name) for name in value.SIMPLEST_FIRST if name in model.backtested}
    said = {name: one for name, one in said.items() if one.estimator is not None or name not in {"two_part", "blend"}}
    days = shop.judged_days
    forecasts = {name: one.forecast(rows, [days]) for name, one in said.items()}
    net, ahead = rows["spend_cents"] / MONEY, rows["purchases_ahead"]
    spend = {name: found[f"net_spend_{days}d_cents"] / MONEY for name, found in forecasts.items()}
    reached: dict[str, dict[str, float]] = {}
    table = []
    for name, found in forecasts.items():
        bought = found[f"n_purchases_{days}d"]
        gap = paired_difference("absolute_error", net, spend[name], spend["bg_nbd"], groups=rows["customer_id"], seed=1)
        reached[name] = {
            "purchases_mae": float(np.abs(ahead - bought).mean()),
            "spend_mae": float(np.abs(net - spend[name]).mean()),
            "spend_rmse": float(np.sqrt(((net - spend[name]) ** 2).mean())),
            "bias": float(spend[name].sum() / net.sum() - 1),
            "spearman": float(net.corr(spend[name], method="spearman")),
        }
        table.append([name + " *" * (name == model.chosen), *(f"{v:.3f}" for v in reached[name].values()), str(gap)])
    columns = ["candidate (* chosen)", "purchases MAE", "spend MAE", "RMSE", "bias", "Spearman", "spend MAE to BG/NBD"]
    show(f"{shop.name}, {label}, {days} days, {len(rows):,} customers", columns, table)
    scale = {f"mae_at_bias_{b:+.0%}": _scaled(net, spend[model.chosen], 1 + b) for b in (-0.15, 0.0)}
    return {"chosen": model.chosen, **reached[model.chosen], **scale, **_covered(model, rows, days)}


def _scaled(net, spend, share: float) -> float:
    """Return the error if the level of the judged window were known: what no model can learn from earlier ones."""
    return float(np.abs(net - spend * share * net.sum() / spend.sum()).mean())


def _covered(model, rows, days: int) -> dict[str, float]:
    if days != model.horizon_days:
        return {}
    found, stayed = model.forecast(rows), value.staying(rows)
    given = model.predict(stayed)
    anyone = rows["spend_cents"].between(*(found[f"net_spend_{days}d_{end}_cents"] for end in ("low", "high")))
    staying = stayed["spend_cents"].between(*(given[f"expected_spend_{end}_cents"] for end in ("low", "high")))
    return {"coverage": float(anyone.mean()), "coverage_staying": float(staying.mean())}


if __name__ == "__main__":
    main()
