"""Observe: choose the horizon, then one row per customer and date, with features, and labels where they are due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import UserError
from features.clock import shift
from features.extracts import known_span, sales_by_month
from features.labels import contract_labels, labels, purchase_gaps, under_contract
from features.views import KEYS
from models.horizon import HorizonChoice, base_rates, choose_horizon
from pipelines.frames import INSTANT, to_table, with_as_of
from pipelines.kept import common_to_all, matrix, origins, sources
from pipelines.run import Run, Versions, local_midnight
from pipelines.settings import Settings

TABLES = ("observations", "training_observations", "horizons", "purchase_gaps", "base_rates", "sales_by_month")
LABELS = ("has_churned", "spend_cents")


@dataclass(frozen=True)
class Dates:
    """Where history is cut: training dates first, then one later date that only judges.

    Parameters
    ----------
    training
        Instants whose label windows do not overlap and end before ``judging`` begins.
    judging
        The latest instant whose label window is over at ``as_of``.
    """

    training: tuple[datetime, ...]
    judging: datetime


def cut_dates(run: Run, horizon_days: int, first_at: datetime) -> Dates:
    """Return the dates at which the past is observed, one horizon apart, back from the Monday before ``as_of``.

    Days of grace, in which a contract may still be renewed, lengthen the step: no label looks past the next date.
    That is the latest local midnight at or before ``as_of`` that begins a Monday, so the dates stay where they are for
    a week, and a night need not make their features again.

    Raises
    ------
    UserError
        The history holds fewer than two training dates and a judging date.
    """
    churn, timezone = run.settings.churn, run.settings.company.timezone
    eligible_days = churn.eligible_within(horizon_days)
    earliest = shift(first_at, eligible_days, timezone)
    n_days = run.as_of_on.weekday()
    monday = local_midnight(run.as_of_on - timedelta(days=n_days), timezone)
    step_days = horizon_days + churn.grace_days
    dates = [shift(monday, -step_days * step, timezone) for step in range(1, churn.n_training_dates + 2)]
    dates = [date for date in dates if date >= earliest]
    if len(dates) < 3:
        raise UserError(
            f"history from {first_at:%Y-%m-%d} to {run.as_of:%Y-%m-%d}",
            f"at least {eligible_days + 3 * step_days + n_days} days for a horizon of {horizon_days}",
            "wait, load older orders, or set churn.horizon_days",
        )
    return Dates(tuple(reversed(dates[1:])), dates[0])


def observe(run: Run, versions: Versions) -> dict[str, int]:
    """Write observations at ``as_of``, labelled observations of the past, and what the horizon rests on."""
    return run.stage("features", TABLES, lambda: _observed(run, versions), whole=("training_observations",))


def _observed(run: Run, versions: Versions) -> dict[str, pa.Table]:
    tables = run.history(versions)
    timezone = run.settings.company.timezone
    (span,) = known_span(tables, run.as_of).to_pyarrow().to_pylist()
    first_at: datetime = span["first_at"]
    choice = _horizon(run, tables, first_at)
    horizon_days = run.settings.churn.horizon_days or choice.horizon_days
    dates = cut_dates(run, horizon_days, first_at)
    _refuse_old(run, span["last_at"], dates.judging)
    past = [*dates.training, dates.judging]
    read = sources(tables)
    truth = truth_of(run.settings, tables, past, horizon_days, run.as_of)
    made_from = origins(read, past, timezone, common_to_all(run, read))
    truth = _by_date(truth.left_join(made_from, KEYS).drop(f"{key}_right" for key in KEYS))
    observed = _asked_about(run, tables, matrix(run, read, past, truth), horizon_days)
    is_past = pc.less(observed["as_of"], pa.scalar(run.as_of, INSTANT))
    training = _side_by_side(observed.filter(is_past), truth)
    frame = training.select(["as_of", "is_eligible", "has_churned"]).to_pandas()
    rates = base_rates(frame[frame["is_eligible"]]).rename(
        columns={"as_of": "observed_at", "n_customers": "n_eligible"}
    )
    return {
        "observations": observed.filter(pc.invert(is_past)),
        "training_observations": training,
        "horizons": to_table(_horizon_frame(run, choice, horizon_days, dates), run.as_of),
        "purchase_gaps": to_table(choice.returned_by_week, run.as_of),
        "base_rates": to_table(rates.rename(columns={"as_of": "observed_at", "n_customers": "n_eligible"}), run.as_of),
        "sales_by_month": with_as_of(sales_by_month(tables, run.as_of).to_pyarrow(), run.as_of),
    }


def _refuse_old(run: Run, last_at: datetime, judging: datetime) -> None:
    """Stop where the lines end before the judged weeks begin: everybody would seem to have left."""
    if last_at < judging:
        day = run.local_day(last_at)
        raise UserError(
            f"the newest line is of {day}, the night of {run.as_of_on}",
            f"lines up to the night, or at least to {run.local_day(judging)}",
            f"deliver the newer ones, or run the night after the last: --as-of {day + timedelta(1)}",
        )


def truth_of(
    settings: Settings,
    tables: Mapping[str, ibis.Table],
    past: Sequence[datetime],
    horizon_days: int,
    observed_until: datetime,
) -> ibis.Table:
    """Return what every known customer did after each date, by what the settings call leaving.

    Parameters
    ----------
    settings
        Whose lake it is.
    tables
        Accepted tables by name.
    past
        Naive UTC instants, each once.
    horizon_days
        Length of the label windows.
    observed_until
        Naive UTC instant up to which the truth is known.
    """
    churn, timezone = settings.churn, settings.company.timezone
    truth = labels(tables, past, timezone, horizon_days, observed_until=observed_until).select(*KEYS, *LABELS)
    if churn.kind == "purchases":
        return truth
    ended = contract_labels(
        tables, past, timezone, horizon_days, observed_until=observed_until, grace_days=churn.grace_days
    )
    return truth.drop("has_churned").inner_join(ended, KEYS).select(*KEYS, *LABELS)


def _asked_about(run: Run, tables: Mapping[str, ibis.Table], observed: pa.Table, horizon_days: int) -> pa.Table:
    """Add who is eligible, by what the settings call leaving."""
    if run.settings.churn.kind == "purchases":
        return _with_eligible(observed, run.settings.churn.eligible_within(horizon_days))
    dates = sorted(set(observed["as_of"].to_pylist()))
    return _side_by_side(observed, _by_date(under_contract(tables, dates, run.settings.company.timezone)))


def _with_eligible(observed: pa.Table, eligible_days: int) -> pa.Table:
    """Add whether each customer bought lately enough, as ``labels.eligible`` says, without reading a line again."""
    is_late = pc.less_equal(observed["recency_days"], eligible_days)
    return observed.append_column("is_eligible", pc.fill_null(is_late, False))


def _by_date(rows: ibis.Table) -> pa.Table:
    """Return rows in the order of the matrix."""
    table: pa.Table = rows.order_by("as_of", "customer_id").to_pyarrow()
    return table


def _side_by_side(observed: pa.Table, truth: pa.Table) -> pa.Table:
    """Join two tables that are sorted by the same keys and hold the same ones."""
    assert all(observed[key].equals(truth[key]) for key in KEYS), "features and labels know different customers"
    for name in truth.column_names:
        if name not in KEYS:
            observed = observed.append_column(name, truth[name])
    return observed


def _horizon(run: Run, tables: Mapping[str, ibis.Table], first_at: datetime) -> HorizonChoice:
    gaps = purchase_gaps(tables, run.as_of, run.settings.company.timezone).to_pyarrow().to_pandas()
    return choose_horizon(gaps, (run.as_of - first_at).days)


def _horizon_frame(run: Run, choice: HorizonChoice, horizon_days: int, dates: Dates) -> pd.DataFrame:
    is_set = run.settings.churn.horizon_days is not None
    sentence = f"The horizon of {horizon_days} days is set in the configuration." if is_set else choice.sentence
    row: dict[str, Sequence[object]] = {
        "horizon_days": [horizon_days],
        "suggested_days": [choice.horizon_days],
        "sentence": [sentence],
        "judged_at": [dates.judging],
        "n_training_dates": [len(dates.training)],
    }
    return pd.DataFrame(row)
