"""Extracts: what was known at one instant, with both clocks, against plain Python on hand-made lines."""

from datetime import datetime, timedelta
from decimal import Decimal

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.engine import connect
from features.extracts import basket_lines, known_span, sales_by_month

AS_OF = datetime(2024, 3, 1)
MOMENT = timedelta(microseconds=1)
SCHEMA = pa.schema(
    {
        "order_id": pa.string(),
        "customer_id": pa.string(),
        "product_id": pa.string(),
        "event_time": pa.timestamp("us"),
        "known_at": pa.timestamp("us"),
        "local_time": pa.timestamp("us"),
        "quantity": pa.decimal128(18, 3),
        "amount_cents": pa.int64(),
    }
)
PRODUCTS = {"p1": "bread", "p2": "milk", "p3": "bread", "p4": None}


def line(order: str, product: str = "p1", at: datetime = datetime(2024, 2, 1), **changes: object) -> dict[str, object]:
    row = {"order_id": order, "customer_id": "c1", "product_id": product, "event_time": at, "known_at": at}
    row |= {"local_time": at, "quantity": Decimal(1), "amount_cents": 100}
    return row | changes


def tables(*lines: dict[str, object], products: list[tuple[str, str | None]] | None = None) -> dict[str, ibis.Table]:
    """Return the accepted tables in one engine."""
    backend = connect(threads=1)
    listed = list(PRODUCTS.items()) if products is None else products
    catalogue = pa.table(
        {
            "product_id": pa.array([key for key, _ in listed], pa.string()),
            "category": pa.array([category for _, category in listed], pa.string()),
        }
    )
    backend.con.register("transactions", pa.Table.from_pylist(list(lines), SCHEMA))
    backend.con.register("products", catalogue)
    return {name: backend.table(name) for name in ("transactions", "products")}


def baskets(*lines: dict[str, object], **how: object) -> list[dict[str, object]]:
    return basket_lines(tables(*lines, **how), AS_OF).to_pyarrow().to_pylist()


def months(*lines: dict[str, object]) -> list[dict[str, object]]:
    return sales_by_month(tables(*lines), AS_OF).to_pyarrow().to_pylist()


class TestBaskets:
    def test_lines_of_one_category_are_one_row(self):
        later = datetime(2024, 2, 1, 0, 5)
        assert baskets(line("o1"), line("o1", "p3", later, amount_cents=50), line("o1", "p2")) == [
            {
                "order_id": "o1",
                "customer_id": "c1",
                "category": "bread",
                "event_time": datetime(2024, 2, 1),
                "amount_cents": 150,
            },
            {
                "order_id": "o1",
                "customer_id": "c1",
                "category": "milk",
                "event_time": datetime(2024, 2, 1),
                "amount_cents": 100,
            },
        ]

    @pytest.mark.parametrize(
        ("changes", "n_rows"),
        [
            ({"quantity": Decimal(0), "amount_cents": 0}, 0),
            ({"quantity": Decimal(-1), "amount_cents": -100}, 0),
            ({"quantity": Decimal("0.001")}, 1),
            ({"product_id": "p4"}, 0),
            ({"product_id": "unknown"}, 0),
            ({"customer_id": None}, 1),
        ],
    )
    def test_only_sold_lines_of_a_known_category_count(self, changes, n_rows):
        assert len(baskets(line("o1", **changes))) == n_rows

    def test_a_product_that_is_listed_twice_counts_once(self):
        twice = [("p1", "bread"), ("p1", "bread"), ("p1", None)]
        (row,) = baskets(line("o1"), products=twice)
        assert row["amount_cents"] == 100

    @pytest.mark.parametrize("names", [{}, {"p1": "loaf"}])
    def test_without_any_category_each_product_stands_for_itself(self, names):
        """By its name where it has one; a catalogue with a single category is a catalogue with categories."""
        made = tables(line("o1"), line("o1", "p2"), products=[("p1", None), ("p2", None)])
        if names:
            made["products"] = made["products"].mutate(name=ibis.cases((made["products"].product_id == "p1", "loaf")))
        rows = basket_lines(made, AS_OF).to_pyarrow().to_pylist()
        assert sorted(str(row["category"]) for row in rows) == sorted([names.get("p1", "p1"), "p2"])
        assert len(baskets(line("o1"), line("o1", "p2"), products=[("p1", None), ("p2", "milk")])) == 1

    def test_they_come_in_order(self):
        rows = baskets(line("o2", "p2"), line("o2"), line("o1", "p2"))
        assert [(row["order_id"], row["category"]) for row in rows] == [("o1", "milk"), ("o2", "bread"), ("o2", "milk")]

    def test_nothing_is_no_row(self):
        assert baskets() == []


