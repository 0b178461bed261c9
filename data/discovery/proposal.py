"""What a proposal is made of: sections of a configuration, line by line, each with the evidence for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from data.contracts.base import quoted
from data.discovery.match import Role
from data.discovery.profile import ColumnProfile, Profile
from data.discovery.sample import cell
from data.discovery.sniff import Skipped

Ask = Callable[[str, Sequence[str], str], str]
"""Asks a question, with the answers to choose from (none: any text) and the proposed one; returns the answer."""

FOUND = 0.95
"""Share of keys that must be found in another file before it is joined or referred to."""

_LOOKED_UP = 20_000


@dataclass(frozen=True)
class Entry:
    """One line of a section.

    Parameters
    ----------
    key
        Its key, dotted: ``columns.order_id``.
    value
        What it is set to; a path is written as the configuration sees it.
    evidence
        What speaks for it.
    unsure
        What is not known, and what else it could be; empty where nothing is open.
    choices
        The values to choose from, by what a person sees; the first is the proposal.
    is_active
        Whether it is written as a line; else as a comment, to be filled in.
    """

    key: str
    value: object
    evidence: tuple[str, ...] = ()
    unsure: str = ""
    choices: Mapping[str, object] = field(default_factory=dict)
    is_active: bool = True


@dataclass
class Draft:
    """A section of a contract table while it is being filled, on the rows of one file set.

    Parameters
    ----------
    name
        The contract.
    profile
        Its file set.
    entries
        Lines so far.
    used
        Columns that are mapped.
    joins
        File sets that are joined: each with the column here, the column there, and the evidence.
    notes
        Comments at the end of the section.
    differing
        Columns that are kept as attributes although they are used, so that lines that differ in them stay apart.
    left_out
        Columns that must not be kept.
    clocks
        Columns of days that are joined with one of times of the day, with its format.
    is_active
        Whether its lines are written as such, or as comments.
    """

    name: str
    profile: Profile
    entries: list[Entry] = field(default_factory=list)
    used: dict[str, ColumnProfile] = field(default_factory=dict)
    joins: list[tuple[Profile, str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    clocks: dict[str, str] = field(default_factory=dict)
    is_active: bool = True

    def map(self, target: str, column: ColumnProfile | None, *further: str, unsure: str = "") -> None:
        """Map a column to a column of the contract, if there is one."""
        if column is not None:
            self.used[column.name] = column
            self.entries.append(Entry(f"columns.{target}", column.name, (says(column), *further), unsure))

    def constant(self, target: str, value: object, evidence: str, unsure: str = "") -> None:
        """Give a column of the contract one value."""
        self.entries.append(Entry(f"constants.{target}", value, (evidence,), unsure))

    def lack(self, target: str, todo: str) -> None:
        """Say that nothing was found for a column that is required."""
        self.entries.append(Entry(f"columns.{target}", "…", (todo,), f"no column looks like {target}", is_active=False))

    @property
    def columns(self) -> list[ColumnProfile]:
        """Columns of the files, then those that joined files bring and the files do not have."""
        found = {column.name: column for column in self.profile.usable}
        for profile, *_ in self.joins:
            for column in profile.usable:
                found.setdefault(column.name, column)
        return list(found.values())

    @property
    def keys(self) -> set[str]:
        """The keys of the lines so far."""
        return {entry.key for entry in self.entries}


@dataclass(frozen=True)
class Proposal:
    """A whole configuration, the file sets behind it, and what was left out."""

    company: tuple[Entry, ...]
    sections: tuple[Draft, ...]
    profiles: tuple[Profile, ...]
    roles: Mapping[str, Role]
    skipped: tuple[Skipped, ...]
    unused: tuple[tuple[str, str], ...]
    folder: Path

    @property
    def unsure(self) -> list[tuple[str, Entry]]:
        """Lines that are not sure, each with its section."""
        sections = [("company", self.company), *((draft.name, tuple(draft.entries)) for draft in self.sections)]
        return [(name, entry) for name, entries in sections for entry in entries if entry.unsure]


def says(column: ColumnProfile) -> str:
    """Return what is known of a column, without showing a value of it."""
    parts = [f"{column.n_distinct:,} different in {column.n_rows:,} rows"]
    if column.is_unique:
        parts = [f"different in each of {column.n_rows:,} rows"]
    if column.n_null:
        parts.append(f"{column.null_share:.0%} empty" if column.null_share >= 0.005 else f"{column.n_null:,} empty")
    if column.has_leading_zeros:
        parts.append("zeros in front are kept")
    return f"<- {column.name}: {', '.join(parts)}"


def key_text(column: ColumnProfile) -> str:
    """Return the SQL of a key as text, ``17850.0`` as ``17850``."""
    text = cell(column.place)
    return rf"regexp_replace({text}, '^(\d+)\.0+$', '\1')" if column.is_whole_float else text


def found_share(
    connection: duckdb.DuckDBPyConnection, ours: tuple[Profile, ColumnProfile], theirs: tuple[Profile, ColumnProfile]
) -> float:
    """Return the share of our different values that their column has, of up to some thousands."""
    (profile, column), (other, key) = ours, theirs
    known = f"SELECT {key_text(key)} FROM {quoted(other.sample.table)}"  # noqa: S608 - quoted names
    query = f"""SELECT count(*) FILTER (v IN ({known})), count(*)
        FROM (SELECT DISTINCT {key_text(column)} AS v FROM {quoted(profile.sample.table)} WHERE v IS NOT NULL
        ORDER BY hash(v), v LIMIT {_LOOKED_UP})"""  # noqa: S608 - quoted names
    ((n_found, n_all),) = connection.execute(query).fetchall()
    return float(n_found / n_all) if n_all else 0.0
