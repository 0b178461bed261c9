"""Proposals for published data sets and for invented companies: as written, without an edit, they admit the rows."""

import gzip
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from data.contracts.base import Delivery
from data.engine import connect
from data.quarantine import Admission, admit_all
from data.sources import FilesSource
from pipelines.commands.init import write_proposal
from pipelines.settings import Settings


@dataclass
class Found:
    """What became of the rows under a proposed configuration."""

    settings: Settings
    text: str
    connection: duckdb.DuckDBPyConnection
    admitted: dict[str, Admission]

    def rows(self, table: str) -> tuple[int, int, int, int]:
        """Return rows in, accepted, quarantined and duplicates."""
        found = self.admitted[table].reconciliation
        return found.n_rows, found.n_accepted, found.n_quarantined, found.n_duplicates

    def one(self, query: str) -> tuple[object, ...]:
        """Return the first row of a query."""
        return self.connection.execute(query).fetchall()[0]

    def total(self) -> int:
        """Return the cents of all lines."""
        total = self.admitted["transactions"].reconciliation.rows_total
        assert total is not None
        return total


@pytest.fixture
def proposed(tmp_path: Path) -> Iterator[Callable[..., Found]]:
    """Return a function that proposes a configuration for paths, reads it and admits the rows."""
    connection: duckdb.DuckDBPyConnection = connect(threads=2).con

    def run(*paths: Path, received: datetime = datetime(2026, 1, 1)) -> Found:
        config = tmp_path / "regulars.toml"
        write_proposal(paths, config, Console(quiet=True))
        settings = Settings.read(config)
        assert settings.sources is not None
        company = settings.company
        loaded = FilesSource(settings.sources, settings.folder, company.timezone).load(connection)
        delivery = Delivery(received, timezone=company.timezone, currencies=(company.currency,))
        admitted = admit_all(connection, {name: one.table for name, one in loaded.items()}, delivery)
        return Found(settings, config.read_text(encoding="utf-8"), connection, admitted)

    yield run
    connection.close()


@pytest.mark.slow
def test_online_retail_in_full(proposed, test_data):
    found = proposed(test_data / "online_retail" / "transactions.parquet")
    assert found.rows("transactions") == (541_909, 536_521, 120, 5_268)
    assert found.total() == 974_774_793
    assert found.rows("customers") == (4_372, 4_372, 0, 0)
    assert found.rows("products") == (4_070, 4_070, 0, 0)
    company = found.settings.company
    assert (company.currency, company.timezone) == ("GBP", "Europe/London")


def test_online_retail_by_the_day(proposed, test_data):
    found = proposed(test_data / "online_retail" / "daily_csv")
    assert found.rows("transactions")[0] == 42_481
    assert found.settings.sources.transactions.path.endswith("daily_csv/*.csv.gz")
    assert found.settings.sources.transactions.whole == ("CustomerID",)
    assert found.one("SELECT count(*) FROM raw_customers WHERE customer_id LIKE '%.%'") == (0,)


def test_olist_from_seven_files(proposed, test_data):
    found = proposed(test_data / "olist_sample")
    assert found.rows("transactions") == (5_603, 5_603, 0, 0)
    assert found.total() == 67_783_396
    assert found.rows("customers") == (5_000, 4_991, 0, 9)
    assert found.rows("products") == (3_859, 3_859, 0, 0)
    assert found.rows("feedback") == (4_988, 4_988, 0, 0)
    # The number in the orders is a new one each time; the mapping finds the one that comes back.
    assert found.settings.sources.transactions.columns["customer_id"] == "customer_unique_id"
    assert found.settings.sources.transactions.date_format == "%m/%d/%Y %H:%M"
    n_orders, first = found.one("SELECT count(DISTINCT order_id), min(local_time) FROM transactions_accepted")
    assert (n_orders, first) == (4_966, datetime(2016, 9, 4, 21, 15))


