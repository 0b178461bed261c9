"""Contract of feedback: what customers said, and what became of it."""

from data.contracts.base import Column, Contract, DType, Reject, Severity
from data.contracts.rules import RECEIVED_AT, between, holds, in_set, no_copies, not_null, readable, references, unique

KINDS = ("survey", "review", "complaint", "claim", "request")
"""What a statement can be; the words of the source are mapped to these."""

FEEDBACK = Contract(
    name="feedback",
    grain="statement",
    columns=(
        Column("feedback_id", DType.STRING, required=True),
        Column("customer_id", DType.STRING, required=True),
        Column("event_time", DType.INSTANT, required=True),
        Column("kind", DType.STRING, required=True),
        Column("channel", DType.STRING),
        Column("rating", DType.NUMBER),
        Column("rating_max", DType.NUMBER),
        Column("text", DType.STRING),
        Column("topic", DType.STRING),
        Column("status", DType.STRING),
        Column("resolved_at", DType.INSTANT),
    ),
    expectations=(
        no_copies("duplicate statement"),
        not_null("feedback_id"),
        not_null("event_time"),
        not_null("kind"),
        unique("feedback_id"),
        readable(),
        in_set("kind", KINDS, name="unknown kind"),
        between("event_time", high=RECEIVED_AT, name="event in the future"),
        between("resolved_at", high=RECEIVED_AT, name="resolved in the future"),
        holds("resolved before stated", "resolved_at >= event_time", "resolved_at", "event_time"),
        holds("rating out of its range", "rating >= 0 AND rating <= rating_max", "rating", "rating_max"),
        holds(
            "rating without its maximum",
            "rating IS NULL OR rating_max IS NOT NULL",
            "rating",
            "rating_max",
            severity=Severity.WARNING,
        ),
        # Somebody who never bought may complain too, and a null is one who gave no name.
        references("customer_id", "customers", "customer_id", name="orphan customer", severity=Severity.WARNING),
    ),
    examples=(
        {
            "feedback_id": "F1",
            "customer_id": "C1",
            "event_time": "2024-03-01 10:00:00",
            "kind": "complaint",
            "channel": "phone",
            "rating": "2",
            "rating_max": "5",
            "text": "Arrived late",
            "topic": "delivery",
            "status": "closed",
            "resolved_at": "2024-03-02 10:00:00",
        },
        {"feedback_id": "F2", "customer_id": None, "event_time": "2024-03-01T10:00:00Z", "kind": "survey"},
        {"feedback_id": "F3", "customer_id": "C2", "event_time": "2024-03-01", "kind": "review", "rating_max": "10"},
    ),
    rejects=(
        Reject("duplicate statement", {}),
        Reject("feedback_id is null", {"feedback_id": None}),
        Reject("event_time is null", {"feedback_id": "F9", "event_time": None}),
        Reject("kind is null", {"feedback_id": "F9", "kind": None}),
        Reject("feedback_id is not unique", {"text": "Arrived later"}),
        Reject("unreadable text", {"feedback_id": "F9", "text": "F\ufffdr sent"}),
        Reject("event_time is not an instant", {"feedback_id": "F9", "event_time": "01.03.2024"}),
        Reject("rating is not a number", {"feedback_id": "F9", "rating": "good"}),
        Reject("unknown kind", {"feedback_id": "F9", "kind": "praise"}),
        Reject("event in the future", {"feedback_id": "F9", "event_time": "2024-05-01 00:00:01", "resolved_at": None}),
        Reject("resolved in the future", {"feedback_id": "F9", "resolved_at": "2024-05-01 00:00:01"}),
        Reject("resolved before stated", {"feedback_id": "F9", "resolved_at": "2024-03-01 09:59:59"}),
        Reject("rating out of its range", {"feedback_id": "F9", "rating": "6"}),
        Reject("rating without its maximum", {"feedback_id": "F9", "rating_max": None}),
        Reject("orphan customer", {"feedback_id": "F9", "customer_id": "C404"}),
    ),
    key=("feedback_id",),
    time="event_time",
)
