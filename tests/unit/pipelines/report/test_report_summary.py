"""The summary: one screen, the report's numbers, safe on a terminal."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from pipelines.report import facts
from pipelines.report.night import Night
from pipelines.report.summary import MAX_LINES, WIDTH, show, summary

Change = Callable[..., Night]
FILES = {"report": Path("var/report.html"), "actions": Path("var/actions.xlsx")}


def test_it_fits_a_screen(night: Night) -> None:
    lines = summary(night, FILES)
    assert len(lines) <= MAX_LINES
    assert max(map(cell_len, lines)) <= WIDTH


def test_it_fits_however_much_there_is_to_say(night: Night) -> None:
    many = replace(
        night,
        company="長い名前" * 40,
        campaign_verdicts=pd.concat([night.campaign_verdicts.assign(name="x" * 200)] * 20),
        model_decisions=pd.concat([night.model_decisions.assign(reason="y " * 200)] * 20),
        quality=pd.concat([night.quality.assign(is_passed=False, expectation="z" * 200)] * 20),
        texts={"rules_survived": "w " * 300},
        actions=night.actions.assign(customer_id="顧客" * 30 + night.actions["customer_id"], reasons="v " * 200),
    )
    lines = summary(many, {str(place): Path(f"file{place}") for place in range(3)})
    assert len(lines) <= MAX_LINES
    assert max(map(cell_len, lines)) <= WIDTH
    assert sum("more in the report" in line for line in lines) == 3


def test_it_says_what_the_report_says(night: Night) -> None:
    text = "\n".join(summary(night, FILES))
    for words in (
        "2,469 known",
        f"contact {len(facts.contacts(night))} tomorrow",
        "1,570,723 in = 1,570,674 accepted + 49 quarantined + 0 duplicates: agrees",
        "$4,596,039.58 in = $4,596,027.06 accepted + $12.52 quarantined",
        "0.866 (0.849 to 0.883)",
        "0.801 (0.785 to 0.817)",
        "31 of 412 candidate rules survived.",
        "Type A, campaign 8: not proven, not randomised; $12.00 (−$11.00 to $37.00)",
        "churn promoted",
        "offers refused",
        "var/report.html",
        "var/actions.xlsx",
    ):
        assert words in text


def test_the_ten_most_urgent_contacts_are_named_in_order(night: Night) -> None:
    lines = summary(night, FILES)
    start = next(place for place, line in enumerate(lines) if line.startswith("Contacts"))
    named = [line.split()[1] for line in lines[start + 1 : start + 11]]
    assert named == list(facts.contacts(night)["customer_id"].head(10))


def test_rows_that_do_not_agree_are_shouted(changed: Change) -> None:
    assert "DOES NOT AGREE" in "\n".join(summary(changed("reconciliation", n_in=1), FILES))


def test_a_night_without_anything_still_has_a_summary(empty_night: Night) -> None:
    text = "\n".join(summary(empty_night, {}))
    assert "nobody tomorrow" in text
    assert "none tonight" in text
    assert "nan" not in text.lower()


@pytest.mark.parametrize("hostile", ["\x1b[2J\x07", "a\nb\rc", "\u202eabc", "[red]x[/red]"])
def test_data_cannot_steer_the_terminal(night: Night, hostile: str) -> None:
    first = night.actions["priority"] == facts.contacts(night)["priority"].iloc[0]
    ids = night.actions["customer_id"].mask(first, hostile)
    dangerous = replace(night, company=hostile, actions=night.actions.assign(customer_id=ids))
    for is_terminal in (False, True):
        stream = io.StringIO()
        show(dangerous, FILES, Console(file=stream, force_terminal=is_terminal, color_system=None, width=80))
        assert stream.getvalue().count("\n") == len(summary(night, FILES))
        assert not {"\x07", "\r", "\u202e"} & set(stream.getvalue())
        assert "\x1b[2J" not in stream.getvalue()
    if hostile.startswith("[red]"):
        assert "[red]x" in stream.getvalue()


def test_a_file_gets_plain_lines_and_a_terminal_bold_names(night: Night) -> None:
    plain, rich = io.StringIO(), io.StringIO()
    show(night, FILES, Console(file=plain))
    show(night, FILES, Console(file=rich, force_terminal=True, color_system="standard"))
    assert plain.getvalue().splitlines() == summary(night, FILES)
    assert "\x1b[1m" in rich.getvalue()


def test_a_stream_that_knows_ascii_only_gets_question_marks(night: Night) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    show(night, FILES, Console(file=stream))
    stream.flush()
    assert b"regulars ? Complete Journey" in raw.getvalue()


def test_a_path_is_never_cut(night: Night) -> None:
    path = Path("x" * 300) / "report.html"
    assert summary(night, {"report": path})[-1].endswith(str(path))


def test_a_long_sentence_takes_two_lines_and_no_more(night: Night) -> None:
    lines = summary(replace(night, texts={"rules_survived": "one of many words " * 30}), FILES)
    start = next(place for place, line in enumerate(lines) if line.startswith("Rules"))
    assert lines[start + 1].endswith("…")
    assert lines[start + 2].startswith("Campaigns")
