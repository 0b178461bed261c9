"""Campaigns: every campaign that is over gets a verdict, which is "not proven" where nobody drew lots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import ibis
import pandas as pd
import pyarrow as pa

from features.clock import shift
from features.labels import eligible, labels
from features.matrix import feature_matrix, to_frame
from models.campaign import Campaign, judge
from models.inputs import INPUTS
from models.verdict import Verdict, verdicts_frame
from pipelines.frames import to_table
from pipelines.run import Run, Versions, local_midnight


@dataclass(frozen=True)
class Window:
    """A campaign's start and the equally long stretch before it, which serves as placebo.

    Parameters
    ----------
    campaign
        The ledger's entry.
    starts_at, placebo_at
        Instants at which the outcome and the placebo outcome begin.
    """

    campaign: Campaign
    starts_at: datetime
    placebo_at: datetime


def judge_campaigns(run: Run, versions: Versions) -> dict[str, int]:
    """Judge every campaign of the chosen kinds whose outcome window is over."""
    return run.stage("campaigns", ("campaign_verdicts",), lambda: {"campaign_verdicts": _judged(run, versions)})


def _judged(run: Run, versions: Versions) -> pa.Table:
    tables = run.people(versions)
    windows = _windows(run, run.frame("campaigns", versions, sliced=False).to_pandas())
    contacts = tables["contacts"].to_pyarrow().to_pandas()
    seen = seen_by(run, tables, windows) if windows else pd.DataFrame()
    judged = (verdict_of(run, window, contacts, seen) for window in windows)
    verdicts = [verdict for verdict in judged if verdict is not None]
    return to_table(verdicts_frame(verdicts, run.as_of), run.as_of)


def _windows(run: Run, campaigns: pd.DataFrame) -> list[Window]:
    """Return the windows that lie within the known history, in order of their start."""
    settings, timezone = run.settings.campaigns, run.settings.company.timezone
    found = []
    # A campaign that nobody gave a first day has no window to be judged in.
    dated = campaigns.dropna(subset=["starts_on"])
    for row in dated.sort_values(["starts_on", "campaign_id"]).to_dict("records"):
        if settings.kinds and row["kind"] not in settings.kinds:
            continue
        starts_on: date = pd.Timestamp(row["starts_on"]).date()
        starts_at = local_midnight(starts_on, timezone)
        placebo_at = shift(starts_at, -settings.outcome_days, timezone)
        if shift(starts_at, settings.outcome_days, timezone) <= run.as_of:
            cost = row["cost_per_contact_cents"]
            cost_cents = None if pd.isna(cost) else int(cost)
            campaign = Campaign(
                row["campaign_id"], row["name"], bool(row["is_randomised"]), cost_cents, settings.outcome_days
            )
            found.append(Window(campaign, starts_at, placebo_at))
    return found


def seen_by(run: Run, tables: Mapping[str, ibis.Table], windows: Sequence[Window]) -> pd.DataFrame:
    """Return features, eligibility and spend of every customer at every start and placebo start, in one pass.

    Parameters
    ----------
    run
        Gives the settings and what is known.
    tables
        Accepted tables, each person by one id.
    windows
        Campaigns whose outcome windows are over.
    """
    timezone = run.settings.company.timezone
    (days,) = {window.campaign.window_days for window in windows}
    instants = sorted({at for window in windows for at in (window.starts_at, window.placebo_at)})
    matrix = feature_matrix(tables, instants, timezone, INPUTS)
    who = eligible(tables, instants, timezone, run.settings.churn.eligible_within(days))
    spent = labels(tables, instants, timezone, days, observed_until=run.as_of)
    keys = ["customer_id", "as_of"]
    return to_frame(matrix.join(who, keys).join(spent.select(*keys, "spend_cents"), keys))


def verdict_of(
    run: Run,
    window: Window,
    contacts: pd.DataFrame,
    seen: pd.DataFrame,
    *,
    n_comparisons: int = 1,
    after: pd.Series | None = None,
) -> Verdict | None:
    """Return the verdict on one campaign, null where none of its customers is known.

    Parameters
    ----------
    run
        Gives margin and seed.
    window
        The campaign and its windows.
    contacts
        Rows of the campaign: ``campaign_id``, ``customer_id``, ``arm``, ``propensity``.
    seen
        From ``seen_by``.
    n_comparisons
        Arms that are compared with control at once.
    after
        Spend in the window after the outcome window by customer_id, where that is over too.
    """
    at_start = seen[(seen["as_of"] == window.starts_at) & seen["is_eligible"]].set_index("customer_id").sort_index()
    before = seen[seen["as_of"] == window.placebo_at].set_index("customer_id").sort_index()
    mine = contacts[contacts["campaign_id"] == window.campaign.campaign_id].set_index("customer_id")
    if mine.empty or at_start.empty:
        return None
    treated = set(mine.index[mine["arm"] != "control"])
    if window.campaign.is_randomised:
        # Only the assigned took part in the draw; others may differ from them in any way.
        at_start = at_start[at_start.index.isin(mine.index)]
    customers = pd.DataFrame(
        {
            "customer_id": at_start.index,
            "is_treated": at_start.index.isin(treated),
            "outcome_cents": at_start["spend_cents"].to_numpy(),
            "placebo_outcome_cents": before["spend_cents"].reindex(at_start.index).fillna(0).to_numpy(),
            "is_in_other_campaign": at_start["is_in_campaign"].to_numpy(),
        }
    )
    if after is not None:
        customers["after_outcome_cents"] = after.reindex(at_start.index).fillna(0).to_numpy()
    if mine["propensity"].notna().all():
        customers["propensity"] = mine["propensity"].reindex(at_start.index).to_numpy()
    names = list(INPUTS)
    return judge(
        window.campaign,
        customers,
        at_start[names],
        before[names],
        margin_share=run.settings.money.margin_share,
        seed=run.settings.seed,
        n_comparisons=n_comparisons,
    )
