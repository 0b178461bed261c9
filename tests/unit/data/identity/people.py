"""A seeded company whose customers have known duplicates, families, twins and couples with one mailbox."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

GIVEN = re.findall(
    r"\w+",
    """Anna Hans Julia Peter Maria Jan Sofia Paul Laura Max Lena Tim Clara Felix Emma Noah Mia Leon Hannah Lukas
    Ida Jonas Frieda Erik Greta Karl Lotte Otto Rosa Emil Nora Anton Ella Theo Marta Oskar Vera Kurt Ines
    Bruno Olga Axel Ruth Sven Karin Uwe Petra Jens Silke Bernd Heike Ralf Ute Dirk Anke Frank Birgit Holger
    Doris Volker""",
)
SURNAMES = re.findall(
    r"\w+",
    """Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch Bauer Richter
    Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Schmitt Werner Krause
    Meier Lehmann""",
)
SYLLABLES = re.findall(
    r"\w+",
    """ba be ber bin da dor el fen ger gra hal han hei ka kel lan lau mar mei nau ner ost pel rau ren sal stein
    tal wal witz""",
)
STREETS = re.findall(
    r"\w+",
    """Hauptstraße Bahnhofstraße Gartenstraße Schulstraße Bergstraße Lindenallee Kirchweg Waldweg Ringstraße
    Parkstraße Seestraße Wiesenweg Marktplatz Rosenweg Feldstraße Mühlenweg Birkenweg Amselweg Talstraße
    Burgstraße""",
)
COLUMNS = ("customer_id", "name", "email", "phone", "street", "postal_code", "city", "country")


@dataclass(frozen=True)
class Company:
    """Identities, and who is who: the person of each customer_id."""

    identities: pa.Table
    person: dict[str, int]

    def is_one(self, a: str, b: str) -> bool:
        return self.person[a] == self.person[b]

    def n_duplicate_pairs(self) -> int:
        _, counts = np.unique(list(self.person.values()), return_counts=True)
        return int((counts * (counts - 1) // 2).sum())


class _Town:
    """Makes names and addresses: some frequent, most rare, as in a real town."""

    def __init__(self, rng: np.random.Generator, n_people: int) -> None:
        self.rng = rng
        self.n_streets = max(n_people // 60, 20)
        self.mailboxes: set[str] = set()

    def pick(self, words: list[str]) -> str:
        return words[min(int(self.rng.exponential(len(words) / 3)), len(words) - 1)]

    def surname(self) -> str:
        if self.rng.random() < 0.4:
            return self.pick(SURNAMES)
        return "".join(self.rng.choice(SYLLABLES, 3)).capitalize()

    def address(self) -> dict[str, str]:
        street = int(self.rng.integers(self.n_streets))
        code = 10_000 + 37 * (street // 20)
        name = STREETS[street % 20]
        return {
            "street": f"{name} {self.rng.integers(1, 120)}",
            "postal_code": str(code),
            "city": f"Stadt{street // 100}",
        }

    def phone(self) -> str:
        return f"0151 {self.rng.integers(20_000_000, 79_999_999)}"

    def email(self, given: str, surname: str) -> str:
        """Return a mailbox that nobody has yet: namesakes have different ones."""
        plain = f"{given}.{surname}".lower().translate(str.maketrans("üäöß", "uaos"))
        number: object = self.rng.integers(1, 99) if self.rng.random() < 0.6 else ""
        while (made := f"{plain}{number}@post{self.rng.integers(1, 9)}.de") in self.mailboxes:
            number = self.rng.integers(1, 9999)
        self.mailboxes.add(made)
        return made

    def person(self, surname: str | None = None, given: str | None = None) -> dict[str, str | None]:
        surname, given = surname or self.surname(), given or self.pick(GIVEN)
        return {
            "name": f"{given} {surname}",
            "email": self.email(given, surname),
            "phone": self.phone(),
            "country": "DE",
        } | self.address()

    def family(self) -> list[dict[str, str | None]]:
        """Two to four people with one address, mostly one surname and sometimes one telephone or one mailbox."""
        first = self.person()
        surname = first["name"].split()[1]
        people, givens = [first], {first["name"].split()[0]}
        for _ in range(int(self.rng.integers(1, 4))):
            given = next(g for g in iter(lambda: str(self.rng.choice(GIVEN)), None) if g not in givens)
            givens.add(given)
            own = surname if self.rng.random() < 0.85 else self.surname()
            other = self.person(own, given) | {key: first[key] for key in ("street", "postal_code", "city")}
            other |= {"phone": first["phone"]} if self.rng.random() < 0.4 else {}
            other |= {"email": first["email"]} if self.rng.random() < 0.25 else {}
            people.append(other)
        return people

    def typo(self, text: str) -> str:
        at = int(self.rng.integers(1, max(len(text) - 1, 2)))
        kind = self.rng.integers(3)
        if kind == 0:
            return text[:at] + text[at + 1 :]
        if kind == 1:
            return text[: at - 1] + text[at : at + 1] + text[at - 1 : at] + text[at + 1 :]
        return text[:at] + "abcdefghiklmnoprstuw"[int(self.rng.integers(20))] + text[at + 1 :]

    def again(self, person: dict[str, str | None]) -> dict[str, str | None]:
        """Return the same person as registered a second time."""
        new = person | {"name": self.name_again(*person["name"].split()), "email": self.email_again(person)}
        phone, address = self.rng.random(2)
        if phone < 0.30:
            new["phone"] = self.phone()
        elif phone < 0.6:
            new["phone"] = "+49 " + person["phone"][1:].replace(" ", "/")
        if address < 0.20:
            new |= self.address()
        elif address < 0.40:
            new["street"] = person["street"].replace("straße", "str.").upper()
        return new

    def name_again(self, given: str, surname: str) -> str:
        chance = self.rng.random()
        if chance < 0.25:
            return f"{surname}, {given}"
        if chance < 0.40:
            return self.typo(f"{given} {surname}")
        if chance < 0.44:
            return f"{given[0]}. {surname}"
        return f"{given} {self.surname() if chance < 0.47 else surname}"

    def email_again(self, person: dict[str, str | None]) -> str:
        chance, (mailbox, place) = self.rng.random(), person["email"].split("@")
        if chance < 0.25:
            return self.email(*person["name"].split())
        return f"{self.typo(mailbox)}@{place}" if chance < 0.32 else person["email"]

    def with_gaps(self, person: dict[str, str | None]) -> dict[str, str | None]:
        gaps = {"email": 0.15, "phone": 0.25, "street": 0.15, "name": 0.01}
        return {key: None if self.rng.random() < gaps.get(key, 0) else value for key, value in person.items()}


def company(n_customers: int, *, duplicate_share: float = 0.12, family_share: float = 0.3, seed: int = 0) -> Company:
    """Return a company of about so many customers; the rows come in no order."""
    rng = np.random.default_rng(seed)
    town, rows, person = _Town(rng, n_customers), [], {}
    n_people = 0
    while len(rows) < n_customers:
        people = town.family() if rng.random() < family_share else [town.person()]
        for someone in people:
            times = 1 + int(rng.random() < duplicate_share) + int(rng.random() < duplicate_share / 10)
            for time in range(times):
                customer_id = f"C{len(rows):06d}"
                row = town.with_gaps(someone if time == 0 else town.again(someone))
                rows.append({"customer_id": customer_id} | row)
                person[customer_id] = n_people
            n_people += 1
    order = rng.permutation(len(rows))
    table = pa.Table.from_pylist([rows[i] for i in order], schema=pa.schema([(c, pa.string()) for c in COLUMNS]))
    return Company(table, person)
