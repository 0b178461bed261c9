"""Contract of trials: a flat file with one row per participant, the arm that was drawn and what came of it.

For a trial whose campaign, contacts and purchases are delivered as tables of their own, those are the place. Attributes
are what was known of a participant before the lots were drawn. Another outcome is another trial, by another
``trial_id``.
"""

from data.contracts.base import Column, Contract, DType, Expectation, Reject, Rows, Severity, quoted
from data.contracts.rules import RECEIVED_AT, between, no_copies, not_null, readable, references, unique

CONTROL = "control"
"""Arm of those who got nothing; the word of the source is mapped to this."""


def _has_control(rows: Rows) -> str:
    controlled = f"SELECT trial_id FROM {quoted(rows.table)} WHERE arm = '{CONTROL}' AND trial_id IS NOT NULL"  # noqa: S608 - quoted
    return f"trial_id IN ({controlled})"


TRIALS = Contract(
    name="trials",
    grain="trial × participant",
    columns=(
        Column("trial_id", DType.STRING, required=True),
        Column("customer_id", DType.STRING, required=True),
        Column("arm", DType.STRING, required=True),
        Column("outcome", DType.NUMBER, required=True),
        Column("spend_cents", DType.INTEGER),
        Column("assigned_at", DType.INSTANT),
    ),
    expectations=(
        Expectation(f"no arm named {CONTROL}", Severity.CRITICAL, _has_control, columns=("trial_id", "arm")),
        no_copies("duplicate trial row"),
        not_null("trial_id"),
        not_null("customer_id"),
        not_null("arm"),
        not_null("outcome"),
        unique("trial_id", "customer_id"),
        readable(),
        between("assigned_at", high=RECEIVED_AT, name="assigned in the future"),
        # Whoever never bought is no customer yet; without them the arms could not be compared.
        references(
            "customer_id", "customers", "customer_id", name="participant without a customer", severity=Severity.WARNING
        ),
    ),
    examples=(
        {
            "trial_id": "T1",
            "customer_id": "C1",
            "arm": "mail",
            "outcome": "1",
            "spend_cents": "2999",
            "assigned_at": "2024-03-01 00:00:00",
        },
        {"trial_id": "T1", "customer_id": "C2", "arm": CONTROL, "outcome": "0"},
    ),
    rejects=(
        Reject(f"no arm named {CONTROL}", {"trial_id": "T2"}),
        Reject("duplicate trial row", {}),
        Reject("trial_id is null", {"trial_id": None}),
        Reject("customer_id is null", {"customer_id": None}),
        Reject("arm is null", {"customer_id": "C3", "arm": None}),
        Reject("outcome is null", {"customer_id": "C3", "outcome": None}),
        Reject("trial_id + customer_id is not unique", {"arm": CONTROL}),
        Reject("unreadable text", {"customer_id": "C3", "arm": "E-Mail \ufffd"}),
        Reject("outcome is not a number", {"customer_id": "C3", "outcome": "bought"}),
        Reject("assigned in the future", {"customer_id": "C3", "assigned_at": "2024-05-01 00:00:01"}),
        Reject("participant without a customer", {"customer_id": "C404"}),
    ),
    key=("trial_id", "customer_id"),
    time="assigned_at",
)
