"""Erasure in the lake: every row of a customer out of every table and every version, and access to what is held.

Whose row it is says a column with ``customer_id`` in its name, or such a key in a column of JSON. A row that names two
customers, as a pair of duplicates does, goes with either. Text of other rows stays, without what names the customer.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.lake import Lake
from data.rewriting import Rewritten, rewrite, tables
from data.tombstones import Tombstones
from data.traces import Traces, is_customer_column, is_text

IDENTITIES = "identities"
_CONTACT_WORDS = ("mail", "phone", "mobile")
_N_CONTACT = 6


class Forget:
    """Keeps the rows that are no erased customer's, and takes what names one out of the others; an ``Edit``.

    Parameters
    ----------
    tombstones
        Whose rows go.
    traces
        What is taken out of the text of rows that stay.
    """

    def __init__(self, tombstones: Tombstones, traces: Traces) -> None:
        self._tombstones, self._traces = tombstones, traces
        self._known: dict[str, bool] = {}

    def columns(self, schema: pa.Schema) -> list[str]:
        """Return every column of text."""
        return _columns_of_text(schema)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the rows that stay; the very same table where nothing changes."""
        mine = belongs(rows, self._is_erased)
        if pc.any(mine).as_py():
            rows = rows.filter(pc.invert(mine))
        for name in self.columns(rows.schema):
            before = rows[name]
            if not is_customer_column(name) and (after := self._traces.column(before)) is not before:
                rows = rows.set_column(rows.column_names.index(name), rows.field(name), after)
        return rows

    def _is_erased(self, customer_id: str) -> bool:
        if customer_id not in self._known:
            self._known[customer_id] = self._tombstones.holds(customer_id)
        return self._known[customer_id]


@dataclass(frozen=True)
class Found:
    """What the lake holds of some customers.

    Parameters
    ----------
    rows
        Rows by customer and table, over all versions; a row that several versions share counts once.
    contacts
        E-mail addresses and phone numbers that are theirs alone.
    n_shared
        Such values that another customer has too: they stay with him.
    """

    rows: Mapping[str, Mapping[str, int]]
    contacts: frozenset[str]
    n_shared: int


def customers_in(text: str | None) -> list[str]:
    """Return the ids of customers that a JSON object names.

    Examples
    --------
    >>> customers_in('{"customer_id": 12, "order_id": "7"}')
    ['12']
    """
    if text is None or "customer_id" not in text.casefold():
        return []
    try:
        parsed = json.loads(text)
    except ValueError:
        return []
    pairs = parsed.items() if isinstance(parsed, dict) else ()
    return [str(value) for name, value in pairs if is_customer_column(name) and value is not None]


def find(root: Path, customer_ids: Sequence[str]) -> Found:
    """Return what the lake at a root holds of some customers, every version included."""
    rows = {one: Counter[str]() for one in customer_ids}
    contacts: dict[str, str] = {}
    others: set[str] = set()
    for folder in tables(root):
        for part in (part for path in sorted(folder.glob("*.parquet")) for part in _parts(path, only_text=True)):
            for customer, counts in rows.items():
                mine = _rows_of(part, customer)
                counts[folder.name] += mine.num_rows
                contacts |= _contacts(mine, folder.name)
            if folder.name == IDENTITIES:
                is_theirs = belongs(part, lambda one: one.strip() in rows)
                others |= set(_contacts(part.filter(pc.invert(is_theirs)), IDENTITIES))
    own = frozenset(value for key, value in contacts.items() if key not in others)
    return Found({one: dict(+counts) for one, counts in rows.items()}, own, len(contacts) - len(own))


def forget(root: Path, tombstones: Tombstones, traces: Traces) -> dict[str, Rewritten]:
    """Take every row of erased customers out of every version of every table of a lake; again changes nothing.

    Hold the lake's lock. A crash in the middle is finished by doing it again: the tombstones say whom it is about.
    """
    edit = Forget(tombstones, traces)
    return {folder.name: rewrite(folder, edit) for folder in tables(root)}


def held(lake: Lake, customer_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return everything that the published tables hold about a customer, table by table; empty tables are left out."""
    snapshot = lake.snapshot()
    found: dict[str, list[dict[str, Any]]] = {}
    for table, version in sorted(snapshot.versions.items() if snapshot is not None else ()):
        rows = [
            row
            for uri in lake.uris(table, version)
            for part in _parts(Path(uri))
            for row in _rows_of(part, customer_id).to_pylist()
        ]
        if rows:
            found[table] = rows
    return found


def belongs(rows: pa.Table, is_wanted: Callable[[str], bool]) -> pa.ChunkedArray:
    """Return for each row whether it names a customer who is wanted."""
    found = pa.chunked_array([pa.repeat(pa.scalar(False), rows.num_rows)])
    for name in _columns_of_text(rows.schema):
        if is_customer_column(name):
            wanted = [one for one in pc.unique(rows[name]).to_pylist() if one is not None and is_wanted(one)]
            found = pc.or_(found, pc.is_in(rows[name], pa.array(wanted, pa.string())))
        elif name.endswith("_json"):
            named = [any(map(is_wanted, customers_in(text))) for text in rows[name].to_pylist()]
            found = pc.or_(found, pa.chunked_array([pa.array(named, pa.bool_())]))
    return found


def _columns_of_text(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if is_text(field.type)]


def _parts(path: Path, *, only_text: bool = False) -> Iterator[pa.Table]:
    """Yield the row groups of a file that can name a customer."""
    with pq.ParquetFile(path) as source:
        names = _columns_of_text(source.schema_arrow)
        if any(is_customer_column(name) or name.endswith("_json") for name in names):
            for group in range(source.num_row_groups):
                yield source.read_row_group(group, names if only_text else None)


def _rows_of(part: pa.Table, customer_id: str) -> pa.Table:
    return part.filter(belongs(part, lambda one: one.strip() == customer_id.strip()))


def _contacts(rows: pa.Table, table: str) -> dict[str, str]:
    """Return the e-mail addresses and phone numbers of identities and of such rows set aside."""
    records: list[dict[str, Any]] = rows.to_pylist()
    if table != IDENTITIES:
        records = [_parsed(text) for record in records for name, text in record.items() if name.endswith("_json")]
    found = {
        str(value).strip()
        for record in records
        for name, value in record.items()
        if value and any(word in name.casefold() for word in _CONTACT_WORDS)
    }
    return {one.casefold() if "@" in one else re.sub(r"\D", "", one): one for one in found if len(one) >= _N_CONTACT}


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        parsed = json.loads(text or "{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
