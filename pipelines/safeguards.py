"""Safeguards: what keeps rows of a delivery out, or the people in them unknown, before anything else sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from data.pseudonyms import read_key
from data.retention import Expired, expired
from data.tombstones import Tombstones, read_tombstones
from pipelines.settings import Settings


@dataclass(frozen=True)
class Safeguards:
    """What keeps rows out, or people unknown.

    Parameters
    ----------
    tombstones
        Who was erased; null where nobody ever was.
    key
        Key to the pseudonyms; null where customers go by their own ids.
    periods
        Which rows are too old to be kept, by contract.
    """

    tombstones: Tombstones | None = None
    key: bytes | None = field(default=None, repr=False)
    periods: Mapping[str, Expired] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, as_of: datetime) -> Self:
        """Return the safeguards of a company.

        Raises
        ------
        ConfigError
            The key to the pseudonyms is not to be had.
        LakeError
            There are tombstones without their key.
        """
        key = read_key(settings.privacy, settings.folder, settings.root)
        periods = {period.table: period for period in expired(settings.retention, as_of)}
        return cls(read_tombstones(settings.root), key, periods)
