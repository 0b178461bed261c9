"""Global effects: how much each theme moves the risk of customers on the whole, with intervals."""

import numpy as np
import pandas as pd

from models.churn_reasons import Effects

LEVEL = 0.95
N_RESAMPLES = 200
ENOUGH_ROWS = 5_000


def global_effects(found: Effects, *, seed: int, level: float = LEVEL, n_resamples: int = N_RESAMPLES) -> pd.DataFrame:
    """Return the mean size of each theme's effect over customers.

    Parameters
    ----------
    found
        Effects of customers, one a row.
    seed
        Seed of the bootstrap of customers; the model is taken as it is.
    level
        Nominal coverage.
    n_resamples
        Resamples.

    Returns
    -------
    pandas.DataFrame
        ``theme``, ``feature`` (the one of the theme with the largest mean effect of its own), ``mean_effect`` (mean
        absolute effect, in log-odds), ``low``, ``high``, ``raised_share`` (of customers whose risk the theme raises),
        ``n_customers``; largest first. Of many customers every so many-th counts. Without customers there is no row.
    """
    themes = found.themes.iloc[:: max(1, -(-len(found.themes) // ENOUGH_ROWS))]
    n = len(themes)
    if not n:
        return no_effects().drop(columns=["version", "is_serving"])
    size = themes.abs().to_numpy()
    rng = np.random.default_rng(seed)
    counts = np.vstack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(n_resamples)])
    low, high = np.quantile(counts @ size / n, [(1 - level) / 2, (1 + level) / 2], axis=0)
    alone = found.features.abs().mean()
    speaks = {theme: max(own, key=lambda name: (alone[name], name)) for theme, own in _members(found).items()}
    table = pd.DataFrame(
        {
            "theme": list(themes.columns),
            "feature": [speaks[theme] for theme in themes.columns],
            "mean_effect": size.mean(axis=0),
            "low": low,
            "high": high,
            "raised_share": (themes.to_numpy() > 0).mean(axis=0),
            "n_customers": n,
        }
    )
    return table.sort_values(["mean_effect", "theme"], ascending=[False, True], ignore_index=True)


def no_effects() -> pd.DataFrame:
    """Return the table without a row, with the ``version`` of a registered model and whether it serves."""
    kinds = {
        "theme": "str",
        "feature": "str",
        **dict.fromkeys(("mean_effect", "low", "high", "raised_share"), "float64"),
    }
    kinds |= {"n_customers": "int64", "version": "int64", "is_serving": "bool"}
    return pd.DataFrame(columns=list(kinds)).astype(kinds)


def _members(found: Effects) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for name, theme in found.theme_of.items():
        members.setdefault(theme, []).append(name)
    return members
