"""What is known of the models beside their scores: what moves the risk, whom a contact pays for, floors, the shadow."""

from collections.abc import Mapping, Sequence

from pipelines.report import charts, facts
from pipelines.report.blocks import Cell, Figure, Head, Table, real, rows_of
from pipelines.report.night import Night
from pipelines.report.svg import Title
from pipelines.report.words import (
    METRICS,
    MODELS,
    NOTHING,
    SMALL_COUNT,
    axis,
    between,
    count,
    is_known,
    label,
    money,
    number,
    percent,
    share,
)

TABLES = ("model_floors", "model_effects", "shadow_agreement", "contact_thresholds")
"""Published tables that these blocks read; a night before them has none."""
HALF = 0.5
_MOST_THEMES = 8
_PER = 1_000
_MEASURES = {
    "mean_difference": "Average difference, candidate minus model in use",
    "rank_correlation": "Agreement of the order (rank correlation)",
    "top_tenth_shared": "Share of the highest tenth that both name",
}
Row = Mapping[str, object]


def rows(night: Night, table: str) -> list[dict[str, object]]:
    """Return the rows of a table about models; none of a night without it."""
    return rows_of(night.models[table]) if table in night.models else []


def notes(night: Night) -> list[str]:
    """Return what the churn model in use says of itself: what past years say of these weeks, and what went wrong."""
    said = []
    for row in rows(night, "serving_models"):
        for name, lead in (("season", ""), ("warning", "the fit to purchases alone is to be doubted: ")):
            text = row.get(name)
            if row["model"] == "churn" and is_known(text) and str(text):
                text = f"{lead}{text}".rstrip(".")
                said.append(f"{text[0].upper()}{text[1:]}.")
    return said


def effects_figure(found: Sequence[Row]) -> Figure:
    """Draw how much each theme moves the risk on the whole; the bars of one theme speak of all customers."""
    title = "What moves the risk on the whole is not known tonight."
    if found:
        title = f"The risk is moved most by {_theme(found[0])}."
    drawn = [
        charts.Row(
            _theme(row),
            (
                charts.Mark(
                    real(row["mean_effect"]),
                    real(row["low"]),
                    real(row["high"]),
                    f"{number(row['mean_effect'])}  ({between(number(row['low']), number(row['high']))})",
                ),
            ),
        )
        for row in found[:_MOST_THEMES]
    ]
    svg = charts.forest(Title("effects", title, "Mean size of the effect of each theme."), drawn, axis)
    note = (
        "Mean size of what a theme adds to a customer’s log-odds of leaving against the typical customer, with its "
        "interval. It goes together with leaving, and says no more."
    )
    return Figure(title, note, svg)


def _theme(row: Row) -> str:
    theme, feature = feature_name(row["theme"]), feature_name(row["feature"])
    return theme if theme == feature else f"{theme} (mostly {feature})"


def feature_name(name: object) -> str:
    """Write the name of a feature for a person.

    Examples
    --------
    >>> feature_name("n_orders_28d"), feature_name("spend_84d_cents")
    ('orders 28d', 'spend 84d')
    """
    return label({}, str(name).removeprefix("n_").removesuffix("_cents"))


def threshold_words(night: Night) -> list[str]:
    """Say from which chance of leaving on a contact pays, and that a half is not it."""
    said = []
    for row in rows(night, "contact_thresholds"):
        reach = between(share(row["cost_threshold_low"]), share(row["cost_threshold_high"]))
        said.append(
            f"A contact costs {money(row['cost_per_contact_cents'], night.currency)} and is assumed to keep "
            f"{share(row['save_share'], 0)} of those who would leave. For a customer of average worth it pays from a "
            f"churn probability of {share(row['cost_threshold'])} on ({reach}); on the list each one’s own worth "
            "decides."
        )
        risks = night.scores.set_index("customer_id")["churn_probability"]
        listed = facts.contacts(night)
        listed = listed[listed["action"] == "retain"]
        n_below = int((risks.reindex(listed["customer_id"]) < HALF).sum())
        if n_below > SMALL_COUNT:
            said.append(
                f"{count(n_below)} customers are on the list to be retained whom a threshold of a half would miss."
            )
    return said


