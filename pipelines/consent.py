"""Consent in a night: who may be contacted when it is decided, and again when it is written down for people.

A customer may be contacted who agreed to marketing and did not object to profiling, by their newest statements.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from data.identity.masters import master_ids, renamed
from data.lake import Lake
from data.privacy import consented, objected
from pipelines.report.night import Night
from pipelines.settings import Settings

TABLE = "consents"
MARKETING = "marketing"
"""The purpose that customers are contacted for."""
PROFILING = "profiling"
"""The purpose that models learn from customers for."""

_EVER = datetime(9999, 1, 1)


def keeps_consents(settings: Settings) -> bool:
    """Say whether the company delivers statements of consent, so that nothing has to be assumed."""
    if settings.sources is not None:
        return TABLE in settings.sources.tables
    path = settings.source.path
    return path is not None and (settings.folder / path / f"{TABLE}.parquet").exists()


def statements(settings: Settings, lake: Lake, version: int | None = None) -> pa.Table | None:
    """Return what customers said, by default all that the lake knows now; null where the company keeps no consents.

    What any id of a person said, the person said.
    """
    found = renamed(lake.read(TABLE, version=version), master_ids(lake)) if lake.has(TABLE) else None
    return found if keeps_consents(settings) or (found is not None and found.num_rows) else None


def contactable(
    settings: Settings, said: pa.Table | None, customer_ids: Sequence[str], as_of: datetime
) -> npt.NDArray[np.bool_]:
    """Return for each customer whether they may be contacted, by what was known before ``as_of``.

    Parameters
    ----------
    settings
        Which purposes are lawful without statements.
    said
        From ``statements``.

    Raises
    ------
    ConfigError
        The company keeps no consents and does not say that marketing is lawful without them.
    """
    assumed = frozenset(settings.decisions.assumed_consent)
    return consented(customer_ids, said, MARKETING, as_of, assumed) & ~objected(customer_ids, said, PROFILING, as_of)


def trainable(said: pa.Table | None, frame: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Return the rows of customers who did not object to profiling before ``as_of``: nobody else trains a model."""
    return frame[~objected(list(frame["customer_id"]), said, PROFILING, as_of)].reset_index(drop=True)


def without_withdrawn(settings: Settings, lake: Lake, actions: pd.DataFrame) -> pd.DataFrame:
    """Return the actions of a night with those left alone who may no longer be contacted, by all that is known now."""
    said = statements(settings, lake)
    if said is None:
        return actions
    may = contactable(settings, said, list(actions["customer_id"]), _EVER)
    # The arm stays: whom the lot held out, it held out.
    return actions.assign(action=actions["action"].where(may, "leave_alone"))


def for_contacts(settings: Settings, night: Night) -> Night:
    """Return a night for a file that is passed on: without any row of a customer who may not be contacted now."""
    said = statements(settings, Lake(settings.lake_root))
    if said is None:
        return night

    def kept(frame: pd.DataFrame) -> pd.DataFrame:
        may = contactable(settings, said, list(frame["customer_id"]), _EVER)
        return frame[may].reset_index(drop=True)

    return replace(night, actions=kept(night.actions), offers=kept(night.offers), scores=kept(night.scores))
