"""``regulars identities``: pairs that may be one person, and what was decided about them."""
# ruff: noqa: PLC0415

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from data.errors import UserError
from pipelines.commands.options import DEFAULT, Config, Json, Root, console

if TYPE_CHECKING:
    import pyarrow as pa

    from data.identity.log import Identities

A = Annotated[str, typer.Argument(help="A customer_id.")]
B = Annotated[str, typer.Argument(help="Another customer_id.")]
By = Annotated[str, typer.Option(help="Who decides.")]
Reason = Annotated[str, typer.Option(help="Why, without names, addresses or numbers of customers.")]
Probability = Annotated[float, typer.Option(min=0, max=1, help="Leave out pairs below it.")]

_SHOWN = ("name", "email", "phone", "street", "postal_code", "city")
_FIELDS = ("name", "email", "phone", "address")

app = typer.Typer(no_args_is_help=True, help="Who is who: pairs that may be one person, merges, splits and their log.")


class UnknownCustomerError(UserError):
    """A customer_id is in no table."""

    exit_code: ClassVar[int] = 13


@app.command()
def candidates(
    config: Config = DEFAULT, root: Root = None, min_probability: Probability = 0.9, as_json: Json = False
) -> None:
    """Show pairs of customers that may be one person, with the evidence of each field in bits."""
    lake, settings = _opened(config, root)
    pairs, people = _pairs(lake, settings, min_probability)
    if as_json:
        print_json(pairs)
        return
    terminal = console()
    for pair in pairs:
        terminal.print(_told(pair, people), markup=False)
    terminal.print(f"{len(pairs)} pairs at {min_probability} or above; none is merged without a rule or a person.")


@app.command()
def merge(a: A, b: B, *, by: By, reason: Reason, config: Config = DEFAULT, root: Root = None) -> None:
    """Say that two customers are one person."""
    from data.identity import log

    def decide(known: "pa.Table", seen: dict[str, date | None]) -> "pa.Table":
        return log.merge(known, a, b, by=by, reason=reason, decided_at=_now(), first_seen=seen)

    row = _decided(config, root, (a, b), decide)
    console().print(
        f"{a} and {b} are one person, {row['master_customer_id']} (decision {row['sequence']}).", markup=False
    )


@app.command()
def split(a: A, b: B, *, by: By, reason: Reason, config: Config = DEFAULT, root: Root = None) -> None:
    """Say that two customers are not one person after all: the merge that joined them is taken back."""
    from data.identity import log

    def decide(known: "pa.Table", _: dict[str, date | None]) -> "pa.Table":
        return log.split(known, a, b, by=by, reason=reason, decided_at=_now())

    row = _decided(config, root, (a, b), decide)
    console().print(f"{a} and {b} are two persons again (decision {row['sequence']}).", markup=False)


@app.command("log")
def show_log(config: Config = DEFAULT, root: Root = None, as_json: Json = False) -> None:
    """Show what was decided, oldest first."""
    from data.identity.masters import read_log

    lake, _ = _opened(config, root)
    rows = read_log(lake).to_pylist()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        pair = f"{row['customer_id_a']} {row['customer_id_b']}"
        said = f"{row['sequence']:>5}  {row['decided_at']:%Y-%m-%d %H:%M}  {row['action']:<5}  {pair}"
        console().print(f"{said}  -> {row['master_customer_id']}  {row['by']}: {row['reason']}", markup=False)
    if not rows:
        console().print("Nothing was decided yet.")


def masked(value: str) -> str:
    """Return enough of an e-mail address or a number to recognise it by, and too little to use it.

    Examples
    --------
    >>> masked("jane@doe.com"), masked("+49 30 1234567")
    ('j***@d***.com', '+***67')
    """
    mailbox, at, place = value.strip().rpartition("@")
    if at:
        domain, _, top = place.rpartition(".")
        return f"{mailbox[:1]}***@{domain[:1]}***.{top}"
    return f"{value.strip()[:1]}***{value.strip()[-2:]}"


