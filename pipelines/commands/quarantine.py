"""``regulars quarantine``: what was refused and why, out to a file, and in again when it is repaired."""
# ruff: noqa: PLC0415

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from data.errors import ConfigError, LakeError
from pipelines.commands.options import DEFAULT, Config, Json, Root, console

if TYPE_CHECKING:
    from data.lake import Lake, Snapshot
    from data.readmission import Open, Verdict
    from pipelines.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Rows that were refused: list them, export them, hand them in repaired.")

OnlyTable = Annotated[str | None, typer.Option("--table", help="Only the rows of this table.")]
OnlyReason = Annotated[str | None, typer.Option("--reason", help="Only the rows with this reason.")]
STILL_BAD = 3
"""Exit code where a repaired row is still bad."""


@app.command("list")
def list_rows(
    config: Config = DEFAULT, root: Root = None, table: OnlyTable = None, reason: OnlyReason = None, json: Json = False
) -> None:
    """Count the rows in quarantine by table and reason; a row with three reasons counts three times."""
    from data.readmission import open_rows

    _, lake, _ = _published(config, root)
    rows = [
        row
        for row in open_rows(lake)
        if table in {None, row.table_name} and (reason is None or reason in row.reasons.split("; "))
    ]
    counts = Counter((row.table_name, why) for row in rows for why in row.reasons.split("; "))
    ordered = sorted(counts.items(), key=lambda one: (one[0][0], -one[1], one[0][1]))
    if json:
        found = [{"table": name, "reason": why, "n_rows": number} for (name, why), number in ordered]
        console().print_json(data={"n_rows": len(rows), "counts": found})
        return
    shown = Table("Table", "Reason")
    shown.add_column("Rows", justify="right")
    for (name, why), number in ordered:
        shown.add_row(name, why, f"{number:,}")
    if ordered:
        console().print(shown)
    console().print(f"{len(rows):,} rows in quarantine.")


@app.command("export")
def export_rows(
    table: Annotated[str, typer.Argument(help="The table whose rows to export.")],
    file: Annotated[Path, typer.Argument(help="A .csv or .xlsx file to write.")],
    config: Config = DEFAULT,
    root: Root = None,
) -> None:
    """Write the quarantined rows of a table as they were delivered, with row_id and reasons, for repair."""
    from data.readmission import open_rows

    _, lake, _ = _published(config, root)
    rows = [row for row in open_rows(lake) if row.table_name == table]
    if not rows:
        tables = sorted({row.table_name for row in open_rows(lake)})
        raise ConfigError(
            f"no row of {table!r} in quarantine",
            f"one of {', '.join(tables)}" if tables else "none at all: nothing is in quarantine",
            "run regulars quarantine list",
        )
    _write(rows, file)
    terminal = console()
    terminal.print(f"{len(rows):,} rows of {table} in {file}, readable by you alone.", soft_wrap=True)
    if table == "identities":
        terminal.print("They hold personal data: delete the file when it has served.")
    terminal.print(f"Repair the cells, then: regulars quarantine readmit {file}", soft_wrap=True)


@app.command("readmit")
def readmit_rows(
    file: Annotated[Path, typer.Argument(help="An exported file with its cells repaired.")],
    config: Config = DEFAULT,
    root: Root = None,
    json: Json = False,
) -> None:
    """Hand repaired rows in: the good ones are admitted by the next night, once; the others stay in quarantine."""
    from data.readmission import ROW_ID, hand_in, repaired_rows
    from data.repairs import read_repairs

    settings, lake, snapshot = _published(config, root)
    lines = read_repairs(file, ROW_ID)
    with lake.lock():
        changed, verdicts = repaired_rows(lake, lines)
        checked = _checked(settings, lake, snapshot, changed)
        good = {verdict.row_id for verdict in checked if not verdict.reasons}
        hand_in(lake, [row for row in changed if row.row_id in good])
    order = {str(line[ROW_ID]): place for place, line in enumerate(lines)}
    _tell(sorted([*verdicts, *checked], key=lambda one: order[one.row_id]), json=json)
    if len(good) < len(changed) or any(verdict.reasons for verdict in verdicts):
        raise typer.Exit(STILL_BAD)


def _published(config: Path, root: Path | None) -> "tuple[Settings, Lake, Snapshot]":
    from data.lake import Lake
    from pipelines.plan import read_settings

    # The demo needs no file: where there is none, the command speaks of the demo.
    settings = read_settings(config if config.exists() or config != DEFAULT else None, root)
    lake = Lake(settings.lake_root)
    snapshot = lake.snapshot()
    if snapshot is None:
        raise LakeError(f"no published night in {settings.lake_root}", "at least one", "run regulars nightly first")
    return settings, lake, snapshot


def _write(rows: "list[Open]", file: Path) -> None:
    from data.export import Sheet, write_csv, write_xlsx
    from data.readmission import to_frame
    from data.repairs import SHEET, check_fits

    frame = to_frame(rows)
    if file.suffix.lower() == ".csv":
        write_csv(frame, file)
    elif file.suffix.lower() == ".xlsx":
        check_fits(frame)
        as_they_are = {name: name for name in frame.columns}
        sheet = Sheet(
            SHEET, frame, dict.fromkeys(frame.columns, "text"), as_they_are, "Leave the column row_id as it is."
        )
        write_xlsx([sheet], file, read_me=[f"Quarantined rows of {rows[0].table_name}"])
    else:
        raise ConfigError(f"{file.name} ends in {file.suffix!r}", "a name that ends in .csv or .xlsx", "name another")


def _checked(settings: "Settings", lake: "Lake", snapshot: "Snapshot", rows: "list[Open]") -> "list[Verdict]":
    from contextlib import closing

    from data.contracts import CONTRACTS
    from data.contracts.base import Delivery
    from data.engine import attach, connect
    from data.recheck import check
    from features.clock import shift

    company, engine = settings.company, settings.engine
    backend = connect(engine.threads, engine.memory_limit, settings.root / "spill")
    with closing(backend.con) as connection:
        known = {name: version for name, version in snapshot.versions.items() if name in CONTRACTS}
        # A table without rows is one that the company does not keep: nothing can refer to it.
        tables = attach(backend, lake, known)
        parents = {name: name for name, table in tables.items() if table.count().to_pyarrow().as_py()}
        received_at = shift(snapshot.as_of, 1, company.timezone)
        return check(connection, rows, Delivery(received_at, company.timezone, (company.currency,), parents))


def _tell(verdicts: "list[Verdict]", *, json: bool) -> None:
    if json:
        rows = [{"row_id": one.row_id, "reasons": one.reasons, "is_known": one.is_known} for one in verdicts]
        console().print_json(data=rows)
        return
    terminal = console()
    for verdict in verdicts:
        said = f"still bad: {verdict.reasons}" if verdict.reasons else "admitted tonight"
        said = "handed in before, admitted once" if verdict.is_known else said
        terminal.print(f"{verdict.row_id}  {said}", markup=False, soft_wrap=True)
    n_bad, n_known = sum(bool(one.reasons) for one in verdicts), sum(one.is_known for one in verdicts)
    terminal.print(
        f"{len(verdicts) - n_bad - n_known:,} admitted tonight, {n_bad:,} still bad, {n_known:,} handed in before."
    )
