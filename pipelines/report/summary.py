"""The summary at the end of a night: a screen of plain lines, the same numbers as the report.

At most ``MAX_LINES`` lines of at most ``WIDTH`` columns, except that the path of a file is never cut.
"""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from pipelines.report import facts
from pipelines.report.blocks import real, rows_of
from pipelines.report.night import Night
from pipelines.report.words import (
    ACTIONS,
    METRICS,
    MODELS,
    NOTHING,
    between,
    count,
    day,
    guarded,
    is_known,
    label,
    money,
    number,
    share,
    things,
)

WIDTH = 100
MAX_LINES = 45
_NAME = 12
_TOP_CONTACTS = 10
_TOP_ROWS = 5
_TOP_CHECKS = 3
_METRICS = ("auc", "pr_auc", "brier", "calibration_slope", "top_decile_lift")


def summary(night: Night, files: Mapping[str, Path]) -> list[str]:
    """Return the lines of the summary, without control characters whatever the data hold.

    Parameters
    ----------
    night
        The results of one run.
    files
        What was written, name -> path.
    """
    body = [
        *_rows(night),
        *_churn(night),
        *_sentence("Rules", f"{facts.rules_survived(night)}."),
        *_named("Campaigns", [_campaign(night, row) for row in rows_of(night.campaign_verdicts)]),
        *_named("Models", [_decision(row) for row in rows_of(night.model_decisions)]),
        *_named("Contacts", _contacts(night), limit=_TOP_CONTACTS + 1),
    ]
    title = _fit(f"regulars · {night.company} · as of {day(night.as_of_on)} · run {night.run_key}", WIDTH)
    lines = [_fit(f"{name:<{_NAME}}{said}", WIDTH) for name, said in body]
    paths = [f"{'Files' if place == 0 else '':<{_NAME}}{plain(str(path))}" for place, path in enumerate(files.values())]
    return [title, "", *lines, *paths]


def show(night: Night, files: Mapping[str, Path], console: Console) -> None:
    """Write the summary: names in bold on a terminal, plain lines anywhere else.

    Parameters
    ----------
    night, files
        See ``summary``.
    console
        Where to; characters that it cannot write become question marks.
    """
    for line in summary(night, files):
        safe = line.encode(console.encoding, "replace").decode(console.encoding)
        text = Text(safe)
        # Text, never markup: a customer's id may look like a style.
        text.stylize("bold", 0, _NAME if line[:1].isupper() else 0)
        console.print(text, soft_wrap=True, highlight=False)


def _rows(night: Night) -> Iterator[tuple[str, str]]:
    eligible = int(night.scores["is_eligible"].astype(bool).sum())
    lately = guarded([eligible, len(night.scores) - eligible])[0]
    chosen, held = len(facts.contacts(night)), guarded([len(facts.held_out(night))])[0]
    known = f"{count(len(night.scores))} known, {lately} bought lately"
    yield "Customers", f"{known}; contact {count(chosen)} tomorrow, {held} held out"
    frame = night.reconciliation
    ways = ["accepted", "quarantined", "duplicates"] + ["refused"] * facts.has_refused(night)
    went = " + ".join(f"{count(frame[f'n_{way}'].fillna(0).sum())} {way}" for way in ways)
    agrees = "agrees" if facts.is_reconciled(night) else "DOES NOT AGREE"
    yield "Rows", f"{count(frame['n_in'].fillna(0).sum())} in = {went}: {agrees}"
    sums = {way: frame[f"{way.removesuffix('s')}_cents"].fillna(0).sum() for way in ways}
    went = " + ".join(f"{money(cents, night.currency)} {way}" for way, cents in sums.items())
    yield "Money", f"{money(frame['in_cents'].fillna(0).sum(), night.currency)} in = {went}"
    failed = rows_of(facts.failed(night))
    yield from _named("Checks", [_failure(row) for row in failed], limit=_TOP_CHECKS, nothing="every expectation held")


def _failure(row: dict[str, object]) -> str:
    return f"{row['severity']}: {row['table_name']}, {row['expectation']}, {count(row['n_failed'])} rows"


def _churn(night: Night) -> Iterator[tuple[str, str]]:
    yield from _sentence("Leaving", _definition(night))
    yield from _sentence("Churn", facts.against_baseline(night))
    measured = [name for name in _METRICS if facts.metric(night, facts.TONIGHT, name)]
    if measured:
        yield "", f"{'':<36}{label(MODELS, facts.TONIGHT):<26}{label(MODELS, facts.BASELINE)}"
    for name in measured:
        ours, theirs = (_estimate(facts.metric(night, model, name)) for model in (facts.TONIGHT, facts.BASELINE))
        yield "", f"{METRICS[name][0]:<36}{ours:<26}{theirs}"


