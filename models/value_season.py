"""The season of totals: how last year's same window compared with what went before it.

A model that learned from one part of the year expects that part's level. Where a year of history shows the window of
the same days a year ago, the ratio of that window's total to its trailing total, against the same ratio on the dates
that the model learned from, says how much more or less to expect. One year is one observation: the correction is
shrunk to its half on the scale of logarithms, and to less than all of it with every number of years.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.spec import FloatArray

YEAR_DAYS = 364
"""52 whole weeks, so that weekdays fall on weekdays."""
TOLERANCE_DAYS = 14
"""How far a date may lie from that of a year ago."""
_MOST = float(np.log(3))
"""The strongest correction believed: a factor of three."""


@dataclass(frozen=True)
class Season:
    """Say how totals are corrected for the season.

    Parameters
    ----------
    factor
        What expectations are multiplied by; 1 where nothing can be said.
    n_years
        Years of history that show the same window.
    sentence
        The correction, or why there is none, in plain words.
    """

    factor: float
    n_years: int
    sentence: str


@dataclass(frozen=True)
class Levels:
    """Hold totals at the dates that a model learned from.

    Parameters
    ----------
    as_ofs
        Dates as ISO text, ascending.
    ratios
        Total within the window at each date, divided by the trailing total scaled to the window.
    """

    as_ofs: tuple[str, ...]
    ratios: tuple[float, ...]

    @classmethod
    def of(cls, as_ofs: "Sequence[Any] | pd.Series[Any]", total: FloatArray, trailing: FloatArray) -> "Levels":
        """Return the levels of labelled rows; a date without positive totals, or without an instant, is left out.

        Parameters
        ----------
        as_ofs
            Date of each row.
        total
            Cents within the window of each row.
        trailing
            Cents before it, scaled to the window.
        """
        dates = pd.Series(np.asarray(as_ofs))
        if not pd.api.types.is_datetime64_any_dtype(dates):
            return cls((), ())
        sums = pd.DataFrame({"total": total, "trailing": trailing}).groupby(dates.to_numpy()).sum()
        sums = sums[(sums > 0).all(axis=1)].sort_index()
        return cls(tuple(date.isoformat() for date in sums.index), tuple((sums["total"] / sums["trailing"]).tolist()))

    def at(self, as_of: Any) -> Season:
        """Return the correction for expectations made at a date.

        Parameters
        ----------
        as_of
            The date; what is no instant gets no correction.

        Examples
        --------
        >>> Levels(("2023-01-01", "2023-06-01"), (2.0, 1.0)).at(pd.Timestamp("2023-12-31")).factor
        1.189...
        """
        if not isinstance(as_of, pd.Timestamp):
            return Season(1.0, 0, "No season correction: the rows carry no date.")
        dates = pd.DatetimeIndex(pd.to_datetime(list(self.as_ofs)))
        shown = self._same_windows(dates, as_of)
        if not shown:
            return Season(1.0, 0, "No season correction: no labelled date lies a year before.")
        logs = np.log(np.array(self.ratios))
        weight = len(shown) / (len(shown) + 1)
        factor = float(np.exp(np.clip(weight * (logs[shown].mean() - logs.mean()), -_MOST, _MOST)))
        return Season(
            factor,
            len(shown),
            f"Expectations are multiplied by {factor:.2f}: what this season did {len(shown)} time(s) before, "
            f"counted for {weight:.0%}.",
        )

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold."""
        return {"as_ofs": list(self.as_ofs), "ratios": list(self.ratios)}

    @classmethod
    def restore(cls, facts: Mapping[str, Any]) -> "Levels":
        """Return the levels again from their facts."""
        return cls(tuple(facts["as_ofs"]), tuple(facts["ratios"]))

    @staticmethod
    def _same_windows(dates: pd.DatetimeIndex, as_of: pd.Timestamp) -> list[int]:
        """Return the nearest date to each whole number of years before, if near enough."""
        shown = []
        for year in range(1, 11):
            away = np.abs((dates - (as_of - pd.Timedelta(days=YEAR_DAYS * year))).days.to_numpy())
            if len(away) and away.min() <= TOLERANCE_DAYS:
                shown.append(int(np.flatnonzero(away == away.min())[0]))
        return sorted(set(shown))
