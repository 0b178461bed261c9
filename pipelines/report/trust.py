"""Can the models still be trusted: how past scores came true, what changed since they were made, how old they are."""

from features.registry import FEATURES
from pipelines.report import charts
from pipelines.report.blocks import Cell, Figure, Figures, Head, Section, Table, rows_of
from pipelines.report.models import feature_name
from pipelines.report.night import Night
from pipelines.report.portfolio_tables import day_of
from pipelines.report.svg import Title
from pipelines.report.units import written
from pipelines.report.words import (
    NOTHING,
    SMALL_COUNT,
    between,
    count,
    number,
    percent,
    share,
    things,
)

TABLES = ("drift", "score_outcomes", "serving_models")
"""Published tables that the section reads; a night before them has none."""
SCORE = "churn_probability"
_EVERYBODY = "all"
_GROUPS = {"all": "Everybody", "holdout": "Holdout, contacted by nobody"}
_MOST_FEATURES = 15
_NAMED = 3


def trust(night: Night) -> Section:
    """Return the section on the models in use; one sentence where the night did not look."""
    title = "Can the models be trusted"
    if not set(TABLES) <= set(night.models):
        unknown = ["How past scores came true was not looked at tonight."]
        return Section("trust", title, unknown, (), night.source("scores"))
    blocks = (Figures((_came_true(night),)), _outcome_table(night), _drift_table(night))
    lede = [*_ages(night), drift_sentence(night), *_score_drift(night)]
    return Section("trust", title, lede, blocks, night.source(*TABLES))


def _ages(night: Night) -> list[str]:
    rows = rows_of(night.models["serving_models"])
    if not rows:
        return ["No model is in use: nobody has a churn probability."]
    said = []
    for row in rows:
        since = "trained at a time that is not recorded"
        if row["age_days"] == row["age_days"] and row["age_days"] is not None:
            since = f"trained {things(int(str(row['age_days'])), 'day')} ago"
        said.append(f"{row['model']} version {row['version']}, {since}")
    old = [str(row["model"]) for row in rows if row["is_old"]]
    stale = [
        f"The {' and the '.join(old)} model is older than the settings allow: look at why none newer was promoted."
    ]
    return [f"In use: {'; '.join(said)}.", *(stale if old else [])]


def drift_sentence(night: Night) -> str:
    """Say how many features of the models in use are distributed otherwise tonight than when these were made."""
    features = night.models["drift"]
    features = features[features["feature"] != SCORE].drop_duplicates("feature")
    if features.empty:
        return "Whether customers have changed since the models were made is not known tonight."
    moved = [str(name) for name in features.loc[features["is_alarm"].astype(bool), "feature"]]
    of = f"{len(moved)} of {things(len(features), 'feature')}"
    if not moved:
        return f"{of} moved: tonight’s customers look like those the models were made for."
    named = ", ".join(feature_name(name) for name in moved[:_NAMED])
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return f"{of} moved beyond what past dates differ by: {named}{more}. Read the scores with that in mind."


def alarms(night: Night) -> list[str]:
    """Return what to know of the models before relying on a number; nothing where all is as usual."""
    if not set(TABLES) <= set(night.models):
        return []
    moved = bool(night.models["drift"]["is_alarm"].astype(bool).any())
    old = bool(night.models["serving_models"]["is_old"].astype(bool).any())
    return [*([drift_sentence(night)] if moved else []), *(_ages(night)[1:] if old else [])]


def _score_drift(night: Night) -> list[str]:
    rows = night.models["drift"]
    rows = rows[(rows["feature"] == SCORE) & rows["is_alarm"].astype(bool)]
    return [
        f"The scores moved as well: {share(row['tonight_share'], 0)} of customers have a churn probability up to "
        f"{number(row['place'])}, {share(row['usual_share'], 0)} had it at the dates the model was made on."
        for row in rows_of(rows)
    ]


def _outcomes(night: Night, metric: str) -> dict[tuple[object, str], dict[str, object]]:
    rows = night.models["score_outcomes"]
    rows = rows[(rows["metric"] == metric) & (rows["n_customers"] > SMALL_COUNT)]
    return {(row["scored_at"], str(row["customers"])): row for row in rows_of(rows)}


