"""A small published night made in a second: a simulated shop's tables, real features, and scores that are made up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.engine import connect
from data.identity import log
from data.identity.masters import write_log
from data.lake import Lake
from data.simulator import START, simulate
from features.matrix import feature_matrix, to_arrow
from pipelines.phrases import PHRASES
from pipelines.settings import Settings

N_DAYS = 240
AS_OF = START + timedelta(days=N_DAYS)
PAST = (AS_OF - timedelta(days=84), AS_OF - timedelta(days=28))
NAMES = (*PHRASES, "is_in_campaign", "rating_mean", "contract_fee_cents")
SECRET = "Ann Onymous of 12 Elm Street"
EVIL = "<script>alert('x')</script>"


@dataclass(frozen=True)
class Made:
    """The tables of a night, before they are written."""

    tables: dict[str, pa.Table]
    customer_ids: list[str]


def instant(days_ago: float) -> datetime:
    return AS_OF - timedelta(days=days_ago)


def feedback(*rows: dict[str, Any]) -> pa.Table:
    texts = ("feedback_id", "customer_id", "kind", "channel", "text", "topic", "status")
    fields = [(name, pa.string()) for name in texts]
    fields += [(name, pa.timestamp("us")) for name in ("event_time", "resolved_at", "known_at")]
    fields += [("rating", pa.float64()), ("rating_max", pa.float64())]
    return pa.Table.from_pylist(list(rows), pa.schema(fields))


def subscriptions(*rows: dict[str, Any]) -> pa.Table:
    fields = [
        ("customer_id", pa.string()),
        ("plan", pa.string()),
        ("started_on", pa.date32()),
        ("ended_on", pa.date32()),
    ]
    fields += [("fee_cents", pa.int64()), ("end_reason", pa.string()), ("known_at", pa.timestamp("us"))]
    return pa.Table.from_pylist(list(rows), pa.schema(fields))


def consents(*rows: dict[str, Any]) -> pa.Table:
    fields = [("customer_id", pa.string()), ("purpose", pa.string()), ("is_granted", pa.bool_())]
    fields += [("event_time", pa.timestamp("us")), ("known_at", pa.timestamp("us"))]
    return pa.Table.from_pylist(list(rows), pa.schema(fields))


def _accepted(raw: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Return a shop's raw tables as a night accepts them: with the shop's clock and who has which segment."""
    lines = raw["transactions"]
    lines = lines.append_column("local_time", lines["event_time"].cast(pa.timestamp("us")))
    empty = pa.nulls(lines.num_rows, pa.timestamp("us"))
    lines = lines.append_column("replaced_at", empty)
    for name, kind in (("order_total_cents", pa.int64()), ("coupon_cents", pa.int64()), ("discount_cents", pa.int64())):
        if name not in lines.column_names:
            lines = lines.append_column(name, pa.nulls(lines.num_rows, kind))
    if "known_at" not in lines.column_names:
        lines = lines.append_column("known_at", lines["event_time"])
    customers = raw["customers"]
    place = customers.column_names.index("segment")
    customers = customers.set_column(place, "segment", pa.nulls(customers.num_rows, pa.string()))
    return raw | {"transactions": lines, "customers": customers}


def _scores(observed: pd.DataFrame) -> pd.DataFrame:
    risk = (observed["recency_days"] / 100).clip(0.01, 0.99)
    state = np.where(observed["recency_days"] > 28, "slipping", "active")
    return pd.DataFrame(
        {
            "as_of": AS_OF,
            "customer_id": observed["customer_id"],
            "is_eligible": observed["is_eligible"],
            "churn_probability": risk,
            "churn_probability_low": risk * 0.8,
            "churn_probability_high": risk * 1.2,
            "reasons": "away twice as long as usual for them (typical 0.8); comes irregularly",
            "expected_value_cents": 5_000,
            "expected_value_low_cents": 1_000,
            "expected_value_high_cents": 9_000,
            "value_at_risk_cents": (risk * 5_000).round().astype("int64"),
            "lifecycle_state": state,
        }
    )


def _actions(ids: "pd.Series[str]") -> pd.DataFrame:
    kinds = np.resize(np.array(["retain", "cross_sell", "leave_alone", "leave_alone"]), len(ids))
    return pd.DataFrame(
        {
            "as_of": AS_OF,
            "customer_id": ids,
            "action": kinds,
            "arm": np.resize(np.array(["action", "action", "none", "holdout"]), len(ids)),
            "expected_net_value_cents": 185,
            "expected_net_value_low_cents": 25,
            "expected_net_value_high_cents": 490,
            "category": np.where(kinds == "cross_sell", "chips", None),
            "reasons": "comes irregularly; 19.01 of margin at risk",
            "basis": "assumes that a contact keeps 10% of them",
            "due_on": date(2024, 9, 1),
            "owner": "unassigned",
            "priority": range(1, len(ids) + 1),
        }
    )


