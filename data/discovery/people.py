"""People and things: the sections of customers, identities, products and of a flat file with a label."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from itertools import compress

from data.contracts.base import quoted
from data.discovery.lines import World
from data.discovery.match import best, churned_values, own_key, ranking, score
from data.discovery.profile import ColumnProfile, Profile
from data.discovery.proposal import FOUND, Draft, Entry, found_share, key_text, says
from data.discovery.words import words

_SURE = 0.6
_SAID_OF_CUSTOMERS = (
    *("first_seen_on", "birth_year", "gender", "region", "segment", "age_band", "loyalty_tier", "account_manager"),
)


def customers(world: World, lines: Draft | None) -> Draft | None:
    """Return the section of customers, null where no file has them, or has too few of those who bought."""
    for profile in world.of("customers"):
        key, evidence = _key(world, profile, lines)
        if key is None and lines is not None:
            continue
        draft = Draft("customers", profile)
        if key is None:
            unsure = "no column numbers the customers: a row's place is its number, and changes when rows do"
            draft.entries.append(Entry("columns.customer_id", "$row", ("each row is one customer",), unsure))
        else:
            draft.map("customer_id", key, *evidence)
        _describe(world, draft, key)
        if lines is None or best(profile, "label"):
            _label(draft)
        return draft
    return None


def _key(world: World, profile: Profile, lines: Draft | None) -> tuple[ColumnProfile | None, tuple[str, ...]]:
    """Return the column that numbers the customers, null where it has not those of the lines."""
    candidates = ranking(profile, "customer_id")
    alone = own_key(profile)
    if alone is not None and not any(column.is_unique for column in candidates):
        candidates = [alone, *candidates]
    if lines is None or "constants.customer_id" in lines.keys:
        unique = [column for column in candidates if column.n_distinct >= 0.98 * column.n_rows]
        return (unique[0], ("name and values say so",)) if unique else (None, ())
    buyer = next(entry.value for entry in lines.entries if entry.key == "columns.customer_id")
    source = next(one for one in (lines.profile, *(p for p, *_ in lines.joins)) if _has(one, str(buyer)))
    ours = (source, source.column(str(buyer)))
    for column in candidates:
        share = found_share(world.connection, ours, (profile, column))
        if share >= FOUND:
            return column, (f"{share:.0%} of the customers in {lines.profile.label} are here",)
    return None, ()


def _has(profile: Profile, name: str) -> bool:
    return any(column.name == name for column in profile.usable)


def _describe(world: World, draft: Draft, key: ColumnProfile | None) -> None:
    """Map what a customer is described by, as far as it says one thing of each."""
    repeats = key is not None and not key.is_unique
    for target in _SAID_OF_CUSTOMERS:
        found = [column for column in ranking(draft.profile, target) if column.name not in draft.used]
        column = found[0] if found else None
        if column is None or column.is_personal or score(column, target) < _SURE:
            continue
        if target in {"age_band", "segment", "loyalty_tier"} and column.kind == "number":
            continue
        if repeats and key is not None and not _is_one_each(world, draft.profile, key, column):
            draft.notes.append(f"{column.name} says different things of one customer: not mapped")
            continue
        draft.map(target, column)
    if repeats and key is not None:
        left = [column for column in draft.profile.usable if column.name not in draft.used]
        draft.left_out |= {c.name for c in left if not _is_one_each(world, draft.profile, key, c)}
        draft.notes.append("some customers have several rows, so that only what is the same in all of them is mapped")


def _is_one_each(world: World, profile: Profile, key: ColumnProfile, column: ColumnProfile) -> bool:
    """Return whether a column says one thing for at least 999 of 1,000 keys that come back."""
    text = f"CAST({quoted(f'c{column.place}')} AS VARCHAR)"
    ((n_many, n_keys),) = world.connection.execute(
        f"SELECT count(*) FILTER (n > 1), count(*) FROM (SELECT count(DISTINCT {text}) AS n "
        f"FROM {quoted(profile.sample.table)} GROUP BY {key_text(key)})"
    ).fetchall()
    return bool(n_many <= n_keys / 1000)


def _label(draft: Draft) -> None:
    """Add the label, if there is one."""
    column = best(draft.profile, "label", draft.used)
    if column is None:
        return
    churned = churned_values(column)
    is_said = "label" in column.about and not {"target", "response", "y"} & set(words(column.name))
    unsure = "" if is_said else f"does {column.name} say who left? If it says who answered or bought, remove this line"
    draft.used[column.name] = column
    values = [value for value in column.values if value in churned]
    if len(values) != 1:
        todo = f"{column.name} has {len(column.values)} different values: write those that mean that a customer left"
        draft.entries.append(
            Entry("label", {"column": column.name, "churned": ["…"]}, (todo,), "who left?", is_active=False)
        )
        return
    n_left = column.values[values[0]]
    evidence = f"<- {column.name}: {n_left:,} of {column.n_filled:,} left ({n_left / column.n_filled:.1%})"
    draft.entries.append(Entry("label", {"column": column.name, "churned": values}, (evidence,), unsure))


def identities(people: Draft | None) -> Draft | None:
    """Return the section of identities: the only table that may hold names, addresses and ways to reach a person."""
    if people is None:
        return None
    key = next((entry for entry in people.entries if entry.key == "columns.customer_id"), None)
    column = None if key is None or key.value == "$row" else people.profile.column(str(key.value))
    if column is None or not column.is_unique:
        return None
    draft = Draft("identities", people.profile)
    draft.map("customer_id", column)
    for target, said in (("email", "email"), ("phone", "phone")):
        found = best(people.profile, said, people.used)
        draft.map(target, found if found is not None and found.is_personal else None)
    _name_and_place(draft, people)
    return draft if len(draft.entries) > 1 else None


def _name_and_place(draft: Draft, people: Draft) -> None:
    left = [column for column in people.profile.usable if column.name not in {*people.used, *draft.used}]
    names = [column for column in left if score(column, "person") >= 0.5]
    full = [column for column in names if column.is_personal]
    is_bare = [column.about == {"name"} or column.n_distinct > 0.5 * column.n_filled for column in names]
    chosen = full or list(compress(names, is_bare))
    if chosen:
        # A first name comes before a surname, whatever the file's order.
        chosen = sorted(
            chosen[:2], key=lambda column: not {"first", "vorname", "prenom", "fornamn"} & set(words(column.name))
        )
        value = chosen[0].name if len(chosen) == 1 else tuple(column.name for column in chosen)
        draft.used |= {column.name: column for column in chosen}
        draft.entries.append(Entry("columns.name", value, tuple(says(column) for column in chosen)))
    if not full and "columns.email" not in draft.keys and not any("address" in column.about for column in left):
        return
    for target, concept in (("street", "address"), ("postal_code", "zip"), ("city", "city"), ("country", "region")):
        place = next((c for c in left if concept in c.about and c.name not in draft.used and c.kind != "date"), None)
        if place is not None and "email" not in place.about and "later" not in place.about:
            draft.map(target, place)


def products(world: World, lines: Draft | None) -> Draft | None:
    """Return the section of products, null where no file has them with one row each."""
    bought = None
    if lines is not None:
        bought = next((entry for entry in lines.entries if entry.key == "columns.product_id"), None)
    for profile in world.of("products"):
        for key in ranking(profile, "product_id") or [key for key in [own_key(profile)] if key is not None]:
            share = 1.0
            if lines is not None and bought is not None:
                ours = (lines.profile, lines.profile.column(str(bought.value)))
                share = found_share(world.connection, ours, (profile, key))
            if not key.is_unique or share < 0.5:
                continue
            draft = Draft("products", profile)
            evidence = f"{share:.0%} of the products in {lines.profile.label} are here" if lines else "one row each"
            draft.map("product_id", key, evidence)
            _describe_product(draft)
            return draft
    return None


def _describe_product(draft: Draft) -> None:
    for target in ("name", "category", "brand", "department"):
        texts = [column for column in ranking(draft.profile, target, draft.used) if column.kind == "text"]
        if texts and score(texts[0], target) >= _SURE:
            draft.map(target, texts[0])
    for target in ("list_price_cents", "unit_cost_cents"):
        column = best(draft.profile, target, draft.used)
        if column is not None and not column.n_negative:
            draft.used[column.name] = column
            unit = {"unit": "minor"} if "cents" in column.about else {}
            draft.entries.append(Entry(f"money.{target}", {"column": column.name} | unit, (says(column),)))
