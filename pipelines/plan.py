"""Plan: which run a configuration and a day ask for, without starting anything."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from data.demo import AS_OF
from data.sources import DemoSource, ParquetSource, Source
from pipelines.run import REPORTER, Run, local_midnight
from pipelines.settings import Settings

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
    """
    settings = read_settings(config, root)
    timezone = settings.company.timezone
    as_of = AS_OF if settings.source.kind == "demo" else local_midnight(day(timezone), timezone)
    return Run(settings, as_of, open_source(settings).digest(), REPORTER.get())


def open_source(settings: Settings) -> Source:
    """Return the source that the settings name.

    Raises
    ------
    ConfigError
        It is not there.
    """
    if settings.source.kind == "demo" or settings.source.path is None:
        return DemoSource()
    return ParquetSource(settings.source.path)
