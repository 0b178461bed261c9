"""Contract of campaigns: what was tried on customers, when, and at what cost."""

from data.contracts.base import Column, Contract, DType, Reject
from data.contracts.rules import between, holds, no_copies, not_null, readable, unique

CAMPAIGNS = Contract(
    name="campaigns",
    grain="campaign",
    columns=(
        Column("campaign_id", DType.STRING, required=True),
        Column("name", DType.STRING),
        Column("kind", DType.STRING),
        Column("channel", DType.STRING),
        Column("starts_on", DType.DATE),
        Column("ends_on", DType.DATE),
        Column("cost_per_contact_cents", DType.INTEGER),
        Column("offer", DType.STRING),
        Column("is_randomised", DType.FLAG),
    ),
    expectations=(
        no_copies("duplicate campaign row"),
        not_null("campaign_id"),
        unique("campaign_id"),
        readable(),
        holds("campaign ends before it starts", "starts_on <= ends_on", "starts_on", "ends_on"),
        between("cost_per_contact_cents", low=0, name="negative cost of a contact"),
    ),
    examples=(
        {
            "campaign_id": "K1",
            "name": "Spring",
            "starts_on": "2024-03-01",
            "ends_on": "2024-03-31",
            "cost_per_contact_cents": "50",
            "is_randomised": "true",
        },
        {"campaign_id": "K2", "starts_on": "2024-04-01", "ends_on": None, "is_randomised": None},
    ),
    rejects=(
        Reject("duplicate campaign row", {}),
        Reject("campaign_id is null", {"campaign_id": None}),
        Reject("campaign_id is not unique", {"name": "Easter"}),
        Reject("unreadable text", {"campaign_id": "K3", "name": "Fr\ufffdhling"}),
        Reject("is_randomised is not a flag", {"campaign_id": "K3", "is_randomised": "perhaps"}),
        Reject("campaign ends before it starts", {"campaign_id": "K3", "ends_on": "2024-02-29"}),
        Reject("negative cost of a contact", {"campaign_id": "K3", "cost_per_contact_cents": "-50"}),
    ),
    key=("campaign_id",),
)
