"""Builds the page of a backtest: how good past nights would have been, how fast models age, and what lists earn."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from models.replay import RECENCY, SERVING
from pipelines.backtest import Backtest
from pipelines.report import charts
from pipelines.report.blocks import Cell, Figure, Figures, Head, Section, Table, Tile, real, rows_of
from pipelines.report.charts import Mark, Row, Shape
from pipelines.report.document import rendered
from pipelines.report.svg import Format, Title
from pipelines.report.words import (
    NOTHING,
    between,
    count,
    day,
    is_known,
    money,
    number,
    percent,
    share,
    short_day,
    things,
)

_SPEAKERS: Mapping[str, tuple[str, Shape]] = {
    SERVING: ("model in use", "disc"),
    RECENCY: ("days since last purchase", "diamond"),
}
_RANKINGS: Mapping[str, str] = {
    "by_value_at_risk": "by value at risk",
    "by_risk": "by churn probability",
    "by_recency": "by days since last purchase",
    "by_lot": "by lot",
}
_SHAPES: Mapping[str, Shape] = {"by_value_at_risk": "disc", "by_lot": "diamond"}
_NAN = float("nan")


def backtest_page(found: Backtest) -> str:
    """Return a backtest as one HTML page that asks the network for nothing.

    Parameters
    ----------
    found
        The backtest.
    """
    return rendered(
        "backtest.html",
        "readiness.css",
        company=found.company,
        days=f"{day(found.from_on)} to {day(found.to_on)}",
        run_key=found.run_key,
        title=headline(found),
        lede=_lede(found),
        tiles=_tiles(found),
        sections=[_quality(found), _ageing(found), _earnings(found), _decisions(found)],
    )


def headline(found: Backtest) -> str:
    """Say in one line how often the model in use ranked better than the simple rule."""
    auc = _wide(found, "auc")
    both = auc.dropna()
    if SERVING not in auc or both.empty:
        return "No model would have been let into use"
    n_better = int((both[SERVING] > both[RECENCY]).sum())
    return f"The model in use ranked leavers better than their last visit alone on {n_better} of {len(both)} dates"


def _lede(found: Backtest) -> list[str]:
    n = len(found.decisions)
    lede = (
        f"{things(n, 'night')} replayed, each with what was known on its day, and compared with who bought nothing in "
        f"the {found.horizon_days} days after it. A model serves from the night on which the gate promoted it."
    )
    return [lede, *(["Not replayed: " + "; ".join(found.skipped) + "."] if found.skipped else [])]


def _tiles(found: Backtest) -> list[Tile]:
    auc, earned = _wide(found, "auc"), found.earnings.groupby("ranking")["earned_cents"].sum()
    ranked = real(auc[SERVING].mean()) if SERVING in auc else _NAN
    n_promoted = int((found.decisions["decision"] == "promoted").sum())
    return [
        Tile("Nights", count(len(found.decisions)), f"every {things(found.every_days, 'day')}"),
        Tile("Ranking (AUC)", number(ranked, 3), f"last visit alone {number(auc[RECENCY].mean(), 3)}"),
        Tile("Promotions", count(n_promoted), "new models that were let into use"),
        Tile(
            "Lists by value at risk",
            money(earned.get("by_value_at_risk"), found.currency, is_whole=True),
            f"by lot {money(earned.get('by_lot'), found.currency, is_whole=True)}, as assumed below",
        ),
    ]


def _parts(frame: pd.DataFrame, *keys: str) -> list[tuple[Any, pd.DataFrame]]:
    """Return the rows of each value of the keys, in their order."""
    return list(frame.groupby(keys[0] if len(keys) == 1 else list(keys), sort=True))


def _wide(found: Backtest, metric: str) -> pd.DataFrame:
    rows = found.quality[found.quality["metric"] == metric]
    return rows.pivot(index="as_of", columns="speaker", values="value")


def _quality(found: Backtest) -> Section:
    ranking = Figure(
        headline(found) + ".",
        "AUC by date with 95 % intervals: 0.5 is a coin toss. Discs: model in use; diamonds: days since last purchase.",
        _by_date(found, "auc", Title("auc", headline(found), "AUC of both by date."), lambda value: number(value, 2)),
    )
    levels = Figure(
        _level(found),
        "Discs with intervals: share that really left. Squares: share that the model in use had announced.",
        _promised(found, Title("promised", _level(found), "Announced and true share of leavers by date.")),
    )
    return Section("quality", "How good it was", [], [Figures((ranking, levels)), _measures(found)], "")


def _by_date(found: Backtest, metric: str, title: Title, write: Format) -> str:
    rows = []
    for as_of, part in _parts(found.quality[found.quality["metric"] == metric], "as_of"):
        marks = [
            Mark(row["value"], row["low"], row["high"], f"{words}: {write(row['value'])}", shape)
            for speaker, (words, shape) in _SPEAKERS.items()
            for row in part[part["speaker"] == speaker].to_dict("records")
        ]
        rows.append(Row(short_day(as_of), marks))
    return charts.forest(title, rows, write)


def _promised(found: Backtest, title: Title) -> str:
    rows = []
    for as_of, part in _parts(found.quality, "as_of"):
        values = part.set_index(["speaker", "metric"])
        speaker = SERVING if SERVING in set(part["speaker"]) else RECENCY
        true: Any = values.loc[(speaker, "churned_share")]
        said: Any = values.loc[(speaker, "predicted_share"), "value"]
        left = Mark(true["value"], true["low"], true["high"], f"left: {share(true['value'])}")
        rows.append(Row(short_day(as_of), [left, Mark(said, _NAN, _NAN, f"announced: {share(said)}", "square")]))
    return charts.forest(title, rows, percent)


def _level(found: Backtest) -> str:
    shares = found.quality[found.quality["speaker"] == SERVING].pivot(index="as_of", columns="metric", values="value")
    if shares.empty:
        return "Nothing was announced, for no model was in use."
    inside = found.quality[(found.quality["speaker"] == SERVING) & (found.quality["metric"] == "churned_share")]
    inside = inside.set_index("as_of")
    n_held = int(shares["predicted_share"].between(inside["low"], inside["high"]).sum())
    return f"On {n_held} of {len(shares)} dates as many left as had been announced, within the chance of the draw."


def _measures(found: Backtest) -> Table:
    heads = [Head("Date"), Head("Who"), Head("Customers", is_number=True)]
    names = {"auc": "AUC", "log_loss": "Log loss", "brier": "Brier", "ece": "Calibration error"}
    heads += [Head(words, is_number=True) for words in names.values()]
    rows = []
    for (as_of, speaker), part in _parts(found.quality, "as_of", "speaker"):
        measured = part.set_index("metric")
        cells = [Cell(short_day(as_of)), Cell(_SPEAKERS[str(speaker)][0]), Cell(count(part["n_customers"].max()))]
        for name in names:
            one = measured.loc[name] if name in measured.index else None
            ends = "" if one is None else between(number(one["low"], 3), number(one["high"], 3))
            cells.append(Cell(NOTHING if one is None else number(one["value"], 3), (ends,)))
        rows.append(cells)
    return Table("measures", "Measures by date, with 95 % intervals", heads, rows)


def _ageing(found: Backtest) -> Section:
    if found.ageing.empty:
        return Section("ageing", "How fast models age", ["One date shows no ageing."], [], "")
    rows = [
        Row(
            f"{things(int(real(row['age_days'])), 'day')} old, {things(int(real(row['n_dates'])), 'date')}",
            [
                Mark(
                    real(row["difference"]),
                    real(row["difference_low"]),
                    real(row["difference_high"]),
                    f"log loss {number(row['difference'], 4)} above that of a fresh model",
                )
            ],
        )
        for row in rows_of(found.ageing)
    ]
    worse = found.ageing[found.ageing["difference_low"] > 0]
    title = (
        f"A model {things(int(worse['age_days'].min()), 'day')} old is worse than a fresh one, beyond chance."
        if len(worse)
        else "No age at which a model is worse than a fresh one, beyond chance."
    )
    note = "Log loss above that of a model trained for the date itself; the line is no difference."
    svg = charts.forest(
        Title("ageing", title, "Log loss by age of the model."), rows, lambda value: number(value, 3), reference=0.0
    )
    return Section("ageing", "How fast models age", [], [Figures((Figure(title, note, svg),))], "")


def _earnings(found: Backtest) -> Section:
    economics = found.economics
    lede = (
        f"Each list has {things(economics.n_contacts, 'customer')} at most. Assumed: a contact costs "
        f"{money(economics.cost_cents, found.currency)} and keeps {share(economics.save_share, 0)} of those who would "
        "leave, and who is kept brings the margin that was expected of them. Only a campaign with a holdout can say "
        "whether that is so; who left is what happened."
    )
    rows = [
        Row(
            short_day(as_of),
            [
                Mark(
                    row["earned_cents"],
                    row["earned_low_cents"],
                    row["earned_high_cents"],
                    f"{_RANKINGS[row['ranking']]}: {money(row['earned_cents'], found.currency, is_whole=True)}",
                    _SHAPES[row["ranking"]],
                )
                for row in part.to_dict("records")
                if row["ranking"] in _SHAPES
            ],
        )
        for as_of, part in _parts(found.earnings, "as_of")
    ]
    title = "What a list by value at risk earns, and one drawn by lot."
    svg = charts.forest(
        Title("earned", title, "Assumed earnings of the list by date."),
        rows,
        lambda value: money(value, found.currency, is_whole=True),
        reference=0.0,
    )
    note = "Discs: by value at risk; diamonds: by lot. Intervals are for as many customers alike."
    return Section(
        "earnings", "What the list would have earned", [lede], [Figures((Figure(title, note, svg),)), _lists(found)], ""
    )


def _lists(found: Backtest) -> Table:
    heads = [Head("Date"), Head("Ranking"), *(Head(name, is_number=True) for name in ("Contacts", "Left", "Earned"))]
    rows = [
        [
            Cell(short_day(row["as_of"])),
            Cell(_RANKINGS[str(row["ranking"])]),
            Cell(count(row["n_contacts"])),
            Cell(number(row["n_left"], 0)),
            Cell(
                money(row["earned_cents"], found.currency, is_whole=True),
                (
                    between(
                        money(row["earned_low_cents"], found.currency, is_whole=True),
                        money(row["earned_high_cents"], found.currency, is_whole=True),
                    ),
                ),
            ),
        ]
        for row in found.earnings.to_dict("records")
    ]
    return Table("lists", "Lists by date", heads, rows)


def _decisions(found: Backtest) -> Section:
    heads = [Head("Date"), Head("Decision"), Head("In use since"), Head("Learned from", is_number=True)]
    rows = [
        [
            Cell(short_day(row["as_of"])),
            Cell(str(row["decision"]), (str(row["reason"]),)),
            Cell(short_day(row["serving_since"]) if is_known(row["serving_since"]) else "none"),
            Cell(count(row["n_trained"])),
        ]
        for row in found.decisions.to_dict("records")
    ]
    return Section("decisions", "What the gate decided", [], [Table("gate", "Decisions by date", heads, rows)], "")
