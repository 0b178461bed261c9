"""Arithmetic that gives the same bytes whatever the order of the rows.

A sum of floats depends on the order in which threads add them, a sum of integers does not. So everything is summed as
integers and divided once.
"""

import ibis

from features.registry import Expression

NANO = 1_000_000_000


def within(rows: ibis.Table, days: int) -> Expression:
    """Return whether a row's local day lies at most some calendar days before the day of ``as_of``.

    Windows are whole weeks, so that each holds every weekday equally often.

    Parameters
    ----------
    rows
        A view with ``age_days``.
    days
        Length of the window.
    """
    return rows.age_days <= days


def share(part: Expression, whole: Expression) -> Expression:
    """Return part divided by whole, null where the whole is zero or null.

    Parameters
    ----------
    part, whole
        Integer expressions.
    """
    return part.cast("float64") / whole.nullif(0).cast("float64")


def trend(recent: Expression, before: Expression) -> Expression:
    """Return (recent - before) / (recent + before): 1 is new, 0 steady, -1 gone; null where the sum is not positive.

    Parameters
    ----------
    recent, before
        Integer expressions over periods made equally long by the caller.
    """
    total = recent + before
    return share(recent - before, ibis.cases((total > 0, total)))


def deviation(values: Expression) -> Expression:
    """Return the sample standard deviation of integers, null below two of them.

    Parameters
    ----------
    values
        Integer column of a view; nulls are left out.
    """
    n, total, squares = values.count(), values.sum(), (values * values).sum()
    return (share(n * squares - total * total, n * (n - 1))).sqrt()


def entropy(counts: Expression, where: Expression) -> Expression:
    """Return the Shannon entropy of counts in nats, null where they sum to zero.

    It is ``ln N - sum(n ln n) / N`` with each ``n ln n`` rounded to a billionth, so within 1e-9 of the exact value.

    Parameters
    ----------
    counts
        Integer column of a view.
    where
        Rows that take part; their counts are positive.
    """
    total = counts.sum(where=where)
    return total.nullif(0).ln() - share(surprise(counts).sum(where=where), total) / NANO


def surprise(count: Expression) -> Expression:
    """Return ``n ln n`` in whole billionths, 0 for none; as integers they add up to the same in any order.

    Parameters
    ----------
    count
        Integer expression, not negative.
    """
    return (ibis.greatest(count, 1).ln() * count * NANO).round().cast("int64")
