"""The simulator's truth is true: what it says about churn, rules and the campaign is what its worlds do."""

from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from data.demo import RAW_SCHEMAS
from data.simulator import MIN_DAYS, RULES, START, WINDOW_DAYS, World, simulate

HORIZON_DAYS = 28


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(seed=11)


@pytest.fixture(scope="module")
def large_world() -> World:
    return simulate(seed=12, n_customers=20_000)


def spend(world: World, starts_at: datetime, days: int) -> pd.Series:
    """Spend per customer in a window, zero for who bought nothing."""
    lines = world.tables["transactions"].select(["customer_id", "event_time", "amount_cents"]).to_pandas()
    inside = lines[(lines["event_time"] >= starts_at) & (lines["event_time"] < starts_at + timedelta(days=days))]
    sums = inside.groupby("customer_id")["amount_cents"].sum()
    return sums.reindex(world.truth.customers["customer_id"].to_pandas(), fill_value=0)


def mean_difference(world: World, shift_days: int = 0) -> float:
    """Mean spend of the mailed minus that of the other candidates, in the window or ``shift_days`` before it."""
    campaign = world.truth.campaign
    arms = campaign.candidates.to_pandas().set_index("customer_id")["arm"]
    outcome = spend(world, campaign.starts_at - timedelta(days=shift_days), campaign.window_days).reindex(arms.index)
    return float(outcome[arms == "mail"].mean() - outcome[arms == "control"].mean())


def outcomes(world: World, as_of: datetime, horizon_days: int) -> pd.DataFrame:
    """True probability and what happened, for everybody known at ``as_of``."""
    frame = world.truth.churn_probability(as_of, horizon_days).to_pandas()
    orders = world.truth.orders.to_pandas()
    until = as_of + timedelta(days=horizon_days)
    later = orders.loc[(orders["event_time"] >= as_of) & (orders["event_time"] < until), "customer_id"]
    return frame.assign(has_churned=~frame["customer_id"].isin(later))


def category_table(world: World) -> pd.DataFrame:
    """Orders by categories, True where the category is in the basket."""
    lines = world.tables["transactions"].select(["order_id", "product_id"]).to_pandas()
    products = world.tables["products"].to_pandas().set_index("product_id")["category"]
    order, _ = pd.factorize(lines["order_id"])
    category, names = pd.factorize(lines["product_id"].map(products))
    baskets = np.zeros((order.max() + 1, len(names)), dtype=bool)
    baskets[order, category] = True
    return pd.DataFrame(baskets, columns=names)


def test_tables_have_the_columns_and_types_of_the_raw_tables(world: World) -> None:
    assert set(world.tables) == set(RAW_SCHEMAS)
    for name, table in world.tables.items():
        assert table.schema == RAW_SCHEMAS[name]
        table.validate(full=True)


def test_keys_are_unique_and_references_hold(world: World) -> None:
    tables = world.tables
    keys = {
        "customers": ["customer_id"],
        "products": ["product_id"],
        "transactions": ["order_id", "product_id"],
        "campaigns": ["campaign_id"],
        "contacts": ["campaign_id", "customer_id"],
    }
    for name, key in keys.items():
        assert tables[name].group_by(key).aggregate([]).num_rows == tables[name].num_rows
        assert all(tables[name][column].null_count == 0 for column in key)
    for child in ("transactions", "contacts"):
        parents = tables["customers"]["customer_id"]
        assert pc.all(pc.is_in(tables[child]["customer_id"], value_set=parents)).as_py()
    products = tables["products"]["product_id"]
    assert pc.all(pc.is_in(tables["transactions"]["product_id"], value_set=products)).as_py()


def test_lines_are_plausible(world: World) -> None:
    lines = world.tables["transactions"].to_pandas()
    assert lines["event_time"].is_monotonic_increasing
    assert lines["event_time"].between(START, world.truth.as_of, inclusive="left").all()
    assert (lines["amount_cents"] > 0).all()
    assert (lines["quantity"] >= 1).all()
    assert (lines["discount_cents"] >= 0).all()
    assert lines["known_at"].equals(lines["event_time"])
    one_customer = lines.groupby("order_id")[["customer_id", "event_time", "channel"]].nunique()
    assert (one_customer == 1).all(axis=None)


