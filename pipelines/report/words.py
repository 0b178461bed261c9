"""How numbers and names are written for a person: one way everywhere, and nothing that depends on a locale."""

import math
from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from data.privacy import SUPPRESSION

SMALL_COUNT = SUPPRESSION - 1
"""Groups of 1 to this many customers are not shown in aggregate tables: they could point at a person."""

NOTHING = "–"
HIDDEN = "hidden"

SMALL_NOTE = (
    f"Groups of 1 to {SMALL_COUNT} customers are written as ≤{SMALL_COUNT}; “hidden” keeps them from being worked out."
)

ACTIONS: Mapping[str, str] = {"retain": "Retain", "cross_sell": "Offer", "leave_alone": "Leave alone"}
METRICS: Mapping[str, tuple[str, str]] = {
    "auc": ("Ranking (AUC)", "How often a customer who left was ranked above one who stayed; 0.5 is a coin toss"),
    "pr_auc": ("Precision along the list (PR-AUC)", "Share of true leavers, averaged down the list; more is better"),
    "brier": ("Error of the probabilities (Brier)", "Mean squared error of the probability; less is better"),
    "calibration_slope": ("Calibration slope", "1 means that probabilities are neither too bold nor too timid"),
    "top_decile_lift": ("Lift of the riskiest tenth", "Leavers in the riskiest tenth, as a multiple of the average"),
    "log_loss": ("Surprise (log loss)", "How much what happened surprised the model; less is better"),
    "calibration_intercept": ("Calibration level", "0 means that probabilities are neither too high nor too low"),
    "recall_at_10": ("Found among ten", "Share of the later purchases new to a customer that were among ten guesses"),
    "ndcg_at_10": ("Order of ten (NDCG)", "How far up among ten guesses the later purchases were; 1 is perfect"),
    "hit_share": ("Customers hit", "Share of customers who later bought something of what was offered"),
    "ece": ("Calibration error (ECE)", "Average distance between what was said and what happened; less is better"),
}
MODELS: Mapping[str, str] = {
    "candidate chosen": "Tonight’s model",
    "logistic": "Logistic model",
    "boosting": "Boosted trees",
    "blend": "Blend of both",
    "even blend": "Even blend of all",
    "rfm": "Four features",
    "odds": "Purchases alone",
    "rhythm": "Own rhythm",
    "recency": "Days since last purchase",
}
METHODS: Mapping[str, str] = {
    "ease": "What goes with past purchases",
    "stacked": "All signs weighed together",
    "popularity": "What sells most",
}
LESS_IS_BETTER = frozenset({"log_loss", "brier", "ece"})
GLOSSARY: Mapping[str, str] = {
    "churn probability": "The chance that a customer buys nothing in the coming window, given what is known today.",
    "value at risk": "Chance of leaving times the margin expected from the customer if they stay.",
    "net value": "Margin that an action is expected to bring, minus what the contact costs.",
    "interval": "The range in which the true number plausibly lies. A wide interval means that we know little.",
    "baseline": "The simplest rule that a model must beat to be of use, such as days since the last purchase.",
    "calibrated": "When the model says 20 %, about 20 of 100 such customers leave.",
    "lift": "How often two things are bought together, as a multiple of what chance or basket size would bring.",
    "confidence": "Of the orders with the first part of a rule, the share that also holds the second part.",
    "placebo": "The same comparison before the campaign began. It should be zero; if not, the groups differ anyway.",
    "holdout": "Customers drawn by lot whom we leave alone on purpose, so that the effect of contacts can be measured.",
    "randomised": "Decided by lot who is contacted. Only then is the difference between groups the campaign’s doing.",
    "quarantine": "Where rows that break a rule are kept, with every reason, until somebody repairs them.",
    "champion": "The model in use. A new candidate replaces it only if later data say that it is better.",
}
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)


def is_known(value: object) -> bool:
    """Return whether a scalar is a value at all: neither null nor NaN."""
    return not (value is None or bool(pd.isna(value)))  # type: ignore[call-overload]


def count(value: object) -> str:
    """Write a whole number with thousands separators; null gives a dash.

    Examples
    --------
    >>> count(1469307)
    '1,469,307'
    """
    return f"{int(str(value).partition('.')[0]):,}" if is_known(value) else NOTHING


