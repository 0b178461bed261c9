"""The second half of the report: campaigns, model decisions, data quality, and how to trace a number."""

from pipelines.report import charts, facts, models
from pipelines.report.blocks import Card, Cards, Cell, Figure, Figures, Head, Section, Table, real, rows_of
from pipelines.report.night import Night
from pipelines.report.svg import Format, Title
from pipelines.report.words import (
    METRICS,
    MODELS,
    NOTHING,
    between,
    count,
    guarded,
    is_known,
    is_shown,
    label,
    money,
    number,
    things,
)

_METRIC_NAMES = {key: name for key, (name, _) in METRICS.items()}
_LARGE_CENTS = 2000
_LOT, _CHOICE, _DOUBTED = "Randomised", "Not randomised", "Declared as randomised"
_DECISIONS = {
    "promoted": "Promoted: the new model is in use",
    "refused": "Refused: nothing comes into use",
    "kept": "Kept: the model in use stays",
}


def campaigns(night: Night) -> Section:
    """Return section 4: each campaign's effect with its interval beside the plain difference and the placebo."""
    rows = rows_of(night.campaign_verdicts)
    designs = [_design(row) for row in rows]
    n_lots, n_chosen, n_doubted = (designs.count(design) for design in (_LOT, _CHOICE, _DOUBTED))
    lede = [f"{things(len(rows), 'campaign')} judged: {facts.verdict_counts(night)}."]
    if n_chosen:
        which = f"{n_chosen} of them were" if n_chosen < len(rows) else "They were"
        lede.append(
            f"{which} not randomised: somebody chose whom to contact, so the groups differed from the start. "
            "Their figures are comparisons, not effects."
        )
    if n_doubted:
        lede.append(
            f"{things(n_doubted, 'campaign')} declared as randomised, which the data contradict: no effect is claimed."
        )
    if n_lots:
        lede.append(f"{things(n_lots, 'campaign')} randomised: there the difference is the campaign’s doing.")
    blocks = (Figures((_effects(night, rows),)), Cards([_card(row) for row in rows]), _effect_table(night, rows))
    return Section("campaigns", "Did campaigns work", lede, blocks, night.source("campaign_verdicts"))


def decisions(night: Night) -> Section:
    """Return section 5: which models were promoted or refused, and why."""
    rows = [
        (
            Cell(str(row["model"])),
            Cell(_DECISIONS.get(str(row["decision"]), str(row["decision"])), (str(row["reason"]),)),
            Cell(number(row["candidate_value"], 3), (label(_METRIC_NAMES, row["metric"]),)),
            Cell(
                number(row["reference_value"], 3),
                (label(MODELS, row["reference"]) if is_known(row["reference"]) else "",),
            ),
            Cell(
                number(row["difference"], 3),
                (between(number(row["difference_low"], 3), number(row["difference_high"], 3)),),
            ),
        )
        for row in rows_of(night.model_decisions)
    ]
    heads = (
        Head("Model"),
        Head("Decision"),
        *(Head(name, is_number=True) for name in ("Candidate", "Compared with", "Difference")),
    )
    lede = [
        "A new model comes into use only if later data say that it beats the one in use and the baseline.",
        *([] if rows else ["No model was trained tonight; the models in use stay."]),
    ]
    table = Table("gate", "Decisions of the gate", heads, rows)
    shown = [name for name in ("model_floors", "shadow_agreement") if name in night.models]
    more = {"model_floors": models.floors_table, "shadow_agreement": models.shadow_table}
    blocks = (table, *(more[name](night) for name in shown))
    return Section("decisions", "Model decisions", lede, blocks, night.source("model_decisions", *shown))


