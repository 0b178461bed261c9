"""Repairs: rows of the quarantine that were handed in again, as one more source of a night."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa

from data.contracts import CONTRACTS
from data.deliveries import Batch
from data.lake import Lake
from data.readmission import readmitted, superseded
from data.sources import Piece


@dataclass(frozen=True)
class Repairs:
    """Rows of the quarantine that were handed in repaired.

    Parameters
    ----------
    lake
        Where they wait.
    pieces
        They, as pieces of a source.
    """

    lake: Lake
    pieces: tuple[Piece, ...] = ()

    @cached_property
    def superseded(self) -> dict[str, frozenset[str]]:
        """By contract the ``row_id`` of rows as they first came."""
        names = {piece.contract for piece in self.pieces}
        return {name: frozenset(superseded(self.lake, CONTRACTS[name])) for name in names}

    def tables(self, pieces: Collection[Piece]) -> dict[str, pa.Table]:
        """Return the raw tables of those pieces that are repaired rows."""
        wanted = [piece for piece in pieces if piece in self.pieces]
        found = {
            piece.contract: readmitted(
                self.lake, CONTRACTS[piece.contract], {one.digest for one in wanted if one.contract == piece.contract}
            )
            for piece in wanted
        }
        return {name: table for name, table in found.items() if table is not None}

    def apart(self, batch: Batch) -> list[Batch]:
        """Split a batch into what comes from the source and what was repaired: only the latter is all text."""
        repaired = tuple(piece for piece in batch.pieces if piece in self.pieces)
        fresh = tuple(piece for piece in batch.pieces if piece not in self.pieces)
        parts = [replace(batch, pieces=fresh), replace(batch, pieces=repaired, first=frozenset())]
        return [part for part in parts if part.pieces]
