"""Catalogue row D12: the same money however it is summed, exact in cents, from delivery to features and labels."""

from datetime import datetime, timedelta

import pytest

from data.contracts import CONTRACTS
from data.contracts.base import Delivery, Rows
from data.engine import connect
from data.quarantine import admit_all
from data.simulator import TIMEZONE, simulate
from features.extracts import basket_lines, known_span, sales_by_month
from features.labels import eligible, labels, purchase_gaps
from features.matrix import feature_matrix, to_frame

WORLD = simulate(seed=5, n_customers=120, n_days=200)
END = WORLD.truth.as_of
MIDDLE = END - timedelta(days=60)
TABLES = ("customers", "products", "transactions", "campaigns", "contacts")
# A tenth of the lines come back, a tenth are anonymous, some products are unknown, some lines are spoilt or repeated.
SPOILT = """
CREATE TABLE raw_transactions AS
SELECT * FROM delivered
UNION ALL BY NAME SELECT * REPLACE (-quantity AS quantity, -amount_cents AS amount_cents, 'r' || order_id AS order_id,
  event_time + INTERVAL 3 DAY AS event_time, known_at + INTERVAL 3 DAY AS known_at)
  FROM delivered WHERE hash(order_id, product_id) % 10 = 0 AND event_time < $end - INTERVAL 4 DAY
UNION ALL BY NAME SELECT * REPLACE (NULL AS customer_id, 'a' || order_id AS order_id)
  FROM delivered WHERE hash(order_id, product_id) % 10 = 1
UNION ALL BY NAME SELECT * REPLACE ('unknown' AS product_id, 'u' || order_id AS order_id)
  FROM delivered WHERE hash(order_id, product_id) % 50 = 2
UNION ALL BY NAME SELECT * REPLACE (0 AS quantity, 'z' || order_id AS order_id)
  FROM delivered WHERE hash(order_id, product_id) % 40 = 3
UNION ALL BY NAME SELECT * FROM delivered WHERE hash(order_id, product_id) % 30 = 4
"""


@pytest.fixture(scope="module")
def night():
    """Admit the spoilt world and return what became of it, with the accepted tables for queries."""
    backend = connect(threads=2)
    for name in TABLES:
        backend.con.register("incoming", WORLD.tables[name])
        target = "delivered" if name == "transactions" else f"raw_{name}"
        backend.con.execute(f"CREATE TABLE {target} AS FROM incoming")
    backend.con.execute(SPOILT, {"end": END})
    delivery = Delivery(END, TIMEZONE, ("EUR",), reject_limit=0.1)
    admissions = admit_all(backend.con, {name: f"raw_{name}" for name in TABLES}, delivery)
    accepted = {name: backend.table(admission.accepted) for name, admission in admissions.items()}
    yield backend, admissions["transactions"].reconciliation, accepted
    backend.disconnect()


def cents(night, query: str) -> int:
    ((found,),) = night[0].con.execute(query).fetchall()
    return int(found or 0)


def test_the_world_has_every_kind_of_line(night):
    _, found, _ = night
    assert min(found.n_accepted, found.n_quarantined, found.n_duplicates) > 20
    assert cents(night, "SELECT count(*) FROM transactions_accepted WHERE quantity < 0") > 100
    assert cents(night, "SELECT count(*) FROM transactions_accepted WHERE customer_id IS NULL") > 100


def test_every_side_of_the_border_sums_to_what_its_rows_say(night):
    _, found, _ = night
    assert found.rows_total == cents(night, "SELECT sum(amount_cents) FROM raw_transactions")
    assert found.accepted_total == cents(night, "SELECT sum(amount_cents) FROM transactions_accepted")
    rejected = "SELECT sum(CAST(row_json ->> 'amount_cents' AS BIGINT)) FROM transactions_quarantine"
    assert found.quarantined_total == cents(night, rejected)
    once = "SELECT sum(amount_cents) FROM (SELECT DISTINCT * FROM raw_transactions)"
    assert found.duplicates_total == found.rows_total - cents(night, once) > 0


