"""Say a feature in plain words: the customer's number, their own habit, and the typical customer's number."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_HIGHEST_PACE = 9.99


def in_words(value: float, unit: str) -> str:
    """Return a number with its unit as a reader expects it.

    Parameters
    ----------
    value
        The number; null gives ``unknown``.
    unit
        ``days``, ``count``, ``share``, ``cents``, or ``pace``: a trend, (now - before) / (now + before), told as now in
        per cent of before; anything else is printed with two digits.

    Returns
    -------
    str
        Days below ten keep one digit, where there is one.

    Examples
    --------
    >>> in_words(1, "days"), in_words(2.5, "days"), in_words(0.125, "share"), in_words(123456, "cents")
    ('1 day', '2.5 days', '12 %', '1,234.56')
    >>> in_words(-0.5, "pace"), in_words(0, "pace"), in_words(1, "pace")
    ('33 %', '100 %', 'over 999 %')
    """
    if np.isnan(value):
        return "unknown"
    if unit == "days":
        text = f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
        return f"{text} day" if text == "1" else f"{text} days"
    if unit == "pace":
        pace = max(1 + value, 0.0) / (1 - value) if value < 1 else np.inf
        return f"{pace * 100:.0f} %" if pace < _HIGHEST_PACE else f"over {_HIGHEST_PACE * 100:.0f} %"
    if unit == "share":
        return f"{value * 100:.0f} %"
    if unit == "cents":
        return f"{value / 100:,.2f}"
    return f"{value:,.0f}" if unit == "count" else f"{value:.2g}"


@dataclass(frozen=True)
class Phrase:
    """Hold the template of one feature.

    Parameters
    ----------
    text
        Template with ``{value}`` (the customer's), ``{typical}`` (the comparison group's median) and, if
        ``companion`` is given, ``{own}`` (another feature of the same customer).
    unit
        Unit of the numbers, as in ``in_words``.
    companion
        Name of the feature behind ``{own}``.
    fallback
        Template where the companion is null.

    Examples
    --------
    >>> phrase = Phrase("last visit {value} ago; usually every {own}", "days", "gap_median_days")
    >>> phrase.about("recency_days", {"recency_days": 41, "gap_median_days": 9}, typical=5)
    'last visit 41 days ago; usually every 9 days'
    """

    text: str
    unit: str
    companion: str | None = None
    fallback: str = ""

    def about(self, name: str, known: Mapping[Hashable, Any], typical: float) -> str:
        """Return the sentence for one customer.

        Parameters
        ----------
        name
            The feature.
        known
            The customer's features by name; null reads ``unknown``.
        typical
            Median of the comparison group.
        """
        own = np.nan if self.companion is None else _number(known[self.companion])
        template = self.fallback if self.fallback and np.isnan(own) else self.text
        numbers = {"value": _number(known[name]), "typical": typical, "own": own}
        return template.format(**{key: in_words(number, self.unit) for key, number in numbers.items()})


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
