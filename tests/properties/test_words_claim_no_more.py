"""No causal word without randomisation: whatever the figures, and wherever in the code a sentence is written."""

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.registry import FEATURES
from models.campaign import Campaign, judge
from models.decisions import CROSS_SELL, RETAIN, Policy
from models.effects import Effect
from models.gate import decide
from models.phrases import in_words
from models.verdict import Verdict, VerdictWord
from pipelines.phrases import PHRASES

ROOT = Path(__file__).parents[2]
CAUSAL = re.compile(
    r"\b(caus(e|es|ed|al|ing)|because of|due to|thanks to|owing to|l(ed|eads?|eading) to|result(s|ed|ing)? in"
    r"|(in|de)creas(e|es|ed|ing)|boost(s|ed|ing)?|driv(e|es|en|ing)|drove|made them|makes? customers|impact(s|ed)?"
    r"|it works|works for|worked(?! out)|prove[sn]?|guarantee[sd]?|the campaign.s doing|paid (for itself|off))\b",
    re.IGNORECASE,
)
# Where a causal word may stand, and why: the verdicts of lots, the questions, and the explanations of the words.
ALLOWED = {
    "It works: ": "only a verdict of a lot says so",
    "Not proven, because ": "denies it",
    "not proven": "denies it",
    "Did campaigns work": "asks",
    " randomised: there the difference is the campaign’s doing.": "is said of lots alone",
    "Decided by lot who is contacted. Only then is the difference between groups the campaign’s doing.": "explains",
    " clearly worked.": "counts the verdicts that say so",
    ", none is shown to have worked.": "denies it",
    "boosting": "is the name of a model",
    "Boosted trees": "is the name of a model",
}


def written() -> Iterator[tuple[str, str]]:
    """Yield where a text stands and the text, for every text of the code that is no documentation."""
    rooms = ("models/*.py", "pipelines/report/*.py", "pipelines/phrases.py", "pipelines/results.py")
    for path in (path for room in rooms for path in sorted(ROOT.glob(room))):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                yield f"{path.relative_to(ROOT).as_posix()}:{node.lineno}", node.value


def test_no_text_of_the_code_claims_a_cause():
    claims = [(where, text) for where, text in written() if CAUSAL.search(text) and text not in ALLOWED]
    assert claims == []


def test_the_net_would_catch_a_claim():
    for claim in ("The campaign caused it", "Sales increased", "spend rose due to the letter", "This led to more"):
        assert CAUSAL.search(claim)
    for plain in ("the targeted spent 3.00 more than the others", "no effect is claimed", "buys bread, as do others"):
        assert not CAUSAL.search(plain)


amounts = st.floats(-1e7, 1e7, allow_nan=False)
effects = st.builds(lambda x, e: Effect(x, abs(e), x - 2 * abs(e), x + 2 * abs(e)), amounts, amounts)
observed = st.builds(
    lambda naive, effect, placebo, before, n, name, reasons: Verdict(
        "1", name, is_randomised=False, window_days=28, n_treated=n, n_control=n + 1, word=VerdictWord.NOT_PROVEN,
        reasons=tuple(reasons), naive=naive, effect=effect, placebo=placebo, naive_placebo=before, overlap_share=0.3,
    ),
    effects, effects, effects, effects, st.integers(0, 10**6), st.text(max_size=9),
    st.lists(st.sampled_from(["the targeted were not chosen at random", "the groups differ"]), min_size=1, max_size=2),
)  # fmt: skip


@settings(max_examples=200, deadline=None, derandomize=True)
@given(observed)
def test_a_campaign_by_choice_is_compared_and_nothing_is_claimed(verdict):
    words = verdict.words
    assert words.startswith("Not proven, because ")
    assert "no effect is claimed" in words
    assert not CAUSAL.search(words.removeprefix("Not proven, because "))
    assert "nan" not in words
    assert "-0.00" not in words


