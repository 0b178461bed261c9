"""``regulars campaign``: design an experiment, draw its arms, judge it when it is over, and rank all of them."""
# ruff: noqa: PLC0415

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import ConfigError, UserError
from pipelines.commands.identities import By, print_json
from pipelines.commands.options import DEFAULT, Config, Json, Root, console

if TYPE_CHECKING:
    from models.design import Design, Plan
    from pipelines.experiments import Experiments
    from pipelines.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Design, draw, judge and rank campaigns.")

CampaignId = Annotated[str, typer.Argument(help="The campaign's id.")]
Arms = Annotated[list[str], typer.Option("--arm", help="An arm and its share, as in mail=0.5; control among them.")]
Costs = Annotated[list[str], typer.Option("--cost", help="Cents per contact of an arm, as in mail=60.")]
Days = Annotated[int | None, typer.Option(min=1, help="Days of the outcome window; as configured.")]
Worth = Annotated[float | None, typer.Option(help="Extra spend per customer worth having, in cents; what pays for it.")]
StartsOn = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Local day on which the window begins.")]
_HALVES = ["control=0.5", "mail=0.5"]


@app.command()
def design(
    *,
    arm: Arms = _HALVES,
    cost: Costs = [],  # noqa: B006 - typer reads it and nobody changes it
    days: Days = None,
    worth: Worth = None,
    config: Config = DEFAULT,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Say what an experiment could find on today's customers, what it costs, and whether it can answer at all."""
    from models.design import design_frame

    settings, experiments = _open(config, root)
    found = experiments.design(_plan(settings, arm, cost, worth), days or settings.campaigns.outcome_days)
    if as_json:
        print_json(_records(design_frame(found)))
        return
    _say_design(found, settings)


@app.command()
def assign(
    campaign_id: CampaignId,
    *,
    starts_on: StartsOn,
    by: By,
    name: Annotated[str | None, typer.Option(help="Its name; the id.")] = None,
    arm: Arms = _HALVES,
    cost: Costs = [],  # noqa: B006 - typer reads it and nobody changes it
    days: Days = None,
    worth: Worth = None,
    anyway: Annotated[bool, typer.Option(help="Draw even if the numbers cannot answer the question.")] = False,
    config: Config = DEFAULT,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Draw the arms once and for good, by lot within fifths of past spend, and write the contact list."""
    from pipelines.ledger import Entry

    settings, experiments = _open(config, root)
    plan, window = _plan(settings, arm, cost, worth), days or settings.campaigns.outcome_days
    found = experiments.design(plan, window)
    if found.can_answer is False and not anyway:
        raise UserError(found.words, "an experiment that can answer", "change it, or draw it with --anyway")
    now = datetime.now(UTC).replace(tzinfo=None)
    entry = Entry(
        campaign_id, name or campaign_id, starts_on.date(), window, plan.shares, plan.cost_cents, 0, "", now, by
    )
    drawn = experiments.assign(plan, entry)
    files = {kind: str(path) for kind, path in drawn.files.items()}
    if as_json:
        told = {"campaign_id": campaign_id, "arms": dict(drawn.counts), "left_out": dict(drawn.left_out)}
        print_json([told | {"draw_digest": drawn.entry.draw_digest, "files": files}])
        return
    terminal = console()
    terminal.print(f"{campaign_id}: {_counts(drawn.counts)}. A draw is never changed.", markup=False)
    for reason, count in drawn.left_out.items():
        terminal.print(f"Not drawn: {count:,} {reason}", markup=False)
    for path in files.values():
        terminal.print(path, markup=False, soft_wrap=True)


@app.command()
def evaluate(
    campaign_id: Annotated[str | None, typer.Argument(help="The campaign's id; none for a file.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="A trial as one file: CSV, Parquet or XLSX.")] = None,
    arm_column: Annotated[str, typer.Option(help="Column of the file that holds the arm.")] = "arm",
    outcome: Annotated[list[str], typer.Option(help="Column of the file that holds an outcome.")] = ["outcome"],  # noqa: B006
    control: Annotated[str, typer.Option(help="Arm of the file that got nothing.")] = "control",
    ignore: Annotated[list[str], typer.Option(help="Column that was not known before the draw.")] = [],  # noqa: B006
    share: Annotated[list[str], typer.Option(help="Planned share of an arm of the file, as in mail=0.5.")] = [],  # noqa: B006
    rank: Annotated[bool, typer.Option(help="Whether customers of the file can be ranked by uplift, too.")] = False,
    value: Annotated[float, typer.Option(min=0, help="Margin in cents per unit of the first outcome.")] = 1.0,
    contact_cost: Annotated[float, typer.Option(min=0, help="Cents per contact.")] = 0.0,
    budget_share: Annotated[float, typer.Option(min=0.001, max=1, help="Share that can be contacted.")] = 1.0,
    observed: Annotated[bool, typer.Option(help="Chance alone did not draw the arms of the file.")] = False,
    config: Config = DEFAULT,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Judge a campaign whose window is over, or a trial that came as one file."""
    if (campaign_id is None) == (file is None):
        raise ConfigError("a campaign and a file, or neither", "one of them", "name an id or give --file")
    if file is not None:
        _evaluate_file(
            file,
            as_json=as_json,
            arm=arm_column,
            outcomes=outcome,
            control=control,
            ignore=ignore,
            shares=_pairs(share) or None,
            is_randomised=not observed,
        )
        if rank:
            trial = {"arm": arm_column, "outcomes": outcome, "control": control, "ignore": ignore}
            _rank_file(file, (value, contact_cost, budget_share), as_json=as_json, **trial)
        return
    from pipelines.evaluate import evaluate as judge

    assert campaign_id is not None
    judged = judge(_settings(config, root), campaign_id)
    if as_json:
        rows = [{"name": one.name, "verdict": one.word.value, "words": one.words} for one in judged.verdicts]
        print_json([row | {"doubts": list(judged.soundness.doubts)} for row in rows])
        return
    for one in judged.verdicts:
        console().print(f"{one.name}: {one.words}", markup=False)
    for doubt in judged.soundness.doubts:
        console().print(f"Doubt: {doubt}.", markup=False)


@app.command(name="list")
def list_campaigns(*, config: Config = DEFAULT, root: Root = None, as_json: Json = False) -> None:
    """Rank all campaigns by margin after cost per unit of money; those without a claim come last."""
    from data.lake import Lake
    from pipelines.evaluate import evaluate as judge
    from pipelines.evaluate import league
    from pipelines.ledger import Ledger

    settings = _settings(config, root)
    judged, open_ones = [], []
    for known in Ledger(Lake(settings.lake_root)).entries():
        try:
            judged.append(judge(settings, known))
        except UserError as error:
            open_ones.append(f"{known}: {error.found}")
    table = league(settings, judged)
    if as_json:
        print_json(_records(table))
        return
    _show_league(table, settings.company.currency_symbol)
    for line in open_ones:
        console().print(f"Not judged yet: {line}", markup=False)


def _evaluate_file(file: Path, *, as_json: bool, **asked: Any) -> None:
    from pipelines.trial_file import evaluate_file

    found = evaluate_file(file, **asked)
    if as_json:
        print_json([{"arm": one.arm, "outcome": one.outcome, "verdict": one.word.value, **_ends(one)} for one in found])
        return
    for one in found:
        console().print(one.words, markup=False)


def _rank_file(file: Path, terms: tuple[float, float, float], *, as_json: bool, **asked: Any) -> None:
    from models.uplift_gate import Terms
    from pipelines.settings import Settings
    from pipelines.trial_file import rank_file, read_trial

    found = rank_file(read_trial(file, **asked), asked["outcomes"][0], Terms(*terms), Settings().seed)
    if as_json:
        print_json([{"arm": arm, "answer": one.answer.value, "words": one.words} for arm, one in found.items()])
        return
    for arm, one in found.items():
        console().print(f"{arm}: {one.words}", markup=False)


def _ends(one: Any) -> dict[str, Any]:
    ends = {f"{kind}_{end}": getattr(getattr(one, kind), end) for kind in ("plain", "effect") for end in _ENDS}
    return {**ends, "n_treated": one.n_treated, "n_control": one.n_control, "words": one.words}


_ENDS = ("estimate", "low", "high")


def _settings(config: Path, root: Path | None) -> "Settings":
    from pipelines.plan import read_settings

    # The demo needs no file: where there is none, the command speaks of the demo.
    return read_settings(config if config.exists() or config != DEFAULT else None, root)


def _open(config: Path, root: Path | None) -> "tuple[Settings, Experiments]":
    from pipelines.experiments import Experiments

    settings = _settings(config, root)
    return settings, Experiments(settings)


def _plan(settings: "Settings", arms: list[str], costs: list[str], worth: float | None) -> "Plan":
    from models.assignment import CONTROL
    from models.design import Plan

    shares = _pairs(arms)
    usual = float(settings.money.cost_per_contact_cents)
    cents = {arm: usual for arm in shares if arm != CONTROL} | _pairs(costs)
    unknown = sorted(set(cents) - set(shares))
    if unknown:
        raise ConfigError(f"a cost of {', '.join(unknown)}", f"one of {', '.join(shares)}", "name an arm")
    try:
        return Plan(shares, cents, settings.money.margin_share, worth)
    except ValueError as error:
        raise ConfigError(f"arms {', '.join(arms)}", str(error), "change --arm, --cost or --worth") from None


def _pairs(texts: list[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError(f"{text}", "NAME=NUMBER", "as in mail=0.5") from None
        if not name:
            raise ConfigError(f"{text}", "NAME=NUMBER", "as in mail=0.5")
    return found


def _records(table: Any) -> list[dict[str, Any]]:
    """Return rows for JSON, nulls as such."""
    plain = table.astype("object")
    return [dict(row) for row in plain.where(plain.notna(), None).to_dict("records")]


def _counts(counts: Any) -> str:
    return ", ".join(f"{count:,} {arm}" for arm, count in counts.items())


def _say_design(found: "Design", settings: "Settings") -> None:
    from rich.table import Table

    terminal, symbol = console(), settings.company.currency_symbol
    table = Table(
        "arm", "days", "customers", "control", f"finds {symbol}", f"worth {symbol}", "chance", "needed", box=None
    )
    for one in found.arms:
        worth = "" if one.worth_cents is None else f"{one.worth_cents / 100:,.2f}"
        chance = "" if one.power is None else f"{one.power:.0%}"
        needed = "" if one.n_needed is None else f"{one.n_needed:,}"
        sizes = (f"{one.n_treated:,}", f"{one.n_control:,}", f"{one.detectable_cents / 100:,.2f}")
        table.add_row(one.arm, str(one.days), *sizes, worth, chance, needed)
    terminal.print(table)
    terminal.print(found.words, markup=False)
    terminal.print(f"All contacts cost {symbol} {found.cost_cents / 100:,.2f}.", markup=False)


def _show_league(rows: Any, symbol: str) -> None:
    from rich.table import Table

    table = Table(
        "campaign", "verdict", "targeted", f"cost {symbol}", f"net {symbol}", "95 %", "net per cost", box=None
    )
    for row in rows.to_dict("records"):
        is_told = row["net_cents"] == row["net_cents"]
        money = [f"{row[name] / 100:,.2f}" for name in ("net_cents", "net_low_cents", "net_high_cents")]
        net, between = (money[0], f"{money[1]} to {money[2]}") if is_told else ("", "")
        cost = f"{row['cost_cents'] / 100:,.2f}" if row["cost_cents"] == row["cost_cents"] else ""
        rate = f"{row['net_per_cost']:,.2f}" if row["net_per_cost"] == row["net_per_cost"] else ""
        table.add_row(str(row["name"]), row["verdict"], f"{row['n_treated']:,.0f}", cost, net, between, rate)
    console().print(table)
