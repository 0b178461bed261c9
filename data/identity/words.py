"""Words of names, streets and countries that mean the same, and the forms of postal codes."""

import re

LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "ð": "d", "þ": "th"} | dict.fromkeys("'’‘ʼ`´", "")
)
"""Letters that Unicode does not take apart, and apostrophes, which join."""

TITLES = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "dr",
        "prof",
        "sir",
        "herr",
        "frau",
        "dipl",
        "ing",
        "mme",
        "mlle",
        "monsieur",
        "madame",
        "sr",
        "sra",
    ]
)
"""Words before a name that are no part of it."""

STREETS = {
    "str": "strasse",
    "st": "street",
    "rd": "road",
    "ave": "avenue",
    "av": "avenue",
    "ln": "lane",
    "dr": "drive",
    "blvd": "boulevard",
    "bd": "boulevard",
    "sq": "square",
    "ct": "court",
    "pl": "place",
    "plz": "platz",
    "hwy": "highway",
    "apt": "apartment",
}
"""Abbreviations after the first word of a street; the first may be a saint."""

COUNTRIES = {
    "uk": "GB",
    "united kingdom": "GB",
    "great britain": "GB",
    "england": "GB",
    "deu": "DE",
    "germany": "DE",
    "deutschland": "DE",
    "aut": "AT",
    "austria": "AT",
    "osterreich": "AT",
    "che": "CH",
    "switzerland": "CH",
    "schweiz": "CH",
    "suisse": "CH",
    "fra": "FR",
    "france": "FR",
    "frankreich": "FR",
    "esp": "ES",
    "spain": "ES",
    "espana": "ES",
    "ita": "IT",
    "italy": "IT",
    "italia": "IT",
    "nld": "NL",
    "netherlands": "NL",
    "nederland": "NL",
    "usa": "US",
    "united states": "US",
    "bra": "BR",
    "brazil": "BR",
    "brasil": "BR",
    "can": "CA",
    "canada": "CA",
    "pol": "PL",
    "poland": "PL",
    "polska": "PL",
    "swe": "SE",
    "sweden": "SE",
    "sverige": "SE",
}
"""Usual names of countries, folded, to the two letters of ISO 3166."""

POSTAL_CODES = {
    country: re.compile(pattern)
    for pattern, countries in (
        (r"[A-Z]{0,2}\d{4}", "AT CH BE DK NO"),
        (r"[A-Z]{0,2}\d{5}", "DE FR ES IT SE FI PL"),
        (r"\d{5}(?:\d{4})?", "US"),
        (r"\d{4}[A-Z]{2}", "NL"),
        (r"\d{8}", "BR"),
        (r"[A-Z]\d[A-Z]\d[A-Z]\d", "CA"),
        (r"[A-Z]{1,2}\d[A-Z\d]?\d[A-Z]{2}", "GB"),
    )
    for country in countries.split()
}
"""Forms of postal codes without blanks and hyphens (a letter of the country before it is usual), of
countries where the form is simple."""
