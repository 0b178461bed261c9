"""Profiles: what the past dates of each registered model look like, kept so that later nights can tell drift."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.lake import Lake
from models.drift import profiles

TABLE = "training_profiles"
SCORE = "churn_probability"
"""The score of the churn model is looked at like a feature."""
N_KEPT = 30
"""Versions of a model whose profiles are kept besides the champion's; one rolled back to beyond them has none."""
_SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "version": pa.int64(),
        "trained_at": pa.timestamp("us"),
        "feature": pa.string(),
        "profile_json": pa.string(),
    }
)


def profile_rows(model: str, version: int, trained_at: datetime, rows: pd.DataFrame, names: list[str]) -> pa.Table:
    """Return the profile of a version as rows of the lake's table.

    Parameters
    ----------
    model, version
        Which one it is.
    trained_at
        The ``as_of`` of the night that trained it.
    rows
        Eligible customers of the dates it was trained and judged on.
    names
        Features, and the score where it gives one.
    """
    made = profiles(rows, names)
    key = {"model": model, "version": version, "trained_at": trained_at}
    return pa.Table.from_pylist(
        [key | {"feature": name, "profile_json": one.facts()} for name, one in made.items()], _SCHEMA
    )


def with_profiles(lake: Lake, made: list[pa.Table], champions: Mapping[str, int | None]) -> pa.Table:
    """Return the profiles that are kept and those just made; the same version again replaces itself.

    Parameters
    ----------
    lake
        Holds the known ones.
    made
        Rows of tonight's versions.
    champions
        Version of each model's champion, which is always kept.
    """
    known = lake.read(TABLE) if lake.has(TABLE) else _SCHEMA.empty_table()
    made_keys = {key for table in made for key in _versions(table)}
    newest: dict[str, list[int]] = {}
    for model, version in sorted(_versions(known) | made_keys, reverse=True):
        newest.setdefault(model, []).append(version)
    kept = {(model, version) for model, all_of in newest.items() for version in all_of[:N_KEPT]}
    kept |= {(model, version) for model, version in champions.items() if version is not None}
    mask = [key in kept - made_keys for key in _keys(known)]
    return pa.concat_tables([known.filter(pa.array(mask, pa.bool_())), *made])


def known_profiles(table: pa.Table, model: str, version: int) -> dict[str, str]:
    """Return the profiles of one version as JSON by feature; none where they were not kept."""
    rows = table.filter((pc.field("model") == model) & (pc.field("version") == version))
    return dict(zip(rows["feature"].to_pylist(), rows["profile_json"].to_pylist(), strict=True))


def _keys(table: pa.Table) -> list[tuple[Any, Any]]:
    return list(zip(table["model"].to_pylist(), table["version"].to_pylist(), strict=True))


def _versions(table: pa.Table) -> set[tuple[str, int]]:
    return set(_keys(table))
