"""The readiness page and its terminal twin: the same numbers, nothing from outside, and nothing that runs."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import date, datetime
from html import unescape
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from models.readiness import Answer, answers
from models.readiness_facts import (
    BaseRate,
    BasketFacts,
    ChurnFacts,
    ColumnFacts,
    ColumnPower,
    Contactable,
    Detectable,
    Facts,
    Finding,
    Gap,
    LabelFacts,
    LineFacts,
    Month,
    TableFacts,
    TrialFacts,
    share_of,
)
from pipelines.check import Readiness
from pipelines.report.document import plain
from pipelines.report.readiness import readiness_page, title
from pipelines.report.readiness_summary import show

EVIL = '<script>alert("x")</script>'

FACTS = Facts(
    tables=(
        TableFacts(
            "transactions",
            1_000,
            n_accepted=980,
            n_quarantined=15,
            n_duplicates=5,
            rows_cents=123_456,
            accepted_cents=120_000,
            quarantined_cents=3_000,
            duplicates_cents=456,
            reasons=(Finding("unit slip", 15, "reject"),),
            warnings=(Finding("unknown product", 7, "warning"),),
            columns=(ColumnFacts("channel", share_of(490, 980)),),
            absent=("coupon_cents",),
            unmapped=(EVIL,),
            is_accepted=True,
        ),
        TableFacts("contacts", 10, problem="found: no control; expected: one; do: deliver it"),
    ),
    lines=LineFacts(
        n_lines=980,
        n_orders=400,
        sales_cents=120_000,
        first_on=date(2024, 1, 1),
        last_on=date(2024, 6, 30),
        n_days=182,
        n_open_days=170,
        gaps=(Gap(date(2024, 2, 3), date(2024, 2, 14), 12),),
        months=(Month(date(2024, 1, 1), 500, 60_000, 90), Month(date(2024, 2, 1), 480, 60_000, 10)),
        late=None,
        returns_share=0.031,
        anonymous=share_of(98, 980),
        anonymous_money_share=0.2,
        unknown_product=share_of(7, 980),
        n_customers=100,
        repeat=share_of(66, 100),
        purchases=(("1", 34), ("2", 3), ("3", 63)),
        top_tenth_share=0.371,
    ),
    churn=ChurnFacts(
        horizon_days=28,
        is_capped=True,
        sentence="28 days it is.",
        is_set=False,
        eligible_days=56,
        by_horizon=(BaseRate(date(2024, 6, 3), 28, 13, share_of(13, 90)),),
        by_date=(BaseRate(date(2024, 6, 3), 28, 13, share_of(13, 90)),),
        n_training_dates=0,
    ),
    label=LabelFacts("left", share_of(20, 100), 3, (ColumnPower("calls", 0.97, share_of(1, 100)),)),
    baskets=BasketFacts("category", share_of(900, 980), 400, 12, 2.45, share_of(211, 400), 0.01, 12, 33, 100),
    n_campaigns=2,
    n_ended_campaigns=1,
    trials=(
        TrialFacts(
            EVIL,
            is_randomised=True,
            arms=(("mail", 50), ("control", 4)),
            has_control=True,
            n_treated=50,
            n_control=40,
            has_ended=True,
            largest_difference=0.07,
            n_imbalanced=0,
            n_covariates=5,
            propensity_auc=0.51,
            ratio_p_value=0.5,
            detectable=(
                Detectable("spend", "cents", 5_000.0, 777.0),
                Detectable("buys", "share", 0.2, 0.0123),
                Detectable("visits", "number", 1.5, float("nan")),
            ),
        ),
    ),
    contactable=(
        Contactable("marketing", share_of(40, 100), "customers' own statements"),
        Contactable("profiling", None, "nobody says"),
    ),
)


@pytest.fixture
def readiness() -> Readiness:
    return Readiness("Shop & Sons", "€", datetime(2024, 6, 30, 22), date(2024, 7, 1), True, FACTS, answers(FACTS))


def text_of(page: str) -> str:
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def told(readiness: Readiness) -> str:
    out = StringIO()
    show(readiness, Path("there/r.html"), Console(file=out, width=160, highlight=False))
    return out.getvalue()


def test_every_answer_is_there_with_its_reason_and_what_to_do(readiness):
    text = text_of(readiness_page(readiness))
    for answer in readiness.answers:
        assert answer.word in text
        assert answer.why in text
        assert all(action in text for action in answer.missing)


def test_the_numbers_are_those_of_the_facts(readiness):
    text = text_of(readiness_page(readiness))
    for number in (
        "€1,234.56",
        "taken for whole units: 15 set aside",
        "list of products: 7 accepted",
        "37.1 %",
        "0.97",
        "€7.77",
    ):
        assert number in text
    for number in ("66.0 % (56.3 % to 74.5 %)", "10.0 % (8.3 % to 12.0 %)", "3 February 2024", "1.23 points", "33"):
        assert number in text
    assert "2 campaigns, 1 of them over." in text
    assert "found: no control; expected: one; do: deliver it" in text
    assert "transactions: coupon_cents." in text


def test_the_page_lets_its_own_style_in_and_nothing_else(readiness):
    page = readiness_page(readiness)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    assert f"style-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"<script|<link[^>]+href=\"(?!data:)|https?://(?!www\.w3\.org)|@import|url\(", page)


def test_names_from_the_data_are_text(readiness):
    page = readiness_page(readiness)
    assert "<script>" not in page
    assert EVIL in text_of(page)
    assert "Shop &amp; Sons" in page


def test_small_groups_are_not_shown(readiness):
    page = readiness_page(readiness)
    assert "≤7" in page
    assert "hidden" in text_of(re.sub(r"</?svg[^>]*>", " ", page)) or ">hidden<" in page
    assert "control: 4" not in text_of(page)


def test_a_month_with_a_handful_of_new_customers_is_not_drawn(readiness):
    months = (*FACTS.lines.months, Month(date(2024, 3, 1), 10, 100, 6))
    page = readiness_page(replace(readiness, facts=replace(FACTS, lines=replace(FACTS.lines, months=months))))
    assert "Feb 2024: 10<" in page
    assert "Mar 2024: 6<" not in page


def test_it_is_the_same_page_every_time(readiness):
    assert readiness_page(readiness) == readiness_page(readiness)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["yes"] * 5, "The data answer 5 of 5 questions"),
        (["yes", "with care", "no", "no", "with care"], "The data answer 1 of 5 questions, 2 more with care"),
        (["no", "with care", "no", "no", "no"], "The data answer 1 of 5 questions with care"),
        (["no"] * 5, "The data answer none of the 5 questions yet"),
    ],
)
def test_the_title_counts_the_answers(words, says):
    names = ("churn", "value", "rules", "offers", "uplift")
    assert title([Answer(name, word, "Why.") for name, word in zip(names, words, strict=True)]) == says


def test_a_day_that_was_asked_for_is_said_so(readiness):
    assert "the midnight after the last event" in text_of(readiness_page(readiness))
    asked = text_of(readiness_page(replace(readiness, is_own_end=False)))
    assert "as asked: what is later was left out" in asked
    assert "A night would stop now at contacts" in asked


@pytest.mark.parametrize("empty", [("lines", "churn", "baskets"), ("label",), ("trials",), ("contactable",)])
def test_what_the_data_do_not_have_leaves_no_empty_section(readiness, empty):
    gone = {name: () if name in {"trials", "contactable"} else None for name in empty}
    facts = replace(FACTS, **gone, n_campaigns=0 if "trials" in empty else 2)
    page = readiness_page(replace(readiness, facts=facts, answers=answers(facts)))
    sections = set(re.findall(r'<section class="chapter" id="(\w+)"', page))
    hidden = {"lines": {"lines", "customers"}, "churn": {"leaving"}, "contactable": {"permission"}}
    assert sections & set().union(*(hidden.get(name, {name}) for name in empty)) == set()
    assert {"tables", "completeness"} <= sections


def test_json_knows_no_nan_and_no_dates(readiness):
    found = json.loads(json.dumps(plain(readiness), allow_nan=False))
    assert found["as_of_on"] == "2024-07-01"
    assert found["facts"]["trials"][0]["detectable"][2]["smallest"] is None
    assert found["facts"]["lines"]["repeat"]["value"] == 0.66
    assert [one["word"] for one in found["answers"]] == [one.word for one in readiness.answers]


def test_the_terminal_tells_the_same(readiness):
    said = told(readiness)
    for answer in readiness.answers:
        assert answer.word in said
        assert answer.why[:30] in said
    for number in ("€1,234.56", "a price many", "66.0", "28 days it is.", "there/r.html", "1 July 2024"):
        assert number in said


def test_no_control_character_reaches_the_terminal(readiness):
    bad = replace(FACTS, label=replace(FACTS.label, column="left\x1b[31m[bold]"))
    said = told(replace(readiness, facts=bad, company="Shop\x07"))
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "[bold]" in said
