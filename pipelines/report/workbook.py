"""The sheets of ``actions.xlsx``: the lists to work from, then what they rest on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from data.export import MAX_ROWS, Format, Sheet, write_xlsx
from pipelines.report import facts
from pipelines.report.night import Night
from pipelines.report.words import ACTIONS, NOTHING, day, label, things

_NET = ("expected_net_value_cents", "expected_net_value_low_cents", "expected_net_value_high_cents")
_NET_HEADERS = dict(zip(_NET, ("Expected net value", "Low end", "High end"), strict=True))
_PERCENT: Mapping[str, Format] = {
    "churn_probability": "percent",
    "churn_probability_low": "percent",
    "churn_probability_high": "percent",
}


def write_workbook(night: Night, path: Path) -> None:
    """Write ``actions.xlsx``; the same night gives the same bytes.

    Parameters
    ----------
    night
        The results of one run.
    path
        The file, in an existing folder.

    Raises
    ------
    ConfigError
        The folder does not exist.
    """
    write_xlsx(sheets(night), path, read_me=read_me(night), created=night.as_of)


def sheets(night: Night) -> list[Sheet]:
    """Return the sheets in order: the lists to work from first, then rules, campaigns, models and data.

    Parameters
    ----------
    night
        The results of one run.
    """
    return [
        _contacts(night),
        _held_out(night),
        _customers(night),
        _offers(night),
        _rules(night),
        Sheet("Campaigns", _without_as_of(night.campaign_verdicts), note=_source(night, "campaign_verdicts")),
        Sheet("Model decisions", _without_as_of(night.model_decisions), note=_source(night, "model_decisions")),
        Sheet(
            "Metrics",
            night.metrics,
            note=f"Measures with their intervals, from MLflow run {night.mlflow_run_id or NOTHING}.",
        ),
        Sheet("Expectations", _without_as_of(night.quality), note=_source(night, "quality")),
        Sheet("Reconciliation", night.reconciliation, note="Rows and money in = accepted + quarantined + duplicates."),
        _versions(night),
    ]


def read_me(night: Night) -> Sequence[str]:
    """Return the lines of the first sheet: what this is, what it assumes, and how to trace it.

    Parameters
    ----------
    night
        The results of one run.
    """
    assumption = night.texts.get("value_assumption")
    return (
        f"{night.company}: whom to contact, as of {day(night.as_of_on)}",
        f"{things(len(facts.contacts(night)), 'customer')} to contact; money in {night.currency}.",
        *([f"What the net value assumes: {assumption}"] if assumption else []),
        "Customers on the sheet Held out are left alone on purpose, to measure the effect: please do not contact them.",
        f"Run {night.run_key}, code {night.code_digest}, MLflow run {night.mlflow_run_id or NOTHING}.",
    )


def _contacts(night: Night) -> Sheet:
    chosen = facts.contacts(night)
    frame = chosen.assign(action=[label(ACTIONS, action) for action in chosen["action"]])
    risks = [*_PERCENT, "value_at_risk_cents"]
    frame = frame.merge(night.scores[["customer_id", *risks]], on="customer_id", how="left", validate="1:1")
    columns = ["priority", "customer_id", "action", "category", *_NET, "reasons", "due_on", "owner", *risks]
    formats: dict[str, Format] = {"priority": "integer", **_PERCENT}
    return Sheet("Contacts", frame[columns], formats, _NET_HEADERS, _source(night, "actions", "scores"))


def _held_out(night: Night) -> Sheet:
    note = f"Do not contact: left alone to measure the effect. {_source(night, 'actions')}"
    return Sheet("Held out", facts.held_out(night)[["customer_id", "owner"]], note=note)


def _customers(night: Night) -> Sheet:
    order = ["value_at_risk_cents", "customer_id"]
    rows = night.scores.sort_values(order, ascending=[False, True], na_position="last", kind="stable")
    return Sheet("Customers", _without_as_of(rows).head(MAX_ROWS), _PERCENT, note=_source(night, "scores"))


def _offers(night: Night) -> Sheet:
    rows = night.offers.sort_values(["customer_id", "rank"], kind="stable")
    return Sheet("Offers", _without_as_of(rows).head(MAX_ROWS), note=_source(night, "offers"))


def _rules(night: Night) -> Sheet:
    order = ["is_confirmed", "adjusted_lift", "antecedents", "consequents"]
    rows = night.rules.sort_values(order, ascending=[False, False, True, True], kind="stable")
    formats: dict[str, Format] = {"support": "percent", "confidence": "percent"}
    note = f"{facts.rules_survived(night)}. {_source(night, 'rules')}"
    return Sheet("Rules", _without_as_of(rows).head(MAX_ROWS), formats, note=note)


def _versions(night: Night) -> Sheet:
    pairs = sorted(night.versions.items())
    return Sheet(
        "Versions", pd.DataFrame(pairs, columns=["table_name", "version"]), note="What this file was made from."
    )


def _source(night: Night, *tables: str) -> str:
    return f"Numbers from {night.source(*tables)}."


def _without_as_of(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="as_of", errors="ignore")
