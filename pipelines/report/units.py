"""How a feature's value is written for a person, by its unit."""

from pipelines.report.words import NOTHING, count, is_known, money, number, share

_WHOLE = 10


def written(value: float, unit: str, currency: str) -> str:
    r"""Write a value with its unit, short enough for an axis; NaN gives a dash.

    Parameters
    ----------
    value
        The number.
    unit
        As the catalogue has it.
    currency
        Symbol, for ``cents``.

    Examples
    --------
    >>> written(9.5, "days", "€"), written(1234.5, "cents", "€"), written(0.125, "share", "€")
    ('9.5 days', '€12.35', '12\xa0%')
    >>> written(1, "flag", "€"), written(41, "years", "€"), written(-0.5, "index", "€"), written(2.5, "count", "€")
    ('yes', '41 years', '−0.50', '2.5')
    """
    if not is_known(value):
        return NOTHING
    if unit == "flag":
        return "yes" if value >= 0.5 else "no"
    if unit == "cents":
        return money(value, currency, is_whole=abs(value) >= 10_000)
    if unit == "share":
        return share(value, 0)
    if unit in {"count", "days", "years"}:
        text = count(round(value)) if abs(value) >= _WHOLE or float(value).is_integer() else number(value, 1)
        noun = "" if unit == "count" else f" {unit.removesuffix('s') if text == '1' else unit}"
        return f"{text}{noun}"
    return number(value)


def span(low: float, high: float, unit: str, currency: str) -> str:
    """Write a range of values, the unit said once.

    Examples
    --------
    >>> span(3, 12, "days", "€"), span(4, 4, "count", "€")
    ('3 to 12 days', '4')
    """
    ends = [written(end, unit, currency) for end in (low, high)]
    if ends[0] == ends[1]:
        return ends[1]
    noun = ends[1].rpartition(" ")[2] if unit in {"days", "years"} else ""
    return f"{ends[0].removesuffix(noun).removesuffix(noun.removesuffix('s')).strip()} to {ends[1]}"
