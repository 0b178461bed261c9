"""Publish: the manifest row that makes a night current, the champions, and the files for people."""

import tempfile
from pathlib import Path

import pandas as pd

from data.lake import Snapshot
from pipelines.plots import draw_plots
from pipelines.report.night import Night
from pipelines.report.page import page
from pipelines.report.workbook import write_workbook
from pipelines.results import open_night
from pipelines.run import Run, Versions, code_digest
from pipelines.settings import Settings
from pipelines.tracking import Tracker


def publish(run: Run, versions: Versions, tracker: Tracker, run_id: str) -> Snapshot:
    """Make every table of the run current at once, then point the aliases at the models that were promoted.

    Both can be done again without effect. Between the two a crash leaves the new tables with the old alias; the next
    try moves it, because the decision is in the tables.
    """
    run.lake.publish(
        run.run_key,
        flow=run.flow,
        as_of=run.as_of,
        code_digest=code_digest(),
        versions=versions,
        summary={"stage_seconds": {stage: round(seconds, 2) for stage, seconds in run.seconds.items()}},
        mlflow_run_id=run_id,
    )
    for decision in run.frame("model_decisions", versions).to_pylist():
        if decision["decision"] == "promoted":
            tracker.promote(decision["model"], decision["candidate_version"])
    snapshot = run.lake.snapshot(run.run_key)
    assert snapshot is not None
    return snapshot


def files_of(settings: Settings, night: Night) -> dict[str, Path]:
    """Return where the files of a night are: ``report.html`` and ``actions.xlsx`` in a folder named by date and key."""
    folder = settings.root / "reports" / f"{night.as_of_on.isoformat()}-{night.run_key}"
    return {"report": folder / "report.html", "actions": folder / "actions.xlsx"}


def write_report(settings: Settings, night: Night) -> dict[str, Path]:
    """Write the report and the workbook of a night; the same night gives the same bytes."""
    files = files_of(settings, night)
    files["report"].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_text(files["report"], page(night))
    write_workbook(night, files["actions"])
    return files


def log_night(settings: Settings, tracker: Tracker, run_key: str) -> None:
    """Copy a published night to MLflow: table versions, measures with intervals, verdicts, plots and the files."""
    night = open_night(settings, run_key)
    tracker.log(night.mlflow_run_id, _measures(night), _tags(night))
    files = files_of(settings, night)
    tracker.log_files(night.mlflow_run_id, [file for file in files.values() if file.exists()], "report")
    with tracker.figure_folder(night.mlflow_run_id, "plots") as folder:
        draw_plots(night, folder)
    with tracker.figure_folder(night.mlflow_run_id, "tables") as folder:
        night.campaign_verdicts.to_json(
            folder / "campaign_verdicts.json", orient="records", date_format="iso", indent=1
        )
        night.model_decisions.to_json(folder / "model_decisions.json", orient="records", date_format="iso", indent=1)
    tracker.finish(night.mlflow_run_id)


def _measures(night: Night) -> dict[str, float]:
    found: dict[str, float] = {}
    for table, group in (("metrics", "model"), ("offer_quality", "method")):
        frame: pd.DataFrame = getattr(night, table)
        for row in frame.to_dict("records"):
            name = f"{row[group]}.{row['metric']}".replace(" ", "_")
            found |= {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}
    for row in night.campaign_verdicts.dropna(subset=["effect_cents"]).to_dict("records"):
        for end in ("effect", "effect_low", "effect_high"):
            found[f"campaign_{row['campaign_id']}.{end}_cents"] = float(row[f"{end}_cents"])
    return found


def _tags(night: Night) -> dict[str, str]:
    tables = {f"table.{name}": str(version) for name, version in night.versions.items()}
    return tables | {"as_of": night.as_of.isoformat(), "code_digest": night.code_digest}


def _write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: readers never see half a report."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as stream:
        stream.write(text)
    Path(stream.name).replace(path)
