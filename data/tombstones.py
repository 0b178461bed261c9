"""Tombstones: keyed digests of customers who were erased, by which a later delivery of them is recognised and refused.

The list holds no customer: without the key beside it, nobody can try ids against it.
"""
# ruff: noqa: S608 - every name goes through quoted()

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from data.contracts.base import ExpectationResult, Severity, quoted
from data.errors import LakeError
from data.private import write_private

REFUSED = "erased customer delivered again"
"""Name of the expectation under which refused rows are counted."""

_KEY_BYTES = 32


@dataclass(frozen=True)
class Tombstones:
    """The digests of erased customers, and the key that makes them.

    Parameters
    ----------
    key
        Secret of this root; without it no digest can be made.
    digests
        HMAC-SHA256 of each erased ``customer_id``, in hexadecimal digits.

    Examples
    --------
    >>> stones = Tombstones(b"k" * 32, frozenset()).with_ids(["c 1"])
    >>> stones.holds("c 1"), stones.holds(" c 1 "), stones.holds("c 2")
    (True, True, False)
    """

    key: bytes = field(repr=False)
    digests: frozenset[str]

    def digest(self, customer_id: str) -> str:
        """Return the tombstone of a customer; spaces around an id mean nothing."""
        return hmac.new(self.key, customer_id.strip().encode(), hashlib.sha256).hexdigest()

    def holds(self, customer_id: str) -> bool:
        """Say whether a customer was erased."""
        return bool(self.digests) and self.digest(customer_id) in self.digests

    def among(self, customer_ids: Iterable[str | None]) -> list[str]:
        """Return those of some distinct ids that were erased, in their order."""
        if not self.digests:
            return []
        return [one for one in customer_ids if one is not None and self.digest(one) in self.digests]

    def with_ids(self, customer_ids: Iterable[str]) -> "Tombstones":
        """Return the tombstones with some more."""
        return Tombstones(self.key, self.digests | {self.digest(one) for one in customer_ids})


@dataclass(frozen=True)
class Refusal:
    """What became of a raw table before its contract saw it.

    Parameters
    ----------
    table
        Name of the view without the rows of erased customers; the raw table itself where there are none.
    n_rows
        Rows delivered.
    n_refused
        Rows refused.
    result
        The row of the quality table that counts them; null where nobody was ever erased.
    """

    table: str
    n_rows: int
    n_refused: int
    result: ExpectationResult | None = None


def read_tombstones(root: Path) -> Tombstones | None:
    """Return the tombstones of a root, or None where nobody was ever erased.

    Raises
    ------
    LakeError
        There are tombstones without their key, or what is there is no key: who was erased could not be refused.
    """
    key_file, list_file = root / "keys" / "tombstones.key", root / "keys" / "tombstones.txt"
    if not list_file.exists():
        return None
    key = key_file.read_bytes() if key_file.exists() else b""
    if len(key) != _KEY_BYTES:
        raise LakeError(
            f"tombstones in {list_file} without their key {key_file.name}",
            f"a key of {_KEY_BYTES} bytes: without it customers who were erased would come back unnoticed",
            "restore the key from its backup",
        )
    return Tombstones(key, frozenset(list_file.read_text(encoding="ascii").split()))


def bury(root: Path, customer_ids: Iterable[str]) -> Tombstones:
    """Write the tombstones of some customers, and the key before the first of them; again changes nothing."""
    known = read_tombstones(root)
    if known is None:
        key_file = root / "keys" / "tombstones.key"
        # A key that a crash left without a list is as good as a new one.
        key = key_file.read_bytes() if key_file.exists() else b""
        if len(key) != _KEY_BYTES:
            key = secrets.token_bytes(_KEY_BYTES)
            write_private(key_file, key)
        known = Tombstones(key, frozenset())
    buried = known.with_ids(customer_ids)
    lines = "".join(f"{digest}\n" for digest in sorted(buried.digests))
    write_private(root / "keys" / "tombstones.txt", lines.encode("ascii"))
    return buried


def tombstones_digest(root: Path) -> str:
    """Return a digest of a root's tombstones, an input of every run; '' where nobody was ever erased."""
    known = read_tombstones(root)
    return "" if known is None else hashlib.sha256("\n".join(sorted(known.digests)).encode()).hexdigest()


def refuse(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    raw_table: str,
    tombstones: Tombstones | None,
    column: str = "customer_id",
) -> Refusal:
    """Hide the rows of erased customers from everything that follows; they are dropped, and only counted.

    A quarantine would bring them back to the disk. Digests are made of distinct ids alone, and only where somebody was
    erased.

    Parameters
    ----------
    connection
        Where the raw table is; the ids that are refused stay in its memory.
    name
        Name of the contract.
    raw_table
        Name of the delivered table or view.
    tombstones
        From ``read_tombstones``.
    column
        Column of the customer; a table without it refuses nothing.
    """
    ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(raw_table)}").fetchall()
    columns = [row[0] for row in connection.execute(f"DESCRIBE {quoted(raw_table)}").fetchall()]
    if tombstones is None or not tombstones.digests or column not in columns:
        return Refusal(raw_table, n_rows, 0)
    ids = connection.execute(f"SELECT DISTINCT CAST({quoted(column)} AS VARCHAR) FROM {quoted(raw_table)}")
    erased = tombstones.among(ids.to_arrow_table().column(0).to_pylist())
    n_refused, table = 0, raw_table
    if erased:
        refused, table = f"{raw_table}__refused", f"{raw_table}__admissible"
        connection.register(f"{refused}_ids", pa.table({"id": pa.array(erased, pa.string())}))
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(refused)} AS FROM {quoted(f'{refused}_ids')}")
        connection.unregister(f"{refused}_ids")
        is_erased = f"CAST({quoted(column)} AS VARCHAR) IN (SELECT id FROM {quoted(refused)})"
        # A temporary view may shadow nothing, and ends with the connection as the ids do.
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {quoted(table)} AS FROM {quoted(raw_table)} "
            f"WHERE coalesce(NOT {is_erased}, true)"
        )
        ((n_left,),) = connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchall()
        n_refused = n_rows - n_left
    detail = f"{n_refused:,} rows of erased customers were not taken" if n_refused else ""
    result = ExpectationResult(name, REFUSED, Severity.WARNING, n_rows, n_refused, n_refused == 0, detail)
    return Refusal(table, n_rows, n_refused, result)
