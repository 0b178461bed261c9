"""The worlds of the battery, and one engine for all tests of a process: what two of them ask is compiled once."""

from features.battery.engine import Engine, connect, load
from features.battery.worlds import AS_OFS, SCHEMAS, TIMEZONE, Frames, frames, line, local, random_world

__all__ = ["AS_OFS", "ENGINE", "NEW_YORK", "SCHEMAS", "Frames", "compute", "connect", "frames"]
__all__ += ["line", "load", "local", "random_world"]

NEW_YORK = TIMEZONE
ENGINE = Engine()
compute = ENGINE.compute
