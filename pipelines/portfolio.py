"""The portfolio: states over time, RFM segments, when customers come back, what is at risk where, and key accounts."""

import pandas as pd
import pyarrow as pa

from data.errors import TrainingError
from features.labels import next_purchases
from models import hazard
from models.accounts import Before, concentration, key_accounts
from models.lifecycle import Thresholds, transitions
from models.rfm import rfm, rfm_segments
from models.value_at_risk import LevelError, level_error, value_at_risk
from pipelines.consent import TABLE as CONSENTS
from pipelines.consent import statements, trainable
from pipelines.frames import INSTANT, to_table
from pipelines.run import Run, Versions
from pipelines.score import states
from pipelines.train import read_horizon

TABLES = ("lifecycle_transitions", "rfm_segments", "value_at_risk", "key_accounts", "churn_curves", "concentration")
GROUPINGS = ("lifecycle_state", "rfm_segment", "segment", "region", "account_manager")
"""What customers are grouped by: two by what they do, three by what the company says of them."""
TOTAL = "all"
_QUARTER_DAYS = 84
_CENTS = ("value_cents", "value_at_risk_cents", "value_at_risk_low_cents", "value_at_risk_high_cents")
_GIVEN = ("segment", "region", "account_manager")
_USED = (
    *("customer_id", "recency_days", "tenure_days", "gap_mean_days", "gap_last_days", "n_purchase_days"),
    *("n_orders_28d", "n_orders_84d", "n_orders_364d", "spend_84d_cents", "spend_364d_cents", "n_open_cases"),
)
_CURVES = ("grouping", "group", "days", "n_customers", "silent_share", "silent_share_low", "silent_share_high")
_LABELS = ("is_eligible", "has_churned", "spend_cents")


def thresholds(run: Run, versions: Versions) -> Thresholds:
    """Return the thresholds of the states: who is no longer eligible has lapsed."""
    horizon_days = read_horizon(run, versions)
    return Thresholds(horizon_days, lapsed_days=run.settings.churn.eligible_within(horizon_days))


def portfolio(run: Run, versions: Versions) -> dict[str, int]:
    """Write what the portfolio of customers looks like tonight, and how it came to be so."""
    return run.stage("portfolio", TABLES, lambda: _made(run, versions))


def _made(run: Run, versions: Versions) -> dict[str, pa.Table]:
    tonight, past = _tonight(run, versions), _past(run, versions)
    moves = transitions(pd.concat([past, tonight], ignore_index=True)[["customer_id", "as_of", "lifecycle_state"]])
    latest = past[past["as_of"] == past["as_of"].max()]
    horizon_days = read_horizon(run, versions)
    stayed = past[past["is_eligible"].astype(bool) & (past["has_churned"].astype("int64") == 0)]
    shared = level_error(stayed, "spend_84d_cents", "spend_cents")
    made = {
        "lifecycle_transitions": moves,
        "rfm_segments": rfm_segments(tonight, latest),
        "value_at_risk": _at_risk(tonight, shared, run.settings.seed),
        "key_accounts": _accounts(run, tonight, latest, shared),
        "churn_curves": _curves(run, versions, tonight, past, horizon_days),
        "concentration": concentration(tonight["spend_364d_cents"]),
    }
    types: dict[str, dict[str, pa.DataType]] = {"lifecycle_transitions": {"from_at": INSTANT, "to_at": INSTANT}}
    return {name: to_table(frame, run.as_of, types.get(name)) for name, frame in made.items()}


def _tonight(run: Run, versions: Versions) -> pd.DataFrame:
    """Return all customers with what is known, said and expected of them."""
    frame = run.frame("observations", versions).select(["as_of", *_USED]).to_pandas()
    scores = run.frame("scores", versions).drop_columns(["as_of"]).to_pandas()
    customers = run.people(versions)["customers"].select("customer_id", *_GIVEN).to_pyarrow().to_pandas()
    known = frame.merge(scores, on="customer_id", validate="1:1").merge(customers, on="customer_id", how="left")
    known = known.sort_values("customer_id", kind="stable", ignore_index=True)
    known["rfm_segment"] = rfm(known)["rfm_segment"]
    return pd.DataFrame(known)