def test_customers_are_first_seen_on_the_day_of_their_first_order(world: World) -> None:
    lines = world.tables["transactions"].to_pandas()
    first = lines.groupby("customer_id")["event_time"].min().dt.date
    seen = world.tables["customers"].to_pandas().set_index("customer_id")["first_seen_on"]
    pd.testing.assert_series_equal(first, seen, check_names=False, check_dtype=False)


@pytest.mark.parametrize("is_randomised", [True, False])
def test_a_seed_gives_the_same_bytes(is_randomised: bool) -> None:
    def content(seed: int) -> dict[str, bytes]:
        world = simulate(seed, n_customers=300, n_days=150, is_randomised=is_randomised)
        tables = {**world.tables, "truth": world.truth.customers, "candidates": world.truth.campaign.candidates}
        return {name: serialised(table) for name, table in tables.items()}

    first = content(5)
    assert first == content(5)
    assert all(content(6)[name] != first[name] for name in ("customers", "transactions", "contacts", "truth"))


def serialised(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()


def test_a_world_cannot_be_changed(world: World) -> None:
    with pytest.raises(FrozenInstanceError):
        world.truth.as_of = START  # type: ignore[misc]


@pytest.mark.parametrize(
    ("n_customers", "n_days", "effect_cents"), [(49, 365, 0.0), (100, MIN_DAYS - 1, 0.0), (100, 365, -1.0)]
)
def test_impossible_worlds_are_refused(n_customers: int, n_days: int, effect_cents: float) -> None:
    with pytest.raises(ValueError, match="a world needs"):
        simulate(1, n_customers, n_days, effect_cents)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    n_customers=st.integers(50, 200),
    n_days=st.integers(MIN_DAYS, 400),
    effect_cents=st.floats(0, 2_000),
    is_randomised=st.booleans(),
)
def test_every_world_is_whole(
    seed: int, n_customers: int, n_days: int, effect_cents: float, is_randomised: bool
) -> None:
    world = simulate(seed, n_customers, n_days, effect_cents, is_randomised=is_randomised)
    assert world.tables["customers"].num_rows == n_customers == world.truth.customers.num_rows
    assert world.truth.campaign.effect_cents == pytest.approx(effect_cents, rel=1e-9, abs=1e-9)
    assert world.truth.campaign.starts_at + timedelta(days=WINDOW_DAYS) <= world.truth.as_of
    ends = world.truth.churn_probability(world.truth.as_of, HORIZON_DAYS)
    assert ends.num_rows == n_customers
    assert pc.min(ends["churn_probability"]).as_py() >= 0
    assert pc.max(ends["churn_probability"]).as_py() <= 1


@pytest.mark.parametrize("days_before_end", [28, 60, 120])
@pytest.mark.parametrize("seed", [1, 2])
def test_true_churn_probability_is_calibrated(seed: int, days_before_end: int) -> None:
    world = simulate(seed, n_customers=10_000)
    frame = outcomes(world, world.truth.as_of - timedelta(days=days_before_end), HORIZON_DAYS)
    p = frame["churn_probability"]
    for _, part in frame.groupby(pd.qcut(p, 10, duplicates="drop"), observed=True):
        variance = (part["churn_probability"] * (1 - part["churn_probability"])).sum()
        surplus = part["has_churned"].sum() - part["churn_probability"].sum()
        assert abs(surplus) < 4.5 * np.sqrt(variance) + 1
    z = (frame["has_churned"] - p).sum() / np.sqrt((p * (1 - p)).sum())
    assert abs(z) < 4


def test_no_calibration_error_remains_over_many_worlds() -> None:
    z_values = []
    for seed in range(20):
        world = simulate(seed, n_customers=2_000)
        frame = outcomes(world, world.truth.as_of - timedelta(days=HORIZON_DAYS), HORIZON_DAYS)
        p = frame["churn_probability"]
        z_values.append((frame["has_churned"] - p).sum() / np.sqrt((p * (1 - p)).sum()))
    assert abs(np.sum(z_values)) / np.sqrt(len(z_values)) < 3.5
    assert 0.5 < np.std(z_values) < 1.6


def test_churn_probability_knows_nothing_after_as_of(world: World) -> None:
    as_of = START + timedelta(days=200)
    before = world.truth.churn_probability(as_of, HORIZON_DAYS)
    kept = world.truth.orders.filter(pc.less(world.truth.orders["event_time"], pa.scalar(as_of, pa.timestamp("us"))))
    blind = type(world.truth)(world.truth.as_of, world.truth.customers, kept, RULES, world.truth.campaign)
    assert blind.churn_probability(as_of, HORIZON_DAYS).equals(before)
    assert before.num_rows == pc.count_distinct(kept["customer_id"]).as_py() < world.truth.customers.num_rows


