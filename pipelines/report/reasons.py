"""Reasons: why rows were set aside, as a manager reads it; the quarantine keeps the short names of the rules."""

import re

_SAID = {
    "orphan customer": "the customer is not in the list of customers",
    "orphan campaign": "the campaign is not in the list of campaigns",
    "unknown product": "the product is not in the list of products",
    "amount without quantity": "money, but a quantity of 0",
    "unit slip": "a price many times the product's usual one, as cents taken for whole units",
    "unit slip of the whole delivery": "amounts ten times as large or small as usual, as cents taken for whole units",
    "shifted columns": "the cells stand in the wrong columns",
    "unreadable text": "letters that were lost when the file was written (�)",
    "granted and refused at once": "consent is given and refused at the same instant",
    "malformed e-mail": "an e-mail address that cannot be one",
    "implausible year of birth": "a year in which nobody alive was born",
}
_ONE = re.compile(r"(\S+) is (null|not unique|not an allowed value|not an instant|out of bounds)")
_ONE_SAID = {
    "null": "no {}",
    "not unique": "several different rows have the same {}",
    "not an allowed value": "{} is none of the allowed values",
    "not an instant": "{} is no date and time",
    "out of bounds": "{} is too large or too small",
}


def in_plain_words(reason: str) -> str:
    """Return a reason of the quarantine in plain words; one that is plain already stays.

    Examples
    --------
    >>> in_plain_words("orphan customer"), in_plain_words("order_id is null")
    ('the customer is not in the list of customers', 'no order_id')
    """
    found = _ONE.fullmatch(reason.replace(" + ", "+"))
    if found is None:
        return _SAID.get(reason, reason)
    return _ONE_SAID[found[2]].format(found[1].replace("+", ", "))
