"""Offers: new to the household, calibrated, explained, judged against popularity on a later horizon."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from data.errors import TrainingError
from models.offer_reasons import Reasons
from models.offers import COLUMNS, plan_offers
from models.recommend import (
    adoption_rate,
    bought,
    ease_weights,
    encode_purchases,
    gains,
    log_scores,
    situation,
    top,
)
from models.rules import COLUMNS as RULE_COLUMNS
from models.trials import calibrate, run_trial, scorer, spend_per_taker, tune

AS_OF = datetime.fromisoformat("2018-01-01T05:00")
NO_RULES = pd.DataFrame(columns=RULE_COLUMNS).astype({"is_confirmed": bool})
HORIZON = 30


def shop(seed: int, *, n_households: int = 1_000, n_orders: int = 5, is_clustered: bool = True) -> pd.DataFrame:
    """Households of four tastes, each with ten categories of its own, and some noise; or of no taste at all."""
    rng = np.random.default_rng(seed)
    order = np.arange(n_households * n_orders)
    household = order // n_orders
    when = pd.Timestamp("2017-01-01") + pd.to_timedelta(rng.integers(0, 364 * 24 * 60, len(order)), unit="min")
    wide = np.repeat(order, 3)
    own = (household[wide] % 4) * 10 + rng.integers(0, 10, len(wide))
    anything = np.minimum(rng.geometric(0.05, len(wide)) - 1, 39)
    item = np.where(is_clustered & (rng.random(len(wide)) < 0.8), own, anything)
    return pd.DataFrame(
        {
            "order_id": [f"o{i:06}" for i in wide],
            "customer_id": [f"c{i:04}" for i in household[wide]],
            "category": [f"item {j:02}" for j in item],
            "event_time": when[wide].astype("datetime64[us]"),
            "amount_cents": rng.integers(100, 900, len(wide)),
        }
    )


def rule(left: str, right: str, strength: float, *, is_confirmed: bool = True) -> dict[str, object]:
    return {
        "antecedents": left,
        "consequents": right,
        "confidence": 0.31,
        "adjusted_lift": strength,
        "is_confirmed": is_confirmed,
    }


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    return shop(1)


@pytest.fixture(scope="module")
def planned(lines: pd.DataFrame):
    rules = pd.DataFrame([rule("item 01", "item 02", 1.8), rule("item 03", "item 02", 1.2)])
    return plan_offers(lines, rules, AS_OF, horizon_days=HORIZON, margin_share=0.25)


def test_offers_are_new_to_the_household(lines: pd.DataFrame, planned) -> None:
    offers, _ = planned
    owned = set(zip(lines["customer_id"], lines["category"], strict=True))
    assert not owned & set(zip(offers["customer_id"], offers["category"], strict=True))


def test_every_household_has_five_ranked_offers(lines: pd.DataFrame, planned) -> None:
    offers, _ = planned
    assert list(offers.columns) == COLUMNS
    assert set(offers["customer_id"]) == set(lines["customer_id"])
    assert offers.groupby("customer_id")["rank"].apply(list).map(lambda ranks: ranks == [1, 2, 3, 4, 5]).all()
    assert offers["acceptance_probability"].between(0, 1).all()
    assert offers["expected_margin_cents"].dtype == np.int64
    assert offers["as_of"].dtype == "datetime64[us]"
    assert not offers.isna().any(axis=None)


def test_tastes_are_found_and_beat_popularity(planned) -> None:
    offers, report = planned
    household = offers["customer_id"].str[1:].astype(int) % 4
    of_own_taste = offers["category"].str[5:].astype(int) // 10 == household
    assert of_own_taste[offers["rank"] == 1].mean() > 0.8
    assert report.method in {"ease", "stacked"}
    assert report.decision.decision == "promoted"
    gap = report.differences[report.method]
    assert gap.low > 0
    assert report.ndcg[report.method].value - report.ndcg["popularity"].value == pytest.approx(gap.value)


def test_chances_are_calibrated_on_the_judged_horizon(planned) -> None:
    _, report = planned
    assert report.n_expected == pytest.approx(report.n_accepted, rel=0.2)
    assert report.hit_share.low < report.hit_share.value < report.hit_share.high
    assert f"{report.n_accepted:,} offers bought" in str(report)


def test_without_tastes_popularity_ranks() -> None:
    offers, report = plan_offers(shop(2, is_clustered=False), NO_RULES, AS_OF, horizon_days=HORIZON, margin_share=0.25)
    assert report.decision.decision == "refused"
    assert report.method == "popularity"
    assert offers["acceptance_probability"].between(0, 1).all()


def test_nothing_at_or_after_as_of_is_used(lines: pd.DataFrame) -> None:
    cut = datetime.fromisoformat("2017-11-15")
    poisoned = lines.copy()
    late = poisoned["event_time"] >= cut
    poisoned.loc[late, "category"] = "item 00"
    poisoned.loc[late, "amount_cents"] = 10**9
    one, two = (plan_offers(part, NO_RULES, cut, horizon_days=20, margin_share=0.2)[0] for part in (lines, poisoned))
    pd.testing.assert_frame_equal(one, two)


def test_the_order_of_rows_changes_nothing(lines: pd.DataFrame, planned) -> None:
    rules = pd.DataFrame([rule("item 03", "item 02", 1.2), rule("item 01", "item 02", 1.8)])
    shuffled = lines.sample(frac=1, random_state=4)
    offers, report = plan_offers(shuffled, rules, AS_OF, horizon_days=HORIZON, margin_share=0.25)
    pd.testing.assert_frame_equal(offers, planned[0])
    assert report.ndcg == planned[1].ndcg


def test_what_is_not_offered_is_no_offer(lines: pd.DataFrame, planned) -> None:
    banned = planned[0]["category"].value_counts().index[0]
    offers, _ = plan_offers(
        lines, NO_RULES, AS_OF, horizon_days=HORIZON, margin_share=0.25, not_offered=[banned], n_offers=3
    )
    assert banned not in set(offers["category"])
    assert offers["rank"].max() == 3


def test_a_short_memory_offers_forgotten_categories(lines: pd.DataFrame) -> None:
    offers, _ = plan_offers(lines, NO_RULES, AS_OF, horizon_days=HORIZON, margin_share=0.25, lookback_days=90)
    recent = lines[lines["event_time"] >= AS_OF - timedelta(days=90)]
    offered = set(zip(offers["customer_id"], offers["category"], strict=True))
    assert not offered & set(zip(recent["customer_id"], recent["category"], strict=True))
    assert offered & set(zip(lines["customer_id"], lines["category"], strict=True))
    assert set(offers["customer_id"]) == set(recent["customer_id"])


def test_twice_the_margin_is_twice_the_cents(lines: pd.DataFrame, planned) -> None:
    twice, _ = plan_offers(lines, NO_RULES, AS_OF, horizon_days=HORIZON, margin_share=0.5)
    assert (twice["expected_margin_cents"] - 2 * planned[0]["expected_margin_cents"]).abs().max() <= 1


def test_reasons_name_the_rule_or_the_nearest_purchase(planned) -> None:
    offers, _ = planned
    ruled = offers[offers["reason"].str.contains("confirmed on later orders")]
    assert set(ruled["category"]) == {"item 02"}
    assert ruled["reason"].str.startswith(("buys item 01: 31% of baskets", "buys item 03: 31% of baskets")).all()
    others = offers[~offers.index.isin(ruled.index)]
    assert others["reason"].str.contains("as do households that buy|of households buy").all()


def test_too_short_a_history_is_a_user_error(lines: pd.DataFrame) -> None:
    late = lines[lines["event_time"] >= AS_OF - timedelta(days=10)]
    with pytest.raises(TrainingError, match="no household took up a category"):
        plan_offers(late, NO_RULES, AS_OF, horizon_days=HORIZON, margin_share=0.25)


def test_anonymous_and_unlabelled_rows_drop_out(lines: pd.DataFrame) -> None:
    with_holes = lines.copy()
    with_holes.loc[0, "customer_id"] = None
    with_holes.loc[1, "category"] = None
    purchases = encode_purchases(with_holes)
    assert purchases.n_dropped_rows == 2
    assert len(purchases.cents) == len(lines) - 2


def test_ease_equals_one_ridge_regression_per_category() -> None:
    """Column j of EASE is the ridge regression of category j on all others (Steck 2019)."""
    owned = (np.random.default_rng(0).random((60, 5)) < 0.4).astype(float)
    weights = ease_weights(sparse.csr_array(owned), 2.0)
    for j in range(5):
        others = np.delete(np.arange(5), j)
        x = owned[:, others]
        expected = np.linalg.solve(x.T @ x + 2.0 * np.eye(4), x.T @ owned[:, j])
        assert weights[others, j] == pytest.approx(expected)
        assert weights[j, j] == 0


def test_adoption_counts_first_purchases_of_known_households() -> None:
    before = sparse.csr_array(np.array([[1, 0], [1, 0], [0, 0]], dtype=np.uint8))
    after = sparse.csr_array(np.array([[1, 1], [0, 0], [1, 1]], dtype=np.uint8))
    assert adoption_rate(before, after) == pytest.approx([0.5 / 5, 1.5 / 7])


def test_gains_by_hand() -> None:
    scores = np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0], [-np.inf, 3.0, 2.0, 1.0]])
    truth = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    ndcg, recall = gains(scores, truth, 2)
    ideal = 1 + 1 / np.log2(3)
    assert ndcg == pytest.approx([1 / np.log2(3) / ideal, np.nan, 1.0], nan_ok=True)
    assert recall == pytest.approx([0.5, np.nan, 1.0], nan_ok=True)
    assert top(np.array([[1.0, 1.0, 2.0]]), 3).tolist() == [[2, 0, 1]]


def test_more_places_than_categories_do_no_harm() -> None:
    ndcg, recall = gains(np.array([[2.0, 1.0]]), np.array([[1, 0]]), 10)
    assert ndcg.tolist() == recall.tolist() == [1.0]


def test_windows_are_half_open(lines: pd.DataFrame) -> None:
    purchases = encode_purchases(lines)
    instant = lines["event_time"].iloc[0].to_pydatetime()
    later = instant + timedelta(microseconds=1)
    assert bought(purchases, instant, instant).nnz == 0
    assert bought(purchases, instant, later).nnz >= 1


def test_a_taker_bought_after_the_instant_and_not_before(lines: pd.DataFrame) -> None:
    purchases = encode_purchases(lines)
    at = AS_OF - timedelta(days=HORIZON)
    known = situation(purchases, at, horizon_days=HORIZON, lookback_days=365)
    trial = run_trial(purchases, known, at, HORIZON, seed=0)
    assert trial.taken.multiply(known.owned).nnz == 0
    row, column = (axis[0] for axis in trial.taken.nonzero())
    mine = lines["customer_id"].eq(purchases.customers[known.rows[row]])
    mine &= lines["category"].eq(purchases.categories[column])
    assert (lines.loc[mine, "event_time"] >= at).all()


def test_spend_of_takers_by_hand_and_with_its_prior(lines: pd.DataFrame) -> None:
    purchases = encode_purchases(lines.assign(amount_cents=500))
    at = AS_OF - timedelta(days=HORIZON)
    known = situation(purchases, at, horizon_days=HORIZON, lookback_days=365)
    trial = run_trial(purchases, known, at, HORIZON, seed=0)
    spent = spend_per_taker(purchases, trial, at, HORIZON)
    rows = lines["event_time"].between(at, AS_OF, inclusive="left")
    bought_then = lines[rows].groupby(["customer_id", "category"]).size()
    assert spent.min() >= 500 - 1e-9
    assert spent.max() < 500 * bought_then.max()
    n_takers = np.asarray(trial.taken.sum(axis=0))
    overall = (spent * (n_takers + 5)).sum() / (n_takers.sum() + 5 * len(spent))
    never_taken = n_takers == 0
    assert spent[never_taken] == pytest.approx(np.full(never_taken.sum(), overall))


def test_tuning_picks_a_tried_ridge_and_chances_rise_with_the_score(lines: pd.DataFrame) -> None:
    purchases = encode_purchases(lines)
    at = AS_OF - timedelta(days=HORIZON)
    known = situation(purchases, at, horizon_days=HORIZON, lookback_days=365)
    trial = run_trial(purchases, known, at, HORIZON, seed=0)
    assert tune(trial) in (100.0, 300.0, 1_000.0, 3_000.0)
    model = calibrate(trial, scorer("ease", trial.known))
    scores = log_scores(known, "ease", trial.sample)
    low, high = np.quantile(scores[np.isfinite(scores)], [0.05, 0.999])
    chance = model.predict_proba([[low, 1.0], [high, 1.0]])[:, 1]
    assert chance[1] > 2 * chance[0]


def test_reasons_prefer_the_strongest_confirmed_rule_of_what_is_bought() -> None:
    names = np.array(["a", "b", "c", "d"], dtype=object)
    rules = pd.DataFrame(
        [rule("a", "d", 1.5), rule("b", "d", 2.5), rule("c", "d", 9.0, is_confirmed=False), rule("x", "d", 9.9)]
    )
    nearness = np.zeros((4, 4))
    nearness[2, 3] = 0.4
    reasons = Reasons.of(rules, names, nearness, np.array([0.1, 0.2, 0.3, 0.4]))
    owned = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    assert reasons.words(owned, np.full(4, 3)) == [
        "buys b: 31% of baskets with it also hold d (2.5 times what basket size explains, confirmed on later orders)",
        "buys a: 31% of baskets with it also hold d (1.5 times what basket size explains, confirmed on later orders)",
        "buys c, as do households that buy d",
        "40% of households buy d",
    ]
