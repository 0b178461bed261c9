"""Watch: whether tonight's customers are still those the models were made for, and how past scores came true."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import ContractError
from data.lake import Snapshot
from features.clock import shift
from features.views import KEYS
from models.churn import ChurnModel
from models.drift import Profile, drift, few, profiles
from models.holdout import assign
from models.replay import quality
from pipelines.frames import INSTANT, to_table
from pipelines.observe import truth_of
from pipelines.profiles import SCORE, known_profiles
from pipelines.profiles import TABLE as PROFILES
from pipelines.registry import Registered
from pipelines.run import Run, Versions
from pipelines.score import serving
from pipelines.tracking import Tracker
from pipelines.train import read_horizon

TABLES = ("drift", "score_outcomes", "serving_models")
MODELS = ("churn", "value")
MEASURES = ("auc", "brier", "calibration_slope", "ece")
EVERYBODY, HOLDOUT = "all", "holdout"
"""Whose scores came true: of everybody, and of those whom nobody contacted, by lot."""
N_DATES = 8
STEP_DAYS = 7
"""Past nights are looked at that lie so far apart, the latest of those whose horizon is over first."""
NEAR_DAYS = 7
"""A night at most so long ago is one that tonight's scores must resemble."""


def watch(run: Run, versions: Versions, tracker: Tracker) -> dict[str, int]:
    """Write drift, how past scores came true, and how old the serving models are.

    Raises
    ------
    ContractError
        The scores of one and the same model jumped since the last published night, or a model is older than allowed.
    """
    return run.stage("watch", TABLES, lambda: _watched(run, versions, tracker))


def _watched(run: Run, versions: Versions, tracker: Tracker) -> dict[str, pa.Table]:
    serve = {name: one for name in MODELS if (one := serving(run, versions, tracker, name)) is not None}
    ages = _ages(run, versions, serve)
    _refuse_old(run, ages)
    tonight = _tonight(run, versions)
    _refuse_jump(run, versions, ages, tonight)
    return {
        "drift": to_table(_drift(run, versions, serve, tonight), run.as_of),
        "score_outcomes": to_table(_outcomes(run, versions), run.as_of, {"scored_at": INSTANT}),
        "serving_models": to_table(ages, run.as_of, {"trained_at": INSTANT}),
    }


def _ages(run: Run, versions: Versions, serve: dict[str, Registered]) -> pd.DataFrame:
    """Return which version of each model serves, since when it is trained, and whether that is too long ago."""
    known = {(row["model"], row["version"]): row for row in run.frame(PROFILES, versions, sliced=False).to_pylist()}
    rows = []
    for name, one in serve.items():
        made = known.get((name, one.version.version))
        trained_at = None if made is None else made["trained_at"]
        age_days = None if trained_at is None else (run.as_of_on - run.local_day(trained_at)).days
        is_old = age_days is not None and age_days > run.settings.limits.old_model_days
        rows.append((name, one.version.version, trained_at, age_days, is_old, *_notes(run, name, one)))
    columns = ["model", "version", "trained_at", "age_days", "is_old", "warning", "season"]
    kinds = {"model": "str", "version": "Int64", "age_days": "Int64", "is_old": "bool", "warning": "str"}
    return pd.DataFrame(rows, columns=columns).astype(kinds | {"season": "str"})


def _notes(run: Run, name: str, one: Registered) -> tuple[str | None, str | None]:
    """Return what is wrong with a churn model's fit, if anything is, and what past years say of these weeks."""
    if name != "churn":
        return None, None
    model = ChurnModel.restore(None, one.facts)
    return model.warning, model.season.told(pd.Timestamp(run.as_of))


def _refuse_old(run: Run, ages: pd.DataFrame) -> None:
    old = ages[ages["is_old"]]
    if old.empty or run.settings.limits.old_model == "tell":
        return
    worst = old.sort_values(["age_days", "model"], ascending=[False, True]).iloc[0]
    raise ContractError(
        f"model {worst['model']} version {worst['version']}, trained {worst['age_days']} days ago",
        f"at most {run.settings.limits.old_model_days} days (limits.old_model_days)",
        'see in model_decisions why no newer one was promoted, or set limits.old_model = "tell"',
    )


def _tonight(run: Run, versions: Versions) -> pd.DataFrame:
    """Return the features and the score of eligible customers."""
    frame = run.frame("observations", versions).to_pandas()
    scores = run.frame("scores", versions).select(["customer_id", SCORE]).to_pandas()
    rows: pd.DataFrame = frame[frame["is_eligible"]].merge(scores, on="customer_id", validate="1:1")
    return rows


def _drift(run: Run, versions: Versions, serve: dict[str, Registered], tonight: pd.DataFrame) -> pd.DataFrame:
    table = run.frame(PROFILES, versions, sliced=False)
    parts = [drift({}, tonight).assign(model="")]
    for name, one in serve.items():
        found = {
            feature: Profile.restore(text)
            for feature, text in known_profiles(table, name, one.version.version).items()
            if feature in tonight
        }
        parts.append(drift(found, tonight).assign(model=name))
    whole = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    kinds = {"model": "str", "feature": "str", "place": "str", "is_alarm": "bool"}
    kinds |= dict.fromkeys(("gap", "gap_low", "tonight_share", "usual_share"), "float64")
    return whole.astype(kinds | dict.fromkeys(("n_tonight", "n_usual", "n_dates"), "int64"))


