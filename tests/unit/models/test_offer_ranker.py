"""Components and the stacked ranker: facts by hand, nothing from the future, better than its parts where it can be."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from models.offer_components import (
    HALF_LIVES,
    N_HELD,
    held_candidates,
    held_features,
    neighbour_scores,
    new_candidates,
    standing,
)
from models.offer_ranker import Lesson, candidates, learn_ranker
from models.recommend import Purchases, encode_purchases, gains, log_scores, situation
from models.trials import METHODS, run_trial

AS_OF = datetime(2018, 1, 1)
HORIZON, LOOKBACK = 30, 365


def line(customer: str, order: str, category: str, days_ago: float, cents: int = 100) -> dict[str, object]:
    when = pd.Timestamp(AS_OF) - pd.Timedelta(days=days_ago)
    return {
        "customer_id": customer, "order_id": order, "category": category, "event_time": when, "amount_cents": cents,
    }  # fmt: skip


def shop(seed: int, n_households: int = 700, n_orders: int = 12) -> pd.DataFrame:
    """Households of four tastes that widen: of 60 categories each has a chance that taste and time decide."""
    rng = np.random.default_rng(seed)
    order = np.repeat(np.arange(n_households * n_orders), 4)
    household = order // n_orders
    own = (household % 4) * 15 + rng.integers(0, 15, len(order))
    anything = np.minimum(rng.geometric(0.05, len(order)) - 1, 59)
    item = np.where(rng.random(len(order)) < 0.7, own, anything)
    days = rng.uniform(0, 360, n_households * n_orders)[order]
    return pd.DataFrame(
        {
            "order_id": [f"o{i:06}" for i in order],
            "customer_id": [f"c{i:04}" for i in household],
            "category": [f"item {j:02}" for j in item],
            "event_time": (pd.Timestamp(AS_OF) - pd.to_timedelta(days, unit="D")).astype("datetime64[us]"),
            "amount_cents": 100 + item,
        }
    ).drop_duplicates(["order_id", "category"])


def described(purchases: Purchases, at: datetime, **how: object):
    windows = {"horizon_days": HORIZON, "lookback_days": LOOKBACK}
    known = situation(purchases, at, **windows, **how)
    return standing(purchases, known, at, **windows)


@pytest.fixture(scope="module")
def by_hand():
    lines = pd.DataFrame([
        line("a", "1", "milk", 20), line("a", "2", "milk", 10), line("a", "2", "tea", 10, 500),
        line("a", "3", "milk", 4), line("b", "4", "tea", 50, 300), line("b", "5", "rice", 2),
    ])  # fmt: skip
    return described(encode_purchases(lines.astype({"event_time": "datetime64[us]"})), AS_OF)


def test_what_a_household_did_with_a_category_by_hand(by_hand) -> None:
    # Columns are milk, rice, tea; the entries in order: a milk, a tea, b rice, b tea.
    held = by_hand.held
    assert held.count.tolist() == [3, 1, 1, 1]
    assert held.last == pytest.approx([4, 10, 2, 50])
    assert held.first == pytest.approx([20, 10, 2, 50])
    assert held.in_last.tolist() == [1, 0, 1, 0]
    assert held.in_last_five.tolist() == [3, 1, 1, 1]
    assert held.by_order == pytest.approx([1 + 0.9 + 0.81, 0.9, 1, 0.9])
    half = HORIZON * HALF_LIVES[2]
    assert held.decayed[2] == pytest.approx(
        [sum(2 ** (-x / half) for x in (20, 10, 4)), *2 ** (-np.array([10, 2, 50]) / half)]
    )
    # TIFU-KNN: one group of the three and of the two baskets, .9 for each newer one, mean over the group.
    assert held.tifu == pytest.approx([(1 + 0.9 + 0.81) / 3, 0.9 / 3, 1 / 2, 0.9 / 2])
    assert np.expm1(by_hand.households[:, 1]) == pytest.approx([3, 2])
    assert np.expm1(by_hand.households[:, 3]) == pytest.approx([4, 2])


def test_an_unknown_category_counts_as_long_ago(by_hand) -> None:
    x = held_features(by_hand, np.array([0]), (np.array([0, 0]), np.array([0, 1])))
    n = len(HALF_LIVES)
    assert np.expm1(x[:, n]) == pytest.approx([3, 0])
    assert np.expm1(x[:, n + 2]) == pytest.approx([4, LOOKBACK], rel=1e-5)
    assert np.isfinite(x).all()


def test_candidates_are_new_or_known_as_asked(by_hand) -> None:
    rows = np.array([0, 1])
    owned = by_hand.known.owned.toarray() > 0
    position, item = new_candidates(by_hand, rows, 10)
    assert not owned[position, item].any()
    position, item = held_candidates(by_hand, rows)
    assert owned[position, item].all()
    assert len(item) == owned.sum() <= N_HELD * 2
    (position, item), x = candidates("repeat", by_hand, rows)
    assert len(x) == len(item) == len(set(zip(position, item, strict=True))) == owned.size


@pytest.fixture(scope="module")
def purchases() -> Purchases:
    return encode_purchases(shop(1))


def test_components_are_the_same_for_any_part_of_the_households(purchases: Purchases) -> None:
    state = described(purchases, AS_OF)
    some = np.array([3, 200, 451])
    part, whole = neighbour_scores(state, some), neighbour_scores(state, np.arange(len(state.known.rows)))
    for name, scores in whole.items():
        assert part[name] == pytest.approx(scores[some], abs=1e-9), name
        assert np.isfinite(scores).all(), name


def test_nobody_is_his_own_neighbour() -> None:
    lines = pd.DataFrame([line("a", "1", "x", 5), line("b", "2", "y", 5), line("b", "2", "z", 5)])
    state = described(encode_purchases(lines.astype({"event_time": "datetime64[us]"})), AS_OF)
    scores = neighbour_scores(state, np.array([0, 1]))
    assert scores["user_knn"][0, 0] == scores["tifu_neighbours"][0, 0] == 0
    assert scores["tifu_neighbours"][0, 1] > 0


def lessons(purchases: Purchases, *ats: datetime) -> list[Lesson]:
    found = []
    for at in ats:
        state = described(purchases, at)
        found.append(Lesson(state, run_trial(purchases, state.known, at, HORIZON, 0).taken))
    return found


@pytest.fixture(scope="module")
def past(purchases: Purchases) -> list[Lesson]:
    return lessons(purchases, *(AS_OF - timedelta(days=days) for days in (60, 90, 120)))


def test_the_ranker_finds_tastes_and_ranks_only_what_is_new(purchases: Purchases, past: list[Lesson]) -> None:
    ranker = learn_ranker("explore", past, 0, n_trees=20)
    assert ranker is not None
    at = AS_OF - timedelta(days=HORIZON)
    state = described(purchases, at)
    truth = run_trial(purchases, state.known, at, HORIZON, 0).taken.toarray()
    rows = np.arange(len(truth))
    scores = ranker.log_scores(state, rows)
    assert not np.isfinite(scores[state.known.owned.toarray() > 0]).any()
    ours, popular = (
        np.nanmean(gains(values, truth)[0]) for values in (scores, log_scores(state.known, "popularity", rows))
    )
    assert ours > popular + 0.05


def test_a_sample_of_what_was_not_bought_keeps_the_level(past: list[Lesson]) -> None:
    some, whole = (learn_ranker("explore", past, 0, max_rows=n, n_trees=10) for n in (20_000, 10**9))
    assert some is not None
    assert whole is not None
    assert some.offset < whole.offset == 0
    rows = np.arange(len(past[0].state.known.rows))
    one, other = (1 / (1 + np.exp(-r.log_scores(past[0].state, rows))) for r in (some, whole))
    assert one.sum() == pytest.approx(other.sum(), rel=0.1)


def test_too_little_to_learn_from_is_no_ranker(purchases: Purchases) -> None:
    few = encode_purchases(shop(2, n_households=40))
    assert learn_ranker("explore", lessons(few, AS_OF - timedelta(days=60)), 0) is None


def test_repeats_are_ranked_among_all_without_neighbours_too(purchases: Purchases) -> None:
    at = AS_OF - timedelta(days=60)
    narrow = described(purchases, at, ridge=None)
    assert narrow.similar.size == narrow.counts.size == 0
    (position, item), x = candidates("repeat", narrow, np.arange(5))
    assert (narrow.known.owned[:5].toarray()[position, item] > 0).all()
    assert np.isfinite(x).all()


def test_nothing_from_the_future_is_in_any_fact(purchases: Purchases) -> None:
    at = AS_OF - timedelta(days=60)
    late = shop(1)
    late.loc[late["event_time"] >= at, "amount_cents"] = 10**8
    after = late["event_time"] >= at
    late.loc[after, "event_time"] = pd.Timestamp(at) + (late.loc[after, "event_time"] - pd.Timestamp(at)) / 2
    one, other = described(purchases, at), described(encode_purchases(late), at)
    assert np.array_equal(one.items, other.items)
    assert np.array_equal(one.households, other.households)
    assert np.array_equal(one.held.decayed, other.held.decayed)
    assert METHODS[0] == "popularity"