def threshold_table(night: Night) -> Table:
    """Return what each way to choose whom to contact asks for, and would have earned at the judged date."""
    risks = night.scores["churn_probability"].dropna().astype("float64")
    found = []
    for row in rows(night, "contact_thresholds"):
        ways = (
            ("Where the gain meets the cost", "cost_threshold", None),
            ("Most profit at the judged date", "best_threshold", "profit_cents"),
            ("A half", HALF, "half_profit_cents"),
            ("Everybody", 0.0, "everybody_profit_cents"),
        )
        for name, threshold, profit in ways:
            at = real(row[threshold]) if isinstance(threshold, str) else threshold
            ends = [share(row[f"{threshold}_{end}"]) for end in ("low", "high")] if isinstance(threshold, str) else []
            found.append(
                (
                    Cell(name),
                    Cell(share(at) if at < 1 else "nobody", (between(*ends),) if ends else ()),
                    Cell(_above(int((risks >= at).sum()), len(risks))),
                    _earned(night, row, profit),
                )
            )
    heads = ("Churn probability from", "Customers tonight", f"Earned per {count(_PER)} customers")
    note = (
        "Earned: at the judged date, by those who really left, if a contact keeps as many as assumed; all are taken to "
        "be worth the average. The most profit allows for not knowing that share."
    )
    caption = "Whom a contact pays for"
    return Table(
        "thresholds", caption, (Head("Contact"), *(Head(one, is_number=True) for one in heads)), found, note=note
    )


def _above(n: int, total: int) -> str:
    return count(n) if min(n, total - n) > SMALL_COUNT or n in {0, total} else NOTHING


def _earned(night: Night, row: Row, profit: str | None) -> Cell:
    if profit is None:
        return Cell(NOTHING)
    ends: tuple[str, ...] = ()
    if profit == "profit_cents":
        low, high = (
            money(_PER * real(row[f"profit_{end}_cents"]), night.currency, is_whole=True) for end in ("low", "high")
        )
        ends = (between(low, high),)
    cents = _PER * real(row[profit])
    return Cell(money(cents, night.currency, is_whole=True), ends, sort=str(cents))


def floors_table(night: Night) -> Table:
    """Return how each candidate stands among customers of each kind."""
    return floors_of(rows(night, "model_floors"))


def floors_of(found: Sequence[Row]) -> Table:
    """Return the floors of some candidates as a table."""
    measured = [row for row in found if is_known(row["candidate_value"])]
    cells = [
        (
            Cell(str(row["model"])),
            Cell(str(row["slice"]), ("worse, beyond chance",) if row["is_broken"] else ()),
            Cell(count(row["n_rows"])),
            Cell(_short(row["candidate_value"]), (_metric(row),), sort=str(row["candidate_value"])),
            Cell(_short(row["reference_value"]), (label(MODELS, row["reference"]),)),
            Cell(_short(row["difference"]), (between(_short(row["difference_low"]), _short(row["difference_high"])),)),
        )
        for row in measured
    ]
    names = ("Judged", "Candidate", "Compared with", "Difference")
    heads = (Head("Model"), Head("Which customers"), *(Head(name, is_number=True) for name in names))
    note = (
        f"Less is better; intervals hold for all kinds at once. {count(len(found) - len(measured))} kinds had too few"
    )
    note += " customers, or customers who all did the same, and were not measured."
    return Table("floors", "The candidates among customers of each kind", heads, cells, limit=10, note=note)


def _metric(row: Row) -> str:
    return METRICS.get(str(row["metric"]), (label({}, row["metric"]), ""))[0]


def _short(value: object) -> str:
    return number(value, 3 if is_known(value) and abs(real(value)) < 100 else 0)


def shadow_table(night: Night) -> Table:
    """Return how far the candidates that were not promoted say the same as the models in use."""
    cells = [
        (
            Cell(f"{row['model']} version {row['candidate_version']}"),
            Cell(_MEASURES.get(str(row["metric"]), label({}, row["metric"]))),
            Cell(count(row["n_customers"])),
            Cell(_said(night, row, "value"), (between(_said(night, row, "low"), _said(night, row, "high")),)),
        )
        for row in rows(night, "shadow_agreement")
    ]
    heads = (Head("Candidate"), Head("Measure"), Head("Customers", is_number=True), Head("Tonight", is_number=True))
    return Table("shadow", "Candidates that were not promoted, beside the models in use", heads, cells)


def _said(night: Night, row: Row, name: str) -> str:
    if row["metric"] == "mean_difference":
        return money(row[name], night.currency) if row["model"] == "value" else share(row[name], 2)
    return percent(round(real(row[name]), 3)) if row["metric"] == "top_tenth_shared" else number(row[name])
