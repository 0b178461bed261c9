"""The published splits of churn data, made again from their definitions: who trains, who is judged, on what columns.

A purchase is a customer's day with a line that is no return; the label is 1 where no purchase falls into
``(cut-off, cut-off + horizon]``; at risk is who bought within the window up to the cut-off. The peers' own columns are
not published in full: ``peer_columns`` gives 56 of the kind described (recency, rhythm, counts, spend, trend, returns,
habits), and ``RFM`` the four of the simple model. The second set of columns is this project's own catalogue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.model_selection import RepeatedStratifiedKFold

from data.engine import connect
from data.errors import ContractError
from features.matrix import collect, feature_matrix
from features.registry import FEATURES
from models.churn_table import LabelledTable, read_labelled

SEED = 20240601
RFM = ("recency_days", "n_days", "value_mean", "tenure_days")
_WINDOWS = (7, 14, 28, 56, 91, 182, 364)


@dataclass(frozen=True, eq=False)
class Panel:
    """Hold labelled rows of the training cut-offs and of the judged one.

    Parameters
    ----------
    train, test
        ``customer_id``, ``as_of``, ``has_churned``, the peers' columns and the catalogue's.
    peer_names, own_names
        The two sets of columns.
    horizon_days
        Length of the label window.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    peer_names: tuple[str, ...]
    own_names: tuple[str, ...]
    horizon_days: int


@dataclass(frozen=True)
class Split:
    """State a published split: label window, window of those at risk, and cut-offs."""

    horizon_days: int
    at_risk_days: int
    train: tuple[str, ...]
    test: str


RETAIL = Split(90, 180, ("2011-03-14", "2011-04-13", "2011-05-13", "2011-06-12"), "2011-09-10")
GROCER = Split(
    28, 56, tuple(f"{day:%Y-%m-%d}" for day in pd.date_range("2017-05-21", "2017-11-05", freq="28D")), "2017-12-03"
)


def retail(folder: Path, split: Split = RETAIL) -> Panel:
    """Return Online Retail, cleaned as published."""
    raw = pd.read_parquet(folder / "online_retail" / "transactions.parquet")
    raw = raw[raw["CustomerID"].notna()].drop_duplicates()
    raw = raw[(raw["UnitPrice"] > 0) & (raw["Quantity"] != 0)]
    cents = (raw["Quantity"] * raw["UnitPrice"] * 100).round().astype("int64")
    is_return = raw["InvoiceNo"].str.startswith("C") | (raw["Quantity"] < 0)
    lines = pd.DataFrame(
        {
            "order_id": raw["InvoiceNo"],
            "customer_id": raw["CustomerID"].astype("int64").astype(str),
            "product_id": raw["StockCode"],
            "event_time": raw["InvoiceDate"].astype("datetime64[us]"),
            "quantity": raw["Quantity"],
            "amount_cents": cents,
            "is_return": is_return,
        }
    )
    tables = {
        "transactions": _typed(lines.assign(channel="web", store_id=None, discount_cents=0, coupon_cents=0)),
        "products": _products(lines["product_id"].drop_duplicates()),
    }
    return _panel(lines, split, tables, "UTC")


def grocer(folder: Path, split: Split = GROCER) -> Panel:
    """Return Complete Journey; days are those of the raw time stamps."""
    raw = pd.read_parquet(folder / "completejourney" / "transactions.parquet")
    lines = pd.DataFrame(
        {
            "order_id": raw["basket_id"].astype(str),
            "customer_id": raw["household_id"].astype(str),
            "product_id": raw["product_id"].astype(str),
            "event_time": raw["transaction_timestamp"].astype("datetime64[us]"),
            "quantity": raw["quantity"],
            "amount_cents": (raw["sales_value"] * 100).round().astype("int64"),
            "is_return": False,
            "discount_cents": ((raw["retail_disc"] + raw["coupon_match_disc"]) * 100).round().astype("int64").abs(),
            "coupon_cents": (raw["coupon_disc"] * 100).round().astype("int64").abs(),
            "store_id": raw["store_id"].astype(str),
        }
    )
    goods = pd.read_parquet(folder / "completejourney" / "products.parquet")
    products = _products(goods["product_id"].astype(str)).drop(["category", "brand"])
    for name, column in (("category", "product_category"), ("brand", "brand")):
        products = products.append_column(name, pa.array(goods[column], pa.string()))
    tables = {"transactions": _typed(lines.assign(channel="store")), "products": products, **_campaigns(folder)}
    return _panel(lines, split, tables, "UTC")