def _shown(field: str, value: str | None) -> str:
    """Return a field as it is printed: e-mail and telephone masked, wherever somebody typed them."""
    if not value:
        return "-"
    is_private = field in {"email", "phone"} or "@" in value or sum(c.isdigit() for c in value) > 8
    return masked(value) if is_private else value


def print_json(rows: list[dict[str, Any]]) -> None:
    """Print rows for a script."""
    typer.echo(json.dumps(rows, default=str, ensure_ascii=False, indent=1))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _opened(config: Path, root: Path | None) -> tuple[Any, Any]:
    from data.lake import Lake
    from pipelines.plan import read_settings

    settings = read_settings(config, root)
    return Lake(settings.lake_root), settings


def _pairs(lake: Any, settings: Any, min_probability: float) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the pairs not yet decided, and who the customers in them are."""
    from data.engine import connect
    from data.identity.candidates import candidates as find
    from data.identity.log import replay
    from data.identity.masters import read_log
    from data.identity.settings import Identity

    who = replay(read_log(lake))
    identity = getattr(settings, "identity", Identity())
    with closing(connect(settings.engine.threads, settings.engine.memory_limit).con) as connection:
        rows = lake.published("identities")
        connection.register("identities", rows)
        found = find(connection, "identities", identity, min_probability=min_probability, seed=settings.seed)
    pairs = [pair for pair in found.pairs.to_pylist() if not _is_decided(who, pair)]
    named = {pair[side] for pair in pairs for side in ("customer_id_a", "customer_id_b")}
    return pairs, {row["customer_id"]: row for row in rows.to_pylist() if row["customer_id"] in named}


def _is_decided(who: "Identities", pair: dict[str, Any]) -> bool:
    a, b = pair["customer_id_a"], pair["customer_id_b"]
    return who.master(a) == who.master(b) or who.are_parted(a, b)


def _told(pair: dict[str, Any], people: dict[str, dict[str, Any]]) -> str:
    a, b = pair["customer_id_a"], pair["customer_id_b"]
    weights = ", ".join(f"{field} {pair[f'{field}_level']} {pair[f'{field}_bits']:+.1f}" for field in _FIELDS)
    household = f", household {pair['household_bits']:+.1f}" if pair["household_bits"] else ""
    lines = [f"{a} {b}  {pair['match_probability']:.1%}  {pair['match_weight']:+.1f} bits: {weights}{household}"]
    lines += [f"    {one}: {', '.join(_shown(field, people[one].get(field)) for field in _SHOWN)}" for one in (a, b)]
    return "\n".join(lines)


def _decided(
    config: Path,
    root: Path | None,
    pair: tuple[str, str],
    decide: "Callable[[pa.Table, dict[str, date | None]], pa.Table]",
) -> dict[str, Any]:
    """Write a decision about two known customers under the lake's lock and return it."""
    from data.identity.masters import read_log, write_log

    lake, _ = _opened(config, root)
    with lake.lock():
        seen = _first_seen(lake)
        for one in pair:
            if one not in seen:
                raise UnknownCustomerError(
                    f"no customer {one} in {lake.root}", "two customer_ids of the newest night", "check the spelling"
                )
        log = decide(read_log(lake), seen)
        write_log(lake, log)
    return dict(log.slice(log.num_rows - 1).to_pylist()[0])


def _first_seen(lake: Any) -> dict[str, date | None]:
    """Return the day on which each customer was first seen; null where only identities know of them."""
    snapshot = lake.snapshot()
    seen: dict[str, date | None] = {}
    for table in ("identities", "customers"):
        if snapshot is not None and table in snapshot.versions:
            rows = lake.published(table, snapshot)
            has_days = "first_seen_on" in rows.column_names
            days = rows["first_seen_on"].to_pylist() if has_days else [None] * rows.num_rows
            seen |= dict(zip(rows["customer_id"].to_pylist(), days, strict=True))
    return seen
