"""Odd nights: nothing survived, nothing known, one customer, endless names. The page claims no more than the tables."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime
from html import unescape
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from rich.cells import cell_len

from pipelines.report import facts
from pipelines.report.night import Night
from pipelines.report.page import page
from pipelines.report.summary import MAX_LINES, WIDTH, summary
from pipelines.report.workbook import write_workbook

LONG = "Zoë’s “very” long & <odd> name, " * 40
RISKS = ["churn_probability", "churn_probability_low", "churn_probability_high"]


def words_of(night: Night) -> str:
    return words_in(page(night))


def words_in(html: str) -> str:
    """Return the text of a page, without its style, its script and the explanations of its words."""
    unread = r'<(style|script)\b.*?</\1>|<span class="tip".*?</span>|<dl class="glossary".*?</dl>|</?span[^>]*>'
    html = re.sub(r"<[^>]+>", " ", re.sub(unread, "", html, flags=re.DOTALL))
    return re.sub(r"\s+", " ", unescape(html)).replace("\N{NO-BREAK SPACE}", " ")


def no_rules(night: Night) -> Night:
    return replace(night, rules=night.rules.iloc[:0], texts={})


def no_campaigns(night: Night) -> Night:
    return replace(night, campaign_verdicts=night.campaign_verdicts.iloc[:0])


def no_contacts(night: Night) -> Night:
    left = {"action": "leave_alone", "category": None, "priority": pd.NA, "due_on": None}
    money = dict.fromkeys(night.actions.columns[night.actions.columns.str.endswith("_cents")], 0)
    arm = night.actions["arm"].where(night.actions["arm"] == "holdout", "none")
    return replace(night, actions=night.actions.assign(**left, **money, arm=arm))


def model_refused(night: Night) -> Night:
    """No churn model ships, so no probability is known; contacts are offers only."""
    unknown = pd.array([pd.NA] * len(night.scores), dtype="Int64")
    scores = night.scores.assign(**dict.fromkeys(RISKS, np.nan), value_at_risk_cents=unknown)
    refused = night.model_decisions.assign(decision="refused", difference_low=-0.1, difference_high=0.1)
    offers_only = night.actions["action"].replace("retain", "cross_sell")
    return replace(night, scores=scores, model_decisions=refused, actions=night.actions.assign(action=offers_only))


def one_customer(night: Night) -> Night:
    chosen = facts.contacts(night)["customer_id"].iloc[0]
    parts = {name: getattr(night, name) for name in ("scores", "actions", "offers")}
    alone = {name: frame[frame["customer_id"] == chosen] for name, frame in parts.items()}
    alone["actions"] = alone["actions"].assign(priority=1)
    return replace(night, **alone)


def nobody(night: Night) -> Night:
    return replace(night, **{name: getattr(night, name).iloc[:0] for name in ("scores", "actions", "offers")})


def endless_names(night: Night) -> Night:
    actions = night.actions.assign(reasons=LONG, owner=LONG, category=LONG)
    verdicts = night.campaign_verdicts.assign(name=LONG, words=LONG, campaign_id=LONG)
    rules = night.rules.assign(antecedents=LONG + night.rules["antecedents"], consequents=LONG)
    return replace(
        night, actions=actions, campaign_verdicts=verdicts, rules=rules, company=LONG, currency="Kč ",
        quality=night.quality.assign(expectation=LONG, detail=LONG, is_passed=False),
        model_decisions=night.model_decisions.assign(model=LONG, reason=LONG),
        versions={LONG: 1}, texts=dict.fromkeys(night.texts, LONG),
    )  # fmt: skip


def nothing_measured(night: Night) -> Night:
    empty = {
        name: getattr(night, name).iloc[:0]
        for name in ("metrics", "calibration", "base_rates", "gaps", "offer_quality")
    }
    return replace(night, **empty, sales_by_month=night.sales_by_month.iloc[:0], stage_seconds=None, mlflow_run_id="")


def measured_as_unknown(night: Night) -> Night:
    blank = dict.fromkeys(("value", "low", "high"), np.nan)
    return replace(
        night, metrics=night.metrics.assign(**blank), offer_quality=night.offer_quality.assign(**blank),
        calibration=night.calibration.assign(observed=np.nan, low=np.nan, high=np.nan),
    )  # fmt: skip


def first_night(night: Night) -> Night:
    """The day after the shop opened: one sale, no complete month, everybody new."""
    opened = night.sales_by_month.head(1).assign(month="2018-01", sales_cents=100)
    scores = night.scores.head(9).assign(is_eligible=True, lifecycle_state="new", churn_probability=0.0)
    return replace(no_contacts(night), scores=scores, sales_by_month=opened)


def all_held_out(night: Night) -> Night:
    return replace(no_contacts(night), actions=no_contacts(night).actions.assign(arm="holdout"))


def debts(night: Night) -> Night:
    """Everything that is worth something is worth less than nothing."""
    money = [name for name in night.actions.columns if name.endswith("_cents")]
    worse = night.actions.assign(**{name: -night.actions[name].abs() for name in money})
    sales = night.sales_by_month.assign(sales_cents=-night.sales_by_month["sales_cents"])
    return replace(night, actions=worse, sales_by_month=sales)


ODD: Mapping[str, Callable[[Night], Night]] = {
    change.__name__: change
    for change in (
        no_rules, no_campaigns, no_contacts, model_refused, one_customer, nobody, endless_names, nothing_measured,
        measured_as_unknown, first_night, all_held_out, debts,
    )
}  # fmt: skip


@pytest.fixture(scope="module", params=ODD.values(), ids=ODD)
def odd(request: pytest.FixtureRequest, small_night: Night) -> Night:
    return request.param(small_night)


@pytest.fixture(scope="module")
def html(odd: Night) -> str:
    return page(odd)


class TestEveryOddNight:
    def test_has_a_page_without_nulls_of_a_machine(self, html: str) -> None:
        words = words_in(html)
        assert not re.search(r"\b(nan|NaN|None|NaT|inf|<NA>)\b", words.replace(LONG, ""))
        assert not re.search(r"[$€]-|--|−−|\$–| 0 of 0 ", words)
        assert "Whom to contact tomorrow" in words

    def test_has_a_summary_that_fits_the_screen(self, odd: Night) -> None:
        lines = summary(odd, {"report": Path("report.html")})
        assert len(lines) <= MAX_LINES
        assert max(map(cell_len, lines)) <= WIDTH
        assert not re.search(r"\b(nan|None|NaT|inf)\b|<NA>", "\n".join(lines))

    def test_has_a_workbook_with_every_sheet(self, odd: Night, tmp_path: Path) -> None:
        write_workbook(odd, tmp_path / "a.xlsx")
        book = openpyxl.load_workbook(tmp_path / "a.xlsx")
        assert book["Contacts"].max_row == 1 + len(facts.contacts(odd))
        assert book["Customers"].max_row == 1 + len(odd.scores)

    def test_draws_inside_its_charts(self, html: str) -> None:
        numbers = re.findall(r'\b(?:x|y|x1|x2|y1|y2|cx|cy|width|height|r)="([^"]*)"', html)
        assert all(np.isfinite(float(number)) for number in numbers)
        assert all(float(number) >= 0 for number in re.findall(r'\b(?:width|height)="([^"]*)"', html))
        assert "nan" not in "".join(re.findall(r'(?: d| points)="([^"]*)"', html))


class TestWhatIsSaid:
    def test_no_rule_means_no_claim(self, night: Night) -> None:
        words = words_of(no_rules(night))
        assert "No rule survived, so nothing can be said to sell together." in words
        assert "Rules: no two things are bought together often enough to be tested." in words
        assert "times as often as chance would bring" not in words

    def test_no_campaign_means_no_verdict(self, night: Night) -> None:
        words = words_of(no_campaigns(night))
        assert "no campaign was judged" in words
        assert "randomised:" not in words

    def test_no_contact_means_no_money(self, night: Night) -> None:
        words = words_of(no_contacts(night))
        assert "Nobody needs to be contacted tomorrow" in words
        assert "are expected to bring" not in words
        assert "because they may leave" not in words

    def test_without_a_model_no_risk_is_claimed_and_none_denied(self, night: Night) -> None:
        refused = model_refused(night)
        words = words_of(refused)
        assert "The chance of leaving is not known tonight." in words
        assert "How much margin is at risk is not known tonight." in words
        assert "Value at risk – in the next 28 days" in words
        assert "$0" not in words.split("What to know")[0]
        assert "Refused: nothing comes into use" in words
        assert "because they may leave" not in words

    def test_one_customer_is_not_pointed_at_in_an_aggregate(self, night: Night) -> None:
        alone = one_customer(night)
        words = words_of(alone)
        state = str(alone.scores["lifecycle_state"].iloc[0]).capitalize()
        assert "Contact 1 customer tomorrow" in words
        assert f"{state} ≤7 – –" in words
        assert "Value at risk by lifecycle state" in words

    def test_all_held_out_is_said(self, night: Night) -> None:
        assert "A holdout of 2,469 customers is left alone on purpose" in words_of(all_held_out(night))

    def test_a_first_night_has_no_month_to_speak_of(self, night: Night) -> None:
        assert "There is no complete month of sales yet." in words_of(first_night(night))

    def test_debts_have_a_minus_before_the_currency(self, night: Night) -> None:
        assert "−$" in words_of(debts(night))

    def test_nothing_measured_is_no_praise(self, night: Night) -> None:
        for change in (nothing_measured, measured_as_unknown):
            words = words_of(change(night))
            assert "The model was not measured against the baseline tonight." in words
            assert "The model predicts leaving better" not in words
            assert "The chances mean what they say" not in words


def judged(night: Night, verdict: str, *, is_randomised: bool) -> Night:
    rows = night.campaign_verdicts.assign(verdict=verdict, is_randomised=is_randomised)
    return replace(night, campaign_verdicts=rows)


class TestCampaigns:
    @pytest.mark.parametrize("verdict", ["works", "does not", "not enough data"])
    def test_a_lot_may_speak_of_what_the_campaign_did(self, night: Night, verdict: str) -> None:
        assert "3 campaigns randomised: there the difference is the campaign’s doing." in words_of(
            judged(night, verdict, is_randomised=True)
        )

    def test_a_lot_that_the_data_contradict_may_not(self, night: Night) -> None:
        words = words_of(judged(night, "not proven", is_randomised=True))
        assert "the campaign’s doing" not in words
        assert "3 campaigns declared as randomised, which the data contradict: no effect is claimed." in words
        assert "Declared as randomised: 1,084 contacted" in words

    def test_a_choice_may_not(self, night: Night) -> None:
        words = words_of(judged(night, "not proven", is_randomised=False))
        assert "the campaign’s doing" not in words
        assert "They were not randomised" in words

    def test_each_kind_is_counted_apart(self, night: Night) -> None:
        rows = night.campaign_verdicts.assign(
            verdict=["works", "not proven", "not proven"], is_randomised=[True, True, False]
        )
        words = words_of(replace(night, campaign_verdicts=rows))
        for said in ("1 of them were not randomised", "1 campaign declared as randomised", "1 campaign randomised"):
            assert said in words

    def test_the_window_is_not_claimed_to_be_of_some_days(self, night: Night) -> None:
        section = words_of(night).split("Did campaigns work")[-1].split("Model decisions")[0]
        assert "28 days" not in section


@pytest.mark.parametrize(
    ("as_of", "day", "zone"),
    [
        (datetime(2020, 2, 28, 23), date(2020, 2, 29), "Europe/Berlin"),
        (datetime(2019, 12, 31, 10), date(2020, 1, 1), "Pacific/Kiritimati"),
        (datetime(2018, 11, 4, 3), date(2018, 11, 4), "America/Sao_Paulo"),
    ],
    ids=["leap day", "first to see the year", "a day that begins at one"],
)
def test_the_date_is_the_shops(night: Night, as_of: datetime, day: date, zone: str) -> None:
    words = words_of(replace(night, as_of=as_of, as_of_on=day, timezone=zone))
    assert f"As of {day.day} {day:%B} {day.year}," in words
    assert f"{as_of.isoformat(sep=' ')}, local time zone {zone}" in words
