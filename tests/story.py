"""Three nights of a company by the command, with all that people do and undo between them.

Night one takes a history with bad rows, with personal data where none should be, and with hostile names. Then two bad
rows are repaired in a CSV file and two in a workbook, each handed in twice, and customers withdraw their consent. After
night two a customer is erased, whom the file of the third night names again.
"""

import csv
import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import drops
import openpyxl
from drops import FIRST_NIGHT, Answer, Company, Operator, after, deliver, lines_of, open_company, raw_tables

from data.contracts import CONTRACTS
from data.contracts.base import DType

SECRETS = ("anna.nobody@example.org", "+46 70 123 45 67", "Anna Nobody-Svensson", "4111 1111 1111 1111")
HOSTILE = (
    "'); DROP TABLE customers; --",
    '" OR 1=1; --',
    "../../etc/passwd",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "{{7*7}} {0} %s",
    "x" * 300,
    "ünï 日本",
)
ATTRIBUTE = 'a "quoted"); DROP TABLE products; --'
HOSTILE_FILE = "it's 'a' \"day\"); DROP TABLE x; --"
BAD = {
    "bad quantity": {"quantity": "two"},
    "bad amount": {"amount_cents": "three"},
    "bad customer": {"customer_id": "nobody here"},
    "bad instant": {"event_time": "2024-13-45 10:00:00"},
}
REPAIRED = {
    "bad quantity": {"quantity": "2"},
    "bad amount": {"amount_cents": "300"},
    "bad customer": {"customer_id": "c000000001"},
    "bad instant": {"event_time": "2024-12-05 10:00:00"},
}
IN_CSV = ("bad quantity", "bad amount")
"""The orders that are repaired in a CSV file; the others are repaired in a workbook."""
WITHDRAWN = tuple(f"c0000000{n}" for n in range(41, 49))
ERASED = "c000000003"
NIGHTS = tuple(after(FIRST_NIGHT, n) for n in range(3))


@dataclass(frozen=True)
class Story:
    """What was done, in order, and where it left the company."""

    company: Company
    answers: dict[str, Answer]

    def at(self, moment: str) -> Company:
        """Return the company as it was after night ``one`` or ``two``, to be read only."""
        return Company(self.company.folder.parent / f"moment {moment}")


def read(folder: Path) -> Story:
    """Return a story that was told."""
    answers = json.loads((folder / "answers.json").read_text())
    return Story(Company(folder / "company"), {name: Answer(*answer) for name, answer in answers.items()})


