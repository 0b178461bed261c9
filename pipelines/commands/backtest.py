"""``regulars backtest``: past nights again, against what has happened since."""
# ruff: noqa: PLC0415

import json
from datetime import datetime
from typing import Annotated

import typer

from pipelines.commands.options import DEFAULT, Config, Json, Root, console

_DAY = ["%Y-%m-%d"]
From = Annotated[datetime, typer.Option("--from", formats=_DAY, help="First local day whose night is replayed.")]
To = Annotated[datetime, typer.Option("--to", formats=_DAY, help="Last local day whose night may be replayed.")]
Every = Annotated[int | None, typer.Option(min=1, help="Days from one replay to the next; one horizon.")]


def backtest(
    *, from_on: From, to_on: To, every: Every = None, config: Config = DEFAULT, root: Root = None, as_json: Json = False
) -> None:
    """Replay past nights from what the lake holds: quality by date, how fast models age, what the lists would earn."""
    from pipelines.backtest import backtest as replay
    from pipelines.backtest import in_json, write
    from pipelines.plan import read_settings
    from pipelines.report.backtest import backtest_page, headline

    # The demo needs no file: where there is none, the command speaks of the demo.
    settings = read_settings(config if config.exists() or config != DEFAULT else None, root)
    found = replay(settings, from_on.date(), to_on.date(), every)
    files = write(found, settings, backtest_page(found))
    if as_json:
        typer.echo(json.dumps(in_json(found), ensure_ascii=False, indent=1))
        return
    terminal = console()
    terminal.print(f"{headline(found)}.", markup=False)
    for line in found.skipped:
        terminal.print(f"Not replayed: {line}", markup=False)
    for place in files.values():
        terminal.print(str(place), markup=False)