def trial(effect: float, bias: float, n: int, noise: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(2)
    ids = [f"c{number:04}" for number in range(n)]
    before = rng.gamma(2, 500, n)
    is_treated = rng.random(n) < 1 / (1 + np.exp(-bias * (before - 1000) / 700))
    outcome = before + rng.normal(0, noise, n) + effect * is_treated
    customers = {
        "customer_id": ids,
        "is_treated": is_treated,
        "outcome_cents": outcome,
        "placebo_outcome_cents": before,
    }
    features = pd.DataFrame({"spend": before + rng.normal(0, 100, n)}, index=ids)
    return pd.DataFrame(customers), features, features


CAMPAIGNS = list(product([0.0, 800.0, -800.0], [0.0, 2.0], [20, 400], [5.0, 900.0], [None, 0, 90]))


@pytest.mark.parametrize("is_randomised", [True, False], ids=["lot", "choice"])
def test_causal_words_stand_with_lots_that_hold_alone(is_randomised):
    seen = set()
    for effect, bias, n, noise, cost in CAMPAIGNS:
        campaign = Campaign("1", "letter", is_randomised=is_randomised, cost_per_contact_cents=cost)
        verdict = judge(campaign, *trial(effect, bias, n, noise), margin_share=0.25, seed=0)
        seen.add(verdict.word)
        if verdict.word is VerdictWord.NOT_PROVEN:
            assert not CAUSAL.search(verdict.words.removeprefix("Not proven, because ").removeprefix("Not proven"))
            assert verdict.reasons
        else:
            assert is_randomised
            assert bias == 0 or n == 20, "a lot that the past contradicts was believed"
        if verdict.word is VerdictWord.WORKS:
            assert effect > 0
            assert "[95 %:" in verdict.words
        if verdict.effect is not None:
            assert verdict.words.count("[95 %:") >= 1, "a number without its interval"
    assert seen == (set(VerdictWord) if is_randomised else {VerdictWord.NOT_PROVEN})


def test_what_is_assumed_is_said_to_be_assumed():
    policy = Policy(10, 50, save_share=0.2, extra_share=0.3)
    for action, share in ((RETAIN, "20%"), (CROSS_SELL, "30%")):
        words = policy.basis(action)
        assert words.startswith("assumes that")
        assert share in words
        assert "no uplift is measured yet" in words
        assert not CAUSAL.search(words)


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("has_champion", [False, True])
def test_the_gate_says_better_only_where_the_interval_does(shift, has_champion):
    rng = np.random.default_rng(0)
    y = rng.random(600) < 0.3
    other = np.clip(0.3 + 0.2 * (y - 0.3), 0.01, 0.99)
    ours = np.clip(other + shift * (y - 0.5), 0.01, 0.99)
    found = decide("brier", y, ours, other, groups=range(600), seed=0, champion=other if has_champion else None)
    is_better = found.difference_high < 0
    assert ("is better than" in found.reason) == is_better == (found.decision == "promoted")
    assert ("is worse than" in found.reason) == (found.difference_low > 0)
    assert ("not distinguishable" in found.reason) == (found.difference_low <= 0 <= found.difference_high)
    assert not CAUSAL.search(found.reason)


TOLD = {"days": {"days"}, "cents": {"cents"}, "count": {"count"}, "share": {"share"}, "ratio": {"ratio"}}
TOLD |= {"index": {"pace"}, "nats": set(), "flag": set()}


@pytest.mark.parametrize("name", sorted(PHRASES))
def test_a_phrase_tells_a_feature_in_the_feature_s_own_unit(name):
    """A trend of 0 is a steady customer, not one at nought per cent of their pace."""
    phrase = PHRASES[name]
    assert phrase.unit in TOLD[FEATURES[name].unit]
    if phrase.companion is not None:
        assert phrase.unit in TOLD[FEATURES[phrase.companion].unit]
        assert "{own}" in phrase.text
        assert "{own}" not in phrase.fallback
    assert not CAUSAL.search(phrase.text)


@pytest.mark.parametrize(
    ("recent", "before", "words"),
    [(0, 56, "0 %"), (28, 56, "100 %"), (14, 56, "50 %"), (7, 56, "25 %"), (56, 56, "200 %"), (9, 0, "over 999 %")],
)
def test_a_pace_is_the_recent_four_weeks_against_four_of_those_before(recent, before, words):
    trend = (2 * recent - before) / (2 * recent + before)
    assert in_words(trend, "pace") == words


@given(st.floats(-3, 3, allow_nan=False), st.floats(-3, 3, allow_nan=False))
def test_a_higher_trend_is_never_a_lower_pace(one, other):
    low, high = sorted((one, other))

    def told(trend: float) -> float:
        text = in_words(trend, "pace")
        return float("inf") if text.startswith("over") else float(text.removesuffix(" %"))

    assert 0 <= told(low) <= told(high)
