"""Seasons: how far the base rate strayed in the same weeks of past years, and what that says of tonight.

A model learns one base rate from all its dates, but fewer leave before Christmas than after. Where the training dates
hold the same weeks of a year ago, their shift is carried over, shrunken by how surely it is known; where they do not,
nothing is done and that is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.calibration import date_shifts, shift_between_dates
from models.spec import FloatArray

_YEAR = pd.Timedelta(days=365.25)
NEAR_DAYS = 16
"""Dates this near to the day of a past year tell of it: dates a month apart always have one."""


@dataclass(frozen=True)
class Season:
    """Hold the shift of the base rate at every training date.

    Parameters
    ----------
    shifts
        ISO date -> shift of the log-odds against all dates, shrunken.
    shift_sd
        Standard deviation of what the shift of a year ago left unexplained, where training dates could show it; null
        otherwise.

    Examples
    --------
    >>> season = Season({"2023-06-01": 0.1, "2023-12-01": -0.4})
    >>> season.at(pd.Timestamp("2024-12-04")), season.at(pd.Timestamp("2024-03-01"))
    (-0.4, None)
    """

    shifts: Mapping[str, float] = field(default_factory=dict)
    shift_sd: float | None = None

    def at(self, as_of: pd.Timestamp) -> float | None:
        """Return the shift of the log-odds in the same weeks of past years, or null where no past year covers them."""
        found = []
        for day, shift in self.shifts.items():
            ago = as_of - pd.Timestamp(day)
            years = round(ago / _YEAR)
            if years >= 1 and abs(ago - years * _YEAR) <= pd.Timedelta(days=NEAR_DAYS):
                found.append(shift)
        return float(np.mean(found)) if found else None

    def of(self, dates: "pd.Series[Any]") -> FloatArray:
        """Return the shift of each row's date; null where no past year covers it."""
        known = {day: self.at(pd.Timestamp(day)) for day in dates.unique()}
        return dates.map({day: np.nan if shift is None else shift for day, shift in known.items()}).to_numpy(np.float64)

    def told(self, as_of: pd.Timestamp) -> str:
        """Return in one sentence what past years say of the weeks after a date."""
        shift = self.at(as_of)
        if shift is None:
            return "no past year covers these weeks: risks stand on the base rate of the training dates"
        way = "more" if shift > 0 else "fewer"
        return f"in these weeks of past years {way} left than at other times: odds times {np.exp(shift):.2f}"

    def facts(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {"shifts": dict(self.shifts), "shift_sd": self.shift_sd}

    @classmethod
    def restore(cls, facts: Mapping[str, Any]) -> "Season":
        """Return the season again from its facts."""
        return cls(dict(facts["shifts"]), facts["shift_sd"])


def fit_season(y: npt.NDArray[np.int64], p: FloatArray, dates: "pd.Series[Any]") -> Season:
    """Learn the shift of every date from out-of-fold predictions.

    Parameters
    ----------
    y, p
        Labels and calibrated out-of-fold probabilities.
    dates
        The ``as_of`` of each row.

    Returns
    -------
    Season
        Each shift is shrunken towards none by the share of chance in it (DerSimonian and Laird 1986).
    """
    spread = shift_between_dates(y, p, dates)
    days, shift, precision = date_shifts(y, p, dates)
    weight = spread**2 / (spread**2 + 1 / precision) if spread > 0 else np.zeros(len(shift))
    shifts = {pd.Timestamp(day).isoformat(): float(s) for day, s in zip(days, shift * weight, strict=True)}
    past = Season(shifts).of(dates)
    covered = ~np.isnan(past)
    if len(np.unique(np.asarray(dates)[covered])) < 3:
        return Season(shifts)
    log_odds = np.log(p[covered] / (1 - p[covered])) + past[covered]
    left = shift_between_dates(y[covered], 1 / (1 + np.exp(-log_odds)), np.asarray(dates)[covered])
    return Season(shifts, left)
