"""What the page and the terminal say of a customer, so that they cannot disagree."""

from collections.abc import Mapping
from typing import Any

from models.portrait import Standing
from pipelines.history import History
from pipelines.portrait import Portrait
from pipelines.report.words import ACTIONS, NOTHING, between, day, is_known, label, money, share, things

UNASSIGNED = "unassigned"
"""The owner of customers without an account manager."""


def opening(found: Portrait) -> list[str]:
    """Return the sentences at the top: who this is, what is on record, and with whom they are compared."""
    history = found.history
    bought = [one for one in history.orders if one.is_purchase]
    said = []
    others = [one for one in found.person.ids if one != found.person.customer_id]
    if others:
        said.append(f"Also known as {', '.join(others)}: found to be one person.")
    if bought:
        spent = money(sum(one.amount_cents for one in history.orders), found.currency)
        last = (found.as_of_on - max(one.on for one in bought)).days
        said.append(
            f"{things(len(bought), 'order')} since {day(min(one.on for one in bought))}, {spent} in all; "
            f"the last one {things(last, 'day')} ago."
        )
    if found.segment is not None:
        said.append(f"Compared with {things(found.segment.n_others, 'other')}: {found.segment.words}.")
    if found.may_contact is False:
        said.append("They may not be contacted now.")
    return [*said, *found.notes]


def scores(found: Portrait) -> list[tuple[str, str, str]]:
    """Return the scores as (name, value, interval); nothing where none may be shown."""
    row = found.scores
    if row is None:
        return []
    within = f" within {found.horizon_days} days" if found.horizon_days else ""
    risk = [share(row[f"churn_probability{end}"]) for end in ("", "_low", "_high")]
    worth = [money(row.get(f"expected_value{end}_cents"), found.currency) for end in ("", "_low", "_high")]
    known = [
        (f"Chance of leaving{within}", risk[0], between(*risk[1:])),
        ("Margin expected if they stay", worth[0], between(*worth[1:])),
        ("Value at risk", money(row["value_at_risk_cents"], found.currency), ""),
    ]
    if not row["is_eligible"]:
        known[0] = (known[0][0], NOTHING, "no purchase lately, so leaving is not predicted")
    return known


def reasons(found: Portrait) -> list[str]:
    """Return what goes together with their chance of leaving, strongest first; the typical one is of all customers."""
    text = (found.scores or {}).get("reasons")
    return str(text).split("; ") if is_known(text) and text else []


def action(found: Portrait) -> tuple[str, list[str]]:
    """Return what to do, and the sentences behind it."""
    row = found.action
    if row is None:
        return "Nothing was decided", []
    said = label(ACTIONS, row["action"])
    if row.get("arm") == "holdout":
        return said, ["Left alone on purpose, so that the effect of contacts can be measured."]
    if row["action"] == "leave_alone":
        return said, []
    known = reasons(found)
    if is_known(row.get("category")):
        said += f" {row['category']}"
    due = f" by {day(row['due_on'])}" if is_known(row.get("due_on")) else ""
    texts = str(row["reasons"]).split("; ") if is_known(row.get("reasons")) else []
    texts += [str(row["basis"])] if is_known(row.get("basis")) else []
    return f"{said}{due}", [*_worth(row, found.currency), *(one for one in texts if one and one not in known)]


def _worth(row: Mapping[str, Any], currency: str) -> list[str]:
    value, low, high = (money(row.get(f"expected_net_value{end}_cents"), currency) for end in ("", "_low", "_high"))
    interval = between(low, high)
    owner = f", for {row['owner']}" if is_known(row.get("owner")) and row["owner"] != UNASSIGNED else ""
    first = f"Priority {row['priority']}{owner}. " if is_known(row.get("priority")) else ""
    return [f"{first}Expected net value {value}{f' ({interval})' if interval else ''}."] if value != NOTHING else []


def place_words(one: Standing) -> str:
    r"""Say where a value stands: exactly, equal ones on neither side.

    Examples
    --------
    >>> place_words(Standing("n_orders", 5, 1, 2, 3, share_below=0.93, share_above=0.04, n_others=100))
    'more than 93\xa0% of them'
    >>> place_words(Standing("n_orders", 0, 0, 2, 3, share_below=0, share_above=0.8, n_others=100))
    'less than 80\xa0% of them'
    >>> place_words(Standing("n_orders", 0, n_others=3))
    ''
    """
    if not is_known(one.place):
        return ""
    if not one.share_below and not one.share_above:
        return "as all of them"
    word, part = ("more", one.share_below) if one.place >= 0.5 else ("less", one.share_above)
    # A rounded 100 % would say too much.
    return f"{word} than {'all' if part == 1 else share(min(part, 0.99), 0)} of them"


def missing(found: History) -> str:
    """Say which tables the night does not have."""
    return f"This night has no {', no '.join(found.missing)}." if found.missing else ""
