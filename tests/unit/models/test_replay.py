"""Replays: quality by date, by age and in money, on worlds whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from models.metrics import auc
from models.replay import RECENCY, SERVING, Economics, ageing, earnings, quality

DATES = pd.to_datetime(["2024-01-01", "2024-01-29", "2024-02-26", "2024-03-25"])
N = 800


@pytest.fixture(scope="module")
def world():
    """Customers at four dates, with their true risk at each and whether they left."""
    parts = []
    for number, as_of in enumerate(DATES):
        rng = np.random.default_rng(number)
        p = rng.beta(1, 4, size=N)
        left = (rng.random(N) < p).astype(int)
        names = [f"c{one:04}" for one in range(N)]
        parts.append(pd.DataFrame({"as_of": as_of, "customer_id": names, "p": p, "has_churned": left}))
    return pd.concat(parts, ignore_index=True)


class TestQuality:
    def test_every_speaker_is_measured_at_every_date(self, world):
        said = pd.concat(
            [
                world.assign(speaker=SERVING, churn_probability=world["p"]),
                world.assign(speaker=RECENCY, churn_probability=0.2),
            ]
        )
        found = quality(said, seed=0, measures=("auc", "brier"))
        assert len(found) == len(DATES) * 2 * 4
        row = found[(found["as_of"] == DATES[1]) & (found["speaker"] == SERVING)].set_index("metric")
        part = world[world["as_of"] == DATES[1]]
        expected = auc(part["has_churned"].to_numpy(dtype=float), part["p"].to_numpy(), np.ones((1, N)))[0]
        assert row.loc["auc", "value"] == pytest.approx(expected)
        assert row.loc["auc", "low"] < expected < row.loc["auc", "high"]
        assert row.loc["churned_share", "value"] == part["has_churned"].mean()
        assert row.loc["churned_share", "low"] < part["has_churned"].mean() < row.loc["churned_share", "high"]
        assert row.loc["predicted_share", "value"] == pytest.approx(part["p"].mean())
        assert (found.loc[found["speaker"].eq(RECENCY) & found["metric"].eq("auc"), "value"] == 0.5).all()

    def test_where_nobody_left_the_shares_remain(self, world):
        said = world.head(50).assign(has_churned=0, speaker=SERVING, churn_probability=0.1)
        assert quality(said, seed=0)["metric"].tolist() == ["churned_share", "predicted_share"]


class TestAgeing:
    @staticmethod
    def said(world, worse_by):
        """Models that lose a share of what they know per step of age."""
        parts = []
        for number, trained_at in enumerate(DATES):
            for step, as_of in enumerate(DATES[number:]):
                part = world[world["as_of"] == as_of]
                known = 1 - worse_by * step
                p = part["p"].mean() + known * (part["p"] - part["p"].mean())
                parts.append(part.assign(trained_at=trained_at, churn_probability=p))
        return pd.concat(parts, ignore_index=True)

    def test_an_old_model_is_worse_by_its_age(self, world):
        found = ageing(self.said(world, 0.3), seed=0)
        assert found["age_days"].tolist() == [28, 56, 84]
        assert found["n_dates"].tolist() == [3, 2, 1]
        assert found["difference"].is_monotonic_increasing
        assert (found["difference_low"] < found["difference"]).all()
        assert found.loc[2, "difference_low"] > 0

    def test_what_does_not_age_differs_by_nothing(self, world):
        found = ageing(self.said(world, 0.0), seed=0)
        assert (found["difference"] == 0).all()

    def test_without_a_fresh_model_there_is_nothing_to_compare_with(self, world):
        said = self.said(world, 0.3)
        assert ageing(said[said["trained_at"] < said["as_of"]], seed=0).empty

    def test_the_interval_holds_the_difference_of_a_further_date(self):
        """Over worlds: a further date's difference lies in the interval of those before, as often as is promised."""
        n_inside, n_worlds = 0, 60
        for seed in range(n_worlds):
            rng = np.random.default_rng(seed)
            dates = pd.date_range("2024-01-01", periods=6, freq="28D")
            parts = []
            for place, as_of in enumerate(dates[1:]):
                p, blur = rng.beta(1, 4, size=300), rng.uniform(0.2, 0.9)
                row = pd.DataFrame({"as_of": as_of, "customer_id": range(300), "has_churned": rng.random(300) < p})
                old = p.mean() + blur * (p - p.mean())
                parts += [row.assign(trained_at=as_of, churn_probability=p)]
                parts += [row.assign(trained_at=dates[place], churn_probability=old)]
            said = pd.concat(parts, ignore_index=True).astype({"has_churned": float})
            found = ageing(said[said["as_of"] < dates[-1]], seed=0).iloc[0]
            later = ageing(said[said["as_of"] == dates[-1]], seed=0).iloc[0]
            n_inside += found["difference_low"] <= later["difference"] <= found["difference_high"]
        assert n_inside >= 52, "95 % are promised; fewer than 52 of 60 would happen once in 500 tries"