def test_members_groceries_with_the_day_first(proposed, test_data):
    found = proposed(test_data / "groceries_members" / "groceries_members.csv.gz")
    assert found.rows("transactions") == (38_765, 38_006, 0, 759)
    assert found.rows("customers") == (3_898, 3_898, 0, 0)
    assert found.one("SELECT count(DISTINCT order_id) FROM transactions_accepted") == (14_963,)
    assert "759 rows are exact copies" in found.text


def test_cdnow_in_fixed_width(proposed, test_data):
    found = proposed(test_data / "cdnow" / "CDNOW_master.txt.gz")
    assert found.rows("transactions") == (69_659, 69_404, 0, 255)
    assert found.total() == 250_031_563
    assert found.rows("customers")[0] == 23_570
    assert found.settings.company.currency == "USD"
    assert found.one("SELECT CAST(sum(CAST(quantity AS INT)) AS INT) FROM raw_transactions") == (167_881,)


@pytest.mark.parametrize(
    ("path", "n_rows", "churned"),
    [
        ("telco_churn/telco_customer_churn.csv.gz", 7_043, 1_869),
        ("bank_churn/churn_modelling.csv.gz", 10_000, 2_037),
        ("credit_card_churn/credit_card_churn.parquet", 10_127, 1_627),
        ("bank_marketing/bank-additional-full.csv.gz", 41_188, 4_640),
        ("marketing_campaign/marketing_campaign.csv.gz", 2_240, 334),
    ],
)
def test_flat_files_with_a_label(proposed, test_data, path, n_rows, churned):
    found = proposed(test_data / path)
    assert found.rows("customers") == (n_rows, n_rows, 0, 0)
    assert found.one("SELECT count(*) FILTER (has_churned) FROM customers_accepted") == (churned,)


def test_a_label_that_may_mean_something_else_is_unsure(proposed, test_data):
    assert "UNSURE: does y say who left" in proposed(test_data / "bank_marketing").text


def test_hillstrom_is_a_trial(proposed, test_data):
    found = proposed(test_data / "hillstrom" / "hillstrom.csv.gz")
    assert found.rows("trials") == (64_000, 64_000, 0, 0)
    arms = found.connection.execute(
        "SELECT arm, count(*), CAST(sum(outcome) AS INT), sum(spend_cents) FROM trials_accepted GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert {arm: rest for arm, *rest in arms} == {
        "control": [21_306, 122, 1_390_833],
        "Mens E-Mail": [21_307, 267, 3_031_169],
        "Womens E-Mail": [21_387, 189, 2_303_811],
    }


def _days(n: int, begin: date = date(2024, 1, 1)) -> list[date]:
    return [begin + timedelta(days=place % 360) for place in range(0, n * 7, 7)]


def _write(path: Path, rows: list[list[object]], delimiter: str = ";", encoding: str = "utf-8") -> None:
    path.write_bytes("".join(delimiter.join(map(str, row)) + "\r\n" for row in rows).encode(encoding))


@pytest.fixture
def german(tmp_path: Path) -> tuple[Path, int]:
    """Write a German shop: two files, decimal commas, dots of thousands, cp1252, leading zeros; return its cents."""
    lots, folder = random.Random(1), tmp_path / "Export"
    folder.mkdir()
    people = [
        [f"{n:06}", f"Müller{n}", f"Anna{n}", f"anna{n}@example.org", f"{n + 1000:05}", "Köln"] for n in range(60)
    ]
    _write(
        folder / "Kunden.csv", [["Kundennummer", "Nachname", "Vorname", "E-Mail", "PLZ", "Ort"], *people], ";", "cp1252"
    )
    rows: list[list[object]] = []
    cents = 0
    for n, day in enumerate(_days(400)):
        quantity, price = lots.randint(1, 3), [499, 1299, 129_900][n % 20 % 3]
        cents += quantity * price
        shown = f"{price // 100:,}".replace(",", ".") + f",{price % 100:02}"
        rows.append(
            [
                f"R{n // 2:05}",
                f"{n // 2 % 60:06}",
                f"A-{n % 20:03}",
                "Jäckchen größe L",
                quantity,
                shown,
                f"{day:%d.%m.%Y}",
            ]
        )
    head = [
        "Rechnungsnr",
        "Kundennummer",
        "Artikelnummer",
        "Artikelbezeichnung",
        "Menge",
        "Einzelpreis",
        "Rechnungsdatum",
    ]
    _write(folder / "Positionen.csv", [head, *rows], ";", "cp1252")
    return folder, cents


