"""Deliveries: which pieces of a source were taken, and which a night has still to take.

A piece is known by the digest of its content. The same file under another name, or the same table without a new row, is
not taken again. Where the mapping of a contract changes, everything it brought is read anew, each piece with the
instant at which it first came, so that a better reading of the past does not look like news.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

import pyarrow as pa

from data.contracts.base import ExpectationResult, Severity
from data.sources.base import Piece

_TICK = timedelta(microseconds=1)

SCHEMA = pa.schema(
    {
        "contract": pa.string(),
        "name": pa.string(),
        "digest": pa.string(),
        "watermark": pa.string(),
        "mapping_digest": pa.string(),
        "received_at": pa.timestamp("us"),
        "columns_json": pa.string(),
    }
)


@dataclass(frozen=True)
class Taken:
    """A piece that was taken.

    Parameters
    ----------
    piece
        The piece.
    mapping_digest
        How it was read.
    received_at
        Naive UTC instant of the night that took it: its ``as_of``.
    columns
        Columns that the contract's files had that night.
    """

    piece: Piece
    mapping_digest: str
    received_at: datetime
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Pieces that are admitted together.

    Parameters
    ----------
    received_at
        Naive UTC instant of the night that first took them.
    pieces
        The pieces.
    first
        Contracts of which nothing came before: what they bring could be used when it happened.
    """

    received_at: datetime
    pieces: tuple[Piece, ...]
    first: frozenset[str] = frozenset()

    def known_at(self, contract: str) -> datetime | None:
        """Return the instant from which a contract's rows can be used: just before the night's half-open ``as_of``."""
        return None if contract in self.first else self.received_at - _TICK


@dataclass(frozen=True)
class Plan:
    """What a night takes, in order.

    Parameters
    ----------
    received_at
        Naive UTC instant at which it takes what is new.
    batches
        What to admit; empty where nothing is new.
    anew
        Contracts that are read anew from the beginning.
    again
        Names of pieces whose content came before under another name.
    outdated
        Contracts whose mapping changed but whose earlier pieces are gone: what they brought stays as it was read.
    """

    received_at: datetime
    batches: tuple[Batch, ...]
    anew: frozenset[str] = frozenset()
    again: tuple[Piece, ...] = ()
    outdated: frozenset[str] = frozenset()

    def results(self) -> list[ExpectationResult]:
        """Return what the quality table should say of the delivery as a whole."""
        found = [_warning(one.contract, "same content delivered again", one.name) for one in self.again]
        gone = "files that it brought are gone; what they held stays as it was read then"
        return found + [_warning(name, "read by an earlier mapping", gone) for name in sorted(self.outdated)]


