"""A durable random split of customers: the same customer always gets the same arm.

The arm depends on a secret-free salt and the customer_id alone, never on who else is a customer, on any feature or on
the day, so it needs no storage and cannot drift. The salt names the split: another salt draws independently.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HOLDOUT = "holdout"
"""The arm that is never contacted."""

_BYTES = 8


def assign(customer_ids: Iterable[str], salt: str, shares: Mapping[str, float]) -> pd.Series:
    """Assign customers to arms by a salted hash.

    Parameters
    ----------
    customer_ids
        Ids, each a non-empty string; a repeated id gets its arm again.
    salt
        Names the split; keep it as long as the split shall last.
    shares
        Arm to share, summing to 1. The order matters: growing the first arm at the cost of the others keeps everyone
        who is in it.

    Returns
    -------
    pandas.Series
        ``arm``, indexed by customer_id in the order given.

    Raises
    ------
    ValueError
        If the salt is empty, an id is null, a share is negative or the shares do not sum to 1.

    Examples
    --------
    >>> assign(["6", "7", "8", "9", "10"], "2018", {"holdout": 0.5, "action": 0.5}).tolist()
    ['action', 'holdout', 'holdout', 'holdout', 'action']
    """
    if not salt:
        raise ValueError("the salt must not be empty: it names the split")
    sizes = np.array(list(shares.values()), dtype=float)
    if (sizes < 0).any() or not np.isclose(sizes.sum(), 1.0):
        raise ValueError(f"shares must be 0 or more and sum to 1, not {dict(shares)}")
    ids = pd.Index(list(customer_ids), name="customer_id", dtype="str")
    if ids.hasnans:
        raise ValueError("a customer_id is null")
    places = np.searchsorted(np.cumsum(sizes)[:-1], uniform(ids, salt), side="right")
    return pd.Series(np.array(list(shares), dtype=object)[places], index=ids, name="arm", dtype="str")


def uniform(customer_ids: Iterable[str], salt: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each customer: the first 53 bits of SHA-256 of salt and id.

    Parameters
    ----------
    customer_ids
        Ids as strings.
    salt
        Names the draw.
    """
    prefix = f"{salt}\x1f"
    digests = b"".join([sha256(f"{prefix}{name}".encode()).digest()[:_BYTES] for name in customer_ids])
    return (np.frombuffer(digests, dtype=">u8") >> np.uint64(11)).astype("float64") * 2.0**-53
