"""A manager reads why rows were set aside without a word of data engineering."""

import re

import pytest

from data.contracts import CONTRACTS
from data.contracts.rules import rules
from pipelines.report.reasons import in_plain_words

JARGON = re.compile(r"orphan|malformed|\bslip|instant\b(?! and)|\bnull\b|is not unique|out of bounds")
REASONS = sorted({rule.name for contract in CONTRACTS.values() for rule in rules(contract)})


@pytest.mark.parametrize("reason", [reason for reason in REASONS if "at once" not in reason])
def test_every_rule_has_words_without_jargon(reason):
    assert not JARGON.search(in_plain_words(reason))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("orphan customer", "the customer is not in the list of customers"),
        ("customer_id is null", "no customer_id"),
        ("customer_id is not unique", "several different rows have the same customer_id"),
        ("campaign_id + customer_id is not unique", "several different rows have the same campaign_id, customer_id"),
        ("event_time is not an instant", "event_time is no date and time"),
        ("first_seen_on is not a date", "first_seen_on is not a date"),
        ("a rule of tomorrow", "a rule of tomorrow"),
    ],
)
def test_what_a_reason_says(reason, words):
    assert in_plain_words(reason) == words


def test_no_two_rules_of_a_contract_say_the_same():
    for contract in CONTRACTS.values():
        names = {rule.name for rule in rules(contract)}
        assert len({in_plain_words(name) for name in names}) == len(names), contract.name
