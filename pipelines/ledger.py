"""The ledger of campaigns: what was planned and which arms were drawn, written once and never changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.digest import digest
from data.errors import UserError
from data.lake import Lake

ENTRIES, DRAWS = "campaign_ledger", "campaign_draws"
_ENTRY = pa.schema(
    {
        "campaign_id": pa.string(),
        "name": pa.string(),
        "starts_on": pa.date32(),
        "outcome_days": pa.int64(),
        "shares_json": pa.string(),
        "costs_json": pa.string(),
        "n_assigned": pa.int64(),
        "draw_digest": pa.string(),
        "assigned_at": pa.timestamp("us"),
        "by": pa.string(),
    }
)
_DRAW = pa.schema(
    {
        "campaign_id": pa.string(),
        "customer_id": pa.string(),
        "arm": pa.string(),
        "propensity": pa.float64(),
        "stratum": pa.string(),
        "household_id": pa.string(),
        "assigned_at": pa.timestamp("us"),
    }
)


class AlreadyAssignedError(UserError):
    """The campaign was drawn before: a draw is never changed."""

    exit_code: ClassVar[int] = 16


class UnknownCampaignError(UserError):
    """No campaign of this id is in the ledger or in the deliveries."""

    exit_code: ClassVar[int] = 17


@dataclass(frozen=True)
class Entry:
    """A campaign as it was planned and drawn.

    Parameters
    ----------
    campaign_id, name
        Its key and its name.
    starts_on
        Local day on which the outcome window begins.
    outcome_days
        Length of that window.
    shares, costs
        Share of each arm (``control`` among them), and cents per contact by arm.
    n_assigned
        Customers drawn.
    draw_digest
        Digest of the draw.
    assigned_at
        Naive UTC instant of the draw.
    by
        Who ordered it.
    """

    campaign_id: str
    name: str
    starts_on: date
    outcome_days: int
    shares: Mapping[str, float]
    costs: Mapping[str, float]
    n_assigned: int
    draw_digest: str
    assigned_at: datetime
    by: str


class Ledger:
    """The campaigns of one lake.

    Parameters
    ----------
    lake
        The lake; hold its lock to add to the ledger.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def entries(self) -> dict[str, Entry]:
        """Return the campaigns by id, oldest first."""
        rows = self._table(ENTRIES, _ENTRY).sort_by([("assigned_at", "ascending"), ("campaign_id", "ascending")])
        found = (_entry(row) for row in rows.to_pylist())
        return {entry.campaign_id: entry for entry in found}

    def draw(self, campaign_id: str) -> pd.DataFrame:
        """Return the draw of a campaign: a row per customer, in order of customer_id; empty where there is none."""
        rows: pd.DataFrame = self._table(DRAWS, _DRAW).to_pandas()
        return rows[rows["campaign_id"] == campaign_id].sort_values("customer_id", ignore_index=True)

    def check_new(self, campaign_id: str) -> None:
        """Raise ``AlreadyAssignedError`` if the campaign was drawn before."""
        known = self.entries().get(campaign_id)
        if known is not None:
            raise AlreadyAssignedError(
                f"campaign {campaign_id}, which was drawn on {known.assigned_at:%Y-%m-%d}",
                "a new id: a draw is never changed",
                "name another one, or use its contact list",
            )

    def add(self, entry: Entry, drawn: pd.DataFrame) -> Entry:
        """Write an entry and its draw, and return the entry with the digest of the draw.

        Killed between the two, the draw of an unknown campaign is left, which the next try replaces.

        Parameters
        ----------
        entry
            The campaign; its ``draw_digest`` is filled in.
        drawn
            ``customer_id``, ``arm``, ``propensity``, ``stratum``, ``household_id``.
        """
        self.check_new(entry.campaign_id)
        rows = drawn.assign(campaign_id=entry.campaign_id, assigned_at=entry.assigned_at)[list(_DRAW.names)]
        table = pa.Table.from_pandas(rows, _DRAW, preserve_index=False).replace_schema_metadata()
        whole = replace(entry, n_assigned=len(rows), draw_digest=digest(table, ["customer_id"]))
        draws = self._table(DRAWS, _DRAW)
        others = draws.filter(pc.field("campaign_id") != entry.campaign_id)
        self._write(DRAWS, pa.concat_tables([others, table]), ["campaign_id", "customer_id"])
        self._write(ENTRIES, pa.concat_tables([self._table(ENTRIES, _ENTRY), _row(whole)]), ["campaign_id"])
        return whole

    def running(self, on: date) -> set[str]:
        """Return the customers of campaigns whose outcome window is not over on a local day."""
        ends = {name: one.starts_on + timedelta(days=one.outcome_days) for name, one in self.entries().items()}
        rows: pd.DataFrame = self._table(DRAWS, _DRAW).to_pandas()
        return set(rows.loc[rows["campaign_id"].isin([name for name, end in ends.items() if end > on]), "customer_id"])

    def _table(self, name: str, schema: pa.Schema) -> pa.Table:
        return self._lake.read(name).select(schema.names).cast(schema) if self._lake.has(name) else schema.empty_table()

    def _write(self, name: str, table: pa.Table, key: list[str]) -> None:
        self._lake.write(name, table, as_of=None, fingerprint=digest(table, key))


def _row(entry: Entry) -> pa.Table:
    values = {name: getattr(entry, name) for name in _ENTRY.names if not name.endswith("_json")}
    costs = {arm: float(cents) for arm, cents in entry.costs.items()}
    values |= {"shares_json": json.dumps(dict(entry.shares)), "costs_json": json.dumps(costs)}
    return pa.Table.from_pylist([values], _ENTRY)


def _entry(row: Mapping[str, Any]) -> Entry:
    plain = {name: value for name, value in row.items() if not name.endswith("_json")}
    return Entry(**plain, shares=json.loads(row["shares_json"]), costs=json.loads(row["costs_json"]))
