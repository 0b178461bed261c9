"""What agreement weighs: estimated from the customers themselves, or fixed where they are too few."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
from splink import DuckDBAPI, Linker

from data.identity.comparisons import COMPARISONS, settings

MIN_CUSTOMERS = 300
MIN_PAIRS = 30
"""Fewer customers, or fewer pairs to learn a field from, and the fixed weights stand."""

_N_SAMPLED = 150_000
# Of pairs that are one person these are found by the rules below, in the simulated companies of the tests.
_RULES_RECALL = 0.8
# What the fixed shares count against the estimated ones: an outcome that was never seen is still possible.
_FIXED_SHARE = 0.02

_ALIKE = "close_names(l.name, r.name)"
_EVIDENT = tuple(f"l.{field} = r.{field} AND coalesce({_ALIKE}, true)" for field in ("email", "phone", "block_address"))
# Expectation-maximisation learns the fields that a rule does not mention from the pairs that fulfil it.
_LESSONS = (
    f"l.email = r.email AND {_ALIKE}",
    f"l.phone = r.phone AND {_ALIKE}",
    "l.email = r.email AND l.phone = r.phone",
)


@dataclass(frozen=True)
class Weights:
    """Shares of each outcome among pairs that are one person (m) and that are not (u), and the prior.

    Attributes
    ----------
    shares
        m and u by field and word; levels that are not in it have the fixed ones.
    prior
        Probability that two customers drawn at random are one.
    is_estimated
        Whether ``shares`` come from the customers.
    """

    shares: Mapping[tuple[str, str], tuple[float, float]]
    prior: float
    is_estimated: bool

    @property
    def prior_bits(self) -> float:
        """The prior as a logarithm of odds."""
        return math.log2(self.prior / (1 - self.prior))

    def bits_within(self, field: str, word: str, u: float) -> float:
        """Return the bits of an outcome among pairs of which a share ``u`` has it though they are two persons."""
        fixed = {(c.field, level.word): level.m for c in COMPARISONS for level in c.levels}
        m = self.shares[field, word][0] if (field, word) in self.shares else fixed[field, word]
        return math.log2(m / u)


def trained(own: duckdb.DuckDBPyConnection, seed: int) -> Weights:
    """Return the weights for the table ``people``.

    The prior counts the pairs that agree in e-mail, telephone or address and whose names, as far as
    known, are alike. Chance agreement (u)
    comes from pairs drawn at random; m by expectation-maximisation (Winkler 1988) on pairs that agree in one thing,
    for the others. Names that agree in part keep their fixed share: among pairs with the same contacts they are
    mostly families, which would be learned as one person.
    """
    n_people = own.sql("SELECT count(*) FROM people").fetchall()[0][0]
    n_pairs = max(n_people * (n_people - 1) / 2, 1)
    prior = min(max(_count(own, *_EVIDENT), 1) / _RULES_RECALL / n_pairs, 0.5)
    lessons = [rule for rule in _LESSONS if _count(own, rule) >= MIN_PAIRS]
    if n_people < MIN_CUSTOMERS or not lessons:
        return Weights({}, prior, is_estimated=False)
    return Weights(_learned(own, prior, lessons, seed), prior, is_estimated=True)


def _count(own: duckdb.DuckDBPyConnection, *rules: str) -> int:
    pairs = " UNION ".join(
        f"SELECT l.customer_id, r.customer_id FROM people l JOIN people r ON {rule} AND l.customer_id < r.customer_id"  # noqa: S608
        for rule in rules
    )
    return int(own.sql(f"SELECT count(*) FROM ({pairs})").fetchall()[0][0])  # noqa: S608


def _learned(
    own: duckdb.DuckDBPyConnection, prior: float, lessons: list[str], seed: int
) -> dict[tuple[str, str], tuple[float, float]]:
    linker = Linker(DuckDBAPI(own).register("people"), settings({}, prior, lessons), log_level=None)
    linker.training.estimate_u_using_random_sampling(max_pairs=_N_SAMPLED, seed=seed)
    for lesson in lessons:
        linker.training.estimate_parameters_using_expectation_maximisation(lesson)
    model = linker.misc.save_model_to_json()
    learned = {}
    for comparison, described in zip(COMPARISONS, model["comparisons"], strict=True):
        found = described["comparison_levels"][1:]
        fixed = [level.m for level in comparison.levels]
        shares = _shares([level["m_probability"] for level in found], fixed)
        if comparison.field == "name":
            shares = _with_fixed_tail(shares, fixed)
        for level, m, row in zip(comparison.levels, shares, found, strict=True):
            u = level.u if level.u_is_fixed else row["u_probability"]
            # Six digits: the last bits of a sum are no evidence.
            learned[comparison.field, level.word] = (float(f"{m:.6g}"), float(f"{u:.6g}"))
    return learned


def _shares(found: list[float], fixed: list[float]) -> list[float]:
    """Return estimated shares that add up to one; Splink leaves the fixed value where an outcome was never seen."""
    if found == fixed:
        return fixed
    seen = [0.0 if value == start else value for value, start in zip(found, fixed, strict=True)]
    total = sum(seen)
    return [(1 - _FIXED_SHARE) * value / total + _FIXED_SHARE * start for value, start in zip(seen, fixed, strict=True)]


def _with_fixed_tail(shares: list[float], fixed: list[float]) -> list[float]:
    head = sum(shares[:2])
    return [share / head * sum(fixed[:2]) for share in shares[:2]] + fixed[2:]
