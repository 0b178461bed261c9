"""The page about a labelled flat file: how good the model is, what moves the risk, and what it cannot say."""

import math

from pipelines.labelled import BASELINE, TONIGHT, Labelled
from pipelines.report import charts, models
from pipelines.report.blocks import Cell, Figure, Figures, Head, Section, Table, floats, rows_of
from pipelines.report.document import rendered
from pipelines.report.svg import Title
from pipelines.report.words import METRICS, MODELS, NOTHING, between, count, label, number, percent, things

_MODELS = {TONIGHT: "The model", BASELINE: "Best single column"}
_LIMITS = (
    "The judged customers come from the same file, by lot: at a later time the model will be less good than here.",
    "A column that was written down after somebody had left would give the answer away: leave such columns out.",
    "It says what goes together: acting on a reason need not change the outcome.",
    "Customers whom it learned from had told it the answer: their probability is no test of anything.",
)


def labelled_page(found: Labelled) -> str:
    """Return the findings as one HTML page that asks the network for nothing and names no customer.

    Parameters
    ----------
    found
        What was found.
    """
    return rendered(
        "card.html",
        company=found.company,
        day="a labelled file",
        run_key=f"{found.n_trained} customers trained, {found.n_judged} judged",
        title=headline(found),
        lede=[
            f"Trained on {things(found.n_trained, 'customer')}, judged on {count(found.n_judged)} others by lot.",
            f"{things(found.n_unlabelled, 'customer')} unlabelled, {things(found.n_quarantined, 'row')} set aside.",
            f"{found.decision.reason[:1].upper()}{found.decision.reason[1:]}.",
        ],
        sections=[_good(found), _made(found), _limits()],
    )


def headline(found: Labelled) -> str:
    """Say in one line whether the model is of use."""
    if found.decision.decision == "promoted":
        return f"Who leaves can be told better than by {found.best_column} alone"
    return f"No model tells who leaves better than {found.best_column} alone"


def _good(found: Labelled) -> Section:
    wide = {(row["model"], row["metric"]): row for row in rows_of(found.metrics)}
    rows = []
    for name in dict.fromkeys(found.metrics["metric"]):
        plain, meaning = METRICS.get(str(name), (label({}, name), ""))
        rows.append((Cell(plain, (meaning,)), *(_cell(wide.get((model, name))) for model in _MODELS)))
    heads = (Head("Measure"), *(Head(name, is_number=True) for name in _MODELS.values()))
    table = Table("measures", "Measures on the judged customers, with intervals", heads, rows)
    effects = models.effects_figure(rows_of(found.moved))
    return Section(
        "good", "How good it is", [], (table, Figures((_calibration(found), effects))), "the judged customers"
    )


def _cell(row: dict[str, object] | None) -> Cell:
    if row is None or math.isnan(float(str(row["value"]))):
        return Cell(NOTHING)
    return Cell(number(row["value"], 3), (between(number(row["low"], 3), number(row["high"], 3)),))


def _calibration(found: Labelled) -> Figure:
    said, seen, low, high = (floats(found.calibration[name]) for name in ("predicted", "observed", "low", "high"))
    inside = sum(bottom <= value <= top for value, bottom, top in zip(said, low, high, strict=True))
    title = f"{inside} of {len(said)} groups left as often as was said."
    svg = charts.calibration(
        Title("calibration", title, "Observed share of leavers against predicted."),
        said,
        seen,
        low,
        high,
        write=percent,
    )
    return Figure(title, "Each dot is a group of judged customers, with its interval; dashes: perfect.", svg)


def _made(found: Labelled) -> Section:
    rows = [(Cell(name), Cell(reason)) for name, reason in found.left_out.items()]
    table = Table("left-out", "Columns that were not learned from", (Head("Column"), Head("Why")), rows)
    lede = [f"Chosen among the candidates by the training customers alone: {label(MODELS, found.chosen)}."]
    return Section("made", "How it was made", lede, (table,) if rows else (), "the customers of the file")


def _limits() -> Section:
    table = Table("limits-list", "What to keep in mind", (Head("Limit"),), [(Cell(line),) for line in _LIMITS])
    return Section("limits", "What it cannot say", [], (table,), "the method")
