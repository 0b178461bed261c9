"""The durable split: catalogue row O12."""

from hashlib import sha256
from time import process_time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from models.holdout import assign, uniform

IDS = [str(number) for number in range(1, 5001)]
SHARES = {"holdout": 0.1, "action": 0.9}


def test_a_hundred_nights_flip_nobody():
    first = assign(IDS, "2018", SHARES)
    for night in range(100):
        rng = np.random.default_rng(night)
        tonight = rng.permutation([*IDS, *(f"new {number}" for number in range(night * 10))])
        tonight = tonight[: rng.integers(100, len(tonight))]
        again = assign(tonight, "2018", SHARES)
        known = again.index.intersection(first.index)
        assert (again.loc[known] == first.loc[known]).all()


@pytest.mark.parametrize("salt", ["2018", "2019", "spring", "ü"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_share_lies_in_the_binomial_band(salt, share):
    ids = [str(number) for number in range(20_000)]
    n_held_out = (assign(ids, salt, {"holdout": share, "action": 1 - share}) == "holdout").sum()
    low, high = stats.binom.interval(0.9999, len(ids), share)
    assert low <= n_held_out <= high


def test_arms_do_not_depend_on_features():
    rng = np.random.default_rng(0)
    region = rng.choice(list("nsew"), len(IDS))
    for salt in ("a", "b", "c"):
        arm = assign(IDS, salt, SHARES).to_numpy()
        assert stats.chi2_contingency(pd.crosstab(region, arm)).pvalue > 0.001
        parity = np.array([int(name) % 2 for name in IDS])
        assert stats.chi2_contingency(pd.crosstab(parity, arm)).pvalue > 0.001


def test_the_draw_is_uniform():
    assert stats.kstest(uniform(IDS, "2018"), "uniform").pvalue > 0.001


def test_another_salt_draws_independently():
    one, other = assign(IDS, "one", SHARES), assign(IDS, "other", SHARES)
    assert stats.chi2_contingency(pd.crosstab(one, other)).pvalue > 0.001


def test_the_hash_is_the_documented_one():
    expected = int.from_bytes(sha256(b"2018\x1f42").digest()[:8], "big") / 2**64
    assert uniform(["42"], "2018")[0] == pytest.approx(expected, abs=1e-15)


def test_salt_and_id_cannot_run_into_each_other():
    assert uniform(["23"], "1")[0] != uniform(["3"], "12")[0]


def test_growing_the_holdout_keeps_its_members():
    small = assign(IDS, "2018", {"holdout": 0.05, "action": 0.95})
    large = assign(IDS, "2018", {"holdout": 0.2, "action": 0.8})
    assert (large[small == "holdout"] == "holdout").all()


def test_three_arms_get_their_shares():
    arms = assign(IDS, "2018", {"holdout": 0.2, "call": 0.3, "mail": 0.5})
    assert arms.value_counts(normalize=True).round(2).to_dict() == pytest.approx(
        {"holdout": 0.2, "call": 0.3, "mail": 0.5}, abs=0.02
    )


def test_an_arm_without_share_stays_empty():
    assert set(assign(IDS, "2018", {"holdout": 0.0, "action": 1.0})) == {"action"}
    assert set(assign(IDS, "2018", {"holdout": 1.0, "action": 0.0})) == {"holdout"}


def test_hostile_ids_are_only_text():
    ids = ["'); DROP TABLE x;--", "../../etc", "x" * 300, "名前", " 7", "7"]
    arms = assign(ids, "2018", SHARES)
    assert list(arms.index) == ids
    assert uniform(["7"], "s")[0] != uniform([" 7"], "s")[0]


def test_nobody_to_assign():
    assert assign([], "2018", SHARES).empty


@pytest.mark.parametrize(
    ("ids", "salt", "shares", "complaint"),
    [
        (["1"], "", SHARES, "salt"),
        (["1"], "s", {"holdout": 0.2, "action": 0.9}, "sum to 1"),
        (["1"], "s", {"holdout": -0.1, "action": 1.1}, "0 or more"),
        (["1", None], "s", SHARES, "null"),
    ],
)
def test_what_is_refused(ids, salt, shares, complaint):
    with pytest.raises(ValueError, match=complaint):
        assign(ids, salt, shares)


@pytest.mark.slow
def test_a_million_customers_take_seconds():
    ids = [str(number) for number in range(1_000_000)]
    started = process_time()
    arms = assign(ids, "2018", SHARES)
    assert process_time() - started < 10
    assert abs((arms == "holdout").mean() - 0.1) < 0.002
