"""Contract of subscriptions: which plan a customer had from when to when, one row per version of the contract."""

from data.contracts.base import Column, Contract, DType, Reject, Rows, Severity, literal, quoted
from data.contracts.rules import between, holds, no_copies, not_null, readable, references, unique


def _until_received(rows: Rows) -> str:
    # A local date may be one day ahead of UTC.
    return f"started_on <= CAST({literal(rows.delivery.received_at)} AS DATE) + 1"


def _after_the_one_before(rows: Rows) -> str:
    """Return the condition that no version begins before an earlier one of its customer and plan has ended."""
    key = "customer_id, plan, started_on"
    return f"""({key}) NOT IN (
        SELECT {key} FROM {quoted(rows.table)}
        QUALIFY started_on < max(coalesce(ended_on, DATE '9999-12-31')) OVER (PARTITION BY customer_id, plan
            ORDER BY started_on, ended_on ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))"""  # noqa: S608 - quoted


SUBSCRIPTIONS = Contract(
    name="subscriptions",
    grain="contract version",
    columns=(
        Column("customer_id", DType.STRING, required=True),
        Column("plan", DType.STRING, required=True),
        Column("started_on", DType.DATE, required=True),
        Column("ended_on", DType.DATE),
        Column("fee_cents", DType.INTEGER),
        Column("end_reason", DType.STRING),
    ),
    expectations=(
        no_copies("duplicate subscription row"),
        not_null("customer_id"),
        not_null("plan"),
        not_null("started_on"),
        unique("customer_id", "plan", "started_on"),
        readable(),
        references("customer_id", "customers", "customer_id", name="orphan customer"),
        holds("contract ends before it starts", "started_on <= ended_on", "started_on", "ended_on"),
        between("fee_cents", low=0, name="negative fee"),
        holds(
            "contract versions overlap",
            _after_the_one_before,
            "customer_id",
            "plan",
            "started_on",
            "ended_on",
            severity=Severity.WARNING,
        ),
        # Sold ahead is no mistake; a year that was mistyped is.
        holds("contract starts in the future", _until_received, "started_on", severity=Severity.WARNING),
        holds(
            "end reason without an end",
            "end_reason IS NULL OR ended_on IS NOT NULL",
            "end_reason",
            "ended_on",
            severity=Severity.WARNING,
        ),
    ),
    examples=(
        {
            "customer_id": "C1",
            "plan": "basic",
            "started_on": "2023-01-01",
            "ended_on": "2023-07-01",
            "fee_cents": "999",
            "end_reason": "price change",
        },
        {"customer_id": "C1", "plan": "basic", "started_on": "2023-07-01", "ended_on": None, "fee_cents": "1099"},
        {"customer_id": "C2", "plan": "plus", "started_on": "2024-02-01", "ended_on": "2024-12-31", "fee_cents": "0"},
    ),
    rejects=(
        Reject("duplicate subscription row", {}),
        Reject("customer_id is null", {"customer_id": None}),
        Reject("plan is null", {"plan": None}),
        Reject("started_on is null", {"started_on": None}),
        Reject("customer_id + plan + started_on is not unique", {"fee_cents": "899"}),
        Reject("unreadable text", {"plan": "L\ufffdsning"}),
        Reject("started_on is not a date", {"started_on": "01.01.2023"}),
        Reject("fee_cents is not an integer", {"customer_id": "C3", "fee_cents": "9.99"}),
        Reject("orphan customer", {"customer_id": "C404"}),
        Reject("contract ends before it starts", {"customer_id": "C3", "ended_on": "2022-12-31"}),
        Reject("negative fee", {"customer_id": "C3", "fee_cents": "-1"}),
        Reject("contract versions overlap", {"started_on": "2023-06-30"}),
        Reject("contract starts in the future", {"customer_id": "C3", "started_on": "2034-01-01", "ended_on": None}),
        Reject("end reason without an end", {"customer_id": "C3", "ended_on": None}),
    ),
    key=("customer_id", "plan", "started_on"),
    time="started_on",
)
