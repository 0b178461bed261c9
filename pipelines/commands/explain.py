"""``regulars explain``: what was known of one customer in the newest night."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import DEFAULT, Config, Json, Root, console

Customer = Annotated[str, typer.Argument(help="The customer's id, as the source spells it.")]
Html = Annotated[Path | None, typer.Option(help="Write it as one page into this file, for its owner alone.")]


def explain(
    customer: Customer, html: Html = None, config: Config = DEFAULT, root: Root = None, as_json: Json = False
) -> None:
    """Explain a customer: features beside those of their segment, scores with reasons, offers, and the history."""
    from json import dumps

    from data.private import replacing
    from pipelines.plan import read_settings
    from pipelines.portrait import portrait
    from pipelines.report.document import plain
    from pipelines.report.portrait import portrait_page
    from pipelines.report.portrait_summary import show

    # The demo needs no file: where there is none, the command speaks of the demo.
    found = portrait(read_settings(config if config.exists() or config != DEFAULT else None, root), customer)
    if html is not None:
        html.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(html) as draft:
            draft.write_text(portrait_page(found), encoding="utf-8")
    if as_json:
        typer.echo(dumps(plain(found), ensure_ascii=False, indent=1))
    elif html is None:
        show(found, console())
    else:
        console().print(f"What is known of this customer is in {html}: remove it when it has served.", markup=False)
