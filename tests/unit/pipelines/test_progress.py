"""Progress: plain lines in a log, a bar that leaves nothing behind on a terminal."""

import io

import pytest
from rich.console import Console

from pipelines.progress import progress
from pipelines.run import REPORTER, Silent


def drawn(*, is_terminal: bool) -> str:
    """Return what two stages write, as the stream gets it."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=60, highlight=False, color_system=None)
    with progress(console, 2) as reporter:
        reporter.started("validate")
        reporter.finished("validate", 1.25, "customers 2,469, products 92,331, transactions 1,469,307, campaigns 27")
        reporter.started("features")
        reporter.finished("features", 0.0, "already done")
    return stream.getvalue()


def test_a_log_gets_one_plain_line_per_stage():
    assert drawn(is_terminal=False).splitlines() == [
        "  validate     1.2 s  customers 2,469, products 92,331, transactions 1,469,307, campaigns 27",
        "  features     0.0 s  already done",
    ]


def test_a_terminal_gets_the_same_lines_and_a_bar():
    text = drawn(is_terminal=True)
    assert "already done" in text
    assert "\x1b[" in text, "the bar moves"
    assert "validate" in text


def test_a_note_is_never_read_as_markup():
    stream = io.StringIO()
    with progress(Console(file=stream, width=80), 1) as reporter:
        reporter.finished("[bold]x[/]", 0.0, "[red]rows[/red] [/nonsense]")
    assert "[red]rows[/red] [/nonsense]" in stream.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_error_inside_comes_through(is_terminal):
    console = Console(file=io.StringIO(), force_terminal=is_terminal)

    def fail() -> None:
        with progress(console, 2) as reporter:
            reporter.started("validate")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()


def test_without_a_listener_a_run_says_nothing(capsys):
    reporter = REPORTER.get()
    assert isinstance(reporter, Silent)
    reporter.started("validate")
    reporter.finished("validate", 1.0, "rows")
    assert capsys.readouterr() == ("", "")
