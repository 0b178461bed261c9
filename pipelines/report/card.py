"""The card of a registered model: what it was made of, how good it is and for whom, and what it cannot say."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from models.churn import ChurnModel
from pipelines.report import facts, leaving, models
from pipelines.report.blocks import Cell, Figure, Figures, Head, Section, Table, real, rows_of
from pipelines.report.document import rendered
from pipelines.report.night import Night
from pipelines.report.portfolio_tables import day_of
from pipelines.report.words import (
    METRICS,
    MODELS,
    NOTHING,
    between,
    count,
    day,
    is_known,
    label,
    number,
    share,
    things,
)

DATA = ("transactions", "customers", "training_observations", "observations", "subscriptions", "feedback")
"""Tables whose versions say which data a model saw."""
_WHAT = {
    "churn": "the chance that a customer leaves within {days} days",
    "value": "the spend of the next {days} days of a customer who stays, net of returns",
}
_ENDS = {
    "promoted": "It was promoted and is in use.",
    "refused": "It was refused: nothing comes into use.",
    "kept": "It was not promoted: the model in use stays.",
}


def card_page(night: Night, made: Mapping[str, Any]) -> str:
    """Return the card of a model that was registered in a night, as one HTML page that asks the network for nothing.

    Parameters
    ----------
    night
        The published night.
    made
        Row of ``model_versions``: ``model``, ``version``, ``sha256``, ``features_json``, ``facts_json``.
    """
    decision = decision_of(night, made)
    sections = [_made(night, made), _good(night, made), _kinds(night, made), _limits(night, made)]
    return rendered(
        "card.html",
        company=night.company,
        day=day(night.as_of_on),
        run_key=night.run_key,
        title=f"Model {made['model']}, version {made['version']}",
        lede=[
            f"It says {_WHAT[made['model']].format(days=night.horizon_days)}. {night.texts.get('gone', '')}".strip(),
            _ENDS.get(str(decision.get("decision")), "No decision about it is recorded."),
        ],
        sections=[section for section in sections if section is not None],
    )


def decision_of(night: Night, made: Mapping[str, Any]) -> dict[str, object]:
    """Return the gate's decision about a registered version; empty where none is recorded."""
    for row in rows_of(night.model_decisions):
        if row["model"] == made["model"] and row["candidate_version"] == made["version"]:
            return row
    return {}


def _made(night: Night, made: Mapping[str, Any]) -> Section:
    told, names = json.loads(made["facts_json"]), json.loads(made["features_json"])
    dates = night.base_rates.sort_values("as_of")
    trained, judged = dates.iloc[:-1], dates.iloc[-1:]
    who = "Customers who had not gone by then, without those who object to profiling"
    ends = [day_of(night, trained["as_of"].iloc[place]) for place in (0, -1)] if len(trained) else []
    on = day_of(night, judged["as_of"].iloc[0]) if len(judged) else NOTHING
    n_trained = count(trained["n_eligible"].sum())
    lines = (
        ("Population", who),
        ("Label and horizon", f"{_WHAT[made['model']].format(days=night.horizon_days)}".capitalize()),
        ("Trained on", f"{things(len(trained), 'past date')}, {' to '.join(ends)}; {n_trained} observations"),
        ("Judged on", f"{on}, which trained nothing; {count(judged['n_eligible'].sum())} observations"),
        ("Candidate", label(MODELS, told.get("chosen"))),
        ("Features", f"{len(names)}"),
        ("Data", night.source(*(name for name in DATA if name in night.versions))),
        ("Digest of the artefact", str(made["sha256"])),
        ("Code digest", night.code_digest),
        ("MLflow run", night.mlflow_run_id or NOTHING),
    )
    table = Table("facts", "The facts", (Head("What"), Head("Value")), [(Cell(a), Cell(b)) for a, b in lines])
    losses = _losses(told)
    return Section("made", "How it was made", [], (table, *losses), night.source("model_versions", "base_rates"))


def _losses(told: Mapping[str, Any]) -> Sequence[Table]:
    """Return how the candidates stood before the judged date was looked at; only churn has them."""
    seen, ahead = told.get("out_of_fold_log_loss"), told.get("forward_log_loss") or {}
    if not isinstance(seen, dict):
        return ()
    rows = [
        (Cell(label(MODELS, name)), Cell(number(loss, 4)), Cell(number(ahead.get(name), 4)))
        for name, loss in sorted(seen.items(), key=lambda item: (item[1] + ahead.get(item[0], 0.0), item[0]))
    ]
    names = ("Log loss, customers not seen", "Log loss, a later date")
    heads = (Head("Candidate"), *(Head(name, is_number=True) for name in names))
    return (Table("candidates", "What it was chosen from, by the training dates alone", heads, rows),)


