"""``regulars rollback``: an earlier champion serves again."""
# ruff: noqa: PLC0415

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from pipelines.commands.identities import By, print_json
from pipelines.commands.options import DEFAULT, Config, Json, Root, console

Model = Annotated[str, typer.Argument(help="The model's name in the registry: churn or value.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
To = Annotated[int | None, typer.Option(help="Which version; the champion before this one.")]


def rollback(
    model: Model,
    *,
    by: By,
    reason: Reason,
    to: To = None,
    config: Config = DEFAULT,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Let the champion before this one serve again from the next night on, and write down who decided it."""
    from pipelines.plan import read_settings
    from pipelines.rollback import roll_back

    # The demo needs no file: where there is none, the command speaks of the demo.
    settings = read_settings(config if config.exists() or config != DEFAULT else None, root)
    line = roll_back(settings, model, by=by, reason=reason, decided_at=datetime.now(UTC).replace(tzinfo=None), to=to)
    if as_json:
        print_json([asdict(line)])
        return
    console().print(
        f"{model}: version {line.to_version} serves from the next night on, not {line.from_version} (rollback "
        f"{line.sequence}).",
        markup=False,
    )
