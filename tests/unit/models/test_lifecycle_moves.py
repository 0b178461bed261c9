"""Who is regained, who moves from state to state, and how often they usually do."""

import numpy as np
import pandas as pd
import pytest

from models.evaluation import wilson
from models.lifecycle import ARRIVED, STATES, Thresholds, lifecycle_state, stocks, transitions, usual_transitions

LIMITS = Thresholds(horizon_days=28)
DATES = pd.to_datetime([f"2024-{month:02d}-01" for month in range(1, 7)])


def state(limits: Thresholds = LIMITS, **values: float | None) -> str:
    usual: dict[str, float | None] = {"tenure_days": 400, "gap_mean_days": 10, "n_purchase_days": 20}
    return str(lifecycle_state(pd.DataFrame([usual | values]).astype("float64"), limits).iloc[0])


def histories(*rows: str) -> pd.DataFrame:
    """Return states of customers, one letter per date; a dot: not known yet."""
    names = {name[0]: name for name in STATES}
    found = [
        (f"c{number}", date, names[letter])
        for number, row in enumerate(rows)
        for letter, date in zip(row, DATES, strict=False)
        if letter != "."
    ]
    return pd.DataFrame(found, columns=["customer_id", "as_of", "lifecycle_state"])


class TestRegained:
    def test_who_came_back_after_having_lapsed_is_regained_until_the_next_purchase(self):
        assert state(recency_days=3, gap_last_days=57) == "regained"
        assert state(recency_days=3, gap_last_days=56) == "active"

    def test_who_came_back_and_is_silent_again_is_slipping_after_half_a_horizon_not_after_the_old_rhythm(self):
        assert state(recency_days=14, gap_last_days=90, gap_mean_days=40) == "regained"
        assert state(recency_days=15, gap_last_days=90, gap_mean_days=40) == "slipping"

    def test_the_silence_that_counts_as_lapsed_is_one_number_for_lapsed_and_regained(self):
        limits = Thresholds(horizon_days=28, lapsed_days=100)
        assert state(limits, recency_days=100, gap_last_days=10, gap_mean_days=90) == "active"
        assert state(limits, recency_days=101, gap_last_days=10) == "lapsed"
        assert state(limits, recency_days=3, gap_last_days=100) == "active"
        assert state(limits, recency_days=3, gap_last_days=101) == "regained"

    def test_nobody_is_regained_where_the_last_gap_is_not_known(self):
        assert state(recency_days=3) == "active"
        assert state(recency_days=3, gap_last_days=None) == "active"


class TestTransitions:
    def test_every_move_is_counted_and_every_row_adds_up(self):
        found = transitions(histories("na", "aa", "as", "sl", "lr", ".n"))
        moves = found[found["n_customers"] > 0].set_index(["from_state", "to_state"])
        assert moves["n_customers"].to_dict() == {
            (ARRIVED, "new"): 1,
            ("new", "active"): 1,
            ("active", "active"): 1,
            ("active", "slipping"): 1,
            ("slipping", "lapsed"): 1,
            ("lapsed", "regained"): 1,
        }
        assert moves.loc[("active", "slipping"), "moved_share"] == 0.5
        assert len(found) == 6 * 5
        assert (found.groupby("from_state")["n_customers"].sum() == found.groupby("from_state")["n_from"].first()).all()

    def test_intervals_are_wilsons(self):
        found = transitions(histories(*["as"] * 5, *["aa"] * 45))
        row = found[(found["from_state"] == "active") & (found["to_state"] == "slipping")].iloc[0]
        assert (row["moved_share_low"], row["moved_share_high"]) == pytest.approx(wilson(5, 50, 0.90))

    def test_shares_of_nobody_are_null(self):
        found = transitions(histories("aa"))
        assert found.loc[found["from_state"] == "lapsed", "moved_share"].isna().all()

    def test_each_pair_of_dates_has_its_own_matrix_and_the_order_of_rows_does_not_matter(self):
        rows = histories("naas", "aall", "slra")
        found = transitions(rows)
        assert found["from_at"].nunique() == 3
        pd.testing.assert_frame_equal(found, transitions(rows.sample(frac=1, random_state=1)))

    def test_who_is_no_longer_known_is_left_out(self):
        rows = histories("aa", "aa")
        found = transitions(rows[~((rows["customer_id"] == "c1") & (rows["as_of"] == DATES[1]))])
        assert found["n_customers"].sum() == 1

    def test_one_date_has_no_transitions(self):
        assert transitions(histories("a", "s")).empty


class TestUsual:
    def test_shares_are_those_of_all_moves_and_ends_those_between_dates(self):
        found = usual_transitions(histories("aasa", "aaas", "sasl")).set_index(["from_state", "to_state"])
        row = found.loc[("active", "slipping")]
        assert (row["n_customers"], row["n_from"], row["n_dates"]) == (3, 6, 3)
        assert row["moved_share"] == 0.5
        assert row["moved_share_low"] <= 0.5 <= row["moved_share_high"]

    def test_two_pairs_of_dates_are_too_few_for_an_interval(self):
        found = usual_transitions(histories("aas", "asa"))
        assert found["moved_share_low"].isna().all()

    def test_the_interval_covers_the_share_of_the_next_pair_of_dates(self):
        """Chances differ from date to date as with the seasons: nine of ten next shares lie inside."""
        rng = np.random.default_rng(3)
        inside = []
        for _ in range(50):
            chance = np.clip(rng.normal(0.3, 0.05, 5), 0, 1)
            moved = rng.random((300, 5)) < chance
            frames = [
                pd.DataFrame({"customer_id": range(300), "as_of": DATES[0], "lifecycle_state": "active"}),
                *(
                    pd.DataFrame(
                        {
                            "customer_id": range(300),
                            "as_of": date,
                            "lifecycle_state": np.where(column, "slipping", "active"),
                        }
                    )
                    for date, column in zip(DATES[1:5], moved.T[:4], strict=True)
                ),
            ]
            # Of each state customers move as often, so that both rows of the matrix hold the same chance.
            found = usual_transitions(pd.concat(frames, ignore_index=True))
            row = found[(found["from_state"] == "active") & (found["to_state"] == "slipping")].iloc[0]
            inside.append(row["moved_share_low"] <= moved[:, 4].mean() <= row["moved_share_high"])
        assert 0.78 <= np.mean(inside) <= 0.99


def test_stocks_hold_every_state_at_every_date_and_every_customer_once():
    rows = histories("naas", "aall", "..ra")
    found = stocks(rows)
    assert len(found) == 4 * len(STATES)
    assert found.groupby("as_of")["n_customers"].sum().tolist() == [2, 2, 3, 3]
    assert found["lifecycle_state"].tolist()[:5] == list(STATES)
