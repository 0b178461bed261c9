"""Contract of consents: what a customer allowed or withdrew, for which purpose, and when."""

from data.contracts.base import Column, Contract, DType, Reject, Rows, Severity, quoted
from data.contracts.rules import RECEIVED_AT, between, holds, no_copies, not_null, readable, references


def _not_refused_too(rows: Rows) -> str:
    key = "customer_id, purpose, event_time"
    refused = f"SELECT {key} FROM {quoted(rows.table)} WHERE NOT is_granted"  # noqa: S608 - quoted
    known = "customer_id IS NOT NULL AND purpose IS NOT NULL AND event_time IS NOT NULL"
    return f"NOT is_granted OR ({key}) NOT IN ({refused} AND {known})"


CONSENTS = Contract(
    name="consents",
    grain="customer × purpose × change",
    columns=(
        Column("customer_id", DType.STRING, required=True),
        Column("purpose", DType.STRING, required=True),
        Column("is_granted", DType.FLAG, required=True),
        Column("event_time", DType.INSTANT, required=True),
    ),
    expectations=(
        no_copies("duplicate consent row"),
        not_null("customer_id"),
        not_null("purpose"),
        not_null("is_granted"),
        not_null("event_time"),
        # Granted and withdrawn at the same instant: neither is known to be right.
        # Of two answers at one instant the refusal is believed, as long as nobody says which came last.
        holds("granted and refused at once", _not_refused_too, "customer_id", "purpose", "event_time", "is_granted"),
        readable(),
        between("event_time", high=RECEIVED_AT, name="event in the future"),
        # A withdrawal must not be lost because its customer is delivered later.
        references(
            "customer_id", "customers", "customer_id", name="consent without a customer", severity=Severity.WARNING
        ),
    ),
    examples=(
        {"customer_id": "C1", "purpose": "marketing", "is_granted": "yes", "event_time": "2024-01-05 09:00:00"},
        {"customer_id": "C1", "purpose": "marketing", "is_granted": "no", "event_time": "2024-02-05 09:00:00"},
        {"customer_id": "C2", "purpose": "profiling", "is_granted": "1", "event_time": "2024-01-05T09:00:00Z"},
    ),
    rejects=(
        Reject("duplicate consent row", {}),
        Reject("customer_id is null", {"customer_id": None}),
        Reject("purpose is null", {"purpose": " "}),
        Reject("is_granted is null", {"purpose": "profiling", "is_granted": None}),
        Reject("event_time is null", {"event_time": None}),
        Reject("granted and refused at once", {"event_time": "2024-02-05 09:00:00"}),
        Reject("is_granted is not a flag", {"purpose": "profiling", "is_granted": "perhaps"}),
        Reject("event_time is not an instant", {"event_time": "05.01.2024"}),
        Reject("unreadable text", {"purpose": "Marknadsf\ufffdring"}),
        Reject("event in the future", {"event_time": "2024-05-01 00:00:01"}),
        Reject("consent without a customer", {"customer_id": "C404"}),
    ),
    key=("customer_id", "purpose", "event_time"),
    time="event_time",
)
