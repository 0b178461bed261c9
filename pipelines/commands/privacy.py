"""Commands about one customer: erase them from everything, and show what is held about them."""
# ruff: noqa: PLC0415

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipelines.commands.options import DEFAULT, Config, Json, Root, console

_SHOWN = 5

Customers = Annotated[list[str] | None, typer.Argument(help="Their ids; none finishes what was begun.")]
Customer = Annotated[str, typer.Argument(help="The customer's id.")]
Out = Annotated[Path | None, typer.Option(help="Write all of it as JSON into this file, for its owner alone.")]


def erase(customers: Customers = None, config: Config = DEFAULT, root: Root = None, json: Json = False) -> None:
    """Erase customers from everything that regulars holds, and refuse them when they are delivered again."""
    from pipelines.erase import erase as erase_customers

    receipts = erase_customers(_settings(config, root), customers or [], datetime.now(UTC).replace(tzinfo=None))
    if json:
        typer.echo("[" + ",".join(receipt.to_json() for receipt in receipts) + "]")
        return
    terminal = console()
    for receipt in receipts:
        _show_receipt(receipt, terminal)
    if not receipts:
        terminal.print("Nobody was named and nothing was left to finish.")


def access(
    customer: Customer, config: Config = DEFAULT, root: Root = None, json: Json = False, out: Out = None
) -> None:
    """Show everything that is held about one customer, table by table."""
    from json import dumps

    from data.erasure import held
    from data.errors import LakeError
    from data.lake import Lake
    from data.private import replacing
    from data.pseudonyms import pseudonym, read_key

    settings = _settings(config, root)
    key = read_key(settings.privacy, settings.folder, settings.root)
    tables = held(Lake(settings.lake_root), customer if key is None else pseudonym(key, customer))
    if not tables:
        raise LakeError(
            f"nothing about this customer in {settings.lake_root}",
            "an id as the source spells it",
            "look the id up in the source, or run `regulars nightly` first",
        )
    text = dumps({"customer_id": customer, "tables": tables}, default=str, indent=1, ensure_ascii=False) + "\n"
    if out is not None:
        with replacing(out) as draft:
            draft.write_text(text, encoding="utf-8")
    if json:
        typer.echo(text, nl=False)
    elif out is None:
        _show_held(tables, console())
    else:
        n_rows = sum(map(len, tables.values()))
        console().print(f"{n_rows:,} rows of {len(tables)} tables are in {out}", markup=False)


def _settings(config: Path, root: Path | None) -> Any:
    from pipelines.plan import read_settings

    # The demo needs no file: where there is none, the command speaks of the demo.
    return read_settings(config if config.exists() or config != DEFAULT else None, root)


def _show_receipt(receipt: Any, terminal: Console) -> None:
    rows = ", ".join(f"{table} {n:,}" for table, n in sorted(receipt.rows.items())) or "none"
    searched = f"{receipt.n_files_searched:,} files, {receipt.n_bytes_searched:,} bytes"
    lines = [
        f"Erased. Receipt {receipt.tombstone[:16]}… of {receipt.erased_at:%Y-%m-%d %H:%M} UTC",
        f"  Rows removed, over all versions: {receipt.n_rows:,} ({rows})",
        f"  Searched afterwards: {searched}; traces left: {receipt.n_hits}",
        *(f"  {what}: {name}" for name, what in sorted(receipt.files.items())),
    ]
    if not receipt.searched_everywhere:
        lines.append("  The id looks like other numbers or words: it was searched where ids of customers stand.")
    if receipt.n_shared_contacts:
        lines.append(f"  Contact details that another customer has too, and keeps: {receipt.n_shared_contacts}")
    lines += [f"  Still in your own files, which regulars never changes: {name}" for name in receipt.in_your_files]
    lines += [f"  {name} names a server: remove copies of reports there." for name in receipt.elsewhere]
    for line in [*lines, f"  {receipt.models}"]:
        terminal.print(line, markup=False, soft_wrap=True)


def _show_held(tables: dict[str, list[dict[str, Any]]], terminal: Console) -> None:
    from data.contracts import CONTRACTS

    for table, rows in tables.items():
        grain = f", one per {CONTRACTS[table].grain}" if table in CONTRACTS else ""
        terminal.print(f"{table}: {len(rows):,} row{'s' if len(rows) > 1 else ''}{grain}", markup=False)
        for row in rows[:_SHOWN]:
            known = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items() if value is not None)
            terminal.print(f"  {known}", markup=False, soft_wrap=True)
        if len(rows) > _SHOWN:
            terminal.print(f"  and {len(rows) - _SHOWN:,} more: see them with --json or --out FILE", markup=False)
