"""Builds the readiness report: one HTML page that says what the data can answer."""

from collections.abc import Callable, Sequence

from models.evaluation import Estimate
from models.readiness import Answer
from models.readiness_facts import Facts, TableFacts
from pipelines.check import Readiness
from pipelines.report.blocks import Card, Cell, Head, Section, Table, Tile
from pipelines.report.document import rendered
from pipelines.report.readiness_sections import (
    baskets,
    customers,
    label,
    leaving,
    lines,
    permission,
    trials,
)
from pipelines.report.reasons import in_plain_words
from pipelines.report.words import count, day, money, share, things

QUESTIONS = {
    "churn": "Who is about to leave?",
    "value": "What are customers worth?",
    "rules": "What sells together?",
    "offers": "What to offer next?",
    "uplift": "Did a campaign work?",
}
"""The questions in the words of a manager."""


def readiness_page(readiness: Readiness) -> str:
    """Return the readiness report as one HTML page that asks the network for nothing.

    Parameters
    ----------
    readiness
        What was found.
    """
    return rendered(
        "readiness.html",
        # An answer is told by word and sign, never by colour alone.
        "readiness.css",
        company=readiness.company,
        day=day(readiness.as_of_on),
        as_of=readiness.as_of,
        title=title(readiness.answers),
        lede=_lede(readiness),
        answers=[(_css(answer), card(answer), answer.missing) for answer in readiness.answers],
        tiles=_tiles(readiness),
        sections=[section for section in (make(readiness) for make in _SECTIONS) if section is not None],
    )


def title(answers: Sequence[Answer]) -> str:
    """Say in one line how many of the questions the data answer."""
    n_yes, n_care = (sum(answer.word == word for answer in answers) for word in ("yes", "with care"))
    if not n_yes + n_care:
        return f"The data answer none of the {len(answers)} questions yet"
    care = f", {n_care} more with care" if n_yes and n_care else " with care" if n_care else ""
    return f"The data answer {n_yes or n_care} of {len(answers)} questions{care}"


def card(answer: Answer) -> Card:
    """Return an answer as a card: the question, the word, and why."""
    return Card(QUESTIONS[answer.question], answer.word, (answer.why,))


def _css(answer: Answer) -> str:
    return {"with care": "care"}.get(answer.word, answer.word)


def _lede(readiness: Readiness) -> list[str]:
    end = day(readiness.as_of_on)
    judged = (
        "The data hold no purchases over time, so no day had to be chosen at which to judge them."
        if readiness.is_own_end and readiness.facts.lines is None
        else f"Judged as of {end}, the midnight after the last event in the data."
        if readiness.is_own_end
        else f"Judged as of {end}, as asked: what is later was left out."
    )
    stops = [table.name for table in readiness.facts.tables if table.problem]
    stop = f"A night would stop now at {' and '.join(stops)}: see the tables below." if stops else ""
    return [judged, *([stop] if stop else [])]


def _tiles(readiness: Readiness) -> list[Tile]:
    facts = readiness.facts
    n_in = sum(table.n_rows for table in facts.tables)
    n_out = sum(table.n_quarantined for table in facts.tables)
    tiles = [Tile("Rows in", count(n_in), f"{count(n_out)} set aside")]
    if facts.lines is not None:
        seen = facts.lines
        tiles += [
            Tile("Days", count(seen.n_days), f"{day(seen.first_on)} to {day(seen.last_on)}"),
            Tile("Customers", count(seen.n_customers), f"{_share(seen.repeat)} bought on two days or more"),
            Tile("Sales", money(seen.sales_cents, readiness.currency, is_whole=True), things(seen.n_orders, "order")),
        ]
    elif facts.label is not None and facts.label.share is not None:
        tiles.append(Tile("Customers with a label", count(facts.label.share.n_rows), f"“{facts.label.column}”"))
        tiles.append(Tile("Left", _share(facts.label.share), "of them"))
    for trial in facts.trials[:1] if facts.lines is None else ():
        tiles.append(Tile("In the trial", count(trial.n_treated + trial.n_control), trial.name))
        tiles.append(Tile("Left alone", count(trial.n_control), "the control group"))
    return tiles[:4]


def _share(found: Estimate | None) -> str:
    return share(found.value if found else None)


def _tables(readiness: Readiness) -> Section:
    """Say where the rows and the money of each table went."""
    facts, symbol = readiness.facts, readiness.currency
    heads = [Head("Table"), *(Head(name, is_number=True) for name in ("Rows in", "Accepted", "Set aside", "Copies"))]
    heads += [Head("Money in", is_number=True), Head("Adds up"), Head("What was found")]
    rows = [_table_row(table, symbol) for table in facts.tables]
    broken = [table for table in facts.tables if table.problem]
    lede = [
        "Every row is accepted, set aside with its reasons, or an exact copy. Nothing is lost: rows and money add up."
        if all(table.is_reconciled for table in facts.tables if table.is_accepted)
        else "Rows or money do not add up in at least one table."
    ]
    lede += [f"{table.name}: {table.problem}" for table in broken]
    note = "A row that is set aside may break several rules; it waits in quarantine with all of them."
    return Section("tables", "What came in", lede, [Table("table-rows", "Rows by table", heads, rows, note=note)], "")


def _table_row(table: TableFacts, symbol: str) -> list[Cell]:
    found = [f"{in_plain_words(one.name)}: {count(one.n_rows)} set aside" for one in table.reasons]
    found += [f"{in_plain_words(one.name)}: {count(one.n_rows)} accepted, to look at" for one in table.warnings]
    if table.unmapped:
        found.append(f"not mapped: {', '.join(table.unmapped)}")
    return [
        Cell(table.name),
        Cell(count(table.n_rows)),
        Cell(count(table.n_accepted)),
        Cell(count(table.n_quarantined)),
        Cell(count(table.n_duplicates)),
        Cell(money(table.rows_cents, symbol)),
        Cell("yes" if table.is_reconciled else "no" if table.is_accepted else "refused"),
        Cell("" if found else "nothing amiss", found),
    ]


def _completeness(readiness: Readiness) -> Section:
    """Say how full each column is."""
    heads = [Head("Table"), Head("Column"), Head("Missing", is_number=True), Head("95 % interval", is_number=True)]
    rows = [
        [
            Cell(table.name),
            Cell(column.name),
            Cell(_share(column.missing), sort=str(column.missing.value if column.missing else "")),
            Cell(f"{share(column.missing.low)} to {share(column.missing.high)}" if column.missing else ""),
        ]
        for table in readiness.facts.tables
        for column in table.columns
    ]
    absent = [f"{table.name}: {', '.join(table.absent)}." for table in readiness.facts.tables if table.absent]
    lede = ["The share of accepted rows in which a column is empty."]
    lede += ["Columns that could be delivered and are not:", *absent] if absent else []
    return Section("completeness", "How complete it is", lede, [Table("columns", "Columns", heads, rows)], "")


def _of_facts(make: Callable[[Facts, str], Section | None]) -> Callable[[Readiness], Section | None]:
    return lambda readiness: make(readiness.facts, readiness.currency)


_SECTIONS: tuple[Callable[[Readiness], Section | None], ...] = (
    _tables,
    *map(_of_facts, (lines, customers, leaving, label, baskets, trials, permission)),
    _completeness,
)
