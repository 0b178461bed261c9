"""A night of a company with contracts: who is asked about, what leaving means, and what the report says."""

from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.simulator import simulate
from pipelines.report.page import page
from pipelines.results import open_night
from pipelines.run import Run

pytestmark = pytest.mark.slow
HORIZON, GRACE = 28, 7


def contracts(customers: list[str], seed: int = 3) -> pa.Table:
    """Return contracts, of which the cheap ones end some twenty times as often."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in customers:
        is_cheap = bool(rng.random() < 0.6)
        begins = date(2024, 1, 1) + timedelta(days=int(rng.integers(0, 330)))
        lasts = int(rng.exponential(80 if is_cheap else 1_500)) + 1
        ends = begins + timedelta(days=lasts)
        rows.append(
            {
                "customer_id": customer,
                "plan": "cheap" if is_cheap else "full",
                "started_on": begins,
                "ended_on": ends if ends < date(2024, 12, 31) else None,
                "fee_cents": 500 if is_cheap else 2_500,
                "end_reason": None,
            }
        )
    kinds = {"customer_id": pa.string(), "plan": pa.string(), "started_on": pa.date32(), "ended_on": pa.date32()}
    return pa.Table.from_pylist(
        rows, pa.schema([*kinds.items(), ("fee_cents", pa.int64()), ("end_reason", pa.string())])
    )


@pytest.fixture(scope="module")
def run(nights: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = tmp_path_factory.mktemp("contracts")
    tables = dict(simulate(seed=5, n_customers=600, n_days=365, effect_cents=0.0).tables)
    tables["subscriptions"] = contracts(tables["customers"]["customer_id"].to_pylist()[:-50])
    churn = {"kind": "contract", "horizon_days": HORIZON, "grace_days": GRACE}
    config = nights.write_config(folder, nights.write_shop(folder / "raw", tables), churn=churn)
    found: Run = nights.run_night(config)[0]
    return found


def read(run: Run, table: str, *, sliced: bool = True) -> pd.DataFrame:
    snapshot = run.lake.snapshot(run.run_key)
    assert snapshot is not None
    frame: pd.DataFrame = run.frame(table, snapshot.versions, sliced=sliced).to_pandas()
    return frame


def test_asked_about_is_who_has_a_running_contract(run: Run) -> None:
    versions = read(run, "subscriptions", sliced=False)
    running = set(versions.loc[versions["ended_on"].isna(), "customer_id"])
    observed = read(run, "observations").set_index("customer_id")["is_eligible"]
    assert set(observed.index[observed]) == running & set(observed.index)
    scores = read(run, "scores").set_index("customer_id")
    assert set(scores.index[scores["churn_probability"].notna()]) <= running


def test_the_label_is_the_end_of_the_contract(run: Run) -> None:
    versions = read(run, "subscriptions", sliced=False).set_index("customer_id")
    past = read(run, "training_observations", sliced=False)
    past = past[past["is_eligible"]]
    ends = pd.to_datetime(versions["ended_on"]).reindex(past["customer_id"]).to_numpy()
    until = past["as_of"] + pd.Timedelta(days=HORIZON)
    assert (past["has_churned"].to_numpy() == (ends < until.to_numpy())).all()


def test_dates_lie_a_horizon_and_the_grace_apart(run: Run) -> None:
    dates = sorted(read(run, "training_observations", sliced=False)["as_of"].unique())
    assert set(np.diff(dates).astype("timedelta64[D]").astype(int)) == {HORIZON + GRACE}
    assert run.as_of - pd.Timestamp(dates[-1]) >= timedelta(days=HORIZON + GRACE)


def test_the_model_learns_whose_contracts_end(run: Run) -> None:
    scores = read(run, "scores").merge(read(run, "observations")[["customer_id", "contract_fee_cents"]])
    means = scores.groupby("contract_fee_cents")["churn_probability"].mean()
    assert means[500] > 3 * means[2_500]


def test_the_states_follow_the_contract(run: Run) -> None:
    scores = read(run, "scores")
    assert ((scores["lifecycle_state"] == "lapsed") == ~scores["is_eligible"]).all()
    assert read(run, "churn_curves").empty


def test_the_report_says_what_gone_means(run: Run) -> None:
    night = open_night(run.settings, run.run_key)
    said = "A customer counts as gone whose contract ends within 28 days and is not renewed within 7 days of that."
    assert said in page(night).replace("\n", " ")
