"""The section on risk and value: it says what the tables say, hides small groups, and survives empty tables."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.report import portfolio_charts as charts
from pipelines.report.blocks import Figures, Section, Table
from pipelines.report.night import Night
from pipelines.report.page import page
from pipelines.report.portfolio import TABLES, portfolio
from pipelines.report.portfolio_charts import Series
from pipelines.report.svg import Title
from pipelines.report.words import percent

TITLE = Title("key", "Takeaway.", "What is drawn.")
DATES = pd.to_datetime(["2017-11-06 05:00", "2017-12-04 05:00", "2018-01-01 05:00"])
STATES = ("new", "active", "slipping", "lapsed", "regained")


def _at_risk() -> pd.DataFrame:
    rows = [
        ("all", "all", 1_200, 150.0, 900_000_00, 110_000_00, 80_000_00, 150_000_00),
        ("lifecycle_state", "active", 1_000, 90.0, 800_000_00, 70_000_00, 50_000_00, 99_000_00),
        ("rfm_segment", "Loyal", 700, 60.0, 500_000_00, 60_000_00, 41_000_00, 88_000_00),
        ("rfm_segment", "Champions", 497, 89.0, 399_000_00, 49_990_00, 30_000_00, 70_000_00),
        ("rfm_segment", "Promising", 3, 1.0, 1_000_00, 10_00, 5_00, 20_00),
        ("account_manager", "A. Novak", 1_200, 150.0, 900_000_00, 110_000_00, None, None),
    ]
    names = ["grouping", "group", "n_customers", "expected_leavers", "value_cents", "value_at_risk_cents"]
    return pd.DataFrame(rows, columns=[*names, "value_at_risk_low_cents", "value_at_risk_high_cents"])


def _moves() -> pd.DataFrame:
    rows = []
    for before, after in itertools.pairwise(DATES):
        for from_state in ("not yet a customer", *STATES):
            counts = [60, 30, 20, 9, 0] if from_state == "active" else [0, 10, 3, 12, 0]
            for to_state, n in zip(STATES, counts, strict=True):
                rows.append((before, after, from_state, to_state, n, sum(counts), n / sum(counts), 0.1, 0.6))
    names = ["from_at", "to_at", "from_state", "to_state", "n_customers", "n_from", "moved_share"]
    return pd.DataFrame(rows, columns=[*names, "moved_share_low", "moved_share_high"])


def _accounts() -> pd.DataFrame:
    one = {
        "rank": 1, "customer_id": "2001", "spend_cents": 990_000, "spend_share": 0.04, "spend_change": -0.31,
        "silence_ratio": 2.5, "n_open_cases": 1, "churn_probability": 0.42, "lifecycle_state": "slipping",
        "health": "at risk", "reasons": "silent for 2.5 times the usual gap; an open case",
        "changed": "slipping, was active", "value_at_risk_cents": 12_300, "value_at_risk_low_cents": 5_000,
        "value_at_risk_high_cents": 22_000, "account_manager": "A. Novak",
    }  # fmt: skip
    gone = one | {"rank": 2, "customer_id": "<b>7", "spend_change": np.nan, "churn_probability": np.nan, "changed": ""}
    gone |= {"health": "lapsed", "value_at_risk_cents": None, "value_at_risk_low_cents": None, "account_manager": None}
    return pd.DataFrame([one, gone | {"value_at_risk_high_cents": None}])


def _segments() -> pd.DataFrame:
    names = ["rfm_segment", "n_customers", "n_eligible", "spend_cents", "spend_share", "churn_share", "seen_share"]
    rows = [
        ("Champions", 600, 600, 5_000_000, 0.6, 0.03, 0.04, 0.02, 0.07, 580),
        ("Promising", 5, 5, 4_000, 0.1, 0.5, 0.5, 0.2, 0.8, 6),
        ("Lost", 300, 0, 100_000, 0.2, np.nan, np.nan, np.nan, np.nan, 0),
    ]
    return pd.DataFrame(rows, columns=[*names, "seen_share_low", "seen_share_high", "n_seen"])


@pytest.fixture(scope="module")
def told(night: Night) -> Night:
    curves = [
        ("lifecycle_state", state, float(days), n, share, share * 0.8, min(1, share * 1.2))
        for state, n, pace in (("active", 1_000, 10), ("new", 40, 30), ("regained", 4, 20))
        for days in (7, 14, 21, 28, 56)
        for share in (float(np.exp(-days / pace)),)
    ]
    shares = ["silent_share", "silent_share_low", "silent_share_high"]
    top = [("top 1 %", 7, 0.2, 0.1, 0.3), ("top 20 %", 240, 0.57, 0.5, 0.6), ("gini", 1_200, 0.55, 0.5, 0.6)]
    frames = {
        "value_at_risk": _at_risk(),
        "lifecycle_transitions": _moves(),
        "rfm_segments": _segments(),
        "key_accounts": _accounts(),
        "churn_curves": pd.DataFrame(curves, columns=["grouping", "group", "days", "n_customers", *shares]),
        "concentration": pd.DataFrame(top, columns=["measure", "n_customers", "value", "low", "high"]),
    }
    return replace(night, portfolio=frames, versions={**night.versions, **dict.fromkeys(TABLES, 3)})


@pytest.fixture(scope="module")
def section(told: Night) -> Section:
    return portfolio(told)


def table(section: Section, key: str) -> dict[str, list[tuple[str, ...]]]:
    """Return a table as first cell -> texts with their lines."""
    (found,) = [block for block in section.blocks if isinstance(block, Table) and block.key == key]
    assert {len(row) for row in found.rows} <= {len(found.heads)}
    return {" ".join([row[0].text, row[1].text]): [(cell.text, *cell.lines) for cell in row] for row in found.rows}


def titles(section: Section) -> list[str]:
    return [figure.title for block in section.blocks if isinstance(block, Figures) for figure in block.items]


class TestWords:
    def test_the_opening_says_how_many_leave_and_what_is_at_risk(self, section: Section) -> None:
        assert " ".join(section.lede) == (
            "Of 1,200 customers still buying, about 150 are expected to leave within 28 days. The value at risk is "
            "$110,000 ($80,000 to $150,000)."
        )

    def test_takeaways_are_those_of_the_tables(self, section: Section) -> None:
        assert titles(section) == [
            "Most margin at risk sits with the segment “Loyal”.",
            "57\N{NO-BREAK SPACE}% of the year’s sales come from the top 20 % of customers.",
            "35 customers are slipping, against 25 on 6 Nov 17.",
            "50\N{NO-BREAK SPACE}% of active customers buy again within 7 days.",
        ]

    def test_it_names_all_its_tables(self, section: Section) -> None:
        assert all(f"{name}@3" in section.source for name in TABLES)


class TestTables:
    def test_value_at_risk_has_its_range_and_none_where_there_is_no_bound(self, section: Section) -> None:
        rows = table(section, "risk-value")
        assert rows["RFM segment Loyal"][5] == ("$60,000", "$41,000 to $88,000")
        assert rows["Account manager A. Novak"][5] == ("$110,000", "")

    def test_small_groups_show_neither_size_nor_money(self, section: Section) -> None:
        rows = table(section, "risk-value")
        assert [cell[0] for cell in rows["RFM segment Promising"][2:]] == ["≤7", "–", "–", "–"]
        assert rows["RFM segment Champions"][2] == ("hidden",)
        segments = table(section, "rfm")
        assert [cell[0] for cell in segments["Promising ≤7"][1:]] == ["≤7", "–", "–", "–", "–"]

    def test_moves_are_those_to_the_newest_date(self, section: Section) -> None:
        rows = table(section, "moves")
        shares = [cell[0].replace("\N{NO-BREAK SPACE}", " ") for cell in rows["Active 119"]]
        assert shares == ["Active", "119", "50 %", "25 %", "17 %", "8 %", "–"]
        assert [cell[0] for cell in rows["Lapsed 25"][2:5]] == ["–", "hidden", "≤7"]

    def test_a_segment_in_which_nobody_buys_has_no_chance(self, section: Section) -> None:
        assert [cell[0] for cell in table(section, "rfm")["Lost hidden"][4:]] == ["–", "–"]

    def test_an_account_shows_health_reasons_money_and_what_changed(self, section: Section) -> None:
        row = table(section, "accounts")["2001 At risk"]
        assert row[0] == ("2001", "A. Novak")
        assert row[1] == ("At risk", "silent for 2.5 times the usual gap; an open case")
        assert row[2][0] == "$9,900"
        assert row[2][2].replace("\N{NO-BREAK SPACE}", " ") == "pace −31 %"
        assert row[4] == ("$123", "$50 to $220")
        assert row[5] == ("slipping, was active",)

    def test_an_account_of_which_little_is_known_shows_dashes(self, section: Section) -> None:
        row = table(section, "accounts")["<b>7 Lapsed"]
        assert [cell[0] for cell in row[3:]] == ["–", "–", "–"]
        assert row[0] == ("<b>7", "")


class TestPage:
    def test_it_is_on_the_page_and_escaped(self, told: Night) -> None:
        html = page(told)
        assert 'id="portfolio"' in html
        assert "&lt;b&gt;7" in html
        assert "<b>7" not in html

    def test_small_groups_have_no_curve(self, told: Night) -> None:
        drawn = page(told)
        assert "New 15" in drawn
        assert "Regained 6" not in drawn

    def test_empty_tables_say_that_nothing_is_known(self, told: Night) -> None:
        empty = replace(told, portfolio={name: frame.iloc[:0] for name, frame in told.portfolio.items()})
        found = portfolio(empty)
        assert found.lede[0].startswith("No chance of leaving is known")
        assert sum("not known" in title for title in titles(found)) == 3
        assert "nothing to draw" in page(empty)


class TestCharts:
    def test_rows_share_one_scale_and_what_is_not_known_is_not_drawn(self) -> None:
        drawn = charts.rows(TITLE, ["1", "2"], [Series("a", [10, 20]), Series("b", [5, float("nan")])], "{:g}".format)
        heights = [float(part.split('"')[0]) for part in drawn.split('height="')[1:]]
        assert heights == [16, 32, 8]

    def test_names_at_the_ends_of_curves_never_cover_each_other(self) -> None:
        series = [Series(name, [0.5, 0.2]) for name in "abcde"]
        drawn = charts.curves(TITLE, [7, 14], series, percent, at=7, at_words="gone")
        places = [
            float(part.split('y="')[1].split('"')[0]) for part in drawn.split("<text")[1:] if 'class="label"' in part
        ]
        assert len(places) == 5
        assert np.diff(sorted(places)).min() >= 16.9
        assert max(places) <= 240

    def test_each_curve_has_dashes_of_its_own(self) -> None:
        series = [Series(name, [0.5, 0.2]) for name in "abcde"]
        drawn = charts.curves(TITLE, [7, 14], series, percent, at=7, at_words="gone")
        lines = drawn.split("<polyline")[1:]
        dashes = [part.split('stroke-dasharray="')[1].split('"')[0] if "dasharray" in part else "" for part in lines]
        assert len(set(dashes)) == 5

    @pytest.mark.parametrize(
        "draw",
        [lambda: charts.rows(TITLE, [], [], percent), lambda: charts.curves(TITLE, [], [], percent, at=1, at_words="")],
    )
    def test_nothing_to_draw_is_said(self, draw) -> None:
        assert "nothing to draw" in draw()
