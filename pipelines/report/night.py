"""What one night has to say, in one frozen value; the report, the summary and the workbook read nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime

import pandas as pd

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "scores": (
        "customer_id",
        "is_eligible",
        "churn_probability",
        "churn_probability_low",
        "churn_probability_high",
        "expected_value_cents",
        "value_at_risk_cents",
        "lifecycle_state",
    ),
    "rules": (
        "antecedents",
        "consequents",
        "support",
        "confidence",
        "lift",
        "adjusted_lift",
        "n_orders",
        "q_value",
        "is_confirmed",
    ),
    "offers": ("customer_id", "rank", "category"),
    "campaign_verdicts": (
        "campaign_id",
        "name",
        "is_randomised",
        "n_treated",
        "n_control",
        "naive_cents",
        "effect_cents",
        "effect_low_cents",
        "effect_high_cents",
        "placebo_cents",
        "placebo_low_cents",
        "placebo_high_cents",
        "verdict",
        "words",
    ),
    "actions": (
        "customer_id",
        "action",
        "arm",
        "expected_net_value_cents",
        "expected_net_value_low_cents",
        "expected_net_value_high_cents",
        "category",
        "reasons",
        "due_on",
        "owner",
        "priority",
    ),
    "model_decisions": (
        "model",
        "decision",
        "reason",
        "metric",
        "candidate_value",
        "reference",
        "reference_value",
        "difference",
        "difference_low",
        "difference_high",
    ),
    "quality": ("table_name", "expectation", "severity", "n_rows", "n_failed", "is_passed", "detail"),
    "reconciliation": (
        "table_name",
        "n_in",
        "n_accepted",
        "n_quarantined",
        "n_duplicates",
        "n_refused",
        "in_cents",
        "accepted_cents",
        "quarantined_cents",
        "duplicate_cents",
        "refused_cents",
    ),
    "metrics": ("model", "metric", "value", "low", "high"),
    "calibration": ("predicted", "observed", "low", "high", "n"),
    "base_rates": ("as_of", "n_eligible", "churned_share"),
    "gaps": ("days", "share_returned"),
    "offer_quality": ("method", "metric", "value", "low", "high"),
    "sales_by_month": ("month", "sales_cents", "n_customers", "n_orders"),
}
"""The columns that each frame of a ``Night`` must have; further columns are allowed."""


@dataclass(frozen=True, eq=False)
class Night:
    """Hold the results of one run, read from the published tables.

    Attributes
    ----------
    run_key, code_digest, mlflow_run_id
        What identifies the run; ``mlflow_run_id`` is empty where nothing was tracked.
    as_of
        Instant up to which anything was known, naive UTC.
    as_of_on
        The local date of ``as_of``.
    timezone, currency, company
        Whose night it is: IANA zone, currency symbol, name.
    horizon_days
        Length of the window in which a customer without a purchase counts as gone, in days.
    versions
        Published table -> its version in the lake.
    stage_seconds
        Stage -> seconds; null where a finished night was only opened again.
    scores, rules, offers, campaign_verdicts, actions, model_decisions, quality
        The published tables of this ``as_of``.
    reconciliation
        One row per raw table: rows and money in = accepted + quarantined + exact duplicates.
    metrics, calibration, base_rates, gaps
        How well churn is predicted, and what its definition rests on. ``metrics`` holds one row per model and metric.
    offer_quality, sales_by_month
        How well offers predicted, and the company's sales per local month.
    texts
        Sentences by name, all optional: ``gone``, ``horizon_reason``, ``value_assumption``, ``rules_survived``.
    portfolio
        Tables of the portfolio by name; none of a night before there were such.
    models
        Tables about the models in use and tonight's candidates by name; none of a night before there were such.

    Raises
    ------
    ValueError
        If a frame lacks a column of ``COLUMNS``.
    """

    run_key: str
    as_of: datetime
    as_of_on: date
    timezone: str
    currency: str
    company: str
    code_digest: str
    mlflow_run_id: str
    horizon_days: int
    versions: Mapping[str, int]
    stage_seconds: Mapping[str, float] | None
    scores: pd.DataFrame
    rules: pd.DataFrame
    offers: pd.DataFrame
    campaign_verdicts: pd.DataFrame
    actions: pd.DataFrame
    model_decisions: pd.DataFrame
    quality: pd.DataFrame
    reconciliation: pd.DataFrame
    metrics: pd.DataFrame
    calibration: pd.DataFrame
    base_rates: pd.DataFrame
    gaps: pd.DataFrame
    offer_quality: pd.DataFrame
    sales_by_month: pd.DataFrame
    texts: Mapping[str, str]
    portfolio: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    models: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            frame = getattr(self, item.name)
            missing = [name for name in COLUMNS.get(item.name, ()) if name not in frame.columns]
            if missing:
                msg = f"{item.name} lacks the columns {', '.join(missing)}"
                raise ValueError(msg)

    def source(self, *tables: str) -> str:
        """Name published tables with their versions, as in ``scores@3``; a table without a version is marked so.

        Parameters
        ----------
        tables
            Names of published tables.
        """
        return " · ".join(f"{name}@{self.versions.get(name, 'unversioned')}" for name in tables)
