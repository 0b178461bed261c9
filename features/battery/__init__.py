"""The battery: what every feature must survive, as one call, ``judge``, for whoever has just written one."""

from features.battery.checks import CHECKS, judge

__all__ = ["CHECKS", "judge"]
