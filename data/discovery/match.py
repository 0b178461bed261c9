"""Match: which column of a contract each column of a file looks like, and what kind of table the file is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from data.discovery.profile import ColumnProfile, Profile
from data.discovery.words import fit, words

Role = Literal[
    "lines", "sales", "orders", "customers", "products", "campaigns", "contacts", "trial", "feedback", "consents",
    "subscriptions", "other",
]  # fmt: skip

ENOUGH = 0.4
"""Score from which a name counts as saying what it seems to say."""

CONTROL_WORDS = frozenset(
    [
        "control",
        "kontroll",
        "kontrollgruppe",
        "no",
        "none",
        "holdout",
        "testigo",
        "temoin",
        "controle",
        "kontrollgrupp",
        "ingen",
        "kein",
        "keine",
    ]
)

_BARE_PRODUCTS = {("reference",), ("ref",), ("referencia",), ("referenz",)}
"""Names that mean an article where nothing else does."""

_KEYS = frozenset({"pk", "key", "uuid", "guid"})
_LABELS = frozenset({"yes", "y", "true", "1", "ja", "j", "oui", "si", "s", "sim"}) | frozenset(
    {"churned", "exited", "attrited", "left", "gekundigt", "gekuendigt"}
)


@dataclass(frozen=True)
class _Said:
    """Concepts that a name must and may say, what that is worth, and the kinds that the column may have."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    worth: float = 1.0


def _said(required: str, optional: str = "", worth: float = 1.0) -> _Said:
    return _Said(frozenset(required.split()), frozenset(optional.split()), worth)


_TARGETS: dict[str, tuple[_Said, ...]] = {
    "customer_id": (_said("customer id", "unique"), _said("customer", "", 0.8), _said("customer unique")),
    "order_id": (_said("order id", "unique coupon"), _said("order", "coupon outcome", 0.75)),
    "product_id": (_said("product id", "unique"), _said("product", "", 0.75), _said("product name", "", 0.45)),
    "line": (_said("order product id"), _said("line", "id order product payment later"), _said("line id")),
    "event_time": (
        _said("order time", "outcome start coupon later"),
        _said("order start", "", 0.7),
        _said("time", "start", 0.75),
        _said("start", "", 0.5),
    ),
    "quantity": (_said("quantity", "product order unit"), _said("quantity id", "product", 0.8)),
    "price": (
        _said("price unit", "product"),
        _said("price quantity", "product"),
        _said("price", "product list amount", 0.8),
        _said("amount unit", "", 0.8),
    ),
    "amount": (_said("amount", "line price product order tax discount outcome later"), _said("price line", "", 0.9)),
    "discount_cents": (_said("discount", "amount price line order product id"),),
    "coupon_cents": (_said("coupon", "amount discount price"),),
    "channel": (_said("channel", "order"),),
    "store_id": (_said("store id"), _said("store", "", 0.8)),
    "currency": (_said("currency", "id order name"),),
    "region": (_said("region", "customer id name"),),
    "gender": (_said("gender", "customer"),),
    "segment": (_said("segment", "customer name category"),),
    "birth_year": (_said("birth year", "customer"),),
    "age_band": (_said("age", "customer category"),),
    "loyalty_tier": (_said("tier", "customer name category"),),
    "account_manager": (_said("manager", "customer name"),),
    "first_seen_on": (_said("start", "customer time"), _said("customer time", "", 0.8), _said("time", "", 0.45)),
    "name": (_said("name", "product", 1.0), _said("product", "", 0.6), _said("product category name", "", 0.3)),
    "brand": (_said("brand", "product id name"),),
    "category": (_said("category", "product name id"),),
    "department": (_said("department", "product name id"),),
    "list_price_cents": (_said("price list", "product"), _said("price", "product unit", 0.7)),
    "unit_cost_cents": (_said("cost", "product unit price"), _said("amount cost", "unit", 0.8)),
    "campaign_id": (_said("campaign id"), _said("campaign", "", 0.7)),
    "campaign_name": (_said("campaign name"), _said("name", "", 0.8)),
    "kind": (_said("kind", "campaign category"),),
    "starts_on": (_said("start", "time campaign"), _said("time", "", 0.45)),
    "ends_on": (_said("end", "time campaign"),),
    "arm": (_said("arm", "category customer"), _said("segment", "", 0.6)),
    "assigned_at": (_said("time", "start order later campaign", 0.8),),
    "label": (_said("label", "customer status order outcome"),),
    "status": (_said("status", "order kind category"), _said("kind", "order category", 0.9)),
    "rating": (_said("rating", "comment category"),),
    "text": (_said("comment", "name"), _said("comment rating", "", 0.5)),
    "feedback_id": (_said("comment id"), _said("rating id", "comment")),
    "feedback_time": (_said("time", "comment start rating", 0.9), _said("time", "later comment", 0.6)),
    "plan": (_said("plan", "name category"), _said("plan id", "name", 0.7)),
    "consent": (_said("consent", "email phone campaign time name status"),),
    "purpose": (_said("purpose", "consent"),),
    "email": (_said("email", "customer address"),),
    "phone": (_said("phone", "customer id"),),
    "person": (_said("person", "customer name"), _said("customer name"), _said("name", "start", 0.6)),
}

