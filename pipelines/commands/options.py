"""What the commands share: their options, and the console that they print on."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

DEFAULT = Path("regulars.toml")
Config = Annotated[Path, typer.Option(help="The configuration.")]
Root = Annotated[Path | None, typer.Option(help="Folder for everything that a run writes.")]
AsOf = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Local day at whose midnight knowledge ends; today.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def console() -> Console:
    """Return the console: as wide as the terminal, 120 columns elsewhere."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=120)
