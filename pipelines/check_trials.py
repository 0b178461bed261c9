"""What was tried on customers: who was treated and who was not, and whether the two can be compared."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd

from data.contracts import CONTRACTS
from data.contracts.base import literal, quoted
from models.effects import Flags
from models.overlap import sample_ratio_p_value
from models.readiness_facts import Detectable, TrialFacts
from models.screening import comparability, smallest_effect
from pipelines.check_lines import VISITS
from pipelines.settings import Settings

CONTROL = "control"
LOOKBACK_DAYS = 182
MOST_TRIALS = 12
"""Campaigns that are looked at, the largest ones: each costs a propensity model."""
_NEARLY_EQUAL = 0.10


@dataclass(frozen=True)
class Flat:
    """One row per customer of a trial.

    Parameters
    ----------
    name
        Of the trial.
    arms
        Arm of each customer; ``control`` for who was left alone.
    before
        What was known before, one row per customer.
    outcomes
        What came of it, as numbers.
    is_randomised
        What is declared.
    """

    name: str
    arms: pd.Series
    before: pd.DataFrame
    outcomes: pd.DataFrame
    is_randomised: bool | None = None


def flat_trial(flat: Flat, seed: int) -> TrialFacts:
    """Return the facts of a trial that came as one file of arms and outcomes.

    Parameters
    ----------
    flat
        The file.
    seed
        Decides the folds of the propensity.
    """
    is_treated = (flat.arms != CONTROL).to_numpy(dtype=bool)
    detectable = [_detectable(str(name), flat.outcomes[name], is_treated) for name in flat.outcomes]
    return _facts(
        TrialFacts(
            name=flat.name,
            is_randomised=flat.is_randomised,
            arms=_arms(flat.arms),
            has_control=bool((~is_treated).any()),
            n_treated=int(is_treated.sum()),
            n_control=int((~is_treated).sum()),
            has_ended=True if len(flat.outcomes.columns) else None,
            ratio_p_value=_ratio(flat.arms, None),
            detectable=tuple(one for one in detectable if np.isfinite(one.smallest)),
        ),
        flat.before,
        is_treated,
        seed,
    )


def campaign_trials(
    connection: duckdb.DuckDBPyConnection, settings: Settings, as_of: datetime, *, has_lines: bool
) -> tuple[TrialFacts, ...]:
    """Return the facts of the accepted campaigns, the largest first.

    Parameters
    ----------
    connection
        Where ``campaigns_accepted``, ``contacts_accepted`` and the checked lines are.
    settings
        Gives the length of the outcome window.
    as_of
        Naive UTC instant at which knowledge ends.
    has_lines
        Whether there are lines to compare customers on; else the columns of customers and contacts must do.
    """
    campaigns = connection.execute(
        f"""SELECT campaign_id, coalesce(name, kind || ' ' || campaign_id, campaign_id) AS name, is_randomised,
        coalesce(CAST(starts_on AS TIMESTAMP), assigned_at) AS starts_at, ends_on, n FROM campaigns_accepted
        JOIN (SELECT campaign_id, min(assigned_at) AS assigned_at, count(*) AS n FROM contacts_accepted
        WHERE assigned_at < {literal(as_of)} GROUP BY 1) USING (campaign_id)
        ORDER BY n DESC, campaign_id LIMIT {MOST_TRIALS}"""
    ).to_arrow_table()
    read = _from_lines if has_lines else _from_columns
    return tuple(read(connection, settings, as_of, row) for row in campaigns.to_pylist())


def campaign_counts(connection: duckdb.DuckDBPyConnection, as_of: datetime) -> tuple[int, int]:
    """Return how many campaigns there are, and how many of them ended before ``as_of``."""
    ((n_campaigns, n_ended),) = connection.execute(
        f"SELECT count(*), count(*) FILTER (ends_on < CAST({literal(as_of)} AS DATE)) FROM campaigns_accepted"
    ).fetchall()
    return n_campaigns, n_ended


def _from_lines(
    connection: duckdb.DuckDBPyConnection, settings: Settings, as_of: datetime, campaign: Mapping[str, object]
) -> TrialFacts:
    """Compare the sides of a campaign on what they bought before it began."""
    starts_at, days = campaign["starts_at"], settings.campaigns.outcome_days
    assert isinstance(starts_at, datetime)
    window, start = f"event_time >= {literal(starts_at - timedelta(days=days))}", literal(starts_at)
    frame = connection.execute(
        f"""WITH bought AS (SELECT customer_id, sum(amount_cents) AS spend, count(*) FILTER (quantity > 0) AS n_visits,
        date_diff('day', max(event_time), {start}) AS recency, date_diff('day', min(event_time), {start}) AS tenure,
        coalesce(sum(amount_cents) FILTER ({window}), 0) AS spend_before,
        coalesce(max(CASE WHEN {window} AND quantity > 0 THEN 1 END), 0) AS bought_before
        FROM {VISITS} WHERE event_time < {start}
        AND event_time >= {start} - INTERVAL {LOOKBACK_DAYS} DAY GROUP BY 1),
        target AS (SELECT customer_id, arm, propensity FROM contacts_accepted
        WHERE campaign_id = {literal(campaign["campaign_id"])})
        SELECT * FROM bought FULL JOIN target USING (customer_id) ORDER BY customer_id"""
    ).df()
    frame["spend_before"] = frame["spend_before"].fillna(0.0)
    frame["bought_before"] = frame["bought_before"].fillna(0.0)
    has_control = bool((frame["arm"] == CONTROL).any())
    people = frame[frame["arm"].notna()] if has_control else frame.assign(arm=frame["arm"].fillna(CONTROL))
    is_treated = (people["arm"] != CONTROL).to_numpy(dtype=bool)
    detectable = (
        _detectable(f"spend of {days} days", people["spend_before"], is_treated, "cents"),
        _detectable(f"who buys within {days} days", people["bought_before"], is_treated, "share"),
    )
    before = people[["spend", "n_visits", "recency", "tenure", "spend_before"]].astype("float64")
    ends_on = campaign["ends_on"]
    assert ends_on is None or isinstance(ends_on, date)
    return _facts(
        TrialFacts(
            name=f"“{campaign['name']}”",
            is_randomised=_flag(campaign["is_randomised"]),
            arms=_arms(frame["arm"].dropna()),
            has_control=has_control,
            n_treated=int(is_treated.sum()),
            n_control=int((~is_treated).sum()),
            has_ended=None if ends_on is None else ends_on < as_of.date(),
            ratio_p_value=_ratio(people["arm"], people["propensity"]) if has_control else None,
            detectable=tuple(one for one in detectable if np.isfinite(one.smallest)),
        ),
        before,
        is_treated,
        settings.seed,
    )


def _from_columns(
    connection: duckdb.DuckDBPyConnection, settings: Settings, _: datetime, campaign: Mapping[str, object]
) -> TrialFacts:
    """Compare the sides of a campaign on the columns of its customers; the contacts' numbers are its outcomes."""
    of_contacts = {column.name for column in CONTRACTS["contacts"].columns} | {"known_at", "local_time"}
    contacts = connection.execute(
        f"SELECT * FROM contacts_accepted WHERE campaign_id = {literal(campaign['campaign_id'])} ORDER BY customer_id"
    ).df()
    outcomes = contacts[[name for name in contacts if name not in of_contacts]].apply(pd.to_numeric, errors="coerce")
    outcomes = outcomes.dropna(axis="columns").astype("float64")
    before = attributes(connection, "customers", contacts["customer_id"].tolist())
    flat = Flat(f"“{campaign['name']}”", contacts["arm"], before, outcomes, _flag(campaign["is_randomised"]))
    return flat_trial(flat, settings.seed)


