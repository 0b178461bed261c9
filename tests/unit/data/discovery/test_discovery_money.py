"""Amounts, units and returns of lines: decided by arithmetic, or asked about."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data.discovery.proposal import Entry, Proposal
from data.discovery.propose import propose, settle
from data.discovery.write import write


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Proposal]:
    """Return a function that proposes for lines with an order, a customer, a product and a day, and given columns."""

    def run(n: int, **columns: Callable[[int], object]) -> Proposal:
        common: dict[str, Callable[[int], object]] = {
            "order_id": lambda m: f"{m // 2}",
            "customer_id": lambda m: f"c{m // 2 % 20}",
            "product_id": lambda m: f"p{m % 10}",
            "order_date": lambda m: f"2024-{m % 12 + 1:02}-{m % 28 + 1:02}",
        }
        every = common | columns
        rows = [list(every), *([one(m) for one in every.values()] for m in range(n))]
        (tmp_path / "lines.csv").write_text("".join(";".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
        return propose([tmp_path / "lines.csv"], tmp_path)

    return run


def entry(proposal: Proposal, key: str) -> Entry:
    (draft,) = proposal.sections
    return next(one for one in draft.entries if one.key == key)


def amount(proposal: Proposal) -> object:
    return entry(proposal, "money.amount_cents").value


def quantity(m: int) -> int:
    return m // 10 % 3 + 1


def test_a_total_that_is_price_times_quantity_is_taken(lines):
    found = lines(200, quantity=quantity, price=lambda m: 5.5 + m % 10, total=lambda m: (5.5 + m % 10) * quantity(m))
    assert amount(found) == {"column": "total"}
    assert "in 100% of rows" in write(found)


def test_a_total_that_is_not_says_what_else_it_could_be(lines):
    found = entry(
        lines(200, quantity=quantity, price=lambda m: 5.5 + m % 10, total=lambda m: 0.8 * (5.5 + m % 10) * quantity(m)),
        "money.amount_cents",
    )
    assert found.unsure
    assert list(found.choices.values()) == [{"column": "total"}, {"column": "price", "times": "quantity"}]


def test_a_price_that_does_not_grow_with_the_quantity_is_of_one_piece(lines):
    found = lines(200, quantity=quantity, price=lambda m: 5.5 + m % 10)
    assert amount(found) == {"column": "price", "times": "quantity"}
    assert not entry(found, "money.amount_cents").unsure


def test_a_price_that_grows_with_the_quantity_is_of_the_line(lines):
    found = lines(200, quantity=quantity, price=lambda m: round((5.5 + m % 10) * quantity(m), 2))
    assert amount(found) == {"column": "price"}


def test_whole_numbers_that_end_like_prices_may_be_cents(lines):
    found = lines(200, price=lambda m: 499 + 100 * (m % 10))
    assert amount(found) == {"column": "price", "unit": "minor"}
    assert "UNSURE: whole numbers: cents (as here) or whole euros?" in write(found)


def test_cents_by_name(lines):
    assert amount(lines(50, amount_cents=lambda m: 1000 + 7 * m)) == {"column": "amount_cents", "unit": "minor"}


def test_returns_by_the_sign_of_one_column_only(lines):
    found = lines(100, quantity=lambda m: 2 if m % 9 else -2, total=lambda m: 19.5 + m % 7)
    assert entry(found, "returns").value == {"column": "quantity", "negative": True}


def test_returns_whose_signs_agree_are_left_as_they_are(lines):
    found = lines(100, quantity=lambda m: 2 if m % 9 else -2, total=lambda m: 19.5 if m % 9 else -19.5)
    assert "returns" not in found.sections[0].keys


def test_returns_by_how_the_order_begins_are_unsure(lines):
    found = lines(
        100, order_id=lambda m: f"{'C' if m % 20 == 0 else ''}{5000 + m}", quantity=lambda _: 2, price=lambda _: 3.5
    )
    returns = entry(found, "returns")
    assert returns.value == {"column": "order_id", "prefix": "C"}
    assert returns.unsure


def test_postage_and_tax_are_no_amount(lines):
    found = lines(100, price=lambda m: 9.5 + m % 10, freight_value=lambda _: 4.9, tax_amount=lambda _: 1.9)
    assert amount(found) == {"column": "price"}


def test_dates_that_could_be_either_are_asked_about(lines):
    found = lines(100, order_date=lambda m: f"{m % 12 + 1:02}/{m % 11 + 1:02}/2011", total=lambda _: 3.5)
    dates = entry(found, "date_format")
    assert (dates.value, bool(dates.unsure)) == ("%d/%m/%Y", True)
    asked: list[str] = []

    def ask(question: str, choices: object, default: str) -> str:
        asked.append(question)
        return "the month comes first" if "date_format" in question else default

    settled = settle(found, ask)
    assert entry(settled, "date_format").value == "%m/%d/%Y"
    assert not entry(settled, "date_format").unsure
    assert "UNSURE" not in write(settled).replace("say UNSURE", "")
    assert len(asked) <= 8


def test_other_columns_decide_for_one_that_cannot(lines):
    found = lines(
        100,
        order_date=lambda m: f"{m % 12 + 1:02}/{m % 11 + 1:02}/2011",
        delivery_date=lambda m: f"{m % 12 + 1:02}/{m % 28 + 1:02}/2011",
        total=lambda _: 3.5,
    )
    assert entry(found, "date_format").value == "%m/%d/%Y"
    assert not entry(found, "date_format").unsure


def test_equal_lines_are_counted_in_a_comment(lines):
    same = {"order_id": 5, "customer_id": 5, "product_id": 3}
    columns = {name: lambda m, n=n: f"x{m % n}" for name, n in same.items()}
    text = write(lines(100, **columns, order_date=lambda _: "2024-01-01", price=lambda _: 2.5))
    assert "85 rows are exact copies" in text
