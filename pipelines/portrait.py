"""One customer as the newest night knew them: features beside their segment, scores, offers, action and history."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import ConfigError
from data.lake import Lake, Snapshot
from data.privacy import SUPPRESSION, objected
from features.registry import FEATURES
from models.phrases import in_words
from models.portrait import Standing, standings
from models.spec import FloatArray
from pipelines.catalogue import published
from pipelines.consent import PROFILING, contactable, statements, without_withdrawn
from pipelines.history import History, history
from pipelines.person import Person, find
from pipelines.phrases import PHRASES
from pipelines.run import Run
from pipelines.settings import Settings

OBSERVATIONS = "observations"
_EVER = datetime(9999, 1, 1)


@dataclass(frozen=True)
class Segment:
    """Whom a customer is compared with: the company's own segment, a lifecycle state, or everybody (empty name)."""

    kind: str
    name: str
    n_others: int

    @property
    def words(self) -> str:
        """The segment in words."""
        return f"{self.kind} “{self.name}”" if self.name else self.kind


@dataclass(frozen=True)
class Saying:
    """A feature in words, and where the customer stands in it."""

    words: str
    standing: Standing


@dataclass(frozen=True)
class Portrait:
    """All that a published night says of one customer.

    Parameters
    ----------
    person
        Who it is.
    run_key, as_of, as_of_on, company, currency, horizon_days
        Whose night it is.
    segment
        Whom the customer is compared with; null where a comparison is not made.
    features
        Every feature of the night, by name; empty for somebody who never bought.
    sayings
        Those that have a phrase, the most unusual ones first.
    scores, action
        Their rows of the night; null where there is none or none may be shown.
    offers
        Rows of the night, best first.
    history
        What is on record.
    may_contact
        Whether they may be contacted, by all that is known now; null where nothing says so.
    notes
        What is not shown, and why.
    """

    person: Person
    run_key: str
    as_of: datetime
    as_of_on: date
    company: str
    currency: str
    horizon_days: int | None
    segment: Segment | None
    features: tuple[Standing, ...]
    sayings: tuple[Saying, ...]
    scores: dict[str, Any] | None
    action: dict[str, Any] | None
    offers: tuple[dict[str, Any], ...]
    history: History
    may_contact: bool | None
    notes: tuple[str, ...] = field(default=())


def portrait(settings: Settings, customer: str) -> Portrait:
    """Return what the newest published night says of a customer.

    Who objected to profiling gets no scores, offers or comparison, by all that is known now: their own numbers and
    history are theirs.

    Parameters
    ----------
    settings
        Whose lake it is.
    customer
        An id as the source spells it; one that was merged leads to its person.

    Raises
    ------
    NoSuchCustomerError
        The night knows nobody by this id, or they were erased.
    LakeError
        Nothing was published.
    """
    lake = Lake(settings.lake_root)
    snapshot = published(settings, lake, None, (OBSERVATIONS,))
    person = find(settings, lake, snapshot, customer)
    return _Night(settings, lake, snapshot).of(person)