def _past(run: Run, versions: Versions) -> pd.DataFrame:
    """Return all customers of the past dates, with their states and labels."""
    table = run.lake.read(
        "training_observations", version=versions["training_observations"], columns=["as_of", *_USED, *_LABELS]
    )
    past: pd.DataFrame = table.to_pandas().sort_values(["as_of", "customer_id"], kind="stable", ignore_index=True)
    return past.assign(lifecycle_state=states(past, thresholds(run, versions), run.settings.churn))


def _at_risk(tonight: pd.DataFrame, shared: LevelError, seed: int) -> pd.DataFrame:
    everybody = pd.Series(TOTAL, index=tonight.index, dtype="str")
    groups = {TOTAL: everybody} | {name: tonight[name] for name in GROUPINGS}
    parts = [
        value_at_risk(tonight, column, seed=seed, level_error=shared).assign(grouping=name)
        for name, column in groups.items()
    ]
    found = _whole(pd.concat(parts, ignore_index=True))
    return found[["grouping", *(name for name in found.columns if name != "grouping")]]


def _accounts(run: Run, tonight: pd.DataFrame, latest: pd.DataFrame, shared: LevelError) -> pd.DataFrame:
    day = run.local_day(pd.Timestamp(latest["as_of"].iloc[0]).to_pydatetime())
    top = key_accounts(tonight, Before(latest, f"{day.day} {day:%B}"))
    own = tonight[tonight["customer_id"].isin(top["customer_id"])]
    risk = value_at_risk(own, own["customer_id"], seed=run.settings.seed, level_error=shared)
    columns = ["group", "value_at_risk_cents", "value_at_risk_low_cents", "value_at_risk_high_cents"]
    found = top.merge(_whole(risk)[columns].rename(columns={"group": "customer_id"}), on="customer_id", how="left")
    found = found.merge(tonight[["customer_id", *_GIVEN]], on="customer_id", how="left")
    return found.sort_values("rank", ignore_index=True)


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{name: frame[name].round().astype("Int64") for name in _CENTS if name in frame})


def _curves(run: Run, versions: Versions, tonight: pd.DataFrame, past: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
    """Return when customers come back, by group; no row where nothing can be learned of it."""
    here = tonight[tonight["is_eligible"].astype(bool) & tonight["churn_probability"].notna()]
    if run.settings.churn.kind == "contract":
        # Curves tell when customers buy again, and not when a contract ends.
        return _no_curves()
    try:
        model = hazard.fit(_followed(run, versions, past), horizon_days=horizon_days)
    except TrainingError:
        # The chance of leaving stands without its curve; a night is not stopped for a drawing.
        model = None
    if model is None or here.empty:
        return _no_curves()
    anchor = here["churn_probability"].astype("float64")
    groups = {TOTAL: pd.Series(TOTAL, index=here.index, dtype="str")}
    groups |= {name: here[name] for name in GROUPINGS[:2]}
    parts = [model.group_curves(here, column, anchor).assign(grouping=name) for name, column in groups.items()]
    return pd.concat(parts, ignore_index=True)[list(_CURVES)].astype({"days": "float64", "n_customers": "float64"})


def _no_curves() -> pd.DataFrame:
    return pd.DataFrame(columns=_CURVES).astype(dict.fromkeys(_CURVES[2:], "float64"))


def _followed(run: Run, versions: Versions, past: pd.DataFrame) -> pd.DataFrame:
    """Return the eligible customers of the past dates with the time until they bought again."""
    dates = [pd.Timestamp(instant).to_pydatetime() for instant in sorted(past["as_of"].unique())]
    waited = next_purchases(
        run.people(versions), dates, run.settings.company.timezone, observed_until=run.as_of
    ).to_pyarrow()
    eligible = past[past["is_eligible"].astype(bool)]
    followed = eligible.merge(waited.to_pandas(), on=["customer_id", "as_of"], validate="1:1")
    said = statements(run.settings, run.lake, versions[CONSENTS]) if CONSENTS in versions else None
    return trainable(said, followed, run.as_of)