def test_lines_orders_customers_days_and_months_hold_the_same_money(night):
    _, found, _ = night
    for key in ("order_id", "customer_id", "CAST(local_time AS DATE)", "date_trunc('month', local_time)", "product_id"):
        parts = f"SELECT sum(part) FROM (SELECT sum(amount_cents) AS part FROM transactions_accepted GROUP BY {key})"
        assert cents(night, parts) == found.accepted_total, key
    signed = "SELECT sum(amount_cents) FROM transactions_accepted WHERE quantity {} 0"
    sold, returned, neither = (cents(night, signed.format(sign)) for sign in (">", "<", "="))
    assert sold + returned + neither == found.accepted_total
    assert 0 < -returned <= sold


def test_the_totals_of_orders_and_of_customers_are_the_totals_of_lines(night):
    backend, *_ = night
    totals = """CREATE OR REPLACE TABLE with_totals AS SELECT * REPLACE (CAST(sum(amount_cents)
        OVER (PARTITION BY order_id) AS BIGINT) AS order_total_cents) FROM transactions_accepted"""
    backend.con.execute(totals)
    rule = next(rule for rule in CONTRACTS["transactions"].expectations if rule.name.startswith("order total"))
    rows = Rows("with_totals", Delivery(END), {"order_total_cents": "order_total_cents"})
    assert cents(night, f"SELECT count(*) FROM with_totals WHERE NOT {rule.predicate(rows)}") == 0
    by_order = "SELECT sum(total) FROM (SELECT order_id, max(order_total_cents) AS total FROM with_totals GROUP BY 1)"
    by_customer = """SELECT sum(total) FROM (SELECT customer_id, sum(total) AS total FROM (SELECT customer_id, order_id,
        max(order_total_cents) AS total FROM with_totals GROUP BY ALL) GROUP BY 1)"""
    lines = cents(night, "SELECT sum(amount_cents) FROM transactions_accepted")
    assert [cents(night, by_order), cents(night, by_customer)] == [lines, lines]


def test_no_customer_got_back_more_than_was_paid(night):
    back = """SELECT count(*) FROM (SELECT customer_id, product_id, sum(amount_cents) AS left_over
        FROM transactions_accepted WHERE customer_id IS NOT NULL GROUP BY ALL) WHERE left_over < 0"""
    assert cents(night, back) == 0
    rule = next(rule for rule in CONTRACTS["transactions"].expectations if rule.name.startswith("returned more"))
    rows = Rows("transactions_accepted", Delivery(END), {})
    assert cents(night, f"SELECT count(*) FROM transactions_accepted WHERE NOT {rule.predicate(rows)}") == 0
    # The sales that the returns belong to are gone: every return is told, and no sale.
    unsold = "CREATE OR REPLACE VIEW unsold AS SELECT * FROM transactions_accepted WHERE quantity < 0"
    night[0].con.execute(unsold)
    told = f"SELECT count(*) FROM unsold WHERE NOT {rule.predicate(Rows('unsold', Delivery(END), {}))}"
    assert cents(night, told) == cents(night, "SELECT count(customer_id) FROM unsold") > 100


@pytest.mark.parametrize("as_of", [MIDDLE, END])
def test_the_features_of_all_customers_hold_the_money_of_their_lines(night, as_of):
    _, _, accepted = night
    frame = to_frame(feature_matrix(accepted, [as_of], TIMEZONE))
    lines = f"FROM transactions_accepted WHERE customer_id IS NOT NULL AND event_time < TIMESTAMP '{as_of}'"
    assert int(frame["spend_364d_cents"].sum()) == cents(night, f"SELECT sum(amount_cents) {lines}")
    assert frame["n_orders_364d"].sum() == cents(night, f"SELECT count(DISTINCT order_id) {lines} AND quantity > 0")
    assert frame["n_purchase_days"].sum() == cents(
        night, f"SELECT count(DISTINCT (customer_id, CAST(local_time AS DATE))) {lines} AND quantity > 0"
    )
    assert len(frame) == cents(night, f"SELECT count(DISTINCT customer_id) {lines}")
    for days in (28, 84, 182):
        young = f"{lines} AND CAST(local_time AS DATE) >= DATE '{(as_of - timedelta(days=days)).date()}'"
        assert int(frame[f"spend_{days}d_cents"].sum()) == cents(night, f"SELECT sum(amount_cents) {young}")


