"""Blocks about models: floors, what moves the risk, whom a contact pays for, and the shadow of a candidate."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.report import facts
from pipelines.report.blocks import Table
from pipelines.report.card import card_page
from pipelines.report.leaving import leaving
from pipelines.report.models import (
    TABLES,
    effects_figure,
    floors_table,
    notes,
    rows,
    shadow_table,
    threshold_table,
    threshold_words,
)
from pipelines.report.night import Night
from pipelines.report.page import page
from pipelines.report.record import decisions


def _floors() -> pd.DataFrame:
    names = ["model", "reference", "slice", "n_rows", "metric", "candidate_value", "reference_value", "difference"]
    rows = [
        ("churn", "champion", "newest third", 700, "log_loss", 0.31, 0.29, 0.02, 0.01, 0.03, True),
        ("churn", "champion", "oldest third", 700, "log_loss", 0.21, 0.22, -0.01, -0.02, 0.01, False),
        ("churn", "champion", "region north", 3, "log_loss", np.nan, np.nan, np.nan, np.nan, np.nan, False),
    ]
    return pd.DataFrame(rows, columns=[*names, "difference_low", "difference_high", "is_broken"])


def _effects() -> pd.DataFrame:
    rows = [("rhythm", "n_orders_28d", 0.81, 0.77, 0.86), ("spend_84d_cents", "spend_84d_cents", 0.08, 0.07, 0.09)]
    columns = ["theme", "feature", "mean_effect", "low", "high"]
    return pd.DataFrame(rows, columns=columns).assign(raised_share=0.5, n_customers=453, version=1, is_serving=True)


def _thresholds() -> pd.DataFrame:
    row = {
        "version": 1, "n_customers": 500, "value_cents": 2_500.0, "cost_per_contact_cents": 5.0, "save_share": 0.1,
        "cost_threshold": 0.02, "cost_threshold_low": 0.018, "cost_threshold_high": 0.023, "best_threshold": 0.04,
        "best_threshold_low": 0.03, "best_threshold_high": 0.06, "best_share": 0.8, "profit_cents": 67.0,
        "profit_low_cents": 59.0, "profit_high_cents": 78.0, "half_profit_cents": 17.0, "everybody_profit_cents": 66.0,
    }  # fmt: skip
    return pd.DataFrame([row])


def _shadow() -> pd.DataFrame:
    rows = [
        ("churn", 2, "mean_difference", -0.0123, -0.02, -0.004, 2000),
        ("churn", 2, "rank_correlation", 0.97, 0.96, 0.98, 2000),
        ("churn", 2, "top_tenth_shared", 0.875, 0.8, 0.92, 2000),
        ("value", 3, "mean_difference", 125.0, 100.0, 150.0, 2400),
    ]
    columns = ["model", "candidate_version", "metric", "value", "low", "high", "n_customers"]
    return pd.DataFrame(rows, columns=columns)


def _serving(warning: str | None) -> pd.DataFrame:
    season = "no past year covers these weeks: risks stand on the base rate of the training dates"
    return pd.DataFrame([{"model": "churn", "version": 1, "warning": warning, "season": season}])


@pytest.fixture(scope="module")
def told(night: Night) -> Night:
    frames = dict(zip(TABLES, (_floors(), _effects(), _shadow(), _thresholds()), strict=True))
    frames["serving_models"] = _serving("leaving is rare or alike for all (b at its edge)")
    return replace(night, models=frames, versions={**night.versions, **dict.fromkeys(TABLES, 5)})


def texts(table: Table) -> list[list[str]]:
    assert {len(row) for row in table.rows} <= {len(table.heads)}
    return [
        [" ".join([cell.text, *cell.lines]).strip().replace("\N{NO-BREAK SPACE}", " ") for cell in row]
        for row in table.rows
    ]


def test_the_floors_are_shown_where_they_were_measured_and_the_others_are_counted(told: Night) -> None:
    table = floors_table(told)
    assert texts(table) == [
        ["churn", "newest third worse, beyond chance", "700", "0.310 Surprise (log loss)", "0.290 champion",
         "0.020 0.010 to 0.030"],
        ["churn", "oldest third", "700", "0.210 Surprise (log loss)", "0.220 champion", "−0.010 −0.020 to 0.010"],
    ]  # fmt: skip
    assert "1 kinds had too few customers" in table.note


def test_what_moves_the_risk_is_named_by_theme_and_feature(told: Night) -> None:
    figure = effects_figure(rows(told, "model_effects"))
    assert figure.title == "The risk is moved most by rhythm (mostly orders 28d)."
    assert "0.81  (0.77 to 0.86)" in figure.svg
    assert "spend 84d<" in figure.svg
    assert "goes together with leaving" in figure.note
    assert effects_figure([]).title == "What moves the risk on the whole is not known tonight."


def test_the_threshold_is_said_with_its_interval_and_what_a_half_would_miss(told: Night) -> None:
    first, second = (line.replace("\N{NO-BREAK SPACE}", " ") for line in threshold_words(told))
    assert first == (
        "A contact costs $0.05 and is assumed to keep 10 % of those who would leave. For a customer of average worth "
        "it pays from a churn probability of 2.0 % on (1.8 % to 2.3 %); on the list each one’s own worth decides."
    )
    listed = facts.contacts(told)
    risks = told.scores.set_index("customer_id")["churn_probability"]
    n = int((risks[listed.loc[listed["action"] == "retain", "customer_id"]] < 0.5).sum())
    assert second == f"{n} customers are on the list to be retained whom a threshold of a half would miss."


def test_each_way_to_choose_says_how_many_and_what_it_would_have_earned(told: Night) -> None:
    risks = told.scores["churn_probability"].dropna()
    found = texts(threshold_table(told))
    assert [row[0] for row in found] == [
        "Where the gain meets the cost", "Most profit at the judged date", "A half", "Everybody",
    ]  # fmt: skip
    assert [row[1] for row in found] == ["2.0 % 1.8 % to 2.3 %", "4.0 % 3.0 % to 6.0 %", "50.0 %", "0.0 %"]
    assert [int(row[2].replace(",", "")) for row in found] == [
        int((risks >= at).sum()) for at in (0.02, 0.04, 0.5, 0.0)
    ]
    assert [row[3] for row in found] == ["–", "$670 $590 to $780", "$170", "$660"]


def test_a_contact_that_never_pays_reaches_nobody(told: Night) -> None:
    dear = _thresholds().assign(cost_threshold=3.0, best_threshold=np.inf, best_threshold_low=0.9)
    found = texts(threshold_table(replace(told, models={**told.models, "contact_thresholds": dear})))
    assert [row[1].split(" ")[0] for row in found[:2]] == ["nobody", "nobody"]
    assert [row[2] for row in found[:2]] == ["0", "0"]


def test_few_customers_above_a_threshold_are_not_counted(told: Night) -> None:
    at = float(told.scores["churn_probability"].nlargest(3).min())
    rare = _thresholds().assign(cost_threshold=at)
    assert texts(threshold_table(replace(told, models={**told.models, "contact_thresholds": rare})))[0][2] == "–"


def test_the_shadow_is_told_in_the_unit_of_each_model(told: Night) -> None:
    found = texts(shadow_table(told))
    assert [row[3] for row in found] == [
        "−1.23 % −2.00 % to −0.40 %", "0.97 0.96 to 0.98", "87.5 % 80 % to 92 %", "$1.25 $1.00 to $1.50",
    ]  # fmt: skip
    assert found[0][0] == "churn version 2"


def test_what_the_model_says_of_itself_stands_in_the_section_on_leaving(told: Night) -> None:
    assert notes(told) == [
        "No past year covers these weeks: risks stand on the base rate of the training dates.",
        "The fit to purchases alone is to be doubted: leaving is rare or alike for all (b at its edge).",
    ]
    assert set(notes(told)) <= set(leaving(told).lede)
    assert len(notes(replace(told, models={"serving_models": _serving(None)}))) == 1


def test_the_page_names_the_tables_and_a_night_of_older_code_has_none(told: Night, night: Night) -> None:
    html = page(told)
    assert all(f"{table}@5" in html for table in TABLES)
    assert [block.key for block in decisions(night).blocks if isinstance(block, Table)] == ["gate"]
    assert notes(night) == threshold_words(night) == []


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_rows_is_no_stumbling_block(told: Night, table: str) -> None:
    assert page(replace(told, models={**told.models, table: told.models[table].iloc[:0]}))


def test_the_card_of_a_value_model_says_less(told: Night) -> None:
    made = {
        "model": "value", "version": 9, "sha256": "ab" * 32, "features_json": '["a", "b"]',
        "facts_json": '{"chosen": "even"}',
    }  # fmt: skip
    html = card_page(told, made)
    assert "No decision about it is recorded." in html
    assert "Ranking (AUC)" not in html
    assert "it knows nothing" in html
