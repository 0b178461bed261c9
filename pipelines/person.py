"""Who is meant by an id: the person it belongs to in a night, or the ids that are nearest to it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from data.engine import connect
from data.errors import UserError
from data.identity.masters import IDENTITY_LOG, master_ids
from data.lake import Lake, Snapshot
from data.pseudonyms import pseudonym, read_key
from data.tombstones import read_tombstones
from features.clock import local_date
from pipelines.settings import Settings

N_NEAREST = 3


class NoSuchCustomerError(UserError):
    """A night knows nobody by this id."""

    exit_code: ClassVar[int] = 14


@dataclass(frozen=True)
class Person:
    """Who is meant: the id that the night knows the person by, and all ids that are theirs."""

    customer_id: str
    ids: tuple[str, ...]


def find(settings: Settings, lake: Lake, snapshot: Snapshot, customer: str) -> Person:
    """Return the person that an id belongs to in a night.

    Raises
    ------
    NoSuchCustomerError
        The night knows nobody by this id, or they were erased.
    """
    key = read_key(settings.privacy, settings.folder, settings.root)
    given = customer.strip()
    if key is not None:
        given = pseudonym(key, given)
    masters = _masters(lake, snapshot)
    person = masters.get(given, given)
    ids = tuple(sorted({person, *(one for one, master in masters.items() if master == person)}))
    known = _known_ids(lake, snapshot)
    stones = read_tombstones(settings.root)
    is_erased = stones is not None and (stones.holds(given) or stones.holds(person))
    if is_erased or not any(one in known for one in ids):
        # Pseudonyms near to each other are no near customers.
        near = [] if key is not None else nearest(given, known)
        if stones is not None:
            near = [one for one in near if not stones.holds(one)]
        told = f", such as {', '.join(near[:N_NEAREST])}" if near else ""
        raise NoSuchCustomerError(
            f"no such customer in the night of {local_date(snapshot.as_of, settings.company.timezone)}",
            f"an id of that night as the source spells it{told}",
            "check the spelling, or run `regulars nightly` if the customer is new",
        )
    return Person(person, ids)


def nearest(given: str, known: Collection[str], n_nearest: int = 2 * N_NEAREST) -> list[str]:
    """Return the ids that differ least from one, in edits; none that shares less than half of it.

    Examples
    --------
    >>> nearest("1O7", {"107", "1070", "998"})
    ['107', '1070']
    """
    most = max(1, (len(given) + 1) // 2)
    # What would break the line that it stands in is no help.
    ids = pa.table({"id": pa.array(sorted(one for one in known if one.isprintable()), pa.string())})
    backend = connect(threads=1)
    try:
        backend.con.register("ids", ids)
        found = backend.con.execute(
            "SELECT id FROM (SELECT id, damerau_levenshtein(id, $1) AS edits FROM ids) WHERE edits <= $2 "
            "ORDER BY edits, len(id), id LIMIT $3",
            [given, most, n_nearest],
        )
        return [row[0] for row in found.fetchall()]
    finally:
        backend.disconnect()


def _masters(lake: Lake, snapshot: Snapshot) -> dict[str, str]:
    if IDENTITY_LOG not in snapshot.versions:
        return {}
    mapping = master_ids(lake, snapshot.versions[IDENTITY_LOG])
    return dict(zip(mapping["customer_id"].to_pylist(), mapping["master_id"].to_pylist(), strict=True))


def _known_ids(lake: Lake, snapshot: Snapshot) -> set[str]:
    """Return who bought before the night, and who is on the list of customers."""
    known: set[str] = set()
    for table, as_of in (("observations", snapshot.as_of), ("customers", None)):
        if table in snapshot.versions:
            rows = lake.read(table, version=snapshot.versions[table], as_of=as_of, columns=["customer_id"])
            known |= set(rows["customer_id"].to_pylist())
    return known
