"""Companies that nobody has seen: their exports as tills, shops and banks write them, read without an edit."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import openpyxl
import pytest
from rich.console import Console

from data.contracts.base import Delivery
from data.discovery.propose import propose
from data.engine import connect
from data.quarantine import Admission, admit_all
from data.sources import FilesSource
from pipelines.commands.init import write_proposal
from pipelines.settings import Settings

FIRST = datetime(2023, 1, 2, 9, 30)
N_ORDERS = 120


class Company:
    """A folder of exports, and what the proposal makes of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = connect(threads=1).con

    def write(
        self,
        name: str,
        rows: Sequence[Sequence[object]],
        *,
        delimiter: str = ",",
        encoding: str = "utf-8",
        top: str = "",
    ) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding=encoding, newline="") as stream:
            stream.write(top)
            csv.writer(stream, delimiter=delimiter).writerows(rows)

    def settings(self) -> Settings:
        config = self.folder / "regulars.toml"
        write_proposal([self.folder], config, Console(quiet=True), force=True)
        return Settings.read(config)

    def admitted(self) -> dict[str, Admission]:
        settings = self.settings()
        company, sources = settings.company, settings.sources
        assert sources is not None
        loaded = FilesSource(sources, self.folder, company.timezone).load(self.connection)
        delivery = Delivery(datetime(2026, 1, 1), timezone=company.timezone, currencies=(company.currency,))
        return admit_all(self.connection, {name: one.table for name, one in loaded.items()}, delivery)

    def one(self, query: str) -> tuple[object, ...]:
        return self.connection.execute(query).fetchall()[0]


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    made = Company(tmp_path)
    yield made
    made.connection.close()