def _campaigns(folder: Path) -> dict[str, pa.Table]:
    rows = pd.read_parquet(folder / "completejourney" / "campaigns.parquet").astype(str)
    about = pd.read_parquet(folder / "completejourney" / "campaign_descriptions.parquet")
    about = about.assign(campaign_id=about["campaign_id"].astype(str))
    starts = rows["campaign_id"].map(about.set_index("campaign_id")["start_date"]).astype("datetime64[us]")
    contacts = pd.DataFrame(
        {
            "campaign_id": rows["campaign_id"],
            "customer_id": rows["household_id"],
            "arm": "treatment",
            "assigned_at": starts,
            "contacted_at": starts,
            "propensity": np.nan,
        }
    )
    campaigns = pd.DataFrame(
        {
            "campaign_id": about["campaign_id"],
            "name": about["campaign_type"],
            "kind": about["campaign_type"],
            "channel": "mail",
            "starts_on": about["start_date"].dt.date,
            "ends_on": about["end_date"].dt.date,
        }
    )
    return {"contacts": pa.Table.from_pandas(contacts), "campaigns": pa.Table.from_pandas(campaigns)}


def _typed(lines: pd.DataFrame) -> pa.Table:
    schema = {"order_id": pa.string(), "customer_id": pa.string(), "product_id": pa.string()}
    schema |= {"event_time": pa.timestamp("us"), "quantity": pa.decimal128(18, 3), "amount_cents": pa.int64()}
    schema |= {"discount_cents": pa.int64(), "coupon_cents": pa.int64(), "channel": pa.string()}
    schema |= {"store_id": pa.string(), "currency": pa.string(), "known_at": pa.timestamp("us")}
    schema |= {"local_time": pa.timestamp("us"), "replaced_at": pa.timestamp("us")}
    rows = lines.assign(currency="X", known_at=lines["event_time"], local_time=lines["event_time"], replaced_at=None)
    quantity = pa.array(rows["quantity"].astype("int32")).cast(pa.decimal128(18, 3))
    columns = [quantity if n == "quantity" else pa.array(rows[n], kind, from_pandas=True) for n, kind in schema.items()]
    return pa.table(columns, names=list(schema))


def _products(ids: pd.Series) -> pa.Table:
    blank = pa.nulls(len(ids), pa.string())
    columns = {"product_id": pa.array(ids, pa.string()), "name": blank, "brand": blank, "category": blank}
    prices = {"list_price_cents": pa.nulls(len(ids), pa.int64()), "unit_cost_cents": pa.nulls(len(ids), pa.int64())}
    return pa.table(columns | {"department": blank} | prices)


def _panel(lines: pd.DataFrame, split: Split, tables: Mapping[str, pa.Table], timezone: str) -> Panel:
    days = lines.assign(day=lines["event_time"].dt.normalize())
    bought = days[~days["is_return"]]
    cuts = [pd.Timestamp(cut) for cut in (*split.train, split.test)]
    frames = []
    for cut in cuts:
        at_risk = bought[(bought["day"] <= cut) & (bought["day"] > cut - pd.Timedelta(days=split.at_risk_days))]
        after = bought[(bought["day"] > cut) & (bought["day"] <= cut + pd.Timedelta(days=split.horizon_days))]
        columns = peer_columns(days[days["day"] <= cut], cut).loc[np.sort(at_risk["customer_id"].unique())]
        label = (~columns.index.isin(after["customer_id"].unique())).astype(int)
        frames.append(columns.assign(has_churned=label, as_of=cut + pd.Timedelta(days=1)).reset_index())
    frame = pd.concat(frames, ignore_index=True)
    peer_names = tuple(name for name in frame if name not in ("customer_id", "as_of", "has_churned"))
    own = catalogue_columns(tables, sorted(frame["as_of"].unique()), timezone)
    own_names = tuple(name for name in own if name not in ("customer_id", "as_of"))
    frame = frame.rename(columns={name: f"peer_{name}" for name in peer_names})
    frame = frame.merge(own, on=["customer_id", "as_of"], validate="1:1")
    is_test = frame["as_of"] == cuts[-1] + pd.Timedelta(days=1)
    names = tuple(f"peer_{name}" for name in peer_names)
    return Panel(
        frame[~is_test].reset_index(drop=True),
        frame[is_test].reset_index(drop=True),
        names,
        own_names,
        split.horizon_days,
    )


def catalogue_columns(tables: Mapping[str, pa.Table], as_ofs: Sequence[datetime], timezone: str) -> pd.DataFrame:
    """Return every feature of this project's catalogue that the tables allow, at every instant."""
    backend = connect(2)
    for name, table in tables.items():
        backend.con.register("incoming", table)
        backend.con.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
    known = {name: backend.table(name) for name in tables}
    instants = [pd.Timestamp(at).to_pydatetime() for at in as_ofs]
    names = [name for name in FEATURES if _is_possible(known, name, instants, timezone)]
    found = collect(known, instants, timezone, names).to_pandas()
    backend.disconnect()
    return found


