"""``regulars check``: what the data of a configuration can and cannot answer."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import DEFAULT, AsOf, Config, Json, console

Html = Annotated[
    Path | None, typer.Option(help="Where to write the report; root/readiness/<day>.html if nothing is given.")
]


def check(config: Config = DEFAULT, html: Html = None, as_of: AsOf = None, as_json: Json = False) -> None:
    """Say what the data can and cannot answer; writes one HTML page and nothing else."""
    from pipelines.check import check as check_data
    from pipelines.plan import read_settings
    from pipelines.report.document import plain
    from pipelines.report.readiness import readiness_page
    from pipelines.report.readiness_summary import show
    from pipelines.run import local_midnight

    # The demo needs no file: where there is none, the command speaks of the demo.
    settings = read_settings(config if config.exists() or config != DEFAULT else None)
    end = local_midnight(as_of.date(), settings.company.timezone) if as_of else None
    readiness = check_data(settings, end)
    path = html or settings.root / "readiness" / f"{readiness.as_of_on}.html"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(readiness_page(readiness), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(plain(readiness) | {"html": str(path)}, ensure_ascii=False, indent=1))
    else:
        show(readiness, path, console())
