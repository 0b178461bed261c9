"""The schedule: every night at its hour, in a process of its own.

Prefect reads where its server is when it is imported, so this module is imported when there is one.
"""

import asyncio
import signal
from typing import Any

from prefect.runner import Runner
from prefect.schedules import Cron

from data.errors import ConfigError
from pipelines.nightly import nightly
from pipelines.settings import Settings


class _Nights(Runner):
    """A runner that SIGTERM ends like Ctrl-C; Prefect's own way leaves a traceback and a warning behind."""

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)


def run_nights(settings: Settings, parameters: dict[str, Any]) -> None:
    """Run every night until stopped by SIGINT or SIGTERM; a night that runs by then is finished first.

    Parameters
    ----------
    settings
        For its schedule and the time zone that it means.
    parameters
        Parameters of each night.

    Raises
    ------
    ConfigError
        The schedule is no cron expression.
    """
    cron = settings.schedule.cron
    try:
        schedule = Cron(cron, timezone=settings.company.timezone)
    except ValueError as error:
        raise ConfigError(f"schedule.cron = {cron!r}", "a cron expression such as '0 2 * * *'", "correct it") from error
    runner = _Nights(name="nightly", pause_on_shutdown=False)
    runner.add_flow(nightly, name="nightly", schedule=schedule, parameters=parameters)
    try:
        asyncio.run(runner.start())
    except KeyboardInterrupt:
        return
