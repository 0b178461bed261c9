"""Nine in ten intervals of a group's curve hold the share that is then seen, in worlds whose future is known."""

from types import ModuleType

import numpy as np
import pandas as pd

from models import hazard

HORIZON_DAYS = 28
GROUPS = ([-1, 7, 14, 28, 56], ["a week", "two", "four", "eight"])
N_WORLDS = 3


def test_intervals_hold_what_is_seen_as_often_as_they_say_and_the_truth_behind_it(followed: ModuleType) -> None:
    """Worlds grow older between training and tonight, as shops do, so that the curves may stray a little."""
    seen_inside, true_inside, errors = [], [], []
    for seed in range(N_WORLDS):
        world = followed.world(100 + seed, n_customers=1_000)
        model = hazard.fit(followed.training(world, n_dates=7), horizon_days=HORIZON_DAYS)
        tonight = followed.seen_from(world, followed.NOW_DAY, followed.WORLD_DAYS)
        groups = pd.cut(tonight["recency_days"], GROUPS[0], labels=GROUPS[1]).astype(str)
        truth = pd.DataFrame(followed.true_curves(world, tonight["customer_id"], model.edges), columns=model.edges)
        silent = pd.DataFrame({edge: ~(tonight["event_days"] < edge) for edge in model.edges})
        found = model.group_curves(tonight, groups).set_index(["group", "days"])
        for shares, inside in ((silent, seen_inside), (truth, true_inside)):
            share = shares.groupby(groups).mean().stack().reindex(found.index)
            inside.append(share.between(found["silent_share_low"], found["silent_share_high"]).mean())
        errors.append((found["silent_share"] - truth.groupby(groups).mean().stack().reindex(found.index)).mean())
    assert 0.80 <= np.mean(seen_inside) <= 0.99
    # The interval allows for the luck of the draw, which the true chances do not have.
    assert np.mean(true_inside) >= 0.95
    assert abs(np.mean(errors)) < 0.02
