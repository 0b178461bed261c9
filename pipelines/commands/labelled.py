"""``regulars labelled``: who leaves, from a flat file that says it, without purchases."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs

import json
from datetime import UTC, datetime

import typer

from pipelines.commands.options import DEFAULT, Config, Json, Root, console


def labelled(config: Config = DEFAULT, root: Root = None, as_json: Json = False) -> None:
    """Learn from a file of customers who left or stayed, judge it by lot, and score them all with reasons."""
    from data.export import write_csv
    from data.private import write_private
    from pipelines.labelled import labelled as learn
    from pipelines.plan import read_settings
    from pipelines.report.document import plain
    from pipelines.report.labelled import headline, labelled_page

    settings = read_settings(config, root)
    found = learn(settings, datetime.now(UTC).replace(tzinfo=None))
    folder = settings.root / "labelled"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = {name: folder / f"{name}.{kind}" for name, kind in (("report", "html"), ("figures", "json"))}
    write_private(files["report"], labelled_page(found).encode())
    write_private(files["figures"], json.dumps(plain(found.facts()), ensure_ascii=False, indent=1).encode())
    if len(found.scores):
        files["scores"] = folder / "scores.csv"
        write_csv(found.scores, files["scores"])
    else:
        # Scores of an earlier call would be taken for those of this one.
        (folder / "scores.csv").unlink(missing_ok=True)
    if as_json:
        typer.echo(json.dumps(plain(found.facts()), ensure_ascii=False, indent=1))
        return
    terminal = console()
    terminal.print(f"{headline(found)}: {found.decision.reason}.", markup=False)
    for place in files.values():
        terminal.print(str(place), markup=False)