def test_a_german_shop(proposed, german):
    folder, cents = german
    found = proposed(folder)
    assert found.rows("transactions") == (400, 400, 0, 0)
    assert found.total() == cents
    lines = found.settings.sources.transactions
    assert (lines.encoding, lines.delimiter, lines.decimal, lines.thousands) == ("cp1252", ";", ",", ".")
    assert lines.date_format == "%d.%m.%Y"
    assert found.rows("customers") == (60, 60, 0, 0)
    assert found.one("SELECT min(customer_id), max(customer_id) FROM customers_accepted") == ("000000", "000059")
    assert found.settings.company.currency == "EUR"
    assert found.settings.company.timezone == "Europe/Berlin"
    name, email = found.one("SELECT name, email FROM identities_accepted WHERE customer_id = '000007'")
    assert (name, email) == ("Anna7 Müller7", "anna7@example.org")


def test_personal_data_stay_out_of_the_configuration(proposed, german):
    text = proposed(german[0]).text
    assert "@example.org" not in text
    assert "Müller7" not in text


def test_a_swedish_shop_between_tabs_with_minor_units(proposed, tmp_path):
    folder = tmp_path / "butik"
    folder.mkdir()
    head = ["ordernr", "kundnr", "artikelnr", "antal", "pris_ore", "orderdatum"]
    rows = [
        [1000 + n, 1 + n % 40, f"{n % 15:04}", 1 + n % 3, 4990 + 100 * (n % 5), day] for n, day in enumerate(_days(300))
    ]
    _write(folder / "ordrar.tsv", [head, *rows], "\t")
    found = proposed(folder)
    assert found.rows("transactions") == (300, 300, 0, 0)
    assert found.total() == sum(int(str(row[3])) * int(str(row[4])) for row in rows)
    assert found.settings.company.currency == "SEK"
    assert found.one("SELECT min(product_id) FROM transactions_accepted") == ("0000",)


