"""Publish: the manifest row that makes a night current, the champions, and the files for people."""

from pathlib import Path
from typing import Any

import pandas as pd

from data.lake import Lake, Snapshot
from pipelines.catalogue import measure
from pipelines.consent import for_contacts
from pipelines.plots import draw_plots
from pipelines.registry import TABLE as MODELS
from pipelines.report.card import card_page, decision_of
from pipelines.report.catalogue import catalogue_page
from pipelines.report.night import Night
from pipelines.report.page import page
from pipelines.report.workbook import write_workbook
from pipelines.results import files_of, open_night
from pipelines.run import Run, Versions, code_digest
from pipelines.settings import Settings
from pipelines.tracking import Tracker

CARDS = "cards"
"""Folder of an MLflow run that holds the cards of its models."""


def publish(run: Run, versions: Versions, tracker: Tracker, run_id: str) -> Snapshot:
    """Point the aliases at the models that were promoted, then make every table of the run current at once.

    Both can be done again without effect. A crash between the two leaves a champion that has earned his place and last
    night's tables; the next try publishes. The other way round a published night, which no try touches again, would
    keep the old alias for good.
    """
    for decision in run.frame("model_decisions", versions).to_pylist():
        if decision["decision"] == "promoted":
            tracker.promote(decision["model"], decision["candidate_version"])
    run.lake.publish(
        run.run_key,
        flow=run.flow,
        as_of=run.as_of,
        code_digest=code_digest(),
        versions=versions,
        summary={"stage_seconds": {stage: round(seconds, 2) for stage, seconds in run.seconds.items()}},
        mlflow_run_id=run_id,
    )
    snapshot = run.lake.snapshot(run.run_key)
    assert snapshot is not None
    return snapshot


def write_report(settings: Settings, night: Night, tracker: Tracker | None = None) -> dict[str, Path]:
    """Write the report, the workbook and the page of features of a night; the same night gives the same bytes.

    Parameters
    ----------
    settings
        Whose root takes the files. They are moved there whole, so that nobody reads half of one.
    night
        The published night.
    tracker
        Where to copy the night to: table versions, measures with intervals, verdicts, plots and the files. The files
        come last, so that a night which has them has been copied too.
    """
    files = files_of(settings, night)
    # A name that does not change: what a killed try leaves there, the next one writes over.
    folder = files["report"].parent / "draft"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    drafts = {name: folder / file.name for name, file in files.items()}
    drafts["report"].write_text(page(night), encoding="utf-8")
    drafts["features"].write_text(catalogue_page(measure(settings, night.run_key)), encoding="utf-8")
    # People work from this file, and pass it on.
    write_workbook(for_contacts(settings, night), drafts["actions"])
    if tracker is not None:
        _log_night(tracker, night, list(drafts.values()))
    for name, draft in drafts.items():
        draft.chmod(0o600)
        draft.replace(files[name])
    folder.rmdir()
    return files


def report(settings: Settings, tracker: Tracker, run_key: str) -> None:
    """Write the files of a published night and copy it to MLflow."""
    night = open_night(settings, run_key)
    log_cards(Lake(settings.lake_root), tracker, night)
    write_report(settings, night, tracker)


def log_cards(lake: Lake, tracker: Tracker, night: Night) -> None:
    """Write the card of every model that a night registered into its MLflow run, and name it beside the version.

    Parameters
    ----------
    lake
        Holds what was written down of the models.
    tracker
        The registry.
    night
        The published night; a card names no customer.
    """
    rows = lake.read(MODELS, version=night.versions[MODELS]).to_pylist()
    made = [row for row in rows if row["run_key"] == night.run_key]
    if not made:
        return
    with tracker.figure_folder(night.mlflow_run_id, CARDS) as folder:
        for row in made:
            (folder / _card(row)).write_text(card_page(night, row), encoding="utf-8")
    for row in made:
        said = {"card": f"{CARDS}/{_card(row)}", "decision": str(decision_of(night, row).get("decision", ""))}
        tracker.say(row["model"], row["version"], said)


def _card(row: dict[str, Any]) -> str:
    return f"{row['model']}-{row['version']}.html"


def _log_night(tracker: Tracker, night: Night, files: list[Path]) -> None:
    tracker.log(night.mlflow_run_id, _measures(night), _tags(night))
    tracker.log_files(night.mlflow_run_id, files, "report")
    with tracker.figure_folder(night.mlflow_run_id, "plots") as folder:
        draw_plots(night, folder)
    with tracker.figure_folder(night.mlflow_run_id, "tables") as folder:
        for table in ("campaign_verdicts", "model_decisions"):
            frame: pd.DataFrame = getattr(night, table)
            frame.to_json(folder / f"{table}.json", orient="records", date_format="iso", indent=1)
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
