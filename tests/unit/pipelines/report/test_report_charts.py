"""Charts: valid, described, inside their frame, and honest about what is unknown."""

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report import charts, svg
from pipelines.report.svg import Title
from pipelines.report.words import axis, percent

NAN = float("nan")
TITLE = Title("key", 'Sales <rose> & "fell"', "Bars of 'sales'.")
HOSTILE = "<script>alert(1)</script>\"'&"


def _write(value: float) -> str:
    return f"{value:g}"


def _bar() -> str:
    return charts.bar(TITLE, ["a", HOSTILE], [3.0, NAN], ["3", HOSTILE])


def _line() -> str:
    return charts.line(TITLE, ["Jan", HOSTILE, "Mar"], [1.0, NAN, 5.0], _write)


def _forest() -> str:
    marks = (
        charts.Mark(1, -2, 4, HOSTILE),
        charts.Mark(9, NAN, NAN, "plain", "diamond"),
        charts.Mark(NAN, NAN, NAN, "placebo", "square"),
    )
    return charts.forest(TITLE, [charts.Row(HOSTILE, marks)], _write, reference=0.0)


def _histogram() -> str:
    return charts.histogram(TITLE, [0, 0.5, 1], [900, 3], percent, small=7)


def _calibration() -> str:
    return charts.calibration(TITLE, [0.1, 0.5], [0.2, NAN], [0.1, NAN], [0.3, NAN], write=percent)


def _step() -> str:
    return charts.step(TITLE, [0, 1, 30], [0, 0.4, 0.9], write_x=_write, write_y=percent, at=28, at_words=HOSTILE)


def _mini() -> str:
    return charts.mini(3, -1, 9, least=-1, most=9, words=HOSTILE)


ALL: list[Callable[[], str]] = [_bar, _line, _forest, _histogram, _calibration, _step]


@pytest.mark.parametrize("draw", [*ALL, _mini])
def test_a_chart_is_well_formed_and_the_same_every_time(draw: Callable[[], str]) -> None:
    ET.fromstring(draw())
    assert draw() == draw()
    assert "nan" not in draw()


@pytest.mark.parametrize("draw", ALL)
def test_a_screen_reader_is_told_the_takeaway_and_what_is_drawn(draw: Callable[[], str]) -> None:
    root = ET.fromstring(draw())
    texts = {child.get("id"): child.text for child in root if child.get("id")}
    assert root.get("role") == "img"
    assert root.get("aria-labelledby", "").split() == list(texts)
    assert list(texts.values()) == [TITLE.takeaway, TITLE.description]


@pytest.mark.parametrize("draw", [*ALL, _mini])
def test_hostile_labels_stay_text(draw: Callable[[], str]) -> None:
    assert "<script" not in draw()
    assert not [element for element in ET.fromstring(draw()).iter() if element.tag == "script"]


@pytest.mark.parametrize("draw", [*ALL, _mini])
def test_colour_comes_from_the_page_alone_and_no_style_attribute_is_needed(draw: Callable[[], str]) -> None:
    assert not re.search(r'style=|#[0-9a-f]{3,6}"|(?:fill|stroke)="', draw())


@pytest.mark.parametrize("draw", ALL)
def test_everything_lies_inside_the_frame(draw: Callable[[], str]) -> None:
    root = ET.fromstring(draw())
    width, height = (float(end) for end in root.get("viewBox", "").split()[2:])
    for element in root.iter():
        for name, limit in {
            "x": width,
            "x1": width,
            "x2": width,
            "cx": width,
            "y": height,
            "y1": height,
            "cy": height,
        }.items():
            if (value := element.get(name)) is not None:
                assert 0 <= float(value) <= limit + 0.1, (element.tag, name, value)


def test_an_interval_is_drawn_around_its_value() -> None:
    root = ET.fromstring(charts.forest(TITLE, [charts.Row("a", (charts.Mark(5, 2, 9, "5"),))], _write))
    whisker = next(element for element in root.iter("line") if "whisker" in element.get("class", ""))
    dot = next(root.iter("circle"))
    assert float(whisker.get("x1", "")) < float(dot.get("cx", "")) < float(whisker.get("x2", ""))


def test_kinds_of_estimate_differ_by_shape_and_words_not_by_colour() -> None:
    root = ET.fromstring(_forest())
    assert [element.tag for element in root.iter() if element.get("class") in {"dot", "open"}] == ["circle", "path"]
    assert "placebo: not known" in "".join(root.itertext())


