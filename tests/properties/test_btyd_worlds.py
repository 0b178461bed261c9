"""In simulated worlds the fits find the truth, their intervals hold it, and their forecasts come true."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from models.btyd import (
    BgNbd,
    Fit,
    MbgNbd,
    ParetoNbd,
    fit_bg_nbd,
    fit_gamma_gamma,
    fit_mbg_nbd,
    fit_pareto_nbd,
    interval,
)

pytestmark = pytest.mark.slow

N_WORLDS = {"bg": 400, "mbg": 400, "pareto": 200, "spend": 300}
N_CUSTOMERS = 2_500
LEVEL = 0.90
AGES = (30, 60)
HORIZON = 26.0
FITS = {"bg": fit_bg_nbd, "mbg": fit_mbg_nbd, "pareto": fit_pareto_nbd}
MODELS = {"bg": BgNbd, "mbg": MbgNbd, "pareto": ParetoNbd}
TRUTH = {"bg": (0.6, 5.0, 0.8, 2.5), "mbg": (0.9, 6.0, 0.7, 2.0), "pareto": (0.8, 6.0, 0.8, 15.0)}
KNOWN = Fit(0.0, 0, 0, 0, ((0.0,) * 4,) * 4, None)


def leaving(rng, name, n):
    """Draw each customer's time of leaving (Pareto) or chance to leave after a purchase."""
    _, _, third, fourth = TRUTH[name]
    if name == "pareto":
        return rng.exponential(1 / rng.gamma(third, 1 / fourth, n)), np.zeros(n)
    chance = rng.beta(third, fourth, n)
    is_gone = (rng.random(n) < chance) if name == "mbg" else np.zeros(n, bool)
    return np.where(is_gone, 0.0, np.inf), chance


def simulate(name, seed, n=N_CUSTOMERS):
    """Tell the model's own story purchase by purchase, up to T and for a horizon after it."""
    rng = np.random.default_rng(seed)
    r, alpha, _, _ = TRUTH[name]
    rate = rng.gamma(r, 1 / alpha, n)
    end, chance = leaving(rng, name, n)
    age = rng.integers(*AGES, n).astype(float)
    frequency, recency, later, now = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    going = np.arange(n)
    while len(going):
        now[going] += rng.exponential(1 / rate[going])
        going = going[now[going] <= np.minimum(end[going], age[going] + HORIZON)]
        is_seen = now[going] <= age[going]
        frequency[going] += is_seen
        recency[going[is_seen]] = now[going[is_seen]]
        later[going] += ~is_seen
        going = going[rng.random(len(going)) >= chance[going]]
    return pd.DataFrame({"frequency": frequency, "recency": recency, "T": age, "later": later})


@cache
def fits(name):
    return tuple(FITS[name](simulate(name, seed)) for seed in range(N_WORLDS[name]))


def check_share(n_hits, n):
    """Demand that the interval of the share (Wilson 1927) reaches into 87 to 93 %."""
    low, high = stats.binomtest(n_hits, n).proportion_ci(0.95, method="wilson")
    assert low < 0.93, n_hits / n
    assert high > 0.87, n_hits / n


@pytest.mark.parametrize("name", FITS)
class TestParameters:
    def test_are_found_without_a_warning(self, name):
        found = fits(name)
        assert [model.warning for model in found] == [None] * len(found)
        logs = np.log([model.parameters for model in found])
        error = logs.std(axis=0) / np.sqrt(len(found))
        # What is left of bias is that of maximum likelihood itself at this size, and small beside the spread.
        assert np.abs(logs.mean(axis=0) - np.log(TRUTH[name])) == pytest.approx(0, abs=0.15)
        assert (np.abs(np.median(logs, axis=0) - np.log(TRUTH[name])) < 0.03 + 3 * error).all()

    def test_lie_within_their_intervals_as_often_as_said(self, name):
        inside = np.zeros(4, int)
        for model in fits(name):
            ends = np.array(list(model.parameter_intervals(LEVEL).values()))
            inside += (ends[:, 0] <= TRUTH[name]) & (TRUTH[name] <= ends[:, 1])
        for n_hits in inside:
            check_share(int(n_hits), N_WORLDS[name])
        assert 0.87 <= inside.mean() / N_WORLDS[name] <= 0.93

    def test_are_at_the_top(self, name):
        """No fit ends lower than the truth, nor lower than a fit that begins at the truth would."""
        for seed, model in enumerate(fits(name)[:20]):
            customers = simulate(name, seed)
            other = FITS[name](customers.sample(frac=0.5, random_state=1))
            for parameters in (TRUTH[name], tuple(other.parameters)):
                assert model.fit.log_likelihood >= log_likelihood(name, customers, parameters) - 1e-6


