"""The truth after ``as_of``: the only module that looks there, and no feature may reach it.

A label window is half-open like everything else: it starts ``gap_days`` local calendar days after ``as_of`` and ends
``horizon_days`` later, at the same time of the wall clock. With no gap it begins with the first instant that no
feature could use. Who is labelled, who is eligible and how long the gaps are is known before ``as_of``.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import ibis
import pandas as pd

from data.errors import ConfigError, LeakageError
from features.clock import check_instants, local_date, shift
from features.contract_views import COLUMNS as CONTRACT_COLUMNS
from features.given import given
from features.registry import FEATURES
from features.views import KEYS, History


def labels(
    tables: Mapping[str, ibis.Table],
    as_ofs: Sequence[datetime],
    timezone: str,
    horizon_days: int,
    *,
    observed_until: datetime,
    gap_days: int = 0,
) -> ibis.Table:
    """Return what every known customer did in the label window.

    Columns: customer_id, as_of, has_churned (no purchase day in the window), n_purchase_days, spend_cents (net of
    returns). None is ever null.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions.
    as_ofs
        Naive UTC instants, each once.
    timezone
        IANA name of the wall clock that gave ``local_time``.
    horizon_days
        Length of the window in local calendar days.
    observed_until
        Naive UTC instant up to which the truth is known, usually the run's own ``as_of``; rows with a later or equal
        ``known_at`` are not used.
    gap_days
        Local calendar days between ``as_of`` and the window.

    Raises
    ------
    ConfigError
        If an instant, the time zone or a length cannot be used.
    LeakageError
        If a window ends after ``observed_until``: its truth is not known yet.
    """
    windows = _windows(as_ofs, timezone, horizon_days, gap_days, observed_until)
    history = History.at(tables, as_ofs, timezone)
    until = ibis.literal(observed_until, type="timestamp(6)")
    lines = history.lines
    lines = lines.filter(lines.known_at < until, lines.gone_at.isnull() | (lines.gone_at >= until))
    inside = (lines.event_time >= windows.starts_at) & (lines.event_time < windows.ends_at)
    rows = lines.join(windows, inside)
    done = rows.group_by(*KEYS).aggregate(
        n_purchase_days=rows.local_on.nunique(where=rows.is_sold), spend_cents=rows.amount_cents.sum()
    )
    truth = history.population.left_join(done, KEYS)
    n_purchase_days = truth.n_purchase_days.fill_null(0)
    return truth.select(
        *KEYS,
        has_churned=n_purchase_days == 0,
        n_purchase_days=n_purchase_days.cast("int64"),
        spend_cents=truth.spend_cents.fill_null(0).cast("int64"),
    )


def next_purchases(
    tables: Mapping[str, ibis.Table], as_ofs: Sequence[datetime], timezone: str, *, observed_until: datetime
) -> ibis.Table:
    """Return how long every known customer waited until the next purchase day, as far as it was seen.

    Columns: customer_id, as_of, event_days (local calendar days from the day of ``as_of`` to the next purchase day: 0
    on that day itself; null where none was seen), observed_days (local calendar days from ``as_of`` to
    ``observed_until``: who has not bought by then is censored). Below any horizon, ``event_days`` says what
    ``has_churned`` says of it.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions.
    as_ofs
        Naive UTC instants, each once.
    timezone
        IANA name of the wall clock that gave ``local_time``.
    observed_until
        Naive UTC instant up to which the truth is known, usually the run's own ``as_of``.

    Raises
    ------
    ConfigError
        If an instant or the time zone cannot be used.
    LeakageError
        If an instant is not a day before ``observed_until``: nothing is known of what follows it.
    """
    # A window of one day asks for the same checks; the others are as long as is known.
    starts = _windows(as_ofs, timezone, 1, 0, observed_until).select("as_of", "starts_at")
    history = History.at(tables, as_ofs, timezone)
    days = history.as_ofs.select("as_of", "as_of_on")
    windows = starts.join(days, "as_of")
    until = ibis.literal(observed_until, type="timestamp(6)")
    lines = history.lines
    lines = lines.filter(lines.known_at < until, lines.gone_at.isnull() | (lines.gone_at >= until), lines.is_sold)
    rows = lines.join(windows, (lines.event_time >= windows.starts_at) & (lines.event_time < until))
    rows = rows.mutate(event_days=rows.local_on.delta(rows.as_of_on, unit="day"))
    first = rows.group_by(*KEYS).aggregate(event_days=rows.event_days.min())
    found = history.population.left_join(first, KEYS).join(days, "as_of")
    end = ibis.literal(local_date(observed_until, timezone), type="date")
    return found.select(
        *KEYS,
        event_days=found.event_days.cast("int64"),
        observed_days=end.delta(found.as_of_on, unit="day").cast("int64"),
    )


def contract_labels(
    tables: Mapping[str, ibis.Table],
    as_ofs: Sequence[datetime],
    timezone: str,
    horizon_days: int,
    *,
    observed_until: datetime,
    grace_days: int = 0,
) -> ibis.Table:
    """Return whether the contracts of every known customer ended for good in the label window.

    Columns: customer_id, as_of, has_churned (a version of a contract ended in the window, and none of the customer's
    that outlasts it was running or began up to ``grace_days`` later); never null. Who had a contract to lose says
    ``under_contract``.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions, subscriptions.
    as_ofs
        Naive UTC instants, each once.
    timezone
        IANA name of the wall clock.
    horizon_days
        Length of the window in local calendar days.
    observed_until
        Naive UTC instant up to which the truth is known; what was delivered later is not used.
    grace_days
        Local calendar days after an end within which a contract counts as renewed.

    Raises
    ------
    ConfigError
        If an instant, the time zone or a length cannot be used.
    LeakageError
        If a window and the days of grace end after ``observed_until``.
    """
    _windows(as_ofs, timezone, horizon_days + grace_days, 0, observed_until)
    history = History.at(tables, as_ofs, timezone)
    until = ibis.literal(observed_until, type="timestamp(6)")
    told = given(history, "subscriptions", CONTRACT_COLUMNS)
    told = told.filter(
        told.started_on.notnull(),
        told.known_at.isnull() | (told.known_at < until),
        told.replaced_at.isnull() | (told.replaced_at >= until),
    )
    dates = history.as_ofs.select("as_of", "as_of_on")
    days = dates.as_of_on.cast("date")
    windows = dates.mutate(ends_on=days + ibis.interval(days=horizon_days))
    ended = told.join(windows, (told.ended_on >= windows.as_of_on) & (told.ended_on < windows.ends_on))
    ended = ended.select(*KEYS, "ended_on").distinct()
    other = told.select(other_id="customer_id", began_on="started_on", until_on="ended_on")
    outlasts = other.until_on.isnull() | (other.until_on > ended.ended_on)
    is_renewed = (other.other_id == ended.customer_id) & outlasts
    is_renewed &= other.began_on <= ended.ended_on + ibis.interval(days=grace_days)
    gone = ended.anti_join(other, is_renewed).select(*KEYS).distinct().mutate(is_gone=True)
    found = history.population.left_join(gone, KEYS)
    return found.select(*KEYS, has_churned=found.is_gone.fill_null(False))


def under_contract(tables: Mapping[str, ibis.Table], as_ofs: Sequence[datetime], timezone: str) -> ibis.Table:
    """Return whether each known customer has a running contract, by what is known at each instant.

    Columns: customer_id, as_of, is_eligible. Who has none is gone already, or never came: a state, not a prediction.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions, subscriptions.
    as_ofs
        Naive UTC instants, each once.
    timezone
        IANA name of the wall clock.

    Raises
    ------
    ConfigError
        If an instant or the time zone cannot be used.
    """
    history = History.at(tables, as_ofs, timezone)
    contracts = FEATURES.views["contracts"].build(history)
    running = contracts.group_by(*KEYS).aggregate(is_running=contracts.is_running.any())
    found = history.population.left_join(running, KEYS)
    return found.select(*KEYS, is_eligible=found.is_running.fill_null(False))


def eligible(
    tables: Mapping[str, ibis.Table], as_ofs: Sequence[datetime], timezone: str, window_days: int
) -> ibis.Table:
    """Return whether each known customer bought lately enough for the question whether they will leave.

    Columns: customer_id, as_of, is_eligible (a purchase day at most ``window_days`` local days before the day of
    ``as_of``). Who is not has left already: a state, not a prediction.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions.
    as_ofs
        Naive UTC instants, each once.
    timezone
        IANA name of the wall clock that gave ``local_time``.
    window_days
        Length of the window before ``as_of``.

    Raises
    ------
    ConfigError
        If an instant, the time zone or the length cannot be used.
    """
    _check_lengths(window_days)
    history = History.at(tables, as_ofs, timezone)
    days = FEATURES.views["days"].build(history)
    recent = days.group_by(*KEYS).aggregate(is_eligible=(days.is_purchase & (days.age_days <= window_days)).any())
    return recent.select(*KEYS, is_eligible=recent.is_eligible.fill_null(False))


def purchase_gaps(tables: Mapping[str, ibis.Table], as_of: datetime, timezone: str) -> ibis.Table:
    """Return how long customers stay away between purchase days: gap_days, is_open, n_gaps.

    A closed gap ended with a purchase. The open one of each customer, from the last purchase day to ``as_of``, is
    censored: it is at least so long. With both, the share of gaps that exceed a horizon can be estimated honestly.

    Parameters
    ----------
    tables
        Accepted tables by name: transactions.
    as_of
        Naive UTC instant.
    timezone
        IANA name of the wall clock that gave ``local_time``.

    Raises
    ------
    ConfigError
        If the instant or the time zone cannot be used.
    """
    days = FEATURES.views["days"].build(History.at(tables, [as_of], timezone))
    closed = days.filter(days.gap_days.notnull()).select("gap_days", is_open=False)
    bought = days.filter(days.is_purchase)
    last = bought.group_by("customer_id").aggregate(gap_days=bought.age_days.min())
    gaps = closed.union(last.select("gap_days", is_open=True))
    return gaps.group_by("gap_days", "is_open").aggregate(n_gaps=gaps.count())


def _windows(
    as_ofs: Sequence[datetime], timezone: str, horizon_days: int, gap_days: int, observed_until: datetime
) -> ibis.Table:
    _check_lengths(horizon_days, gap_days + 1)
    instants = sorted(check_instants(as_ofs))
    starts = [shift(instant, gap_days, timezone) for instant in instants]
    ends = [shift(instant, gap_days + horizon_days, timezone) for instant in instants]
    check_instants([observed_until])
    if ends[-1] > observed_until:
        raise LeakageError(
            f"a label window from {instants[-1]} that ends at {ends[-1]}",
            f"an end not after {observed_until}, up to which the truth is known",
            "use an earlier as_of or a shorter horizon",
        )
    frame = pd.DataFrame({"as_of": instants, "starts_at": starts, "ends_at": ends}, dtype="datetime64[us]")
    return ibis.memtable(frame, schema=dict.fromkeys(frame.columns, "timestamp(6)"))


def _check_lengths(*lengths: int) -> None:
    if min(lengths) < 1:
        raise ConfigError(f"lengths {lengths} in days", "windows of a day or more, gaps of none or more", "correct it")