def test_the_line_of_no_effect_is_always_in_view() -> None:
    root = ET.fromstring(charts.forest(TITLE, [charts.Row("a", (charts.Mark(50, 40, 60, "x"),))], _write, reference=0))
    assert any(element.get("class") == "zero" for element in root.iter("line"))
    assert "0" in [element.text for element in root.iter("text")]


def test_small_bins_are_drawn_alike_and_hollow() -> None:
    one, seven = (charts.histogram(TITLE, [0, 1, 2], [900, n], _write, small=7) for n in (1, 7))
    assert one == seven
    assert 'class="hollow"' in one
    assert "≤7 customers" in one


def test_a_single_small_bin_cannot_be_worked_out_from_the_total() -> None:
    def told(counts: list[int]) -> list[str]:
        drawn = ET.fromstring(charts.histogram(TITLE, [*range(len(counts) + 1)], counts, _write, small=7))
        tips = [title.text or "" for box in drawn.iter("rect") for title in box]
        return [tip.split(": ")[1].removesuffix(" customers") for tip in tips]

    assert told([900, 40, 3, 60]) == ["900", "hidden", "≤7", "60"]
    assert told([900, 0, 3, 60]) == ["900", "≤7", "hidden"]
    assert told([900, 2, 3, 60]) == ["900", "≤7", "≤7", "60"]
    assert told([3]) == ["≤7"]
    hidden, other = (charts.histogram(TITLE, [0, 1, 2, 3], [900, n, 3], _write, small=7) for n in (40, 50))
    assert hidden == other


def test_an_empty_bin_is_not_a_small_one() -> None:
    assert 'class="hollow"' not in charts.histogram(TITLE, [0, 1, 2], [900, 0], _write, small=7)


def test_bars_are_as_long_as_their_values() -> None:
    root = ET.fromstring(charts.bar(TITLE, ["a", "b", "c"], [10, 5, 0], ["10", "5", "0"]))
    full, half, none = (float(element.get("width", "")) for element in root.iter("rect"))
    assert half == pytest.approx(full / 2, abs=0.1)
    assert none == 1


@pytest.mark.parametrize(
    "drawn",
    [
        charts.bar(TITLE, [], [], []),
        charts.line(TITLE, [], [], _write),
        charts.line(TITLE, ["a"], [NAN], _write),
        charts.forest(TITLE, [], _write),
        charts.forest(TITLE, [charts.Row("a", (charts.Mark(NAN, NAN, NAN, "x"),))], _write),
        charts.histogram(TITLE, [0, 1], [0], _write),
        charts.calibration(TITLE, [], [], [], [], write=percent),
        charts.step(TITLE, [], [], write_x=_write, write_y=_write),
    ],
)
def test_a_chart_without_data_says_so(drawn: str) -> None:
    assert "nothing to draw tonight" in "".join(ET.fromstring(drawn).itertext())


def test_a_single_point_and_equal_values_can_be_drawn() -> None:
    ET.fromstring(charts.line(TITLE, ["a"], [4.0], _write))
    ET.fromstring(charts.line(TITLE, ["a", "b"], [0.0, 0.0], _write))
    ET.fromstring(charts.forest(TITLE, [charts.Row("a", (charts.Mark(3, 3, 3, "3"),))], _write))


def test_a_table_cell_without_an_estimate_has_no_chart() -> None:
    assert charts.mini(NAN, NAN, NAN, least=0, most=1, words="") == ""


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9), st.integers(2, 8))
def test_ticks_enclose_the_data_in_few_even_steps(low: int, span: int, n: int) -> None:
    high = low + span
    steps = svg.ticks(low, high, n)
    size = steps[1] - steps[0]
    assert steps[0] <= low + size * 1e-6
    assert steps[-1] >= high - size * 1e-6
    assert len(steps) <= n + 2


def test_a_scale_without_width_does_not_divide_by_zero() -> None:
    assert svg.scale(3, 3, 0, 100)(3) == 0


def test_long_labels_are_shortened() -> None:
    assert svg.clip("x" * 100, 10) == "x" * 9 + "…"


def test_ticks_close_together_are_told_apart() -> None:
    drawn = ET.fromstring(charts.forest(TITLE, [charts.Row("a", (charts.Mark(0.066, 0.06, 0.078, "x"),))], axis))
    ticks = [element.text for element in drawn.iter("text") if element.get("text-anchor") == "middle"]
    assert len(ticks) == len(set(ticks)) > 2
