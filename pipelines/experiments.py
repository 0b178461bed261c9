"""Experiments: designed on the company's own history, drawn once, listed for contact."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import ibis
import numpy as np
import pandas as pd

from data.errors import UserError
from data.export import Sheet, write_csv, write_xlsx
from data.lake import Lake
from data.private import private_folder
from features.clock import shift
from features.labels import eligible, labels
from features.matrix import feature_matrix, to_frame
from models.assignment import CONTROL, draw_arms, strata_of
from models.design import Design, Plan, Window, design
from models.holdout import HOLDOUT, assign
from pipelines.catalogue import published
from pipelines.consent import contactable, statements
from pipelines.ledger import Entry, Ledger
from pipelines.run import Run
from pipelines.settings import Settings

BEFORE = ("n_orders_84d", "spend_182d_cents", "spend_28d_cents", "spend_364d_cents", "spend_84d_cents")
"""Features that a design adjusts by; a verdict uses more."""

LONGER = (1, 2, 4)
"""Multiples of the asked window that a design looks at."""

Tables = Mapping[str, ibis.Table]

_EVER = datetime(9999, 1, 1)
_KEYS = ["customer_id", "as_of"]


@dataclass(frozen=True)
class Drawn:
    """A finished draw.

    Parameters
    ----------
    entry
        The entry of the ledger.
    counts
        Customers by arm.
    left_out
        Customers who were eligible and not drawn, by reason.
    files
        The contact list as CSV and as workbook.
    """

    entry: Entry
    counts: Mapping[str, int]
    left_out: Mapping[str, int]
    files: Mapping[str, Path]


class Experiments:
    """What can be tried on the customers of the newest published night.

    Parameters
    ----------
    settings
        Whose lake it is.

    Raises
    ------
    LakeError
        Nothing was published yet.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.lake = settings, Lake(settings.lake_root)
        self.snapshot = published(settings, self.lake, None, ("transactions", "customers"))
        self.run = Run(settings, self.snapshot.as_of, "", flow="campaign")
        self.ledger = Ledger(self.lake)

    def design(self, plan: Plan, outcome_days: int) -> Design:
        """Say what an experiment on today's customers could find.

        Parameters
        ----------
        plan
            Arms, costs and the effect that is worth having.
        outcome_days
            Length of the outcome window; twice and four times it are looked at too, as far as history goes.

        Raises
        ------
        UserError
            History is shorter than one window, or next to nobody bought before it.
        """
        people = self.run.people(self.snapshot.versions)
        windows = [self._window(people, outcome_days, times) for times in LONGER]
        known = [one for one in windows if one is not None]
        if windows[0] is None:
            raise UserError(
                f"less history than a window of {outcome_days} days, or fewer than two customers in it",
                "one past window with customers",
                "ask for a shorter one",
            )
        return design(known, plan, len(self.candidates(outcome_days)[0]))

    def candidates(self, outcome_days: int) -> tuple[pd.DataFrame, dict[str, int]]:
        """Return who can be drawn now, and how many eligible customers cannot, by the first reason that holds.

        Columns: ``customer_id``, ``stratum`` (fifth of the spend of 364 days), ``household_id`` (null where nobody
        says).

        Parameters
        ----------
        outcome_days
            Length of the outcome window, on which depends how long ago an eligible customer may have bought.
        """
        rows = self._seen(
            self.run.people(self.snapshot.versions), self.snapshot.as_of, outcome_days, ("spend_364d_cents",)
        )
        reasons = self._reasons(rows["customer_id"])
        left_out = {str(name): int(count) for name, count in reasons.value_counts().sort_index().items()}
        rows = rows[reasons.isna().to_numpy()].reset_index(drop=True)
        rows["stratum"] = strata_of(rows["spend_364d_cents"].fillna(0).to_numpy(dtype=np.float64))
        rows["household_id"] = _households(self.lake, self.snapshot.versions["customers"], rows["customer_id"])
        return rows[["customer_id", "stratum", "household_id"]], left_out

    def assign(self, plan: Plan, entry: Entry) -> Drawn:
        """Draw the arms of a campaign, write them down for good and write the contact list.

        Who withdrew consent, is in the universal holdout or in another campaign of the ledger that is not over is not
        drawn.

        Parameters
        ----------
        plan
            Arms and costs.
        entry
            The campaign; its id is the salt of the draw.

        Raises
        ------
        AlreadyAssignedError
            The campaign was drawn before.
        UserError
            Nobody can be drawn.
        LockHeldError
            A night is running.
        """
        with self.lake.lock():
            self.ledger.check_new(entry.campaign_id)
            customers, left_out = self.candidates(entry.outcome_days)
            if len(customers) < len(plan.shares):
                raise UserError("nobody to draw", "eligible customers with consent", "look at `regulars check`")
            drawn = draw_arms(customers, entry.campaign_id, plan.shares)
            entry = self.ledger.add(entry, drawn)
        counts = {str(arm): int(count) for arm, count in drawn["arm"].value_counts().sort_index().items()}
        return Drawn(entry, counts, left_out, self.contact_list(entry))

    def contact_list(self, entry: Entry) -> dict[str, Path]:
        """Write whom to contact, without who withdrew consent since, and return the files.

        Parameters
        ----------
        entry
            A campaign of the ledger.
        """
        rows = self.ledger.draw(entry.campaign_id)
        rows = rows[rows["arm"] != CONTROL]
        may = contactable(self.settings, statements(self.settings, self.lake), list(rows["customer_id"]), _EVER)
        rows = rows.loc[may, ["customer_id", "arm"]].assign(starts_on=entry.starts_on).reset_index(drop=True)
        folder = private_folder(self.settings.root / "campaigns" / folder_name(entry.campaign_id))
        files = {"csv": folder / "contacts.csv", "xlsx": folder / "contacts.xlsx"}
        write_csv(rows, files["csv"])
        note = "Whom to contact. The control arm is not listed: contact nobody who is not on the list."
        write_xlsx([Sheet("Contacts", rows, note=note)], files["xlsx"], read_me=[f"{entry.name}: contact list"])
        return files

    def _seen(
        self,
        people: Tables,
        at: datetime,
        outcome_days: int,
        names: tuple[str, ...],
        days: int | None = None,
    ) -> pd.DataFrame:
        """Return features of the eligible at an instant, and their spend in the days after it where days are given."""
        timezone = self.settings.company.timezone
        who = eligible(people, [at], timezone, self.settings.churn.eligible_within(outcome_days))
        matrix = feature_matrix(people, [at], timezone, names).join(who, _KEYS)
        if days is not None:
            spent = labels(people, [at], timezone, days, observed_until=self.snapshot.as_of)
            matrix = matrix.join(spent.select(*_KEYS, "spend_cents"), _KEYS)
        rows = to_frame(matrix)
        return rows[rows["is_eligible"]].sort_values("customer_id", ignore_index=True)

    def _window(self, people: Tables, outcome_days: int, times: int) -> Window | None:
        """Return what eligible customers did in the last window of a length, null beyond the history."""
        days = outcome_days * times
        at = shift(self.snapshot.as_of, -days, self.settings.company.timezone)
        rows = self._seen(people, at, outcome_days, BEFORE, days)
        if len(rows) < 2:
            return None
        before = rows[list(BEFORE)].fillna(0).to_numpy(dtype=np.float64)
        return Window(days, rows["spend_cents"].to_numpy(dtype=np.float64), before)

    def _reasons(self, customer_ids: pd.Series) -> pd.Series:
        """Return why each customer cannot be drawn, null where nothing forbids it."""
        decisions = self.settings.decisions
        may = contactable(self.settings, statements(self.settings, self.lake), list(customer_ids), _EVER)
        share = decisions.holdout_share
        arms = assign(customer_ids, decisions.holdout_salt, {HOLDOUT: share, "action": 1 - share})
        is_busy = customer_ids.isin(self.ledger.running(self.run.as_of_on))
        reasons = pd.Series(None, index=customer_ids.index, dtype="str")
        reasons = reasons.mask(is_busy, "in another campaign that is not over")
        reasons = reasons.mask(arms.to_numpy() == HOLDOUT, "in the universal holdout")
        return reasons.mask(~may, "no consent")


def _households(lake: Lake, version: int, customer_ids: pd.Series) -> pd.Series:
    """Return the household of each customer, where the customer list has such a column."""
    if "household_id" not in lake.schema("customers", version).names:
        return pd.Series(None, index=customer_ids.index, dtype="str")
    rows: pd.DataFrame = lake.read("customers", version=version).to_pandas()
    known = rows.drop_duplicates("customer_id").set_index("customer_id")["household_id"]
    found: pd.Series = known.reindex(customer_ids).set_axis(customer_ids.index)
    return found.astype("str").where(found.notna())


def folder_name(campaign_id: str) -> str:
    """Return the name of a campaign's folder: its id where that is a plain name, else its bytes.

    Parameters
    ----------
    campaign_id
        The id.

    Examples
    --------
    >>> folder_name("spring-24"), folder_name("../x")
    ('spring-24', 'campaign-2e2e2f78')
    """
    letters = campaign_id.replace("-", "").replace("_", "")
    is_plain = letters.isalnum() and letters.isascii() and len(campaign_id) < 60
    return campaign_id if is_plain else "campaign-" + campaign_id.encode().hex()[:120]
