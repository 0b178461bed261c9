"""The likelihoods are those of the stories that they tell, and their derivatives are derivatives."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from models.btyd import BgNbd, fit_bg_nbd, fit_gamma_gamma, fit_mbg_nbd, fit_pareto_nbd
from models.btyd.departure import Departure
from models.btyd.jacobi import beta_rules
from models.btyd.odds import GeometricLikelihood
from models.btyd.pareto import ParetoLikelihood
from models.btyd.rising import Rising
from models.btyd.spend import SpendLikelihood
from models.btyd.summary import Summary, statistics, summarise

FITS = (fit_bg_nbd, fit_mbg_nbd, fit_pareto_nbd)
LIKELIHOODS = {
    "bg": lambda summary: GeometricLikelihood(summary, 1),
    "mbg": lambda summary: GeometricLikelihood(summary, 0),
    "pareto": ParetoLikelihood,
}
HISTORIES = [(0, 0.0, 5.0), (1, 2.0, 5.0), (3, 4.5, 5.0), (2, 1.0, 30.0), (4, 6.0, 6.0)]
POINTS = [(0.8, 3.0, 0.7, 2.5), (0.3, 1.5, 1.4, 0.6), (2.0, 9.0, 0.5, 12.0)]


def history(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frequency = rng.poisson(rng.gamma(0.8, 2.5, n))
    age = rng.integers(5, 60, n)
    recency = np.where(frequency > 0, np.rint(age * rng.beta(2, 1.2, n)), 0)
    return pd.DataFrame({"frequency": frequency, "recency": recency, "T": age})


def one(x: int, recency: float, age: float) -> Summary:
    return Summary(*(np.array([value], float) for value in (x, recency, age, 1)))


class TestDerivatives:
    """Against central differences of the value, and of the gradient."""

    @pytest.mark.parametrize("name", LIKELIHOODS)
    @pytest.mark.parametrize("point", POINTS)
    def test_of_purchases(self, name, point):
        self.check(LIKELIHOODS[name](summarise(history())), np.log(point))

    @pytest.mark.parametrize("name", LIKELIHOODS)
    def test_far_from_any_fit(self, name):
        self.check(LIKELIHOODS[name](summarise(history())), np.array([-4.0, 6.0, 5.0, -3.0]))

    @pytest.mark.parametrize("point", [(6.0, 3.7, 0.4), (0.5, 1.2, 3.0)])
    def test_of_spend(self, point):
        rng = np.random.default_rng(1)
        frequency = rng.integers(1, 9, 300).astype(float)
        self.check(SpendLikelihood(frequency, rng.gamma(2, 0.5, 300), rng.integers(1, 4, 300)), np.log(point))

    def check(self, likelihood, point):
        _, gradient, hessian = likelihood(point)
        steps = np.eye(len(point)) * 1e-5
        pairs = [(likelihood(point + step), likelihood(point - step)) for step in steps]
        rough_gradient = np.array([(up[0] - down[0]) / 2e-5 for up, down in pairs])
        rough_hessian = np.array([(up[1] - down[1]) / 2e-5 for up, down in pairs])
        assert gradient == pytest.approx(rough_gradient, rel=1e-6, abs=1e-6 * np.abs(gradient).max())
        assert hessian == pytest.approx(rough_hessian, rel=1e-5, abs=1e-6 * np.abs(hessian).max())
        assert hessian == pytest.approx(hessian.T, rel=1e-12)


class TestAgainstTheStory:
    """Integrate over the customer's own rate and chance to leave, purchase by purchase."""

    @pytest.mark.parametrize("point", POINTS)
    @pytest.mark.parametrize(("x", "recency", "age"), HISTORIES)
    @pytest.mark.parametrize("name", ["bg", "mbg"])
    def test_leaving_after_purchases(self, name, x, recency, age, point):
        r, alpha, a, b = point
        free = 1 if name == "bg" else 0
        chances = x + 1 - free

        def given_both(leave, rate):
            stays = (1 - leave) ** chances * np.exp(-rate * age)
            leaves = leave * (1 - leave) ** (chances - 1) * np.exp(-rate * recency) if chances > 0 else 0.0
            return rate**x * (stays + leaves)

        # Quantiles as variables take the densities, and their poles, out of the integral.
        nodes, weights = np.polynomial.legendre.leggauss(60)
        shares, weights = self.eased(nodes, weights)
        leave = stats.beta.ppf(shares, a, b)[:, None]
        rate = stats.gamma.ppf(shares, r, scale=1 / alpha)[None, :]
        expected = float(weights @ given_both(leave, rate) @ weights)
        value, _, _ = LIKELIHOODS[name](one(x, recency, age))(np.log(point))
        assert value == pytest.approx(np.log(expected), abs=2e-5)

    def eased(self, nodes, weights):
        """Return Gauss-Legendre shares eased at both ends, where quantiles of skewed distributions are steep."""
        t = (nodes + 1) / 2
        return t**3 * (10 - 15 * t + 6 * t**2), weights / 2 * 30 * t**2 * (1 - t) ** 2

    @pytest.mark.parametrize("point", POINTS)
    @pytest.mark.parametrize(("x", "recency", "age"), HISTORIES)
    def test_leaving_at_any_time(self, x, recency, age, point):
        r, alpha, s, beta = point

        def density_of_leaving(time):
            until = np.minimum(time, age)
            rates = special.poch(r, x) * alpha**r / (alpha + until) ** (r + x)
            return rates * s * beta**s / (beta + time) ** (s + 1)

        dead, _ = integrate.quad(density_of_leaving, recency, age, epsabs=0, epsrel=1e-12)
        alive = special.poch(r, x) * alpha**r / (alpha + age) ** (r + x) * (beta / (beta + age)) ** s
        value, _, _ = ParetoLikelihood(one(x, recency, age))(np.log(point))
        assert value == pytest.approx(np.log(dead + alive), abs=1e-10)

    @pytest.mark.parametrize(("x", "mean"), [(1, 0.7), (4, 1.3), (9, 0.2)])
    def test_spend(self, x, mean):
        p, q, gamma = 2.2, 3.1, 1.7

        def of_rate(rate):
            return stats.gamma.pdf(mean, p * x, scale=1 / (rate * x)) * stats.gamma.pdf(rate, q, scale=1 / gamma)

        expected, _ = integrate.quad(of_rate, 0, np.inf, epsabs=0, epsrel=1e-11)
        value, _, _ = SpendLikelihood(*(np.array([v], float) for v in (x, mean, 1)))(np.log([p, q, gamma]))
        assert value == pytest.approx(np.log(expected), abs=1e-9)


