"""Contract of transactions: what was sold and what came back.

``order_total_cents`` is what the source states for the whole order, on each of its lines; null where it states none.
"""

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
    table, price = quoted(rows.table), "abs(amount_cents) / abs(quantity)"
    # A median holds all its values in memory; how often each price was paid may spill, and is short.
    prices = f"""SELECT product_id, {price} AS price, count(*) AS n FROM {table} WHERE quantity <> 0
        GROUP BY product_id, {price}"""  # noqa: S608 - a quoted name
    ranked = f"""SELECT *, sum(n) OVER (PARTITION BY product_id ORDER BY price) AS upto,
        sum(n) OVER (PARTITION BY product_id) AS n_lines FROM ({prices}) AS paid"""  # noqa: S608 - a constant
    usual = f"""SELECT product_id, avg(price) AS usual FROM ({ranked}) AS ranked
        WHERE n_lines >= {SLIP_MIN_LINES} AND 2 * upto >= n_lines AND 2 * (upto - n) <= n_lines
        GROUP BY product_id HAVING avg(price) > 0"""  # noqa: S608 - a constant
    # Multiplied out, because 0 / 0 is not a number, and that is larger than every bound.
    return f"""(product_id, quantity, amount_cents) NOT IN (
        SELECT product_id, quantity, amount_cents FROM {table} JOIN ({usual}) AS median USING (product_id)
        WHERE quantity <> 0 AND abs(amount_cents) >= {SLIP_FACTOR} * abs(quantity) * usual)"""  # noqa: S608 - a quoted name


def _adds_up(rows: Rows) -> str:
    # Nothing to add up where the source states no totals, which spares large deliveries the sums.
    if "order_total_cents" not in rows.cells:
        return "true"
    return f"""order_id NOT IN (
        SELECT order_id FROM {quoted(rows.table)} GROUP BY order_id
        HAVING sum(amount_cents) <> max(order_total_cents) OR min(order_total_cents) <> max(order_total_cents))"""  # noqa: S608 - a quoted name


def _covered(rows: Rows) -> str:
    """Return the condition that what came back by then, in pieces and in money, had been sold to its customer."""
    key, table = "customer_id, product_id, event_time", quoted(rows.table)
    columns = f"{key}, quantity, amount_cents"
    lines = f"SELECT {columns} FROM {table}"  # noqa: S608 - quoted
    if "transactions" in rows.delivery.parents:
        # A known line that is delivered again would count twice.
        same, known = ", ".join(TRANSACTIONS.key), quoted(rows.delivery.parents["transactions"])
        present = " AND ".join(f"({part}) IS NOT NULL" for part in TRANSACTIONS.key)
        anew = f"SELECT {same} FROM {table} WHERE {present}"  # noqa: S608 - quoted
        lines += f" UNION ALL SELECT {columns} FROM {known} WHERE ({same}) NOT IN ({anew})"  # noqa: S608 - quoted
    by_then = "OVER (PARTITION BY customer_id, product_id ORDER BY event_time)"
    # Few products ever come back, so that few lines have to be put in order.
    back = f"SELECT customer_id, product_id FROM {table} WHERE least(sign(quantity), sign(amount_cents)) = -1"  # noqa: S608 - quoted
    return f"""(quantity >= 0 AND amount_cents >= 0) OR ({key}) NOT IN (
        SELECT {key} FROM ({lines}) AS line WHERE (customer_id, product_id) IN ({back})
        QUALIFY sum(quantity) {by_then} < 0 OR sum(amount_cents) {by_then} < 0)"""  # noqa: S608 - quoted


def _known_at(delivery: Delivery) -> str:
    return f"coalesce(known_at, greatest(event_time, {literal(delivery.known_at)}))"


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
        "order_total_cents": "398",
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
        Column("order_total_cents", DType.INTEGER),
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
        # A source may count postage or vouchers into its totals: every line of such an order is told, none held back.
        holds(
            "order total differs from its lines",
            _adds_up,
            "order_id",
            "amount_cents",
            "order_total_cents",
            severity=Severity.WARNING,
        ),
        # What was sold before the history begins may come back in it.
        holds(
            "returned more than was sold",
            _covered,
            "customer_id",
            "product_id",
            "event_time",
            "quantity",
            "amount_cents",
            severity=Severity.WARNING,
        ),
    ),
    examples=(
        *(_line(number) for number in range(SLIP_MIN_LINES)),
        _line(100, customer_id=None, currency="USD", channel=None),
        _line(101, quantity="-2", amount_cents="-398", order_total_cents="-398"),
        _line(102, quantity="0", amount_cents="0", coupon_cents="100", order_total_cents=None),
        _line(103, quantity="0.755", amount_cents="1", order_total_cents="1", known_at="2024-04-01 00:00:00"),
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
        Reject("unreadable text", {"store_id": "Caf\ufffd"}),
        Reject("shifted columns", _SHIFTED),
        Reject("event in the future", {"event_time": "2024-05-01 00:00:01"}),
        Reject("unknown currency", {"currency": "XXX"}),
        Reject("orphan customer", {"customer_id": "C404"}),
        Reject("unknown product", {"product_id": "P404"}),
        Reject("amount without quantity", {"quantity": "0"}),
        Reject("negative quantity with positive amount", {"quantity": "-2"}),
        Reject("positive quantity with negative amount", {"amount_cents": "-398"}),
        Reject("unit slip", {"amount_cents": "39800"}),
        Reject("order total differs from its lines", {"product_id": "P2"}),
        Reject("returned more than was sold", {"product_id": "P3", "quantity": "-2", "amount_cents": "-398"}),
    ),
    total="amount_cents",
    derived={"known_at": _known_at, "local_time": _local_time},
    # What comes back is another matter than what was sold, and tills number their receipts anew every day.
    key=("order_id", "product_id", "event_time::DATE", "quantity < 0"),
    time="event_time",
)
