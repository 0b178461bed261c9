"""``regulars rules`` and ``regulars offers``: what sells together, and what to offer one customer."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import DEFAULT, Config, Json, Root, console

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.report.night import Night

WhyNot = Annotated[str | None, typer.Option("--why-not", metavar="'A -> B'", help="Say why this rule is not shown.")]
Most = Annotated[int, typer.Option("--most", min=1, help="Rules to show.")]
Customer = Annotated[str, typer.Argument(help="The customer's id, as the source spells it.")]
_RULES = ["antecedents", "consequents", "adjusted_lift", "confirmed_adjusted_lift", "lift", "confidence", "n_orders"]
_OFFERS = ["rank", "category", "acceptance_probability", "expected_margin_cents", "reason"]


def rules(
    why_not: WhyNot = None, most: Most = 20, config: Config = DEFAULT, root: Root = None, as_json: Json = False
) -> None:
    """Show the rules that survived every test in the newest night, or say why one rule did not."""
    from models.rule_reasons import why_not as reason

    night = _newest(config, root)
    if why_not is not None:
        sentence = reason(night.rules, *sides(why_not))
        _say(sentence, {"sentence": sentence}, as_json=as_json)
        return
    kept = night.rules[night.rules["is_confirmed"].astype(bool)]
    kept = kept.sort_values(["adjusted_lift", "antecedents", "consequents"], ascending=[False, True, True])
    sentence = night.texts["rules_survived"]
    shown = kept[_RULES].head(most)
    _say(sentence, {"sentence": sentence, "rules": shown.to_dict("records")}, as_json=as_json)
    if not as_json:
        _print(shown.assign(confidence=shown["confidence"].map("{:.0%}".format)))


def offers(customer: Customer, config: Config = DEFAULT, root: Root = None, as_json: Json = False) -> None:
    """Show what to offer a customer, best first, with chance, margin and reason, and what the night decided."""
    from data.errors import LakeError

    night = _newest(config, root)
    if not any(table["customer_id"].eq(customer).any() for table in (night.offers, night.scores)):
        raise LakeError(f"no customer {customer!r} in the newest night", "an id as the source has it", "look it up")
    mine, action = (table[table["customer_id"] == customer] for table in (night.offers, night.actions))
    shown = mine.sort_values("rank")[_OFFERS]
    decided = str(action["action"].iloc[0]) if len(action) else "none"
    sentence = f"{len(shown)} offers for {customer}; action decided tonight: {decided.replace('_', ' ')}"
    _say(sentence, {"customer": customer, "action": decided, "offers": shown.to_dict("records")}, as_json=as_json)
    if not as_json:
        _print(shown.assign(acceptance_probability=shown["acceptance_probability"].map("{:.1%}".format)))


def sides(rule: str) -> tuple[str, str]:
    """Return the two sides of ``A -> B``.

    Examples
    --------
    >>> sides("bread -> butter")
    ('bread', 'butter')
    """
    found = [side.strip() for side in rule.replace("→", "->").split("->")]
    if len(found) != 2 or not all(found):
        raise typer.BadParameter(f'{rule!r} is not two categories with an arrow between, such as "bread -> butter"')
    return found[0], found[1]


def _newest(config: Path, root: Path | None) -> "Night":
    """Return the newest published night; withdrawn consent is respected as in the report."""
    from pipelines.plan import read_settings
    from pipelines.results import open_night

    # The demo needs no file: where there is none, the command speaks of the demo.
    return open_night(read_settings(config if config.exists() or config != DEFAULT else None, root))


def _say(sentence: str, whole: dict[str, object], *, as_json: bool) -> None:
    from json import dumps

    if as_json:
        typer.echo(dumps(whole, ensure_ascii=False, default=str))
    else:
        console().print(sentence, markup=False)


def _print(table: "pd.DataFrame") -> None:
    from rich.table import Table

    shown = Table(*(str(name).replace("_", " ") for name in table), box=None)
    for row in table.itertuples(index=False):
        shown.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    console().print(shown)
