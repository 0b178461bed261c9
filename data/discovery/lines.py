"""Lines: the section of transactions, from the file of order lines and the files that it must be joined with."""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from data.contracts.base import quoted
from data.discovery.match import Role, best, ranking, score
from data.discovery.money import add_money
from data.discovery.profile import ColumnProfile, Profile
from data.discovery.proposal import FOUND, Draft, Entry, found_share, says
from data.discovery.sample import cell

_MANY = 100
"""Rows from which a customer number that never comes back is taken for one of an order."""


@dataclass(frozen=True)
class World:
    """The file sets, what each looks like, and the connection that has their rows."""

    connection: duckdb.DuckDBPyConnection
    profiles: Sequence[Profile]
    roles: Mapping[str, Role]

    def of(self, *roles: Role) -> list[Profile]:
        """Return the file sets of these roles, those with the most rows first."""
        found = [profile for profile in self.profiles if self.roles[profile.sample.table] in roles]
        return sorted(found, key=lambda profile: -profile.sample.n_rows)


def transactions(world: World) -> Draft | None:
    """Return the section of transactions, null where no file looks like purchases."""
    bases = world.of("lines") or world.of("sales") or world.of("orders")
    if not bases:
        return None
    draft = Draft("transactions", max(bases, key=_worth))
    base = draft.profile
    order = best(base, "order_id")
    reach(world, draft)
    customer, time = _customer(draft), _time(draft)
    if order is not None:
        _order(world, draft, order, time)
    elif customer is not None and time is not None:
        draft.used |= {customer.name: customer, time.name: time}
        both = (customer.name, time.name)
        evidence = "no column numbers the orders: one customer and one time make one"
        draft.entries.append(Entry("columns.order_id", both, (evidence,)))
    else:
        draft.entries.append(Entry("columns.order_id", "$row", ("no column numbers the orders: each row is one",)))
    if customer is not None:
        draft.map("customer_id", customer, _through(draft, customer))
    else:
        unsure = "no column says who bought: sales stay anonymous, and no question about customers can be answered"
        draft.constant("customer_id", "", "no column looks like a customer", unsure)
    _product(draft)
    if time is not None:
        _when(draft, time)
    else:
        draft.lack("event_time", "every line needs the day or the instant of the purchase: name the column that has it")
    add_money(world.connection, draft)
    for target in ("currency", "channel", "store_id"):
        column = best(base, target, draft.used)
        if target != "currency" or (column is not None and all(len(value) == 3 for value in column.values or ("",))):
            draft.map(target, column)
    _note_copies(world, draft)
    return draft


def _worth(profile: Profile) -> tuple[int, int]:
    """Return how much of what a line needs a file has, and its rows."""
    targets = ("order_id", "customer_id", "product_id", "event_time", "quantity", "price", "amount")
    return sum(best(profile, target) is not None for target in targets), profile.sample.n_rows


def reach(world: World, draft: Draft) -> None:
    """Join the file of orders and that of customers where the rows themselves lack the customer or the time."""
    base, order = draft.profile, best(draft.profile, "order_id")
    has_all = best(base, "customer_id") is not None and (_time(draft) is not None or draft.name != "transactions")
    if order is None or has_all:
        return
    for header in world.of("orders"):
        key = best(header, "order_id")
        if header is base or key is None or not key.is_unique:
            continue
        share = found_share(world.connection, (base, order), (header, key))
        if share >= FOUND:
            draft.joins.append((header, order.name, key.name, f"{share:.0%} of {order.name} found there"))
            _reach_person(world, draft, header)
            return


def _reach_person(world: World, draft: Draft, header: Profile) -> None:
    """Join customers too where the orders have a new customer number each time, and the customers know better."""
    column = best(header, "customer_id")
    if column is None or column.n_rows < _MANY or not column.is_unique:
        return
    for people in world.of("customers"):
        for key in ranking(people, "customer_id"):
            share = found_share(world.connection, (header, column), (people, key)) if key.is_unique else 0.0
            better = [other for other in ranking(people, "customer_id") if not other.is_unique and not other.n_null]
            if share >= FOUND and better:
                draft.joins.append((people, column.name, key.name, f"{share:.0%} of {column.name} found there"))
                return


def _customer(draft: Draft) -> ColumnProfile | None:
    """Return the column that says who bought: the file's own, else one that a join brings."""
    own = best(draft.profile, "customer_id")
    if own is not None or not draft.joins:
        return own
    last = draft.joins[-1][0]
    if len(draft.joins) > 1:
        return next(column for column in ranking(last, "customer_id") if not column.is_unique and not column.n_null)
    return best(last, "customer_id")


def _time(draft: Draft) -> ColumnProfile | None:
    """Return the column that says when it was bought: what comes after an order, such as a delivery, is not it."""
    found = [(score(column, "event_time"), column) for column in draft.columns]
    early = [(value, column) for value, column in found if value > 0 and "later" not in column.about]
    if early:
        return max(early, key=lambda one: (one[0], -one[1].null_share, -one[1].place))[1]
    dates = [
        column for column in draft.profile.usable if column.kind == "date" and not column.about & {"later", "birth"}
    ]
    return dates[0] if len(dates) == 1 else None