def test_churn_probability_falls_with_the_horizon_and_rises_with_silence(world: World) -> None:
    as_of = START + timedelta(days=200)
    short, long = (world.truth.churn_probability(as_of, days)["churn_probability"].to_numpy() for days in (14, 56))
    assert (long <= short).all()
    assert world.truth.churn_probability(as_of, 0)["churn_probability"].to_pylist() == [1.0] * len(short)
    one = world.truth.customers.slice(0, 1)
    orders = pa.table({"customer_id": one["customer_id"], "event_time": one["born_at"]})
    alone = type(world.truth)(world.truth.as_of, one, orders, RULES, world.truth.campaign)
    risks = [
        alone.churn_probability(START + timedelta(days=day), 28)["churn_probability"][0].as_py() for day in (5, 50)
    ]
    assert risks[0] < risks[1]


def test_alive_probability_is_the_share_still_there(large_world: World) -> None:
    as_of = START + timedelta(days=300)
    frame = large_world.truth.churn_probability(as_of, HORIZON_DAYS).to_pandas()
    left_at = large_world.truth.customers.to_pandas().set_index("customer_id")["left_at"]
    is_alive = frame["customer_id"].map(left_at) > pd.Timestamp(as_of)
    p = frame["alive_probability"]
    assert abs((is_alive - p).sum()) < 4 * np.sqrt((p * (1 - p)).sum())


def test_order_rates_and_lifetimes_follow_their_laws(large_world: World) -> None:
    truth = large_world.truth.customers.to_pandas()
    assert truth["orders_per_day"].mean() == pytest.approx(1 / 14, rel=0.05)
    assert truth["hazard_per_day"].mean() == pytest.approx(1 / 300, rel=0.05)
    lived = (truth["left_at"] - truth["born_at"]) / pd.Timedelta(days=1)
    unit = (lived * truth["hazard_per_day"])[lived < 72_000]
    assert stats.kstest(unit, "expon").pvalue > 1e-4
    exposed = (truth["left_at"].clip(upper=large_world.truth.as_of) - truth["born_at"]) / pd.Timedelta(days=1)
    expected = (1 + exposed * truth["orders_per_day"]).sum()
    assert abs(large_world.truth.orders.num_rows - expected) < 4 * np.sqrt(expected)


def test_planted_lifts_are_recovered_and_nothing_else_is_there(large_world: World) -> None:
    baskets = category_table(large_world)
    n = len(baskets)
    share = baskets.mean()
    planted = {frozenset((rule.antecedent, rule.consequent)): rule.lift for rule in large_world.truth.rules}
    names = sorted(set(baskets.columns) - {"bags"})
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            lift = planted.get(frozenset((first, second)), 1.0)
            expected = lift * share[first] * share[second]
            observed = (baskets[first] & baskets[second]).mean()
            assert abs(observed - expected) < 4.5 * np.sqrt(expected * (1 - expected) / n), (first, second)
    assert share["bags"] == 1
    for rule in RULES:
        assert rule.lift > 1


def test_lot_gives_every_candidate_a_known_even_chance(world: World) -> None:
    contacts = world.tables["contacts"].to_pandas()
    assert set(contacts["arm"]) == {"mail", "control"}
    assert (contacts["propensity"] == 0.5).all()
    assert abs((contacts["arm"] == "mail").mean() - 0.5) < 4 * 0.5 / np.sqrt(len(contacts))
    assert (contacts["assigned_at"] == world.truth.campaign.starts_at).all()
    assert (contacts["contacted_at"].notna() == (contacts["arm"] == "mail")).all()
    candidates = world.truth.campaign.candidates.to_pandas()
    assert contacts["customer_id"].tolist() == candidates["customer_id"].tolist()
    born_at = world.truth.customers.to_pandas().set_index("customer_id")["born_at"]
    assert (candidates["customer_id"].map(born_at) < world.truth.campaign.starts_at).all()
    campaign = world.tables["campaigns"].to_pylist()[0]
    assert campaign["is_randomised"] is True
    assert (campaign["ends_on"] - campaign["starts_on"]).days == WINDOW_DAYS - 1
    assert campaign["starts_on"] == world.truth.campaign.starts_at.date()


