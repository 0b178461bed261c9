"""What each section says, before it becomes HTML."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from pipelines.report import facts
from pipelines.report.blocks import Cards, Cell, Figure, Figures, Section, Table, floats, real, rows_of
from pipelines.report.leaving import leaving
from pipelines.report.night import Night
from pipelines.report.record import campaigns, decisions, quality, trace
from pipelines.report.sections import SECTIONS, headline
from pipelines.report.together import together
from pipelines.report.whom import whom

Change = Callable[..., Night]


def table(section: Section, key: str) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table) and block.key == key)


def figures(section: Section) -> list[Figure]:
    return [figure for block in section.blocks if isinstance(block, Figures) for figure in block.items]


def texts(block: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in block.rows]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_has_a_cell_for_every_column(night: Night, section: Callable[[Night], Section]) -> None:
    for block in section(night).blocks:
        if isinstance(block, Table):
            assert {len(row) for row in block.rows} <= {len(block.heads)}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_takeaway_is_one_sentence(night: Night, section: Callable[[Night], Section]) -> None:
    for figure in figures(section(night)):
        assert figure.title.endswith(".")
        assert ". " not in figure.title
        assert figure.title[0].isupper() or figure.title[0].isdigit() or figure.title[0] in "“$"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_names_its_source(night: Night, section: Callable[[Night], Section]) -> None:
    assert "@" in section(night).source or night.run_key in section(night).source


def test_actions_add_up_to_all_customers(night: Night) -> None:
    rows = texts(table(whom(night), "by-action"))
    assert [row[0] for row in rows] == ["Retain", "Offer", "Held out", "Leave alone"]
    assert sum(int(row[1].replace(",", "")) for row in rows) == len(night.scores)
    assert [row[2] == "–" for row in rows] == [False, False, True, True]


def test_a_small_group_of_actions_shows_neither_size_nor_money(night: Night) -> None:
    few = night.actions["action"].where(night.actions["action"] != "retain", "cross_sell")
    place = facts.contacts(night).index[:3]
    few.loc[place] = "retain"
    rows = table(whom(replace(night, actions=night.actions.assign(action=few))), "by-action").rows
    assert rows[0] == (Cell("Retain"), Cell("≤7"), Cell("–"))
    assert sum(row[1].text == "hidden" for row in rows) == 1
    assert all(not row[1].sort for row in rows if row[1].text in {"≤7", "hidden"})


def test_a_contact_row_holds_value_interval_reason_date_and_owner(changed: Change, night: Night) -> None:
    first = facts.contacts(night).iloc[0]
    row = table(whom(night), "contacts").rows[0]
    assert row[1].text == first["customer_id"]
    assert row[3].sort == str(first["expected_net_value_cents"])
    assert row[3].lines[0].count("$") == 2
    assert "svg" in row[3].svg
    assert row[4].lines == tuple(first["reasons"].split("; "))
    assert (row[5].text, row[6].text) == ("2018-01-02", first["owner"])


@pytest.mark.parametrize("due", [date(2018, 1, 4), pd.Timestamp("2018-01-04"), "2018-01-04"])
def test_a_due_date_is_written_alike_whatever_its_type(night: Night, due: object) -> None:
    dated = night.actions.assign(due_on=pd.Series([due] * len(night.actions), dtype="object"))
    assert table(whom(replace(night, actions=dated)), "contacts").rows[0][5].text == "2018-01-04"


def test_unknown_reason_owner_and_interval_leave_room_not_nan(night: Night) -> None:
    bare = night.actions.assign(
        reasons=None, owner=None, due_on=None, category=None, expected_net_value_low_cents=pd.NA,
        expected_net_value_high_cents=pd.NA,
    )  # fmt: skip
    row = table(whom(replace(night, actions=bare)), "contacts").rows[0]
    assert row[3].lines == ("",)
    assert row[4].lines == ()
    assert (row[5].text, row[6].text) == ("–", "–")


def test_the_risk_sentence_counts_the_eligible_below_a_fifth(night: Night) -> None:
    risks = night.scores.loc[night.scores["is_eligible"], "churn_probability"]
    title = figures(leaving(night))[0].title
    assert title.startswith(f"{(risks < 0.2).sum():,} of {len(risks):,} customers")


def test_the_risk_sentence_hides_a_small_group(night: Night) -> None:
    risks = night.scores["churn_probability"].mask(night.scores["is_eligible"], 0.9)
    risks.loc[night.scores.index[night.scores["is_eligible"]][:3]] = 0.05
    shy = replace(night, scores=night.scores.assign(churn_probability=risks))
    assert figures(leaving(shy))[0].title.startswith("The chance of leaving, for ")


def test_probabilities_at_both_ends_are_counted(night: Night) -> None:
    edges = night.scores["churn_probability"].where(night.scores["churn_probability"].isna(), 1.0)
    svg = figures(leaving(replace(night, scores=night.scores.assign(churn_probability=edges))))[0].svg
    assert (
        f"95\N{NO-BREAK SPACE}% to 100\N{NO-BREAK SPACE}%: {int(night.scores['is_eligible'].sum()):,} customers" in svg
    )


def test_states_come_in_their_natural_order_and_sum_to_the_headline(night: Night) -> None:
    rows = texts(table(leaving(night), "states"))
    assert [row[0] for row in rows] == ["New", "Active", "Slipping", "Lapsed"]
    total = sum(int(row[3].replace("$", "").replace(",", "")) for row in rows if row[3] != "–")
    assert total == pytest.approx(night.scores["value_at_risk_cents"].sum() / 100, abs=2)


def test_calibration_says_when_to_be_careful(night: Night) -> None:
    assert figures(leaving(night))[2].title.startswith("The chances mean what they say: 9 of 10")
    off = night.calibration.assign(low=0.98, high=0.99)
    assert figures(leaving(replace(night, calibration=off)))[2].title.startswith("Read the chances with care: only 0")


def test_metrics_stand_beside_the_baseline_with_intervals(night: Night) -> None:
    block = table(leaving(night), "metrics")
    assert [head.text for head in block.heads] == [
        "Measure", "Tonight’s model", "Logistic model", "Days since last purchase",
    ]  # fmt: skip
    assert all(" to " in cell.lines[0] for row in block.rows for cell in row[1:])
    assert block.rows[0][0].text == "Ranking (AUC)"


def test_a_metric_that_one_model_lacks_is_a_dash(night: Night) -> None:
    partial = night.metrics[~((night.metrics["model"] == "recency") & (night.metrics["metric"] == "ece"))]
    assert texts(table(leaving(replace(night, metrics=partial)), "metrics"))[-1][-1] == "–"


def test_base_rates_are_dated_in_local_time(night: Night) -> None:
    svg = figures(leaving(night))[4].svg
    assert "1 May 17" in svg
    assert "1 Nov 17" in svg


def test_the_horizon_is_marked_on_the_pauses(night: Night) -> None:
    figure = figures(leaving(night))[5]
    assert "end within 28 days." in figure.title
    assert ">28 days<" in figure.svg


def test_rules_are_ordered_by_lift_and_confirmed(night: Night) -> None:
    lifts = [float(row[1]) for row in texts(table(together(night), "rules"))]
    assert lifts == sorted(lifts, reverse=True)
    assert len(lifts) == 15
    assert min(lifts) > 2


def test_an_infinite_lift_does_not_break_the_page(changed: Change) -> None:
    assert "∞" in texts(table(together(changed("rules", adjusted_lift=np.inf, is_confirmed=True)), "rules"))[0]


def test_rules_that_the_season_makes_are_counted(night: Night) -> None:
    notes = []
    for p_value in (0.4, 1e-9):
        rules = night.rules.assign(is_confirmed=True, within_month_p_value=p_value)
        notes.append(table(together(replace(night, rules=rules)), "rules").note)
    assert "The season makes" in notes[0]
    assert "The season makes" not in notes[1]


def test_a_verdict_card_says_how_the_groups_came_about(night: Night, changed: Change) -> None:
    def first(of: Night) -> str:
        return next(block for block in campaigns(of).blocks if isinstance(block, Cards)).items[0].lines[0]

    assert first(night) == "Not randomised: 1,084 contacted, 1,380 compared."
    assert first(changed("campaign_verdicts", is_randomised=True, verdict="works")).startswith("Randomised: ")
    assert first(changed("campaign_verdicts", is_randomised=True)).startswith("Declared as randomised: ")
    assert "≤7 contacted, hidden compared" in first(changed("campaign_verdicts", n_treated=5))


def test_a_campaign_without_a_name_goes_by_its_id(changed: Change) -> None:
    assert texts(table(campaigns(changed("campaign_verdicts", name=None)), "effect-table"))[0][0] == "8"


def test_a_refusal_stands_with_its_reason_and_interval(night: Night) -> None:
    churn, offers = table(decisions(night), "gate").rows
    assert churn[1].text.startswith("Promoted")
    assert offers[1].text.startswith("Refused")
    assert offers[1].lines == ("the interval of the difference contains 0",)
    assert offers[4].lines == ("−0.002 to 0.008",)
    assert churn[2].lines == ("Surprise (log loss)",)


def test_money_stands_below_the_rows_it_is_on(night: Night) -> None:
    rows = {row[0].text: row for row in table(quality(night), "reconciliation").rows}
    assert [cell.text for cell in rows["transactions"][1:]] == ["1,469,307", "1,469,258", "49", "0"]
    assert [cell.lines[0] for cell in rows["transactions"][1:]] == ["$4,596,039.58", "$4,596,027.06", "$12.52", "$0.00"]
    assert rows["customers"][1].lines == ("",)


def test_only_expectations_that_failed_are_listed(night: Night) -> None:
    assert [row[1] for row in texts(table(quality(night), "failures"))] == [
        "amount without quantity",
        "product is known",
    ]
    assert "2 of 4 expectations held." in quality(night).lede


def test_the_trace_lists_every_published_version(night: Night) -> None:
    listed = {row[0]: row[1] for row in texts(table(trace(night), "versions"))}
    assert listed == {name: str(version) for name, version in night.versions.items()}


def test_sales_are_compared_with_the_month_before(night: Night) -> None:
    sales = night.sales_by_month.assign(sales_cents=[1] * 10 + [10_000, 7_500])
    figure = headline(replace(night, sales_by_month=sales)).figures.items[0]
    assert figure.title == "Sales were $75 in Dec 2017, 25.0\N{NO-BREAK SPACE}% below Nov 2017."
    one = replace(night, sales_by_month=sales.tail(1))
    assert headline(one).figures.items[0].title == "Sales were $75 in Dec 2017."


def test_large_money_is_short_on_an_axis(night: Night) -> None:
    sales = night.sales_by_month.assign(sales_cents=250_000_000_00)
    assert "$250m" in headline(replace(night, sales_by_month=sales)).figures.items[0].svg


def test_the_reasons_in_the_headline_count_the_contacts(night: Night) -> None:
    chosen = facts.contacts(night)["action"].value_counts()
    said = headline(night).lede[1]
    assert said.startswith(f"{chosen['retain']} because they may leave")
    assert f"{chosen['cross_sell']} because they are likely" in said


def test_cells_read_nulls_of_every_kind() -> None:
    frame = pd.DataFrame({"a": pd.Series([1, None], dtype="Int64"), "b": [None, 2.0]})
    assert np.isnan(floats(frame["a"])[1])
    assert np.isnan(real(pd.NA))
    assert np.isnan(real(None))
    assert real("1.5") == 1.5
    assert list(rows_of(frame)[0]) == ["a", "b"]
