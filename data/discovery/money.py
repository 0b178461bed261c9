"""Money: which columns are the amount of a line, in which unit, and which lines give money back."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

import re
from collections.abc import Sequence

import duckdb

from data.contracts.base import literal, quoted
from data.discovery.match import best, ranking
from data.discovery.profile import ColumnProfile, Profile
from data.discovery.proposal import Draft, Entry, says
from data.discovery.sample import cell
from data.discovery.words import about, words
from data.sources import cells
from data.sources.cells import TEXT, Cell

_ADDED = {"shipping", "tax", "discount", "coupon", "cost"}
_SIGNS = frozenset({
    "return", "returns", "returned", "retoure", "retouren", "refund", "refunded", "storno", "gutschrift", "credit",
    "retour", "devolucion", "devolucao", "retur", "remboursement", "avoir", "kreditnota", "reembolso", "annulation",
})  # fmt: skip
_MUST_AGREE = 0.9
_WITHOUT_MINOR = frozenset({"JPY", "KRW", "HUF"})
_NAMED_SO = {f"code {code}" for code in _WITHOUT_MINOR}
_WHOLE_MONEY = "this currency has no cents: kept in hundredths like every other, and printed with two decimals"


def add_money(connection: duckdb.DuckDBPyConnection, draft: Draft) -> None:
    """Add quantity, amount and the sign of returns to a draft of transactions."""
    profile = draft.profile
    quantity = best(profile, "quantity", draft.used)
    price = best(profile, "price", draft.used)
    taken = {*draft.used, *([price.name] if price is not None else [])}
    amount = next((column for column in _amounts(profile) if column.name not in taken), None)
    if quantity is None:
        draft.constant("quantity", 1, "no column says how many: each row counts as one")
    else:
        draft.map("quantity", quantity, _negatives(quantity))
    entry = _turned(_amount(connection, profile, quantity, price, amount), profile)
    draft.entries.append(entry)
    if isinstance(entry.value, dict):
        for name in (entry.value["column"], entry.value.get("times")):
            if name is not None:
                draft.used[name] = profile.column(name)
    for target in ("discount_cents", "coupon_cents"):
        further = best(profile, target, draft.used)
        if further is not None and (further.high or 0) > 1:
            draft.used[further.name] = further
            entry = Entry(f"money.{target}", {"column": further.name}, (says(further),))
            draft.entries.append(_with_unit(connection, profile, further, entry))
    returns = _returns(connection, profile, quantity, amount)
    if returns is not None:
        draft.entries.append(returns)


def _turned(entry: Entry, profile: Profile) -> Entry:
    """Return an amount with its sign turned where most rows are below zero, as in the statements of a bank."""
    column = profile.column(str(entry.value["column"])) if isinstance(entry.value, dict) else None
    if column is None or not isinstance(entry.value, dict) or not _is_mostly_negative(column):
        return entry
    evidence = f"{column.n_negative:,} of {column.n_filled:,} are below zero: what is spent has a minus"
    value = entry.value | {"negated": True}
    unsure = "does a minus mean money spent (as here) or money given back?"
    choices = {"a minus is money spent": value, "a minus is money given back": entry.value}
    return Entry(entry.key, value, (*entry.evidence, evidence), unsure, choices)


def _is_mostly_negative(column: ColumnProfile) -> bool:
    return column.n_negative > 0.5 * column.n_filled


def _amounts(profile: Profile) -> list[ColumnProfile]:
    """Return columns that may be what a line cost, net ones first; postage, tax and the like are none."""
    found = [column for column in ranking(profile, "amount") if not column.about & _ADDED]
    return sorted(found, key=lambda column: not {"net", "netto"} & set(words(column.name)))


def _negatives(column: ColumnProfile) -> str:
    return f"{column.n_negative:,} negative: returns" if column.n_negative else "none negative"


def _amount(
    connection: duckdb.DuckDBPyConnection,
    profile: Profile,
    quantity: ColumnProfile | None,
    price: ColumnProfile | None,
    amount: ColumnProfile | None,
) -> Entry:
    """Return the line of the amount, decided by arithmetic where the columns allow it."""
    key = "money.amount_cents"
    if price is None and amount is None:
        return Entry(
            "constants.amount_cents",
            0,
            ("no column holds an amount: value questions cannot be answered",),
            "is there another file with prices?",
        )
    if price is None or quantity is None:
        chosen = amount or price
        assert chosen is not None
        return _with_unit(connection, profile, chosen, Entry(key, {"column": chosen.name}, (says(chosen),)))
    times = {"column": price.name, "times": quantity.name}
    if amount is not None:
        share = _product_share(connection, profile, price, quantity, amount)
        evidence = f"{price.name} x {quantity.name} is {amount.name} in {share:.0%} of rows"
        if share >= _MUST_AGREE:
            entry = Entry(key, {"column": amount.name}, (says(amount), evidence))
        else:
            choices = {f"{amount.name} as it stands": {"column": amount.name}, f"{price.name} x {quantity.name}": times}
            entry = Entry(key, {"column": amount.name}, (says(amount), evidence), _not_equal(price, quantity), choices)
        return _with_unit(connection, profile, amount, entry)
    return _with_unit(connection, profile, price, _price(connection, profile, price, quantity, times))


def _not_equal(price: ColumnProfile, quantity: ColumnProfile) -> str:
    return f"discounts or taxes may explain the difference to {price.name} x {quantity.name}"


def _price(
    connection: duckdb.DuckDBPyConnection,
    profile: Profile,
    price: ColumnProfile,
    quantity: ColumnProfile,
    times: dict[str, str],
) -> Entry:
    """Return the amount of a price and a quantity: of one piece, or of the line."""
    key, names = "money.amount_cents", f"{price.name} x {quantity.name}"
    if price.about & {"unit"} or {"price", "quantity"} <= price.about:
        return Entry(key, times, (says(price), f"a price of one piece by its name: {names}"))
    product = best(profile, "product_id")
    n_products, n_constant, n_growing = (0, 0, 0) if product is None else _scaling(
        connection, profile, product, price, quantity
    )  # fmt: skip
    if n_products >= 5 and max(n_constant, n_growing) >= 2 * min(n_constant, n_growing) + 1:
        is_unit = n_constant > n_growing
        word = "does not grow" if is_unit else "grows"
        evidence = (
            f"for {max(n_constant, n_growing):,} of {n_products:,} products {price.name} {word} with {quantity.name}"
        )
        return Entry(key, times if is_unit else {"column": price.name}, (says(price), evidence))
    choices = {names: times, f"{price.name} as it stands": {"column": price.name}}
    return Entry(
        key, times, (says(price),), f"{price.name} may be of one piece (as here) or of the whole line", choices
    )


def _number(profile: Profile, column: ColumnProfile) -> str:
    name = quoted(f"c{column.place}")
    return cells.number(
        Cell(name, column.dtype if column.is_typed else TEXT), profile.decimal, profile.thousands, "DOUBLE"
    )


def _product_share(
    connection: duckdb.DuckDBPyConnection,
    profile: Profile,
    price: ColumnProfile,
    quantity: ColumnProfile,
    amount: ColumnProfile,
) -> float:
    p, q, a = (_number(profile, column) for column in (price, quantity, amount))
    # Half a cent a piece, because prices are rounded.
    ((share,),) = connection.execute(
        f"SELECT avg(CAST(abs(abs(p * q) - abs(a)) <= 0.011 + 0.005 * abs(q) AS INT)) FROM "
        f"(SELECT {p} AS p, {q} AS q, {a} AS a FROM {quoted(profile.sample.table)}) WHERE a IS NOT NULL"
    ).fetchall()
    return float(share or 0)


def _scaling(
    connection: duckdb.DuckDBPyConnection,
    profile: Profile,
    product: ColumnProfile,
    price: ColumnProfile,
    quantity: ColumnProfile,
) -> tuple[int, int, int]:
    """Count products bought in different quantities, those whose price stays, and those whose price grows with them."""
    p, q, name = _number(profile, price), _number(profile, quantity), cell(product.place)
    ((n, constant, growing),) = connection.execute(
        f"""SELECT count(*), count(*) FILTER (abs(few - many) <= 0.02 * few),
        count(*) FILTER (abs(few / few_q - many / many_q) <= 0.02 * few / few_q) FROM (
            SELECT arg_min(p, (q, p)) AS few, min(q) AS few_q, arg_max(p, (q, p)) AS many, max(q) AS many_q
            FROM (SELECT {p} AS p, {q} AS q, {name} AS product FROM {quoted(profile.sample.table)})
            WHERE q > 0 AND p > 0 GROUP BY product HAVING min(q) < max(q))"""
    ).fetchall()
    return int(n), int(constant), int(growing)


def _with_unit(connection: duckdb.DuckDBPyConnection, profile: Profile, column: ColumnProfile, entry: Entry) -> Entry:
    """Return an amount with its unit: minor where the name says so, unsure where only the figures could."""
    value = dict(entry.value) if isinstance(entry.value, dict) else {}
    minor = value | {"unit": "minor"}
    if column.n_unreadable:
        unsure = f"{column.n_unreadable:,} rows of {column.name} hold no number that can be read and will be rejected"
        return Entry(entry.key, value, entry.evidence, unsure)
    evidence = (*entry.evidence, f"median {column.median:,.2f}") if column.median is not None else entry.evidence
    if "cents" in column.about or {"ore", "pence"} & set(words(column.name)):
        return Entry(entry.key, minor, (*evidence, "cents by its name"), entry.unsure, entry.choices)
    has_no_minor = column.currency in _WITHOUT_MINOR or bool(_NAMED_SO & column.about)
    if not column.is_whole or column.n_distinct < 3 or has_no_minor:
        why = _WHOLE_MONEY if has_no_minor else "major units: it has decimals"
        return Entry(entry.key, value, (*evidence, why), entry.unsure, entry.choices)
    share = _odd_cents(connection, profile, column)
    evidence = (*evidence, f"whole numbers only, {share:.0%} of them end like prices in cents")
    names = {"major units, such as euros": value, "minor units, such as cents": minor}
    if share >= 0.5 and (column.median or 0) >= 100:
        choices = dict(reversed(names.items()))
        return Entry(entry.key, minor, evidence, "whole numbers: cents (as here) or whole euros?", choices)
    if (column.median or 0) >= 500:
        return Entry(entry.key, value, evidence, "whole numbers: whole euros (as here) or cents?", names)
    return Entry(entry.key, value, evidence, entry.unsure, entry.choices)


def _odd_cents(connection: duckdb.DuckDBPyConnection, profile: Profile, column: ColumnProfile) -> float:
    """Return the share of whole numbers whose last two digits are usual for cents."""
    value = f"CAST({_number(profile, column)} AS BIGINT)"
    ((share,),) = connection.execute(
        f"SELECT avg(CAST(abs(v) % 100 IN (99, 95, 90, 50, 49, 98, 79, 89) AS INT)) "
        f"FROM (SELECT {value} AS v FROM {quoted(profile.sample.table)}) WHERE v IS NOT NULL AND v <> 0"
    ).fetchall()
    return float(share or 0)


def _returns(
    connection: duckdb.DuckDBPyConnection,
    profile: Profile,
    quantity: ColumnProfile | None,
    amount: ColumnProfile | None,
) -> Entry | None:
    """Return the line that tells returns, null where the signs are right as delivered."""
    for column in profile.usable:
        words_of = [value for value in column.values if _SIGNS & set(words(value))]
        if words_of and column.kind == "text" and about(column.name) & {"status", "kind", "order", "category"}:
            n_rows = sum(column.values[value] for value in words_of)
            evidence = f"{n_rows:,} rows of {column.name} are returns by their word"
            return Entry("returns", {"column": column.name, "values": words_of}, (evidence,))
    known = (None if column is not None and _is_mostly_negative(column) else column for column in (quantity, amount))
    q_negative, a_negative = (column.n_negative if column is not None else 0 for column in known)
    if quantity is not None and amount is not None and bool(q_negative) != bool(a_negative):
        signed = quantity if q_negative else amount
        evidence = f"only {signed.name} is negative on returns, on {signed.n_negative:,} rows"
        return Entry("returns", {"column": signed.name, "negative": True}, (evidence,))
    if quantity is None or q_negative or a_negative:
        return None
    return _by_prefix(connection, profile)


def _by_prefix(connection: duckdb.DuckDBPyConnection, profile: Profile) -> Entry | None:
    """Return returns told by how an order's number begins: letters on few, digits on most."""
    order = best(profile, "order_id")
    if order is None:
        return None
    text = cell(order.place)
    rows: Sequence[tuple[str, int]] = connection.execute(
        f"""SELECT regexp_extract({text}, '^([A-Za-z]+)[-_]?[0-9]', 1) AS begin, count(*)
        FROM {quoted(profile.sample.table)} WHERE {text} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5"""
    ).fetchall()
    if len(rows) != 2 or rows[1][1] > 0.2 * rows[0][1] or not re.fullmatch("(?i)c|cn|r|rt|ret|g|gs|st", rows[1][0]):
        return None
    begin, n = rows[1]
    value = {"column": order.name, "prefix": begin}
    evidence = f"{n:,} rows of {order.name} begin with {literal(begin)}"
    return Entry("returns", value, (evidence,), f"{begin} may mark credit notes", {"these are returns": value})
