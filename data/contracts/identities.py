"""Contract of identities: who a customer is. The only table that holds personal data."""

from data.contracts.base import Column, Contract, DType, Reject, Severity
from data.contracts.rules import matches, no_copies, not_null, readable, references, unique

IDENTITIES = Contract(
    name="identities",
    grain="customer",
    columns=(
        Column("customer_id", DType.STRING, required=True),
        Column("name", DType.STRING),
        Column("email", DType.STRING),
        Column("phone", DType.STRING),
        Column("street", DType.STRING),
        Column("postal_code", DType.STRING),
        Column("city", DType.STRING),
        Column("country", DType.STRING),
    ),
    expectations=(
        no_copies("duplicate identity row"),
        not_null("customer_id"),
        unique("customer_id"),
        readable(),
        # A person who has not bought yet is no mistake, and in the quarantine nobody would find them to erase them.
        references(
            "customer_id", "customers", "customer_id", name="identity without a customer", severity=Severity.WARNING
        ),
        matches("email", r"\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*", name="malformed e-mail", severity=Severity.WARNING),
    ),
    examples=(
        {
            "customer_id": "C1",
            "name": "Anna Example",
            "email": "anna@example.org",
            "phone": "+46 70 000 00 00",
            "street": "Storgatan 1",
            "postal_code": "111 22",
            "city": "Stockholm",
            "country": "SE",
        },
        {"customer_id": "C2", "name": "Bo Example", "email": None},
    ),
    rejects=(
        Reject("duplicate identity row", {}),
        Reject("customer_id is null", {"customer_id": None}),
        Reject("customer_id is not unique", {"name": "Anna Other"}),
        Reject("unreadable text", {"customer_id": "C3", "city": "G\ufffdteborg"}),
        Reject("identity without a customer", {"customer_id": "C404"}),
        Reject("malformed e-mail", {"customer_id": "C3", "email": "anna at example.org"}),
    ),
    key=("customer_id",),
)
