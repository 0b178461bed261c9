"""The section on trust: it says how past scores came true, what moved and how old the models are, and no more."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.report.blocks import Figures, Section, Table
from pipelines.report.night import Night
from pipelines.report.page import page
from pipelines.report.trust import TABLES, trust

DATES = pd.to_datetime(["2017-11-06 05:00", "2017-12-03 05:00"])


def _drift() -> pd.DataFrame:
    rows = [
        ("recency_days", 0.51, 0.46, "11", 0.0, 0.51, True, "churn"),
        ("spend_28d_cents", 0.15, 0.06, "382100", 0.66, 0.51, True, "churn"),
        ("recency_days", 0.51, 0.45, "11", 0.0, 0.51, True, "value"),
        ("gap_variation", 0.12, 0.02, "missing", 0.42, 0.30, False, "churn"),
        ("churn_probability", 0.2, 0.08, "0.25", 0.4, 0.6, True, "churn"),
        ("tenure_days", 0.01, 0.0, "300", 0.4, 0.41, False, "churn"),
    ]
    columns = ["feature", "gap", "gap_low", "place", "tonight_share", "usual_share", "is_alarm", "model"]
    return pd.DataFrame(rows, columns=columns).assign(n_tonight=453, n_usual=1774, n_dates=5)


def _outcomes() -> pd.DataFrame:
    rows = [
        (DATES[0], "all", "churned_share", 0.10, 0.09, 0.11, 900),
        (DATES[0], "all", "predicted_share", 0.105, np.nan, np.nan, 900),
        (DATES[0], "all", "auc", 0.86, 0.83, 0.89, 900),
        (DATES[1], "all", "churned_share", 0.12, 0.11, 0.13, 950),
        (DATES[1], "all", "predicted_share", 0.09, np.nan, np.nan, 950),
        (DATES[1], "all", "auc", 0.85, 0.82, 0.88, 950),
        (DATES[1], "holdout", "churned_share", 0.09, 0.04, 0.16, 95),
        (DATES[1], "holdout", "predicted_share", 0.09, np.nan, np.nan, 95),
        (DATES[0], "holdout", "churned_share", 0.2, 0.0, 0.7, 5),
        (DATES[0], "holdout", "predicted_share", 0.2, np.nan, np.nan, 5),
    ]
    columns = ["scored_at", "customers", "metric", "value", "low", "high", "n_customers"]
    return pd.DataFrame(rows, columns=columns).assign(horizon_days=28)


def _serving() -> pd.DataFrame:
    rows = [("churn", 3, DATES[0], 200, True), ("value", 4, pd.NaT, None, False)]
    frame = pd.DataFrame(rows, columns=["model", "version", "trained_at", "age_days", "is_old"])
    return frame.astype({"age_days": "Int64"})


@pytest.fixture(scope="module")
def told(night: Night) -> Night:
    frames = {"drift": _drift(), "score_outcomes": _outcomes(), "serving_models": _serving()}
    return replace(night, models=frames, versions={**night.versions, **dict.fromkeys(TABLES, 3)})


@pytest.fixture(scope="module")
def section(told: Night) -> Section:
    return trust(told)


def texts(section: Section, key: str) -> list[list[str]]:
    (found,) = [block for block in section.blocks if isinstance(block, Table) and block.key == key]
    return [
        [" ".join([cell.text, *cell.lines]).strip().replace("\N{NO-BREAK SPACE}", " ") for cell in row]
        for row in found.rows
    ]


def with_models(night: Night, **frames: pd.DataFrame) -> Section:
    return trust(replace(night, models={**night.models, **frames}))


def test_the_opening_says_age_drift_and_that_the_scores_moved(section: Section) -> None:
    assert [line.replace("\N{NO-BREAK SPACE}", " ") for line in section.lede] == [
        "In use: churn version 3, trained 200 days ago; value version 4, trained at a time that is not recorded.",
        "The churn model is older than the settings allow: look at why none newer was promoted.",
        (
            "2 of 4 features moved beyond what past dates differ by: recency days, spend 28d. Read the scores "
            "with that in mind."
        ),
        (
            "The scores moved as well: 40 % of customers have a churn probability up to 0.25, 60 % had it at the dates "
            "the model was made on."
        ),
    ]


def test_what_was_said_stands_beside_what_came_true_newest_first_and_small_groups_are_left_out(
    section: Section,
) -> None:
    assert texts(section, "outcomes") == [
        ["3 Dec 17", "Everybody", "950", "9.0 %", "12.0 % 11.0 % to 13.0 %", "0.850 0.820 to 0.880", "–", "–"],
        ["3 Dec 17", "Holdout, contacted by nobody", "95", "9.0 %", "9.0 % 4.0 % to 16.0 %", "–", "–", "–"],
        ["6 Nov 17", "Everybody", "900", "10.5 %", "10.0 % 9.0 % to 11.0 %", "0.860 0.830 to 0.890", "–", "–"],
    ]
    (figures,) = [block for block in section.blocks if isinstance(block, Figures)]
    assert figures.items[0].title == "On 1 of 2 past dates as many left as the scores had said."
    assert "9.0\N{NO-BREAK SPACE}% were expected to" in figures.items[0].svg


def test_what_moved_is_named_once_with_its_unit_and_its_bound(section: Section) -> None:
    found = texts(section, "drift")
    assert [row[:2] for row in found] == [
        ["recency days moved beyond what is tolerated", "up to 11 days"],
        ["spend 28d moved beyond what is tolerated", "up to $3,821"],
        ["gap variation", "without a value"],
        ["churn probability moved beyond what is tolerated", "up to 25 %"],
    ]
    assert found[0][2:] == ["0 %", "51 %", "51 % at least 46 %"]


def test_a_quiet_night_says_so(told: Night) -> None:
    calm = _drift().assign(is_alarm=False)
    section = with_models(told, drift=calm, serving_models=_serving().assign(is_old=False))
    assert section.lede[1:] == ["0 of 4 features moved: tonight’s customers look like those the models were made for."]


@pytest.mark.parametrize("empty", [TABLES, *[(name,) for name in TABLES]])
def test_empty_tables_give_plain_sentences(told: Night, empty: tuple[str, ...]) -> None:
    section = with_models(told, **{name: told.models[name].iloc[:0] for name in empty})
    said = " ".join(section.lede)
    if "serving_models" in empty:
        assert "No model is in use: nobody has a churn probability." in said
    if "drift" in empty:
        assert "Whether customers have changed since the models were made is not known tonight." in said
    if "score_outcomes" in empty:
        (figures,) = [block for block in section.blocks if isinstance(block, Figures)]
        assert figures.items[0].title.startswith("No past score has come true yet")


def test_a_night_of_older_code_has_one_sentence(night: Night) -> None:
    assert trust(night).lede == ["How past scores came true was not looked at tonight."]


def test_the_page_holds_the_section(told: Night) -> None:
    html = page(told)
    assert 'id="trust"' in html
    assert "drift@3 · score_outcomes@3 · serving_models@3" in html
