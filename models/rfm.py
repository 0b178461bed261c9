"""RFM: recency, frequency and monetary value in fifths, and the conventional names of their combinations.

Fifths are those of direct marketing (Hughes 1994). The names are the conventional ones on a grid of recency against the
mean of the other two scores, so that each of the 125 cells has exactly one name.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from models.evaluation import wilson
from models.spec import FloatArray, design

INPUTS: Mapping[str, str] = MappingProxyType(
    {"recency": "recency_days", "frequency": "n_orders_364d", "monetary": "spend_364d_cents"}
)
"""Score -> the feature that it cuts into fifths."""
N_SCORES = 5

CHAMPIONS, LOYAL, POTENTIAL = "Champions", "Loyal", "Potential loyalists"
NEW, PROMISING, ATTENTION, ASLEEP = "New customers", "Promising", "Need attention", "About to sleep"
AT_RISK, CANNOT_LOSE, HIBERNATING, LOST = "At risk", "Cannot lose them", "Hibernating", "Lost"

SEGMENTS = (
    *(CHAMPIONS, LOYAL, POTENTIAL, NEW, PROMISING, ATTENTION, ASLEEP),
    *(CANNOT_LOSE, AT_RISK, HIBERNATING, LOST),
)
"""Names in the order of a report: from the best to those who are gone."""

GRID: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        5: (NEW, POTENTIAL, POTENTIAL, CHAMPIONS, CHAMPIONS),
        4: (PROMISING, POTENTIAL, POTENTIAL, LOYAL, LOYAL),
        3: (ASLEEP, ASLEEP, ATTENTION, LOYAL, LOYAL),
        2: (HIBERNATING, HIBERNATING, AT_RISK, AT_RISK, CANNOT_LOSE),
        1: (LOST, LOST, AT_RISK, AT_RISK, CANNOT_LOSE),
    }
)
"""Recency score -> names by the mean of frequency and monetary score, 1 to 5, halves rounded up."""


def segment_name(recency: int, frequency: int, monetary: int) -> str:
    """Return the conventional name of a cell.

    Parameters
    ----------
    recency, frequency, monetary
        Scores from 1 (worst) to 5 (best).

    Examples
    --------
    >>> segment_name(5, 5, 4), segment_name(1, 5, 5), segment_name(1, 1, 1)
    ('Champions', 'Cannot lose them', 'Lost')
    """
    return GRID[recency][(frequency + monetary + 1) // 2 - 1]


def fifths(values: "pd.Series[float]", *, is_less_better: bool = False) -> "pd.Series[int]":
    """Return the score of each value, 1 (worst) to 5 (best).

    Customers alike get the same score, whatever the order of the rows: a tie goes to the fifth in which its middle
    lies, on an edge to the lower one. So fifths need not be of equal size, and with many ties some may be empty.

    Parameters
    ----------
    values
        One per customer; null counts as worst.
    is_less_better
        Whether small values are good, as for days since the last purchase.

    Examples
    --------
    >>> fifths(pd.Series([1, 2, 3, 4, 5])).tolist(), fifths(pd.Series([1, 1, 1, 1, 9])).tolist()
    ([1, 2, 3, 4, 5], [2, 2, 2, 2, 5])
    """
    worst = values.fillna(np.inf if is_less_better else -np.inf)
    middle = worst.rank(method="average", ascending=not is_less_better)
    # The rank of a middle is a multiple of a half, so that this is exact and no tie is broken by rounding.
    score = np.ceil((2 * middle.to_numpy() - 1) * N_SCORES / (2 * max(1, len(worst)))).clip(1, N_SCORES)
    return pd.Series(score.astype("int64"), index=values.index)


def rfm(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the scores and the segment of every customer.

    Parameters
    ----------
    frame
        The features of ``INPUTS``, one customer a row.

    Returns
    -------
    pandas.DataFrame
        ``recency_score``, ``frequency_score``, ``monetary_score`` and ``rfm_segment``, indexed like the frame.

    Raises
    ------
    TrainingError
        If a feature is missing or infinite.
    """
    known = design(frame, tuple(INPUTS.values()))
    scores = pd.DataFrame(
        {f"{name}_score": fifths(known[column], is_less_better=name == "recency") for name, column in INPUTS.items()},
        index=frame.index,
    )
    names = np.array(
        [[[segment_name(r, f, m) for m in range(1, 6)] for f in range(1, 6)] for r in range(1, 6)], dtype=object
    )
    cells = names[tuple(scores[f"{name}_score"].to_numpy() - 1 for name in INPUTS)]
    return scores.assign(rfm_segment=pd.Series(cells, index=frame.index, dtype="str"))


def rfm_segments(tonight: pd.DataFrame, past: pd.DataFrame | None = None, level: float = 0.90) -> pd.DataFrame:
    """Return size, spend and leaving per segment.

    Parameters
    ----------
    tonight
        All customers with the features of ``INPUTS`` and ``churn_probability`` (null for who is not eligible).
    past
        All customers of an earlier date with the same features, ``is_eligible`` and ``has_churned``; null: none.
    level
        Nominal coverage of the interval of what was seen (Wilson 1927).

    Returns
    -------
    pandas.DataFrame
        One row per name of ``SEGMENTS``, in its order: ``rfm_segment``, ``n_customers``, ``n_eligible``,
        ``spend_cents`` of 364 days, ``spend_share``, ``churn_share`` (mean probability of the eligible tonight) and
        ``seen_share``, ``seen_share_low``, ``seen_share_high`` (who left after the earlier date, of the eligible who
        were in the segment then), ``n_seen``. Shares of nobody are null.
    """
    found = rfm(tonight)["rfm_segment"]
    spend = design(tonight, (INPUTS["monetary"],))[INPUTS["monetary"]].fillna(0.0)
    risk = tonight["churn_probability"].astype("float64")
    by_segment = pd.DataFrame({"spend_cents": spend, "risk": risk}).groupby(found)
    table = pd.DataFrame(index=pd.Index(SEGMENTS, name="rfm_segment"))
    table["n_customers"] = by_segment.size().reindex(SEGMENTS, fill_value=0)
    table["n_eligible"] = by_segment["risk"].count().reindex(SEGMENTS, fill_value=0)
    table["spend_cents"] = by_segment["spend_cents"].sum().round().astype("int64").reindex(SEGMENTS, fill_value=0)
    total = float(table["spend_cents"].sum())
    table["spend_share"] = table["spend_cents"] / total if total > 0 else np.nan
    table["churn_share"] = by_segment["risk"].mean().reindex(SEGMENTS)
    return table.join(_seen(past, level)).reset_index()


def _seen(past: pd.DataFrame | None, level: float) -> pd.DataFrame:
    """Return who left after an earlier date, by the segment that they were in then."""
    columns = ["seen_share", "seen_share_low", "seen_share_high"]
    index = pd.Index(SEGMENTS, name="rfm_segment")
    if past is None or past.empty:
        return pd.DataFrame(np.nan, index=index, columns=columns).assign(n_seen=0)
    is_eligible = past["is_eligible"].astype(bool)
    left = past.loc[is_eligible, "has_churned"].astype("int64")
    counts = left.groupby(rfm(past)["rfm_segment"][is_eligible]).agg(["sum", "size"]).reindex(SEGMENTS, fill_value=0)
    rows: list[FloatArray] = [
        np.array([hits / n, *wilson(hits, n, level)]) if n else np.full(3, np.nan)
        for hits, n in zip(counts["sum"], counts["size"], strict=True)
    ]
    return pd.DataFrame(np.array(rows), index=index, columns=columns).assign(n_seen=counts["size"])