def lines(of: Callable[[int, datetime, int, int], Sequence[object]]) -> list[Sequence[object]]:
    """Return two lines for each of some orders: its number, its instant, its customer, and the place of the line."""
    return [
        of(n, FIRST + timedelta(days=n // 2, hours=n % 2), n * 7 % 20, line) for n in range(N_ORDERS) for line in (0, 1)
    ]


class TestATill:
    """German: receipts numbered anew each day, day and clock in two columns, Storno."""

    @pytest.fixture
    def till(self, company: Company) -> Company:
        head = ["Datum", "Uhrzeit", "Kasse", "Bon-Nr", "Kundennr", "Artikelnr", "Menge", "Netto", "Art"]
        rows = lines(
            lambda n, at, who, line: [
                f"{at:%d.%m.%Y}", f"{at:%H:%M:%S}", f"K{n % 3}", n % 2 + 1, f"{who:04}", f"A{(n + line) % 9}",
                1 - 2 * (n % 20 == 0), f"{n % 9 + line},50", "Storno" if n % 20 == 0 else "Verkauf",
            ]
        )  # fmt: skip
        company.write("kasse.csv", [head, *rows], delimiter=";", encoding="cp1252")
        return company

    def test_a_receipt_is_its_day_its_till_and_its_number(self, till):
        admitted = till.admitted()["transactions"]
        assert admitted.reconciliation.n_accepted == 2 * N_ORDERS
        assert till.one(f"SELECT count(DISTINCT order_id) FROM {admitted.accepted}") == (N_ORDERS,)

    def test_the_clock_is_joined_to_the_day_in_the_zone_of_the_shop(self, till):
        admitted = till.admitted()["transactions"]
        assert till.one(f"SELECT min(event_time) FROM {admitted.accepted}") == (datetime(2023, 1, 2, 8, 30),)

    def test_storno_gives_money_back(self, till):
        admitted = till.admitted()["transactions"]
        assert till.one(f"SELECT count(*) FROM {admitted.accepted} WHERE quantity < 0 AND amount_cents < 0") == (12,)


AMOUNTS = {
    "Brazil": (
        "Pedido,Cliente,Data,Produto,Quantidade,Valor total",
        "R$ 1.1{0:02},10",
        ",",
        "BRL",
        "America/Sao_Paulo",
    ),
    "Switzerland": ("Bestellnr,Kundennr,Datum,Artikelnr,Menge,Betrag", "CHF 1'1{0:02}.10", ".", "CHF", "Europe/Zurich"),
    "Sweden": ("Ordernr,Kundnr,Datum,Artikelnr,Antal,Belopp", "11{0:02},10 kr", ",", "SEK", "Europe/Stockholm"),
    "America": ("Order #,Cust ID,Date,SKU,Qty,Ext Price", "$1,1{0:02}.10", ".", "USD", None),
}


@pytest.mark.parametrize("case", AMOUNTS.values(), ids=AMOUNTS)
def test_amounts_with_their_currency_are_read_to_the_cent(company, case):
    head, amount, _, currency, zone = case
    rows = lines(lambda n, at, who, line: [n, who, f"{at:%Y-%m-%d}", f"P{line}", 1, amount.format(n % 40)])
    company.write("sales.csv", [head.split(","), *rows], delimiter=";")
    admitted = company.admitted()["transactions"]
    settings = company.settings()
    expected = sum(2 * (110_010 + n % 40 * 100) for n in range(N_ORDERS))
    assert admitted.reconciliation.n_accepted == 2 * N_ORDERS
    assert company.one(f"SELECT sum(amount_cents) FROM {admitted.accepted}") == (expected,)
    assert settings.company.currency == currency
    assert zone is None or settings.company.timezone == zone


def test_a_mainframe_s_utf_16_with_days_as_numbers_and_minus_signs_behind(company):
    head = ["Verkaufsbeleg", "Auftraggeber", "Material", "Erdat", "Menge", "Nettowert"]
    rows = lines(
        lambda n, at, who, line: [
            f"{n:010}", f"{who:010}", f"{(n + line) % 9:018}", f"{at:%Y%m%d}",
            "1,000" + "-" * (n == 7), "1.250,50" + "-" * (n == 7),
        ]
    )  # fmt: skip
    company.write("VBAP.txt", [head, *rows], delimiter="\t", encoding="utf-16")
    admitted = company.admitted()["transactions"]
    assert company.one(f"SELECT sum(quantity), sum(amount_cents) FROM {admitted.accepted}") == (236, 236 * 125_050)
    assert company.one(f"SELECT min(customer_id) FROM {admitted.accepted}") == ("0000000000",)


def test_milliseconds_since_1970_and_yen_without_cents(company):
    def millis(at: datetime) -> int:
        return int((at - datetime(1970, 1, 1)).total_seconds() * 1000)

    head = ["order_id", "user_id", "item_id", "ts", "qty", "amount_jpy"]
    company.write("events.csv", [head, *lines(lambda n, at, who, x: [n, f"{who}.0", x, millis(at), 1, 800 + n])])
    admitted = company.admitted()["transactions"]
    first = company.one(f"SELECT min(event_time), min(amount_cents), min(customer_id) FROM {admitted.accepted}")
    assert first == (FIRST, 80_000, "0")
    (draft,) = propose([company.folder / "events.csv"], company.folder).sections
    assert not next(entry for entry in draft.entries if entry.key == "money.amount_cents").unsure


def test_the_sheets_of_one_workbook_are_orders_lines_people_and_articles(company):
    book = openpyxl.Workbook()
    orders = book.active
    orders.title = "Commandes"
    orders.append(["Export du 01/07/2024"])
    orders.append(["N° commande", "Client", "Date commande"])
    for title, head in (
        ("Lignes", ["N° commande", "Référence", "Quantité", "Prix unitaire"]),
        ("Clients", ["Client", "Nom", "Courriel", "Date d'inscription"]),
        ("Produits", ["Référence", "Libellé", "Catégorie"]),
    ):
        book.create_sheet(title).append(head)
    for n in range(N_ORDERS):
        orders.append([f"C-{n}", f"K{n % 20}", FIRST + timedelta(days=n)])
        for line in range(2):
            book["Lignes"].append([f"C-{n}", f"R{(n + line) % 9}", line + 1, 2.5])
    for n in range(20):
        book["Clients"].append([f"K{n}", f"Durand{n}", f"k{n}@exemple.fr", FIRST])
    for n in range(9):
        book["Produits"].append([f"R{n}", f"Chose {n}", "Divers"])
    book.save(company.folder / "export.xlsx")
    admitted = company.admitted()
    assert set(admitted) == {"customers", "identities", "products", "transactions"}
    accepted = admitted["transactions"].accepted
    assert company.one(f"SELECT count(*), sum(amount_cents) FROM {accepted}") == (2 * N_ORDERS, N_ORDERS * 750)


class TestATelephoneCompany:
    """Swedish: contracts with a fee, complaints, people; no order lines."""

    @pytest.fixture
    def telecom(self, company: Company) -> Company:
        people = [[f"{n}", "Åsa Öberg", f"a{n}@exempel.se", "2019-05-11"] for n in range(60)]
        company.write("kunder.csv", [["Kundnr", "Namn", "E-post", "Kund sedan"], *people], delimiter=";")
        plans = [[f"A{n}", n % 60, f"Mobil {n % 7}", "2020-01-31", "", "kr 199,00"] for n in range(90)]
        head = ["Abonnemangsnr", "Kundnr", "Abonnemang", "Startdatum", "Slutdatum", "Månadsavgift"]
        plans[5][4] = "2022-03-04"
        company.write("abonnemang.csv", [head, *plans], delimiter=";")
        said = [[f"E{n}", n % 60, f"2023-02-{n % 28 + 1:02} 10:00", "Dålig täckning 😡"] for n in range(80)]
        company.write("klagomål.csv", [["Ärendenr", "Kundnr", "Datum", "Text"], *said], delimiter=";")
        return company

    def test_every_file_has_its_table(self, telecom):
        admitted = telecom.admitted()
        assert set(admitted) == {"customers", "identities", "subscriptions", "feedback"}
        assert {one.reconciliation.n_quarantined for one in admitted.values()} == {0}
        kinds = f"SELECT any_value(kind), count(*) FROM {admitted['feedback'].accepted}"
        assert telecom.one(kinds) == ("complaint", 80)
        plans = f"SELECT min(plan), max(fee_cents), count(ended_on) FROM {admitted['subscriptions'].accepted}"
        assert telecom.one(plans) == ("Mobil 0", 19_900, 1)

    def test_names_and_addresses_are_identities_and_nothing_else(self, telecom):
        sources = telecom.settings().sources
        assert sources is not None
        assert sources.customers is not None
        assert sources.customers.attributes == ()
        assert sources.identities is not None
        assert {"name", "email"} <= set(sources.identities.columns)


@pytest.mark.parametrize(
    ("name", "cell"),
    [("year_of_birth", "{}"), ("Geburtsjahr", "{}.0"), ("YOB", "{}"), ("Date of birth", "01/01/{}"), ("id_year", "{}")],
)
def test_a_year_of_birth_is_proposed_and_a_date_of_birth_stays_where_it_is(company, name, cell):
    born = [1940 + n % 60 for n in range(200)]
    rows = [[f"C{n}", "" if n % 9 == 0 else cell.format(born[n])] for n in range(200)]
    company.write("customers.csv", [["customer_id", name], *rows])
    head = ["order_id", "customer_id", "product", "date", "quantity", "amount"]
    sales = [[n, f"C{n % 200}", f"P{n % 9}", f"2023-03-{n % 28 + 1:02}", 1, "9.50"] for n in range(600)]
    company.write("sales.csv", [head, *sales])
    admitted = company.admitted()["customers"]
    assert admitted.reconciliation.n_quarantined == 0
    found = company.one(f"SELECT count(birth_year), sum(birth_year) FROM {admitted.accepted}")
    known = [year for n, year in enumerate(born) if n % 9]
    assert found == ((0, None) if " " in name or name == "id_year" else (len(known), sum(known)))


def test_in_the_statements_of_a_bank_a_minus_is_money_spent(company):
    head = ["transaction_id", "account_number", "posted_date", "merchant_category", "amount", "type"]
    rows = [
        [f"T{n}", f"{n * 7 % 20:08}", f"{FIRST + timedelta(days=n):%d/%m/%Y}", "Fuel", 5.25 if n % 10 == 0 else -10.5]
        for n in range(N_ORDERS)
    ]
    rows = [[*row, "CREDIT" if row[-1] > 0 else "DEBIT"] for row in rows]
    company.write("card.csv", [head, *rows])
    admitted = company.admitted()["transactions"]
    spent = f"SELECT sum(amount_cents), count(*) FILTER (quantity < 0) FROM {admitted.accepted}"
    assert company.one(spent) == (108 * 1050 - 12 * 525, 12)


class TestExportsPutBelowEachOther:
    """Comments above, the header again in the middle, a total at the end."""

    @pytest.fixture
    def export(self, company: Company) -> Company:
        head = ["Order No", "Customer No", "Date", "Product", "Qty", "Amount"]
        rows = lines(lambda n, at, who, line: [n, who, f"{at:%Y-%m-%d}", f"P{(n + line) % 9}", 1, "9.50"])
        every = [head, *rows[:100], head, *rows[100:], ["Total", "", "", "", "", "2280.00"]]
        company.write("export.csv", every, top="# Sales by order\n# User: admin\n\n")
        return company

    def test_the_columns_are_what_they_are_without_the_header(self, export):
        sources = export.settings().sources
        assert sources is not None
        assert sources.transactions is not None
        assert sources.transactions.columns["quantity"] == "Qty"

    def test_the_total_and_the_second_header_are_set_aside_with_reasons(self, export):
        admitted = export.admitted()["transactions"]
        assert admitted.reconciliation.n_accepted == 2 * N_ORDERS
        assert admitted.reconciliation.n_quarantined == 2
        assert admitted.reconciliation.accepted_total == 2 * N_ORDERS * 950


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("orders.csv", "order_id,customer_id,order_date,amount\n", "a header without rows"),
        ("売上.csv", "注文番号,顧客番号,金額\nあ,い,う\n", "say nothing in English"),
        ("shop.sqlite3", "SQLite", "set connection and table"),
        ("orders.json", "{}", r"end in \.json are not read"),
    ],
)
def test_what_is_not_used_is_said_with_the_reason(company, name, content, reason):
    company.write("sales.csv", [["order_id", "customer_id", "date", "amount"], [1, 2, "2024-01-01", 5.0]])
    (company.folder / name).write_text(content, encoding="utf-8")
    stream = io.StringIO()
    write_proposal([company.folder], company.folder / "regulars.toml", Console(file=stream, width=250))
    (line,) = [line for line in stream.getvalue().splitlines() if name in line and "rows" not in line.split()[:3]][-1:]
    assert re.search(reason, line)


def test_where_nothing_is_mapped_the_next_step_is_to_map_it(company):
    company.write("orders.csv", [["order_id", "customer_id", "date", "amount"]])
    stream = io.StringIO()
    write_proposal([company.folder], company.folder / "regulars.toml", Console(file=stream, width=250))
    assert "Next: write [sources.transactions] into" in stream.getvalue()


def test_what_earlier_runs_wrote_is_no_delivery(company):
    company.write("sales.csv", [["order_id", "customer_id", "date", "amount"], [1, 2, "2024-01-01", 5.0]])
    company.write("var/readiness/2024-01-01.csv", [["order_id", "customer_id"], [1, 2]])
    company.write("var/lake/snapshots/a.csv", [["order_id", "customer_id"], [1, 2]])
    found = propose([company.folder], company.folder)
    assert [one.label for one in found.profiles] == ["sales.csv"]
