"""Results: a published night as one value, read from the lake alone, and whether there is one."""

from pathlib import Path

import pandas as pd

from data.errors import LakeError
from data.lake import Lake, Snapshot
from features.clock import local_date
from pipelines.consent import without_withdrawn
from pipelines.report.models import TABLES as ABOUT_MODELS
from pipelines.report.night import Night
from pipelines.report.portfolio import TABLES as PORTFOLIO
from pipelines.report.trust import TABLES as TRUST
from pipelines.run import Run
from pipelines.settings import Settings

SHOWN = (
    *("scores", "rules", "rule_counts", "offers", "offer_quality", "campaign_verdicts", "actions"),
    *("model_decisions", "churn_metrics", "calibration", "base_rates", "horizons", "purchase_gaps"),
    *("sales_by_month", "quality", "reconciliation"),
)
"""Published tables that a night's report reads."""

MODELS = (*ABOUT_MODELS, *TRUST)
"""Those about models, which nights of older code may lack."""

FILES = {"features": "features.html", "report": "report.html", "actions": "actions.xlsx"}
"""What every night leaves for people."""


def folder_of(settings: Settings, night: Night | Run | Snapshot) -> Path:
    """Return where the files of a night are: a folder named by date and key."""
    day = local_date(night.as_of, settings.company.timezone)
    return settings.root / "reports" / f"{day.isoformat()}-{night.run_key}"


def files_of(settings: Settings, night: Night | Run) -> dict[str, Path]:
    """Return the files of a night that every night has."""
    folder = folder_of(settings, night)
    return {name: folder / file for name, file in FILES.items()}


def is_done(run: Run) -> bool:
    """Say whether a run is published and reported, so that nothing is left to do."""
    is_published = run.lake.snapshot(run.run_key) is not None
    return is_published and all(file.exists() for file in files_of(run.settings, run).values())


def open_night(settings: Settings, run_key: str | None = None) -> Night:
    """Return a published night: what the report, the workbook, the summary and notebooks read.

    Parameters
    ----------
    settings
        Whose lake it is.
    run_key
        Which night, by default the newest.

    Raises
    ------
    LakeError
        Nothing was published, or not this night, or it ended before its report.
    """
    lake = Lake(settings.lake_root)
    snapshot = lake.snapshot(run_key)
    if snapshot is None:
        found = "no published night" if run_key is None else f"no published night {run_key}"
        raise LakeError(f"{found} in {settings.lake_root}", "at least one", "run `regulars nightly` first")
    if not has_report_tables(snapshot):
        raise LakeError(
            f"night {snapshot.run_key} without {', '.join(sorted(set(SHOWN) - set(snapshot.versions)))}",
            "a night that went on to its report",
            "run `regulars nightly` again",
        )
    return _night(settings, lake, snapshot)


def has_report_tables(snapshot: Snapshot) -> bool:
    """Say whether a published night has every table that its report reads; one that ended early has not."""
    return snapshot.versions.keys() >= set(SHOWN)


def _night(settings: Settings, lake: Lake, snapshot: Snapshot) -> Night:
    def frame(table: str) -> pd.DataFrame:
        read = lake.read(table, version=snapshot.versions[table], as_of=snapshot.as_of)
        found: pd.DataFrame = read.to_pandas()
        return found

    horizon = frame("horizons").iloc[0]
    rates = frame("base_rates").drop(columns="as_of").rename(columns={"observed_at": "as_of"})
    return Night(
        run_key=snapshot.run_key,
        as_of=snapshot.as_of,
        as_of_on=local_date(snapshot.as_of, settings.company.timezone),
        timezone=settings.company.timezone,
        currency=settings.company.currency_symbol,
        company=settings.company.name,
        code_digest=snapshot.code_digest,
        mlflow_run_id=snapshot.mlflow_run_id or "",
        horizon_days=int(horizon["horizon_days"]),
        versions=snapshot.versions,
        stage_seconds=snapshot.summary["stage_seconds"],
        scores=frame("scores"),
        rules=frame("rules"),
        offers=frame("offers"),
        campaign_verdicts=frame("campaign_verdicts"),
        actions=without_withdrawn(settings, lake, frame("actions")),
        model_decisions=frame("model_decisions"),
        quality=frame("quality"),
        reconciliation=_with_refused(frame("reconciliation")),
        metrics=frame("churn_metrics"),
        calibration=frame("calibration"),
        base_rates=rates,
        gaps=frame("purchase_gaps").rename(columns={"returned_share": "share_returned"}),
        offer_quality=frame("offer_quality"),
        sales_by_month=frame("sales_by_month"),
        portfolio={name: frame(name) for name in PORTFOLIO if name in snapshot.versions},
        models={name: frame(name) for name in MODELS if name in snapshot.versions},
        texts={
            "horizon_reason": str(horizon["sentence"]),
            "gone": settings.churn.gone(int(horizon["horizon_days"])),
            "value_assumption": _value_assumption(settings),
            "rules_survived": str(frame("rule_counts")["sentence"].iloc[0]),
        },
    )


def _with_refused(reconciliation: pd.DataFrame) -> pd.DataFrame:
    """Return where the rows went, of nights before rows could be refused too."""
    return pd.DataFrame({"n_refused": 0, "refused_cents": 0}, index=reconciliation.index).assign(
        **{str(name): column for name, column in reconciliation.items()}
    )


def _value_assumption(settings: Settings) -> str:
    money = settings.money
    return (
        f"Margin is taken as {money.margin_share:.0%} of sales. A contact is assumed to keep "
        f"{money.retain_save_share:.0%} of those who would leave, to add {money.offer_extra_share:.0%} to the "
        f"purchases of its offers that come anyway, and to cost {settings.company.currency_symbol}"
        f"{money.cost_per_contact_cents / 100:.2f}. "
        "No uplift has been measured yet; the holdout will tell."
    )
