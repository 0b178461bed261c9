"""Three public shops as labelled panels of this project's features, at the cut-offs of the published comparison.

Labels: ``purchases_ahead`` (purchase days), ``spend_cents`` (net of returns), ``sold_cents`` (before returns, which is
what the comparison took for spend) and ``has_churned``, each within the horizon after the cut-off's day.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data.engine import connect
from features.labels import labels
from features.matrix import collect, to_frame
from features.registry import FEATURES


@dataclass(frozen=True, eq=False)
class Shop:
    """Hold one shop: rows that may train, and rows of the judged cut-off."""

    name: str
    train: pd.DataFrame
    judged: pd.DataFrame
    train_days: int
    judged_days: int
    names: tuple[str, ...]


def cdnow(folder: Path) -> Shop:
    """Return the sample of CDNOW: no labelled date holds 273 days, so windows of 91 days train."""
    lines = pd.read_parquet(folder / "cdnow" / "sample.parquet")
    days = pd.to_datetime(lines["date"])
    made = pd.DataFrame(
        {
            "customer_id": lines["sample_id"].astype(str),
            "order_id": np.arange(len(lines)).astype(str),
            "product_id": "cd",
            "event_time": days + pd.Timedelta(hours=12),
            "quantity": 1.0,
            "amount_cents": (lines["dollar_value"] * 100).round().astype("int64"),
        }
    )
    return _shop("CDNOW sample", made, ["1997-04-01", "1997-07-01"], 91, judged="1997-09-30", judged_days=273)


def online_retail(folder: Path) -> Shop:
    """Return Online Retail after the comparison's clean-up."""
    lines = pd.read_parquet(folder / "online_retail" / "transactions.parquet")
    lines = lines[lines["CustomerID"].notna()].drop_duplicates()
    lines = lines[(lines["UnitPrice"] > 0) & (lines["Quantity"] != 0)]
    is_return = lines["InvoiceNo"].str.startswith("C") | (lines["Quantity"] < 0)
    made = pd.DataFrame(
        {
            "customer_id": lines["CustomerID"].astype(int).astype(str),
            "order_id": lines["InvoiceNo"],
            "product_id": lines["StockCode"],
            "event_time": lines["InvoiceDate"],
            "quantity": lines["Quantity"].abs().where(~is_return, -lines["Quantity"].abs()).astype(float),
            "amount_cents": (lines["Quantity"] * lines["UnitPrice"] * 100).round().astype("int64"),
        }
    )
    cuts = ["2011-03-14", "2011-04-13", "2011-05-13", "2011-06-12"]
    return _shop("Online Retail", made, cuts, 90, judged="2011-09-10", judged_days=90)


def complete_journey(folder: Path) -> Shop:
    """Return Complete Journey."""
    lines = pd.read_parquet(folder / "completejourney" / "transactions.parquet")
    off = (lines["retail_disc"] + lines["coupon_disc"] + lines["coupon_match_disc"]).abs()
    made = pd.DataFrame(
        {
            "customer_id": lines["household_id"].astype(str),
            "order_id": lines["basket_id"].astype(str),
            "product_id": lines["product_id"].astype(str),
            "store_id": lines["store_id"].astype(str),
            "event_time": lines["transaction_timestamp"],
            "quantity": lines["quantity"].clip(lower=1).astype(float),
            "amount_cents": (lines["sales_value"] * 100).round().astype("int64"),
            "discount_cents": (off * 100).round().astype("int64"),
            "coupon_cents": (lines["coupon_disc"].abs() * 100).round().astype("int64"),
        }
    )
    goods = pd.read_parquet(folder / "completejourney" / "products.parquet")
    goods = goods.rename(columns={"product_category": "category"}).astype({"product_id": str})
    cuts = ["2017-04-05", "2017-05-05", "2017-06-04", "2017-07-04"]
    return _shop("Complete Journey", made, cuts, 90, judged="2017-10-02", judged_days=90, goods=goods)


SHOPS = {"cdnow": cdnow, "online_retail": online_retail, "complete_journey": complete_journey}


def _shop(
    name: str,
    lines: pd.DataFrame,
    cuts: list[str],
    train_days: int,
    *,
    judged: str,
    judged_days: int,
    goods: pd.DataFrame | None = None,
) -> Shop:
    defaults = {"store_id": None, "discount_cents": 0, "coupon_cents": 0}
    lines = lines.assign(**{column: value for column, value in defaults.items() if column not in lines})
    lines = lines.assign(known_at=lines["event_time"], local_time=lines["event_time"])
    instants = dict.fromkeys(("event_time", "known_at", "local_time"), "datetime64[us]")
    lines = lines.astype({**instants, "store_id": "string"})
    backend = connect(1)
    for table, rows in {"transactions": lines, "products": goods}.items():
        if rows is not None:
            backend.con.register("incoming", pa.Table.from_pandas(rows, preserve_index=False))
            backend.con.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")
    tables = {table: backend.table(table) for table in ["transactions"] + ["products"] * (goods is not None)}
    names = tuple(n for n in FEATURES if set(FEATURES.views[FEATURES[n].view].sources) <= set(tables))
    parts = [_rows(tables, lines, names, cuts, train_days), _rows(tables, lines, names, [judged], judged_days)]
    backend.disconnect()
    return Shop(name, parts[0], parts[1], train_days, judged_days, names)


def _rows(tables: dict, lines: pd.DataFrame, names: tuple[str, ...], cuts: list[str], days: int) -> pd.DataFrame:
    # The comparison's windows begin with the day after the cut-off.
    as_ofs = [pd.Timestamp(cut).to_pydatetime() + timedelta(days=1) for cut in cuts]
    rows = collect(tables, as_ofs, "UTC", names).to_pandas()
    rows["as_of"] = rows["as_of"].astype("datetime64[us]")
    until = as_ofs[-1] + timedelta(days=days)
    truth = to_frame(labels(tables, as_ofs, "UTC", days, observed_until=until))
    truth = truth.rename(columns={"n_purchase_days": "purchases_ahead"})
    rows = rows.merge(truth, on=["customer_id", "as_of"], validate="1:1")
    sold = lines[lines["quantity"] > 0]
    gross = pd.Series(0, index=rows.index, dtype="int64")
    for as_of in as_ofs:
        inside = sold[(sold["event_time"] >= as_of) & (sold["event_time"] < as_of + timedelta(days=days))]
        here = rows["as_of"] == as_of
        spent = inside.groupby("customer_id")["amount_cents"].sum()
        gross[here] = rows.loc[here, "customer_id"].map(spent).fillna(0).astype("int64")
    rows = rows.assign(sold_cents=gross, has_churned=rows["has_churned"].astype(int))
    # The comparison knows customers by their purchases: one who only brought back is none.
    return rows[rows["n_purchase_days"] > 0].sort_values(["as_of", "customer_id"]).reset_index(drop=True)
