"""What columns hold, by counting: signs of numbers, marks of missing values, ids, and what is personal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data.discovery import sample as sampling
from data.discovery.match import best, churned_values, control_value, role
from data.discovery.profile import Profile, profile
from data.discovery.sample import group, take
from data.discovery.sniff import layouts
from data.engine import connect


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Profile]:
    """Return a function that profiles a file of the given columns."""

    def run(columns: dict[str, list[object]], name: str = "a.csv") -> Profile:
        rows = [list(columns), *zip(*columns.values(), strict=True)]
        path = tmp_path / name
        path.write_text("".join(";".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
        (files,) = group(layouts(path))
        connection = connect(threads=1).con
        try:
            return profile(connection, take(connection, files, "set 0", tmp_path))
        finally:
            connection.close()

    return run


@pytest.mark.parametrize(
    ("cells", "decimal", "thousands"),
    [
        (["1.5", "2.25"], ".", ""),
        (["1,5", "2,25"], ",", ""),
        (["1.234,50", "2,25"], ",", "."),
        (["1,234.50", "2.25"], ".", ","),
        (["12", "13"], ".", ""),
        (["1'234.50", "2.25"], ".", "'"),
        (["1,5 €", "2,25 €"], ",", ""),
    ],
)
def test_signs_of_numbers(look, cells, decimal, thousands):
    found = look({"id": ["a", "b"], "amount": cells})
    assert found.column("amount").kind == "number"
    assert (found.decimal, found.thousands) == (decimal, thousands)
    assert found.column("amount").n_unreadable == 0


def test_a_currency_sign_beside_the_numbers(look):
    assert look({"id": ["a", "b"], "amount": ["€ 1,50", "€ 2,25"]}).column("amount").currency == "EUR"


def test_columns_with_different_decimal_signs_are_unsure(look):
    found = look({"a": ["1,5", "2,5"], "b": ["1.25", "2.25"], "c": ["1,75", "2,75"]})
    assert found.decimal == ","
    assert found.notes == ("UNSURE: b shows another decimal sign than ','",)


def test_marks_of_missing_values_do_not_hide_a_number(look):
    found = look({"id": list("abcdefghijkl"), "n": ["1", "2", "NULL", "4", "5", "6", "7", "8", "9", "10", "11", "12"]})
    column = found.column("n")
    assert (column.kind, column.missing, column.n_unreadable) == ("number", ("NULL",), 0)


def test_ids_keep_what_a_number_would_lose(look):
    found = look({"customer_id": ["007", "008"], "other": ["17850.0", "17851.0"]})
    assert found.column("customer_id").has_leading_zeros
    assert found.column("other").is_whole_float


def test_personal_values_are_not_kept(look):
    found = look({"contact": ["a@example.org", "b@example.org"], "kind": ["x", "y"]})
    assert found.column("contact").is_personal
    assert found.column("contact").values == {}
    assert found.column("kind").values == {"x": 1, "y": 1}


def test_counts_of_a_column(look):
    column = look({"a": ["1", "", "-2.5", "1"], "b": list("wxyz")}).column("a")
    assert (column.n_rows, column.n_null, column.n_distinct, column.n_negative, column.n_fractional) == (4, 1, 2, 1, 1)
    assert (column.low, column.high) == (-2.5, 1)


def test_a_large_file_is_judged_by_parts(look, monkeypatch):
    monkeypatch.setattr(sampling, "WHOLE_BYTES", 10_000)
    monkeypatch.setattr(sampling, "_PART_LINES", 500)
    found = look({"order_id": [f"{n:08}" for n in range(20_000)], "day": ["2024-01-01"] * 20_000})
    assert not found.sample.is_whole
    assert found.sample.n_rows == pytest.approx(20_000, rel=0.02)
    looked_at = found.column("order_id")
    # Lines of the beginning, of the middle and of the end, none twice.
    assert looked_at.n_rows == looked_at.n_distinct == 499 + 7 * 500
    assert looked_at.high is not None
    assert looked_at.high > 17_000


@pytest.mark.parametrize(
    ("values", "control"),
    [
        (["No E-Mail", "Mens E-Mail"], "No E-Mail"),
        (["0", "1"], "0"),
        (["Kontrollgruppe", "Brief"], "Kontrollgruppe"),
        (["a", "b"], None),
    ],
)
def test_which_arm_was_left_alone(look, values, control):
    assert control_value(look({"arm": values, "x": ["1", "2"]}).column("arm")) == control


def test_which_value_means_left(look):
    assert churned_values(look({"Churn": ["Yes", "No"], "x": ["1", "2"]}).column("Churn")) == ("Yes",)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"Bestellnr": [1, 1, 2, 2], "Artikel": ["a", "b", "a", "b"], "Menge": [1, 2, 1, 2], "Kunde": [1, 1, 2, 2]},
            "lines",
        ),
        ({"order_id": [1, 2, 3], "customer_id": [1, 1, 2], "order_date": ["2024-01-01"] * 3}, "orders"),
        ({"sku": ["a", "b", "c"], "name": ["x", "y", "z"], "price": [1, 2, 3]}, "products"),
        ({"kund_id": [1, 2, 3], "kön": ["m", "f", "f"]}, "customers"),
        ({"customerID": ["a", "b", "c", "d"], "tenure": [1, 2, 3, 4], "Churn": ["Yes", "No", "No", "No"]}, "customers"),
        ({"group": ["control", "mail", "control"], "treatment": [0, 1, 0], "visit": [0, 1, 0]}, "trial"),
        ({"campaign_id": [1, 1, 2], "customer_id": [1, 2, 1], "sent_on": ["2024-01-01"] * 3}, "contacts"),
        ({"campaign_id": [1, 2, 3], "start_date": ["2024-01-01"] * 3, "end_date": ["2024-02-01"] * 3}, "campaigns"),
        ({"a": [1, 2, 3], "b": ["x", "y", "z"]}, "other"),
    ],
)
def test_what_kind_of_table_a_file_is(look, columns, expected):
    assert role(look(columns)) == expected


def test_the_date_of_an_order_is_not_that_of_its_delivery(look):
    days = ["2024-01-01", "2024-01-02"]
    found = look({"order_id": [1, 2], "delivery_date": days, "purchase_timestamp": days, "estimated_date": days})
    column = best(found, "event_time")
    assert column is not None
    assert column.name == "purchase_timestamp"