@dataclass(frozen=True)
class Ledger:
    """Every piece that was taken up to a night.

    Parameters
    ----------
    taken
        In the order in which they were taken.
    """

    taken: tuple[Taken, ...] = field(default=())

    @classmethod
    def read(cls, table: pa.Table) -> "Ledger":
        """Return the ledger of the lake's table."""
        return cls(
            tuple(
                Taken(
                    Piece(row["contract"], row["name"], row["digest"], row["watermark"]),
                    row["mapping_digest"],
                    row["received_at"],
                    tuple(json.loads(row["columns_json"])),
                )
                for row in table.to_pylist()
            )
        )

    def table(self) -> pa.Table:
        """Return the lake's table."""
        rows = [
            {
                "contract": one.piece.contract,
                "name": one.piece.name,
                "digest": one.piece.digest,
                "watermark": one.piece.watermark,
                "mapping_digest": one.mapping_digest,
                "received_at": one.received_at,
                "columns_json": json.dumps(one.columns),
            }
            for one in self.taken
        ]
        return pa.Table.from_pylist(rows, SCHEMA)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the columns that the newest piece of each contract had."""
        return {one.piece.contract: one.columns for one in self.taken}

    def plan(self, pieces: Sequence[Piece], mappings: Mapping[str, str], as_of: datetime) -> Plan:
        """Return what a night has to take.

        Parameters
        ----------
        pieces
            What the source has.
        mappings
            Digest of the mapping, by contract.
        as_of
            The night's; pieces that are new are received then, but never before those that were taken.
        """
        now = max([as_of, *(one.received_at for one in self.taken)])
        anew, outdated = self._changed(pieces, mappings)
        known, named = self._digests(anew), {(one.piece.contract, one.piece.name) for one in self.taken}
        due: list[tuple[datetime, Piece]] = []
        again: list[Piece] = []
        for piece in pieces:
            if (piece.contract, piece.digest) not in known:
                known.add((piece.contract, piece.digest))
                is_anew = piece.contract in anew
                due.append((self._came(piece, now), piece) if is_anew else (now, self._since(piece)))
            elif (piece.contract, piece.name) not in named:
                again.append(piece)
        seen = {one.piece.contract for one in self.taken} - anew
        return Plan(now, _batches(due, seen), anew, tuple(again), outdated)

    def after(self, plan: Plan, mappings: Mapping[str, str], columns: Mapping[str, tuple[str, ...]]) -> "Ledger":
        """Return the ledger once a plan was carried out."""
        kept = [one for one in self.taken if one.piece.contract not in plan.anew]
        came = [
            Taken(replace(piece, since=None), mappings[piece.contract], batch.received_at, columns[piece.contract])
            for batch in plan.batches
            for piece in batch.pieces
        ]
        # What came again is written down by its new name, so that it is said once.
        again = [
            Taken(piece, mappings[piece.contract], plan.received_at, columns.get(piece.contract, ()))
            for piece in plan.again
        ]
        return Ledger((*kept, *came, *again))

    def _changed(self, pieces: Sequence[Piece], mappings: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
        """Return the contracts to be read anew, and those that should be but whose pieces are gone."""
        there = {(one.contract, one.digest) for one in pieces} | {(one.contract, one.name) for one in pieces}
        changed = {one.piece.contract for one in self.taken if one.mapping_digest != mappings.get(one.piece.contract)}
        gone = {
            one.piece.contract
            for one in self.taken
            if not {(one.piece.contract, one.piece.digest), (one.piece.contract, one.piece.name)} & there
        }
        return frozenset(changed - gone), frozenset(changed & gone)

    def _digests(self, anew: Collection[str]) -> set[tuple[str, str]]:
        return {(one.piece.contract, one.piece.digest) for one in self.taken if one.piece.contract not in anew}

    def _came(self, piece: Piece, now: datetime) -> datetime:
        """Return when a piece first came: by its content, or by its name where a file has grown since."""
        earlier = [one for one in self.taken if one.piece.contract == piece.contract]
        same = [one for one in earlier if one.piece.digest == piece.digest]
        same = same or [one for one in earlier if one.piece.name == piece.name]
        return min((one.received_at for one in same), default=now)

    def _since(self, piece: Piece) -> Piece:
        """Return a piece that begins after the newest watermark of its name."""
        place = (piece.contract, piece.name)
        marks = [one.piece.watermark for one in self.taken if (one.piece.contract, one.piece.name) == place]
        return replace(piece, since=marks[-1] if marks else None)


def _batches(due: Collection[tuple[datetime, Piece]], seen: Collection[str]) -> tuple[Batch, ...]:
    """Put what came together into one batch, and note which contracts begin with it."""
    found, begun = [], set(seen)
    for received_at, group in groupby(sorted(due, key=itemgetter(0)), itemgetter(0)):
        pieces = tuple(piece for _, piece in group)
        first = {piece.contract for piece in pieces} - begun
        found.append(Batch(received_at, pieces, frozenset(first)))
        begun |= first
    return tuple(found)


def _warning(contract: str, name: str, detail: str) -> ExpectationResult:
    return ExpectationResult(contract, name, Severity.WARNING, 1, 1, is_passed=False, detail=detail)