def test_a_spanish_shop_with_line_totals_and_returns_by_word(proposed, tmp_path):
    folder = tmp_path / "tienda"
    folder.mkdir()
    head = [
        "id_pedido",
        "id_cliente",
        "codigo_producto",
        "descripcion",
        "cantidad",
        "precio_unitario",
        "importe",
        "fecha_pedido",
        "tipo",
    ]
    rows: list[list[object]] = []
    for n, day in enumerate(_days(260)):
        amount = 3 * 1250 if n % 10 else 2 * 1250
        kind = "venta" if n % 10 else "devolucion"
        shown = f"{amount / 100:.2f}".replace(".", ",")
        rows.append(
            [5000 + n, 100 + n % 30, f"P{n % 12}", "camisa", amount // 1250, "12,50", shown, f"{day:%d/%m/%Y}", kind]
        )
    _write(folder / "ventas.csv", [head, *rows])
    found = proposed(folder)
    assert found.rows("transactions") == (260, 260, 0, 0)
    n_returns = sum(row[8] == "devolucion" for row in rows)
    assert found.total() == (260 - n_returns) * 3750 - n_returns * 2500
    assert found.settings.sources.transactions.money["amount_cents"].column == "importe"
    assert found.one("SELECT count(*) FROM transactions_accepted WHERE quantity < 0") == (n_returns,)


def test_a_french_shop_with_orders_and_lines_apart(proposed, tmp_path):
    folder = tmp_path / "boutique"
    folder.mkdir()
    orders = [[f"C{n:04}", f"{n % 50:05}", f"{day:%d/%m/%Y} 14:05"] for n, day in enumerate(_days(200))]
    lines = [[f"C{n % 200:04}", f"AR{n % 25:03}", 1 + n % 4, f"{5 + n % 7},90 €"] for n in range(500)]
    products = [[f"AR{n:03}", f"Article {n}", "Maison" if n % 2 else "Jardin"] for n in range(25)]
    _write(folder / "commandes.csv", [["num_commande", "code_client", "date_commande"], *orders])
    _write(folder / "lignes.csv", [["num_commande", "ref_article", "quantité", "prix_unitaire"], *lines])
    _write(folder / "articles.csv", [["ref_article", "désignation", "famille"], *products])
    found = proposed(folder)
    assert found.rows("transactions")[:3] == (500, 500 - found.rows("transactions")[3], 0)
    assert found.total() == sum((int(str(row[2]))) * (590 + 100 * (n % 7)) for n, row in enumerate(lines))
    assert found.rows("products") == (25, 25, 0, 0)
    assert found.settings.company.currency == "EUR"
    assert found.one("SELECT count(DISTINCT customer_id) FROM transactions_accepted") == (50,)
    assert found.one("SELECT name, category FROM products_accepted WHERE product_id = 'AR003'") == (
        "Article 3",
        "Maison",
    )


def test_a_brazilian_shop_in_a_workbook(proposed, tmp_path):
    import openpyxl  # noqa: PLC0415

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Relatório de vendas"])
    sheet.append([])
    sheet.append(["Pedido", "Cliente", "Produto", "Quantidade", "Valor Total", "Data"])
    for n, day in enumerate(_days(120)):
        sheet.append([n + 1, f"CL{n % 25:02}", f"SKU{n % 9}", 1 + n % 2, 19.9 + n % 5, day])
    book.save(tmp_path / "vendas.xlsx")
    found = proposed(tmp_path / "vendas.xlsx")
    assert found.rows("transactions") == (120, 120, 0, 0)
    assert found.total() == sum(1990 + 100 * (n % 5) for n in range(120))


def test_an_american_shop_with_months_first_and_signs_of_dollars(proposed, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    head = "Order ID,Customer,SKU,Qty,Line Total,Order Date\r\n"
    lines = [
        f'{9000 + n // 2},cust-{n // 2 % 33},S-{n % 8},{1 + n % 2},"$1,{n % 9}00.50",{day:%m/%d/%Y}\r\n'
        for n, day in enumerate(_days(240))
    ]
    with gzip.open(folder / "orders.csv.gz", "wt", encoding="utf-8", newline="") as stream:
        stream.writelines([head, *lines])
    found = proposed(folder)
    n_rows, accepted, quarantined, duplicates = found.rows("transactions")
    assert (n_rows, accepted + duplicates, quarantined) == (240, 240, 0)
    assert found.total() == sum(100_050 + 10_000 * (n % 9) for n in range(240))
    assert found.settings.sources.transactions.date_format == "%m/%d/%Y"
    assert (found.settings.company.currency, found.settings.company.currency_symbol) == ("USD", "$")


def test_customers_consents_contracts_of_a_gym(proposed, tmp_path):
    folder = tmp_path / "gym"
    folder.mkdir()
    members = [[n, f"member{n}@example.org", "F" if n % 2 else "M", day] for n, day in enumerate(_days(80), 1)]
    plans = [
        [n, "gold" if n % 3 else "basic", day, day + timedelta(days=90) if n % 4 == 0 else ""]
        for n, _, _, day in members
    ]
    consents = [[n, "marketing", "yes" if n % 5 else "no", f"{day} 10:00:00"] for n, _, _, day in members]
    _write(folder / "members.csv", [["member_id", "email", "gender", "joined_on"], *members], ",")
    _write(folder / "memberships.csv", [["member_id", "plan", "start_date", "end_date"], *plans], ",")
    _write(folder / "consents.csv", [["member_id", "purpose", "consent_given", "updated_at"], *consents], ",")
    found = proposed(folder)
    assert found.rows("customers") == (80, 80, 0, 0)
    assert found.rows("subscriptions") == (80, 80, 0, 0)
    assert found.rows("consents") == (80, 80, 0, 0)
    assert found.one("SELECT count(*) FROM consents_accepted WHERE is_granted") == (64,)
    assert found.rows("identities") == (80, 80, 0, 0)


def test_seconds_since_1970_and_a_currency_column(proposed, tmp_path):
    rows = [[f"t{n}", f"u{n % 50}", f"s{n % 20}", 1, 1000 + n, "USD", 1_700_000_000 + n * 4_000] for n in range(200)]
    head = ["transaction_id", "user_id", "sku", "qty", "amount_cents", "currency", "ts"]
    _write(tmp_path / "events.csv", [head, *rows], ",")
    found = proposed(tmp_path / "events.csv")
    assert found.rows("transactions") == (200, 200, 0, 0)
    assert found.total() == sum(range(1000, 1200))
    assert found.settings.company.currency == "USD"
    assert found.one("SELECT min(event_time) FROM transactions_accepted") == (datetime(2023, 11, 14, 22, 13, 20),)


def test_orders_without_lines_and_refunds_by_status(proposed, tmp_path):
    rows = [
        [n, f"{n % 60:04}", day, "20.50", "refunded" if n % 25 == 0 else "paid"] for n, day in enumerate(_days(200))
    ]
    _write(
        tmp_path / "orders.csv", [["order_number", "customer_no", "order_date", "total_amount", "status"], *rows], "|"
    )
    found = proposed(tmp_path / "orders.csv")
    assert found.rows("transactions") == (200, 200, 0, 0)
    assert found.total() == (200 - 2 * 8) * 2050
    assert "UNSURE: no column says what was bought" in found.text


def test_phone_numbers_and_addresses_are_nowhere_but_in_identities(proposed, tmp_path):
    folder = tmp_path / "crm"
    folder.mkdir()
    head = ["Kunden-Nr.", "Name", "Geburtsdatum", "Telefon", "Strasse", "PLZ", "Ort", "Kunde seit"]
    people = [
        [
            f"{n:04}",
            f"Person {n}",
            f"01.02.19{n + 40}",
            f"+49 30 {n:06}",
            f"Weg {n}",
            10_000 + n,
            "Berlin",
            f"{day:%d.%m.%Y}",
        ]
        for n, day in enumerate(_days(50))
    ]
    lines = [[n, f"{n % 50:04}", f"{day:%d.%m.%y}", f"A{n % 9}", f"{n % 7 + 3},50"] for n, day in enumerate(_days(150))]
    _write(folder / "Kunden.csv", [head, *people])
    _write(folder / "Umsaetze.csv", [["Belegnr", "KundenNr", "Datum", "Artikel", "Betrag"], *lines])
    found = proposed(folder)
    assert found.rows("customers") == found.rows("identities") == (50, 50, 0, 0)
    assert found.rows("transactions") == (150, 150, 0, 0)
    columns = [row[0] for row in found.connection.execute("DESCRIBE customers_accepted").fetchall()]
    assert not {"Telefon", "Name", "Strasse", "PLZ", "Ort", "Geburtsdatum"} & set(columns)
    place = found.one("SELECT phone, street, postal_code, city FROM identities_accepted WHERE customer_id = '0003'")
    assert place == ("+49 30 000003", "Weg 3", "10003", "Berlin")
    assert "+49" not in found.text