_NUMBERS = frozenset({"quantity", "price", "amount", "discount_cents", "coupon_cents", "list_price_cents",
                      "unit_cost_cents", "rating"})  # fmt: skip
_TIMES = frozenset({"event_time", "first_seen_on", "starts_on", "ends_on", "assigned_at", "feedback_time"})
_IDS = frozenset({"customer_id", "order_id", "product_id", "campaign_id", "store_id", "feedback_id"})


def score(column: ColumnProfile, target: str) -> float:
    """Return how much a column looks like a target by its name and its kind, from 0 to 1."""
    if not _may_be(column, target):
        return 0.0
    if target == "product_id" and words(column.name) in _BARE_PRODUCTS:
        return ENOUGH
    best = max(said.worth * fit(column.name, said.required, said.optional) for said in _TARGETS[target])
    if target in _IDS and _KEYS & set(words(column.name)):
        best -= 0.15
    # The very word is better than one that means the same.
    return best + 0.01 if target in words(column.name) else best


def _may_be(column: ColumnProfile, target: str) -> bool:
    """Return whether a column's values allow it to be a target."""
    special = {
        "arm": 2 <= column.n_distinct <= 10 and column.kind != "date",
        "label": column.n_distinct == 2,
        "line": column.is_whole,
        "consent": True,
        "birth_year": _is_years(column),
    }
    if target in special:
        return special[target]
    if target in _NUMBERS:
        return column.kind == "number"
    if target in _TIMES:
        return column.kind == "date" and "birth" not in column.about
    if target in _IDS:
        is_id = column.kind == "text" or (column.kind in {"number", "date"} and column.n_fractional == 0)
        is_one_of_few = column.n_rows > 20 and column.n_distinct <= 2
        return is_id and not column.is_personal and not (is_one_of_few and target not in {"store_id", "campaign_id"})
    return column.kind != "date"


def _is_years(column: ColumnProfile) -> bool:
    """Return whether nearly all values are years in which somebody alive may be born."""
    return column.kind == "number" and column.is_whole and 1850 <= (column.median or 0) <= 2100


def best(profile: Profile, target: str, taken: Iterable[str] = ()) -> ColumnProfile | None:
    """Return the column that looks most like a target, null where none does.

    Of equal ones the fuller, then the earlier wins. A date that says what came after the order, such as a delivery,
    comes last by its name.
    """
    ranked = ranking(profile, target, taken)
    return ranked[0] if ranked else None


def ranking(profile: Profile, target: str, taken: Iterable[str] = ()) -> list[ColumnProfile]:
    """Return the columns that look like a target, the best first."""
    left = [column for column in profile.usable if column.name not in set(taken)]
    scored = [(score(column, target), column) for column in left]
    kept = [(value, column) for value, column in scored if value >= ENOUGH]
    return [column for _, column in sorted(kept, key=lambda one: (-one[0], one[1].null_share, one[1].place))]


def control_value(column: ColumnProfile) -> str | None:
    """Return the value of an arm that means nobody was contacted, null where none says so."""
    named = [value for value in column.values if CONTROL_WORDS & set(words(value))]
    if len(named) == 1:
        return named[0]
    return "0" if set(column.values) == {"0", "1"} else None


def churned_values(column: ColumnProfile) -> tuple[str, ...]:
    """Return the values of a label that mean that a customer left, none where that cannot be told."""
    return tuple(value for value in column.values if _LABELS & set(words(value) or (value.casefold(),)))


