"""The few numbers that the report, the summary and the workbook share, so that they cannot disagree."""

from dataclasses import dataclass

import pandas as pd

from pipelines.report.night import Night
from pipelines.report.words import LESS_IS_BETTER, is_known

TONIGHT = "candidate chosen"
BASELINE = "recency"


@dataclass(frozen=True)
class Estimate:
    """Hold a number with the ends of its interval; NaN where unknown."""

    value: float
    low: float
    high: float


def contacts(night: Night) -> pd.DataFrame:
    """Return the customers to contact, most urgent first: an action other than leaving alone, and not held out."""
    chosen = night.actions[(night.actions["action"] != "leave_alone") & (night.actions["arm"] == "action")]
    return chosen.sort_values(["priority", "customer_id"], kind="stable")


def held_out(night: Night) -> pd.DataFrame:
    """Return the customers who are left alone on purpose to measure the effect of contacts."""
    return night.actions[night.actions["arm"] == "holdout"].sort_values("customer_id", kind="stable")


def groups(night: Night) -> list[tuple[str, str, pd.DataFrame]]:
    """Return the parts of ``actions`` as (key, name, rows), covering every row once."""
    chosen, actions = contacts(night), night.actions
    kinds = sorted(set(chosen["action"]), key=lambda name: (name != "retain", name))
    parts = [(str(kind), str(kind), chosen[chosen["action"] == kind]) for kind in kinds]
    rest = actions[~actions["customer_id"].isin(chosen["customer_id"]) & (actions["arm"] != "holdout")]
    return [*parts, ("holdout", "held out", held_out(night)), ("leave_alone", "leave_alone", rest)]


def net_value(rows: pd.DataFrame) -> Estimate:
    """Return the expected net value of some actions in cents; the ends add up every customer's own low and high."""
    parts = ("expected_net_value_cents", "expected_net_value_low_cents", "expected_net_value_high_cents")
    value, low, high = (float(rows[part].sum()) for part in parts)
    return Estimate(value, low, high)


def value_at_risk(scores: pd.DataFrame) -> float:
    """Return the value at risk of some customers in cents; NaN where no chance of leaving is known."""
    known = scores["value_at_risk_cents"].dropna()
    return float(known.sum()) if len(known) else float("nan")


def quarantined(night: Night) -> int:
    """Return the rows set aside tonight, over all raw tables."""
    return int(night.reconciliation["n_quarantined"].sum())


def is_reconciled(night: Night) -> bool:
    """Return whether rows and money in equal accepted + quarantined + duplicates + refused, in every table."""
    frame = night.reconciliation.fillna(0)
    rows = frame["n_in"] == sum(frame[f"n_{part}"] for part in ("accepted", "quarantined", "duplicates", "refused"))
    cents = frame["in_cents"] == sum(
        frame[f"{part}_cents"] for part in ("accepted", "quarantined", "duplicate", "refused")
    )
    return bool((rows & cents).all())


def has_refused(night: Night) -> bool:
    """Return whether any row came that may not be kept: of a customer who was erased, or older than its period."""
    return bool(night.reconciliation["n_refused"].sum() > 0)


def failed(night: Night) -> pd.DataFrame:
    """Return the expectations that did not hold, gravest first."""
    rows = night.quality[~night.quality["is_passed"].astype(bool)]
    order = rows["severity"].map({"critical": 0, "reject": 1, "warning": 2}).fillna(3)
    return rows.assign(_order=order).sort_values(["_order", "table_name", "expectation"]).drop(columns="_order")


def metric(night: Night, model: str, name: str) -> Estimate | None:
    """Return one metric of one model with its interval; null where it was not measured."""
    rows = night.metrics[(night.metrics["model"] == model) & (night.metrics["metric"] == name)]
    if rows.empty or not is_known(rows["value"].iloc[0]):
        return None
    value, low, high = (float(rows[part].iloc[0]) for part in ("value", "low", "high"))
    return Estimate(value, low, high)


def against_baseline(night: Night) -> str:
    """Say in one sentence how the churn model does against the baseline, no stronger than the intervals allow.

    The paired comparison of the gate decides where it was with the baseline, else the intervals of the two AUC:
    overlapping ones claim nothing.
    """
    ours, theirs = metric(night, TONIGHT, "auc"), metric(night, BASELINE, "auc")
    if ours is None or theirs is None:
        return "The model was not measured against the baseline tonight."
    rows = night.model_decisions[night.model_decisions["model"] == "churn"]
    paired = rows[rows["reference"].isin(["baseline", BASELINE]) & rows["difference_low"].notna()]
    gain = (ours.low - theirs.high, ours.high - theirs.low)
    if not paired.empty:
        row = paired.iloc[0]
        gain = (float(row["difference_low"]), float(row["difference_high"]))
        if row["metric"] in LESS_IS_BETTER:
            gain = (-gain[1], -gain[0])
    figures = f"AUC {ours.value:.3f} against {theirs.value:.3f}"
    if gain[0] > 0:
        return f"The model predicts leaving better than days since the last purchase do: {figures}."
    if gain[1] < 0:
        return f"The model predicts leaving worse than days since the last purchase do: {figures}."
    return f"The model is not clearly better than days since the last purchase: {figures}."


def verdict_counts(night: Night) -> str:
    """Say how many campaigns got which verdict.

    The words are those of the verdicts; nothing is added.
    """
    counts = night.campaign_verdicts["verdict"].value_counts()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return ", ".join(f"{n} “{word}”" for word, n in ordered) or "no campaign was judged"


def rules_survived(night: Night) -> str:
    """Say how many candidate rules survived the tests; without the model's own sentence, what the table shows."""
    confirmed = int(night.rules["is_confirmed"].fillna(value=False).astype(bool).sum())
    plain = "no two things are bought together often enough to be tested"
    if len(night.rules):
        plain = f"{confirmed:,} of {len(night.rules):,} rules held again in later orders"
    return night.texts.get("rules_survived", plain).rstrip(".")


def complete_months(night: Night) -> pd.DataFrame:
    """Return the sales of the months that were over at ``as_of``, in order."""
    text = night.sales_by_month["month"].astype(str).str[:7]
    return night.sales_by_month.assign(month=text)[text < night.as_of_on.isoformat()[:7]].sort_values("month")
