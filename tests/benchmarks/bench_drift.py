"""Power of the drift alarm: how often a change of one feature among thirty is found, by its size, and false alarms.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_drift.py

Seven past dates and one night of customers alike, features of several shapes; nothing here was used to set the alarm.
"""

import argparse
import json

import numpy as np
import pandas as pd
from measuring import show

from models.drift import drift, profiles

NAMES = [f"f{n}" for n in range(30)]
SHARES = (0.0, 0.01, 0.02, 0.05, 0.08, 0.10, 0.15, 0.20)
KINDS = ("missing", "new value", "shift")


def customers(rng: np.random.Generator, n: int, as_of: int, moved: float) -> pd.DataFrame:
    """Return one date; ``moved`` is how far dates differ by themselves, in standard deviations."""
    x = rng.normal(size=(n, len(NAMES))) + moved * rng.normal(size=len(NAMES))
    x[:, :10] = np.round(x[:, :10])
    x[:, 10:15] = x[:, 10:15] > 1
    x[rng.random(x.shape) < 0.02] = np.nan
    return pd.DataFrame(x, columns=NAMES).assign(customer_id=np.arange(n), as_of=as_of)


def found(kind: str, share: float, n: int, seed: int, moved: float) -> tuple[bool, bool]:
    """Return whether the changed feature gave an alarm, and whether another did."""
    rng = np.random.default_rng(seed)
    past = pd.concat([customers(rng, n, date, moved) for date in range(7)], ignore_index=True)
    tonight = customers(rng, n, 7, moved)
    hit = rng.random(n) < share
    tonight.loc[hit, "f20"] = {"missing": np.nan, "new value": 99.0}.get(kind, tonight.loc[hit, "f20"].abs() + 1.0)
    rows = drift(profiles(past, NAMES), tonight).set_index("feature")["is_alarm"]
    return bool(rows["f20"]), bool(rows.drop("f20").any())


def main() -> None:
    """Print the power curve and the false alarms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument("--moved", type=float, default=0.05)
    given = parser.parse_args()
    rows, figures, false = [], {}, []
    for share in SHARES:
        told = {
            kind: [found(kind, share, given.customers, s, given.moved) for s in range(given.nights)] for kind in KINDS
        }
        power = {kind: float(np.mean([one for one, _ in told[kind]])) for kind in KINDS}
        false += [other for kind in KINDS for _, other in told[kind]]
        figures[str(share)] = power
        rows.append((f"{share:.0%}", *(f"{power[kind]:.0%}" for kind in KINDS)))
    show("Nights on which a change is found, by the share of customers it hits", ("share", *KINDS), rows)
    print(json.dumps({"power": figures, "nights_with_a_false_alarm": float(np.mean(false)), "n_nights": len(false)}))


if __name__ == "__main__":
    main()