def _offers(ids: "pd.Series[str]") -> pd.DataFrame:
    row = {"acceptance_probability": 0.12, "expected_margin_cents": 30, "reason": f"buys bread {EVIL}"}
    rows = [
        {"as_of": AS_OF, "customer_id": one, "rank": rank, "category": name, **row}
        for one in ids
        for rank, name in ((2, "milk"), (1, "cheese"))
    ]
    return pd.DataFrame(rows)


def arrow(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    place = table.column_names.index("as_of")
    return table.set_column(place, "as_of", table["as_of"].cast(pa.timestamp("us")))


@pytest.fixture(scope="session")
def made() -> Made:
    """Return the tables of the night; the first five customers have something special about them."""
    raw = _accepted(dict(simulate(seed=3, n_customers=120, n_days=N_DAYS).tables))
    ids = sorted(set(raw["transactions"]["customer_id"].drop_null().to_pylist()))
    first = ids[0]
    known = {"known_at": instant(30)}
    raw |= {
        "feedback": feedback(
            {"feedback_id": "1", "customer_id": first, "kind": "complaint", "topic": "delivery", "text": SECRET}
            | {"event_time": instant(40), "resolved_at": instant(-3), "rating": 2.0, "rating_max": 5.0}
            | known,
            {"feedback_id": "2", "customer_id": first, "kind": "praise", "event_time": instant(-1)} | known,
            {"feedback_id": "3", "customer_id": first, "kind": "praise", "event_time": instant(9)}
            | {"known_at": AS_OF},
            {"feedback_id": "4", "customer_id": ids[1], "kind": "praise", "event_time": instant(9)} | known,
        ),
        "subscriptions": subscriptions(
            {"customer_id": first, "plan": "plus", "started_on": instant(100).date(), "ended_on": instant(-9).date()}
        ),
        "consents": consents(),
    }
    backend = connect(threads=1)
    try:
        for name, table in raw.items():
            backend.con.register(name, table)
        tables = {name: backend.table(name) for name in raw}
        matrix = to_arrow(feature_matrix(tables, [*PAST, AS_OF], "UTC", NAMES)).to_pandas()
    finally:
        backend.disconnect()
    matrix["is_eligible"] = matrix["recency_days"] <= 56
    past = matrix[matrix["as_of"] < AS_OF].reset_index(drop=True)
    noise = np.random.default_rng(5).normal(0, 10, len(past))
    past["has_churned"] = past["recency_days"] + noise > 14
    tonight = matrix[matrix["as_of"] == AS_OF].reset_index(drop=True)
    metrics = {"model": "candidate chosen", "metric": "auc", "value": 0.9, "low": 0.88, "high": 0.99, "n_rows": 99}
    made = raw | {
        "observations": arrow(tonight),
        "training_observations": arrow(past),
        "scores": arrow(_scores(tonight)),
        "actions": arrow(_actions(tonight["customer_id"])),
        "offers": arrow(_offers(tonight["customer_id"])),
        "horizons": arrow(pd.DataFrame({"as_of": [AS_OF], "horizon_days": [28]})),
        "churn_metrics": arrow(pd.DataFrame([{"as_of": AS_OF} | metrics])),
    }
    return Made(made, tonight["customer_id"].tolist())


def written(root: Path, tables: dict[str, pa.Table], merged: tuple[tuple[str, str], ...] = ()) -> Settings:
    """Publish a night of these tables in a root."""
    company = {"name": f"Shop {EVIL}", "currency_symbol": "€", "timezone": "UTC"}
    settings = Settings.model_validate({"root": root, "company": company})
    lake = Lake(settings.lake_root)
    with lake.lock():
        versions = {name: lake.write(name, table, as_of=None, fingerprint="f") for name, table in tables.items()}
        known = log.empty()
        for a, b in merged:
            known = log.merge(known, a, b, by="Kim", reason="called them", decided_at=instant(5))
        if merged:
            versions["identity_log"] = write_log(lake, known)
        lake.publish(
            "n1", flow="nightly", as_of=AS_OF, code_digest="c", versions=versions, summary={}, mlflow_run_id=None
        )
    return settings


@pytest.fixture
def publish(made: Made, tmp_path: Path) -> Callable[..., Settings]:
    """Return a function that publishes the night with some tables replaced or (None) left out."""

    def write(merged: tuple[tuple[str, str], ...] = (), **changed: pa.Table | None) -> Settings:
        tables = {name: table for name, table in (made.tables | changed).items() if table is not None}
        return written(tmp_path / "var", tables, merged)

    return write


@pytest.fixture(scope="session")
def settings(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of the night as it is: read it, and change nothing."""
    return written(tmp_path_factory.mktemp("people") / "var", made.tables)
