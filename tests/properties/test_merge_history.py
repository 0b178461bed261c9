"""Catalogue row D11: whatever is delivered, the past stays as it was known, and nothing counts twice."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from data.contracts import CONTRACTS
from data.contracts.base import literal, quoted
from data.engine import connect
from data.merge import merge

FIRST = datetime(2024, 1, 1)
COLUMNS = ("order_id", "product_id", "amount_cents")
Key = tuple[str, str]

orders = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(["O1", "O2"]),
        "product_id": st.sampled_from(["P1", "P2"]),
        "amount_cents": st.integers(1, 3),
    }
)
deliveries = st.lists(
    st.lists(orders, min_size=1, max_size=4, unique_by=lambda row: tuple(map(row.get, COLUMNS))), min_size=1, max_size=5
)


def oracle(state: Mapping[Key, frozenset[int]], delivery: list[dict[str, object]]) -> dict[Key, frozenset[int]]:
    """Return what holds after a delivery: for each key that it speaks about, what it says."""
    said: dict[Key, set[int]] = {}
    for row in delivery:
        said.setdefault((str(row["order_id"]), str(row["product_id"])), set()).add(int(str(row["amount_cents"])))
    return {**state, **{key: frozenset(amounts) for key, amounts in said.items()}}


@settings(max_examples=60, deadline=None)
@given(deliveries)
def test_each_night_sees_what_it_saw_then(nights):
    backend = connect(threads=1)
    try:
        known, states = None, []
        for number, delivery in enumerate(nights):
            known_at = None if known is None else FIRST + timedelta(days=number) - timedelta(microseconds=1)
            happened = literal(FIRST - timedelta(hours=2))
            rows = " UNION ALL ".join(
                f"SELECT {literal(row['order_id'])} AS order_id, {literal(row['product_id'])} AS product_id, "
                f"{happened} AS event_time, 1 AS quantity, {literal(row['amount_cents'])} AS amount_cents, "
                f"{literal(known_at) if known_at else happened} AS known_at"
                for row in delivery
            )
            name = f"night {number}"
            backend.con.execute(f"CREATE TABLE {quoted(name)} AS {rows}")
            known = merge(backend.con, CONTRACTS["transactions"], name, known, known_at).table
            states.append(oracle(states[-1] if states else {}, delivery))
        for number, state in enumerate(states):
            as_of = literal(FIRST + timedelta(days=number))
            seen = backend.con.execute(
                f"SELECT order_id, product_id, amount_cents FROM {quoted(known)} "
                f"WHERE known_at < {as_of} AND (replaced_at IS NULL OR replaced_at >= {as_of})"
            ).fetchall()
            assert sorted(seen) == sorted((*key, amount) for key, amounts in state.items() for amount in amounts)
    finally:
        backend.disconnect()
