"""The catalogue as a night found it: how each feature is spread tonight, and how it went with leaving in the past."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from data.errors import LakeError
from data.lake import Lake, Snapshot
from features.clock import local_date
from features.matrix import catalogue
from models.evaluation import Estimate
from models.inputs import INPUTS
from models.spec import FloatArray
from models.univariate import Band, Spread, bands, is_suspicious, spread, strength
from pipelines.consent import TABLE as CONSENTS
from pipelines.consent import statements, trainable
from pipelines.settings import Settings

TABLES = ("observations", "training_observations")
_MODEL = "candidate chosen"


@dataclass(frozen=True)
class FeatureFacts:
    """One feature, what it means and what was found.

    Parameters
    ----------
    name, family, unit, null, lookback, sources, doc
        As in ``features.matrix.catalogue``; ``lookback`` in days, None for the whole history.
    is_learned
        Whether the models learn from it.
    tonight
        How it lies over the customers of the night.
    missing_share, past_missing_share
        Share without a value among the eligible customers of tonight, and among those of the past; NaN where there are
        none. The two differ where a source began or ended.
    bands
        How many left in the past, from low to high; empty where nobody is labelled.
    auc
        How well it alone ranks who left.
    is_suspicious
        Whether that is too good to be knowledge of the past.
    """

    name: str
    family: str
    unit: str
    null: str
    lookback: int | None
    sources: str
    doc: str
    is_learned: bool
    tonight: Spread
    missing_share: float
    past_missing_share: float
    bands: tuple[Band, ...]
    auc: Estimate
    is_suspicious: bool


@dataclass(frozen=True)
class Catalogue:
    """All features of one night.

    Parameters
    ----------
    run_key, as_of, as_of_on, company, currency
        Whose night it is; ``currency`` is a symbol.
    horizon_days
        Who bought nothing for so long has left.
    n_customers
        Customers tonight.
    n_past, n_past_customers, n_dates, left_share
        Labelled observations of the past, their customers and dates, and the share that left.
    model_auc
        How well the whole model ranks on a later date; null where it was not measured.
    features
        By family and name.
    absent
        Names of the registry that this night does not have, as one of an earlier version.
    """

    run_key: str
    as_of: datetime
    as_of_on: date
    company: str
    currency: str
    horizon_days: int
    n_customers: int
    n_past: int
    n_past_customers: int
    n_dates: int
    left_share: float
    model_auc: Estimate | None
    features: tuple[FeatureFacts, ...]
    absent: tuple[str, ...]

    @property
    def alarms(self) -> tuple[FeatureFacts, ...]:
        """The features that may know the label."""
        return tuple(one for one in self.features if one.is_suspicious)


def measure(settings: Settings, run_key: str | None = None) -> Catalogue:
    """Return what a published night says of each feature.

    Past observations are those that models learn from: eligible, labelled, and of customers who did not object to
    profiling.

    Parameters
    ----------
    settings
        Whose lake it is.
    run_key
        Which night, by default the newest.

    Raises
    ------
    LakeError
        Nothing was published, or a night without features.
    """
    lake = Lake(settings.lake_root)
    snapshot = published(settings, lake, run_key, TABLES)
    tonight = lake.read("observations", version=snapshot.versions["observations"], as_of=snapshot.as_of).to_pandas()
    past = _past(settings, lake, snapshot)
    model = _model_auc(lake, snapshot)
    known = catalogue()
    features = [
        _feature(row, tonight, past, model) for row in known.to_dict("records") if row["name"] in tonight.columns
    ]
    return Catalogue(
        run_key=snapshot.run_key,
        as_of=snapshot.as_of,
        as_of_on=local_date(snapshot.as_of, settings.company.timezone),
        company=settings.company.name,
        currency=settings.company.currency_symbol,
        horizon_days=int(_slice(lake, snapshot, "horizons")["horizon_days"].iloc[0]),
        n_customers=len(tonight),
        n_past=len(past),
        n_past_customers=past["customer_id"].nunique(),
        n_dates=past["as_of"].nunique(),
        left_share=float(past["has_churned"].mean()) if len(past) else float("nan"),
        model_auc=model,
        features=tuple(sorted(features, key=lambda one: (one.family, one.name))),
        absent=tuple(sorted(set(known["name"]) - set(tonight.columns))),
    )


def published(settings: Settings, lake: Lake, run_key: str | None, tables: tuple[str, ...]) -> Snapshot:
    """Return a published night that has some tables, by default the newest.

    Raises
    ------
    LakeError
        Nothing was published, not this night, or without one of the tables.
    """
    snapshot = lake.snapshot(run_key)
    missing = [name for name in tables if snapshot is None or name not in snapshot.versions]
    if snapshot is None or missing:
        found = "no published night" if snapshot is None else f"a night without {', '.join(missing)}"
        raise LakeError(f"{found} in {settings.lake_root}", "at least one", "run `regulars nightly` first")
    return snapshot


def _slice(lake: Lake, snapshot: Snapshot, table: str) -> pd.DataFrame:
    found: pd.DataFrame = lake.read(table, version=snapshot.versions[table], as_of=snapshot.as_of).to_pandas()
    return found


def _past(settings: Settings, lake: Lake, snapshot: Snapshot) -> pd.DataFrame:
    versions = snapshot.versions
    frame = lake.read("training_observations", version=versions["training_observations"]).to_pandas()
    said = statements(settings, lake, versions[CONSENTS]) if CONSENTS in versions else None
    found = trainable(said, frame, snapshot.as_of)
    return found[found["is_eligible"] & found["has_churned"].notna()].reset_index(drop=True)


def _model_auc(lake: Lake, snapshot: Snapshot) -> Estimate | None:
    if "churn_metrics" not in snapshot.versions:
        return None
    rows = _slice(lake, snapshot, "churn_metrics")
    rows = rows[(rows["model"] == _MODEL) & (rows["metric"] == "auc")].dropna(subset=["value"])
    if rows.empty:
        return None
    row = rows.iloc[0]
    return Estimate(float(row["value"]), float(row["low"]), float(row["high"]), int(row["n_rows"]))


def _feature(row: Mapping[Any, Any], tonight: pd.DataFrame, past: pd.DataFrame, model: Estimate | None) -> FeatureFacts:
    name = str(row["name"])
    before = _floats(past, name)
    y = past["has_churned"].to_numpy(dtype=np.float64)
    groups = pd.factorize(past["customer_id"])[0]
    auc = strength(before, y, groups)
    return FeatureFacts(
        name=name,
        family=str(row["family"]),
        unit=str(row["unit"]),
        null=str(row["null"]),
        lookback=None if pd.isna(row["lookback"]) else int(row["lookback"]),
        sources=str(row["sources"]),
        doc=str(row["doc"]),
        is_learned=name in INPUTS,
        tonight=spread(_floats(tonight, name)),
        missing_share=_missing(_floats(tonight[tonight["is_eligible"]], name)),
        past_missing_share=_missing(before),
        bands=tuple(bands(before, y, groups)),
        auc=auc,
        is_suspicious=is_suspicious(auc, model),
    )


def _missing(values: FloatArray) -> float:
    return float(np.isnan(values).mean()) if len(values) else float("nan")


def _floats(frame: pd.DataFrame, name: str) -> FloatArray:
    if name not in frame:
        return np.full(len(frame), np.nan)
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
