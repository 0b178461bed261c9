"""Contract of products: what can be sold."""

from data.contracts.base import Column, Contract, DType, Reject, Severity
from data.contracts.rules import between, holds, no_copies, not_null, readable, unique

PRODUCTS = Contract(
    name="products",
    grain="product",
    columns=(
        Column("product_id", DType.STRING, required=True),
        Column("name", DType.STRING),
        Column("brand", DType.STRING),
        Column("category", DType.STRING),
        Column("department", DType.STRING),
        Column("list_price_cents", DType.INTEGER),
        Column("unit_cost_cents", DType.INTEGER),
    ),
    expectations=(
        no_copies("duplicate product row"),
        not_null("product_id"),
        unique("product_id"),
        readable(),
        between("list_price_cents", low=0, name="negative list price"),
        between("unit_cost_cents", low=0, name="negative unit cost"),
        holds(
            "unit cost above list price",
            "unit_cost_cents <= list_price_cents",
            "unit_cost_cents",
            "list_price_cents",
            severity=Severity.WARNING,
        ),
    ),
    examples=(
        {"product_id": "P1", "name": "Milk", "category": "Dairy", "list_price_cents": "199", "unit_cost_cents": "120"},
        {"product_id": "P2", "name": "Bread", "category": None, "list_price_cents": None, "unit_cost_cents": None},
    ),
    rejects=(
        Reject("duplicate product row", {}),
        Reject("product_id is null", {"product_id": None}),
        Reject("product_id is not unique", {"name": "Butter"}),
        Reject("unreadable text", {"product_id": "P3", "name": "Cr\ufffdme"}),
        Reject("list_price_cents is not an integer", {"product_id": "P3", "list_price_cents": "1.99"}),
        Reject("negative list price", {"product_id": "P3", "list_price_cents": "-1"}),
        Reject("negative unit cost", {"product_id": "P3", "unit_cost_cents": "-1"}),
        Reject("unit cost above list price", {"product_id": "P3", "unit_cost_cents": "200"}),
    ),
    key=("product_id",),
)