class TestAgainstPublishedFormulas:
    def test_pareto_by_hypergeometric_functions(self):
        """Fader and Hardie 2005, equation 18, where their difference of two functions does not cancel."""
        summary = summarise(history())
        x, recency, age = summary.frequency, summary.recency, summary.T
        for r, alpha, s, beta in POINTS:
            largest, other = max(alpha, beta), s + 1 if alpha >= beta else r + x

            since, until = (
                special.hyp2f1(r + s + x, other, r + s + x + 1, abs(alpha - beta) / (largest + time))
                / (largest + time) ** (r + s + x)
                for time in (recency, age)
            )
            left = s / (r + s + x) * (since - until)
            stayed = 1 / ((alpha + age) ** (r + x) * (beta + age) ** s)
            each = np.log(special.poch(r, x)) + r * np.log(alpha) + s * np.log(beta) + np.log(left + stayed)
            value, _, _ = ParetoLikelihood(summary)(np.log([r, alpha, s, beta]))
            assert value == pytest.approx(float((summary.n * each).sum()), rel=1e-11)

    def test_expected_purchases_by_the_hypergeometric_function(self):
        """Fader, Hardie and Lee 2005, equation 10."""
        customers = history()
        x, _, age = statistics(customers)
        for r, alpha, a, b in [(0.24, 4.4, 0.79, 2.4), (0.8, 2.0, 1.7, 0.5), (2.0, 30.0, 6.0, 9.0)]:
            model = BgNbd(fit_bg_nbd(customers).fit, r, alpha, a, b)
            for horizon in (0.5, 13.0, 60.0):
                argument = horizon / (alpha + age + horizon)
                shape = special.hyp2f1(r + x, b + x, a + b + x - 1, argument)
                rest = ((alpha + age) / (alpha + age + horizon)) ** (r + x) * shape
                published = (a + b + x - 1) / (a - 1) * (1 - rest) * model.p_alive(customers)
                found = model.expected_purchases(customers, [horizon])[:, 0]
                assert found == pytest.approx(published, rel=1e-9)

    @pytest.mark.parametrize(
        ("x", "age", "horizon"), [(1000, 100, 200), (0, 0, 60), (0, 0, 900), (5, 2, 1500), (40, 9, 300)]
    )
    @pytest.mark.parametrize("point", [(0.5, 3.0, 1e-3, 400.0), (0.3, 2.0, 0.8, 2.4), (1.5, 1.0, 5.0, 0.3)])
    def test_expected_purchases_of_the_busiest_and_the_youngest(self, x, age, horizon, point):
        """Summed over the number of purchases, where the hypergeometric function loses its digits."""
        model = BgNbd(fit_bg_nbd(history()).fit, *point)
        r, alpha, a, b = point
        customers = pd.DataFrame({"frequency": [x], "recency": [age], "T": [age]})
        times = np.arange(1, 60_000)
        still = np.exp(special.betaln(a, b + x + times - 1) - special.betaln(a, b + x))
        at_least = special.betainc(times, r + x, horizon / (alpha + age + horizon))
        expected = (still * at_least).sum() * model.p_alive(customers)
        assert model.expected_purchases(customers, [horizon])[:, 0] == pytest.approx(expected, rel=1e-6)

    def test_expected_purchases_at_a_equal_to_one(self):
        """The published formula is 0 / 0 there; ours is the limit."""
        customers = history()
        model = fit_bg_nbd(customers)
        near = [BgNbd(model.fit, model.r, model.alpha, a, 2.4) for a in (1 - 1e-6, 1.0, 1 + 1e-6)]
        low, middle, high = (one.expected_purchases(customers, [26]) for one in near)
        assert middle == pytest.approx((low + high) / 2, rel=1e-9)