class _Night:
    """Reads what a night says of one person."""

    def __init__(self, settings: Settings, lake: Lake, snapshot: Snapshot) -> None:
        self._settings, self._lake, self._snapshot = settings, lake, snapshot
        self._run = Run(settings, snapshot.as_of, "")

    def of(self, person: Person) -> Portrait:
        """Return the portrait of a person."""
        said = statements(self._settings, self._lake)
        has_objected = bool(objected(person.ids, said, PROFILING, _EVER).any())
        notes = self._notes(has_objected=has_objected)
        known = self._slice(OBSERVATIONS)
        names = [name for name in FEATURES if name in known.column_names]
        mine = known.filter(pc.field("customer_id") == person.customer_id).select(names).to_pylist()
        values = {name: float("nan") if value is None else float(value) for row in mine for name, value in row.items()}
        segment, others = (None, known.slice(0, 0)) if has_objected else self._others(person, known)
        columns = {name: _floats(others[name]) for name in names}
        features = standings(values, columns, names, SUPPRESSION) if mine else []
        if not mine:
            notes.append("No purchase is known, so there are no features and no scores.")
        return Portrait(
            person=person,
            run_key=self._snapshot.run_key,
            as_of=self._snapshot.as_of,
            as_of_on=self._run.as_of_on,
            company=self._settings.company.name,
            currency=self._settings.company.currency_symbol,
            horizon_days=self._horizon_days(),
            segment=segment if mine else None,
            features=tuple(features),
            sayings=tuple(sayings(features, values)),
            scores=None if has_objected else self._row("scores", person),
            action=self._action(person, has_objected=has_objected),
            offers=() if has_objected else tuple(sorted(self._rows("offers", person), key=lambda row: row["rank"])),
            history=history(self._run, self._snapshot.versions, person.ids),
            may_contact=self._may_contact(person, said),
            notes=tuple(notes),
        )

    def _notes(self, *, has_objected: bool) -> list[str]:
        if has_objected:
            return ["They object to profiling: no scores, no offers and no comparison with others are shown."]
        missing = [name for name in ("scores", "offers", "actions") if name not in self._snapshot.versions]
        return [f"This night has no table {name}." for name in missing]

    def _slice(self, table: str) -> pa.Table:
        return self._lake.read(table, version=self._snapshot.versions[table], as_of=self._snapshot.as_of)

    def _rows(self, table: str, person: Person) -> list[dict[str, Any]]:
        if table not in self._snapshot.versions:
            return []
        rows: list[dict[str, Any]] = (
            self._slice(table).filter(pc.field("customer_id") == person.customer_id).to_pylist()
        )
        return [{name: value for name, value in row.items() if name not in {"as_of", "customer_id"}} for row in rows]

    def _row(self, table: str, person: Person) -> dict[str, Any] | None:
        return next(iter(self._rows(table, person)), None)

    def _horizon_days(self) -> int | None:
        if "horizons" not in self._snapshot.versions:
            return None
        return int(self._slice("horizons")["horizon_days"][0].as_py())

    def _others(self, person: Person, known: pa.Table) -> tuple[Segment, pa.Table]:
        """Return the group to compare with, and its other members: large enough that nobody stands for it alone."""
        others = known.filter(pc.field("customer_id") != person.customer_id)
        for kind, name, ids in self._groups(person):
            members = others.filter(pc.is_in(others["customer_id"], pa.array(ids, pa.string())))
            if members.num_rows >= SUPPRESSION:
                return Segment(kind, name, members.num_rows), members
        return Segment("all customers", "", others.num_rows), others

    def _groups(self, person: Person) -> list[tuple[str, str, list[str]]]:
        found = []
        versions = self._snapshot.versions
        if "customers" in versions and "segment" in self._lake.schema("customers", versions["customers"]).names:
            rows = self._lake.read("customers", version=versions["customers"], columns=["customer_id", "segment"])
            mine = rows.filter(pc.is_in(rows["customer_id"], pa.array(person.ids, pa.string())))
            # Of several ids the person's own speaks first, as everywhere.
            ranked = sorted(
                mine.to_pylist(), key=lambda row: (row["customer_id"] != person.customer_id, row["customer_id"])
            )
            if name := next((row["segment"] for row in ranked if row["segment"] is not None), None):
                found.append(("segment", str(name), _ids(rows, "segment", name)))
        if "scores" in versions:
            rows = self._slice("scores").select(["customer_id", "lifecycle_state"])
            for row in rows.filter(pc.field("customer_id") == person.customer_id).to_pylist():
                state = row["lifecycle_state"]
                found.append(("lifecycle state", str(state), _ids(rows, "lifecycle_state", state)))
        return found

    def _action(self, person: Person, *, has_objected: bool) -> dict[str, Any] | None:
        rows = self._rows("actions", person)
        if not rows:
            return None
        frame = pd.DataFrame(rows).assign(customer_id=person.customer_id)
        now = str(without_withdrawn(self._settings, self._lake, frame)["action"].iloc[0])
        if has_objected or now != rows[0]["action"]:
            # Why somebody was to be contacted is no longer anybody's business.
            return {"action": now, "arm": rows[0]["arm"]}
        return rows[0]

    def _may_contact(self, person: Person, said: pa.Table | None) -> bool | None:
        try:
            return bool(contactable(self._settings, said, [person.customer_id], _EVER)[0])
        except ConfigError:
            return None


def sayings(features: Sequence[Standing], values: Mapping[Hashable, float]) -> list[Saying]:
    """Return the features that have a phrase in words, the most unusual ones first; unknown ones are left out."""
    known = [one for one in features if one.name in PHRASES and not np.isnan(one.value)]
    known.sort(key=lambda one: (-np.nan_to_num(one.distance, nan=-1.0), one.name))
    return [Saying(_said(one, values), one) for one in known]


def _said(one: Standing, values: Mapping[Hashable, float]) -> str:
    phrase = PHRASES[one.name]
    words = phrase.about(one.name, values, one.typical)
    if np.isnan(one.typical):
        return words.replace(" (typical unknown)", "").replace(", typical unknown)", ")")
    return words if "{typical}" in phrase.text else f"{words}; others {in_words(one.typical, phrase.unit)}"


def _ids(rows: pa.Table, column: str, value: object) -> list[str]:
    found: list[str] = rows.filter(pc.field(column) == value)["customer_id"].to_pylist()
    return found


def _floats(column: pa.ChunkedArray) -> FloatArray:
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