def _refuse_jump(run: Run, versions: Versions, ages: pd.DataFrame, tonight: pd.DataFrame) -> None:
    """Hold what nobody would believe: one and the same model says something else altogether than days ago."""
    limit = run.settings.limits.score_jump_share
    last = max(_past(run), key=lambda night: (night.as_of, night.sequence), default=None)
    if last is None or run.as_of - last.as_of > timedelta(days=NEAR_DAYS) or "serving_models" not in last.versions:
        return
    then = run.lake.read("serving_models", version=last.versions["serving_models"], as_of=last.as_of).to_pandas()
    if _churn_version(then) is None or _churn_version(then) != _churn_version(ages):
        return
    before = run.lake.read("scores", version=last.versions["scores"], as_of=last.as_of, columns=[*KEYS, SCORE])
    scores = before.to_pandas().dropna(subset=[SCORE])
    if scores.empty or tonight.empty or _horizon_of(run, versions, last.as_of) != read_horizon(run, versions):
        return
    found = drift(profiles(scores, [SCORE]), tonight).iloc[0]
    if found["gap_low"] > limit:
        raise ContractError(
            f"the share of customers with a churn probability up to {found['place']} went from "
            f"{found['usual_share']:.0%} on {run.local_day(last.as_of)} to {found['tonight_share']:.0%}, by one "
            "and the same model",
            f"a gap of at most {limit:.0%} (limits.score_jump_share)",
            "look at what came in since; raise the limit to publish all the same",
        )


def _churn_version(ages: pd.DataFrame) -> int | None:
    found = ages.loc[ages["model"] == "churn", "version"]
    return None if found.empty else int(found.iloc[0])


def _past(run: Run) -> list[Snapshot]:
    """Return the published nights before tonight that scored."""
    nights = run.lake.snapshots()
    return [one for one in nights if one.flow == run.flow and one.as_of < run.as_of and "scores" in one.versions]


def _horizon_of(run: Run, versions: Versions, as_of: datetime) -> int | None:
    found = run.lake.read("horizons", version=versions["horizons"], as_of=as_of)
    return int(found["horizon_days"][0].as_py()) if found.num_rows else None


def _matured(run: Run, versions: Versions) -> dict[datetime, int]:
    """Return past nights whose horizon is over, with its length; the latest, and some before it."""
    chosen: dict[datetime, int] = {}
    for as_of in sorted({night.as_of for night in _past(run)}, reverse=True):
        horizon_days = _horizon_of(run, versions, as_of)
        timezone, grace_days = run.settings.company.timezone, run.settings.churn.grace_days
        if horizon_days is None or shift(as_of, horizon_days + grace_days, timezone) > run.as_of:
            continue
        if not chosen or min(chosen) - as_of >= timedelta(days=STEP_DAYS):
            chosen[as_of] = horizon_days
        if len(chosen) == N_DATES:
            break
    return chosen


def _outcomes(run: Run, versions: Versions) -> pd.DataFrame:
    """Return the measures of past published scores, by the date on which they were given."""
    dates = _matured(run, versions)
    parts = []
    for horizon_days in sorted(set(dates.values())):
        said = _came_true(run, versions, [at for at in dates if dates[at] == horizon_days], horizon_days)
        found = quality(said, seed=run.settings.seed, measures=MEASURES)
        parts.append(found.assign(horizon_days=horizon_days))
    columns = ["scored_at", "customers", "metric", "value", "low", "high", "n_customers", "horizon_days"]
    if not parts:
        kinds = dict.fromkeys(columns[3:6], "float64") | dict.fromkeys(columns[6:], "int64")
        return pd.DataFrame(columns=columns).astype(kinds | {"customers": "str", "metric": "str"})
    whole = pd.concat(parts, ignore_index=True)
    whole = whole.rename(columns={"as_of": "scored_at", "speaker": "customers"})[columns]
    return whole.sort_values(["scored_at", "customers", "metric"], ignore_index=True)


def _came_true(run: Run, versions: Versions, dates: Sequence[datetime], horizon_days: int) -> pd.DataFrame:
    """Return what was said of each customer at past dates beside what happened, for everybody and for the holdout."""
    tables = run.people(versions)
    truth = truth_of(run.settings, tables, dates, horizon_days, run.as_of).select(*KEYS, "has_churned")
    given = run.lake.read("scores", version=versions["scores"], columns=[*KEYS, SCORE])
    given = given.filter(pc.is_in(given["as_of"], pa.array(dates, given.schema.field("as_of").type)))
    scores = given.to_pandas().dropna(subset=[SCORE])
    said = scores.merge(truth.to_pyarrow().to_pandas(), on=list(KEYS), validate="1:1")
    said = pd.concat([few(part) for _, part in said.groupby("as_of", sort=True)] or [said])
    decisions = run.settings.decisions
    share = decisions.holdout_share
    arms = assign(said["customer_id"], decisions.holdout_salt, {HOLDOUT: share, "action": 1 - share})
    is_held = (arms == HOLDOUT).to_numpy()
    rows: pd.DataFrame = pd.concat([said.assign(speaker=EVERYBODY), said[is_held].assign(speaker=HOLDOUT)])
    return rows