def number(value: object, digits: int = 2) -> str:
    """Write a real number with a true minus sign; null gives a dash, infinity its symbol.

    Examples
    --------
    >>> number(-0.126), number(float("inf"))
    ('−0.13', '∞')
    """
    if not is_known(value):
        return NOTHING
    real = float(str(value))
    if math.isinf(real):
        return "∞" if real > 0 else "−∞"
    text = f"{real:,.{digits}f}"
    return text.replace("-", "−") if text.strip("-0.,") else text.lstrip("-")


def share(value: object, digits: int = 1) -> str:
    r"""Write a share as per cent, with a space that no line breaks at; null gives a dash.

    Examples
    --------
    >>> share(0.0873)
    '8.7\xa0%'
    """
    return f"{number(100 * float(str(value)), digits)}\N{NO-BREAK SPACE}%" if is_known(value) else NOTHING


def money(cents: object, symbol: str, *, is_whole: bool = False) -> str:
    """Write cents as an amount; null gives a dash.

    Parameters
    ----------
    cents
        Minor units.
    symbol
        Currency symbol, put in front.
    is_whole
        Whether the cents are dropped, for large totals.

    Examples
    --------
    >>> money(459603958, "$"), money(-1250, "€")
    ('$4,596,039.58', '−€12.50')
    """
    if not is_known(cents):
        return NOTHING
    amount = number(abs(float(str(cents))) / 100, 0 if is_whole else 2)
    sign = "−" if float(str(cents)) < 0 and amount.strip("0.,") else ""
    return f"{sign}{symbol}{amount}"


def between(low: str, high: str) -> str:
    """Write an interval from its two written ends; unknown ends give nothing.

    Examples
    --------
    >>> between("3.1", "4.2")
    '3.1 to 4.2'
    """
    return "" if NOTHING in {low, high} else f"{low} to {high}"


def day(value: date) -> str:
    """Write a date in words.

    Examples
    --------
    >>> day(date(2018, 1, 1))
    '1 January 2018'
    """
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def short_day(value: date) -> str:
    """Write a date for an axis.

    Examples
    --------
    >>> short_day(date(2018, 1, 1))
    '1 Jan 18'
    """
    return f"{value.day} {_MONTHS[value.month - 1][:3]} {value.year % 100:02d}"


def month(value: object) -> str:
    """Write a month, given as a date or as ISO text.

    Examples
    --------
    >>> month("2017-12")
    'Dec 2017'
    """
    year, number_of_month = str(value)[:7].split("-")
    return f"{_MONTHS[int(number_of_month) - 1][:3]} {year}"


def things(n: int, one: str, many: str = "") -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> things(1, "customer"), things(1200, "customer")
    ('1 customer', '1,200 customers')
    """
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def guarded(counts: Sequence[int]) -> list[str]:
    """Write the counts of customers of one aggregate table so that no small group shows.

    Counts of 1 to ``SMALL_COUNT`` are written as such. If exactly one is, the smallest other group is hidden too,
    because the total is known and a single gap could be filled by subtraction.

    Examples
    --------
    >>> guarded([900, 3, 40])
    ['900', '≤7', 'hidden']
    >>> guarded([900, 0, 40])
    ['900', '0', '40']
    """
    small = [0 < value <= SMALL_COUNT for value in counts]
    written = [f"≤{SMALL_COUNT}" if hide else count(value) for hide, value in zip(small, counts, strict=True)]
    others = [place for place, value in enumerate(counts) if value > SMALL_COUNT]
    if sum(small) == 1 and others:
        written[min(others, key=lambda place: (counts[place], place))] = HIDDEN
    return written


def is_shown(written: str) -> bool:
    """Return whether a count written by ``guarded`` shows its number, so that sums beside it may be shown too."""
    return written != HIDDEN and not written.startswith("≤")


def label(names: Mapping[str, str], key: object) -> str:
    """Return the name for people of a key; an unknown key is written as it is, without underscores."""
    return names.get(str(key), str(key).replace("_", " "))


def percent(value: float) -> str:
    r"""Write a share without decimals where it has none, as on an axis, and else with one.

    Examples
    --------
    >>> percent(0.2), percent(0.005)
    ('20\xa0%', '0.5\xa0%')
    """
    return share(value, 0 if abs(100 * value - round(100 * value)) < 1e-9 else 1)


def axis(value: float) -> str:
    """Write a number of an axis with as many decimals as it needs.

    Examples
    --------
    >>> axis(0.065), axis(0.5)
    ('0.065', '0.5')
    """
    return f"{value:g}".replace("-", "−")
