"""The readiness report on a terminal: a screen with the same answers and numbers as the page."""

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.readiness_facts import Facts
from pipelines.check import Readiness
from pipelines.report.readiness import QUESTIONS, title
from pipelines.report.readiness_sections import said
from pipelines.report.reasons import in_plain_words
from pipelines.report.words import count, day, money, share, things

_STYLES = {"yes": "green", "with care": "yellow", "no": "red"}


def show(readiness: Readiness, path: Path, console: Console) -> None:
    """Print the answers, what is missing for each, and the main numbers.

    Parameters
    ----------
    readiness
        What was found.
    path
        Where the page was written.
    console
        Where to.
    """
    console.print(_plain(f"regulars · {readiness.company} · as of {day(readiness.as_of_on)}"), style="bold")
    console.print(_plain(title(readiness.answers)))
    console.print(_tables(readiness))
    console.print(_answers(readiness))
    for name, text in _numbers(readiness.facts):
        console.print(_plain(f"{name:<12}{text}"))
    console.print(_plain(f"{'Report':<12}{path}"), soft_wrap=True)


def _tables(readiness: Readiness) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("table", "rows in", "accepted", "set aside", "copies", "money in", "found"):
        table.add_column(name, justify="left" if name in {"table", "found"} else "right")
    for one in readiness.facts.tables:
        reasons = (f"{in_plain_words(reason.name)}: {count(reason.n_rows)}" for reason in one.reasons[:2])
        found = [one.problem or "", *reasons]
        numbers = [count(n) for n in (one.n_rows, one.n_accepted, one.n_quarantined, one.n_duplicates)]
        cents = money(one.rows_cents, readiness.currency)
        table.add_row(*(_plain(text) for text in (one.name, *numbers, cents, "; ".join(filter(None, found)))))
    return table


def _answers(readiness: Readiness) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("question", "answer", "why, and what to do"):
        table.add_column(name, no_wrap=name == "answer")
    for answer in readiness.answers:
        why = _plain("\n".join([answer.why, *(f"→ {action}" for action in answer.missing)]), keep="\n")
        table.add_row(_plain(QUESTIONS[answer.question]), Text(answer.word, style=_STYLES[answer.word]), why)
    return table


def _numbers(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.lines is not None:
        lines = facts.lines
        yield "Span", f"{day(lines.first_on)} to {day(lines.last_on)}, {things(lines.n_gap_days, 'missing day')}"
        yield "Customers", f"{count(lines.n_customers)}, {said(lines.repeat)} bought on two days or more"
        yield "Lines", f"{said(lines.anonymous)} without a customer, {share(lines.returns_share)} of money returned"
    if facts.churn is not None and facts.churn.by_horizon:
        rates = [f"{one.horizon_days} days {share(one.churned.value)}" for one in facts.churn.by_horizon if one.churned]
        yield "Silent for", ", ".join(rates)
    if facts.churn is not None and facts.churn.sentence:
        yield "Horizon", facts.churn.sentence
    if facts.label is not None:
        yield "Label", f"“{facts.label.column}”: {said(facts.label.share)} left"
    for one in facts.contactable:
        yield "Consent", f"{one.purpose}: {said(one.share)}, {one.source}"


def _plain(text: str, keep: str = "") -> Text:
    """Return a text without control characters and without markup, whatever the data hold."""
    return Text(
        "".join(sign if sign.isprintable() or sign in keep or sign == "\N{NO-BREAK SPACE}" else "?" for sign in text)
    )