def _came_true(night: Night) -> Figure:
    seen, said = _outcomes(night, "churned_share"), _outcomes(night, "predicted_share")
    drawn, inside = [], 0
    for (at, customers), row in sorted(seen.items(), reverse=True):
        if customers != _EVERYBODY:
            continue
        value, low, high = (float(str(row[name])) for name in ("value", "low", "high"))
        told = float(str(said[at, customers]["value"]))
        inside += low <= told <= high
        words = f"{share(value)} left  ({between(share(low), share(high))})"
        marks = (
            charts.Mark(value, low, high, words),
            charts.Mark(told, told, told, f"{share(told)} were expected to", "diamond"),
        )
        drawn.append(charts.Row(day_of(night, at), marks))
    title = "No past score has come true yet: no horizon of a past night is over."
    if drawn:
        title = f"On {inside} of {things(len(drawn), 'past date')} as many left as the scores had said."
    svg = charts.forest(Title("came-true", title, "Expected and observed share of leavers by date."), drawn, percent)
    return Figure(
        title,
        "Customers scored at past dates whose horizon is over: the share that left, with its interval, and the share "
        "that was expected to. Whom somebody contacted since may have stayed for that.",
        svg,
    )


def _outcome_table(night: Night) -> Table:
    seen, said = _outcomes(night, "churned_share"), _outcomes(night, "predicted_share")
    measures = {name: _outcomes(night, name) for name in ("auc", "brier", "calibration_slope")}
    rows = []
    for key in sorted(seen, key=lambda one: (str(one[0]), one[1] == _EVERYBODY), reverse=True):
        row = seen[key]
        rows.append(
            (
                Cell(day_of(night, key[0]), sort=str(key[0])),
                Cell(_GROUPS.get(key[1], key[1])),
                Cell(count(row["n_customers"])),
                Cell(share(said[key]["value"])),
                _cell(row, is_share=True),
                *(_cell(found.get(key)) for found in measures.values()),
            )
        )
    names = ("Customers", "Said", "Came true", "Ranking (AUC)", "Error (Brier)", "Calibration slope")
    heads = (Head("Scored on"), Head("Whom"), *(Head(name, is_number=True) for name in names))
    return Table("outcomes", "How past scores came true", heads, rows, limit=8)


def _place(night: Night, row: dict[str, object]) -> str:
    if row["place"] == "missing":
        return "without a value"
    feature = FEATURES.get(str(row["feature"]))
    unit = "share" if feature is None else feature.unit
    return f"up to {written(float(str(row['place'])), unit, night.currency)}"


def _cell(row: dict[str, object] | None, *, is_share: bool = False) -> Cell:
    if row is None:
        return Cell(NOTHING)
    value, low, high = (share(row[name]) if is_share else number(row[name], 3) for name in ("value", "low", "high"))
    return Cell(value, (between(low, high),), sort=str(row["value"]))


def _drift_table(night: Night) -> Table:
    rows = night.models["drift"].drop_duplicates("feature")
    rows = rows[rows["gap_low"] > 0].head(_MOST_FEATURES)
    cells = [
        (
            Cell(feature_name(row["feature"]), ("moved beyond what is tolerated",) if row["is_alarm"] else ()),
            Cell(_place(night, row)),
            Cell(share(row["tonight_share"], 0), sort=str(row["tonight_share"])),
            Cell(share(row["usual_share"], 0), sort=str(row["usual_share"])),
            Cell(share(row["gap"], 0), (f"at least {share(row['gap_low'], 0)}",), sort=str(row["gap"])),
        )
        for row in rows_of(rows)
    ]
    heads = (
        Head("Feature"),
        Head("Share of customers"),
        *(Head(name, is_number=True) for name in ("Tonight", "When the model was made", "Gap")),
    )
    note = (
        "The gap counts customers, and what past dates differed by is taken off before it is believed. All features "
        "are looked at together, so that chance alone hardly ever gives an alarm."
    )
    return Table("drift", "What changed most since the models were made", heads, cells, limit=8, note=note)
