"""Errors that a user can act on: what was found, what is allowed, what to do.

A ``UserError`` is shown as one line without a traceback and ends the command with its exit code. Anything else that
escapes is a bug and keeps its traceback.
"""

from typing import ClassVar


class UserError(Exception):
    """Something outside the code is wrong and the user can mend it.

    Parameters
    ----------
    found
        What was seen, with its place.
    expected
        What is allowed there.
    action
        What to do now.

    Examples
    --------
    >>> print(UserError("amount_cents is text in orders.csv", "an integer", "map a unit for it in regulars.toml"))
    found: amount_cents is text in orders.csv; expected: an integer; do: map a unit for it in regulars.toml
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, found: str, expected: str, action: str) -> None:
        super().__init__(f"found: {found}; expected: {expected}; do: {action}")
        self.found = found
        self.expected = expected
        self.action = action


class ConfigError(UserError):
    """The configuration names or holds something that is not allowed."""

    exit_code: ClassVar[int] = 2


class ContractError(UserError):
    """A contract is broken, so the run stops: missing column, wrong type, or too many rejected rows."""

    exit_code: ClassVar[int] = 3


class LockHeldError(UserError):
    """Another run holds the lake's lock."""

    exit_code: ClassVar[int] = 4


class ArtifactError(UserError):
    """A stored model is not the one that was recorded, or is made of types that we do not load."""

    exit_code: ClassVar[int] = 5


class LeakageError(UserError):
    """A feature or a split would let the future into a model."""

    exit_code: ClassVar[int] = 6


class LakeError(UserError):
    """The lake cannot be read or written: no snapshot, no space, a table that is missing."""

    exit_code: ClassVar[int] = 7


class TrainingError(UserError):
    """A frame cannot train or feed a model: a column is missing, a label has one class, a number is infinite."""

    exit_code: ClassVar[int] = 8