def file_trials(connection: duckdb.DuckDBPyConnection, settings: Settings) -> tuple[TrialFacts, ...]:
    """Return the facts of the accepted flat trials; their arms were drawn by lot, or they would be campaigns.

    Parameters
    ----------
    connection
        Where ``trials_accepted`` is.
    settings
        Gives the seed.
    """
    rows = connection.execute("SELECT * FROM trials_accepted ORDER BY trial_id, customer_id").df()
    found = []
    for trial_id, trial in rows.groupby("trial_id", sort=True):
        outcomes = trial[["outcome", "spend_cents"]].dropna(axis="columns").astype("float64")
        kept = trial.drop(columns=[column for column in trial if column in _OF_TRIALS])
        before = _usable_columns(kept).reset_index(drop=True)
        flat = Flat(f"“{trial_id}”", trial["arm"].reset_index(drop=True), before, outcomes, is_randomised=True)
        found.append(flat_trial(flat, settings.seed))
    return tuple(found)


_OF_TRIALS = {column.name for column in CONTRACTS["trials"].columns} | {"known_at", "local_time"}


def attributes(connection: duckdb.DuckDBPyConnection, table: str, customer_ids: list[str]) -> pd.DataFrame:
    """Return what an accepted table says of customers: numbers as numbers, texts of few values as they are.

    Dates, and texts of many values such as names, are left out.

    Parameters
    ----------
    connection
        Where the accepted table is.
    table
        Its contract, with one row per customer.
    customer_ids
        Whom to look up, one row each; who is not found has nulls.
    """
    frame = connection.execute(f"SELECT * FROM {quoted(table + '_accepted')}").df().drop_duplicates("customer_id")
    return _usable_columns(frame.set_index("customer_id").reindex(customer_ids).reset_index(drop=True))