def role(profile: Profile) -> Role:
    """Return what kind of table a file looks like."""
    found = {target: best(profile, target) for target in _TARGETS}
    customer = found["customer_id"]
    is_once = customer is None or customer.is_unique
    if is_once and _is_trial(profile, found):
        return "trial"
    if found["label"] is not None and (own_key(profile) is not None or (customer is not None and is_once)):
        return "customers"
    return _of_marketing(found) or _of_sales(profile, found) or _about_people(profile, found)


def _of_sales(profile: Profile, found: dict[str, ColumnProfile | None]) -> Role | None:
    """Return the role of files about purchases and what can be bought, null for others."""
    customer, order, product, time = (found[name] for name in ("customer_id", "order_id", "product_id", "event_time"))
    has_money = found["amount"] is not None or found["price"] is not None
    if product is not None and _repeats(product) and (order or customer) and not _is_flat(profile, found):
        return "lines"
    if order is not None and not _repeats(order) and (customer or time) and order.n_rows > 1:
        return "orders"
    if time is not None and (has_money or order) and customer is not None and _repeats(customer):
        return "sales"
    is_list = product is not None and customer is None and time is None and not _repeats(product)
    return "products" if is_list else None


def _about_people(profile: Profile, found: dict[str, ColumnProfile | None]) -> Role:
    customer = found["customer_id"]
    if customer is not None and (customer.n_distinct >= 0.9 * customer.n_filled or found["label"]):
        return "customers"
    if customer is None and (found["label"] is not None or found["gender"] is not None):
        return "customers"
    is_single = any(column.is_unique and "id" in column.about for column in profile.usable)
    return "customers" if is_single and (found["first_seen_on"] or found["email"]) else "other"


def _of_marketing(found: dict[str, ColumnProfile | None]) -> Role | None:
    """Return the role of files about campaigns, consent, contracts and opinions, null for others."""
    campaign, order, customer = found["campaign_id"], found["order_id"], found["customer_id"]
    has_money = found["amount"] is not None or found["price"] is not None
    if campaign is not None and not has_money and not order and not found["label"]:
        if customer is not None and campaign.n_distinct < campaign.n_rows:
            return "contacts"
        if customer is None and campaign.is_unique and (found["starts_on"] or found["campaign_name"]):
            return "campaigns"
    if customer is not None and found["consent"] is not None and found["purpose"] is not None:
        return "consents"
    says = [column for column in (found["rating"], found["text"]) if column is not None]
    is_said = any(max(score(column, "rating"), score(column, "text")) >= 0.7 for column in says)
    if is_said and not has_money and not found["quantity"] and not found["gender"]:
        return "feedback" if customer or order or found["product_id"] else None
    what = found["plan"] or (found["product_id"] if not found["quantity"] else None)
    has_plan = what is not None and found["starts_on"] is not None and found["ends_on"] is not None
    return "subscriptions" if has_plan and customer is not None and not found["label"] and not order else None


def _is_trial(profile: Profile, found: dict[str, ColumnProfile | None]) -> bool:
    """Return whether a file is one row per customer with an arm and outcomes."""
    arm = found["arm"]
    if arm is None or control_value(arm) is None or found["order_id"] or found["label"] or found["campaign_id"]:
        return False
    return bool(outcomes(profile))


def outcomes(profile: Profile) -> list[ColumnProfile]:
    """Return the columns of a trial that look like what came of it."""
    numbers = (column for column in profile.usable if column.kind in {"number", "flag"})
    return [column for column in numbers if "outcome" in column.about and len(words(column.name)) <= 2]


def _is_flat(profile: Profile, found: dict[str, ColumnProfile | None]) -> bool:
    """Return whether a file is one row per customer, whatever it says of products."""
    customer = found["customer_id"]
    has_key = customer is not None and customer.is_unique
    if found["event_time"] is None and (has_key or own_key(profile) is not None):
        return True
    return customer is None and found["order_id"] is None


def own_key(profile: Profile) -> ColumnProfile | None:
    """Return the column that is called just an id and is different in each row, null where there is none."""
    return next((column for column in profile.usable if column.is_unique and column.about == {"id"}), None)


def _repeats(column: ColumnProfile) -> bool:
    """Return whether values come back: a key with a few copies of rows does not."""
    return column.n_distinct < 0.98 * column.n_filled


def listed(columns: Sequence[ColumnProfile]) -> str:
    """Return names in the words of a sentence."""
    return ", ".join(column.name for column in columns)