def _definition(night: Night) -> str:
    """Say what counts as leaving and how many did so at the past dates."""
    gone = f"No purchase for {night.horizon_days} days."
    if night.base_rates.empty:
        return gone
    least, most = (
        share(value) for value in (night.base_rates["churned_share"].min(), night.base_rates["churned_share"].max())
    )
    dates = things(len(night.base_rates), "past date")
    back = night.gaps.loc[night.gaps["days"] <= night.horizon_days, "share_returned"]
    after = f" {share(back.max())} of purchases are followed by the next one within that time." if len(back) else ""
    return f"{gone}{after} Of eligible customers {between(least, most)} left at {dates}."


def _estimate(found: facts.Estimate | None) -> str:
    if found is None:
        return NOTHING
    interval = between(number(found.low, 3), number(found.high, 3))
    return number(found.value, 3) + (f" ({interval})" if interval else "")


def _campaign(night: Night, row: dict[str, object]) -> str:
    low, high = (money(row[f"effect_{end}_cents"], night.currency) for end in ("low", "high"))
    effect = money(row["effect_cents"], night.currency)
    design = "" if row["is_randomised"] else ", not randomised"
    name = row["name"] if is_known(row["name"]) else row["campaign_id"]
    interval = between(low, high)
    figures = f"; {effect} ({interval}) a customer" if interval else ""
    return f"{name}: {row['verdict']}{design}{figures}"


def _decision(row: dict[str, object]) -> str:
    value, reference, difference, low, high = (
        number(row[name], 0 if abs(real(row["reference_value"])) >= 100 else 3)
        for name in ("candidate_value", "reference_value", "difference", "difference_low", "difference_high")
    )
    against = f"{value} against {reference} of the {row['reference']}, difference {difference}"
    metric = str(row["metric"]).replace("_", " ")
    return f"{row['model']} {row['decision']}: {metric} {against} ({between(low, high)})"


def _contacts(night: Night) -> list[str]:
    chosen = facts.contacts(night)
    lines = [_columns("#", "customer", "do", "net value", "why")] if len(chosen) else ["nobody tomorrow"]
    for row in rows_of(chosen.head(_TOP_CONTACTS)):
        why = row["category"] if is_known(row["category"]) else row["reasons"]
        worth = money(row["expected_net_value_cents"], night.currency)
        lines.append(
            _columns(
                count(row["priority"]),
                str(row["customer_id"]),
                label(ACTIONS, row["action"]),
                worth,
                str(why) if is_known(why) else NOTHING,
            )
        )
    return lines


def _columns(place: str, customer: str, doing: str, worth: str, why: str) -> str:
    return f"{_cell(place, 4)} {_cell(customer, 10)} {_cell(doing, 7)} {_fit(worth, 10):>10}  {plain(why)}"


def _sentence(name: str, text: str) -> Iterator[tuple[str, str]]:
    lines = textwrap.wrap(plain(text), WIDTH - _NAME, max_lines=2, placeholder=" …")
    for place, line in enumerate(lines):
        yield "" if place else name, line


def _named(
    name: str, lines: list[str], limit: int = _TOP_ROWS, nothing: str = "none tonight"
) -> Iterator[tuple[str, str]]:
    shown = lines[:limit]
    for place, line in enumerate(shown):
        rest = f" (and {len(lines) - limit} more in the report)" if place == limit - 1 and len(lines) > limit else ""
        yield "" if place else name, _fit(line, WIDTH - _NAME - len(rest)) + rest
    if not shown:
        yield name, nothing


def plain(text: str) -> str:
    r"""Replace what would move the cursor, ring the bell or start a new line.

    Examples
    --------
    >>> plain("a\nb\x1b[2J")
    'a?b?[2J'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text.replace("\N{NO-BREAK SPACE}", " "))


def _fit(text: str, width: int) -> str:
    """Cut to a number of columns; wide letters take two."""
    safe = plain(text)
    return safe if cell_len(safe) <= width else set_cell_size(safe, width - 1).rstrip() + "…"


def _cell(text: str, width: int) -> str:
    return set_cell_size(_fit(text, width), width)