def quality(night: Night) -> Section:
    """Return section 6: what came in, what was set aside and why, and what else to look at."""
    failed = facts.failed(night)
    held = len(night.quality) - len(failed)
    set_aside = facts.quarantined(night)
    agree = "Rows and money add up in every table" if facts.is_reconciled(night) else "Rows or money do not add up"
    lede = [
        f"{agree}: in = accepted + quarantined + exact duplicates.",
        f"{things(set_aside, 'row was', 'rows were')} put into quarantine.",
        f"{held} of {things(len(night.quality), 'expectation')} held.",
    ]
    blocks = (_reconciliation(night), _failures(rows_of(failed)))
    return Section("quality", "Data quality", lede, blocks, night.source("quality", "quarantine", "reconciliation"))


def trace(night: Night) -> Section:
    """Return section 7: everything that identifies the run and the versions of its tables."""
    facts_rows = (
        ("Run key", night.run_key),
        ("As of (UTC)", f"{night.as_of.isoformat(sep=' ')}, local time zone {night.timezone}"),
        ("Code digest", night.code_digest),
        ("MLflow run", night.mlflow_run_id or NOTHING),
    )
    run = Table("run", "The run", (Head("What"), Head("Value")), [(Cell(a), Cell(b)) for a, b in facts_rows])
    versions = Table(
        "versions",
        "The tables it published",
        (Head("Table"), Head("Version", is_number=True)),
        [(Cell(name), Cell(str(version))) for name, version in sorted(night.versions.items())],
    )
    blocks = [run, versions]
    if night.stage_seconds is not None:
        total = sum(night.stage_seconds.values())
        heads = (Head("Stage"), Head("Seconds", is_number=True))
        rows = [(Cell(name), Cell(number(seconds, 1))) for name, seconds in night.stage_seconds.items()]
        blocks.append(Table("stages", f"Where {number(total, 1)} seconds went", heads, rows))
    lede = [
        "Every section names its tables with their versions, as in scores@3.",
        "The run key stands for the data, the settings and the code: the same key gives the same numbers.",
        "Measures and models are in the MLflow run.",
    ]
    return Section("trace", "How to trace a number", lede, tuple(blocks), f"run {night.run_key}")


def _effects(night: Night, rows: list[dict[str, object]]) -> Figure:
    parts = ("effect_cents", "naive_cents", "placebo_cents")
    is_large = any(abs(real(row[part])) >= _LARGE_CENTS for row in rows for part in parts)

    def write(cents: float) -> str:
        return money(cents, night.currency, is_whole=is_large)

    drawn = [charts.Row(_campaign_name(row), _marks(row, write)) for row in rows]
    clear = [row for row in rows if str(row["verdict"]) == "works"]
    title = "No campaign was judged tonight."
    if rows:
        title = (
            f"{len(clear)} of {things(len(rows), 'campaign')} clearly worked."
            if clear
            else f"Of {things(len(rows), 'campaign')}, none is shown to have worked."
        )
    description = "Per campaign: adjusted estimate, plain difference, and placebo, in money per contacted customer."
    svg = charts.forest(Title("effects", title, description), drawn, write, reference=0.0)
    note = (
        "Per contacted customer in the window from the start. ● adjusted estimate with interval · ◇ plain difference · "
        "□ placebo: the same comparison before the start, which should be zero."
    )
    return Figure(title, note, svg)


def _marks(row: dict[str, object], write: Format) -> tuple[charts.Mark, ...]:
    nothing = float("nan")
    effect, low, high = (real(row[f"effect{end}_cents"]) for end in ("", "_low", "_high"))
    placebo, before, after = (real(row[f"placebo{end}_cents"]) for end in ("", "_low", "_high"))
    naive = real(row["naive_cents"])
    return (
        charts.Mark(effect, low, high, _said("adjusted", effect, low, high, write)),
        charts.Mark(naive, nothing, nothing, _said("plain", naive, nothing, nothing, write), "diamond"),
        charts.Mark(placebo, before, after, _said("placebo", placebo, before, after, write), "square"),
    )


def _said(name: str, value: float, low: float, high: float, write: Format) -> str:
    interval = between(write(low), write(high))
    return f"{name} {write(value)}" + (f" ({interval})" if interval else "") if is_known(value) else name


