"""The log of who was found to be whom: merges and splits in order, from which everything else follows.

A merge says that two customers are one person; a split takes back the merge that joined them. The customers joined by
the merges that stand are one person, whose id is that of the customer seen first (of several the smallest id; those of
unknown age come last). Days of first sight are written down when a customer enters the log and never looked up again,
so the answer is a function of the log alone. A row that erasure took out is as if nobody had decided it. A person's id
is always that of one of their customers, so none is ever used twice. The log holds ids, levels and who decided, and no
personal data of customers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar

import pyarrow as pa

from data.errors import UserError

LOG = pa.schema(
    [
        ("sequence", pa.int64()),
        ("action", pa.string()),
        ("customer_id_a", pa.string()),
        ("customer_id_b", pa.string()),
        ("first_seen_a", pa.date32()),
        ("first_seen_b", pa.date32()),
        ("master_customer_id", pa.string()),
        ("by", pa.string()),
        ("reason", pa.string()),
        ("decided_at", pa.timestamp("us")),
        ("evidence_json", pa.string()),
    ]
)
"""customer_id_a < customer_id_b: the two that a merge was said of, or those of the merge that a split takes back;
first_seen_a, first_seen_b: theirs, as known when they entered the log; master_customer_id: the id of the person they
are after a merge, or were before a split; by: ``rule: email+name`` or a name; evidence_json: levels and bits as
``candidates`` gave them, ``{}`` without any."""

RULE = "rule: "
_LAST = date.max


class IdentityError(UserError):
    """Two customers cannot be merged or split."""

    exit_code: ClassVar[int] = 12


@dataclass
class Identities:
    """Who is whom after the decisions so far.

    Examples
    --------
    >>> who = Identities()
    >>> who.join("b", "a")
    'a'
    >>> who.mapping(), who.master("c")
    ({'b': 'a'}, 'c')
    """

    merges: list[tuple[str, str]] = field(default_factory=list)
    parted: list[tuple[str, str]] = field(default_factory=list)
    seen_on: dict[str, date | None] = field(default_factory=dict)
    _parents: dict[str, str] = field(default_factory=dict)

    def master(self, customer_id: str) -> str:
        """Return the id of the person that a customer is."""
        at = customer_id
        while (up := self._parents.get(at, at)) != at:
            at = up
        while (up := self._parents.get(customer_id, at)) != at:
            self._parents[customer_id], customer_id = at, up
        return at

    def meet(self, row: Mapping[str, Any]) -> None:
        """Remember the days of first sight of the two customers of a row of the log, unless they are known."""
        for side in ("a", "b"):
            self.seen_on.setdefault(row[f"customer_id_{side}"], row[f"first_seen_{side}"])

    def join(self, a: str, b: str) -> str:
        """Make two customers one person and return the person's id."""
        self.merges.append((a, b))
        # What was parted and is joined again is no longer parted.
        self.parted = [pair for pair in self.parted if set(pair) != {a, b}]
        return self._link(a, b)

    def part(self, a: str, b: str) -> None:
        """Take back the merge of two customers, if there is one, and remember that they are two."""
        self.merges = [pair for pair in self.merges if set(pair) != {a, b}]
        self.parted.append((a, b))
        self._parents = {}
        for pair in self.merges:
            self._link(*pair)

    def joint(self, a: str, b: str) -> tuple[str, str]:
        """Return the merge that made one person of two customers, who are one.

        Merges form a tree, in which one path leads from a to b; the latest merge on it joined the two.
        """
        return self.merges[max(_path(self.merges, a, b))]

    def are_parted(self, a: str, b: str) -> bool:
        """Say whether somebody said that a customer of one person is not a customer of the other."""
        sides = {self.master(a), self.master(b)}
        return any({self.master(x), self.master(y)} == sides for x, y in self.parted)

    def mapping(self) -> dict[str, str]:
        """Return the person's id of every customer that has another id than the person, by customer_id."""
        found = {one: self.master(one) for pair in self.merges for one in pair}
        return {one: found[one] for one in sorted(found) if found[one] != one}

    def _link(self, a: str, b: str) -> str:
        first, second = sorted((self.master(a), self.master(b)), key=self._age)
        self._parents[second] = first
        return first

    def _age(self, customer_id: str) -> tuple[date, str]:
        return self.seen_on.get(customer_id) or _LAST, customer_id