class TestQuadrature:
    @given(
        k=st.floats(1e-4, 3000),
        s=st.floats(1e-4, 300),
        log_alpha=st.floats(-9, 9),
        log_beta=st.floats(-9, 9),
        begin=st.floats(0, 1),
    )
    @settings(max_examples=150, deadline=None, derandomize=True)
    def test_departure_is_exact_whatever_the_parameters(self, k, s, log_alpha, log_beta, begin):
        alpha, beta = np.exp([log_alpha, log_beta])
        found = Departure(
            np.array([k]), s, alpha=alpha, beta=beta, begin=np.array([begin]), end=np.array([begin + 1])
        ).log_integral[0]

        # The same in pieces so small that any rule is right, on the scale of the steeper of the two powers.
        near = min(alpha, beta)
        length = np.log1p(1 / (near + begin))
        nodes, weights = np.polynomial.legendre.leggauss(16)
        edges = np.concatenate([[0], np.geomspace(1e-6, 1, 400)]) * length
        along = (edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1) / 2).ravel()
        weight = (np.diff(edges)[:, None] * weights / 2).ravel()
        grown = (near + begin) * np.exp(along)
        one_way = np.log(grown + (alpha - near)) * k + np.log(grown + (beta - near)) * (s + 1)
        expected = special.logsumexp(along + np.log(near + begin) - one_way, b=weight)
        assert found == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize(
        ("a", "b"), [(0.01, 0.02), (0.8, 2.4), (0.5, 0.5), (1.0, 1.0), (40.0, 3000.0), (1e-5, 1e4)]
    )
    def test_beta_moments(self, a, b):
        nodes, weights = beta_rules(a, np.array([b]))
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        for power in range(1, 6):
            truth = np.exp(special.betaln(a + power, b) - special.betaln(a, b))
            assert (weights * nodes**power).sum() == pytest.approx(truth, rel=1e-9, abs=1e-15)

    @pytest.mark.parametrize("p", [1e-6, 0.3, 7.0, 1e5])
    def test_rising_sums_are_differences_of_gamma_functions(self, p):
        counts, n = np.array([0.0, 1, 4, 30, 1024, 1025, 9000]), np.array([5.0, 2, 3, 1, 4, 2, 1])
        value, slope, curve = Rising.of(counts, n).at(p)
        assert value == pytest.approx((n * (special.gammaln(p + counts) - special.gammaln(p))).sum(), rel=1e-7)
        first = special.digamma(p + counts) - special.digamma(p)
        second = special.polygamma(1, p + counts) - special.polygamma(1, p)
        assert slope == pytest.approx(p * (n * first).sum(), rel=1e-6)
        assert curve == pytest.approx((n * (p * first + p * p * second)).sum(), rel=1e-3, abs=1e-6)


class TestRows:
    @pytest.mark.parametrize("name", LIKELIHOODS)
    def test_grouped_is_ungrouped(self, name):
        customers = history(3_000)
        columns = statistics(customers)
        single = Summary(*columns, np.ones(len(customers)))
        grouped = summarise(customers)
        assert len(grouped) < len(single)
        for point in POINTS:
            together, apart = (LIKELIHOODS[name](rows)(np.log(point)) for rows in (grouped, single))
            for a, b in zip(together, apart, strict=True):
                assert a == pytest.approx(b, rel=1e-12, abs=1e-12 * np.abs(b).max())

    @pytest.mark.parametrize("fit", FITS)
    def test_order_of_rows_changes_no_byte(self, fit):
        customers = history()
        shuffled = customers.sample(frac=1, random_state=5)
        model, other = fit(customers), fit(shuffled)
        assert model == other
        for predict in ("expected_purchases", "p_no_purchase"):
            mine = pd.DataFrame(getattr(model, predict)(customers, [4, 26]), index=customers.index)
            theirs = pd.DataFrame(getattr(other, predict)(shuffled, [4, 26]), index=shuffled.index)
            pd.testing.assert_frame_equal(mine, theirs.sort_index(), check_exact=True)

    def test_order_of_rows_changes_no_byte_of_spend(self):
        rng = np.random.default_rng(2)
        customers = history().assign(monetary_value=rng.gamma(3, 7, 400).round(2))
        assert fit_gamma_gamma(customers) == fit_gamma_gamma(customers.sample(frac=1, random_state=5))

    @pytest.mark.parametrize("fit", FITS)
    def test_each_customer_twice_gives_the_same_parameters(self, fit):
        customers = history(2_000)
        model, double = fit(customers), fit(pd.concat([customers, customers]))
        assert double.parameters == pytest.approx(model.parameters, rel=1e-5)
        assert double.fit.log_likelihood == pytest.approx(2 * model.fit.log_likelihood, rel=1e-11)
        assert np.array(double.fit.covariance) == pytest.approx(np.array(model.fit.covariance) / 2, rel=1e-3)
