"""Plan: which run a configuration and a day ask for, without starting anything."""

from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path

from data.demo import AS_OF
from data.errors import ConfigError
from data.identity.masters import decided_by_people, read_log
from data.lake import Lake
from data.privacy import consented
from data.pseudonyms import check_names, read_key
from data.readmission import pieces
from data.sources import DemoSource, FilesSource, ParquetSource, Source, digest
from data.tombstones import tombstones_digest
from pipelines.consent import MARKETING, keeps_consents
from pipelines.results import is_done
from pipelines.room import check_room
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


def plan(config: str | Path | None, root: str | Path | None, day: Day, today: Day | None = None) -> Run:
    """Return the run of a local day.

    Parameters
    ----------
    config, root
        As in ``read_settings``.
    day
        Asked for the local day at whose midnight knowledge ends; the demo has its own, the end of its data.
    today
        Asked for the local day on which the run begins; null for the day of ``as_of``.

    Raises
    ------
    ConfigError
        The configuration or its source is not there or holds what is not allowed, there are no order lines, nothing
        says whether customers may be contacted, or the lake knows them by other names.
    LakeError
        The night is not done yet, and the disk has no room for it.
    """
    settings = read_settings(config, root)
    _check_lines(settings, config)
    read_key(settings.privacy, settings.folder, settings.root)
    has_lake = settings.lake_root.exists()
    if has_lake:
        check_names(Lake(settings.lake_root), settings.privacy)
    timezone = settings.company.timezone
    is_demo = settings.sources is None and settings.source.kind == "demo"
    as_of = AS_OF if is_demo else local_midnight(day(timezone), timezone)
    if not keeps_consents(settings):
        # Said now and not when the night is nearly over.
        consented([], None, MARKETING, as_of, frozenset(settings.decisions.assumed_consent))
    today_on = None if today is None else today(timezone)
    run = Run(settings, as_of, _inputs(settings), REPORTER.get(), today_on=today_on)
    if not (has_lake and is_done(run)):
        check_room(settings.root)
    return run


def _check_lines(settings: Settings, config: str | Path | None) -> None:
    """Refuse a night over sources without purchases, which is what a night learns from."""
    if settings.sources is not None and settings.sources.transactions is None:
        raise ConfigError(
            f"{config} has no [sources.transactions], only {', '.join(settings.sources.tables) or 'no table at all'}",
            "order lines (who bought what, when, for how much): a night learns from purchases",
            "map [sources.transactions]; until then `regulars check` answers what the other tables can",
        )


def _inputs(settings: Settings) -> str:
    """Return a digest of all that a night takes in: the source, and what people decided since."""
    parts = [digest(open_source(settings)), tombstones_digest(settings.root)]
    if settings.lake_root.exists():
        lake = Lake(settings.lake_root)
        parts += [piece.digest for piece in pieces(lake)]
        parts.append(decided_by_people(read_log(lake)))
    known = [part for part in parts if part]
    return known[0] if len(known) == 1 else sha256("\n".join(known).encode()).hexdigest()


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
