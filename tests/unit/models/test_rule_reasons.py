"""Every rejected rule knows why, and the first hurdle at which it fell is the one that is named."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from models.basket import encode_baskets
from models.rule_reasons import why_not
from models.rules import COLUMNS, mine_rules

RULE = {
    "antecedents": "bread",
    "consequents": "butter",
    "lift": 2.0,
    "adjusted_lift": 1.6,
    "q_value": 1e-9,
    "adjusted_q_value": 1e-6,
    "is_confirmed": True,
    "confirmed_lift": 1.9,
    "confirmed_adjusted_lift": 1.5,
    "within_month_lift": 1.9,
    "within_month_p_value": 1e-9,
}


def said(**change: object) -> str:
    return why_not(pd.DataFrame([RULE | change]), "bread", "butter")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "survived. Lift 2.00, given basket size 1.60; in later orders again 1.50"),
        ({"q_value": 0.2, "adjusted_q_value": 0.9, "is_confirmed": False}, "lift 2.00 could be chance"),
        ({"adjusted_q_value": 0.3, "adjusted_lift": 1.02, "is_confirmed": False}, "given both the lift is 1.02"),
        ({"is_confirmed": False, "confirmed_lift": 0.9}, "the later orders did not confirm it: there the lift is 0.90"),
        ({"within_month_p_value": 0.4, "within_month_lift": 1.01}, "within single months the lift is 1.01"),
    ],
)
def test_the_first_hurdle_is_named(change: dict[str, object], words: str) -> None:
    assert words in said(**change)


def test_a_rule_that_is_no_candidate_says_so() -> None:
    assert "not a candidate" in why_not(pd.DataFrame([RULE]), "butter", "bread")


def test_every_mined_candidate_has_a_reason_and_the_season_is_told() -> None:
    """Trees and stars sell in December alone, each by itself; bread and butter go together all year."""
    rng = np.random.default_rng(4)
    n = 9_000
    month = np.arange(n) * 24 // n  # Two years, so that December is in the orders that confirm, too.
    share = np.where(month % 12 == 11, 0.45, 0.03)
    bread = rng.random(n) < 0.25
    held = np.column_stack([
        rng.random(n) < share, rng.random(n) < share, bread, rng.random(n) < np.where(bread, 0.5, 0.1),
        *(rng.random(n) < 0.15 for _ in range(6)),
    ])  # fmt: skip
    order, item = np.nonzero(held)
    lines = pd.DataFrame({
        "order_id": order.astype(str), "customer_id": [f"c{i % 900}" for i in order],
        "category": np.array(["tree", "star", "bread", "butter", *"uvwxyz"])[item],
        "event_time": (np.datetime64("2016-01-01", "us") + (month[order] * 30).astype("timedelta64[D]")),
    })  # fmt: skip
    rules, report = mine_rules(
        encode_baskets(lines), datetime(2018, 6, 1), datetime(2016, 12, 1), min_support=0.005, min_confidence=0.05
    )
    assert list(rules) == COLUMNS
    sentences = [why_not(rules, rule.antecedents, rule.consequents) for rule in rules.itertuples()]
    assert len(sentences) == report.n_candidates
    assert sum("survived" in sentence for sentence in sentences) == report.n_confirmed
    assert "survived. Lift" in why_not(rules, "bread", "butter")
    assert "the season makes it" in why_not(rules, "tree", "star")
