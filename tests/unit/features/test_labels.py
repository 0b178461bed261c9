"""The truth after as_of: windows, what counts in them, and the refusal to look past what is known."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from data.errors import ConfigError, ContractError, LeakageError
from features.labels import eligible, labels, next_purchases, purchase_gaps
from features.matrix import feature_matrix, to_frame

NEW_YORK = "America/New_York"
at = datetime.fromisoformat
AS_OF, UNTIL = at("2017-10-09T04:00"), at("2018-01-01T05:00")
COLUMNS = {
    "order_id": pa.string(),
    "customer_id": pa.string(),
    "event_time": pa.timestamp("us"),
    "known_at": pa.timestamp("us"),
    "local_time": pa.timestamp("us"),
    "quantity": pa.decimal128(18, 3),
    "amount_cents": pa.int64(),
    "discount_cents": pa.int64(),
    "coupon_cents": pa.int64(),
    "store_id": pa.string(),
}
BEFORE = [("a", "2017-10-01T12:00", 1, 100), ("b", "2017-06-01T12:00", 1, 100), ("c", "2017-10-02T12:00", 1, 100)]


def tables(lines: Iterable[tuple[str, str, int, int]], known_at: dict[str, str] | None = None) -> dict[str, ibis.Table]:
    """Return accepted tables of lines (customer, instant, quantity, cents)."""
    rows = []
    for number, (customer, instant, quantity, cents) in enumerate(lines):
        event = at(instant)
        wall = event.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(NEW_YORK)).replace(tzinfo=None)
        known = at((known_at or {}).get(instant, instant))
        values = [f"o{number}", customer, event, known, wall, Decimal(quantity), cents, 0, 0, "s"]
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    connection = ibis.duckdb.connect(threads=1)
    connection.con.register("incoming", pa.Table.from_pylist(rows, pa.schema(list(COLUMNS.items()))))
    connection.con.execute("CREATE TABLE transactions AS SELECT * FROM incoming")
    return {"transactions": connection.table("transactions")}


def truth(after: list[tuple[str, str, int, int]], horizon_days: int = 28, gap_days: int = 0) -> pd.DataFrame:
    found = labels(tables(BEFORE + after), [AS_OF], NEW_YORK, horizon_days, observed_until=UNTIL, gap_days=gap_days)
    return to_frame(found).set_index("customer_id")


def test_who_buys_has_not_churned() -> None:
    frame = truth(
        [("a", "2017-10-10T12:00", 1, 250), ("a", "2017-10-10T18:00", 2, 50), ("a", "2017-10-20T12:00", 1, 7)]
    )
    assert frame["has_churned"].to_dict() == {"a": False, "b": True, "c": True}
    assert frame["n_purchase_days"].to_dict() == {"a": 2, "b": 0, "c": 0}
    assert frame["spend_cents"].to_dict() == {"a": 307, "b": 0, "c": 0}
    assert [str(dtype) for dtype in frame.drop(columns="as_of").dtypes] == ["bool", "int64", "int64"]


@pytest.mark.parametrize(("quantity", "cents"), [(-1, -100), (0, 0)], ids=["return", "coupon only"])
def test_a_return_or_a_coupon_is_no_purchase(quantity: int, cents: int) -> None:
    frame = truth([("a", "2017-10-10T12:00", quantity, cents)])
    assert frame.loc["a", "has_churned"]
    assert frame.loc["a", "spend_cents"] == cents


def test_customers_first_seen_after_as_of_are_not_labelled() -> None:
    assert list(truth([("new", "2017-10-10T12:00", 1, 100)]).index) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("instant", "is_inside"),
    [
        ("2017-10-09T03:59:59.999999", False),
        ("2017-10-09T04:00:00", True),
        # 28 local days later the clock has gone back: the window is an hour longer.
        ("2017-11-06T04:59:59.999999", True),
        ("2017-11-06T05:00:00", False),
    ],
)
def test_the_window_is_half_open_and_ends_at_a_local_midnight(instant: str, is_inside: bool) -> None:
    assert truth([("b", instant, 1, 100)]).loc["b", "n_purchase_days"] == is_inside


@pytest.mark.parametrize(("day", "is_inside"), [("2017-10-15", False), ("2017-10-16", True), ("2017-10-22", True)])
def test_the_gap_moves_the_window(day: str, is_inside: bool) -> None:
    frame = truth([("b", f"{day}T12:00", 1, 100), ("b", "2017-10-23T12:00", 1, 100)], horizon_days=7, gap_days=7)
    assert frame.loc["b", "n_purchase_days"] == is_inside


def test_truth_that_arrived_later_is_not_used() -> None:
    lines = [*BEFORE, ("a", "2017-10-10T12:00", 1, 100), ("c", "2017-10-10T13:00", 1, 100)]
    arrived = {"2017-10-10T12:00": "2018-01-01T05:00", "2017-10-10T13:00": "2018-01-01T04:59"}
    frame = to_frame(labels(tables(lines, arrived), [AS_OF], NEW_YORK, 28, observed_until=UNTIL))
    assert frame.set_index("customer_id")["has_churned"].to_dict() == {"a": True, "b": True, "c": False}


@pytest.mark.parametrize(("horizon_days", "gap_days"), [(85, 0), (28, 57), (1, 84)])
def test_a_window_beyond_what_is_known_is_refused(horizon_days: int, gap_days: int) -> None:
    with pytest.raises(LeakageError, match="the truth is known"):
        truth([], horizon_days, gap_days)


def test_a_window_up_to_what_is_known_is_not() -> None:
    assert len(truth([], horizon_days=84)) == 3


@pytest.mark.parametrize(("horizon_days", "gap_days"), [(0, 0), (-1, 0), (28, -1)])
def test_lengths_that_make_no_sense(horizon_days: int, gap_days: int) -> None:
    with pytest.raises(ConfigError, match="a day or more"):
        truth([], horizon_days, gap_days)


def test_many_as_ofs_at_once_equal_one_by_one() -> None:
    after = [("a", "2017-10-10T12:00", 1, 100), ("b", "2017-11-20T12:00", 1, 100), ("c", "2017-10-12T12:00", 1, 100)]
    as_ofs = [AS_OF + timedelta(days=days) for days in (0, 3, 7)]
    data = tables(BEFORE + after)
    together = to_frame(labels(data, as_ofs, NEW_YORK, 28, observed_until=UNTIL))
    single = [to_frame(labels(data, [as_of], NEW_YORK, 28, observed_until=UNTIL)) for as_of in as_ofs]
    expected = pd.concat(single).sort_values(["customer_id", "as_of"], ignore_index=True)
    pd.testing.assert_frame_equal(together, expected)


def test_eligible_is_who_bought_lately() -> None:
    lines = [
        *BEFORE,
        ("d", "2017-10-08T12:00", -1, -100),
        ("e", "2017-09-11T12:00", 1, 9),
        ("f", "2017-09-10T12:00", 1, 9),
    ]
    frame = to_frame(eligible(tables(lines), [AS_OF], NEW_YORK, 28)).set_index("customer_id")
    assert frame["is_eligible"].to_dict() == {"a": True, "b": False, "c": True, "d": False, "e": True, "f": False}
    assert frame["is_eligible"].dtype == "bool"


def test_the_labelled_are_the_observed() -> None:
    data = tables([*BEFORE, ("d", "2017-10-08T12:00", 0, 0)])
    matrix = to_frame(feature_matrix(data, [AS_OF], NEW_YORK, ["recency_days"]))
    for other in (labels(data, [AS_OF], NEW_YORK, 28, observed_until=UNTIL), eligible(data, [AS_OF], NEW_YORK, 28)):
        pd.testing.assert_frame_equal(to_frame(other)[["customer_id", "as_of"]], matrix[["customer_id", "as_of"]])


def test_purchase_gaps_keep_the_open_ones_apart() -> None:
    lines = [
        ("a", "2017-09-01T12:00", 1, 9),
        ("a", "2017-09-01T20:00", 1, 9),
        ("a", "2017-09-04T12:00", 1, 9),
        ("a", "2017-09-06T12:00", -1, -9),
        ("b", "2017-09-10T12:00", 1, 9),
        ("b", "2017-09-13T12:00", 1, 9),
        ("b", "2017-10-09T04:00", 1, 9),
    ]
    frame = to_frame(purchase_gaps(tables(lines), AS_OF, NEW_YORK))
    assert frame.to_dict("list") == {"gap_days": [3, 26, 35], "is_open": [False, True, True], "n_gaps": [2, 1, 1]}


def test_a_missing_table_is_named() -> None:
    with pytest.raises(ContractError, match="contacts among them"):
        feature_matrix(tables(BEFORE), [AS_OF], NEW_YORK, ["n_campaigns_84d"])
    with pytest.raises(ContractError, match="transactions among them"):
        labels({}, [AS_OF], NEW_YORK, 28, observed_until=UNTIL)


class TestNextPurchases:
    def waits(self, after: list[tuple[str, str, int, int]], **given: dict[str, str]) -> pd.DataFrame:
        found = next_purchases(tables(BEFORE + after, **given), [AS_OF], NEW_YORK, observed_until=UNTIL)
        return to_frame(found).set_index("customer_id")

    def test_days_are_counted_from_the_day_of_as_of_to_the_first_purchase_day(self) -> None:
        frame = self.waits(
            [("a", "2017-10-09T23:00", 1, 5), ("a", "2017-10-20T12:00", 1, 5), ("b", "2017-10-19T12:00", 1, 5)]
        )
        assert frame["event_days"].fillna(-1).to_dict() == {"a": 0, "b": 10, "c": -1}

    def test_who_has_not_bought_is_watched_until_the_end(self) -> None:
        assert self.waits([])["observed_days"].to_dict() == dict.fromkeys("abc", 84)

    def test_an_evening_belongs_to_the_local_day(self) -> None:
        """02:00 UTC on the 11th is 22:00 on the 10th in New York."""
        assert self.waits([("a", "2017-10-11T02:00", 1, 5)]).loc["a", "event_days"] == 1

    def test_a_return_is_no_purchase_and_what_was_not_known_in_time_is_not_used(self) -> None:
        frame = self.waits(
            [("a", "2017-10-12T12:00", -1, -5), ("b", "2017-10-13T12:00", 1, 5)],
            known_at={"2017-10-13T12:00": "2018-02-01T00:00"},
        )
        assert frame["event_days"].isna().all()

    def test_it_agrees_with_the_label_at_every_horizon(self) -> None:
        after = [("a", "2017-10-16T12:00", 1, 5), ("b", "2017-11-05T18:00", 1, 5), ("c", "2017-10-09T04:00", 1, 5)]
        waits = self.waits(after)["event_days"]
        for horizon_days in (1, 7, 8, 27, 28, 84):
            assert truth(after, horizon_days)["has_churned"].to_dict() == (~(waits < horizon_days)).to_dict()

    def test_each_date_has_its_own_wait_and_a_date_after_the_known_truth_is_refused(self) -> None:
        dates = [at("2017-10-02T04:00"), AS_OF]
        lines = tables([*BEFORE, ("a", "2017-10-05T12:00", 1, 5)])
        found = to_frame(next_purchases(lines, dates, NEW_YORK, observed_until=UNTIL))
        waits = found[found["customer_id"] == "a"].set_index("as_of")
        assert waits["event_days"].fillna(-1).tolist() == [3, -1]
        assert waits["observed_days"].tolist() == [91, 84]
        with pytest.raises(LeakageError):
            next_purchases(tables(BEFORE), [UNTIL], NEW_YORK, observed_until=UNTIL)