def test_what_is_spent_later_is_what_was_spent_before_and_the_label(night):
    _, _, accepted = night
    horizon = (END - MIDDLE).days
    now, later = (
        to_frame(feature_matrix(accepted, [at], TIMEZONE, ["spend_364d_cents", "n_purchase_days"])).set_index(
            "customer_id"
        )
        for at in (MIDDLE, END)
    )
    truth = to_frame(labels(accepted, [MIDDLE], TIMEZONE, horizon, observed_until=END)).set_index("customer_id")
    assert (later["spend_364d_cents"].reindex(now.index) == now["spend_364d_cents"] + truth["spend_cents"]).all()
    bought = later["n_purchase_days"].reindex(now.index) - now["n_purchase_days"]
    assert (bought == truth["n_purchase_days"]).all()
    assert ((bought == 0) == truth["has_churned"]).all()


def test_a_label_window_in_two_parts_is_the_sum_of_the_parts(night):
    _, _, accepted = night

    def truth(horizon_days: int, gap_days: int = 0):
        window = labels(accepted, [MIDDLE], TIMEZONE, horizon_days, observed_until=END, gap_days=gap_days)
        return to_frame(window).set_index("customer_id")

    whole, first, second = truth(56), truth(20), truth(36, gap_days=20)
    for column in ("spend_cents", "n_purchase_days"):
        assert (whole[column] == first[column] + second[column]).all()
    assert (whole["has_churned"] == (first["has_churned"] & second["has_churned"])).all()


def test_the_extracts_of_the_report_and_the_rules_hold_the_same_money(night):
    _, found, accepted = night
    months = to_frame(sales_by_month(accepted, END))
    assert int(months["sales_cents"].sum()) == found.accepted_total
    assert int(months["n_orders"].sum()) >= cents(night, "SELECT count(DISTINCT order_id) FROM transactions_accepted")
    baskets = to_frame(basket_lines(accepted, END))
    known = """SELECT sum(amount_cents) FROM transactions_accepted
        WHERE quantity > 0 AND product_id IN (SELECT product_id FROM products_accepted WHERE category IS NOT NULL)"""
    assert int(baskets["amount_cents"].sum()) == cents(night, known)
    assert not baskets.duplicated(["order_id", "category"]).any()
    first: datetime = to_frame(known_span(accepted, END))["first_at"].item()
    ((earliest,),) = night[0].con.execute("SELECT min(event_time) FROM transactions_accepted").fetchall()
    assert first == earliest


def test_every_gap_ends_with_a_purchase_day_or_is_the_open_one(night):
    _, _, accepted = night
    gaps = to_frame(purchase_gaps(accepted, END, TIMEZONE))
    frame = to_frame(feature_matrix(accepted, [END], TIMEZONE, ["n_purchase_days", "tenure_days", "recency_days"]))
    buyers = frame[frame["n_purchase_days"] > 0]
    counts = gaps.groupby("is_open")["n_gaps"].sum()
    assert counts[True] == len(buyers)
    assert counts[False] == (buyers["n_purchase_days"] - 1).sum()
    days = (gaps["gap_days"] * gaps["n_gaps"]).groupby(gaps["is_open"]).sum()
    assert days[True] == buyers["recency_days"].sum()
    assert days[False] == (buyers["tenure_days"] - buyers["recency_days"]).sum()


def test_who_is_eligible_bought_within_the_window(night):
    _, _, accepted = night
    window = to_frame(eligible(accepted, [END], TIMEZONE, 28)).set_index("customer_id")["is_eligible"]
    recency = to_frame(feature_matrix(accepted, [END], TIMEZONE, ["recency_days"])).set_index("customer_id")
    assert (window == (recency["recency_days"] <= 28)).all()
    assert 0 < window.mean() < 1