def test_choice_lists_the_mailed_only_and_hides_why() -> None:
    world = simulate(seed=3, n_customers=2_000, is_randomised=False)
    contacts = world.tables["contacts"].to_pandas()
    assert set(contacts["arm"]) == {"mail"}
    assert contacts["propensity"].isna().all()
    candidates = world.truth.campaign.candidates.to_pandas()
    assert set(contacts["customer_id"]) == set(candidates.loc[candidates["arm"] == "mail", "customer_id"])
    assert candidates["propensity"].between(0.1, 0.9 + 1e-9).all()
    mailed = (candidates["arm"] == "mail").groupby(pd.qcut(candidates["propensity"], 5)).mean()
    assert mailed.is_monotonic_increasing
    assert world.tables["campaigns"]["is_randomised"].to_pylist() == [False]


@pytest.mark.parametrize("effect_cents", [0.0, 500.0])
def test_difference_in_means_is_unbiased_under_the_lot(effect_cents: float) -> None:
    differences = [mean_difference(simulate(seed, 1_500, 200, effect_cents)) for seed in range(40)]
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    assert abs(np.mean(differences) - effect_cents) < 3.5 * error
    assert error < 75, "the test could see an error of two euros"


def test_difference_in_means_is_confounded_by_choice() -> None:
    worlds = [simulate(seed, 1_500, 200, 300.0, is_randomised=False) for seed in range(10)]
    after = np.mean([mean_difference(world) for world in worlds])
    before = np.mean([mean_difference(world, shift_days=WINDOW_DAYS) for world in worlds])
    assert all(world.truth.campaign.effect_cents == pytest.approx(300) for world in worlds)
    assert after > 1_500, "the naive difference claims many times the truth"
    assert before > 1_500, "and the same difference was there before"


def test_weighting_by_the_true_propensity_repairs_the_choice() -> None:
    errors = []
    for seed in range(30):
        world = simulate(seed, 1_500, 200, 300.0, is_randomised=False)
        candidates = world.truth.campaign.candidates.to_pandas().set_index("customer_id")
        outcome = spend(world, world.truth.campaign.starts_at, WINDOW_DAYS).reindex(candidates.index)
        is_mailed = candidates["arm"] == "mail"
        odds = candidates["propensity"] / (1 - candidates["propensity"])
        control = np.average(outcome[~is_mailed], weights=odds[~is_mailed])
        errors.append(outcome[is_mailed].mean() - control - 300.0)
    assert abs(np.mean(errors)) < 3.5 * np.std(errors, ddof=1) / np.sqrt(len(errors))


def test_the_campaign_moves_money_only(world: World) -> None:
    without = simulate(seed=11, effect_cents=0.0)
    assert without.truth.orders.equals(world.truth.orders)
    same = [name for name in RAW_SCHEMAS["transactions"].names if name != "amount_cents"]
    assert without.tables["transactions"].select(same).equals(world.tables["transactions"].select(same))
    campaign = world.truth.campaign
    added = spend(world, START, 10_000) - spend(without, START, 10_000)
    candidates = campaign.candidates.to_pandas().set_index("customer_id")
    mailed = candidates.index[candidates["arm"] == "mail"]
    assert added.drop(mailed).eq(0).all()
    assert added[mailed].mean() == pytest.approx(campaign.realised_effect_cents)
    inside = spend(world, campaign.starts_at, WINDOW_DAYS) - spend(without, campaign.starts_at, WINDOW_DAYS)
    assert inside.equals(added)
    assert without.truth.campaign.realised_effect_cents == 0


def test_each_letter_works_as_its_own_effect_says() -> None:
    world = simulate(seed=4, n_customers=20_000, n_days=200)
    without = simulate(seed=4, n_customers=20_000, n_days=200, effect_cents=0.0)
    candidates = world.truth.campaign.candidates.to_pandas().set_index("customer_id")
    mailed = candidates[candidates["arm"] == "mail"]
    added = (spend(world, START, 10_000) - spend(without, START, 10_000)).reindex(mailed.index)
    assert added[mailed["effect_cents"] == 0].eq(0).all(), "who has left gets a letter for nothing"
    regular = mailed[mailed["effect_cents"] > 50]
    for _, part in regular.groupby(pd.qcut(regular["effect_cents"], 5)):
        surplus = added[part.index] - part["effect_cents"]
        assert abs(surplus.mean()) < 4 * surplus.std() / np.sqrt(len(part))
