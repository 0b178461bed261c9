"""Drift: planted changes are found from a size on, clean nights stay silent, and many customers alone prove nothing."""

import numpy as np
import pandas as pd
import pytest

from data.errors import TrainingError
from models.drift import ENOUGH_ROWS, MISSING, SIZE, Profile, drift, few, profiles

NAMES = [f"f{n}" for n in range(30)]


def customers(rng: np.random.Generator, n: int, as_of: int = 0, moved: float = 0.0) -> pd.DataFrame:
    """Return one date: features of several shapes, with nulls; ``moved`` is how far dates differ by themselves."""
    x = rng.normal(size=(n, len(NAMES))) + moved * rng.normal(size=len(NAMES))
    x[:, :10] = np.round(x[:, :10])
    x[:, 10:15] = x[:, 10:15] > 1
    x[rng.random(x.shape) < 0.02] = np.nan
    return pd.DataFrame(x, columns=NAMES).assign(customer_id=np.arange(n), as_of=as_of)


def past(rng: np.random.Generator, n: int, n_dates: int = 7, moved: float = 0.0) -> pd.DataFrame:
    return pd.concat([customers(rng, n, date, moved) for date in range(n_dates)], ignore_index=True)


@pytest.mark.parametrize(("n", "moved"), [(250, 0.0), (3000, 0.0), (250, 0.1), (1000, 0.2)])
def test_clean_nights_give_no_alarm_in_95_of_100(n: int, moved: float) -> None:
    """Catalogue row O3: clean nights, among them those whose dates differ by themselves."""
    n_nights = 100 if n < 1000 else 20
    alarms = 0
    for seed in range(n_nights):
        rng = np.random.default_rng(seed)
        known = profiles(past(rng, n, moved=moved), NAMES[5:15])
        alarms += bool(drift(known, customers(rng, n, moved=moved))["is_alarm"].any())
    assert alarms / n_nights <= 0.05


def planted(kind: str, share: float, n: int, seed: int) -> pd.DataFrame:
    """Return what is found of a night in which something happened to this share of customers, in one feature."""
    rng = np.random.default_rng(seed)
    known = profiles(past(rng, n), NAMES)
    tonight = customers(rng, n)
    hit = rng.random(n) < share
    if kind == "missing":
        tonight.loc[hit, "f20"] = np.nan
    elif kind == "new value":
        tonight.loc[hit, "f20"] = 99.0
    else:
        tonight.loc[hit, "f20"] = tonight.loc[hit, "f20"].abs() + 1.0
    return drift(known, tonight)


@pytest.mark.parametrize("kind", ["missing", "new value", "shift"])
@pytest.mark.parametrize(("share", "is_found"), [(0.01, False), (0.02, False), (0.15, True)])
def test_a_change_of_one_feature_is_found_from_its_size_on(kind: str, share: float, is_found: bool) -> None:
    """Catalogue row O3: below the tolerated size never, from 15 of a hundred customers on always, at 2,000 of them."""
    for seed in range(5):
        found = planted(kind, share, 2000, seed)
        alarms = found.loc[found["is_alarm"], "feature"].tolist()
        assert alarms == (["f20"] if is_found else []), (kind, share, seed)


def test_many_customers_make_a_small_change_certain_and_no_alarm() -> None:
    rng = np.random.default_rng(0)
    known = profiles(past(rng, 50_000, n_dates=3), NAMES[:3])
    rows = customers(rng, 50_000)
    rows["f0"] += (rng.random(50_000) < 0.06).astype(float)
    found = drift(known, rows).set_index("feature").loc["f0"]
    assert 0 < found["gap_low"] < SIZE
    assert not found["is_alarm"]


def test_the_bound_lies_below_the_true_gap_of_any_feature() -> None:
    n_below = 0
    for seed in range(20):
        found = planted("missing", 0.10, 1000, seed)
        found = found[(found["feature"] == "f20") & (found["place"] == MISSING)]
        n_below += bool((found["gap_low"] <= 0.10 * 0.98).all())
    assert n_below >= 19


