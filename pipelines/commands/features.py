"""``regulars features``: what is known of every customer, feature by feature."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.errors import ConfigError
from pipelines.commands.options import DEFAULT, Config, Json, Root, console

Family = Annotated[str | None, typer.Option(help="Only one family, such as rhythm.")]
Plan = Annotated[bool, typer.Option("--plan", help="Show how the work is shared: each view is read once.")]
Html = Annotated[
    Path | None, typer.Option(help="Write the newest night's features as a page: how they lie, and who left.")
]


def features(
    *,
    family: Family = None,
    plan: Plan = False,
    html: Html = None,
    config: Config = DEFAULT,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Print the catalogue of features: name, unit, what unknown means, how far back it looks, and from which tables."""
    from features.matrix import catalogue
    from features.matrix import plan as shared

    if html is not None:
        _write(html, config, root, console())
        return
    known = catalogue()
    names = None if family is None else _members(known, family)
    rows = _rows(shared(names) if plan else known if names is None else known[known["name"].isin(names)])
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    elif plan:
        _show_plan(rows, console())
    else:
        _show(rows, console())


def _members(known: Any, family: str) -> list[str]:
    families = sorted(set(known["family"]))
    if family.lower() not in families:
        raise ConfigError(f"no family {family!r}", f"one of {', '.join(families)}", "name one of these")
    return list(known.loc[known["family"] == family.lower(), "name"])


def _rows(frame: Any) -> list[dict[str, Any]]:
    """Return a frame as values that JSON knows; the whole history is null."""
    lookback = [
        None if is_whole else int(days) for days, is_whole in zip(frame.lookback, frame.lookback.isna(), strict=True)
    ]
    return [row | {"lookback": days} for row, days in zip(frame.to_dict("records"), lookback, strict=True)]


def _show(rows: list[dict[str, Any]], terminal: Console) -> None:
    families = sorted({row["family"] for row in rows})
    for family in families:
        members = [row for row in rows if row["family"] == family]
        terminal.print(Text(f"{family.capitalize()} ({len(members)})", style="bold"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        for width in (28, 0, 34):
            table.add_column(width=width or None, ratio=None if width else 1, overflow="fold")
        for row in members:
            said = Text(row["doc"])
            if row["null"]:
                said.append(f"\nunknown: {row['null']}", style="dim")
            back = "whole history" if row["lookback"] is None else f"{row['lookback']} days back"
            table.add_row(Text(f"  {row['name']}"), said, Text(f"{row['unit']}, {back}\n{row['sources']}", style="dim"))
        terminal.print(table)
        terminal.print()
    terminal.print(f"{len(rows)} features. `regulars features --html FILE` draws them.")


def _show_plan(rows: list[dict[str, Any]], terminal: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("View", "Tables", "Features", "Looks back"):
        table.add_column(name, justify="right" if name == "Features" else "left", no_wrap=name == "View")
    for row in rows:
        back = "whole history" if row["lookback"] is None else f"{row['lookback']} days"
        table.add_row(Text(row["view"]), Text(row["sources"]), str(row["n_features"]), back)
    terminal.print(table)
    n_features = sum(row["n_features"] for row in rows)
    terminal.print(f"\n{n_features} features from {len(rows)} views; each view is read once, for all dates together.")


def _write(path: Path, config: Path, root: Path | None, terminal: Console) -> None:
    from data.private import replacing
    from pipelines.catalogue import measure
    from pipelines.plan import read_settings
    from pipelines.report.catalogue import catalogue_page

    # The demo needs no file: where there is none, the command speaks of the demo.
    found = measure(read_settings(config if config.exists() or config != DEFAULT else None, root))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(catalogue_page(found), encoding="utf-8")
    for one in found.alarms:
        terminal.print(f"! {one.name} alone ranks who left with an AUC of {one.auc.value:.3f}: look at its source.")
    terminal.print(f"{len(found.features)} features of the night of {found.as_of_on} are in {path}", markup=False)