def _order(world: World, draft: Draft, order: ColumnProfile, time: ColumnProfile | None) -> None:
    """Map the number of an order, with the day and the till where it begins anew on each day, as receipts do."""
    n_numbers, n_again = _begins_anew(world, draft.profile, order, time)
    if time is None or n_again <= n_numbers / 2:
        draft.map("order_id", order)
        return
    tills = [c for c in draft.profile.usable if c.about & {"store", "till"} and c.n_distinct > 1 and not c.n_null]
    named = [time, *tills, order]
    draft.used |= {column.name: column for column in named}
    evidence = f"{order.name} begins anew: {n_again:,} of {n_numbers:,} numbers stand on several days"
    draft.entries.append(Entry("columns.order_id", tuple(column.name for column in named), (says(order), evidence)))


def _begins_anew(world: World, profile: Profile, order: ColumnProfile, time: ColumnProfile | None) -> tuple[int, int]:
    """Count the numbers of orders, and those that stand on several days."""
    if time is None or not any(column is time for column in profile.usable):
        return order.n_distinct, 0
    day = f"regexp_extract(CAST({quoted(f'c{time.place}')} AS VARCHAR), '^[^ T]+')"
    ((n_numbers, n_again),) = world.connection.execute(
        f"SELECT count(*), count(*) FILTER (n_days > 1) FROM (SELECT count(DISTINCT {day}) AS n_days "
        f"FROM {quoted(profile.sample.table)} WHERE {cell(order.place)} IS NOT NULL GROUP BY {cell(order.place)})"
    ).fetchall()
    return int(n_numbers), int(n_again)


def _when(draft: Draft, time: ColumnProfile) -> None:
    """Map the instant of a purchase: one column, or the day and the clock of two."""
    evidence = (_through(draft, time), _dated(time))
    clocks = [column for column in draft.profile.usable if column.clock and "later" not in column.about]
    is_day = time.dates is not None and not time.dates.has_clock and not time.is_typed
    if not is_day or len(clocks) != 1 or clocks[0].n_null > time.n_null:
        draft.map("event_time", time, *evidence)
        return
    (clock,) = clocks
    draft.used |= {time.name: time, clock.name: clock}
    draft.clocks[time.name] = clock.clock
    says_so = (says(time), *evidence, f"{clock.name} has the time of the day")
    draft.entries.append(Entry("columns.event_time", (time.name, clock.name), says_so))


def _product(draft: Draft) -> None:
    ranked = [column for column in ranking(draft.profile, "product_id") if column.name not in draft.used]
    if ranked:
        draft.map("product_id", ranked[0])
    else:
        unsure = "no column says what was bought: no rules and no offers; join a file of lines if there is one"
        draft.constant("product_id", "anything", "no column looks like a product", unsure)


def _through(draft: Draft, column: ColumnProfile) -> str:
    """Return which file a column comes from, if it is a joined one."""
    if any(own is column for own in draft.profile.usable):
        return f"name and values say so in {draft.profile.label}"
    source = next(profile for profile, *_ in draft.joins if any(other is column for other in profile.usable))
    better = "; the number in the orders is a new one each time, this one comes back" if len(draft.joins) > 1 else ""
    return f"from {source.label}{better if 'customer' in column.about else ''}"


def _dated(column: ColumnProfile) -> str:
    return column.dates.evidence if column.dates is not None else f"typed as {column.dtype.lower()}"


def _note_copies(world: World, draft: Draft) -> None:
    """Say how many rows are exact copies, which count once."""
    sample = draft.profile.sample
    if not sample.is_whole:
        return
    ((n_distinct,),) = world.connection.execute(
        f"SELECT count(*) FROM (SELECT DISTINCT * FROM {quoted(sample.table)})"
    ).fetchall()
    if n_distinct < sample.n_rows:
        draft.notes.append(
            f"{sample.n_rows - n_distinct:,} rows are exact copies of others and count once;"
            ' if they are separate sales, add "$row" to attributes'
        )


def line_columns(draft: Draft) -> list[ColumnProfile]:
    """Return columns that number the lines of an order."""
    return [column for column in ranking(draft.profile, "line") if column.name not in draft.used]


def describe_people_and_products(draft: Draft, *, has_customers: bool, has_products: bool) -> None:
    """Map what lines say of their customer and product, where no file of them is delivered."""
    wanted = [] if has_customers else [("customer", ("region", "gender", "segment", "loyalty_tier"))]
    wanted += [] if has_products else [("product", ("name", "category", "brand", "department"))]
    for key, targets in wanted:
        for target in targets:
            column = best(draft.profile, target, draft.used)
            if column is None and target == "name":
                column = next((used for used in draft.used.values() if {"product", "name"} <= used.about), None)
            if column is not None and column.kind == "text" and not column.is_personal:
                draft.entries.append(Entry(f"{key}.{target}", column.name, (says(column),)))
                if column.name not in draft.used:
                    draft.used[column.name] = column
                    draft.differing.append(column.name)
