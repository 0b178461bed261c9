"""Published data sets from configuration alone: the counts and totals that their sources state, and where rows went."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from data.contracts.base import Delivery
from data.engine import connect
from data.errors import ContractError
from data.quarantine import Admission, admit_all
from data.sources import FilesSource, Loaded, Sources

RETAIL = """
[sources.transactions]
path = "online_retail/%s"
columns = { order_id = "InvoiceNo", customer_id = "CustomerID", product_id = "StockCode", event_time = "InvoiceDate", quantity = "Quantity" }
money.amount_cents = { column = "UnitPrice", times = "Quantity" }
constants = { channel = "web", currency = "GBP" }
timezone = "Europe/London"
attributes = ["Country", "Description"]
whole = ["CustomerID"]
customer = { region = "Country" }
product = { name = "Description" }
"""  # noqa: E501 - a line of the configuration

CDNOW = """
[sources.transactions]
path = "cdnow/%s"
columns = { order_id = ["customer", "date"], customer_id = "customer", event_time = "date", quantity = "cds" }
money.amount_cents = { column = "dollars" }
constants = { product_id = "CD", currency = "USD" }
date_format = "%%Y%%m%%d"
timezone = "America/New_York"
%s
"""

MASTER = """
skip_lines = 1
fields = { customer = [2, 6], date = [8, 15], cds = [16, 18], dollars = [19, 26] }
"""

SAMPLE = "fields = { customer = [2, 6], date = [13, 20], cds = [21, 23], dollars = [24, 31] }"

OLIST = """
[sources.transactions]
path = "olist_sample/order_items.csv.gz"
columns = { order_id = "order_id", customer_id = "customer_unique_id", product_id = "product_id", event_time = "order_purchase_timestamp" }
constants = { quantity = 1, currency = "BRL", channel = "web" }
money.amount_cents = { column = "price" }
attributes = ["order_item_id", "order_status", "seller_id"]
numbers = ["freight_value"]
date_format = "%m/%d/%Y %H:%M"
timezone = "America/Sao_Paulo"
join = [
  { path = "olist_sample/orders.csv.gz", on = "order_id" },
  { path = "olist_sample/customers.csv.gz", on = "customer_id" },
]

[sources.customers]
path = "olist_sample/customers.csv.gz"
columns = { customer_id = "customer_unique_id", region = "customer_state" }

