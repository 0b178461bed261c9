"""Baskets: which categories sell together and survive the tests, and what to offer each household next."""

from dataclasses import asdict
from datetime import timedelta

import pandas as pd
import pyarrow as pa

from data.errors import TrainingError
from features.extracts import basket_lines
from models.basket import encode_baskets
from models.evaluation import Estimate
from models.offers import plan_offers
from models.rules import RuleReport, mine_rules
from models.trials import OfferReport
from pipelines.frames import to_table
from pipelines.run import Run, Versions
from pipelines.train import read_horizon

TABLES = ("rules", "rule_counts", "offers", "offer_quality")


def sell_together(run: Run, versions: Versions) -> dict[str, int]:
    """Mine, test and confirm rules, and rank offers; write both with their quality."""
    return run.stage("baskets", TABLES, lambda: _mined(run, versions))


def _mined(run: Run, versions: Versions) -> dict[str, pa.Table]:
    tables = run.people(versions)
    lines = basket_lines(tables, run.as_of).to_pyarrow().to_pandas()
    settings = run.settings.baskets
    first_at = lines["event_time"].min() if len(lines) else pd.Timestamp(run.as_of)
    confirm_from = run.as_of - timedelta(days=round((run.as_of - first_at).days * settings.confirm_share))
    rules, counts = mine_rules(encode_baskets(lines), run.as_of, confirm_from, min_support=settings.min_support)
    offers, quality = _offered(run, versions, lines, rules)
    return {
        "rules": to_table(rules, run.as_of),
        "rule_counts": to_table(_counts(counts), run.as_of),
        "offers": to_table(offers, run.as_of),
        "offer_quality": to_table(quality, run.as_of),
    }


def _offered(
    run: Run, versions: Versions, lines: pd.DataFrame, rules: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the offers and how well they would have done; none of either where nobody takes up anything new."""
    try:
        offers, report = plan_offers(
            lines,
            rules,
            run.as_of,
            horizon_days=read_horizon(run, versions),
            margin_share=run.settings.money.margin_share,
            not_offered=run.settings.baskets.not_offered,
            seed=run.settings.seed,
        )
    except TrainingError:
        return pd.DataFrame(columns=list(_OFFERS)).astype(_OFFERS), pd.DataFrame(columns=list(_QUALITY)).astype(
            _QUALITY
        )
    return offers, _quality(report)


_OFFERS = dict.fromkeys(("customer_id", "category", "reason"), "str") | {
    "rank": "int64",
    "acceptance_probability": "float64",
    "expected_margin_cents": "int64",
}
_QUALITY = dict.fromkeys(("method", "metric", "decision", "reason", "sentence"), "str") | dict.fromkeys(
    ("value", "low", "high"), "float64"
)


def _counts(counts: RuleReport) -> pd.DataFrame:
    return pd.DataFrame([asdict(counts) | {"sentence": str(counts)}])


def _quality(report: OfferReport) -> pd.DataFrame:
    """Return one row per method and measure: the method that ranks first, then popularity, then the others."""
    best = report.method if report.method != "popularity" else "ease"
    names = [best, *(name for name in ("popularity", *report.differences) if name != best)]
    measured: dict[tuple[str, str], Estimate] = {(name, "recall_at_10"): report.recall[name] for name in names}
    measured |= {(name, "ndcg_at_10"): report.ndcg[name] for name in names}
    measured |= {(f"{name} minus popularity", "ndcg_at_10"): gap for name, gap in report.differences.items()}
    measured[report.method, "hit_share"] = report.hit_share
    rows = [(*name, found.value, found.low, found.high) for name, found in measured.items()]
    frame = pd.DataFrame(rows, columns=["method", "metric", "value", "low", "high"])
    return frame.assign(decision=report.decision.decision, reason=report.decision.reason, sentence=str(report))
