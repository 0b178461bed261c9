"""Numbers and names as a person reads them."""

from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.privacy import SUPPRESSION
from pipelines.report import words


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA, pd.NaT])
def test_what_is_unknown_is_a_dash_in_every_format(nothing: object) -> None:
    assert words.count(nothing) == words.NOTHING
    assert words.number(nothing) == words.NOTHING
    assert words.share(nothing) == words.NOTHING
    assert words.money(nothing, "$") == words.NOTHING
    assert not words.is_known(nothing)


@pytest.mark.parametrize(
    ("cents", "written"),
    [(0, "€0.00"), (1, "€0.01"), (-1, "−€0.01"), (-0.0, "€0.00"), (123_456_789, "€1,234,567.89"), (-99, "−€0.99")],
)
def test_money_is_exact_and_has_a_true_minus(cents: float, written: str) -> None:
    assert words.money(cents, "€") == written


def test_whole_money_that_rounds_to_zero_has_no_sign() -> None:
    assert words.money(-20, "$", is_whole=True) == "$0"
    assert words.money(-60, "$", is_whole=True) == "−$1"


@given(st.integers(-(10**12), 10**12))
def test_money_reads_back_to_its_cents(cents: int) -> None:
    written = words.money(cents, "$").replace("−", "-").replace("$", "").replace(",", "")
    assert round(float(written) * 100) == cents


def test_counts_never_lose_digits_of_large_integers() -> None:
    assert words.count(10**15 + 1) == "1,000,000,000,000,001"
    assert words.count(7.0) == "7"


def test_numbers_near_zero_have_no_minus_and_infinity_has_a_sign() -> None:
    assert words.number(-0.0001) == "0.00"
    assert words.number(-0.01) == "−0.01"
    assert words.number(float("-inf")) == "−∞"


def test_a_share_never_breaks_before_its_sign() -> None:
    assert words.share(0.2, 0) == "20\N{NO-BREAK SPACE}%"
    assert words.percent(0.5) == "50\N{NO-BREAK SPACE}%"
    assert words.percent(0.055) == "5.5\N{NO-BREAK SPACE}%"


def test_an_interval_with_an_unknown_end_is_not_written() -> None:
    assert words.between("1", words.NOTHING) == ""
    assert words.between("1", "2") == "1 to 2"


def test_dates_do_not_depend_on_the_locale() -> None:
    assert words.day(date(2017, 12, 31)) == "31 December 2017"
    assert words.short_day(date(2017, 3, 2)) == "2 Mar 17"
    assert words.month(date(2017, 3, 1)) == words.month("2017-03-01 00:00:00") == "Mar 2017"


def test_nouns_follow_their_number() -> None:
    assert words.things(1, "row was", "rows were") == "1 row was"
    assert words.things(0, "row was", "rows were") == "0 rows were"


def test_an_unknown_name_is_shown_as_it_is() -> None:
    assert words.label(words.ACTIONS, "win_back") == "win back"
    assert words.label(words.ACTIONS, "cross_sell") == "Offer"


def test_the_threshold_is_the_one_of_the_privacy_room() -> None:
    assert words.SMALL_COUNT == SUPPRESSION - 1
    assert words.guarded([SUPPRESSION - 1])[0] == f"≤{SUPPRESSION - 1}"
    assert words.guarded([SUPPRESSION])[0] == str(SUPPRESSION)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_no_small_group_shows_or_follows_by_subtraction_from_the_total(counts: list[int]) -> None:
    written = words.guarded(counts)
    for n, said in zip(counts, written, strict=True):
        assert not 0 < n <= words.SMALL_COUNT or not words.is_shown(said)
        assert not words.is_shown(said) or said == f"{n:,}"
    unseen = [n for n, said in zip(counts, written, strict=True) if not words.is_shown(said)]
    others = [n for n in counts if n > words.SMALL_COUNT]
    assert len(unseen) != 1 or not others


def test_nothing_is_hidden_where_no_group_is_small() -> None:
    assert words.guarded([0, 8, 900]) == ["0", "8", "900"]


def test_the_smallest_of_the_others_is_hidden_beside_a_lone_small_group() -> None:
    assert words.guarded([500, 20, 3, 80]) == ["500", "hidden", "≤7", "80"]
    assert words.guarded([500, 2, 3]) == ["500", "≤7", "≤7"]
