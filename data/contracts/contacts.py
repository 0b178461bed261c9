"""Contract of contacts: which customer was in which arm of which campaign."""

from data.contracts.base import Column, Contract, DType, Reject, Severity
from data.contracts.rules import RECEIVED_AT, between, holds, no_copies, not_null, readable, references, unique

CONTACTS = Contract(
    name="contacts",
    grain="campaign × customer",
    columns=(
        Column("campaign_id", DType.STRING, required=True),
        Column("customer_id", DType.STRING, required=True),
        Column("arm", DType.STRING, required=True),
        Column("assigned_at", DType.INSTANT, required=True),
        Column("contacted_at", DType.INSTANT),
        Column("propensity", DType.NUMBER),
    ),
    expectations=(
        no_copies("duplicate contact row"),
        not_null("campaign_id"),
        not_null("customer_id"),
        not_null("arm"),
        not_null("assigned_at"),
        unique("campaign_id", "customer_id"),
        readable(),
        between("assigned_at", high=RECEIVED_AT, name="assigned in the future"),
        between("propensity", low=0, high=1, name="propensity outside 0 to 1"),
        references("campaign_id", "campaigns", "campaign_id", name="orphan campaign"),
        references("customer_id", "customers", "customer_id", name="orphan customer"),
        holds("contacted before assigned", "contacted_at >= assigned_at", "contacted_at", "assigned_at"),
        holds(
            "control was contacted",
            "arm <> 'control' OR contacted_at IS NULL",
            "arm",
            "contacted_at",
            severity=Severity.WARNING,
        ),
    ),
    examples=(
        {
            "campaign_id": "K1",
            "customer_id": "C1",
            "arm": "mail",
            "assigned_at": "2024-03-01 00:00:00",
            "contacted_at": "2024-03-02 08:00:00",
            "propensity": "0.5",
        },
        {"campaign_id": "K2", "customer_id": "C2", "arm": "control", "assigned_at": "2024-03-01T00:00:00Z"},
    ),
    rejects=(
        Reject("duplicate contact row", {}),
        Reject("campaign_id is null", {"campaign_id": None}),
        Reject("customer_id is null", {"customer_id": None}),
        Reject("arm is null", {"customer_id": "C2", "arm": None}),
        Reject("assigned_at is null", {"customer_id": "C2", "assigned_at": None}),
        Reject("campaign_id + customer_id is not unique", {"arm": "control", "contacted_at": None}),
        Reject("unreadable text", {"customer_id": "C2", "arm": "E-Mail \ufffd"}),
        Reject("propensity is not a number", {"customer_id": "C2", "propensity": "half"}),
        Reject("assigned in the future", {"customer_id": "C2", "assigned_at": "2030-01-01", "contacted_at": None}),
        Reject("propensity outside 0 to 1", {"customer_id": "C2", "propensity": "1.5"}),
        Reject("orphan campaign", {"campaign_id": "K404"}),
        Reject("orphan customer", {"customer_id": "C404"}),
        Reject("contacted before assigned", {"customer_id": "C2", "contacted_at": "2024-02-28 08:00:00"}),
        Reject("control was contacted", {"customer_id": "C2", "arm": "control"}),
    ),
    key=("campaign_id", "customer_id"),
    time="assigned_at",
)