class TestBoundary:
    """Half-open on both clocks, to the microsecond: catalogue rows L2 and L3."""

    CASES = (
        ({"event_time": AS_OF - MOMENT, "known_at": AS_OF - MOMENT}, True),
        ({"event_time": AS_OF, "known_at": AS_OF}, False),
        ({"event_time": AS_OF - MOMENT, "known_at": AS_OF}, False),
        ({"event_time": AS_OF - timedelta(days=9), "known_at": AS_OF + timedelta(days=1)}, False),
        ({"event_time": AS_OF + MOMENT, "known_at": AS_OF - MOMENT}, False),
    )

    @pytest.mark.parametrize(("changes", "is_known"), CASES)
    def test_every_extract_has_the_same_one(self, changes, is_known):
        made = tables(line("o1", **changes))
        assert len(basket_lines(made, AS_OF).to_pyarrow()) == is_known
        assert len(sales_by_month(made, AS_OF).to_pyarrow()) == is_known
        (first,) = known_span(made, AS_OF).to_pyarrow()["first_at"].to_pylist()
        assert first == (changes["event_time"] if is_known else None)


class TestMonths:
    def test_sales_customers_and_orders_of_each_local_month(self):
        january = datetime(2024, 1, 31, 23, 59)
        assert months(
            line("o1", at=january),
            line("o1", "p2", at=january, amount_cents=-30),
            line("o2", customer_id="c2"),
            line("o3", customer_id=None, amount_cents=7),
        ) == [
            {"month": datetime(2024, 1, 1).date(), "sales_cents": 70, "n_customers": 1, "n_orders": 1},
            {"month": datetime(2024, 2, 1).date(), "sales_cents": 107, "n_customers": 1, "n_orders": 2},
        ]

    def test_the_shop_s_clock_decides_the_month(self):
        (row,) = months(line("o1", at=datetime(2024, 2, 1, 3), local_time=datetime(2024, 1, 31, 22)))
        assert row["month"] == datetime(2024, 1, 1).date()

    @given(
        lines=st.lists(
            st.tuples(
                st.sampled_from(["o1", "o2", "o3", "o4"]),
                st.sampled_from(["c1", "c2", None]),
                st.integers(0, 70),
                st.integers(-500, 500),
            ),
            max_size=12,
        )
    )
    @settings(max_examples=25, deadline=None)
    def test_no_cent_is_lost(self, lines):
        rows = [
            line(order, at=datetime(2024, 1, 1) + timedelta(days=day), customer_id=customer, amount_cents=cents)
            for order, customer, day, cents in lines
        ]
        known = [row for row in rows if row["event_time"] < AS_OF]
        found = months(*rows)
        assert sum(row["sales_cents"] for row in found) == sum(row["amount_cents"] for row in known)
        assert [row["month"] for row in found] == sorted({row["event_time"].date().replace(day=1) for row in known})
        for row in found:
            mine = [one for one in known if one["event_time"].date().replace(day=1) == row["month"]]
            assert row["n_orders"] == len({one["order_id"] for one in mine})
            assert row["n_customers"] == len({one["customer_id"] for one in mine} - {None})


def test_the_first_event_is_the_earliest_that_is_known():
    made = tables(
        line("o1"),
        line("o2", at=datetime(2024, 1, 5)),
        line("o3", at=datetime(2023, 1, 1), known_at=AS_OF),
    )
    (span,) = known_span(made, AS_OF).to_pyarrow().to_pylist()
    assert span["first_at"] == datetime(2024, 1, 5)
    assert datetime(2024, 1, 5) < span["last_at"] < AS_OF


def test_no_event_is_null():
    assert known_span(tables(), AS_OF).to_pyarrow().to_pylist() == [{"first_at": None, "last_at": None}]
