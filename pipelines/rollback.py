"""Roll a model back: an earlier champion serves again from the next night on, and a line says who decided and why."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import ClassVar

import pyarrow as pa

from data.digest import digest
from data.errors import UserError
from data.lake import Lake
from pipelines.registry import known_models, recorded
from pipelines.settings import Settings
from pipelines.tracking import Tracker

TABLE = "rollbacks"
_SCHEMA = pa.schema(
    {
        "sequence": pa.int64(),
        "model": pa.string(),
        "from_version": pa.int64(),
        "to_version": pa.int64(),
        "decided_at": pa.timestamp("us"),
        "by": pa.string(),
        "reason": pa.string(),
    }
)


class NoEarlierChampionError(UserError):
    """There is no version to go back to."""

    exit_code: ClassVar[int] = 15


@dataclass(frozen=True)
class Rollback:
    """Say which version of a model gave way to which, and who decided it.

    Parameters
    ----------
    sequence
        Number of the line, from 0.
    model
        Registered name.
    from_version, to_version
        Who served, and who serves from now on.
    decided_at
        Naive UTC instant.
    by, reason
        Who decided, and why.
    """

    sequence: int
    model: str
    from_version: int
    to_version: int
    decided_at: datetime
    by: str
    reason: str


def roll_back(
    settings: Settings, model: str, *, by: str, reason: str, decided_at: datetime, to: int | None = None
) -> Rollback:
    """Let an earlier version of a model serve again.

    The version is loaded first, through the digest and the list of types, so that a broken one never serves. The line
    is written before the registry's alias moves: killed between the two, the command is given again.

    Parameters
    ----------
    settings
        Whose lake and registry it is.
    model
        Registered name.
    by, reason
        Who decides, and why; both are kept with the models.
    decided_at
        Naive UTC instant.
    to
        Which version; by default the newest one before the champion that the gate had promoted.

    Raises
    ------
    NoEarlierChampionError
        Nothing serves, nothing served before, or the version serves already.
    ArtifactError
        The version is not this lake's, is gone or was changed.
    LockHeldError
        A night is running.
    """
    lake, tracker = Lake(settings.lake_root), Tracker(settings.root)
    with lake.lock():
        serving = tracker.champion(model)
        if serving is None:
            raise NoEarlierChampionError(f"model {model} without a champion", "a model that serves", _names(lake))
        version = _before(lake, model, serving) if to is None else to
        if version == serving:
            raise NoEarlierChampionError(f"version {to} of {model}, which serves already", "another one", "name it")
        tracker.load(recorded(known_models(lake), model, version).version)
        log = rollbacks(lake)
        line = Rollback(log.num_rows, model, serving, version, decided_at, by, reason)
        log = pa.concat_tables([log, pa.Table.from_pylist([asdict(line)], _SCHEMA)])
        lake.write(TABLE, log, as_of=None, fingerprint=digest(log, ["sequence"]))
        tracker.promote(model, version)
        tracker.say(model, serving, {"rolled_back": f"{decided_at:%Y-%m-%d %H:%M} UTC to {version} by {by}: {reason}"})
    return line


def rollbacks(lake: Lake) -> pa.Table:
    """Return every rollback, oldest first: sequence, model, from_version, to_version, decided_at (UTC), by, reason."""
    return lake.read(TABLE).sort_by("sequence").cast(_SCHEMA) if lake.has(TABLE) else _SCHEMA.empty_table()


def _before(lake: Lake, model: str, serving: int) -> int:
    """Return the newest version before the champion that some night's gate had promoted."""
    decisions = lake.read("model_decisions").to_pylist() if lake.has("model_decisions") else []
    promoted = [row["candidate_version"] for row in decisions if (row["model"], row["decision"]) == (model, "promoted")]
    earlier = [version for version in promoted if version < serving]
    if not earlier:
        raise NoEarlierChampionError(
            f"version {serving} of {model}, the first that was promoted",
            "a version that served before",
            "name another version with --to, or wait for the next night's candidate",
        )
    return int(max(earlier))


def _names(lake: Lake) -> str:
    names = sorted({row["model"] for row in known_models(lake)})
    return f"name one of {', '.join(names)}" if names else "run regulars nightly first"