def planted(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the company's rows with a secret in each text and in each cell that is no text, and with hostile names."""
    ids = [row["customer_id"] for row in rows["customers"]]
    told = {name: list(table) for name, table in rows.items()}
    for name, table in rows.items():
        for number, column in enumerate(CONTRACTS[name].columns):
            if column.name in {"customer_id", "known_at", "currency"} or column.name.endswith("_id"):
                continue
            row = {**table[0], column.name: SECRETS[number % len(SECRETS)]}
            key = CONTRACTS[name].key[0]
            row[key] = f"{name} {column.name}" if key != "customer_id" else f"planted {column.name}"
            if name not in {"customers", "identities"} and "customer_id" in row:
                row["customer_id"] = ids[number % len(ids)]
            if name == "customers" and column.dtype is not DType.STRING:
                row["customer_id"] = ""
            told[name].append(row)
    line = rows["transactions"][0]
    for number, one in enumerate(HOSTILE):
        told["customers"].append({"customer_id": one, "first_seen_on": "2024-01-05", "segment": "household"})
        told["identities"].append({"customer_id": one, "name": "Somebody"})
        told["transactions"].append({**line, "order_id": f"hostile {number}", "customer_id": one})
    at = datetime(2024, 12, 5, 9)
    told["transactions"] += [{**line, "event_time": at, "order_id": name, **cells} for name, cells in BAD.items()]
    return told


def tell(folder: Path, nights: ModuleType, operator: Operator) -> None:
    """Let all of it happen in a folder."""
    rows, answers = raw_tables(), {}
    company = open_company(folder / "company", nights, rows, limits={"rejected_share": 0.9})
    _make_odd(company, rows)

    def say(name: str, *arguments: object) -> None:
        answers[name] = operator.regulars(company.folder, *arguments, debug=True)

    say("night one", "nightly", "--as-of", NIGHTS[0])
    say("check", "check", "--as-of", NIGHTS[0])
    shutil.copytree(company.folder, folder / "moment one")
    _repair(company, say)
    _withdraw(company, rows)
    deliver(company, rows, NIGHTS[0])
    shutil.copytree(company.folder, folder / "before two")
    say("night two", "nightly", "--as-of", NIGHTS[1])
    shutil.copytree(company.folder, folder / "moment two")
    say("erase", "erase", ERASED)
    day = lines_of(rows, NIGHTS[1])
    company.drop("transactions", [*day, {**day[0], "order_id": "hers again", "customer_id": ERASED}], NIGHTS[1])
    say("night three", "nightly", "--as-of", NIGHTS[2])
    say("access", "access", ERASED)
    said = {name: [one.code, one.output, one.errors] for name, one in answers.items()}
    (folder / "answers.json").write_text(json.dumps(said))


def _make_odd(company: Company, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Deliver the history again with all that is planted, one file of it under a hostile name."""
    odd = planted(rows)
    for name, table in odd.items():
        if name != "transactions":
            company.drop(name, table)
    history = [
        row for row in odd["transactions"][: len(rows["transactions"])] if row["event_time"].date() < FIRST_NIGHT
    ]
    company.drop("transactions", history, 2024)
    company.drop("transactions", odd["transactions"][len(rows["transactions"]) :], HOSTILE_FILE)
    products = company.folder / "products.csv"
    with products.open(newline="") as stream:
        header, *lines = list(csv.reader(stream))
    with products.open("w", newline="") as stream:
        csv.writer(stream).writerows([[*header, ATTRIBUTE], *([*line, SECRETS[0]] for line in lines)])
    company.change_config('path = "products.csv"', f'path = "products.csv"\nattributes = [{json.dumps(ATTRIBUTE)}]')


def _repair(company: Company, say: Any) -> None:
    """Repair two rows in a CSV file and two in a workbook, and hand each of them in twice."""
    for kind in ("csv", "xlsx"):
        say(f"export {kind}", "quarantine", "export", "transactions", f"bad.{kind}")
    path = company.folder / "bad.csv"
    with path.open(newline="", encoding="utf-8-sig") as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        line.update(REPAIRED[line["order_id"]] if line["order_id"] in IN_CSV else {})
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(line for line in lines if line["order_id"] in IN_CSV)
    for time in ("first", "again"):
        say(f"csv {time}", "quarantine", "readmit", "bad.csv", "--json")
    book = openpyxl.load_workbook(company.folder / "bad.xlsx")
    header, *cells = list(book["Quarantine"].iter_rows())
    places = {cell.value: place for place, cell in enumerate(header)}
    for row in cells:
        order = str(row[places["order_id"]].value)
        for column, value in REPAIRED.get(order, {}).items():
            row[places[column]].value = value
    for row in reversed(cells):
        if str(row[places["order_id"]].value) not in REPAIRED:
            book["Quarantine"].delete_rows(row[0].row)
    book.save(company.folder / "bad.xlsx")
    for time in ("first", "again"):
        say(f"workbook {time}", "quarantine", "readmit", "bad.xlsx", "--json")


def _withdraw(company: Company, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Let some customers take their consent to marketing back on the day after the first night."""
    at = datetime(2024, 12, 31, 10)
    taken_back = {"purpose": "marketing", "is_granted": False, "event_time": at}
    company.drop("consents", [*rows["consents"], *({"customer_id": one, **taken_back} for one in WITHDRAWN)])


def restored(folder: Path, moment: str, target: Path) -> Company:
    """Return a copy of the company as it was ``before two``, or at a moment, with a root of its own."""
    shutil.copytree(folder / moment, target)
    other = drops.Company(target)
    other.change_config(json.dumps(str(folder / "company" / "var")), json.dumps(str(other.root)))
    return other
