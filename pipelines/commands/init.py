"""The command that proposes a configuration from a company's own files."""
# ruff: noqa: PLC0415

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from data.errors import ConfigError
from pipelines.commands.options import DEFAULT, console

if TYPE_CHECKING:
    from data.discovery.proposal import Ask, Draft, Proposal

Paths = Annotated[list[Path], typer.Argument(help="Files and folders to look at.", show_default=False)]
Out = Annotated[Path, typer.Option("--config", help="The configuration to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a configuration that is there.")]


def init(paths: Paths, config: Out = DEFAULT, force: Force = False) -> None:
    """Look at files, propose how they are mapped, and write a commented configuration.

    Raises
    ------
    ConfigError
        There is such a file already, a path is not there, or no file can be read.
    """
    terminal = console()
    is_answered = sys.stdin.isatty() and sys.stdout.isatty()
    write_proposal(paths, config, terminal, force=force, ask=_asking(terminal) if is_answered else None)


def write_proposal(
    paths: Sequence[Path], config: Path, terminal: Console, *, force: bool = False, ask: "Ask | None" = None
) -> None:
    """Propose a configuration, ask about what is unsure, write it and print what it says.

    Parameters
    ----------
    paths
        Files and folders.
    config
        The file to write, for its owner alone to read.
    terminal
        Where the table is printed.
    force
        Whether a file that is there may be replaced.
    ask
        Answers a question; null leaves the unsure lines to the comments.

    Raises
    ------
    ConfigError
        There is such a file already, a path is not there, or no file can be read.
    """
    from data.discovery.propose import propose, settle
    from data.discovery.write import write

    if config.exists() and not force:
        raise ConfigError(f"{config} is there already", "a new file", "name another with --config, or add --force")
    if not config.parent.is_dir():
        raise ConfigError(f"no folder {config.parent}", "a folder that is there", "make it, or correct --config")
    proposal = propose(paths, config.parent.absolute())
    unsure = len(proposal.unsure)
    if ask is not None:
        proposal = settle(proposal, ask)
    _write(config, write(proposal))
    _show(terminal, proposal, config, n_settled=unsure - len(proposal.unsure))


def _write(config: Path, text: str) -> None:
    """Write the file as a whole or not at all, with mode 0600 from its first byte."""
    fresh = config.with_name(f".{config.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
        fresh.replace(config)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError(f"{config}: {error.strerror}", "a place that can be written", "correct --config") from None


def _show(terminal: Console, proposal: "Proposal", config: Path, n_settled: int) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("file", "table", "rows", "key columns", "unsure"):
        table.add_column(heading, justify="right" if heading == "rows" else "left", overflow="fold")
    for draft in proposal.sections:
        table.add_row(*_row(draft), end_section=False)
    terminal.print(table)
    for label, reason in proposal.unused:
        terminal.print(f"not used: {label}: {reason}", markup=False)
    for one in (one for one in proposal.skipped if one.path != config.absolute()):
        terminal.print(f"skipped: {one.path.name}: {one.reason}", markup=False)
    is_mapped = any(draft.is_active for draft in proposal.sections)
    if not is_mapped:
        terminal.print("No file looks like purchases, customers with a label, or a trial: map them by hand.")
    n_open = len(proposal.unsure)
    answered = f"{n_settled} answered, " if n_settled else ""
    terminal.print(f"Wrote {config}: {answered}{n_open} {'line is' if n_open == 1 else 'lines are'} marked UNSURE.")
    option = "" if config == DEFAULT else f" --config {config}"
    first = "" if is_mapped else f"write [sources.transactions] into {config}, then "
    terminal.print(f"Next: {first}regulars check{option}", markup=False)


def _row(draft: "Draft") -> tuple[str, ...]:
    sample = draft.profile.sample
    files = len(sample.files.paths)
    keys = [_said(entry.value) for entry in draft.entries if entry.key in _KEYS and entry.is_active]
    unsure = [entry.key.rpartition(".")[2] for entry in draft.entries if entry.unsure]
    joined = "".join(f" + {profile.label}" for profile, *_ in draft.joins)
    return (
        f"{draft.profile.label}{f' ({files} files)' if files > 1 else ''}{joined}".replace("[", r"\["),
        draft.name if draft.is_active else f"{draft.name} (as comments)",
        f"{'' if sample.is_whole else '~'}{sample.n_rows:,}",
        ", ".join(keys).replace("[", r"\["),
        ", ".join(unsure) or "-",
    )


_KEYS = {f"columns.{name}" for name in ("order_id", "customer_id", "product_id", "campaign_id", "feedback_id")}


def _said(value: object) -> str:
    return " + ".join(value) if isinstance(value, tuple) else str(value)


def _asking(terminal: Console) -> Callable[[str, Sequence[str], str], str]:
    """Return a function that asks on the terminal; Enter keeps what is proposed."""

    def ask(question: str, choices: Sequence[str], default: str) -> str:
        terminal.print(question, markup=False)
        for number, choice in enumerate(choices, 1):
            terminal.print(f"  {number}  {choice}", markup=False)
        answer = str(
            typer.prompt("Number, or Enter to keep" if choices else "Enter keeps", default="1" if choices else default)
        )
        if not choices:
            return answer
        return choices[int(answer) - 1] if answer.isdigit() and 1 <= int(answer) <= len(choices) else default

    return ask
