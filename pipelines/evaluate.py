"""Judge one campaign on demand, of the ledger or of the deliveries; and rank all campaigns by what they brought.

Every verdict goes to MLflow with the digest of the draw that it rests on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import pandas as pd
import pyarrow as pa

from data.digest import digest
from data.errors import UserError
from data.lake import Lake
from features.clock import shift
from features.labels import labels
from features.matrix import to_frame
from models.assignment import CONTROL, Soundness, soundness
from models.campaign import Campaign
from models.verdict import Verdict, VerdictWord
from pipelines.campaign import Window, seen_by, verdict_of
from pipelines.catalogue import published
from pipelines.ledger import Entry, Ledger, UnknownCampaignError
from pipelines.run import Run, local_midnight
from pipelines.settings import Settings
from pipelines.tracking import Tracker


@dataclass(frozen=True)
class Judged:
    """A campaign that was judged.

    Parameters
    ----------
    campaign_id
        Its key.
    verdicts
        One per arm that is not control, in order of the arms' names.
    costs_cents
        Cost of a contact of each of these arms; null where unknown.
    soundness
        Whether the draw still holds.
    draw_digest
        Digest of who was in which arm.
    """

    campaign_id: str
    verdicts: tuple[Verdict, ...]
    costs_cents: tuple[float | None, ...]
    soundness: Soundness
    draw_digest: str


def evaluate(settings: Settings, campaign_id: str) -> Judged:
    """Judge a campaign whose outcome window is over, by what the newest published night knows.

    Parameters
    ----------
    settings
        Whose lake it is.
    campaign_id
        A campaign of the ledger, or else of the deliveries.

    Raises
    ------
    UnknownCampaignError
        It is in neither.
    UserError
        Its outcome window is not over, or none of its customers is known.
    LakeError
        Nothing was published yet.
    """
    lake = Lake(settings.lake_root)
    snapshot = published(settings, lake, None, ("transactions", "campaigns", "contacts"))
    run = Run(settings, snapshot.as_of, "", flow="campaign")
    people = run.people(snapshot.versions)
    ledger = Ledger(lake)
    contacts = people["contacts"].to_pyarrow().to_pandas()
    contacts = contacts[contacts["campaign_id"] == campaign_id]
    entry = ledger.entries().get(campaign_id)
    if entry is None:
        entry, drawn, is_randomised = _delivered(settings, people, campaign_id, contacts)
    else:
        drawn, is_randomised = _with_contact(ledger.draw(campaign_id), contacts), True
    windows = _windows(run, entry, is_randomised=is_randomised)
    seen, after = seen_by(run, people, windows[:1]), _after(run, people, windows[0])
    verdicts, costs = [], []
    for window, arm in zip(windows, _treatments(entry), strict=True):
        mine = drawn[drawn["arm"].isin([arm, CONTROL])]
        found = verdict_of(run, window, mine, seen, n_comparisons=len(windows), after=after)
        if found is not None:
            verdicts.append(found)
            costs.append(entry.costs.get(arm))
    if not verdicts:
        raise UserError(f"campaign {campaign_id} without a customer who was eligible", "some at its start", "check it")
    key = entry.draw_digest or _digest(drawn)
    judged = Judged(campaign_id, tuple(verdicts), tuple(costs), soundness(drawn, entry.shares), key)
    _log(settings, judged)
    return judged


def league(settings: Settings, judged: Sequence[Judged] = ()) -> pd.DataFrame:
    """Rank campaigns by what they brought per unit of money, those without a claim last.

    Parameters
    ----------
    settings
        Whose lake it is.
    judged
        Campaigns of the ledger that were judged just now, beside those that the newest night judged.

    Returns
    -------
    pandas.DataFrame
        ``campaign_id``, ``name``, ``verdict``, ``n_treated``, ``cost_cents`` (null where unknown), margin after cost of
        the whole campaign as ``net_cents``, ``net_low_cents`` and ``net_high_cents``, and ``net_per_cost``; null where
        nothing is claimed.
    """
    lake = Lake(settings.lake_root)
    snapshot = published(settings, lake, None, ("campaign_verdicts", "campaigns"))
    told = lake.read("campaign_verdicts", version=snapshot.versions["campaign_verdicts"], as_of=snapshot.as_of)
    costs = lake.read("campaigns", version=snapshot.versions["campaigns"]).to_pandas()
    known = costs.drop_duplicates("campaign_id").set_index("campaign_id")["cost_per_contact_cents"]
    rows: pd.DataFrame = told.to_pandas().assign(cost=lambda frame: frame["campaign_id"].map(known).astype("float64"))
    mine = [_league_row(one, number) for one in judged for number in range(len(one.verdicts))]
    others = rows[~rows["campaign_id"].isin([one.campaign_id for one in judged])]
    whole = pd.concat([others[list(_LEAGUE)], pd.DataFrame(mine, columns=list(_LEAGUE))]).astype(_LEAGUE)
    n, is_told = whole["n_treated"], whole["verdict"] != VerdictWord.NOT_PROVEN.value
    whole["cost_cents"] = whole["cost"] * n
    for part in ("", "_low", "_high"):
        gain = whole[f"effect{part}_cents"] * n * settings.money.margin_share
        whole[f"net{part}_cents"] = (gain - whole["cost_cents"].fillna(0)).where(is_told)
    whole["net_per_cost"] = (whole["net_cents"] / whole["cost_cents"]).where(whole["cost_cents"] > 0)
    columns = ["campaign_id", "name", "verdict", "n_treated", "cost_cents", "net_cents", "net_low_cents"]
    ranked = whole.sort_values(["net_per_cost", "net_cents", "campaign_id"], ascending=[False, False, True])
    return ranked[[*columns, "net_high_cents", "net_per_cost"]].reset_index(drop=True)


_LEAGUE: dict[str, str] = dict.fromkeys(("campaign_id", "name", "verdict"), "str") | dict.fromkeys(
    ("n_treated", "cost", "effect_cents", "effect_low_cents", "effect_high_cents"), "float64"
)


def _league_row(judged: Judged, number: int) -> dict[str, object]:
    verdict, effect = judged.verdicts[number], judged.verdicts[number].effect
    ends = (None, None, None) if effect is None else (effect.estimate, effect.low, effect.high)
    said = (judged.campaign_id, verdict.name, verdict.word.value, verdict.n_treated, judged.costs_cents[number])
    return dict(zip(_LEAGUE, (*said, *ends), strict=True))


def _delivered(
    settings: Settings, people: Mapping[str, ibis.Table], campaign_id: str, contacts: pd.DataFrame
) -> tuple[Entry, pd.DataFrame, bool]:
    """Return a campaign of the deliveries as an entry, with its contacts and whether chance is said to have drawn."""
    rows = people["campaigns"].to_pyarrow().to_pandas()
    rows = rows[rows["campaign_id"] == campaign_id]
    if rows.empty or contacts.empty or pd.isna(rows["starts_on"].iloc[0]):
        raise UnknownCampaignError(
            f"campaign {campaign_id}",
            "one of the ledger, or one delivered with contacts and a first day",
            "check the id",
        )
    (row,) = rows.to_dict("records")
    contacts = contacts.sort_values("customer_id", ignore_index=True)
    shares = {str(arm): float(part) for arm, part in contacts["arm"].value_counts(normalize=True).items()}
    treatments = sorted(set(shares) - {CONTROL})
    cost = row["cost_per_contact_cents"]
    costs = {} if pd.isna(cost) else dict.fromkeys(treatments, float(cost))
    starts_on: date = pd.Timestamp(row["starts_on"]).date()
    name = campaign_id if pd.isna(row["name"]) else str(row["name"])
    days = settings.campaigns.outcome_days
    at = contacts["assigned_at"].min().to_pydatetime()
    entry = Entry(campaign_id, name, starts_on, days, shares, costs, len(contacts), "", at, "")
    is_randomised = row["is_randomised"]
    return entry, contacts, not pd.isna(is_randomised) and bool(is_randomised)


def _with_contact(drawn: pd.DataFrame, contacts: pd.DataFrame) -> pd.DataFrame:
    """Add to a draw when each customer was contacted, as far as the deliveries say."""
    if contacts.empty:
        return drawn
    told = contacts.drop_duplicates("customer_id").set_index("customer_id")["contacted_at"]
    return drawn.assign(contacted_at=told.reindex(drawn["customer_id"]).to_numpy())


def _treatments(entry: Entry) -> list[str]:
    return sorted(set(entry.shares) - {CONTROL})


def _windows(run: Run, entry: Entry, *, is_randomised: bool) -> list[Window]:
    """Return one window per arm: all alike but for name and cost."""
    timezone = run.settings.company.timezone
    starts_at = local_midnight(entry.starts_on, timezone)
    if shift(starts_at, entry.outcome_days, timezone) > run.as_of:
        raise UserError(
            f"campaign {entry.campaign_id}, whose {entry.outcome_days} days from {entry.starts_on} are not over",
            f"a night after them; the newest is of {run.as_of_on}",
            "wait, for to look early and stop when it looks good finds effects that are not there",
        )
    placebo_at = shift(starts_at, -entry.outcome_days, timezone)
    arms = _treatments(entry)
    found = []
    for arm in arms:
        name = entry.name if len(arms) == 1 else f"{entry.name}, {arm}"
        cost = entry.costs.get(arm)
        campaign = Campaign(
            entry.campaign_id, name, is_randomised, None if cost is None else round(cost), entry.outcome_days
        )
        found.append(Window(campaign, starts_at, placebo_at))
    return found


def _after(run: Run, people: Mapping[str, ibis.Table], window: Window) -> pd.Series | None:
    """Return spend in the window after the outcome window by customer_id; null where that is not over."""
    timezone, days = run.settings.company.timezone, window.campaign.window_days
    at = shift(window.starts_at, days, timezone)
    if shift(at, days, timezone) > run.as_of:
        return None
    rows = to_frame(labels(people, [at], timezone, days, observed_until=run.as_of))
    spent: pd.Series = rows.set_index("customer_id")["spend_cents"]
    return spent


def _digest(drawn: pd.DataFrame) -> str:
    rows = drawn[["campaign_id", "customer_id", "arm"]].reset_index(drop=True)
    return digest(pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(), ["customer_id"])


def _log(settings: Settings, judged: Judged) -> None:
    """Write verdicts to MLflow, under a key made of the draw; to judge again adds nothing."""
    tracker = Tracker(settings.root)
    key = f"campaign-{judged.draw_digest[:16]}"
    first = judged.verdicts[0]
    params = {"campaign_id": judged.campaign_id, "draw_digest": judged.draw_digest, "window_days": first.window_days}
    run_id = tracker.open_run(key, f"campaign {judged.campaign_id}", params)
    for number, one in enumerate(judged.verdicts):
        effect = one.effect
        if effect is not None:
            ends = {"effect_cents": effect.estimate, "low_cents": effect.low, "high_cents": effect.high}
            tracker.log(run_id, {f"{name}_{number}": value for name, value in ends.items()})
        tracker.log(run_id, {}, {f"verdict_{number}": one.word.value, f"arm_{number}": one.name})
    tracker.finish(run_id)
