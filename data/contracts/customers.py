"""Contract of customers: who may buy, and what the company calls them.

``has_churned`` is the label of a flat file with one row per customer, for companies that can say who left but not when
what was bought. It is null where it is not known, and in every row where transactions tell it.
"""

from data.contracts.base import Column, Contract, DType, Reject, Rows, Severity, literal
from data.contracts.rules import holds, no_copies, not_null, readable, unique

OLDEST_YEARS = 110
"""Years after which a year of birth is taken for a mistake."""


def _until_received(rows: Rows) -> str:
    # A local date may be one day ahead of UTC.
    return f"first_seen_on <= CAST({literal(rows.delivery.received_at)} AS DATE) + 1"


def _of_somebody_alive(rows: Rows) -> str:
    year = rows.delivery.received_at.year
    return f"birth_year > {year - OLDEST_YEARS} AND birth_year <= {year}"


CUSTOMERS = Contract(
    name="customers",
    grain="customer",
    columns=(
        Column("customer_id", DType.STRING, required=True),
        Column("first_seen_on", DType.DATE),
        Column("birth_year", DType.INTEGER),
        Column("age_band", DType.STRING),
        Column("gender", DType.STRING),
        Column("region", DType.STRING),
        Column("segment", DType.STRING),
        Column("account_manager", DType.STRING),
        Column("loyalty_tier", DType.STRING),
        Column("loyalty_joined_on", DType.DATE),
        Column("has_churned", DType.FLAG),
    ),
    expectations=(
        no_copies("duplicate customer row"),
        not_null("customer_id"),
        unique("customer_id"),
        readable(),
        holds("first seen in the future", _until_received, "first_seen_on", severity=Severity.WARNING),
        # Often 1900 where nobody asked: no reason to lose the customer, and no age either.
        holds("implausible year of birth", _of_somebody_alive, "birth_year", severity=Severity.WARNING),
    ),
    examples=(
        {
            "customer_id": "C1",
            "first_seen_on": "2023-01-05",
            "birth_year": "1985",
            "age_band": "35-44",
            "region": "North",
            "has_churned": "no",
        },
        {"customer_id": "C2", "first_seen_on": None, "birth_year": None, "age_band": None, "region": "Södermanland"},
    ),
    rejects=(
        Reject("duplicate customer row", {}),
        Reject("customer_id is null", {"customer_id": None}),
        Reject("customer_id is not unique", {"age_band": "45-54"}),
        Reject("unreadable text", {"customer_id": "C3", "region": "S\ufffddermanland"}),
        Reject("has_churned is not a flag", {"customer_id": "C3", "has_churned": "perhaps"}),
        Reject("first_seen_on is not a date", {"customer_id": "C3", "first_seen_on": "05.01.2023"}),
        Reject("birth_year is not an integer", {"customer_id": "C3", "birth_year": "MCMLXXXV"}),
        Reject("implausible year of birth", {"customer_id": "C3", "birth_year": "1900"}),
        Reject("first seen in the future", {"customer_id": "C3", "first_seen_on": "2030-01-01"}),
    ),
    key=("customer_id",),
)