def _is_possible(tables: Mapping[str, ibis.Table], name: str, instants: Sequence[datetime], timezone: str) -> bool:
    """Tell whether the tables at hand are those that the feature reads."""
    try:
        feature_matrix(tables, instants[:1], timezone, [name])
    except ContractError:
        return False
    return True


def peer_columns(days: pd.DataFrame, cut: pd.Timestamp) -> pd.DataFrame:
    """Return 56 columns per customer from all lines up to and including the cut-off."""
    bought = days[~days["is_return"]]
    measures = {
        "value": ("amount_cents", "sum"),
        "lines": ("product_id", "size"),
        "orders": ("order_id", "nunique"),
        "kinds": ("product_id", "nunique"),
        "hour": ("event_time", "min"),
    }
    by_day = bought.groupby(["customer_id", "day"], sort=True).agg(**measures).reset_index()
    by_day["age"] = (cut - by_day["day"]).dt.days
    by_day["gap"] = by_day.groupby("customer_id")["day"].diff().dt.days
    groups = by_day.groupby("customer_id")
    found = pd.DataFrame(
        {
            "recency_days": groups["age"].min(),
            "tenure_days": groups["age"].max(),
            "n_days": groups.size(),
            "n_orders": groups["orders"].sum(),
            "value_mean": groups["value"].mean(),
            "value_total": groups["value"].sum(),
            "value_max": groups["value"].max(),
            "value_sd": groups["value"].std(),
            "value_last": groups["value"].last(),
            "lines_mean": groups["lines"].mean(),
            "kinds_mean": groups["kinds"].mean(),
            "gap_mean": groups["gap"].mean(),
            "gap_median": groups["gap"].median(),
            "gap_sd": groups["gap"].std(),
            "gap_max": groups["gap"].max(),
            "gap_last": groups["gap"].last(),
            "weekend_share": (by_day["day"].dt.dayofweek >= 5).groupby(by_day["customer_id"]).mean(),
            "hour_mean": by_day["hour"].dt.hour.groupby(by_day["customer_id"]).mean(),
            "weekday_mean": by_day["day"].dt.dayofweek.groupby(by_day["customer_id"]).mean(),
            "n_kinds": bought.groupby("customer_id")["product_id"].nunique(),
        }
    )
    for window in _WINDOWS:
        recent = by_day[by_day["age"] < window].groupby("customer_id")
        found[f"n_{window}"] = recent.size()
        found[f"v_{window}"] = recent["value"].sum()
        found[f"l_{window}"] = recent["lines"].sum()
    counted = [name for name in found if name[:2] in ("n_", "v_", "l_") and name[2:].isdigit()]
    found[counted] = found[counted].fillna(0)
    for short, long in ((28, 56), (56, 182), (91, 182), (182, 364)):
        for kind in ("n", "v"):
            found[f"trend_{kind}_{short}"] = found[f"{kind}_{short}"] / (found[f"{kind}_{long}"] + 1e-9)
    back = days[days["is_return"]].groupby("customer_id")
    found["n_returns"] = back["order_id"].nunique().reindex(found.index).fillna(0)
    found["returned"] = -back["amount_cents"].sum().reindex(found.index).fillna(0)
    found["returned_share"] = found["returned"] / found["value_total"]
    found["recency_ratio"] = found["recency_days"] / found["gap_mean"]
    found["recency_median_ratio"] = found["recency_days"] / found["gap_median"]
    found["days_per_tenure"] = found["n_days"] / (found["tenure_days"] + 1)
    found["last_to_mean"] = found["value_last"] / found["value_mean"]
    return found.replace([np.inf, -np.inf], np.nan)


def telco(folder: Path) -> LabelledTable:
    """Return Telco; a blank total is 0, as the peers have it."""
    raw = pd.read_csv(folder / "telco_churn" / "telco_customer_churn.csv.gz")
    raw["TotalCharges"] = pd.to_numeric(raw["TotalCharges"], errors="coerce").fillna(0)
    return read_labelled(raw, label="Churn", customer="customerID")


def bank(folder: Path) -> LabelledTable:
    """Return the bank's customers without row number and surname."""
    raw = pd.read_csv(folder / "bank_churn" / "churn_modelling.csv.gz").drop(columns=["RowNumber", "Surname"])
    return read_labelled(raw, label="Exited", customer="CustomerId")


def cards(folder: Path) -> LabelledTable:
    """Return the credit-card customers."""
    raw = pd.read_parquet(folder / "credit_card_churn" / "credit_card_churn.parquet")
    return read_labelled(raw, label="churn", customer="customer_ID")


def stratified_splits(y: np.ndarray, n_repeats: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the 5 x 5 splits of the peers, rows in file order."""
    return list(RepeatedStratifiedKFold(n_splits=5, n_repeats=n_repeats, random_state=SEED).split(np.zeros(len(y)), y))