def _usable_columns(frame: pd.DataFrame) -> pd.DataFrame:
    kept = {name: column for name, column in ((name, _usable(frame[name])) for name in frame) if column is not None}
    return pd.DataFrame(kept, index=frame.index)


_MOST_VALUES = 50


def _usable(column: pd.Series) -> pd.Series | None:
    """Return a column as numbers or as a category; null for dates, ids and columns without any value."""
    known = column.dropna()
    if known.empty or pd.api.types.is_datetime64_any_dtype(column):
        return None
    if pd.api.types.is_bool_dtype(known.infer_objects()):
        return column.astype("float64")
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers[known.index].notna().all():
        return numbers.astype("float64")
    return column.astype("str").where(column.notna()) if known.nunique() <= _MOST_VALUES else None


def _facts(trial: TrialFacts, before: pd.DataFrame, is_treated: Flags, seed: int) -> TrialFacts:
    """Add to a trial how far its sides were apart before."""
    found = comparability(before, is_treated, seed)
    if found is None:
        return trial
    added = {
        "largest_difference": found.largest_difference,
        "n_imbalanced": found.n_imbalanced,
        "n_covariates": found.n_covariates,
        "propensity_auc": found.propensity_auc,
    }
    return TrialFacts(**{**vars(trial), **added})


def _detectable(name: str, outcome: pd.Series, is_treated: Flags, kind: str | None = None) -> Detectable:
    values = outcome.to_numpy(dtype="float64")
    found = kind or (
        "cents" if name.endswith("_cents") else "share" if set(np.unique(values)) <= {0.0, 1.0} else "number"
    )
    usual = float(values[~is_treated].mean()) if (~is_treated).any() else float("nan")
    return Detectable(name.removesuffix("_cents"), found, usual, smallest_effect(values, is_treated))


def _arms(arms: pd.Series) -> tuple[tuple[str, int], ...]:
    counts = arms.value_counts()
    return tuple(sorted(((str(arm), int(n)) for arm, n in counts.items()), key=lambda pair: (-pair[1], pair[0])))


def _ratio(arms: pd.Series, declared: pd.Series | None) -> float | None:
    """Test the size of the control arm against the declared chances, or against equal arms where they nearly are."""
    is_treated = (arms != CONTROL).to_numpy(dtype=bool)
    if is_treated.all() or not is_treated.any():
        return None
    if declared is not None and declared.notna().all() and declared.between(0, 1, inclusive="neither").all():
        return sample_ratio_p_value(is_treated, declared.to_numpy(dtype="float64"))
    shares = arms.value_counts(normalize=True)
    if (shares * len(shares) - 1).abs().max() > _NEARLY_EQUAL:
        return None
    return sample_ratio_p_value(is_treated, np.full(len(arms), 1 - 1 / len(shares)))


def _flag(value: object) -> bool | None:
    return None if value is None else bool(value)
