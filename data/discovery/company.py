"""Company: whose data these are, as far as currency signs, countries and the language of the columns say it."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from data.discovery.match import best
from data.discovery.profile import Profile
from data.discovery.proposal import Draft, Entry

SYMBOLS = {
    "EUR": "€",
    "USD": "$",
    "GBP": "£",
    "SEK": "kr",
    "BRL": "R$",
    "CHF": "CHF",
    "JPY": "¥",
    "PLN": "zł",
    "NOK": "kr",
}
_COUNTRIES = {
    "united kingdom": ("GBP", "Europe/London"), "uk": ("GBP", "Europe/London"), "gb": ("GBP", "Europe/London"),
    "germany": ("EUR", "Europe/Berlin"), "deutschland": ("EUR", "Europe/Berlin"), "de": ("EUR", "Europe/Berlin"),
    "france": ("EUR", "Europe/Paris"), "fr": ("EUR", "Europe/Paris"), "spain": ("EUR", "Europe/Madrid"),
    "espana": ("EUR", "Europe/Madrid"), "es": ("EUR", "Europe/Madrid"), "sweden": ("SEK", "Europe/Stockholm"),
    "sverige": ("SEK", "Europe/Stockholm"), "se": ("SEK", "Europe/Stockholm"), "austria": ("EUR", "Europe/Vienna"),
    "brazil": ("BRL", "America/Sao_Paulo"), "brasil": ("BRL", "America/Sao_Paulo"), "br": ("BRL", "America/Sao_Paulo"),
    "portugal": ("EUR", "Europe/Lisbon"), "pt": ("EUR", "Europe/Lisbon"), "usa": ("USD", "America/New_York"),
    "united states": ("USD", "America/New_York"), "us": ("USD", "America/New_York"),
}  # fmt: skip
_LANGUAGES = {
    "de": ("EUR", "Europe/Berlin"), "fr": ("EUR", "Europe/Paris"), "es": ("EUR", "Europe/Madrid"),
    "sv": ("SEK", "Europe/Stockholm"), "pt": ("EUR", "Europe/Lisbon"),
}  # fmt: skip
_HOMES = {
    "BRL": "America/Sao_Paulo", "CHF": "Europe/Zurich", "CZK": "Europe/Prague", "DKK": "Europe/Copenhagen",
    "GBP": "Europe/London", "HUF": "Europe/Budapest", "INR": "Asia/Kolkata", "JPY": "Asia/Tokyo", "NOK": "Europe/Oslo",
    "PLN": "Europe/Warsaw", "SEK": "Europe/Stockholm",
}  # fmt: skip
"""Zones of currencies that are spent in one zone only."""
_SPOKEN = {"de": "German", "fr": "French", "es": "Spanish", "sv": "Swedish", "pt": "Portuguese"}


def company(profiles: Sequence[Profile], sections: Sequence[Draft], folder: Path) -> tuple[Entry, ...]:
    """Return name, currency and time zone of the company, each with what speaks for it."""
    zone_currency, zone, evidence = _place(profiles)
    currency, money_evidence = _currency(profiles)
    unsure_money = "" if currency else "no currency sign or column: check it"
    if currency in _HOMES and currency != zone_currency:
        zone, evidence = _HOMES[currency], (f"where {currency} is spent",)
    currency = currency or zone_currency or "EUR"
    has_clock = any(
        column.dates.has_clock if column.dates is not None else column.dtype.startswith("TIMESTAMP")
        for draft in sections
        for column in draft.used.values()
        if column.kind == "date"
    )
    why = "the clock of the times" if has_clock else "days begin at midnight there"
    unsure_zone = f"{why}: which zone do the shops live in? Use an IANA name such as Europe/Berlin"
    return (
        Entry("name", _name(folder), ("the folder's name",), "the company's name, as reports print it"),
        Entry("currency", currency, money_evidence or evidence, unsure_money),
        Entry("currency_symbol", SYMBOLS.get(currency, currency), ("of that currency",)),
        Entry("timezone", zone or "UTC", evidence or ("nothing says where",), unsure_zone),
    )


def fits(key: str, answer: str) -> bool:
    """Return whether an answer may stand for a key of the company.

    Examples
    --------
    >>> fits("currency", "EUR"), fits("currency", "euro"), fits("timezone", "Mars/Phobos")
    (True, False, False)
    """
    if key == "timezone":
        try:
            return ZoneInfo(answer).key == answer
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return False
    return bool(re.fullmatch("[A-Z]{3}" if key == "currency" else ".+", answer))


def _name(folder: Path) -> str:
    words = folder.name.replace("_", " ").replace("-", " ").split()
    return " ".join(word.capitalize() for word in words) or "My Company"


def _currency(profiles: Sequence[Profile]) -> tuple[str | None, tuple[str, ...]]:
    """Return the currency of a column, of signs beside amounts, or of a column's name."""
    for profile in profiles:
        column = best(profile, "currency")
        codes = {} if column is None else {c: n for c, n in column.values.items() if len(c) == 3 and c.isupper()}
        if column is not None and codes:
            code = max(codes, key=lambda one: codes[one])
            others = sum(codes.values()) - codes[code]
            found = f"{codes[code]:,} rows of {column.name} in {profile.label}"
            return code, (found, *([f"{others:,} rows in another currency will be rejected"] if others else []))
    signs = Counter(column.currency for profile in profiles for column in profile.columns if column.currency)
    if signs:
        code = min(signs, key=lambda one: (-signs[one], str(one)))
        columns = "one column" if signs[code] == 1 else f"{signs[code]} columns"
        return code, (f"its sign stands beside the numbers of {columns}",)
    named = [
        (concept.removeprefix("code "), column.name)
        for profile in profiles
        for column in profile.columns
        for concept in sorted(column.about)
        if concept.startswith("code ") and column.kind == "number"
    ]
    return (named[0][0], (f"by the name of {named[0][1]}",)) if named else (None, ())


def _place(profiles: Sequence[Profile]) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Return currency and zone of the country of most rows, else of the language of the columns' names."""
    for profile in sorted(profiles, key=lambda one: -one.sample.n_rows):
        for column in profile.usable:
            known = {value: n for value, n in column.values.items() if value.casefold() in _COUNTRIES}
            top = max(known, key=lambda value: known[value], default=None)
            if "region" in column.about and top is not None and known[top] > 0.5 * column.n_filled:
                currency, zone = _COUNTRIES[top.casefold()]
                share = known[top] / column.n_filled
                return currency, zone, (f"{share:.0%} of {column.name} in {profile.label} is {top}",)
    spoken = Counter(profile.language for profile in profiles if profile.language)
    if spoken:
        language = min(spoken, key=lambda one: (-spoken[one], str(one)))
        currency, zone = _LANGUAGES[str(language)]
        return currency, zone, (f"the columns have {_SPOKEN[str(language)]} names",)
    return None, None, ()
