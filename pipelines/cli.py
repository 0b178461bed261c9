"""The ``regulars`` command. A user error is one line and an exit code; a traceback is a bug.

Heavy imports stand inside the commands: ``regulars --help`` answers at once, and Prefect reads its environment when it
is imported, which the command sets first.
"""
# ruff: noqa: PLC0415

import gc
import logging
import os
import signal
import sys
import warnings
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from data.errors import UserError
from pipelines.commands import campaign, identities, quarantine
from pipelines.commands.backtest import backtest
from pipelines.commands.check import check
from pipelines.commands.explain import explain
from pipelines.commands.features import features
from pipelines.commands.init import init
from pipelines.commands.labelled import labelled
from pipelines.commands.options import DEFAULT, AsOf, Config, Root, console
from pipelines.commands.privacy import access, erase
from pipelines.commands.rollback import rollback
from pipelines.commands.selling import offers, rules

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep your regular customers: who leaves, what they are worth, what to offer, what worked, whom to contact.",
)
DEMO_ROOT = Path("var/demo")


@app.command()
def demo(root: Root = None) -> None:
    """Run a whole night on a year of real grocery shopping."""
    _night(None, root or DEMO_ROOT, None)


@app.command()
def nightly(config: Config = DEFAULT, as_of: AsOf = None, root: Root = None) -> None:
    """Run one night now; a night that is already published is left as it is."""
    _night(config, root, as_of.date() if as_of else None)


@app.command()
def serve(config: Config = DEFAULT, root: Root = None) -> None:
    """Run the night on its schedule until stopped."""
    from pipelines.plan import read_settings

    _set_environment(read_settings(config, root).root)
    _quieten()
    from pipelines.serve import serve as serve_nights

    serve_nights(config, root, console())


@app.command()
def report(config: Config = DEFAULT, root: Root = None) -> None:
    """Write report and workbook of the newest night again and print its summary."""
    from pipelines.plan import read_settings
    from pipelines.publish import write_report
    from pipelines.results import open_night

    # The demo needs no file: where there is none, the command speaks of the demo.
    settings = read_settings(config if config.exists() or config != DEFAULT else None, root)
    night = open_night(settings)
    _show(night, write_report(settings, night))


@app.command()
def ui(root: Root = None) -> None:
    """Open MLflow and Prefect on 127.0.0.1 until stopped."""
    _set_environment(root or DEMO_ROOT)
    from pipelines.serve import open_servers

    open_servers(root or DEMO_ROOT, console())


app.command()(init)
app.command()(check)
app.command()(features)
app.command()(explain)
app.command()(rules)
app.command()(offers)
app.command()(backtest)
app.command()(labelled)
app.command()(rollback)
app.command()(erase)
app.command()(access)
app.add_typer(campaign.app, name="campaign")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(identities.app, name="identities")


def main() -> None:
    """Run the command and turn user errors into one line and an exit code."""
    os.umask(0o077)  # customers' data: nobody else reads what a run writes
    # Unwinds like Ctrl-C, so that servers end with whoever started them.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except UserError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _night(config: Path | None, root: Path | None, day: date | None) -> None:
    from pipelines.plan import plan
    from pipelines.results import files_of, is_done, open_night

    def today(timezone: str) -> date:
        return datetime.now(ZoneInfo(timezone)).date()

    terminal = console()
    run = plan(config, root, lambda timezone: day or today(timezone), today)
    if is_done(run):
        terminal.print(f"Night {run.run_key} of {run.as_of_on} is already published: nothing to do.")
    else:
        _run_flow(config, run, terminal)
    _show(open_night(run.settings, run.run_key), files_of(run.settings, run))


def _run_flow(config: Path | None, run: Any, terminal: Console) -> None:
    # Who comes second hears it now, and not after a server was started for him; the flow takes the lock for good.
    with run.lake.lock():
        _set_environment(run.settings.root)
    terminal.print(f"Night of {run.as_of_on}, run {run.run_key}")
    # What is imported stays: to look through it for garbage takes a fifth of the start, and goes on all night long.
    gc.disable()
    import skops.io  # noqa: F401 - first, since it asks every module that is there already for names

    from pipelines.nightly import STAGES
    from pipelines.nightly import nightly as flow
    from pipelines.progress import progress
    from pipelines.run import REPORTER

    gc.freeze()
    gc.enable()
    _quieten()
    with progress(terminal, len(STAGES)) as reporter:
        token = REPORTER.set(reporter)
        try:
            flow(None if config is None else str(config), str(run.settings.root), run.as_of_on)
        finally:
            REPORTER.reset(token)


def _show(night: Any, files: dict[str, Path]) -> None:
    from pipelines.report.summary import show

    show(night, files, console())


def _quieten() -> None:
    """Keep what libraries say about libraries off the terminal; the tests turn every warning into an error."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # scheduled nights are processes of their own
    for library in ("mlflow", "alembic", "great_expectations"):
        logging.getLogger(library).setLevel(logging.ERROR)
    for runs in ("prefect.flow_runs", "prefect.task_runs"):
        # Prefect sets its levels anew when a flow starts, but leaves filters. What fails is said once, by ``main``.
        logging.getLogger(runs).addFilter(lambda _: False)


def _set_environment(root: Path) -> None:
    """Keep Prefect's own state under the root, unless the user has a Prefect of their own."""
    has_own = {"PREFECT_HOME", "PREFECT_API_URL", "PREFECT_PROFILE"} & set(os.environ)
    if not has_own and not (Path.home() / ".prefect" / "profiles.toml").exists():
        home = (root / "prefect").resolve()
        # Prefect makes its folder, but none above it.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["PREFECT_HOME"] = str(home)