def test_nulls_alone_speak_of_what_is_missing() -> None:
    found = planted("missing", 0.3, 2000, 1).iloc[0]
    assert (found["feature"], found["place"]) == ("f20", MISSING)
    assert found["tonight_share"] == pytest.approx(0.31, abs=0.03)
    assert found["usual_share"] == pytest.approx(0.02, abs=0.01)
    assert found["gap"] == pytest.approx(found["tonight_share"] - found["usual_share"])


def test_dates_that_differ_by_themselves_widen_what_is_tolerated() -> None:
    rng = np.random.default_rng(3)
    still, restless = past(rng, 1000), past(rng, 1000, moved=0.5)
    tonight = customers(rng, 1000)
    tonight[NAMES[15:]] += 0.4
    assert drift(profiles(still, NAMES), tonight)["is_alarm"].sum() >= 14
    assert drift(profiles(restless, NAMES), tonight)["is_alarm"].sum() <= 1


def test_five_customers_are_too_few_for_an_alarm_but_not_for_a_row() -> None:
    rng = np.random.default_rng(4)
    found = drift(profiles(past(rng, 500), NAMES), customers(rng, 5))
    assert len(found) == len(NAMES)
    assert not found["is_alarm"].any()


def test_nobody_tonight_or_nothing_known_gives_no_row() -> None:
    rng = np.random.default_rng(5)
    rows = customers(rng, 50)
    assert drift(profiles(rows, NAMES), rows.iloc[:0]).empty
    assert drift({}, rows).empty
    with pytest.raises(TrainingError, match="no rows"):
        profiles(rows.iloc[:0], NAMES)


def test_a_feature_that_was_always_null_moves_when_it_gets_values() -> None:
    rows = pd.DataFrame({"customer_id": range(300), "as_of": 0, "x": np.full(300, np.nan)})
    known = profiles(rows, ["x"])
    assert not drift(known, rows)["is_alarm"].any()
    found = drift(known, rows.assign(x=1.0)).iloc[0]
    assert found["is_alarm"]
    assert (found["place"], found["tonight_share"], found["usual_share"]) == (MISSING, 0.0, 1.0)


def test_a_constant_feature_and_whole_numbers_of_any_type_are_welcome() -> None:
    rows = pd.DataFrame({"customer_id": range(400), "as_of": 0, "x": 1, "y": pd.array([True, None] * 200, "boolean")})
    found = drift(profiles(rows, ["x", "y"]), rows.assign(x=2))
    assert found["is_alarm"].tolist() == [True, False]


def test_a_profile_comes_back_from_json_with_the_same_bits() -> None:
    rng = np.random.default_rng(6)
    rows = past(rng, 100, n_dates=2)
    for one in profiles(rows, NAMES).values():
        again = Profile.restore(one.facts())
        assert again.edges.tobytes() == one.edges.tobytes()
        assert again.counts.tobytes() == one.counts.tobytes()
        assert again.n_rows.tobytes() == one.n_rows.tobytes()


def test_the_order_of_rows_says_nothing() -> None:
    rng = np.random.default_rng(7)
    rows, tonight = past(rng, 300), customers(rng, 300, moved=0.3)
    found = drift(profiles(rows, NAMES), tonight)
    again = drift(profiles(rows.sample(frac=1, random_state=1), NAMES), tonight.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(found, again)
    assert found["gap_low"].is_monotonic_decreasing


def test_of_more_customers_than_suffice_every_so_many_th_is_looked_at() -> None:
    rows = pd.DataFrame({"customer_id": np.arange(2 * ENOUGH_ROWS + 2)})
    chosen = few(rows.sample(frac=1, random_state=0))["customer_id"].tolist()
    assert chosen == list(range(0, 2 * ENOUGH_ROWS + 2, 3))