def _path(merges: list[tuple[str, str]], a: str, b: str) -> list[int]:
    """Return the places of the merges between two customers of one tree."""
    beside: dict[str, list[tuple[str, int]]] = {}
    for place, (x, y) in enumerate(merges):
        beside.setdefault(x, []).append((y, place))
        beside.setdefault(y, []).append((x, place))
    open_ends: list[tuple[str, list[int]]] = [(a, [])]
    seen = {a}
    while open_ends:
        at, path = open_ends.pop()
        if at == b:
            return path
        ahead = [(one, place) for one, place in beside.get(at, []) if one not in seen]
        seen |= {one for one, _ in ahead}
        open_ends += [(one, [*path, place]) for one, place in ahead]
    raise ValueError("the two are not joined")


def empty() -> pa.Table:
    """Return a log without decisions."""
    return LOG.empty_table()


def replay(log: pa.Table) -> Identities:
    """Return who is whom after all decisions of a log."""
    who = Identities()
    for row in log.sort_by("sequence").to_pylist():
        pair = row["customer_id_a"], row["customer_id_b"]
        who.meet(row)
        if row["action"] == "merge":
            who.join(*pair)
        else:
            who.part(*pair)
    return who


def merge(
    log: pa.Table,
    a: str,
    b: str,
    *,
    by: str,
    reason: str,
    decided_at: datetime,
    first_seen: Mapping[str, date | None] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Return the log with one more decision: two customers are one person.

    Parameters
    ----------
    by
        Who decided: a person's name, or ``RULE`` and the rule.
    decided_at
        Naive UTC instant.
    first_seen
        Day on which each customer was first seen; null or missing is younger than any day.
    evidence
        Levels and bits, never values.

    Raises
    ------
    IdentityError
        They are one customer, or one person already.
    """
    _check_two(a, b)
    who = replay(log)
    if who.master(a) == who.master(b):
        raise IdentityError(
            f"{a} and {b} are one person already, {who.master(a)}", "two persons", "see regulars identities log"
        )
    row = merged(who, a, b, first_seen or {}) | {"by": by, "reason": reason, "decided_at": decided_at}
    return extended(log, [row | {"evidence_json": json.dumps(dict(evidence or {}), sort_keys=True)}])


def merged(who: Identities, a: str, b: str, first_seen: Mapping[str, date | None]) -> dict[str, Any]:
    """Join two persons in ``who`` and return the log's row of it, without who decided it, when and why."""
    row = _row("merge", who, (a, b), first_seen)
    who.meet(row)
    return row | {"master_customer_id": who.join(a, b)}


def split(log: pa.Table, a: str, b: str, *, by: str, reason: str, decided_at: datetime) -> pa.Table:
    """Return the log with one more decision: two customers are not one person after all.

    The merge that joined them is taken back; who was with either of them before it stays with them. No rule joins
    the two again.

    Raises
    ------
    IdentityError
        They are one customer, or two persons already.
    """
    _check_two(a, b)
    who = replay(log)
    if who.master(a) != who.master(b):
        raise IdentityError(f"{a} and {b} are two persons already", "one person", "see regulars identities log")
    row = _row("split", who, who.joint(a, b), {}) | {"master_customer_id": who.master(a)}
    return extended(log, [row | {"by": by, "reason": reason, "decided_at": decided_at, "evidence_json": "{}"}])


def extended(log: pa.Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the log with more rows, numbered on from its last one."""
    start = max(log["sequence"].to_pylist(), default=-1) + 1
    numbered = [{"sequence": start + place} | dict(row) for place, row in enumerate(rows)]
    return pa.concat_tables([log, pa.Table.from_pylist(numbered, schema=LOG)]).combine_chunks()


def _check_two(a: str, b: str) -> None:
    if a == b:
        raise IdentityError(f"{a} twice", "two customers", "name another one")


def _row(action: str, who: Identities, pair: tuple[str, str], first_seen: Mapping[str, date | None]) -> dict[str, Any]:
    a, b = sorted(pair)
    days = {f"first_seen_{side}": who.seen_on.get(one, first_seen.get(one)) for side, one in (("a", a), ("b", b))}
    return {"action": action, "customer_id_a": a, "customer_id_b": b} | days