class TestEarnings:
    ECONOMICS = Economics(n_contacts=100, cost_cents=20, save_share=0.1)

    @pytest.fixture
    def found(self, world):
        worth = np.random.default_rng(9).gamma(2, 5_000, size=len(world))
        said = world.assign(expected_value_cents=worth, by_value_at_risk=world["p"] * worth, by_risk=world["p"])
        return said, earnings(said, self.ECONOMICS).set_index(["as_of", "ranking"])

    def test_it_is_the_sum_over_the_list(self, found):
        said, earned = found
        part = said[said["as_of"] == DATES[0]].nlargest(100, "by_risk")
        expected = (part["has_churned"] * 0.1 * part["expected_value_cents"]).sum() - 100 * 20
        row = earned.loc[(DATES[0], "by_risk")]
        assert row["earned_cents"] == pytest.approx(expected)
        assert row["n_left"] == part["has_churned"].sum()
        assert row["earned_low_cents"] < expected < row["earned_high_cents"]

    def test_the_better_ranking_earns_more(self, found):
        earned = found[1]["earned_cents"].unstack()
        assert (earned["by_value_at_risk"] > earned["by_risk"]).all()
        assert (earned["by_risk"] > earned["by_lot"]).all()

    def test_the_lot_is_the_mean_of_all_lists(self, found):
        said, earned = found
        part = said[said["as_of"] == DATES[2]]
        drawn = [
            earnings(part.assign(by_chance=np.random.default_rng(seed).random(N)), self.ECONOMICS)
            .set_index("ranking")
            .loc["by_chance", "earned_cents"]
            for seed in range(200)
        ]
        assert earned.loc[(DATES[2], "by_lot"), "earned_cents"] == pytest.approx(np.mean(drawn), rel=0.1)

    def test_a_list_longer_than_the_company_is_everybody(self, world):
        few = world.head(5).assign(expected_value_cents=100.0, by_risk=1.0)
        assert earnings(few, self.ECONOMICS)["n_contacts"].tolist() == [5, 5]

    def test_without_priorities_there_is_no_list(self, world):
        said = world.assign(expected_value_cents=100.0, by_recency=1.0)
        said["by_risk"] = said["p"].where(said["as_of"] > DATES[0])
        found = earnings(said, self.ECONOMICS).groupby("as_of")["ranking"].agg(list)
        assert found[DATES[0]] == ["by_recency", "by_lot"]
        assert found[DATES[1]] == ["by_recency", "by_risk", "by_lot"]

    def test_who_is_on_the_list_depends_on_no_order_of_rows(self, found):
        said, _ = found
        again = earnings(said.sample(frac=1, random_state=3).assign(by_risk=0.5), self.ECONOMICS)
        here = earnings(said.assign(by_risk=0.5), self.ECONOMICS)
        pd.testing.assert_frame_equal(again, here)
