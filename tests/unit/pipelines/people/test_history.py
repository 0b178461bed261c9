"""What happened with a customer, month by month, and how it is drawn on page and terminal."""

import itertools
import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.portrait import Standing
from pipelines.history import N_MONTHS, Event, Month, Order, months
from pipelines.report import portrait_charts as charts
from pipelines.report.portrait_summary import bar, strip
from pipelines.report.portrait_words import place_words

DAY = date(2024, 9, 1)
days = st.dates(date(2020, 1, 1), date(2024, 12, 31))


def bought(on, cents=1_000, *, is_purchase=True):
    return Order(on, cents, 2, is_purchase)


def euros(cents):
    return f"€{cents / 100:.0f}"


class TestMonths:
    def test_quiet_months_are_there_too_up_to_the_last_known_day(self):
        found = months([bought(date(2024, 5, 31))], [], DAY)
        assert [(one.month.month, one.n_orders, one.spend_cents) for one in found] == [
            (5, 1, 1_000),
            (6, 0, 0),
            (7, 0, 0),
            (8, 0, 0),
        ]

    def test_what_was_only_brought_back_is_money_and_no_order(self):
        (found,) = months([bought(date(2024, 8, 2), -500, is_purchase=False)], [], DAY)
        assert (found.n_orders, found.spend_cents) == (0, -500)

    def test_campaigns_and_complaints_are_counted_and_other_things_are_not(self):
        kinds = ("campaign", "campaign", "complaint", "feedback", "contract")
        (found,) = months([], [Event(date(2024, 8, 3), kind, kind) for kind in kinds], DAY)
        assert (found.n_campaigns, found.n_complaints) == (2, 1)

    def test_nobody_has_no_months(self):
        assert months([], [], DAY) == ()

    @given(st.lists(days, max_size=20), days)
    def test_months_have_no_gaps_and_lose_no_recent_money(self, dates, end):
        made = [bought(on) for on in dates if on < end]
        found = months(made, [], end)
        firsts = [one.month for one in found]
        assert len(found) <= N_MONTHS
        assert all((one + timedelta(days=31)).replace(day=1) == other for one, other in itertools.pairwise(firsts))
        if made:
            assert firsts[-1] == (end - timedelta(days=1)).replace(day=1)
            assert sum(one.n_orders for one in found) == sum(one.on >= firsts[0] for one in made)


class TestCharts:
    def test_bars_are_as_high_as_their_money(self):
        found = [Month(date(2024, place, 1), 1, 1_000 * place, 0, 0) for place in (1, 2, 4)]
        heights = [
            float(one) for one in re.findall(r'height="([\d.]+)" class="fill"', charts.months(found, euros, "w"))
        ]
        assert heights == pytest.approx([heights[0], 2 * heights[0], 4 * heights[0]], abs=0.2)

    def test_every_order_campaign_and_complaint_of_the_window_is_drawn_once(self):
        made = [bought(date(2024, 8, day)) for day in (1, 9, 20)] + [bought(date(2023, 1, 1))]
        events = [Event(date(2024, 8, 5), kind, f"<{kind}>") for kind in ("campaign", "complaint", "contract")]
        drawn = charts.timeline(made, events, (date(2024, 8, 1), DAY), euros, "w")
        assert drawn.count('class="stem"') == 3
        assert drawn.count('class="cross"') == 1
        assert "&lt;complaint&gt;" in drawn
        assert ">campaigns</text>" in drawn
        assert ">said</text>" not in drawn, "a row without anything is no row"

    def test_what_was_only_brought_back_is_an_empty_dot(self):
        made = [bought(date(2024, 8, 1), -500, is_purchase=False)]
        drawn = charts.timeline(made, [], (date(2024, 8, 1), DAY), euros, "w")
        assert drawn.count('class="open"') == 1
        assert 'class="dot"' not in drawn

    def test_nothing_draws_nothing(self):
        assert charts.months((), euros, "w") == ""
        assert charts.timeline([], [], (DAY, DAY), euros, "w") == ""
        assert charts.strip(Standing("x", 1.0), "w") == ""

    @pytest.mark.parametrize("below", [0.0, 0.5, 1.0])
    def test_the_dot_stands_where_the_customer_does(self, below):
        one = Standing("x", 1.0, 0, 1, 2, share_below=below, share_above=1 - below, n_others=9)
        (x,) = re.findall(r'<circle cx="([\d.]+)"', charts.strip(one, "w"))
        assert float(x) == pytest.approx(4 + below * 132)
        assert strip(one).index("●") == below * 20


class TestWords:
    def test_a_rounded_share_does_not_become_all(self):
        one = Standing("x", 1.0, 0, 1, 2, share_below=0.999, share_above=0.0, n_others=2_000)
        assert place_words(one) == "more than 99\xa0% of them"
        one = Standing("x", 1.0, 0, 1, 2, share_below=1.0, share_above=0.0, n_others=9)
        assert place_words(one) == "more than all of them"
        one = Standing("x", 1.0, 1, 1, 1, share_below=0.0, share_above=0.0, n_others=9)
        assert place_words(one) == "as all of them"

    @given(st.floats(0, 1e9), st.floats(1, 1e9))
    def test_a_bar_is_never_longer_than_its_room(self, value, most):
        assert len(bar(min(value, most), most, 28)) <= 28
