"""Plan: which run a configuration and a day ask for, without starting anything."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from data.demo import AS_OF
from data.privacy import consented
from data.sources import DemoSource, FilesSource, ParquetSource, Source
from pipelines.run import REPORTER, Run, local_midnight
from pipelines.settings import Settings

MARKETING = "marketing"
"""The purpose that customers are contacted for."""

Day = Callable[[str], date]
"""Function from an IANA zone to the local day of a run."""


def read_settings(config: str | Path | None, root: str | Path | None = None) -> Settings:
    """Return the settings of a configuration file, or the demo's where it is null.

    Parameters
    ----------
    config
        Path of ``regulars.toml``.
    root
        Folder for everything that a run writes, instead of the configuration's.
    """
    settings = Settings.demo() if config is None else Settings.read(Path(config))
    return settings if root is None else settings.model_copy(update={"root": Path(root)})


def plan(config: str | Path | None, root: str | Path | None, day: Day) -> Run:
    """Return the run of a local day.

    Parameters
    ----------
    config, root
        As in ``read_settings``.
    day
        Asked for the local day at whose midnight knowledge ends; the demo has its own, the end of its data.

    Raises
    ------
    ConfigError
        The configuration or its source is not there or holds what is not allowed, or nothing says whether customers may
        be contacted.
    """
    settings = read_settings(config, root)
    timezone = settings.company.timezone
    is_demo = settings.sources is None and settings.source.kind == "demo"
    as_of = AS_OF if is_demo else local_midnight(day(timezone), timezone)
    # Said now and not when the night is nearly over: there is no table of consents yet, so the settings must speak.
    consented([], None, MARKETING, as_of, frozenset(settings.decisions.assumed_consent))
    return Run(settings, as_of, open_source(settings).digest(), REPORTER.get())


def open_source(settings: Settings) -> Source:
    """Return the source that the settings name.

    Raises
    ------
    ConfigError
        It is not there.
    """
    if settings.sources is not None:
        return FilesSource(settings.sources, settings.folder, settings.company.timezone)
    path = settings.source.path
    return DemoSource() if path is None else ParquetSource(settings.folder / path)