def _good(night: Night, made: Mapping[str, Any]) -> Section:
    decision = decision_of(night, made)
    lede = [_sentence(str(decision["reason"]))] if decision else []
    blocks: list[Table | Figures] = [_gate(decision)] if decision else []
    if made["model"] == "churn":
        blocks += [_measures(night), Figures((leaving.calibration_figure(night), _effects(night, made)))]
    source = night.source("model_decisions", "churn_metrics", "calibration")
    return Section("good", "How good it is, on the judged date", lede, tuple(blocks), source)


def _gate(decision: Mapping[str, object]) -> Table:
    row = (
        Cell(METRICS.get(str(decision["metric"]), (label({}, decision["metric"]), ""))[0]),
        Cell(_short(decision["candidate_value"])),
        Cell(_short(decision["reference_value"]), (label(MODELS, decision["reference"]),)),
        Cell(
            _short(decision["difference"]),
            (between(_short(decision["difference_low"]), _short(decision["difference_high"])),),
        ),
    )
    names = ("This model", "Compared with", "Difference")
    heads = (Head("Measure"), *(Head(name, is_number=True) for name in names))
    return Table("gate", "What the gate decided by", heads, [row])


def _short(value: object) -> str:
    return number(value, 3 if is_known(value) and abs(real(value)) < 100 else 0)


def _measures(night: Night) -> Table:
    rows = []
    for name in dict.fromkeys(night.metrics["metric"]):
        plain, meaning = METRICS.get(str(name), (label({}, name), ""))
        found = facts.metric(night, facts.TONIGHT, str(name))
        if found is not None:
            ends = (between(number(found.low, 3), number(found.high, 3)),)
            rows.append((Cell(plain, (meaning,)), Cell(number(found.value, 3), ends)))
    heads = (Head("Measure"), Head("Value", is_number=True))
    return Table("measures", "Measures, with intervals over customers", heads, rows)


def _effects(night: Night, made: Mapping[str, Any]) -> Figure:
    found = [row for row in models.rows(night, "model_effects") if row["version"] == made["version"]]
    return models.effects_figure(found)


def _kinds(night: Night, made: Mapping[str, Any]) -> Section | None:
    found = [row for row in models.rows(night, "model_floors") if row["model"] == made["model"]]
    if not found:
        return None
    broken = sum(bool(row["is_broken"]) for row in found)
    n = sum(is_known(row["candidate_value"]) for row in found)
    lede = [f"It is worse than what it was compared with in {broken} of {things(n, 'comparison')}."]
    return Section("kinds", "For whom", lede, (models.floors_of(found),), night.source("model_floors"))


def _limits(night: Night, made: Mapping[str, Any]) -> Section:
    """Return the limits in words: those of every model of its kind, and those of this one."""
    rates = night.base_rates["churned_share"].astype("float64")
    told = [
        "It speaks of customers like those of the dates above; of one who lapsed, or of a new kind, it knows nothing.",
        "It says what goes together: acting on a reason need not change the outcome.",
    ]
    if made["model"] == "churn":
        told.append(
            "Its interval is for the share that leaves among customers scored alike, not for the one customer, who "
            "leaves or stays."
        )
        if len(rates):
            span = between(share(rates.min()), share(rates.max()))
            told.append(f"At the past dates the share that left was {span}.")
    told += sayings(made, pd.Timestamp(night.as_of))
    table = Table("limits-list", "What to keep in mind", (Head("Limit"),), [(Cell(line),) for line in told])
    return Section("limits", "What it cannot say", [], (table,), night.source("base_rates"))


def sayings(made: Mapping[str, Any], as_of: pd.Timestamp) -> list[str]:
    """Return what a churn model says of itself at a date; other models say nothing."""
    if made["model"] != "churn":
        return []
    model = ChurnModel.restore(None, json.loads(made["facts_json"]))
    said = [model.season.told(as_of)]
    said += [f"the fit to purchases alone is to be doubted: {model.warning}"] if model.warning else []
    return [_sentence(text) for text in said]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