def _design(row: dict[str, object]) -> str:
    """Return how the contacted were chosen; a lot in which the judges do not believe is none."""
    if not row["is_randomised"]:
        return _CHOICE
    return _DOUBTED if str(row["verdict"]) == "not proven" else _LOT


def _card(row: dict[str, object]) -> Card:
    groups = guarded([int(str(row["n_treated"])), int(str(row["n_control"]))])
    return Card(
        _campaign_name(row),
        str(row["verdict"]),
        (f"{_design(row)}: {groups[0]} contacted, {groups[1]} compared.", str(row["words"])),
    )


def _effect_table(night: Night, rows: list[dict[str, object]]) -> Table:
    cells = [
        (
            Cell(_campaign_name(row)),
            *(Cell(n, sort=n.replace(",", "") if is_shown(n) else "") for n in _sizes(row)),
            _money_cell(night, row, "naive"),
            _money_cell(night, row, "effect"),
            _money_cell(night, row, "placebo"),
            Cell(number(row.get("propensity_auc"))),
        )
        for row in rows
    ]
    names = ("Contacted", "Compared", "Plain difference", "Adjusted estimate", "Placebo", "Overlap (AUC)")
    heads = (Head("Campaign"), *(Head(name, is_number=True) for name in names))
    note = "Overlap: how well the past tells who was contacted; 0.5 is perfect overlap, above 0.8 is too little."
    return Table("effect-table", "Money per contacted customer in the window from the start", heads, cells, note=note)


def _sizes(row: dict[str, object]) -> list[str]:
    return guarded([int(str(row["n_treated"])), int(str(row["n_control"]))])


def _money_cell(night: Night, row: dict[str, object], name: str) -> Cell:
    ends = [money(row.get(f"{name}_{end}_cents"), night.currency) for end in ("low", "high")]
    value = row[f"{name}_cents"]
    return Cell(money(value, night.currency), (between(*ends),), sort=str(value) if is_known(value) else "")


def _campaign_name(row: dict[str, object]) -> str:
    return str(row["name"]) if is_known(row["name"]) else str(row["campaign_id"])


def _reconciliation(night: Night) -> Table:
    parts = {"n_in": "in", "n_accepted": "accepted", "n_quarantined": "quarantined", "n_duplicates": "duplicate"}
    names = ["In", "Accepted", "Quarantined", "Exact duplicates"]
    if facts.has_refused(night):
        parts["n_refused"] = "refused"
        names.append("Refused")
    rows = []
    # A table that the company does not keep says nothing.
    for row in rows_of(night.reconciliation[night.reconciliation["n_in"] > 0]):
        cents = {part: row[f"{name}_cents"] for part, name in parts.items()}
        sums = {part: money(value, night.currency) if is_known(value) else "" for part, value in cents.items()}
        cells = [Cell(count(row[part]), (sums[part],)) for part in parts]
        rows.append((Cell(str(row["table_name"])), *cells))
    heads = (Head("Table"), *(Head(name, is_number=True) for name in names))
    note = "Rows, and the money on them where the table holds money."
    return Table("reconciliation", "Every row and every cent accounted for", heads, rows, note=note)


def _failures(rows: list[dict[str, object]]) -> Table:
    cells = [
        (
            Cell(str(row["table_name"])),
            Cell(str(row["expectation"]), (str(row["detail"]) if is_known(row["detail"]) else "",)),
            Cell(str(row["severity"])),
            Cell(count(row["n_failed"])),
            Cell(count(row["n_rows"])),
        )
        for row in rows
    ]
    heads = (
        Head("Table"),
        Head("Expectation"),
        Head("Severity"),
        Head("Rows failed", is_number=True),
        Head("Rows", is_number=True),
    )
    note = (
        "Rejected rows are in quarantine with every reason; warned rows are kept."
        if rows
        else "Every expectation held."
    )
    return Table("failures", "Expectations that did not hold", heads, cells, note=note)
