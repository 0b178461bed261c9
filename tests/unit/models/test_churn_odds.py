"""No purchase within the horizon by purchases alone: a risk, while being alive is none."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from models import churn
from models.btyd import fit_bg_nbd
from models.churn_odds import NEEDS, NO_PURCHASE, Odds, fit_odds
from models.churn_reasons import effects

NAMES = (*NEEDS, "spend_28d_cents")
THEMES = {**dict.fromkeys(NEEDS, "rhythm"), "spend_28d_cents": "spend"}
HORIZON = 30


def buyers(n=600, dates=(200, 230, 260), *, leaves=0.0, seed=3):
    """Draw customers who buy at random at rates of their own, and may leave after a purchase."""
    rng = np.random.default_rng(seed)
    frames, rate, start = [], rng.gamma(1.2, 1 / 40, n), rng.integers(0, 100, n)
    gaps = rng.exponential(1 / rate[:, None], (n, 60))
    stays = np.cumprod(rng.random((n, 60)) > leaves, axis=1)
    times = np.where(stays == 1, start[:, None] + np.ceil(np.cumsum(gaps, axis=1)), np.inf)
    times = np.column_stack([start, times])
    for day in dates:
        past = times < day
        last = np.where(past, times, -np.inf).max(axis=1)
        bought = ((times >= day) & (times < day + HORIZON)).any(axis=1)
        known = {"n_purchase_days": past.sum(axis=1), "recency_days": day - last, "tenure_days": day - start}
        frames.append(pd.DataFrame({"customer_id": [f"c{i}" for i in range(n)], **known, "has_churned": ~bought * 1}))
        frames[-1]["as_of"] = pd.Timestamp("2024-01-01") + pd.Timedelta(days=day)
        frames[-1]["spend_28d_cents"] = rng.gamma(2, 100, n)
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def rows():
    return buyers()


@pytest.fixture(scope="module")
def candidates(rows):
    with_text = rows.sample(frac=1, random_state=1)
    return churn.fit_candidates(with_text, NAMES, seed=0, themes=THEMES, horizon_days=HORIZON)


def test_where_nobody_leaves_alive_says_nothing_and_no_purchase_does(rows):
    one = rows[rows["as_of"] == rows["as_of"].max()]
    odds = fit_odds(one, HORIZON)
    assert odds.warning is not None, "nobody leaves: the fit ends on its edge and says so"
    known = pd.DataFrame(
        {
            "frequency": one["n_purchase_days"] - 1,
            "recency": one["tenure_days"] - one["recency_days"],
            "T": one["tenure_days"],
        }
    ).astype(float)
    gone = 1 - fit_bg_nbd(known).p_alive(known)
    assert roc_auc_score(one["has_churned"], odds.column(one)) > 0.65
    assert roc_auc_score(one["has_churned"], odds.column(one)) > roc_auc_score(one["has_churned"], gone) + 0.1


def test_column_is_the_calibrated_share_where_the_model_is_right():
    later = buyers(4000, (240,), leaves=0.1, seed=5)
    p = 1 / (1 + np.exp(-fit_odds(later, HORIZON).column(later)))
    group = pd.qcut(p, 5, labels=False)
    found = pd.DataFrame({"p": p, "y": later["has_churned"]}).groupby(group).mean()
    np.testing.assert_allclose(found["p"], found["y"], atol=0.05)


def test_it_is_a_candidate_and_a_column_of_the_rich_ones(candidates, rows):
    assert {"odds", "recency", "logistic", "boosting", "blend"} <= set(candidates)
    assert all(model.odds is not None for model in candidates.values())
    assert candidates["odds"].warning == candidates["odds"].odds.warning
    assert candidates["odds"].matrix(rows).columns.tolist() == [*NAMES, NO_PURCHASE]


def test_reasons_stay_exact(candidates, rows):
    for name in ("odds", "blend"):
        model = candidates[name]
        found = effects(model.log_odds, rows.head(80), model.theme_of, rows)
        np.testing.assert_allclose(found.base + found.themes.sum(axis=1), model.log_odds(rows.head(80)), atol=1e-9)


def test_without_its_features_in_one_theme_there_is_no_such_column(rows):
    apart = churn.fit_candidates(rows, NAMES, seed=0, horizon_days=HORIZON)
    assert "odds" not in apart
    assert apart["blend"].odds is None


def test_restored_from_facts_it_says_the_same(candidates, rows):
    odds = candidates["odds"].odds
    again = Odds.restore(json.loads(json.dumps(odds.facts())))
    np.testing.assert_array_equal(again.column(rows), odds.column(rows))
    model = candidates["blend"]
    facts = json.loads(json.dumps(model.facts()))
    same = churn.ChurnModel.restore(model.estimator, facts)
    pd.testing.assert_frame_equal(same.predict(rows), model.predict(rows), check_exact=True)
    for late in ("odds", "season", "forward_log_loss", "categories"):
        facts.pop(late)
    assert churn.ChurnModel.restore(model.estimator, facts).odds is None, "facts of an older model are read"


def test_made_up_and_unknown_customers_are_borne():
    odds = fit_odds(buyers(200, (200,)), HORIZON)
    odd = pd.DataFrame({"n_purchase_days": [1, 2.5, np.nan], "recency_days": [0, 500, 3], "tenure_days": [9, 100, 10]})
    found = odds.column(odd)
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2])
