"""The numbers that report, summary and workbook share."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.report import facts
from pipelines.report.night import COLUMNS, Night

Change = Callable[..., Night]


def test_contacts_are_the_chosen_who_are_not_held_out_in_order_of_priority(night: Night) -> None:
    chosen = facts.contacts(night)
    assert set(chosen["arm"]) == {"action"}
    assert "leave_alone" not in set(chosen["action"])
    assert chosen["priority"].is_monotonic_increasing
    assert not set(chosen["customer_id"]) & set(facts.held_out(night)["customer_id"])


def test_the_groups_cover_every_customer_once(night: Night) -> None:
    together = pd.concat([rows for _, _, rows in facts.groups(night)])
    assert sorted(together["customer_id"]) == sorted(night.actions["customer_id"])


def test_net_value_adds_up_the_contacts(night: Night) -> None:
    chosen = facts.contacts(night)
    net = facts.net_value(chosen)
    assert net.value == chosen["expected_net_value_cents"].sum()
    assert net.low < net.value < net.high


def test_quarantine_and_reconciliation(night: Night, changed: Change) -> None:
    assert facts.quarantined(night) == 49
    assert facts.is_reconciled(night)
    assert not facts.is_reconciled(changed("reconciliation", n_accepted=1))
    assert not facts.is_reconciled(changed("reconciliation", in_cents=5))


def test_the_gravest_failed_expectation_comes_first(night: Night) -> None:
    rows = night.quality.assign(is_passed=False).sample(frac=1, random_state=1)
    assert list(facts.failed(replace(night, quality=rows))["severity"]) == ["critical", "reject", "reject", "warning"]


def test_a_metric_that_was_not_measured_is_null(night: Night, changed: Change) -> None:
    assert facts.metric(night, "no such model", "auc") is None
    assert facts.metric(changed("metrics", value=np.nan), facts.TONIGHT, "auc") is None


@pytest.mark.parametrize(
    ("metric", "low", "high", "words"),
    [
        ("auc", 0.01, 0.05, "better than"),
        ("auc", -0.05, -0.01, "worse than"),
        ("auc", -0.01, 0.05, "not clearly"),
        ("log_loss", 0.01, 0.05, "worse than"),
        ("log_loss", -0.05, -0.01, "better than"),
        ("log_loss", -0.05, 0.01, "not clearly"),
    ],
)
def test_the_claim_against_the_baseline_follows_the_paired_interval(
    changed: Change, metric: str, low: float, high: float, words: str
) -> None:
    assert words in facts.against_baseline(
        changed("model_decisions", metric=metric, difference_low=low, difference_high=high)
    )


def test_a_comparison_with_the_champion_is_not_one_with_the_baseline(night: Night) -> None:
    other = night.model_decisions.assign(reference="champion", difference_low=0.1, difference_high=0.2)
    assert "better than" in facts.against_baseline(replace(night, model_decisions=other))
    wide = night.metrics.assign(low=0.5, high=0.99)
    assert "not clearly" in facts.against_baseline(replace(night, model_decisions=other, metrics=wide))


def test_without_a_paired_interval_overlapping_intervals_claim_nothing(night: Night) -> None:
    unpaired = replace(night, model_decisions=night.model_decisions.iloc[:0])
    assert "better than" in facts.against_baseline(unpaired)
    wide = night.metrics.assign(low=0.5, high=0.99)
    assert "not clearly" in facts.against_baseline(replace(unpaired, metrics=wide))


def test_nothing_is_claimed_where_nothing_was_measured(empty_night: Night) -> None:
    assert "not measured" in facts.against_baseline(empty_night)
    assert facts.verdict_counts(empty_night) == "no campaign was judged"


def test_verdicts_are_counted_in_their_own_words(night: Night, changed: Change) -> None:
    assert facts.verdict_counts(night) == "3 “not proven”"
    assert facts.verdict_counts(changed("campaign_verdicts", verdict="works")) == "2 “not proven”, 1 “works”"


def test_rules_that_survived_are_the_models_sentence_or_the_tables_count(night: Night) -> None:
    assert facts.rules_survived(night) == "31 of 412 candidate rules survived"
    n = int(night.rules["is_confirmed"].sum())
    assert facts.rules_survived(replace(night, texts={})).startswith(f"{n} of {len(night.rules)} rules")


def test_the_month_that_is_not_over_is_left_out(night: Night) -> None:
    assert len(facts.complete_months(night)) == 12
    earlier = replace(night, as_of_on=night.as_of_on.replace(year=2017, month=12))
    assert facts.complete_months(earlier)["month"].iloc[-1] == "2017-11"
    dates = night.sales_by_month.assign(month=pd.to_datetime(night.sales_by_month["month"]))
    assert len(facts.complete_months(replace(night, sales_by_month=dates))) == 12


@pytest.mark.parametrize("frame", sorted(COLUMNS))
def test_a_missing_column_is_named(night: Night, frame: str) -> None:
    column = COLUMNS[frame][-1]
    with pytest.raises(ValueError, match=f"{frame} lacks the columns {column}"):
        replace(night, **{frame: getattr(night, frame).drop(columns=column)})


def test_sources_name_the_version_of_each_table(night: Night, empty_night: Night) -> None:
    assert night.source("scores", "rules") == "scores@2 · rules@3"
    assert empty_night.source("scores") == "scores@unversioned"
