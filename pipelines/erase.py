"""Erase: a customer out of the whole root, with a receipt; and what a crash left of it is finished at the next start.

The order makes it safe: the list of what is to go, then the tombstones, then everything else, then the search that
must find nothing, then the receipts, and last the list is removed. As long as the list is there, the erasure is not
done. Weights of models that were trained with a customer's rows are no rows of a customer; the next night trains
without them.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from data.contracts.base import quoted
from data.engine import connect
from data.erasure import find, forget
from data.errors import LakeError, UserError
from data.lake import Lake
from data.private import write_private
from data.pseudonyms import pseudonym, read_key
from data.rewriting import Rewritten
from data.tombstones import Tombstones, bury
from data.traces import Traces, is_distinctive
from pipelines.plan import open_source
from pipelines.publish import write_report
from pipelines.results import files_of, has_report_tables, open_night
from pipelines.settings import Settings
from pipelines.sweep import JOURNAL, search, sweep

MODELS = (
    "Models that were trained with the customer's rows keep their weights, which are no rows of a customer. They are "
    "not trained again now; the next night trains without these rows."
)


@dataclass(frozen=True)
class Receipt:
    """What an erasure did, without saying whom it was about: the tombstone is a keyed digest.

    Parameters
    ----------
    tombstone
        Digest of the customer's id with the key of the root.
    erased_at
        Instant (naive UTC) at which it was asked for.
    rows
        Rows of the customer by table, over all versions.
    files
        What became of other files than the lake's: ``cleaned``, ``removed`` or ``written again``.
    n_files_searched, n_bytes_searched, n_hits
        The search of the whole root afterwards: for the id, e-mail addresses and phone numbers. Hits are 0.
    searched_everywhere
        Whether the id is like no other word, so that it was searched in all bytes, and not only where ids of customers
        stand.
    n_shared_contacts
        E-mail addresses and phone numbers that another customer has too; they stay with him.
    in_your_files
        Files and tables of the company's own that still name the customer, or could not be read; regulars never
        changes them, and refuses the customer's rows when they come again.
    elsewhere
        Servers that were named in the environment and may hold copies of reports.
    models
        What holds of trained models.
    """

    tombstone: str
    erased_at: datetime
    rows: dict[str, int]
    files: dict[str, str]
    n_files_searched: int
    n_bytes_searched: int
    n_hits: int
    searched_everywhere: bool
    n_shared_contacts: int
    in_your_files: tuple[str, ...]
    elsewhere: tuple[str, ...]
    models: str = MODELS

    @property
    def n_rows(self) -> int:
        """Rows of the customer over all tables."""
        return sum(self.rows.values())

    def to_json(self) -> str:
        """Return the receipt as JSON."""
        return json.dumps(asdict(self) | {"n_rows": self.n_rows}, default=str, indent=1, sort_keys=True) + "\n"


def erase(settings: Settings, customer_ids: Sequence[str], at: datetime) -> list[Receipt]:
    """Erase customers from everything under the root, and return a receipt for each, those left by a crash first.

    Parameters
    ----------
    settings
        Whose root it is.
    customer_ids
        The customers; one who is not known gets a tombstone all the same, and is refused from now on.
    at
        Instant (naive UTC) for the receipt.

    Raises
    ------
    LockHeldError
        A run is going on.
    LakeError
        A database is in use, or traces are left; the next call goes on.
    """
    with Lake(settings.lake_root).lock():
        receipts = resume(settings)
        key = read_key(settings.privacy, settings.folder, settings.root)
        named = {one.strip() for one in customer_ids} - {""}
        wanted = sorted(named if key is None else {pseudonym(key, one) for one in named})
        if wanted:
            found = find(settings.lake_root, wanted)
            journal = {"at": at.isoformat(), "rows": found.rows, "contacts": sorted(found.contacts)}
            _write(_journal(settings), journal | {"n_shared": found.n_shared})
            receipts += resume(settings)
    return receipts


def resume(settings: Settings) -> list[Receipt]:
    """Finish an erasure that was begun, and return its receipts; call it at the start of a run, under its lock."""
    path = _journal(settings)
    if not path.exists():
        return []
    journal = json.loads(path.read_text(encoding="utf-8"))
    traces = Traces(frozenset(journal["rows"]), frozenset(journal["contacts"]))
    tombstones = bury(settings.root, journal["rows"])
    rewritten = forget(settings.lake_root, tombstones, traces)
    files = _lake_files(rewritten) | sweep(settings.root, settings.lake_root, traces)
    # A try that is killed from here on has told what it did.
    journal["files"] = journal.get("files", {}) | files
    _write(path, journal)
    files = journal["files"] | _write_newest_again(settings)
    searched = search(settings.root, traces)
    if searched.places:
        raise LakeError(
            f"{sum(searched.places.values())} traces are left in {', '.join(sorted(searched.places)[:5])}",
            "no trace of an erased customer",
            "remove these files, or close the programs that write them, and run `regulars erase` again",
        )
    receipts = []
    for customer, rows in journal["rows"].items():
        receipt = Receipt(
            tombstone=tombstones.digest(customer),
            erased_at=datetime.fromisoformat(journal["at"]),
            rows=rows,
            files=files,
            n_files_searched=searched.n_files,
            n_bytes_searched=searched.n_bytes,
            n_hits=0,
            searched_everywhere=is_distinctive(customer),
            n_shared_contacts=journal["n_shared"],
            in_your_files=_still_delivered(settings, tombstones),
            elsewhere=_elsewhere(),
        )
        _file(settings.root / "receipts", receipt)
        receipts.append(receipt)
    path.unlink()
    return receipts


def _journal(settings: Settings) -> Path:
    return settings.root / "keys" / JOURNAL


def _write(path: Path, content: dict[str, Any]) -> None:
    write_private(path, json.dumps(content).encode())


def _file(folder: Path, receipt: Receipt) -> None:
    """Write a receipt; that of an earlier erasure of the same customer stays."""
    path = folder / f"{receipt.tombstone}.json"
    if path.exists() and json.loads(path.read_text())["erased_at"] != str(receipt.erased_at):
        path = folder / f"{receipt.tombstone}-{receipt.erased_at:%Y%m%dT%H%M%S}.json"
    write_private(path, receipt.to_json().encode())


def _lake_files(rewritten: dict[str, Rewritten]) -> dict[str, str]:
    return {
        f"lake/{table}": f"{done.n_files} data files written again" for table, done in rewritten.items() if done.n_files
    }


def _write_newest_again(settings: Settings) -> dict[str, str]:
    """Write the newest night's files again where the sweep removed them, in the reports and in MLflow's copy.

    A night that ended before its report has no such files.
    """
    newest = Lake(settings.lake_root).snapshot()
    if newest is None or not has_report_tables(newest):
        return {}
    night = open_night(settings)
    files = files_of(settings, night)
    copies = settings.root / "mlartifacts" / night.mlflow_run_id / "artifacts" / "report"
    done = {}
    if not all(file.exists() for file in files.values()):
        write_report(settings, night)
        done = {str(file.relative_to(settings.root)): "written again" for file in files.values()}
    for file in files.values() if night.mlflow_run_id and copies.is_dir() else ():
        if not (copies / file.name).exists():
            shutil.copy2(file, copies / file.name)
            done[str((copies / file.name).relative_to(settings.root))] = "written again"
    return done


def _still_delivered(settings: Settings, tombstones: Tombstones) -> tuple[str, ...]:
    """Return the pieces of the source that still name an erased customer, which the company should hear of."""
    try:
        source = open_source(settings)
        pieces = source.pieces()
    except (UserError, OSError) as error:
        return (f"the source could not be read: {type(error).__name__}",)
    found = []
    for name in dict.fromkeys(piece.name for piece in pieces):
        engine = settings.engine
        backend = connect(engine.threads, engine.memory_limit, settings.root / "spill")
        with closing(backend.con) as connection:
            try:
                loaded = source.load(connection, [piece for piece in pieces if piece.name == name])
            except (UserError, OSError):
                found.append(f"{name} could not be read")
                continue
            if any(_names_one(connection, one.table, tombstones) for one in loaded.values()):
                found.append(name)
    return tuple(found)


def _names_one(connection: Any, table: str, tombstones: Tombstones) -> bool:
    columns = [row[0] for row in connection.execute(f"DESCRIBE {quoted(table)}").fetchall()]
    if "customer_id" not in columns:
        return False
    ids = connection.execute(f"SELECT DISTINCT CAST(customer_id AS VARCHAR) FROM {quoted(table)}")  # noqa: S608
    return bool(tombstones.among(ids.to_arrow_table().column(0).to_pylist()))


def _elsewhere() -> tuple[str, ...]:
    return tuple(name for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL") if os.environ.get(name))
