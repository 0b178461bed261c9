"""Contract of transactions: what was sold and what came back."""

from data.contracts.base import Column, Contract, Delivery, DType, Reject, Rows, Severity, literal, quoted
from data.contracts.rules import (
    CURRENCIES,
    RECEIVED_AT,
    Known,
    between,
    enough_rows,
    holds,
    in_set,
    no_copies,
    not_null,
    readable,
    references,
    unshifted,
    usual_median,
)

SLIP_FACTOR = 50
"""Times the product's median unit price from which a price is a unit slip (a slip from cents is one of 100).

On Complete Journey no line reaches 39 times the median of its product. Of its lines multiplied by 100, one at a time,
the rule finds 98.9 % where the product has lines enough, which is 84.5 % of all; a line sold at less than half of its
usual price passes. A whole delivery in another unit shows in its median only.
"""

SLIP_MIN_LINES = 20
"""Lines that a product needs before its median says what is usual."""


def _usual_price(rows: Rows) -> str:
    # Multiplied out, because 0 / 0 is not a number, and that is larger than every bound.
    return f"""abs(amount_cents) < {SLIP_FACTOR} * abs(quantity) * (
        SELECT median(abs(line.amount_cents) / abs(line.quantity)) FROM {quoted(rows.table)} AS line
        WHERE line.product_id = {quoted(rows.table)}.product_id AND line.quantity <> 0
        HAVING count(*) >= {SLIP_MIN_LINES} AND median(abs(line.amount_cents)) > 0)
        OR quantity = 0"""  # noqa: S608 - a quoted name


def _known_at(delivery: Delivery) -> str:
    return f"coalesce(known_at, {'event_time' if delivery.is_first_load else literal(delivery.received_at)})"


def _local_time(delivery: Delivery) -> str:
    return f"event_time AT TIME ZONE 'UTC' AT TIME ZONE {literal(delivery.timezone)}"


def _line(number: int, **changes: object) -> dict[str, object]:
    return {
        "order_id": f"O{number}",
        "customer_id": "C1",
        "product_id": "P1",
        "event_time": f"2024-03-{number % 28 + 1:02} 10:30:00",
        "quantity": "2",
        "amount_cents": "398",
        "discount_cents": "0",
        "coupon_cents": "0",
        "channel": "store",
        "store_id": "S1",
        "currency": None,
        "known_at": None,
    } | changes


_SHIFTED = {
    "product_id": "store",
    "event_time": "P1",
    "quantity": "2024-03-02 10:30:00",
    "amount_cents": "2",
    "discount_cents": "398",
}

TRANSACTIONS = Contract(
    name="transactions",
    grain="order line",
    columns=(
        Column("order_id", DType.STRING, required=True),
        Column("customer_id", DType.STRING, required=True),
        Column("product_id", DType.STRING, required=True),
        Column("event_time", DType.INSTANT, required=True),
        Column("quantity", DType.DECIMAL, required=True),
        Column("amount_cents", DType.INTEGER, required=True),
        Column("discount_cents", DType.INTEGER),
        Column("coupon_cents", DType.INTEGER),
        Column("channel", DType.STRING),
        Column("store_id", DType.STRING),
        Column("currency", DType.STRING),
        Column("known_at", DType.INSTANT),
    ),
    expectations=(
        enough_rows(1),
        usual_median("amount_cents", Known("usual_amount_cents"), 10, name="unit slip of the whole delivery"),
        no_copies("duplicate order line"),
        not_null("order_id"),
        not_null("product_id"),
        not_null("event_time"),
        not_null("quantity"),
        not_null("amount_cents"),
        readable(),
        unshifted("event_time"),
        between("event_time", high=RECEIVED_AT, name="event in the future"),
        in_set("currency", CURRENCIES, name="unknown currency"),
        references("customer_id", "customers", "customer_id", name="orphan customer"),
        references("product_id", "products", "product_id", name="unknown product", severity=Severity.WARNING),
        holds("amount without quantity", "quantity <> 0 OR amount_cents = 0", "quantity", "amount_cents"),
        holds(
            "negative quantity with positive amount", "quantity >= 0 OR amount_cents <= 0", "quantity", "amount_cents"
        ),
        holds(
            "positive quantity with negative amount",
            "quantity <= 0 OR amount_cents >= 0",
            "quantity",
            "amount_cents",
            severity=Severity.WARNING,
        ),
        holds("unit slip", _usual_price, "product_id", "quantity", "amount_cents"),
    ),
    examples=(
        *(_line(number) for number in range(SLIP_MIN_LINES)),
        _line(100, customer_id=None, currency="USD", channel=None),
        _line(101, quantity="-2", amount_cents="-398"),
        _line(102, quantity="0", amount_cents="0", coupon_cents="100"),
        _line(103, quantity="0.755", amount_cents="1", known_at="2024-04-01 00:00:00"),
    ),
    rejects=(
        Reject("duplicate order line", {}),
        Reject("order_id is null", {"order_id": None}),
        Reject("product_id is null", {"product_id": " "}),
        Reject("event_time is null", {"event_time": None}),
        Reject("quantity is null", {"quantity": None}),
        Reject("amount_cents is null", {"amount_cents": ""}),
        Reject("event_time is not an instant", {"event_time": "2024-02-30 10:30:00"}),
        Reject("quantity is not a decimal", {"quantity": "two"}),
        Reject("amount_cents is not an integer", {"amount_cents": "3.98"}),
        Reject("bad UTF-8", {"store_id": "Caf\ufffd"}),
        Reject("shifted columns", _SHIFTED),
        Reject("event in the future", {"event_time": "2024-05-01 00:00:01"}),
        Reject("unknown currency", {"currency": "XXX"}),
        Reject("orphan customer", {"customer_id": "C404"}),
        Reject("unknown product", {"product_id": "P404"}),
        Reject("amount without quantity", {"quantity": "0"}),
        Reject("negative quantity with positive amount", {"quantity": "-2"}),
        Reject("positive quantity with negative amount", {"amount_cents": "-398"}),
        Reject("unit slip", {"amount_cents": "39800"}),
    ),
    total="amount_cents",
    derived={"known_at": _known_at, "local_time": _local_time},
    key=("order_id", "product_id"),
    time="event_time",
)