[sources.products]
path = "olist_sample/products.csv.gz"
columns = { product_id = "product_id", category = "product_category_name" }
numbers = ["product_weight_g"]
"""  # noqa: E501 - a line of the configuration

GROCERIES = """
[sources.transactions]
path = "groceries_members/groceries_members.csv.gz"
columns = { order_id = ["Member_number", "Date"], customer_id = "Member_number", product_id = "itemDescription", event_time = "Date" }
constants = { quantity = 1, amount_cents = 0 }
date_format = "%%d-%%m-%%Y"
product = { name = "itemDescription", category = "itemDescription" }
%s
"""  # noqa: E501 - a line of the configuration

TELCO = """
[sources.customers]
path = "telco_churn/telco_customer_churn.csv.gz"
columns = { customer_id = "customerID", gender = "gender" }
label = { column = "Churn", churned = ["Yes"], kept = ["No"] }
attributes = ["Contract"]
numbers = ["tenure", "MonthlyCharges", "TotalCharges"]
"""

# The label says who did not take the deposit; who answered the call is not known by a name.
BANK = """
[sources.customers]
path = "bank_marketing/bank-additional-full.csv.gz"
delimiter = ";"
columns = { customer_id = "$row" }
label = { column = "y", churned = ["no"], kept = ["yes"] }
attributes = ["job", "marital", "education", "default", "housing", "loan"]
numbers = ["age", "emp.var.rate", "euribor3m"]
"""

BANK_CHURN = """
[sources.customers]
path = "bank_churn/churn_modelling.%s"
columns = { customer_id = "CustomerId", gender = "Gender", region = "Geography" }
label = { column = "Exited", churned = ["1"], kept = ["0"] }
numbers = ["Balance"]
"""

TRIAL = """
[sources.trials]
path = "hillstrom/hillstrom.csv.gz"
columns = { customer_id = "$row", arm = "segment", outcome = "%s" }
values.arm = { "No E-Mail" = "control", "Mens E-Mail" = "mens", "Womens E-Mail" = "womens" }
constants = { trial_id = "hillstrom", assigned_at = 2008-03-06 }
money.spend_cents = { column = "spend" }
attributes = ["zip_code", "channel"]
numbers = ["recency", "history"]
"""

INSURANCE = """
[sources.trials]
path = "insurance_uplift/train.parquet"
columns = { customer_id = "UNIQUE_ID", arm = "TREATMENT", outcome = "PURCHASE" }
values.arm = { "0" = "control", "1" = "offer" }
constants = { trial_id = "insurance" }
"""

GIFT_CARDS = """
[sources.feedback]
path = "amazon_gift_cards/reviews.parquet"
columns = { feedback_id = "$row", customer_id = "reviewerID", event_time = "unixReviewTime", rating = "overall", text = "reviewText", topic = "asin" }
constants = { kind = "review", rating_max = 5, channel = "web" }
date_format = "epoch"
"""  # noqa: E501 - a line of the configuration

REVIEWS = """
[sources.feedback]
path = "olist_sample/order_reviews.csv.gz"
columns = { feedback_id = "review_pk", customer_id = "customer_unique_id", event_time = "review_creation_date", rating = "review_score", resolved_at = "review_answer_timestamp" }
constants = { kind = "survey", rating_max = 5 }
date_format = ["%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]
timezone = "America/Sao_Paulo"
join = [
  { path = "olist_sample/orders.csv.gz", on = "order_id" },
  { path = "olist_sample/customers.csv.gz", on = "customer_id" },
]
"""  # noqa: E501 - a line of the configuration

HILLSTROM = """
[sources.customers]
path = "hillstrom/hillstrom.csv.gz"
columns = { customer_id = "$row", region = "zip_code", segment = "history_segment" }
numbers = ["recency", "history"]

[sources.campaigns]
rows = [
  { campaign_id = "hillstrom", name = "E-mail trial", kind = "email", starts_on = 2008-03-06, is_randomised = true },
]

[sources.contacts]
path = "hillstrom/hillstrom.csv.gz"
columns = { customer_id = "$row", arm = "segment" }
values.arm = { "No E-Mail" = "control", "Mens E-Mail" = "mens", "Womens E-Mail" = "womens" }
constants = { campaign_id = "hillstrom", assigned_at = 2008-03-06 }
numbers = ["visit", "conversion", "spend"]
"""

PERSONALITY = """
[sources.customers]
path = "marketing_campaign/marketing_campaign.csv.gz"
delimiter = ";"
columns = { customer_id = "ID", first_seen_on = "Dt_Customer" }
attributes = ["Marital_Status", "Response"]
numbers = ["Income"]
"""


@dataclass
class Night:
    """What became of a configuration's tables."""

    connection: duckdb.DuckDBPyConnection
    loaded: dict[str, Loaded]
    admitted: dict[str, Admission]

    def one(self, query: str) -> tuple[object, ...]:
        """Return the first row of a query."""
        return self.connection.execute(query).fetchall()[0]

    def rows(self, table: str) -> tuple[int, int, int, int]:
        """Return rows in, accepted, quarantined and duplicates."""
        found = self.admitted[table].reconciliation
        return found.n_rows, found.n_accepted, found.n_quarantined, found.n_duplicates

    def reasons(self, table: str) -> dict[str, int]:
        """Return how many rows are in quarantine for each reason."""
        query = f'SELECT reasons, count(*) FROM "{self.admitted[table].quarantine}" GROUP BY 1 ORDER BY 1'
        return dict(self.connection.execute(query).fetchall())


@pytest.fixture
def night(test_data: Path) -> Iterator[Callable[..., Night]]:
    """Return a function that loads and admits a configuration."""
    connection: duckdb.DuckDBPyConnection = connect(threads=2).con

    def run(config: str, currency: str = "", timezone: str = "UTC", reject_limit: float = 0.05) -> Night:
        sources = Sources.model_validate(tomllib.loads(config)["sources"])
        loaded = FilesSource(sources, test_data, timezone).load(connection)
        currencies = (currency,) if currency else ()
        delivery = Delivery(datetime(2019, 1, 1), timezone, currencies, reject_limit=reject_limit)
        tables = {name: one.table for name, one in loaded.items()}
        return Night(connection, loaded, admit_all(connection, tables, delivery))

    yield run
    connection.close()


def test_online_retail_in_full(night):
    found = night(RETAIL % "transactions.parquet", "GBP", "Europe/London")
    # Published: 541,909 rows, 5,268 exact duplicates, sum(Quantity * UnitPrice) 9,747,747.934: cents a line, rounded.
    assert found.rows("transactions") == (541_909, 536_521, 120, 5_268)
    assert found.admitted["transactions"].reconciliation.rows_total == 974_774_793
    # The odd prices of postage, fees and manual entries, some of them 50 times what the code usually costs.
    assert found.reasons("transactions") == {"unit slip": 120}
    assert found.rows("customers") == (4_372, 4_372, 0, 0)
    assert found.rows("products") == (4_070, 4_070, 0, 0)


def test_online_retail_keeps_its_dirt_as_what_it_is(night):
    found = night(RETAIL % "transactions.parquet", "GBP", "Europe/London")
    counts = found.one(
        """SELECT count(*) FILTER (customer_id IS NULL), count(*) FILTER (quantity <= 0),
        count(*) FILTER (order_id LIKE 'C%'), count(DISTINCT order_id), CAST(sum(quantity) AS BIGINT),
        count(DISTINCT "Country"), count(*) FILTER ("Description" IS NULL) FROM raw_transactions"""
    )
    assert counts == (135_080, 10_624, 9_288, 25_900, 5_176_450, 38, 1_454)
    # 2,515 lines have no price; of those with one, these cost less than half a cent in all.
    ((n_free,),) = found.connection.execute("SELECT count(*) FROM raw_transactions WHERE amount_cents = '0'").fetchall()
    assert n_free - 2_515 == 4


def test_online_retail_by_the_day(night):
    found = night(RETAIL % "daily_csv/*.csv.gz", "GBP", "Europe/London")
    assert found.loaded["transactions"].n_rows == 42_481
    assert len(found.loaded["transactions"].files) == 20
    n_rows, accepted, quarantined, duplicates = found.rows("transactions")
    assert n_rows == accepted + quarantined + duplicates
    # An id of the daily files, 17850.0, is the id of the full table.
    assert found.one("SELECT count(*) FROM raw_customers WHERE customer_id = '17850'") == (1,)
    assert found.one("SELECT count(*) FROM raw_customers WHERE customer_id LIKE '%.%'") == (0,)


def test_the_first_days_of_the_full_table_are_the_daily_files(night, test_data):
    query = """SELECT count(*), sum(CAST(amount_cents AS BIGINT)), count(DISTINCT customer_id), min(event_time)
        FROM raw_transactions WHERE CAST(event_time AS TIMESTAMP) < TIMESTAMP '2010-12-24'"""
    daily = night(RETAIL % "daily_csv/*.csv.gz", "GBP", "Europe/London").one(query)
    full = night(RETAIL % "transactions.parquet", "GBP", "Europe/London").one(query)
    assert [str(value) for value in daily] == [str(value) for value in full]


def test_a_day_in_summer_is_an_hour_behind_in_utc(night):
    found = night(RETAIL % "transactions.parquet", "GBP", "Europe/London")
    gap = "SELECT min(local_time - event_time), max(local_time - event_time) FROM transactions_accepted"
    low, high = found.one(gap)
    assert (low.total_seconds(), high.total_seconds()) == (0, 3_600)


def test_cdnow_in_fixed_width(night):
    found = night(CDNOW % ("CDNOW_master.txt.gz", MASTER), "USD", "America/New_York")
    assert found.rows("transactions") == (69_659, 69_404, 0, 255)
    assert found.admitted["transactions"].reconciliation.rows_total == 250_031_563
    assert found.rows("customers")[0] == 23_570
    n_cds, n_free, first, last = found.one(
        """SELECT CAST(sum(CAST(quantity AS INT)) AS INT), count(*) FILTER (amount_cents = '0'),
        min(event_time), max(event_time) FROM raw_transactions"""
    )
    assert (n_cds, n_free) == (167_881, 80)
    # Local midnights of 1997-01-01 in winter and 1998-06-30 in summer.
    assert (first, last) == ("1997-01-01 05:00:00", "1998-06-30 04:00:00")


def test_the_sample_of_cdnow(night):
    found = night(CDNOW % ("CDNOW_sample.txt.gz", SAMPLE), "USD", "America/New_York")
    assert found.rows("transactions")[0] == 6_919
    assert found.rows("customers")[0] == 2_357
    assert found.admitted["transactions"].reconciliation.rows_total == 24_409_194
    assert found.one("SELECT CAST(sum(CAST(quantity AS INT)) AS INT) FROM raw_transactions") == (16_479,)


def test_cdnow_as_parquet_says_the_same(night):
    fields = CDNOW % ("CDNOW_master.txt.gz", MASTER)
    parquet = fields
    for old, new in (
        ("CDNOW_master.txt.gz", "master.parquet"),
        (MASTER.strip(), ""),
        ('["customer", "date"]', '["customer_id", "date"]'),
        ('customer_id = "customer"', 'customer_id = "customer_id"'),
        ('quantity = "cds"', 'quantity = "n_cds"'),
        ('column = "dollars"', 'column = "dollar_value"'),
    ):
        parquet = parquet.replace(old, new)
    text, typed = (night(config, "USD", "America/New_York").admitted["transactions"] for config in (fields, parquet))
    assert text.reconciliation == typed.reconciliation


def test_olist_from_five_files(night):
    found = night(OLIST, "BRL", "America/Sao_Paulo")
    assert found.rows("transactions") == (5_603, 5_603, 0, 0)
    assert found.admitted["transactions"].reconciliation.rows_total == 67_783_396
    n_orders, freight, first = found.one(
        """SELECT count(DISTINCT order_id), sum(CAST(freight_value AS DECIMAL(18, 2))), min(local_time)
        FROM transactions_accepted"""
    )
    assert (n_orders, str(freight)) == (4_966, "111566.53")
    assert first == datetime(2016, 9, 4, 21, 15)
    # Some bought twice, and each order has a customer row of its own: exact copies, once mapped.
    assert found.rows("customers") == (5_000, 4_991, 0, 9)
    assert found.rows("products") == (3_859, 3_859, 0, 0)
    assert found.one("SELECT count(*) FROM transactions_accepted WHERE customer_id IS NULL") == (0,)


def test_members_groceries_with_the_day_first(night):
    found = night(GROCERIES % "")
    assert found.rows("transactions") == (38_765, 38_006, 0, 759)
    assert found.rows("customers") == (3_898, 3_898, 0, 0)
    assert found.rows("products") == (167, 167, 0, 0)
    assert found.one("SELECT count(DISTINCT order_id) FROM transactions_accepted") == (14_963,)
    milk = "SELECT count(*) FROM raw_transactions WHERE product_id = 'whole milk'"
    assert found.one(milk) == (2_502,)


def test_equal_lines_stay_apart_where_their_number_is_kept(night):
    assert night(GROCERIES % 'attributes = ["$row"]').rows("transactions") == (38_765, 38_765, 0, 0)


def test_telco_is_one_row_a_customer_with_a_label(night):
    found = night(TELCO)
    assert found.rows("customers") == (7_043, 7_043, 0, 0)
    assert list(found.loaded) == ["customers"]
    leavers, stayers, monthly, total, blank = found.one(
        """SELECT count(*) FILTER (has_churned), count(*) FILTER (NOT has_churned),
        sum(CAST("MonthlyCharges" AS DECIMAL(18, 2))), sum(CAST("TotalCharges" AS DECIMAL(18, 2))),
        count(*) FILTER ("TotalCharges" IS NULL) FROM customers_accepted"""
    )
    assert (leavers, stayers, str(monthly), str(total), blank) == (1_869, 5_174, "456116.60", "16056168.70", 11)
    assert "SeniorCitizen" in found.loaded["customers"].unmapped
    assert "Churn" not in found.loaded["customers"].unmapped


def test_a_word_that_is_no_label_is_explained_in_quarantine(night):
    found = night(TELCO.replace('kept = ["No"]', 'kept = ["no"]'), reject_limit=1.0)
    assert found.rows("customers") == (7_043, 1_869, 5_174, 0)
    assert found.reasons("customers") == {"has_churned is not a flag": 5_174}
    assert night(TELCO.replace(', kept = ["No"]', "")).rows("customers") == (7_043, 7_043, 0, 0)


def test_bank_marketing_between_semicolons(night):
    found = night(BANK)
    assert found.rows("customers") == (41_188, 41_188, 0, 0)
    unknown = ", ".join(
        f"count(*) FILTER (\"{name}\" = 'unknown')"
        for name in ("job", "marital", "education", "default", "housing", "loan")
    )
    labelled = "count(*) FILTER (NOT has_churned), count(*) FILTER (has_churned)"
    counts = found.one(f"SELECT {labelled}, {unknown} FROM customers_accepted")
    assert counts == (4_640, 36_548, 330, 80, 1_731, 8_597, 990, 990)


@pytest.mark.parametrize("ending", ["csv.gz", "parquet"])
def test_customers_of_a_bank_with_a_label_of_ones_and_zeros(night, ending):
    found = night(BANK_CHURN % ending)
    assert found.rows("customers") == (10_000, 10_000, 0, 0)
    assert found.one("SELECT count(*) FILTER (has_churned), count(has_churned) FROM customers_accepted") == (
        2_037,
        10_000,
    )


ARMS = """SELECT arm, count(*), CAST(sum(outcome) AS INT), sum(spend_cents)
    FROM trials_accepted GROUP BY 1 ORDER BY 1"""


@pytest.mark.parametrize(("outcome", "counts"), [("visit", (2_262, 3_894, 3_238)), ("conversion", (122, 267, 189))])
def test_hillstrom_is_a_flat_trial_with_arms_and_outcomes(night, outcome, counts):
    found = night(TRIAL % outcome)
    assert found.rows("trials") == (64_000, 64_000, 0, 0)
    arms = found.connection.execute(ARMS).fetchall()
    assert [(arm, n, spend) for arm, n, _, spend in arms] == [
        ("control", 21_306, 1_390_833),
        ("mens", 21_307, 3_031_169),
        ("womens", 21_387, 2_303_811),
    ]
    assert tuple(came for *_, came, _ in arms) == counts
    rural = "SELECT count(*) FILTER (zip_code = 'Rural'), count(recency) FROM trials_accepted"
    assert found.one(rural) == (9_563, 64_000)


def test_a_trial_whose_words_are_not_mapped_stops_for_want_of_a_control(night):
    with pytest.raises(ContractError, match="trials: no arm named control"):
        night((TRIAL % "visit").replace('"No E-Mail" = "control"', '"No E-Mail" = "none"'))


def test_the_trial_of_an_insurer_from_parquet(night):
    found = night(INSURANCE)
    assert found.rows("trials") == (10_000, 10_000, 0, 0)
    arms = found.connection.execute(ARMS).fetchall()
    assert [arm[:3] for arm in arms] == [("control", 5_028, 983), ("offer", 4_972, 1_013)]


def test_reviews_of_gift_cards_are_feedback(night):
    found = night(GIFT_CARDS)
    assert found.rows("feedback") == (2_972, 2_972, 0, 0)
    stars = found.connection.execute("SELECT rating, count(*) FROM feedback_accepted GROUP BY 1 ORDER BY 1").fetchall()
    assert stars == [(1, 22), (2, 11), (3, 33), (4, 154), (5, 2_752)]
    told = "SELECT count(DISTINCT customer_id), count(DISTINCT topic), count(*) FILTER (text IS NULL)"
    assert found.one(f"{told} FROM feedback_accepted") == (458, 148, 6)


def test_the_scores_of_olist_are_feedback_of_its_customers(night):
    found = night(OLIST + REVIEWS, "BRL", "America/Sao_Paulo")
    assert found.rows("feedback") == (4_988, 4_988, 0, 0)
    stars = found.connection.execute("SELECT rating, count(*) FROM feedback_accepted GROUP BY 1 ORDER BY 1").fetchall()
    assert stars == [(1, 550), (2, 141), (3, 396), (4, 978), (5, 2_923)]
    orphans = (
        "SELECT count(*) FROM feedback_accepted WHERE customer_id NOT IN (SELECT customer_id FROM customers_accepted)"
    )
    assert found.one(orphans) == (0,)


def test_hillstrom_is_a_campaign_with_contacts_and_outcomes(night):
    found = night(HILLSTROM)
    assert found.rows("customers") == found.rows("contacts") == (64_000, 64_000, 0, 0)
    assert found.rows("campaigns") == (1, 1, 0, 0)
    arms = found.connection.execute(
        """SELECT arm, count(*), CAST(sum(visit) AS INT), CAST(sum(conversion) AS INT),
        CAST(sum(CAST(spend AS DECIMAL(18, 2))) AS VARCHAR) FROM contacts_accepted GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    assert arms == [
        ("control", 21_306, 2_262, 122, "13908.33"),
        ("mens", 21_307, 3_894, 267, "30311.69"),
        ("womens", 21_387, 3_238, 189, "23038.11"),
    ]


def test_customer_personality_behind_a_byte_order_mark(night):
    found = night(PERSONALITY)
    assert found.rows("customers") == (2_240, 2_240, 0, 0)
    answered, known, first, last = found.one(
        """SELECT count(*) FILTER ("Response" = '1'), count("Income"), min(first_seen_on), max(first_seen_on)
        FROM customers_accepted"""
    )
    assert (answered, known) == (334, 2_216)
    assert (first.isoformat(), last.isoformat()) == ("2012-07-30", "2014-06-29")
