"""Merges that the configuration allows without asking: customers whose parts are all known and equal."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa

from data.identity.comparisons import CROWD
from data.identity.log import RULE, Identities, extended, merged, replay
from data.identity.normalise import normalised
from data.identity.settings import Identity, Part


def merge_by_rules(
    log: pa.Table,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    identity: Identity,
    *,
    decided_at: datetime,
    first_seen: Mapping[str, date | None] | None = None,
) -> pa.Table:
    """Return the log with the merges that the rules of the configuration make of a table of identities.

    A name of one word is too little for a rule, and so is a value that a crowd shares. Customers whom somebody parted
    stay parted. Without rules the log comes back as it is; so it does when nothing is new.

    Parameters
    ----------
    decided_at
        Naive UTC instant of the run.
    first_seen
        Day on which each customer was first seen.
    """
    if not identity.merge_rules:
        return log
    people = normalised(connection, table, identity.default_region).to_pylist()
    who = replay(log)
    rows = [
        row | {"decided_at": decided_at}
        for rule, parts in zip(identity.merge_rules, identity.rules(), strict=True)
        for group in _groups(people, parts)
        for row in _merges(who, rule, group, first_seen or {})
    ]
    return extended(log, rows) if rows else log


def _groups(people: list[dict[str, Any]], parts: tuple[Part, ...]) -> list[list[str]]:
    """Return the customers that agree in all these parts, by id."""
    found: dict[tuple[str, ...], list[str]] = {}
    for person in people:
        values = tuple(person[part] for part in parts)
        if None not in values and " " in person["name"]:
            found.setdefault(values, []).append(person["customer_id"])
    return [sorted(group) for group in found.values() if 1 < len(group) <= CROWD]


def _merges(
    who: Identities, rule: str, group: list[str], first_seen: Mapping[str, date | None]
) -> list[dict[str, Any]]:
    made = []
    for a, b in pairwise(group):
        if who.master(a) != who.master(b) and not who.are_parted(a, b):
            said = {"by": RULE + rule, "reason": "equal once normalised"}
            evidence = json.dumps({f"{part}_level": "same" for part in rule.split("+")}, sort_keys=True)
            made.append(merged(who, a, b, first_seen) | said | {"evidence_json": evidence})
    return made
