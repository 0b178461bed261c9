"""Rules: mlxtend's measures, exact tests, corrections, intervals that cover, hurdles that are counted."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import association_rules, fpgrowth
from scipy import stats

from models.basket import encode_baskets, frequent_itemsets
from models.rule_measures import MEASURES, association_measures, benjamini_hochberg, fisher_p, lift_interval
from models.rules import COLUMNS, mine_rules

AS_OF = datetime.fromisoformat("2018-01-01T05:00")
CONFIRM_FROM = datetime.fromisoformat("2017-10-01")


def shop(
    seed: int, n_orders: int = 6_000, n_items: int = 20, *, planted: float = 0.0, until: float = 1.0
) -> pd.DataFrame:
    """Noise with baskets of very different size; `planted` of the orders, up to `until` of the year, hold 3 and 9."""
    rng = np.random.default_rng(seed)
    odds = np.exp(np.linspace(-3.5, 0, n_items))[None] * rng.lognormal(0, 1.0, n_orders)[:, None]
    held = rng.random((n_orders, n_items)) < odds / (1 + odds)
    together = (rng.random(n_orders) < planted) & (np.arange(n_orders) < until * n_orders)
    held[np.ix_(together, [3, 9])] = True
    order, item = np.nonzero(held)
    times = pd.Timestamp("2017-01-01") + pd.to_timedelta(order * 364 * 24 * 60 // n_orders, unit="min")
    return pd.DataFrame(
        {
            "order_id": [f"o{i:06}" for i in order],
            "customer_id": [f"c{i % 500:03}" for i in order],
            "category": [f"item {j:02}" for j in item],
            "event_time": times.astype("datetime64[us]"),
        }
    )


def mined(lines: pd.DataFrame, **options: float):
    return mine_rules(
        encode_baskets(lines), AS_OF, CONFIRM_FROM, **{"min_support": 0.005, "min_confidence": 0.05, **options}
    )


@pytest.fixture(scope="module")
def planted():
    return mined(shop(1, planted=0.04))


def test_the_planted_rule_is_confirmed_in_both_directions(planted) -> None:
    rules, report = planted
    confirmed = rules[rules["is_confirmed"]]
    assert {tuple(pair) for pair in confirmed[["antecedents", "consequents"]].to_numpy()} == {
        ("item 03", "item 09"),
        ("item 09", "item 03"),
    }
    assert report.n_confirmed == 2
    assert (confirmed[["adjusted_lift", "confirmed_adjusted_lift", "confirmed_lift"]] > 1).all(axis=None)
    assert (confirmed["lift_low"] < confirmed["lift"]).all()
    assert (confirmed["lift"] < confirmed["lift_high"]).all()


def test_basket_size_alone_fools_fisher_but_not_the_adjusted_test(planted) -> None:
    rules, report = planted
    assert report.n_fisher > 0.5 * report.n_candidates
    assert report.n_significant <= 4
    assert rules.loc[~rules["is_significant"], "adjusted_lift"].median() == pytest.approx(1, abs=0.05)


def test_hurdles_only_ever_take_away(planted) -> None:
    rules, report = planted
    assert report.n_candidates == len(rules)
    assert report.n_candidates >= report.n_fisher >= report.n_significant >= report.n_confirmed
    assert (rules["is_significant"] | ~rules["is_confirmed"]).all()
    assert rules.loc[~rules["is_significant"], "confirmed_p_value"].isna().all()
    assert rules.loc[rules["is_significant"], "confirmed_p_value"].notna().all()
    assert str(report).startswith(f"2 of {len(rules):,} candidate rules survived")


def test_the_number_of_hypotheses_is_that_of_pairs_of_frequent_categories(planted) -> None:
    lines = shop(1, planted=0.04)
    early = lines[lines["event_time"] < CONFIRM_FROM]
    share = early.groupby("category")["order_id"].nunique() / early["order_id"].nunique()
    n_frequent = int((share >= 0.005).sum())
    assert planted[1].n_hypotheses == n_frequent * (n_frequent - 1) // 2
    assert planted[1].n_orders == early["order_id"].nunique()


def test_a_rule_that_stopped_is_not_confirmed() -> None:
    rules, report = mined(shop(1, planted=0.04, until=0.7))
    pair = rules[(rules["antecedents"] == "item 03") & (rules["consequents"] == "item 09")].iloc[0]
    assert pair["is_significant"]
    assert not pair["is_confirmed"]
    assert report.n_confirmed == 0


def test_without_later_orders_nothing_is_confirmed() -> None:
    rules, report = mine_rules(encode_baskets(shop(1, planted=0.04)), AS_OF, AS_OF, min_support=0.005)
    assert report.n_later_orders == 0
    assert report.n_significant > 0
    assert not rules["is_confirmed"].any()


def test_nothing_at_or_after_as_of_is_used() -> None:
    lines = shop(2, planted=0.04)
    cut = datetime.fromisoformat("2017-11-15")
    poisoned = lines.copy()
    poisoned.loc[poisoned["event_time"] >= cut, "category"] = "item 00"
    one, two = (mine_rules(encode_baskets(part), cut, CONFIRM_FROM, min_support=0.005)[0] for part in (lines, poisoned))
    pd.testing.assert_frame_equal(one, two)


def test_the_order_of_rows_changes_nothing(planted) -> None:
    rules, report = mined(shop(1, planted=0.04).sample(frac=1, random_state=3))
    pd.testing.assert_frame_equal(rules, planted[0])
    assert report == planted[1]


def test_columns_types_and_order_of_rows(planted) -> None:
    rules, _ = planted
    assert list(rules.columns) == COLUMNS
    assert rules["as_of"].dtype == "datetime64[us]"
    assert rules["is_confirmed"].dtype == rules["is_significant"].dtype == bool
    assert rules["n_orders"].dtype == np.int64
    assert rules["is_confirmed"].is_monotonic_decreasing
    for _, part in rules.groupby("is_confirmed"):
        assert part["adjusted_lift"].is_monotonic_decreasing


@pytest.mark.parametrize("lines", [shop(1).iloc[:0], shop(1).iloc[:1], shop(1).drop_duplicates("order_id")])
def test_data_without_pairs_give_an_empty_table_with_all_columns(lines: pd.DataFrame) -> None:
    rules, report = mined(lines)
    assert list(rules.columns) == COLUMNS
    assert rules.empty
    assert report.n_candidates == report.n_confirmed == 0


def test_measures_are_those_of_mlxtend() -> None:
    baskets = encode_baskets(shop(4, n_orders=800, n_items=10))
    frame = pd.DataFrame.sparse.from_spmatrix(baskets.matrix.astype(bool))
    theirs = association_rules(fpgrowth(frame, 0.0106), metric="support", min_threshold=0)
    ours = association_measures(frequent_itemsets(baskets, 0.0106, max_len=None))
    key = ["antecedents", "consequents"]
    theirs.columns = theirs.columns.str.replace(" ", "_")
    sort = {name: lambda column: column.map(lambda side: tuple(sorted(side))) for name in key}
    theirs, ours = (f.assign(**{n: sort[n](f[n]) for n in key}).sort_values(key) for f in (theirs, ours))
    pd.testing.assert_frame_equal(
        ours[[*key, *MEASURES]].reset_index(drop=True), theirs[[*key, *MEASURES]].reset_index(drop=True)
    )


def test_a_category_in_every_basket_raises_no_warning() -> None:
    lines = pd.concat([shop(5, n_orders=500), shop(5, n_orders=500).assign(category="bag")])
    rules, _ = mined(lines)
    assert rules.loc[rules["consequents"] == "bag", "certainty"].eq(0).all()
    assert rules.loc[rules["consequents"] == "bag", "lift"].to_numpy() == pytest.approx(1)
    assert not rules.loc[rules["consequents"] == "bag", "is_significant"].any()


def test_a_confidence_exactly_at_the_threshold_is_kept() -> None:
    """3 of 30 is 0.1, though 0.1 * 30 exceeds 3 in floats."""
    days = pd.Timestamp("2017-01-01")
    held = [["a", "b"]] * 3 + [["a"]] * 27 + [["b"]] * 10
    lines = pd.DataFrame(
        [(str(i), "c", item, days) for i, basket in enumerate(held) for item in basket],
        columns=["order_id", "customer_id", "category", "event_time"],
    )
    rules, _ = mined(lines, min_support=0.01, min_confidence=0.1)
    assert set(rules["antecedents"]) == {"a", "b"}


def test_fisher_equals_scipy_on_single_tables() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        table = rng.integers(0, 30, (2, 2))
        expected = stats.fisher_exact(table, alternative="greater").pvalue
        both, first, second, n = table[0, 0], table[0].sum(), table[:, 0].sum(), table.sum()
        assert fisher_p(np.array([both]), np.array([first]), np.array([second]), n)[0] == pytest.approx(expected)


def test_benjamini_hochberg_equals_scipy_and_counts_what_was_not_listed() -> None:
    p_value = np.random.default_rng(1).random(200) ** 3
    assert benjamini_hochberg(p_value, 200) == pytest.approx(stats.false_discovery_control(p_value))
    padded = np.concatenate([p_value, np.ones(300)])
    assert benjamini_hochberg(p_value, 500) == pytest.approx(stats.false_discovery_control(padded)[:200])
    assert benjamini_hochberg(np.array([]), 5).shape == (0,)


@pytest.mark.parametrize("lift", [0.5, 1.0, 2.5])
def test_the_lift_interval_covers(lift: float) -> None:
    rng = np.random.default_rng(int(lift * 10))
    n, first, second = 3_000, 0.12, 0.2
    both = lift * first * second
    cells = rng.multinomial(n, [both, first - both, second - both, 1 - first - second + both], size=4_000)
    low, high = lift_interval(cells[:, 0], cells[:, 0] + cells[:, 1], cells[:, 0] + cells[:, 2], n)
    assert ((low <= lift) & (lift <= high)).mean() == pytest.approx(0.95, abs=0.015)
