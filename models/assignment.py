"""Draw the arms of a campaign: by a salted hash, balanced within strata, whole households together, once and for all.

Clusters (households, or single customers) of a stratum stand in the order of their hash and are dealt out in even
steps from a start that is itself drawn by hash. Each has exactly the chance of its arm's share, and every stratum is
split as evenly as its size allows. The same customers, salt and shares give the same arms whatever the order of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from models.effects import Floats
from models.holdout import uniform

CONTROL = "control"
"""The arm that is not contacted."""

_BROKEN = 0.001


def draw_arms(customers: pd.DataFrame, salt: str, shares: Mapping[str, float]) -> pd.DataFrame:
    """Assign customers to arms.

    Parameters
    ----------
    customers
        ``customer_id``; optional ``stratum`` (what is to be alike in the arms) and ``household_id`` (its members get
        one arm); null is a stratum, or a household, of its own.
    salt
        Names the draw: the campaign's id, for a draw of its own.
    shares
        Share of each arm, summing to 1; ``control`` must be among them.

    Returns
    -------
    pandas.DataFrame
        ``customer_id``, ``arm``, ``propensity`` (chance of that customer's not being control), ``stratum`` and
        ``household_id``, in order of customer_id.

    Raises
    ------
    ValueError
        A customer_id is null or occurs twice, the salt is empty, or the shares are none.

    Examples
    --------
    >>> people = pd.DataFrame({"customer_id": ["1", "2", "3", "4"]})
    >>> sorted(draw_arms(people, "spring", {"control": 0.5, "mail": 0.5})["arm"])
    ['control', 'control', 'mail', 'mail']
    """
    sizes = np.array(list(shares.values()), dtype=float)
    if not salt or CONTROL not in shares or (sizes <= 0).any() or not np.isclose(sizes.sum(), 1.0):
        raise ValueError(f"a salt, and shares above 0 that sum to 1 with one for {CONTROL}, not {dict(shares)}")
    rows = customers.sort_values("customer_id", ignore_index=True)
    if rows["customer_id"].isna().any() or not rows["customer_id"].is_unique:
        raise ValueError("every customer_id once, and none null")
    rows["stratum"] = _column(rows, "stratum").fillna("")
    alone = "\x1f" + rows["customer_id"].astype("str")
    rows["household_id"] = _column(rows, "household_id").fillna(alone)
    # A household belongs to the stratum of its first member.
    clusters = rows.drop_duplicates("household_id")[["household_id", "stratum"]].reset_index(drop=True)
    places = _places(clusters, salt)
    arms = np.array(list(shares), dtype=object)[np.searchsorted(np.cumsum(sizes)[:-1], places, side="right")]
    rows["arm"] = rows["household_id"].map(dict(zip(clusters["household_id"], arms, strict=True))).astype("str")
    rows["propensity"] = 1.0 - float(shares[CONTROL])
    rows["household_id"] = rows["household_id"].where(rows["household_id"] != alone)
    return rows[["customer_id", "arm", "propensity", "stratum", "household_id"]]


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of texts, null where there is none."""
    if name not in rows:
        return pd.Series(None, index=rows.index, dtype="str")
    return rows[name].astype("str").where(rows[name].notna())


def _places(clusters: pd.DataFrame, salt: str) -> Floats:
    """Return a place in [0, 1) for each cluster, evenly spread within its stratum."""
    drawn = uniform(clusters["household_id"], salt)
    ordered = clusters.assign(drawn=drawn).sort_values(["stratum", "drawn", "household_id"])
    number = ordered.groupby("stratum").cumcount().to_numpy()
    size = ordered.groupby("stratum")["drawn"].transform("size").to_numpy()
    start = ordered["stratum"].map(lambda name: float(uniform([name], f"{salt}\x1fstart")[0])).to_numpy(dtype=float)
    return np.asarray(pd.Series((number + start) / size, index=ordered.index).sort_index().to_numpy())


@dataclass(frozen=True)
class Soundness:
    """Whether a draw still holds when its campaign is judged.

    Attributes
    ----------
    ratio_p_value
        Of the test that the arms have the sizes that were planned; tiny where customers were lost or added.
    n_contaminated
        Customers of the control arm who were contacted.
    n_control
        Customers of the control arm.
    n_unreached
        Customers of other arms who were not contacted.
    n_split_households
        Households with members in several arms.
    """

    ratio_p_value: float
    n_contaminated: int
    n_control: int
    n_unreached: int
    n_split_households: int

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is wrong, in words; empty where nothing is."""
        found = []
        if self.ratio_p_value < _BROKEN:
            found.append("the arms do not have the sizes that were drawn: customers were lost or added")
        if self.n_contaminated:
            found.append(f"{self.n_contaminated:,} of {self.n_control:,} customers of the control arm were contacted")
        if self.n_split_households:
            found.append(f"{self.n_split_households:,} households have members in several arms")
        return tuple(found)


def soundness(assigned: pd.DataFrame, shares: Mapping[str, float]) -> Soundness:
    """Check a draw: sizes of the arms, contact of the control arm, households torn apart.

    Parameters
    ----------
    assigned
        ``arm``; optional ``contacted_at`` (null where not contacted) and ``household_id``.
    shares
        Planned share of each arm.
    """
    counts = assigned["arm"].value_counts().reindex(list(shares), fill_value=0).to_numpy(dtype=float)
    planned = np.array(list(shares.values())) * counts.sum()
    p_value = float(stats.chisquare(counts, planned).pvalue) if counts.sum() else 1.0
    is_control = (assigned["arm"] == CONTROL).to_numpy()
    reached = assigned["contacted_at"].notna().to_numpy() if "contacted_at" in assigned else None
    known = assigned.dropna(subset=["household_id"]) if "household_id" in assigned else assigned.iloc[:0]
    split = int((known.groupby("household_id")["arm"].nunique() > 1).sum()) if len(known) else 0
    return Soundness(
        ratio_p_value=p_value,
        n_contaminated=0 if reached is None else int((reached & is_control).sum()),
        n_control=int(is_control.sum()),
        n_unreached=0 if reached is None else int((~reached & ~is_control).sum()),
        n_split_households=split,
    )


def strata_of(spend: Sequence[float] | Floats, n_strata: int = 5) -> pd.Series:
    """Return the fifth of past spend of each customer, to make arms alike in what matters most.

    Parameters
    ----------
    spend
        Spend before the start.
    n_strata
        Fifths, or other parts; equal spends stay together.
    """
    ranks = pd.Series(np.asarray(spend, dtype=np.float64)).rank(method="average", pct=True)
    return pd.Series(np.ceil(ranks * n_strata), index=ranks.index).clip(1, n_strata).astype("int64").astype("str")