def log_likelihood(name, customers, parameters):
    from models.btyd.odds import GeometricLikelihood  # noqa: PLC0415
    from models.btyd.pareto import ParetoLikelihood  # noqa: PLC0415
    from models.btyd.summary import summarise  # noqa: PLC0415

    summary = summarise(customers)
    likelihood = ParetoLikelihood(summary) if name == "pareto" else GeometricLikelihood(summary, int(name == "bg"))
    return likelihood(np.log(parameters))[0]


@pytest.mark.parametrize("name", FITS)
class TestForecasts:
    """With the true parameters, on customers by the hundred thousand."""

    @pytest.fixture
    def world(self, name):
        return simulate(name, 999, n=200_000), MODELS[name](KNOWN, *TRUTH[name])

    def test_no_purchase_comes_as_often_as_said(self, world):
        customers, model = world
        customers = customers.assign(recency=customers["recency"].round(1))
        said = model.p_no_purchase(customers, [HORIZON])[:, 0]
        self.by_group(said, customers["later"] == 0, 0.006)

    def test_purchases_come_as_expected(self, world):
        customers, model = world
        expected = model.expected_purchases(customers, [HORIZON])[:, 0]
        assert customers["later"].mean() == pytest.approx(expected.mean(), rel=0.02)
        table = pd.DataFrame({"said": expected, "came": customers["later"].to_numpy()})
        means = table.groupby(pd.qcut(expected, 10, duplicates="drop")).mean()
        assert means["came"].to_numpy() == pytest.approx(means["said"].to_numpy(), rel=0.06, abs=0.01)

    def test_being_gone_is_less_than_buying_nothing(self, world):
        customers, model = world
        gone = 1 - model.p_alive(customers)
        silent = model.p_no_purchase(customers, [1.0, HORIZON, 1e9])
        assert (silent[:, 0] >= gone - 1e-12).all()
        assert (np.diff(silent, axis=1) <= 1e-12).all()
        assert silent[:, 2].mean() < silent[:, 1].mean() < silent[:, 0].mean()

    def by_group(self, said, came, tolerance):
        table = pd.DataFrame({"said": said, "came": np.asarray(came, float)})
        means = table.groupby(pd.qcut(said, 10, duplicates="drop")).agg(["mean", "size"])
        gap = np.abs(means["said"]["mean"] - means["came"]["mean"])
        noise = np.sqrt(means["said"]["mean"] * (1 - means["said"]["mean"]) / means["said"]["size"])
        assert (gap < tolerance + 3 * noise).all()


@pytest.mark.parametrize("name", FITS)
def test_intervals_of_expectations_hold_the_truth_as_often_as_said(name):
    """The expected purchases of all customers together, by the true parameters, within 90 % intervals."""
    true_model, n_hits, n_worlds = MODELS[name](KNOWN, *TRUTH[name]), 0, 200
    for seed, model in enumerate(fits(name)[:n_worlds]):
        customers = simulate(name, seed)[:30]
        low, high = interval(
            model, lambda one, rows=customers: one.expected_purchases(rows, [HORIZON]).sum(axis=0), LEVEL
        )
        truth = true_model.expected_purchases(customers, [HORIZON]).sum()
        n_hits += int(low[0] <= truth <= high[0])
    check_share(n_hits, n_worlds)


class TestSpend:
    TRUTH = (4.0, 3.5, 20.0)

    def simulate(self, seed, n=1_500):
        rng = np.random.default_rng(seed)
        p, q, gamma = self.TRUTH
        rate = rng.gamma(q, 1 / gamma, n)
        frequency = rng.geometric(0.35, n)
        return pd.DataFrame(
            {
                "frequency": frequency,
                "monetary_value": rng.gamma(p * frequency, 1 / (rate * frequency)),
                "mean": p / rate,
            }
        )

    def test_parameters_lie_within_their_intervals_as_often_as_said(self):
        inside = np.zeros(3, int)
        for seed in range(N_WORLDS["spend"]):
            model = fit_gamma_gamma(self.simulate(seed))
            assert model.warning is None
            ends = np.array(list(model.parameter_intervals(LEVEL).values()))
            inside += (ends[:, 0] <= self.TRUTH) & (ends[:, 1] >= self.TRUTH)
        for n_hits in inside:
            check_share(int(n_hits), N_WORLDS["spend"])
        assert 0.87 <= inside.mean() / N_WORLDS["spend"] <= 0.93

    def test_the_own_mean_is_met_on_average(self):
        customers = self.simulate(7, n=100_000)
        model = fit_gamma_gamma(customers)
        expected = model.expected_value(customers)
        means = customers.assign(said=expected).groupby(pd.qcut(expected, 10))[["said", "mean"]].mean()
        assert means["mean"].to_numpy() == pytest.approx(means["said"].to_numpy(), rel=0.03)
        assert model.mean_value == pytest.approx(customers["mean"].mean(), rel=0.02)
