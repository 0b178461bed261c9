"""One form for a name, an e-mail address, a telephone number and an address, however they were typed.

Only the writing is normalised: no nickname is guessed, no dot of a mailbox ignored. What cannot be read is null, which
later counts as missing and never as different.
"""

import re
import unicodedata
from collections.abc import Callable

import duckdb
import phonenumbers
import pyarrow as pa

from data.contracts.base import quoted
from data.identity.words import COUNTRIES, LETTERS, STREETS, TITLES

FIELDS = ("name", "email", "phone", "street", "postal_code", "city", "country")
_EMAIL = re.compile(r"[^@\s\"<>(),;:]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,63}")
_DIGITS_THEN_LETTER = re.compile(r"\b(\d+) ([a-z])\b")
_HOUSE = re.compile(r"\d+[a-z]?\b")

_SCHEMA = pa.schema(
    [
        (name, pa.string())
        for name in ("customer_id", "name", "email", "phone", "street", "house", "postal_code", "city", "address")
    ]
)


def folded(text: str) -> str:
    """Return text in lower case without accents, punctuation or repeated blanks, whatever its encoding form.

    Scripts other than Latin, Greek and Cyrillic keep their marks.

    Examples
    --------
    >>> folded("  Łucja  MÜLLER-O’Brien ")
    'lucja muller obrien'
    """
    plain = unicodedata.normalize("NFKC", text).casefold().translate(LETTERS)
    bare = "".join(c for c in unicodedata.normalize("NFD", plain) if not "\u0300" <= c <= "\u036f")
    bare = unicodedata.normalize("NFC", bare)
    marked = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in bare)
    return " ".join(marked.split())


def name(text: str) -> str | None:
    """Return the words of a name in alphabetical order, without titles; null where it has no letter.

    Examples
    --------
    >>> name("Dr. Meyer, Anna") == name("anna MEYER") == "anna meyer"
    True
    """
    words = sorted(word for word in folded(text).split() if word not in TITLES)
    return " ".join(words) if any(c.isalpha() for word in words for c in word) else None


def email(text: str) -> str | None:
    """Return an e-mail address in lower case; null where it is none.

    Examples
    --------
    >>> email(" Anna.Meyer@Example.ORG "), email("anna at example.org")
    ('anna.meyer@example.org', None)
    """
    plain = unicodedata.normalize("NFKC", text).strip().casefold().removeprefix("mailto:")
    local = plain.partition("@")[0]
    has_dots_inside = not (local.startswith(".") or local.endswith(".") or ".." in local)
    return plain if has_dots_inside and _EMAIL.fullmatch(plain) else None


def region(country: str | None, default: str | None) -> str | None:
    """Return the two letters of a country, which may be given by code or by a usual name; else the default.

    Examples
    --------
    >>> region("Deutschland", None), region("uk", None), region("Atlantis", "US")
    ('DE', 'GB', 'US')
    """
    words = folded(country or "")
    code = COUNTRIES.get(words, words.upper())
    return code if code in phonenumbers.SUPPORTED_REGIONS else default


def phone(text: str, region: str | None) -> str | None:
    """Return a telephone number as E.164, read as in its region; null where no plan has such a number.

    Examples
    --------
    >>> phone("030 / 23125 000", "DE"), phone("0049 30 23125000", "DE"), phone("030 23125000", None)
    ('+493023125000', '+493023125000', None)
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def street(text: str) -> str | None:
    """Return a street with its usual abbreviations written out and the house's letter beside its number.

    Examples
    --------
    >>> street("Lange Str. 12 a") == street("LANGE STRASSE 12A") == street("Lange Straße 12a")
    True
    >>> street("12 St. Mary's Rd."), street("Hauptstr. 5")
    ('12 st marys road', 'hauptstrasse 5')
    """
    words = folded(text).split()
    first = next((i for i, word in enumerate(words) if word.isalpha()), 0)
    written = [_written_out(word) if i > first else _suffix_out(word) for i, word in enumerate(words)]
    return _DIGITS_THEN_LETTER.sub(r"\1\2", " ".join(written)) or None


def _written_out(word: str) -> str:
    return STREETS.get(word) or _suffix_out(word)


def _suffix_out(word: str) -> str:
    return word[:-3] + "strasse" if word.endswith("str") and len(word) > 5 else word


def postal_code(text: str) -> str | None:
    """Return a postal code without blanks and hyphens, in capitals.

    Examples
    --------
    >>> postal_code("sw1a 1aa"), postal_code("D-10115")
    ('SW1A1AA', 'D10115')
    """
    return folded(text).replace(" ", "").upper() or None


def normalised(connection: duckdb.DuckDBPyConnection, table: str, default_region: str | None = None) -> pa.Table:
    """Return the identities of a table with every field in its one form, by customer_id.

    ``house`` is the house number apart from the ``street``; ``address`` joins street, house and postal code (the
    city where there is none) and is null unless a street and one of them are known. A column that the table lacks is
    null in every row.
    """
    delivered = set(connection.table(table).columns)
    chosen = ", ".join(quoted(name) if name in delivered else f"NULL AS {name}" for name in FIELDS)
    rows = connection.sql(
        f"SELECT customer_id, {chosen} FROM {quoted(table)} WHERE customer_id IS NOT NULL ORDER BY customer_id"  # noqa: S608
    ).fetchall()
    made = [_record(row[0], dict(zip(FIELDS, row[1:], strict=True)), default_region) for row in rows]
    return pa.Table.from_pylist(made, schema=_SCHEMA)


def _record(customer_id: str, row: dict[str, str | None], default_region: str | None) -> dict[str, str | None]:
    where = region(row["country"], default_region)
    whole = _read(street, row["street"])
    house, way = _apart(whole)
    code, city = _read(postal_code, row["postal_code"]), _read(folded, row["city"])
    area = code or city
    return {
        "customer_id": customer_id,
        "name": _read(name, row["name"]),
        "email": _read(email, row["email"]),
        "phone": _read(lambda text: phone(text, where), row["phone"]),
        "street": way,
        "house": house,
        "postal_code": code,
        "city": city or None,
        "address": f"{way} {house or ''}, {area}" if way and area else None,
    }


def _read(reader: Callable[[str], str | None], cell: str | None) -> str | None:
    return None if cell is None else reader(cell)


def _apart(whole: str | None) -> tuple[str | None, str | None]:
    """Return house number and street: the last number, because some streets begin with one of their own."""
    found = list(_HOUSE.finditer(whole or ""))
    if whole is None or not found:
        return None, whole
    last = found[0] if found[0].start() == 0 else found[-1]
    rest = " ".join((whole[: last.start()] + whole[last.end() :]).split())
    return (last.group(), rest) if rest else (None, whole)
